#include "metrics.h"

#include <stdlib.h>
#include <string.h>

#include "core/client/openmetrics.h"
#include "core/wire/event.h"

struct queue_row {
	struct wire_listed row; /* without its slices */
	uint64_t lost;
	uint64_t unfinished;
	uint64_t ids;
	uint64_t ids_early;
	uint64_t dropped[DROPPED_WHYS];
	struct more_settings more;
	size_t name_len;
	char name[NAME_FULL_MAX];
};

struct rows {
	struct queue_row *row;
	size_t count, cap;
	bool failed;
};

static void on_row(void *arg, const struct wire_listed *row)
{
	struct rows *rows = arg;
	if (rows->count == rows->cap) {
		size_t cap = rows->cap ? 2 * rows->cap : 64;
		struct queue_row *grown = realloc(rows->row, cap * sizeof(*grown));
		rows->failed |= !grown;
		if (!grown)
			return;
		rows->row = grown;
		rows->cap = cap;
	}
	struct queue_row *r = &rows->row[rows->count++];
	r->row = *row;
	r->lost = tags_find_u64(row->tags, LISTED_TAG_LOST);
	r->unfinished = tags_find_u64(row->tags, LISTED_TAG_UNFINISHED);
	r->ids = tags_find_u64(row->tags, LISTED_TAG_IDS);
	r->ids_early = tags_find_u64(row->tags, LISTED_TAG_IDS_EARLY);
	for (unsigned why = DROPPED_EXPIRED; why < DROPPED_WHYS; why++)
		r->dropped[why] = wire_listed_dropped(row->tags, why);
	if (more_settings_find(row->tags, LISTED_TAG_SETTINGS, &r->more))
		r->more = more_settings_default();
	r->name_len = row->queue.len < sizeof(r->name) ? row->queue.len : sizeof(r->name);
	memcpy(r->name, row->queue.data, r->name_len);
}

/* The name of a queue holds nothing that would have to be escaped. */
static void put_sample(struct text *out, const char *name, const struct queue_row *r,
    const char *label, const char *of, uint64_t n)
{
	text_put_str(out, name);
	text_put_str(out, "{queue=\"");
	text_put(out, r->name, r->name_len);
	if (label) {
		text_put_str(out, "\",");
		text_put_str(out, label);
		text_put_str(out, "=\"");
		text_put_str(out, of);
	}
	text_put_str(out, "\"} ");
	text_put_u64(out, n);
	text_put_char(out, '\n');
}

/* X(name, suffix of samples, type, unit, help, value) */
#define FAMILIES(X) \
	X("rmq_queue_bytes", "", "gauge", "bytes", \
	    "Size of all messages in the queue, with their attributes.", r->row.bytes) \
	X("rmq_queue_unfinished_bytes", "", "gauge", "bytes", \
	    "Bytes of large messages of which a part is still to come.", r->unfinished) \
	X("rmq_queue_ids", "", "gauge", "", "Ids of messages that are remembered.", r->ids) \
	X("rmq_queue_ids_early", "_total", "counter", "", \
	    "Ids that were forgotten before their time, for newer ones.", r->ids_early) \
	X("rmq_queue_receivers", "", "gauge", "", "Current subscriptions.", r->row.receivers) \
	X("rmq_queue_sent", "_total", "counter", "", "Messages sent.", r->row.sent) \
	X("rmq_queue_delivered", "_total", "counter", "", "Leases handed out.", \
	    r->row.delivered) \
	X("rmq_queue_settled", "_total", "counter", "", "Messages settled.", r->row.settled) \
	X("rmq_queue_failed", "_total", "counter", "", "Failures of messages.", r->row.failed) \
	X("rmq_queue_dead", "_total", "counter", "", "Messages that became dead letters.", \
	    r->row.dead) \
	X("rmq_queue_lost", "_total", "counter", "", \
	    "Messages set aside because their journal record could not be read.", r->lost)

static void put_dropped(struct text *out, const struct rows *rows)
{
	static const char *const reasons[DROPPED_WHYS] = {
#define X(code, NAME, word) [code] = word,
	    DROPPED(X)
#undef X
	};
	openmetrics_family(out, "rmq_queue_dropped", "counter", "",
	    "Messages that left the queue without being settled, by reason.");
	for (const struct queue_row *r = rows->row; r < rows->row + rows->count; r++)
		for (unsigned why = DROPPED_EXPIRED; why < DROPPED_WHYS; why++)
			put_sample(out, "rmq_queue_dropped_total", r, "reason", reasons[why],
			    r->dropped[why]);
}

static void put_part(struct text *out, const char *part, uint64_t n)
{
	text_put_str(out, "rmq_sandbox{part=\"");
	text_put_str(out, part);
	text_put_str(out, "\"} ");
	text_put_u64(out, n);
	text_put_char(out, '\n');
}

/* Older daemons do not tell. */
static void put_sandbox(struct text *out, uint64_t achieved)
{
	if (achieved == 0)
		return;
	openmetrics_family(out, "rmq_sandbox", "gauge", "",
	    "Sandbox of the queue daemon, by part: 1, or the version of Landlock; 0: not there.");
	put_part(out, "no_new_privs", (achieved & SANDBOX_NO_NEW_PRIVS) != 0);
	put_part(out, "landlock", achieved >> SANDBOX_LANDLOCK_FROM);
	put_part(out, "seccomp", (achieved & SANDBOX_SECCOMP) != 0);
}

static void put_all(struct text *out, const struct rows *rows)
{
	const struct queue_row *r, *end = rows->row + rows->count;
	static const char messages[] = "rmq_queue_messages", limit[] = "rmq_queue_max_bytes",
			  paused[] = "rmq_queue_paused";

	openmetrics_family(out, messages, "gauge", "", "Messages in the queue, by state.");
	for (r = rows->row; r < end; r++) {
		put_sample(out, messages, r, "state", "ready", r->row.ready);
		put_sample(out, messages, r, "state", "leased", r->row.leased);
		put_sample(out, messages, r, "state", "delayed", r->row.delayed);
	}
#define X(name, suffix, type, unit, help, value) \
	openmetrics_family(out, name, type, unit, help); \
	for (r = rows->row; r < end; r++) \
		put_sample(out, name suffix, r, NULL, NULL, value);
	FAMILIES(X)
#undef X
	put_dropped(out, rows);
	openmetrics_family(
	    out, limit, "gauge", "bytes", "Largest size of the queue, where it is set.");
	for (r = rows->row; r < end; r++)
		if (r->row.max_bytes > 0)
			put_sample(out, limit, r, NULL, NULL, r->row.max_bytes);
	openmetrics_family(
	    out, paused, "gauge", "", "1: the queue takes no messages in, or hands none out.");
	for (r = rows->row; r < end; r++) {
		put_sample(out, paused, r, "direction", "in", r->more.paused_in);
		put_sample(out, paused, r, "direction", "out", r->more.paused_out);
	}
}

enum rmq_error metrics_put(struct admin *a, struct text *out)
{
	struct rows rows = {0};
	a->row = on_row;
	a->arg = &rows;
	enum rmq_error err = admin_list(a, "*");
	if (!err) {
		put_all(out, &rows);
		put_sandbox(out, client_sandbox(a->io.client));
		openmetrics_end(out);
	}
	free(rows.row);
	if (rows.failed || out->failed)
		return admin_fail(a, RMQ_E_LIMIT, "out of memory");
	return err;
}
