#include "disk.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "node.h"
#include "state.h"
#include "sys/process/clock.h"
#include "sys/store/guard.h"
#include "sys/store/replica_log.h"

/* The queue daemon is told of room in steps: with less than this it may know of none. */
#define FULL_BYTES (512u << 10)

_Noreturn static void cannot_read(struct disk *d, uint64_t index, enum rmq_error err)
{
	/* What should be there is not. */
	if (err == RMQ_E_NOTHING)
		err = RMQ_E_CORRUPT;
	if (index)
		log_error("%s: record %" PRIu64 ": %s", d->directory, index, error_text(err));
	else
		log_error("%s: cannot read: %s", d->directory, error_text(err));
	cluster_die(d->cluster, error_exit(err));
}

/* What is wrong with the record alone. */
static bool is_bad(enum rmq_error err)
{
	return err == RMQ_E_CORRUPT || err == RMQ_E_VERSION;
}

static void read_begin(struct disk *d)
{
	guard_on();
	enum rmq_error err = store_reader_begin(d->reader);
	if (err)
		cannot_read(d, 0, err);
}

static void read_end(struct disk *d)
{
	store_reader_end(d->reader);
	guard_off();
}

/* ---- the journal ---- */

static bool take_stored(struct disk *d, struct slice payload)
{
	struct journal_txn_stored m;
	bool any = false;

	if (!journal_txn_stored_decode(payload, &m))
		return false;
	uint64_t now = clock_us();
	while (d->pending_count > 0 && d->pending[d->pending_first].seq <= m.seq) {
		store_times_add(&d->times, now - d->pending[d->pending_first].at_us);
		d->stored_bytes = d->pending[d->pending_first].bytes;
		d->stored = d->pending[d->pending_first++].last;
		d->pending_count--;
		any = true;
	}
	if (!any || m.seq <= d->base)
		return any;
	node_stored(d->cluster, m.seq - d->base);
	return true;
}

static void take_room(struct disk *d, uint64_t bytes)
{
	bool full = bytes < (d->full ? 2 * FULL_BYTES : FULL_BYTES);

	if (full && !d->full)
		log_notice("%s: disk is full: no room for new messages here", d->directory);
	else if (!full && d->full)
		log_notice("%s: there is room for new messages again", d->directory);
	if (full != d->full)
		cluster_changed(d->cluster);
	d->full = full;
	d->room = (struct disk_room){bytes, d->stored};
}

/* Counted from what is stored: the journal has said so before. */
static bool take_fits(struct disk *d, struct slice payload)
{
	struct journal_fits m;

	if (!journal_fits_decode(payload, &m))
		return false;
	d->fits = (struct intake_room){0, {m.small, m.ordinary, m.large}};
	d->fits_bytes = d->stored_bytes;
	return true;
}

struct intake_room disk_intake(const struct disk *d)
{
	struct intake_room room = d->fits;

	room.messages = d->room.bytes;
	return intake_room_less(room, d->sent_bytes - d->fits_bytes);
}

static bool on_frame(void *arg, const struct frame *f)
{
	struct disk *d = arg;
	struct journal_room room;

	switch (f->type) {
	case JOURNAL_TYPE_TXN_STORED:
		return take_stored(d, f->payload);
	case JOURNAL_TYPE_ROOM:
		if (!journal_room_decode(f->payload, &room))
			return false;
		take_room(d, room.bytes);
		return true;
	case JOURNAL_TYPE_FITS:
		return take_fits(d, f->payload);
	}
	return false;
}

static void on_lost(void *arg, int status, const char *why)
{
	struct disk *d = arg;

	if (why)
		log_error("%s: %s", d->directory, why);
	cluster_die(d->cluster, status);
}

int disk_open(
    struct disk *d, struct cluster *c, const char *directory, enum sandbox_mode sandbox)
{
	struct journal_link_host host = {.arg = d, .frame = on_frame, .lost = on_lost};
	struct child_spec spec = {.mask = &c->mask, .nofile = &c->nofile};
	struct journal_opened_info info;
	struct reason why = {""};

