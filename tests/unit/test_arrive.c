/*
 * A queue that moves from one cell to another, by hand: two queue cores, each against a journal in
 * memory.  All that there is of it in the one is in the other then, also after restarts and checkpoints.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "core/broker/broker_state.h"
#include "two_cells.h"

/* "q" is at home at X. */
static void know_cells(void)
{
	static struct cells list;
	const char *why;
	assert_int_equal(cells_parse(&list, slice_str("x=h:1;y+=h:2"), &why), RMQ_E_OK);
	broker_cells(w->broker, &list, slice_str(w == X ? "x" : "y"));
}

static int setup_cells(void **state)
{
	setup(state);
	for (w = X; w <= Y; w++)
		know_cells();
	w = X;
	return 0;
}

static void crash(void)
{
	restart();
	know_cells();
}

/* ---- what is in a queue ---- */

static uint8_t batch_bytes[BATCH_MAX];

/* So many lines with these attributes. */
static struct slice lines(uint32_t count, struct slice attributes, char letter)
{
	struct writer b = writer_of(batch_bytes, sizeof(batch_bytes));
	put_u16(&b, (uint16_t)count);
	put_u16(&b, (uint16_t)attributes.len);
	put_rest(&b, attributes);
	for (uint32_t i = 0; i < count; i++)
		put_u16(&b, (uint16_t)(6 * (i + 1)));
	for (uint32_t i = 0; i < count; i++) {
		char line[16];
		snprintf(line, sizeof(line), "%c%04u\n", letter, i);
		put_rest(&b, slice_of(line, 6));
	}
	assert_false(b.full);
	return slice_of(b.p, b.len);
}

static void send_tagged(
    const char *queue, uint32_t count, struct slice attributes, struct slice tags, char letter)
{
	INPUT(send, NUMBERS, 0, 0, slice_str(queue), tags, lines(count, attributes, letter));
	run();
	expect(WIRE_TYPE_SENT);
}

static void sent(const char *queue, uint32_t count, struct slice attributes, char letter)
{
	send_tagged(queue, count, attributes, NO_TAGS, letter);
}

/* One attribute of all messages. */
static struct slice shared(uint16_t tag, const void *value, size_t len)
{
	static uint8_t bytes[128];
	struct writer t = writer_of(bytes, sizeof(bytes));
	tags_put(&t, tag, slice_of(value, len));
	return slice_of(t.p, t.len);
}

/* One that each of them has a value of its own of: `letter` and its number. */
static struct slice each(uint16_t tag, uint32_t count, char letter)
{
	static uint8_t bytes[8192], list[8192];
	struct writer t = writer_of(bytes, sizeof(bytes)), v = writer_of(list, sizeof(list));
	for (uint32_t i = 0; i < count; i++) {
		char id[8];
		snprintf(id, sizeof(id), "%c%u", letter, i);
		put_u16(&v, (uint16_t)i);
		put_u16(&v, (uint16_t)strlen(id));
		put_rest(&v, slice_str(id));
	}
	tags_put(&t, tag | ATTRIBUTE_EACH, slice_of(v.p, v.len));
	assert_false(t.full || v.full);
	return slice_of(t.p, t.len);
}

static void sent_large(const char *queue, uint32_t bytes, struct slice attributes)
{
	static uint8_t data[CHUNK_MAX];
	uint8_t list[256];
	struct writer tags = writer_of(list, sizeof(list));
	tags_put(&tags, SEND_TAG_ATTRIBUTES, attributes);
	LINE->n++;
	for (uint32_t part = 0, at = 0; at < bytes; part++) {
		uint32_t len = bytes - at < 60000 ? bytes - at : 60000;
		memset(data, 'a' + (int)part, len);
		at += len;
		INPUT(send, LINE->n, LINE->n - 1,
		    (uint8_t)(SEND_CHUNK | (at < bytes ? SEND_MORE : 0)), part,
		    slice_str(queue), part == 0 ? slice_of(tags.p, tags.len) : NO_TAGS,
		    slice_of(data, len));
	}
	run();
	expect(WIRE_TYPE_SENT);
}

/* The newest lease of a subscription that asks for so many. */
static uint64_t take(const char *queue, uint32_t count, uint64_t *first)
{
	uint64_t lease = 0;
	struct frame f;
	INPUT(subscribe, 1, 0, 10000, slice_str(queue), NO_TAGS);
	INPUT(credit, 1, count, 1 << 20, 7);
	run();
	while (next(&f)) {
		struct wire_deliver m;
		if (f.type != WIRE_TYPE_DELIVER)
			continue;
		assert_true(wire_deliver_decode(f.payload, &m));
		if (lease == 0)
			*first = m.first_seq;
		lease = m.lease;
	}
	INPUT(unsubscribe, 1);
	run();
	expect(WIRE_TYPE_UNSUBSCRIBED);
	assert_true(lease > 0);
	return lease;
}

