/* Which hook is run for which event. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "core/host/hooks.h"

static struct events events;
static struct hooks hooks;
static struct raft_config config;

/* The queue starts, or stops: events of seq 1000, 1001, ... */
static void happen(void)
{
	struct events_seen seen = {.config = &config, .index = 1, .commit = 1};

	if (!events.now.queue.name[0])
		seen.queue = config.members[0].id;
	events_look(&events, &seen, (struct wall_time){1000});
}

static int setup(void **state)
{
	(void)state;
	memset(&hooks, 0, sizeof(hooks));
	memset(&config, 0, sizeof(config));
	config.cluster.bytes[0] = 1;
	config.count = 1;
	config.members[0] =
	    (struct raft_member){.name = "n1", .id = {{1}}, .flags = RAFT_VOTER};
	events_init(&events, &(struct events_node){"n1", {{1}}}, (struct wall_time){1000});
	struct events_seen seen = {.config = &config, .index = 1, .commit = 1};
	events_look(&events, &seen, (struct wall_time){1000});
	return 0;
}

static void look(const char *const *names)
{
	hooks_begin(&hooks);
	for (; *names; names++)
		assert_non_null(hooks_found(&hooks, *names));
	hooks_looked(&hooks, &events);
}
#define LOOK(...) look((const char *const[]){__VA_ARGS__, NULL})

/* "NAME SEQ", "NAME missed N", or "". */
static const char *next(struct hook **hook)
{
	static char text[128];
	const struct events_event *one;
	uint64_t missed = 0;

	*hook = hooks_next(&hooks, &events, &one, &missed);
	if (!*hook)
		return "";
	if (one)
		snprintf(text, sizeof(text), "%s %d", (*hook)->name, (int)one->seq);
	else
		snprintf(text, sizeof(text), "%s missed %d", (*hook)->name, (int)missed);
	return text;
}

static void each_is_run_for_each_event_in_order_and_once_at_a_time(void **state)
{
	struct hook *a, *b, *none;

	(void)state;
	happen();
	LOOK("b", "a");
	/* That was before. */
	assert_string_equal(next(&none), "");
	assert_false(hooks_wait(&hooks, &events));
	happen();
	happen();
	assert_true(hooks_wait(&hooks, &events));
	LOOK("b", "a");
	assert_string_equal(next(&a), "a 1001");
	assert_string_equal(next(&b), "b 1001");
	assert_string_equal(next(&none), "");
	hooks_ended(b);
	/* One that hangs holds up no other. */
	assert_string_equal(next(&b), "b 1002");
	hooks_ended(b);
	assert_string_equal(next(&none), "");
	hooks_ended(a);
	assert_string_equal(next(&a), "a 1002");
}

static void one_that_hangs_is_told_how_many_it_missed(void **state)
{
	struct hook *a;

	(void)state;
	LOOK("a");
	happen();
	assert_string_equal(next(&a), "a 1000");
	for (unsigned i = 0; i < EVENTS_MAX + 5; i++)
		happen();
	hooks_ended(a);
	assert_string_equal(next(&a), "a missed 5");
	hooks_ended(a);
	assert_string_equal(next(&a), "a 1006");
}

static void hooks_come_and_go(void **state)
{
	struct hook *a, *b, *none;

	(void)state;
	LOOK("a");
	happen();
	/* It is there when the first event comes for which it is looked for. */
	LOOK("a", "b");
	assert_string_equal(next(&a), "a 1000");
	assert_string_equal(next(&b), "b 1000");
	happen();
	LOOK("b");
	assert_string_equal(next(&none), "");
	hooks_ended(a);
	assert_string_equal(next(&none), "");
	hooks_ended(b);
	assert_string_equal(next(&b), "b 1001");
	/* Its place is free. */
	LOOK("b");
	for (unsigned i = 0; i < HOOKS_MAX; i++) {
		char name[8];
		snprintf(name, sizeof(name), "x%u", i);
		assert_int_equal(hooks_found(&hooks, name) != NULL, i < HOOKS_MAX - 1);
	}
}

static void a_node_that_ends_waits_for_them_for_a_time(void **state)
{
	struct hook *a;

	(void)state;
	LOOK("a");
	assert_int_equal(hooks_due(&hooks), UINT64_MAX);
	happen();
	assert_false(hooks_done(&hooks, &events, 100));
	assert_string_equal(next(&a), "a 1000");
	assert_false(hooks_done(&hooks, &events, 200));
	assert_int_equal(hooks_due(&hooks), 100 + HOOKS_END_MS);
	assert_true(hooks_done(&hooks, &events, 100 + HOOKS_END_MS));
	hooks_ended(a);
	assert_true(hooks_done(&hooks, &events, 300));
}

static void some_names_are_no_hooks(void **state)
{
	char name[HOOKS_NAME_MAX + 2];

	(void)state;
	assert_true(hooks_name_valid("10-page_me.sh"));
	assert_false(hooks_name_valid(""));
	assert_false(hooks_name_valid(".hidden"));
	assert_false(hooks_name_valid("a~"));
	assert_false(hooks_name_valid("a.dpkg-old"));
	assert_false(hooks_name_valid("a.rpmnew"));
	assert_false(hooks_name_valid("a/b"));
	memset(name, 'a', sizeof(name));
	name[HOOKS_NAME_MAX + 1] = '\0';
	assert_false(hooks_name_valid(name));
	name[HOOKS_NAME_MAX] = '\0';
	assert_true(hooks_name_valid(name));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup(
		each_is_run_for_each_event_in_order_and_once_at_a_time, setup),
	    cmocka_unit_test_setup(one_that_hangs_is_told_how_many_it_missed, setup),
	    cmocka_unit_test_setup(hooks_come_and_go, setup),
	    cmocka_unit_test_setup(a_node_that_ends_waits_for_them_for_a_time, setup),
	    cmocka_unit_test(some_names_are_no_hooks),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
