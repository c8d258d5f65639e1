#include "supervisor.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/host/roles.h"
#include "node.h"
#include "queue.h"
#include "state.h"
#include "sys/net/socket.h"
#include "sys/process/child.h"

#define PROGRAM SUPERVISOR_PROGRAM

/* So long is waited for the end of a process that was killed. */
#define KILL_MS 100

/* The pipe by which it says that it is ready. */
struct supervisor_pipe {
	struct cluster *cluster;
	uv_poll_t poll;
	int fd;
};

bool supervisor_ready(const struct supervisor *s)
{
	return s->keeper.state == KEEPER_READY;
}

bool supervisor_runs(const struct supervisor *s)
{
	return keeper_runs(&s->keeper);
}

static void obey(struct cluster *c, enum keeper_event e);

static void on_pipe_closed(uv_handle_t *handle)
{
	free(handle->data);
}

/* ---- where it dies ---- */

void supervisor_heard(struct cluster *c, struct raft_id id, struct crashes_word word)
{
	crashes_heard(&c->supervisor.crashes, id, word);
}

void supervisor_passed(struct cluster *c)
{
	crashes_passed(&c->supervisor.crashes);
}

static enum crashes_end end_of(int status)
{
	switch (status - 128) {
	case SIGABRT:
	case SIGBUS:
	case SIGFPE:
	case SIGILL:
	case SIGSEGV:
	case SIGSYS:
	case SIGTRAP:
		return CRASHES_CRASHED;
	}
	return status > 128 ? CRASHES_KILLED : CRASHES_EXITED;
}

/* Whether it has read the log up to about this record, and not all of it. */
static bool reads_at(const struct supervisor *s, uint64_t *index)
{
	return s->keeper.state == KEEPER_STARTING && s->queue && queue_died_at(s->queue, index);
}

static void note_death(struct cluster *c, int status)
{
	struct supervisor *s = &c->supervisor;
	uint64_t index;

	if (reads_at(s, &index))
		crashes_died(&s->crashes, end_of(status), index);
}

/* For the log, and for who asks for the status. */
__attribute__((format(printf, 2, 3))) static const char *failure(
    struct supervisor *s, const char *how, ...)
{
	char text[TEXT_MAX + 1], where[TEXT_MAX + 1] = "";
	uint64_t index;
	va_list args;

	va_start(args, how);
	vsnprintf(text, sizeof(text), how, args);
	va_end(args);
	if (reads_at(s, &index))
		snprintf(where, sizeof(where),
		    " while it read one of the records %" PRIu64 " to %" PRIu64 " of the log",
		    CRASHES_PLACE(index), CRASHES_PLACE(index) + JOURNAL_PLACE - 1);
	snprintf(s->failure, sizeof(s->failure), "%.150s%.100s", text, where);
	return s->failure;
}

const char *supervisor_failure(const struct cluster *c)
{
	static char text[2 * TEXT_MAX];

	/* As the others see it. */
	if (!keeper_fails(&c->supervisor.keeper, cluster_now(c)))
		return NULL;
	snprintf(text, sizeof(text), PROGRAM " could not run on this node when it led: it %s",
	    c->supervisor.failure);
	return text;
}

static void say_deadly(struct cluster *c, struct raft_id elsewhere)
{
	struct supervisor *s = &c->supervisor;
	const struct raft_member *other = raft_config_find(c->status.config, elsewhere);

	snprintf(s->problem, sizeof(s->problem),
	    PROGRAM " dies of one of the records %" PRIu64 " to %" PRIu64
		    " of the log, here and on %s, and is not started again: see Deadly records "
		    "in rmq-cluster(7)",
	    s->crashes.own.place, s->crashes.own.place + JOURNAL_PLACE - 1,
	    other ? other->name : "another node");
	log_error("%s", s->problem);
	cluster_changed(c);
}

/* Whether it is started; that it is not is said once. */
static bool survives(struct cluster *c)
{
	struct supervisor *s = &c->supervisor;
	struct raft_id elsewhere;

	if (crashes_may_start(&s->crashes, c->status.term)) {
		s->problem[0] = '\0';
		return true;
	}
	if (s->problem[0] == '\0' && crashes_deadly(&s->crashes, &elsewhere))
		say_deadly(c, elsewhere);
	return false;
}

