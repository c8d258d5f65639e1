/* The payload of CONFIG records. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "core/base/tags.h"
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

/* With all that may be said in tags. */
static struct raft_config tagged(void)
{
	struct raft_config c = three();
	c.generation = 3;
	c.level = level_newest();
	c.latch = true;
	c.engine = RAFT_ENGINE_POSTGRESQL;
	c.members[0].leaving = RAFT_EXITS;
	strcpy(c.members[1].roles, "backup,front");
	for (unsigned i = 0; i < 2; i++) {
		struct raft_removed *was = &c.removed[c.removed_count++];
		was->id.bytes[3] = (uint8_t)(40 + i);
		was->key[5] = 9;
		was->how = (uint8_t)(RAFT_DOWNED * i);
		strcpy(was->name, "gone");
	}
	return c;
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
	c = tagged();
	assert_int_equal(raft_config_decode(encoded(&c), &d), RMQ_E_OK);
	assert_memory_equal(&c, &d, sizeof(c));
	assert_true(raft_config_eq(&c, &d));
	d.removed[1].how = RAFT_REPLACED;
	assert_false(raft_config_eq(&c, &d));
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
		m->leaving = RAFT_LEAVES;
		for (unsigned r = 0; r < (RAFT_ROLES_MAX + 1) / (RAFT_ROLE_MAX + 1); r++) {
			memset(m->roles + r * (RAFT_ROLE_MAX + 1), 'a' + (int)r, RAFT_ROLE_MAX);
			if (r > 0)
				m->roles[r * (RAFT_ROLE_MAX + 1) - 1] = ',';
		}
	}
	c.generation = c.level = level_newest();
	c.latch = true;
	c.engine = RAFT_ENGINE_POSTGRESQL;
	for (unsigned i = 0; i < RAFT_REMOVED_MAX; i++) {
		struct raft_removed *was = &c.removed[c.removed_count++];
		was->id.bytes[9] = (uint8_t)(i + 1);
		memset(was->name, 'r', RAFT_NAME_MAX);
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
	size_t plain = encoded(&c).len;
	c = tagged();
	struct slice whole = encoded(&c);
	/* Without its tags it is whole as well, and an old one. */
	for (size_t len = 0; len < whole.len; len++)
		assert_int_equal(raft_config_decode(slice_of(bytes, len), &d),
		    len == plain ? RMQ_E_OK : RMQ_E_BAD_DATA);
	assert_int_equal(
	    raft_config_decode(slice_of(bytes, whole.len + 1), &d), RMQ_E_BAD_DATA);
	memset(bytes + plain, 0, 8);
	assert_int_equal(raft_config_decode(slice_of(bytes, plain + 8), &d), RMQ_E_BAD_DATA);
}

/* No node may pass over a tag: what it writes would be another configuration. */
static void a_tag_or_level_that_is_unknown_is_refused(void **state)
{
	(void)state;
	struct raft_config c = three(), d;
	size_t plain = encoded(&c).len;
	uint8_t field[] = {1};
	struct writer w = writer_of(bytes + plain, sizeof(bytes) - plain);
	put_u16(&w, 5);
	tags_put(&w, 255, slice_of(field, 1));
	for (unsigned i = 0; i < c.count; i++)
		put_u16(&w, 0);
	assert_int_equal(raft_config_decode(slice_of(bytes, plain + w.len), &d), RMQ_E_VERSION);
	c.level = level_newest() + 1;
	assert_int_equal(raft_config_decode(encoded(&c), &d), RMQ_E_VERSION);
}

