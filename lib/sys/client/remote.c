#include "sys/client/remote.h"

#include <assert.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "sys/client/first_contact.h"
#include "sys/client/known_gates.h"
#include "sys/client/search.h"
#include "sys/net/fast_cipher.h"
#include "sys/net/keyfile.h"
#include "sys/net/link_conn.h"
#include "sys/process/clock.h"
#include "sys/process/log.h"
#include "sys/process/user_file.h"

#define CONNECT_MS   2000 /* for an address, */
#define PATIENCE_MS  250 /* and at first for each of several: ways that are dead cost no more */
#define TIMES_SLOWER 4	 /* than the one that let us in may be others */
#define HANDSHAKE_MS 3000 /* for a gate that has accepted */
#define RAW_CAP	     (2 * LINK_STEP_MAX)
#define OUT_CAP	     (2 * CLIENT_LINK_RECORD_MAX + CLIENT_LINK_CLOSE_SIZE)
#define KEEPALIVE_S  5
#define SILENT_MS    900 /* without any acknowledgement, */
#define AGAIN_MS     100 /* and so long, and AGAIN_TRIPS round trips, after it was sent again */
#define AGAIN_TRIPS  4
#define CHECKS	     3
#define DECLINED_MAX 64
#define SHAKES_MAX   2 /* with the only gate that may be there */
#define SHAKES_MORE  3 /* … where each connection may lead to another one */
/* Bytes that libsodium seals in the time that it takes to load what is faster. */
#define FAST_AFTER (4u << 20)

/* PASSED: the address is of no use, and the next one is to be tried. */
enum step { NOTHING, LOOKING_UP, CONNECTING, PASSED, ASKING, SHAKING, OPEN, ENDED };

struct remote {
	char keyfile[PATH_MAX];
	struct known_gates known;
	struct reason nowhere; /* why nobody says where these are */
	bool accept_new;
	struct keypair own;
	bool has_key;
	enum step step;
	struct mono_time deadline; /* of all steps before OPEN */

	struct socket_host host;
	struct pin pin;	 /* whose key it has to prove */
	bool asks;	 /* it is asked who it is, before anything else */
	unsigned shakes; /* handshakes begun at this address */
	bool let_in;	 /* by some gate: what is said in clear ends nothing from then on */
	bool led;	 /* by a REDIRECT */
	uint8_t declined[DECLINED_MAX][KEY_SIZE]; /* keys that are not trusted; in a ring */
	unsigned declined_count;
	bool asked;		 /* a person was, and time has gone meanwhile */
	struct search *searches; /* that go on, */
	struct search *search;	 /* and the one that is waited for */
	struct addrinfo *list;	 /* its addresses, */
	struct addrinfo *first;	 /* of which this was tried first, the others in a circle */
	struct addrinfo *at;	 /* and this one is tried */
	struct sockaddr_storage
	    start;		/* which to begin with: who let us in, or was not tried */
	uint64_t patience_ms;	/* with an address, where another may be tried */
	struct mono_time began; /* to connect to this one, */
	uint64_t took_ms;	/* which took so long */
	int fd;			/* the socket; -1: none */
	bool full;		/* the socket took not all */

	struct client_link link;
	bool has_link;
	struct client_link_in *in;
	uint8_t *raw; /* as it came */
	size_t raw_at, raw_len;
	uint8_t *out; /* sealed */
	size_t out_at, out_len;
	uint64_t passed; /* bytes of all links, both ways */

	/* Why addresses were passed; one of them may be otherwise soon. */
	enum rmq_error noted;
	bool may_come;
	char note[512];

	enum rmq_error error;
	bool ours;
	char text[512];
};

/* Where a file is, that an option may say. */
static enum rmq_error find_file(char path[PATH_MAX], const char *said, const char *variable,
    const char *name, struct reason *why)
{
	if (!said)
		return user_file_find(path, variable, name, why);
	if (strlen(said) >= PATH_MAX)
		return reason_set(why, RMQ_E_CONFIG, "%s: %s", said, strerror(ENAMETOOLONG));
	memcpy(path, said, strlen(said) + 1);
	return RMQ_E_OK;
}

