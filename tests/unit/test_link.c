/* Encrypted links: streams of bytes in any pieces, and what a stranger may not do. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <sodium.h>

#include "core/link/link.h"

#define STREAM_MAX (1u << 20)
#define TEXT	   "all of this arrives"

static const uint8_t secret_a[KEY_SIZE] = {0, 'a', 1}, ephemeral_a[KEY_SIZE] = {0, 'a', 2};
static const uint8_t secret_b[KEY_SIZE] = {0, 'b', 1}, ephemeral_b[KEY_SIZE] = {0, 'b', 2};
static uint8_t key_a[KEY_SIZE], key_b[KEY_SIZE];
static struct keypair pair_a, pair_b;

/* Both ends, what each has sent and not yet delivered, and what came out of each. */
static struct end {
	struct link link;
	struct writer sent;
	struct writer got;
} a, b;
static int asked;
static enum link_role asked_role;

static bool known(void *context, enum link_role role, const uint8_t key[KEY_SIZE])
{
	asked++;
	asked_role = role;
	return context == &asked && memcmp(key, key_a, KEY_SIZE) == 0;
}

static struct link_identity identity_of(const struct keypair *own, const uint8_t *ephemeral)
{
	return (struct link_identity){.role = LINK_NODE,
	    .cluster = slice_str("cluster"),
	    .responder = slice_str("node-b"),
	    .own = own,
	    .ephemeral = ephemeral};
}

static struct keypair pair_of(const uint8_t secret[KEY_SIZE])
{
	struct keypair pair;
	memcpy(pair.secret, secret, KEY_SIZE);
	assert_true(key_public(secret, pair.key));
	return pair;
}

static int setup(void **state)
{
	(void)state;
	asked = 0;
	pair_a = pair_of(secret_a);
	pair_b = pair_of(secret_b);
	memcpy(key_a, pair_a.key, KEY_SIZE);
	memcpy(key_b, pair_b.key, KEY_SIZE);
	struct end *ends[] = {&a, &b};
	for (int i = 0; i < 2; i++) {
		ends[i]->sent = writer_of(malloc(STREAM_MAX), STREAM_MAX);
		ends[i]->got = writer_of(malloc(STREAM_MAX), STREAM_MAX);
	}
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	free(a.sent.p), free(a.got.p), free(b.sent.p), free(b.got.p);
	return 0;
}

/* With `changed` in place of the role on its way. */
static void begin_with(const struct link_identity *initiator, uint8_t changed)
{
	struct link_identity id = identity_of(&pair_b, ephemeral_b);
	a.sent.len = a.got.len = b.sent.len = b.got.len = 0;
	assert_int_equal(link_initiate(&a.link, initiator, key_b, &a.sent), RMQ_E_OK);
	assert_int_equal(a.sent.len, LINK_FIRST_SIZE);
	assert_int_equal(a.sent.p[0], initiator->role);
	assert_true(link_role_parse(changed, ~0u, &id.role));
	assert_int_equal(id.role, changed);
	assert_int_equal(link_respond(&b.link, &id, known, &asked), RMQ_E_OK);
	a.sent.len -= LINK_ROLE_SIZE;
	memmove(a.sent.p, a.sent.p + LINK_ROLE_SIZE, a.sent.len);
}

static void begin(const struct link_identity *initiator)
{
	begin_with(initiator, (uint8_t)initiator->role);
}

/* Gives `to` what the other has sent, `piece` more bytes at a time, and nothing else to see. */
static enum rmq_error deliver(struct end *from, struct end *to, size_t piece)
{
	size_t begin = 0, end = 0, used;
	enum rmq_error err = RMQ_E_OK;
	while (end < from->sent.len && !err) {
		size_t left = from->sent.len - end;
		end += left < piece ? left : piece;
		do {
			size_t len = end - begin;
			assert_true(len < piece || len <= link_input_max(&to->link) + piece);
			uint8_t *exact = malloc(len + 1);
			memcpy(exact, from->sent.p + begin, len);
			err = link_receive(
			    &to->link, slice_of(exact, len), &used, &to->got, &to->sent);
			free(exact);
			begin += used;
		} while (!err && used > 0);
	}
	from->sent.len = 0;
	return err;
}

static void establish(void)
{
	struct link_identity id = identity_of(&pair_a, ephemeral_a);
	begin(&id);
	assert_int_equal(deliver(&a, &b, SIZE_MAX), RMQ_E_OK);
	assert_int_equal(deliver(&b, &a, SIZE_MAX), RMQ_E_OK);
	assert_int_equal(deliver(&a, &b, SIZE_MAX), RMQ_E_OK);
	assert_true(link_confirmed(&b.link));
}

