/* Attributes of messages: what is accepted, and what a part of a batch keeps. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "core/client/labels.h"
#include "core/client/sendbuf.h"

static uint8_t bytes[BATCH_MAX], value_bytes[BATCH_MAX];

/* A list with one attribute. */
static struct slice list_of(unsigned tag, struct slice value)
{
	struct writer w = writer_of(bytes, sizeof(bytes));
	tags_put(&w, (uint16_t)tag, value);
	assert_false(w.full);
	return slice_of(bytes, w.len);
}

static enum rmq_error check(unsigned tag, struct slice value)
{
	return attributes_check(list_of(tag, value), 3);
}

static struct slice header(const char *name, const char *value)
{
	struct writer w = writer_of(value_bytes, sizeof(value_bytes));
	put_str(&w, slice_str(name));
	put_u16(&w, (uint16_t)strlen(value));
	put_rest(&w, slice_str(value));
	assert_false(w.full);
	return slice_of(value_bytes, w.len);
}

static void put_each(struct writer *w, uint16_t i, const char *value)
{
	put_u16(w, i);
	put_u16(w, (uint16_t)strlen(value));
	put_rest(w, slice_str(value));
}

static void values_have_their_kind(void **state)
{
	uint8_t zeros[256] = {0};
	(void)state;
	assert_int_equal(check(ATTRIBUTE_DELAY_UNTIL, slice_of(zeros, 8)), RMQ_E_OK);
	assert_int_equal(check(ATTRIBUTE_DELAY_UNTIL, slice_of(zeros, 7)), RMQ_E_PROTOCOL);
	assert_int_equal(check(ATTRIBUTE_EXPIRE_AT, slice_of(zeros, 9)), RMQ_E_PROTOCOL);
	assert_int_equal(check(ATTRIBUTE_PRIORITY, slice_of("\x09", 1)), RMQ_E_OK);
	assert_int_equal(check(ATTRIBUTE_PRIORITY, slice_of("\x0a", 1)), RMQ_E_PROTOCOL);
	assert_int_equal(check(ATTRIBUTE_KEY, slice_of(zeros, 255)), RMQ_E_OK);
	assert_int_equal(check(ATTRIBUTE_KEY, slice_of(zeros, 256)), RMQ_E_PROTOCOL);
	assert_int_equal(check(ATTRIBUTE_ID, slice_of(zeros, 0)), RMQ_E_PROTOCOL);
	assert_int_equal(check(ATTRIBUTE_REPLY_TOPIC, slice_str("answers")), RMQ_E_OK);
	assert_int_equal(check(ATTRIBUTE_REPLY_TOPIC, slice_str("-x")), RMQ_E_PROTOCOL);
	/* What is not known is carried, whatever it is. */
	assert_int_equal(check(0x1001, slice_of(zeros, 0)), RMQ_E_OK);
	assert_int_equal(check(0, slice_str("value")), RMQ_E_PROTOCOL);
}

static void headers_are_text_with_ascending_names(void **state)
{
	uint8_t two[64];
	(void)state;
	assert_int_equal(check(ATTRIBUTE_HEADERS, header("trace", "d\xc3\xa9j\xc3\xa0")), 0);
	assert_int_equal(check(ATTRIBUTE_HEADERS, header("trace", "")), RMQ_E_OK);
	assert_int_equal(check(ATTRIBUTE_HEADERS, header("", "x")), RMQ_E_PROTOCOL);
	assert_int_equal(check(ATTRIBUTE_HEADERS, header("a\tb", "x")), RMQ_E_PROTOCOL);
	assert_int_equal(check(ATTRIBUTE_HEADERS, header("a", "x\n")), RMQ_E_PROTOCOL);
	assert_int_equal(check(ATTRIBUTE_HEADERS, header("a", "\x7f")), RMQ_E_PROTOCOL);
	assert_int_equal(check(ATTRIBUTE_HEADERS, header("a", "\xc2\x85")), RMQ_E_PROTOCOL);
	assert_int_equal(check(ATTRIBUTE_HEADERS, header("a", "\xff")), RMQ_E_PROTOCOL);
	assert_int_equal(check(ATTRIBUTE_HEADERS, slice_of("", 0)), RMQ_E_PROTOCOL);

	struct slice one = header("a", "x");
	memcpy(two, one.data, one.len);
	memcpy(two + one.len, one.data, one.len);
	assert_int_equal(check(ATTRIBUTE_HEADERS, slice_of(two, 2 * one.len)), RMQ_E_PROTOCOL);
	two[one.len + 1] = 'b';
	assert_int_equal(check(ATTRIBUTE_HEADERS, slice_of(two, 2 * one.len)), RMQ_E_OK);
	assert_int_equal(
	    check(ATTRIBUTE_HEADERS, slice_of(two, 2 * one.len - 1)), RMQ_E_PROTOCOL);

	static char much[HEADERS_BYTES_MAX + 1];
	memset(much, 'x', HEADERS_BYTES_MAX - 4);
	assert_int_equal(check(ATTRIBUTE_HEADERS, header("a", much)), RMQ_E_OK);
	much[HEADERS_BYTES_MAX - 4] = 'x';
	assert_int_equal(check(ATTRIBUTE_HEADERS, header("a", much)), RMQ_E_PROTOCOL);
}

