#include "worker.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/base/name.h"
#include "core/base/units.h"
#include "core/wire/receipt.h"
#include "source.h"
#include "sys/process/clock.h"
#include "sys/process/log.h"
#include "sys/process/signals.h"
#include "sys/process/startup.h"
#include "verdict.h"

#define WINDOW		 16 /* commands in flight */
#define PARTING_MAX_MS	 10000
#define PARTING_ROOM_MS	 2000
#define SMALL_BODY	 4096 /* what fits wherever COMMAND does */
#define DESCRIPTORS	 16   /* besides those of runs */
#define DESCRIPTORS_RUN	 6
#define DESCRIPTORS_PART 3 /* of each further one */

/* ---- errors ---- */

void worker_end_with(struct worker *w, enum rmq_error code, const char *format, ...)
{
	va_list ap;
	if (w->code)
		return;
	w->code = code;
	va_start(ap, format);
	vsnprintf(w->why, sizeof(w->why), format, ap);
	va_end(ap);
}

void worker_end_about(
    struct worker *w, enum rmq_error code, struct slice text, const char *about)
{
	const char *queues[] = {w->o->queue, about};
	size_t len = text.len;
	if (w->code)
		return;
	for (size_t i = 0; i < 2; i++) {
		size_t n = strlen(queues[i]);
		if (text.len <= n + 2 || memcmp(text.data + text.len - n, queues[i], n) != 0 ||
		    memcmp(text.data + text.len - n - 2, ": ", 2) != 0)
			continue;
		about = queues[i];
		len = text.len - n - 2;
	}
	w->about = about;
	worker_end_with(w, code, "%.*s", (int)len, (const char *)text.data);
}

void worker_end_memory(struct worker *w)
{
	worker_end_with(w, RMQ_E_LIMIT, "out of memory");
	w->phase = WORKER_DEAD;
}

bool worker_is_told_to_end(const struct worker *w)
{
	return w->signalled || w->unread || w->work.stopped || w->code;
}

void worker_turns_to(struct worker_part *p)
{
	work_settings(&p->w->work, p->backoff_min_ms, p->backoff_max_ms, p->max_attempts);
}

uint64_t worker_number(const struct worker_part *p, uint64_t seq)
{
	return seq * p->w->count + p->index;
}

static void say_worn(struct worker *w)
{
	if (w->work.worn && w->work.fails == 1)
		worker_end_with(
		    w, RMQ_E_TIMEOUT, "a run of %s has failed", w->o->work.command[0]);
	else if (w->work.worn)
		worker_end_with(w, RMQ_E_TIMEOUT, "%llu runs of %s have failed in a row",
		    (unsigned long long)w->work.fails, w->o->work.command[0]);
}

/* What it has printed, if that is to be sent. */
static struct sendbuf *output_of(
    const struct worker *w, struct run *r, struct work_ended *ended)
{
	struct sendbuf *batch = NULL;
	if (!w->o->work.to || work_verdict(&w->work, ended) != WORK_SETTLE)
		return NULL;
	if (!verdict_batch(w, &r->output, &batch))
		ended->too_much = true;
	return batch;
}

static void judge(struct worker *w, struct run *r)
{
	struct mono_time now = clock_mono();
	struct work_ended ended = {.lost = r->lost,
	    .late = r->late,
	    .too_much = r->too_much,
	    .asked = w->signalled || w->unread};
	if (WIFSIGNALED(r->status))
		ended.signal = WTERMSIG(r->status);
	else
		ended.code = WEXITSTATUS(r->status);
	struct sendbuf *batch = output_of(w, r, &ended);
	struct outcome o = {.part = r->part,
	    .jobs = r->jobs,
	    .verdict = work_judge(&w->work, &ended),
	    .began = r->began_wall,
	    .took_ms = now.ms - r->began.ms,
	    .code = ended.code,
	    .signal = ended.signal,
	    .reason = run_reason(r),
	    .batch = batch};
	if (ended.too_much && !ended.lost)
		log_notice("%s:%llu: its output is more than --to can send at once: %u bytes, "
			   "%u lines",
		    r->part->source.shown, (unsigned long long)r->jobs.head->envelope.seq,
		    BATCH_MAX, BATCH_MESSAGES_MAX);
	r->jobs = (struct jobs){0};
	r->pid = 0;
	work_end(&w->work, r->slot, now);
	if (!results_keep(&w->results, r, o.jobs.head))
		worker_end_with(w, RMQ_E_IO, "--results: %s", strerror(errno));
	verdict_act(w, &o);
	say_worn(w);
}