const char *supervisor_problem(const struct cluster *c)
{
	const struct supervisor *s = &c->supervisor;

	return cluster_leads(c) && s->problem[0] ? s->problem : NULL;
}

/* ---- its readiness ---- */

static void close_pipe(struct supervisor *s)
{
	struct supervisor_pipe *p = s->ready;

	if (!p)
		return;
	s->ready = NULL;
	uv_poll_stop(&p->poll);
	close(p->fd);
	uv_close((uv_handle_t *)&p->poll, on_pipe_closed);
}

static void on_ready(uv_poll_t *poll, int status, int events)
{
	struct supervisor_pipe *p = poll->data;
	struct cluster *c = p->cluster;
	char byte;

	(void)status, (void)events;
	ssize_t n = read(p->fd, &byte, 1);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	close_pipe(&c->supervisor);
	if (n != 1)
		return;
	obey(c, KEEPER_TAKES_CLIENTS);
	if (!supervisor_ready(&c->supervisor))
		return;
	supervisor_passed(c);
	log_notice(PROGRAM " accepts clients at %s", c->config.queue_socket.path);
	cluster_changed(c);
}

static int watch_pipe(struct cluster *c, int fd)
{
	struct supervisor_pipe *p = calloc(1, sizeof(*p));

	if (!p)
		abort();
	p->cluster = c;
	p->fd = fd;
	int err = uv_poll_init(&c->loop, &p->poll, fd);
	if (err) {
		free(p);
		return err;
	}
	p->poll.data = p;
	c->supervisor.ready = p;
	return uv_poll_start(&p->poll, UV_READABLE, on_ready);
}

/* ---- its end ---- */

static void gone(struct cluster *c)
{
	struct supervisor *s = &c->supervisor;

	s->pid = 0;
	s->lost = false;
	close_pipe(s);
	if (s->queue)
		queue_close(s->queue);
	s->queue = NULL;
	cluster_changed(c);
}

/*
 * Its exit status.  One that takes long to end, as the kernel waits for its disk, runs no more;
 * no other one is started before it is gone.
 */
static int kill_child(struct supervisor *s)
{
	int status = child_kill(s->pid, KILL_MS);

	if (status >= 0)
		return status;
	s->lingers = s->pid;
	return 128 + SIGKILL;
}

static void end_at_once(struct cluster *c)
{
	struct supervisor *s = &c->supervisor;

	/* We may end because it cannot be made: there is no process yet, and 0 is our group. */
	if (s->pid > 0) {
		(void)kill_child(s);
		log_notice(PROGRAM " was ended");
	}
	gone(c);
}

/* After a death; or once it would be started again. */
static void look_for_another(struct cluster *c)
{
	struct supervisor *s = &c->supervisor;

	if (!keeper_runs(&s->keeper) && !cluster_stopping(c) && !leave_rests(c) &&
	    survives(c) && keeper_hands_over(&s->keeper, watchdog_successor_fails(c)) &&
	    watchdog_hand_over(c))
		log_notice(PROGRAM " cannot run here: handing leadership to another node");
}

static void on_pause(uv_timer_t *timer)
{
	obey(timer->data, KEEPER_RESTED);
	look_for_another(timer->data);
}

/* It cannot do its work, or not for long: another node may do better. */
static bool hopeless(const struct supervisor *s, int status)
{
	return s->why || status == error_exit(RMQ_E_CORRUPT) || status == 126 || status == 127;
}

static void failed(struct cluster *c, enum keeper_event e, bool never)
{
	struct supervisor *s = &c->supervisor;

	obey(c, e);
	if (never && s->keeper.state == KEEPER_PAUSE)
		keeper_give_up(&s->keeper, cluster_now(c));
	look_for_another(c);
}

static void ended(struct cluster *c, int status)
{
	struct supervisor *s = &c->supervisor;
	bool drained = s->keeper.state == KEEPER_DRAINING && status == 0;
	bool never = hopeless(s, status);

	if (s->why)
		log_error(PROGRAM " %s", failure(s, "was ended: %s", s->why));
	else if (status > 128)
		log_error(PROGRAM " %s", failure(s, "was killed by signal %d", status - 128));
	else if (!drained)
		log_error(PROGRAM " %s", failure(s, "ended with status %d", status));
	note_death(c, status);
	gone(c);
	failed(c, KEEPER_DIED, never);
}

