/* When the level of records is raised, and who may come in. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "core/host/level.h"
#include "core/raft/node_wire.h"

static struct raft_config config;
static uint64_t told[4];
static char why[TEXT_MAX + 1];

static uint64_t reads(const void *arg, struct raft_id id)
{
	(void)arg;
	return told[id.bytes[0]];
}

static const struct level_peers peers = {NULL, {{1}}, reads};

/* n1 is this node, n2 and n3 are others; n4 was only admitted. */
static int setup(void **state)
{
	(void)state;
	config = (struct raft_config){.count = 4};
	for (unsigned i = 0; i < 4; i++) {
		memcpy(config.members[i].name, "n", 1);
		config.members[i].name[1] = (char)('1' + i);
		config.members[i].id.bytes[0] = (uint8_t)(i < 3 ? i + 1 : 0);
	}
	told[1] = 0;
	told[2] = told[3] = 2;
	return 0;
}

static void it_is_raised_when_all_who_have_joined_read_more(void **state)
{
	(void)state;
	assert_int_equal(level_due(&config, &peers), 2);
	told[2] = 7;
	assert_int_equal(level_due(&config, &peers), 2);
	told[3] = 1;
	assert_int_equal(level_due(&config, &peers), 0);
	/* A member that is away may be of any version when it is back. */
	told[3] = 0;
	assert_int_equal(level_due(&config, &peers), 0);
	told[3] = 2;
	config.level = 2;
	assert_int_equal(level_due(&config, &peers), 0);
	/* It is never lowered. */
	told[2] = 1;
	assert_int_equal(level_due(&config, &peers), 0);
	config.count = 0;
	assert_int_equal(level_due(&config, &peers), 0);
}

static void what_needs_more_names_who_is_too_old_or_away(void **state)
{
	(void)state;
	told[3] = 1;
	assert_true(level_allows(&config, 1, &peers, why));
	assert_false(level_allows(&config, 2, &peers, why));
	assert_string_equal(why,
	    "it needs records of level 2, which n3 does not read: install a newer rmq there");
	told[2] = 0;
	assert_false(level_allows(&config, 2, &peers, why));
	assert_string_equal(why,
	    "it needs records of level 2, and it is not known that n2 reads them: it is not up");
	told[2] = told[3] = 2;
	assert_false(level_allows(&config, 2, &peers, why));
	config.level = 2;
	told[3] = 0;
	assert_true(level_allows(&config, 2, &peers, why));
}

static void who_reads_less_than_there_is_is_told_what_it_needs(void **state)
{
	(void)state;
	assert_true(level_admits(&config, 1, "n4", why));
	config.level = 2;
	assert_true(level_admits(&config, 2, "n4", why));
	assert_true(level_admits(&config, 3, "n4", why));
	assert_false(level_admits(&config, 1, "n4", why));
	assert_string_equal(why,
	    "the records of the cluster are of level 2, and the rmq of n4 reads only up to 1: "
	    "install there the version that the members have");
}

/* Else members of the newest version would not let each other in. */
static void the_newest_is_what_a_node_says_by_its_features(void **state)
{
	(void)state;
	assert_int_equal(NODE_LEVEL(NODE_FEATURES), level_newest());
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup(name, setup)
	    T(it_is_raised_when_all_who_have_joined_read_more),
	    T(what_needs_more_names_who_is_too_old_or_away),
	    T(who_reads_less_than_there_is_is_told_what_it_needs),
	    T(the_newest_is_what_a_node_says_by_its_features),
#undef T
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