static void judge_all(struct worker *w)
{
	for (uint32_t i = 0; i < w->o->work.config.parallel; i++)
		if (w->runs[i].pid && w->runs[i].reaped)
			judge(w, &w->runs[i]);
}

/* ---- runs ---- */

static void call_off_part(struct worker_part *p)
{
	verdict_release_waiting(p);
	if (p->supply == SUPPLY_ENDED)
		return;
	if (client_credit_messages(p->io.client, p->sub) == 0)
		supply_note(&p->supply, SUPPLY_ENDED);
	else
		client_unsubscribe(p->io.client, p->sub);
}

static void enter(struct worker *w, enum worker_phase phase)
{
	if (phase <= w->phase)
		return;
	w->phase = phase;
	for (uint32_t i = 0; i < w->count; i++)
		call_off_part(&w->parts[i]);
}

/*
 * Without a subscription a new connection would not be told what is held: one without credit
 * stays for as long as there are runs.
 */
static void stay_subscribed(struct worker_part *p)
{
	if (p->w->work.running > 0)
		p->sub = client_subscribe(p->io.client, clock_mono(), p->source.queue,
		    SUBSCRIBE_NO_CREATE | SUBSCRIBE_STARTS, p->w->o->lease_ms);
}

/* Nothing was run, and nothing has become of its messages. */
static void call_off(struct worker *w, struct run *r, enum work_verdict verdict, int code)
{
	struct outcome o = {
	    .part = r->part, .jobs = r->jobs, .verdict = verdict, .code = code, .reason = ""};
	r->pid = 0;
	r->jobs = (struct jobs){0};
	work_end(&w->work, r->slot, clock_mono());
	verdict_act(w, &o);
	enter(w, WORKER_ENDING);
}

/* COMMAND cannot be run: the worker stops, and eats nothing. */
static void unstartable(struct worker *w, struct run *r, int error)
{
	struct work_ended ended = {.unstartable = true, .code = spawn_exit(error)};
	if (!w->work.stopped)
		log_error("%s: %s: %s", r->part->source.shown, w->o->work.command[0],
		    strerror(error));
	call_off(w, r, work_judge(&w->work, &ended), ended.code);
}

/* The message cannot be passed to COMMAND; false: it ends here. */
static bool take_bad(struct worker_part *p, uint64_t lease, uint64_t seq, const char *why)
{
	struct worker *w = p->w;
	if (!w->o->skip_bad) {
		verdict_add(p, &p->fail, lease, seq, 1);
		worker_end_with(
		    w, RMQ_E_BAD_DATA, "message %llu %s", (unsigned long long)seq, why);
		return false;
	}
	verdict_add(p, &p->bury, lease, seq, 1);
	w->bad++;
	if (!w->o->common.quiet)
		fprintf(stderr, "rmq-recv: %s: message %llu %s\n", p->source.shown,
		    (unsigned long long)seq, why);
	return true;
}

/* Nothing was run: the message is at fault, for its length, or COMMAND is. */
static void not_started(struct worker *w, struct run *r, int error)
{
	if (error != E2BIG || !w->form.replace || w->input.len < SMALL_BODY) {
		unstartable(w, r, error);
		return;
	}
	const struct envelope *e = &r->jobs.head->envelope;
	(void)take_bad(r->part, e->lease, e->seq, "is too long for all arguments together");
	jobs_free(&r->jobs);
	r->pid = 0;
	work_end(&w->work, r->slot, clock_mono());
}

/* Its stdin, or -I its arguments (*argv, to be freed).  -1: errno. */
static int pass(struct worker *w, const struct run *r, char ***argv)
{
	w->input.len = 0;
	for (const struct job *j = r->jobs.head; j; j = j->next) {
		struct envelope e = j->envelope;
		e.until.ms = clock_wall().ms + r->part->lease_ms;
		payload_put(&w->input, &w->form, &e);
	}
	errno = ENOMEM;
	if (w->input.failed)
		return -1;
	if (!w->form.replace)
		return payload_stdin(&w->input);
	*argv = payload_argv(&w->form, &w->input);
	return *argv ? open("/dev/null", O_RDONLY | O_CLOEXEC) : -1;
}