enum rmq_error remote_find_files(
    struct remote *r, const struct client_options *o, struct reason *why)
{
	r->accept_new = o->accept_new;
	enum rmq_error err =
	    find_file(r->keyfile, o->keyfile, KEYFILE_VARIABLE, KEYFILE_NAME, why);
	if (!err)
		err = find_file(r->known.path, o->known_nodes, PINS_VARIABLE, PINS_NAME, why);
	if (err)
		r->nowhere = *why;
	return err;
}

struct remote *remote_new(struct client_link_in *in)
{
	struct remote *r = calloc(1, sizeof(*r));
	if (!r)
		return NULL;
	r->in = in;
	r->fd = -1;
	r->patience_ms = PATIENCE_MS;
	known_gates_init(&r->known);
	r->raw = malloc(RAW_CAP);
	r->out = malloc(OUT_CAP);
	if (r->raw && r->out && sodium_init() >= 0)
		return r;
	remote_free(r);
	return NULL;
}

static void close_socket(struct remote *r)
{
	if (r->fd >= 0)
		close(r->fd);
	r->fd = -1;
	r->full = false;
	r->raw_at = r->raw_len = r->out_at = r->out_len = 0;
	r->in->data = r->in->end = 0;
	if (r->has_link)
		client_link_deinit(&r->link);
	r->has_link = false;
}

/* Says that it is the end, as far as that is possible now. */
static void say_end(struct remote *r)
{
	uint8_t bytes[CLIENT_LINK_CLOSE_SIZE];
	struct writer w = writer_of(bytes, sizeof(bytes));
	if (r->has_link && r->out_at == r->out_len && client_link_up(&r->link) &&
	    client_link_close(&r->link, &w) == RMQ_E_OK)
		(void)send(r->fd, w.p, w.len, MSG_NOSIGNAL | MSG_DONTWAIT);
}

void remote_end(struct remote *r)
{
	say_end(r);
	close_socket(r);
	r->search = NULL;
	if (r->list)
		freeaddrinfo(r->list);
	r->list = r->first = r->at = NULL;
	r->step = NOTHING;
}

static void leave_searches(struct remote *r)
{
	while (r->searches)
		search_leave(&r->searches, r->searches);
}

bool remote_rests(const struct remote *r)
{
	return r->has_link && (r->step == NOTHING || r->step == ENDED);
}

static bool send_out(struct remote *r);

/* Takes what has come for a stream that is over: then nothing of it is left. */
static void take_rest(struct remote *r)
{
	struct writer none = writer_of(NULL, 0);
	enum rmq_error err = RMQ_E_OK;
	size_t used = 1;
	client_link_in_drop(r->in);
	while (!err && used > 0) {
		err = client_link_receive(&r->link,
		    slice_of(r->raw + r->raw_at, r->raw_len - r->raw_at), &used, r->in, &none);
		r->raw_at += err ? 0 : used;
	}
	if (err || link_ended(&r->link.link))
		close_socket(r);
	else
		(void)send_out(r);
}

void remote_elsewhere(struct remote *r)
{
	r->let_in = false;
}

bool remote_leave(struct remote *r)
{
	struct writer w = writer_of(r->out, OUT_CAP);
	w.len = r->out_len;
	if (r->step == OPEN && client_link_up(&r->link) &&
	    client_link_leave(&r->link, &w) == RMQ_E_OK) {
		r->out_len = w.len;
		r->step = NOTHING;
		take_rest(r);
	} else if (!remote_rests(r)) {
		remote_end(r);
	}
	r->step = NOTHING;
	return r->has_link;
}

void remote_free(struct remote *r)
{
	if (!r)
		return;
	remote_end(r);
	leave_searches(r);
	known_gates_deinit(&r->known);
	free(r->raw);
	free(r->out);
	sodium_memzero(r, sizeof(*r));
	free(r);
}

static void say(struct remote *r, enum rmq_error code, const char *format, va_list args)
{
	r->step = ENDED;
	r->error = code;
	(void)vsnprintf(r->text, sizeof(r->text), format, args);
}

static __attribute__((format(printf, 3, 4))) void fail(
    struct remote *r, enum rmq_error code, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	remote_end(r);
	say(r, code, format, args);
	va_end(args);
}

