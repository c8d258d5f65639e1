#include "trespass.h"

#include "daemon.h"
#include "trace.h"

#include "core/base/name.h"
#include "core/wire/wire.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

/* What it may receive from, what it may administer, and what it may do nothing with. */
#define OWN  "jobs"
#define KEPT "mail"
static const char *const others[] = {"x", "x.dead", "nowhere"};
/* The same of keys of the map: what it may read, what it may change, and neither. */
#define OWN_KEY	 "k1"
#define KEPT_KEY "k2"
static const char *const other_keys[] = {"k0", "k5", "k"};

static void grant(struct link *l, unsigned verbs, enum rights_of of, const char *glob)
{
	struct writer w =
	    writer_of(l->rights + l->rights_len, sizeof(l->rights) - l->rights_len);
	rights_entry_encode(
	    &w, &(struct rights_entry){(uint16_t)verbs, (uint8_t)of, slice_str(glob)});
	assert(!w.full);
	l->rights_len += w.len;
}

void trespass_not(struct link *l, unsigned queues, unsigned topics)
{
	grant(l, queues, RIGHTS_QUEUE, "jobs*");
	grant(l, queues, RIGHTS_QUEUE, "mail*");
	grant(l, queues, RIGHTS_QUEUE, "x*");
	grant(l, topics, RIGHTS_TOPIC, "*");
}

static struct slice batch(void)
{
	static uint8_t bytes[16];
	struct writer b = writer_of(bytes, sizeof(bytes));
	put_u16(&b, 1);
	put_u16(&b, 0);
	put_u16(&b, 2);
	put_rest(&b, slice_str("?\n"));
	return slice_of(b.p, b.len);
}

/* Messages that may be there, each as often as it is named. */
static struct slice entries(uint64_t first)
{
	static uint8_t bytes[SETTLE_ENTRY_SIZE];
	struct writer w = writer_of(bytes, sizeof(bytes));
	settle_entry_put(&w, &(struct settle_entry){first, first, 1});
	return slice_of(bytes, sizeof(bytes));
}

static struct slice runs(uint64_t first)
{
	static uint8_t bytes[SEQ_RANGE_SIZE];
	struct writer w = writer_of(bytes, sizeof(bytes));
	seq_range_put(&w, &(struct seq_range){first, 100});
	return slice_of(bytes, sizeof(bytes));
}

static struct slice several(struct slice name)
{
	static uint8_t bytes[64];
	uint8_t value[32];
	struct writer v = writer_of(value, sizeof(value)), w = writer_of(bytes, sizeof(bytes));
	put_str(&v, name);
	tags_put(&w, SEND_TAG_QUEUES, slice_of(value, v.len));
	return slice_of(bytes, w.len);
}

enum { ASKS = 19, LISTS = 0, SETTLES_GONE = 14, OF_KEYS };

#define ASK(frame, ...) wire_put_##frame(out, &(struct wire_##frame){__VA_ARGS__})

/* The same of a key: one that nobody may, or one that it may only read, or only change. */
static const char *ask_of_key(
    struct link *l, struct writer *out, uint64_t way, const char **key, uint64_t random)
{
	if (random % 4 == 0)
		*key = way == OF_KEYS + 2 ? KEPT_KEY : OWN_KEY;
	struct slice k = slice_str(*key);
	l->denial = WIRE_TYPE_FAILED;
	switch (way) {
	case OF_KEYS:
		ASK(kv_put, 1, 0, 0, 0, k, NO_TAGS, slice_str("?"));
		return "send";
	case OF_KEYS + 1:
		ASK(kv_del, 1, 0, 0, 0, k, NO_TAGS);
		return "send";
	case OF_KEYS + 2:
		l->denial = WIRE_TYPE_KV_AT;
		ASK(kv_read, 1, KV_VALUES | (random % 8 < 4 ? KV_WAIT : 0), 0, 0, k, NO_TAGS);
		return "recv";
	}
	/* Of those that begin so it is told what it may read. */
	l->denial = WIRE_TYPE_KV_IS;
	ASK(kv_read, 1, KV_PREFIX | KV_VALUES | (random % 8 < 4 ? KV_WAIT : 0), 0, 0,
	    slice_of("k", random % 2), NO_TAGS);
	return "";
}

