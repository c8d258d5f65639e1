/*
 * What a connection may do, if its rights are restricted.  Each frame is asked for before it is acted upon, by
 * the names in it and nothing else: so neither the answer nor anything that happens tells whether
 * there is such a queue.
 */
#include "core/broker/broker_state.h"

#include <stddef.h>
#include <stdio.h>

#include "core/base/memory.h"
#include "core/base/name.h"
#include "core/base/variant.h"

/* Bytes of a list that are looked at in one step, about. */
#define RIGHTS_STEP 64

struct conn_rights {
	uint8_t place_len;
	char place[NAME_FULL_MAX]; /* PLACE_HIDDEN */
	size_t len;
	uint8_t list[];
};

enum need_of {
	NEED_NOTHING,
	NEED_QUEUE,
	NEED_NAMED, /* a queue, if one is named: neither "" nor "-" */
	NEED_HELD,  /* a queue of which messages are held */
	NEED_PATTERN,
	NEED_SENT,     /* the queues of a SEND, or its topic */
	NEED_RECEIVED, /* the queue of a SUBSCRIBE, or its pattern */
	NEED_KEY,      /* of the map */
	NEED_KEY_READ, /* the same, or a beginning of keys */
	NEED_UNIT,     /* a queue, and that of its dead letters, which moves with it */
	NEED_STATE,    /* a queue of dead letters that settings of an ARRIVE_STATE name */
	NEED_EXPORTED, /* a queue, or that of which copies arrive, as MOVE_IN */
	NEED_ORIGIN,   /* the queue that a redrive would give back to what arrives */
};

/*
 * Frame, its field, what that names, and which verbs on it are needed: one of them is enough.  A frame that
 * has several needs them all; one that has none here is denied.
 */
/* clang-format off */
#define NEEDS(X) \
	X(HELLO,        hello,        tags,        NOTHING,  0) /* see broker_may_hold() */ \
	X(SEND,         send,         queue,       SENT,     RIGHT_SEND) \
	X(SETTLE,       settle,       queue,       HELD,     RIGHT_RECV) \
	X(SETTLE_SEND,  settle_send,  queue,       HELD,     RIGHT_RECV) \
	X(SETTLE_SEND,  settle_send,  target,      QUEUE,    RIGHT_SEND) \
	X(SUBSCRIBE,    subscribe,    queue,       RECEIVED, RIGHT_RECV) \
	X(CREDIT,       credit,       sub,         NOTHING,  0) \
	X(UNSUBSCRIBE,  unsubscribe,  sub,         NOTHING,  0) \
	X(STARTED,      started,      queue,       NOTHING,  0) /* of what its session holds, … */ \
	X(EXTEND,       extend,       stamp,       NOTHING,  0) /* … and this as well */ \
	X(PING,         ping,         stamp,       NOTHING,  0) \
	X(QUEUE_CREATE, queue_create, queue,       QUEUE,    RIGHT_ADMIN) \
	X(QUEUE_CREATE, queue_create, dead_letter, NAMED,    RIGHT_SEND) \
	X(QUEUE_SET,    queue_set,    queue,       QUEUE,    RIGHT_ADMIN) \
	X(QUEUE_SET,    queue_set,    dead_letter, NAMED,    RIGHT_SEND) \
	X(QUEUE_REMOVE, queue_remove, queue,       QUEUE,    RIGHT_ADMIN) \
	X(QUEUE_PURGE,  queue_purge,  queue,       QUEUE,    RIGHT_ADMIN) \
	X(CANCEL,       cancel,       queue,       QUEUE,    RIGHT_ADMIN) \
	X(BIND,         bind,         queue,       QUEUE,    RIGHT_ADMIN) \
	X(BIND,         bind,         pattern,     PATTERN,  RIGHT_RECV) \
	X(UNBIND,       unbind,       queue,       QUEUE,    RIGHT_ADMIN) \
	X(LIST,         list,         glob,        NOTHING,  0) /* rows: broker_may_see() */ \
	X(BINDINGS,     bindings,     queue,       NOTHING,  0) /* … as well */ \
	X(PEEK,         peek,         queue,       QUEUE,    RIGHT_RECV) \
	X(HISTORY,      history,      queue,       QUEUE,    RIGHT_RECV) \
	X(TRANSFER,     transfer,     queue,       QUEUE,    RIGHT_ADMIN) \
	X(TRANSFER,     transfer,     target,      NAMED,    RIGHT_SEND) \
	X(WATCH,        watch,        queue,       QUEUE,    RIGHT_SEND | RIGHT_RECV) \
	X(BURIED,       buried,       queue,       QUEUE,    RIGHT_SEND | RIGHT_RECV) \
	X(POSITION,     position,     queue,       QUEUE,    RIGHT_SEND) \
	X(KV_READ,      kv_read,      key,         KEY_READ, RIGHT_RECV) /* rows: broker_may_read() */ \
	X(KV_PUT,       kv_put,       key,         KEY,      RIGHT_SEND) \
	X(KV_DEL,       kv_del,       key,         KEY,      RIGHT_SEND) \
	X(MOVE_OUT,     move_out,     queue,       UNIT,     RIGHT_ADMIN) \
	X(MOVE_IN,      move_in,      queue,       UNIT,     RIGHT_ADMIN) \
	X(ARRIVE,       arrive,       queue,       QUEUE,    RIGHT_ADMIN) \
	X(ARRIVE,       arrive,       queue,       ORIGIN,   RIGHT_SEND) \
	X(ARRIVE_STATE, arrive_state, queue,       QUEUE,    RIGHT_ADMIN) \
	X(ARRIVE_STATE, arrive_state, queue,       STATE,    RIGHT_SEND) \
	X(EXPORT,       export,       queue,       EXPORTED, RIGHT_ADMIN) \
	X(CAME,         came,         queue,       NOTHING,  0) /* its token proves it */ \
	X(CELLS,        cells,        tags,        NOTHING,  0) \
	X(PLACES,       places,       after,       NOTHING,  0) /* rows: broker_may_see() */ \
	X(AWAY,         away,         flags,       NOTHING,  0) /* names: broker_granted() */ \
	X(BYE,          bye,          answered,    NOTHING,  0)
