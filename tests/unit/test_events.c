/* Events of membership: each change once, and a snapshot with what comes after it is the state. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/host/events.h"

static struct events events;
static struct events_seen seen;
static struct raft_config config;
static uint64_t now;

static struct raft_id id_of(unsigned n)
{
	struct raft_id id = {{0}};
	id.bytes[0] = (uint8_t)n;
	id.bytes[1] = (uint8_t)(n >> 8);
	id.bytes[2] = n > 0;
	return id;
}

static struct raft_member *add(unsigned n, uint8_t flags)
{
	struct raft_member *m = &config.members[config.count++];
	*m = (struct raft_member){.id = id_of(n), .flags = flags};
	snprintf(m->name, sizeof(m->name), "n%u", n);
	m->key[0] = (uint8_t)n;
	m->key[1] = (uint8_t)(n >> 8);
	return m;
}

static bool look_at(struct events *e, uint64_t index)
{
	seen.config = &config;
	seen.index = seen.commit = index;
	return events_look(e, &seen, (struct wall_time){++now});
}

static int setup(void **state)
{
	(void)state;
	now = 1000;
	memset(&config, 0, sizeof(config));
	config.cluster = id_of(77);
	config.level = LEVEL_TAGS;
	seen = (struct events_seen){.leader = id_of(1)};
	events_init(&events, &(struct events_node){"n1", id_of(1)}, (struct wall_time){now});
	add(1, RAFT_VOTER | RAFT_BROKER);
	assert_false(look_at(&events, 5));
	return 0;
}

/* The lines of a reader until there is nothing to read, "KIND NODE WAS WHAT". */
static char lines[65536];

static const char *read_all(struct events_reader *r)
{
	const struct events_event *one;
	uint64_t missed;
	size_t len = 0;

	lines[0] = '\0';
	for (;;) {
		enum events_turn t = events_read(&events, r, &one, &missed);
		if (t == EVENTS_NOTHING)
			return lines;
		if (t == EVENTS_ONE)
			len += (size_t)snprintf(lines + len, sizeof(lines) - len,
			    "%s%s %s %s%s", len ? "\n" : "", events_kind_text(one->kind),
			    one->node.name[0] ? one->node.name : "-", one->was, one->what);
		else if (t == EVENTS_MISSED)
			len += (size_t)snprintf(lines + len, sizeof(lines) - len, "%smissed %d",
			    len ? "\n" : "", (int)missed);
		else
			len += (size_t)snprintf(lines + len, sizeof(lines) - len, "%s%s",
			    len ? "\n" : "", t == EVENTS_NOW ? "snapshot" : "replay");
	}
}

static void each_state_of_a_member_is_told_once(void **state)
{
	struct events_reader r;

	(void)state;
	events_begin(&events, &r, 0, 0);
	assert_string_equal(read_all(&r), "");
	struct raft_member *m = add(2, RAFT_BROKER);
	assert_true(look_at(&events, 6));
	assert_string_equal(read_all(&r), "member-joined n2 ");
	assert_false(look_at(&events, 7));
	m->flags |= RAFT_VOTER;
	look_at(&events, 8);
	m->leaving = RAFT_LEAVES;
	look_at(&events, 9);
	m->leaving = RAFT_EXITS;
	look_at(&events, 10);
	raft_config_remove(&config, m, RAFT_LEFT);
	look_at(&events, 11);
	assert_string_equal(read_all(&r), "member-up n2 joining\n"
					  "member-leaving n2 up\n"
					  "member-exited n2 leaving\n"
					  "member-removed n2 exiting");
	look_at(&events, 12);
	assert_string_equal(read_all(&r), "");
}

static void one_that_was_away_tells_the_states_between(void **state)
{
	struct events_reader r;

	(void)state;
	struct raft_member *two = add(2, RAFT_BROKER);
	look_at(&events, 6);
	events_begin(&events, &r, 0, 0);
	/* n2 becomes a voter and leaves, n3 is there as a voter, n4 came and was removed. */
	raft_config_remove(&config, two, RAFT_LEFT);
	add(3, RAFT_VOTER);
	raft_config_remove(&config, add(4, 0), RAFT_DOWNED);
	look_at(&events, 30);
	assert_string_equal(read_all(&r), "member-removed n2 joining\n"
					  "member-joined n4 \n"
					  "member-downed n4 joining\n"
					  "member-removed n4 down\n"
					  "member-joined n3 \n"
					  "member-up n3 joining");
	raft_config_remove(&config, &config.members[1], RAFT_LEFT);
	look_at(&events, 40);
	assert_string_equal(read_all(&r), "member-leaving n3 up\n"
					  "member-exited n3 leaving\n"
					  "member-removed n3 exiting");
}

