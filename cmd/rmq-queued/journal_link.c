#include "journal_link.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#define PROGRAM	   "rmq-journal"
#define WRITEV_MAX 64

int journal_link_run(const char *verb, const char *directory, int stdin_fd,
    const struct child_spec *spec, pid_t *pid)
{
	char path[PATH_MAX + sizeof(PROGRAM)];
	struct child_spec journal = *spec;
	ssize_t len = readlink("/proc/self/exe", path, PATH_MAX);
	char *slash = len > 0 ? memrchr(path, '/', (size_t)len) : NULL;

	if (slash)
		memcpy(slash + 1, PROGRAM, sizeof(PROGRAM));
	if (!slash || access(path, X_OK) != 0)
		memcpy(path, PROGRAM, sizeof(PROGRAM));
	char verb_copy[16], directory_copy[PATH_MAX];
	if (snprintf(verb_copy, sizeof(verb_copy), "%s", verb) >= (int)sizeof(verb_copy) ||
	    snprintf(directory_copy, sizeof(directory_copy), "%s", directory) >=
		(int)sizeof(directory_copy))
		return ENAMETOOLONG;
	/* A directory that begins with '-' is no option. */
	char dashes[] = "--";
	char *argv[] = {path, verb_copy, dashes, directory_copy, NULL};
	journal.argv = argv;
	journal.stdin_fd = stdin_fd;
	journal.servant = true;
	return child_spawn(&journal, pid);
}

/* The statuses that a journal's end passes on; any other end is an I/O error. */
static int status_of(int status)
{
	switch (status) {
	case 65:
	case 74:
	case 75:
	case 76:
	case 78:
		return status;
	}
	return error_exit(RMQ_E_JOURNAL_LOST);
}

static void lost_error(struct journal_link *l, struct slice payload)
{
	struct journal_error m;
	char text[TEXT_MAX + 1];

	if (!journal_error_decode(payload, &m)) {
		l->host.lost(
		    l->host.arg, error_exit(RMQ_E_PROTOCOL), "bad frame from the journal");
		return;
	}
	memcpy(text, m.text.data, m.text.len);
	text[m.text.len] = '\0';
	l->host.lost(l->host.arg, status_of(error_exit(m.code)), text);
}

static void lost_end(struct journal_link *l)
{
	char text[64];
	int status = child_wait(l->pid);

	l->pid = 0;
	if (status > 128)
		snprintf(text, sizeof(text), "journal was killed by signal %d", status - 128);
	else
		snprintf(text, sizeof(text), "journal ended with status %d", status);
	l->host.lost(l->host.arg, status_of(status), text);
}

/* False: it is no frame that the journal may send now. */
static bool dispatch(struct journal_link *l, const struct frame *f)
{
	struct journal_stored stored;
	struct journal_barrier_done done;
	struct journal_room room;
	struct journal_holed holed;

	switch (f->type) {
	case JOURNAL_TYPE_STORED:
		if (!journal_stored_decode(f->payload, &stored))
			return false;
		l->host.stored(l->host.arg, &stored);
		return true;
	case JOURNAL_TYPE_BARRIER_DONE:
		if (!journal_barrier_done_decode(f->payload, &done))
			return false;
		l->host.barrier_done(l->host.arg, &done);
		return true;
	case JOURNAL_TYPE_ROOM:
		if (!journal_room_decode(f->payload, &room))
			return false;
		l->host.room(l->host.arg, &room);
		return true;
	case JOURNAL_TYPE_HOLED:
		return journal_holed_decode(f->payload, &holed);
	case JOURNAL_TYPE_ERROR:
		lost_error(l, f->payload);
		return true;
	}
	return false;
}

/* Takes one frame from the buffer's start, if a whole one is there. */
static enum rmq_error next_frame(
    struct journal_link *l, size_t at, struct frame *f, size_t *used)
{
	return frame_parse(slice_of(l->in + at, l->in_len - at), f, used);
}

static void keep_rest(struct journal_link *l, size_t at)
{
	l->in_len -= at;
	memmove(l->in, l->in + at, l->in_len);
}

static void read_frames(struct journal_link *l)
{
	ssize_t n = read(l->fd, l->in + l->in_len, sizeof(l->in) - l->in_len);
	size_t at = 0, used;
	struct frame f;

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		lost_end(l);
		return;
	}
	l->in_len += (size_t)n;
	do {
		enum rmq_error err = next_frame(l, at, &f, &used);
		if (err || (used > 0 && !dispatch(l, &f))) {
			l->host.lost(l->host.arg, error_exit(RMQ_E_PROTOCOL),
			    "bad frame from the journal");
			return;
		}
		at += used;
	} while (used > 0);
	keep_rest(l, at);
}

