/*
 * An input with a name that is sent in several runs: the position that it has come to in its queue
 * is in the record of the messages, so a run that goes on after another one sends each once.
 */
#include "core/broker/broker_state.h"

#include <stdio.h>

#include "core/base/name.h"
#include "core/base/variant.h"

bool broker_resume_of(const struct wire_send *m, struct resume *r)
{
	struct slice value;
	*r = (struct resume){0};
	if (!tags_find(m->tags, SEND_TAG_RESUME, &value))
		return true;
	struct reader in = reader_of(value);
	r->before = get_u64(&in);
	r->after = get_u64(&in);
	r->name = get_rest(&in);
	r->known = tags_find_u64(m->tags, SEND_TAG_KNOWN);
	return !in.bad && name_valid(r->name) && r->after > r->before &&
	       !tags_find(m->tags, SEND_TAG_QUEUES, &value);
}

bool broker_may_resume(struct queue *q, const struct resume *r, uint64_t n,
    struct wire_failed *failed, char text[TEXT_MAX + 1])
{
	const struct position *p =
	    q && r->name.len > 0 ? positions_find(&q->positions, r->name) : NULL;
	if (!p || p->at <= r->before || RMQ_VARIANT(POSITION_UNCHECKED))
		return true;
	snprintf(text, TEXT_MAX + 1,
	    "%llu records of %.*s are stored already: somebody else sends it, too: try again",
	    (unsigned long long)p->at, (int)r->name.len, (const char *)r->name.data);
	*failed = (struct wire_failed){n, RMQ_E_BUSY, 0, slice_str(text)};
	return false;
}

/* Up to which record some are stored nowhere, now that so many messages of the SEND are. */
static uint64_t skipped(const struct position *p, const struct resume *r, uint32_t count)
{
	uint64_t others = r->after - r->before - count;
	if (RMQ_VARIANT(POSITION_ALL_STORED))
		return 0;
	if (others != r->known)
		return r->after;
	if (r->before > (p ? p->at : 0))
		return r->before;
	return p ? p->sent.skipped : 0;
}

void broker_emit_resume(
    struct broker *b, const struct queue *q, const struct resume *r, uint32_t count)
{
	uint8_t list[INPUT_SENT_TAGS_SIZE];
	const struct position *p = positions_find(&q->positions, r->name);
	struct input_sent sent = {q->next_seq - count, q->next_seq, 0};
	if (p && count == 0)
		sent = p->sent;
	/* Those that came first are not known any more: neither are all. */
	else if (p && p->sent.first != p->sent.end && !RMQ_VARIANT(POSITION_OF_ONE_RUN))
		sent.first = p->sent.first;
	else if (p && p->sent.first == 0)
		sent.first = 0;
	sent.skipped = skipped(p, r, count);
	broker_emit_position(b,
	    &(struct event_position){q->id, r->after, r->name, input_sent_tags(list, &sent)});
}

void broker_position(struct broker *b, struct conn *c, const struct wire_position *m)
{
	struct queue *q = broker_queue_named(b, m->queue);
	const struct position *p = q ? positions_find(&q->positions, m->name) : NULL;
	uint8_t list[INPUT_SENT_TAGS_SIZE];
	struct slice tags = p ? input_sent_tags(list, &p->sent) : NO_TAGS;
	ANSWER(b, c, position_is, m->req, p ? p->at : 0, tags);
}
