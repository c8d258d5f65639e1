/* Clients that stay in a cell each, beside each other: what goes on between cells is done over them. */
#ifndef RMQ_QUEUE_PINNED_H
#define RMQ_QUEUE_PINNED_H

#include <poll.h>

#include "cells.h"

struct pinned {
	struct client_io io;
	bool opened;
};

/* With cell i of the list. */
enum rmq_error pinned_open(struct pinned *p, struct cells_asked *c, uint32_t i,
    const struct client_host *host) __attribute__((warn_unused_result));
/* Says goodbye; nothing if it is not open. */
void pinned_close(struct pinned *p);

/* What to wait for; returns how long at most, in ms, -1: for ever.  fds: count + 1. */
int pinned_prepare(struct pinned *p, uint32_t count, struct pollfd *fds)
    __attribute__((warn_unused_result));
/* Waits, and takes what has come; dies by a signal. */
void pinned_poll(
    struct admin *a, struct pinned *p, uint32_t count, struct pollfd *fds, int timeout_ms);

/* What ended it, if it has ended; else the text that is given.  Borrowed from either. */
struct slice pinned_why(struct pinned *p, enum rmq_error code, struct slice text,
    char why[CLIENT_IO_WHY_MAX]) __attribute__((warn_unused_result));

#endif