static void each_names_messages_of_the_batch_in_order(void **state)
{
	const unsigned tag = ATTRIBUTE_KEY | ATTRIBUTE_EACH;
	uint8_t each[64];
	(void)state;
	for (uint16_t second = 0; second < 5; second++) {
		struct writer w = writer_of(each, sizeof(each));
		put_each(&w, 1, "one");
		put_each(&w, second, "two");
		assert_int_equal(
		    check(tag, slice_of(each, w.len)), second == 2 ? RMQ_E_OK : RMQ_E_PROTOCOL);
		assert_int_equal(check(tag, slice_of(each, w.len - 1)), RMQ_E_PROTOCOL);
	}
	assert_int_equal(check(tag, slice_of(each, 0)), RMQ_E_PROTOCOL);
	/* Its values have their kind too. */
	struct writer w = writer_of(each, sizeof(each));
	put_each(&w, 1, "");
	assert_int_equal(check(tag, slice_of(each, w.len)), RMQ_E_PROTOCOL);
}

static void an_attribute_stands_in_one_way_only(void **state)
{
	uint8_t each[64];
	(void)state;
	for (uint16_t shared = 1; shared < 12; shared += 2) {
		struct writer e = writer_of(each, sizeof(each));
		struct writer w = writer_of(bytes, sizeof(bytes));
		put_each(&e, 0, "x");
		tags_put(&w, shared, shared == 1 ? header("a", "b") : slice_str("x"));
		tags_put(&w, 3 | ATTRIBUTE_EACH, slice_of(each, e.len));
		tags_put(&w, 7 | ATTRIBUTE_EACH, slice_of(each, e.len));
		assert_int_equal(attributes_check(slice_of(bytes, w.len), 1),
		    shared == 3 || shared == 7 ? RMQ_E_PROTOCOL : RMQ_E_OK);
	}
}

/* Five bodies "0" … "4"; reply topic "all" for all, an unknown attribute for 1, 2 and 4. */
static struct slice five(uint8_t *to, size_t cap)
{
	uint8_t each[64], list[128];
	struct writer e = writer_of(each, sizeof(each)), l = writer_of(list, sizeof(list));
	struct writer w = writer_of(to, cap);
	put_each(&e, 1, "one");
	put_each(&e, 2, "two");
	put_each(&e, 4, "");
	tags_put(&l, ATTRIBUTE_REPLY_TOPIC, slice_str("all"));
	tags_put(&l, 101 | ATTRIBUTE_EACH, slice_of(each, e.len));
	put_u16(&w, 5);
	put_u16(&w, (uint16_t)l.len);
	put_rest(&w, slice_of(list, l.len));
	for (uint16_t i = 1; i <= 5; i++)
		put_u16(&w, (uint16_t)(2 * i));
	put_rest(&w, slice_str("0\n1\n2\n3\n4\n"));
	assert_false(w.full);
	return slice_of(to, w.len);
}

/* Showing a batch costs its list once. */
static void attributes_are_found_one_after_the_other(void **state)
{
	uint8_t whole[256];
	struct batch_view v;
	struct attribute_cursor c = {0};
	struct slice is, value;
	(void)state;
	assert_int_equal(batch_parse(five(whole, sizeof(whole)), &v), RMQ_E_OK);
	for (int round = 0; round < 2; round++) {
		for (uint32_t i = 0; i < 5; i++) {
			const uint8_t *at = i > 0 ? c.each.p : NULL;
			bool has = attributes_find(v.attributes, 101, i, &value);
			assert_int_equal(attributes_next(&c, v.attributes, 101, i, &is), has);
			assert_true(!has || slice_eq(is, value));
			assert_true(at <= c.each.p);
		}
		assert_int_equal(reader_left(&c.each), 0);
	}
	for (uint32_t i = 5; i-- > 0;) {
		bool has = attributes_find(v.attributes, 101, i, &value);
		assert_int_equal(attributes_next(&c, v.attributes, 101, i, &is), has);
		assert_true(!has || slice_eq(is, value));
		assert_true(attributes_next(&c, v.attributes, ATTRIBUTE_REPLY_TOPIC, i, &is));
		assert_true(slice_eq(is, slice_str("all")));
	}
}

