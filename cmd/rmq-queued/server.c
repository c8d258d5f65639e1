#include "server.h"

#include <errno.h>
#include <inttypes.h>
#include <sodium/randombytes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "deliver.h"
#include "sys/process/clock.h"
#include "sys/store/guard.h"

/* A connection's id: a serial number that is never used again, and its slot. */
#define SLOT_BITS 16
#define SLOT_MASK ((1u << SLOT_BITS) - 1)
static_assert(CONNS_MAX <= 1u << SLOT_BITS, "a slot's number fits into a connection's id");

/* Records are moved while less than this is in flight, and so much in a turn. */
#define MOVE_INFLIGHT_BYTES (1u << 20)
#define MOVE_TURN_BYTES	    (64u << 10)

#define ACCEPT_RETRY_MS 1000
#define SILENT_MS	1000 /* a connection without HELLO for so long gives way to another */
#define FAREWELL_MS	1000
/* A drain ends when the journal stores nothing for so long: its disk is full, or hangs. */
#define STALL_MS 5000
/* The journal claims room in steps: it is short of it for good after so long. */
#define STARVING_MS 1000
/* What is for other cells waits so long for a forwarder: one that begins anew is there by then. */
#define UNTAKEN_MS 10000
/* A journal of a cluster is asked so often, and is silent when so many times nothing has come. */
#define PROBE_MS   1000
#define PROBES_MAX 3
/* While the log is read, its PINGs are answered so often. */
#define ANSWER_MS 100

/* ---- the broker's host ---- */

static struct conn *find(struct server *s, uint64_t id)
{
	struct conn *c = s->conns[id & SLOT_MASK];
	return c && c->id == id ? c : NULL;
}

static void host_append(void *arg, uint64_t n, enum record_kind kind, struct slice payload)
{
	struct server *s = arg;
	journal_append(&s->journal, n, kind, payload);
}

static void host_barrier(void *arg, uint64_t id)
{
	struct server *s = arg;
	journal_barrier(&s->journal, id);
}

static void host_hole(void *arg, uint64_t checkpoint, struct slice ranges)
{
	struct server *s = arg;
	journal_hole(&s->journal, checkpoint, ranges);
}

static void host_reserve(void *arg, uint64_t bytes)
{
	struct server *s = arg;
	journal_reserve(&s->journal, bytes);
}

static void host_send(void *arg, uint64_t id, struct slice frames)
{
	struct conn *c = find(arg, id);
	if (c)
		conn_send(c, frames);
}

static void host_deliverable(void *arg, uint64_t id)
{
	struct server *s = arg;
	struct conn *c = find(s, id);

	if (!c)
		return;
	c->delivering = true;
	if (!c->blocked)
		conn_list_add(&s->deliverable, c);
}

static void host_close(void *arg, uint64_t id)
{
	struct conn *c = find(arg, id);
	if (c)
		conn_close(c);
}

/* ---- the journal's host ---- */

static void journal_answers(void *arg)
{
	struct server *s = arg;

	s->probes = 0;
	if (s->silent)
		log_notice("%s: the journal answers again", s->directory);
	s->silent = false;
}

static void journal_moves(struct server *s)
{
	journal_answers(s);
	if (uv_is_active((uv_handle_t *)&s->stall))
		uv_timer_again(&s->stall);
}

static void journal_stored(void *arg, const struct journal_stored *m)
{
	struct server *s = arg;
	journal_moves(s);
	server_turn(s);
	broker_stored(s->broker, m->first_n, m->count, m->first_index);
}

static void journal_barrier_done(void *arg, const struct journal_barrier_done *m)
{
	struct server *s = arg;
	journal_moves(s);
	server_turn(s);
	broker_barrier_done(s->broker, m->id);
}

static void journal_room(void *arg, const struct journal_room *m)
{
	struct server *s = arg;
	journal_moves(s);
	server_turn(s);
	broker_room(s->broker, m->n, m->bytes);
}

static void journal_holes_wanted(void *arg, const struct journal_holes_wanted *m)
{
	struct server *s = arg;
	journal_moves(s);
	server_turn(s);
	broker_holes_wanted(s->broker, m->wanted);
}

