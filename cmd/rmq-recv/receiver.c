#include "receiver.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/units.h"
#include "core/wire/receipt.h"
#include "into.h"
#include "source.h"
#include "sys/process/clock.h"
#include "sys/process/signals.h"

#define WINDOW		 16 /* settlements in flight */
#define PREFETCH_MIN	 8
#define PREFETCH_GROWTH	 8
#define PREFETCH_MAX	 32768
#define BLOCKED_MS	 50 /* output that takes nothing for so long is slow */
#define READ_POLL_MAX_MS 128
#define READER_WAIT_MS	 500 /* for a reader that takes nothing, at the end */
#define RELEASE_MAX_MS	 10000

/* ---- errors ---- */

static void end_with(struct receiver *r, enum rmq_error code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static void end_with(struct receiver *r, enum rmq_error code, const char *format, ...)
{
	va_list ap;
	if (r->code)
		return;
	r->code = code;
	va_start(ap, format);
	vsnprintf(r->why, sizeof(r->why), format, ap);
	va_end(ap);
}

static void end_memory(struct receiver *r)
{
	end_with(r, RMQ_E_LIMIT, "out of memory");
	r->phase = DEAD;
}

/* ---- settling ---- */

static void settle(
    struct receiver *r, struct settling *b, uint64_t lease, uint64_t first, uint32_t count)
{
	if (!settling_add(b, lease, first, count))
		end_memory(r);
}

static void flush_settling(struct receiver *r)
{
	struct settling *all[] = {&r->settle, &r->touch, &r->fail, &r->bury, &r->release};
	struct mono_time now = clock_mono();
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		/* Only the last command of a batch says that it is done. */
		void *tag = all[i] == r->ahead ? (void *)(uintptr_t)r->batch : NULL;
		all[i]->ms = all[i]->verb == VERB_TOUCH ? r->lease_ms : 0;
		/* Messages that come from here on are named by a later command. */
		if (all[i]->count > 0 &&
		    settling_flush(all[i], r->io.client, r->source.queue, now, tag) && tag)
			r->batch++;
	}
}

/* Whether a message is in hand until the reader has taken it out of the pipe. */
static bool watches_reader(const struct receiver *r)
{
	return r->o->ack == ACK_READ || (r->o->ack == ACK_MANUAL && r->out.kind == OUTPUT_PIPE);
}

/* So many messages of the first segments are printed for good, or taken by the reader. */
static void acknowledge(struct receiver *r)
{
	struct segment *s;
	bool read = watches_reader(r);
	if (r->o->ack == ACK_NONE || (r->o->ack == ACK_SYNC && r->synced != SYNCED))
		return;
	while ((s = r->in_hand.head)) {
		uint32_t upto = read ? segment_taken(s, r->consumed) : segment_whole(s);
		bool all = upto == s->count && s != r->in_hand.printing;
		if (read)
			r->kept_up += upto - s->settled;
		if (r->o->ack != ACK_MANUAL)
			settle(
			    r, &r->settle, s->lease, s->first + s->settled, upto - s->settled);
		segments_settled(&r->in_hand, s, upto);
		if (!all)
			break;
	}
}

static void look_at_reader(struct receiver *r)
{
	if (!watches_reader(r))
		return;
	uint64_t consumed = output_consumed(&r->out);
	if (consumed <= r->consumed) {
		if (r->read_poll_ms < READ_POLL_MAX_MS)
			r->read_poll_ms *= 2;
		return;
	}
	r->consumed = consumed;
	r->consumed_at = clock_mono();
	r->read_poll_ms = 1;
}

/* ---- printing ---- */

static void enter(struct receiver *r, enum phase phase)
{
	if (phase <= r->phase)
		return;
	r->phase = phase;
	r->phase_at = clock_mono();
	if (r->supply == SUPPLY_ENDED)
		return;
	/* All that was asked for has come: there is nothing to be called off. */
	if (phase == ENDING && client_credit_messages(r->io.client, r->sub) == 0)
		supply_note(&r->supply, SUPPLY_ENDED);
	else
		client_unsubscribe(r->io.client, r->sub);
}

/* The output has failed, perhaps in the middle of a message.  Whether a part of it stays. */
static bool leaves_torn(struct receiver *r, const struct segment *s)
{
	int separator = r->o->format == FORMAT_RAW ? -1 : (unsigned char)r->o->separator;
	return output_leaves_torn(&r->out, segment_torn(s), separator);
}