static void a_node_that_is_told_first_that_it_was_removed_tells_it_once(void **state)
{
	struct events_reader r;

	(void)state;
	add(2, RAFT_VOTER);
	add(3, RAFT_VOTER);
	look_at(&events, 6);
	events_begin(&events, &r, 0, 0);
	seen.gone = true;
	/* n3 is the same one before and after. */
	seen.unreachable = 1u << 2;
	look_at(&events, 6);
	raft_config_remove(&config, &config.members[0], RAFT_DOWNED);
	seen.unreachable = 1u << (raft_config_find(&config, id_of(3)) - config.members);
	look_at(&events, 7);
	assert_string_equal(read_all(&r), "member-removed n1 up\n"
					  "unreachable n3 \n"
					  "role-leader-changed - n1broker\n"
					  "leader-changed - n1");
}

static void leaders_roles_and_the_queue_change(void **state)
{
	struct events_reader r;

	(void)state;
	memcpy(add(3, RAFT_VOTER | RAFT_BROKER)->roles, "zone-a", 6);
	memcpy(add(2, RAFT_VOTER)->roles, "disk,zone-a", 11);
	look_at(&events, 6);
	events_begin(&events, &r, 0, 0);
	seen.queue = id_of(1);
	look_at(&events, 7);
	seen.unreachable = 1;
	seen.queue = seen.leader = id_of(0);
	look_at(&events, 7);
	seen.queue = seen.leader = id_of(2);
	seen.unreachable = 4;
	look_at(&events, 8);
	assert_string_equal(read_all(&r), "queue-started n1 \n"
					  "unreachable n1 \n"
					  "queue-stopped n1 \n"
					  "leader-changed - n1\n"
					  "role-leader-changed n3 n1broker\n"
					  "reachable n1 \n"
					  "unreachable n2 \n"
					  "leader-changed n2 \n"
					  "role-leader-changed n1 n3broker\n"
					  "role-leader-changed - n2disk\n"
					  "role-leader-changed n3 n2zone-a\n"
					  "queue-started n2 ");
	seen.ending = ENDING_HANDING_OVER;
	look_at(&events, 8);
	seen.ending = ENDING_ENDED;
	look_at(&events, 8);
	assert_string_equal(read_all(&r), "shutting-down n1 handing-over\n"
					  "shutting-down n1 handing-overending");
}

static void lines_are_json(void **state)
{
	struct text out = {0};
	struct events_reader r;
	const struct events_event *one;
	uint64_t missed;

	(void)state;
	memcpy(add(2, RAFT_BROKER)->roles, "disk", 4);
	events_begin(&events, &r, 0, 0);
	look_at(&events, 6);
	assert_int_equal(events_read(&events, &r, &one, &missed), EVENTS_ONE);
	events_put(&events, &out, one);
	text_put_char(&out, '\0');
	assert_string_equal(out.data,
	    "{\"event\":\"member-joined\",\"index\":6,\"seq\":1000,"
	    "\"time\":\"1970-01-01T00:00:01.002Z\",\"by\":\"n1\",\"node\":\"n2\","
	    "\"id\":\"02000100000000000000000000000000\",\"was\":null}");
	out.len = 0;
	events_put_snapshot(&events, &out);
	text_put_char(&out, '\0');
	assert_string_equal(out.data,
	    "{\"event\":\"snapshot\",\"index\":6,\"seq\":1000,"
	    "\"time\":\"1970-01-01T00:00:01.002Z\",\"by\":\"n1\","
	    "\"cluster\":\"4d000100000000000000000000000000\",\"leader\":\"n1\",\"queue\":null,"
	    "\"shutting-down\":null,\"members\":["
	    "{\"node\":\"n1\",\"id\":\"01000100000000000000000000000000\",\"state\":\"up\","
	    "\"reachable\":true,\"roles\":[\"broker\"]},"
	    "{\"node\":\"n2\",\"id\":\"02000100000000000000000000000000\",\"state\":\"joining\","
	    "\"reachable\":true,\"roles\":[\"broker\",\"disk\"]}],"
	    "\"roles\":{\"broker\":\"n1\",\"disk\":null}}");
	text_deinit(&out);
}