static void journal_level(void *arg, const struct journal_level *m)
{
	struct server *s = arg;
	journal_moves(s);
	broker_level(s->broker, m->level);
}

static bool journal_frame(void *arg, const struct frame *f)
{
	struct journal_host host = {arg, journal_stored, journal_barrier_done, journal_room,
	    journal_holes_wanted, journal_level};
	return journal_take(&host, f);
}

static void journal_lost(void *arg, int status, const char *why)
{
	struct server *s = arg;
	if (why)
		log_error("%s: %s", s->directory, why);
	server_die(s, status);
}

_Noreturn void server_die(struct server *s, int status)
{
	if (s->command > 0)
		kill(s->command, SIGTERM);
	if (!journal_link_kill(&s->journal))
		log_error("%s: %s", s->directory, JOURNAL_LINK_LINGERS);
	listener_close(&s->listener);
	exit(status);
}

/* ---- the turn ---- */

static struct lease_time lease_now(const struct server *s)
{
	return (struct lease_time){s->lease_base.ms + (s->now.ms - s->mono_base.ms)};
}

void server_clock(struct server *s)
{
	s->now = clock_mono();
	broker_now(s->broker, lease_now(s), clock_wall());
}

void server_turn(struct server *s)
{
	if (s->in_turn)
		return;
	s->in_turn = true;
	server_clock(s);
}

bool server_reads(const struct server *s)
{
	return s->phase == PHASE_SERVE && !s->throttled &&
	       broker_inflight_bytes(s->broker) <= INFLIGHT_HIGH_BYTES &&
	       !broker_holds(s->broker) && !broker_turn_spent(s->broker);
}

/* What is wrong with a record that gives this error. */
static const char *flaw(enum rmq_error err)
{
	switch (err) {
	case RMQ_E_NOTHING:
		return "it is missing";
	case RMQ_E_CORRUPT:
		return "its checksum is wrong";
	default:
		return "it cannot be read";
	}
}

static _Noreturn void untrustworthy(
    struct server *s, uint64_t index, enum rmq_error err, const char *why)
{
	/* A record that should be there is not. */
	enum rmq_error code = err == RMQ_E_NOTHING ? RMQ_E_CORRUPT : err;
	log_error("%s: %s: record %" PRIu64 ": %s", s->directory, error_text(code), index, why);
	server_die(s, error_exit(code));
}

_Noreturn void server_untrustworthy(struct server *s, uint64_t index, enum rmq_error err)
{
	untrustworthy(s, index, err, "it does not hold what it should");
}

/* A record whose messages are set aside. */
struct lost_record {
	const struct server *server;
	uint64_t index;
	const char *flaw;
};

static void say_lost(
    void *arg, struct slice queue, uint64_t first, uint64_t last, uint64_t messages)
{
	const struct lost_record *r = arg;
	log_error("%s: queue %.*s: %" PRIu64 "..%" PRIu64 " lost (%" PRIu64
		  " message%s): record %" PRIu64 ": %s",
	    r->server->directory, (int)queue.len, (const char *)queue.data, first, last,
	    messages, messages == 1 ? "" : "s", r->index, r->flaw);
}

void server_lost(
    struct server *s, uint64_t index, enum rmq_error err, const struct record_header *h)
{
	struct lost_record r = {s, index, flaw(err)};
	bool record = err == RMQ_E_NOTHING ||
		      ((err == RMQ_E_CORRUPT || err == RMQ_E_VERSION) && h->index == index);
	/* In a cluster another node may have it: this daemon ends, and another one begins. */
	if (!record || s->journal.pid == 0 || broker_lost(s->broker, index, say_lost, &r) == 0)
		untrustworthy(s, index, err, r.flaw);
	server_wake(s);
}

void server_read_begin(struct server *s)
{
	guard_on();
	enum rmq_error err = store_reader_begin(s->reader);
	guard_off();
	if (err) {
		log_error("%s: cannot read: %s", s->directory, error_text(err));
		server_die(s, error_exit(err));
	}
}