static void end_output(struct receiver *r, int error, bool torn)
{
	if (error == EPIPE) {
		r->flow = FLOW_UNREAD;
		r->signal = SIGPIPE;
	} else {
		end_with(r, RMQ_E_IO, "standard output: %s%s", strerror(error),
		    torn ? "; it ends with a part of a message" : "");
	}
	enter(r, RELEASING);
}

/* A sync that failed is not repeated: the next one would not tell of what was lost. */
static void sync_output(struct receiver *r)
{
	if (r->o->ack != ACK_SYNC || r->synced != UNSYNCED)
		return;
	if (fdatasync(r->out.fd) == 0) {
		r->synced = SYNCED;
		return;
	}
	r->synced = SYNC_FAILED;
	end_output(r, errno, false);
}

/* Whether the segment's next byte may be printed now. */
static bool may_print(const struct receiver *r, const struct segment *s, struct mono_time now)
{
	if (r->phase >= RELEASING)
		return false;
	/* What has begun is ended: half a message is of no use to anyone. */
	if (segment_torn(s) > 0)
		return true;
	if (r->phase == STOPPING)
		return false;
	if (r->ahead && (s->batch == 0 || s->batch > r->batches_done))
		return false;
	if (r->o->ack == ACK_NONE)
		return true;
	uint64_t seq = s->first + segment_whole(s);
	return s->size == 0 || client_vouches(r->io.client, s->lease, seq, now);
}

/*
 * Says which messages this print may put before the reader, and before it does: the end of
 * their lease is a failure from then on, that of the others is not.
 */
static void say_started(struct receiver *r, struct segment *s, size_t len)
{
	size_t end = s->printed + output_room(&r->out, len);
	uint32_t from = s->started < s->count ? s->started : s->count, upto = from;
	if (r->o->ack == ACK_NONE || end == s->printed)
		return;
	while (upto < s->count && (upto == 0 || s->ends[upto - 1] < end))
		upto++;
	if (upto == from)
		return;
	s->started = upto;
	client_started(r->io.client, r->source.queue, s->lease, s->first + from, upto - from);
	client_io_flush(&r->io);
}

/* Prints from the segment's bytes, or from `bytes` if they are not its own yet. */
static bool print(
    struct receiver *r, struct segment *s, const char *bytes, struct mono_time now)
{
	int error;
	size_t len = s->size - s->printed;
	if (s->printed == 0)
		s->at = r->out.written;
	if (r->phase == STOPPING)
		len = s->ends[segment_whole(s)] - s->printed;
	uint32_t whole = segment_whole(s);
	say_started(r, s, len);
	size_t n = output_write(&r->out, bytes, len, &error);
	bool all = n == len;
	if (n > 0) {
		r->synced = UNSYNCED;
		r->flow = FLOW_READY;
		r->read_poll_ms = 1;
	}
	if (error == EAGAIN && r->flow == FLOW_READY) {
		r->flow = FLOW_BLOCKED;
		r->blocked_since = now;
	}
	if (!watches_reader(r))
		r->kept_up += (s->printed + n == s->size ? s->count : whole) - whole;
	segments_printed(&r->in_hand, s, n);
	if (error && error != EAGAIN)
		end_output(r, error, leaves_torn(r, s));
	return all;
}

/*
 * What must be durable before the print is asked for, as long as the output takes
 * something: what waits behind one that does not goes on being extended.
 */
static void send_ahead(struct receiver *r)
{
	struct segment *s, *next;
	if (!r->ahead || r->flow == FLOW_BLOCKED || r->phase > ENDING)
		return;
	for (s = r->in_hand.printing; s; s = next) {
		next = s->next;
		if (s->batch > 0)
			continue;
		s->batch = r->batch;
		settle(r, r->ahead, s->lease, s->first, s->count);
		if (r->o->ack == ACK_NONE)
			segments_settled(&r->in_hand, s, s->count);
	}
}

/*
 * --ack manual: a lease runs by itself from the print on, but not while the reader has not even
 * taken the message.  Milliseconds until those are named again; UNITS_INFINITY: none is there.
 */
static uint64_t touch_due_ms(const struct receiver *r, struct mono_time now)
{
	uint64_t due = r->touched_at.ms + r->lease_ms / 3;
	if (r->ahead != &r->touch || !r->in_hand.head || r->phase > ENDING)
		return UNITS_INFINITY;
	return due > now.ms ? due - now.ms : 0;
}