/* The stream is over, but the gate may have another one. */
static __attribute__((format(printf, 2, 3))) void fail_stream(
    struct remote *r, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	(void)remote_leave(r);
	say(r, RMQ_E_NO_DAEMON, format, args);
	va_end(args);
}

/* What no other gate would do better; one that has let us in is waited for. */
static __attribute__((format(printf, 3, 4))) void give_up(
    struct remote *r, enum rmq_error code, const char *format, ...)
{
	char text[sizeof(r->text)];
	va_list args;
	va_start(args, format);
	(void)vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	fail(r, r->let_in ? RMQ_E_NO_DAEMON : code, "%s", text);
	r->ours = true;
}

/* The address after the one that is tried.  NULL: all were. */
static struct addrinfo *next_address(const struct remote *r)
{
	struct addrinfo *next = r->at && r->at->ai_next ? r->at->ai_next : r->list;
	return next == r->first ? NULL : next;
}

static void start_with(struct remote *r, const struct addrinfo *a)
{
	memset(&r->start, 0, sizeof(r->start));
	memcpy(&r->start, a->ai_addr, a->ai_addrlen);
}

/* Who refuses us does not count where another may come, or once we were let in: nothing proves it. */
static void fail_as_noted(struct remote *r)
{
	r->patience_ms = r->patience_ms < CONNECT_MS / 2 ? 2 * r->patience_ms : CONNECT_MS;
	fail(r, r->may_come || r->let_in ? RMQ_E_NO_DAEMON : r->noted, "%s", r->note);
}

/* The address is of no use, but the next one of the name may be. */
static __attribute__((format(printf, 3, 4))) void pass(
    struct remote *r, enum rmq_error code, const char *format, ...)
{
	r->may_come |= code != RMQ_E_DENIED;
	/* Who refuses us tells more than one that is not there. */
	if (r->noted != RMQ_E_DENIED) {
		va_list args;
		va_start(args, format);
		(void)vsnprintf(r->note, sizeof(r->note), format, args);
		va_end(args);
		r->noted = code;
	}
	close_socket(r);
	r->step = PASSED;
	r->deadline.ms = 0;
	if (!next_address(r))
		fail_as_noted(r);
}

static void pass_slow(struct remote *r)
{
	pass(r, RMQ_E_NO_DAEMON, "%s",
	    r->step == LOOKING_UP   ? "name servers do not answer"
	    : r->step == CONNECTING ? "Connection timed out"
				    : "it accepts and says nothing");
}

static void enter(struct remote *r, enum step step, uint64_t most_ms, struct mono_time now)
{
	r->step = step;
	r->deadline.ms = now.ms + most_ms;
}

/* ---- the addresses of a name ---- */

static void begin_address(struct remote *r, struct mono_time now);

static void take_addresses(
    struct remote *r, int status, struct addrinfo *list, struct mono_time now)
{
	if (status != 0) {
		fail(r, RMQ_E_NO_DAEMON, "%s", gai_strerror(status));
		return;
	}
	r->list = r->first = list;
	for (struct addrinfo *a = list; a; a = a->ai_next)
		if (memcmp(a->ai_addr, &r->start, a->ai_addrlen) == 0)
			r->first = a;
	r->at = r->first;
	begin_address(r, now);
}

static void searched(struct remote *r, struct mono_time now)
{
	struct search *s = r->search;
	struct addrinfo *list;
	int status;
	if (!search_answered(s, &status, &list))
		return;
	r->search = NULL;
	search_leave(&r->searches, s);
	take_addresses(r, status, list, now);
}

static void begin_search(struct remote *r, struct mono_time now)
{
	int err;
	r->search = search_of(&r->searches, &r->host, now, &err);
	if (!r->search) {
		fail(r, RMQ_E_NO_DAEMON, "%s", strerror(err));
		return;
	}
	r->step = LOOKING_UP;
	r->deadline = search_until(r->search);
	searched(r, now);
}

/* ---- connecting ---- */