void server_read_end(struct server *s)
{
	store_reader_end(s->reader);
}

enum rmq_error server_read(
    struct server *s, uint64_t index, struct record_header *h, struct slice *payload)
{
	guard_on();
	enum rmq_error err = store_reader_get(s->reader, index, h, payload);
	guard_off();
	return err;
}

enum rmq_error server_next(
    struct server *s, uint64_t index, struct record_header *h, struct slice *payload)
{
	guard_on();
	enum rmq_error err = store_reader_next(s->reader, index, h, payload);
	guard_off();
	return err;
}

bool server_mend(struct server *s, uint64_t index, enum rmq_error err)
{
	if (!s->opened.mends || (err != RMQ_E_CORRUPT && err != RMQ_E_VERSION))
		return false;
	server_read_end(s);
	bool mended = journal_bad(&s->journal, index) == RMQ_E_OK;
	server_read_begin(s);
	return mended;
}

static void move_records(struct server *s)
{
	struct record_header h;
	struct slice payload;
	uint64_t index;
	size_t moved = 0;

	if (broker_inflight_bytes(s->broker) > MOVE_INFLIGHT_BYTES || s->phase != PHASE_SERVE)
		return;
	while (moved < MOVE_TURN_BYTES && broker_wants_record(s->broker, &index)) {
		server_read_begin(s);
		enum rmq_error err = server_read(s, index, &h, &payload);
		if (err && server_mend(s, index, err))
			err = server_read(s, index, &h, &payload);
		if (err) {
			server_lost(s, index, err, &h);
		} else {
			err = broker_move(s->broker, index, payload);
			if (err)
				server_untrustworthy(s, index, err);
			moved += payload.len;
		}
		server_read_end(s);
	}
}

static void on_due(uv_timer_t *timer);

static void arm_due(struct server *s)
{
	uint64_t due_ms = broker_due_ms(s->broker);
	if (due_ms == UINT64_MAX || due_ms == 0)
		uv_timer_stop(&s->due);
	else
		uv_timer_start(&s->due, on_due, due_ms, 0);
	/* A timer of 0 would run again before anything is read. */
	if (due_ms == 0)
		server_wake(s);
}

static void throttle(struct server *s)
{
	uint64_t inflight = broker_inflight_bytes(s->broker);
	if (inflight > INFLIGHT_HIGH_BYTES)
		s->throttled = true;
	else if (inflight <= INFLIGHT_LOW_BYTES)
		s->throttled = false;
}

static bool answers_wait(const struct server *s)
{
	for (uint32_t i = 0; i < s->slots_used; i++)
		if (s->conns[i] && s->conns[i]->blocked)
			return true;
	return false;
}

static void on_farewell(uv_timer_t *timer)
{
	struct server *s = timer->data;
	uv_stop(&s->loop);
}

/* What is not stored was never confirmed to anybody. */
static void on_stall(uv_timer_t *timer)
{
	struct server *s = timer->data;
	log_error("%s: the journal has stored nothing for %d s: ending; requests that "
		  "are not stored were never confirmed",
	    s->directory, STALL_MS / 1000);
	server_die(s, error_exit(RMQ_E_DISK_FULL));
}

static void on_starving(uv_timer_t *timer)
{
	struct server *s = timer->data;
	s->starved = broker_starved(s->broker);
	if (s->starved > 0)
		log_notice(
		    "%s: disk is full: new messages wait for space on its file system, or for "
		    "messages to be settled",
		    s->directory);
}

/* A full disk is told once, and that there is room again for what found none. */
static void tell_starving(struct server *s)
{
	bool starves = broker_starved(s->broker) > 0;
	if (!starves)
		uv_timer_stop(&s->starving);
	else if (s->starved == 0 && !uv_is_active((uv_handle_t *)&s->starving))
		uv_timer_start(&s->starving, on_starving, STARVING_MS, 0);
	if (starves || s->starved == 0 || broker_room_left(s->broker) < s->starved)
		return;
	s->starved = 0;
	log_notice("%s: there is room for new messages again", s->directory);
}