static void a_line_never_takes_more_than_its_maximum(void **state)
{
	struct events_event list[EVENTS_REPLAY_MAX];
	struct text out = {0};

	(void)state;
	config.count = 0;
	for (unsigned i = 0; i < RAFT_MEMBERS_MAX; i++) {
		struct raft_member *m = add(100 + i, RAFT_VOTER | RAFT_BROKER);
		memset(m->name, 'a', RAFT_NAME_MAX);
		m->name[0] = (char)('a' + i);
		for (unsigned k = 0; k + 1 < RAFT_ROLES_MAX; k += 32) {
			memset(m->roles + k, 'a', 31);
			m->roles[k] = (char)('a' + i);
			m->roles[k + 1] = (char)('a' + k / 32);
			m->roles[k + 31] = k + 32 + 1 < RAFT_ROLES_MAX ? ',' : '\0';
		}
	}
	memset(events.self.name, 's', RAFT_NAME_MAX);
	seen.leader = seen.queue = id_of(104);
	look_at(&events, UINT64_MAX);
	for (unsigned i = events_replay(&events, list); i > 0; i--) {
		memset(list[i - 1].was, 'w', RAFT_NAME_MAX);
		out.len = 0;
		events_put(&events, &out, &list[i - 1]);
		assert_true(out.len <= EVENTS_LINE_MAX);
	}
	out.len = 0;
	events_put_snapshot(&events, &out);
	assert_true(out.len <= EVENTS_SNAPSHOT_MAX);
	text_deinit(&out);
}

static void who_does_not_read_is_told_how_many_are_lost(void **state)
{
	struct events_reader plain, follower;

	(void)state;
	events_begin(&events, &plain, 0, 0);
	events_begin(&events, &follower, EVENTS_WITH_SNAPSHOT, 0);
	assert_string_equal(read_all(&follower), "snapshot");
	for (unsigned i = 0; i < EVENTS_MAX + 3; i++) {
		seen.queue = id_of(i % 2 ? 0 : 1);
		look_at(&events, 6 + i);
	}
	assert_int_equal(strncmp(read_all(&plain), "missed 3\nqueue-stopped n1", 24), 0);
	char all[64];
	snprintf(all, sizeof(all), "missed %d\nsnapshot", EVENTS_MAX + 3);
	assert_string_equal(read_all(&follower), all);
	assert_string_equal(read_all(&follower), "");
}

static void a_reader_goes_on_where_it_was(void **state)
{
	struct events_reader r;

	(void)state;
	seen.queue = id_of(1);
	look_at(&events, 6); /* seq 1000 */
	seen.queue = id_of(0);
	look_at(&events, 6); /* 1001 */
	seen.queue = id_of(1);
	look_at(&events, 9); /* 1002 */
	events_begin(&events, &r, EVENTS_SINCE, 6);
	assert_string_equal(read_all(&r), "queue-started n1 ");
	events_begin(&events, &r, EVENTS_SINCE, 9);
	assert_string_equal(read_all(&r), "");
	events_begin(&events, &r, EVENTS_SINCE, 5);
	assert_string_equal(
	    read_all(&r), "queue-started n1 \nqueue-stopped n1 \nqueue-started n1 ");
	/* This process began at 5, and does not know what was before. */
	events_begin(&events, &r, EVENTS_SINCE, 4);
	assert_string_equal(read_all(&r), "missed 0\nsnapshot");
	events_begin(&events, &r, EVENTS_SINCE_SEQ, 1000);
	assert_string_equal(read_all(&r), "queue-stopped n1 \nqueue-started n1 ");
	events_begin(&events, &r, EVENTS_SINCE_SEQ, 1002);
	assert_string_equal(read_all(&r), "");
	events_begin(&events, &r, EVENTS_KEPT, 0);
	assert_string_equal(
	    read_all(&r), "queue-started n1 \nqueue-stopped n1 \nqueue-started n1 ");
	/* Of another process. */
	events_begin(&events, &r, EVENTS_SINCE_SEQ, 998);
	assert_string_equal(read_all(&r), "missed 0\nsnapshot");
	events_begin(&events, &r, EVENTS_SINCE_SEQ, 1003);
	assert_string_equal(read_all(&r), "missed 0\nsnapshot");
}