static void watch(struct journal_link *l);

static void on_poll(uv_poll_t *poll, int status, int events);

/* Takes `n` written bytes off the queue. */
static void queue_drop(struct journal_link *l, size_t n)
{
	struct journal_link_chunk *c;

	while ((c = STAILQ_FIRST(&l->queue)) != NULL && n >= c->len - c->at) {
		n -= c->len - c->at;
		STAILQ_REMOVE_HEAD(&l->queue, entry);
		free(c);
	}
	if (c)
		c->at += n;
}

static void write_queue(struct journal_link *l)
{
	struct iovec iov[WRITEV_MAX];
	struct journal_link_chunk *c;
	int count = 0;

	STAILQ_FOREACH (c, &l->queue, entry) {
		if (count == WRITEV_MAX)
			break;
		iov[count++] = (struct iovec){c->data + c->at, c->len - c->at};
	}
	if (count == 0)
		return;
	ssize_t n = writev(l->fd, iov, count);
	if (n >= 0)
		queue_drop(l, (size_t)n);
	else if (errno != EAGAIN && errno != EINTR)
		l->broken = true;
}

/* Asks for what can be done: reading always, writing while something waits. */
static void watch(struct journal_link *l)
{
	if (!l->started)
		return;
	bool waiting = !l->broken && !STAILQ_EMPTY(&l->queue);
	int err = uv_poll_start(&l->poll, UV_READABLE | (waiting ? UV_WRITABLE : 0), on_poll);
	assert(err == 0);
	(void)err;
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
	struct journal_link *l = poll->data;

	if (events & UV_WRITABLE) {
		write_queue(l);
		if (l->broken || STAILQ_EMPTY(&l->queue))
			watch(l);
	}
	if (status < 0 || (events & (UV_READABLE | UV_DISCONNECT)))
		read_frames(l);
	/*
	 * An error is pending and libuv has stopped watching; but what the journal answered
	 * before it died is read first, and only behind that its end.
	 */
	if (status < 0)
		watch(l);
}

static void queue_push(struct journal_link *l, const struct iovec *iov, int count, size_t skip)
{
	size_t len = 0;
	for (int i = 0; i < count; i++)
		len += iov[i].iov_len;
	struct journal_link_chunk *c = malloc(sizeof(*c) + len - skip);
	if (!c) {
		l->host.lost(l->host.arg, error_exit(RMQ_E_JOURNAL_LOST), "out of memory");
		return;
	}
	*c = (struct journal_link_chunk){.len = len - skip};
	uint8_t *to = c->data;
	for (int i = 0; i < count; i++) {
		size_t off = skip < iov[i].iov_len ? skip : iov[i].iov_len;
		size_t n = iov[i].iov_len - off;
		if (n > 0)
			memcpy(to, (const uint8_t *)iov[i].iov_base + off, n);
		to += n;
		skip -= off;
	}
	bool was_empty = STAILQ_EMPTY(&l->queue);
	STAILQ_INSERT_TAIL(&l->queue, c, entry);
	if (was_empty)
		watch(l);
}

/* Writes at once what fits, and queues the rest. */
static void send_all(struct journal_link *l, const struct iovec *iov, int count)
{
	size_t len = 0, written = 0;

	if (l->broken)
		return;
	for (int i = 0; i < count; i++)
		len += iov[i].iov_len;
	if (STAILQ_EMPTY(&l->queue)) {
		ssize_t n = writev(l->fd, iov, count);
		if (n < 0 && errno != EAGAIN && errno != EINTR) {
			l->broken = true;
			return;
		}
		written = n > 0 ? (size_t)n : 0;
	}
	if (written < len)
		queue_push(l, iov, count, written);
}

static void send_frame(
    struct journal_link *l, uint8_t *head, size_t head_len, struct slice rest)
{
	/* The head was made without the rest, which its length counts. */
	store_u32(head, (uint32_t)(head_len - FRAME_HEADER_SIZE + rest.len));
	struct iovec iov[2] = {{head, head_len}, {(void *)(uintptr_t)rest.data, rest.len}};
	send_all(l, iov, rest.len > 0 ? 2 : 1);
}

void journal_link_append(
    struct journal_link *l, uint64_t n, enum record_kind kind, struct slice payload)
{
	uint8_t head[JOURNAL_APPEND_HEAD];
	struct writer w = writer_of(head, sizeof(head));

	journal_put_append(&w, &(struct journal_append){n, (uint8_t)kind, {0}});
	assert(!w.full && w.len == sizeof(head) && payload.len <= RECORD_PAYLOAD_MAX);
	send_frame(l, head, w.len, payload);
}