static void start_run(struct worker *w, struct run *r)
{
	struct run_files files = {.keeps_output = w->o->work.to, .out = -1, .err = -1};
	uint64_t max_time_ms = w->o->work.max_time_ms;
	bool ends = max_time_ms != UNITS_INFINITY;
	char **argv = NULL;
	r->began = clock_mono();
	r->began_wall = clock_wall();
	uint64_t deadline = ends ? (r->began_wall.ms + max_time_ms) / 1000 : 0;
	int input = pass(w, r, &argv), error = input < 0 ? errno : 0;
	if (!error && !environment_set(&w->environment, r->part->source.queue,
			  w->form.several ? NULL : &r->jobs.head->envelope, deadline))
		error = ENOMEM;
	w->spawn.path = w->path.data;
	w->spawn.argv = argv ? argv : w->o->work.command;
	w->spawn.envp = w->environment.vars;
	bool kept = error || results_open(&w->results, &files, r->jobs.head);
	if (!kept)
		worker_end_with(w, RMQ_E_IO, "--results: %s", strerror(errno));
	else if (!error)
		error = run_start(r, &w->spawn, input, &files);
	if (input >= 0)
		close(input);
	if (files.out >= 0)
		close(files.out);
	free(argv);
	if (!kept)
		call_off(w, r, WORK_RELEASE, 0);
	else if (error)
		not_started(w, r, error);
	else if (ends)
		r->term_at.ms = r->began.ms + max_time_ms;
}

/* Whether nobody else can be given the first so many of those that wait. */
static bool vouched(const struct worker_part *p, uint64_t count, struct mono_time now)
{
	for (const struct job *j = p->waiting.head; count-- > 0; j = j->next)
		if (!client_vouches(p->io.client, j->envelope.lease, j->envelope.seq, now))
			return false;
	return true;
}

/* Messages that follow each other under one lease are named together. */
static void say_started(struct worker_part *p, const struct jobs *jobs)
{
	const struct job *j = jobs->head;
	while (j) {
		const struct envelope *first = &j->envelope;
		uint32_t count = 0;
		for (; j && j->envelope.lease == first->lease &&
		       j->envelope.seq == first->seq + count;
		     j = j->next)
			count++;
		client_started(p->io.client, p->source.queue, first->lease, first->seq, count);
	}
}

/* Whether a run would be in vain, or what comes of it had to wait: for room, or for answers. */
static bool is_held_up(const struct worker_part *p)
{
	/* Which try is the last one, and so what a run comes to, the queue's settings say. */
	return p->dead || client_lacks_room(p->io.client) || !client_has_room(p->io.client) ||
	       p->listing;
}

/* Takes messages of the part for a run, and says so.  NULL: none starts now. */
static struct run *prepare(struct worker_part *p, struct mono_time now)
{
	struct worker *w = p->w;
	bool more = w->taken < w->o->end.count;
	if (w->phase != WORKER_RUNNING || !p->waiting.head || is_held_up(p))
		return NULL;
	worker_turns_to(p);
	uint32_t fits = 0, most = w->o->work.config.batch;
	const struct job *j = p->waiting.head;
	for (; j && work_joins(&w->work, fits, &most, j->envelope.failures); j = j->next)
		fits++;
	/* If another is there and does not join them, nothing is to be waited for. */
	uint32_t count =
	    work_takes(&w->work, now, fits, most, p->waiting.head->came, more && !j);
	if (count == 0 || !vouched(p, count, now))
		return NULL;
	uint32_t slot = work_start(&w->work, now);
	struct run *r = &w->runs[slot];
	r->slot = slot;
	r->part = p;
	jobs_move(&p->waiting, &r->jobs, count);
	say_started(p, &r->jobs);
	return r;
}

/* For the parts in turn, as long as there is one that has messages for it.  NULL: there is none. */
static struct run *prepare_next(struct worker *w, struct mono_time now)
{
	struct run *r = NULL;
	for (uint32_t i = 0; i < w->count && !r; i++) {
		r = prepare(&w->parts[w->first], now);
		w->first = (w->first + 1) % w->count;
	}
	return r;
}

/* All that may start now; the daemons hear of it first. */
static void start_runs(struct worker *w)
{
	struct mono_time now = clock_mono();
	struct run *r;
	uint32_t first = w->work.running;
	for (uint32_t i = 0; i < w->count; i++) {
		struct worker_part *p = &w->parts[i];
		if (p->waiting.head && work_is_stale(&w->work, now, p->waiting.head->came))
			verdict_release_waiting(p);
	}
	while ((r = prepare_next(w, now)))
		r->pid = -1;
	if (w->work.running == first)
		return;
	for (uint32_t i = 0; i < w->count; i++)
		client_io_flush(&w->parts[i].io);
	for (uint32_t i = 0; i < w->o->work.config.parallel; i++)
		if (w->runs[i].pid == -1)
			start_run(w, &w->runs[i]);
}