static void on_untaken(uv_timer_t *timer)
{
	struct server *s = timer->data;
	struct slice one;
	uint64_t queues = broker_untaken(s->broker, &one);
	s->untaken_said = queues > 0;
	if (queues > 0)
		log_notice(
		    "%s: %" PRIu64
		    " queue%s with messages for queues of other cells, as %.*s, and "
		    "nobody takes them there: rmq-queue forward (rmq-forward.service) has "
		    "to run in each cell",
		    s->directory, queues, queues == 1 ? "" : "s", (int)one.len,
		    (const char *)one.data);
}

/* That there is no forwarder is told once. */
static void tell_untaken(struct server *s)
{
	bool untaken = broker_untaken(s->broker, NULL) > 0;
	if (!untaken) {
		uv_timer_stop(&s->untaken);
		s->untaken_said &= !broker_has_forwarder(s->broker);
	} else if (!s->untaken_said && !uv_is_active((uv_handle_t *)&s->untaken)) {
		uv_timer_start(&s->untaken, on_untaken, UNTAKEN_MS, 0);
	}
}

/* A drain goes from phase to phase. */
static void drain_on(struct server *s)
{
	if (s->phase == PHASE_SETTLE && !broker_pending(s->broker)) {
		broker_checkpoint(s->broker);
		s->phase = PHASE_CHECKPOINT;
		server_wake(s);
	} else if (s->phase == PHASE_CHECKPOINT && !broker_checkpointing(s->broker) &&
		   !broker_pending(s->broker) && journal_link_idle(&s->journal)) {
		s->phase = PHASE_ANSWER;
		uv_timer_stop(&s->stall);
		uv_timer_start(&s->farewell, on_farewell, FAREWELL_MS, 0);
	}
	if (s->phase == PHASE_ANSWER && !answers_wait(s))
		uv_stop(&s->loop);
}

static void turn_end(struct server *s)
{
	struct conn *c;

	if (!s->in_turn)
		return;
	/* Not before: while it is active the loop does not wait for input. */
	uv_idle_stop(&s->more);
	move_records(s);
	broker_flush(s->broker);
	throttle(s);
	tell_starving(s);
	tell_untaken(s);
	deliver_round(s);
	while ((c = conn_list_take(&s->dirty)) != NULL)
		conn_flush(c);
	if ((conn_list_first(&s->paused) || broker_listens(s->broker)) && server_reads(s))
		server_wake(s);
	if (s->phase != PHASE_SERVE)
		drain_on(s);
	arm_due(s);
	s->in_turn = false;
}

static void on_prepare(uv_prepare_t *prepare)
{
	struct server *s = prepare->data;
	struct conn *c;

	if (s->hearing)
		return;
	s->hearing = true;
	s->hearings++;
	s->passes = 0;
	s->now = clock_mono();
	s->hearing_since = lease_now(s);
	TAILQ_FOREACH (c, &s->paused.head, entry[CONN_PAUSED])
		conn_note_unheard(c);
}

/*
 * Two passes over all that is watched find all that had been sent before the first: in one,
 * connections are accepted, in the next they are read.  What they find and do not take, and what
 * is not watched because it waits for its turn, is noted, and taken after them.
 */
static void hear(struct server *s)
{
	if (++s->passes < 2 || conn_list_first(&s->unheard))
		return;
	s->hearing = false;
	bool waits = broker_listens(s->broker);
	broker_heard(s->broker, s->hearing_since);
	if (waits)
		arm_due(s);
}

static void on_check(uv_check_t *check)
{
	struct server *s = check->data;
	/* In this order: what waits for another turn is known at this one's end. */
	turn_end(s);
	hear(s);
}

static void on_due(uv_timer_t *timer)
{
	struct server *s = timer->data;
	server_turn(s);
	turn_end(s);
}

/*
 * Work that was left for this turn: input that was put off.  Whoever it is not the turn of any
 * more is before those who had theirs, so each gets one.
 */
static void on_more(uv_idle_t *idle)
{
	struct server *s = idle->data;
	struct conn *c, *last = TAILQ_LAST(&s->paused.head, conn_head);

	server_turn(s);
	while (server_reads(s) && (c = conn_list_take(&s->paused)) != NULL) {
		conn_resume(c);
		if (c == last)
			break;
	}
}

