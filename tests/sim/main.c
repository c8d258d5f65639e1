/*
 * sim: runs seeds of the simulation, each in a process of its own, two at a time.
 *
 *	sim [--seeds FROM-TO] [--variant NAME] [--trace SEED] [--hash] [--list]
 *
 * Exit status 0: no check failed.  With --variant, which breaks a rule on purpose, it is
 * the other way round: 0 when some seed failed, and the seeds stop there.
 */
#include "machine.h"
#include "trace.h"

#include "core/variant.h"

#include <assert.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define STEPS	     3000
#define JOBS	     2
#define SEED_SECONDS 60
#define REPORT_MAX   8192

enum rmq_variant rmq_variant;

struct options {
	uint64_t from, to;
	enum world_variant world;
	bool variant;
	bool trace;
	bool hash;
};

struct job {
	pid_t pid; /* 0: none */
	int report;
	uint64_t seed;
};

static uint64_t run_seed(const struct options *o, uint64_t seed)
{
	trace_begin(seed, o->trace);
	struct world *w = machine_new(seed, o->world);
	for (unsigned i = 0; i < STEPS; i++)
		machine_step(w);
	machine_calm(w);
	machine_free(w);
	return trace_hash();
}

static struct job start(const struct options *o, uint64_t seed)
{
	int fds[2];
	struct job j = {.seed = seed};
	if (pipe(fds) || (j.pid = fork()) < 0) {
		perror("sim");
		exit(71);
	}
	if (j.pid == 0) {
		struct rlimit cpu = {SEED_SECONDS, SEED_SECONDS};
		setrlimit(RLIMIT_CPU, &cpu);
		dup2(fds[1], STDERR_FILENO);
		close(fds[0]);
		close(fds[1]);
		uint64_t hash = run_seed(o, seed);
		if (o->hash)
			printf("%llu %016llx\n", (unsigned long long)seed,
			    (unsigned long long)hash);
		exit(0);
	}
	close(fds[1]);
	j.report = fds[0];
	return j;
}

/* Waits for the job's end; true if its seed passed.  Prints what it had to report. */
static bool finish(struct job *j, bool brief)
{
	static char report[REPORT_MAX];
	size_t len = 0;
	ssize_t got;
	int status;
	while ((got = read(j->report, report + len, sizeof(report) - 1 - len)) > 0)
		len += (size_t)got;
	report[len] = 0;
	close(j->report);
	waitpid(j->pid, &status, 0);
	j->pid = 0;
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return true;
	if (brief)
		report[strcspn(report, "\n")] = 0;
	fprintf(brief ? stdout : stderr, "%s%s\n", len ? report : "", len ? "" : "crashed");
	if (WIFSIGNALED(status) && !brief)
		fprintf(stderr, "seed %llu: signal %d\n", (unsigned long long)j->seed,
		    WTERMSIG(status));
	return false;
}

/* Runs the seeds; how many failed, up to the first one for a variant. */
static unsigned run(const struct options *o)
{
	struct job jobs[JOBS] = {0};
	unsigned failed = 0;
	uint64_t next = o->from;
	for (;;) {
		unsigned running = 0;
		for (int i = 0; i < JOBS; i++) {
			if (jobs[i].pid && !finish(&jobs[i], o->variant))
				failed++;
			if (next <= o->to && !(failed && o->variant) && failed < 10)
				jobs[i] = start(o, next++);
			running += jobs[i].pid != 0;
		}
		if (running == 0)
			return failed;
	}
}

static bool set_variant(struct options *o, const char *name)
{
#define X(NAME, text) \
	if (strcmp(name, #NAME) == 0) \
		o->world = WORLD_##NAME;
	WORLD_VARIANTS(X)
#undef X
#define X(NAME, text) \
	if (strcmp(name, #NAME) == 0) \
		rmq_variant = RMQ_VARIANT_##NAME;
	RMQ_QUEUE_VARIANTS(X)
#undef X
	o->variant = true;
	return o->world != WORLD_SOUND || rmq_variant != RMQ_VARIANT_NONE;
}

static void list_variants(void)
{
#define X(NAME, text) puts(#NAME "\t" text);
	WORLD_VARIANTS(X)
	RMQ_QUEUE_VARIANTS(X)
#undef X
}

static int usage(void)
{
	fputs(
	    "usage: sim [--seeds FROM-TO] [--variant NAME] [--trace SEED] [--hash] [--list]\n",
	    stderr);
	return 64;
}

int main(int argc, char **argv)
{
	static const struct option longs[] = {{"seeds", 1, NULL, 's'},
	    {"variant", 1, NULL, 'v'}, {"trace", 1, NULL, 't'}, {"hash", 0, NULL, 'h'},
	    {"list", 0, NULL, 'l'}, {0}};
	struct options o = {.from = 1, .to = 2000};
	unsigned long long from, to;
	int c;
	while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		switch (c) {
		case 's':
			if (sscanf(optarg, "%llu-%llu", &from, &to) != 2)
				return usage();
			o.from = from;
			o.to = to;
			break;
		case 'v':
			if (!set_variant(&o, optarg))
				return usage();
			break;
		case 't':
			o.from = o.to = strtoull(optarg, NULL, 10);
			o.trace = true;
			break;
		case 'h':
			o.hash = true;
			break;
		case 'l':
			list_variants();
			return 0;
		default:
			return usage();
		}
	}
	unsigned failed = run(&o);
	return o.variant ? failed == 0 : failed != 0;
}