static void reap(struct worker *w)
{
	struct signalfd_siginfo info;
	int status;
	while (read(w->children, &info, sizeof(info)) > 0)
		;
	/* Other children are the connection's. */
	for (uint32_t i = 0; i < w->o->work.config.parallel; i++) {
		struct run *r = &w->runs[i];
		if (r->pid > 0 && !r->reaped && waitpid(r->pid, &status, WNOHANG) > 0)
			run_reaped(r, status, printer_text(&w->errors));
	}
}

/* ---- messages ---- */

static void on_deliver(void *arg, const struct client_delivery *d)
{
	struct worker_part *p = arg;
	struct worker *w = p->w;
	uint64_t wanted =
	    w->o->end.count == UINT64_MAX ? UINT64_MAX : w->o->end.count - w->taken;
	w->heard = clock_mono();
	supply_note(&p->supply, SUPPLY_UNKNOWN);
	if (w->phase != WORKER_RUNNING || w->code)
		wanted = 0;
	uint32_t keep = wanted < d->count ? (uint32_t)wanted : d->count;
	verdict_add(p, &p->release, d->lease, d->first_seq + keep, d->count - keep);
	for (uint32_t i = 0; i < keep; i++) {
		struct envelope e = envelope_of(d, p->source.queue, i, &w->cursors);
		const char *why = payload_bad(&w->form, e.body);
		if (why && !take_bad(p, d->lease, e.seq, why)) {
			verdict_add(p, &p->release, d->lease, e.seq + 1, d->count - i - 1);
			return;
		}
		if (why)
			continue;
		w->taken++;
		if (!jobs_add(&p->waiting, &e, w->heard)) {
			worker_end_memory(w);
			return;
		}
	}
}

/* The run has a message that was settled by COMMAND itself, or that is someone else's now. */
static void take_from_run(struct worker *w, struct run *r, enum lease_end why, uint64_t lease,
    uint64_t first, uint32_t count)
{
	for (struct job *j = r->jobs.head; j; j = j->next) {
		struct envelope *e = &j->envelope;
		if (j->gone || e->lease != lease || e->seq < first || e->seq - first >= count)
			continue;
		j->gone = true;
		if (why == ENDED_SETTLED || why == ENDED_RELEASED || why == ENDED_DEAD) {
			worker_turns_to(r->part);
			(void)work_note(&w->work,
			    why == ENDED_SETTLED ? WORK_SETTLE
			    : why == ENDED_DEAD	 ? WORK_DEAD
						 : WORK_RETRY,
			    0, worker_number(r->part, e->seq), 0);
		} else {
			log_notice("%s:%llu: its lease has ended: the run is ended",
			    r->part->source.shown, (unsigned long long)e->seq);
			r->lost = true;
			run_terminate(r, clock_mono());
		}
	}
}

static void on_lease_ended(
    void *arg, uint32_t sub, enum lease_end why, uint64_t lease, uint64_t first, uint32_t count)
{
	struct worker_part *p = arg;
	struct worker *w = p->w;
	(void)sub;
	w->taken -= jobs_cut(&p->waiting, lease, first, count);
	for (uint32_t i = 0; i < w->o->work.config.parallel; i++)
		if (w->runs[i].pid && w->runs[i].part == p)
			take_from_run(w, &w->runs[i], why, lease, first, count);
}

/* ---- what the client says ---- */

static void on_done(void *arg, const struct client_command *cmd, struct slice stale)
{
	(void)stale;
	if (cmd->tag)
		verdict_done(((struct worker_part *)arg)->w, cmd->tag);
}

static void on_settle_sent(void *arg, const struct client_command *cmd, uint64_t first_seq,
    uint32_t count, struct slice stale)
{
	(void)first_seq, (void)count;
	on_done(arg, cmd, stale);
}

static enum client_verdict on_failed(void *arg, const struct client_command *cmd,
    enum rmq_error code, uint32_t at, struct slice text)
{
	struct worker *w = ((struct worker_part *)arg)->w;
	(void)at;
	if (cmd->tag)
		verdict_refused(w, cmd->tag, code, text);
	else if (code != RMQ_E_NO_QUEUE)
		/* A queue that is gone has nothing to be settled. */
		worker_end_with(w, code, "%.*s", (int)text.len, (const char *)text.data);
	return CLIENT_DROP;
}

static void on_subscribed(void *arg, uint32_t sub, uint32_t lease_ms)
{
	struct worker_part *p = arg;
	struct worker *w = p->w;
	source_subscribed(&p->source, p->io.client, sub);
	supply_note(&p->supply, SUPPLY_UNKNOWN);
	p->lease_ms = lease_ms;
	w->heard = clock_mono();
	/* Its settings, of the queue that is there now. */
	if (!p->listing)
		(void)client_list(p->io.client, w->heard, slice_str(""), p->source.queue, 1);
	p->listing = true;
}