	d->cluster = c;
	d->fits = INTAKE_ENOUGH;
	snprintf(d->directory, sizeof(d->directory), "%s", directory);
	int status =
	    journal_link_spawn(&d->link, &host, sandbox_option(sandbox), directory, &spec);
	if (status == 0)
		status = journal_link_open(&d->link, true, &info);
	if (status != 0)
		return status;
	memcpy(d->directory, info.directory, sizeof(d->directory));
	guard_init("rmq-clusterd", d->directory);
	guard_on();
	enum rmq_error err = store_reader_open(d->directory, &d->reader, &why);
	guard_off();
	if (err) {
		log_error("%s: %s: %s", d->directory, error_text(err), why.text);
		return error_exit(err);
	}
	d->stored = info.last;
	d->mends = info.mends;
	d->ends = info.ends;
	return 0;
}

int disk_start(struct disk *d)
{
	store_watch_start(&d->watch, &d->cluster->loop, d->directory, d->reader);
	return journal_link_start(&d->link, &d->cluster->loop);
}

bool disk_idle(const struct disk *d)
{
	return d->pending_count == 0;
}

int disk_close(struct disk *d)
{
	int status = journal_link_close(&d->link);
	struct reason why;

	store_reader_close(d->reader);
	d->reader = NULL;
	free(d->pending);
	if (status == 0)
		return 0;
	journal_link_reason(&why, status);
	log_error("%s: %s", d->directory, why.text);
	return error_exit(RMQ_E_JOURNAL_LOST);
}

void disk_kill(struct disk *d)
{
	if (!journal_link_kill(&d->link))
		log_error("%s: %s", d->directory, JOURNAL_LINK_LINGERS);
}

/* ---- transactions ---- */

static void pending_push(struct disk *d, struct disk_transaction t)
{
	if (d->pending_first + d->pending_count == d->pending_cap) {
		if (d->pending_first > d->pending_count) {
			memmove(d->pending, d->pending + d->pending_first,
			    d->pending_count * sizeof(*d->pending));
		} else {
			struct disk_transaction *more;
			d->pending_cap = d->pending_cap ? 2 * d->pending_cap : 64;
			more = malloc(d->pending_cap * sizeof(*more));
			if (!more)
				abort();
			if (d->pending_count > 0)
				memcpy(more, d->pending + d->pending_first,
				    d->pending_count * sizeof(*more));
			free(d->pending);
			d->pending = more;
		}
		d->pending_first = 0;
	}
	d->pending[d->pending_first + d->pending_count++] = t;
}

void disk_store(struct disk *d, const struct raft_store *s, const struct piece *pieces)
{
	uint64_t seq = d->base + s->seq;
	uint64_t last = d->pending_count > 0
			    ? d->pending[d->pending_first + d->pending_count - 1].last
			    : d->stored;
	unsigned pieces_count = s->run_count + (s->mend != NULL);
	struct slice *payloads = calloc(pieces_count + 1, sizeof(*payloads));

	if (!payloads)
		abort();
	for (unsigned i = 0; i < pieces_count; i++)
		payloads[i] = pieces[i].bytes;
	for (unsigned i = 0; i < s->run_count; i++)
		if (s->runs[i].kind != RAFT_HOLE)
			d->sent_bytes += RECORD_HEADER_SIZE + s->runs[i].bytes;
	if (s->mend)
		d->sent_bytes += RECORD_HEADER_SIZE + s->mend->bytes;
	replica_log_store(&d->link, s, seq, payloads);
	free(payloads);
	pending_push(d, (struct disk_transaction){
			    seq, replica_log_last(last, s), d->sent_bytes, clock_us()});
}

/* ---- reading ---- */

void disk_begin(struct disk *d, struct raft_begin *b)
{
	uint64_t bad;
	bool replicated;

	assert(disk_idle(d));
	*b = (struct raft_begin){0};
	read_begin(d);
	enum rmq_error err = replica_log_begin(d->reader, b, &replicated, &bad);
	if (err)
		cannot_read(d, bad, err);
	read_end(d);
	d->alone = !replicated && b->last > 0;
	d->base += d->cluster->sent_seq;
}

enum rmq_error disk_read(
    struct disk *d, uint64_t index, uint32_t bytes, struct reads_records *out)
{
	static struct replica_log_runs found;
	uint64_t bad;

