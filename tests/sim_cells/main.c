/* The simulation of many cells; see tests/sim/runner.h for how it is called, and scale.h. */
#include "scale.h"
#include "world.h"

#include "../sim/runner.h"

#include "core/base/variant.h"

#include <stdlib.h>
#include <string.h>

#define STEPS 8000

static struct runner_variant variants[] = {
#define X(NAME, text) {#NAME, text, NULL, false},
    RMQ_CELLS_VARIANTS(X)
#undef X
};

static const enum rmq_variant meanings[] = {
#define X(NAME, text) RMQ_VARIANT_##NAME,
    RMQ_CELLS_VARIANTS(X)
#undef X
};

/* What one rule lets through another one stops, or it takes many seeds. */
static const char *const rare[] = {"GONE_LEASED", "GONE_APART", "OPEN_KEEPS", "BEGIN_DROPS",
    "LEASES_STAY", "GUARD_FIRST", "MADE_BESIDE_COPY", "AWAY_BOUND_STILL", "LEFT_REVIVED",
    "MOVER_UNWAITING"};

static void choose(unsigned variant)
{
	rmq_variant = meanings[variant];
}

static void run(uint64_t seed)
{
	struct world *w = world_new(seed);
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
	for (size_t i = 0; i < sizeof(variants) / sizeof(variants[0]); i++)
		for (size_t k = 0; k < sizeof(rare) / sizeof(rare[0]); k++)
			variants[i].rare |= strcmp(variants[i].name, rare[k]) == 0;
	return runner_main(&r, argc, argv);
}