static void on_listed(void *arg, const struct wire_listed *row)
{
	struct worker_part *p = arg;
	p->backoff_min_ms = row->backoff_min_ms;
	p->backoff_max_ms = row->backoff_max_ms;
	p->max_attempts = name_is_dead(p->source.queue) ? 0 : row->max_attempts;
}

static void on_list_end(void *arg, uint32_t req, bool more)
{
	struct worker_part *p = arg;
	(void)req, (void)more;
	p->listing = false;
}

static void on_sub_failed(void *arg, uint32_t sub, enum rmq_error code, struct slice text)
{
	struct worker_part *p = arg;
	(void)sub;
	supply_note(&p->supply, SUPPLY_ENDED);
	worker_end_with(p->w, code, "%.*s", (int)text.len, (const char *)text.data);
}

static void on_idle(void *arg, uint32_t sub, uint64_t leased, uint64_t delayed)
{
	struct worker_part *p = arg;
	(void)sub;
	supply_note(&p->supply, leased == 0 && delayed == 0 ? SUPPLY_DRAINED : SUPPLY_IDLE);
}

static void on_held_back(void *arg, uint32_t sub)
{
	struct worker_part *p = arg;
	(void)sub;
	supply_note(&p->supply, SUPPLY_HELD_BACK);
}

static void on_unsubscribed(void *arg, uint32_t sub)
{
	struct worker_part *p = arg;
	(void)sub;
	supply_note(&p->supply, SUPPLY_ENDED);
	stay_subscribed(p);
}

/* What runs for the part has lost its lease, as far as anybody here can tell. */
static void on_fatal(void *arg, enum rmq_error code, struct slice text)
{
	struct worker_part *p = arg;
	struct worker *w = p->w;
	char why[CLIENT_IO_WHY_MAX];
	bool alive = false;
	p->dead = true;
	supply_note(&p->supply, SUPPLY_ENDED);
	for (uint32_t i = 0; i < w->count; i++)
		alive |= !w->parts[i].dead;
	if (!alive)
		w->phase = WORKER_DEAD;
	for (uint32_t i = 0; alive && i < w->o->work.config.parallel; i++) {
		struct run *r = &w->runs[i];
		if (!r->pid || r->part != p)
			continue;
		r->lost = true;
		run_terminate(r, clock_mono());
	}
	text = client_io_why(&p->io, code, text, why);
	worker_end_with(w, code, "%.*s", (int)text.len, (const char *)text.data);
}

/* ---- credit ---- */

static bool nothing_in_hand(const struct worker_part *p)
{
	return p->dead ||
	       (p->waiting.count == 0 && client_unanswered(p->io.client) == 0 &&
		   p->settle.count + p->fail.count + p->bury.count + p->release.count == 0);
}

static struct supply_view view(const struct worker_part *p, struct mono_time now)
{
	const struct worker *w = p->w;
	return (struct supply_view){.supply = p->supply,
	    .taken = w->taken,
	    .quiet_ms = now.ms - w->heard.ms,
	    .nothing_in_hand = nothing_in_hand(p) && w->work.running == 0,
	    .welcomed = client_welcomed(p->io.client)};
}

static struct supply_view view_all(const struct worker *w, struct mono_time now)
{
	struct supply_view all = view(&w->parts[0], now);
	for (uint32_t i = 1; i < w->count; i++) {
		struct supply_view one = view(&w->parts[i], now);
		supply_join(&all, &one);
	}
	return all;
}

/* Messages that wait here, of whatever part: so many fewer are wanted of the others. */
static uint64_t waiting(const struct worker *w)
{
	uint64_t count = 0;
	for (uint32_t i = 0; i < w->count; i++)
		count += w->parts[i].waiting.count;
	return count;
}

static void give_credit(struct worker_part *p)
{
	struct worker *w = p->w;
	struct mono_time now = clock_mono();
	uint32_t messages, bytes;
	if (w->phase != WORKER_RUNNING || w->code || p->supply == SUPPLY_ENDED ||
	    client_lacks_room(p->io.client))
		return;
	struct supply_view here = view(p, now);
	struct supply_stock stock = {.target = work_wanted(&w->work, now),
	    .held = waiting(w),
	    .bytes = p->waiting.bytes,
	    .bytes_target = supply_bytes(w->count),
	    .given = client_credit_messages(p->io.client, p->sub),
	    .given_bytes = client_credit_bytes(p->io.client, p->sub)};
	if (supply_credit(&w->o->end, &here, &stock, &p->supply, &messages, &bytes))
		client_credit(p->io.client, p->sub, messages, bytes);
}

/* ---- the end ---- */

