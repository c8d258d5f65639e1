/*
 * What happened, as a hash over every step and as the last lines before a failure.
 * Two runs of one seed are the same if their hashes are.
 */
#ifndef SIM_TRACE_H
#define SIM_TRACE_H

#include <stdbool.h>
#include <stdint.h>

/* verbose: print every line as it comes. */
void trace_begin(uint64_t seed, bool verbose);
/* `what` is a constant string. */
void trace(const char *what, uint64_t a, uint64_t b, uint64_t c, uint64_t d);
/* Something that counts for the hash alone. */
void trace_mix(uint64_t v);
/* What the seed has planned, to be shown with a failure; a copy is kept. */
void trace_plan(const char *format, ...) __attribute__((format(printf, 1, 2)));
uint64_t trace_hash(void);
uint64_t trace_step(void);

/* A check failed: prints seed, step, why and the last lines, and ends the process with 1. */
void trace_fail(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));

#endif
