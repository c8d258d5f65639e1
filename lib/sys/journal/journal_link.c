#include "sys/journal/journal_link.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "sys/net/socket.h"

#define PROGRAM	   "rmq-journal"
#define WRITEV_MAX 64

int journal_link_run(const char *verb, const char *option, const char *directory, int stdin_fd,
    const struct child_spec *spec, pid_t *pid)
{
	char path[CHILD_PATH_SIZE], verb_copy[16], option_copy[32], directory_copy[PATH_MAX];
	struct child_spec journal = *spec;

	child_program(path, PROGRAM);
	if (snprintf(verb_copy, sizeof(verb_copy), "%s", verb) >= (int)sizeof(verb_copy) ||
	    snprintf(directory_copy, sizeof(directory_copy), "%s", directory) >=
		(int)sizeof(directory_copy))
		return ENAMETOOLONG;
	/* A directory that begins with '-' is no option. */
	char dashes[] = "--", *argv[6];
	int n = 0;
	argv[n++] = path;
	argv[n++] = verb_copy;
	if (option)
		argv[n++] = option_copy;
	argv[n++] = dashes;
	argv[n++] = directory_copy;
	argv[n] = NULL;
	snprintf(option_copy, sizeof(option_copy), "%s", option ? option : "");
	journal.argv = argv;
	journal.stdin_fd = stdin_fd;
	journal.servant = true;
	return child_spawn(&journal, pid);
}

/* ---- the end ---- */

static void lose(struct journal_link *l, int status, const char *why)
{
	if (l->lost)
		return;
	l->lost = true;
	if (l->started)
		uv_poll_stop(&l->poll);
	l->host.lost(l->host.arg, status, why);
}

static void lose_bad_frame(struct journal_link *l)
{
	lose(l, error_exit(RMQ_E_PROTOCOL), "bad frame from the journal");
}

/* The statuses that a journal's end passes on; any other end is an I/O error. */
static int status_of(int status)
{
	switch (status) {
	case 65:
	case 74:
	case 75:
	case 76:
	case 77:
	case 78:
		return status;
	}
	return error_exit(RMQ_E_JOURNAL_LOST);
}

static void lose_by_error(struct journal_link *l, struct slice payload)
{
	struct journal_error m;
	char text[TEXT_MAX + 1];

	if (!journal_error_decode(payload, &m)) {
		lose_bad_frame(l);
		return;
	}
	memcpy(text, m.text.data, m.text.len);
	text[m.text.len] = '\0';
	lose(l, status_of(error_exit(m.code)), l->pid > 0 ? NULL : text);
}

static void lose_at_end(struct journal_link *l)
{
	char text[64];

	if (l->pid <= 0) {
		lose(l, error_exit(RMQ_E_JOURNAL_LOST), "the journal closed its end");
		return;
	}
	int status = child_wait(l->pid);
	l->pid = 0;
	if (status > 0 && status_of(status) == status) {
		lose(l, status, NULL);
		return;
	}
	if (status > 128)
		snprintf(text, sizeof(text), "journal was killed by signal %d", status - 128);
	else
		snprintf(text, sizeof(text), "journal ended with status %d", status);
	lose(l, status_of(status), text);
}

/* ---- input ---- */

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

static void answer_ping(struct journal_link *l, struct slice payload)
{
	uint8_t frame[FRAME_HEADER_SIZE + 8];
	struct writer w = writer_of(frame, sizeof(frame));
	struct journal_ping m;

	if (!journal_ping_decode(payload, &m)) {
		lose_bad_frame(l);
		return;
	}
	journal_put_pong(&w, &(struct journal_pong){m.id});
	journal_link_send(l, frame, w.len, slice_of(NULL, 0));
	if (l->host.pinged)
		l->host.pinged(l->host.arg);
}

/* What is in the buffer. */
static void take_frames(struct journal_link *l)
{
	size_t at = 0, used;
	struct frame f;

	do {
		if (next_frame(l, at, &f, &used)) {
			lose_bad_frame(l);
		} else if (used > 0) {
			at += used;
			if (f.type == JOURNAL_TYPE_ERROR)
				lose_by_error(l, f.payload);
			else if (f.type == JOURNAL_TYPE_PING)
				answer_ping(l, f.payload);
			else if (!l->host.frame(l->host.arg, &f))
				lose_bad_frame(l);
		}
	} while (used > 0 && !l->lost);
	keep_rest(l, at);
}

static void read_frames(struct journal_link *l)
{
	ssize_t n = read(l->fd, l->in + l->in_len, sizeof(l->in) - l->in_len);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		lose_at_end(l);
		return;
	}
	l->in_len += (size_t)n;
	take_frames(l);
}