void supervisor_silent(struct cluster *c)
{
	struct supervisor *s = &c->supervisor;
	uint64_t bound = health_bound(&c->watchdog.health);
	bool opens = queue_daemon(s->queue) == HEALTH_DAEMON_OPENS;

	log_error(PROGRAM " %s, and is killed",
	    opens ? failure(s, "was started and has said nothing for %" PRIu64 " ms",
			HEALTH_OPENS * bound)
		  : failure(s, "has not answered for %" PRIu64 " ms", bound));
	failed(c, KEEPER_SILENT, false);
}

void supervisor_lost(struct cluster *c, const char *why)
{
	c->supervisor.lost = true;
	c->supervisor.why = why;
}

void supervisor_child(struct cluster *c)
{
	struct supervisor *s = &c->supervisor;

	s->lost |= supervisor_runs(s);
	if (s->lingers > 0 && child_poll(s->lingers) >= 0) {
		s->lingers = 0;
		cluster_more(c);
	}
}

static void look_after(struct cluster *c)
{
	struct supervisor *s = &c->supervisor;

	int status = s->why ? kill_child(s) : child_poll(s->pid);
	if (status >= 0)
		ended(c, status);
	/* Else it is about to end, and SIGCHLD will say so; or it was another child. */
	s->lost = false;
}

/* ---- its begin ---- */

static int spawn(struct cluster *c, int journal, int ready)
{
	char path[CHILD_PATH_SIZE], journal_fd[] = "0", ready_fd[] = "3";
	char journal_option[] = "--journal-fd", ready_option[] = "--ready-fd";
	char listen_option[] = "--listen", create_option[] = "--create", create[] = "explicit";
	char node_option[] = "--node", node[RAFT_NAME_MAX + 1];
	const char *sandbox = sandbox_option(c->supervisor.sandbox);
	char sandbox_copy[32], rights_option[] = "--rights";
	char cells_option[] = "--cells", cell_option[] = "--cell";
	char *argv[19] = {path, journal_option, journal_fd, ready_option, ready_fd,
	    listen_option, c->config.queue_socket.path, node_option, node};
	int n = 9;

	if (c->config.explicit_create) {
		argv[n++] = create_option;
		argv[n++] = create;
	}
	if (config_given(&c->config, rights)) {
		argv[n++] = rights_option;
		argv[n++] = c->config.rights;
	}
	if (config_given(&c->config, cells)) {
		argv[n++] = cells_option;
		argv[n++] = c->config.cells;
		argv[n++] = cell_option;
		argv[n++] = c->config.cell;
	}
	if (sandbox) {
		snprintf(sandbox_copy, sizeof(sandbox_copy), "%s", sandbox);
		argv[n] = sandbox_copy;
	}
	struct child_spec spec = {.argv = argv,
	    .stdin_fd = journal,
	    .extra_fd = ready,
	    .servant = true,
	    .drains = true,
	    .mask = &c->mask,
	    .nofile = &c->nofile};

	/* What other nodes' gates call us. */
	memcpy(node, raft_config_find(c->status.config, c->id)->name, sizeof(node));
	child_program(path, PROGRAM);
	return child_spawn(&spec, &c->supervisor.pid);
}

static void close_pair(int a, int b)
{
	close(a);
	close(b);
}

/* Another node may have what it takes. */
static void not_started(struct cluster *c, int error)
{
	struct supervisor *s = &c->supervisor;
	struct rlimit limit;
	char advice[TEXT_MAX + 1] = "";

	if (error == EMFILE && getrlimit(RLIMIT_NOFILE, &limit) == 0)
		snprintf(advice, sizeof(advice),
		    ": the limit is %ju: raise it (ulimit -n, LimitNOFILE=)",
		    (uintmax_t)limit.rlim_cur);
	s->pid = 0;
	log_error(PROGRAM " %s",
	    failure(s, "could not be started: %s%.100s", strerror(error), advice));
	failed(c, KEEPER_DIED, true);
}

