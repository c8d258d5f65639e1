/*
 * The journal alone, over its own protocol:
 *
 *	append RMQ-JOURNAL DIR COUNT SIZE WINDOW
 *
 * starts RMQ-JOURNAL serve DIR, has COUNT records of SIZE bytes of payload stored, with at
 * most WINDOW of them unanswered, and prints records/s.  Waits for room when there is none.
 */
#include "core/wire/journal_wire.h"
#include "core/wire/record.h"

#include <err.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

struct append {
	int fd;
	uint64_t count;
	uint64_t size;
	uint64_t window;
	uint64_t sent;
	uint64_t stored;
	uint64_t room_until; /* record numbers that there is room for */
	size_t at;	     /* of the frame that is being written */
	size_t in_len;
	bool opened;
	uint8_t head[JOURNAL_APPEND_HEAD];
	uint8_t payload[RECORD_PAYLOAD_MAX];
	uint8_t in[2 * FRAME_PAYLOAD_MAX];
};

static double now_s(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static pid_t start(const char *program, const char *dir, int *fd)
{
	int pair[2];
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		err(74, "socketpair");
	pid_t pid = fork();
	if (pid == 0) {
		dup2(pair[1], 0);
		execl(program, program, "serve", dir, (char *)NULL);
		err(127, "%s", program);
	}
	if (pid < 0)
		err(74, "fork");
	close(pair[1]);
	*fd = pair[0];
	return pid;
}

static void on_frame(struct append *a, const struct frame *f)
{
	struct journal_stored stored;
	struct journal_room room;
	struct journal_error error;
	switch (f->type) {
	case JOURNAL_TYPE_OPENED:
		a->opened = true;
		break;
	case JOURNAL_TYPE_STORED:
		if (!journal_stored_decode(f->payload, &stored))
			errx(76, "bad STORED");
		a->stored = stored.first_n + stored.count - 1;
		break;
	case JOURNAL_TYPE_ROOM:
		if (!journal_room_decode(f->payload, &room))
			errx(76, "bad ROOM");
		a->room_until = room.n + room.bytes / (a->size + RECORD_HEADER_SIZE);
		break;
	case JOURNAL_TYPE_ERROR:
		if (!journal_error_decode(f->payload, &error))
			errx(76, "bad ERROR");
		errx(74, "%.*s", (int)error.text.len, (const char *)error.text.data);
	default:
		break;
	}
}

static void take(struct append *a)
{
	ssize_t n = read(a->fd, a->in + a->in_len, sizeof a->in - a->in_len);
	if (n <= 0)
		errx(74, "the journal is gone");
	a->in_len += (size_t)n;
	size_t at = 0;
	for (;;) {
		struct frame f;
		size_t used;
		if (frame_parse(slice_of(a->in + at, a->in_len - at), &f, &used) != RMQ_E_OK)
			errx(76, "bad frame");
		if (used == 0)
			break;
		on_frame(a, &f);
		at += used;
	}
	memmove(a->in, a->in + at, a->in_len - at);
	a->in_len -= at;
}

/* Writes on with the current record, without waiting. */
static void give(struct append *a)
{
	if (a->at == 0) {
		struct writer w = writer_of(a->head + FRAME_HEADER_SIZE, 9);
		frame_header(a->head, JOURNAL_TYPE_APPEND, 9 + a->size);
		put_u64(&w, a->sent + 1);
		put_u8(&w, RECORD_EVENTS);
	}
	struct iovec iov[2];
	struct msghdr m = {.msg_iov = iov};
	if (a->at < sizeof a->head)
		iov[m.msg_iovlen++] = (struct iovec){a->head + a->at, sizeof a->head - a->at};
	size_t body = a->at < sizeof a->head ? 0 : a->at - sizeof a->head;
	iov[m.msg_iovlen++] = (struct iovec){a->payload + body, a->size - body};
	ssize_t n = sendmsg(a->fd, &m, MSG_DONTWAIT);
	if (n < 0 && errno != EAGAIN)
		err(74, "sendmsg");
	if (n > 0)
		a->at += (size_t)n;
	if (a->at == sizeof a->head + a->size) {
		a->at = 0;
		a->sent++;
	}
}

static void run(struct append *a)
{
	while (a->stored < a->count) {
		bool may =
		    a->at > 0 || (a->sent < a->count && a->sent - a->stored < a->window &&
				     a->sent < a->room_until);
		struct pollfd p = {a->fd, (short)(POLLIN | (may ? POLLOUT : 0)), 0};
		if (poll(&p, 1, 30000) <= 0)
			errx(75, "no progress for 30 s");
		if (p.revents & POLLIN)
			take(a);
		if (p.revents & POLLOUT)
			give(a);
	}
}

int main(int argc, char **argv)
{
	static struct append a;
	uint8_t open[64];
	if (argc != 6) {
		fprintf(stderr, "usage: append RMQ-JOURNAL DIR COUNT SIZE WINDOW\n");
		return 64;
	}
	a.count = strtoull(argv[3], NULL, 10);
	a.size = strtoull(argv[4], NULL, 10);
	a.window = strtoull(argv[5], NULL, 10);
	if (a.size > sizeof a.payload)
		errx(64, "SIZE is at most %zu", sizeof a.payload);
	pid_t pid = start(argv[1], argv[2], &a.fd);
	struct writer w = writer_of(open, sizeof open);
	journal_put_open(&w,
	    &(struct journal_open){
		.magic = JOURNAL_MAGIC, .newest = JOURNAL_VERSION, .oldest = JOURNAL_OLDEST});
	if (write(a.fd, open, w.len) != (ssize_t)w.len)
		err(74, "write");
	while (!a.opened)
		take(&a);
	memset(a.payload, 'x', sizeof a.payload);
	double begin = now_s();
	run(&a);
	printf("%.0f\n", (double)a.count / (now_s() - begin));
	close(a.fd);
	waitpid(pid, NULL, 0);
	return 0;
}
