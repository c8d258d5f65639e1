/*
 * The ceiling: what this machine can do at most in the shape that rmq has, so that
 * rmq's figures can be ratios.  No queue, no checksums, no protocol to speak of:
 *
 *	ceiling pipeline DIR LINES WINDOW < FILE	messages/s
 *	ceiling commit DIR COUNT			ms of one small commit: median, p99
 *	ceiling write DIR MIB				MiB/s of synced sequential writing
 *
 * pipeline: a line splitter, a pass-through and a group-committing LMDB writer, three
 * processes joined by Unix socketpairs, with acknowledgements all the way back.  At
 * most WINDOW batches are unacknowledged; each is durable before it is acknowledged.
 * LMDB in its default sync mode, values of at most 65520 bytes, at most 4 MiB in a
 * commit, into a data file that is written with zeros beforehand.
 *
 * write: 1 MiB and fdatasync, again and again, over a file that is written with zeros
 * beforehand: what the disk itself does with a log.
 */
#include "core/base/codec.h"

#include <assert.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <lmdb.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define VALUE_MAX  65520
#define COMMIT_MAX (4u << 20)
#define MAP_SIZE   (1ull << 40)
#define INPUT_SIZE (1u << 20)
#define RING_SIZE  (4u << 20)
#define LINES_MAX  4096

/* In front of each batch on the socketpairs. */
#define HEAD_SIZE 8

