/*
 * An input with a name, which senders send one after the other, each from where the queue says that it
 * has come to: what rmq-send --resume does.  Each record of it is stored once, in order.
 */
#ifndef SIM_IMPORTS_H
#define SIM_IMPORTS_H

#include "world.h"

#define IMPORT_NAME "input"

struct import {
	uint32_t *records; /* lines; IMPORT_GONE: one that is not sent any more */
	uint32_t count, cap;
	uint32_t next; /* the record to be sent next */
	bool placed;   /* the queue has said so */
	bool no_ids;   /* its records have none: only the position says what was sent before */
	uint32_t
	    sender; /* the first process: all records are in the order in which it has them */
};
#define IMPORT_GONE UINT32_MAX
#define IMPORT_BAD  (UINT32_MAX - 1) /* one that is skipped */

/* The queue has so many records of it, as these messages; the next process goes on there. */
void import_placed(struct import *im, const struct world *w, struct slice queue, uint64_t at,
    struct input_sent sent);
/* The line of record `next`, which is passed; IMPORT_GONE: it has none yet, and is given `fresh`. */
uint32_t import_next(struct import *im, uint32_t fresh);
bool import_has_more(const struct import *im);
/* Up to `most` of its newest lines that were sent, and are stored in this queue, oldest first. */
uint32_t import_stored(const struct import *im, const struct world *w, struct slice queue,
    uint32_t *lines, size_t stride, uint32_t most);
#define IMPORT_AGAIN 10
void import_free(struct import *im);

#endif
