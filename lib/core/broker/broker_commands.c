/*
 * Frames of clients.  Each is validated as a whole before an event is made of it.  The
 * numbered ones pass one gate: number n is taken if it is the session's last + 1,
 * answered again if it was taken, and refused else.
 */
#include "core/broker/broker_state.h"

#include <assert.h>
#include <sodium/utils.h>
#include <stdio.h>
#include <string.h>

#include "core/base/memory.h"
#include "core/base/name.h"
#include "core/base/topic.h"
#include "core/base/variant.h"

/* ---- numbered commands ---- */

static void fail_text(struct broker *b, struct conn *c, uint64_t n, enum rmq_error code,
    uint32_t at, const char *text)
{
	ANSWER(b, c, failed, n, (uint8_t)code, at, slice_str(text));
}

static void fail(struct broker *b, struct conn *c, uint64_t n, enum rmq_error code, uint32_t at)
{
	fail_text(b, c, n, code, at, error_text(code));
}

void broker_fail_command(struct broker *b, struct conn *c, uint64_t n, enum rmq_error code)
{
	fail(b, c, n, code, 0);
}

void broker_fail_text(
    struct broker *b, struct conn *c, uint64_t n, enum rmq_error code, const char *text)
{
	fail_text(b, c, n, code, 0, text);
}

/* Of the two queues that a command is about, this is the one that it fails for. */
static void fail_queue(
    struct broker *b, struct conn *c, uint64_t n, enum rmq_error code, struct slice name)
{
	char text[TEXT_MAX + 1];
	/* That of a topic, which may lead anywhere. */
	if (!broker_may_see(c, name)) {
		fail(b, c, n, code, 0);
		return;
	}
	snprintf(text, sizeof(text), "%s: %.*s", error_text(code), (int)name.len,
	    (const char *)name.data);
	fail_text(b, c, n, code, 0, text);
}

static void answer(struct broker *b, struct conn *c, uint64_t n)
{
	const struct answer *a = session_answer(c->session, n);
	if (!a)
		return;
	if (a->count > 0) {
		ANSWER(b, c, sent, n, a->first_seq, a->count);
		return;
	}
	if (a->stale_len == 0) {
		ANSWER(b, c, done, n, slice_of(NULL, 0));
		return;
	}
	size_t cap = FRAME_SMALL + a->stale_len;
	uint8_t *bytes = memory_new(cap);
	struct writer w = writer_of(bytes, cap);
	wire_put_done(&w, &(struct wire_done){n, slice_of(a->stale, a->stale_len)});
	broker_send(b, c->id, &w);
	free(bytes);
}

static void answer_settle_sent(struct broker *b, struct conn *c, uint64_t n)
{
	const struct answer *a = session_answer(c->session, n);
	if (!a)
		return;
	size_t cap = FRAME_SMALL + a->stale_len;
	uint8_t *bytes = memory_new(cap);
	struct writer w = writer_of(bytes, cap);
	wire_put_settle_sent(&w, &(struct wire_settle_sent){n, a->first_seq, a->count, NO_TAGS,
				     slice_of(a->stale, a->stale_len)});
	broker_send(b, c->id, &w);
	free(bytes);
}

/* Whether command n is to be carried out now; if not, it has been answered. */
static bool take_or(struct broker *b, struct conn *c, uint64_t n, uint64_t answered,
    void (*answer_again)(struct broker *, struct conn *, uint64_t))
{
	struct session *s = c->session;
	if (answered > s->last || n <= answered) {
		broker_refuse(
		    b, c, RMQ_E_PROTOCOL, "numbers of commands contradict each other");
		return false;
	}
	session_answered(s, answered);
	if (n <= s->last) {
		answer_again(b, c, n);
		if (RMQ_VARIANT(DUPLICATE_EARLY))
			broker_release_newest(b);
		return false;
	}
	if (n != s->last + 1 && !RMQ_VARIANT(GAP)) {
		fail(b, c, n, RMQ_E_OUT_OF_ORDER, 0);
		return false;
	}
	if (n - answered > SESSION_WINDOW) {
		broker_refuse(b, c, RMQ_E_PROTOCOL, "too many unanswered commands");
		return false;
	}
	return true;
}

/* Who gives another command has given up the large message that it began. */
bool broker_take_or(struct broker *b, struct conn *c, uint64_t n, uint64_t answered,
    void (*again)(struct broker *, struct conn *, uint64_t))
{
	if (!take_or(b, c, n, answered, again))
		return false;
	broker_drop_unfinished(b, c->session->id);
	return true;
}

static bool take(struct broker *b, struct conn *c, uint64_t n, uint64_t answered)
{
	return broker_take_or(b, c, n, answered, answer);
}

bool broker_take(struct broker *b, struct conn *c, uint64_t n, uint64_t answered)
{
	return take(b, c, n, answered);
}

bool broker_take_next(struct broker *b, struct conn *c, uint64_t n, uint64_t answered)
{
	return take_or(b, c, n, answered, answer);
}

/* Command n is not looked at any further. */
static void fail_unseen(struct broker *b, struct conn *c, uint64_t n, uint64_t answered,
    enum rmq_error code, const char *text)
{
	if (take(b, c, n, answered))
		fail_text(b, c, n, code, 0, text);
}

/* It asks for something that a newer daemon may know. */
static void fail_unknown(
    struct broker *b, struct conn *c, uint64_t n, uint64_t answered, const char *text)
{
	fail_unseen(b, c, n, answered, RMQ_E_VERSION, text);
}

/* ---- queues ---- */

const struct queue_settings broker_default_settings = {.lease_ms = LEASE_MS_DEFAULT,
    .max_attempts = MAX_ATTEMPTS_DEFAULT,
    .backoff_min_ms = BACKOFF_MIN_MS_DEFAULT,
    .backoff_max_ms = BACKOFF_MAX_MS_DEFAULT,
    .max_message = MESSAGE_MAX_DEFAULT,
#define X(NAME, tag, bit, standard, word, member) .more.member = (standard),
    MORE_SETTINGS(X)
#undef X
};

/* Whether `more` queues are too many, or too many of this maker's. */
static bool too_many_queues(const struct broker *b, const struct owner *maker, uint32_t more)
{
	return b->queues_count + more > QUEUES_MAX ||
	       (owner_known(maker) && maker->queues + more > QUEUES_OF_ONE);
}

bool broker_queues_full(const struct broker *b, const struct owner *maker)
{
	return too_many_queues(b, maker, 1);
}

void broker_put_maker(struct writer *tags, const struct owner *maker)
{
	if (owner_known(maker))
		event_maker_put(tags, &(struct event_maker){maker->uid, owner_node(maker)});
}

static void emit_create(struct broker *b, struct slice name, struct slice token,
    const struct queue_settings *s, const struct owner *maker)
{
	uint8_t bytes[MORE_SETTINGS_BYTES + EVENT_MAKER_MAX + EVENT_ARRIVING_SIZE];
	struct writer tags = writer_of(bytes, sizeof(bytes));
	more_settings_put(&tags, EVENT_TAG_SETTINGS, &s->more, SETTING_ALL);
	broker_put_maker(&tags, maker);
	if (token.len > 0)
		tags_put(&tags, EVENT_TAG_ARRIVING, token);
	broker_emit_create(b, &(struct event_create){b->next_queue, name, SETTINGS_OF(s),
				  slice_str(s->dead_letter), slice_of(tags.p, tags.len)});
}

struct queue *broker_queue_make_of(struct broker *b, struct slice name, struct slice token,
    const struct queue_settings *s, const struct owner *maker)
{
	emit_create(b, name, token, s, maker);
	return token.len > 0 ? broker_arriving_queue(b, name, token)
			     : broker_queue_named(b, name);
}

struct queue *broker_queue_make_as(struct broker *b, struct slice name,
    const struct queue_settings *s, const struct owner *maker)
{
	return broker_queue_make_of(b, name, NO_TAGS, s, maker);
}

struct queue *broker_queue_make(struct broker *b, struct slice name, const struct owner *maker)
{
	struct queue *q = broker_queue_named(b, name);
	if (q || !name_valid(name) || broker_queues_full(b, maker))
		return q;
	struct queue_settings s = broker_settings_for(name);
	return broker_queue_make_as(b, name, &s, maker);
}

enum rmq_error broker_may_name(const struct broker *b, struct slice name)
{
	if (!name_valid(name))
		return RMQ_E_USAGE;
	return name_is_ephemeral(name) && !broker_queue_named(b, name) ? RMQ_E_RESERVED
								       : RMQ_E_OK;
}

enum rmq_error broker_may_make(const struct broker *b, const struct conn *c)
{
	if (broker_queues_full(b, c->owner))
		return RMQ_E_LIMIT;
	return FRAME_SMALL <= broker_room_left(b) ? RMQ_E_OK : RMQ_E_DISK_FULL;
}

/* For people: why no queue may be made for o. */
static const char *why_not(const struct owner *o, enum rmq_error code, char text[TEXT_MAX + 1])
{
	char title[OWNER_TITLE_SIZE];
	if (code != RMQ_E_LIMIT)
		return error_text(code);
	if (!owner_known(o) || o->queues < QUEUES_OF_ONE)
		snprintf(text, TEXT_MAX + 1,
		    "there are %u queues, and no more may be made: "
		    "remove some",
		    QUEUES_MAX);
	else
		snprintf(text, TEXT_MAX + 1,
		    "%s has made %u queues, as many as one %s may of %u in all: remove some",
		    owner_title(o, title), o->queues, owner_kind(o), QUEUES_MAX);
	return text;
}

void broker_fail_make(struct broker *b, struct conn *c, uint64_t n, enum rmq_error code)
{
	char text[TEXT_MAX + 1];
	fail_text(b, c, n, code, 0, why_not(c->owner, code, text));
}

/* The settings that result when those in `mask` are taken from the frame. */
static bool merge_settings(struct queue_settings *s, const struct wire_queue_create *m,
    const struct more_settings *more)
{
	uint32_t mask = m->mask;
	if (mask & SETTING_LEASE)
		s->lease_ms = m->lease_ms;
	if (mask & SETTING_MAX_ATTEMPTS)
		s->max_attempts = m->max_attempts;
	if (mask & SETTING_BACKOFF) {
		s->backoff_min_ms = m->backoff_min_ms;
		s->backoff_max_ms = m->backoff_max_ms;
	}
	if (mask & SETTING_MAX_BYTES)
		s->max_bytes = m->max_bytes;
	if (mask & SETTING_MAX_MESSAGE)
		s->max_message = m->max_message;
#define X(NAME, tag, bit, standard, word, member) \
	if (mask & (bit)) \
		s->more.member = more->member;
	MORE_SETTINGS(X)
#undef X
	bool is_name =
	    m->dead_letter.len <= NAME_FULL_MAX && !name_is_ephemeral(m->dead_letter) &&
	    (m->dead_letter.len == 0 || !memchr(m->dead_letter.data, '\0', m->dead_letter.len));
	if ((mask & SETTING_DEAD_LETTER) && is_name) {
		memset(s->dead_letter, 0, sizeof(s->dead_letter));
		if (m->dead_letter.len > 0)
			memcpy(s->dead_letter, m->dead_letter.data, m->dead_letter.len);
	}
	return (is_name || !(mask & SETTING_DEAD_LETTER)) && policy_valid(s);
}

/* A queue's dead letters so far as they are followed: longer ways than that are refused. */
#define DEAD_LETTER_STEPS 16

/*
 * Whether the dead letters of `name` would come back to it, in the end: they would go round
 * for ever.
 */
static bool goes_round(const struct broker *b, struct slice name, const char *dead_letter)
{
	for (int i = 0; i < DEAD_LETTER_STEPS; i++) {
		if (dead_letter[0] == '\0' || strcmp(dead_letter, "-") == 0 ||
		    RMQ_VARIANT(DEAD_ROUND))
			return false;
		if (slice_eq(name, slice_str(dead_letter)))
			return true;
		const struct queue *q = broker_queue_named(b, slice_str(dead_letter));
		if (!q || q->is_dead)
			return false;
		dead_letter = q->settings.dead_letter;
	}
	return true;
}