/* ---- output ---- */

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
	if (!l->started || l->lost)
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
	 * before it died is read first, and only after that its end.
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
		lose(l, error_exit(RMQ_E_JOURNAL_LOST), "out of memory");
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
static void send_some(struct journal_link *l, const struct iovec *iov, int count)
{
	size_t len = 0, written = 0;

	if (l->broken || l->lost)
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

void journal_link_send_all(struct journal_link *l, const struct iovec *iov, size_t count)
{
	for (size_t at = 0; at < count; at += IOV_MAX)
		send_some(l, iov + at, count - at < IOV_MAX ? (int)(count - at) : IOV_MAX);
}

void journal_link_send(
    struct journal_link *l, uint8_t *head, size_t head_len, struct slice rest)
{
	store_u32(head, (uint32_t)(head_len - FRAME_HEADER_SIZE + rest.len));
	struct iovec iov[2] = {{head, head_len}, {(void *)(uintptr_t)rest.data, rest.len}};
	send_some(l, iov, rest.len > 0 ? 2 : 1);
}

bool journal_link_idle(const struct journal_link *l)
{
	return STAILQ_EMPTY(&l->queue);
}

/* ---- life ---- */

/* Waits for the first frame.  False once `lost` was called. */
static bool wait_frame(struct journal_link *l, struct frame *f, size_t *used)
{
	while (!next_frame(l, 0, f, used)) {
		if (*used > 0)
			return true;
		ssize_t n = read(l->fd, l->in + l->in_len, sizeof(l->in) - l->in_len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			lose_at_end(l);
			return false;
		}
		l->in_len += (size_t)n;
	}
	lose_bad_frame(l);
	return false;
}

int journal_link_open(struct journal_link *l, bool replica, struct journal_opened_info *info)
{
	uint8_t open[64], tags[12];
	struct writer w = writer_of(open, sizeof(open)), t = writer_of(tags, sizeof(tags));
	struct journal_opened m;
	struct frame f;
	size_t used;

	tags_put(&t, replica ? JOURNAL_TAG_FITS : JOURNAL_TAG_ANSWERS, slice_of(NULL, 0));
	if (!replica) {
		tags_put(&t, JOURNAL_TAG_WANTED, slice_of(NULL, 0));
		tags_put(&t, JOURNAL_TAG_LEVEL, slice_of(NULL, 0));
	}
	if (replica)
		journal_put_open_replica(&w, &(struct journal_open_replica){
						 JOURNAL_OPEN_VERSIONS, slice_of(tags, t.len)});
	else
		journal_put_open(&w,
		    &(struct journal_open){JOURNAL_OPEN_VERSIONS, 0, slice_of(tags, t.len)});
	journal_link_send(l, open, w.len, slice_of(NULL, 0));
	if (!wait_frame(l, &f, &used))
		return error_exit(RMQ_E_JOURNAL_LOST);
	if (f.type == JOURNAL_TYPE_ERROR) {
		lose_by_error(l, f.payload);
		return error_exit(RMQ_E_JOURNAL_LOST);
	}
	if (f.type != JOURNAL_TYPE_OPENED || !journal_opened_decode(f.payload, &m) ||
	    m.version < JOURNAL_OLDEST || m.version > JOURNAL_VERSION ||
	    m.directory.len >= sizeof(info->directory)) {
		lose(l, error_exit(RMQ_E_VERSION),
		    "the journal does not speak this version of its protocol");
		return error_exit(RMQ_E_VERSION);
	}
	*info = (struct journal_opened_info){.term = m.term,
	    .first = m.first,
	    .last = m.last,
	    .checkpoint = m.checkpoint,
	    .level = tags_find_u64(m.tags, JOURNAL_TAG_OPENED_LEVEL),
	    .reads = m.features & JOURNAL_FEATURE_READS,
	    .mends = m.features & JOURNAL_FEATURE_MENDS,
	    .ends = m.features & JOURNAL_FEATURE_ENDS};
	memcpy(info->directory, m.directory.data, m.directory.len);
	keep_rest(l, used);
	return 0;
}

void journal_link_attach(struct journal_link *l, const struct journal_link_host *host, int fd)
{
	*l = (struct journal_link){.host = *host, .fd = fd};
	STAILQ_INIT(&l->queue);
	/* Until the loop serves it. */
	if (fd >= 0)
		(void)fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK);
}