static void on_signal(struct worker *w)
{
	int signal = signals_caught();
	w->signalled = true;
	if (signal != SIGTERM || !supply_for_ever(&w->o->end))
		w->signal = signal;
	enter(w, WORKER_ENDING);
}

/* Whoever read what the runs print is gone: so are they, one after the other. */
static void on_unread(struct worker *w)
{
	w->unread = true;
	w->signal = SIGPIPE;
	enter(w, WORKER_ENDING);
}

static void end_runs(struct worker *w)
{
	for (uint32_t i = 0; i < w->o->work.config.parallel; i++)
		run_terminate(&w->runs[i], clock_mono());
}

/*
 * Whether it has to end though the daemon has not heard all: it was told to, or stops, and no run
 * is left.  What waits for room that long goes back; what it holds at the end comes back as that of
 * one that has died.
 */
static bool has_tried(struct worker *w, struct mono_time now)
{
	if (w->phase != WORKER_ENDING || !worker_is_told_to_end(w) || w->work.running > 0)
		return false;
	if (w->parting_at.ms == 0)
		w->parting_at = now;
	for (uint32_t i = 0; i < w->count; i++)
		if (now.ms - w->parting_at.ms >= PARTING_ROOM_MS)
			client_io_wait_no_more(&w->parts[i].io);
	return now.ms - w->parting_at.ms >= PARTING_MAX_MS;
}

/* ENDING: whether all is done. */
static bool is_done(const struct worker *w)
{
	uint32_t i = 0;
	while (
	    i < w->count && w->parts[i].supply == SUPPLY_ENDED && nothing_in_hand(&w->parts[i]))
		i++;
	return w->phase == WORKER_ENDING && w->work.running == 0 && i == w->count;
}

/* true: all is done. */
static bool advance(struct worker *w)
{
	struct mono_time now = clock_mono();
	struct supply_view v = view_all(w, now);
	if (has_tried(w, now)) {
		w->phase = WORKER_DEAD;
		return true;
	}
	if (w->phase == WORKER_DEAD) {
		end_runs(w);
		return w->work.running == 0;
	}
	if (w->phase == WORKER_RUNNING &&
	    (w->code || w->work.stopped || supply_is_over(&w->o->end, &v))) {
		w->drained = v.supply == SUPPLY_DRAINED;
		enter(w, WORKER_ENDING);
	}
	return is_done(w);
}

/* ---- the loop ---- */

static int next_timer_of(struct worker_part *p, struct mono_time now, int timeout_ms)
{
	struct worker *w = p->w;
	struct mono_time came = p->waiting.head ? p->waiting.head->came : now;
	struct supply_view v = view(p, now);
	if (w->phase != WORKER_RUNNING)
		return timeout_ms;
	timeout_ms = client_io_sooner(
	    timeout_ms, work_due_ms(&w->work, now, is_held_up(p) ? 0 : p->waiting.count, came));
	return client_io_sooner(
	    timeout_ms, supply_tick(&w->o->end, &v, p->source.shown, &p->said_held_back));
}

static int next_timer(struct worker *w, int timeout_ms)
{
	struct mono_time now = clock_mono();
	uint64_t due = UINT64_MAX;
	for (uint32_t i = 0; i < w->count; i++)
		timeout_ms = next_timer_of(&w->parts[i], now, timeout_ms);
	for (uint32_t i = 0; i < w->o->work.config.parallel; i++) {
		uint64_t at = run_tick(&w->runs[i], now).ms;
		due = at < due ? at : due;
	}
	if (due < UINT64_MAX)
		timeout_ms = client_io_sooner(timeout_ms, due > now.ms ? due - now.ms : 0);
	if (w->parting_at.ms > 0)
		timeout_ms = client_io_sooner(timeout_ms, PARTING_MAX_MS / 10);
	/* Without a connection, the subscription's end is told before the wait. */
	return is_done(w) ? 0 : timeout_ms;
}

static void read_runs(struct worker *w)
{
	for (uint32_t i = 0; i < w->o->work.config.parallel; i++)
		if (w->runs[i].pid)
			run_read(&w->runs[i],
			    printer_is_behind(&w->errors) ? NULL : printer_text(&w->errors));
	/* What nobody takes of it is lost to them, not to us. */
	(void)!printer_write(&w->errors);
}