static void fail_round(struct broker *b, struct conn *c, uint64_t n)
{
	ANSWER(b, c, failed, n, RMQ_E_USAGE, 0,
	    slice_str(
		"its dead letters would come back to it: --dead-letter must name another queue"));
}

static void fail_exists(struct broker *b, struct conn *c, uint64_t n,
    const struct queue_settings *is, const struct queue_settings *wanted)
{
	char difference[POLICY_DIFFERENCE_MAX], text[TEXT_MAX + 1];
	policy_difference(difference, is, wanted);
	snprintf(text, sizeof(text), "%s: %s", error_text(RMQ_E_EXISTS), difference);
	fail_text(b, c, n, RMQ_E_EXISTS, 0, text);
}

void broker_taken(struct broker *b, struct conn *c, uint64_t n)
{
	broker_name_owner(b, c->session);
	broker_emit_taken(b, &(struct event_taken){c->session->id, n});
	answer(b, c, n);
}

/* Whether all settings of the frame are known here, then `more` has those of the tag; if not, it has been answered. */
static bool settings_known(struct broker *b, struct conn *c, const struct wire_queue_create *m,
    struct more_settings *more)
{
	enum rmq_error err = more_settings_find(m->tags, QUEUE_TAG_SETTINGS, more);
	if (err == RMQ_E_VERSION || (m->mask & ~(uint32_t)SETTING_ALL))
		fail_unknown(b, c, m->n, m->answered, "unknown setting");
	else if (err)
		broker_refuse(b, c, err, "bad settings");
	else
		return true;
	return false;
}

static void on_queue_create(struct broker *b, struct conn *c, const struct wire_queue_create *m)
{
	struct queue_settings s = broker_default_settings;
	struct queue *q = broker_queue_named(b, m->queue);
	struct more_settings more;
	char text[TEXT_MAX + 1];
	enum rmq_error err;
	if (!settings_known(b, c, m, &more))
		return;
	if (!take(b, c, m->n, m->answered))
		return;
	if ((err = broker_may_name(b, m->queue))) {
		fail(b, c, m->n, err, 0);
	} else if (!merge_settings(&s, m, &more)) {
		fail(b, c, m->n, RMQ_E_CONFIG, 0);
	} else if (goes_round(b, m->queue, s.dead_letter)) {
		fail_round(b, c, m->n);
	} else if (q && !policy_same(&q->settings, &s)) {
		fail_exists(b, c, m->n, &q->settings, &s);
	} else if (!q && (err = broker_may_make(b, c))) {
		fail_text(b, c, m->n, err, 0, why_not(c->owner, err, text));
	} else {
		broker_reserve(b, 1024);
		if (!q)
			emit_create(b, m->queue, NO_TAGS, &s, c->owner);
		broker_taken(b, c, m->n);
	}
}

static void on_queue_set(struct broker *b, struct conn *c, const struct wire_queue_set *m)
{
	struct wire_queue_create create = {
	    m->n, m->answered, m->mask, m->queue, SETTINGS_OF(m), m->dead_letter, m->tags};
	struct queue *q = broker_queue_named(b, m->queue);
	struct more_settings more;
	if (!settings_known(b, c, &create, &more))
		return;
	if (!take(b, c, m->n, m->answered))
		return;
	if (!q) {
		fail(b, c, m->n, RMQ_E_NO_QUEUE, 0);
		return;
	}
	struct queue_settings s = q->settings;
	if (!merge_settings(&s, &create, &more)) {
		fail(b, c, m->n, RMQ_E_CONFIG, 0);
		return;
	}
	if (goes_round(b, m->queue, s.dead_letter)) {
		fail_round(b, c, m->n);
		return;
	}
	uint8_t bytes[MORE_SETTINGS_BYTES];
	struct writer tags = writer_of(bytes, sizeof(bytes));
	more_settings_put(&tags, EVENT_TAG_SETTINGS, &s.more, SETTING_ALL);
	broker_reserve(b, 1024);
	broker_emit_set(b, &(struct event_set){q->id, SETTINGS_OF(&s), slice_str(s.dead_letter),
			       slice_of(tags.p, tags.len)});
	broker_taken(b, c, m->n);
}

void broker_end_subscriptions(struct broker *b, struct queue *q)
{
	struct subscription *sub;
	broker_end_waiting(b, q);
	while ((sub = TAILQ_FIRST(&q->subs))) {
		ANSWER(b, sub->conn, sub_failed, sub->id, RMQ_E_NO_QUEUE,
		    slice_str(error_text(RMQ_E_NO_QUEUE)));
		broker_sub_free(b, sub);
	}
}

static void on_queue_remove(struct broker *b, struct conn *c, const struct wire_queue_remove *m)
{
	struct queue *q = broker_queue_named(b, m->queue);
	if (m->flags & ~REMOVE_FORCE) {
		fail_unknown(b, c, m->n, m->answered, "unknown flag of QUEUE_REMOVE");
		return;
	}
	if (!take(b, c, m->n, m->answered))
		return;
	if (!q || (queue_total(q) > 0 && !(m->flags & REMOVE_FORCE))) {
		fail(b, c, m->n, q ? RMQ_E_NOT_EMPTY : RMQ_E_NO_QUEUE, 0);
		return;
	}
	broker_errand(b, (struct errand){.kind = ERRAND_REMOVE,
			     .conn = c->id,
			     .n = m->n,
			     .queue = q->id,
			     .at = m->flags & REMOVE_FORCE ? UINT64_MAX : 0});
}

static void on_queue_purge(struct broker *b, struct conn *c, const struct wire_queue_purge *m)
{
	struct queue *q = broker_queue_named(b, m->queue);
	if (!take(b, c, m->n, m->answered))
		return;
	if (!q) {
		fail(b, c, m->n, RMQ_E_NO_QUEUE, 0);
		return;
	}
	broker_errand(b, (struct errand){.kind = ERRAND_PURGE,
			     .conn = c->id,
			     .n = m->n,
			     .queue = q->id,
			     .at = q->next_seq});
}

static bool rising(struct slice messages)
{
	uint64_t last = 0;
	struct reader in = reader_of(messages);
	while (reader_left(&in) >= 8) {
		uint64_t seq = get_u64(&in);
		if (seq <= last || seq > SEQ_MAX)
			return false;
		last = seq;
	}
	return messages.len > 0 && messages.len % 8 == 0 && messages.len / 8 <= CANCEL_MAX;
}

/* What is not there is the answer, as that of a settlement. */
static void on_cancel(struct broker *b, struct conn *c, const struct wire_cancel *m)
{
	struct queue *q = broker_queue_named(b, m->queue);
	size_t most = m->messages.len / 8 * SETTLE_ENTRY_SIZE;
	if (!rising(m->messages)) {
		broker_refuse(b, c, RMQ_E_PROTOCOL, "bad CANCEL");
		return;
	}
	if (!take(b, c, m->n, m->answered))
		return;
	if (!q || c->session->answers_bytes + most > SESSION_STALE_MAX ||
	    c->session->owner->stale_bytes + most > OWNER_STALE_MAX) {
		fail(b, c, m->n, q ? RMQ_E_LIMIT : RMQ_E_NO_QUEUE, 0);
		return;
	}
	struct writer missing = writer_of(b->verdict, sizeof(b->verdict));
	broker_name_owner(b, c->session);
	broker_cancel(b, q, m->messages, &missing);
	broker_emit_settle(b, &(struct event_settle){q->id, c->session->id, m->n,
				  (uint32_t)(missing.len / SETTLE_ENTRY_SIZE), NO_TAGS,
				  slice_of(missing.p, missing.len)});
	answer(b, c, m->n);
}

/* What every name that matches begins with. */
static struct slice glob_prefix(struct slice glob)
{
	size_t len = 0;
	while (len < glob.len && glob.data[len] != '*' && glob.data[len] != '?')
		len++;
	return slice_of(glob.data, len);
}

static void answer_row(struct broker *b, struct conn *c, uint32_t req, const struct queue *q)
{
	const struct queue_settings *s = &q->settings;
	uint8_t bytes[5 * TAG_U64_SIZE + MORE_SETTINGS_BYTES + QUEUE_DROPPED_SIZE];
	uint64_t untaken_ms;
	uint8_t row[2 * FRAME_SMALL];
	struct writer tags = writer_of(bytes, sizeof(bytes));
	struct writer w = writer_of(row, sizeof(row));
	tags_put_u64(&tags, LISTED_TAG_LOST, q->counts.lost);
	tags_put_u64(&tags, LISTED_TAG_UNFINISHED, q->unfinished_bytes);
	more_settings_put(&tags, LISTED_TAG_SETTINGS, &s->more, SETTING_ALL);
	broker_put_dropped(&tags, LISTED_TAG_DROPPED, &q->counts);
	tags_put_u64(&tags, LISTED_TAG_IDS, ids_count(&q->ids));
	tags_put_u64(&tags, LISTED_TAG_IDS_EARLY, q->counts.ids_early);
	if (broker_away_untaken(b, q, &untaken_ms))
		tags_put_u64(&tags, LISTED_TAG_UNTAKEN, untaken_ms);
	wire_put_listed(&w,
	    &(struct wire_listed){req, queue_name(q), SETTINGS_OF(s), slice_str(s->dead_letter),
		q->live[STATE_READY], q->live[STATE_LEASED], q->live[STATE_DELAYED], q->bytes,
		q->next_seq, q->counts.sent, q->counts.delivered, q->counts.settled,
		q->counts.failed, q->counts.dead, q->receivers, slice_of(tags.p, tags.len)});
	broker_send(b, c->id, &w);
}

static bool begins_with(struct slice name, struct slice prefix)
{
	return name.len >= prefix.len && slice_eq(slice_of(name.data, prefix.len), prefix);
}

/* A glob, or rights, may match none of many names: so many steps are made for one LIST. */
static void on_list(struct broker *b, struct conn *c, const struct wire_list *m)
{
	struct slice prefix = glob_prefix(m->glob), last = broker_place_of(c, m->after);
	struct queue *q = broker_queue_from(b, last, prefix);
	uint32_t rows = m->limit < LIST_ROWS_MAX ? m->limit : LIST_ROWS_MAX;
	uint64_t long_one = m->glob.len / LIST_GLOB_STEP;
	uint64_t each = 1 + long_one * long_one + broker_rights_steps(c), steps = 0;
	bool more = false;
	for (; q && begins_with(queue_name(q), prefix);
	     q = RB_NEXT(queue_name_tree, &b->queues_by_name, q)) {
		more = steps > 0 && steps + each > LIST_WORK;
		if (more) {
			ANSWER(b, c, list_at, m->req, broker_place_tell(c, last), NO_TAGS);
			break;
		}
		steps += each;
		last = queue_name(q);
		if (!name_matches(last, m->glob) || !broker_may_see(c, last))
			continue;
		more = rows == 0;
		if (more)
			break;
		rows--;
		answer_row(b, c, m->req, q);
	}
	broker_works(b, steps);
	ANSWER(b, c, list_end, m->req, more);
}

/* ---- sending ---- */

/* Bytes of large messages on their way into q.  One's own is not in its own way. */
static uint64_t unfinished_of_others(
    const struct broker *b, const struct conn *c, const struct queue *q)
{
	const struct pending *own =
	    q->unfinished_bytes > 0 ? broker_unfinished(b, q, c->session->id) : NULL;
	return q->unfinished_bytes - (own ? own->weight : 0);
}

/*
 * Whether q takes more (else FULL, or PAUSED) and the journal has room for so many bytes (else DISK_FULL);
 * if not, c waits for it: a message of which `before` bytes came already comes again as a whole,
 * and would be refused again at this piece.
 */