static double now_s(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void check(int rc, const char *what)
{
	if (rc != MDB_SUCCESS)
		errx(74, "%s: %s", what, mdb_strerror(rc));
}

static MDB_env *env_open(const char *dir, MDB_dbi *dbi)
{
	MDB_env *env;
	MDB_txn *txn;
	check(mdb_env_create(&env), "mdb_env_create");
	check(mdb_env_set_mapsize(env, MAP_SIZE), "mdb_env_set_mapsize");
	check(mdb_env_open(env, dir, 0, 0600), dir);
	check(mdb_txn_begin(env, NULL, 0, &txn), "mdb_txn_begin");
	check(mdb_dbi_open(txn, NULL, MDB_INTEGERKEY, dbi), "mdb_dbi_open");
	check(mdb_txn_commit(txn), "mdb_txn_commit");
	return env;
}

static void fill(const char *dir, uint64_t bytes)
{
	static const uint8_t zeros[1u << 20];
	char path[4096];
	struct stat st;
	if ((size_t)snprintf(path, sizeof path, "%s/data.mdb", dir) >= sizeof path)
		errx(64, "%s: name is too long", dir);
	int fd = open(path, O_WRONLY);
	if (fd < 0 || fstat(fd, &st) < 0)
		err(74, "%s", path);
	for (uint64_t at = (uint64_t)st.st_size; at < bytes; at += sizeof zeros)
		if (pwrite(fd, zeros, sizeof zeros, (off_t)at) != (ssize_t)sizeof zeros)
			err(74, "%s", path);
	if (fsync(fd) < 0)
		err(74, "%s", path);
	close(fd);
}

static void write_all(int fd, struct iovec *iov, int n)
{
	while (n > 0) {
		ssize_t done = writev(fd, iov, n);
		if (done < 0)
			err(74, "write");
		for (; n > 0 && (size_t)done >= iov->iov_len; iov++, n--)
			done -= (ssize_t)iov->iov_len;
		if (n > 0) {
			iov->iov_base = (uint8_t *)iov->iov_base + done;
			iov->iov_len -= (size_t)done;
		}
	}
}

/* ---- splitter ---- */

struct splitter {
	int fd;
	uint64_t window;
	uint64_t sent;
	uint64_t acked;
	uint32_t count;
	uint8_t ends[2 * LINES_MAX];
};

static void splitter_wait(struct splitter *s, uint64_t open)
{
	while (s->sent - s->acked > open) {
		uint8_t ack[8 * 64];
		ssize_t n = read(s->fd, ack, sizeof ack);
		if (n <= 0)
			errx(74, "the writer is gone");
		/* Each is a count so far; a cut one stays whole by the writer's size. */
		assert(n % 8 == 0);
		s->acked = load_u64(ack + n - 8);
	}
}

static void splitter_send(struct splitter *s, uint8_t *blob, size_t len)
{
	uint8_t head[HEAD_SIZE];
	uint8_t count[4];
	splitter_wait(s, s->window - 1);
	store_u32(head, (uint32_t)(4 + 2 * s->count + len));
	store_u32(head + 4, s->count);
	store_u32(count, s->count);
	struct iovec iov[] = {
	    {head, sizeof head}, {count, sizeof count}, {s->ends, 2 * s->count}, {blob, len}};
	write_all(s->fd, iov, 4);
	s->sent++;
	s->count = 0;
}

/* Splits what stands in [p, end) and gives back how much of it was sent. */
static size_t splitter_split(struct splitter *s, uint8_t *p, const uint8_t *end)
{
	uint8_t *begin = p; /* of the batch */
	uint8_t *from = p;
	uint8_t *line = p;
	for (uint8_t *nl; (nl = memchr(line, '\n', (size_t)(end - line))) != NULL;) {
		size_t len = (size_t)(nl + 1 - begin);
		if (s->count == LINES_MAX || 4 + 2 * (s->count + 1) + len > VALUE_MAX) {
			splitter_send(s, begin, (size_t)(line - begin));
			begin = line;
			len = (size_t)(nl + 1 - begin);
		}
		store_u16(s->ends + 2 * s->count++, (uint16_t)len);
		line = nl + 1;
	}
	/* The rest, if it is not a full batch, is split again with what follows. */
	if (begin == from && s->count > 0) {
		splitter_send(s, begin, (size_t)(line - begin));
		begin = line;
	}
	s->count = 0;
	return (size_t)(begin - from);
}

static void splitter_run(int fd, uint64_t window)
{
	static uint8_t input[INPUT_SIZE];
	struct splitter s = {.fd = fd, .window = window};
	size_t len = 0;
	for (;;) {
		ssize_t n = read(0, input + len, sizeof input - len);
		if (n < 0)
			err(74, "stdin");
		if (n == 0)
			break;
		len += (size_t)n;
		size_t done = splitter_split(&s, input, input + len);
		memmove(input, input + done, len - done);
		len -= done;
	}
	if (len > 0 && splitter_split(&s, input, input + len) != len)
		errx(65, "stdin: bad last line");
	splitter_wait(&s, 0);
	close(fd);
}

/* ---- pass-through ---- */

/* Holds what the writer, busy with a commit, does not take yet. */
struct ring {
	uint64_t head; /* bytes that came in, so far */
	uint64_t tail; /* bytes that went out */
	uint8_t bytes[RING_SIZE];
};

/* The part of the ring from `at` on, `len` bytes long. */
static int ring_iov(struct ring *r, uint64_t at, size_t len, struct iovec iov[2])
{
	size_t begin = at % RING_SIZE;
	size_t first = len < RING_SIZE - begin ? len : RING_SIZE - begin;
	iov[0] = (struct iovec){r->bytes + begin, first};
	iov[1] = (struct iovec){r->bytes, len - first};
	return 2;
}

static bool pass_in(struct ring *r, int fd)
{
	struct iovec iov[2];
	size_t room = RING_SIZE - (size_t)(r->head - r->tail);
	ssize_t n = readv(fd, iov, ring_iov(r, r->head, room, iov));
	if (n > 0)
		r->head += (uint64_t)n;
	return n > 0;
}

static void pass_out(struct ring *r, int fd)
{
	struct iovec iov[2];
	struct msghdr m = {.msg_iov = iov};
	m.msg_iovlen = (size_t)ring_iov(r, r->tail, (size_t)(r->head - r->tail), iov);
	ssize_t n = sendmsg(fd, &m, MSG_DONTWAIT);
	if (n < 0 && errno != EAGAIN)
		err(74, "sendmsg");
	if (n > 0)
		r->tail += (uint64_t)n;
}

static bool pass_back(int from, int to)
{
	uint8_t acks[512];
	ssize_t n = read(from, acks, sizeof acks);
	if (n <= 0)
		return false;
	struct iovec iov = {acks, (size_t)n};
	write_all(to, &iov, 1);
	return true;
}

static void pass_run(int up, int down)
{
	static struct ring ring;
	bool ended = false;
	while (!ended || ring.head != ring.tail) {
		bool full = ring.head - ring.tail == RING_SIZE;
		struct pollfd fds[] = {{ended || full ? -1 : up, POLLIN, 0}, {down, POLLIN, 0}};
		if (ring.head != ring.tail)
			fds[1].events |= POLLOUT;
		if (poll(fds, 2, -1) < 0)
			err(74, "poll");
		if (fds[0].revents)
			ended = !pass_in(&ring, up);
		if (ring.head != ring.tail)
			pass_out(&ring, down);
		if ((fds[1].revents & ~POLLOUT) && !pass_back(down, up))
			errx(74, "the writer is gone");
	}
}

/* ---- writer ---- */

struct writer_state {
	int fd;
	uint8_t head[HEAD_SIZE];
	size_t head_len;
	uint64_t index;
	uint64_t messages;
};

/* Whether the next batch's head is here; only with `wait` it waits for it. */
static bool writer_head(struct writer_state *w, bool wait)
{
	while (w->head_len < HEAD_SIZE) {
		bool block = wait || w->head_len > 0;
		ssize_t n = recv(w->fd, w->head + w->head_len, HEAD_SIZE - w->head_len,
		    block ? 0 : MSG_DONTWAIT);
		if (n < 0 && errno == EAGAIN)
			return false;
		if (n <= 0)
			return false;
		w->head_len += (size_t)n;
	}
	return true;
}

/* Reads a batch into the place that LMDB keeps for it, and the next one's head. */
static size_t writer_put(struct writer_state *w, MDB_txn *txn, MDB_dbi dbi)
{
	uint64_t index = ++w->index;
	MDB_val key = {sizeof index, &index};
	MDB_val value = {load_u32(w->head), NULL};
	check(mdb_put(txn, dbi, &key, &value, MDB_RESERVE | MDB_APPEND), "mdb_put");
	w->messages += load_u32(w->head + 4);
	uint8_t *p = value.mv_data;
	size_t left = value.mv_size;
	w->head_len = 0;
	while (left > 0) {
		struct iovec iov[] = {{p, left}, {w->head, HEAD_SIZE}};
		ssize_t n = readv(w->fd, iov, 2);
		if (n <= 0)
			errx(74, "cut batch");
		size_t body = (size_t)n < left ? (size_t)n : left;
		p += body;
		left -= body;
		w->head_len = (size_t)n - body;
	}
	return value.mv_size;
}

static uint64_t writer_run(int fd, const char *dir)
{
	struct writer_state w = {.fd = fd};
	MDB_dbi dbi;
	MDB_env *env = env_open(dir, &dbi);
	while (writer_head(&w, true)) {
		MDB_txn *txn;
		uint8_t ack[8];
		size_t bytes = 0;
		check(mdb_txn_begin(env, NULL, 0, &txn), "mdb_txn_begin");
		do
			bytes += writer_put(&w, txn, dbi);
		while (bytes + VALUE_MAX <= COMMIT_MAX && writer_head(&w, false));
		check(mdb_txn_commit(txn), "mdb_txn_commit");
		store_u64(ack, w.index);
		struct iovec iov = {ack, sizeof ack};
		write_all(fd, &iov, 1);
	}
	mdb_env_close(env);
	return w.messages;
}

static void wait_for(pid_t pid)
{
	int status;
	if (waitpid(pid, &status, 0) < 0)
		err(74, "waitpid");
	if (status != 0)
		errx(74, "a process of the pipeline failed");
}

static int pipeline(const char *dir, uint64_t lines, uint64_t window)
{
	int a[2], b[2];
	MDB_dbi dbi;
	mdb_env_close(env_open(dir, &dbi));
	fill(dir, lines * 112 + (16u << 20));
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, a) < 0 ||
	    socketpair(AF_UNIX, SOCK_STREAM, 0, b) < 0)
		err(74, "socketpair");
	double begin = now_s();
	pid_t splitter = fork();
	if (splitter == 0) {
		close(a[1]), close(b[0]), close(b[1]);
		splitter_run(a[0], window);
		_exit(0);
	}
	pid_t pass = fork();
	if (pass == 0) {
		close(a[0]), close(b[1]);
		pass_run(a[1], b[0]);
		_exit(0);
	}
	if (splitter < 0 || pass < 0)
		err(74, "fork");
	close(a[0]), close(a[1]), close(b[0]);
	uint64_t messages = writer_run(b[1], dir);
	double end = now_s();
	wait_for(splitter);
	wait_for(pass);
	if (messages != lines)
		errx(65, "%ju lines came, not %ju", (uintmax_t)messages, (uintmax_t)lines);
	printf("%.0f\n", (double)messages / (end - begin));
	return 0;
}

