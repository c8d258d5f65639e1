#include "recovery.h"

#include "trace.h"

#include <assert.h>
#include <stdlib.h>

#define U(v) ((unsigned long long)(v))

static void none_append(void *arg, uint64_t n, enum record_kind kind, struct slice payload)
{
	(void)arg, (void)n, (void)kind, (void)payload;
	trace_fail("recovery appends");
}

static void none_id(void *arg, uint64_t id)
{
	(void)arg, (void)id;
	trace_fail("recovery asks for something");
}

static void none_hole(void *arg, uint64_t checkpoint, struct slice ranges)
{
	(void)arg, (void)checkpoint, (void)ranges;
	trace_fail("recovery makes holes");
}

static void none_send(void *arg, uint64_t conn, struct slice frames)
{
	(void)arg, (void)conn, (void)frames;
	trace_fail("recovery sends");
}

/* The log as if nothing had ever become a hole. */
static enum rmq_error whole_read(
    void *journal, uint64_t index, enum record_kind *kind, struct slice *payload)
{
	const struct jm_record *r = jm_read(journal, index);
	if (!r)
		return RMQ_E_NOTHING;
	*kind = r->kind;
	*payload = slice_of(r->payload, r->len);
	return RMQ_E_OK;
}

static enum rmq_error whole_next(void *journal, uint64_t index, uint64_t *found,
    enum record_kind *kind, struct slice *payload)
{
	*found = index;
	return whole_read(journal, index, kind, payload);
}

static void add_use(
    void *arg, struct slice queue, uint64_t messages, uint64_t bytes, uint64_t disk)
{
	if (messages == 0 && (bytes > 0 || disk > 0))
		trace_fail("%.*s: is empty and takes %llu bytes, %llu on disk", (int)queue.len,
		    (const char *)queue.data, U(bytes), U(disk));
	*(uint64_t *)arg += disk;
}

/* What the queues take of the disk is not more than what was ever written. */
static void check_use(struct broker *b, struct journal_model *j, uint64_t last)
{
	uint64_t used = 0, written = 0;
	broker_use(b, add_use, &used);
	for (uint64_t i = 1; i <= last; i++) {
		const struct jm_record *r = jm_read(j, i);
		written += r ? RECORD_HEADER_SIZE + r->len : 0;
	}
	if (used > written)
		trace_fail("queues take %llu bytes of %llu", U(used), U(written));
}

enum rmq_error recovery_read(
    struct broker *b, struct journal_model *j, uint64_t end, uint64_t last, uint64_t *at)
{
	struct broker_log log = {j, jm_log_read, jm_log_next};
	return broker_recover(b, &log, end, last, at);
}

uint64_t recovery_digest(struct journal_model *j, uint64_t end, uint64_t last, bool whole)
{
	struct broker_host host = {
	    NULL, none_append, none_id, none_hole, none_id, none_send, none_id, none_id};
	struct broker_log log = {j, whole_read, whole_next};
	struct broker *b = broker_new(&host);
	uint64_t at = 0;
	assert(b);
	enum rmq_error err =
	    whole ? broker_recover(b, &log, 0, last, &at) : recovery_read(b, j, end, last, &at);
	if (err)
		trace_fail("%s: record %llu: %s", whole ? "replay of everything" : "recovery",
		    U(at), error_text(err));
	if (whole)
		check_use(b, j, last);
	uint64_t digest = broker_digest(b);
	broker_free(b);
	return digest;
}
