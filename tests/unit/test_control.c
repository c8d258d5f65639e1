/* What a node shows to askers of each version of the control protocol. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "core/host/control.h"

static uint8_t bytes[2 * CONTROL_VIEW_SIZE_MAX];
static struct control_view view;
static struct control_collector seen;

static int setup(void **state)
{
	(void)state;
	seen = (struct control_collector){.req = 0};
	view = (struct control_view){.name = "n1",
	    .id = {{1}},
	    .role = CONTROL_ROLE_LEADER,
	    .level = 2,
	    .config_index = 7,
	    .count = 3,
	    .members = {{.name = "n1",
			    .id = {{1}},
			    .raft_flags = RAFT_VOTER,
			    .state = CONTROL_MEMBER_UP,
			    .roles = "west",
			    .version = "1.2",
			    .round_trip = 250},
		{.name = "n2", .id = {{2}}, .state = CONTROL_MEMBER_JOINING},
		{.name = "n3", .state = CONTROL_MEMBER_ADMITTED}}};
	return 0;
}

static enum rmq_error show(unsigned version)
{
	struct writer w = writer_of(bytes, sizeof(bytes));
	enum rmq_error err = RMQ_E_NOTHING;
	size_t used = 0;

	control_view_encode(&w, 5, &view, version);
	assert_false(w.full);
	for (size_t at = 0; at < w.len && err == RMQ_E_NOTHING; at += used) {
		struct frame f;
		assert_int_equal(
		    frame_parse(slice_of(bytes + at, w.len - at), &f, &used), RMQ_E_OK);
		assert_true(used > 0);
		err = control_collect(&seen, &f);
	}
	return err;
}

static void all_is_shown_in_the_newest_version(void **state)
{
	(void)state;
	assert_int_equal(show(CONTROL_VERSION), RMQ_E_OK);
	assert_memory_equal(&seen.view, &view, sizeof(view));
}

static void an_asker_of_version_1_is_shown_what_it_knows(void **state)
{
	(void)state;
	seen.untagged = true;
	assert_int_equal(show(1), RMQ_E_OK);
	assert_string_equal(seen.view.members[0].version, "");
	assert_int_equal(seen.view.level, 0);
	/* Its state follows from what there was. */
	for (unsigned i = 0; i < view.count; i++)
		assert_int_equal(seen.view.members[i].state, view.members[i].state);
}

static void the_two_are_not_taken_for_each_other(void **state)
{
	(void)state;
	assert_int_equal(show(1), RMQ_E_PROTOCOL);
	setup(NULL);
	seen.untagged = true;
	assert_int_equal(show(CONTROL_VERSION), RMQ_E_PROTOCOL);
}

/* As 9986a79 wrote it. */
static void a_state_of_version_1_is_so(void **state)
{
	struct writer w = writer_of(bytes, sizeof(bytes));

	(void)state;
	view = (struct control_view){.name = "n1"};
	control_view_encode(&w, 5, &view, 1);
	/* req; cluster, name, key, id; role, flags; term, commit, last; five texts; members */
	assert_int_equal(w.len, FRAME_HEADER_SIZE + 4 + 1 + 3 + 1 + 1 + 2 + 24 + 5 + 1);
	assert_int_equal(bytes[0], w.len - FRAME_HEADER_SIZE);
	assert_int_equal(bytes[4], CONTROL_TYPE_STATE);
	assert_int_equal(bytes[w.len - 1], 0);
}

#define T(name) cmocka_unit_test_setup(name, setup)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    T(all_is_shown_in_the_newest_version),
	    T(an_asker_of_version_1_is_shown_what_it_knows),
	    T(the_two_are_not_taken_for_each_other),
	    T(a_state_of_version_1_is_so),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
