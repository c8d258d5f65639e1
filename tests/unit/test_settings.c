/* Settings that must be the same on all nodes: told, and compared. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "core/host/settings.h"
#include "core/raft/node_wire.h"

static struct settings a, b;
static const struct settings_of node = {&a, "n2"}, member = {&b, "n1"}, here = {&b, NULL};
static char text[TEXT_MAX + 1];

static const struct min_members three = {
    .all = 3, .count = 2, .roles = {{"west", 1}, {"archive", 2}}};

static void make(struct settings *s)
{
	*s = (struct settings){{{0}}};
	settings_times(s, 500, 100);
	settings_flags(s, NODE_STATE_RIGHTS);
	settings_min_members(s, &three);
}

static int setup(void **state)
{
	(void)state;
	make(&a);
	make(&b);
	return 0;
}

static void assert_refused(const char *why)
{
	assert_int_equal(settings_admit(&node, &member, true, text), RMQ_E_CONFIG);
	assert_string_equal(text, why);
	assert_int_equal(settings_admit(&node, &member, false, text), RMQ_E_OK);
}

static void a_node_with_the_same_settings_is_admitted(void **state)
{
	(void)state;
	assert_int_equal(settings_admit(&node, &member, true, text), RMQ_E_OK);
}

static void the_one_that_differs_is_named_with_both_values(void **state)
{
	(void)state;
	settings_times(&a, 1500, 50);
	assert_refused(
	    "election-timeout is 1500ms on n2 and 500ms on n1, and must be the same on "
	    "all nodes: see enforce in rmq.conf(5)");
	assert_int_equal(
	    settings_differ(&a, &b, SETTING_ELECTION_TIMEOUT + 1), SETTING_HEARTBEAT);
	make(&a);
	settings_flags(&a, NODE_STATE_RIGHTS | NODE_STATE_EXPLICIT);
	assert_refused("create is explicit on n2 and auto on n1, and must be the same on all "
		       "nodes: see enforce in rmq.conf(5)");
	settings_text(text, SETTING_CREATE, &node, &here);
	assert_string_equal(text,
	    "create is explicit on n2 and auto here, and must be the same "
	    "on all nodes: see enforce in rmq.conf(5)");
	make(&a);
	settings_min_members(&a, &(struct min_members){0});
	assert_refused(
	    "min-members is 1 on n2 and 3,archive:2,west:1 on n1, and must be the same "
	    "on all nodes: see enforce in rmq.conf(5)");
}

static void engines_never_mix_whatever_is_enforced(void **state)
{
	static const char why[] =
	    "engine is postgresql on n2 and built-in on n1: a cluster has one, and keeps it: see "
	    "rmq.conf(5)";

	(void)state;
	settings_engine(&a, RAFT_ENGINE_POSTGRESQL);
	/* An older node does not say it, and has the only one that there was. */
	assert_int_equal(settings_admit(&node, &member, false, text), RMQ_E_CONFIG);
	assert_string_equal(text, why);
	settings_engine(&b, RAFT_ENGINE_BUILT_IN);
	assert_int_equal(settings_admit(&node, &member, true, text), RMQ_E_CONFIG);
	assert_string_equal(text, why);
	settings_engine(&b, RAFT_ENGINE_POSTGRESQL);
	assert_int_equal(settings_admit(&node, &member, true, text), RMQ_E_OK);
	make(&a);
	make(&b);
	settings_engine(&a, RAFT_ENGINE_BUILT_IN);
	assert_int_equal(settings_admit(&node, &member, true, text), RMQ_E_OK);
}

static void roles_may_stand_in_any_order(void **state)
{
	const struct min_members same = {
	    .all = 3, .count = 2, .roles = {{"archive", 2}, {"west", 1}}};

	(void)state;
	settings_min_members(&a, &same);
	assert_int_equal(settings_differ(&a, &b, 0), SETTINGS_COUNT);
}

static void the_longest_value_fits(void **state)
{
	struct min_members most = {.all = 9, .count = MIN_MEMBERS_ROLES};

	(void)state;
	for (unsigned i = 0; i < MIN_MEMBERS_ROLES; i++) {
		memset(most.roles[i].role, 'r', RAFT_ROLE_MAX);
		most.roles[i].role[0] = (char)('a' + i);
		most.roles[i].members = 9;
	}
	settings_min_members(&a, &most);
	assert_int_equal(strlen(a.value[SETTING_MIN_MEMBERS]), SETTINGS_VALUE_MAX);
}

static void a_file_of_rights_is_compared_by_those_that_know_which_they_have(void **state)
{
	const uint32_t one = NODE_STATE_RIGHTS | 1u << 16;

	(void)state;
	settings_flags(&a, one);
	assert_refused(
	    "rights is set on n2 and not set on n1, and must be the same on all nodes: "
	    "see rmq-rights(5)");
	settings_flags(&b, NODE_STATE_RIGHTS | 2u << 16);
	assert_refused(
	    "the file of rights has other lines on n2 than on n1, and must be the same "
	    "on all nodes: rmq-clusterd reads it again at SIGHUP");
	settings_flags(&b, one);
	assert_int_equal(settings_differ(&a, &b, 0), SETTINGS_COUNT);
	/* An older node says nothing, and one that has not read its file yet neither. */
	settings_flags(&b, 0);
	assert_int_equal(settings_differ(&a, &b, 0), SETTINGS_COUNT);
}

static struct cells cells(const char *list)
{
	struct cells parsed = {0};
	const char *why;

