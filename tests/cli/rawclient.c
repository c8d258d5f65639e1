/*
 * A client for tests that does what no decent client does.
 *
 *	rawclient SOCKET ACTION…
 *
 * Actions, in turn; each frame that comes is printed as a line `NAME field=value …`:
 *
 *	behalf NODE UID       BEHALF, as a gate
 *	granted NODE UID VERB:KIND:GLOB,…
 *	                      the same with rights: send, recv or admin; queue or topic
 *	far                   from here on, HELLO says that the client is not at the other end
 *	hello SESSION         HELLO, 0: a new session; NUMBER:TOKEN: one to go on with
 *	send N QUEUE BODY     SEND of one message as number N
 *	header N QUEUE NAME VALUE BODY
 *	                      the same with a header
 *	share N QUEUE,QUEUE,… BODY
 *	                      SEND of one message for several queues
 *	large N QUEUE,QUEUE,… NAME VALUE BYTES
 *	                      SEND of one large message in pieces, with a header
 *	piece N QUEUE,QUEUE,… PART
 *	                      SEND of piece PART of a large message as number N, not the last one
 *	subscribe SUB QUEUE   SUBSCRIBE
 *	credit SUB COUNT      CREDIT for COUNT messages
 *	list COUNT            COUNT times LIST of all queues
 *	bye                   BYE
 *	hex BYTES             these bytes, as hexadecimal digits
 *	zeros COUNT           so many bytes of zero
 *	slow MS               from here on, one byte every MS milliseconds
 *	expect NAME           reads until a frame NAME has come
 *	eof                   reads until the daemon closes the connection
 *	more COUNT            opens so many connections besides, and keeps them
 *	flood QUEUE           SENDs until nothing can be written for a second
 *	torment QUEUE LEASE COUNT
 *	                      SETTLEs of messages 1 to COUNT, all with number 1, until it is killed
 *	close                 closes the connection
 *	control               from here on, frames are those of the control socket
 *	print TEXT            prints the text
 *	wait                  until standard input ends
 *
 *	rawclient --serve PATH ANSWER…	answers each HELLO in turn, the last one for ever, and
 *					prints it: redirect ADDRESS, or not_yet MS
 *	rawclient --grant PATH SOCKET VERB:KIND:GLOB,…
 *					relays clients of PATH to SOCKET, as a gate, with these
 *					rights
 *	rawclient --notify PATH		prints the first datagram that comes to PATH
 *	rawclient --listen PATH COMMAND…	runs COMMAND with a listening socket, as systemd
 *					does
 *
 * Exits 1 when something else came, or nothing within 20 seconds.
 */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "core/queue/rights.h"
#include "core/wire/batch.h"
#include "core/wire/control_wire.h"
#include "core/wire/wire.h"
#include "sys/net/socket.h"

#define PATIENCE_MS 20000

static struct socket_address address;
static int fd = -1;
static unsigned slow_ms;
static bool control;
static bool far;
static uint8_t in[4 * FRAME_PAYLOAD_MAX];
static size_t in_len;

_Noreturn static void fail(const char *what)
{
	fflush(stdout);
	fprintf(stderr, "rawclient: %s\n", what);
	exit(1);
}

static int open_connection(void)
{
	int s, tries = PATIENCE_MS / 10;

	for (;;) {
		enum rmq_error err = socket_connect(&address, &s);
		if (!err)
			return s;
		/* The daemon has not accepted as many yet. */
		if (errno != EAGAIN || tries-- == 0)
			break;
		poll(NULL, 0, 10);
	}
	fprintf(stderr, "rawclient: %s: %s\n", address.path, strerror(errno));
	exit(1);
}

static void wait_for(short events)
{
	struct pollfd p = {.fd = fd, .events = events};
	if (poll(&p, 1, PATIENCE_MS) != 1)
		fail("nothing happened in time");
}

static void put(const void *data, size_t len)
{
	const uint8_t *p = data;
	while (len > 0) {
		ssize_t n = send(fd, p, slow_ms ? 1 : len, MSG_NOSIGNAL);
		if (n < 0 && errno == EAGAIN) {
			wait_for(POLLOUT);
			continue;
		}
		if (n < 0) {
			printf("closed: %s\n", strerror(errno));
			return;
		}
		p += n;
		len -= (size_t)n;
		if (slow_ms)
			nanosleep(&(struct timespec){slow_ms / 1000, slow_ms % 1000 * 1000000l},
			    NULL);
	}
}

