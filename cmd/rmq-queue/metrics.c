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
	struct slice cell; /* empty: there is only one */
	size_t name_len;
	char name[NAME_FULL_MAX];
};

struct rows {
	const struct admin *admin;
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
	r->cell = rows->admin->cell;
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

static void put_label(struct text *out, const char *name, struct slice value)
{
	text_put_str(out, name);
	text_put_str(out, "=\"");
	text_put_slice(out, value);
}

/* Names of queues and cells hold nothing that would have to be escaped. */
static void put_sample(struct text *out, const char *name, const struct queue_row *r,
    const char *label, const char *of, uint64_t n)
{
	text_put_str(out, name);
	text_put_char(out, '{');
	if (r->cell.len > 0) {
		put_label(out, "cell", r->cell);
		text_put_str(out, "\",");
	}
	put_label(out, "queue", slice_of(r->name, r->name_len));
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

static void put_part(struct text *out, struct slice cell, const char *part, uint64_t n)
{
	text_put_str(out, "rmq_sandbox{");
	if (cell.len > 0) {
		put_label(out, "cell", cell);
		text_put_str(out, "\",");
	}
	put_label(out, "part", slice_str(part));
	text_put_str(out, "\"} ");
	text_put_u64(out, n);
	text_put_char(out, '\n');
}

static void put_parts(struct text *out, struct slice cell, uint64_t achieved)
{
	if (achieved == 0)
		return;
	put_part(out, cell, "no_new_privs", (achieved & SANDBOX_NO_NEW_PRIVS) != 0);
	put_part(out, cell, "landlock", achieved >> SANDBOX_LANDLOCK_FROM);
	put_part(out, cell, "seccomp", (achieved & SANDBOX_SECCOMP) != 0);
}

/* Older daemons do not tell. */
static void put_sandbox(struct text *out, const struct cells_asked *c)
{
	bool told = !cells_several(c) && client_sandbox(c->main->io.client) > 0;
	for (uint32_t i = 0; cells_several(c) && i < c->list->count; i++)
		told |= c->up[i] && client_sandbox(c->admins[i].io.client) > 0;
	if (!told)
		return;
	openmetrics_family(out, "rmq_sandbox", "gauge", "",
	    "Sandbox of the queue daemon, by part: 1, or the version of Landlock; 0: not there.");
	if (!cells_several(c))
		put_parts(out, slice_of("", 0), client_sandbox(c->main->io.client));
	for (uint32_t i = 0; cells_several(c) && i < c->list->count; i++)
		if (c->up[i])
			put_parts(out, cells_name(c->list, i),
			    client_sandbox(c->admins[i].io.client));
}

static void put_cells(struct text *out, const struct cells_asked *c)
{
	if (!cells_several(c))
		return;
	openmetrics_family(
	    out, "rmq_cell_up", "gauge", "", "1: the cell has told all its queues.");
	for (uint32_t i = 0; i < c->list->count; i++) {
		if (!cells_known(c, i))
			continue;
		text_put_str(out, "rmq_cell_up{");
		put_label(out, "cell", cells_name(c->list, i));
		text_put_str(out, c->up[i] ? "\"} 1\n" : "\"} 0\n");
	}
}

static void put_of_cell(struct text *out, const char *name, struct slice cell, uint64_t n)
{
	text_put_str(out, name);
	text_put_char(out, '{');
	put_label(out, "cell", cell);
	text_put_str(out, "\"} ");
	text_put_u64(out, n);
	text_put_char(out, '\n');
}

/* No queue has them, but the disk. */
static void put_copies(struct text *out, const struct cells_asked *c)
{
	static const char count[] = "rmq_copies", bytes[] = "rmq_copies_bytes";
	if (!cells_several(c))
		return;
	openmetrics_family(out, count, "gauge", "",
	    "Copies of queues that move here and have not come whole.");
	for (uint32_t i = 0; i < c->list->count; i++)
		if (c->up[i])
			put_of_cell(out, count, cells_name(c->list, i),
			    client_copies(c->admins[i].io.client).count);
	openmetrics_family(out, bytes, "gauge", "bytes", "Size of these copies.");
	for (uint32_t i = 0; i < c->list->count; i++)
		if (c->up[i])
			put_of_cell(out, bytes, cells_name(c->list, i),
			    client_copies(c->admins[i].io.client).bytes);
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

enum rmq_error metrics_put(struct cells_asked *c, struct text *out)
{
	struct admin *a = c->main;
	struct rows rows = {.admin = a};
	a->row = on_row;
	a->arg = &rows;
	enum rmq_error err = cells_meet(c, CLIENT_FOREVER);
	if (!err)
		err = cells_rows(c, "*");
	if (!err) {
		put_all(out, &rows);
		put_sandbox(out, c);
		put_cells(out, c);
		put_copies(out, c);
		openmetrics_end(out);
	}
	free(rows.row);
	if (rows.failed || out->failed)
		return admin_fail(a, RMQ_E_LIMIT, "out of memory");
	return err;
}