/* What the connections wait for; how long. */
static int prepare_connections(struct worker *w, struct pollfd *p)
{
	int timeout_ms = -1, part_ms;
	for (uint32_t i = 0; i < w->count; i++) {
		p[i] = client_io_prepare(&w->parts[i].io, &part_ms);
		if (part_ms >= 0 && !(w->parts[i].dead && w->count > 1))
			timeout_ms = client_io_sooner(timeout_ms, (uint64_t)part_ms);
		if (w->phase == WORKER_DEAD)
			p[i].fd = -1;
	}
	/* It may have died a moment ago, with no run whose end would wake us. */
	if (w->phase == WORKER_DEAD)
		timeout_ms = w->work.running > 0 ? -1 : 0;
	return timeout_ms;
}

static void turn(struct worker *w)
{
	struct pollfd *p = w->polls;
	int timeout_ms = prepare_connections(w, p + 4);
	bool watched = !w->o->work.to && !w->o->work.results && output_notices_close(&w->out) &&
		       !w->unread && w->phase != WORKER_DEAD;
	p[0] = (struct pollfd){w->signalled ? -1 : signals_fd(), POLLIN, 0};
	p[1] = (struct pollfd){w->children, POLLIN, 0};
	p[2] = (struct pollfd){watched ? w->out.fd : -1, 0, 0};
	p[3] = printer_poll(&w->errors);
	size_t n = 4 + w->count;
	for (uint32_t i = 0; i < w->o->work.config.parallel; i++)
		if (w->runs[i].pid)
			n += run_poll(&w->runs[i], p + n, !printer_is_behind(&w->errors));
	if (poll(p, n, next_timer(w, timeout_ms)) < 0)
		return;
	if (p[0].revents)
		on_signal(w);
	read_runs(w);
	if (p[1].revents)
		reap(w);
	/* What a run did itself with rmq-ack has come by its end. */
	for (uint32_t i = 0; i < w->count; i++)
		if (w->phase != WORKER_DEAD)
			client_io_turn(&w->parts[i].io, p[4 + i].revents);
	if (p[2].revents & (POLLERR | POLLHUP | POLLNVAL))
		on_unread(w);
}

static void say_bye(struct worker *w)
{
	struct client_io *ios[CELLS_MAX];
	for (uint32_t i = 0; i < w->count; i++)
		ios[i] = &w->parts[i].io;
	if (!client_io_bye_all(ios, w->count, w->signalled ? -1 : signals_fd(), PARTING_MAX_MS))
		on_signal(w);
}

void worker_run(struct worker *w)
{
	do {
		turn(w);
		judge_all(w);
		start_runs(w);
		for (uint32_t i = 0; i < w->count; i++) {
			verdict_flush(&w->parts[i]);
			give_credit(&w->parts[i]);
		}
	} while (!advance(w));
	(void)!printer_finish(&w->errors);
	if (w->phase != WORKER_DEAD)
		say_bye(w);
}

int worker_finish(struct worker *w)
{
	if (w->code)
		log_error("%s: %s", w->about ? w->about : w->o->queue, w->why);
	if (w->signal)
		signals_die(w->signal);
	if (w->code)
		return error_exit(w->code);
	/* Who ends a worker that was to run for ever wants to know of no message. */
	if (w->signalled && !w->work.stopped)
		return 0;
	int status = work_exit(&w->work, w->drained);
	if (status)
		return status;
	if (w->bad > 0)
		return error_exit(RMQ_E_BAD_DATA);
	if (w->taken == 0 && w->o->end.wait_ms != UNITS_INFINITY &&
	    w->o->end.drain == DRAIN_NO && !w->signalled)
		return error_exit(RMQ_E_NOTHING);
	return 0;
}

/* ---- life ---- */

