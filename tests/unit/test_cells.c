/* The list of cells, and where a queue is at home. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/base/cells.h"

static struct cells list;

static void read_list(const char *text)
{
	const char *why;
	if (cells_parse(&list, slice_str(text), &why))
		fail_msg("%s: %s", text, why);
}

/* A name's home, as a text. */
static const char *home(const char *name)
{
	static char text[RAFT_NAME_MAX + 1];
	uint32_t i = cells_home(&list, slice_str(name));
	assert_true(i < list.count);
	struct slice is = cells_name(&list, i);
	memcpy(text, is.data, is.len);
	text[is.len] = '\0';
	return text;
}

#define assert_slice(s, text) \
	do { \
		struct slice s_ = (s); \
		assert_int_equal(s_.len, strlen(text)); \
		assert_memory_equal(s_.data, text, s_.len); \
	} while (0)

static void lists_are_read(void **state)
{
	(void)state;
	read_list("a=unix:/run/a,h:1;b+=[::1]:2;c=exec:ssh h 'X=1 q'");
	assert_int_equal(list.count, 3);
	assert_slice(cells_name(&list, 0), "a");
	assert_slice(list.cells[0].servers, "unix:/run/a,h:1");
	assert_true(list.cells[0].hashes);
	assert_slice(cells_name(&list, 1), "b");
	assert_slice(list.cells[1].servers, "[::1]:2");
	assert_false(list.cells[1].hashes);
	assert_slice(list.cells[2].servers, "exec:ssh h 'X=1 q'");
	assert_int_equal(cells_find(&list, slice_str("c")), 2);
	assert_int_equal(cells_find(&list, slice_str("d")), CELLS_NONE);

	read_list("h1,h2;x=h3;h4");
	assert_slice(cells_name(&list, 0), "1");
	assert_slice(cells_name(&list, 1), "x");
	assert_slice(cells_name(&list, 2), "3");
}

static void one_cell_is_as_without_a_list(void **state)
{
	(void)state;
	static const char *const one[] = {"unix:/a", "h:1,h:2", "exec:sh -c 'a; b=1'",
	    "unix:/a,exec:a;b=c;d", "unix:/a=b", "unix:/a/b=1"};
	static const char *const more[] = {"a=unix:/a", "a+=h", "h;h2", "h;b=h2"};
	for (size_t i = 0; i < sizeof(one) / sizeof(one[0]); i++) {
		assert_false(cells_named(slice_str(one[i])));
		read_list(one[i]);
		assert_int_equal(list.count, 1);
		assert_slice(cells_name(&list, 0), "1");
		assert_slice(list.cells[0].servers, one[i]);
		assert_string_equal(home("q"), "1");
	}
	for (size_t i = 0; i < sizeof(more) / sizeof(more[0]); i++)
		assert_true(cells_named(slice_str(more[i])));
	/* With a name, `;` ends a command as well. */
	read_list("a=exec:x;b=exec:y");
	assert_int_equal(list.count, 2);
}

static void lists_that_are_wrong_are_refused(void **state)
{
	static const struct {
		const char *text, *why;
	} bad[] = {{"", "no address"}, {";", "no address"}, {"a=h;", "no address"},
	    {"a=;b=h", "no address"}, {"=h", "NAME"}, {"+=h", "NAME"}, {"a b=h", "NAME"},
	    {"-a=h", "NAME"}, {"a=h;dead=h2", "another queue's"}, {"away=h", "another queue's"},
	    {"eu.dead=h", "another queue's"}, {"a.at.b=h", "another queue's"},
	    {"at.b=h", "another queue's"}, {"a=h;a=h2", "same name"}, {"h;1=h2", "same name"},
	    {"2=h;h2", "same name"}, {"a+=h;b+=h", "no queue would have a home"},
	    {"0123456789012345678901234567890123456789012345678901234567890123=h", "63"}};
	const char *why;
	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(cells_parse(&list, slice_str(bad[i].text), &why), RMQ_E_USAGE);
		assert_non_null(strstr(why, bad[i].why));
		assert_int_equal(list.count, 0);
		assert_int_equal(cells_home(&list, slice_str("q")), CELLS_NONE);
	}
}

static void lists_have_limits(void **state)
{
	static char text[CELLS_TEXT_MAX + 16];
	const char *why;
	(void)state;
	size_t len = 0;
	for (int i = 0; i < CELLS_MAX; i++)
		len += (size_t)snprintf(text + len, sizeof(text) - len, "h:%d;", i + 1);
	assert_int_equal(cells_parse(&list, slice_of(text, len - 1), &why), RMQ_E_OK);
	assert_int_equal(list.count, CELLS_MAX);
	len += (size_t)snprintf(text + len, sizeof(text) - len, "h:999");
	assert_int_equal(cells_parse(&list, slice_of(text, len), &why), RMQ_E_USAGE);
	assert_non_null(strstr(why, "128 cells"));
	memset(text, 'h', sizeof(text));
	assert_int_equal(cells_parse(&list, slice_of(text, CELL_SERVERS_MAX), &why), RMQ_E_OK);
	assert_int_equal(
	    cells_parse(&list, slice_of(text, CELL_SERVERS_MAX + 1), &why), RMQ_E_USAGE);
	assert_non_null(strstr(why, "4096"));
	assert_int_equal(
	    cells_parse(&list, slice_of(text, CELLS_TEXT_MAX + 1), &why), RMQ_E_USAGE);
	assert_non_null(strstr(why, "65536"));
}

