/*
 * Whether a compaction has put another data file in the place of the one that is open.  Whoever
 * begins to read or to commit finds out by itself (store.h); this is for programs that have nothing
 * to do: as long as one has the old file open, its space is not free.
 */
#ifndef RMQ_SYS_STORE_STORE_WATCH_H
#define RMQ_SYS_STORE_STORE_WATCH_H

#include <uv.h>

#include "sys/store/store.h"

/* A descriptor that can be read when a file of the directory was replaced; -1: there is none. */
int store_watch_open(const char *dir);
/* Whether it was; reads what is there. */
bool store_watch_take(int fd);

struct store_watch {
	uv_poll_t poll;
	int fd;
	struct store_reader *reader;
};

/*
 * From now on the loop has the reader follow, which must not be begun when a callback returns.
 * Without a descriptor for it nothing happens: the next read follows.
 */
void store_watch_start(
    struct store_watch *w, uv_loop_t *loop, const char *dir, struct store_reader *r);

#endif