/* ---- random schedules ---- */

/* What a reader makes of what it is told. */
struct model {
	struct {
		struct raft_id id;
		enum events_kind kind; /* the newest of its states */
		bool unreachable;
	} members[64];
	unsigned count;
	struct events_node leader, queue;
	struct events_role roles[EVENTS_ROLES_MAX];
	unsigned role_count;
	uint64_t seq, index;
};

static unsigned model_at(const struct model *m, struct raft_id id)
{
	unsigned i = 0;
	while (i < m->count && !raft_id_eq(m->members[i].id, id))
		i++;
	return i;
}

static void model_role(struct model *m, const struct events_event *e)
{
	unsigned i = 0;
	while (i < m->role_count && strcmp(m->roles[i].name, e->what) != 0)
		i++;
	if (i == m->role_count) {
		m->roles[m->role_count++] = (struct events_role){.name = ""};
		memcpy(m->roles[i].name, e->what, sizeof(e->what));
	}
	m->roles[i].leader = e->node;
}

static void model_take(struct model *m, const struct events_event *e)
{
	unsigned at = model_at(m, e->node.id);

	assert_true(e->index >= m->index);
	m->index = e->index;
	switch (e->kind) {
	case EVENTS_MEMBER_JOINED:
		assert_int_equal(at, m->count);
		m->members[m->count].unreachable = false;
		m->members[m->count++].id = e->node.id;
		break;
	case EVENTS_MEMBER_REMOVED:
		assert_true(at < m->count);
		m->members[at] = m->members[--m->count];
		return;
	case EVENTS_LEADER_CHANGED:
		assert_string_equal(m->leader.name, e->was);
		m->leader = e->node;
		return;
	case EVENTS_QUEUE_STARTED:
		m->queue = e->node;
		return;
	case EVENTS_QUEUE_STOPPED:
		assert_true(raft_id_eq(m->queue.id, e->node.id));
		memset(&m->queue, 0, sizeof(m->queue));
		return;
	case EVENTS_ROLE_LEADER_CHANGED:
		model_role(m, e);
		return;
	case EVENTS_UNREACHABLE:
	case EVENTS_REACHABLE:
		assert_true(at < m->count &&
			    m->members[at].unreachable == (e->kind == EVENTS_REACHABLE));
		m->members[at].unreachable = e->kind == EVENTS_UNREACHABLE;
		return;
	default:
		assert_true(at < m->count);
	}
	/* Each state but removal follows another one, and is told once; a leave may be taken back. */
	assert_true(e->kind == EVENTS_MEMBER_JOINED || m->members[at].kind < e->kind ||
		    (e->kind == EVENTS_MEMBER_UP && m->members[at].kind > EVENTS_MEMBER_UP));
	m->members[at].kind = e->kind;
}

/* As the snapshot is: of a state by its replay. */
static void model_of(struct model *m, const struct events *e)
{
	static struct events_event list[EVENTS_REPLAY_MAX];
	unsigned count = events_replay(e, list);

	memset(m, 0, sizeof(*m));
	for (unsigned i = 0; i < count; i++)
		model_take(m, &list[i]);
}

static void model_same(const struct model *a, const struct model *b)
{
	assert_int_equal(a->count, b->count);
	for (unsigned i = 0; i < a->count; i++) {
		unsigned at = model_at(b, a->members[i].id);
		assert_true(at < b->count);
		assert_int_equal(a->members[i].kind, b->members[at].kind);
		assert_int_equal(a->members[i].unreachable, b->members[at].unreachable);
	}
	assert_true(raft_id_eq(a->leader.id, b->leader.id));
	assert_true(raft_id_eq(a->queue.id, b->queue.id));
	for (unsigned i = 0; i < a->role_count; i++)
		for (unsigned k = 0; k < b->role_count; k++)
			if (strcmp(a->roles[i].name, b->roles[k].name) == 0)
				assert_true(
				    raft_id_eq(a->roles[i].leader.id, b->roles[k].leader.id));
}

