#include "runner.h"

#include "trace.h"

#include "core/base/limits.h"
#include "core/base/variant.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define JOBS	     2
#define SEED_SECONDS 60
#define REPORT_MAX   16384

enum rmq_variant rmq_variant;
bool rmq_small_limits;

struct options {
	const struct runner *runner;
	uint64_t from, to;
	const struct runner_variant *variant;
	bool trace;
	bool hash;
};

struct job {
	pid_t pid; /* 0: none */
	int report;
	uint64_t seed;
};

static struct job start(const struct options *o, uint64_t seed)
{
	int fds[2];
	struct job j = {.seed = seed};
	fflush(stdout);
	if (pipe(fds) || (j.pid = fork()) < 0) {
		perror(o->runner->name);
		exit(71);
	}
	if (j.pid == 0) {
		struct rlimit cpu = {SEED_SECONDS, SEED_SECONDS};
		setrlimit(RLIMIT_CPU, &cpu);
		dup2(fds[1], STDERR_FILENO);
		close(fds[0]);
		close(fds[1]);
		trace_begin(seed, o->trace);
		o->runner->run(seed);
		if (o->hash)
			printf("%llu %016llx\n", (unsigned long long)seed,
			    (unsigned long long)trace_hash());
		exit(0);
	}
	close(fds[1]);
	j.report = fds[0];
	return j;
}

/* Whether a variant failed as it was to, by one of the rules that are parted by '|'. */
static bool expected(const struct runner_variant *v, const char *report)
{
	const char *rule = v->rule;
	while (rule && *rule) {
		char one[128];
		size_t len = strcspn(rule, "|");
		snprintf(one, sizeof(one), "%.*s", (int)len, rule);
		if (strstr(report, one))
			return true;
		rule += len + (rule[len] == '|');
	}
	return !v->rule;
}

/* Waits for the job's end; true if its seed passed.  Prints what it had to report. */
static bool finish(const struct options *o, struct job *j, bool *found)
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
	if (o->variant) {
		report[strcspn(report, "\n")] = 0;
		*found |= expected(o->variant, report);
	}
	fprintf(
	    o->variant ? stdout : stderr, "%s%s\n", len ? report : "", len ? "" : "crashed");
	if (WIFSIGNALED(status) && !o->variant)
		fprintf(stderr, "seed %llu: signal %d\n", (unsigned long long)j->seed,
		    WTERMSIG(status));
	return false;
}

/* Runs the seeds; how many failed.  A variant ends with the first that is found as it was to.
 */
static unsigned run(const struct options *o, bool *found)
{
	struct job jobs[JOBS] = {0};
	unsigned failed = 0;
	uint64_t next = o->from;
	for (;;) {
		unsigned running = 0;
		for (int i = 0; i < JOBS; i++) {
			if (jobs[i].pid && !finish(o, &jobs[i], found))
				failed++;
			if (next <= o->to && !*found && failed < 10)
				jobs[i] = start(o, next++);
			running += jobs[i].pid != 0;
		}
		if (running == 0)
			return failed;
	}
}

static bool set_variant(struct options *o, const char *name)
{
	for (unsigned i = 0; i < o->runner->variants_count; i++) {
		if (strcmp(o->runner->variants[i].name, name) == 0) {
			o->variant = &o->runner->variants[i];
			o->runner->choose(i);
			return true;
		}
	}
	return false;
}

static int usage(const struct runner *r)
{
	fprintf(stderr,
	    "usage: %s [--seeds FROM-TO] [--variant NAME] [--trace SEED] [--hash] [--list]\n",
	    r->name);
	return 64;
}

/* The exit status if there is no more to do, else -1. */
static int parse(struct options *o, int argc, char **argv)
{
	static const struct option longs[] = {{"seeds", 1, NULL, 's'},
	    {"variant", 1, NULL, 'v'}, {"trace", 1, NULL, 't'}, {"hash", 0, NULL, 'h'},
	    {"list", 0, NULL, 'l'}, {0}};
	unsigned long long from, to;
	int c;
	while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		switch (c) {
		case 's':
			if (sscanf(optarg, "%llu-%llu", &from, &to) != 2)
				return usage(o->runner);
			o->from = from;
			o->to = to;
			break;
		case 'v':
			if (!set_variant(o, optarg))
				return usage(o->runner);
			break;
		case 't':
			o->from = o->to = strtoull(optarg, NULL, 10);
			o->trace = true;
			break;
		case 'h':
			o->hash = true;
			break;
		case 'l':
			for (unsigned i = 0; i < o->runner->variants_count; i++)
				printf("%s\t%s\t%s\n", o->runner->variants[i].name,
				    o->runner->variants[i].text,
				    o->runner->variants[i].rare ? "rare" : "");
			return 0;
		default:
			return usage(o->runner);
		}
	}
	return -1;
}

int runner_main(const struct runner *r, int argc, char **argv)
{
	struct options o = {.runner = r, .from = 1, .to = 2000};
	bool found = false;
	int status = parse(&o, argc, argv);
	if (status >= 0)
		return status;
	unsigned failed = run(&o, &found);
	return o.variant ? !found : failed != 0;
}