/* What `bytes` lead to, at once. */
static enum rmq_error receive(struct end *to, const void *bytes, size_t len)
{
	size_t used;
	return link_receive(&to->link, slice_of(bytes, len), &used, &to->got, &to->sent);
}

/* A record with this inside, from an end that keeps to no rule. */
static enum rmq_error receive_inside(struct end *from, struct end *to, struct slice inside)
{
	uint8_t record[64];
	store_u16(record, (uint16_t)(inside.len + NOISE_TAG_SIZE));
	assert_int_equal(noise_seal(&from->link.noise, inside, record + 2), RMQ_E_OK);
	return receive(to, record, 2 + inside.len + NOISE_TAG_SIZE);
}

static void assert_wiped(const struct end *e, enum rmq_error error)
{
	static const uint8_t zeros[KEY_SIZE];
	const struct noise *n = &e->link.noise;
	assert_int_equal(n->state, NOISE_FAILED);
	assert_int_equal(n->error, error);
	assert_memory_equal(n->secret, zeros, KEY_SIZE);
	assert_memory_equal(n->in.key, zeros, KEY_SIZE);
	assert_memory_equal(n->out.key, zeros, KEY_SIZE);
	assert_int_equal(link_input_max(&e->link), 0);
	assert_false(link_can_send(&e->link));
	assert_false(link_confirmed(&e->link));
}

/* ---- streams ---- */

static void bytes_arrive_in_whatever_pieces(void **state)
{
	static const size_t pieces[] = {1, 2, 7, 1000, 65537, SIZE_MAX};
	static uint8_t big[300001];
	(void)state;
	for (size_t i = 0; i < sizeof(big); i++)
		big[i] = (uint8_t)(i * 31 >> 3);
	for (size_t i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++) {
		struct link_identity id = identity_of(&pair_a, ephemeral_a);
		size_t len = pieces[i] < 1000 ? 500 : sizeof(big);
		begin(&id);
		assert_int_equal(deliver(&a, &b, pieces[i]), RMQ_E_OK);
		assert_int_equal(deliver(&b, &a, pieces[i]), RMQ_E_OK);
		assert_int_equal(deliver(&a, &b, pieces[i]), RMQ_E_OK);
		assert_int_equal(link_send(&a.link, slice_of(big, len), &a.sent), RMQ_E_OK);
		assert_int_equal(a.sent.len, link_sealed_size(len));
		assert_int_equal(link_send(&b.link, slice_str(TEXT), &b.sent), RMQ_E_OK);
		assert_int_equal(deliver(&a, &b, pieces[i]), RMQ_E_OK);
		assert_int_equal(deliver(&b, &a, pieces[i]), RMQ_E_OK);
		assert_int_equal(b.got.len, len);
		assert_memory_equal(b.got.p, big, len);
		assert_int_equal(a.got.len, strlen(TEXT));
		assert_memory_equal(a.got.p, TEXT, strlen(TEXT));
	}
}

static void sizes_of_records_are_as_foretold(void **state)
{
	static const size_t sizes[] = {0, 1, LINK_DATA_MAX - 1, LINK_DATA_MAX,
	    LINK_DATA_MAX + 1, 2 * LINK_DATA_MAX, 2 * LINK_DATA_MAX + 1};
	(void)state;
	establish();
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		struct slice data = slice_of(b.sent.p, sizes[i]);
		assert_int_equal(link_send(&a.link, data, &a.sent), RMQ_E_OK);
		assert_int_equal(a.sent.len, link_sealed_size(sizes[i]));
		if (sizes[i] >= LINK_DATA_MAX)
			assert_int_equal(load_u16(a.sent.p), NOISE_RECORD_MAX);
		b.got.len = 0;
		assert_int_equal(deliver(&a, &b, SIZE_MAX), RMQ_E_OK);
		assert_int_equal(b.got.len, sizes[i]);
	}
}

static void the_link_names_its_peer(void **state)
{
	(void)state;
	establish();
	assert_memory_equal(link_peer(&a.link), key_b, KEY_SIZE);
	assert_memory_equal(link_peer(&b.link), key_a, KEY_SIZE);
	assert_int_equal(asked, 1);
}

/* ---- before the peer is known ---- */

