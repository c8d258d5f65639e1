/*
 * An input with a name, which processes send to the first queue one after the other, each from where the queue says
 * that it has come to, wherever it lives by then: what rmq-send --resume does.  Each record is stored once.
 */
#ifndef SIM_CELLS_INPUTS_H
#define SIM_CELLS_INPUTS_H

#include "world.h"

#define INPUT_NAME "input"

struct input {
	struct prng prng;
	uint32_t *records; /* lines */
	uint32_t count, cap;
	uint32_t next; /* the record to be sent next */
	bool placed;   /* the queue has said so */
};

/* In some worlds there is one. */
void input_make(struct world *w);
void input_free(struct world *w);
/* The queue has so many records of it, as these messages; the process goes on there. */
void input_placed(struct world *w, uint64_t at, uint64_t first, uint64_t end);
/* A new record. */
void input_add(struct input *in, uint32_t line);
/* Whether all of it is stored. */
bool input_done(const struct world *w);

#endif