/* Options that may fail: without them it only notices later that a gate is gone. */
static void set_options(int fd)
{
	static const struct {
		int level, name, value;
	} options[] = {{IPPROTO_TCP, TCP_NODELAY, 1}, {SOL_SOCKET, SO_KEEPALIVE, 1},
	    {IPPROTO_TCP, TCP_KEEPIDLE, KEEPALIVE_S}, {IPPROTO_TCP, TCP_KEEPINTVL, KEEPALIVE_S},
	    {IPPROTO_TCP, TCP_KEEPCNT, CHECKS},
	    {IPPROTO_TCP, TCP_USER_TIMEOUT, LINK_USER_TIMEOUT_MS}};
	for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++)
		(void)setsockopt(fd, options[i].level, options[i].name, &options[i].value,
		    sizeof(options[i].value));
}

/* Bytes of the wire that a fresh socket takes at once. */
static void send_first(struct remote *r, const void *bytes, size_t len)
{
	if (send(r->fd, bytes, len, MSG_NOSIGNAL) != (ssize_t)len)
		pass(r, RMQ_E_NO_DAEMON, "%s", strerror(errno));
}

static void on_contacts(void *arg, struct slice contacts)
{
	struct remote *r = arg;
	known_gates_take(&r->known, &r->host, &r->pin, contacts);
}

static void shake_hands(struct remote *r)
{
	uint8_t ephemeral[KEY_SIZE], first[LINK_FIRST_SIZE];
	struct writer w = writer_of(first, sizeof(first));
	struct link_identity id = {.own = &r->own,
	    .ephemeral = ephemeral,
	    .responder = slice_str(r->pin.name),
	    .cluster = raft_id_slice(&r->pin.cluster)};
	r->shakes++;
	randombytes_buf(ephemeral, sizeof(ephemeral));
	enum rmq_error err = client_link_begin(&r->link, &id, r->pin.key, &w, on_contacts, r);
	sodium_memzero(ephemeral, sizeof(ephemeral));
	r->has_link = true;
	if (err)
		pass(r, RMQ_E_DENIED, "its key is ours, or not a key");
	else
		send_first(r, first, w.len);
}

static void connected(struct remote *r, struct mono_time now)
{
	static const uint8_t who = LINK_WHO;
	set_options(r->fd);
	r->took_ms = now.ms - r->began.ms;
	enter(r, r->asks ? ASKING : SHAKING, HANDSHAKE_MS, now);
	if (r->asks)
		send_first(r, &who, 1);
	else
		shake_hands(r);
}

/* The last address may be slow; not for one that was served, which soon tries it again. */
static uint64_t connect_ms(const struct remote *r)
{
	return next_address(r) || (r->let_in && !r->led) ? r->patience_ms : CONNECT_MS;
}

