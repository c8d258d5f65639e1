/*
 * The map (core/queue/kv.h) as clients see it.  A change is an event, so it is durable before it is answered,
 * and a read waits like any answer for the journal: what it tells was the newest state of all at some moment
 * between question and answer.
 *
 * Who waits for changes (KV_WAIT) costs no memory for them: the entries, in order of their versions, are the
 * list of what is to be told.  So of a key that changed several times only the newest change is told, and how
 * many were left out.
 */
#include "core/broker/broker_state.h"

#include <inttypes.h>
#include <stdio.h>

#include "core/base/level.h"
#include "core/base/memory.h"
#include "core/base/name.h"
#include "core/base/variant.h"

/* What the events of a change take besides key and value, and those that name its session. */
#define CHANGE_ROOM 1024
/* Bytes of a value that are copied in one step. */
#define VALUE_STEP 256

struct kv_watch {
	TAILQ_ENTRY(kv_watch) link;
	struct conn *conn;
	struct wire_kv_read asked; /* `key` is below */
	bool armed;		   /* it is to be answered */
	uint64_t from;		   /* changes after this version count, of which … */
	uint64_t changes;	   /* … so many were made, */
	uint64_t told;		   /* … and so many told or said to be left out */
	char key[NAME_FULL_MAX];
};

/* ---- events ---- */

static bool matches(const struct conn *c, const struct wire_kv_read *m, struct slice key)
{
	if (!(m->flags & KV_PREFIX))
		return slice_eq(key, m->key);
	return key.len >= m->key.len && slice_eq(slice_of(key.data, m->key.len), m->key) &&
	       broker_may_read(c, key);
}

static void count_change(struct broker *b, struct slice key)
{
	struct kv_watch *w;
	TAILQ_FOREACH (w, &b->kv_watches, link) {
		broker_works(b, 1 + broker_rights_steps(w->conn));
		w->changes += matches(w->conn, &w->asked, key);
	}
}

static bool key_valid(struct slice key)
{
	return key.len <= NAME_MAX_LEN && name_valid(key);
}

/* Takes a use. */
static struct owner *maker_of(struct broker *b, struct slice tags)
{
	struct event_maker m;
	bool known = event_maker_find(tags, &m);
	return known ? owner_use(&b->owners, m.node, m.uid) : broker_nobody(b);
}

bool broker_kv_apply_put(
    struct broker *b, uint64_t version, struct slice key, struct slice tags, struct slice value)
{
	if (version <= b->kv.version || !key_valid(key) || value.len > KV_VALUE_MAX)
		return false;
	kv_put(&b->kv, version, key, value, maker_of(b, tags));
	count_change(b, key);
	return true;
}

bool broker_kv_apply_more(struct broker *b, uint64_t version, struct slice value)
{
	return version == b->kv.version && kv_append(&b->kv, version, value);
}

bool broker_kv_apply_del(struct broker *b, uint64_t version, struct slice key)
{
	if (version <= b->kv.version || !key_valid(key))
		return false;
	kv_delete(&b->kv, version, key);
	count_change(b, key);
	return true;
}

bool broker_kv_apply_part(struct broker *b, const struct event_part_kv_entry *e)
{
	bool deleted = e->flags & PART_KV_DELETED;
	const struct kv_entry *same = kv_after(&b->kv, e->version - 1);
	if (e->version == 0 || e->version > b->kv.version || !key_valid(e->key) ||
	    e->value.len > (deleted ? 0 : KV_VALUE_MAX) ||
	    (same && same->version == e->version && !slice_eq(kv_key(same), e->key)))
		return false;
	if (deleted)
		kv_delete(&b->kv, e->version, e->key);
	else
		kv_put(&b->kv, e->version, e->key, e->value, maker_of(b, e->tags));
	return true;
}

/* ---- changes ---- */

/* The first one of all is newer than what a journal had that this one was restored from. */
static uint64_t next_version(const struct broker *b)
{
	return (b->kv.version > 0 ? b->kv.version : b->lease) + 1;
}