static void settle(const char *queue, uint8_t verb, uint8_t flags, uint64_t ms, uint64_t lease,
    uint64_t first, uint32_t count)
{
	uint8_t bytes[SETTLE_ENTRY_SIZE];
	struct writer e = writer_of(bytes, sizeof(bytes));
	settle_entry_put(&e, &(struct settle_entry){lease, first, count});
	INPUT(settle, NUMBERS, verb, flags, ms, 1, slice_str(queue), slice_str("bad input"),
	    NO_TAGS, slice_of(bytes, e.len));
	done();
}

/* A queue of all kinds of messages, and its dead letters. */
static void fill(void)
{
	struct more_settings more = more_settings_default();
	uint8_t priority = 8, list[MORE_SETTINGS_BYTES], at[8];
	struct writer tags = writer_of(list, sizeof(list));
	uint64_t first = 0, lease;
	more.dedup_ms = 3600000;
	more.expire_ms = 40000000;
	more_settings_put(&tags, QUEUE_TAG_SETTINGS, &more, SETTING_ALL);
	INPUT(queue_create, NUMBERS, SETTING_MAX_ATTEMPTS | SETTING_DEDUP | SETTING_EXPIRE,
	    slice_str("q"), 0, 7, 0, 0, 0, 0, slice_str(""), slice_of(tags.p, tags.len));
	done();
	sent("q", 40, NO_TAGS, 'm');
	/* Dead, failed, settled, given back with a delay. */
	lease = take("q", 12, &first);
	settle("q", VERB_DEAD, 0, 0, lease, first, 3);
	settle("q", VERB_RELEASE, SETTLE_COUNTED, 0, lease, first + 3, 2);
	settle("q", VERB_SETTLE, 0, 0, lease, first + 5, 3);
	settle("q", VERB_RELEASE, SETTLE_COUNTED, 90000, lease, first + 8, 2);
	settle("q", VERB_RELEASE, 0, 0, lease, first + 10, 2);
	sent("q", 5, shared(ATTRIBUTE_PRIORITY, &priority, 1), 'p');
	sent("q", 6, each(ATTRIBUTE_KEY, 6, 'k'), 'k');
	sent("q", 6, each(ATTRIBUTE_KEY, 6, 'k'), 'l');
	store_u64(at, wall_ms + 70000);
	sent("q", 4, shared(ATTRIBUTE_DELAY_UNTIL, at, 8), 'd');
	sent("q", 4, shared(ATTRIBUTE_EXPIRE_AT, at, 8), 'e');
	sent("q", 9, each(ATTRIBUTE_ID, 9, 'i'), 'i');
	pass(1000);
	sent("q", 9, each(ATTRIBUTE_ID, 9, 'j'), 'j');
	sent_large("q", 200000, shared(ATTRIBUTE_PRIORITY, &priority, 1));
	sent_large("q", 70000, shared(ATTRIBUTE_KEY, "k1", 2));
	uint8_t value[32], resume[64];
	struct writer v = writer_of(value, sizeof(value)),
		      r = writer_of(resume, sizeof(resume));
	put_u64(&v, 0);
	put_u64(&v, 3);
	put_rest(&v, slice_str("input.log"));
	tags_put(&r, SEND_TAG_RESUME, slice_of(v.p, v.len));
	send_tagged("q", 3, NO_TAGS, slice_of(r.p, r.len), 'r');
	/* Back from the dead, and dead for another reason. */
	uint8_t range[SEQ_RANGE_SIZE];
	struct writer g = writer_of(range, sizeof(range));
	seq_range_put(&g, &(struct seq_range){1, 1});
	INPUT(transfer, 7, TRANSFER_HOME, 5, slice_str("q.dead"), slice_str(""), NO_TAGS,
	    slice_of(g.p, g.len));
	run();
	EXPECT(TRANSFERRED, transferred, t);
	assert_int_equal(t.moved, 1);
}

/* ---- moving ---- */

/* A batch without attributes of what PEEKED has. */
static struct slice batch_of(const struct wire_peeked *m)
{
	struct writer b = writer_of(batch_bytes, sizeof(batch_bytes));
	struct reader in = reader_of(m->data);
	put_u16(&b, m->count);
	put_u16(&b, 0);
	for (uint32_t i = 0; i < m->count; i++)
		put_u16(&b, (uint16_t)(get_u16(&in) - m->base));
	put_rest(&b, get_rest(&in));
	assert_false(b.full);
	return slice_of(b.p, b.len);
}

static void arrives(const char *queue, const struct wire_peeked *m)
{
	w = Y;
	INPUT(arrive, NUMBERS, 0, 0, slice_str(queue), token(), m->first_seq, m->failures,
	    m->time_ms, m->until_ms, m->note, m->tags, batch_of(m));
	done();
	w = X;
}

static void arrives_part(const char *queue, const struct wire_peeked_part *m)
{
	bool last = m->part + 1 == m->parts;
	w = Y;
	INPUT(arrive, NUMBERS, (uint8_t)(SEND_CHUNK | (last ? 0 : SEND_MORE)), m->part,
	    slice_str(queue), token(), m->seq, m->failures, m->time_ms, m->until_ms, m->note,
	    m->tags, m->data);
	done();
	w = X;
}

