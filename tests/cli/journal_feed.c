/*
 * journal_feed DIR: starts `rmq-journal serve DIR` as a queue daemon does, and does what the
 * lines of its standard input say, each durable before the next and answered by a line.
 *
 *	text WORD		a record with one message, WORD
 *	events COUNT SIZE	COUNT records, each with one message of SIZE bytes
 *	fill SIZE		such records until there is no room for another one: their number
 *	settle COUNT		COUNT small records without a message, room or not
 *	end FIRST COUNT		an END that declares records [FIRST, FIRST + COUNT) dead
 *	hole FIRST COUNT	removes them, by the newest END
 *	room			bytes of room, as the newest frame said
 *
 * At the end of input it closes the journal and ends with the journal's exit status; also at once
 * when the journal ends.
 */
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/wire/event.h"
#include "core/wire/journal_wire.h"
#include "core/wire/record.h"

#define WINDOW 16

static int fd;
static pid_t child;
static uint8_t in[1 << 17];
static size_t in_len;
static struct journal_opened opened;
static struct journal_room room;
static uint64_t sent_n, stored_n, last_index, checkpoint, holed;

static void end(void)
{
	int status;
	close(fd);
	waitpid(child, &status, 0);
	exit(WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
}

static void start(const char *dir)
{
	int pair[2];
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) != 0)
		exit(1);
	child = fork();
	if (child == 0) {
		dup2(pair[1], STDIN_FILENO);
		close(pair[0]);
		close(pair[1]);
		execlp("rmq-journal", "rmq-journal", "serve", dir, (char *)NULL);
		_exit(127);
	}
	close(pair[1]);
	fd = pair[0];
}

static void take(const struct frame *f)
{
	struct journal_stored stored;
	struct journal_holed h;
	switch (f->type) {
	case JOURNAL_TYPE_OPENED:
		if (!journal_opened_decode(f->payload, &opened))
			exit(1);
		last_index = opened.last;
		checkpoint = opened.checkpoint;
		break;
	case JOURNAL_TYPE_STORED:
		if (!journal_stored_decode(f->payload, &stored))
			exit(1);
		stored_n = stored.first_n + stored.count - 1;
		last_index = stored.first_index + stored.count - 1;
		break;
	case JOURNAL_TYPE_ROOM:
		if (!journal_room_decode(f->payload, &room))
			exit(1);
		break;
	case JOURNAL_TYPE_HOLED:
		if (journal_holed_decode(f->payload, &h))
			holed++;
		break;
	}
}

/* Takes what comes within so many ms (-1: for ever); whether something came. */
static bool receive(int timeout_ms)
{
	struct pollfd p = {fd, POLLIN, 0};
	struct frame f;
	size_t used, at = 0;
	if (poll(&p, 1, timeout_ms) <= 0)
		return false;
	ssize_t n = recv(fd, in + in_len, sizeof(in) - in_len, 0);
	if (n <= 0)
		end();
	in_len += (size_t)n;
	while (frame_parse(slice_of(in + at, in_len - at), &f, &used) == RMQ_E_OK && used > 0) {
		take(&f);
		at += used;
	}
	memmove(in, in + at, in_len - at);
	in_len -= at;
	return true;
}

static void send_frame(const struct writer *w)
{
	for (size_t at = 0; at < w->len;) {
		ssize_t n = send(fd, w->p + at, w->len - at, MSG_NOSIGNAL);
		if (n <= 0)
			end();
		at += (size_t)n;
	}
}

static void append(enum record_kind kind, struct slice payload)
{
	static uint8_t buffer[FRAME_HEADER_SIZE + FRAME_PAYLOAD_MAX];
	struct writer w = writer_of(buffer, sizeof(buffer));
	struct journal_append m = {++sent_n, (uint8_t)kind, payload};
	journal_put_append(&w, &m);
	send_frame(&w);
	while (sent_n - stored_n >= WINDOW)
		receive(-1);
}

static void wait_stored(void)
{
	while (stored_n < sent_n)
		receive(-1);
}

/* Begins a payload: the times, and room for events after them. */
static struct writer payload_begin(void)
{
	static uint8_t buffer[RECORD_PAYLOAD_MAX];
	struct writer w = writer_of(buffer, sizeof(buffer));
	put_u64(&w, 1000);
	put_u64(&w, 1700000000000);
	return w;
}