void server_wake(struct server *s)
{
	uv_idle_start(&s->more, on_more);
}

/* ---- connections ---- */

static bool is_full(void *arg)
{
	const struct server *s = arg;
	return s->full;
}

bool server_end_silent(struct server *s, uint64_t like)
{
	struct conn *c = conn_list_first(&s->deadlines);
	uint64_t latest = s->now.ms + CONN_PATIENCE_MS - SILENT_MS;
	while (c && c->deadline_ms <= latest &&
	       (c->id == like || !conn_is_silent(c) ||
		   (like && !broker_same_owner(s->broker, c->id, like))))
		c = TAILQ_NEXT(c, entry[CONN_DEADLINES]);
	if (!c || c->deadline_ms > latest)
		return false;
	conn_end(c);
	return true;
}

static void on_retry(uv_timer_t *timer)
{
	struct server *s = timer->data;
	if (s->conns_count == s->conns_max) {
		server_turn(s);
		/* The end of one comes here again. */
		if (!server_end_silent(s, 0))
			uv_timer_start(&s->retry, on_retry, ACCEPT_RETRY_MS, 0);
		return;
	}
	s->full = false;
	if (s->phase == PHASE_SERVE)
		listener_resume(&s->listener);
}

/* Nobody is served: at another contact point there may be who does. */
static void refuse_silent(struct conn *c)
{
	conn_refuse(c, RMQ_E_TIMEOUT, "its journal does not answer");
}

/*
 * The journal of a cluster's node may stand still while another node leads: then this daemon must
 * not hold on to clients.  A probe gives it something to answer; on slow links that takes long, and
 * its PINGs count as answers.  Probes are counted and no time is measured: while we stand still
 * ourselves, none is made.
 */
static void on_probe(uv_timer_t *timer)
{
	struct server *s = timer->data;

	if (s->phase != PHASE_SERVE || s->silent)
		return;
	if (s->conns_count == 0) {
		s->probes = 0;
		return;
	}
	server_turn(s);
	if (broker_probe(s->broker) || ++s->probes < PROBES_MAX)
		return;
	s->silent = true;
	log_error(
	    "%s: the journal has not answered for %d s: %u client%s sent away until it does",
	    s->directory, PROBES_MAX * PROBE_MS / 1000, s->conns_count,
	    s->conns_count == 1 ? " is" : "s are");
	for (uint32_t i = 0; i < s->slots_used; i++)
		if (s->conns[i] && s->conns[i]->state < CONN_CLOSING)
			refuse_silent(s->conns[i]);
}

/* Until a connection ends; but what runs out may not be ours. */
static void stop_accepting(struct server *s, const char *why)
{
	s->full = true;
	listener_pause(&s->listener);
	if (!s->full_said)
		log_notice(
		    "%u connections, no more are accepted for now: %s", s->conns_count, why);
	s->full_said = true;
}

static void on_exhausted(void *arg, int error)
{
	struct server *s = arg;
	stop_accepting(s, strerror(error));
	uv_timer_start(&s->retry, on_retry, ACCEPT_RETRY_MS, 0);
}

static uint32_t peer_user(int fd)
{
	struct ucred peer;
	socklen_t len = sizeof(peer);
	return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) == 0 ? peer.uid
									 : OWNER_UNKNOWN;
}

static void on_accept(void *arg, int fd)
{
	struct server *s = arg;

	server_turn(s);
	uint32_t slot = s->free_count > 0 ? s->free_slots[--s->free_count] : s->slots_used++;
	uint64_t id = ++s->next_serial << SLOT_BITS | slot;
	struct conn *c = conn_new(s, id, fd);

	if (!c) {
		s->free_slots[s->free_count++] = slot;
		return;
	}
	s->conns[slot] = c;
	broker_connect(s->broker, id);
	broker_owner(s->broker, id, s->node, peer_user(fd));
	users_admit(s, c);
	s->conns_count++;
	if (s->silent)
		refuse_silent(c);
	else
		conn_judge_owner(c);
	if (s->conns_count < s->conns_max || server_end_silent(s, 0))
		return;
	stop_accepting(s, "limit reached");
	uv_timer_start(&s->retry, on_retry, ACCEPT_RETRY_MS, 0);
}