/* clang-format on */

struct need {
	uint8_t type;
	uint8_t of;
	uint8_t verbs;
	uint8_t at; /* of the field, in the frame's struct */
};

static const struct need needs[] = {
#define X(NAME, name, field, of, verbs) \
	{WIRE_TYPE_##NAME, NEED_##of, verbs, offsetof(struct wire_##name, field)},
    NEEDS(X)
#undef X
};

void broker_rights(struct broker *b, uint64_t conn, struct slice list)
{
	struct conn *c = broker_conn(b, conn);
	if (!c)
		return;
	free(c->rights);
	c->rights = NULL;
	broker_away_rights(c);
	if (!list.data)
		return;
	c->rights = memory_new(sizeof(*c->rights) + list.len);
	c->rights->len = list.len;
	memcpy(c->rights->list, list.data, list.len);
}

static struct slice rights_of(const struct conn *c)
{
	return c->rights ? slice_of(c->rights->list, c->rights->len) : RIGHTS_UNRESTRICTED;
}

uint64_t broker_rights_steps(const struct conn *c)
{
	return c->rights ? c->rights->len / RIGHTS_STEP : 0;
}

/* Whether it is the name of an ephemeral subscription of that session: only it can have that. */
static bool is_own(const struct session *s, struct slice name)
{
	char bytes[NAME_EPHEMERAL_MAX];
	struct slice begin = name_of_ephemeral(bytes, s->id, 0);
	begin.len--;
	return name_is_ephemeral(name) && name.len > begin.len &&
	       slice_eq(slice_of(name.data, begin.len), begin);
}

bool broker_granted(const struct conn *c, unsigned verbs, struct slice queue)
{
	if (!c->rights || rights_grant(rights_of(c), RIGHTS_QUEUE, verbs, queue))
		return true;
	return (verbs & RIGHT_RECV) && c->session && is_own(c->session, queue);
}

bool broker_granted_all(const struct conn *c, unsigned verbs)
{
	return rights_grant_all(rights_of(c), RIGHTS_QUEUE, verbs);
}

bool broker_may_see(const struct conn *c, struct slice queue)
{
	return broker_granted(c, RIGHTS_ALL, queue) || RMQ_VARIANT(RIGHTS_LISTED);
}

static bool missing(unsigned verbs, const char *of, struct slice name, char text[TEXT_MAX + 1])
{
	static const char *const words[RIGHTS_ALL + 1] = {[RIGHT_SEND] = "\"send\"",
	    [RIGHT_RECV] = "\"recv\"",
	    [RIGHT_SEND | RIGHT_RECV] = "\"send\" or \"recv\"",
	    [RIGHT_ADMIN] = "\"admin\""};
	snprintf(text, TEXT_MAX + 1, "right %s on %s %.*s is missing", words[verbs], of,
	    (int)name.len, (const char *)name.data);
	return false;
}

static bool queue_granted(const struct broker *b, const struct conn *c, unsigned verbs,
    struct slice name, char text[TEXT_MAX + 1])
{
	if (broker_granted(c, verbs, name))
		return true;
	missing(verbs, "queue", name, text);
	if (RMQ_VARIANT(RIGHTS_TELL) && !broker_queue_named(b, name))
		snprintf(text, TEXT_MAX + 1, "%s", error_text(RMQ_E_NO_QUEUE));
	return false;
}

static bool pattern_granted(
    const struct conn *c, unsigned verbs, struct slice name, char text[TEXT_MAX + 1])
{
	return rights_grant_pattern(rights_of(c), verbs, name) ||
	       missing(verbs, "topic", name, text);
}

static bool key_granted(
    const struct conn *c, unsigned verbs, struct slice key, char text[TEXT_MAX + 1])
{
	return rights_grant(rights_of(c), RIGHTS_KV, verbs, key) ||
	       missing(verbs, "key", key, text);
}

bool broker_may_read(const struct conn *c, struct slice key)
{
	return rights_grant(rights_of(c), RIGHTS_KV, RIGHT_RECV, key) ||
	       RMQ_VARIANT(RIGHTS_LISTED);
}

/* A list that cannot be read is refused later, whatever it grants. */
static bool sent_granted(const struct broker *b, const struct conn *c, unsigned verbs,
    const struct wire_send *m, char text[TEXT_MAX + 1])
{
	struct slice further = {0};
	if (m->flags & SEND_TOPIC)
		return rights_grant(rights_of(c), RIGHTS_TOPIC, verbs, m->queue) ||
		       missing(verbs, "topic", m->queue, text);
	if (!queue_granted(b, c, verbs, m->queue, text))
		return false;
	tags_find(m->tags, SEND_TAG_QUEUES, &further);
	struct reader r = reader_of(further);
	for (uint32_t i = 1; i < SEND_QUEUES_MAX && reader_left(&r) > 0; i++) {
		struct slice name = get_str(&r);
		if (!r.bad && !queue_granted(b, c, verbs, name, text))
			return false;
	}
	return true;
}

static bool unit_granted(const struct broker *b, const struct conn *c, unsigned verbs,
    struct slice name, char text[TEXT_MAX + 1])
{
	char dead[UINT8_MAX + 8];
	int len = snprintf(dead, sizeof(dead), "%.*s%s", (int)name.len, (const char *)name.data,
	    NAME_DEAD_SUFFIX);
	return queue_granted(b, c, verbs, name, text) &&
	       queue_granted(b, c, verbs, slice_of(dead, (size_t)len), text);
}

/* No name, and "-", are no queue of somebody else. */
static bool named_granted(const struct broker *b, const struct conn *c, unsigned verbs,
    struct slice name, char text[TEXT_MAX + 1])
{
	return name.len == 0 || slice_eq(name, slice_str("-")) ||
	       queue_granted(b, c, verbs, name, text);
}

/* Settings that cannot be read are refused later. */
static bool state_granted(const struct broker *b, const struct conn *c, unsigned verbs,
    const struct wire_arrive_state *m, char text[TEXT_MAX + 1])
{
	struct with_settings s;
	return m->what != WITH_SETTINGS || !with_settings_decode(m->data, &s) ||
	       named_granted(b, c, verbs, s.dead_letter, text);
}

/* One that cannot be read is refused later. */
static bool origin_granted(const struct broker *b, const struct conn *c, unsigned verbs,
    const struct wire_arrive *m, char text[TEXT_MAX + 1])
{
	struct slice value;
	struct event_origin o;
	return !tags_find(m->tags, PEEKED_TAG_ORIGIN, &value) ||
	       !event_origin_decode(value, &o) || queue_granted(b, c, verbs, o.queue, text);
}

/* Who has the token of a copy can open it, with all that goes with the queue. */
static bool export_granted(const struct broker *b, const struct conn *c, unsigned verbs,
    const struct wire_export *m, char text[TEXT_MAX + 1])
{
	if (m->what != WITH_COPY || !name_valid(m->queue))
		return queue_granted(b, c, verbs, m->queue, text);
	return unit_granted(b, c, verbs, cells_base(m->queue), text);
}

/*
 * The queue of an ephemeral subscription goes with its session.  Who comes back for that too late may
 * still settle what it held: of such a queue there is none any more, as for all who may not see it.
 */
static bool is_gone(const struct need *n, struct slice name)
{
	return n->of == NEED_HELD && name_is_ephemeral(name);
}

static bool granted(const struct broker *b, const struct conn *c, const struct need *n,
    const void *m, char text[TEXT_MAX + 1])
{
	const struct slice *name = (const void *)((const uint8_t *)m + n->at);
	switch ((enum need_of)n->of) {
	case NEED_NOTHING:
		return true;
	case NEED_QUEUE:
	case NEED_HELD:
		return queue_granted(b, c, n->verbs, *name, text);
	case NEED_NAMED:
		return named_granted(b, c, n->verbs, *name, text);
	case NEED_PATTERN:
		return pattern_granted(c, n->verbs, *name, text);
	case NEED_SENT:
		return sent_granted(b, c, n->verbs, m, text);
	case NEED_KEY_READ:
		if (((const struct wire_kv_read *)m)->flags & KV_PREFIX)
			return true;
		return key_granted(c, n->verbs, *name, text);
	case NEED_KEY:
		return key_granted(c, n->verbs, *name, text);
	case NEED_UNIT:
		return unit_granted(b, c, n->verbs, *name, text);
	case NEED_STATE:
		return state_granted(b, c, n->verbs, m, text);
	case NEED_EXPORTED:
		return export_granted(b, c, n->verbs, m, text);
	case NEED_ORIGIN:
		return origin_granted(b, c, n->verbs, m, text);
	case NEED_RECEIVED:
		if (((const struct wire_subscribe *)m)->flags & SUBSCRIBE_EPHEMERAL)
			return pattern_granted(c, n->verbs, *name, text);
		return queue_granted(b, c, n->verbs, *name, text);
	}
	return false;
}

enum rmq_error broker_may_do(const struct broker *b, const struct conn *c, unsigned type,
    const void *m, char text[TEXT_MAX + 1])
{
	bool known = false;
	if (!c->rights)
		return RMQ_E_OK;
	for (size_t i = 0; i < sizeof(needs) / sizeof(needs[0]); i++) {
		const struct need *n = &needs[i];
		if (n->type != type || (known && RMQ_VARIANT(RIGHTS_FIRST)))
			continue;
		known = true;
		if (granted(b, c, n, m, text))
			continue;
		if (!is_gone(n, *(const struct slice *)((const uint8_t *)m + n->at)))
			return RMQ_E_DENIED;
		snprintf(text, TEXT_MAX + 1, "%s", error_text(RMQ_E_NO_QUEUE));
		return RMQ_E_NO_QUEUE;
	}
	if (known)
		return RMQ_E_OK;
	snprintf(text, TEXT_MAX + 1, "no right lets %s be", wire_name(type));
	return RMQ_E_DENIED;
}

/* All that its ephemeral subscriptions are bound to. */
static bool may_hear(
    struct broker *b, const struct conn *c, const struct session *s, char text[TEXT_MAX + 1])
{
	const struct queue *q;
	TAILQ_FOREACH (q, &s->ephemerals, of_session) {
		struct binding *at = binding_after(q, slice_of("", 0));
		for (; at; at = binding_next(at)) {
			broker_works(b, 1 + broker_rights_steps(c));
			if (!pattern_granted(c, RIGHT_RECV, binding_pattern(at), text))
				return false;
		}
	}
	return true;
}

bool broker_may_hold(
    struct broker *b, const struct conn *c, const struct session *s, char text[TEXT_MAX + 1])
{
	const struct range *r = c->rights ? session_held_next(s, 0, 0) : NULL;
	for (; r; r = session_held_next(s, r->queue->id + 1, 0)) {
		struct slice name = queue_name(r->queue);
		broker_works(b, 1 + broker_rights_steps(c));
		if (!is_own(s, name) && !queue_granted(b, c, RIGHT_RECV, name, text))
			return false;
	}
	return !c->rights || may_hear(b, c, s, text);
}

struct slice broker_place_tell(struct conn *c, struct slice name)
{
	/* What is longer its client has made up. */
	if (name.len > NAME_FULL_MAX || broker_may_see(c, name) || RMQ_VARIANT(RIGHTS_PLACE))
		return name;
	memmove(c->rights->place, name.data, name.len);
	c->rights->place_len = (uint8_t)name.len;
	return slice_str(PLACE_HIDDEN);
}

struct slice broker_place_of(const struct conn *c, struct slice told)
{
	if (!c->rights || !slice_eq(told, slice_str(PLACE_HIDDEN)))
		return told;
	return slice_of(c->rights->place, c->rights->place_len);
}