	if (*list)
		assert_int_equal(cells_parse(&parsed, slice_str(list), &why), RMQ_E_OK);
	return parsed;
}

static void set_cells(const char *of_node, const char *of_member)
{
	struct cells list = cells(of_node);

	settings_cells(&a, &list, *of_node ? "a" : "");
	list = cells(of_member);
	settings_cells(&b, &list, *of_member ? "a" : "");
}

static void a_list_of_cells_is_compared_by_its_sum(void **state)
{
	static const char other[] =
	    "cells is another list on n2 than on n1, and must be the same on all nodes: start "
	    "rmq-clusterd again with the new one where it is old";

	(void)state;
	set_cells("a=h1;b=h2", "a=h1;b=h2");
	assert_int_equal(settings_admit(&node, &member, true, text), RMQ_E_OK);
	set_cells("a=h1;b+=h2", "a=h1;b=h2");
	assert_refused(other);
	set_cells("a=h1;b=h2", "a=h1;b=h3");
	assert_refused(other);
	set_cells("a=h1;b=h2;c=h3", "a=h1;b=h2");
	assert_refused(other);
	set_cells("a=h1;b=h2", "");
	assert_refused(
	    "cells is set on n2 and not set on n1, and must be the same on all nodes: "
	    "see rmq.conf(5)");
	set_cells("", "");
	assert_int_equal(settings_admit(&node, &member, true, text), RMQ_E_OK);
	set_cells("a=h1;b=h2", "a=h1;b=h2");
	struct cells list = cells("a=h1;b=h2");
	settings_cells(&a, &list, "b");
	assert_refused("cell is b on n2 and a on n1, and must be the same on all nodes: see "
		       "enforce in rmq.conf(5)");
	/* An older node does not say it. */
	make(&a);
	assert_int_equal(settings_admit(&node, &member, true, text), RMQ_E_OK);
}

static void what_is_said_counts_and_the_rest_stays(void **state)
{
	struct settings word = {{{0}}};

	(void)state;
	settings_times(&word, 500, 50);
	settings_take(&a, &word);
	assert_string_equal(a.value[SETTING_HEARTBEAT], "50ms");
	assert_string_equal(a.value[SETTING_CREATE], "auto");
}

static void what_is_said_is_heard(void **state)
{
	uint8_t tags[SETTINGS_SIZE_MAX];
	struct writer w = writer_of(tags, sizeof(tags));
	struct settings heard = {{{0}}};
	bool unenforced = true;

	(void)state;
	settings_encode(&w, &a, false);
	assert_int_equal(settings_decode(slice_of(tags, w.len), &heard, &unenforced), RMQ_E_OK);
	assert_false(unenforced);
	assert_memory_equal(&heard, &a, sizeof(a));
	w = writer_of(tags, sizeof(tags));
	settings_encode(&w, &a, true);
	assert_int_equal(settings_decode(slice_of(tags, w.len), &heard, &unenforced), RMQ_E_OK);
	assert_true(unenforced);
}

static enum rmq_error decode(unsigned tag, const char *value)
{
	uint8_t tags[2 * SETTINGS_SIZE_MAX];
	struct writer w = writer_of(tags, sizeof(tags));
	bool unenforced;

	tags_put(&w, (uint16_t)tag, slice_str(value));
	return settings_decode(slice_of(tags, w.len), &a, &unenforced);
}

static void what_is_new_is_passed_over_and_what_is_wrong_refused(void **state)
{
	char longest[SETTINGS_VALUE_MAX + 2] = "";

	(void)state;
	memset(longest, '1', SETTINGS_VALUE_MAX);
	assert_int_equal(decode(SETTINGS_TAG_CREATE, longest), RMQ_E_OK);
	longest[SETTINGS_VALUE_MAX] = '1';
	assert_int_equal(
	    settings_decode(slice_of("\1\0\1", 3), &a, &(bool){false}), RMQ_E_PROTOCOL);
	assert_int_equal(decode(SETTINGS_TAG_CREATE, "auto\33[2J"), RMQ_E_PROTOCOL);
	assert_int_equal(decode(SETTINGS_TAG_CREATE, ""), RMQ_E_PROTOCOL);
	assert_int_equal(decode(SETTINGS_TAG_UNENFORCED, "2"), RMQ_E_PROTOCOL);
	assert_int_equal(decode(0x7001, "x"), RMQ_E_OK);
	assert_int_equal(decode(0x7002, "x"), RMQ_E_VERSION);
	uint8_t tags[2 * SETTINGS_SIZE_MAX];
	struct writer w = writer_of(tags, sizeof(tags));
	tags_put(&w, SETTINGS_TAG_CREATE, slice_of(longest, SETTINGS_VALUE_MAX + 1));
	assert_int_equal(
	    settings_decode(slice_of(tags, w.len), &a, &(bool){false}), RMQ_E_PROTOCOL);
}

#define T(name) cmocka_unit_test_setup(name, setup)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    T(a_node_with_the_same_settings_is_admitted),
	    T(the_one_that_differs_is_named_with_both_values),
	    T(roles_may_stand_in_any_order),
	    T(engines_never_mix_whatever_is_enforced),
	    T(the_longest_value_fits),
	    T(a_file_of_rights_is_compared_by_those_that_know_which_they_have),
	    T(a_list_of_cells_is_compared_by_its_sum),
	    T(what_is_said_counts_and_the_rest_stays),
	    T(what_is_said_is_heard),
	    T(what_is_new_is_passed_over_and_what_is_wrong_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