void server_forget(struct server *s, struct conn *c)
{
	uint32_t slot = (uint32_t)(c->id & SLOT_MASK);

	s->conns[slot] = NULL;
	s->free_slots[s->free_count++] = slot;
	s->conns_count--;
	/* Once for each time that it becomes full, not for each that takes a free place. */
	if (s->conns_count <= s->conns_max / 2)
		s->full_said = false;
	if (s->full) {
		uv_timer_stop(&s->retry);
		on_retry(&s->retry);
	}
}

static void on_deadline(uv_timer_t *timer)
{
	struct server *s = timer->data;
	struct conn *c;

	server_turn(s);
	while ((c = conn_list_first(&s->deadlines)) != NULL && c->deadline_ms <= s->now.ms) {
		if (c->state < CONN_CLOSING && !conn_is_silent(c)) {
			conn_patience(c);
			continue;
		}
		if (log_rate_allows(&s->clients_rate, s->now.ms))
			log_info("connection %" PRIu64 ": %s in time", c->id,
			    c->state == CONN_CLOSING ? "did not read its last answers"
						     : "did not say HELLO");
		conn_end(c);
	}
	server_deadlines_changed(s);
	turn_end(s);
}

void server_deadlines_changed(struct server *s)
{
	struct conn *c = conn_list_first(&s->deadlines);

	if (!c)
		uv_timer_stop(&s->deadline);
	else if (!uv_is_active((uv_handle_t *)&s->deadline))
		uv_timer_start(&s->deadline, on_deadline,
		    c->deadline_ms > s->now.ms ? c->deadline_ms - s->now.ms : 0, 0);
}

/* ---- signals ---- */

void server_drain(struct server *s)
{
	if (s->phase != PHASE_SERVE)
		return;
	server_turn(s);
	s->phase = PHASE_SETTLE;
	uv_timer_start(&s->stall, on_stall, STALL_MS, STALL_MS);
	listener_close(&s->listener);
	server_wake(s);
}

static void on_child(struct server *s)
{
	child_reap(s->command, s->journal.pid);
	int status = s->command > 0 ? child_poll(s->command) : -1;
	if (status < 0)
		return;
	s->command = 0;
	s->status = status;
	child_reap(0, s->journal.pid);
	server_drain(s);
}

/*
 * COMMAND decides how long we run: it gets the signals.  What comes from the terminal it
 * has got already, being of our process group.
 */
static void on_termination(struct server *s, const struct signalfd_siginfo *info)
{
	int signo = (int)info->ssi_signo;

	if (s->command > 0) {
		if (info->ssi_code != SI_KERNEL)
			kill(s->command, signo);
		return;
	}
	log_info("signal %d: draining", signo);
	server_drain(s);
}

static void on_signal(uv_poll_t *poll, int status, int events)
{
	struct server *s = poll->data;
	struct signalfd_siginfo info;

	(void)status, (void)events;
	while (read(s->signal_fd, &info, sizeof(info)) == sizeof(info)) {
		if (info.ssi_signo == SIGCHLD)
			on_child(s);
		else if (info.ssi_signo == SIGHUP && s->users.path)
			users_reload(s);
		else
			on_termination(s, &info);
	}
}

/* ---- life ---- */

/* The log that is recovered from; unread: the record that was asked for last could not be read. */
struct log {
	struct server *server;
	uint64_t answered_ms;
	bool unread;
	uint64_t place; /* as told, and one more; 0: not yet */
};

/* Said before it is applied: if that is the end of this process, the journal knows where. */
static void tell_place(struct log *log, uint64_t index)
{
	struct server *s = log->server;
	uint64_t place = index / JOURNAL_PLACE + 1;

	if (!s->opened.reads || log->place == place)
		return;
	log->place = place;
	journal_reads(&s->journal, index);
}