void broker_kv_answer(struct broker *b, struct conn *c, uint64_t n)
{
	const struct answer *a = session_answer(c->session, n);
	if (a)
		ANSWER(b, c, kv_done, n, a->first_seq, NO_TAGS);
}

/* What keeps a change from being made, in text; RMQ_E_OK: nothing. */
static enum rmq_error may_change(const struct broker *b, struct slice key, uint8_t flags,
    uint64_t version, const struct kv_entry *e, char text[TEXT_MAX + 1])
{
	const char *is = "key is not there";
	if (b->level < LEVEL_KV) {
		snprintf(text, TEXT_MAX + 1,
		    "the map needs records of level %d, which not all members of the cluster "
		    "read yet: rmq-cluster status",
		    LEVEL_KV);
		return RMQ_E_VERSION;
	}
	if (flags & ~KV_IF_VERSION) {
		snprintf(text, TEXT_MAX + 1, "unknown flag of a change of the map");
		return RMQ_E_VERSION;
	}
	if (!key_valid(key)) {
		snprintf(text, TEXT_MAX + 1,
		    "a key has 1 to %d letters, digits and any of . _ -, and begins with none "
		    "of . and -",
		    NAME_MAX_LEN);
		return RMQ_E_USAGE;
	}
	if (!(flags & KV_IF_VERSION) || version == (e ? e->version : 0) ||
	    RMQ_VARIANT(KV_UNASKED))
		return RMQ_E_OK;
	if (e)
		snprintf(text, TEXT_MAX + 1, "version is %" PRIu64, e->version);
	else
		snprintf(text, TEXT_MAX + 1, "%s", is);
	return RMQ_E_UNMET;
}

/* The same for what one of those who put takes of the map. */
static enum rmq_error may_have(const struct owner *maker, const struct wire_kv_put *m,
    const struct kv_entry *e, char text[TEXT_MAX + 1])
{
	bool its = e && e->maker == maker;
	uint32_t keys = maker->kv_keys + !its;
	uint64_t bytes = maker->kv_bytes - (its ? kv_size(e) : 0) + m->key.len + m->value.len;
	char title[OWNER_TITLE_SIZE];
	if (!owner_known(maker) || (keys <= KV_KEYS_OF_ONE && bytes <= KV_BYTES_OF_ONE))
		return RMQ_E_OK;
	snprintf(text, TEXT_MAX + 1,
	    "what %s has put would be %u keys and %" PRIu64
	    " bytes, and one %s may have %u and %u: delete some",
	    owner_title(maker, title), keys, bytes, owner_kind(maker), KV_KEYS_OF_ONE,
	    KV_BYTES_OF_ONE);
	return RMQ_E_LIMIT;
}

/* The same for what the value takes. */
static enum rmq_error may_hold(const struct broker *b, const struct wire_kv_put *m,
    const struct kv_entry *e, char text[TEXT_MAX + 1])
{
	uint64_t bytes = b->kv.bytes - (e ? kv_size(e) : 0) + m->key.len + m->value.len;
	if (m->value.len > KV_VALUE_MAX) {
		snprintf(text, TEXT_MAX + 1, "value has %zu bytes, at most %u may be",
		    m->value.len, KV_VALUE_MAX);
		return RMQ_E_BAD_DATA;
	}
	if (!e && b->kv.keys >= KV_KEYS_MAX) {
		snprintf(text, TEXT_MAX + 1,
		    "there are %u keys, and no more may be: delete some", b->kv.keys);
		return RMQ_E_LIMIT;
	}
	if (bytes > KV_BYTES_MAX) {
		snprintf(text, TEXT_MAX + 1,
		    "keys and values would have %" PRIu64
		    " bytes, at most %u may be: delete some",
		    bytes, KV_BYTES_MAX);
		return RMQ_E_LIMIT;
	}
	if (m->value.len + CHANGE_ROOM > broker_room_left(b)) {
		snprintf(text, TEXT_MAX + 1, "%s", error_text(RMQ_E_DISK_FULL));
		return RMQ_E_DISK_FULL;
	}
	return RMQ_E_OK;
}

