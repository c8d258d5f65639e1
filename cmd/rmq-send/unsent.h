/* --unsent: the file that gets what could not be sent. */
#ifndef RMQ_SEND_UNSENT_H
#define RMQ_SEND_UNSENT_H

#include "sender.h"

/*
 * A regular file is replaced, through symbolic links, by one that is whole, and removed when
 * nothing is to be kept; anything else (a device, a FIFO, a descriptor that is open, whatever it
 * leads to) is written to.
 */
struct unsent {
	char *path;	 /* of the regular file, resolved; NULL: none */
	char *temporary; /* beside it, what `fd` is */
	int fd;		 /* -1: nothing is asked for */
};

/* path NULL: none.  0, or errno: it could not be written. */
int unsent_open(struct unsent *u, const char *path) __attribute__((warn_unused_result));
/* What a regular file has stays, before what comes; the separator ends it.  0, or errno. */
int unsent_carry(struct unsent *u, char separator) __attribute__((warn_unused_result));
/* Writes what is not known to be stored, and the rest of stdin.  0, or errno. */
int unsent_keep(struct unsent *u, struct sender *s) __attribute__((warn_unused_result));
/* All is stored, or nothing was begun: there is no such file. */
void unsent_drop(struct unsent *u);
/* There is nothing to write, and what a regular file has stays. */
void unsent_leave(struct unsent *u);

#endif