void journal_link_barrier(struct journal_link *l, uint64_t id)
{
	uint8_t head[FRAME_HEADER_SIZE + 8];
	struct writer w = writer_of(head, sizeof(head));

	journal_put_barrier(&w, &(struct journal_barrier){id});
	send_frame(l, head, w.len, slice_of(NULL, 0));
}

void journal_link_hole(struct journal_link *l, uint64_t checkpoint, struct slice ranges)
{
	const size_t most = (FRAME_PAYLOAD_MAX - 8) / HOLE_RANGE_SIZE * HOLE_RANGE_SIZE;

	while (ranges.len > 0) {
		uint8_t head[FRAME_HEADER_SIZE + 8];
		struct writer w = writer_of(head, sizeof(head));
		size_t len = ranges.len < most ? ranges.len : most;

		journal_put_hole(&w, &(struct journal_hole){checkpoint, {0}});
		send_frame(l, head, w.len, slice_of(ranges.data, len));
		ranges = slice_of(ranges.data + len, ranges.len - len);
	}
}

/* Waits for OPENED.  0, or an exit status once `lost` was called. */
static int wait_opened(struct journal_link *l, struct journal_opened_info *info)
{
	struct journal_opened m;
	struct frame f;
	size_t used = 0;

	while (used == 0) {
		ssize_t n = read(l->fd, l->in + l->in_len, sizeof(l->in) - l->in_len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			lost_end(l);
			return error_exit(RMQ_E_JOURNAL_LOST);
		}
		l->in_len += (size_t)n;
		if (next_frame(l, 0, &f, &used))
			break;
	}
	if (used > 0 && f.type == JOURNAL_TYPE_ERROR) {
		lost_error(l, f.payload);
		return error_exit(RMQ_E_JOURNAL_LOST);
	}
	if (used == 0 || f.type != JOURNAL_TYPE_OPENED ||
	    !journal_opened_decode(f.payload, &m) || m.version != JOURNAL_VERSION ||
	    m.directory.len >= sizeof(info->directory)) {
		l->host.lost(l->host.arg, error_exit(RMQ_E_VERSION),
		    "the journal does not speak this version of its protocol");
		return error_exit(RMQ_E_VERSION);
	}
	*info = (struct journal_opened_info){
	    .term = m.term, .first = m.first, .last = m.last, .checkpoint = m.checkpoint};
	memcpy(info->directory, m.directory.data, m.directory.len);
	keep_rest(l, used);
	return 0;
}

int journal_link_open(struct journal_link *l, const struct journal_link_host *host,
    const char *directory, const struct child_spec *spec, struct journal_opened_info *info)
{
	uint8_t open[64];
	struct writer w = writer_of(open, sizeof(open));
	int pair[2];

	*l = (struct journal_link){.host = *host, .fd = -1};
	STAILQ_INIT(&l->queue);
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0) {
		host->lost(host->arg, error_exit(RMQ_E_JOURNAL_LOST), strerror(errno));
		return error_exit(RMQ_E_JOURNAL_LOST);
	}
	int err = journal_link_run("serve", directory, pair[1], spec, &l->pid);
	close(pair[1]);
	l->fd = pair[0];
	if (err) {
		char text[128];
		snprintf(text, sizeof(text), "cannot run " PROGRAM ": %s", strerror(err));
		host->lost(host->arg, error_exit(RMQ_E_JOURNAL_LOST), text);
		return error_exit(RMQ_E_JOURNAL_LOST);
	}
	journal_put_open(&w, &(struct journal_open){JOURNAL_MAGIC, JOURNAL_VERSION, 0});
	send_all(l, &(struct iovec){open, w.len}, 1);
	return wait_opened(l, info);
}

int journal_link_start(struct journal_link *l, uv_loop_t *loop)
{
	int err = uv_poll_init(loop, &l->poll, l->fd); /* makes it non-blocking */
	if (err)
		return err;
	l->poll.data = l;
	l->started = true;
	watch(l);
	return 0;
}

bool journal_link_idle(const struct journal_link *l)
{
	return STAILQ_EMPTY(&l->queue);
}

int journal_link_close(struct journal_link *l)
{
	if (l->started)
		uv_poll_stop(&l->poll);
	close(l->fd);
	l->fd = -1;
	int status = child_wait(l->pid);
	l->pid = 0;
	return status;
}

void journal_link_kill(struct journal_link *l)
{
	if (l->pid <= 0)
		return;
	kill(l->pid, SIGKILL);
	(void)child_wait(l->pid);
	l->pid = 0;
}