static bool take(struct broker *b, struct conn *c, uint64_t n, uint64_t answered)
{
	if (RMQ_VARIANT(KV_REPEATED) && n == c->session->last && answered < n)
		return true;
	return broker_take_or(b, c, n, answered, broker_kv_answer);
}

static void emit_put(struct broker *b, const struct conn *c, const struct wire_kv_put *m)
{
	uint64_t version = next_version(b);
	size_t at = min_u64(m->value.len, KV_PIECE_MAX);
	size_t pieces = m->value.len / KV_PIECE_MAX;
	uint8_t bytes[EVENT_MAKER_MAX];
	struct writer tags = writer_of(bytes, sizeof(bytes));
	broker_put_maker(&tags, c->owner);
	broker_reserve(b, CHANGE_ROOM + m->value.len + pieces * 32);
	broker_name_owner(b, c->session);
	broker_emit_kv_put(b, &(struct event_kv_put){version, c->session->id, m->n, m->key,
				  slice_of(bytes, tags.len), slice_of(m->value.data, at)});
	while (at < m->value.len) {
		size_t len = min_u64(m->value.len - at, KV_PIECE_MAX);
		broker_emit_kv_more(b, &(struct event_kv_more){version, NO_TAGS,
					   slice_of(m->value.data + at, len)});
		at += len;
	}
	broker_reserve_end(b);
}

void broker_kv_put(struct broker *b, struct conn *c, const struct wire_kv_put *m)
{
	const struct kv_entry *e = kv_find(&b->kv, m->key, false);
	char text[TEXT_MAX + 1];
	if (!take(b, c, m->n, m->answered))
		return;
	broker_works(b, 1 + m->value.len / VALUE_STEP);
	enum rmq_error err = may_change(b, m->key, m->flags, m->version, e, text);
	if (!err)
		err = may_hold(b, m, e, text);
	if (!err)
		err = may_have(c->owner, m, e, text);
	if (err) {
		broker_fail_text(b, c, m->n, err, text);
		return;
	}
	emit_put(b, c, m);
	broker_kv_answer(b, c, m->n);
}

void broker_kv_del(struct broker *b, struct conn *c, const struct wire_kv_del *m)
{
	const struct kv_entry *e = kv_find(&b->kv, m->key, false);
	char text[TEXT_MAX + 1];
	if (!take(b, c, m->n, m->answered))
		return;
	enum rmq_error err = may_change(b, m->key, m->flags, m->version, e, text);
	if (!err && !e) {
		err = RMQ_E_UNMET;
		snprintf(text, sizeof(text), "key is not there");
	}
	if (err) {
		broker_fail_text(b, c, m->n, err, text);
		return;
	}
	broker_reserve(b, CHANGE_ROOM);
	broker_name_owner(b, c->session);
	broker_emit_kv_del(
	    b, &(struct event_kv_del){next_version(b), c->session->id, m->n, m->key, NO_TAGS});
	broker_kv_answer(b, c, m->n);
}

/* ---- reading ---- */

static void tell(struct broker *b, const struct conn *c, const struct kv_entry *e,
    const struct wire_kv_read *m)
{
	struct slice value = m->flags & KV_VALUES ? kv_value(e) : slice_of(NULL, 0);
	size_t cap = FRAME_SMALL + value.len;
	uint8_t *bytes = memory_new(cap);
	struct writer w = writer_of(bytes, cap);
	wire_put_kv_is(
	    &w, &(struct wire_kv_is){m->req, e->deleted ? KV_IS_DELETED : KV_IS_THERE,
		    e->version, e->len, kv_key(e), NO_TAGS, value});
	broker_send(b, c->id, &w);
	free(bytes);
	broker_works(b, 1 + value.len / VALUE_STEP);
	if (RMQ_VARIANT(KV_EARLY))
		broker_release_newest(b);
}

