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

#define WINDOW		16 /* commands in flight */
#define PARTING_MAX_MS	10000
#define PARTING_ROOM_MS 2000
#define SMALL_BODY	4096 /* what fits wherever COMMAND does */
#define DESCRIPTORS	16   /* besides those of runs */
#define DESCRIPTORS_RUN 6

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

struct slice worker_queue(const struct worker *w)
{
	return w->source.queue;
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
	struct outcome o = {.jobs = r->jobs,
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
		    w->o->queue, (unsigned long long)r->jobs.head->envelope.seq, BATCH_MAX,
		    BATCH_MESSAGES_MAX);
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

static void enter(struct worker *w, enum worker_phase phase)
{
	if (phase <= w->phase)
		return;
	w->phase = phase;
	verdict_release_waiting(w);
	if (w->supply == SUPPLY_ENDED)
		return;
	if (client_credit_messages(w->io.client, w->sub) == 0)
		supply_note(&w->supply, SUPPLY_ENDED);
	else
		client_unsubscribe(w->io.client, w->sub);
}

/*
 * Without a subscription a new connection would not be told what is held: one without credit
 * stays for as long as there are runs.
 */
static void stay_subscribed(struct worker *w)
{
	if (w->work.running > 0)
		w->sub = client_subscribe(w->io.client, clock_mono(), worker_queue(w),
		    SUBSCRIBE_NO_CREATE | SUBSCRIBE_STARTS, w->o->lease_ms);
}

/* Nothing was run, and nothing has become of its messages. */
static void call_off(struct worker *w, struct run *r, enum work_verdict verdict, int code)
{
	struct outcome o = {.jobs = r->jobs, .verdict = verdict, .code = code, .reason = ""};
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
		log_error("%s: %s: %s", w->o->queue, w->o->work.command[0], strerror(error));
	call_off(w, r, work_judge(&w->work, &ended), ended.code);
}

/* The message cannot be passed to COMMAND; false: it ends here. */
static bool take_bad(struct worker *w, uint64_t lease, uint64_t seq, const char *why)
{
	if (!w->o->skip_bad) {
		verdict_add(w, &w->fail, lease, seq, 1);
		worker_end_with(
		    w, RMQ_E_BAD_DATA, "message %llu %s", (unsigned long long)seq, why);
		return false;
	}
	verdict_add(w, &w->bury, lease, seq, 1);
	w->bad++;
	if (!w->o->common.quiet)
		fprintf(stderr, "rmq-recv: %s: message %llu %s\n", w->o->queue,
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
	(void)take_bad(w, e->lease, e->seq, "is too long for all arguments together");
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
		e.until.ms = clock_wall().ms + w->lease_ms;
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
	if (!error && !environment_set(&w->environment, worker_queue(w),
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
static bool vouched(const struct worker *w, uint64_t count, struct mono_time now)
{
	for (const struct job *j = w->waiting.head; count-- > 0; j = j->next)
		if (!client_vouches(w->io.client, j->envelope.lease, j->envelope.seq, now))
			return false;
	return true;
}

/* Messages that follow each other under one lease are named together. */
static void say_started(struct worker *w, const struct jobs *jobs)
{
	const struct job *j = jobs->head;
	while (j) {
		const struct envelope *first = &j->envelope;
		uint32_t count = 0;
		for (; j && j->envelope.lease == first->lease &&
		       j->envelope.seq == first->seq + count;
		     j = j->next)
			count++;
		client_started(w->io.client, worker_queue(w), first->lease, first->seq, count);
	}
}

/* Whether a run would be in vain, or what comes of it had to wait: for room, or for answers. */
static bool is_held_up(const struct worker *w)
{
	/* Which try is the last one, and so what a run comes to, the queue's settings say. */
	return client_lacks_room(w->io.client) || !client_has_room(w->io.client) || w->listing;
}

/* Takes messages for a run, and says so.  NULL: none starts now. */
static struct run *prepare(struct worker *w, struct mono_time now)
{
	bool more = w->taken < w->o->end.count;
	if (w->phase != WORKER_RUNNING || !w->waiting.head || is_held_up(w))
		return NULL;
	uint32_t fits = 0, most = w->o->work.config.batch;
	const struct job *j = w->waiting.head;
	for (; j && work_joins(&w->work, fits, &most, j->envelope.failures); j = j->next)
		fits++;
	/* If another is there and does not join them, nothing is to be waited for. */
	uint32_t count =
	    work_takes(&w->work, now, fits, most, w->waiting.head->came, more && !j);
	if (count == 0 || !vouched(w, count, now))
		return NULL;
	uint32_t slot = work_start(&w->work, now);
	struct run *r = &w->runs[slot];
	r->slot = slot;
	jobs_move(&w->waiting, &r->jobs, count);
	say_started(w, &r->jobs);
	return r;
}

/* All that may start now; the daemon hears of it first. */
static void start_runs(struct worker *w)
{
	struct mono_time now = clock_mono();
	struct run *r;
	uint32_t first = w->work.running;
	if (w->waiting.head && work_is_stale(&w->work, now, w->waiting.head->came))
		verdict_release_waiting(w);
	while ((r = prepare(w, now)))
		r->pid = -1;
	if (w->work.running == first)
		return;
	client_io_flush(&w->io);
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
	struct worker *w = arg;
	uint64_t wanted =
	    w->o->end.count == UINT64_MAX ? UINT64_MAX : w->o->end.count - w->taken;
	w->heard = clock_mono();
	supply_note(&w->supply, SUPPLY_UNKNOWN);
	if (w->phase != WORKER_RUNNING || w->code)
		wanted = 0;
	uint32_t keep = wanted < d->count ? (uint32_t)wanted : d->count;
	verdict_add(w, &w->release, d->lease, d->first_seq + keep, d->count - keep);
	for (uint32_t i = 0; i < keep; i++) {
		struct envelope e = envelope_of(d, worker_queue(w), i, &w->cursors);
		const char *why = payload_bad(&w->form, e.body);
		if (why && !take_bad(w, d->lease, e.seq, why)) {
			verdict_add(w, &w->release, d->lease, e.seq + 1, d->count - i - 1);
			return;
		}
		if (why)
			continue;
		w->taken++;
		if (!jobs_add(&w->waiting, &e, w->heard)) {
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
			(void)work_note(&w->work,
			    why == ENDED_SETTLED ? WORK_SETTLE
			    : why == ENDED_DEAD	 ? WORK_DEAD
						 : WORK_RETRY,
			    0, e->seq, 0);
		} else {
			log_notice("%s:%llu: its lease has ended: the run is ended",
			    w->o->queue, (unsigned long long)e->seq);
			r->lost = true;
			run_terminate(r, clock_mono());
		}
	}
}

static void on_lease_ended(
    void *arg, uint32_t sub, enum lease_end why, uint64_t lease, uint64_t first, uint32_t count)
{
	struct worker *w = arg;
	(void)sub;
	w->taken -= jobs_cut(&w->waiting, lease, first, count);
	for (uint32_t i = 0; i < w->o->work.config.parallel; i++)
		if (w->runs[i].pid)
			take_from_run(w, &w->runs[i], why, lease, first, count);
}

/* ---- what the client says ---- */

static void on_done(void *arg, const struct client_command *cmd, struct slice stale)
{
	(void)stale;
	if (cmd->tag)
		verdict_done(arg, cmd->tag);
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
	(void)at;
	if (cmd->tag)
		verdict_refused(arg, cmd->tag, code, text);
	else if (code != RMQ_E_NO_QUEUE)
		/* A queue that is gone has nothing to be settled. */
		worker_end_with(arg, code, "%.*s", (int)text.len, (const char *)text.data);
	return CLIENT_DROP;
}

static void on_subscribed(void *arg, uint32_t sub, uint32_t lease_ms)
{
	struct worker *w = arg;
	source_subscribed(&w->source, w->io.client, sub);
	supply_note(&w->supply, SUPPLY_UNKNOWN);
	w->lease_ms = lease_ms;
	w->heard = clock_mono();
	/* Its settings, of the queue that is there now. */
	if (!w->listing)
		(void)client_list(w->io.client, w->heard, slice_str(""), worker_queue(w), 1);
	w->listing = true;
}

static void on_listed(void *arg, const struct wire_listed *row)
{
	struct worker *w = arg;
	bool dead = name_is_dead(worker_queue(w));
	work_settings(
	    &w->work, row->backoff_min_ms, row->backoff_max_ms, dead ? 0 : row->max_attempts);
}

static void on_list_end(void *arg, uint32_t req, bool more)
{
	struct worker *w = arg;
	(void)req, (void)more;
	w->listing = false;
}

static void on_sub_failed(void *arg, uint32_t sub, enum rmq_error code, struct slice text)
{
	struct worker *w = arg;
	(void)sub;
	supply_note(&w->supply, SUPPLY_ENDED);
	worker_end_with(w, code, "%.*s", (int)text.len, (const char *)text.data);
}

static void on_idle(void *arg, uint32_t sub, uint64_t leased, uint64_t delayed)
{
	struct worker *w = arg;
	(void)sub;
	supply_note(&w->supply, leased == 0 && delayed == 0 ? SUPPLY_DRAINED : SUPPLY_IDLE);
}

static void on_held_back(void *arg, uint32_t sub)
{
	struct worker *w = arg;
	(void)sub;
	supply_note(&w->supply, SUPPLY_HELD_BACK);
}

static void on_unsubscribed(void *arg, uint32_t sub)
{
	struct worker *w = arg;
	(void)sub;
	supply_note(&w->supply, SUPPLY_ENDED);
	stay_subscribed(w);
}

static void on_fatal(void *arg, enum rmq_error code, struct slice text)
{
	struct worker *w = arg;
	char why[CLIENT_IO_WHY_MAX];
	w->phase = WORKER_DEAD;
	text = client_io_why(&w->io, code, text, why);
	worker_end_with(w, code, "%.*s", (int)text.len, (const char *)text.data);
}

/* ---- credit ---- */

static bool nothing_in_hand(const struct worker *w)
{
	return w->waiting.count == 0 && w->work.running == 0 &&
	       client_unanswered(w->io.client) == 0 &&
	       w->settle.count + w->fail.count + w->bury.count + w->release.count == 0;
}

static struct supply_view view(const struct worker *w, struct mono_time now)
{
	return (struct supply_view){.supply = w->supply,
	    .taken = w->taken,
	    .quiet_ms = now.ms - w->heard.ms,
	    .nothing_in_hand = nothing_in_hand(w),
	    .welcomed = client_welcomed(w->io.client)};
}

static void give_credit(struct worker *w)
{
	struct mono_time now = clock_mono();
	uint32_t messages, bytes;
	if (w->phase != WORKER_RUNNING || w->code || w->supply == SUPPLY_ENDED ||
	    client_lacks_room(w->io.client))
		return;
	struct supply_view here = view(w, now);
	struct supply_stock stock = {.target = work_wanted(&w->work, now),
	    .held = w->waiting.count,
	    .bytes = w->waiting.bytes,
	    .given = client_credit_messages(w->io.client, w->sub),
	    .given_bytes = client_credit_bytes(w->io.client, w->sub)};
	if (supply_credit(&w->o->end, &here, &stock, &w->supply, &messages, &bytes))
		client_credit(w->io.client, w->sub, messages, bytes);
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
	if (now.ms - w->parting_at.ms >= PARTING_ROOM_MS)
		client_io_wait_no_more(&w->io);
	return now.ms - w->parting_at.ms >= PARTING_MAX_MS;
}

/* true: all is done. */
static bool advance(struct worker *w)
{
	struct mono_time now = clock_mono();
	struct supply_view v = view(w, now);
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
		w->drained = w->supply == SUPPLY_DRAINED;
		enter(w, WORKER_ENDING);
	}
	return w->phase == WORKER_ENDING && w->supply == SUPPLY_ENDED && nothing_in_hand(w);
}

/* ---- the loop ---- */

static int next_timer(struct worker *w, int timeout_ms)
{
	struct mono_time now = clock_mono();
	struct mono_time came = w->waiting.head ? w->waiting.head->came : now;
	struct supply_view v = view(w, now);
	uint64_t due = UINT64_MAX;
	if (w->phase == WORKER_RUNNING)
		timeout_ms = client_io_sooner(timeout_ms,
		    work_due_ms(&w->work, now, is_held_up(w) ? 0 : w->waiting.count, came));
	for (uint32_t i = 0; i < w->o->work.config.parallel; i++) {
		uint64_t at = run_tick(&w->runs[i], now).ms;
		due = at < due ? at : due;
	}
	if (due < UINT64_MAX)
		timeout_ms = client_io_sooner(timeout_ms, due > now.ms ? due - now.ms : 0);
	if (w->phase == WORKER_RUNNING)
		timeout_ms = client_io_sooner(
		    timeout_ms, supply_tick(&w->o->end, &v, w->o->queue, &w->said_held_back));
	if (w->parting_at.ms > 0)
		timeout_ms = client_io_sooner(timeout_ms, PARTING_MAX_MS / 10);
	/* Without a connection, the subscription's end is told before the wait. */
	if (w->phase == WORKER_ENDING && w->supply == SUPPLY_ENDED && nothing_in_hand(w))
		return 0;
	return timeout_ms;
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

static void turn(struct worker *w)
{
	int timeout_ms;
	struct pollfd *p = w->polls;
	p[0] = client_io_prepare(&w->io, &timeout_ms);
	bool watched = !w->o->work.to && !w->o->work.results && output_notices_close(&w->out) &&
		       !w->unread && w->phase != WORKER_DEAD;
	p[1] = (struct pollfd){w->signalled ? -1 : signals_fd(), POLLIN, 0};
	p[2] = (struct pollfd){w->children, POLLIN, 0};
	p[3] = (struct pollfd){watched ? w->out.fd : -1, 0, 0};
	p[4] = printer_poll(&w->errors);
	size_t n = 5;
	for (uint32_t i = 0; i < w->o->work.config.parallel; i++)
		if (w->runs[i].pid)
			n += run_poll(&w->runs[i], p + n, !printer_is_behind(&w->errors));
	if (w->phase == WORKER_DEAD) {
		p[0].fd = -1;
		/* It may have died a moment ago, with no run whose end would wake us. */
		timeout_ms = w->work.running > 0 ? -1 : 0;
	}
	if (poll(p, n, next_timer(w, timeout_ms)) < 0)
		return;
	if (p[1].revents)
		on_signal(w);
	read_runs(w);
	if (p[2].revents)
		reap(w);
	/* What a run did itself with rmq-ack has come by its end. */
	if (w->phase != WORKER_DEAD)
		client_io_turn(&w->io, p[0].revents);
	if (p[3].revents & (POLLERR | POLLHUP | POLLNVAL))
		on_unread(w);
}

void worker_run(struct worker *w)
{
	do {
		turn(w);
		judge_all(w);
		start_runs(w);
		verdict_flush(w);
		give_credit(w);
	} while (!advance(w));
	(void)!printer_finish(&w->errors);
	if (w->phase != WORKER_DEAD &&
	    !client_io_bye(&w->io, w->signalled ? -1 : signals_fd(), PARTING_MAX_MS))
		on_signal(w);
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

static enum rmq_error open_client(struct worker *w, struct reason *why)
{
	const struct recv_options *o = w->o;
	struct client_config config = {.window = WINDOW, .timeout_ms = o->common.timeout_ms};
	struct client_host host = {.arg = w,
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
	enum rmq_error err = client_io_open(&w->io, &o->common, &config, &host, why);
	if (err)
		return err;
	w->heard = clock_mono();
	w->sub = source_subscribe(&w->source, w->io.client, w->heard, o);
	return RMQ_E_OK;
}

static enum rmq_error open_memory(struct worker *w, struct reason *why)
{
	struct work_config config = w->o->work.config;
	config.seed = clock_mono().ms << 20 ^ (uint64_t)getpid();
	w->runs = calloc(config.parallel, sizeof(*w->runs));
	w->polls = calloc(5 + (size_t)config.parallel * RUN_POLLS, sizeof(*w->polls));
	if (!work_init(&w->work, &config) || !w->runs || !w->polls ||
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
	rlim_t least = DESCRIPTORS + (rlim_t)DESCRIPTORS_RUN * o->work.config.parallel, now;
	*w = (struct worker){.o = o,
	    .form = o->work.form,
	    .children = -1,
	    .settle = {.verb = VERB_SETTLE},
	    .release = {.verb = VERB_RELEASE},
	    .fail = {.verb = VERB_RELEASE, .flags = SETTLE_COUNTED},
	    .bury = {.verb = VERB_DEAD, .why = "cannot be passed to the command"}};
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
		err = open_client(w, why);
	*status = error_exit(err);
	if (!err)
		give_credit(w);
	return err;
}

/* Those whose answer has not come. */
static void free_outcomes(struct worker *w)
{
	const struct client_command *cmd = w->io.client ? client_oldest(w->io.client) : NULL;
	for (; cmd; cmd = cmd->next)
		if (cmd->tag)
			verdict_free(cmd->tag);
}

void worker_close(struct worker *w)
{
	free_outcomes(w);
	client_io_close(&w->io);
	for (uint32_t i = 0; i < w->o->work.config.parallel; i++)
		run_deinit(&w->runs[i]);
	free(w->runs);
	free(w->polls);
	jobs_free(&w->waiting);
	results_deinit(&w->results);
	work_deinit(&w->work);
	environment_deinit(&w->environment);
	text_deinit(&w->path);
	text_deinit(&w->input);
	printer_deinit(&w->errors);
	free(w->settle.entries);
	free(w->release.entries);
	free(w->fail.entries);
	free(w->bury.entries);
	if (w->children >= 0)
		close(w->children);
}