static void start(struct cluster *c)
{
	struct supervisor *s = &c->supervisor;
	int journal[2], ready[2];

	s->why = NULL;
	int err = socket_wide_pair(journal);
	if (!err && pipe2(ready, O_CLOEXEC) != 0) {
		err = errno;
		close_pair(journal[0], journal[1]);
	}
	if (err) {
		not_started(c, err);
		return;
	}
	err = spawn(c, journal[1], ready[1]);
	close(journal[1]);
	close(ready[1]);
	if (err) {
		close_pair(journal[0], ready[0]);
		not_started(c, err);
		return;
	}
	s->queue = queue_open(c, journal[0], &err);
	if (!err)
		err = watch_pipe(c, ready[0]);
	if (err) {
		log_error("cannot watch " PROGRAM ": %s", uv_strerror(err));
		cluster_die(c, error_exit(RMQ_E_IO));
	}
}

/* ---- what it is to do ---- */

static void act(struct cluster *c, enum keeper_action a)
{
	struct supervisor *s = &c->supervisor;

	if (s->keeper.state != KEEPER_PAUSE)
		uv_timer_stop(&s->pause);
	switch (a) {
	case KEEPER_NOTHING:
		break;
	case KEEPER_START:
		start(c);
		break;
	case KEEPER_KILL:
		end_at_once(c);
		break;
	case KEEPER_TERM:
		kill(s->pid, SIGTERM);
		cluster_changed(c);
		break;
	case KEEPER_REST:
		if (s->pid > 0)
			end_at_once(c);
		uv_timer_start(&s->pause, on_pause, s->keeper.pause_ms, 0);
		break;
	}
}

static void obey(struct cluster *c, enum keeper_event e)
{
	act(c, keeper_event(&c->supervisor.keeper, e, cluster_now(c)));
}

void supervisor_rights(struct cluster *c)
{
	if (c->supervisor.pid > 0 && supervisor_runs(&c->supervisor))
		kill(c->supervisor.pid, SIGHUP);
}

void supervisor_kill(struct cluster *c)
{
	obey(c, KEEPER_UNWANTED);
}

void supervisor_drain(struct cluster *c)
{
	obey(c, KEEPER_DRAIN);
}

void supervisor_role(struct cluster *c)
{
	struct engine_state log = c->engine.state(c->engine.arg);

	act(c, keeper_role(&c->supervisor.keeper, &log, cluster_now(c)));
}

static bool up(void *arg, struct raft_id id)
{
	struct cluster_peer p;

	cluster_peer(arg, id, &p);
	return p.reachable;
}

enum start_gate supervisor_gate(const struct cluster *c, struct start_gate_lack *lack)
{
	const struct raft_config *config = c->status.committed;

	if (!config)
		return START_GATE_OPEN;
	return start_gate_look(&c->config.min_members, config, up, (void *)(uintptr_t)c, lack);
}

void supervisor_turn(struct cluster *c)
{
	struct supervisor *s = &c->supervisor;
	struct start_gate_lack lack;
	enum roles_own role = roles_own(c->status.config, c->id);

	if (s->lost && supervisor_runs(s))
		look_after(c);
	/* A leader that may not run it has others do it. */
	if (c->status.serving && !cluster_stopping(c) && role == ROLES_PASSES_ON)
		(void)watchdog_hand_over(c);
	struct engine_state log = c->engine.state(c->engine.arg);
	bool may = role == ROLES_RUNS && !cluster_stopping(c) && !leave_rests(c) &&
		   s->lingers == 0 && (!cluster_leads(c) || survives(c)) &&
		   supervisor_gate(c, &lack) == START_GATE_OPEN;
	act(c, keeper_turn(&s->keeper, &log, may, cluster_now(c)));
	if (s->queue)
		queue_turn(s->queue);
	/* That may have been its last. */
	if (s->lost)
		cluster_more(c);
}

void supervisor_open(struct cluster *c)
{
	keeper_init(&c->supervisor.keeper, health_bound(&c->watchdog.health));
	uv_timer_init(&c->loop, &c->supervisor.pause);
	c->supervisor.pause.data = c;
}