static enum rmq_error want_room(
    struct broker *b, struct conn *c, struct queue *q, uint8_t flags, size_t before, size_t len)
{
	bool full = q && queue_room(q) <= unfinished_of_others(b, c, q);
	/* What it would replace may have been copied to another cell. */
	bool moves = q && (q->is_frozen || (q->is_held && (flags & SEND_REPLACE)));
	full |= moves && !RMQ_VARIANT(HELD_LOSES) && !RMQ_VARIANT(FROZEN_TAKES);
	if (!full && len + FRAME_SMALL <= broker_room_left(b))
		return RMQ_E_OK;
	broker_wait(b, c, full ? q : NULL, before + len + FRAME_SMALL);
	if (full && (q->settings.more.paused_in || moves))
		return RMQ_E_PAUSED;
	return full ? RMQ_E_FULL : RMQ_E_DISK_FULL;
}

/* With flags of SEND: the queue is one for other cells, and is made as one of dead letters is. */
#define SEND_DIVERTED 128
static_assert(!(SEND_DIVERTED & SEND_FLAGS), "no flag of a frame");

/* Whether so many bytes may be sent to that queue, which may have to be made first; see want_room(). */
static enum rmq_error may_send(
    struct broker *b, struct conn *c, struct slice name, uint8_t flags, size_t len)
{
	struct queue *q = broker_queue_named(b, name);
	bool diverted = flags & SEND_DIVERTED;
	if (!q && !diverted && (b->explicit_create || (flags & SEND_NO_CREATE)))
		return name_valid(name) ? RMQ_E_NO_QUEUE : RMQ_E_USAGE;
	enum rmq_error err = q ? RMQ_E_OK : broker_may_name(b, name);
	if (err)
		return err;
	if (!q && broker_queues_full(b, c->owner))
		return RMQ_E_LIMIT;
	return want_room(b, c, q, flags, 0, len);
}

/* Why a SEND to that queue is refused. */
static const char *why_not_sent(const struct broker *b, const struct conn *c, struct slice name,
    enum rmq_error code, char text[TEXT_MAX + 1])
{
	const struct queue *q = broker_queue_named(b, name);
	if (code == RMQ_E_PAUSED && q && q->is_held)
		return "queue moves to another cell, and takes messages again in a moment";
	if (code == RMQ_E_PAUSED)
		return "queue is paused: rmq-queue resume lets it take messages";
	if (code != RMQ_E_FULL || !q)
		return why_not(c->owner, code, text);
	if (q->ends)
		return "queue is being removed";
	snprintf(text, TEXT_MAX + 1, "%s (max-bytes %llu)", error_text(code),
	    (unsigned long long)q->settings.max_bytes);
	return text;
}

/* The batch has an attribute that would have to be acted on. */
static void fail_attribute(struct broker *b, struct conn *c, uint64_t n, uint16_t tag)
{
	char text[TEXT_MAX];
	const char *name = attribute_name(tag);
	if (name)
		snprintf(text, sizeof(text), "this daemon does not know attribute %s", name);
	else
		snprintf(text, sizeof(text), "this daemon does not know attribute %u", tag);
	fail_text(b, c, n, RMQ_E_VERSION, 0, text);
}

/* Whether the daemon can act on these attributes; if not, command n has failed. */
static bool attributes_known(
    struct broker *b, struct conn *c, uint64_t n, struct slice attributes, uint32_t count)
{
	uint16_t refused = attributes_refused(attributes);
	uint32_t far = refused ? count : lanes_too_far(attributes, count, b->wall_now);
	if (refused)
		fail_attribute(b, c, n, refused);
	if (far < count)
		fail_text(b, c, n, RMQ_E_USAGE, far,
		    "its delay is too long: a message may wait for at most 3650 days");
	return !refused && far == count;
}

/* Whether a batch may have these attributes; if not, command n has failed. */
static bool attributes_fit(
    struct broker *b, struct conn *c, uint64_t n, struct slice attributes, uint32_t count)
{
	size_t shared = attributes_shared(attributes);
	char text[TEXT_MAX + 1];
	if (!attributes_known(b, c, n, attributes, count))
		return false;
	if (shared <= ATTRIBUTES_SHARED_MAX)
		return true;
	snprintf(text, sizeof(text),
	    "its messages share attributes of %zu bytes, and may share at most %d", shared,
	    ATTRIBUTES_SHARED_MAX);
	fail_text(b, c, n, RMQ_E_TOO_LARGE, 0, text);
	return false;
}

/* len: of the message, as far as it came. */
static void fail_too_large(struct broker *b, struct conn *c, uint64_t n, uint32_t at,
    const struct queue *q, const char *least, uint64_t len)
{
	char text[TEXT_MAX + 1];
	snprintf(text, sizeof(text), "%s: it has %s%llu bytes, the queue's --max-message is %u",
	    error_text(RMQ_E_TOO_LARGE), least, (unsigned long long)len,
	    q->settings.max_message);
	fail_text(b, c, n, RMQ_E_TOO_LARGE, at, text);
}

/* Whether q takes each of the bodies; if not, command n has failed. */
static bool bodies_fit(struct broker *b, struct conn *c, uint64_t n, const struct queue *q,
    const struct batch_view *batch)
{
	for (uint32_t i = 0; batch->blob_len > q->settings.max_message && i < batch->count;
	     i++) {
		size_t len = batch_body(batch, i).len;
		if (len > q->settings.max_message) {
			fail_too_large(b, c, n, i, q, "", len);
			return false;
		}
	}
	return true;
}

/* Whether a message that has so many bytes with this piece is not too large for q. */
static bool piece_fits(struct broker *b, struct conn *c, const struct wire_send *m,
    const struct queue *q, uint64_t bytes)
{
	if (bytes <= q->settings.max_message && m->part < CHUNKS_MAX)
		return true;
	fail_too_large(b, c, m->n, 0, q, m->flags & SEND_MORE ? "at least " : "", bytes);
	return false;
}

/* The queues that a SEND is for, its own first. */
struct send_queues {
	uint32_t count;
	struct slice name[SHARES_MAX];
	bool diverted[SEND_QUEUES_MAX]; /* it is here for that of another cell */
	char away[SEND_QUEUES_MAX][AWAY_NAME_MAX];
};

static bool is_among(const struct send_queues *t, struct slice name)
{
	for (uint32_t i = 0; i < t->count; i++)
		if (slice_eq(t->name[i], name))
			return true;
	return false;
}

/* What is for queues of other cells stays here, for the forwarder; once, if it is named as well. */
static void divert(const struct broker *b, struct send_queues *t)
{
	uint32_t count = t->count;
	for (t->count = 1; t->count < count; t->count++) {
		uint32_t i = t->count;
		struct slice name = broker_target(b, t->name[i], t->away[i]);
		t->diverted[i] = broker_is_diverted(t->name[i], name);
		t->name[i] = name;
		if (!t->diverted[i] || !is_among(t, name))
			continue;
		count--;
		memmove(&t->name[i], &t->name[i + 1], (count - i) * sizeof(t->name[0]));
		t->count--;
	}
}

/* Those that it names.  false: more than may be, one of them twice, or it cannot be read. */
static bool queues_of(const struct wire_send *m, struct send_queues *t)
{
	struct slice further = {0};
	bool named = tags_find(m->tags, SEND_TAG_QUEUES, &further);
	struct reader r = reader_of(further);
	t->name[0] = m->queue;
	for (t->count = 1; reader_left(&r) > 0; t->count++) {
		struct slice name = get_str(&r);
		if (r.bad || t->count == SEND_QUEUES_MAX || is_among(t, name))
			return false;
		t->name[t->count] = name;
	}
	return !named || t->count > 1;
}

static bool hears(const void *b, const struct queue *q)
{
	return broker_hears(b, q);
}

/* The queues that its topic leads to now; if it can go to none, the command has failed. */
static bool queues_of_topic(
    struct broker *b, struct conn *c, const struct wire_send *m, struct send_queues *t)
{
	char text[TEXT_MAX + 1];
	const char *fault = topic_fault(m->queue);
	struct matched found;
	t->count = 0;
	if (fault) {
		snprintf(text, sizeof(text), "it is not a topic: %s", fault);
		fail_text(b, c, m->n, RMQ_E_USAGE, 0, text);
		return false;
	}
	bindings_match(&b->bindings, m->queue, hears, b, &found);
	broker_works(b, found.steps);
	if (found.count > TOPIC_QUEUES_MAX) {
		snprintf(text, sizeof(text),
		    "the topic leads to more than %u queues: unbind some", TOPIC_QUEUES_MAX);
		fail_text(b, c, m->n, RMQ_E_LIMIT, 0, text);
		return false;
	}
	if (matched_too_many(&found)) {
		snprintf(text, sizeof(text),
		    "more than %u bindings match the topic: unbind some", TOPIC_BINDINGS_MAX);
		fail_text(b, c, m->n, RMQ_E_LIMIT, 0, text);
		return false;
	}
	if (RMQ_VARIANT(TOPIC_FIRST) && found.count > 1)
		found.count = 1;
	for (uint32_t i = 0; i < found.count; i++)
		t->name[t->count++] = queue_name(found.queue[i]);
	if (t->count == 0 && !(m->flags & SEND_ALLOW_UNROUTED))
		fail(b, c, m->n, RMQ_E_UNROUTED, 0);
	return t->count > 0 || (m->flags & SEND_ALLOW_UNROUTED);
}

/*
 * Whether all of them take the batch, or (NULL) the first piece of a message; if not, the
 * command has failed, and none was made.
 */
static bool all_take(struct broker *b, struct conn *c, const struct wire_send *m,
    const struct send_queues *t, const struct batch_view *batch)
{
	char text[TEXT_MAX + 1];
	uint32_t missing = 0;
	bool named = t->count > 1 || (m->flags & SEND_TOPIC);
	size_t len = m->tags.len + m->data.len + (t->count - 1) * (size_t)EVENT_TARGET_SIZE;
	broker_works(b, t->count - 1);
	for (uint32_t i = 0; i < t->count; i++) {
		const struct queue *q = broker_queue_named(b, t->name[i]);
		bool diverted = i < SEND_QUEUES_MAX && t->diverted[i];
		uint8_t flags = diverted ? m->flags | SEND_DIVERTED : m->flags;
		enum rmq_error err = may_send(b, c, t->name[i], flags, len);
		missing += !q;
		if (!err && !q && too_many_queues(b, c->owner, missing))
			err = RMQ_E_LIMIT;
		if (err && named)
			fail_queue(b, c, m->n, err, t->name[i]);
		else if (err)
			fail_text(
			    b, c, m->n, err, 0, why_not_sent(b, c, t->name[i], err, text));
		if (err || (q && batch && !bodies_fit(b, c, m->n, q, batch)) ||
		    (q && !batch && !piece_fits(b, c, m, q, m->data.len)))
			return false;
	}
	return true;
}

static int further_compare(const void *x, const void *y)
{
	const struct queue *const *a = x, *const *b = y;
	return (*a)->id < (*b)->id ? -1 : (*a)->id > (*b)->id;
}

/* Some of them may have to be made. */
static void make_queues(
    struct broker *b, const struct conn *c, const struct send_queues *names, struct targets *t)
{
	t->count = names->count;
	for (uint32_t i = 0; i < t->count; i++)
		t->queue[i] = broker_queue_make(b, names->name[i], c->owner);
	qsort(t->queue + 1, t->count - 1, sizeof(t->queue[0]), further_compare);
}

/* The tags of an event that says the next number in each of the further queues. */
#define NUMBERS_MAX (4 + EVENT_FURTHER_MAX)
static struct slice next_numbers(const struct targets *t, uint8_t list[NUMBERS_MAX])
{
	uint8_t further[EVENT_FURTHER_MAX];
	struct writer w = writer_of(further, sizeof(further)),
		      tags = writer_of(list, NUMBERS_MAX);
	for (uint32_t i = 1; i < t->count; i++)
		event_target_put(
		    &w, &(struct event_target){t->queue[i]->id, t->queue[i]->next_seq});
	if (w.len > 0)
		tags_put(&tags, EVENT_TAG_FURTHER, slice_of(w.p, w.len));
	return slice_of(tags.p, tags.len);
}

/* Once, for all of the queues. */
static void emit_send(
    struct broker *b, const struct conn *c, const struct wire_send *m, const struct targets *t)
{
	uint8_t list[NUMBERS_MAX];
	broker_name_owner(b, c->session);
	broker_emit_send(b, &(struct event_send){t->queue[0]->id, c->session->id, m->n,
				t->queue[0]->next_seq, next_numbers(t, list), m->data});
}