/* Which right on q is missing; NULL: that on a topic.  `first`: some message. */
static const char *ask(
    struct link *l, struct writer *out, uint64_t way, const char *name, uint64_t first)
{
	struct slice q = slice_str(name), own = slice_str(OWN), kept = slice_str(KEPT);
	uint8_t both[SETTLE_ENTRY_SIZE + 16];
	struct writer data = writer_of(both, sizeof(both));
	l->denial = WIRE_TYPE_FAILED;
	switch (way) {
	case LISTS:
		l->denial = WIRE_TYPE_LIST_END;
		ASK(list, 1, 10, slice_str(""), slice_str("*"));
		return "";
	case 1:
		ASK(send, 1, 0, 0, 0, q, NO_TAGS, batch());
		return "send";
	case 2:
		ASK(send, 1, 0, 0, 0, kept, several(q), batch());
		return "send";
	case 3:
		ASK(send, 1, 0, SEND_TOPIC, 0, slice_str("a.b"), NO_TAGS, batch());
		return NULL;
	case 4:
		ASK(settle, 1, 0, VERB_SETTLE, 0, 0, 0, q, slice_str(""), NO_TAGS,
		    entries(first));
		return "recv";
	case 5:
		put_rest(&data, entries(first));
		put_rest(&data, batch());
		ASK(settle_send, 1, 0, 0, 0, own, q, 1, NO_TAGS, slice_of(both, data.len));
		return "send";
	case 6:
		l->denial = WIRE_TYPE_SUB_FAILED;
		ASK(subscribe, 1, 0, 0, q, NO_TAGS);
		return "recv";
	case 7:
		ASK(queue_create, 1, 0, 0, q, 0, 0, 0, 0, 0, 0, slice_str(""), NO_TAGS);
		return "admin";
	case 8:
		ASK(queue_remove, 1, 0, REMOVE_FORCE, q);
		return "admin";
	case 9:
		ASK(queue_purge, 1, 0, q);
		return "admin";
	case 10:
		ASK(bind, 1, 0, BIND_CREATE, q, slice_str("a.#"), NO_TAGS);
		return "admin";
	case 11:
		l->denial = WIRE_TYPE_ERROR;
		ASK(peek, 1, STATES, 0, 10, q);
		return "recv";
	case 12:
		l->denial = WIRE_TYPE_ERROR;
		ASK(transfer, 1, 0, 0, q, kept, NO_TAGS, runs(first));
		return "admin";
	case SETTLES_GONE:
		ASK(settle, 1, 0, VERB_SETTLE, 0, 0, 0, q, slice_str(""), NO_TAGS,
		    entries(first));
		return "";
	}
	l->denial = WIRE_TYPE_ERROR;
	ASK(transfer, 1, 0, 0, kept, q, NO_TAGS, runs(first));
	return "send";
}

/* Of an ephemeral subscription, which may be there, of somebody else. */
static const char *ephemeral(struct world *w)
{
	const struct shadow *s = &w->shadow;
	uint32_t from =
	    s->queues_count > 0 ? (uint32_t)prng_below(&w->rights, s->queues_count) : 0;
	for (uint32_t i = from; i < s->queues_count; i++)
		if (s->queues[i] && s->queues[i]->ephemeral > 0)
			return s->queues[i]->name;
	return "sub-1-1";
}

void trespass(struct world *w)
{
	struct prng *p = &w->rights;
	struct daemon *d = &w->daemons[0];
	uint8_t frames[1024];
	struct writer out = writer_of(frames, sizeof(frames));
	uint64_t way = prng_below(p, ASKS);
	const char *name = others[prng_below(p, sizeof(others) / sizeof(others[0]))];
	bool of_key = way >= OF_KEYS;
	if (way == SETTLES_GONE)
		name = ephemeral(w);
	if (of_key)
		name = other_keys[prng_below(p, sizeof(other_keys) / sizeof(other_keys[0]))];
	if (!d->up)
		return;
	struct link *l = net_connect(&w->net, d, 0);
	l->trespasses = l->client_closed = true;
	grant(l, RIGHT_RECV, RIGHTS_QUEUE, OWN);
	grant(l, RIGHT_ADMIN, RIGHTS_QUEUE, KEPT);
	grant(l, RIGHT_RECV, RIGHTS_KV, OWN_KEY);
	grant(l, RIGHT_SEND, RIGHTS_KV, KEPT_KEY);
	wire_put_hello(&out, &(struct wire_hello){WIRE_HELLO_VERSIONS, 0, 0, NO_TAGS});
	uint64_t random = prng_range(p, 1, 30);
	const char *verb =
	    of_key ? ask_of_key(l, &out, way, &name, random) : ask(l, &out, way, name, random);
	l->denied = way == SETTLES_GONE ? RMQ_E_NO_QUEUE : RMQ_E_DENIED;
	snprintf(l->missing, sizeof(l->missing), "right \"%s\" on %s %s is missing",
	    verb ? verb : "send",
	    of_key ? "key"
	    : verb ? "queue"
		   : "topic",
	    verb ? name : "a.b");
	if (l->denied == RMQ_E_NO_QUEUE)
		snprintf(l->missing, sizeof(l->missing), "%s", error_text(RMQ_E_NO_QUEUE));
	wire_put_bye(&out, &(struct wire_bye){0});
	trace("trespass", l->id, way, (uint64_t)(name[0]), 0);
	bytes_push(&l->up.flight, slice_of(out.p, out.len));
}