/* By the two bytes of the length alone, so that nothing after them need be kept. */
static void only_exact_lengths_are_read_before_the_peer_is_known(void **state)
{
	struct link_identity id = identity_of(&pair_a, ephemeral_a);
	uint8_t header[2];
	(void)state;
	for (unsigned len = 0; len <= UINT16_MAX; len += len < 300 ? 1 : 997) {
		store_u16(header, (uint16_t)len);
		begin(&id);
		assert_int_equal(receive(&b, header, 2), len == 96 ? RMQ_E_OK : RMQ_E_PROTOCOL);
		assert_int_equal(receive(&a, header, 2), len == 48 ? RMQ_E_OK : RMQ_E_PROTOCOL);
		begin(&id);
		assert_int_equal(deliver(&a, &b, SIZE_MAX), RMQ_E_OK);
		assert_int_equal(receive(&b, header, 2), len == 17 ? RMQ_E_OK : RMQ_E_PROTOCOL);
	}
	assert_wiped(&b, RMQ_E_PROTOCOL);
	assert_int_equal(b.got.len, 0);
}

static void a_stranger_makes_us_keep_98_bytes(void **state)
{
	struct link_identity id = identity_of(&pair_a, ephemeral_a);
	(void)state;
	begin(&id);
	assert_int_equal(link_input_max(&b.link), 98);
	assert_int_equal(a.sent.len, 98);
	assert_int_equal(deliver(&a, &b, SIZE_MAX), RMQ_E_OK);
	assert_int_equal(link_input_max(&b.link), 19);
	assert_int_equal(link_input_max(&a.link), 50);
	assert_int_equal(deliver(&b, &a, SIZE_MAX), RMQ_E_OK);
	assert_int_equal(deliver(&a, &b, SIZE_MAX), RMQ_E_OK);
	assert_int_equal(link_input_max(&b.link), LINK_STEP_MAX);
	assert_int_equal(link_input_max(&a.link), LINK_STEP_MAX);
}

static void nothing_has_an_effect_before_the_first_record(void **state)
{
	struct link_identity id = identity_of(&pair_a, ephemeral_a);
	(void)state;
	begin(&id);
	assert_false(link_can_send(&a.link));
	assert_int_equal(deliver(&a, &b, SIZE_MAX), RMQ_E_OK);
	assert_false(link_confirmed(&b.link));
	assert_false(link_can_send(&b.link));
	assert_int_equal(deliver(&b, &a, SIZE_MAX), RMQ_E_OK);
	assert_false(link_confirmed(&a.link));
	assert_true(link_can_send(&a.link));
	assert_int_equal(b.got.len, 0);
	assert_int_equal(a.sent.len, 19);
	assert_int_equal(deliver(&a, &b, SIZE_MAX), RMQ_E_OK);
	assert_true(link_confirmed(&b.link));
	assert_true(link_can_send(&b.link));
	assert_int_equal(b.got.len, 0);
	assert_int_equal(link_send(&b.link, slice_str("x"), &b.sent), RMQ_E_OK);
	assert_int_equal(deliver(&b, &a, SIZE_MAX), RMQ_E_OK);
	assert_true(link_confirmed(&a.link));

	begin(&id);
	assert_int_equal(deliver(&a, &b, SIZE_MAX), RMQ_E_OK);
	b.sent.len = 0;
	assert_int_equal(link_send(&b.link, slice_str("x"), &b.sent), RMQ_E_BUG);
	assert_int_equal(b.sent.len, 0);
	assert_wiped(&b, RMQ_E_BUG);
}

/* Version, role, cluster and responder; also the same letters divided in another way. */
static void the_prologue_binds_what_the_link_is_for(void **state)
{
	struct link_identity ids[4];
	uint8_t bytes[LINK_PROLOGUE_MAX];
	(void)state;
	for (int i = 0; i < 4; i++)
		ids[i] = identity_of(&pair_a, ephemeral_a);
	ids[1].cluster = slice_str("clusteR");
	ids[2].responder = slice_str("node-c");
	ids[3].cluster = slice_str("clustern");
	ids[3].responder = slice_str("ode-b");
	for (int i = 0; i < 4; i++) {
		begin_with(&ids[i], i == 0 ? LINK_BULK : LINK_NODE);
		assert_int_equal(deliver(&a, &b, SIZE_MAX), RMQ_E_DENIED);
		assert_int_equal(b.sent.len, 0);
		assert_wiped(&b, RMQ_E_DENIED);
	}
	for (unsigned i = 0; i < 2; i++) {
		struct link_prologue p = {LINK_MAGIC, (uint16_t)(LINK_VERSION + i), LINK_NODE,
		    slice_str("cluster"), slice_str("node-b")};
		struct writer w = writer_of(bytes, sizeof(bytes));
		link_prologue_encode(&w, &p);
		begin(&ids[0]);
		assert_int_equal(noise_initiate(&a.link.noise, slice_of(w.p, w.len), &pair_a,
				     ephemeral_a, key_b),
		    RMQ_E_OK);
		assert_int_equal(
		    noise_write(&a.link.noise, slice_str(""), a.sent.p + 2), RMQ_E_OK);
		assert_int_equal(deliver(&a, &b, SIZE_MAX), i == 0 ? RMQ_E_OK : RMQ_E_DENIED);
	}
}