/* Copies messages from `from` on; gives the number to go on from, 0: that is all. */
static uint64_t copy_some(const char *queue, uint64_t from)
{
	struct frame f;
	INPUT(peek, 1, STATE_READY | STATE_DELAYED, from, 100, slice_str(queue));
	run();
	while (next(&f)) {
		union {
			struct wire_peeked m;
			struct wire_peeked_part part;
			struct wire_peek_end end;
		} u;
		if (f.type == WIRE_TYPE_PEEKED) {
			assert_true(wire_peeked_decode(f.payload, &u.m));
			arrives(queue, &u.m);
		} else if (f.type == WIRE_TYPE_PEEKED_PART) {
			assert_true(wire_peeked_part_decode(f.payload, &u.part));
			arrives_part(queue, &u.part);
		} else {
			assert_int_equal(f.type, WIRE_TYPE_PEEK_END);
			assert_true(wire_peek_end_decode(f.payload, &u.end));
			assert_int_equal(u.end.code, RMQ_E_OK);
			from = u.end.more ? u.end.next : 0;
		}
	}
	return from;
}

static void copy(const char *queue)
{
	for (uint64_t from = 1; from > 0;)
		from = copy_some(queue, from);
}

static void copy_with(const char *queue, uint8_t what)
{
	static uint8_t data[EXPORT_BYTES_MAX];
	for (uint64_t from = 0, more = true; more;) {
		INPUT(export, 2, what, from, 1, slice_str(queue), NO_TAGS);
		run();
		EXPECT(EXPORTED, exported, e);
		assert_int_equal(e.code, RMQ_E_OK);
		memcpy(data, e.data.data, e.data.len);
		w = Y;
		INPUT(arrive_state, NUMBERS, what, slice_str(queue), token(), e.tags,
		    slice_of(data, e.data.len));
		done();
		w = X;
		from = e.next;
		more = e.more;
	}
}

/* ---- comparing ---- */

#define DUMP_MAX (1u << 20)
static char dumps[2][DUMP_MAX];
static char *dump;
static size_t dump_len;

static void say(const char *format, ...)
{
	va_list args;
	va_start(args, format);
	dump_len += (size_t)vsnprintf(dump + dump_len, DUMP_MAX - dump_len, format, args);
	va_end(args);
	assert_true(dump_len < DUMP_MAX);
}

static void say_bytes(const char *what, struct slice s)
{
	uint64_t sum = 5381;
	for (size_t i = 0; i < s.len; i++)
		sum = sum * 33 + s.data[i];
	say(" %s=%zu:%llx", what, s.len, (unsigned long long)sum);
}

static void say_message(struct queue *q, uint64_t seq)
{
	uint64_t end = seq + 1;
	const struct range *r = queue_range_at(q, seq);
	const struct expiry *x = expiry_from(q, seq);
	say(" priority=%d key=%llx own=%llu expires=%llu", mixed_priority(r, seq),
	    (unsigned long long)keys_of(q, seq), (unsigned long long)expiry_own(q, seq, &end),
	    (unsigned long long)(x && x->first <= seq ? x->at_ms : 0));
}

static void say_peeked(struct queue *q, const struct wire_peeked *m)
{
	uint8_t bytes[4096];
	struct slice attributes = NO_TAGS, origin = NO_TAGS, redrives = NO_TAGS;
	struct reader ends = reader_of(m->data);
	struct slice blob =
	    slice_of(m->data.data + 2 * (size_t)m->count, m->data.len - 2u * m->count);
	uint32_t begin = 0;
	tags_find(m->tags, DELIVER_TAG_ATTRIBUTES, &attributes);
	tags_find(m->tags, PEEKED_TAG_ORIGIN, &origin);
	tags_find(m->tags, PEEKED_TAG_REDRIVES, &redrives);
	for (uint32_t i = 0; i < m->count; i++) {
		struct writer a = writer_of(bytes, sizeof(bytes));
		uint32_t end = (uint32_t)get_u16(&ends) - m->base;
		attributes_copy(&a, attributes, i, 1);
		say("%llu state=%d failures=%u time=%llu until=%llu wall=%d note=%.*s",
		    (unsigned long long)m->first_seq + i, m->state, m->failures,
		    (unsigned long long)m->time_ms, (unsigned long long)m->until_ms,
		    tags_find(m->tags, PEEKED_TAG_WALL, &(struct slice){0}), (int)m->note.len,
		    (const char *)m->note.data);
		say_message(q, m->first_seq + i);
		say_bytes("origin", origin);
		say_bytes("redrives", redrives);
		say_bytes("attributes", slice_of(a.p, a.len));
		say_bytes("body", slice_of(blob.data + begin, end - begin));
		say("\n");
		begin = end;
	}
}

