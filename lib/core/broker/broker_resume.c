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

void broker_emit_resume(
    struct broker *b, const struct queue *q, const struct resume *r, uint32_t count)
{
	uint8_t list[TAG_SPAN_SIZE];
	struct seq_span sent = {q->next_seq - count, q->next_seq};
	const struct position *p = positions_find(&q->positions, r->name);
	if (p && count == 0)
		sent = p->sent;
	/* Those that came first are not known any more: neither are all. */
	else if (p && p->sent.first != p->sent.end && !RMQ_VARIANT(POSITION_OF_ONE_RUN))
		sent.first = p->sent.first;
	else if (p && p->sent.first == 0)
		sent.first = 0;
	broker_emit_position(b, &(struct event_position){q->id, r->after, r->name,
				    seq_span_tags(list, POSITION_TAG_NUMBERS, &sent)});
}

void broker_position(struct broker *b, struct conn *c, const struct wire_position *m)
{
	struct queue *q = broker_queue_named(b, m->queue);
	const struct position *p = q ? positions_find(&q->positions, m->name) : NULL;
	uint8_t list[TAG_SPAN_SIZE];
	struct slice tags =
	    p ? seq_span_tags(list, POSITION_IS_TAG_NUMBERS, &p->sent) : NO_TAGS;
	ANSWER(b, c, position_is, m->req, p ? p->at : 0, tags);
}