	assert(index <= d->stored);
	read_begin(d);
	enum rmq_error err = replica_log_read(d->reader, index, d->stored, bytes, &found, &bad);
	if (is_bad(err) && bad > 0 && node_lacks(d->cluster, bad)) {
		read_end(d);
		out->bad = bad;
		return RMQ_E_BUSY;
	}
	if (err)
		cannot_read(d, bad, err);
	/* What is given was verified: only looking for it goes through what may be garbled. */
	guard_off();
	out->count = found.count;
	memcpy(out->runs, found.runs, found.count * sizeof(*found.runs));
	for (unsigned i = 0; i < found.count; i++)
		out->pieces[i] = (struct piece){found.payloads[i], NULL};
	return RMQ_E_OK;
}

void disk_read_end(struct disk *d)
{
	store_reader_end(d->reader);
}

struct slice disk_raw(struct disk *d, uint64_t index)
{
	struct slice value;
	uint64_t found;

	read_begin(d);
	enum rmq_error err = store_reader_raw(d->reader, index, &found, &value);
	if (err && err != RMQ_E_NOTHING)
		cannot_read(d, index, err);
	guard_off();
	return err || found != index ? slice_of(NULL, 0) : value;
}

unsigned disk_marked(struct disk *d, uint64_t index)
{
	unsigned kind = 0;

	read_begin(d);
	enum rmq_error err = store_reader_marked(d->reader, index, &kind);
	if (err)
		cannot_read(d, index, err);
	read_end(d);
	return kind;
}

bool disk_is_bad(struct disk *d, uint64_t index)
{
	struct record_header h;
	struct slice payload, value = disk_raw(d, index);

	/* What is missing is not to be mended. */
	bool bad = value.len > 0 && record_open(value, index, &h, &payload);
	disk_read_end(d);
	return bad;
}

static void ends_begin(void *arg)
{
	read_begin(arg);
}

static enum rmq_error next_end(void *arg, uint64_t from, uint64_t *index, struct slice *payload)
{
	struct disk *d = arg;
	struct record_header h;

	enum rmq_error err = store_reader_checkpoint(d->reader, from, &h, payload);
	if (err && err != RMQ_E_NOTHING && !(is_bad(err) && h.index > 0))
		cannot_read(d, h.index, err);
	*index = err == RMQ_E_NOTHING ? 0 : h.index;
	return *index > 0 && err && node_wants(d->cluster, *index) ? RMQ_E_BUSY : err;
}

static uint64_t next_record(void *arg, uint64_t from)
{
	struct disk *d = arg;
	struct slice value;
	uint64_t index;
	enum rmq_error err = store_reader_raw(d->reader, from, &index, &value);

	if (err && err != RMQ_E_NOTHING)
		cannot_read(d, from, err);
	return err ? UINT64_MAX : index;
}

static void end_done(void *arg)
{
	read_end(arg);
}

static void bad_end(void *arg, uint64_t end, enum rmq_error err)
{
	struct disk *d = arg;

	log_error(
	    "%s: what record %" PRIu64 " says died: %s", d->directory, end, error_text(err));
}

struct ends_log disk_ends(struct disk *d)
{
	return (struct ends_log){d, ends_begin, next_end, next_record, end_done, bad_end};
}

void disk_reserve(struct disk *d, uint64_t bytes)
{
	uint8_t head[FRAME_HEADER_SIZE + 8];
	struct writer w = writer_of(head, sizeof(head));

	journal_put_reserve(&w, &(struct journal_reserve){bytes});
	journal_link_send(&d->link, head, w.len, slice_of(NULL, 0));
}

void disk_end(struct disk *d, enum raft_how how)
{
	uint8_t head[FRAME_HEADER_SIZE + 1];
	struct writer w = writer_of(head, sizeof(head));

	if (!d->ends)
		return;
	journal_put_ended(&w, &(struct journal_ended){(uint8_t)how});
	journal_link_send(&d->link, head, w.len, slice_of(NULL, 0));
}

bool disk_ended(struct disk *d, enum raft_how *how)
{
	read_begin(d);
	enum rmq_error err = store_reader_ended(d->reader, how);
	if (err && err != RMQ_E_NOTHING)
		cannot_read(d, 0, err);
	read_end(d);
	return !err;
}

uint64_t disk_state(struct disk *d, struct store_state *state)
{
	struct slice value;
	uint64_t index;

	read_begin(d);
	enum rmq_error err = store_reader_state(d->reader, state);
	if (err)
		cannot_read(d, 0, err);
	err = store_reader_raw(d->reader, 1, &index, &value);
	if (err && err != RMQ_E_NOTHING)
		cannot_read(d, 0, err);
	read_end(d);
	return err ? 0 : index;
}
