#include "core/base/version.h"

#include <stdio.h>

uint16_t versions_common(struct versions a, struct versions b)
{
	uint16_t oldest = a.oldest > b.oldest ? a.oldest : b.oldest;
	uint16_t newest = a.newest < b.newest ? a.newest : b.newest;
	return oldest <= newest ? newest : 0;
}

const char *versions_text(char text[VERSIONS_TEXT_MAX], struct versions v)
{
	if (v.oldest == v.newest)
		snprintf(text, VERSIONS_TEXT_MAX, "%u", v.newest);
	else
		snprintf(text, VERSIONS_TEXT_MAX, "%u to %u", v.oldest, v.newest);
	return text;
}

const char *versions_differ(
    char *text, size_t size, const char *who, struct versions theirs, struct versions ours)
{
	char a[VERSIONS_TEXT_MAX], b[VERSIONS_TEXT_MAX];
	snprintf(text, size, "%s knows version %s, this program knows %s", who,
	    versions_text(a, theirs), versions_text(b, ours));
	return text;
}
