/*
 * A client with a key, for tests of the gate that no decent client makes: it speaks to a gate frame by
 * frame.
 *
 *	keyclient PORT KEYFILE NODEKEY NODE CLUSTER ACTION…
 *
 * PORT is of 127.0.0.1, CLUSTER an id in hexadecimal digits or `-`.  Actions, in turn, each for the
 * newest link; what comes is printed, a line each: a frame of the gate, and what is in DATA as frames
 * of the queue daemon, indented.
 *
 *	link [ROLE]           dials a new link, of role 2
 *	open VERSION UID [NAME]
 *	                      OPEN of the next stream; with the tag CLIENT
 *	hello [far|relay]     HELLO on the newest stream, that says how it comes
 *	send N QUEUE BODY     SEND of one message
 *	frame HEX             a frame, these bytes, to the gate
 *	close                 CLOSE of the newest stream
 *	from ADDRESS          links are dialled from this one of our addresses from now on
 *	idle COUNT            so many further links, each with a stream that was welcomed
 *	stay COUNT            so many of these, until standard input ends: one that is refused, or ends, is
 *	                      dialled again; prints `up` whenever all are
 *	expect WORD           reads until a line begins with WORD, and nothing after it
 *	end                   reads until the gate ends the link: prints `closed` or `cut`
 *	print TEXT
 *	wait                  until standard input ends
 */
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/link/link.h"
#include "core/wire/batch.h"
#include "core/wire/gate_wire.h"
#include "core/wire/wire.h"
#include "sys/net/keyfile.h"

#define PATIENCE_MS 20000

#define AGAIN_MS 50 /* before a link is dialled again that was refused */

static uint16_t port;
static struct in_addr from;
static struct keypair own;
static uint8_t node_key[KEY_SIZE];
static struct slice node;
static uint8_t cluster[16];
static size_t cluster_len;

static int fd = -1;
static struct link secure;
static uint32_t newest;
static uint8_t raw[4 * LINK_STEP_MAX], plain[8 * LINK_STEP_MAX], inner[8 * LINK_STEP_MAX];
static size_t raw_len, plain_len, inner_len;
static const char *wanted;
static bool found, quiet;

_Noreturn static void fail(const char *what)
{
	fflush(stdout);
	fprintf(stderr, "keyclient: %s\n", what);
	exit(1);
}

static void put(const void *data, size_t len)
{
	if (send(fd, data, len, MSG_NOSIGNAL) != (ssize_t)len && !quiet)
		printf("gone\n");
}

/* Reads what there is; false: the connection has ended. */
static bool fill(void)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};
	if (poll(&p, 1, PATIENCE_MS) != 1)
		fail("nothing happened in time");
	ssize_t n = read(fd, raw + raw_len, sizeof(raw) - raw_len);
	if (n > 0)
		raw_len += (size_t)n;
	return n > 0;
}

static void say(const char *line)
{
	if (!quiet)
		printf("%s\n", line);
	if (wanted && strncmp(line, wanted, strlen(wanted)) == 0)
		found = true;
}

/* ---- what comes ---- */

static void show_inner(void)
{
	struct frame f;
	struct wire_failed failed;
	struct wire_error error;
	struct wire_redirect redirect;
	char line[512];
	size_t used;

	while (!found && frame_parse(slice_of(inner, inner_len), &f, &used) == RMQ_E_OK &&
	       used > 0) {
		const char *name = wire_name(f.type);
		(void)snprintf(line, sizeof(line), "  %s", name ? name : "unknown");
		if (f.type == WIRE_TYPE_FAILED && wire_failed_decode(f.payload, &failed))
			(void)snprintf(line, sizeof(line), "  FAILED code=%u %.*s", failed.code,
			    (int)failed.text.len, (const char *)failed.text.data);
		if (f.type == WIRE_TYPE_ERROR && wire_error_decode(f.payload, &error))
			(void)snprintf(line, sizeof(line), "  ERROR code=%u %.*s", error.code,
			    (int)error.text.len, (const char *)error.text.data);
		if (f.type == WIRE_TYPE_REDIRECT && wire_redirect_decode(f.payload, &redirect))
			(void)snprintf(line, sizeof(line), "  REDIRECT %.*s",
			    (int)redirect.address.len, (const char *)redirect.address.data);
		say(line);
		inner_len -= used;
		memmove(inner, inner + used, inner_len);
	}
}