static int open_children(void)
{
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigprocmask(SIG_BLOCK, &set, NULL);
	return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

static enum rmq_error open_part(struct worker *w, uint32_t i, struct reason *why)
{
	const struct recv_options *o = w->o;
	struct worker_part *p = &w->parts[i];
	struct client_config config = {.window = WINDOW, .timeout_ms = o->common.timeout_ms};
	struct client_host host = {.arg = p,
	    .done = on_done,
	    .settle_sent = on_settle_sent,
	    .failed = on_failed,
	    .subscribed = on_subscribed,
	    .sub_failed = on_sub_failed,
	    .deliver = on_deliver,
	    .lease_ended = on_lease_ended,
	    .idle = on_idle,
	    .held_back = on_held_back,
	    .unsubscribed = on_unsubscribed,
	    .listed = on_listed,
	    .list_end = on_list_end,
	    .fatal = on_fatal};
	p->w = w;
	p->index = i;
	p->settle = (struct settling){.verb = VERB_SETTLE};
	p->release = (struct settling){.verb = VERB_RELEASE};
	p->fail = (struct settling){.verb = VERB_RELEASE, .flags = SETTLE_COUNTED};
	p->bury =
	    (struct settling){.verb = VERB_DEAD, .why = "cannot be passed to the command"};
	p->backoff_min_ms = BACKOFF_MIN_MS_DEFAULT;
	p->backoff_max_ms = BACKOFF_MAX_MS_DEFAULT;
	p->max_attempts = MAX_ATTEMPTS_DEFAULT;
	source_init(&p->source, o, i);
	enum rmq_error err = source_open(&p->io, o, i, &config, &host, why);
	if (err)
		return err;
	w->count++;
	w->heard = clock_mono();
	p->sub = source_subscribe(&p->source, p->io.client, w->heard, o);
	return RMQ_E_OK;
}

static uint32_t parts_of(const struct recv_options *o)
{
	return o->cells ? o->cells->cells.count : 1;
}

static enum rmq_error open_parts(struct worker *w, struct reason *why)
{
	enum rmq_error err = RMQ_E_OK;
	for (uint32_t i = 0; i < parts_of(w->o) && !err; i++)
		err = open_part(w, i, why);
	for (uint32_t i = 0; i < w->count && !err; i++)
		give_credit(&w->parts[i]);
	return err;
}

static enum rmq_error open_memory(struct worker *w, struct reason *why)
{
	struct work_config config = w->o->work.config;
	config.seed = clock_mono().ms << 20 ^ (uint64_t)getpid();
	w->runs = calloc(config.parallel, sizeof(*w->runs));
	w->polls =
	    calloc(4 + parts_of(w->o) + (size_t)config.parallel * RUN_POLLS, sizeof(*w->polls));
	w->parts = calloc(parts_of(w->o), sizeof(*w->parts));
	if (!work_init(&w->work, &config) || !w->runs || !w->polls || !w->parts ||
	    !environment_init(&w->environment, &w->o->common))
		return reason_set(why, RMQ_E_LIMIT, "out of memory");
	for (uint32_t i = 0; i < config.parallel; i++) {
		w->runs[i].out = w->runs[i].err = w->runs[i].errors = -1;
		w->runs[i].output_most = BATCH_MAX;
	}
	return RMQ_E_OK;
}

enum rmq_error worker_open(
    struct worker *w, const struct recv_options *o, int *status, struct reason *why)
{
	rlim_t least = DESCRIPTORS + (rlim_t)DESCRIPTORS_RUN * o->work.config.parallel +
		       DESCRIPTORS_PART * (rlim_t)(parts_of(o) - 1),
	       now;
	*w = (struct worker){.o = o, .form = o->work.form, .children = -1};
	int error = spawn_find(o->work.command[0], &w->path);
	*status = spawn_exit(error);
	if (error)
		return reason_set(
		    why, RMQ_E_NOTHING, "%s: %s", o->work.command[0], strerror(error));
	enum rmq_error err = startup_descriptors(least, &w->nofile, &now, why);
	/* A supervisor may have forbidden to change it: then it is as it was. */
	w->spawn.nofile = now > w->nofile.rlim_cur ? &w->nofile : NULL;
	if (!err)
		err = open_memory(w, why);
	error = err ? 0 : printer_open(&w->errors, STDERR_FILENO, -1);
	if (!err && !error)
		error = output_open(&w->out, STDOUT_FILENO);
	if (!err && !error && (w->children = open_children()) < 0)
		error = errno;
	if (error)
		err = reason_set(why, RMQ_E_IO, "%s", strerror(error));
	if (!err)
		err = results_init(&w->results, &o->work, why);
	if (!err)
		err = open_parts(w, why);
	*status = error_exit(err);
	return err;
}

/* Those whose answer has not come. */
static void free_outcomes(struct worker_part *p)
{
	const struct client_command *cmd = client_oldest(p->io.client);
	for (; cmd; cmd = cmd->next)
		if (cmd->tag)
			verdict_free(cmd->tag);
}

static void close_part(struct worker_part *p)
{
	free_outcomes(p);
	client_io_close(&p->io);
	jobs_free(&p->waiting);
	free(p->settle.entries);
	free(p->release.entries);
	free(p->fail.entries);
	free(p->bury.entries);
}

void worker_close(struct worker *w)
{
	for (uint32_t i = 0; i < w->count; i++)
		close_part(&w->parts[i]);
	for (uint32_t i = 0; i < w->o->work.config.parallel; i++)
		run_deinit(&w->runs[i]);
	free(w->parts);
	free(w->runs);
	free(w->polls);
	results_deinit(&w->results);
	work_deinit(&w->work);
	environment_deinit(&w->environment);
	text_deinit(&w->path);
	text_deinit(&w->input);
	printer_deinit(&w->errors);
	if (w->children >= 0)
		close(w->children);
}
