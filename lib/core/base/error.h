/*
 * Every error that a program, a frame or a function of rmq can name: its code on
 * the wire, the exit status that a program gives for it, and its text.  Codes on the
 * wire are frozen: add at the end, never renumber.
 */
#ifndef RMQ_CORE_BASE_ERROR_H
#define RMQ_CORE_BASE_ERROR_H

#include <stdint.h>

/*        name           wire exit text */
/* clang-format off */
#define RMQ_ERRORS(X) \
	X(OK,             0,  0, "done") \
	X(NOTHING,        1,  1, "nothing came") \
	X(NOT_EMPTY,      2,  1, "queue holds messages") \
	X(STALE,          3,  1, "receipt is stale") \
	X(USAGE,          4, 64, "usage error") \
	X(BAD_DATA,       5, 65, "bad data") \
	X(TOO_LARGE,      6, 65, "message is too large") \
	X(CORRUPT,        7, 65, "journal is corrupt") \
	X(NO_QUEUE,       8, 66, "no such queue") \
	X(NO_MESSAGE,     9, 66, "no such message") \
	X(NO_DAEMON,     10, 69, "no daemon answers") \
	X(BUG,           11, 70, "internal error") \
	X(EXISTS,        12, 73, "exists already, and differs") \
	X(IO,            13, 74, "input/output error") \
	X(FULL,          14, 75, "queue is full") \
	X(PAUSED,        15, 75, "queue is paused") \
	X(BUSY,          16, 75, "directory is in use") \
	X(TIMEOUT,       17, 75, "no progress in time") \
	X(UNKNOWN_SESSION, 18, 75, "session is unknown, outcome unknown") \
	X(OUT_OF_ORDER,  19, 75, "command is out of order") \
	X(LIMIT,         20, 75, "limit reached") \
	X(VERSION,       21, 76, "unknown protocol or format version") \
	X(PROTOCOL,      22, 76, "protocol violation") \
	X(DENIED,        23, 77, "not allowed") \
	X(CONFIG,        24, 78, "bad configuration") \
	X(JOURNAL_LOST,  25, 74, "journal failed") \
	X(INTERRUPTED,   26, 75, "interrupted") \
	X(DISK_FULL,     27, 75, "disk is full") \
	X(REFUSED,       28,  1, "refused") \
	X(UNMET,         29,  1, "condition is not met") \
	X(UNROUTED,      30, 66, "no queue is bound to the topic") \
	X(NO_BINDING,    31, 66, "queue is not bound to the pattern") \
	X(RESERVED,      32, 64, "name is for ephemeral subscriptions") \
	X(ELSEWHERE,     33, 75, "queue is in another cell")
/* clang-format on */

enum rmq_error {
#define X(name, wire, exit, text) RMQ_E_##name = wire,
	RMQ_ERRORS(X)
#undef X
};

/* The code's exit status; 70 for a code that is not in the table. */
int error_exit(enum rmq_error code);

/* The code's text, a constant string; "unknown error" for one not in the table. */
const char *error_text(enum rmq_error code);

/* Whether a code that came over a wire is in the table. */
int error_known(uint8_t code);

#endif
