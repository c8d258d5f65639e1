/* The payload of CONFIG records. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "core/raft/raft_config.h"

static struct raft_member member(unsigned n, bool joined)
{
	struct raft_member m = {0};
	snprintf(m.name, sizeof(m.name), "node-%u", n);
	memset(m.key, (int)n, sizeof(m.key));
	if (joined) {
		m.id.bytes[3] = (uint8_t)n;
		m.flags = RAFT_VOTER | RAFT_BROKER;
		snprintf(m.address, sizeof(m.address), "host%u:7401", n);
		snprintf(m.gate, sizeof(m.gate), "host%u:7402", n);
	}
	return m;
}

static struct raft_config three(void)
{
	return (struct raft_config){.cluster = {{7}},
	    .count = 3,
	    .members = {member(1, true), member(2, true), member(3, false)}};
}

static uint8_t bytes[RAFT_CONFIG_SIZE_MAX];

static struct slice encoded(const struct raft_config *c)
{
	struct writer w = writer_of(bytes, sizeof(bytes));
	raft_config_encode(&w, c);
	assert_false(w.full);
	return slice_of(bytes, w.len);
}

static void what_is_encoded_is_decoded(void **state)
{
	(void)state;
	struct raft_config c = three(), d = {0};
	assert_int_equal(raft_config_decode(encoded(&c), &d), RMQ_E_OK);
	assert_memory_equal(&c, &d, sizeof(c));
}

static void the_largest_configuration_fits(void **state)
{
	(void)state;
	struct raft_config c = {.cluster = {{7}}, .count = RAFT_MEMBERS_MAX}, d = {0};
	for (unsigned i = 0; i < RAFT_MEMBERS_MAX; i++) {
		struct raft_member *m = &c.members[i];
		*m = member(i + 1, true);
		memset(m->name, 'a' + (int)i, RAFT_NAME_MAX);
		memset(m->address, 'a', RAFT_ADDRESS_MAX);
		memset(m->gate, 'g', RAFT_ADDRESS_MAX);
	}
	struct slice s = encoded(&c);
	assert_int_equal(s.len, RAFT_CONFIG_SIZE_MAX);
	assert_int_equal(raft_config_decode(s, &d), RMQ_E_OK);
	assert_memory_equal(&c, &d, sizeof(c));
}

static void refused(const struct raft_config *c)
{
	static const struct raft_config untouched = {.count = 77};
	struct raft_config d = untouched;
	assert_int_equal(raft_config_decode(encoded(c), &d), RMQ_E_BAD_DATA);
	assert_memory_equal(&d, &untouched, sizeof(d));
}

static void one_that_is_cut_or_goes_on_is_refused(void **state)
{
	(void)state;
	struct raft_config c = three(), d;
	struct slice whole = encoded(&c);
	for (size_t len = 0; len < whole.len; len++)
		assert_int_equal(raft_config_decode(slice_of(bytes, len), &d), RMQ_E_BAD_DATA);
	assert_int_equal(
	    raft_config_decode(slice_of(bytes, whole.len + 1), &d), RMQ_E_BAD_DATA);
}

static void without_a_cluster_it_is_refused(void **state)
{
	(void)state;
	struct raft_config c = three();
	c.cluster = (struct raft_id){{0}};
	refused(&c);
}

static void a_name_a_key_and_an_incarnation_come_once(void **state)
{
	(void)state;
	struct raft_config c = three();
	memcpy(c.members[2].name, c.members[0].name, sizeof(c.members[0].name));
	refused(&c);
	c = three();
	memcpy(c.members[2].key, c.members[0].key, RAFT_KEY_SIZE);
	refused(&c);
	c = three();
	c.members[1].id = c.members[0].id;
	refused(&c);
}

static void members_that_are_none_are_refused(void **state)
{
	(void)state;
	struct raft_config c = three();
	c.members[1].name[0] = '\0';
	refused(&c);
	c = three();
	c.members[1].name[2] = ' ';
	refused(&c);
	c = three();
	c.members[1].address[0] = '\n';
	refused(&c);
	c = three();
	c.members[1].gate[0] = (char)0xc3;
	refused(&c);
	c = three();
	c.members[1].flags |= 0x80;
	refused(&c);
}

static void who_was_only_admitted_is_no_voter(void **state)
{
	(void)state;
	struct raft_config c = three();
	c.members[2].flags = RAFT_VOTER;
	refused(&c);
}

static void several_may_have_been_admitted(void **state)
{
	(void)state;
	struct raft_config c = three(), d;
	c.members[c.count++] = member(4, false);
	assert_int_equal(raft_config_decode(encoded(&c), &d), RMQ_E_OK);
	assert_null(raft_config_find(&d, (struct raft_id){{0}}));
	assert_int_equal(raft_config_voters(&d), 2);
}

static void members_are_found(void **state)
{
	(void)state;
	struct raft_config c = three();
	assert_ptr_equal(raft_config_find(&c, c.members[1].id), &c.members[1]);
	assert_ptr_equal(raft_config_find_name(&c, "node-3"), &c.members[2]);
	assert_ptr_equal(raft_config_find_key(&c, c.members[2].key), &c.members[2]);
	assert_null(raft_config_find(&c, (struct raft_id){{9}}));
	assert_null(raft_config_find_name(&c, "node"));
	assert_true(raft_config_is_voter(&c, c.members[0].id));
	assert_false(raft_config_is_voter(&c, (struct raft_id){{0}}));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(what_is_encoded_is_decoded),
	    cmocka_unit_test(the_largest_configuration_fits),
	    cmocka_unit_test(one_that_is_cut_or_goes_on_is_refused),
	    cmocka_unit_test(without_a_cluster_it_is_refused),
	    cmocka_unit_test(a_name_a_key_and_an_incarnation_come_once),
	    cmocka_unit_test(members_that_are_none_are_refused),
	    cmocka_unit_test(who_was_only_admitted_is_no_voter),
	    cmocka_unit_test(several_may_have_been_admitted),
	    cmocka_unit_test(members_are_found),
	};
	return cmocka_run_group_tests_name("raft_config", tests, NULL, NULL);
}