static void touch_untaken(struct receiver *r)
{
	struct mono_time now = clock_mono();
	if (touch_due_ms(r, now) > 0)
		return;
	r->touched_at = now;
	for (struct segment *s = r->in_hand.head; s; s = s->next) {
		if (s->batch == 0 || s->batch > r->batches_done)
			continue;
		/* What is left of it to be printed waits for this one. */
		s->batch = r->batch;
		settle(r, r->ahead, s->lease, s->first + s->settled, s->count - s->settled);
	}
}

static void print_all(struct receiver *r)
{
	struct segment *s;
	struct mono_time now = clock_mono();
	while ((s = r->in_hand.printing) && may_print(r, s, now)) {
		const char *from = s->bytes ? s->bytes + (s->printed - s->bytes_from) : "";
		if (!print(r, s, from, now))
			return;
	}
	send_ahead(r);
}

/* A segment whose bytes are borrowed: printed at once if it is its turn, else copied. */
static void offer(struct receiver *r, struct segment *s, const void *bytes)
{
	struct mono_time now = clock_mono();
	r->taken += s->count;
	if (r->in_hand.printing == s && r->flow == FLOW_READY && may_print(r, s, now) &&
	    print(r, s, bytes, now))
		return;
	if (!segment_keep(s, bytes))
		end_memory(r);
}

/* ---- formatting ---- */

/*
 * Whether the blob can be printed as it is: each message is followed by the separator
 * that is wanted, and none holds it.  A function of its own: its loop wants the registers.
 */
__attribute__((noinline)) static bool is_plain(
    const struct receiver *r, const struct client_delivery *d)
{
	if (r->o->format != FORMAT_LINES || !d->ends)
		return false;
	const uint8_t *blob = d->blob.data, *p = blob, *end = blob + d->blob.len;
	const uint8_t *ends = d->ends, *ends_end = ends + 2 * (size_t)d->count;
	const uint32_t base = d->base;
	int separator = (unsigned char)r->o->separator;
	for (; ends < ends_end; ends += 2) {
		const uint8_t *sep = memchr(p, separator, (size_t)(end - p));
		if (!sep || sep + 1 != blob + (load_u16(ends) - base))
			return false;
		p = sep + 1;
	}
	return true;
}

/* Whether the message can be printed so that its end can be told. */
static bool is_printable(const struct receiver *r, struct slice body)
{
	bool shown = r->o->format == FORMAT_LINES ||
		     (r->o->format == FORMAT_FIELDS && r->o->fields.body);
	return !shown || body.len == 0 || !memchr(body.data, r->o->separator, body.len);
}

static void put_path(struct text *t, const char *dir, const struct envelope *e)
{
	char id[RECEIPT_MAX];
	text_put_str(t, dir);
	text_put_char(t, '/');
	text_put(t, id, receipt_print_id(id, e->queue, e->seq));
}

static void format(struct receiver *r, const struct client_delivery *d, uint32_t i)
{
	struct text *t = &r->formatted;
	struct envelope e = envelope_of(d, r->source.queue, i, &r->cursors);
	switch (r->o->format) {
	case FORMAT_RAW:
		text_put_slice(t, e.body);
		return;
	case FORMAT_INTO:
		put_path(t, r->o->into, &e);
		break;
	case FORMAT_LINES:
		text_put_slice(t, e.body);
		break;
	case FORMAT_JSON:
	case FORMAT_FIELDS:
		e.until.ms = clock_wall().ms + r->lease_ms;
		if (r->o->format == FORMAT_JSON)
			envelope_put_json(t, &e);
		else
			envelope_put_fields(t, &e, &r->o->fields);
	}
	text_put_char(t, r->o->separator);
}

/* --into: they are files before anything else.  False: it ends here, and they go back. */
static bool store(
    struct receiver *r, const struct client_delivery *d, uint32_t from, uint32_t to)
{
	if (r->o->format != FORMAT_INTO)
		return true;
	char id[RECEIPT_MAX];
	uint32_t at = from;
	int error = into_store(r->o->into_fd, r->source.queue, d, from, to, &at);
	if (error == 0)
		return true;
	settle(r, &r->release, d->lease, d->first_seq + from, to - from);
	receipt_print_id(id, r->source.queue, d->first_seq + at);
	if (error == EEXIST)
		end_with(r, RMQ_E_EXISTS, "%s/%s: %s: move that file away", r->o->into, id,
		    error_text(RMQ_E_EXISTS));
	else
		end_with(r, RMQ_E_IO, "%s: %s", r->o->into, strerror(error));
	return false;
}

