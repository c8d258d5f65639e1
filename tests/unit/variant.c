/*
 * Linked into unit tests together with the known-bad variants (core/base/variant.h): the environment
 * variable RMQ_VARIANT says which one is run; "list" lists those that unit tests find, each with the test.
 */
#include "core/base/limits.h"
#include "core/base/variant.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum rmq_variant rmq_variant;
bool rmq_small_limits;

static const struct {
	const char *name, *test, *text;
	enum rmq_variant variant;
} variants[] = {
#define X(NAME, text, test) {#NAME, test, text, RMQ_VARIANT_##NAME},
    RMQ_UNIT_VARIANTS(X)
#undef X
};

__attribute__((constructor)) static void choose(void)
{
	const char *name = getenv("RMQ_VARIANT");
	if (!name)
		return;
	bool list = strcmp(name, "list") == 0;
	for (size_t i = 0; i < sizeof(variants) / sizeof(variants[0]); i++) {
		if (list)
			printf("%s\t%s\t%s\n", variants[i].name, variants[i].test,
			    variants[i].text);
		else if (strcmp(name, variants[i].name) == 0)
			rmq_variant = variants[i].variant;
	}
	if (list)
		exit(0);
	if (rmq_variant == RMQ_VARIANT_NONE) {
		fprintf(stderr, "RMQ_VARIANT=%s: unit tests find no such variant\n", name);
		exit(64);
	}
}
