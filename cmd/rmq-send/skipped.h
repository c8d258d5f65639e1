/*
 * Bad records that were skipped, for --unsent: written to its file in the order of the input, each once
 * all before it is stored, so that no more of them are here than came while something was not.
 */
#ifndef RMQ_SEND_SKIPPED_H
#define RMQ_SEND_SKIPPED_H

#include "core/base/text.h"

/* Zeroed memory, but for the descriptor, the separator and `whole`. */
struct skipped {
	int fd; /* -1: they are not kept */
	char separator;
	bool whole; /* a record is all of the input: no separator ends it */
	bool held;  /* what ends the last one that was written, which may be the input's last */
	uint64_t last; /* its number */
	int error;     /* of writing, 0: none */
	/*
	 * Of each the numbers ascend: what the daemon refuses is before what was found bad here meanwhile, and
	 * what several daemons refuse comes in any order.
	 */
	struct skipped_list {
		struct text bytes;
		struct text records; /* struct skipped_record, of what is in `bytes` */
		size_t at;	     /* of them: those before are taken */
	} here, refused;
};

struct skipped_record {
	uint64_t number; /* from 1 */
	size_t end;	 /* in `bytes` */
};

void skipped_deinit(struct skipped *k);
/*
 * Some more bytes of this record, the last of them with what ends it, if anything does.  The daemon may
 * refuse it after later ones were found bad here.
 */
void skipped_put(struct skipped *k, uint64_t number, struct slice bytes);
/* Whether no more should come now. */
bool skipped_is_full(const struct skipped *k);
/* Whether there have been any, or it is not known. */
bool skipped_any(const struct skipped *k);
/* Writes those before record `number`. */
void skipped_write(struct skipped *k, uint64_t number);

/*
 * The rest: first what ends the last one that was written (empty: nothing has to), then one after the
 * other, as long as they are before record `number`.
 */
struct slice skipped_held(const struct skipped *k);
bool skipped_next(struct skipped *k, uint64_t number, uint64_t *which, struct slice *bytes);

#endif
