/* The simulation of a cluster; see ../sim/runner.h for how it is called. */
#include "cluster.h"
#include "founders.h"
#include "upgrade.h"

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
	    "the disk|takes|start with|goes on with session|has got an owner again|no number of a start") \
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
	    "the calm does not end|illness stops") \
	X(KV_EARLY, \
	    "what the map holds is told before it is committed, and without a barrier", \
	    "did not change so|on disk|was told before|is read as")

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

#define FULL "the disk is full"

/* Those that hardly any seed would find else. */
static const struct {
	enum rmq_variant variant;
	bool founders; /* shown without the cluster */
	struct wish wish;
} wishes[] = {
    {RMQ_VARIANT_FOUND_EARLY, .founders = true},
    {RMQ_VARIANT_ANSWERS_OUTLIVE, .founders = true},
    {RMQ_VARIANT_ANSWERS_OLD, .founders = true},
    {RMQ_VARIANT_CLAIM_UNSAID, .founders = true},
    {RMQ_VARIANT_CLAIM_OUTLIVES, .founders = true},
    {RMQ_VARIANT_LEVEL_OF_AWAY, .founders = true},
    {RMQ_VARIANT_LEVEL_UNASKED, .founders = true},
    {RMQ_VARIANT_LEVEL_OF_LEADER, .founders = true},
    {RMQ_VARIANT_REMOVED_UNCHECKED, .wish = {PART_ADMINISTRATOR}},
    {RMQ_VARIANT_REMOVED_UNSTORED, .wish = {PART_ADMINISTRATOR}},
    {RMQ_VARIANT_REFUSED_IS_DONE, .wish = {PART_ADMINISTRATOR}},
    {RMQ_VARIANT_LEAVES_AT_ONCE, .wish = {PART_ADMINISTRATOR}},
    {RMQ_VARIANT_REPLACED_ALIVE, .wish = {PART_ADMINISTRATOR}},
    {RMQ_VARIANT_REPLACED_ANEW, .wish = {PART_ADMINISTRATOR}},
    {RMQ_VARIANT_LEAVING_FORGOTTEN, .wish = {PART_ADMINISTRATOR}},
    {RMQ_VARIANT_SILENT_LIVES, .wish = {PART_ILLNESS, "its queue daemon is stopped"}},
    {RMQ_VARIANT_STARTING_TRUSTED, .wish = {PART_ILLNESS, "its queue daemon is stopped"}},
    {RMQ_VARIANT_LINGERER_LEADS,
	.wish = {PART_ILLNESS, "its queue daemon hangs in the kernel"}},
    {RMQ_VARIANT_DISK_TRUSTED, .wish = {PART_ILLNESS, "the disk hangs"}},
    {RMQ_VARIANT_LINKS_TRUSTED, .wish = {PART_ILLNESS, "records are lost that it sends"}},
    {RMQ_VARIANT_GATE_TRUSTED, .wish = {PART_ILLNESS, "its gate is stopped"}},
    {RMQ_VARIANT_DRAINS_FIRST, .wish = {PART_ILLNESS, "the disk hangs, and it is told to end"}},
    {RMQ_VARIANT_TAKES_ALL, .wish = {PART_ILLNESS, FULL}},
    {RMQ_VARIANT_LEADS_ALL, .wish = {PART_ILLNESS, FULL}},
    {RMQ_VARIANT_FULL_LEADS, .wish = {PART_ILLNESS, FULL}},
    {RMQ_VARIANT_SPENT_LEADS, .wish = {PART_ILLNESS, FULL}},
    {RMQ_VARIANT_HOLES_UNWANTED, .wish = {PART_ILLNESS, FULL, .sparing = true}},
    {RMQ_VARIANT_UNRELIEVED, .wish = {PART_ILLNESS, FULL, .sparing = true}},
    {RMQ_VARIANT_DEADLY_RESTARTED, .wish = {PART_DEADLY}},
    {RMQ_VARIANT_ANY_END_DEADLY, .wish = {PART_ONE_RUNS}},
    {RMQ_VARIANT_PLACE_STAYS, .wish = {PART_ONE_RUNS}},
    {RMQ_VARIANT_FAILED_TAKEN, .wish = {PART_ONE_RUNS}},
    {RMQ_VARIANT_FAILURES_UNTOLD, .wish = {PART_ONE_RUNS}},
    {RMQ_VARIANT_ROOM_LEVEL_UNTOLD, .wish = {PART_SLOWLY}},
    {RMQ_VARIANT_OPINION_OF_ONE, .wish = {PART_EXAM}},
    {RMQ_VARIANT_SILENCE_TRUSTED, .wish = {PART_EXAM}},
    {RMQ_VARIANT_LEAVING_COUNTED, .wish = {PART_ADMINISTRATOR}},
    {RMQ_VARIANT_LEAVES_DEAD, .wish = {PART_ADMINISTRATOR}},
    {RMQ_VARIANT_LAST_BROKER_GOES, .wish = {PART_ADMINISTRATOR, .roles = true}},
    {RMQ_VARIANT_ROLES_UNSEEN, .wish = {.roles = true}},
    {RMQ_VARIANT_ROLES_KEPT, .wish = {.roles = true}},
    {RMQ_VARIANT_LATCH_FORGOTTEN, .wish = {.waits = true}},
    {RMQ_VARIANT_LATCH_UNCOMMITTED, .wish = {.waits = true}},
};

static unsigned chosen;
static struct wish wish;
static bool only_founders;
static bool broken;

static void choose(unsigned variant)
{
	chosen = variant;
	broken = true;
	rmq_variant = meanings[variant].core;
	for (size_t i = 0; i < sizeof(wishes) / sizeof(*wishes); i++) {
		if (wishes[i].variant != rmq_variant)
			continue;
		wish = wishes[i].wish;
		only_founders = wishes[i].founders;
	}
}

static void run(uint64_t seed)
{
	founders_run(seed);
	upgrade_run(seed);
	if (only_founders)
		return;
	struct cluster *c =
	    cluster_new(seed, broken ? meanings[chosen].world : WORLD_SOUND, wish);
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