/* One listener serves several roles, and asks who may have which. */
static void the_role_is_what_the_first_byte_says(void **state)
{
	static const enum link_role all[] = {
#define X(name, code, cluster) LINK_##name,
	    LINK_ROLES(X)
#undef X
	};
	enum link_role role;
	(void)state;
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		struct link_identity id = identity_of(&pair_a, ephemeral_a);
		id.role = all[i];
		begin(&id);
		assert_int_equal(deliver(&a, &b, SIZE_MAX), RMQ_E_OK);
		assert_int_equal(asked_role, all[i]);
		assert_non_null(link_role_name(all[i]));
		assert_true(link_role_parse((uint8_t)all[i], LINK_ROLE_BIT(all[i]), &role));
		assert_false(link_role_parse((uint8_t)all[i], ~LINK_ROLE_BIT(all[i]), &role));
	}
	assert_false(link_role_parse(0, ~0u, &role));
	assert_false(link_role_parse(6, ~0u, &role));
	assert_false(link_role_parse(255, ~0u, &role));
}

static void only_who_joins_means_any_cluster(void **state)
{
	struct link_identity id = identity_of(&pair_a, ephemeral_a);
	(void)state;
	id.cluster = slice_str("");
	begin(&id);
	assert_int_equal(deliver(&a, &b, SIZE_MAX), RMQ_E_DENIED);
	id.role = LINK_JOIN;
	begin(&id);
	assert_int_equal(deliver(&a, &b, SIZE_MAX), RMQ_E_OK);
}

static void a_stranger_gets_no_answer(void **state)
{
	struct keypair stranger = pair_of(ephemeral_b);
	struct link_identity id = identity_of(&stranger, ephemeral_a);
	(void)state;
	begin(&id);
	assert_int_equal(deliver(&a, &b, SIZE_MAX), RMQ_E_DENIED);
	assert_int_equal(asked, 1);
	assert_int_equal(b.sent.len, 0);
	assert_wiped(&b, RMQ_E_DENIED);
}

/* ---- the end ---- */

static void close_ends_a_stream_and_eof_without_it_does_not(void **state)
{
	(void)state;
	establish();
	assert_int_equal(link_send(&a.link, slice_str(TEXT), &a.sent), RMQ_E_OK);
	assert_int_equal(link_close(&a.link, &a.sent), RMQ_E_OK);
	assert_int_equal(a.sent.len, strlen(TEXT) + 2 * (size_t)LINK_OVERHEAD);
	assert_false(link_can_send(&a.link));
	assert_int_equal(deliver(&a, &b, SIZE_MAX), RMQ_E_OK);
	assert_int_equal(b.got.len, strlen(TEXT));
	assert_true(link_ended(&b.link));
	assert_int_equal(link_input_max(&b.link), 0);
	assert_int_equal(link_eof(&b.link), RMQ_E_OK);
	/* The other direction goes on. */
	assert_int_equal(link_send(&b.link, slice_str(TEXT), &b.sent), RMQ_E_OK);
	assert_int_equal(deliver(&b, &a, SIZE_MAX), RMQ_E_OK);
	assert_false(link_ended(&a.link));
	assert_int_equal(link_eof(&a.link), RMQ_E_INTERRUPTED);
	assert_wiped(&a, RMQ_E_INTERRUPTED);
}