static void say_part(struct queue *q, const struct wire_peeked_part *m)
{
	say("%llu state=%d failures=%u time=%llu until=%llu part=%u/%u total=%u note=%.*s",
	    (unsigned long long)m->seq, m->state, m->failures, (unsigned long long)m->time_ms,
	    (unsigned long long)m->until_ms, m->part, m->parts, m->total, (int)m->note.len,
	    (const char *)m->note.data);
	say_message(q, m->seq);
	say_bytes("tags", m->tags);
	say_bytes("body", m->data);
	say("\n");
}

static void say_messages(struct queue *q, const char *name)
{
	struct frame f;
	for (uint64_t from = 1; from > 0;) {
		INPUT(peek, 1, STATES, from, 100, slice_str(name));
		run();
		while (next(&f)) {
			union {
				struct wire_peeked m;
				struct wire_peeked_part part;
				struct wire_peek_end end;
			} u;
			if (f.type == WIRE_TYPE_PEEKED && wire_peeked_decode(f.payload, &u.m))
				say_peeked(q, &u.m);
			else if (f.type == WIRE_TYPE_PEEKED_PART &&
				 wire_peeked_part_decode(f.payload, &u.part))
				say_part(q, &u.part);
			else if (wire_peek_end_decode(f.payload, &u.end))
				from = u.end.more ? u.end.next : 0;
		}
	}
}

static void say_queue(const char *name)
{
	struct queue *q = broker_queue_named(w->broker, slice_str(name));
	const struct position *p;
	const struct queue_settings *s = &q->settings;
	const struct queue_counts *n = &q->counts;
	assert_non_null(q);
	say("%s next=%llu bytes=%llu maker=%u\n", name, (unsigned long long)q->next_seq,
	    (unsigned long long)q->bytes, q->maker->uid);
	say("settings %u %u %llu %llu %llu %u %s", s->lease_ms, s->max_attempts,
	    (unsigned long long)s->backoff_min_ms, (unsigned long long)s->backoff_max_ms,
	    (unsigned long long)s->max_bytes, s->max_message, s->dead_letter);
#define SAY(NAME, tag, bit, standard, word, member) \
	say(" %s=%llu", word, (unsigned long long)s->more.member);
	MORE_SETTINGS(SAY)
#undef SAY
	say("\ncounts %llu %llu %llu %llu %llu %llu %llu", (unsigned long long)n->sent,
	    (unsigned long long)n->delivered, (unsigned long long)n->settled,
	    (unsigned long long)n->failed, (unsigned long long)n->dead,
	    (unsigned long long)n->lost, (unsigned long long)n->ids_early);
	for (int why = 1; why < DROPPED_WHYS; why++)
		say(" %llu", (unsigned long long)n->dropped[why]);
	say("\n");
	for (uint32_t i = q->ids.first; i != q->ids.end; i++) {
		const struct id *id = ids_at(&q->ids, i);
		say("id %llx age=%llu seq=%llu\n", (unsigned long long)id->hash,
		    (unsigned long long)(w->lease_ms - id->ms), (unsigned long long)id->seq);
	}
	TAILQ_FOREACH (p, &q->positions.by_age, by_age)
		say("position %s %llu %llu %llu %llu\n", p->name, (unsigned long long)p->at,
		    (unsigned long long)p->sent.first, (unsigned long long)p->sent.end,
		    (unsigned long long)p->sent.skipped);
	say_messages(q, name);
}

/* What the world has of q and q.dead, as text. */
static const char *dump_of(struct world *x)
{
	struct world *before = w;
	dump = dumps[x == Y];
	dump_len = 0;
	w = x;
	say_queue("q");
	say_queue("q.dead");
	w = before;
	return dump;
}

static void assert_same(const char *a, const char *b)
{
	size_t line = 0;
	for (size_t i = 0; a[i] || b[i]; i++) {
		if (a[i] != b[i])
			print_message("there: %.200s\n here: %.200s\n", a + line, b + line);
		assert_int_equal(a[i], b[i]);
		if (a[i] == '\n')
			line = i + 1;
	}
}

static void move_out(uint8_t step)
{
	w = X;
	INPUT(move_out, NUMBERS, step, slice_str("q"),
	    slice_str(step == MOVE_OUT_GONE ? "y" : ""),
	    step == MOVE_OUT_LET_GO ? slice_str("") : token(), NO_TAGS);
	done();
}

static void move_in(uint8_t step)
{
	w = Y;
	INPUT(move_in, NUMBERS, step, slice_str("q"), token(), NO_TAGS);
	done();
	w = X;
}

/* The copy is seen by nobody. */
static void assert_hidden(void)
{
	assert_null(broker_queue_named(Y->broker, slice_str("q")));
	assert_null(broker_queue_named(Y->broker, slice_str("q.dead")));
}

static void begin_copy(void)
{
	move_out(MOVE_OUT_HOLD);
	move_in(MOVE_IN_BEGIN);
	move_out(MOVE_OUT_FREEZE);
}