/* However long it is: the journal of a cluster asks whether we go on. */
static void log_goes_on(struct log *log)
{
	uint64_t now = clock_mono().ms;

	if (log->server->journal.pid != 0 || now < log->answered_ms + ANSWER_MS)
		return;
	log->answered_ms = now;
	journal_link_answer(&log->server->journal);
}

static enum rmq_error log_read(
    void *arg, uint64_t index, enum record_kind *kind, struct slice *payload)
{
	struct log *log = arg;
	struct record_header h;
	log_goes_on(log);
	tell_place(log, index);
	enum rmq_error err = server_read(log->server, index, &h, payload);
	log->unread = err != RMQ_E_OK;
	if (!err)
		*kind = h.kind;
	return err;
}

static enum rmq_error log_next(
    void *arg, uint64_t index, uint64_t *found, enum record_kind *kind, struct slice *payload)
{
	struct log *log = arg;
	struct record_header h;
	log_goes_on(log);
	enum rmq_error err = server_next(log->server, index, &h, payload);
	log->unread = err != RMQ_E_OK;
	if (err && h.index > 0)
		*found = h.index;
	if (!err) {
		tell_place(log, h.index);
		*found = h.index;
		*kind = h.kind;
	}
	return err;
}

static void new_broker(struct server *s)
{
	struct broker_host host = {s, host_append, host_barrier, host_hole, host_reserve,
	    host_send, host_deliverable, host_close};

	broker_free(s->broker);
	s->broker = broker_new(&host);
	if (!s->broker) {
		log_error("out of memory");
		server_die(s, error_exit(RMQ_E_LIMIT));
	}
}

/* A record that has been mended is seen by a new read only: all is read again. */
static void recover(struct server *s, const struct journal_opened_info *info)
{
	struct log from = {.server = s};
	struct broker_log log = {&from, log_read, log_next};
	enum rmq_error err;
	uint64_t at = 0;

	server_read_begin(s);
	do {
		new_broker(s);
		err = broker_recover(s->broker, &log, info->checkpoint, info->last, &at);
	} while (err && from.unread && server_mend(s, at, err));
	/* In a cluster another node has it. */
	if (err == RMQ_E_CORRUPT && from.unread && s->journal.pid != 0)
		untrustworthy(s, at, err,
		    "its checksum is wrong: rmq-journal verify --quarantine says what is lost, "
		    "and sets it aside");
	if (err && from.unread)
		untrustworthy(s, at, err, flaw(err));
	if (err)
		server_untrustworthy(s, at, err);
	server_read_end(s);
	/* If this process ends now, it is of no record. */
	if (s->opened.reads)
		journal_reads(&s->journal, 0);
}

static void open_state(struct server *s, const struct journal_opened_info *info)
{
	struct reason why = {""};

	guard_init("rmq-queued", s->directory);
	guard_on();
	enum rmq_error err = store_reader_open(info->directory, &s->reader, &why);
	guard_off();
	if (err) {
		log_error("%s: %s: %s", s->directory, error_text(err), why.text);
		server_die(s, error_exit(err));
	}
	recover(s, info);
	broker_level(s->broker, info->level);
	s->lease_base = broker_lease_time(s->broker);
	s->now = s->mono_base = clock_mono();
	uint8_t secret[SESSION_SECRET_SIZE];
	randombytes_buf(secret, sizeof(secret));
	broker_start(s->broker, info->term, secret);
}

static struct journal_link_host link_host(struct server *s)
{
	return (struct journal_link_host){s, journal_frame, journal_lost, journal_answers};
}

static void open_journal(struct server *s)
{
	int status = journal_link_open(&s->journal, false, &s->opened);
	if (status != 0)
		server_die(s, status);
}

void server_open(struct server *s, const char *directory, enum sandbox_mode sandbox)
{
	struct child_spec spec = {.mask = &s->mask, .nofile = &s->nofile};
	struct journal_link_host host = link_host(s);

	s->directory = directory;
	int status =
	    journal_link_spawn(&s->journal, &host, sandbox_option(sandbox), directory, &spec);
	if (status != 0)
		server_die(s, status);
	open_journal(s);
	open_state(s, &s->opened);
}