static void tell_at(struct broker *b, struct conn *c, const struct wire_kv_read *m,
    enum rmq_error code, uint8_t flags, uint64_t version, uint64_t left_out)
{
	ANSWER(b, c, kv_at, m->req, (uint8_t)code, flags, version, b->kv.version, left_out,
	    NO_TAGS);
	if (RMQ_VARIANT(KV_EARLY))
		broker_release_newest(b);
}

struct walk {
	const struct kv_entry *next; /* NULL: that is all */
	uint64_t at;		     /* version up to which it was looked */
	uint32_t rows;
	uint32_t counted; /* of them, changes that are counted */
};

static bool is_told(
    const struct conn *c, const struct wire_kv_read *m, const struct kv_entry *e)
{
	uint64_t known = m->since > 0 ? m->known : UINT64_MAX;
	if (e->deleted && e->version <= known)
		return false;
	return matches(c, m, kv_key(e));
}

/* Tells what there is to tell; one key is found without looking at others. */
static struct walk tell_rows(
    struct broker *b, struct conn *c, const struct wire_kv_read *m, uint64_t counts_from)
{
	bool prefix = m->flags & KV_PREFIX;
	const struct kv_entry *e =
	    prefix ? kv_after(&b->kv, m->since) : kv_find(&b->kv, m->key, true);
	struct walk walk = {NULL, b->kv.version, 0, 0};
	uint64_t bytes = 0, each = 1 + (prefix ? broker_rights_steps(c) : 0), steps = 0;
	for (; e; e = prefix ? kv_next(e) : NULL) {
		steps += each;
		broker_works(b, each);
		if (e->version > m->since && is_told(c, m, e)) {
			tell(b, c, e, m);
			walk.rows++;
			walk.counted += e->version > counts_from;
			bytes += sizeof(struct effect) + e->key_len +
				 (m->flags & KV_VALUES ? e->len : 0u);
		}
		walk.next = prefix ? kv_next(e) : NULL;
		if (walk.next && (steps + each > LIST_WORK || bytes >= KV_ANSWER_BYTES)) {
			walk.at = e->version;
			break;
		}
	}
	return walk;
}

static void end_watch(struct broker *b, struct kv_watch *w)
{
	TAILQ_REMOVE(&b->kv_watches, w, link);
	b->kv_watches_count--;
	w->conn->owner->watches--;
	w->conn->kv_watch = NULL;
	free(w);
}

void broker_kv_end(struct broker *b, struct conn *c)
{
	if (c->kv_watch)
		end_watch(b, c->kv_watch);
}

/* What the connection waits for, from the newest version on if it begins to; NULL: too many do. */
static struct kv_watch *watch_of(struct broker *b, struct conn *c, const struct wire_kv_read *m)
{
	struct kv_watch *w = c->kv_watch;
	if (w && (w->asked.flags != m->flags || !slice_eq(w->asked.key, m->key))) {
		end_watch(b, w);
		w = NULL;
	}
	if (!w) {
		if (b->kv_watches_count >= WATCHES_MAX ||
		    (owner_known(c->owner) && c->owner->watches >= WATCHES_OF_ONE))
			return NULL;
		w = c->kv_watch = memory_new(sizeof(*w));
		w->conn = c;
		w->from = b->kv.version;
		TAILQ_INSERT_TAIL(&b->kv_watches, w, link);
		b->kv_watches_count++;
		c->owner->watches++;
	}
	w->asked = *m;
	if (m->key.len > 0)
		memcpy(w->key, m->key.data, m->key.len);
	w->asked.key = slice_of(w->key, m->key.len);
	w->asked.tags = NO_TAGS;
	w->armed = true;
	return w;
}