/* Whether the queue's position in the input is not after these records; if so, the command has failed. */
static bool resumes(
    struct broker *b, struct conn *c, const struct wire_send *m, const struct resume *r)
{
	struct wire_failed failed;
	char text[TEXT_MAX + 1];
	if (broker_may_resume(broker_queue_named(b, m->queue), r, m->n, &failed, text))
		return true;
	ANSWER(b, c, failed, failed.n, failed.code, failed.at, failed.text);
	return false;
}

static_assert(BATCH_MAX + 8 * BATCH_MESSAGES_MAX + REPLACED_MAX * REPLACED_BYTES +
		      REPLACED_HEAD + FRAME_SMALL + EVENTS_HEADER_SIZE <=
		  RECORD_PAYLOAD_MAX,
    "a batch, its ids and what it replaces fit into a record");
static_assert(TOPIC_DATA_MAX + SHARES_MAX * (EVENT_TARGET_SIZE + REPLACED_HEAD) +
		      REPLACED_MAX * REPLACED_BYTES + FRAME_SMALL + EVENTS_HEADER_SIZE <=
		  RECORD_PAYLOAD_MAX,
    "so do a batch for a topic and what it replaces");
static_assert(BATCH_MAX + 8 * BATCH_MESSAGES_MAX / 2 +
		      SEND_QUEUES_MAX * (EVENT_TARGET_SIZE + REPLACED_HEAD) +
		      REPLACED_MAX * REPLACED_BYTES + FRAME_SMALL + EVENTS_HEADER_SIZE <=
		  RECORD_PAYLOAD_MAX,
    "and one for several queues, which has half as many messages then");
static_assert(REPLACED_MAX >= BATCH_MESSAGES_MAX, "each of a batch may replace another one");

/*
 * Whether a batch makes no more ranges in its queues, and replaces no more, than one may; if not, the
 * command has failed, and its client sends as many at once as may be.
 */
static bool few_enough(struct broker *b, struct conn *c, const struct wire_send *m,
    const struct batch_view *batch, uint32_t queues)
{
	bool replaces =
	    m->flags & SEND_REPLACE && attributes_has(batch->attributes, ATTRIBUTE_KEY);
	uint32_t most = (replaces ? SEND_REPLACED_MAX : SEND_RANGES_MAX) / queues;
	char text[TEXT_MAX + 1];
	if (queues == 1)
		most = BATCH_MESSAGES_MAX;
	uint32_t ranges = most > 0 ? most : 1;
	uint32_t at = lanes_within(batch->attributes, batch->count, b->wall_now, &ranges);
	broker_works(b, (ranges - 1) * (uint64_t)queues);
	if (at >= batch->count)
		return true;
	snprintf(text, sizeof(text),
	    "these messages, as their attributes differ, are too many for %u queues at once: "
	    "send %u",
	    queues, at);
	fail_text(b, c, m->n, RMQ_E_LIMIT, at, text);
	return false;
}

/* What the events take that drop them. */
static size_t room_to_replace(bool replaces, uint32_t queues)
{
	return replaces ? REPLACED_MAX * (size_t)REPLACED_BYTES + queues * (size_t)REPLACED_HEAD
			: 0;
}

/* In the record of so many messages that were just sent to these queues. */
static void replace_older(struct broker *b, const struct targets *t, uint32_t count)
{
	uint32_t left = REPLACED_MAX;
	for (uint32_t i = 0; i < t->count; i++)
		broker_replace(b, t->queue[i], t->queue[i]->next_seq - count, count, &left);
}

/* A topic leads to other queues at other times: what was stored lately is a queue's to know. */
static bool topic_with_ids(
    struct broker *b, struct conn *c, const struct wire_send *m, struct id_hashes *ids)
{
	if (!ids || !(m->flags & SEND_TOPIC))
		return false;
	free(ids);
	fail_text(b, c, m->n, RMQ_E_USAGE, 0, "a message to a topic has no id");
	return true;
}

/* A result is stored with its settlement or not at all: of ids nothing could be passed over. */
static bool result_with_ids(
    struct broker *b, struct conn *c, uint64_t n, struct slice attributes)
{
	if (!attributes_has(attributes, ATTRIBUTE_ID))
		return false;
	fail_text(b, c, n, RMQ_E_USAGE, 0, "a message of SETTLE_SEND has no id");
	return true;
}

/* All records up to there were stored earlier, by their ids: only how far the input has come is new. */
static bool only_position(
    struct broker *b, struct conn *c, const struct wire_send *m, const struct resume *r)
{
	const struct queue *q = broker_queue_named(b, m->queue);
	/* A topic has no position, and is not the queue of that name. */
	if (m->data.len > 0 || r->name.len == 0 || (m->flags & SEND_TOPIC))
		return false;
	if (!resumes(b, c, m, r))
		return true;
	broker_reserve(b, 2 * FRAME_SMALL);
	if (q)
		broker_emit_resume(b, q, r, 0);
	broker_taken(b, c, m->n);
	broker_reserve_end(b);
	return true;
}

static void send_batch(struct broker *b, struct conn *c, const struct wire_send *m)
{
	struct batch_view batch;
	struct send_queues queues = {0};
	struct targets targets;
	struct resume resume;
	if (!broker_resume_of(m, &resume)) {
		broker_refuse(b, c, RMQ_E_PROTOCOL, "bad position");
		return;
	}
	if (only_position(b, c, m, &resume))
		return;
	if (batch_parse(m->data, &batch) || !queues_of(m, &queues) ||
	    (m->flags & SEND_TOPIC &&
		(m->data.len > TOPIC_DATA_MAX || queues.count > 1 || resume.name.len > 0)) ||
	    tags_find(m->tags, SEND_TAG_ATTRIBUTES, &(struct slice){0})) {
		broker_refuse(b, c, RMQ_E_PROTOCOL, "bad batch");
		return;
	}
	if (!attributes_fit(b, c, m->n, batch.attributes, batch.count))
		return;
	if (m->flags & SEND_TOPIC && !queues_of_topic(b, c, m, &queues))
		return;
	if (queues.count == 0) {
		broker_taken(b, c, m->n);
		return;
	}
	if (!(m->flags & SEND_TOPIC))
		divert(b, &queues);
	if (!resumes(b, c, m, &resume) || !few_enough(b, c, m, &batch, queues.count) ||
	    !all_take(b, c, m, &queues, &batch))
		return;
	struct id_hashes *ids =
	    broker_ids_of(b, broker_queue_named(b, m->queue), batch.attributes, batch.count);
	if (topic_with_ids(b, c, m, ids))
		return;
	struct queue *q = broker_queue_named(b, m->queue);
	if (!broker_ids_known(b, c, m->n, q, ids, batch.count) &&
	    broker_ids_fit(b, c, m->n, q, ids, batch.count)) {
		make_queues(b, c, &queues, &targets);
		bool replaces = m->flags & SEND_REPLACE;
		if (resume.name.len > 0 || ids || replaces)
			broker_reserve(b, m->data.len + 8 * (size_t)batch.count + FRAME_SMALL +
					      targets.count * (size_t)EVENT_TARGET_SIZE +
					      room_to_replace(replaces, targets.count));
		emit_send(b, c, m, &targets);
		broker_emit_hashes(b, targets.queue[0], ids, batch.count);
		if (resume.name.len > 0)
			broker_emit_resume(b, targets.queue[0], &resume, batch.count);
		if (replaces)
			replace_older(b, &targets, batch.count);
		broker_reserve_end(b);
		answer(b, c, m->n);
	}
	free(ids);
}

/* ---- large messages ---- */

/* The message's queues and attributes are in its first piece. */
static bool piece_valid(
    const struct wire_send *m, struct send_queues *queues, struct slice *attributes)
{
	*attributes = slice_of(NULL, 0);
	if (tags_find(m->tags, SEND_TAG_ATTRIBUTES, attributes) &&
	    (m->part > 0 || attributes->len > CHUNK_ATTRIBUTES_MAX ||
		attributes_check(*attributes, 1)))
		return false;
	if (!queues_of(m, queues) || (m->part > 0 && queues->count > 1))
		return false;
	uint32_t most = m->flags & SEND_TOPIC ? TOPIC_DATA_MAX : CHUNK_MAX;
	return m->data.len > 0 && m->data.len + attributes->len <= most &&
	       (queues->count == 1 || !(m->flags & SEND_TOPIC));
}

/* Each queue of a message keeps where each of its pieces is: these are bounded by its size. */
static bool piece_too_short(const struct wire_send *m, uint32_t queues)
{
	return (queues > 1 || (m->flags & SEND_TOPIC)) && (m->flags & SEND_MORE) &&
	       m->data.len < CHUNK_SEVERAL_MIN;
}

static void emit_piece(struct broker *b, const struct conn *c, const struct targets *t,
    const struct wire_send *m, struct slice attributes)
{
	uint8_t list[4 + CHUNK_ATTRIBUTES_MAX + 4 + CHUNK_QUEUES_MAX], queues[CHUNK_QUEUES_MAX];
	struct writer w = writer_of(list, sizeof(list)), q = writer_of(queues, sizeof(queues));
	for (uint32_t i = 1; i < t->count; i++)
		put_u32(&q, t->queue[i]->id);
	if (attributes.len > 0)
		tags_put(&w, CHUNK_TAG_ATTRIBUTES, attributes);
	if (q.len > 0)
		tags_put(&w, CHUNK_TAG_QUEUES, slice_of(q.p, q.len));
	broker_emit_chunk(b, &(struct event_chunk){t->queue[0]->id, c->session->id, m->n,
				 m->part, slice_of(w.p, w.len), m->data});
}

/* The pieces after one that is refused are passed over; what came before it is dropped. */
static void piece_refused(struct broker *b, struct conn *c, const struct wire_send *m)
{
	c->refused = m->n;
	broker_drop_unfinished(b, c->session->id);
}

/* Whether all queues take another piece of the message of which p has come. */
static bool all_take_piece(struct broker *b, struct conn *c, const struct wire_send *m,
    const struct targets *t, const struct pending *p)
{
	broker_works(b, t->count - 1);
	for (uint32_t i = 0; i < t->count; i++) {
		enum rmq_error err = want_room(b, c, t->queue[i], m->flags, p->weight,
		    m->data.len + t->count * (size_t)EVENT_TARGET_SIZE);
		if (err && (t->count > 1 || (m->flags & SEND_TOPIC)))
			fail_queue(b, c, m->n, err, queue_name(t->queue[i]));
		else if (err)
			fail(b, c, m->n, err, 0);
		if (err || !piece_fits(b, c, m, t->queue[i], p->bytes + m->data.len))
			return false;
	}
	return true;
}

/* The queues of the message, made if need be; false: the piece is refused. */
static bool first_piece(struct broker *b, struct conn *c, const struct wire_send *m,
    const struct send_queues *queues, struct slice attributes, struct targets *t)
{
	if (!attributes_known(b, c, m->n, attributes, 1) || !all_take(b, c, m, queues, NULL))
		return false;
	broker_drop_unfinished(b, c->session->id);
	make_queues(b, c, queues, t);
	return true;
}

/* The same of a message of which *before bytes came. */
static bool next_piece(struct broker *b, struct conn *c, const struct wire_send *m,
    struct targets *t, uint64_t *before)
{
	const struct queue *q = m->flags & SEND_TOPIC ? NULL : broker_queue_named(b, m->queue);
	const struct pending *p = q ? broker_unfinished(b, q, c->session->id) : NULL;
	/* Of those that its topic led to, the first is its own. */
	if (m->flags & SEND_TOPIC)
		p = broker_unfinished_of(b, c->session->id);
	if (!p || p->n != m->n || p->large->parts != m->part ||
	    !broker_unfinished_queues(b, p, t)) {
		/* Those before it went with one of their queues. */
		fail(b, c, m->n, RMQ_E_OUT_OF_ORDER, 0);
		return false;
	}
	*before = p->bytes;
	return all_take_piece(b, c, m, t, p);
}