int journal_link_spawn(struct journal_link *l, const struct journal_link_host *host,
    const char *option, const char *directory, const struct child_spec *spec)
{
	char text[128];
	int pair[2];

	journal_link_attach(l, host, -1);
	int err = socket_wide_pair(pair);
	if (err) {
		lose(l, error_exit(RMQ_E_JOURNAL_LOST), strerror(err));
		return error_exit(RMQ_E_JOURNAL_LOST);
	}
	err = journal_link_run("serve", option, directory, pair[1], spec, &l->pid);
	close(pair[1]);
	l->fd = pair[0];
	if (err) {
		snprintf(text, sizeof(text), "cannot run " PROGRAM ": %s", strerror(err));
		lose(l, error_exit(RMQ_E_JOURNAL_LOST), text);
		return error_exit(RMQ_E_JOURNAL_LOST);
	}
	return 0;
}

static void cut_out(struct journal_link *l, size_t at, size_t used)
{
	l->in_len -= used;
	memmove(l->in + at, l->in + at + used, l->in_len - at);
}

/*
 * Answers the PINGs in the buffer, and takes the first frame of `type` (0: none) out of it, whose
 * payload of at most *len bytes is copied.  The others stay.
 */
static bool look_for(struct journal_link *l, uint8_t type, uint8_t *payload, size_t *len)
{
	size_t at = 0, used;
	struct frame f;

	while (!l->lost && !next_frame(l, at, &f, &used) && used > 0) {
		if (f.type == JOURNAL_TYPE_PING) {
			answer_ping(l, f.payload);
			cut_out(l, at, used);
		} else if (f.type == type && f.payload.len <= *len) {
			*len = f.payload.len;
			memcpy(payload, f.payload.data, *len);
			cut_out(l, at, used);
			return true;
		} else {
			at += used;
		}
	}
	return false;
}

static ssize_t read_now(struct journal_link *l)
{
	return recv(l->fd, l->in + l->in_len, sizeof(l->in) - l->in_len, MSG_DONTWAIT);
}

void journal_link_answer(struct journal_link *l)
{
	size_t none = 0;
	ssize_t n = read_now(l);

	if (n > 0)
		l->in_len += (size_t)n;
	(void)look_for(l, 0, NULL, &none);
}

bool journal_link_await(struct journal_link *l, uint8_t type, uint8_t *payload, size_t *len)
{
	while (!look_for(l, type, payload, len) && !l->lost) {
		bool waiting = !l->broken && !STAILQ_EMPTY(&l->queue);
		struct pollfd p = {
		    .fd = l->fd, .events = (short)(POLLIN | (waiting ? POLLOUT : 0))};
		(void)poll(&p, 1, -1);
		if (p.revents & POLLOUT)
			write_queue(l);
		/* So much is not answered to who waits. */
		if (l->in_len == sizeof(l->in)) {
			lose_bad_frame(l);
			break;
		}
		ssize_t n = read_now(l);
		if (n > 0)
			l->in_len += (size_t)n;
		else if (n == 0 || (errno != EAGAIN && errno != EINTR))
			lose_at_end(l);
	}
	return !l->lost;
}

int journal_link_start(struct journal_link *l, uv_loop_t *loop)
{
	int err = uv_poll_init(loop, &l->poll, l->fd); /* makes it non-blocking */
	if (err)
		return err;
	l->poll.data = l;
	l->started = true;
	watch(l);
	/* What came together with OPENED. */
	take_frames(l);
	return 0;
}

static void close_socket(struct journal_link *l)
{
	struct journal_link_chunk *c;

	if (l->started)
		uv_poll_stop(&l->poll);
	l->started = false;
	if (l->fd >= 0)
		close(l->fd);
	l->fd = -1;
	l->broken = true;
	while ((c = STAILQ_FIRST(&l->queue)) != NULL) {
		STAILQ_REMOVE_HEAD(&l->queue, entry);
		free(c);
	}
}

int journal_link_close(struct journal_link *l)
{
	close_socket(l);
	int status = l->pid > 0 ? child_wait_for(l->pid, JOURNAL_LINK_CLOSE_MS) : 0;
	if (status < 0)
		(void)child_kill(l->pid, CHILD_KILL_MS);
	l->pid = 0;
	return status;
}

void journal_link_reason(struct reason *why, int status)
{
	if (status < 0)
		(void)reason_set(why, RMQ_E_JOURNAL_LOST,
		    "the disk hangs: the journal has not ended within %d s and was killed",
		    JOURNAL_LINK_CLOSE_MS / 1000);
	else
		(void)reason_set(
		    why, RMQ_E_JOURNAL_LOST, "journal ended with status %d", status);
}

bool journal_link_kill(struct journal_link *l)
{
	bool ended = l->pid <= 0 || child_kill(l->pid, CHILD_KILL_MS) >= 0;

	l->pid = 0;
	close_socket(l);
	return ended;
}