/* Messages [from, to) of the delivery as one segment. */
static void take_formatted(
    struct receiver *r, const struct client_delivery *d, uint32_t from, uint32_t to)
{
	if (from == to || !store(r, d, from, to))
		return;
	r->formatted.len = 0;
	struct segment *s =
	    segments_add(&r->in_hand, d->lease, d->first_seq + from, to - from, 0);
	if (!s) {
		end_memory(r);
		return;
	}
	for (uint32_t i = from; i < to; i++) {
		format(r, d, i);
		s->ends[i - from] = (uint32_t)r->formatted.len;
	}
	s->size = r->formatted.len;
	r->in_hand.bytes += s->size;
	if (r->formatted.failed)
		end_memory(r);
	else
		offer(r, s, r->formatted.data);
}

static void take_plain(struct receiver *r, const struct client_delivery *d)
{
	struct segment *s =
	    segments_add(&r->in_hand, d->lease, d->first_seq, d->count, d->blob.len);
	if (!s) {
		end_memory(r);
		return;
	}
	for (uint32_t i = 0; i < d->count; i++)
		s->ends[i] = load_u16(d->ends + 2 * (size_t)i) - d->base;
	offer(r, s, d->blob.data);
}

/* Message i cannot be printed; false: it ends here. */
static bool take_bad(struct receiver *r, const struct client_delivery *d, uint32_t i)
{
	unsigned long long seq = d->first_seq + i;
	if (r->o->skip_bad) {
		settle(r, &r->bury, d->lease, seq, 1);
		r->bad++;
		if (!r->o->common.quiet)
			fprintf(stderr, "rmq-recv: %s: message %llu holds the separator\n",
			    r->o->queue, seq);
		return true;
	}
	settle(r, &r->fail, d->lease, seq, 1);
	settle(r, &r->release, d->lease, seq + 1, d->count - i - 1);
	end_with(
	    r, RMQ_E_BAD_DATA, "message %llu holds the separator (use -0, -j or --raw)", seq);
	return false;
}

static void take(struct receiver *r, const struct client_delivery *d)
{
	uint32_t from = 0;
	if (is_plain(r, d)) {
		take_plain(r, d);
		return;
	}
	for (uint32_t i = 0; i < d->count; i++) {
		if (is_printable(r, client_body(d, i)))
			continue;
		take_formatted(r, d, from, i);
		from = i + 1;
		if (!take_bad(r, d, i))
			return;
	}
	take_formatted(r, d, from, d->count);
}

/* ---- what the client says ---- */

static void on_deliver(void *arg, const struct client_delivery *d)
{
	struct receiver *r = arg;
	struct client_delivery part = *d;
	uint64_t wanted =
	    r->o->end.count == UINT64_MAX ? UINT64_MAX : r->o->end.count - r->taken;
	r->heard = clock_mono();
	supply_note(&r->supply, SUPPLY_UNKNOWN);
	if (r->phase != RUNNING || r->code)
		wanted = 0;
	if (wanted < d->count) {
		uint32_t keep = (uint32_t)wanted;
		settle(r, &r->release, d->lease, d->first_seq + keep, d->count - keep);
		part.count = keep;
		if (d->ends && keep > 0)
			part.blob.len = load_u16(d->ends + 2 * (size_t)(keep - 1)) - d->base;
	}
	if (part.count > 0)
		take(r, &part);
}

static void on_lease_ended(
    void *arg, uint32_t sub, enum lease_end why, uint64_t lease, uint64_t first, uint32_t count)
{
	struct receiver *r = arg;
	(void)sub;
	uint32_t gone = segments_cut(&r->in_hand, lease, first, count);
	if (gone == UINT32_MAX) {
		end_memory(r);
		return;
	}
	r->taken -= gone;
	if (r->o->ack == ACK_MANUAL && why == ENDED_EXPIRED && !r->told_late) {
		r->told_late = true;
		if (!r->o->common.quiet)
			fprintf(stderr,
			    "rmq-recv: %s: leases end before their messages are settled: the work "
			    "takes longer than --lease, or a filter before rmq-ack holds receipts "
			    "back\n",
			    r->o->queue);
	}
	if (r->o->common.verbose && why != ENDED_SETTLED && why != ENDED_RELEASED &&
	    why != ENDED_DEAD)
		fprintf(stderr, "rmq-recv: %s: lease %llu of %u messages has ended\n",
		    r->o->queue, (unsigned long long)lease, count);
}

