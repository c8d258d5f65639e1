/* The simulation of a cluster; see ../sim/runner.h for how it is called. */
#include "cluster.h"
#include "founders.h"

#include "../sim/runner.h"

#include "core/base/variant.h"

#define FAULTS_END_MS 4000

/* name, what is broken, the rules that find it */
#define WORLDS(X) \
	X(OLD_END, "recovery begins at an older END than the newest", "recover|record") \
	X(WALL_LEASES, "leases run by the wall clock", "trusted|vouched|lease|expires")
#define CORES(X) \
	X(EFFECT_EARLY, "an effect leaves before its event is committed", "the disk|on disk") \
	X(SESSIONS_BY_TERM, "session ids begin anew in a term", \
	    "the disk|takes|start with|goes on with session|has got an owner again") \
	X(LEASE_REUSED, "lease numbers begin anew after a failover", "lease number") \
	X(END_BEHIND_PARTS, "END declares records dead that lie behind one of its parts", \
	    "in front of part") \
	X(PARTS_AT_END, "recovery takes parts as if they were made at END", \
	    "recovery|record|replica") \
	X(END_KILLS_LIVE, "END declares records dead that hold live bodies", "live bodies") \
	X(TOPIC_FIRST, "what is sent to a topic comes to one of the queues that are bound", \
	    "bound or not") \
	X(EPHEMERAL_EARLY, "an ephemeral subscription ends with its connection", \
	    "has been away|its receiver is connected") \
	X(WATCH_EARLY, "who waits for a queue is told while messages are leased", \
	    "it never was") \
	X(WATCH_FORGOTTEN, "a client that waits for one does not ask again after a failover", \
	    "the calm does not end|illness stops")

#define SHOW(NAME, text, rule)	    {#NAME, text, rule, false},
#define SHOW_RARE(NAME, text, rule) {#NAME, text, rule, true},
static const struct runner_variant variants[] = {
    WORLDS(SHOW) CORES(SHOW) RMQ_HOST_VARIANTS(SHOW) RMQ_HOST_RARE_VARIANTS(SHOW_RARE)};

static const struct {
	enum world_variant world;
	enum rmq_variant core;
} meanings[] = {
#define X(NAME, text, rule) {WORLD_##NAME, RMQ_VARIANT_NONE},
    WORLDS(X)
#undef X
#define X(NAME, text, rule) {WORLD_SOUND, RMQ_VARIANT_##NAME},
	CORES(X) RMQ_HOST_VARIANTS(X) RMQ_HOST_RARE_VARIANTS(X)
#undef X
};

static unsigned chosen;
static bool broken;

static void choose(unsigned variant)
{
	chosen = variant;
	broken = true;
	rmq_variant = meanings[variant].core;
}

static void run(uint64_t seed)
{
	founders_run(seed);
	struct cluster *c = cluster_new(seed, broken ? meanings[chosen].world : WORLD_SOUND);
	while (c->sim.now < FAULTS_END_MS)
		cluster_millisecond(c);
	cluster_calm(c);
	cluster_free(c);
}

int main(int argc, char **argv)
{
	static const struct runner r = {
	    "sim_cluster", variants, sizeof(variants) / sizeof(variants[0]), choose, run};
	return runner_main(&r, argc, argv);
}
