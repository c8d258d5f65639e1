/*
 * Runs seeds of a simulation, each in a process of its own, two at a time.
 *
 *	NAME [--seeds FROM-TO] [--variant NAME] [--trace SEED] [--hash] [--list]
 *
 * Exit status 0: no check failed.  With --variant, which breaks a rule on purpose, it is
 * the other way round: 0 when some seed failed by the rule that is to find it, and the
 * seeds stop there.
 */
#ifndef SIM_RUNNER_H
#define SIM_RUNNER_H

#include <stdbool.h>
#include <stdint.h>

struct runner_variant {
	const char *name;
	const char *text;
	const char *rule; /* stands in the report, or one of several parted by '|'; NULL: any */
	bool rare;	  /* it takes minutes to find */
};

struct runner {
	const char *name;
	const struct runner_variant *variants;
	unsigned variants_count;
	/* This variant is to be run from now on. */
	void (*choose)(unsigned variant);
	/* Ends with trace_fail() if a check fails. */
	void (*run)(uint64_t seed);
};

/* The process's exit status. */
int runner_main(const struct runner *r, int argc, char **argv);

#endif