static void append_message(struct slice body)
{
	static uint8_t batch[BATCH_MAX];
	struct writer b = writer_of(batch, sizeof(batch));
	struct writer w = payload_begin();
	put_u16(&b, 1);
	put_u16(&b, 0);
	put_u16(&b, (uint16_t)(body.len + 1));
	put_rest(&b, body);
	put_u8(&b, '\n');
	struct event_send m = {1, 1, sent_n + 1, sent_n + 1, NO_TAGS, slice_of(batch, b.len)};
	event_put_send(&w, &m);
	if (w.full || b.full)
		exit(1);
	append(RECORD_EVENTS, slice_of(w.p, w.len));
}

static struct slice body_of(size_t size)
{
	static uint8_t body[BATCH_BODY_MAX];
	memset(body, 'x', sizeof(body));
	return slice_of(body, size < sizeof(body) ? size : sizeof(body));
}

static unsigned long fill(size_t size)
{
	unsigned long count = 0;
	for (;;) {
		wait_stored();
		receive(20);
		if (room.bytes < size + 256)
			return count;
		uint64_t bytes = 0;
		while (bytes + size + 256 <= room.bytes && bytes < (1 << 20)) {
			append_message(body_of(size));
			bytes += size + 256;
			count++;
		}
	}
}

static void append_end(uint64_t first, uint32_t count)
{
	uint8_t ranges[HOLE_RANGE_SIZE];
	struct writer r = writer_of(ranges, sizeof(ranges));
	struct writer w = payload_begin();
	struct hole_range h = {first, count};
	hole_range_put(&r, &h);
	struct event_end_dead m = {slice_of(ranges, count ? r.len : 0)};
	event_put_end_dead(&w, &m);
	append(RECORD_END, slice_of(w.p, w.len));
	wait_stored();
	checkpoint = last_index;
}

static void make_hole(uint64_t first, uint32_t count)
{
	uint8_t buffer[256], ranges[HOLE_RANGE_SIZE];
	struct writer w = writer_of(buffer, sizeof(buffer));
	struct writer r = writer_of(ranges, sizeof(ranges));
	struct hole_range h = {first, count};
	uint64_t before = holed;
	hole_range_put(&r, &h);
	struct journal_hole m = {checkpoint, slice_of(ranges, r.len)};
	journal_put_hole(&w, &m);
	send_frame(&w);
	while (holed == before)
		receive(-1);
	while (receive(300)) /* the room that this made */
		;
}

static void settle(unsigned long count)
{
	while (count-- > 0) {
		struct writer w = payload_begin();
		struct event_taken m = {1, sent_n + 1};
		event_put_taken(&w, &m);
		append(RECORD_EVENTS, slice_of(w.p, w.len));
	}
}

static void run(char *line)
{
	char word[32];
	unsigned long long a = 0, b = 0;
	int at = 0;
	if (sscanf(line, "%31s%n %llu %llu", word, &at, &a, &b) < 1)
		return;
	if (strcmp(word, "text") == 0)
		append_message(slice_str(line + at + 1));
	else if (strcmp(word, "events") == 0)
		while (a-- > 0)
			append_message(body_of(b));
	else if (strcmp(word, "fill") == 0)
		printf("%lu ", fill(a));
	else if (strcmp(word, "settle") == 0)
		settle(a);
	else if (strcmp(word, "end") == 0)
		append_end(a, (uint32_t)b);
	else if (strcmp(word, "hole") == 0)
		make_hole(a, (uint32_t)b);
	else if (strcmp(word, "room") == 0)
		printf("%llu ", (unsigned long long)room.bytes);
	else
		exit(1);
	wait_stored();
	printf("%s\n", word);
	fflush(stdout);
}

int main(int argc, char **argv)
{
	uint8_t buffer[64];
	char line[1024];
	struct writer w = writer_of(buffer, sizeof(buffer));
	struct journal_open m = {JOURNAL_OPEN_VERSIONS, 0, NO_TAGS};
	if (argc != 2)
		return 1;
	start(argv[1]);
	journal_put_open(&w, &m);
	send_frame(&w);
	while (opened.version == 0)
		receive(-1);
	printf("opened %llu %llu %llu %llu\n", (unsigned long long)opened.term,
	    (unsigned long long)opened.first, (unsigned long long)opened.last,
	    (unsigned long long)opened.checkpoint);
	fflush(stdout);
	receive(1000); /* ROOM */
	while (fgets(line, sizeof(line), stdin)) {
		line[strcspn(line, "\n")] = '\0';
		run(line);
	}
	end();
}