static void tags_that_say_nothing_sensible_are_refused(void **state)
{
	(void)state;
	static const char *const roles[] = {
	    ",", "a,", ",a", "a,,b", "b,a", "a,a", "a b", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"};
	struct raft_config c;
	for (size_t i = 0; i < sizeof(roles) / sizeof(roles[0]); i++) {
		c = tagged();
		strcpy(c.members[0].roles, roles[i]);
		assert_false(raft_roles_valid(roles[i]));
		refused(&c);
	}
	c = tagged();
	c.level = 1;
	refused(&c);
	c = tagged();
	c.members[0].leaving = RAFT_EXITS + 1;
	refused(&c);
	c = tagged();
	c.members[2].leaving = RAFT_LEAVES;
	refused(&c);
	c = tagged();
	strcpy(c.members[2].roles, "a");
	refused(&c);
	c = tagged();
	c.removed[1].id = c.removed[0].id;
	refused(&c);
	c = tagged();
	c.removed[1].id = c.members[0].id;
	refused(&c);
	c = tagged();
	c.removed[0].how = RAFT_LOST + 1;
	refused(&c);
	c = tagged();
	c.removed[0].name[0] = '\0';
	refused(&c);
}

static void marks_change_what_they_name(void **state)
{
	(void)state;
	struct raft_config c = three();
	const struct raft_id one = c.members[0].id, other = c.members[1].id;
	assert_int_equal(raft_config_mark(&c, RAFT_MARK_LEAVING, one, NULL, 0), RMQ_E_VERSION);
	assert_int_equal(raft_config_mark(&c, RAFT_MARK_LEVEL, one, NULL, level_newest() + 1),
	    RMQ_E_BAD_DATA);
	assert_int_equal(raft_config_mark(&c, RAFT_MARK_LEVEL, one, NULL, 2), RMQ_E_OK);
	assert_int_equal(raft_config_mark(&c, RAFT_MARK_LEVEL, one, NULL, 1), RMQ_E_OK);
	assert_int_equal(c.level, 2);
	assert_int_equal(raft_config_mark(&c, RAFT_MARK_EXITING, one, NULL, 0), RMQ_E_NOTHING);
	assert_int_equal(raft_config_mark(&c, RAFT_MARK_LEAVING, one, NULL, 0), RMQ_E_OK);
	assert_int_equal(c.members[0].leaving, RAFT_LEAVES);
	assert_int_equal(raft_config_mark(&c, RAFT_MARK_LEAVING, other, NULL, 0), RMQ_E_LIMIT);
	assert_int_equal(raft_config_mark(&c, RAFT_MARK_EXITING, one, NULL, 0), RMQ_E_OK);
	assert_int_equal(raft_config_mark(&c, RAFT_MARK_LEAVING, one, NULL, 0), RMQ_E_OK);
	assert_int_equal(c.members[0].leaving, RAFT_EXITS);
	assert_int_equal(raft_config_mark(&c, RAFT_MARK_ROLES, one, "a,b", 0), RMQ_E_OK);
	assert_int_equal(raft_config_mark(&c, RAFT_MARK_ROLES, one, "b,a", 0), RMQ_E_BAD_DATA);
	assert_string_equal(c.members[0].roles, "a,b");
	assert_int_equal(raft_config_mark(&c, RAFT_MARK_LATCH, one, NULL, 0), RMQ_E_OK);
	assert_true(c.latch);
	assert_int_equal(
	    raft_config_mark(&c, RAFT_MARK_LEAVING, (struct raft_id){{9}}, NULL, 0),
	    RMQ_E_NOTHING);
}

/* Else nobody would be left to lead, and none of them could go. */
static void a_voter_stays_when_those_who_were_to_stay_are_removed(void **state)
{
	(void)state;
	struct raft_config c = three();
	c.level = LEVEL_TAGS;
	const struct raft_id one = c.members[0].id;
	assert_int_equal(raft_config_mark(&c, RAFT_MARK_LEAVING, one, NULL, 0), RMQ_E_OK);
	assert_int_equal(raft_config_mark(&c, RAFT_MARK_EXITING, one, NULL, 0), RMQ_E_OK);
	raft_config_remove(&c, &c.members[2], RAFT_DOWNED);
	assert_int_equal(raft_config_find(&c, one)->leaving, RAFT_EXITS);
	raft_config_remove(&c, raft_config_find(&c, c.members[1].id), RAFT_DOWNED);
	assert_int_equal(raft_config_voters(&c), 1);
	assert_int_equal(raft_config_find(&c, one)->leaving, RAFT_STAYS);
}

static void the_last_that_were_removed_are_known(void **state)
{
	(void)state;
	struct raft_config c = three(), d;
	raft_config_remove(&c, &c.members[0], RAFT_DOWNED);
	assert_int_equal(c.removed_count, 0);
	c = three();
	c.level = LEVEL_TAGS;
	/* Who had not joined was none. */
	raft_config_remove(&c, &c.members[2], RAFT_DOWNED);
	assert_int_equal(c.removed_count, 0);
	struct raft_member m = c.members[0];
	for (unsigned i = 0; i <= RAFT_REMOVED_MAX; i++) {
		c.members[0].id.bytes[7] = (uint8_t)(i + 1);
		raft_config_remove(&c, &c.members[0], RAFT_DOWNED);
		c.members[c.count++] = c.members[0];
		c.members[0] = m;
	}
	assert_int_equal(c.removed_count, RAFT_REMOVED_MAX);
	m.id.bytes[7] = 1;
	assert_null(raft_config_removed(&c, m.id));
	m.id.bytes[7] = RAFT_REMOVED_MAX + 1;
	const struct raft_removed *was = raft_config_removed(&c, m.id);
	assert_ptr_equal(was, &c.removed[RAFT_REMOVED_MAX - 1]);
	assert_ptr_equal(raft_config_removed_key(&c, m.key), was);
	assert_ptr_equal(raft_config_removed_name(&c, m.name), was);
	assert_null(raft_config_removed_name(&c, "nobody"));
	assert_string_equal(was->name, m.name);
	assert_string_equal(raft_how_text(was->how), "downed");
	assert_int_equal(raft_config_decode(encoded(&c), &d), RMQ_E_OK);
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
	c = three();
	c.members[1].id = RAFT_DATABASE;
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
	    cmocka_unit_test(a_tag_or_level_that_is_unknown_is_refused),
	    cmocka_unit_test(tags_that_say_nothing_sensible_are_refused),
	    cmocka_unit_test(marks_change_what_they_name),
	    cmocka_unit_test(a_voter_stays_when_those_who_were_to_stay_are_removed),
	    cmocka_unit_test(the_last_that_were_removed_are_known),
	};
	return cmocka_run_group_tests_name("raft_config", tests, NULL, NULL);
}