static void move_all(void (*between)(void))
{
	static const char *const names[] = {"q", "q.dead"};
	begin_copy();
	for (int i = 0; i < 2; i++) {
		copy_with(names[i], WITH_SETTINGS);
		for (uint64_t from = 1; from > 0;) {
			from = copy_some(names[i], from);
			between();
		}
		copy_with(names[i], WITH_IDS);
		between();
		copy_with(names[i], WITH_POSITIONS);
		copy_with(names[i], WITH_COUNTS);
		between();
	}
	assert_hidden();
	move_in(MOVE_IN_OPEN);
}

static void nothing(void)
{
}

static void y_restarts(void)
{
	w = Y;
	crash();
	w = X;
}

static void y_checkpoints(void)
{
	w = Y;
	checkpoint();
	w = X;
}

static void y_both(void)
{
	y_checkpoints();
	y_restarts();
	y_checkpoints();
}

static void moved_with(void (*between)(void))
{
	char *before;
	fill();
	before = strdup(dump_of(X));
	move_all(between);
	assert_same(before, dump_of(Y));
	y_both();
	assert_same(before, dump_of(Y));
	/* Time goes on for both alike: delays end, messages expire. */
	pass(95000);
	free(before);
	before = strdup(dump_of(X));
	assert_same(before, dump_of(Y));
	free(before);
}

static void all_that_is_in_a_queue_moves(void **state)
{
	(void)state;
	moved_with(nothing);
}

static void a_queue_that_arrives_survives_restarts(void **state)
{
	(void)state;
	moved_with(y_restarts);
}

static void a_queue_that_arrives_survives_checkpoints(void **state)
{
	(void)state;
	moved_with(y_checkpoints);
}

static void a_queue_that_arrives_survives_both(void **state)
{
	(void)state;
	moved_with(y_both);
}

/* ---- what is refused ---- */

static void arrive(uint64_t first_seq, uint8_t flags, struct slice tags, struct slice data)
{
	INPUT(arrive, NUMBERS, flags, 0, slice_str("q"), token(), first_seq, 0, 5, 0,
	    slice_str(""), tags, data);
}

/* A copy of q at Y, which is spoken to. */
static void copy_begun(void)
{
	w = X;
	sent("q", 3, NO_TAGS, 'm');
	begin_copy();
	w = Y;
}

static struct queue *hidden(void)
{
	return broker_arriving_queue(Y->broker, slice_str("q"), token());
}

static void numbers_that_do_not_rise_are_refused(void **state)
{
	(void)state;
	copy_begun();
	arrive(5, 0, NO_TAGS, lines(3, NO_TAGS, 'm'));
	done();
	arrive(7, 0, NO_TAGS, lines(3, NO_TAGS, 'm'));
	failed_with(RMQ_E_OUT_OF_ORDER);
	LINE->n--;
	arrive(SEQ_MAX, 0, NO_TAGS, lines(3, NO_TAGS, 'm'));
	failed_with(RMQ_E_OUT_OF_ORDER);
	LINE->n--;
	arrive(10, 0, NO_TAGS, lines(1, NO_TAGS, 'm'));
	done();
	assert_int_equal(queue_total(hidden()), 4);
	crash();
	assert_int_equal(queue_total(hidden()), 4);
	assert_int_equal(hidden()->next_seq, 11);
}

static void who_has_no_copy_brings_nothing(void **state)
{
	(void)state;
	w = Y;
	arrive(1, 0, NO_TAGS, lines(3, NO_TAGS, 'm'));
	failed_with(RMQ_E_STALE);
	LINE->n--;
	INPUT(arrive_state, NUMBERS, WITH_SETTINGS, slice_str("q"), token(), NO_TAGS,
	    slice_str(""));
	failed_with(RMQ_E_STALE);
	LINE->n--;
	move_in(MOVE_IN_BEGIN);
	w = Y;
	INPUT(arrive, NUMBERS, 0, 0, slice_str("q"), slice_str("another token 16"), 1, 0, 5, 0,
	    slice_str(""), NO_TAGS, lines(3, NO_TAGS, 'm'));
	failed_with(RMQ_E_STALE);
	LINE->n--;
	INPUT(arrive, NUMBERS, 0, 0, slice_str("r"), token(), 1, 0, 5, 0, slice_str(""),
	    NO_TAGS, lines(3, NO_TAGS, 'm'));
	failed_with(RMQ_E_STALE);
	assert_int_equal(Y->broker->queues_count, 0);
}

/* The frame ends its connection, and nothing comes of it. */
static void ends(void)
{
	run();
	expect(WIRE_TYPE_ERROR);
	assert_true(LINE->closed);
	broker_disconnect(w->broker, 1);
	hello();
	assert_int_equal(queue_total(hidden()), 1);
}