static void a_part_of_a_batch_keeps_its_attributes(void **state)
{
	static const char *const want[] = {NULL, "one", "two", NULL, ""};
	uint8_t whole[256], part[256];
	struct batch_view v, p;
	(void)state;
	struct slice all = five(whole, sizeof(whole));
	assert_int_equal(batch_parse(all, &v), RMQ_E_OK);
	for (uint32_t from = 0; from < 5; from++)
		for (uint32_t count = 1; count <= 5 - from; count++) {
			struct writer w = writer_of(part, sizeof(part));
			struct slice value;
			batch_copy(&w, &v, from, count);
			assert_false(w.full);
			assert_int_equal(batch_parse(slice_of(part, w.len), &p), RMQ_E_OK);
			for (uint32_t i = 0; i < count; i++) {
				assert_true(attributes_find(
				    p.attributes, ATTRIBUTE_REPLY_TOPIC, i, &value));
				assert_true(slice_eq(value, slice_str("all")));
				bool has = attributes_find(p.attributes, 101, i, &value);
				assert_int_equal(has, want[from + i] != NULL);
				if (has)
					assert_true(slice_eq(value, slice_str(want[from + i])));
				assert_int_equal(batch_body(&p, i).data[0], '0' + from + i);
			}
			if (count == 5) {
				assert_int_equal(w.len, all.len);
				assert_memory_equal(part, whole, w.len);
			}
		}
}

static void a_batch_without_attributes_has_no_byte_for_them(void **state)
{
	static const uint8_t plain[] = {2, 0, 0, 0, 2, 0, 4, 0, 'a', '\n', 'b', '\n'};
	uint8_t copy[sizeof(plain)];
	struct batch_view v;
	(void)state;
	assert_int_equal(batch_parse(slice_of(plain, sizeof(plain)), &v), RMQ_E_OK);
	struct writer w = writer_of(copy, sizeof(copy));
	batch_copy(&w, &v, 0, 2);
	assert_int_equal(w.len, sizeof(plain));
	assert_memory_equal(copy, plain, sizeof(plain));
	assert_int_equal(batch_weight(&v), v.blob_len);
	assert_int_equal(batch_size(v.count, v.blob_len), sizeof(plain));
}

static void a_cut_batch_is_refused(void **state)
{
	uint8_t whole[256];
	struct batch_view v;
	(void)state;
	struct slice all = five(whole, sizeof(whole));
	for (size_t len = 0; len < all.len; len++)
		assert_int_equal(batch_parse(slice_of(whole, len), &v), RMQ_E_PROTOCOL);
	/* The list is longer or shorter than its bytes. */
	for (int by = -3; by <= 3; by++) {
		uint16_t len = load_u16(whole + 2);
		store_u16(whole + 2, (uint16_t)(len + by));
		assert_int_equal(batch_parse(all, &v), by == 0 ? RMQ_E_OK : RMQ_E_PROTOCOL);
		store_u16(whole + 2, len);
	}
}

static void the_first_attribute_that_cannot_be_acted_on_is_told(void **state)
{
	uint8_t each[16];
	struct writer e = writer_of(each, sizeof(each));
	(void)state;
	put_each(&e, 0, "k");
	assert_int_equal(attributes_refused(slice_of("", 0)), 0);
	assert_int_equal(attributes_refused(list_of(3, slice_str("x"))), 0);
	assert_int_equal(attributes_refused(list_of(8, slice_str("x"))), 0);
	assert_int_equal(attributes_refused(list_of(12, slice_str("x"))), 12);
	assert_int_equal(
	    attributes_refused(list_of(12 | ATTRIBUTE_EACH, slice_of(each, e.len))), 12);
	assert_string_equal(attribute_name(8), "key");
	assert_null(attribute_name(12));
}

