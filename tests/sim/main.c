/* The simulation of one machine; see runner.h for how it is called. */
#include "machine.h"
#include "runner.h"

#include "core/base/variant.h"

#define STEPS 3000

static const struct runner_variant variants[] = {
#define X(NAME, text) {#NAME, text, NULL, false},
    WORLD_VARIANTS(X) RMQ_QUEUE_VARIANTS(X)
#undef X
};

static const struct {
	enum world_variant world;
	enum rmq_variant core;
} meanings[] = {
#define X(NAME, text) {WORLD_##NAME, RMQ_VARIANT_NONE},
    WORLD_VARIANTS(X)
#undef X
#define X(NAME, text) {WORLD_SOUND, RMQ_VARIANT_##NAME},
	RMQ_QUEUE_VARIANTS(X)
#undef X
};

static enum world_variant world;

static void choose(unsigned variant)
{
	world = meanings[variant].world;
	rmq_variant = meanings[variant].core;
}

static void run(uint64_t seed)
{
	struct world *w = machine_new(seed, world);
	for (unsigned i = 0; i < STEPS; i++)
		machine_step(w);
	machine_calm(w);
	machine_free(w);
}

int main(int argc, char **argv)
{
	static const struct runner r = {
	    "sim", variants, sizeof(variants) / sizeof(variants[0]), choose, run};
	return runner_main(&r, argc, argv);
}
