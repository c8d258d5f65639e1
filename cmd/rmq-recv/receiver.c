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
    struct receiver_part *p, struct settling *b, uint64_t lease, uint64_t first, uint32_t count)
{
	if (!settling_add(b, lease, first, count))
		end_memory(p->r);
}

static void flush_settling(struct receiver_part *p)
{
	struct settling *all[] = {&p->settle, &p->touch, &p->fail, &p->bury, &p->release};
	struct mono_time now = clock_mono();
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		/* Only the last command of a batch says that it is done. */
		void *tag = all[i] == p->ahead ? (void *)(uintptr_t)p->batch : NULL;
		all[i]->ms = all[i]->verb == VERB_TOUCH ? p->lease_ms : 0;
		/* Messages that come from here on are named by a later command. */
		if (all[i]->count > 0 &&
		    settling_flush(all[i], p->io.client, p->source.queue, now, tag) && tag)
			p->batch++;
	}
}

/* Whether a message is in hand until the reader has taken it out of the pipe. */
static bool watches_reader(const struct receiver *r)
{
	return r->o->ack == ACK_READ || (r->o->ack == ACK_MANUAL && r->out.kind == OUTPUT_PIPE);
}

/* So many messages of the first segments are printed for good, or taken by the reader. */
static void acknowledge(struct receiver_part *p)
{
	struct segment *s;
	struct receiver *r = p->r;
	bool read = watches_reader(r);
	if (r->o->ack == ACK_NONE || (r->o->ack == ACK_SYNC && r->synced != SYNCED))
		return;
	while ((s = p->in_hand.head)) {
		uint32_t upto = read ? segment_taken(s, r->consumed) : segment_whole(s);
		bool all = upto == s->count && s != p->in_hand.printing;
		if (read)
			r->kept_up += upto - s->settled;
		if (r->o->ack != ACK_MANUAL)
			settle(
			    p, &p->settle, s->lease, s->first + s->settled, upto - s->settled);
		segments_settled(&p->in_hand, s, upto);
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

static void call_off(struct receiver_part *p, enum phase phase)
{
	if (p->supply == SUPPLY_ENDED)
		return;
	/* All that was asked for has come: there is nothing to be called off. */
	if (phase == ENDING && client_credit_messages(p->io.client, p->sub) == 0)
		supply_note(&p->supply, SUPPLY_ENDED);
	else
		client_unsubscribe(p->io.client, p->sub);
}

static void enter(struct receiver *r, enum phase phase)
{
	if (phase <= r->phase)
		return;
	r->phase = phase;
	r->phase_at = clock_mono();
	for (uint32_t i = 0; i < r->count; i++)
		call_off(&r->parts[i], phase);
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

/*
 * Whether another part's segment is printed to a part: its bytes stay together, or it could not be told
 * from what the reader has taken which of its messages that are.
 */
static bool waits_its_turn(const struct receiver_part *p)
{
	const struct receiver_part *begun = p->r->begun;
	if (!begun || begun == p)
		return false;
	const struct segment *s = begun->in_hand.printing;
	return s && s->printed > 0 && (!begun->dead || segment_torn(s) > 0);
}

/* Whether the segment's next byte may be printed now. */
static bool may_print(
    const struct receiver_part *p, const struct segment *s, struct mono_time now)
{
	const struct receiver *r = p->r;
	if (r->phase >= RELEASING || waits_its_turn(p))
		return false;
	/* What has begun is ended: half a message is of no use to anyone. */
	if (segment_torn(s) > 0)
		return true;
	if (r->phase == STOPPING || p->dead)
		return false;
	if (p->ahead && (s->batch == 0 || s->batch > p->batches_done))
		return false;
	if (r->o->ack == ACK_NONE)
		return true;
	uint64_t seq = s->first + segment_whole(s);
	return s->size == 0 || client_vouches(p->io.client, s->lease, seq, now);
}

/*
 * Says which messages this print may put before the reader, and before it does: the end of
 * their lease is a failure from then on, that of the others is not.
 */
static void say_started(struct receiver_part *p, struct segment *s, size_t len)
{
	size_t end = s->printed + output_room(&p->r->out, len);
	uint32_t from = s->started < s->count ? s->started : s->count, upto = from;
	if (p->r->o->ack == ACK_NONE || end == s->printed)
		return;
	while (upto < s->count && (upto == 0 || s->ends[upto - 1] < end))
		upto++;
	if (upto == from)
		return;
	s->started = upto;
	client_started(p->io.client, p->source.queue, s->lease, s->first + from, upto - from);
	client_io_flush(&p->io);
}

/* Prints from the segment's bytes, or from `bytes` if they are not its own yet. */
static bool print(
    struct receiver_part *p, struct segment *s, const char *bytes, struct mono_time now)
{
	int error;
	struct receiver *r = p->r;
	size_t len = s->size - s->printed;
	if (s->printed == 0)
		s->at = r->out.written;
	if (r->phase == STOPPING || p->dead)
		len = s->ends[segment_whole(s)] - s->printed;
	uint32_t whole = segment_whole(s);
	say_started(p, s, len);
	size_t n = output_write(&r->out, bytes, len, &error);
	bool all = n == len;
	r->begun = p;
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
	segments_printed(&p->in_hand, s, n);
	if (error && error != EAGAIN)
		end_output(r, error, leaves_torn(r, s));
	return all;
}

/*
 * What must be durable before the print is asked for, as long as the output takes
 * something: what waits behind one that does not goes on being extended.
 */
static void send_ahead(struct receiver_part *p)
{
	struct segment *s, *next;
	const struct receiver *r = p->r;
	if (!p->ahead || r->flow == FLOW_BLOCKED || r->phase > ENDING)
		return;
	for (s = p->in_hand.printing; s; s = next) {
		next = s->next;
		if (s->batch > 0)
			continue;
		s->batch = p->batch;
		settle(p, p->ahead, s->lease, s->first, s->count);
		if (r->o->ack == ACK_NONE)
			segments_settled(&p->in_hand, s, s->count);
	}
}

/*
 * --ack manual: a lease runs by itself from the print on, but not while the reader has not even
 * taken the message.  Milliseconds until those are named again; UNITS_INFINITY: none is there.
 */
static uint64_t touch_due_ms(const struct receiver_part *p, struct mono_time now)
{
	uint64_t due = p->touched_at.ms + p->lease_ms / 3;
	if (p->ahead != &p->touch || !p->in_hand.head || p->r->phase > ENDING || p->dead)
		return UNITS_INFINITY;
	return due > now.ms ? due - now.ms : 0;
}

static void touch_untaken(struct receiver_part *p)
{
	struct mono_time now = clock_mono();
	if (touch_due_ms(p, now) > 0)
		return;
	p->touched_at = now;
	for (struct segment *s = p->in_hand.head; s; s = s->next) {
		if (s->batch == 0 || s->batch > p->batches_done)
			continue;
		/* What is left of it to be printed waits for this one. */
		s->batch = p->batch;
		settle(p, p->ahead, s->lease, s->first + s->settled, s->count - s->settled);
	}
}

/* False: the output takes no more now. */
static bool print_part(struct receiver_part *p, struct mono_time now)
{
	struct segment *s;
	while ((s = p->in_hand.printing) && may_print(p, s, now)) {
		const char *from = s->bytes ? s->bytes + (s->printed - s->bytes_from) : "";
		if (!print(p, s, from, now))
			return false;
	}
	return true;
}

static void print_all(struct receiver *r)
{
	struct mono_time now = clock_mono();
	bool takes = true;
	for (uint32_t i = 0; i < r->count && takes; i++)
		takes = print_part(&r->parts[(r->first + i) % r->count], now);
	r->first = (r->first + 1) % r->count;
	for (uint32_t i = 0; i < r->count && takes; i++)
		send_ahead(&r->parts[i]);
}

/* A segment whose bytes are borrowed: printed at once if it is its turn, else copied. */
static void offer(struct receiver_part *p, struct segment *s, const void *bytes)
{
	struct mono_time now = clock_mono();
	struct receiver *r = p->r;
	r->taken += s->count;
	if (p->in_hand.printing == s && r->flow == FLOW_READY && may_print(p, s, now) &&
	    print(p, s, bytes, now))
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

static void format(struct receiver_part *p, const struct client_delivery *d, uint32_t i)
{
	struct receiver *r = p->r;
	struct text *t = &r->formatted;
	struct envelope e = envelope_of(d, p->source.queue, i, &r->cursors);
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
		e.until.ms = clock_wall().ms + p->lease_ms;
		if (r->o->format == FORMAT_JSON)
			envelope_put_json(t, &e);
		else
			envelope_put_fields(t, &e, &r->o->fields);
	}
	text_put_char(t, r->o->separator);
}

/* --into: they are files before anything else.  False: it ends here, and they go back. */
static bool store(
    struct receiver_part *p, const struct client_delivery *d, uint32_t from, uint32_t to)
{
	struct receiver *r = p->r;
	if (r->o->format != FORMAT_INTO)
		return true;
	char id[RECEIPT_MAX];
	uint32_t at = from;
	int error = into_store(r->o->into_fd, p->source.queue, d, from, to, &at);
	if (error == 0)
		return true;
	settle(p, &p->release, d->lease, d->first_seq + from, to - from);
	receipt_print_id(id, p->source.queue, d->first_seq + at);
	if (error == EEXIST)
		end_with(r, RMQ_E_EXISTS, "%s/%s: %s: move that file away", r->o->into, id,
		    error_text(RMQ_E_EXISTS));
	else
		end_with(r, RMQ_E_IO, "%s: %s", r->o->into, strerror(error));
	return false;
}

/* Messages [from, to) of the delivery as one segment. */
static void take_formatted(
    struct receiver_part *p, const struct client_delivery *d, uint32_t from, uint32_t to)
{
	struct receiver *r = p->r;
	if (from == to || !store(p, d, from, to))
		return;
	r->formatted.len = 0;
	struct segment *s =
	    segments_add(&p->in_hand, d->lease, d->first_seq + from, to - from, 0);
	if (!s) {
		end_memory(r);
		return;
	}
	for (uint32_t i = from; i < to; i++) {
		format(p, d, i);
		s->ends[i - from] = (uint32_t)r->formatted.len;
	}
	s->size = r->formatted.len;
	p->in_hand.bytes += s->size;
	if (r->formatted.failed)
		end_memory(r);
	else
		offer(p, s, r->formatted.data);
}

static void take_plain(struct receiver_part *p, const struct client_delivery *d)
{
	struct segment *s =
	    segments_add(&p->in_hand, d->lease, d->first_seq, d->count, d->blob.len);
	if (!s) {
		end_memory(p->r);
		return;
	}
	for (uint32_t i = 0; i < d->count; i++)
		s->ends[i] = load_u16(d->ends + 2 * (size_t)i) - d->base;
	offer(p, s, d->blob.data);
}

/* Message i cannot be printed; false: it ends here. */
static bool take_bad(struct receiver_part *p, const struct client_delivery *d, uint32_t i)
{
	struct receiver *r = p->r;
	unsigned long long seq = d->first_seq + i;
	if (r->o->skip_bad) {
		settle(p, &p->bury, d->lease, seq, 1);
		r->bad++;
		if (!r->o->common.quiet)
			fprintf(stderr, "rmq-recv: %s: message %llu holds the separator\n",
			    p->source.shown, seq);
		return true;
	}
	settle(p, &p->fail, d->lease, seq, 1);
	settle(p, &p->release, d->lease, seq + 1, d->count - i - 1);
	end_with(
	    r, RMQ_E_BAD_DATA, "message %llu holds the separator (use -0, -j or --raw)", seq);
	return false;
}

static void take(struct receiver_part *p, const struct client_delivery *d)
{
	uint32_t from = 0;
	if (is_plain(p->r, d)) {
		take_plain(p, d);
		return;
	}
	for (uint32_t i = 0; i < d->count; i++) {
		if (is_printable(p->r, client_body(d, i)))
			continue;
		take_formatted(p, d, from, i);
		from = i + 1;
		if (!take_bad(p, d, i))
			return;
	}
	take_formatted(p, d, from, d->count);
}

/* ---- what the client says ---- */

static void on_deliver(void *arg, const struct client_delivery *d)
{
	struct receiver_part *p = arg;
	struct receiver *r = p->r;
	struct client_delivery some = *d;
	/* Where others have brought enough meanwhile, it is more than all together were to bring. */
	uint64_t wanted =
	    r->o->end.count == UINT64_MAX ? UINT64_MAX : r->o->end.count - r->taken;
	r->heard = clock_mono();
	supply_note(&p->supply, SUPPLY_UNKNOWN);
	if (r->phase != RUNNING || r->code)
		wanted = 0;
	if (wanted < d->count) {
		uint32_t keep = (uint32_t)wanted;
		settle(p, &p->release, d->lease, d->first_seq + keep, d->count - keep);
		some.count = keep;
		if (d->ends && keep > 0)
			some.blob.len = load_u16(d->ends + 2 * (size_t)(keep - 1)) - d->base;
	}
	if (some.count > 0)
		take(p, &some);
}

static void on_lease_ended(
    void *arg, uint32_t sub, enum lease_end why, uint64_t lease, uint64_t first, uint32_t count)
{
	struct receiver_part *p = arg;
	struct receiver *r = p->r;
	(void)sub;
	uint32_t gone = segments_cut(&p->in_hand, lease, first, count);
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
			    p->source.shown);
	}
	if (r->o->common.verbose && why != ENDED_SETTLED && why != ENDED_RELEASED &&
	    why != ENDED_DEAD)
		fprintf(stderr, "rmq-recv: %s: lease %llu of %u messages has ended\n",
		    p->source.shown, (unsigned long long)lease, count);
}

static void on_done(void *arg, const struct client_command *cmd, struct slice stale)
{
	struct receiver_part *p = arg;
	struct reader in = reader_of(stale);
	while (reader_left(&in) > 0) {
		struct settle_entry e = settle_entry_get(&in);
		/* Settled before printing, and someone else's: not to be printed. */
		if (p->ahead == &p->settle)
			on_lease_ended(p, 0, ENDED_EXPIRED, e.lease, e.first, e.count);
	}
	if ((uintptr_t)cmd->tag > p->batches_done)
		p->batches_done = (uintptr_t)cmd->tag;
}

static enum client_verdict on_failed(void *arg, const struct client_command *cmd,
    enum rmq_error code, uint32_t at, struct slice text)
{
	struct receiver *r = ((struct receiver_part *)arg)->r;
	(void)cmd, (void)at;
	/* A queue that is gone has nothing to be settled. */
	if (code != RMQ_E_NO_QUEUE && r->phase < RELEASING)
		end_with(r, code, "%.*s", (int)text.len, (const char *)text.data);
	return CLIENT_DROP;
}

static void on_subscribed(void *arg, uint32_t sub, uint32_t lease_ms)
{
	struct receiver_part *p = arg;
	source_subscribed(&p->source, p->io.client, sub);
	supply_note(&p->supply, SUPPLY_UNKNOWN);
	p->lease_ms = lease_ms;
	p->r->heard = p->touched_at = clock_mono();
}

static void on_sub_failed(void *arg, uint32_t sub, enum rmq_error code, struct slice text)
{
	struct receiver_part *p = arg;
	(void)sub;
	supply_note(&p->supply, SUPPLY_ENDED);
	end_with(p->r, code, "%.*s", (int)text.len, (const char *)text.data);
}

static void on_idle(void *arg, uint32_t sub, uint64_t leased, uint64_t delayed)
{
	struct receiver_part *p = arg;
	(void)sub;
	supply_note(&p->supply, leased == 0 && delayed == 0 ? SUPPLY_DRAINED : SUPPLY_IDLE);
}

static void on_held_back(void *arg, uint32_t sub)
{
	struct receiver_part *p = arg;
	(void)sub;
	supply_note(&p->supply, SUPPLY_HELD_BACK);
}

static void on_unsubscribed(void *arg, uint32_t sub)
{
	struct receiver_part *p = arg;
	(void)sub;
	supply_note(&p->supply, SUPPLY_ENDED);
}

static void on_fatal(void *arg, enum rmq_error code, struct slice text)
{
	struct receiver_part *p = arg;
	struct receiver *r = p->r;
	char why[CLIENT_IO_WHY_MAX];
	bool parting = r->phase == PARTING, alive = false;
	p->dead = true;
	supply_note(&p->supply, SUPPLY_ENDED);
	for (uint32_t i = 0; i < r->count; i++)
		alive |= !r->parts[i].dead;
	if (!alive)
		r->phase = DEAD;
	/* All that was asked for is done: what may be leased still comes back in its time. */
	if (parting)
		return;
	text = client_io_why(&p->io, code, text, why);
	end_with(r, code, "%.*s", (int)text.len, (const char *)text.data);
}

/* ---- credit ---- */

static uint64_t held(const struct receiver_part *p)
{
	/* With manual settling also what is printed and not settled yet. */
	return p->r->o->ack == ACK_MANUAL ? client_held(p->io.client) : p->in_hand.messages;
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

static bool is_torn(const struct receiver_part *p)
{
	return p->in_hand.printing && segment_torn(p->in_hand.printing) > 0;
}

/* Of one whose session cannot go on the rest of a message is. */
static bool nothing_in_hand(const struct receiver_part *p)
{
	if (p->dead)
		return !is_torn(p);
	return p->in_hand.head == NULL && client_unanswered(p->io.client) == 0 &&
	       p->settle.count + p->touch.count + p->fail.count + p->bury.count +
		       p->release.count ==
		   0;
}

static struct supply_view view(const struct receiver_part *p, struct mono_time now)
{
	const struct receiver *r = p->r;
	return (struct supply_view){.supply = p->supply,
	    .taken = r->taken,
	    .quiet_ms = now.ms - r->heard.ms,
	    .nothing_in_hand = nothing_in_hand(p),
	    .full = r->o->ack == ACK_MANUAL && p->supply != SUPPLY_ENDED &&
		    client_credit_messages(p->io.client, p->sub) == 0,
	    .welcomed = client_welcomed(p->io.client)};
}

static void give_credit(struct receiver_part *p)
{
	uint32_t messages, bytes;
	struct receiver *r = p->r;
	if (r->phase != RUNNING || r->code || p->supply == SUPPLY_ENDED)
		return;
	struct supply_view here = view(p, clock_mono());
	struct supply_stock stock = {.target = r->prefetch,
	    .held = held(p),
	    .bytes = p->in_hand.bytes,
	    .bytes_target = supply_bytes(r->count),
	    .given = client_credit_messages(p->io.client, p->sub),
	    .given_bytes = client_credit_bytes(p->io.client, p->sub)};
	if (supply_credit(&r->o->end, &here, &stock, &p->supply, &messages, &bytes))
		client_credit(p->io.client, p->sub, messages, bytes);
}

/* ---- phases ---- */

/* RUNNING: whether no more messages are to be taken. */
static bool is_over(const struct receiver *r, struct mono_time now)
{
	struct supply_view all = view(&r->parts[0], now);
	for (uint32_t i = 1; i < r->count; i++) {
		struct supply_view one = view(&r->parts[i], now);
		supply_join(&all, &one);
	}
	return r->code || supply_is_over(&r->o->end, &all);
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
	bool waits = false;
	for (uint32_t i = 0; i < r->count; i++) {
		const struct segment *head = r->parts[i].in_hand.head;
		bool unread =
		    r->o->ack == ACK_READ && head && head->settled < segment_whole(head);
		waits |= unread || is_torn(&r->parts[i]);
	}
	return !waits || now.ms - since >= READER_WAIT_MS;
}

/*
 * Gives back what is in hand, uncounted.  With manual settling a reader that is still there
 * will settle what is printed.
 */
static void release_all(struct receiver_part *p)
{
	bool keeps = p->r->o->ack == ACK_MANUAL && p->r->flow != FLOW_UNREAD;
	for (struct segment *s = p->in_hand.head; s; s = s->next) {
		uint32_t from = keeps ? segment_whole(s) : s->settled;
		settle(p, &p->release, s->lease, s->first + from, s->count - from);
	}
	segments_deinit(&p->in_hand);
	flush_settling(p);
}

static void on_signal(struct receiver *r)
{
	int signal = signals_caught();
	r->signalled = true;
	if (signal != SIGTERM || !supply_for_ever(&r->o->end))
		r->signal = signal;
	enter(r, STOPPING);
}

static bool is_done(const struct receiver_part *p)
{
	return p->r->phase != RUNNING && p->supply == SUPPLY_ENDED && nothing_in_hand(p);
}

/* RELEASING: leases that cannot be given back run out by themselves. */
static bool is_released(const struct receiver_part *p)
{
	return is_done(p) || !client_welcomed(p->io.client);
}

static bool all_are(const struct receiver *r, bool (*are)(const struct receiver_part *p))
{
	uint32_t i = 0;
	while (i < r->count && are(&r->parts[i]))
		i++;
	return i == r->count;
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
		for (uint32_t i = 0; i < r->count; i++)
			release_all(&r->parts[i]);
		if (all_are(r, is_released) || now.ms - r->phase_at.ms >= RELEASE_MAX_MS)
			return true;
	}
	return all_are(r, is_done);
}

/* ---- the loop ---- */

static int next_timer(struct receiver *r, int timeout_ms)
{
	struct mono_time now = clock_mono();
	/* Without a connection, the subscription's end is told before the wait. */
	if (all_are(r, is_done))
		return 0;
	if (r->phase == STOPPING)
		timeout_ms = client_io_sooner(timeout_ms, READER_WAIT_MS / 10);
	if (r->phase == RELEASING)
		timeout_ms = client_io_sooner(timeout_ms, RELEASE_MAX_MS);
	for (uint32_t i = 0; i < r->count; i++) {
		struct receiver_part *p = &r->parts[i];
		const struct segment *head = p->in_hand.head;
		timeout_ms = client_io_sooner(timeout_ms, touch_due_ms(p, now));
		if (watches_reader(r) && head && head->settled < segment_whole(head))
			timeout_ms = client_io_sooner(timeout_ms, r->read_poll_ms);
		struct supply_view v = view(p, now);
		if (r->phase == RUNNING)
			timeout_ms = client_io_sooner(timeout_ms,
			    supply_tick(&r->o->end, &v, p->source.shown, &p->said_held_back));
	}
	return timeout_ms;
}

static bool is_printing(const struct receiver *r)
{
	uint32_t i = 0;
	while (i < r->count && !r->parts[i].in_hand.printing)
		i++;
	return i < r->count;
}

static void turn(struct receiver *r)
{
	int timeout_ms = -1, part_ms;
	struct pollfd *p = r->polls;
	for (uint32_t i = 0; i < r->count; i++) {
		p[2 + i] = client_io_prepare(&r->parts[i].io, &part_ms);
		if (part_ms >= 0 && !(r->parts[i].dead && r->count > 1))
			timeout_ms = client_io_sooner(timeout_ms, (uint64_t)part_ms);
	}
	bool printing = r->flow == FLOW_BLOCKED && is_printing(r);
	bool watched = output_notices_close(&r->out) && r->phase < RELEASING;
	p[0] = (struct pollfd){watched ? r->out.fd : -1, printing ? POLLOUT : 0, 0};
	p[1] = (struct pollfd){r->signalled ? -1 : signals_fd(), POLLIN, 0};
	if (poll(p, 2 + r->count, next_timer(r, timeout_ms)) < 0)
		return;
	if (p[1].revents)
		on_signal(r);
	if (p[0].revents & POLLOUT)
		r->flow = FLOW_READY;
	for (uint32_t i = 0; i < r->count; i++)
		client_io_turn(&r->parts[i].io, p[2 + i].revents);
	if (p[0].revents & (POLLERR | POLLHUP | POLLNVAL)) {
		look_at_reader(r);
		for (uint32_t i = 0; i < r->count; i++)
			acknowledge(&r->parts[i]);
		end_output(r, EPIPE, false);
	}
}

/* What the daemons may hold for these sessions is given back, also by new connections. */
static void say_bye(struct receiver *r)
{
	struct client_io *ios[CELLS_MAX];
	for (uint32_t i = 0; i < r->count; i++)
		ios[i] = &r->parts[i].io;
	r->phase = PARTING;
	if (!client_io_bye_all(ios, r->count, r->signalled ? -1 : signals_fd(), RELEASE_MAX_MS))
		on_signal(r);
}

void receiver_run(struct receiver *r)
{
	do {
		turn(r);
		print_all(r);
		sync_output(r);
		look_at_reader(r);
		for (uint32_t i = 0; i < r->count; i++) {
			acknowledge(&r->parts[i]);
			touch_untaken(&r->parts[i]);
			flush_settling(&r->parts[i]);
		}
		adapt_prefetch(r);
		for (uint32_t i = 0; i < r->count; i++)
			give_credit(&r->parts[i]);
	} while (!advance(r));
	if (r->phase != DEAD)
		say_bye(r);
}

static enum rmq_error open_part(struct receiver *r, uint32_t i, struct reason *why)
{
	const struct recv_options *o = r->o;
	struct receiver_part *p = &r->parts[i];
	struct client_config config = {.window = WINDOW, .timeout_ms = o->common.timeout_ms};
	struct client_host host = {.arg = p,
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
	p->r = r;
	p->settle = (struct settling){.verb = VERB_SETTLE};
	p->release = (struct settling){.verb = VERB_RELEASE};
	p->fail = (struct settling){.verb = VERB_RELEASE, .flags = SETTLE_COUNTED};
	p->bury = (struct settling){.verb = VERB_DEAD, .why = "body holds the separator"};
	p->touch = (struct settling){.verb = VERB_TOUCH, .flags = SETTLE_DETACH};
	p->batch = 1;
	if (o->ack == ACK_NONE)
		p->ahead = &p->settle;
	else if (o->ack == ACK_MANUAL)
		p->ahead = &p->touch;
	source_init(&p->source, o, i);
	enum rmq_error err = source_open(&p->io, o, i, &config, &host, why);
	if (err)
		return err;
	r->count++;
	r->heard = clock_mono();
	p->sub = source_subscribe(&p->source, p->io.client, r->heard, o);
	give_credit(p);
	return RMQ_E_OK;
}

enum rmq_error receiver_open(
    struct receiver *r, const struct recv_options *o, struct reason *why)
{
	uint32_t count = o->cells ? o->cells->cells.count : 1;
	enum rmq_error err = RMQ_E_OK;
	r->o = o;
	r->read_poll_ms = 1;
	r->prefetch = o->prefetch ? o->prefetch : PREFETCH_MIN;
	r->parts = count == 1 ? &r->only : calloc(count, sizeof(*r->parts));
	r->polls = calloc(2 + (size_t)count, sizeof(*r->polls));
	if (!r->parts || !r->polls)
		return reason_set(why, RMQ_E_LIMIT, "out of memory");
	for (uint32_t i = 0; i < count && !err; i++)
		err = open_part(r, i, why);
	return err;
}

static void close_part(struct receiver_part *p)
{
	client_io_close(&p->io);
	segments_deinit(&p->in_hand);
	free(p->settle.entries);
	free(p->release.entries);
	free(p->fail.entries);
	free(p->bury.entries);
	free(p->touch.entries);
}

void receiver_close(struct receiver *r)
{
	for (uint32_t i = 0; i < r->count; i++)
		close_part(&r->parts[i]);
	text_deinit(&r->formatted);
	if (r->parts != &r->only)
		free(r->parts);
	free(r->polls);
}
