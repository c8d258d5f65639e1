/* Roles, and how many members must be up before the queue first starts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "core/host/roles.h"
#include "core/host/start_gate.h"

static struct raft_config config;
static struct min_members min;
static struct start_gate_lack lack;
static unsigned ups; /* bits by the number of the member */
static const char *says[4];

static int setup(void **state)
{
	static const char *const roles[] = {"", "a", "a,b", ""};

	(void)state;
	config = (struct raft_config){.cluster = {{5}}, .level = level_newest(), .count = 4};
	min = (struct min_members){.all = 1};
	ups = 0;
	for (uint8_t n = 0; n < 4; n++) {
		struct raft_member *m = &config.members[n];
		*m = (struct raft_member){.id = {{(uint8_t)(n + 1)}}, .flags = RAFT_VOTER};
		strcpy(m->roles, roles[n]);
		says[n] = m->roles;
	}
	config.members[3].flags = 0;
	return 0;
}

/* ---- roles ---- */

static void names_are_sorted_and_there_once(void **state)
{
	(void)state;
	struct roles r = {0};
	static const char *const names[] = {"m", "z", "broker", "a", "m", "mm", "l"};
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		assert_true(roles_add(&r, names[i]));
	assert_string_equal(r.names, "a,l,m,mm,z");
	assert_int_equal(r.flags, RAFT_BROKER);
	char text[ROLES_TEXT_MAX + 1];
	roles_text(r.flags, r.names, text);
	assert_string_equal(text, "broker,a,l,m,mm,z");
	roles_text(RAFT_BROKER, "", text);
	assert_string_equal(text, "broker");
	roles_text(RAFT_VOTER, "", text);
	assert_string_equal(text, "");
}

static void what_is_no_name_and_what_is_too_much_is_not_added(void **state)
{
	(void)state;
	struct roles r = {0};
	char name[RAFT_ROLE_MAX + 2];
	assert_false(roles_add(&r, ""));
	assert_false(roles_add(&r, "a,b"));
	assert_false(roles_add(&r, "a b"));
	memset(name, 'x', sizeof(name) - 1);
	name[RAFT_ROLE_MAX + 1] = '\0';
	assert_false(roles_add(&r, name));
	assert_string_equal(r.names, "");
	name[RAFT_ROLE_MAX] = '\0';
	for (int i = 0; i < 8; i++) {
		name[0] = (char)('a' + i);
		assert_true(roles_add(&r, name));
	}
	assert_int_equal(strlen(r.names), RAFT_ROLES_MAX);
	assert_false(roles_add(&r, "z"));
}

static void a_role_is_a_whole_name(void **state)
{
	(void)state;
	assert_true(roles_has(0, "a,bc,d", "a"));
	assert_true(roles_has(0, "a,bc,d", "bc"));
	assert_true(roles_has(0, "a,bc,d", "d"));
	assert_false(roles_has(0, "a,bc,d", "b"));
	assert_false(roles_has(0, "a,bc,d", "bc,d"));
	assert_false(roles_has(0, "a,bc,d", ""));
	assert_false(roles_has(0, "", "a"));
	assert_true(roles_has(RAFT_BROKER, "", "broker"));
	assert_false(roles_has(RAFT_VOTER, "", "broker"));
}

static const char *told(void *arg, struct raft_id id)
{
	(void)arg;
	return says[id.bytes[0] - 1];
}

static void the_leader_has_committed_what_members_say(void **state)
{
	(void)state;
	assert_null(roles_due(&config, told, NULL));
	says[1] = "a,c";
	assert_ptr_equal(roles_due(&config, told, NULL), &config.members[1]);
	says[1] = "";
	assert_ptr_equal(roles_due(&config, told, NULL), &config.members[1]);
	/* It has not said anything, and an older node never will. */
	says[1] = NULL;
	assert_null(roles_due(&config, told, NULL));
	says[2] = "";
	config.level = 1;
	assert_null(roles_due(&config, told, NULL));
}

/* ---- min-members ---- */

static bool up(void *arg, struct raft_id id)
{
	(void)arg;
	return ups >> id.bytes[0] & 1;
}

static enum start_gate gate(void)
{
	return start_gate_look(&min, &config, up, NULL, &lack);
}

static void one_that_leads_is_enough_by_default(void **state)
{
	(void)state;
	ups = 1 << 1;
	assert_int_equal(gate(), START_GATE_OPEN);
	min.all = 0;
	assert_int_equal(gate(), START_GATE_OPEN);
}

static void so_many_voters_are_up_first_and_that_is_committed(void **state)
{
	(void)state;
	min.all = 3;
	/* A learner does not count. */
	ups = 1 << 1 | 1 << 2 | 1 << 4;
	assert_int_equal(gate(), START_GATE_WAITS);
	assert_null(lack.role);
	assert_int_equal(lack.wanted, 3);
	assert_int_equal(lack.up, 2);
	ups |= 1 << 3;
	assert_int_equal(gate(), START_GATE_LATCHES);
	config.latch = true;
	assert_int_equal(gate(), START_GATE_OPEN);
	/* It goes on when they fall. */
	ups = 1 << 1;
	assert_int_equal(gate(), START_GATE_OPEN);
}

static void so_many_of_each_role_are_up_first(void **state)
{
	(void)state;
	min.count = 2;
	strcpy(min.roles[0].role, "a");
	min.roles[0].members = 2;
	strcpy(min.roles[1].role, "b");
	min.roles[1].members = 1;
	ups = 1 << 1 | 1 << 2;
	assert_int_equal(gate(), START_GATE_WAITS);
	assert_string_equal(lack.role, "a");
	assert_int_equal(lack.wanted, 2);
	assert_int_equal(lack.up, 1);
	ups = 1 << 1 | 1 << 3;
	assert_int_equal(gate(), START_GATE_WAITS);
	ups |= 1 << 2;
	assert_int_equal(gate(), START_GATE_LATCHES);
}

static void what_cannot_be_committed_is_not_waited_for(void **state)
{
	(void)state;
	min.all = 3;
	config.level = 1;
	assert_int_equal(gate(), START_GATE_OPEN);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup(name, setup)
	const struct CMUnitTest tests[] = {
	    TEST(names_are_sorted_and_there_once),
	    TEST(what_is_no_name_and_what_is_too_much_is_not_added),
	    TEST(a_role_is_a_whole_name),
	    TEST(the_leader_has_committed_what_members_say),
	    TEST(one_that_leads_is_enough_by_default),
	    TEST(so_many_voters_are_up_first_and_that_is_committed),
	    TEST(so_many_of_each_role_are_up_first),
	    TEST(what_cannot_be_committed_is_not_waited_for),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
