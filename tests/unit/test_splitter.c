/* Splitting of input into batches, and the frames that they are sent in. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "core/client/splitter.h"

static struct splitter splitter;

static int setup(void **state)
{
	(void)state;
	splitter_init(&splitter, '\n');
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	splitter_deinit(&splitter);
	return 0;
}

static void feed(const char *bytes, size_t len)
{
	size_t space;
	uint8_t *p = splitter_space(&splitter, &space);
	assert_true(len <= space);
	memcpy(p, bytes, len);
	splitter_fill(&splitter, len);
}

static struct sendbuf *expect_batch(bool flush, uint32_t count)
{
	struct sendbuf *b = NULL;
	assert_int_equal(splitter_next(&splitter, flush, &b), SPLITTER_BATCH);
	assert_false(b->large);
	assert_int_equal(b->count, count);
	return b;
}

static void expect_more(bool flush)
{
	struct sendbuf *b = NULL;
	assert_int_equal(splitter_next(&splitter, flush, &b), SPLITTER_MORE);
}

static void a_batch_leaves_on_demand_and_keeps_what_is_cut(void **state)
{
	(void)state;
	feed("one\n\nth", 7);
	expect_more(false);
	struct sendbuf *b = expect_batch(true, 2);
	struct batch_view v = sendbuf_view(b);
	assert_memory_equal(v.blob, "one\n\n", 5);
	assert_int_equal(batch_body(&v, 1).len, 0);
	sendbuf_free(b);
	expect_more(true);
	assert_int_equal(splitter_partial(&splitter), 2);
	feed("ree", 3);
	expect_more(true);
	splitter_end(&splitter);
	b = expect_batch(true, 1);
	assert_memory_equal(sendbuf_blob(b), "three\n", 6);
	sendbuf_free(b);
}

static void a_batch_closes_at_its_number_of_messages(void **state)
{
	(void)state;
	size_t space;
	uint8_t *p = splitter_space(&splitter, &space);
	memset(p, '\n', 5000);
	splitter_fill(&splitter, 5000);
	sendbuf_free(expect_batch(false, BATCH_MESSAGES_MAX));
	sendbuf_free(expect_batch(true, 5000 - BATCH_MESSAGES_MAX));
}

static void batches_are_whole_and_nothing_is_lost_whatever_the_sizes(void **state)
{
	(void)state;
	static uint8_t in[1 << 21], out[1 << 21];
	size_t at = 0, taken = 0, got = 0;
	uint32_t seed = 1;
	while (at < sizeof(in) - 300000) {
		seed = seed * 1664525 + 1013904223;
		size_t len = (seed >> 8) % (seed % 37 == 0 ? 250000 : 300);
		memset(in + at, 'a' + (int)(seed % 26), len);
		at += len;
		in[at++] = '\n';
	}
	while (taken < at || got < at) {
		size_t space;
		struct sendbuf *b;
		uint8_t *p = splitter_space(&splitter, &space);
		size_t n = at - taken < space ? at - taken : space;
		memcpy(p, in + taken, n);
		splitter_fill(&splitter, n);
		taken += n;
		while (splitter_next(&splitter, taken == at, &b) == SPLITTER_BATCH) {
			for (struct sendbuf *i = b; i; i = i->next) {
				memcpy(out + got, sendbuf_blob(i), i->blob_len);
				got += i->blob_len;
			}
			if (b->large)
				out[got++] = '\n';
			else
				assert_true(batch_size(b->count, b->blob_len) <= BATCH_MAX);
			sendbuf_free(b);
		}
	}
	assert_int_equal(got, at);
	assert_memory_equal(in, out, at);
}

static void a_record_longer_than_a_batch_goes_in_pieces(void **state)
{
	(void)state;
	static const size_t sizes[] = {BATCH_BODY_MAX, BATCH_BODY_MAX + 1, SENDBUF_CAP - 1,
	    SENDBUF_CAP, SENDBUF_CAP + 1, 2 * SENDBUF_CAP};
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		size_t left = sizes[i], sum = 0, space;
		struct sendbuf *b = NULL;
		while (left > 0) {
			uint8_t *p = splitter_space(&splitter, &space);
			size_t n = left < space ? left : space;
			memset(p, 'x', n);
			splitter_fill(&splitter, n);
			left -= n;
			expect_more(true);
		}
		feed("\n", 1);
		assert_int_equal(splitter_next(&splitter, true, &b), SPLITTER_BATCH);
		assert_int_equal(b->large, sizes[i] > BATCH_BODY_MAX);
		for (struct sendbuf *p = b; p; p = p->next) {
			assert_true(p->blob_len > 0);
			sum += p->blob_len;
		}
		assert_int_equal(sum, sizes[i] + !b->large);
		sendbuf_free(b);
		expect_more(true);
	}
}

static void a_record_over_the_limit_can_be_skipped(void **state)
{
	(void)state;
	struct sendbuf *b;
	enum splitter_result r = SPLITTER_MORE;
	for (size_t sum = 0; r == SPLITTER_MORE; sum += SENDBUF_CAP) {
		size_t space;
		assert_true(sum <= MESSAGE_MAX + SENDBUF_CAP);
		uint8_t *p = splitter_space(&splitter, &space);
		memset(p, 'x', space);
		splitter_fill(&splitter, space);
		r = splitter_next(&splitter, true, &b);
	}
	assert_int_equal(r, SPLITTER_TOO_LARGE);
	splitter_skip(&splitter);
	expect_more(true);
	feed("xx\nok\n", 6);
	b = expect_batch(true, 1);
	assert_memory_equal(sendbuf_blob(b), "ok\n", 3);
	sendbuf_free(b);
}

static void a_sealed_batch_is_what_was_put_in(void **state)
{
	(void)state;
	for (uint32_t count = 1; count <= BATCH_MESSAGES_MAX; count += 1365) {
		struct sendbuf *b = sendbuf_new();
		for (uint32_t i = 0; i < count; i++)
			assert_true(sendbuf_append(b, slice_of("abc", i % 4), '\n'));
		for (int again = 0; again < 2; again++) {
			struct wire_send m;
			struct batch_view v;
			sendbuf_seal(b, SEND_NO_CREATE, 0, slice_str("jobs"), NO_TAGS);
			sendbuf_stamp(b, 7, 6);
			struct slice f = sendbuf_frame(b);
			assert_true(wire_send_decode(slice_of(f.data + 8, f.len - 8), &m));
			assert_int_equal(m.n, 7);
			assert_int_equal(m.answered, 6);
			assert_int_equal(m.flags, SEND_NO_CREATE);
			assert_true(slice_eq(m.queue, slice_str("jobs")));
			assert_int_equal(batch_parse(m.data, &v), RMQ_E_OK);
			assert_int_equal(v.count, count - (uint32_t)again);
			for (uint32_t i = 0; i < v.count; i++)
				assert_int_equal(
				    batch_body(&v, i).len, (i + (uint32_t)again) % 4);
			if (count == 1)
				break;
			sendbuf_remove(b, 0, 1);
		}
		sendbuf_free(b);
	}
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {T(a_batch_leaves_on_demand_and_keeps_what_is_cut),
	    T(a_batch_closes_at_its_number_of_messages),
	    T(batches_are_whole_and_nothing_is_lost_whatever_the_sizes),
	    T(a_record_longer_than_a_batch_goes_in_pieces),
	    T(a_record_over_the_limit_can_be_skipped), T(a_sealed_batch_is_what_was_put_in)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