static void on_done(void *arg, const struct client_command *cmd, struct slice stale)
{
	struct receiver *r = arg;
	struct reader in = reader_of(stale);
	while (reader_left(&in) > 0) {
		struct settle_entry e = settle_entry_get(&in);
		/* Settled before printing, and someone else's: not to be printed. */
		if (r->ahead == &r->settle)
			on_lease_ended(r, 0, ENDED_EXPIRED, e.lease, e.first, e.count);
	}
	if ((uintptr_t)cmd->tag > r->batches_done)
		r->batches_done = (uintptr_t)cmd->tag;
}

static enum client_verdict on_failed(void *arg, const struct client_command *cmd,
    enum rmq_error code, uint32_t at, struct slice text)
{
	struct receiver *r = arg;
	(void)cmd, (void)at;
	/* A queue that is gone has nothing to be settled. */
	if (code != RMQ_E_NO_QUEUE && r->phase < RELEASING)
		end_with(r, code, "%.*s", (int)text.len, (const char *)text.data);
	return CLIENT_DROP;
}

static void on_subscribed(void *arg, uint32_t sub, uint32_t lease_ms)
{
	struct receiver *r = arg;
	source_subscribed(&r->source, r->io.client, sub);
	supply_note(&r->supply, SUPPLY_UNKNOWN);
	r->lease_ms = lease_ms;
	r->heard = r->touched_at = clock_mono();
}

static void on_sub_failed(void *arg, uint32_t sub, enum rmq_error code, struct slice text)
{
	struct receiver *r = arg;
	(void)sub;
	supply_note(&r->supply, SUPPLY_ENDED);
	end_with(r, code, "%.*s", (int)text.len, (const char *)text.data);
}

static void on_idle(void *arg, uint32_t sub, uint64_t leased, uint64_t delayed)
{
	struct receiver *r = arg;
	(void)sub;
	supply_note(&r->supply, leased == 0 && delayed == 0 ? SUPPLY_DRAINED : SUPPLY_IDLE);
}

static void on_held_back(void *arg, uint32_t sub)
{
	struct receiver *r = arg;
	(void)sub;
	supply_note(&r->supply, SUPPLY_HELD_BACK);
}

static void on_unsubscribed(void *arg, uint32_t sub)
{
	struct receiver *r = arg;
	(void)sub;
	supply_note(&r->supply, SUPPLY_ENDED);
}

static void on_fatal(void *arg, enum rmq_error code, struct slice text)
{
	struct receiver *r = arg;
	char why[CLIENT_IO_WHY_MAX];
	bool parting = r->phase == PARTING;
	r->phase = DEAD;
	/* All that was asked for is done: what may be leased still comes back in its time. */
	if (parting)
		return;
	text = client_io_why(&r->io, code, text, why);
	end_with(r, code, "%.*s", (int)text.len, (const char *)text.data);
}

/* ---- credit ---- */

static uint64_t held(const struct receiver *r)
{
	/* With manual settling also what is printed and not settled yet. */
	return r->o->ack == ACK_MANUAL ? client_held(r->io.client) : r->in_hand.messages;
}

static void adapt_prefetch(struct receiver *r)
{
	if (r->o->prefetch > 0)
		return;
	if (r->flow == FLOW_BLOCKED && clock_mono().ms - r->blocked_since.ms >= BLOCKED_MS) {
		r->prefetch = PREFETCH_MIN;
		r->kept_up = 0;
	} else if (r->kept_up >= r->prefetch && r->prefetch < PREFETCH_MAX) {
		r->prefetch *= PREFETCH_GROWTH;
		r->kept_up = 0;
	}
}

static bool nothing_in_hand(const struct receiver *r)
{
	return r->in_hand.head == NULL && client_unanswered(r->io.client) == 0 &&
	       r->settle.count + r->touch.count + r->fail.count + r->bury.count +
		       r->release.count ==
		   0;
}

static struct supply_view view(const struct receiver *r, struct mono_time now)
{
	return (struct supply_view){.supply = r->supply,
	    .taken = r->taken,
	    .quiet_ms = now.ms - r->heard.ms,
	    .nothing_in_hand = nothing_in_hand(r),
	    .full = r->o->ack == ACK_MANUAL && r->supply != SUPPLY_ENDED &&
		    client_credit_messages(r->io.client, r->sub) == 0,
	    .welcomed = client_welcomed(r->io.client)};
}