static void connect_address(struct remote *r, struct mono_time now)
{
	close_socket(r);
	r->began = now;
	r->fd = socket(r->at->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (r->fd < 0)
		pass(r, RMQ_E_NO_DAEMON, "%s", strerror(errno));
	else if (connect(r->fd, r->at->ai_addr, r->at->ai_addrlen) == 0)
		connected(r, now);
	else if (errno == EINPROGRESS)
		enter(r, CONNECTING, connect_ms(r), now);
	else
		pass(r, RMQ_E_NO_DAEMON, "%s", strerror(errno));
}

/* Which of several gates is there has to be asked first: a handshake is with one key. */
static void begin_address(struct remote *r, struct mono_time now)
{
	r->shakes = 0;
	r->asks = r->known.here.count != 1;
	if (r->known.here.count > 0)
		r->pin = r->known.here.pins[0];
	connect_address(r, now);
}

static void connecting(struct remote *r, struct mono_time now)
{
	int error = 0;
	socklen_t len = sizeof(error);
	if (getsockopt(r->fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0)
		error = errno;
	if (error == 0)
		connected(r, now);
	else
		pass(r, RMQ_E_NO_DAEMON, "%s", strerror(error));
}

/* ---- who is there ---- */

/* Whether the file has another key of ours by now, which is then taken. */
static bool key_changed(struct remote *r)
{
	struct keypair now;
	struct reason why;
	bool changed = keyfile_read(r->keyfile, &now, &why) == RMQ_E_OK &&
		       memcmp(now.key, r->own.key, KEY_SIZE) != 0;
	if (changed)
		r->own = now;
	keypair_wipe(&now);
	return changed;
}

static bool same_node(const struct pin *a, const struct pin *b)
{
	return strcmp(a->name, b->name) == 0 && raft_id_eq(a->cluster, b->cluster);
}

/*
 * It is not the one that we expect: or it is, and then it is our key that it does not know.  What it
 * says of itself proves nothing, and has no effect but on this text.
 */
static void explain_refusal(struct remote *r, const struct pin *pin, const struct pin *is)
{
	char text[KEY_TEXT_SIZE], fingerprint[KEY_FINGERPRINT_SIZE];
	key_print(r->own.key, text);
	if (!pin) {
		key_fingerprint(is->key, fingerprint);
		pass(r, RMQ_E_DENIED,
		    "it has another key than known, of fingerprint %s: it is a new one, or another machine: "
		    "ask its administrator, and correct %s",
		    fingerprint, r->known.path);
	} else if (!same_node(pin, is)) {
		pass(r, RMQ_E_DENIED,
		    "it has another name, or another cluster, than %s says: if that is right, "
		    "remove its line there",
		    r->known.path);
	} else {
		pass(r, RMQ_E_DENIED,
		    "it does not know our key %s: ask for a line in its rights file", text);
	}
}

/*
 * It has said who it is: if we expect that one there, hands are shaken with it.  That it has cut off a
 * handshake once does not tell that it does not want us: it may be starting, or not be the same one.
 */
static void recognise(struct remote *r, const struct pin *is, struct mono_time now)
{
	const struct pin *pin = known_gates_expected(&r->known, is->key);
	bool several = r->known.here.count > 1 || r->known.told.count > 1;
	if (pin && same_node(pin, is) && r->shakes < (several ? SHAKES_MORE : SHAKES_MAX)) {
		if (r->shakes > 0)
			(void)key_changed(r);
		r->pin = *is;
		r->asks = false;
		connect_address(r, now);
	} else {
		explain_refusal(r, pin, is);
	}
}

static bool was_declined(const struct remote *r, const struct pin *is)
{
	for (unsigned i = 0; i < r->declined_count && i < DECLINED_MAX; i++)
		if (memcmp(r->declined[i], is->key, KEY_SIZE) == 0)
			return true;
	return false;
}

static void meet(struct remote *r, const struct pin *is, struct mono_time now)
{
	struct reason why;
	/* The question would hold up a client that others serve. */
	if (r->let_in && !r->accept_new) {
		pass(r, RMQ_E_DENIED,
		    "its key is not known, and a client that was served does not ask: add its line "
		    "to the known nodes");
		return;
	}
	bool again = was_declined(r, is);
	enum rmq_error err =
	    first_contact(is, r->known.path, r->accept_new, again, &r->asked, &why);
	now = clock_mono();
	if (err) {
		if (err == RMQ_E_DENIED && !again)
			memcpy(
			    r->declined[r->declined_count++ % DECLINED_MAX], is->key, KEY_SIZE);
		/* The signal is the program's. */
		if (err == RMQ_E_DENIED)
			pass(r, err, "%s", why.text);
		else if (err == RMQ_E_INTERRUPTED)
			fail(r, RMQ_E_NO_DAEMON, "%s", why.text);
		else
			give_up(r, err, "%s", why.text);
		return;
	}
	r->pin = *is;
	r->asks = false;
	err = known_gates_at(&r->known, &r->host, false, &why);
	if (err)
		give_up(r, err, "%s", why.text);
	else
		connect_address(r, now);
}

static void take_who(struct remote *r, struct slice bytes, struct mono_time now)
{
	struct link_who m;
	struct pin is;
	const char *wrong = NULL;
	if (!link_who_decode(bytes, &m) || m.magic != LINK_MAGIC) {
		pass(r, RMQ_E_NO_DAEMON, "what is there is no gate");
		return;
	}
	if (m.version != LINK_VERSION)
		wrong = "it speaks another version";
	else
		wrong = pin_take(&is, &r->host, m.key, m.name, m.cluster);
	if (wrong)
		pass(r, RMQ_E_NO_DAEMON, "what is there is no gate of ours: %s", wrong);
	else if (r->known.here.count > 0)
		recognise(r, &is, now);
	else
		meet(r, &is, now);
}

/* ---- what comes ---- */

static void cut(struct remote *r, int error, struct mono_time now)
{
	if (remote_rests(r)) {
		close_socket(r);
	} else if (r->step == OPEN) {
		fail(r, RMQ_E_NO_DAEMON, "%s",
		    error ? strerror(error) : "the connection was cut");
	} else if (error) {
		pass(r, RMQ_E_NO_DAEMON, "it takes no connection now: %s", strerror(error));
	} else if (r->step == ASKING) {
		pass(r, RMQ_E_NO_DAEMON,
		    r->shakes > 0 ? "it ends connections"
				  : "it serves no clients with keys, or is no gate");
	} else {
		/* It has read what we sent, and does not like it. */
		r->asks = true;
		connect_address(r, now);
	}
}

static void count(struct remote *r, size_t bytes)
{
	r->passed += bytes;
	if (r->step == OPEN && r->passed >= FAST_AFTER)
		link_use(&r->link.link, fast_cipher());
}

/* Reads what there is; false: nothing more has come. */
static bool read_raw(struct remote *r, struct mono_time now)
{
	memmove(r->raw, r->raw + r->raw_at, r->raw_len - r->raw_at);
	r->raw_len -= r->raw_at;
	r->raw_at = 0;
	ssize_t n = recv(r->fd, r->raw + r->raw_len, RAW_CAP - r->raw_len, 0);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return false;
	if (n <= 0) {
		cut(r, n < 0 ? errno : 0, now);
		return false;
	}
	r->raw_len += (size_t)n;
	count(r, (size_t)n);
	return true;
}

static void asking(struct remote *r, struct mono_time now)
{
	if (!read_raw(r, now) || r->raw_len < LINK_LENGTH_SIZE)
		return;
	size_t len = load_u16(r->raw);
	if (len > LINK_WHO_MAX)
		pass(r, RMQ_E_NO_DAEMON, "what is there is no gate");
	else if (r->raw_len - LINK_LENGTH_SIZE >= len)
		take_who(r, slice_of(r->raw + LINK_LENGTH_SIZE, len), now);
}

/* Puts the host's own errors of the link into words. */
static void broken(struct remote *r, enum rmq_error err)
{
	if (r->step == OPEN)
		fail(r, RMQ_E_NO_DAEMON, "what came was damaged");
	else if (err == RMQ_E_DENIED)
		pass(r, RMQ_E_DENIED, "it cannot prove that it has its key");
	else
		pass(r, RMQ_E_NO_DAEMON, "what is there is no gate");
}

/* The stream or the link is at its end. */
static void ended(struct remote *r)
{
	enum rmq_error code = r->link.code;
	if (code == RMQ_E_DENIED && key_changed(r))
		fail(r, RMQ_E_NO_DAEMON, "%s has another key now", r->keyfile);
	else if (code == RMQ_E_DENIED)
		fail(r, code,
		    "it does not let us in: our key has no rights now, or not from here");
	else if (code == RMQ_E_NO_DAEMON || code == RMQ_E_LIMIT)
		fail_stream(r, "it has ended the connection: %s", error_text(code));
	else if (code)
		fail(r, RMQ_E_NO_DAEMON, "it has ended the connection: %s", error_text(code));
	else
		fail_stream(r, "it has ended the connection");
}

bool remote_take(struct remote *r)
{
	uint8_t reply[LINK_REPLY_MAX];
	struct writer answer = writer_of(reply, sizeof(reply));
	size_t used;
	if (r->step != OPEN && r->step != SHAKING)
		return false;
	if (r->link.over) {
		ended(r);
		return false;
	}
	if (!client_link_room(r->in))
		return false;
	enum rmq_error err = client_link_receive(&r->link,
	    slice_of(r->raw + r->raw_at, r->raw_len - r->raw_at), &used, r->in, &answer);
	if (err) {
		broken(r, err);
		return false;
	}
	r->raw_at += used;
	if (answer.len > 0) {
		memcpy(r->out + r->out_len, answer.p, answer.len);
		r->out_len += answer.len;
	}
	return used > 0;
}

/* Other ways may be as slow as this one. */
static uint64_t patience_ms(uint64_t took_ms)
{
	uint64_t ms = TIMES_SLOWER * took_ms;
	return ms < PATIENCE_MS ? PATIENCE_MS : ms > CONNECT_MS ? CONNECT_MS : ms;
}

static void shaking(struct remote *r, struct mono_time now)
{
	if (!read_raw(r, now))
		return;
	while (r->step == SHAKING && !client_link_up(&r->link) && remote_take(r))
		;
	if (r->step == SHAKING && client_link_up(&r->link)) {
		r->step = OPEN;
		r->let_in = true;
		r->patience_ms = patience_ms(r->took_ms);
		start_with(r, r->at);
		leave_searches(r);
	}
}

void remote_turn(struct remote *r, short revents, struct mono_time now)
{
	if (revents & (POLLIN | POLLOUT | POLLHUP | POLLERR)) {
		switch (r->step) {
		case LOOKING_UP:
			searched(r, now);
			break;
		case CONNECTING:
			connecting(r, now);
			break;
		case ASKING:
			asking(r, now);
			break;
		case SHAKING:
			shaking(r, now);
			break;
		case OPEN:
			if (revents & (POLLIN | POLLHUP | POLLERR))
				(void)read_raw(r, now);
			break;
		case NOTHING:
		case ENDED:
			if (r->has_link)
				(void)read_raw(r, now);
			if (r->has_link)
				take_rest(r);
			break;
		case PASSED:
			break;
		}
	}
	while (r->step == PASSED) {
		r->at = next_address(r);
		begin_address(r, now);
	}
	if (remote_state(r) != REMOTE_COMING || now.ms < r->deadline.ms)
		return;
	/* Its thread hangs. */
	if (r->search)
		search_leave(&r->searches, r->search);
	pass_slow(r);
}

void remote_late(struct remote *r)
{
	if (remote_state(r) == REMOTE_COMING && r->step != PASSED)
		pass_slow(r);
	if (r->step == PASSED) {
		start_with(r, next_address(r));
		fail_as_noted(r);
	}
}

/* ---- what goes ---- */

/* Makes records of what the client has to say; false: it has nothing, or no credit. */
static bool fill(struct remote *r, struct client *client, struct mono_time now)
{
	struct slice pieces[CLIENT_PIECES];
	size_t count, taken, size;
	do {
		count = client_output(client, now, pieces, CLIENT_PIECES);
		enum rmq_error err = client_link_seal(
		    &r->link, pieces, count, r->in->data, r->out + r->out_len, &taken, &size);
		if (err) {
			fail(r, RMQ_E_NO_DAEMON, "%s", error_text(err));
			return false;
		}
		client_wrote(client, taken);
		r->out_len += size;
	} while (taken > 0 && r->out_len <= CLIENT_LINK_RECORD_MAX);
	return r->out_len > 0;
}

/* What is sealed; false: not all of it has left. */
static bool send_out(struct remote *r)
{
	while (r->out_at < r->out_len) {
		ssize_t n =
		    send(r->fd, r->out + r->out_at, r->out_len - r->out_at, MSG_NOSIGNAL);
		if (n < 0 && errno == EINTR)
			continue;
		/* An error comes again when it is read, after what came before it. */
		r->full = n < 0 && errno == EAGAIN;
		if (n < 0)
			return false;
		r->out_at += (size_t)n;
		count(r, (size_t)n);
	}
	r->out_at = r->out_len = 0;
	r->full = false;
	return true;
}

bool remote_write(struct remote *r, struct client *client, struct mono_time now)
{
	while (r->step == OPEN && !r->link.over && send_out(r) && fill(r, client, now))
		;
	return r->full;
}

void remote_finish(struct remote *r, uint64_t most_ms)
{
	uint64_t until_ms = clock_mono().ms + most_ms, now_ms;
	bool said = false;
	while (r->step == OPEN && (now_ms = clock_mono().ms) < until_ms) {
		if (send_out(r) && !said) {
			struct writer w = writer_of(r->out, OUT_CAP);
			if (client_link_close(&r->link, &w) != RMQ_E_OK)
				break;
			r->out_len = w.len;
			said = true;
			continue;
		}
		/* It takes what was sent, and ends the connection then: what it sends is not minded. */
		struct pollfd p = {r->fd, (short)(POLLIN | (r->full ? POLLOUT : 0)), 0};
		if (poll(&p, 1, (int)(until_ms - now_ms)) < 0)
			break;
		if (p.revents & (POLLIN | POLLHUP | POLLERR)) {
			ssize_t n = recv(r->fd, r->raw, RAW_CAP, 0);
			if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
				break;
		}
	}
	remote_end(r);
}

/* ---- begin ---- */

static bool read_key(struct remote *r)
{
	struct reason why;
	if (r->has_key)
		return true;
	if (r->nowhere.text[0]) {
		give_up(r, RMQ_E_CONFIG, "%s", r->nowhere.text);
		return false;
	}
	enum rmq_error err = keyfile_read(r->keyfile, &r->own, &why);
	r->has_key = !err;
	if (err == RMQ_E_CONFIG)
		give_up(r, err, "there is no key %s: make one: rmq-keygen", r->keyfile);
	else if (err)
		give_up(r, err, "%s: %s", r->keyfile, why.text);
	return !err;
}

void remote_begin(
    struct remote *r, const struct socket_host *host, bool led, struct mono_time now)
{
	struct addrinfo *list = NULL;
	struct reason why;
	r->error = RMQ_E_OK;
	r->ours = false;
	r->text[0] = '\0';
	r->noted = RMQ_E_OK;
	r->may_come = false;
	r->led = led;
	if (remote_rests(r) && socket_host_same(&r->host, host)) {
		client_link_next(&r->link);
		r->step = OPEN;
		return;
	}
	remote_end(r);
	r->host = *host;
	if (!read_key(r))
		return;
	enum rmq_error err = known_gates_at(&r->known, host, led, &why);
	if (err) {
		give_up(r, err, "%s", why.text);
		return;
	}
	if (socket_host_resolve(host, AI_NUMERICHOST, &list) == 0)
		take_addresses(r, 0, list, now);
	else
		begin_search(r, now);
}

/* ---- questions ---- */

enum remote_state remote_state(const struct remote *r)
{
	switch (r->step) {
	case NOTHING:
		return REMOTE_IDLE;
	case OPEN:
		return REMOTE_UP;
	case ENDED:
		return REMOTE_OVER;
	default:
		return REMOTE_COMING;
	}
}

struct pollfd remote_poll(const struct remote *r)
{
	short events = r->step == CONNECTING ? POLLOUT : POLLIN;
	int fd = r->step == LOOKING_UP ? search_fd(r->search) : r->fd;
	return (struct pollfd){fd, (short)(events | (r->full ? POLLOUT : 0)), 0};
}

uint64_t remote_due_ms(const struct remote *r, struct mono_time now)
{
	if (remote_state(r) != REMOTE_COMING)
		return CLIENT_FOREVER;
	return r->deadline.ms > now.ms ? r->deadline.ms - now.ms : 0;
}

enum rmq_error remote_error(const struct remote *r, const char **text, bool *ours)
{
	*text = r->text;
	*ours = r->ours;
	return r->error;
}

bool remote_silent(const struct remote *r)
{
	struct tcp_info i;
	socklen_t len = sizeof(i);
	if (r->step != OPEN || getsockopt(r->fd, IPPROTO_TCP, TCP_INFO, &i, &len) != 0)
		return false;
	if (i.tcpi_unacked == 0 || i.tcpi_retransmits == 0 || i.tcpi_last_ack_recv < SILENT_MS)
		return false;
	uint64_t trips_ms = (uint64_t)i.tcpi_rtt * AGAIN_TRIPS / 1000;
	return i.tcpi_retransmits > 1 ||
	       i.tcpi_last_data_sent >= (trips_ms > AGAIN_MS ? trips_ms : AGAIN_MS);
}

bool remote_asked(struct remote *r)
{
	bool asked = r->asked;
	r->asked = false;
	return asked;
}

const struct pins *remote_told(const struct remote *r, unsigned *changes)
{
	*changes = r->known.changes;
	return &r->known.told;
}