static void frames_that_no_mover_sends_are_refused_whole(void **state)
{
	static const char *const bad[] = {
	    "\3\0\1\0\3",		    /* an origin without a name */
	    "\5\0\2\0\1\0",		    /* redrives of two bytes */
	    "\7\0\1\0\1",		    /* a flag with a value */
	    "\11\0\11\0\0\0\0\0\0\0\0\0\1", /* expiry at no time */
	    "\11\0\11\0\1\0\0\0\0\0\0\0\2", /* … and by neither */
	    "\1\0\2\0\1\0",		    /* attributes that are cut */
	};
	static const uint8_t lens[] = {5, 6, 5, 13, 13, 6};
	uint8_t priority = 8;
	(void)state;
	copy_begun();
	arrive(1, 0, NO_TAGS, lines(1, NO_TAGS, 'm'));
	done();
	for (int i = 0; i < 6; i++) {
		arrive(2, 0, slice_of(bad[i], lens[i]), lines(1, NO_TAGS, 'm'));
		ends();
	}
	arrive(2, 0, NO_TAGS, slice_str("no batch"));
	ends();
	arrive(0, 0, NO_TAGS, lines(1, NO_TAGS, 'm'));
	ends();
	INPUT(arrive, NUMBERS, 0, 0, slice_str("q"), token(), 2, 0, 5, 0, slice_of("\0", 1),
	    NO_TAGS, lines(1, NO_TAGS, 'm'));
	ends();
	/* Attributes here and there. */
	struct slice attributes = shared(ATTRIBUTE_PRIORITY, &priority, 1);
	uint8_t list[64];
	struct writer tags = writer_of(list, sizeof(list));
	tags_put(&tags, DELIVER_TAG_ATTRIBUTES, attributes);
	arrive(2, 0, slice_of(list, tags.len), lines(1, attributes, 'm'));
	ends();
	/* … which no daemon of today knows. */
	attributes = shared(200, "x", 1);
	arrive(2, 0, NO_TAGS, lines(1, attributes, 'm'));
	failed_with(RMQ_E_VERSION);
	LINE->n--;
	arrive(2, 64, NO_TAGS, lines(1, NO_TAGS, 'm'));
	failed_with(RMQ_E_VERSION);
	LINE->n--;
	for (uint8_t what = WITH_SETTINGS; what <= WITH_POSITIONS; what++) {
		INPUT(arrive_state, NUMBERS, what, slice_str("q"), token(), NO_TAGS,
		    slice_str("x"));
		ends();
	}
	INPUT(arrive_state, NUMBERS, 99, slice_str("q"), token(), NO_TAGS, slice_str("x"));
	failed_with(RMQ_E_VERSION);
}

static void a_copy_that_lacks_messages_is_not_counted(void **state)
{
	(void)state;
	copy_begun();
	w = X;
	INPUT(export, 2, WITH_COUNTS, 0, 1000, slice_str("q"), NO_TAGS);
	run();
	EXPECT(EXPORTED, exported, e);
	w = Y;
	arrive(1, 0, NO_TAGS, lines(2, NO_TAGS, 'm'));
	done();
	INPUT(arrive_state, NUMBERS, WITH_COUNTS, slice_str("q"), token(), NO_TAGS, e.data);
	failed_with(RMQ_E_STALE);
}

/* Else no queue would leave this cell any more: the others refuse what is above all numbers. */
static void a_lease_of_another_cell_does_not_use_up_those_of_this_one(void **state)
{
	uint8_t bytes[128];
	struct writer data = writer_of(bytes, sizeof(bytes));
	(void)state;
	copy_begun();
	arrive(1, 0, NO_TAGS, lines(2, NO_TAGS, 'm'));
	done();
	with_counts_encode(&data, &(struct with_counts){3, 2, 2, 0, 0, 0, 0, SEQ_MAX, NO_TAGS});
	INPUT(arrive_state, NUMBERS, WITH_COUNTS, slice_str("q"), token(), NO_TAGS,
	    slice_of(data.p, data.len));
	done();
	assert_true(Y->broker->lease > 0 && Y->broker->lease <= SEQ_MAX / 2);
}

static void pieces_of_a_large_message_come_one_after_the_other(void **state)
{
	static uint8_t data[CHUNK_MAX];
	(void)state;
	copy_begun();
#define PIECE(part, flags) \
	INPUT(arrive, NUMBERS, SEND_CHUNK | (flags), part, slice_str("q"), token(), 9, 2, 5, \
	    0, slice_str(""), NO_TAGS, slice_of(data, 50000))
	PIECE(1, SEND_MORE);
	failed_with(RMQ_E_STALE);
	LINE->n--;
	PIECE(0, SEND_MORE);
	done();
	PIECE(2, SEND_MORE);
	failed_with(RMQ_E_STALE);
	LINE->n--;
	/* The first one has gone with it. */
	PIECE(1, 0);
	failed_with(RMQ_E_STALE);
	LINE->n--;
	PIECE(0, SEND_MORE);
	done();
	checkpoint();
	PIECE(1, 0);
	done();
#undef PIECE
	assert_int_equal(queue_total(hidden()), 1);
	assert_int_equal(hidden()->next_seq, 10);
	assert_int_equal(queue_range_at(hidden(), 9)->failures, 2);
	crash();
	assert_int_equal(queue_total(hidden()), 1);
}