static void give_credit(struct receiver *r)
{
	uint32_t messages, bytes;
	if (r->phase != RUNNING || r->code || r->supply == SUPPLY_ENDED)
		return;
	adapt_prefetch(r);
	struct supply_view here = view(r, clock_mono());
	struct supply_stock stock = {.target = r->prefetch,
	    .held = held(r),
	    .bytes = r->in_hand.bytes,
	    .given = client_credit_messages(r->io.client, r->sub),
	    .given_bytes = client_credit_bytes(r->io.client, r->sub)};
	if (supply_credit(&r->o->end, &here, &stock, &r->supply, &messages, &bytes))
		client_credit(r->io.client, r->sub, messages, bytes);
}

/* ---- phases ---- */

/* RUNNING: whether no more messages are to be taken. */
static bool is_over(const struct receiver *r, struct mono_time now)
{
	struct supply_view v = view(r, now);
	return r->code || supply_is_over(&r->o->end, &v);
}

/* ENDING: what came before a bad message is printed, in other cases nothing more. */
static bool is_cut_short(const struct receiver *r, struct mono_time now)
{
	(void)now;
	return r->code && error_exit(r->code) != error_exit(RMQ_E_BAD_DATA);
}

/* STOPPING: whether the reader is given no more time to take what is printed. */
static bool reader_had_its_time(const struct receiver *r, struct mono_time now)
{
	uint64_t since =
	    r->consumed_at.ms > r->phase_at.ms ? r->consumed_at.ms : r->phase_at.ms;
	const struct segment *head = r->in_hand.head, *printing = r->in_hand.printing;
	bool torn = printing && segment_torn(printing) > 0;
	bool unread = r->o->ack == ACK_READ && head && head->settled < segment_whole(head);
	return !(torn || unread) || now.ms - since >= READER_WAIT_MS;
}

/*
 * Gives back what is in hand, uncounted.  With manual settling a reader that is still there
 * will settle what is printed.
 */
static void release_all(struct receiver *r)
{
	bool keeps = r->o->ack == ACK_MANUAL && r->flow != FLOW_UNREAD;
	for (struct segment *s = r->in_hand.head; s; s = s->next) {
		uint32_t from = keeps ? segment_whole(s) : s->settled;
		settle(r, &r->release, s->lease, s->first + from, s->count - from);
	}
	segments_deinit(&r->in_hand);
	flush_settling(r);
}

static void on_signal(struct receiver *r)
{
	int signal = signals_caught();
	r->signalled = true;
	if (signal != SIGTERM || !supply_for_ever(&r->o->end))
		r->signal = signal;
	enter(r, STOPPING);
}

static bool is_done(const struct receiver *r)
{
	return r->phase != RUNNING && r->supply == SUPPLY_ENDED && nothing_in_hand(r);
}

/*
 * Moves on to the next phase if it is time; true: all is done.  A signal leads to STOPPING at once,
 * an output that fails to RELEASING.
 */
static bool advance(struct receiver *r)
{
	static const struct {
		enum phase from;
		bool (*due)(const struct receiver *r, struct mono_time now);
		enum phase to;
	} transitions[] = {
	    {RUNNING, is_over, ENDING},
	    {ENDING, is_cut_short, STOPPING},
	    {STOPPING, reader_had_its_time, RELEASING},
	};
	struct mono_time now = clock_mono();
	for (size_t i = 0; i < sizeof(transitions) / sizeof(transitions[0]); i++)
		if (r->phase == transitions[i].from && transitions[i].due(r, now))
			enter(r, transitions[i].to);
	if (r->phase == DEAD)
		return true;
	if (r->phase == RELEASING) {
		release_all(r);
		/* Leases that cannot be given back run out by themselves. */
		if (!client_welcomed(r->io.client) || now.ms - r->phase_at.ms >= RELEASE_MAX_MS)
			return true;
	}
	return is_done(r);
}

/* ---- the loop ---- */