/* Known-bad: those that are not bound any more when the last piece comes do not get it. */
static void keep_bound(struct broker *b, struct slice topic, struct targets *t)
{
	struct matched found;
	uint32_t kept = 0;
	bindings_match(&b->bindings, topic, NULL, NULL, &found);
	for (uint32_t i = 0; i < t->count; i++)
		for (uint32_t k = 0; k < found.count; k++)
			if (found.queue[k] == t->queue[i])
				t->queue[kept++] = t->queue[i];
	if (kept > 0)
		t->count = kept;
}

/* The last piece of a message has come: it is one now. */
static void whole(struct broker *b, struct conn *c, const struct wire_send *m,
    const struct targets *t, uint32_t bytes, const struct id_hashes *ids,
    const struct resume *resume)
{
	uint8_t list[NUMBERS_MAX];
	broker_name_owner(b, c->session);
	bool replaces = m->flags & SEND_REPLACE;
	if (resume->name.len > 0 || c->piece_id || replaces)
		broker_reserve(b, FRAME_SMALL + t->count * (size_t)EVENT_TARGET_SIZE +
				      room_to_replace(replaces, t->count));
	broker_emit_send_chunked(
	    b, &(struct event_send_chunked){t->queue[0]->id, c->session->id, m->n,
		   t->queue[0]->next_seq, m->part + 1, bytes, next_numbers(t, list)});
	if (ids)
		broker_emit_hashes(b, t->queue[0], ids, 1);
	if (resume->name.len > 0)
		broker_emit_resume(b, t->queue[0], resume, 1);
	if (replaces)
		replace_older(b, t, 1);
	broker_reserve_end(b);
	answer(b, c, m->n);
}

static void send_chunk(struct broker *b, struct conn *c, const struct wire_send *m)
{
	struct send_queues queues = {0};
	struct targets t = {0};
	struct slice attributes;
	uint64_t before = 0;
	struct resume resume;
	if (!piece_valid(m, &queues, &attributes) || piece_too_short(m, queues.count) ||
	    !broker_resume_of(m, &resume) || (m->flags & SEND_TOPIC && resume.name.len > 0)) {
		broker_refuse(b, c, RMQ_E_PROTOCOL, "bad piece of a message");
		return;
	}
	/* An earlier piece was refused, and its FAILED is for those after it, too. */
	if (m->part > 0 && c->refused == m->n)
		return;
	c->refused = 0;
	if (m->part == 0)
		c->unrouted = 0;
	if (m->flags & SEND_TOPIC && m->part == 0) {
		struct id_hashes *id = broker_ids_of(b, NULL, attributes, 1);
		bool no = topic_with_ids(b, c, m, id);
		if (!id)
			no = !queues_of_topic(b, c, m, &queues);
		if (no) {
			piece_refused(b, c, m);
			return;
		}
		c->unrouted = queues.count == 0 ? m->n : 0;
	}
	if (c->unrouted == m->n) {
		if (!(m->flags & SEND_MORE))
			broker_taken(b, c, m->n);
		return;
	}
	if (m->part == 0 && !(m->flags & SEND_TOPIC))
		divert(b, &queues);
	bool taken = resumes(b, c, m, &resume) &&
		     (m->part == 0 ? first_piece(b, c, m, &queues, attributes, &t)
				   : next_piece(b, c, m, &t, &before));
	uint64_t bytes = before + m->data.len;
	struct id_hashes *ids = NULL;
	if (taken && m->part == 0)
		c->piece_id = broker_id_hash(b, t.queue[0], attributes, 0);
	if (taken && c->piece_id && (m->part == 0 || !(m->flags & SEND_MORE))) {
		ids = memory_new(sizeof(*ids));
		ids->of[0] = c->piece_id;
		taken = !broker_ids_known(b, c, m->n, t.queue[0], ids, 1) &&
			broker_ids_fit(b, c, m->n, t.queue[0], ids, 1);
	}
	if (!taken) {
		free(ids);
		piece_refused(b, c, m);
		return;
	}
	if (piece_too_short(m, t.count)) {
		free(ids);
		broker_refuse(b, c, RMQ_E_PROTOCOL,
		    "a piece of a message for several queues is too short");
		return;
	}
	emit_piece(b, c, &t, m, attributes);
	if (m->flags & SEND_MORE) {
		free(ids);
		return;
	}
	if (RMQ_VARIANT(TOPIC_AT_LAST) && m->flags & SEND_TOPIC)
		keep_bound(b, m->queue, &t);
	whole(b, c, m, &t, (uint32_t)bytes, ids, &resume);
	free(ids);
}

static void on_send(struct broker *b, struct conn *c, const struct wire_send *m)
{
	/* Only the last piece of a message that was taken is answered again. */
	if (m->n <= c->session->last && m->flags & SEND_MORE)
		return;
	if (m->flags & ~SEND_FLAGS) {
		c->refused = m->n;
		fail_unknown(b, c, m->n, m->answered, "unknown flag of SEND");
		return;
	}
	if (m->flags & SEND_CHUNK) {
		if (take_or(b, c, m->n, m->answered, answer))
			send_chunk(b, c, m);
	} else if (take(b, c, m->n, m->answered)) {
		send_batch(b, c, m);
	}
}

/* ---- settling ---- */

/*
 * What a settlement's entries come to: the parts of ranges that are held under the named
 * lease, and those that are held by someone else, free again, or gone without this lease
 * having settled them (stale).  Others that are gone are done.
 */
struct verdict {
	uint32_t others; /* ranges that are not held under the entry's lease */
	uint32_t gaps;	 /* steps that looked for what is gone */
	uint64_t buried; /* runs of messages that become dead letters, at most */
	bool sends;	 /* what comes of the messages is sent, so none of them may be gone */
	struct writer stale;
	struct writer good;
	struct writer failing; /* counted failures that reach max_attempts, or VERB_DEAD */
};

static void put_entry(struct writer *w, uint64_t lease, uint64_t first, uint64_t count)
{
	settle_entry_put(w, &(struct settle_entry){lease, first, (uint32_t)count});
}

static bool buries(const struct range *r, const struct wire_settle *m)
{
	return m->verb == VERB_DEAD ||
	       (m->verb == VERB_RELEASE && (m->flags & SETTLE_COUNTED) && broker_is_last(r));
}

/* Tells the holder, if it is another session, what becomes of messages of its lease. */
static void tell_holder(struct broker *b, const struct conn *c, const struct range *r,
    enum lease_end why, uint64_t from, uint64_t to)
{
	struct range part = *r;
	if (r->session == c->session)
		return;
	part.first = from;
	part.span = to - from;
	broker_tell_ended(b, &part, (uint8_t)why);
}

static void judge_entry(struct broker *b, struct queue *q, const struct wire_settle *m,
    const struct settle_entry *e, struct verdict *v)
{
	uint64_t at = e->first, end = e->first + e->count, joined = 0;
	uint64_t stale = 0, stale_end = 0;
	/* Each failure has a back-off of its own: those are not joined. */
	bool joins = m->verb != VERB_RELEASE || !(m->flags & SETTLE_COUNTED);
	struct range *r;
	while (at < end && v->others <= SETTLE_OTHERS_MAX && v->buried <= BURY_RUNS_MAX &&
	       (r = queue_range_at(q, at)) && r->first < end) {
		uint64_t from = at > r->first ? at : r->first;
		uint64_t to = end < r->first + r->span ? end : r->first + r->span;
		at = to;
		broker_works(b, 1);
		if (!queue_any_live(q, from, to))
			continue;
		if (r->state != STATE_LEASED ||
		    (r->lease != e->lease && !RMQ_VARIANT(STALE_SETTLES))) {
			v->others++;
			if (stale > 0 && stale_end == from)
				v->stale.len -= SETTLE_ENTRY_SIZE;
			else
				stale = from;
			stale_end = to;
			put_entry(&v->stale, e->lease, stale, to - stale);
			joined = 0;
			continue;
		}
		if (buries(r, m)) {
			v->buried += broker_bury_works(b, q, from, to);
			put_entry(&v->failing, r->lease, from, to - from);
			continue;
		}
		if (joined > 0 && joins)
			v->good.len -= SETTLE_ENTRY_SIZE;
		else
			joined = from;
		put_entry(&v->good, r->lease, joined, to - joined);
	}
}

/* The same for all that the verdict will change: before it does. */
static void tell_holders(struct broker *b, const struct conn *c, struct queue *q,
    const struct wire_settle *m, const struct writer *entries)
{
	enum lease_end why = m->verb == VERB_SETTLE ? ENDED_SETTLED : ENDED_RELEASED;
	struct reader in = reader_of(slice_of(entries->p, entries->len));
	struct range *r;
	while (reader_left(&in) > 0 && m->verb != VERB_TOUCH) {
		struct settle_entry e = settle_entry_get(&in);
		uint64_t at = e.first, end = e.first + e.count;
		while (at < end && (r = queue_range_at(q, at)) && r->first < end) {
			uint64_t from = at > r->first ? at : r->first;
			at = min_u64(end, r->first + r->span);
			if (queue_any_live(q, from, at))
				tell_holder(b, c, r, why, from, at);
		}
	}
}

/* Whether the queue of that name takes them as dead letters, which may have to be made first. */
static enum rmq_error may_bury(
    const struct broker *b, const struct queue *q, struct slice dead_name)
{
	const struct queue *dead = broker_queue_named(b, dead_name);
	if (!dead && !name_valid(dead_name))
		return RMQ_E_NO_QUEUE;
	if (!dead && broker_queues_full(b, q->maker))
		return RMQ_E_LIMIT;
	return dead && queue_is_full(dead) ? RMQ_E_FULL : RMQ_E_OK;
}

/* Whether bodies of some of them are in flight. */
static bool any_in_flight(struct queue *q, const struct writer *entries)
{
	struct reader in = reader_of(slice_of(entries->p, entries->len));
	while (reader_left(&in) > 0) {
		struct settle_entry e = settle_entry_get(&in);
		if (broker_in_flight(q, e.first, e.first + e.count))
			return true;
	}
	return false;
}

/* Nothing has come of the command yet: it comes again when what is in flight is stored. */
static void put_off(struct broker *b, const struct conn *c)
{
	b->put_off.conn = c->id;
	b->put_off.n = b->next_n - 1;
}

/* Dead letters, as far as their queue takes them; of a RELEASE the others fail. */
static void bury_failing(struct broker *b, const struct conn *c, struct queue *q,
    const struct wire_settle *m, struct verdict *v)
{
	struct reader in = reader_of(slice_of(v->failing.p, v->failing.len));
	struct slice why = m->verb == VERB_DEAD ? m->why : slice_str("too many failures");
	struct queue *dead = NULL;
	while (reader_left(&in) > 0) {
		struct settle_entry e = settle_entry_get(&in);
		struct range *r = queue_range_at(q, e.first);
		assert(r && r->state == STATE_LEASED && r->lease == e.lease);
		/* More than its limit may be in it, then. */
		if (!dead || m->verb != VERB_DEAD)
			dead = broker_dead_queue(b, q, e.first, e.first + e.count);
		assert(dead || m->verb != VERB_DEAD);
		if (!RMQ_VARIANT(ENDED_UNJUDGED))
			tell_holder(b, c, r, dead ? ENDED_DEAD : ENDED_RELEASED, e.first,
			    e.first + e.count);
		if (dead)
			broker_bury(b, dead, queue_isolate(q, r, e.first, e.count), why);
		else
			put_entry(&v->good, e.lease, e.first, e.count);
	}
}

/* A failure each, with the back-off that it has come to. */
static void emit_failures(struct broker *b, struct queue *q, struct writer *good)
{
	struct reader in = reader_of(slice_of(good->p, good->len));
	while (reader_left(&in) > 0) {
		const uint8_t *p = in.p;
		struct settle_entry e = settle_entry_get(&in);
		struct range *r = queue_range_at(q, e.first);
		broker_emit_expire(b, &(struct event_expire){q->id, broker_back_off(b, r),
					  NO_TAGS, slice_of(p, SETTLE_ENTRY_SIZE)});
	}
	good->len = 0;
}