/* Deletions that it has to be told may be forgotten. */
static bool is_behind(const struct broker *b, const struct wire_kv_read *m)
{
	uint64_t forgotten = kv_forgotten(&b->kv);
	return m->since > b->kv.version || (m->since > 0 && m->since < forgotten &&
					       m->known < forgotten && !RMQ_VARIANT(KV_BEHIND));
}

/*
 * Looks for what is new for it, and answers if there is something.  Whether it has seen all; one that
 * has to begin anew is gone: what it is told next stands for all changes that it counts here.
 */
static bool look(struct broker *b, struct kv_watch *w)
{
	struct wire_kv_read *m = &w->asked;
	uint64_t left_out = 0;
	if (is_behind(b, m)) {
		tell_at(b, w->conn, m, RMQ_E_OK, KV_ANEW, 0, 0);
		end_watch(b, w);
		return true;
	}
	struct walk walk = tell_rows(b, w->conn, m, w->from);
	w->told += walk.counted;
	if (!walk.next && w->changes > w->told) {
		left_out = w->changes - w->told;
		w->told = w->changes;
	}
	if (walk.rows > 0 || left_out > 0) {
		w->armed = false;
		tell_at(b, w->conn, m, RMQ_E_OK, walk.next ? KV_MORE : 0, walk.at, left_out);
	}
	m->since = walk.at;
	/* All that is gone by now it has been told. */
	if (!walk.next && m->known < walk.at)
		m->known = walk.at;
	return !walk.next;
}

/* One has not seen all: there is another round. */
static void miss(struct broker *b)
{
	b->kv_told = 0;
	b->kv_missed = true;
}

void broker_kv_read(struct broker *b, struct conn *c, const struct wire_kv_read *m)
{
	if (m->flags & ~KV_READ_FLAGS || m->key.len > NAME_MAX_LEN) {
		tell_at(
		    b, c, m, m->key.len > NAME_MAX_LEN ? RMQ_E_USAGE : RMQ_E_VERSION, 0, 0, 0);
		return;
	}
	if (m->flags & KV_WAIT) {
		struct kv_watch *w = watch_of(b, c, m);
		if (!w)
			tell_at(b, c, m, RMQ_E_LIMIT, 0, 0, 0);
		else if (!look(b, w))
			miss(b);
	} else if (is_behind(b, m)) {
		tell_at(b, c, m, RMQ_E_OK, KV_ANEW, 0, 0);
	} else {
		struct walk walk = tell_rows(b, c, m, UINT64_MAX);
		tell_at(b, c, m, RMQ_E_OK, walk.next ? KV_MORE : 0, walk.at, 0);
	}
}

bool broker_kv_goes_on(const struct broker *b)
{
	return b->kv_told < b->kv.version && b->kv_watches_count > 0;
}

/* Each of those that wait now is looked for, in as many turns as it takes. */
static void begin_round(struct broker *b)
{
	b->kv_left = b->kv_watches_count;
	b->kv_round = b->kv.version;
	b->kv_missed = false;
}

void broker_kv_step(struct broker *b)
{
	uint64_t end = b->work + b->ledger.limits.turn_steps;
	struct kv_watch *w;
	if (!broker_kv_goes_on(b))
		return;
	if (b->kv_left == 0)
		begin_round(b);
	while (b->kv_left > 0 && (w = TAILQ_FIRST(&b->kv_watches))) {
		if (b->work >= end && !RMQ_VARIANT(KV_UNTOLD))
			return;
		if (b->work >= end)
			break;
		TAILQ_REMOVE(&b->kv_watches, w, link);
		TAILQ_INSERT_TAIL(&b->kv_watches, w, link);
		b->kv_left--;
		broker_works(b, 1);
		if (w->armed && w->asked.since < b->kv.version)
			b->kv_missed |= !look(b, w) && w->armed;
	}
	b->kv_left = 0;
	if (!b->kv_missed)
		b->kv_told = b->kv_round;
}