static int compare(const void *a, const void *b)
{
	double x, y;
	memcpy(&x, a, sizeof x);
	memcpy(&y, b, sizeof y);
	return (x > y) - (x < y);
}

static int commit(const char *dir, uint64_t count)
{
	MDB_dbi dbi;
	MDB_env *env = env_open(dir, &dbi);
	double *ms = calloc(count, sizeof *ms);
	if (ms == NULL || count == 0)
		errx(64, "COUNT is 1 or more");
	for (uint64_t i = 0; i < count; i++) {
		uint8_t body[100] = {0};
		MDB_val key = {sizeof i, &i};
		MDB_val value = {sizeof body, body};
		MDB_txn *txn;
		double begin = now_s();
		check(mdb_txn_begin(env, NULL, 0, &txn), "mdb_txn_begin");
		check(mdb_put(txn, dbi, &key, &value, MDB_APPEND), "mdb_put");
		check(mdb_txn_commit(txn), "mdb_txn_commit");
		ms[i] = (now_s() - begin) * 1e3;
	}
	mdb_env_close(env);
	qsort(ms, count, sizeof *ms, compare);
	printf("%.3f %.3f\n", ms[count / 2], ms[count * 99 / 100]);
	free(ms);
	return 0;
}

static int write_synced(const char *dir, uint64_t mib)
{
	static uint8_t bytes[1u << 20];
	char path[4096];
	if (mib == 0 || (size_t)snprintf(path, sizeof path, "%s/data.mdb", dir) >= sizeof path)
		errx(64, "MIB is 1 or more, and DIR not that long");
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0600);
	if (fd < 0)
		err(74, "%s", path);
	fill(dir, mib * sizeof bytes);
	memset(bytes, 'x', sizeof bytes);
	double begin = now_s();
	for (uint64_t i = 0; i < mib; i++)
		if (pwrite(fd, bytes, sizeof bytes, (off_t)(i * sizeof bytes)) !=
			(ssize_t)sizeof bytes ||
		    fdatasync(fd) < 0)
			err(74, "%s", path);
	printf("%.0f\n", (double)mib / (now_s() - begin));
	close(fd);
	return 0;
}

int main(int argc, char **argv)
{
	if (argc == 5 && strcmp(argv[1], "pipeline") == 0)
		return pipeline(
		    argv[2], strtoull(argv[3], NULL, 10), strtoull(argv[4], NULL, 10));
	if (argc == 4 && strcmp(argv[1], "commit") == 0)
		return commit(argv[2], strtoull(argv[3], NULL, 10));
	if (argc == 4 && strcmp(argv[1], "write") == 0)
		return write_synced(argv[2], strtoull(argv[3], NULL, 10));
	fprintf(stderr, "usage: ceiling pipeline DIR LINES WINDOW < FILE\n"
			"       ceiling commit DIR COUNT\n"
			"       ceiling write DIR MIB\n");
	return 64;
}