static struct slice table_list(struct attribute_table *t, uint32_t count)
{
	struct writer w = writer_of(bytes, sizeof(bytes));
	attribute_table_write(t, count, &w);
	assert_false(w.full);
	assert_true(w.len <= attribute_table_size(t));
	assert_int_equal(attributes_check(slice_of(bytes, w.len), count), RMQ_E_OK);
	return slice_of(bytes, w.len);
}

static void what_all_messages_have_stands_once(void **state)
{
	struct attribute_table t = {0};
	struct slice value;
	(void)state;
	for (uint32_t i = 0; i < 3; i++) {
		attribute_table_put(&t, i, ATTRIBUTE_HEADERS, header("a", "1"));
		if (i != 1)
			attribute_table_put(&t, i, ATTRIBUTE_PRIORITY, slice_of("\x07", 1));
		attribute_table_put(&t, i, ATTRIBUTE_KEY, slice_of("abc" + i, 1));
	}
	attribute_table_put(&t, ATTRIBUTE_ALL, ATTRIBUTE_EXPIRE_AT, slice_of("12345678", 8));
	struct slice list = table_list(&t, 3);
	assert_true(tags_find(list, ATTRIBUTE_HEADERS, &value));
	assert_true(tags_find(list, ATTRIBUTE_EXPIRE_AT, &value));
	assert_true(attributes_find(list, ATTRIBUTE_PRIORITY, 2, &value));
	assert_false(attributes_find(list, ATTRIBUTE_PRIORITY, 1, &value));
	assert_true(attributes_find(list, ATTRIBUTE_KEY, 2, &value));
	assert_int_equal(value.data[0], 'c');
	attribute_table_clear(&t);
	assert_int_equal(table_list(&t, 3).len, 0);
	attribute_table_deinit(&t);
}

static void a_message_that_is_removed_takes_its_attributes_with_it(void **state)
{
	struct attribute_table t = {0};
	struct sendbuf *b = sendbuf_new();
	struct slice value;
	(void)state;
	for (uint32_t i = 0; i < 4; i++) {
		if (i != 2)
			attribute_table_put(&t, i, ATTRIBUTE_KEY, slice_of("abcd" + i, 1));
		if (i == 1)
			attribute_table_put(&t, i, ATTRIBUTE_PRIORITY, slice_of("\x07", 1));
		assert_true(sendbuf_reserve(b, attribute_table_size(&t)));
		assert_true(sendbuf_append(b, slice_of("wxyz" + i, 1), '\n'));
	}
	assert_true(sendbuf_set_attributes(b, table_list(&t, 4)));
	sendbuf_remove(b, 1, 1);
	sendbuf_seal(b, 0, 0, slice_str("jobs"), NO_TAGS);
	struct batch_view v;
	assert_int_equal(batch_parse(sendbuf_batch(b), &v), RMQ_E_OK);
	assert_int_equal(v.count, 3);
	assert_true(attributes_find(v.attributes, ATTRIBUTE_KEY, 2, &value));
	assert_int_equal(value.data[0], 'd');
	assert_false(attributes_find(v.attributes, ATTRIBUTE_KEY, 1, &value));
	/* Nobody has it any more. */
	for (uint32_t i = 0; i < 3; i++)
		assert_false(attributes_find(v.attributes, ATTRIBUTE_PRIORITY, i, &value));
	sendbuf_free(b);
	attribute_table_deinit(&t);
}

static void attributes_that_leave_no_room_are_refused(void **state)
{
	struct sendbuf *b = sendbuf_new();
	static uint8_t body[BATCH_BODY_MAX];
	(void)state;
	assert_true(sendbuf_reserve(b, 100));
	assert_false(sendbuf_append(b, slice_of(body, BATCH_BODY_MAX - 99), '\n'));
	assert_true(sendbuf_append(b, slice_of(body, BATCH_BODY_MAX - 100), '\n'));
	assert_false(sendbuf_reserve(b, 101));
	assert_false(sendbuf_reserve(b, SENDBUF_ATTRIBUTES_MAX + 1));
	sendbuf_free(b);
}