static void emit_verdict(struct broker *b, struct conn *c, struct queue *q,
    const struct wire_settle *m, struct verdict *v)
{
	uint64_t now_ms = RMQ_VARIANT(DELAY_BY_WALL) ? b->wall_now.ms : b->lease_now.ms;
	uint64_t id = c->session->id;
	uint64_t until = m->ms > 0 ? lanes_bucket(now_ms + m->ms, now_ms) : 0;
	uint32_t stale = (uint32_t)(v->stale.len / SETTLE_ENTRY_SIZE);
	broker_name_owner(b, c->session);
	/* All in one record, so that the command is either taken or had no effect. */
	bool fails = m->verb == VERB_RELEASE && (m->flags & SETTLE_COUNTED) && until == 0;
	broker_reserve(b, v->stale.len + (fails ? 2 : 1) * v->good.len + FRAME_SMALL);
	if (fails)
		emit_failures(b, q, &v->good);
	put_rest(&v->stale, slice_of(v->good.p, v->good.len));
	assert(!v->stale.full);
	struct slice entries = slice_of(v->stale.p, v->stale.len);
	if (m->verb == VERB_RELEASE)
		broker_emit_release(
		    b, &(struct event_release){q->id, id, m->n, stale,
			   (uint8_t)(m->flags & SETTLE_COUNTED), until, NO_TAGS, entries});
	else if (m->verb == VERB_TOUCH)
		broker_emit_touch(b, &(struct event_touch){q->id, id, m->n, stale,
					 (uint8_t)(m->flags & SETTLE_DETACH), (uint32_t)m->ms,
					 NO_TAGS, entries});
	else
		broker_emit_settle(
		    b, &(struct event_settle){q->id, id, m->n, stale, NO_TAGS, entries});
	broker_reserve_end(b);
	answer(b, c, m->n);
}

/* What is not live of [from, to) is stale, so far as a bounded search finds it. */
static void put_gaps(struct broker *b, struct queue *q, const struct settle_entry *e,
    uint64_t from, uint64_t to, struct verdict *v)
{
	struct batch *m = queue_batch_at(q, from);
	while (from < to && v->gaps++ < SETTLE_OTHERS_MAX) {
		uint64_t run = to, run_end = to;
		while (m && m->first < to && (run = batch_run(m, from, to, &run_end)) >= to)
			m = queue_batch_next(m);
		broker_works(b, 1);
		if (run > from)
			put_entry(&v->stale, e->lease, from, run - from);
		from = run < to ? run_end : to;
	}
}

/*
 * What is gone: nobody can give it back or touch it, nor send what came of it; else it is done
 * already by this lease, unless this lease is known to have ended otherwise.  What became a dead
 * letter then is where a failure would bring it.
 */
static void judge_gone(struct broker *b, struct queue *q, const struct wire_settle *m,
    const struct settle_entry *e, struct verdict *v)
{
	uint64_t at = e->first, end = min_u64(e->first + e->count, q->next_seq);
	bool fails =
	    m->verb == VERB_DEAD || (m->verb == VERB_RELEASE && (m->flags & SETTLE_COUNTED));
	const struct voided_run *r;
	bool sends = v->sends && !RMQ_VARIANT(GONE_SENDS);
	if (sends || (m->verb != VERB_SETTLE && !fails)) {
		put_gaps(b, q, e, at, end, v);
		return;
	}
	while (at < end && v->gaps < SETTLE_OTHERS_MAX &&
	       (r = voided_from(&b->voided, q->id, e->lease, at)) && r->first < end) {
		v->gaps++;
		if (!r->dead || !fails)
			put_gaps(
			    b, q, e, at > r->first ? at : r->first, min_u64(end, r->end), v);
		at = r->end;
	}
}

/* No receipt has named this. */
static bool never_was(
    const struct broker *b, const struct queue *q, const struct settle_entry *e)
{
	return e->lease == 0 || e->lease > b->lease || e->first >= q->next_seq;
}

static int entry_compare(const void *x, const void *y)
{
	const struct settle_entry *a = x, *b = y;
	if (a->lease != b->lease)
		return a->lease < b->lease ? -1 : 1;
	return a->first < b->first ? -1 : a->first > b->first;
}

/* Judges each entry, and no message twice, however the entries overlap. */
static void judge(
    struct broker *b, struct queue *q, const struct wire_settle *m, struct verdict *v)
{
	size_t count = m->entries.len / SETTLE_ENTRY_SIZE;
	struct settle_entry *e = b->entries;
	struct reader in = reader_of(m->entries);
	for (size_t i = 0; i < count; i++)
		e[i] = settle_entry_get(&in);
	if (count > 1)
		qsort(e, count, sizeof(*e), entry_compare);
	uint64_t lease = 0, end = 0;
	for (size_t i = 0; i < count; i++) {
		uint64_t begin = e[i].first, stop = begin + e[i].count;
		if (e[i].lease == lease && begin < end)
			begin = end;
		lease = e[i].lease;
		end = stop > begin ? stop : begin;
		if (stop <= begin)
			continue;
		e[i].first = begin;
		e[i].count = (uint32_t)(stop - begin);
		if (never_was(b, q, &e[i])) {
			put_entry(&v->stale, e[i].lease, e[i].first, e[i].count);
			continue;
		}
		judge_entry(b, q, m, &e[i], v);
		judge_gone(b, q, m, &e[i], v);
	}
}

/*
 * The verdict, in the broker's memory for it.  False: it is more than so many bytes, or than may
 * be looked at, and the command has failed: an entry can come to several parts.
 */
static bool judged(struct broker *b, struct conn *c, struct queue *q,
    const struct wire_settle *m, bool sends, size_t most, struct verdict *v)
{
	size_t cap = sizeof(b->verdict) / 3;
	uint8_t *memory = b->verdict;
	*v = (struct verdict){0, 0, 0, sends, writer_of(memory, cap),
	    writer_of(memory + cap, cap), writer_of(memory + 2 * cap, cap)};
	judge(b, q, m, v);
	bool kept = v->stale.len == 0 ||
		    (c->session->answers_bytes + v->stale.len <= SESSION_STALE_MAX &&
			c->session->owner->stale_bytes + v->stale.len <= OWNER_STALE_MAX);
	if (v->others > SETTLE_OTHERS_MAX || v->buried > BURY_RUNS_MAX ||
	    (sends && v->gaps > SETTLE_OTHERS_MAX) || v->stale.full || v->good.full ||
	    v->failing.full || !kept || v->stale.len + v->good.len + v->failing.len > most) {
		fail(b, c, m->n, RMQ_E_LIMIT, 0);
		return false;
	}
	return true;
}

static void settle(
    struct broker *b, struct conn *c, struct queue *q, const struct wire_settle *m)
{
	struct verdict v;
	if (!judged(b, c, q, m, false, RECORD_FILL - FRAME_SMALL, &v))
		return;
	if (RMQ_VARIANT(ENDED_UNJUDGED))
		tell_holders(b, c, q, m, &v.failing);
	/* From here on nothing is refused: a refused command has no effect. */
	char name[NAME_FULL_MAX + 8], away[AWAY_NAME_MAX], text[TEXT_MAX + 1];
	struct slice dead = broker_target(b, broker_dead_name(q, name), away);
	bool buries = m->verb == VERB_DEAD && v.failing.len > 0;
	enum rmq_error err = buries ? may_bury(b, q, dead) : RMQ_E_OK;
	if (err == RMQ_E_NO_QUEUE) {
		ANSWER(b, c, failed, m->n, (uint8_t)err, 0,
		    slice_str("it has no dead-letter queue: set --dead-letter"));
	} else if (err == RMQ_E_LIMIT) {
		fail_text(b, c, m->n, err, 0, why_not(q->maker, err, text));
	} else if (err) {
		fail_queue(b, c, m->n, err, dead);
	} else if (buries && any_in_flight(q, &v.failing)) {
		put_off(b, c);
	} else {
		tell_holders(b, c, q, m, &v.good);
		bury_failing(b, c, q, m, &v);
		emit_verdict(b, c, q, m, &v);
	}
}

static bool settle_valid(const struct wire_settle *m, size_t most)
{
	size_t count = m->entries.len / SETTLE_ENTRY_SIZE;
	bool ms_ok = m->verb == VERB_TOUCH ? m->ms >= LEASE_MS_MIN && m->ms <= LEASE_MS_MAX
					   : m->ms <= DELAY_MS_MAX;
	struct reader in = reader_of(m->entries);
	while (reader_left(&in) >= SETTLE_ENTRY_SIZE) {
		struct settle_entry e = settle_entry_get(&in);
		if (e.count == 0 || e.first > SEQ_MAX)
			return false;
	}
	return ms_ok && count > 0 && count <= most && m->entries.len % SETTLE_ENTRY_SIZE == 0;
}

/* A flag of another verb is not known here: it may mean something with this one some day. */
static uint8_t flags_of_verb(uint8_t verb)
{
	return verb == VERB_RELEASE ? SETTLE_COUNTED : verb == VERB_TOUCH ? SETTLE_DETACH : 0;
}

static void on_settle(struct broker *b, struct conn *c, const struct wire_settle *m)
{
	struct queue *q = broker_queue_named(b, m->queue);
	if (m->verb < VERB_SETTLE || m->verb > VERB_TOUCH ||
	    m->flags & ~flags_of_verb(m->verb)) {
		fail_unknown(b, c, m->n, m->answered, "unknown verb or flag of SETTLE");
		return;
	}
	if (!settle_valid(m, SETTLE_ENTRIES_MAX)) {
		broker_refuse(b, c, RMQ_E_PROTOCOL, "bad settlement");
		return;
	}
	session_stamped(c->session, m->stamp);
	if (!take(b, c, m->n, m->answered))
		return;
	if (!q)
		fail(b, c, m->n, RMQ_E_NO_QUEUE, 0);
	else
		settle(b, c, q, m);
}

/* ---- both at once ---- */

/* All in one record, the messages in front, so that it is known where they are. */
static void emit_settle_send(struct broker *b, struct conn *c, struct queue *q,
    const struct wire_settle_send *m, struct slice name, struct slice batch, struct verdict *v)
{
	uint64_t id = c->session->id;
	uint8_t *entries = v->stale.p;
	size_t stale = v->stale.len, len = stale + v->good.len;
	broker_name_owner(b, c->session);
	broker_reserve(b, batch.len + len + FRAME_SMALL);
	put_rest(&v->stale, slice_of(v->good.p, v->good.len));
	assert(!v->stale.full);
	struct queue *target = broker_queue_make(b, name, c->owner);
	broker_emit_send(
	    b, &(struct event_send){target->id, id, m->n, target->next_seq, NO_TAGS, batch});
	if (RMQ_VARIANT(SETTLE_SEND_APART))
		broker_end_record(b);
	size_t at = 0;
	do {
		size_t most = min_u64(len - at, EVENT_ENTRIES_BYTES);
		size_t of_stale = at < stale ? min_u64(stale - at, most) : 0;
		broker_emit_settle(b, &(struct event_settle){q->id, id, m->n,
					  (uint32_t)(of_stale / SETTLE_ENTRY_SIZE), NO_TAGS,
					  slice_of(entries + at, most)});
		at += most;
	} while (at < len);
	broker_reserve_end(b);
	answer_settle_sent(b, c, m->n);
}