static void what_goes_together_has_one_base(void **state)
{
	(void)state;
	assert_slice(cells_base(slice_str("q")), "q");
	assert_slice(cells_base(slice_str("q.dead")), "q");
	assert_slice(cells_base(slice_str("q.away")), "q");
	assert_slice(cells_base(slice_str("q.dead.away")), "q");
	assert_slice(cells_base(slice_str("q.away.dead")), "q");
	assert_slice(cells_base(slice_str(".dead")), ".dead");
	assert_slice(cells_base(slice_str("q.deadly")), "q.deadly");
	assert_slice(cells_base(slice_of(NULL, 0)), "");
	assert_true(cells_is_away(slice_str("q.away")));
	assert_false(cells_is_away(slice_str(".away")));
	assert_false(cells_is_away(slice_str("q.away.dead")));
	assert_slice(cells_away_for(slice_str("q.dead.away")), "q.dead");
	read_list("a=h;b=h;c=h;d=h");
	for (int i = 0; i < 100; i++) {
		char name[64], at[RAFT_NAME_MAX + 1];
		snprintf(name, sizeof(name), "jobs-%d", i);
		snprintf(at, sizeof(at), "%s", home(name));
		snprintf(name, sizeof(name), "jobs-%d.dead", i);
		assert_string_equal(home(name), at);
		snprintf(name, sizeof(name), "jobs-%d.dead.away", i);
		assert_string_equal(home(name), at);
	}
}

static void a_name_may_say_its_cell(void **state)
{
	(void)state;
	read_list("a=h;b=h;big.one+=h");
	assert_string_equal(home("q.at.b"), "b");
	assert_string_equal(home("q.at.a"), "a");
	assert_string_equal(home("q.at.big.one"), "big.one");
	assert_string_equal(home("q.at.a.at.b"), "b");
	assert_string_equal(home("q.at.b.dead"), "b");
	/* One that is not in the list says nothing. */
	assert_string_equal(home("q.at.x"), "a");
}

/* Frozen: whoever shares a list has to agree. */
static void homes_are_these_for_ever(void **state)
{
	static const struct {
		const char *name, *of_four, *of_two;
	} vectors[] = {
	    {"q", "a", "2"},
	    {"jobs", "a", "2"},
	    {"orders", "a", "2"},
	    {"mail", "a", "2"},
	    {"orders.eu", "c", "1"},
	    {"a", "d", "1"},
	    {"video-transcode", "c", "1"},
	    {"Z_9", "d", "1"},
	    {"metrics.cpu.load", "b", "2"},
	    {"0123456789012345678901234567890123456789", "b", "1"},
	};
	(void)state;
	read_list("a=h;b=h;c=h;d=h");
	for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++)
		assert_string_equal(home(vectors[i].name), vectors[i].of_four);
	/* In any order, with anything that does not hash beside them. */
	read_list("d=x;e+=y;c=x;b=x;a=x");
	for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++)
		assert_string_equal(home(vectors[i].name), vectors[i].of_four);
	read_list("h1;h2");
	for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++)
		assert_string_equal(home(vectors[i].name), vectors[i].of_two);
}

#define NAMES 100000

static void list_of(uint32_t cells)
{
	static char text[CELLS_TEXT_MAX];
	size_t len = 0;
	for (uint32_t i = 0; i < cells; i++)
		len += (size_t)snprintf(
		    text + len, sizeof(text) - len, "%scell%u=h", i > 0 ? ";" : "", i);
	read_list(text);
}

static void a_hundred_cells_have_as_much_each(void **state)
{
	uint32_t counts[CELLS_MAX] = {0};
	(void)state;
	list_of(100);
	for (int i = 0; i < NAMES; i++) {
		char name[32];
		snprintf(name, sizeof(name), "orders-%d", i);
		counts[cells_home(&list, slice_str(name))]++;
	}
	/* 1000 each, with a standard deviation of 31. */
	for (uint32_t i = 0; i < 100; i++)
		assert_in_range(counts[i], 840, 1160);
}

static void a_cell_more_takes_only_its_part(void **state)
{
	static uint8_t before[NAMES];
	uint32_t moved = 0;
	char name[32];
	(void)state;
	list_of(99);
	for (int i = 0; i < NAMES; i++) {
		snprintf(name, sizeof(name), "orders-%d", i);
		before[i] = (uint8_t)cells_home(&list, slice_str(name));
	}
	list_of(100);
	for (int i = 0; i < NAMES; i++) {
		snprintf(name, sizeof(name), "orders-%d", i);
		uint32_t now = cells_home(&list, slice_str(name));
		if (now != before[i]) {
			assert_int_equal(now, 99);
			moved++;
		}
	}
	assert_in_range(moved, 840, 1160);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(lists_are_read),
	    cmocka_unit_test(one_cell_is_as_without_a_list),
	    cmocka_unit_test(lists_that_are_wrong_are_refused),
	    cmocka_unit_test(lists_have_limits),
	    cmocka_unit_test(what_goes_together_has_one_base),
	    cmocka_unit_test(a_name_may_say_its_cell),
	    cmocka_unit_test(homes_are_these_for_ever),
	    cmocka_unit_test(a_hundred_cells_have_as_much_each),
	    cmocka_unit_test(a_cell_more_takes_only_its_part),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