static void headers_are_kept_in_order_and_the_last_of_a_name_counts(void **state)
{
	struct text t = {0};
	struct slice name, value;
	char big[HEADERS_BYTES_MAX];
	(void)state;
	assert_null(headers_put(&t, slice_str("b"), slice_str("1")));
	assert_null(headers_put(&t, slice_str("c"), slice_str("2")));
	assert_null(headers_put(&t, slice_str("a"), slice_str("3")));
	assert_null(headers_put(&t, slice_str("b"), slice_str("longer")));
	assert_int_equal(check(ATTRIBUTE_HEADERS, slice_of(t.data, t.len)), RMQ_E_OK);
	struct reader r = reader_of(slice_of(t.data, t.len));
	for (int i = 0; i < 3; i++) {
		static const char *const values[] = {"3", "longer", "2"};
		assert_true(headers_next(&r, &name, &value));
		assert_int_equal(name.data[0], "abc"[i]);
		assert_true(slice_eq(value, slice_str(values[i])));
	}
	size_t len = t.len;
	memset(big, 'x', sizeof(big));
	assert_non_null(headers_put(&t, slice_str("d"), slice_of(big, sizeof(big))));
	assert_non_null(headers_put(&t, slice_str(""), slice_str("1")));
	assert_non_null(headers_put(&t, slice_of(big, 256), slice_str("1")));
	assert_non_null(headers_put(&t, slice_str("d"), slice_str("a\nb")));
	assert_non_null(headers_put(&t, slice_str("d"), slice_str("\xff")));
	assert_int_equal(t.len, len);
	/* Exactly as much as there may be. */
	assert_null(headers_put(
	    &t, slice_str("d"), slice_of(big, HEADERS_BYTES_MAX - t.len - 1 - 1 - 2)));
	assert_int_equal(t.len, HEADERS_BYTES_MAX);
	text_deinit(&t);
}

static void labels_become_attributes_of_a_moment(void **state)
{
	struct labels l = {0}, over = {0};
	struct attribute_table t = {0};
	struct slice value;
	(void)state;
	assert_true(moment_parse("90s", &over.delay));
	assert_true(moment_parse("@2000000000", &over.expire));
	assert_false(moment_parse("infinity", &over.delay));
	assert_false(moment_parse("-1", &over.delay));
	assert_false(moment_parse("4000d", &over.delay));
	over.has_priority = true;
	over.priority = PRIORITY_DEFAULT;
	l.has_priority = true;
	l.priority = 7;
	text_put_str(&l.key, "mine");
	assert_null(headers_put(&l.headers, slice_str("a"), slice_str("1")));
	assert_null(headers_put(&over.headers, slice_str("a"), slice_str("2")));
	assert_null(labels_overlay(&l, &over));
	labels_put(&l, &t, 0);
	labels_put_times(&l, &t, (struct wall_time){1000});
	struct slice list = table_list(&t, 1);
	assert_true(tags_find(list, ATTRIBUTE_HEADERS, &value));
	assert_int_equal(value.data[value.len - 1], '2');
	assert_true(tags_find(list, ATTRIBUTE_KEY, &value));
	assert_true(tags_find(list, ATTRIBUTE_DELAY_UNTIL, &value));
	assert_int_equal(load_u64(value.data), 91000);
	assert_true(tags_find(list, ATTRIBUTE_EXPIRE_AT, &value));
	assert_int_equal(load_u64(value.data), 2000000000000);
	/* That is what a message without one has. */
	assert_false(tags_find(list, ATTRIBUTE_PRIORITY, &value));
	labels_clear(&l);
	attribute_table_clear(&t);
	labels_put(&l, &t, 0);
	assert_int_equal(attribute_table_size(&t), 0);
	labels_deinit(&l);
	labels_deinit(&over);
	attribute_table_deinit(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(values_have_their_kind),
	    cmocka_unit_test(headers_are_text_with_ascending_names),
	    cmocka_unit_test(each_names_messages_of_the_batch_in_order),
	    cmocka_unit_test(an_attribute_stands_in_one_way_only),
	    cmocka_unit_test(attributes_are_found_one_after_the_other),
	    cmocka_unit_test(a_part_of_a_batch_keeps_its_attributes),
	    cmocka_unit_test(a_batch_without_attributes_has_no_byte_for_them),
	    cmocka_unit_test(a_cut_batch_is_refused),
	    cmocka_unit_test(the_first_attribute_that_cannot_be_acted_on_is_told),
	    cmocka_unit_test(what_all_messages_have_stands_once),
	    cmocka_unit_test(a_message_that_is_removed_takes_its_attributes_with_it),
	    cmocka_unit_test(attributes_that_leave_no_room_are_refused),
	    cmocka_unit_test(headers_are_kept_in_order_and_the_last_of_a_name_counts),
	    cmocka_unit_test(labels_become_attributes_of_a_moment),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