static void settle_send(struct broker *b, struct conn *c, const struct wire_settle_send *m,
    const struct wire_settle *s, struct slice data)
{
	struct queue *q = broker_queue_named(b, m->queue);
	char away[AWAY_NAME_MAX];
	struct slice name = broker_target(b, m->target, away);
	bool diverted = broker_is_diverted(m->target, name);
	struct queue *target = broker_queue_named(b, name);
	struct batch_view batch;
	struct verdict v;
	enum rmq_error err = batch_parse(data, &batch);
	if (err) {
		broker_refuse(b, c, err, "bad batch");
		return;
	}
	if (!take_or(b, c, m->n, m->answered, answer_settle_sent))
		return;
	broker_drop_unfinished(b, c->session->id);
	if (!attributes_fit(b, c, m->n, batch.attributes, batch.count) ||
	    result_with_ids(b, c, m->n, batch.attributes))
		return;
	if (!q) {
		fail_queue(b, c, m->n, RMQ_E_NO_QUEUE, m->queue);
		return;
	}
	/* All is judged before anything happens. */
	if (target && !bodies_fit(b, c, m->n, target, &batch))
		return;
	err = may_send(b, c, name, diverted ? m->flags | SEND_DIVERTED : m->flags, m->data.len);
	if (err == RMQ_E_LIMIT) {
		char text[TEXT_MAX + 1];
		fail_text(b, c, m->n, err, 0, why_not(c->owner, err, text));
		return;
	}
	if (err) {
		fail_queue(b, c, m->n, err, name);
		return;
	}
	if (!judged(b, c, q, s, true, RECORD_PAYLOAD_MAX - FRAME_SMALL - data.len, &v))
		return;
	/* What came of a lease that is over is not to be seen. */
	if (v.stale.len > 0 && !RMQ_VARIANT(STALE_SENDS)) {
		fail(b, c, m->n, RMQ_E_STALE, 0);
		return;
	}
	tell_holders(b, c, q, s, &v.good);
	emit_settle_send(b, c, q, m, name, data, &v);
}

static void on_settle_send(struct broker *b, struct conn *c, const struct wire_settle_send *m)
{
	size_t len = (size_t)m->entries * SETTLE_ENTRY_SIZE;
	if (m->flags & ~SEND_NO_CREATE) {
		fail_unknown(b, c, m->n, m->answered, "unknown flag of SETTLE_SEND");
		return;
	}
	struct wire_settle s = {m->n, m->answered, VERB_SETTLE, 0, 0, m->stamp, m->queue,
	    slice_of(NULL, 0), NO_TAGS, slice_of(m->data.data, min_u64(len, m->data.len))};
	if (len > m->data.len || !settle_valid(&s, SETTLE_SEND_ENTRIES_MAX)) {
		broker_refuse(b, c, RMQ_E_PROTOCOL, "bad settlement");
		return;
	}
	session_stamped(c->session, m->stamp);
	settle_send(b, c, m, &s, slice_of(m->data.data + len, m->data.len - len));
}

/* ---- leases go on ---- */

static void on_extend(struct broker *b, struct conn *c, const struct wire_extend *m)
{
	struct session *s = c->session;
	session_stamped(s, m->stamp);
	if (s->held_count > s->detached_count)
		broker_emit_extend(b, &(struct event_extend){s->id});
	ANSWER(b, c, extended, m->stamp);
}

/* Waits for nothing: it tells no state, but that there is a daemon that takes frames. */
static void on_ping(struct broker *b, struct conn *c, const struct wire_ping *m)
{
	uint8_t bytes[FRAME_SMALL];
	struct writer w = writer_of(bytes, sizeof(bytes));
	wire_put_pong(&w, &(struct wire_pong){m->stamp});
	b->host.send(b->host.arg, c->id, slice_of(bytes, w.len));
}

/* ---- receiving ---- */

static enum rmq_error subscribe_check(const struct broker *b, const struct conn *c,
    const struct wire_subscribe *m, const struct queue *q)
{
	struct subscription *sub;
	bool ephemeral = m->flags & SUBSCRIBE_EPHEMERAL;
	if (m->flags & ~SUBSCRIBE_FLAGS)
		return RMQ_E_VERSION;
	if (!ephemeral && !name_valid(m->queue))
		return RMQ_E_USAGE;
	if (!q && ((b->explicit_create && !ephemeral) || (m->flags & SUBSCRIBE_NO_CREATE)))
		return RMQ_E_NO_QUEUE;
	enum rmq_error err = ephemeral ? RMQ_E_OK : broker_may_name(b, m->queue);
	if (err)
		return err;
	if (c->subs_count >= SUBSCRIPTIONS_MAX)
		return RMQ_E_LIMIT;
	if (m->lease_ms != 0 && (m->lease_ms < LEASE_MS_MIN || m->lease_ms > LEASE_MS_MAX))
		return RMQ_E_USAGE;
	TAILQ_FOREACH (sub, &c->subs, of_conn)
		if ((q && sub->queue == q) || sub->id == m->sub)
			return RMQ_E_USAGE;
	return q ? RMQ_E_OK : broker_may_make(b, c);
}

/*
 * What the session holds already is handed again, and the client trusts it for the length
 * that SUBSCRIBED names: which is no longer than the shortest of these leases.  Of a session that
 * holds more than can be looked at, that is the shortest of all that it held.
 */
static void shorten_lease(struct broker *b, const struct session *s, struct subscription *sub)
{
	const struct range *r;
	uint64_t at = 0, end = b->work + b->ledger.limits.turn_steps;
	for (; (r = session_held_from(s, sub->queue, at)); at = r->first + r->span) {
		broker_works(b, 1);
		if (b->work >= end)
			sub->lease_ms = (uint32_t)min_u64(sub->lease_ms, s->lease_min_ms);
		if (b->work >= end)
			return;
		if (!r->detached && r->lease_ms < sub->lease_ms)
			sub->lease_ms = r->lease_ms;
	}
}

static void on_subscribe(struct broker *b, struct conn *c, const struct wire_subscribe *m)
{
	char text[TEXT_MAX + 1], name[NAME_EPHEMERAL_MAX];
	bool ephemeral = m->flags & SUBSCRIBE_EPHEMERAL;
	struct queue *q = broker_queue_named(
	    b, ephemeral ? name_of_ephemeral(name, c->session->id, m->sub) : m->queue);
	enum rmq_error err = subscribe_check(b, c, m, q);
	const char *why = NULL;
	if (!err && ephemeral)
		err = broker_ephemeral(b, c, m, &q, text, &why);
	else if (!err)
		q = broker_queue_make(b, m->queue, c->owner);
	if (err) {
		if (err == RMQ_E_VERSION)
			why = "unknown flag of SUBSCRIBE";
		else if (!why)
			why = why_not(c->owner, err, text);
		if (err == RMQ_E_LIMIT && c->subs_count >= SUBSCRIPTIONS_MAX)
			why = "a session has at most 16 subscriptions";
		ANSWER(b, c, sub_failed, m->sub, (uint8_t)err, slice_str(why));
		return;
	}
	struct subscription *sub = memory_new(sizeof(*sub));
	sub->id = m->sub;
	sub->conn = c;
	sub->starts = m->flags & SUBSCRIBE_STARTS;
	sub->queue = q;
	sub->lease_ms = m->lease_ms ? m->lease_ms : sub->queue->settings.lease_ms;
	sub->wants_idle = m->flags & SUBSCRIBE_IDLE;
	sub->queue->idle_wanted += sub->wants_idle;
	key_receiver_init(&sub->by_key, sub, c->session->id);
	shorten_lease(b, c->session, sub);
	TAILQ_INSERT_TAIL(&c->subs, sub, of_conn);
	c->subs_count++;
	TAILQ_INSERT_TAIL(&sub->queue->subs, sub, of_queue);
	sub->queue->receivers++;
	ANSWER(b, c, subscribed, sub->id, sub->lease_ms);
	broker_hand_again(b, sub);
}

static void on_credit(struct broker *b, struct conn *c, const struct wire_credit *m)
{
	session_stamped(c->session, m->stamp);
	broker_credit(b, c, m);
}

static void on_unsubscribe(struct broker *b, struct conn *c, const struct wire_unsubscribe *m)
{
	struct subscription *sub = broker_sub(c, m->sub);
	if (sub)
		broker_sub_free(b, sub);
	ANSWER(b, c, unsubscribed, m->sub);
}

/*
 * Order is that of the messages: all before a range's end have started.  What a lease spans
 * was one range when it was made, so it is no more ranges now than it has messages.
 */
static void on_started(struct broker *b, struct conn *c, const struct wire_started *m)
{
	struct queue *q = broker_queue_named(b, m->queue);
	uint64_t at = m->first, end = m->first + m->count;
	struct range *r;
	if (m->first > SEQ_MAX) {
		broker_refuse(b, c, RMQ_E_PROTOCOL, "bad STARTED");
		return;
	}
	for (uint32_t i = 0; q && at < end && i < GRANT_MESSAGES_MAX; i++) {
		r = session_held_from(c->session, q, at);
		broker_works(b, 1);
		if (!r || r->first >= end)
			break;
		at = r->first + r->span;
		uint64_t upto = min_u64(at, end);
		if (r->lease == m->lease && r->unstarted < upto)
			r->unstarted = upto;
	}
}

static void on_peek(struct broker *b, struct conn *c, const struct wire_peek *m)
{
	if (m->states & ~STATES) {
		broker_refuse(b, c, RMQ_E_VERSION, "unknown state in PEEK");
		return;
	}
	broker_peek(b, c, m);
}

static void on_transfer(struct broker *b, struct conn *c, const struct wire_transfer *m)
{
	if (m->flags & ~TRANSFER_FLAGS) {
		broker_refuse(b, c, RMQ_E_VERSION, "unknown flag of TRANSFER");
		return;
	}
	broker_transfer(b, c, m);
}

static void on_watch(struct broker *b, struct conn *c, const struct wire_watch *m)
{
	if (m->what < WATCH_BELOW || m->what > WATCH_GONE) {
		broker_refuse(b, c, RMQ_E_VERSION, "unknown condition in WATCH");
		return;
	}
	broker_watch(b, c, m);
}

static void on_position(struct broker *b, struct conn *c, const struct wire_position *m)
{
	broker_position(b, c, m);
}

static void on_history(struct broker *b, struct conn *c, const struct wire_history *m)
{
	broker_ask_history(b, c, m);
}

static void on_buried(struct broker *b, struct conn *c, const struct wire_buried *m)
{
	broker_buried(b, c, m);
}

/* ---- the session ---- */

void broker_session_left(struct broker *b, struct session *s)
{
	broker_end_ephemerals(b, s);
	if (s->durable) {
		s->is_closing = true;
		TAILQ_INSERT_TAIL(&b->closing, s, closing);
		b->closing_count++;
	}
	if (s->conn)
		broker_close(b, s->conn);
	if (!s->durable)
		broker_session_remove(b, s);
}

/* A client settles or gives back what it was given: the rest has not reached it. */
static void on_bye(struct broker *b, struct conn *c, const struct wire_bye *m)
{
	struct subscription *sub;
	(void)m;
	/* Nothing more is leased to it. */
	while ((sub = TAILQ_FIRST(&c->subs)))
		broker_sub_free(b, sub);
	c->errand = true;
	c->session->is_leaving = true;
	broker_errand(
	    b, (struct errand){
		   .kind = ERRAND_LEAVE, .session = c->session->id, .lease = UINT64_MAX});
}

/*
 * An unknown session that has had no answer yet and was issued by an earlier daemon left
 * no event: each that left one is known, was closed by its client or forgotten, and
 * no id above `forgotten` was forgotten.  It can begin anew without doing anything twice.
 */
static bool session_is_blank(const struct broker *b, const struct wire_hello *m)
{
	return m->answered == 0 && m->session >> 32 < b->start && m->session >> 32 > 0 &&
	       m->session > b->forgotten;
}

/* Whether the client was issued the session that it names. */
static bool token_is_right(
    const struct broker *b, const struct conn *c, const struct wire_hello *m)
{
	uint8_t token[SESSION_TOKEN_SIZE];
	struct slice theirs;
	if (RMQ_VARIANT(TOKEN_UNCHECKED))
		return true;
	if (!b->has_secret || !tags_find(m->tags, HELLO_TAG_TOKEN, &theirs) ||
	    theirs.len != sizeof(token))
		return false;
	owner_token(c->owner, b->secret, m->session, token);
	return sodium_memcmp(token, theirs.data, sizeof(token)) == 0;
}

/*
 * Whether the client may go on with the session that it names, s or one that is not known.  One of
 * nobody is from before there were owners and tokens: whose who comes for it.
 */
static bool may_go_on(const struct broker *b, const struct conn *c, const struct session *s,
    const struct wire_hello *m)
{
	if (s ? s->is_leaving : !session_is_blank(b, m))
		return false;
	return (s && !owner_known(s->owner)) || token_is_right(b, c, m);
}