static void show_contacts(struct slice list)
{
	struct reader r = reader_of(list);
	char line[1024] = "CONTACTS";

	while (r.p < r.end) {
		struct gate_contact m;
		char key[KEY_TEXT_SIZE] = "";
		size_t len = strlen(line);
		gate_contact_get(&r, &m);
		if (r.bad || m.key.len != KEY_SIZE)
			fail("bad CONTACTS");
		key_print(m.key.data, key);
		(void)snprintf(line + len, sizeof(line) - len, " %.*s=%.*s=%s", (int)m.name.len,
		    (const char *)m.name.data, (int)m.address.len, (const char *)m.address.data,
		    key);
	}
	say(line);
}

static void show(const struct frame *f)
{
	struct gate_data data;
	struct gate_close closed;
	struct gate_credit credit;
	struct gate_contacts contacts;
	char line[64];

	if (f->type == GATE_TYPE_DATA && gate_data_decode(f->payload, &data)) {
		memcpy(inner + inner_len, data.bytes.data, data.bytes.len);
		inner_len += data.bytes.len;
		show_inner();
	} else if (f->type == GATE_TYPE_CLOSE && gate_close_decode(f->payload, &closed)) {
		(void)snprintf(
		    line, sizeof(line), "CLOSE stream=%u code=%u", closed.stream, closed.code);
		say(line);
	} else if (f->type == GATE_TYPE_CREDIT && gate_credit_decode(f->payload, &credit)) {
		say("CREDIT");
	} else if (f->type == GATE_TYPE_CONTACTS &&
		   gate_contacts_decode(f->payload, &contacts)) {
		show_contacts(contacts.contacts);
	} else {
		fail("a frame that no gate sends");
	}
}

/* The frames that have come whole, up to the one that is wanted. */
static void take_frames(void)
{
	struct frame f;
	size_t used;

	show_inner();
	while (!found && !frame_parse(slice_of(plain, plain_len), &f, &used) && used > 0) {
		show(&f);
		plain_len -= used;
		memmove(plain, plain + used, plain_len);
	}
}

static void take(void)
{
	for (take_frames(); !found; take_frames()) {
		struct writer to = writer_of(plain, sizeof(plain)), reply = writer_of(NULL, 0);
		size_t used;

		to.len = plain_len;
		if (link_receive(&secure, slice_of(raw, raw_len), &used, &to, &reply))
			fail("a bad record");
		if (used == 0)
			return;
		plain_len = to.len;
		raw_len -= used;
		memmove(raw, raw + used, raw_len);
	}
}

/* False: the link has ended before. */
static bool read_until(const char *word)
{
	wanted = word;
	found = false;
	take();
	while (!found && !link_ended(&secure)) {
		if (!fill())
			break;
		take();
	}
	wanted = NULL;
	return found;
}

/* ---- actions ---- */

/* False: it is refused. */
static bool dial(unsigned role)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
	struct sockaddr_in own_address = {.sin_family = AF_INET, .sin_addr = from};
	uint8_t bytes[LINK_FIRST_SIZE + LINK_OVERHEAD], ephemeral[KEY_SIZE];
	struct writer out = writer_of(bytes, sizeof(bytes)), none = writer_of(plain, 0);
	struct link_identity id = {.role = (enum link_role)role,
	    .cluster = slice_of(cluster, cluster_len),
	    .responder = node,
	    .own = &own,
	    .ephemeral = ephemeral};
	size_t used = 0;

	randombytes_buf(ephemeral, sizeof(ephemeral));
	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || bind(fd, (struct sockaddr *)&own_address, sizeof(own_address)) != 0)
		fail(strerror(errno));
	if (connect(fd, (struct sockaddr *)&to, sizeof(to)) != 0)
		return false;
	if (link_initiate(&secure, &id, node_key, &out))
		fail("no handshake");
	put(bytes, out.len);
	raw_len = plain_len = inner_len = out.len = 0;
	newest = 0;
	while (raw_len < LINK_REPLY_MAX)
		if (!fill())
			return false;
	if (link_receive(&secure, slice_of(raw, raw_len), &used, &none, &out))
		fail("a bad answer");
	raw_len -= used;
	memmove(raw, raw + used, raw_len);
	put(bytes, out.len);
	return true;
}

