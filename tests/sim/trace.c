#include "trace.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define KEPT 100

struct line {
	const char *what;
	uint64_t v[4];
	uint64_t step;
};

static struct {
	struct line lines[KEPT];
	uint64_t seed;
	uint64_t step;
	uint64_t hash;
	bool verbose;
	char plan[512];
} state;

void trace_begin(uint64_t seed, bool verbose)
{
	state.seed = seed;
	state.step = 0;
	state.hash = 0xcbf29ce484222325u;
	state.verbose = verbose;
	state.plan[0] = 0;
}

void trace_mix(uint64_t v)
{
	state.hash = (state.hash ^ v) * 0x100000001b3u;
	state.hash ^= state.hash >> 29;
}

static void print(FILE *f, const struct line *l)
{
	fprintf(f, "%8llu  %-24s %llu %llu %llu %llu\n", (unsigned long long)l->step, l->what,
	    (unsigned long long)l->v[0], (unsigned long long)l->v[1],
	    (unsigned long long)l->v[2], (unsigned long long)l->v[3]);
}

void trace(const char *what, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
	struct line *l = &state.lines[state.step % KEPT];
	*l = (struct line){what, {a, b, c, d}, ++state.step};
	for (const char *p = what; *p; p++)
		trace_mix((uint8_t)*p);
	for (int i = 0; i < 4; i++)
		trace_mix(l->v[i]);
	if (state.verbose)
		print(stdout, l);
}

uint64_t trace_hash(void)
{
	return state.hash;
}

uint64_t trace_step(void)
{
	return state.step;
}

void trace_plan(const char *format, ...)
{
	va_list args;
	va_start(args, format);
	vsnprintf(state.plan, sizeof(state.plan), format, args);
	va_end(args);
}

void trace_fail(const char *format, ...)
{
	va_list args;
	fflush(stdout);
	fprintf(stderr, "seed %llu, step %llu: ", (unsigned long long)state.seed,
	    (unsigned long long)state.step);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fprintf(stderr, "\n%s%s", state.plan, state.plan[0] ? "\n" : "");
	uint64_t from = state.step > KEPT ? state.step - KEPT : 0;
	for (uint64_t i = from; i < state.step; i++)
		print(stderr, &state.lines[i % KEPT]);
	exit(1);
}
