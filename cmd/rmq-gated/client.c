#include "client.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "gate.h"

void client_new(struct gate *g, int fd)
{
	struct ucred peer;
	socklen_t len = sizeof(peer);
	bool known = getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) == 0;
	struct stream *s = stream_new(g, GREETING, fd);

	if (!s)
		return;
	gate_client_begun(g);
	s->uid = known ? peer.uid : UINT32_MAX;
	stream_watch(s);
}

bool client_new_key(struct gate *g, int fd, const char *name, struct slice rights)
{
	struct key_client *key = malloc(sizeof(*key) + rights.len);
	struct stream *s = key ? stream_new(g, GREETING, fd) : NULL;

	if (!s) {
		if (!key)
			close(fd);
		free(key);
		return false;
	}
	(void)snprintf(key->name, sizeof(key->name), "%s", name);
	memcpy(key->rights, rights.data, rights.len);
	key->len = rights.len;
	gate_client_begun(g);
	s->key = key;
	g->led_count++;
	stream_watch(s);
	return true;
}

/* How many bytes HELLO has, as far as can be told; what is after it is the queue daemon's. */
static size_t hello_size(const struct stream *s)
{
	if (s->hello_len < FRAME_HEADER_SIZE)
		return FRAME_HEADER_SIZE;
	size_t size = FRAME_HEADER_SIZE + (size_t)load_u32(s->hello);
	return size < STREAM_HELLO_SIZE ? size : STREAM_HELLO_SIZE;
}

/* What the bytes so far say.  RMQ_E_NOTHING: more are to come. */
static enum rmq_error parse_hello(const struct stream *s)
{
	struct wire_hello m;
	struct versions theirs;
	const uint8_t *payload = s->hello + FRAME_HEADER_SIZE;

	if (s->hello_len < FRAME_HEADER_SIZE)
		return RMQ_E_NOTHING;
	if (s->hello[4] != WIRE_TYPE_HELLO)
		return RMQ_E_PROTOCOL;
	size_t len = load_u32(s->hello), have = s->hello_len - FRAME_HEADER_SIZE;
	/* Another version's HELLO may be longer; which ones it knows stands at its beginning. */
	size_t head = len < WIRE_HELLO_HEAD ? len : WIRE_HELLO_HEAD;
	if (have < head)
		return RMQ_E_NOTHING;
	if (len < WIRE_HELLO_HEAD)
		return RMQ_E_PROTOCOL;
	if (!wire_hello_versions(slice_of(payload, have), &theirs) ||
	    versions_common(theirs, WIRE_VERSIONS) == 0)
		return RMQ_E_VERSION;
	if (len > WIRE_HELLO_MAX)
		return RMQ_E_PROTOCOL;
	if (have < len)
		return RMQ_E_NOTHING;
	return wire_hello_decode(slice_of(payload, len), &m) ? RMQ_E_OK : RMQ_E_PROTOCOL;
}

/* Reads what there is of HELLO.  False: the client is gone. */
static bool read_hello(struct stream *s)
{
	while (s->hello_len < hello_size(s)) {
		ssize_t n = recv(
		    s->fd, s->hello + s->hello_len, hello_size(s) - s->hello_len, MSG_DONTWAIT);
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return true;
		if (n <= 0)
			return false;
		s->hello_len += (size_t)n;
	}
	return true;
}

void client_read(struct stream *s)
{
	struct gate *g = s->gate;

	if (!read_hello(s)) {
		stream_free(s);
		return;
	}
	enum rmq_error err = parse_hello(s);
	if (err == RMQ_E_NOTHING) {
		stream_watch(s);
		return;
	}
	if (err) {
		if (log_rate_allows(&g->clients_rate, uv_now(&g->loop)))
			log_info("a client of user %u: %s", s->uid, error_text(err));
		stream_error(s, err);
		return;
	}
	stream_enter(s, HELD);
	stream_watch(s);
	client_decide(s);
}

/* What a whole HELLO says of the way that it came. */
static uint64_t hello_how(const struct stream *s)
{
	struct wire_hello m;
	struct slice payload =
	    slice_of(s->hello + FRAME_HEADER_SIZE, s->hello_len - FRAME_HEADER_SIZE);

	return wire_hello_decode(payload, &m) ? tags_find_u64(m.tags, HELLO_TAG_HOW) : 0;
}

/*
 * A client with a key goes to the leading node's gate, unless it cannot; if the queue has come here
 * meanwhile, it finds it as soon as it asks again.
 */
static bool decide_key(struct stream *s)
{
	const struct control_view *v = &s->gate->view;

	if (v->flags & CONTROL_SERVING)
		stream_not_yet(s);
	else if (v->leader[0] && v->leader_gate[0] && !(hello_how(s) & HELLO_RELAY))
		stream_redirect(s, v->leader_gate);
	else
		return false;
	return true;
}

static void redirect_here(struct stream *s)
{
	char address[TEXT_MAX + 8];

	(void)snprintf(address, sizeof(address), "unix:%s", s->gate->view.queue_socket);
	stream_redirect(s, address);
}

void client_decide(struct stream *s)
{
	struct gate *g = s->gate;

	if (s->key && decide_key(s))
		return;
	if (g->view.flags & CONTROL_SERVING) {
		redirect_here(s);
		return;
	}
	if (g->leader_link && !gate_link_open(g->leader_link, s))
		stream_not_yet(s);
}

void client_refused(struct stream *s, enum rmq_error code)
{
	if (code == RMQ_E_VERSION)
		stream_error(s, code);
	else
		stream_not_yet(s);
}

void client_silent(struct stream *s)
{
	struct gate *g = s->gate;

	if (log_rate_allows(&g->clients_rate, uv_now(&g->loop)))
		log_info("a client of user %u: did not say HELLO in time", s->uid);
	stream_free(s);
}