static void what_was_sent_there_is_known_here(void **state)
{
	(void)state;
	w = X;
	sent("q", 3, each(ATTRIBUTE_ID, 3, 'i'), 'i');
	uint64_t first = 0, lease = take("q", 1, &first);
	settle("q", VERB_SETTLE, 0, 0, lease, first, 1);
	begin_copy();
	copy_with("q", WITH_SETTINGS);
	copy("q");
	copy_with("q", WITH_IDS);
	copy_with("q", WITH_POSITIONS);
	copy_with("q", WITH_COUNTS);
	move_in(MOVE_IN_OPEN);
	y_both();
	w = Y;
	INPUT(send, NUMBERS, 0, 0, slice_str("q"), NO_TAGS,
	    lines(3, each(ATTRIBUTE_ID, 3, 'i'), 'i'));
	run();
	expect(WIRE_TYPE_KNOWN);
	LINE->n--;
	sent("q", 3, each(ATTRIBUTE_ID, 3, 'n'), 'n');
	INPUT(send, NUMBERS, 0, 0, slice_str("q"), NO_TAGS,
	    lines(3, each(ATTRIBUTE_ID, 3, 'n'), 'n'));
	run();
	expect(WIRE_TYPE_KNOWN);
	LINE->n--;
	/* No lease here has the number of one there. */
	assert_true(take("q", 1, &first) > lease);
	assert_int_equal(first, 2);
	assert_int_equal(queue_total(broker_queue_named(Y->broker, slice_str("q"))), 5);
}

/* The clocks of two cells are two clocks. */
static void a_back_off_lasts_as_long_by_another_clock(void **state)
{
	uint64_t first = 0, lease;
	(void)state;
	w = X;
	sent("q", 2, NO_TAGS, 'm');
	lease = take("q", 1, &first);
	settle("q", VERB_RELEASE, SETTLE_COUNTED, 9000, lease, first, 1);
	begin_copy();
	struct frame f;
	struct wire_peeked m;
	INPUT(peek, 1, STATE_DELAYED, 1, 100, slice_str("q"));
	run();
	assert_true(next(&f) && f.type == WIRE_TYPE_PEEKED);
	assert_true(wire_peeked_decode(f.payload, &m));
	wall_ms += 3600000;
	arrives("q", &m);
	const struct range *r = queue_range_at(hidden(), first);
	assert_int_equal(r->state, STATE_DELAYED);
	assert_int_equal(r->until_ms, Y->lease_ms + 9000);
}

static void a_copy_that_is_dropped_leaves_nothing(void **state)
{
	(void)state;
	fill();
	uint64_t bytes = Y->broker->ledger.part_bytes;
	begin_copy();
	copy_with("q", WITH_SETTINGS);
	copy("q");
	copy_with("q", WITH_IDS);
	copy_with("q", WITH_POSITIONS);
	y_both();
	move_in(MOVE_IN_DROP);
	w = Y;
	run();
	assert_int_equal(w->broker->queues_count, 0);
	assert_int_equal(broker_ids(w->broker), 0);
	assert_true(w->broker->ledger.part_bytes <= bytes + 200);
	checkpoint();
	checkpoint();
	crash();
	uint64_t live = 0;
	for (struct record *r; (r = records_from(&w->broker->ledger.stored, live));) {
		assert_int_equal(r->live, 0);
		live = r->index + 1;
	}
}

/* So many records of Y are no holes. */
static uint64_t kept(void)
{
	uint64_t n = 0;
	for (uint64_t i = 1; i <= Y->last; i++)
		n += !Y->log[i].hole;
	return n;
}

static void sparse_records_of_a_copy_move(void **state)
{
	uint64_t index, moved = 0;
	(void)state;
	w = X;
	for (int i = 0; i < 30; i++)
		sent("q", 4, NO_TAGS, (char)('a' + i % 26));
	begin_copy();
	copy("q");
	w = Y;
	struct space_limits limits = w->broker->ledger.limits;
	limits.small_too_many = 4;
	limits.small_enough = 200;
	broker_set_space(w->broker, &limits);
	for (int i = 0; i < 50 && broker_wants_record(w->broker, &index); i++) {
		begin();
		assert_int_equal(broker_move(w->broker, index,
				     slice_of(w->log[index].payload, w->log[index].len)),
		    RMQ_E_OK);
		moved++;
		run();
	}
	assert_true(moved > 0);
	uint64_t before = kept();
	checkpoint();
	assert_true(kept() < before);
	crash();
	w = X;
	copy_with("q", WITH_SETTINGS);
	copy_with("q", WITH_COUNTS);
	move_in(MOVE_IN_OPEN);
	char *there;
	dump = dumps[0];
	dump_len = 0;
	say_queue("q");
	there = strdup(dump);
	w = Y;
	dump_len = 0;
	say_queue("q");
	assert_same(there, dump);
	free(there);
}

