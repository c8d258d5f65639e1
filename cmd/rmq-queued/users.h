/*
 * What the users of this machine may do, if the daemon was given a file of rights: rmq-rights(5).
 * Its own user and root may do all.
 */
#ifndef RMQ_QUEUED_USERS_H
#define RMQ_QUEUED_USERS_H

#include <stdbool.h>
#include <uv.h>

#include "sys/net/rights_file.h"
#include "sys/process/reason.h"

struct conn;
struct server;

struct users {
	const char *path;		     /* NULL: all may do all */
	const struct daemon_options *common; /* whose supervisor is told what is wrong */
	struct rights_file file;
	uv_timer_t timer; /* while some right is to end */
};

/* Reads the file, in front of all else.  After an error nothing is granted. */
enum rmq_error users_open(struct users *u, const char *path, struct reason *why)
    __attribute__((warn_unused_result));

void users_start(struct users *u, struct server *s);

/* A connection has begun: it gets the rights of its user. */
void users_admit(struct server *s, struct conn *c);

/* Reads the file again, and ends the connections of those whose rights have changed. */
void users_reload(struct server *s);

#endif