static void check_row(const struct frame *f)
{
	struct wire_listed m;
	if (!wire_listed_decode(f->payload, &m) ||
	    (!slice_eq(m.queue, slice_str(OWN)) && !slice_eq(m.queue, slice_str(KEPT))))
		trace_fail("a client is told of queue %.*s, of which it may not know",
		    (int)m.queue.len, (const char *)m.queue.data);
}

static void check_place(const struct frame *f)
{
	struct wire_list_at m;
	if (!wire_list_at_decode(f->payload, &m) ||
	    (!slice_eq(m.after, slice_str(OWN)) && !slice_eq(m.after, slice_str(KEPT)) &&
		!slice_eq(m.after, slice_str("*"))))
		trace_fail(
		    "a client is told to go on after queue %.*s, of which it may not know",
		    (int)m.after.len, (const char *)m.after.data);
}

static void check_entry(const struct frame *f)
{
	struct wire_kv_is m;
	if (!wire_kv_is_decode(f->payload, &m) || !slice_eq(m.key, slice_str(OWN_KEY)))
		trace_fail("a client is told of key %.*s, of which it may not know",
		    (int)m.key.len, (const char *)m.key.data);
}

/* What it has read; or that it may not, for which there is no text. */
static void check_read(const struct link *l, const struct frame *f)
{
	struct wire_kv_at m;
	bool denied = l->denial == WIRE_TYPE_KV_AT;
	bool good = wire_kv_at_decode(f->payload, &m);
	/* Too many wait. */
	if (good && !denied && m.code == RMQ_E_LIMIT && rmq_small_limits)
		return;
	if (!good || (denied ? m.code != l->denied || m.version || m.newest || m.left_out
			     : m.code != RMQ_E_OK || m.left_out > 0))
		trace_fail("a client that may not read a key is answered with code %u", m.code);
}

static void check_denial(const struct link *l, const struct frame *f)
{
	struct wire_failed failed = {0};
	struct wire_sub_failed sub_failed = {0};
	struct wire_error error = {0};
	struct slice text = {0};
	uint8_t code = 0;
	if (f->type == WIRE_TYPE_FAILED && wire_failed_decode(f->payload, &failed)) {
		code = failed.code;
		text = failed.text;
	} else if (f->type == WIRE_TYPE_SUB_FAILED &&
		   wire_sub_failed_decode(f->payload, &sub_failed)) {
		code = sub_failed.code;
		text = sub_failed.text;
	} else if (f->type == WIRE_TYPE_ERROR && wire_error_decode(f->payload, &error)) {
		code = error.code;
		text = error.text;
	}
	/* There are too many sessions. */
	if (l->session == 0 && code == RMQ_E_LIMIT)
		return;
	if (f->type != l->denial || code != l->denied || !slice_eq(text, slice_str(l->missing)))
		trace_fail("a client that has to be told '%s' is told %s '%.*s'", l->missing,
		    wire_name(f->type), (int)text.len, (const char *)text.data);
}

void trespass_told(struct world *w, struct link *l, const struct frame *f)
{
	struct wire_welcome welcome;
	if (shadow_session(&w->shadow, l->session))
		trace_fail("what a client may not do is on disk");
	if (f->type == WIRE_TYPE_WELCOME && wire_welcome_decode(f->payload, &welcome))
		l->session = welcome.session;
	else if (f->type == WIRE_TYPE_LISTED && l->denial == WIRE_TYPE_LIST_END)
		check_row(f);
	else if (f->type == WIRE_TYPE_LIST_AT && l->denial == WIRE_TYPE_LIST_END)
		check_place(f);
	else if (f->type == WIRE_TYPE_KV_IS && l->denial == WIRE_TYPE_KV_IS)
		check_entry(f);
	else if (f->type == WIRE_TYPE_KV_AT &&
		 (l->denial == WIRE_TYPE_KV_AT || l->denial == WIRE_TYPE_KV_IS))
		check_read(l, f);
	else if (f->type != WIRE_TYPE_LIST_END || l->denial != WIRE_TYPE_LIST_END)
		check_denial(l, f);
}
