/*
 * The journal: a child process that speaks the journal protocol over its descriptor 0.
 * What does not fit into the socket waits in a queue; the server bounds it by what it
 * lets in.
 */
#ifndef RMQ_QUEUED_JOURNAL_LINK_H
#define RMQ_QUEUED_JOURNAL_LINK_H

#include <limits.h>
#include <sys/queue.h>
#include <uv.h>

#include "child.h"
#include "core/journal_wire.h"
#include "core/record.h"

struct journal_link_host {
	void *arg;
	void (*stored)(void *arg, const struct journal_stored *m);
	void (*barrier_done)(void *arg, const struct journal_barrier_done *m);
	void (*room)(void *arg, const struct journal_room *m);
	/* The journal is lost for ever: exit status and why (borrowed). */
	void (*lost)(void *arg, int status, const char *why);
};

/* What OPENED says. */
struct journal_opened_info {
	uint64_t term;
	uint64_t first;
	uint64_t last;
	uint64_t checkpoint;
	char directory[PATH_MAX];
};

struct journal_link_chunk {
	STAILQ_ENTRY(journal_link_chunk) entry;
	size_t at;
	size_t len;
	uint8_t data[];
};

struct journal_link {
	struct journal_link_host host;
	int fd;
	pid_t pid;
	uv_poll_t poll;
	bool started;
	bool broken; /* nothing more can be written; what can be read says why */
	size_t in_len;
	STAILQ_HEAD(, journal_link_chunk) queue;
	uint8_t in[2 * FRAME_PAYLOAD_MAX];
};

/*
 * Runs `rmq-journal VERB DIR` (found beside this program, else in PATH) with `stdin_fd`
 * (-1: ours).  0, else errno.
 */
int journal_link_run(const char *verb, const char *directory, int stdin_fd,
    const struct child_spec *spec, pid_t *pid);

/*
 * Starts the journal of a directory and waits until it has opened it.  0; else an exit
 * status, and host->lost has been told why.
 */
int journal_link_open(struct journal_link *l, const struct journal_link_host *host,
    const char *directory, const struct child_spec *spec, struct journal_opened_info *info);

/* From now on the loop serves it.  0, else a libuv error. */
int journal_link_start(struct journal_link *l, uv_loop_t *loop);

void journal_link_append(
    struct journal_link *l, uint64_t n, enum record_kind kind, struct slice payload);
void journal_link_barrier(struct journal_link *l, uint64_t id);
void journal_link_hole(struct journal_link *l, uint64_t checkpoint, struct slice ranges);

/* Whether everything was handed to the journal's socket. */
bool journal_link_idle(const struct journal_link *l);

/* Closes the socket, which ends the journal, and waits for it.  Its exit status. */
int journal_link_close(struct journal_link *l);

/* Kills it and waits. */
void journal_link_kill(struct journal_link *l);

#endif