/* ---- printing ---- */

static void print_number(struct codec_visitor *v, const char *name, uint64_t value)
{
	(void)v;
	printf(" %s=%" PRIu64, name, value);
}

static void print_u8(struct codec_visitor *v, const char *name, uint8_t value)
{
	print_number(v, name, value);
}

static void print_u16(struct codec_visitor *v, const char *name, uint16_t value)
{
	print_number(v, name, value);
}

static void print_u32(struct codec_visitor *v, const char *name, uint32_t value)
{
	print_number(v, name, value);
}

static void print_str(struct codec_visitor *v, const char *name, struct slice s)
{
	(void)v;
	printf(" %s=%.*s", name, (int)s.len, (const char *)s.data);
}

static void print_rest(struct codec_visitor *v, const char *name, struct slice s)
{
	print_number(v, name, s.len);
}

static unsigned printed; /* type of the frame that is printed */

/* A list of nothing is not worth a word; a token is needed again. */
static void print_tags(struct codec_visitor *v, const char *name, struct slice s)
{
	struct reader r = reader_of(s);
	struct tag t;
	(void)v, (void)name;
	while (tags_next(&r, &t)) {
		bool token = printed == WIRE_TYPE_WELCOME && t.tag == WELCOME_TAG_TOKEN;
		if (!token)
			printf(" tag%u=%zu", t.tag, t.value.len);
		else
			printf(" token=");
		for (size_t i = 0; token && i < t.value.len; i++)
			printf("%02x", t.value.data[i]);
	}
}

static struct codec_visitor printer = {
    print_u8, print_u16, print_u32, print_number, print_str, print_rest, print_tags};

static const char *frame_name(const struct frame *f)
{
	switch (control ? f->type : 0) {
#define X(type, NAME, name, FIELDS) \
	case type: \
		return #NAME;
		CONTROL_NODE_FRAMES(X)
#undef X
	}
	return control || !wire_name(f->type) ? "unknown" : wire_name(f->type);
}

