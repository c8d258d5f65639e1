/* The simulation of many cells; see tests/sim/runner.h for how it is called, and scale.h. */
#include "scale.h"
#include "world.h"

#include "../sim/runner.h"

#include "core/base/variant.h"

#include <stdlib.h>
#include <string.h>

#define STEPS 30000

static const struct runner_variant variants[] = {
#define X(NAME, text) {#NAME, text, NULL, false},
    RMQ_CELLS_VARIANTS(X)
#undef X
};

static const enum rmq_variant meanings[] = {
#define X(NAME, text) RMQ_VARIANT_##NAME,
    RMQ_CELLS_VARIANTS(X)
#undef X
};

static void choose(unsigned variant)
{
	rmq_variant = meanings[variant];
}

static void run(uint64_t seed)
{
	struct world *w = world_new(seed);
	world_set_up(w);
	for (unsigned i = 0; i < STEPS; i++)
		world_step(w);
	world_calm(w);
	world_free(w);
}

int main(int argc, char **argv)
{
	static const struct runner r = {
	    "sim_cells", variants, sizeof(variants) / sizeof(variants[0]), choose, run};
	if (argc == 4 && strcmp(argv[1], "--scale") == 0)
		return scale_main(
		    (unsigned)strtoul(argv[2], NULL, 10), (unsigned)strtoul(argv[3], NULL, 10));
	return runner_main(&r, argc, argv);
}
