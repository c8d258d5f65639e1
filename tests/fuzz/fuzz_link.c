/*
 * Bytes from someone who can put anything on the connection: at a responder, at an initiator,
 * before and after the handshake.  Nothing comes out of the link but the peer's own stream,
 * nothing at all after an error, and how the bytes are cut into pieces changes nothing.
 *
 *	u8 who: 0 the responder, 1 the initiator; u8 bytes in a piece, 0: all; the bytes, the
 *	role before them included
 */
#include "fuzz.h"

#include <stdlib.h>

#include "core/link/link.h"

#define STREAM_MAX (64u << 10)
#define STREAM_LEN 3000
#define OUT_MAX	   256

static const uint8_t secrets[2][KEY_SIZE] = {{0, 'r', 1}, {0, 'i', 1}};
static const uint8_t ephemerals[2][KEY_SIZE] = {{0, 'r', 2}, {0, 'i', 2}};
static uint8_t stream[STREAM_LEN];

static bool known(void *context, enum link_role role, const uint8_t key[KEY_SIZE])
{
	uint8_t initiator[KEY_SIZE];
	(void)context;
	assert(role == LINK_NODE);
	assert(key_public(secrets[1], initiator));
	return memcmp(key, initiator, KEY_SIZE) == 0;
}

static void begin(struct link *l, int who, struct writer *out)
{
	struct keypair own;
	struct link_identity id = {.role = LINK_NODE,
	    .cluster = slice_str("cluster"),
	    .responder = slice_str("responder"),
	    .own = &own,
	    .ephemeral = ephemerals[who]};
	uint8_t responder[KEY_SIZE];
	enum rmq_error err;
	memcpy(own.secret, secrets[who], KEY_SIZE);
	assert(key_public(own.secret, own.key));
	if (who == 0) {
		err = link_respond(l, &id, known, NULL);
	} else {
		assert(key_public(secrets[0], responder));
		err = link_initiate(l, &id, responder, out);
	}
	assert(err == RMQ_E_OK);
}

/* How a link ended that was given the bytes in such pieces, and what came out of it. */
struct outcome {
	enum rmq_error error;
	enum noise_state state;
	bool ended;
	size_t got;
	size_t sent;
};

static struct outcome feed(int who, struct slice in, size_t piece)
{
	static uint8_t plain[2 * STREAM_MAX], out[OUT_MAX];
	struct writer got = writer_of(plain, sizeof(plain)), sent = writer_of(out, sizeof(out));
	struct link l;
	size_t at = 0, end = 0, used;
	enum rmq_error err = RMQ_E_OK;
	enum link_role role;
	begin(&l, who, &sent);
	if (who == 0 && in.len > 0) {
		if (!link_role_parse(in.data[0], LINK_ROLE_BIT(LINK_NODE), &role))
			err = RMQ_E_PROTOCOL;
		in = slice_of(in.data + LINK_ROLE_SIZE, in.len - LINK_ROLE_SIZE);
	}
	while (!err && end < in.len) {
		end = in.len - end > piece ? end + piece : in.len;
		do {
			enum noise_state before = l.noise.state;
			size_t got_before = got.len, sent_before = sent.len;
			err = link_receive(
			    &l, slice_of(in.data + at, end - at), &used, &got, &sent);
			assert(used <= end - at && used <= LINK_STEP_MAX);
			assert(l.noise.state >= before && (err == l.noise.error || !err));
			assert(!err || (got.len == got_before && sent.len == sent_before));
			assert(got.len == got_before || l.noise.state == NOISE_OPEN);
			at += used;
		} while (!err && used > 0 && got.len < STREAM_MAX);
		assert(err || end - at < LINK_STEP_MAX);
	}
	assert(got.len <= STREAM_LEN && memcmp(plain, stream, got.len) == 0);
	struct outcome o = {err, l.noise.state, link_ended(&l), got.len, sent.len};
	link_deinit(&l);
	return o;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 2 || size > STREAM_MAX)
		return 0;
	struct slice in = slice_of(data + 2, size - 2);
	struct outcome one = feed(data[0] & 1, in, SIZE_MAX);
	if (data[1] > 0) {
		struct outcome two = feed(data[0] & 1, in, data[1]);
		assert(one.error == two.error && one.state == two.state);
		assert(one.ended == two.ended && one.got == two.got && one.sent == two.sent);
	}
	return 0;
}

/* Takes all that is in `in` into the link; what it answers is put into `out`. */
static void take(struct link *l, struct slice in, struct writer *out)
{
	static uint8_t plain[STREAM_MAX];
	struct writer got = writer_of(plain, sizeof(plain));
	size_t used;
	enum rmq_error err = link_receive(l, in, &used, &got, out);
	assert(err == RMQ_E_OK && used == in.len);
}

static void say(struct link *l, struct writer *out)
{
	static const size_t lengths[] = {0, 1, 100, STREAM_LEN - 101};
	size_t at = 0;
	enum rmq_error err = RMQ_E_OK;
	for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]) && !err; i++) {
		err = link_send(l, slice_of(stream + at, lengths[i]), out);
		at += lengths[i];
	}
	assert(err == RMQ_E_OK && at == STREAM_LEN && !link_close(l, out));
}

/* The two sides of one conversation, whole and only its begin. */
void fuzz_seeds(fuzz_add *add)
{
	static uint8_t bytes[2][2 * STREAM_MAX];
	struct writer to[2];
	struct link l[2];
	for (size_t i = 0; i < STREAM_LEN; i++)
		stream[i] = (uint8_t)(i * 7);
	for (int who = 0; who < 2; who++) {
		to[who] = writer_of(bytes[who], sizeof(bytes[who]));
		put_u8(&to[who], (uint8_t)who);
		put_u8(&to[who], who ? 0 : 50);
	}
	begin(&l[1], 1, &to[0]);
	begin(&l[0], 0, &to[1]);
	take(&l[0], slice_of(to[0].p + 2 + LINK_ROLE_SIZE, LINK_FIRST_SIZE - LINK_ROLE_SIZE),
	    &to[1]);
	add(to[0].p, to[0].len);
	size_t first = to[0].len;
	take(&l[1], slice_of(to[1].p + 2, to[1].len - 2), &to[0]);
	add(to[1].p, to[1].len);
	take(&l[0], slice_of(to[0].p + first, to[0].len - first), &to[1]);
	add(to[0].p, to[0].len);
	for (int who = 0; who < 2; who++) {
		say(&l[1 - who], &to[who]);
		add(to[who].p, to[who].len);
		link_deinit(&l[1 - who]);
	}
}
