/* The queues, for the page: a client of the queue daemon. */
#ifndef RMQ_CLUSTER_QUEUES_H
#define RMQ_CLUSTER_QUEUES_H

#include "sys/client/client_io.h"

#define QUEUES_SHOWN 1024

struct queues {
	void (*put)(struct text *out, const struct wire_listed *row);
	struct text rows; /* that it has put, by name */
	unsigned count;
	bool more;     /* than QUEUES_SHOWN */
	char why[512]; /* they cannot be seen, or not all; "": they can */

	struct client_io io;
	bool waiting;
	char last[NAME_FULL_MAX];
	size_t last_len;
};

/* Asks where clients of queues ask, `servers` or (NULL) the default; not for long. */
void queues_ask(struct queues *q, const char *servers);
void queues_deinit(struct queues *q);

#endif