static void answer_welcome(
    struct broker *b, struct conn *c, const struct session *s, const struct wire_hello *m)
{
	struct versions theirs = {m->oldest, m->newest};
	uint8_t token[SESSION_TOKEN_SIZE],
	    list[4 + SESSION_TOKEN_SIZE + TAG_U64_SIZE + 4 + RAFT_NAME_MAX];
	struct writer w = writer_of(list, sizeof(list));
	owner_token(s->owner, b->secret, s->id, token);
	tags_put(&w, WELCOME_TAG_TOKEN, slice_of(token, sizeof(token)));
	tags_put_u64(&w, WELCOME_TAG_SANDBOX, b->sandbox);
	if (b->cells)
		tags_put(&w, WELCOME_TAG_CELL, b->cell);
	ANSWER(b, c, welcome, versions_common(theirs, WIRE_VERSIONS), WIRE_FEATURES, s->id,
	    s->last, b->wall_now.ms, SEND_WINDOW, slice_of(w.p, w.len));
}

static void on_hello(struct broker *b, struct conn *c, const struct wire_hello *m)
{
	struct session *s = m->session ? broker_session_find(b, m->session) : NULL;
	if (m->session && !may_go_on(b, c, s, m)) {
		broker_refuse(b, c, RMQ_E_UNKNOWN_SESSION, error_text(RMQ_E_UNKNOWN_SESSION));
		return;
	}
	char text[TEXT_MAX + 1];
	if (s && !broker_may_hold(b, c, s, text)) {
		broker_refuse(b, c, RMQ_E_DENIED, text);
		return;
	}
	if (!s && !(s = broker_session_new(b, c, m->session))) {
		broker_refuse(b, c, RMQ_E_LIMIT, "too many sessions");
		return;
	}
	/* The client has given up its old connection, if the daemon still sees one: see broker_disconnect(). */
	if (s->conn) {
		broker_drop_unfinished(b, s->id);
		broker_close(b, s->conn);
	}
	broker_attach(b, c, s);
	c->features = m->features;
	c->is_far = tags_find_u64(m->tags, HELLO_TAG_HOW) & HELLO_FAR;
	if (!owner_known(s->owner))
		broker_session_own(b, s, c->owner);
	if (m->answered <= s->last)
		session_answered(s, m->answered);
	answer_welcome(b, c, s, m);
}

/* ---- topics ---- */

static void on_bind(struct broker *b, struct conn *c, const struct wire_bind *m)
{
	broker_bind(b, c, m);
}

static void on_unbind(struct broker *b, struct conn *c, const struct wire_unbind *m)
{
	broker_unbind(b, c, m);
}

static void on_bindings(struct broker *b, struct conn *c, const struct wire_bindings *m)
{
	broker_bindings(b, c, m);
}

/* ---- the map ---- */

static void on_kv_read(struct broker *b, struct conn *c, const struct wire_kv_read *m)
{
	broker_kv_read(b, c, m);
}

static void on_kv_put(struct broker *b, struct conn *c, const struct wire_kv_put *m)
{
	broker_kv_put(b, c, m);
}

static void on_kv_del(struct broker *b, struct conn *c, const struct wire_kv_del *m)
{
	broker_kv_del(b, c, m);
}

/* ---- cells ---- */

static void on_move_out(struct broker *b, struct conn *c, const struct wire_move_out *m)
{
	broker_move_out(b, c, m);
}

static void on_move_in(struct broker *b, struct conn *c, const struct wire_move_in *m)
{
	broker_move_in(b, c, m);
}

static void on_arrive(struct broker *b, struct conn *c, const struct wire_arrive *m)
{
	broker_on_arrive(b, c, m);
}

static void on_arrive_state(struct broker *b, struct conn *c, const struct wire_arrive_state *m)
{
	broker_on_arrive_state(b, c, m);
}

static void on_export(struct broker *b, struct conn *c, const struct wire_export *m)
{
	broker_on_export(b, c, m);
}

static void on_came(struct broker *b, struct conn *c, const struct wire_came *m)
{
	broker_came(b, c, m);
}

static void on_cells(struct broker *b, struct conn *c, const struct wire_cells *m)
{
	broker_tell_cells(b, c, m);
}

static void on_places(struct broker *b, struct conn *c, const struct wire_places *m)
{
	broker_places(b, c, m);
}

static void on_away(struct broker *b, struct conn *c, const struct wire_away *m)
{
	if (m->flags & ~AWAY_FLAGS) {
		broker_refuse(b, c, RMQ_E_VERSION, "unknown flag of AWAY");
		return;
	}
	broker_away(b, c, m);
}

/* ---- dispatch ---- */

/* The pieces of a SEND after one that was refused are passed over. */
static void refuse_send(struct broker *b, struct conn *c, const struct frame *f,
    enum rmq_error code, const char *text)
{
	struct wire_send m;
	if (!wire_send_decode(f->payload, &m) ||
	    (m.n <= c->session->last && m.flags & SEND_MORE) ||
	    (m.part > 0 && c->refused == m.n))
		return;
	c->refused = m.n;
	fail_unseen(b, c, m.n, m.answered, code, text);
}

/* A frame that was decoded is not acted upon: each says so in its own way. */
static void refuse_frame(struct broker *b, struct conn *c, const struct frame *f,
    enum rmq_error code, const char *text)
{
	const uint8_t *p = f->payload.data;
	switch (f->type) {
	case WIRE_TYPE_SEND:
		refuse_send(b, c, f, code, text);
		break;
	case WIRE_TYPE_SETTLE_SEND:
		if (broker_take_or(b, c, load_u64(p), load_u64(p + 8), answer_settle_sent))
			fail_text(b, c, load_u64(p), code, 0, text);
		break;
	case WIRE_TYPE_KV_PUT:
	case WIRE_TYPE_KV_DEL:
		if (broker_take_or(b, c, load_u64(p), load_u64(p + 8), broker_kv_answer))
			fail_text(b, c, load_u64(p), code, 0, text);
		break;
	case WIRE_TYPE_KV_READ:
		ANSWER(b, c, kv_at, load_u32(p), (uint8_t)code, 0, 0, 0, 0, NO_TAGS);
		break;
	case WIRE_TYPE_SETTLE:
	case WIRE_TYPE_QUEUE_CREATE:
	case WIRE_TYPE_QUEUE_SET:
	case WIRE_TYPE_QUEUE_REMOVE:
	case WIRE_TYPE_QUEUE_PURGE:
	case WIRE_TYPE_CANCEL:
	case WIRE_TYPE_BIND:
	case WIRE_TYPE_UNBIND:
	case WIRE_TYPE_MOVE_OUT:
	case WIRE_TYPE_MOVE_IN:
	case WIRE_TYPE_ARRIVE:
	case WIRE_TYPE_ARRIVE_STATE:
		fail_unseen(b, c, load_u64(p), load_u64(p + 8), code, text);
		break;
	case WIRE_TYPE_SUBSCRIBE:
		ANSWER(b, c, sub_failed, load_u32(p), (uint8_t)code, slice_str(text));
		break;
	case WIRE_TYPE_TRANSFER:
	case WIRE_TYPE_BINDINGS:
	case WIRE_TYPE_PEEK:
	case WIRE_TYPE_WATCH:
	case WIRE_TYPE_HISTORY:
	case WIRE_TYPE_EXPORT:
		if (code != RMQ_E_DENIED && code != RMQ_E_VERSION) {
			broker_refuse_rows(b, c, f, code, text);
			break;
		}
		broker_refuse(b, c, code, text);
		break;
	default:
		broker_refuse(b, c, code, text);
		break;
	}
}

/* Whether a frame's tagged fields may be acted upon; if not, it has been answered. */
static bool tags_known(
    struct broker *b, struct conn *c, const struct frame *f, struct slice tags)
{
	uint16_t tag;
	char text[TEXT_MAX];
	enum rmq_error err = tags_check(tags, f->type, wire_tag_name, &tag);
	if (!err)
		return true;
	if (err != RMQ_E_VERSION) {
		broker_refuse(b, c, err, "attributes are cut or out of order");
		return false;
	}
	snprintf(text, sizeof(text), "attribute %u of %s is not known here", tag,
	    wire_name(f->type));
	refuse_frame(b, c, f, err, text);
	return false;
}

/* Whether the connection may do what a frame asks for; if not, it has been answered. */
static bool is_allowed(
    struct broker *b, struct conn *c, const struct frame *f, const void *message)
{
	char text[TEXT_MAX + 1];
	if (!c->rights || RMQ_VARIANT(RIGHTS_UNASKED))
		return true;
	enum rmq_error err = broker_may_do(b, c, f->type, message, text);
	if (err)
		refuse_frame(b, c, f, err, text);
	return !err;
}

/* Whether what the frame is about is here; if not, it has been answered. */
static bool is_here(
    struct broker *b, struct conn *c, const struct frame *f, const void *message)
{
	enum rmq_error code;
	const char *text;
	if (broker_is_here(b, c, f, message, &code, &text))
		return true;
	if (code != RMQ_E_NOTHING)
		refuse_frame(b, c, f, code, text);
	return false;
}

static bool hello_known(struct broker *b, struct conn *c, struct slice payload)
{
	struct versions theirs;
	char text[TEXT_MAX];
	if (!wire_hello_versions(payload, &theirs)) {
		broker_refuse(b, c, RMQ_E_VERSION, error_text(RMQ_E_VERSION));
		return false;
	}
	if (versions_common(theirs, WIRE_VERSIONS) == 0) {
		broker_refuse(b, c, RMQ_E_VERSION,
		    versions_differ(text, sizeof(text), "the client", theirs, WIRE_VERSIONS));
		return false;
	}
	return true;
}

static void take_frame(struct broker *b, struct conn *c, const struct frame *f)
{
	if (!c->session != (f->type == WIRE_TYPE_HELLO)) {
		broker_refuse(b, c, RMQ_E_PROTOCOL, "HELLO must come first, and only once");
		return;
	}
	/* Before it is decoded: another version's may have other fields. */
	if (f->type == WIRE_TYPE_HELLO && !hello_known(b, c, f->payload))
		return;
	switch (f->type) {
#define X(type, NAME, name, FIELDS) \
	case type: { \
		struct wire_##name m; \
		if (!wire_##name##_decode(f->payload, &m)) \
			broker_refuse(b, c, RMQ_E_PROTOCOL, "malformed " #NAME); \
		else if (tags_known(b, c, f, wire_##name##_tagged(&m)) && \
			 is_allowed(b, c, f, &m) && is_here(b, c, f, &m)) \
			on_##name(b, c, &m); \
		return; \
	}
		WIRE_CLIENT_FRAMES(X)
#undef X
	}
	broker_refuse(b, c, RMQ_E_VERSION, "unknown type of frame");
}

void broker_forget_put_off(struct broker *b)
{
	free(b->put_off.payload);
	memset(&b->put_off, 0, sizeof(b->put_off));
}

void broker_go_on(struct broker *b)
{
	if (b->put_off.conn == 0 || b->put_off.n > b->stored_n)
		return;
	uint64_t conn = b->put_off.conn;
	uint8_t *payload = b->put_off.payload;
	struct frame f = {b->put_off.type, slice_of(payload, b->put_off.len)};
	memset(&b->put_off, 0, sizeof(b->put_off));
	broker_frame(b, conn, &f);
	free(payload);
}

void broker_frame(struct broker *b, uint64_t conn, const struct frame *f)
{
	struct conn *c = broker_conn(b, conn);
	bool waits = b->put_off.conn != 0;
	if (!c || c->closed)
		return;
	assert(!c->errand);
	if (c->missed)
		broker_heard_again(b, c);
	broker_move_heard(b, c);
	take_frame(b, c, f);
	if (waits || b->put_off.conn == 0)
		return;
	b->put_off.type = f->type;
	b->put_off.len = f->payload.len;
	b->put_off.payload = memory_new(f->payload.len);
	memcpy(b->put_off.payload, f->payload.data, f->payload.len);
}