void server_open_at(struct server *s, int journal_fd)
{
	struct journal_link_host host = link_host(s);

	s->directory = "journal";
	journal_link_attach(&s->journal, &host, journal_fd);
	open_journal(s);
	s->directory = s->opened.directory;
	open_state(s, &s->opened);
}

static bool make_slots(struct server *s)
{
	rlim_t most = (s->nofile_now - DESCRIPTORS_RESERVE) / 2;
	/* Each connection may have its peer watched. */
	s->conns_max = most > CONNS_MAX ? CONNS_MAX : (uint32_t)most;
	s->conns_of_one = OF_ONE(s->conns_max);
	s->conns = calloc(s->conns_max, sizeof(*s->conns));
	s->free_slots = calloc(s->conns_max, sizeof(*s->free_slots));
	holders_init(&s->holders, s, s->conns_max);
	conn_list_init(&s->dirty, CONN_DIRTY);
	conn_list_init(&s->deliverable, CONN_DELIVERABLE);
	conn_list_init(&s->paused, CONN_PAUSED);
	conn_list_init(&s->deadlines, CONN_DEADLINES);
	conn_list_init(&s->unheard, CONN_UNHEARD);
	return s->conns && s->free_slots;
}

static int start_loop(struct server *s, int signal_fd)
{
	uv_timer_t *timers[] = {&s->due, &s->deadline, &s->retry, &s->farewell, &s->stall,
	    &s->starving, &s->untaken, &s->probe};
	int err = uv_loop_init(&s->loop);

	if (err)
		return err;
	for (size_t i = 0; i < sizeof(timers) / sizeof(timers[0]); i++) {
		uv_timer_init(&s->loop, timers[i]);
		timers[i]->data = s;
	}
	users_start(&s->users, s);
	uv_prepare_init(&s->loop, &s->prepare);
	s->prepare.data = s;
	uv_prepare_start(&s->prepare, on_prepare);
	uv_check_init(&s->loop, &s->check);
	s->check.data = s;
	uv_check_start(&s->check, on_check);
	uv_idle_init(&s->loop, &s->more);
	s->more.data = s;
	s->signal_fd = signal_fd;
	err = uv_poll_init(&s->loop, &s->signals, signal_fd);
	if (err)
		return err;
	s->signals.data = s;
	store_watch_start(&s->watch, &s->loop, s->directory, s->reader);
	err = uv_poll_start(&s->signals, UV_READABLE, on_signal);
	return err ? err : journal_link_start(&s->journal, &s->loop);
}

void server_start(struct server *s, int signal_fd)
{
	int err = make_slots(s) ? start_loop(s, signal_fd) : UV_ENOMEM;
	if (err) {
		log_error("cannot start: %s", uv_strerror(err));
		server_die(s, error_exit(RMQ_E_IO));
	}
	listener_start(&s->listener, &s->loop,
	    &(struct listener_host){s, is_full, on_accept, on_exhausted});
	if (s->journal.pid == 0)
		uv_timer_start(&s->probe, on_probe, PROBE_MS, PROBE_MS);
	/* The first turn may have something to do that recovery has found. */
	server_wake(s);
}

void server_command(struct server *s, char **argv)
{
	struct child_spec spec = {
	    .argv = argv, .stdin_fd = -1, .mask = &s->mask, .nofile = &s->nofile};
	int error = child_spawn(&spec, &s->command);

	if (error == 0)
		return;
	log_error("%s: %s", argv[0], strerror(error));
	s->command = 0;
	s->status = error == ENOENT ? 127 : error == ENOMEM || error == EAGAIN ? 125 : 126;
	server_drain(s);
}

int server_run(struct server *s)
{
	uv_run(&s->loop, UV_RUN_DEFAULT);
	int status = journal_link_close(&s->journal);
	store_reader_close(s->reader);
	listener_close(&s->listener);
	if (status == 0)
		return s->status;
	struct reason why;
	journal_link_reason(&why, status);
	log_error("%s: %s", s->directory, why.text);
	return error_exit(RMQ_E_JOURNAL_LOST);
}