static void eof_is_a_cut_at_every_byte_before_close(void **state)
{
	(void)state;
	establish();
	assert_int_equal(link_send(&a.link, slice_str(TEXT), &a.sent), RMQ_E_OK);
	assert_int_equal(link_close(&a.link, &a.sent), RMQ_E_OK);
	for (size_t len = 0, all = a.sent.len; len <= all; len++) {
		struct end copy = b;
		copy.got.len = 0;
		a.sent.len = len;
		assert_int_equal(deliver(&a, &copy, SIZE_MAX), RMQ_E_OK);
		assert_int_equal(
		    link_eof(&copy.link), len == all ? RMQ_E_OK : RMQ_E_INTERRUPTED);
	}
	struct link_identity id = identity_of(&pair_a, ephemeral_a);
	begin(&id);
	assert_int_equal(link_eof(&a.link), RMQ_E_INTERRUPTED);
	assert_int_equal(link_eof(&b.link), RMQ_E_INTERRUPTED);
}

static void nothing_comes_behind_close(void **state)
{
	(void)state;
	establish();
	assert_int_equal(link_close(&a.link, &a.sent), RMQ_E_OK);
	put_u8(&a.sent, 0);
	assert_int_equal(deliver(&a, &b, SIZE_MAX), RMQ_E_PROTOCOL);
	assert_wiped(&b, RMQ_E_PROTOCOL);
	assert_int_equal(link_send(&a.link, slice_str(TEXT), &a.sent), RMQ_E_BUG);
	establish();
	assert_int_equal(link_close(&a.link, &a.sent), RMQ_E_OK);
	assert_int_equal(link_close(&a.link, &a.sent), RMQ_E_BUG);
}

/* ---- errors ---- */

static void a_record_without_a_known_kind_is_refused(void **state)
{
	static const char *const inside[] = {"", "\2", "data\2", "data\1", "\377"};
	(void)state;
	for (size_t i = 0; i < sizeof(inside) / sizeof(inside[0]); i++) {
		establish();
		assert_int_equal(receive_inside(&a, &b, slice_str(inside[i])), RMQ_E_PROTOCOL);
		assert_int_equal(b.got.len, 0);
		assert_wiped(&b, RMQ_E_PROTOCOL);
	}
	establish();
	assert_int_equal(receive_inside(&a, &b, slice_of("data", 5)), RMQ_E_OK);
	assert_int_equal(b.got.len, 4);
}

static void a_bad_record_ends_the_link_and_appends_nothing(void **state)
{
	(void)state;
	establish();
	assert_int_equal(link_send(&a.link, slice_str("x"), &a.sent), RMQ_E_OK);
	size_t first = a.sent.len;
	assert_int_equal(link_send(&a.link, slice_str(TEXT), &a.sent), RMQ_E_OK);
	a.sent.p[first + 2] ^= 1;
	assert_int_equal(deliver(&a, &b, SIZE_MAX), RMQ_E_PROTOCOL);
	assert_int_equal(b.got.len, 1);
	assert_int_equal(b.sent.len, 0);
	assert_wiped(&b, RMQ_E_PROTOCOL);
	assert_int_equal(receive(&b, "", 0), RMQ_E_PROTOCOL);
	assert_int_equal(link_eof(&b.link), RMQ_E_PROTOCOL);
	/* A length that no record has, before its bytes are there. */
	establish();
	assert_int_equal(receive(&b, "\17\0", 2), RMQ_E_PROTOCOL);
	assert_wiped(&b, RMQ_E_PROTOCOL);
}

static void too_many_records_end_the_link(void **state)
{
	(void)state;
	establish();
	a.link.noise.out.counter = NOISE_RECORDS_MAX;
	assert_int_equal(link_send(&a.link, slice_str("x"), &a.sent), RMQ_E_LIMIT);
	assert_int_equal(a.sent.len, 0);
	assert_wiped(&a, RMQ_E_LIMIT);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {TEST(bytes_arrive_in_whatever_pieces),
	    TEST(sizes_of_records_are_as_foretold), TEST(the_link_names_its_peer),
	    TEST(only_exact_lengths_are_read_before_the_peer_is_known),
	    TEST(a_stranger_makes_us_keep_98_bytes),
	    TEST(nothing_has_an_effect_before_the_first_record),
	    TEST(the_prologue_binds_what_the_link_is_for),
	    TEST(the_role_is_what_the_first_byte_says), TEST(only_who_joins_means_any_cluster),
	    TEST(a_stranger_gets_no_answer),
	    TEST(close_ends_a_stream_and_eof_without_it_does_not),
	    TEST(eof_is_a_cut_at_every_byte_before_close), TEST(nothing_comes_behind_close),
	    TEST(a_record_without_a_known_kind_is_refused),
	    TEST(a_bad_record_ends_the_link_and_appends_nothing),
	    TEST(too_many_records_end_the_link)};
	return sodium_init() < 0 ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