/* ---- what a client makes up ---- */

/* Counts of an empty copy of q, of that maker, at Y. */
static void count_as(uint64_t next_seq, uint64_t lease, struct slice tags)
{
	uint8_t bytes[256];
	struct writer d = writer_of(bytes, sizeof(bytes));
	with_counts_encode(&d, &(struct with_counts){next_seq, 0, 0, 0, 0, 0, 0, lease, tags});
	w = Y;
	INPUT(arrive_state, NUMBERS, WITH_COUNTS, slice_str("q"), token(), NO_TAGS,
	    slice_of(d.p, d.len));
}

static void a_number_that_leaves_no_room_for_messages_is_refused(void **state)
{
	uint8_t list[TAG_U64_SIZE];
	(void)state;
	copy_begun();
	arrive(SEQ_MAX / 2, 0, NO_TAGS, lines(1, NO_TAGS, 'm'));
	failed_with(RMQ_E_OUT_OF_ORDER);
	LINE->n--;
	arrive(1, 0, NO_TAGS, lines(1, NO_TAGS, 'm'));
	done();
	count_as(SEQ_MAX / 2 + 1, 1, NO_TAGS);
	ends();
	/* A queue without a rate has none that is full. */
	count_as(SEQ_MAX / 2, 1, tags_of_u64(list, PART_QUEUE_TAG_RATE, UINT64_MAX));
	done();
	assert_int_equal(hidden()->rate_full, 0);
	move_in(MOVE_IN_OPEN);
	w = Y;
	sent("q", 5, NO_TAGS, 'm');
	uint64_t first;
	(void)take("q", 6, &first);
	crash();
}

/* Queues of one user have a limit: others must not use it up. */
static void only_who_may_do_everything_says_who_made_a_queue(void **state)
{
	static const char *const globs[] = {"q*", "?", "*"};
	uint8_t bytes[64], list[64];
	(void)state;
	for (int i = 0; i < 3; i++) {
		struct writer rights = writer_of(bytes, sizeof(bytes)),
			      tags = writer_of(list, sizeof(list));
		rights_entry_encode(&rights,
		    &(struct rights_entry){RIGHT_ADMIN, RIGHTS_QUEUE, slice_str("q*")});
		rights_entry_encode(&rights,
		    &(struct rights_entry){RIGHT_ADMIN, RIGHTS_QUEUE, slice_str(globs[i])});
		broker_rights(Y->broker, conn, slice_of(rights.p, rights.len));
		event_maker_put(
		    &tags, &(struct event_maker){.uid = 2000, .node = slice_str("n1")});
		move_in(MOVE_IN_BEGIN);
		count_as(1, 1, slice_of(tags.p, tags.len));
		done();
		assert_int_equal(hidden()->maker->uid, i < 2 ? 1000 : 2000);
		move_in(MOVE_IN_DROP);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(
		all_that_is_in_a_queue_moves, setup_cells, teardown),
	    cmocka_unit_test_setup_teardown(
		a_queue_that_arrives_survives_restarts, setup_cells, teardown),
	    cmocka_unit_test_setup_teardown(
		a_queue_that_arrives_survives_checkpoints, setup_cells, teardown),
	    cmocka_unit_test_setup_teardown(
		a_queue_that_arrives_survives_both, setup_cells, teardown),
	    cmocka_unit_test_setup_teardown(
		numbers_that_do_not_rise_are_refused, setup_cells, teardown),
	    cmocka_unit_test_setup_teardown(
		who_has_no_copy_brings_nothing, setup_cells, teardown),
	    cmocka_unit_test_setup_teardown(
		frames_that_no_mover_sends_are_refused_whole, setup_cells, teardown),
	    cmocka_unit_test_setup_teardown(
		a_copy_that_lacks_messages_is_not_counted, setup_cells, teardown),
	    cmocka_unit_test_setup_teardown(
		a_lease_of_another_cell_does_not_use_up_those_of_this_one, setup_cells,
		teardown),
	    cmocka_unit_test_setup_teardown(
		pieces_of_a_large_message_come_one_after_the_other, setup_cells, teardown),
	    cmocka_unit_test_setup_teardown(
		what_was_sent_there_is_known_here, setup_cells, teardown),
	    cmocka_unit_test_setup_teardown(
		a_back_off_lasts_as_long_by_another_clock, setup_cells, teardown),
	    cmocka_unit_test_setup_teardown(
		a_copy_that_is_dropped_leaves_nothing, setup_cells, teardown),
	    cmocka_unit_test_setup_teardown(
		sparse_records_of_a_copy_move, setup_cells, teardown),
	    cmocka_unit_test_setup_teardown(
		a_number_that_leaves_no_room_for_messages_is_refused, setup_cells, teardown),
	    cmocka_unit_test_setup_teardown(
		only_who_may_do_everything_says_who_made_a_queue, setup_cells, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
