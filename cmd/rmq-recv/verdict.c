#include "verdict.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/wire/receipt.h"
#include "sys/process/clock.h"
#include "sys/process/log.h"

#define SETTLING 2 /* commands in flight: what ends meanwhile goes together in the next one */

/* ---- settling ---- */

void verdict_add(
    struct worker_part *p, struct settling *b, uint64_t lease, uint64_t first, uint32_t count)
{
	if (!settling_add(b, lease, first, count))
		worker_end_memory(p->w);
}

static void add_all(struct worker_part *p, struct settling *b, const struct jobs *jobs)
{
	for (const struct job *j = jobs->head; j; j = j->next)
		if (!j->gone)
			verdict_add(p, b, j->envelope.lease, j->envelope.seq, 1);
}

void verdict_release_waiting(struct worker_part *p)
{
	p->w->taken -= p->waiting.count;
	add_all(p, &p->release, &p->waiting);
	jobs_free(&p->waiting);
}

void verdict_flush(struct worker_part *p)
{
	struct settling *all[] = {&p->settle, &p->fail, &p->bury, &p->release};
	struct mono_time now = clock_mono();
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		if (all[i]->count > 0 && client_unanswered(p->io.client) < SETTLING)
			(void)settling_flush(all[i], p->io.client, p->source.queue, now, NULL);
}

/* One command of its own, for a delay or a reason of its own.  False: it has nothing to say. */
static bool settle_apart(
    struct worker_part *p, struct settling *b, const struct jobs *jobs, struct outcome *tag)
{
	struct client_settlement s = {.queue = p->source.queue,
	    .verb = b->verb,
	    .ms = b->ms,
	    .why = slice_str(b->why ? b->why : ""),
	    .tag = tag};
	add_all(p, b, jobs);
	bool any = b->count > 0;
	if (any)
		client_settle(p->io.client, clock_mono(), &s, b->entries, (uint32_t)b->count);
	free(b->entries);
	return any;
}

/* ---- outcomes ---- */

/* Counts what has become of the messages; the longest delay of those that are given back. */
static uint64_t note(struct worker *w, const struct outcome *o)
{
	uint64_t delay_ms = 0;
	worker_turns_to(o->part);
	for (const struct job *j = o->jobs.head; j; j = j->next) {
		if (j->gone)
			continue;
		uint64_t ms = work_note(&w->work, o->verdict, o->code,
		    worker_number(o->part, j->envelope.seq), j->envelope.failures);
		if (ms > delay_ms)
			delay_ms = ms;
	}
	return delay_ms;
}

static void let_go(struct outcome *o)
{
	jobs_free(&o->jobs);
	sendbuf_free(o->batch);
	o->batch = NULL;
}

/* It is final. */
static void conclude(struct worker *w, struct outcome *o)
{
	char id[RECEIPT_MAX];
	for (const struct job *j = o->jobs.head; j; j = j->next) {
		receipt_print_id(id, j->envelope.queue, j->envelope.seq);
		log_info("%s: %s %d: %s", id, o->signal ? "signal" : "exit",
		    o->signal ? o->signal : o->code, work_verdict_name(o->verdict));
	}
	if (!results_log(&w->results, o))
		worker_end_with(w, RMQ_E_IO, "%s: %s", w->o->work.joblog, strerror(errno));
	let_go(o);
}

static void fail(struct worker *w, struct outcome *o)
{
	o->verdict = WORK_FAIL;
	(void)note(w, o);
	add_all(o->part, &o->part->fail, &o->jobs);
	conclude(w, o);
}

/* A copy that waits for the daemon's answer. */
static struct outcome *keep(struct worker *w, const struct outcome *o)
{
	struct outcome *kept = malloc(sizeof(*kept));
	if (kept)
		*kept = *o;
	else
		worker_end_memory(w);
	return kept;
}

/* The daemon has to say first whether there is a queue for them. */
static void bury(struct worker *w, struct outcome *o)
{
	char status[32];
	snprintf(status, sizeof(status), "exit status %d", o->code);
	struct settling b = {.verb = VERB_DEAD, .why = *o->reason ? o->reason : status};
	struct outcome *kept = keep(w, o);
	if (!kept || settle_apart(o->part, &b, &kept->jobs, kept))
		return;
	conclude(w, kept);
	verdict_free(kept);
}

/* ---- output ---- */