static void print_control_frame(const struct frame *f)
{
	printf("%s", frame_name(f));
	switch (f->type) {
#define X(type, NAME, name, FIELDS) \
	case type: { \
		struct control_##name m; \
		if (!control_##name##_decode(f->payload, &m)) \
			fail("bad " #NAME); \
		control_##name##_visit(&printer, &m); \
		break; \
	}
		CONTROL_NODE_FRAMES(X)
#undef X
	}
	printf("\n");
}

static void print_frame(const struct frame *f)
{
	printed = f->type;
	printf("%s", frame_name(f));
	switch (f->type) {
#define X(type, NAME, name, FIELDS) \
	case type: { \
		struct wire_##name m; \
		if (!wire_##name##_decode(f->payload, &m)) \
			fail("bad " #NAME); \
		wire_##name##_visit(&printer, &m); \
		break; \
	}
		WIRE_DAEMON_FRAMES(X)
#undef X
	}
	printf("\n");
}

/* Reads one frame, false at the end. */
static bool read_frame(struct frame *f, size_t *used)
{
	for (;;) {
		if (frame_parse(slice_of(in, in_len), f, used))
			fail("bad frame");
		if (*used > 0)
			return true;
		wait_for(POLLIN);
		ssize_t n = read(fd, in + in_len, sizeof(in) - in_len);
		if (n == 0 || (n < 0 && errno == ECONNRESET))
			return false;
		if (n > 0)
			in_len += (size_t)n;
	}
}

/* Prints frames until one of this name, NULL: until the end. */
static void read_until(const char *name)
{
	struct frame f;
	size_t used;

	while (read_frame(&f, &used)) {
		bool found = name && strcmp(frame_name(&f), name) == 0;
		if (control)
			print_control_frame(&f);
		else
			print_frame(&f);
		in_len -= used;
		memmove(in, in + used, in_len);
		if (found)
			return;
	}
	if (name)
		fail("the connection was closed");
	printf("eof\n");
}

/* ---- actions ---- */

static uint64_t number(const char *text)
{
	return strtoull(text, NULL, 10);
}

static uint8_t out[2 * FRAME_PAYLOAD_MAX];

static unsigned right_of(const char *word)
{
	return strcmp(word, "send") == 0   ? RIGHT_SEND
	       : strcmp(word, "recv") == 0 ? RIGHT_RECV
					   : RIGHT_ADMIN;
}

static void do_granted(char **arg)
{
	uint8_t bytes[1024], list[1024], value[1024];
	struct writer w = writer_of(bytes, sizeof(bytes)), tags = writer_of(list, sizeof(list)),
		      rights = writer_of(value, sizeof(value));
	char verb[8], kind[8], glob[64], *at = arg[2];
	int used = 0;

	for (; sscanf(at, "%7[^:]:%7[^:]:%63[^,]%n", verb, kind, glob, &used) == 3;
	     at += used + (at[used] == ','))
		rights_entry_encode(
		    &rights, &(struct rights_entry){(uint16_t)right_of(verb),
				 strcmp(kind, "topic") == 0 ? RIGHTS_TOPIC : RIGHTS_QUEUE,
				 slice_str(glob)});
	tags_put(&tags, BEHALF_TAG_RIGHTS, slice_of(value, rights.len));
	wire_put_behalf(&w, &(struct wire_behalf){slice_str(arg[0]), (uint32_t)number(arg[1]),
				slice_of(list, tags.len)});
	put(bytes, w.len);
}

static void do_far(char **arg)
{
	(void)arg;
	far = true;
}

static void do_behalf(char **arg)
{
	struct writer w = writer_of(out, sizeof(out));
	wire_put_behalf(
	    &w, &(struct wire_behalf){slice_str(arg[0]), (uint32_t)number(arg[1]), NO_TAGS});
	put(out, w.len);
}

/* Hexadecimal digits. */
static size_t bytes_of(const char *text, uint8_t *bytes, size_t cap)
{
	size_t len = 0;
	unsigned byte;
	for (; len < cap && sscanf(text, "%2x", &byte) == 1; text += 2)
		bytes[len++] = (uint8_t)byte;
	return len;
}

static void do_hello(char **arg)
{
	uint8_t token[SESSION_TOKEN_SIZE], list[4 + sizeof(token) + TAG_U64_SIZE];
	struct writer w = writer_of(out, sizeof(out)), tags = writer_of(list, sizeof(list));
	const char *colon = strchr(arg[0], ':');
	if (colon)
		tags_put(&tags, HELLO_TAG_TOKEN,
		    slice_of(token, bytes_of(colon + 1, token, sizeof(token))));
	tags_put_u64(&tags, HELLO_TAG_HOW, far ? HELLO_FAR : 0);
	wire_put_hello(&w, &(struct wire_hello){WIRE_HELLO_VERSIONS, number(arg[0]), 0,
			       slice_of(tags.p, tags.len)});
	put(out, w.len);
}

static size_t make_send(
    uint64_t n, const char *queue, struct slice attributes, const char *body)
{
	struct writer w = writer_of(out, sizeof(out));
	uint8_t batch[BATCH_MAX];
	struct writer b = writer_of(batch, sizeof(batch));

	put_u16(&b, 1);
	put_u16(&b, (uint16_t)attributes.len);
	put_rest(&b, attributes);
	put_u16(&b, (uint16_t)(strlen(body) + 1));
	put_rest(&b, slice_str(body));
	put_u8(&b, '\n');
	wire_put_send(&w,
	    &(struct wire_send){n, 0, 0, 0, slice_str(queue), NO_TAGS, slice_of(batch, b.len)});
	return w.len;
}

static void do_send(char **arg)
{
	put(out, make_send(number(arg[0]), arg[1], slice_of("", 0), arg[2]));
}

/* A list of attributes: one header. */
static struct slice one_header(const char *name, const char *value, uint8_t list[600])
{
	uint8_t pair[512];
	struct writer p = writer_of(pair, sizeof(pair)), l = writer_of(list, 600);

	put_str(&p, slice_str(name));
	put_u16(&p, (uint16_t)strlen(value));
	put_rest(&p, slice_str(value));
	tags_put(&l, ATTRIBUTE_HEADERS, slice_of(pair, p.len));
	return slice_of(list, l.len);
}

static void do_header(char **arg)
{
	uint8_t list[600];
	put(out, make_send(number(arg[0]), arg[1], one_header(arg[2], arg[3], list), arg[4]));
}

/* The first of names that are parted by commas; the others become a tag. */
static struct slice put_queues(struct writer *tags, char *names)
{
	uint8_t further[512];
	struct writer n = writer_of(further, sizeof(further));
	char *queue = strtok(names, ","), *name;

	while ((name = strtok(NULL, ",")))
		put_str(&n, slice_str(name));
	if (n.len > 0)
		tags_put(tags, SEND_TAG_QUEUES, slice_of(further, n.len));
	return slice_str(queue);
}

static void do_large(char **arg)
{
	uint8_t list[600], tags[1300];
	static uint8_t body[CHUNK_MAX - CHUNK_ATTRIBUTES_MAX];
	struct writer t = writer_of(tags, sizeof(tags));
	size_t len = (size_t)number(arg[4]);

	memset(body, 'x', sizeof(body));
	tags_put(&t, SEND_TAG_ATTRIBUTES, one_header(arg[2], arg[3], list));
	struct slice queue = put_queues(&t, arg[1]);
	for (uint32_t part = 0; len > 0; part++) {
		struct writer w = writer_of(out, sizeof(out));
		size_t piece = len < sizeof(body) ? len : sizeof(body);
		uint8_t flags = SEND_CHUNK | (len > piece ? SEND_MORE : 0);
		len -= piece;
		wire_put_send(&w, &(struct wire_send){number(arg[0]), 0, flags, part, queue,
				      slice_of(tags, part ? 0 : t.len), slice_of(body, piece)});
		put(out, w.len);
	}
}

static void do_share(char **arg)
{
	uint8_t list[600];
	uint8_t batch[BATCH_MAX];
	struct writer t = writer_of(list, sizeof(list));
	struct writer b = writer_of(batch, sizeof(batch)), w = writer_of(out, sizeof(out));
	struct slice queue = put_queues(&t, arg[1]);

	put_u16(&b, 1);
	put_u16(&b, 0);
	put_u16(&b, (uint16_t)(strlen(arg[2]) + 1));
	put_rest(&b, slice_str(arg[2]));
	put_u8(&b, '\n');
	wire_put_send(&w, &(struct wire_send){number(arg[0]), 0, 0, 0, queue,
			      slice_of(list, t.len), slice_of(batch, b.len)});
	put(out, w.len);
}

static void do_piece(char **arg)
{
	static uint8_t piece[CHUNK_SEVERAL_MIN];
	uint8_t list[600];
	struct writer w = writer_of(out, sizeof(out)), t = writer_of(list, sizeof(list));
	size_t len = strchr(arg[1], ',') ? sizeof(piece) : 1000;
	uint32_t part = (uint32_t)number(arg[2]);
	struct slice queue = put_queues(&t, arg[1]);
	wire_put_send(&w, &(struct wire_send){number(arg[0]), 0, SEND_CHUNK | SEND_MORE, part,
			      queue, slice_of(list, part ? 0 : t.len), slice_of(piece, len)});
	put(out, w.len);
}

static void do_subscribe(char **arg)
{
	struct writer w = writer_of(out, sizeof(out));
	wire_put_subscribe(&w, &(struct wire_subscribe){(uint32_t)number(arg[0]),
				   SUBSCRIBE_IDLE, 0, slice_str(arg[1]), NO_TAGS});
	put(out, w.len);
}

static void do_credit(char **arg)
{
	struct writer w = writer_of(out, sizeof(out));
	wire_put_credit(&w, &(struct wire_credit){(uint32_t)number(arg[0]),
				(uint32_t)number(arg[1]), 1u << 20, 1});
	put(out, w.len);
}

static void do_list(char **arg)
{
	struct writer w = writer_of(out, sizeof(out));
	for (uint64_t i = number(arg[0]); i > 0; i--)
		wire_put_list(
		    &w, &(struct wire_list){(uint32_t)i, 256, slice_str(""), slice_str("*")});
	if (w.full)
		fail("list: too many");
	put(out, w.len);
}

static void do_bye(char **arg)
{
	(void)arg;
	struct writer w = writer_of(out, sizeof(out));
	wire_put_bye(&w, &(struct wire_bye){0});
	put(out, w.len);
}

static void do_hex(char **arg)
{
	put(out, bytes_of(arg[0], out, sizeof(out)));
}

static void do_zeros(char **arg)
{
	size_t len = (size_t)number(arg[0]);
	memset(out, 0, sizeof(out));
	for (size_t n; len > 0; len -= n) {
		n = len < sizeof(out) ? len : sizeof(out);
		put(out, n);
	}
}

static void do_control(char **arg)
{
	(void)arg;
	control = true;
}

static void do_slow(char **arg)
{
	slow_ms = (unsigned)number(arg[0]);
}

static void do_expect(char **arg)
{
	read_until(arg[0]);
}

static void do_eof(char **arg)
{
	(void)arg;
	read_until(NULL);
}

static void do_more(char **arg)
{
	for (uint64_t i = number(arg[0]); i > 0; i--)
		(void)open_connection();
}

static void do_flood(char **arg)
{
	char body[1000];
	struct pollfd p = {.fd = fd, .events = POLLOUT};

	memset(body, 'x', sizeof(body) - 1);
	body[sizeof(body) - 1] = '\0';
	for (uint64_t n = 1; poll(&p, 1, 1000) == 1; n++) {
		/* A frame that is cut by a full socket is of no use to anybody, as is the rest.
		 */
		size_t len = make_send(n, arg[0], slice_of("", 0), body);
		if (send(fd, out, len, MSG_NOSIGNAL) != (ssize_t)len)
			break;
	}
}

static void do_torment(char **arg)
{
	static uint8_t answers[1 << 16];
	uint8_t bytes[SETTLE_ENTRY_SIZE];
	struct writer w = writer_of(out, sizeof(out)), e = writer_of(bytes, sizeof(bytes));
	struct pollfd p = {.fd = fd, .events = POLLIN | POLLOUT};
	size_t at = 0;

	settle_entry_put(
	    &e, &(struct settle_entry){number(arg[1]), 1, (uint32_t)number(arg[2])});
	for (int i = 0; i < 500; i++)
		wire_put_settle(&w, &(struct wire_settle){.n = 1,
					.verb = VERB_SETTLE,
					.queue = slice_str(arg[0]),
					.tags = NO_TAGS,
					.entries = slice_of(bytes, e.len)});
	while (poll(&p, 1, PATIENCE_MS) == 1 && !(p.revents & POLLHUP)) {
		ssize_t n = send(fd, out + at, w.len - at, MSG_NOSIGNAL | MSG_DONTWAIT);
		at = n > 0 ? (at + (size_t)n) % w.len : at;
		(void)!recv(fd, answers, sizeof(answers), MSG_DONTWAIT);
	}
	fail("the daemon does not go on");
}

static void do_close(char **arg)
{
	(void)arg;
	close(fd);
	fd = -1;
}

static void do_print(char **arg)
{
	puts(arg[0]);
}

static void do_wait(char **arg)
{
	char byte;
	(void)arg;
	fflush(stdout);
	while (read(STDIN_FILENO, &byte, 1) > 0)
		;
}

static const struct {
	const char *name;
	int args;
	void (*run)(char **arg);
} actions[] = {
    {"behalf", 2, do_behalf},
    {"granted", 3, do_granted},
    {"far", 0, do_far},
    {"hello", 1, do_hello},
    {"send", 3, do_send},
    {"header", 5, do_header},
    {"large", 5, do_large},
    {"share", 3, do_share},
    {"piece", 3, do_piece},
    {"subscribe", 2, do_subscribe},
    {"credit", 2, do_credit},
    {"list", 1, do_list},
    {"bye", 0, do_bye},
    {"hex", 1, do_hex},
    {"zeros", 1, do_zeros},
    {"slow", 1, do_slow},
    {"control", 0, do_control},
    {"expect", 1, do_expect},
    {"eof", 0, do_eof},
    {"more", 1, do_more},
    {"flood", 1, do_flood},
    {"torment", 3, do_torment},
    {"close", 0, do_close},
    {"print", 1, do_print},
    {"wait", 0, do_wait},
};

static int special_socket(const char *path, int type)
{
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	int s = socket(AF_UNIX, type, 0);

	snprintf(un.sun_path, sizeof(un.sun_path), "%s", path);
	if (s < 0 || bind(s, (struct sockaddr *)&un, sizeof(un)) != 0)
		fail("cannot bind");
	return s;
}

static int do_notify(const char *path)
{
	char text[256];
	fd = special_socket(path, SOCK_DGRAM);
	wait_for(POLLIN);
	ssize_t n = recv(fd, text, sizeof(text), 0);
	printf("%.*s\n", (int)n, text);
	return n > 0 ? 0 : 1;
}

_Noreturn static void do_listen(const char *path, char **argv)
{
	char pid[32];
	int s = special_socket(path, SOCK_STREAM);

	snprintf(pid, sizeof(pid), "%d", (int)getpid());
	if (listen(s, 16) != 0 || (s != 3 && dup2(s, 3) < 0) ||
	    setenv("LISTEN_PID", pid, 1) != 0 || setenv("LISTEN_FDS", "1", 1) != 0)
		fail("cannot listen");
	execvp(argv[0], argv);
	fail(argv[0]);
}

/* What a gate does that only sends people elsewhere. */
/* Copies what has come; false: an end has come. */
static bool copy(int from, int to)
{
	ssize_t n = read(from, out, sizeof(out));

	fd = to;
	if (n > 0)
		put(out, (size_t)n);
	return n > 0;
}

_Noreturn static void do_grant(const char *path, char **argv)
{
	enum { PAIRS_MAX = 32 };
	struct pollfd p[1 + 2 * PAIRS_MAX] = {{.fd = special_socket(path, SOCK_STREAM)}};
	char *behalf[] = {(char[]){"key:web"}, (char[]){"0"}, argv[1]};
	nfds_t count = 1;
	const char *why;

	if (socket_address_path(&address, argv[0], &why) || listen(p[0].fd, PAIRS_MAX) != 0)
		fail("cannot listen");
	for (nfds_t i = 0; i < sizeof(p) / sizeof(p[0]); i++)
		p[i].events = POLLIN;
	while (poll(p, count, -1) > 0) {
		for (nfds_t i = 1; i < count; i += 2) {
			if ((p[i].revents == 0 || copy(p[i].fd, p[i + 1].fd)) &&
			    (p[i + 1].revents == 0 || copy(p[i + 1].fd, p[i].fd)))
				continue;
			close(p[i].fd);
			close(p[i + 1].fd);
			count -= 2;
			p[i].fd = p[count].fd;
			p[i + 1].fd = p[count + 1].fd;
			p[i].revents = p[i + 1].revents = 0;
		}
		if (p[0].revents == 0 || count == 1 + 2 * PAIRS_MAX)
			continue;
		p[count].fd = accept(p[0].fd, NULL, NULL);
		p[count + 1].fd = fd = open_connection();
		p[count].revents = p[count + 1].revents = 0;
		do_granted(behalf);
		count += 2;
	}
	fail("cannot wait");
}

_Noreturn static void do_serve(const char *path, int argc, char **argv)
{
	int s = special_socket(path, SOCK_STREAM);

	if (listen(s, 64) != 0)
		fail("cannot listen");
	for (int i = 0;; i = i + 2 < argc ? i + 2 : i) {
		struct writer w = writer_of(out, sizeof(out));
		struct frame f;
		size_t used;

		fd = accept(s, NULL, NULL);
		in_len = 0;
		if (fd < 0 || !read_frame(&f, &used) || f.type != WIRE_TYPE_HELLO)
			fail("no HELLO");
		if (strcmp(argv[i], "redirect") == 0)
			wire_put_redirect(&w, &(struct wire_redirect){slice_str(argv[i + 1])});
		else
			wire_put_not_yet(
			    &w, &(struct wire_not_yet){(uint32_t)number(argv[i + 1])});
		printf("%s %s\n", argv[i], argv[i + 1]);
		put(out, w.len);
		close(fd);
	}
}

int main(int argc, char **argv)
{
	const size_t count = sizeof(actions) / sizeof(actions[0]);
	const char *why = "usage";

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (argc == 3 && strcmp(argv[1], "--notify") == 0)
		return do_notify(argv[2]);
	if (argc > 3 && strcmp(argv[1], "--listen") == 0)
		do_listen(argv[2], argv + 3);
	if (argc == 5 && strcmp(argv[1], "--grant") == 0)
		do_grant(argv[2], argv + 3);
	if (argc > 4 && argc % 2 == 1 && strcmp(argv[1], "--serve") == 0)
		do_serve(argv[2], argc - 3, argv + 3);
	if (argc < 2 || socket_address_path(&address, argv[1], &why))
		fail(why);
	fd = open_connection();
	for (int i = 2; i < argc;) {
		size_t a = 0;
		while (a < count && strcmp(actions[a].name, argv[i]) != 0)
			a++;
		if (a == count || i + actions[a].args >= argc)
			fail("unknown action, or one without its arguments");
		actions[a].run(argv + i + 1);
		i += 1 + actions[a].args;
	}
	return 0;
}