static int next_timer(struct receiver *r, int timeout_ms)
{
	struct mono_time now = clock_mono();
	const struct segment *head = r->in_hand.head;
	/* Without a connection, the subscription's end is told before the wait. */
	if (is_done(r))
		return 0;
	timeout_ms = client_io_sooner(timeout_ms, touch_due_ms(r, now));
	if (watches_reader(r) && head && head->settled < segment_whole(head))
		timeout_ms = client_io_sooner(timeout_ms, r->read_poll_ms);
	if (r->phase == STOPPING)
		timeout_ms = client_io_sooner(timeout_ms, READER_WAIT_MS / 10);
	if (r->phase == RELEASING)
		timeout_ms = client_io_sooner(timeout_ms, RELEASE_MAX_MS);
	struct supply_view v = view(r, now);
	if (r->phase == RUNNING)
		timeout_ms = client_io_sooner(
		    timeout_ms, supply_tick(&r->o->end, &v, r->o->queue, &r->said_held_back));
	return timeout_ms;
}

static void turn(struct receiver *r)
{
	int timeout_ms;
	struct pollfd p[3] = {client_io_prepare(&r->io, &timeout_ms)};
	bool printing = r->in_hand.printing && r->flow == FLOW_BLOCKED;
	bool watched = output_notices_close(&r->out) && r->phase < RELEASING;
	p[1] = (struct pollfd){watched ? r->out.fd : -1, printing ? POLLOUT : 0, 0};
	p[2] = (struct pollfd){r->signalled ? -1 : signals_fd(), POLLIN, 0};
	if (poll(p, 3, next_timer(r, timeout_ms)) < 0)
		return;
	if (p[2].revents)
		on_signal(r);
	if (p[1].revents & POLLOUT)
		r->flow = FLOW_READY;
	client_io_turn(&r->io, p[0].revents);
	if (p[1].revents & (POLLERR | POLLHUP | POLLNVAL)) {
		look_at_reader(r);
		acknowledge(r);
		end_output(r, EPIPE, false);
	}
}

/* What the daemon may hold for this session is given back, also by a new connection. */
static void say_bye(struct receiver *r)
{
	r->phase = PARTING;
	if (!client_io_bye(&r->io, r->signalled ? -1 : signals_fd(), RELEASE_MAX_MS))
		on_signal(r);
}

void receiver_run(struct receiver *r)
{
	do {
		turn(r);
		print_all(r);
		sync_output(r);
		look_at_reader(r);
		acknowledge(r);
		touch_untaken(r);
		flush_settling(r);
		give_credit(r);
	} while (!advance(r));
	if (r->phase != DEAD)
		say_bye(r);
}

enum rmq_error receiver_open(
    struct receiver *r, const struct recv_options *o, struct reason *why)
{
	struct client_config config = {.window = WINDOW, .timeout_ms = o->common.timeout_ms};
	struct client_host host = {.arg = r,
	    .done = on_done,
	    .failed = on_failed,
	    .subscribed = on_subscribed,
	    .sub_failed = on_sub_failed,
	    .deliver = on_deliver,
	    .lease_ended = on_lease_ended,
	    .idle = on_idle,
	    .held_back = on_held_back,
	    .unsubscribed = on_unsubscribed,
	    .fatal = on_fatal};
	r->o = o;
	r->settle = (struct settling){.verb = VERB_SETTLE};
	r->release = (struct settling){.verb = VERB_RELEASE};
	r->fail = (struct settling){.verb = VERB_RELEASE, .flags = SETTLE_COUNTED};
	r->bury = (struct settling){.verb = VERB_DEAD, .why = "body holds the separator"};
	r->touch = (struct settling){.verb = VERB_TOUCH, .flags = SETTLE_DETACH};
	if (o->ack == ACK_NONE)
		r->ahead = &r->settle;
	else if (o->ack == ACK_MANUAL)
		r->ahead = &r->touch;
	r->batch = 1;
	r->read_poll_ms = 1;
	r->prefetch = o->prefetch ? o->prefetch : PREFETCH_MIN;
	enum rmq_error err = client_io_open(&r->io, &o->common, &config, &host, why);
	if (err)
		return err;
	struct mono_time now = clock_mono();
	r->sub = source_subscribe(&r->source, r->io.client, now, o);
	r->heard = now;
	give_credit(r);
	return RMQ_E_OK;
}

void receiver_close(struct receiver *r)
{
	client_io_close(&r->io);
	segments_deinit(&r->in_hand);
	text_deinit(&r->formatted);
	free(r->settle.entries);
	free(r->release.entries);
	free(r->fail.entries);
	free(r->bury.entries);
	free(r->touch.entries);
}
