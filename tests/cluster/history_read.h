/*
 * A history: what clients asked, when, and what they were told; a line each,
 *
 *	CLIENT NUMBER CALL RETURN VERB QUEUE ARGUMENT... = RESULT...
 *
 * CLIENT is one session, NUMBER counts its lines, times are microseconds of one clock.  An
 * operation that has not returned has the RETURN "-" and the result "unknown": it may have been
 * carried out at any time from its call on, or never.  A later line of the same CLIENT and
 * NUMBER takes its place.  A last line that is cut was not written.  Lines that begin with '#'
 * are comments.  A message is known by its TOKEN, "NAME:N", which is its body.
 *
 *	create Q ATTEMPTS = done	so many failures make a dead letter; 0: none do
 *	send Q COUNT TOKEN = FIRST	tokens N, N + 1, ... are FIRST, FIRST + 1, ...
 *	deliver Q SEQ LEASE ATTEMPT FAILURES TOKEN = done
 *					CALL is when it was asked for
 *	hold Q SEQ LEASE UNTIL = done	the client trusts in this lease until then
 *	ended Q SEQ LEASE = done	the client holds that this lease has run out
 *	settle Q SEQ LEASE = done	or stale
 *	dead Q SEQ LEASE = done		or stale
 *	release Q SEQ LEASE MS = done	or stale; ready again after MS
 *	fail Q SEQ LEASE MS = done	or stale; the same, and counted
 *	touch Q SEQ LEASE MS = done	or stale; it runs for MS from now
 *	peek Q FROM NEXT = ROW...	SEQ:STATE:LEASE:TOKEN; of all states from FROM on up to
 *					NEXT, which is "-" for the end
 *	list Q = READY LEASED DELAYED NEXT_SEQ
 *	bye Q = done			the client has given back all that it held
 *	alive Q = done
 *
 * "refused" stands for an operation that was not carried out.  Each process has a file of its
 * own: it was alive up to the newest time in it.
 */
#ifndef TESTS_CLUSTER_HISTORY_READ_H
#define TESTS_CLUSTER_HISTORY_READ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NEVER UINT64_MAX /* has not returned; also a NEXT that is the end */
#define NONE  UINT32_MAX

/* Name, its word, how many numbers are among its arguments, whether a token is. */
#define VERBS(X) \
	X(CREATE, "create", 1, false) \
	X(SEND, "send", 1, true) \
	X(DELIVER, "deliver", 4, true) \
	X(HOLD, "hold", 3, false) \
	X(ENDED, "ended", 2, false) \
	X(SETTLE, "settle", 2, false) \
	X(DEAD, "dead", 2, false) \
	X(RELEASE, "release", 3, false) \
	X(FAIL, "fail", 3, false) \
	X(TOUCH, "touch", 3, false) \
	X(PEEK, "peek", 2, false) \
	X(LIST, "list", 0, false) \
	X(BYE, "bye", 0, false) \
	X(ALIVE, "alive", 0, false)

enum verb {
#define X(name, word, numbers, token) name,
	VERBS(X)
#undef X
};

enum outcome { UNKNOWN, DONE, STALE, REFUSED };
enum state { READY, LEASED, DELAYED };

/* Where an argument or a result stands. */
enum { ATTEMPTS = 0, COUNT = 0, FIRST = 0, FROM = 0, NEXT = 1, NEXT_SEQ = 3 };
enum { SEQ = 0, LEASE = 1, ATTEMPT = 2, UNTIL = 2, MS = 2, FAILURES = 3 };

struct op {
	enum verb verb;
	enum outcome outcome;
	uint32_t file;
	uint32_t line;
	uint32_t client; /* a name */
	uint32_t queue;	 /* a name */
	uint64_t number;
	uint64_t call;
	uint64_t ret;
	uint64_t arg[4];
	uint64_t got[4]; /* LIST, SEND */
	uint64_t token;
	size_t row; /* PEEK: the first of its rows */
	size_t rows;
};

/* A message, as a PEEK showed it. */
struct row {
	uint64_t seq;
	enum state state;
	uint64_t lease;
	uint64_t token;
};

struct file {
	const char *path;
	uint64_t last; /* the newest time in it */
};

struct history {
	struct op *ops;
	size_t ops_len, ops_cap;
	struct row *rows;
	size_t rows_len, rows_cap;
	char **names;
	size_t names_len, names_cap;
	struct file *files;
	size_t files_len, files_cap;
};

/* Room for one more of `size` bytes; ends the process when out of memory. */
void *history_grow(void *p, size_t len, size_t *cap, size_t size);
#define GROW(array) \
	((array) = history_grow((array), array##_len, &array##_cap, sizeof *(array)), \
	    &(array)[array##_len++])

/* A number for each name; the same for the same. */
uint32_t history_name(struct history *h, const char *name);

/* A token is its name's number and its own. */
static inline uint64_t token_of(uint32_t name, uint64_t n)
{
	return (uint64_t)name << 40 | n;
}

/* Reads a file; what is no line of a history ends the process with 65. */
void history_read(struct history *h, const char *path);

/* A table of numbers; NONE: the key has none.  Ends the process when out of memory. */
struct map {
	uint64_t *keys;
	uint32_t *values;
	size_t cap, len;
};
uint32_t map_get(const struct map *m, uint64_t key);
void map_put(struct map *m, uint64_t key, uint32_t value);

#endif