bool verdict_batch(const struct worker *w, const struct text *output, struct sendbuf **batch)
{
	const struct work_options *o = &w->o->work;
	const uint8_t *p = (const uint8_t *)(output->len ? output->data : ""),
		      *end = p + output->len;
	uint8_t separator = (uint8_t)w->o->separator;
	if (output->len == 0 && !o->whole)
		return true;
	struct sendbuf *b = sendbuf_new();
	bool fits = b != NULL;
	if (fits && o->whole)
		fits = sendbuf_append(b, slice_of(p, output->len), '\n');
	while (fits && !o->whole && p < end) {
		const uint8_t *sep = memchr(p, separator, (size_t)(end - p));
		const uint8_t *to = sep ? sep : end;
		fits = sendbuf_append(b, slice_of(p, (size_t)(to - p)), separator);
		p = to + (sep != NULL);
	}
	if (!fits) {
		sendbuf_free(b);
		return false;
	}
	*batch = b;
	return true;
}

/* The lease of one of them is over: what came of them is not sent, the others go back. */
static void discard(struct worker *w, struct outcome *o)
{
	o->verdict = WORK_DISCARD;
	add_all(o->part, &o->part->release, &o->jobs);
	conclude(w, o);
}

static bool any_gone(const struct jobs *jobs)
{
	const struct job *j = jobs->head;
	while (j && !j->gone)
		j = j->next;
	return j != NULL;
}

/* Settled and sent, or neither. */
static void settle_and_send(struct worker *w, struct outcome *o)
{
	struct settling entries = {.verb = VERB_SETTLE};
	struct slice target = slice_str(w->o->work.to);
	if (any_gone(&o->jobs)) {
		discard(w, o);
		return;
	}
	struct outcome *kept = keep(w, o);
	if (!kept)
		return;
	add_all(kept->part, &entries, &kept->jobs);
	sendbuf_seal(kept->batch, 0, 0, target, NO_TAGS);
	client_settle_send(kept->part->io.client, clock_mono(), kept->part->source.queue,
	    entries.entries, (uint32_t)entries.count, target,
	    w->o->no_create ? SEND_NO_CREATE : 0, sendbuf_batch(kept->batch), kept);
	free(entries.entries);
}

static void refused_output(
    struct worker *w, struct outcome *o, enum rmq_error code, struct slice text)
{
	if (code == RMQ_E_TOO_LARGE) {
		log_notice("%s: the output is a failure: %.*s", w->o->work.to, (int)text.len,
		    (const char *)text.data);
		fail(w, o);
		return;
	}
	/*
	 * There is no room, and the worker ends, or does now, as none came in time: nothing has
	 * come of them.
	 */
	if (code == RMQ_E_FULL || code == RMQ_E_DISK_FULL || code == RMQ_E_PAUSED) {
		if (!worker_is_told_to_end(w))
			worker_end_about(w, code, text, w->o->work.to);
		log_notice("%s: the output is not sent, its message goes back: %.*s",
		    w->o->work.to, (int)text.len, (const char *)text.data);
		o->verdict = WORK_RELEASE;
		verdict_act(w, o);
		return;
	}
	if (code != RMQ_E_STALE)
		worker_end_about(w, code, text, w->o->work.to);
	discard(w, o);
}

void verdict_act(struct worker *w, struct outcome *o)
{
	struct settling retry = {.verb = VERB_RELEASE};
	switch (o->verdict) {
	case WORK_DEAD:
		bury(w, o);
		return;
	case WORK_FAIL:
		fail(w, o);
		return;
	case WORK_RETRY:
		retry.ms = note(w, o);
		(void)settle_apart(o->part, &retry, &o->jobs, NULL);
		break;
	case WORK_SETTLE:
		if (o->batch) {
			settle_and_send(w, o);
			return;
		}
		(void)note(w, o);
		add_all(o->part, &o->part->settle, &o->jobs);
		break;
	case WORK_STOP:
	case WORK_RELEASE:
	case WORK_DISCARD:
		/* Of those that are discarded some may be held still. */
		(void)note(w, o);
		add_all(o->part, &o->part->release, &o->jobs);
		break;
	}
	conclude(w, o);
}

void verdict_free(struct outcome *o)
{
	let_go(o);
	free(o);
}

void verdict_done(struct worker *w, struct outcome *o)
{
	(void)note(w, o);
	conclude(w, o);
	verdict_free(o);
}

void verdict_refused(
    struct worker *w, struct outcome *o, enum rmq_error code, struct slice text)
{
	if (o->batch) {
		refused_output(w, o, code, text);
	} else {
		log_notice("%s: no dead letter could be made, it is a failure: %.*s",
		    o->part->source.shown, (int)text.len, (const char *)text.data);
		fail(w, o);
	}
	verdict_free(o);
}
