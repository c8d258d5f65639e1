/*
 * The opener's end of the journal protocol, rmq-journal(5): a socket, and usually the child
 * process at its other end.  Its user decides what to send, and what answers mean.  Frames that
 * do not fit into the socket wait in a queue; the user bounds it by what it sends.
 */
#ifndef RMQ_SYS_JOURNAL_JOURNAL_LINK_H
#define RMQ_SYS_JOURNAL_JOURNAL_LINK_H

#include <limits.h>
#include <sys/queue.h>
#include <sys/uio.h>
#include <uv.h>

#include "core/wire/journal_wire.h"
#include "sys/process/child.h"
#include "sys/process/reason.h"

struct journal_link_host {
	void *arg;
	/*
	 * A frame of the journal, anything but OPENED, ERROR and PING, which is answered here;
	 * borrowed for the call.  False: it is none that may come now, and the journal is lost.
	 */
	bool (*frame)(void *arg, const struct frame *f);
	/*
	 * The journal is lost for ever: exit status and why (borrowed; NULL: it is a child of
	 * ours and has said it).  Called once; nothing is called after it, and what is sent after
	 * it has no effect.  It may free nothing of the link: journal_link_kill() comes later.
	 */
	void (*lost)(void *arg, int status, const char *why);
	/* A PING came, and was answered: the journal is there.  May be NULL. */
	void (*pinged)(void *arg);
};

/* What OPENED says. */
struct journal_opened_info {
	uint64_t term;
	uint64_t first;
	uint64_t last;
	uint64_t checkpoint;
	uint64_t level; /* of records that may be written; 0: 1 */
	bool reads;	/* it wants to know where the log is read */
	bool mends;	/* it answers BAD, or takes MEND */
	bool ends;	/* it takes ENDED */
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
	int fd;	   /* -1: closed */
	pid_t pid; /* 0: no child of ours */
	uv_poll_t poll;
	bool started;
	bool broken; /* nothing more can be written; what can be read says why */
	bool lost;
	size_t in_len;
	STAILQ_HEAD(, journal_link_chunk) queue;
	uint8_t in[2 * FRAME_PAYLOAD_MAX];
};

/* Runs `rmq-journal VERB [OPTION] DIR` (NULL: none) with `stdin_fd` (-1: ours).  0, else errno. */
int journal_link_run(const char *verb, const char *option, const char *directory, int stdin_fd,
    const struct child_spec *spec, pid_t *pid);

/*
 * Begins with `rmq-journal serve [OPTION] DIR` as a child.  0; else an exit status, and host->lost has
 * been told why.  spec: mask and nofile count.
 */
int journal_link_spawn(struct journal_link *l, const struct journal_link_host *host,
    const char *option, const char *directory, const struct child_spec *spec);

/* Begins with a connected stream socket, which it takes. */
void journal_link_attach(struct journal_link *l, const struct journal_link_host *host, int fd);

/*
 * Sends OPEN, or OPEN_REPLICA if `replica`, and waits for OPENED.  Returns as
 * journal_link_spawn().
 */
int journal_link_open(struct journal_link *l, bool replica, struct journal_opened_info *info);

/*
 * Before journal_link_start(), from time to time: answers PINGs that have come.  Anything else
 * that has come waits until then.
 */
void journal_link_answer(struct journal_link *l);

/*
 * Waits for a frame of this type, which is taken before those that came earlier and wait.  Its payload,
 * of at most *len bytes, is copied.  PINGs are answered meanwhile.  False: `lost` was called.
 */
bool journal_link_await(struct journal_link *l, uint8_t type, uint8_t *payload, size_t *len);

/* From now on the loop serves it.  0, else a libuv error. */
int journal_link_start(struct journal_link *l, uv_loop_t *loop);

/*
 * Sends a frame: `head` is its header and first fields, made without `rest`, which follows;
 * its length is put right here.  Both are borrowed for the call.
 */
void journal_link_send(
    struct journal_link *l, uint8_t *head, size_t head_len, struct slice rest);

/* Sends frames that are complete, in any pieces; borrowed for the call. */
void journal_link_send_all(struct journal_link *l, const struct iovec *iov, size_t count);

/* Whether everything was handed to the journal's socket. */
bool journal_link_idle(const struct journal_link *l);

/*
 * Closes the socket, which ends the journal, and waits for its child.  The exit status; 0
 * without a child; -1: it has not ended within JOURNAL_LINK_CLOSE_MS, and was killed: its disk
 * hangs.  What still waits in the queue is dropped.
 */
#define JOURNAL_LINK_CLOSE_MS 5000
int journal_link_close(struct journal_link *l);
/* What a status of it that is not 0 means. */
void journal_link_reason(struct reason *why, int status);

/*
 * Kills the child and waits for it; closes the socket.  False: it has not ended, as the kernel
 * waits for its disk, and is left.
 */
bool journal_link_kill(struct journal_link *l);
#define JOURNAL_LINK_LINGERS \
	"the journal was killed and does not end: the kernel waits for its disk"

#endif