static void put_plain(struct slice bytes)
{
	static uint8_t record[2 * LINK_STEP_MAX];
	struct writer w = writer_of(record, sizeof(record));

	if (link_send(&secure, bytes, &w))
		fail("cannot send");
	put(record, w.len);
}

static void open_stream(unsigned version, unsigned uid, const char *name)
{
	uint8_t bytes[256], list[128];
	struct writer w = writer_of(bytes, sizeof(bytes)), tags = writer_of(list, sizeof(list));

	if (name)
		tags_put(&tags, GATE_TAG_CLIENT, slice_str(name));
	gate_put_open(&w,
	    &(struct gate_open){++newest, (uint16_t)version, uid, slice_of(tags.p, tags.len)});
	put_plain(slice_of(bytes, w.len));
}

static void put_data(struct slice data)
{
	uint8_t bytes[4096];
	struct writer w = writer_of(bytes, sizeof(bytes));

	gate_put_data(&w, &(struct gate_data){newest, data});
	put_plain(slice_of(bytes, w.len));
}

static void hello(uint64_t how)
{
	uint8_t bytes[256], list[TAG_U64_SIZE];
	struct writer w = writer_of(bytes, sizeof(bytes));

	wire_put_hello(&w, &(struct wire_hello){WIRE_HELLO_VERSIONS, 0, 0,
			       tags_of_u64(list, HELLO_TAG_HOW, how)});
	put_data(slice_of(bytes, w.len));
}

static void send_message(const char *n, const char *queue, const char *body)
{
	uint8_t bytes[2048], batch[1024];
	struct writer w = writer_of(bytes, sizeof(bytes)), b = writer_of(batch, sizeof(batch));

	put_u16(&b, 1);
	put_u16(&b, 0);
	put_u16(&b, (uint16_t)(strlen(body) + 1));
	put_rest(&b, slice_str(body));
	put_u8(&b, '\n');
	wire_put_send(&w, &(struct wire_send){strtoull(n, NULL, 10), 0, 0, 0, slice_str(queue),
			      NO_TAGS, slice_of(batch, b.len)});
	put_data(slice_of(bytes, w.len));
}

static size_t bytes_of(const char *text, uint8_t *bytes, size_t cap)
{
	size_t len = 0;
	unsigned byte;
	for (; len < cap && sscanf(text, "%2x", &byte) == 1; text += 2)
		bytes[len++] = (uint8_t)byte;
	return len;
}

static void put_hex(const char *text)
{
	uint8_t bytes[4096];
	put_plain(slice_of(bytes, bytes_of(text, bytes, sizeof(bytes))));
}

static void close_stream(void)
{
	uint8_t bytes[64];
	struct writer w = writer_of(bytes, sizeof(bytes));

	gate_put_close(&w, &(struct gate_close){newest, RMQ_E_OK});
	put_plain(slice_of(bytes, w.len));
}

/* ---- many links ---- */

/* One with a stream that was welcomed; -1: the gate does not let it in now. */
static int dial_whole(void)
{
	if (dial(LINK_CLIENT)) {
		open_stream(GATE_VERSION, 0, NULL);
		hello(HELLO_FAR);
		if (read_until("  WELCOME"))
			return fd;
	}
	close(fd);
	return -1;
}

static void idle(unsigned count)
{
	while (count-- > 0)
		if (dial_whole() < 0)
			fail("refused");
}

/* Dials those that are not there, until one is refused; false: it was. */
static bool dial_all(struct pollfd *links, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		if (links[i].fd < 0 && (links[i].fd = dial_whole()) < 0)
			return false;
	return true;
}