static unsigned dice(unsigned below)
{
	return (unsigned)rand() % below;
}

static unsigned made;

static struct raft_member *any(void)
{
	return &config.members[dice(config.count)];
}

static void change_members(void)
{
	struct raft_member *m = any();

	switch (dice(6)) {
	case 0:
	case 1:
		if (config.count < RAFT_MEMBERS_MAX) {
			m = add(++made, dice(2) ? RAFT_BROKER : 0);
			memcpy(m->roles, dice(2) ? "disk" : "zone", 4);
		}
		break;
	case 2:
		m->flags |= RAFT_VOTER;
		break;
	case 3:
		if ((m->flags & RAFT_VOTER) && m->leaving < RAFT_EXITS)
			m->leaving++;
		break;
	case 4:
		if (config.count > 1 && (m->leaving == RAFT_EXITS || !(m->flags & RAFT_VOTER)))
			raft_config_remove(&config, m, RAFT_LEFT);
		break;
	case 5:
		if (config.count > 1)
			raft_config_remove(&config, m, dice(2) ? RAFT_DOWNED : RAFT_REPLACED);
		break;
	}
	seen.unreachable = dice(4) ? 0 : dice(1u << config.count);
	seen.leader = dice(3) ? any()->id : id_of(0);
	seen.queue = dice(3) ? any()->id : id_of(0);
}

/* Takes all that is there, or some of it. */
static void follow(struct events_reader *r, struct model *m, bool all)
{
	const struct events_event *one;
	uint64_t missed;

	for (unsigned n = all ? UINT32_MAX : dice(30); n > 0; n--) {
		enum events_turn t = events_read(&events, r, &one, &missed);
		if (t == EVENTS_NOTHING)
			return;
		if (t == EVENTS_ONE) {
			model_take(m, one);
			assert_true(one->seq > m->seq);
			m->seq = one->seq;
		} else if (t == EVENTS_MISSED) {
			assert_true(missed > EVENTS_MAX);
		} else {
			model_of(m, &events);
			m->seq = events.next - 1;
		}
	}
}

static void a_snapshot_and_what_follows_are_the_state(void **state)
{
	static struct model told[4], is;
	struct events_reader readers[4];

	(void)state;
	for (unsigned seed = 1; seed <= 60; seed++) {
		srand(seed);
		setup(NULL);
		made = 1;
		for (unsigned i = 0; i < 4; i++)
			events_begin(&events, &readers[i],
			    i % 2 ? EVENTS_WITH_REPLAY : EVENTS_WITH_SNAPSHOT, 0);
		uint64_t index = 5;
		for (unsigned turn = 0; turn < 400; turn++) {
			/* Several configurations may be committed between two looks. */
			for (unsigned n = dice(4); n > 0; n--) {
				change_members();
				index += 1 + dice(3);
			}
			look_at(&events, index);
			/* The last one does not read, so that it misses some. */
			unsigned i = dice(3);
			follow(&readers[i], &told[i], dice(2));
		}
		model_of(&is, &events);
		for (unsigned i = 0; i < 4; i++) {
			follow(&readers[i], &told[i], true);
			model_same(&told[i], &is);
			model_same(&is, &told[i]);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup(each_state_of_a_member_is_told_once, setup),
	    cmocka_unit_test_setup(one_that_was_away_tells_the_states_between, setup),
	    cmocka_unit_test_setup(
		a_node_that_is_told_first_that_it_was_removed_tells_it_once, setup),
	    cmocka_unit_test_setup(leaders_roles_and_the_queue_change, setup),
	    cmocka_unit_test_setup(lines_are_json, setup),
	    cmocka_unit_test_setup(a_line_never_takes_more_than_its_maximum, setup),
	    cmocka_unit_test_setup(who_does_not_read_is_told_how_many_are_lost, setup),
	    cmocka_unit_test_setup(a_reader_goes_on_where_it_was, setup),
	    cmocka_unit_test(a_snapshot_and_what_follows_are_the_state),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