/* What comes is of no interest; whether some have ended is. */
static bool some_ended(struct pollfd *links, unsigned count)
{
	bool ended = false;
	for (unsigned i = 0; i < count; i++)
		if (links[i].revents && read(links[i].fd, raw, sizeof(raw)) <= 0) {
			close(links[i].fd);
			links[i].fd = -1;
			ended = true;
		}
	return ended;
}

static void stay(unsigned count)
{
	struct pollfd *list = calloc(count + 1, sizeof(*list)), *links = list + 1;
	bool whole = false;

	if (!list)
		fail("out of memory");
	for (unsigned i = 0; i <= count; i++)
		list[i] = (struct pollfd){i ? -1 : STDIN_FILENO, POLLIN, 0};
	quiet = true;
	while (!list[0].revents) {
		if (!whole && (whole = dial_all(links, count)))
			printf("up\n");
		if (poll(list, count + 1, whole ? -1 : AGAIN_MS) > 0 &&
		    some_ended(links, count))
			whole = false;
	}
}

static void link_or_say(unsigned role)
{
	if (!dial(role))
		say("refused");
}

static void wait_for_end(void)
{
	char byte;
	while (read(STDIN_FILENO, &byte, 1) > 0)
		;
}

int main(int argc, char **argv)
{
	struct reason why = {""};
	setvbuf(stdout, NULL, _IOLBF, 0);
	if (argc < 6 || sodium_init() < 0 || keyfile_read(argv[2], &own, &why) ||
	    !key_parse(slice_str(argv[3]), node_key))
		fail("usage: keyclient PORT KEYFILE NODEKEY NODE CLUSTER ACTION...");
	port = (uint16_t)strtoul(argv[1], NULL, 10);
	node = slice_str(argv[4]);
	cluster_len = bytes_of(argv[5], cluster, sizeof(cluster));
	argv += 6;
#define IS(word, count) (strcmp(*argv, word) == 0 && end - argv > (count))
	for (char **end = argv + (argc - 6); argv < end; argv++) {
		if (IS("link", 1) && argv[1][0] >= '0' && argv[1][0] <= '9')
			link_or_say((unsigned)strtoul(*++argv, NULL, 10));
		else if (IS("link", 0))
			link_or_say(LINK_CLIENT);
		else if (IS("from", 1)) {
			if (inet_pton(AF_INET, *++argv, &from) != 1)
				fail("a bad address");
		} else if (IS("open", 2)) {
			bool named = end - argv > 3 && strncmp(argv[3], "name=", 5) == 0;
			open_stream((unsigned)strtoul(argv[1], NULL, 10),
			    (unsigned)strtoul(argv[2], NULL, 10), named ? argv[3] + 5 : NULL);
			argv += named ? 3 : 2;
		} else if (IS("hello", 1) && strcmp(argv[1], "relay") == 0) {
			hello(HELLO_FAR | HELLO_RELAY);
			argv++;
		} else if (IS("hello", 1) && strcmp(argv[1], "far") == 0) {
			hello(HELLO_FAR);
			argv++;
		} else if (IS("hello", 0))
			hello(0);
		else if (IS("send", 3)) {
			send_message(argv[1], argv[2], argv[3]);
			argv += 3;
		} else if (IS("frame", 1))
			put_hex(*++argv);
		else if (IS("close", 0))
			close_stream();
		else if (IS("idle", 1))
			idle((unsigned)strtoul(*++argv, NULL, 10));
		else if (IS("stay", 1))
			stay((unsigned)strtoul(*++argv, NULL, 10));
		else if (IS("expect", 1)) {
			if (!read_until(*++argv))
				fail("the link has ended");
		} else if (IS("end", 0)) {
			(void)read_until(NULL);
			printf("%s\n", link_ended(&secure) ? "closed" : "cut");
		} else if (IS("print", 1))
			printf("%s\n", *++argv);
		else if (IS("wait", 0))
			wait_for_end();
		else
			fail(*argv);
	}
	return 0;
}
