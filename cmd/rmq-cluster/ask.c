#include "ask.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "core/base/text.h"
#include "core/base/units.h"
#include "core/host/events.h"
#include "sys/process/clock.h"
#include "sys/process/signals.h"

/* Between attempts to connect, while waiting for a condition. */
#define RETRY_MS 50

/* A question that is asked again and again: what happens does not make it asked sooner than that. */
#define APART_MS 100
/* Who does not answer for so long is told of as silent, as often. */
#define SILENT_MS 3000

static char failure[2048];

const char *ask_failure(void)
{
	return failure;
}

enum rmq_error ask_fail(enum rmq_error code, const char *format, ...)
{
	char text[sizeof(failure)];
	va_list ap;
	va_start(ap, format);
	vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	/* One line, whatever words it repeats. */
	text_tame(text, strlen(text));
	snprintf(failure, sizeof(failure), "%s", text);
	fprintf(stderr, "rmq-cluster: %s\n", text);
	return code;
}

enum rmq_error ask_init(struct ask *a)
{
	struct reason why;

	a->client.fd = -1;
	enum rmq_error err = control_client_address(&a->address, a->common.servers, &why);
	if (err)
		return ask_fail(err, "%s", why.text);
	return signals_init() ? RMQ_E_OK : ask_fail(RMQ_E_IO, "%s", strerror(errno));
}

void ask_deinit(struct ask *a)
{
	control_client_close(&a->client);
}

static void on_result(void *arg, uint32_t req, enum rmq_error code, const char *text)
{
	struct ask *a = arg;

	if (req != a->waiting)
		return;
	a->code = code;
	snprintf(a->text, sizeof(a->text), "%s", text);
	a->done = true;
}

static void on_view(void *arg, uint32_t req, const struct control_view *v)
{
	struct ask *a = arg;

	(void)req;
	a->answered = true;
	snprintf(a->problem, sizeof(a->problem), "%s", v->problem);
	if (a->view && !a->done && a->view(a->arg, v) && !a->waiting)
		a->done = true;
}

static void on_event(void *arg, struct slice kind, struct slice line)
{
	struct ask *a = arg;

	a->happened = true;
	if (a->event)
		a->event(a->arg, kind, line);
}

static void on_dropped(void *arg, uint64_t count)
{
	struct text line = {0};

	events_put_missed(&line, count);
	on_event(
	    arg, slice_str(events_kind_text(EVENTS_DROPPED)), slice_of(line.data, line.len));
	text_deinit(&line);
}

static void on_reason(void *arg, uint32_t req, enum control_reason reason, const char *text)
{
	struct ask *a = arg;

	(void)req;
	if (a->reason && !a->done)
		a->reason(a->arg, reason, text);
}

static enum rmq_error connect_now(struct ask *a, struct reason *why)
{
	struct control_client_host host = {.arg = a,
	    .again = true,
	    .result = on_result,
	    .view = on_view,
	    .event = on_event,
	    .dropped = on_dropped,
	    .reason = on_reason};
	return control_client_open(&a->client, &a->address, &host, why);
}

static void begin(struct ask *a)
{
	uint64_t now = clock_mono().ms, timeout = a->common.timeout_ms;

	a->done = false;
	a->waiting = 0;
	a->problem[0] = '\0';
	a->deadline.ms = timeout > UINT64_MAX - now ? UINT64_MAX : now + timeout;
}

/* Milliseconds to the deadline as poll(2) takes them: 0 when it has passed. */
static int left(const struct ask *a, int most)
{
	uint64_t now = clock_mono().ms;
	uint64_t ms = a->deadline.ms > now ? a->deadline.ms - now : 0;
	return ms > (uint64_t)most ? most : (int)ms;
}

/* Waits for the connection, a signal, or so long; a signal ends the program. */
static void pause_for(const struct ask *a, int ms)
{
	struct pollfd p[2] = {{signals_fd(), POLLIN, 0}, {a->client.fd, 0, 0}};
	if (a->client.fd >= 0)
		p[1].events = control_client_events(&a->client);
	(void)poll(p, 2, ms);
	if (signals_caught())
		signals_die(signals_caught());
}

/*
 * The conversation until a->done, the deadline (RMQ_E_TIMEOUT) or the connection's end.
 * A first turn writes what was asked.
 */
static enum rmq_error converse(struct ask *a, struct reason *why)
{
	while (!a->done) {
		enum rmq_error err = control_client_turn(&a->client, why);
		if (err && !a->done)
			return err;
		if (a->done)
			break;
		if (left(a, 1) == 0)
			return reason_set(why, RMQ_E_TIMEOUT, "no answer in time");
		pause_for(a, left(a, INT_MAX));
	}
	return RMQ_E_OK;
}

static enum rmq_error open_for(struct ask *a)
{
	struct reason why;
	enum rmq_error err = connect_now(a, &why);

	begin(a);
	return err ? ask_fail(err, "%s", why.text) : RMQ_E_OK;
}

/* The answer to a command; without one nobody knows whether it was done. */
static enum rmq_error answer(struct ask *a, uint32_t req, const char *about)
{
	struct reason why;
	const char *colon = about && *about ? ": " : "";

	a->waiting = req;
	enum rmq_error err = converse(a, &why);
	control_client_close(&a->client);
	if (err == RMQ_E_TIMEOUT && a->problem[0])
		return ask_fail(
		    err, "not let in yet: %s; rmq-clusterd goes on asking", a->problem);
	if (err == RMQ_E_NO_DAEMON || err == RMQ_E_TIMEOUT)
		return ask_fail(RMQ_E_TIMEOUT,
		    "%s%s%s: the outcome is unknown, and rmq-clusterd may go on with it",
		    about ? about : "", colon, why.text);
	if (err)
		return ask_fail(err, "%s", why.text);
	if (a->code)
		ask_fail(a->code, "%s%s%s", about ? about : "", colon, a->text);
	return a->code;
}

enum rmq_error ask_init_cluster(struct ask *a, bool new)
{
	enum rmq_error err = open_for(a);
	return err ? err : answer(a, control_client_init(&a->client, new), NULL);
}

enum rmq_error ask_admit(struct ask *a, const char *name, const uint8_t key[RAFT_KEY_SIZE])
{
	enum rmq_error err = open_for(a);
	return err ? err : answer(a, control_client_admit(&a->client, name, key), name);
}

enum rmq_error ask_join(struct ask *a, const char *address)
{
	enum rmq_error err = open_for(a);
	if (err)
		return err;
	uint32_t req = control_client_join(&a->client, address);
	/* Views have the problem; other commands get none. */
	control_client_watch(&a->client);
	return answer(a, req, address);
}

/* Also what it means. */
static enum rmq_error explained(struct ask *a, uint32_t req, const char *name)
{
	enum rmq_error err = answer(a, req, name);
	if (!err && strcmp(a->text, error_text(RMQ_E_OK)) != 0 && !a->common.quiet)
		fprintf(stderr, "rmq-cluster: %s\n", a->text);
	return err;
}

enum rmq_error ask_adopt(struct ask *a)
{
	enum rmq_error err = open_for(a);
	return err ? err : explained(a, control_client_adopt(&a->client), NULL);
}

enum rmq_error ask_leave(struct ask *a, const char *name, bool force)
{
	enum rmq_error err = open_for(a);
	return err ? err : explained(a, control_client_leave(&a->client, name, force), name);
}

enum rmq_error ask_down(struct ask *a, const char *name)
{
	enum rmq_error err = open_for(a);
	return err ? err : explained(a, control_client_down(&a->client, name), name);
}

enum rmq_error ask_replace(struct ask *a, const char *name, const uint8_t key[RAFT_KEY_SIZE])
{
	enum rmq_error err = open_for(a);
	return err ? err : explained(a, control_client_replace(&a->client, name, key), name);
}

enum rmq_error ask_transfer(struct ask *a, const char *name)
{
	enum rmq_error err = open_for(a);
	return err ? err : answer(a, control_client_transfer(&a->client, name), name);
}

/* The answer to a question: nobody who answers in time is nobody. */
static enum rmq_error told(struct ask *a, uint32_t req)
{
	struct reason why;

	a->waiting = req;
	enum rmq_error err = converse(a, &why);
	control_client_close(&a->client);
	if (err == RMQ_E_TIMEOUT)
		err = RMQ_E_NO_DAEMON;
	if (!err && a->code)
		return ask_fail(a->code, "%s", a->text);
	return err ? ask_fail(err, "%s", why.text) : RMQ_E_OK;
}

enum rmq_error ask_status(struct ask *a)
{
	enum rmq_error err = open_for(a);
	return err ? err : told(a, control_client_status(&a->client));
}

enum rmq_error ask_why(struct ask *a)
{
	enum rmq_error err = open_for(a);
	return err ? err : told(a, control_client_why(&a->client));
}

enum rmq_error ask_log(struct ask *a, enum control_log level)
{
	enum rmq_error err = open_for(a);
	return err ? err : told(a, control_client_log(&a->client, level));
}

/* Waits for the connection; who reads stdout may go while nothing is written. */
static void pause_for_reader(const struct ask *a)
{
	struct pollfd p[3] = {{signals_fd(), POLLIN, 0},
	    {a->client.fd, control_client_events(&a->client), 0}, {STDOUT_FILENO, 0, 0}};

	if (a->hangs_up)
		p[2].events = POLLRDHUP;
	if (poll(p, 3, a->idle ? a->idle_ms : -1) == 0)
		a->idle(a->arg);
	if (signals_caught())
		signals_die(signals_caught());
	if (p[2].revents & (POLLERR | POLLHUP | POLLRDHUP))
		signals_die(SIGPIPE);
}

enum rmq_error ask_events(struct ask *a, uint8_t flags, uint64_t since)
{
	struct reason why;
	enum rmq_error err = open_for(a);

	if (err)
		return err;
	a->waiting = control_client_hear(&a->client, flags, since);
	while (
	    !(err = control_client_turn(&a->client, &why)) && !a->done && fflush(stdout) == 0)
		pause_for_reader(a);
	control_client_close(&a->client);
	if (!err && !a->done)
		return RMQ_E_IO; /* stdout; who ends says so */
	return err ? ask_fail(err, "%s", why.text) : ask_fail(a->code, "%s", a->text);
}

/* On one connection, until that is lost. */
static enum rmq_error look_on(struct ask *a, uint64_t every_ms, struct reason *why)
{
	uint64_t asked = clock_mono().ms, said = asked, answered = asked, now;

	control_client_hear(&a->client, EVENTS_KEPT, 0);
	a->waiting = control_client_status(&a->client);
	a->done = a->happened = false;
	for (;;) {
		enum rmq_error err = control_client_turn(&a->client, why);
		if (a->output_error)
			return reason_set(
			    why, RMQ_E_IO, "standard output: %s", strerror(a->output_error));
		if (err || (a->done && a->code))
			return err ? err : reason_set(why, a->code, "%s", a->text);
		now = clock_mono().ms;
		answered = a->done ? now : answered;
		if (now - answered >= a->common.timeout_ms)
			return reason_set(why, RMQ_E_NO_DAEMON, "rmq-clusterd does not answer");
		uint64_t apart =
		    a->done && a->happened && every_ms > APART_MS ? APART_MS : every_ms;
		uint64_t next = a->done ? asked + apart : said + SILENT_MS;
		if (now < next) {
			pause_for(a, next - now < INT_MAX ? (int)(next - now) : INT_MAX);
			continue;
		}
		if (a->done) {
			a->waiting = control_client_status(&a->client);
			a->done = a->happened = false;
			asked = now;
		} else {
			a->lost(a->arg, "rmq-clusterd does not answer");
		}
		said = now;
	}
}

enum rmq_error ask_look(struct ask *a, uint64_t every_ms, struct reason *why)
{
	enum rmq_error err = connect_now(a, why);

	if (err)
		return err;
	for (;;) {
		if (!err)
			err = look_on(a, every_ms, why);
		control_client_close(&a->client);
		if (err != RMQ_E_NO_DAEMON && err != RMQ_E_LIMIT)
			return err;
		a->lost(a->arg, why->text);
		/* Of the connection; there is none yet that is anew. */
		if (a->answered)
			begin(a);
		a->answered = false;
		if (left(a, 1) == 0)
			return err;
		pause_for(a, left(a, every_ms < INT_MAX ? (int)every_ms : INT_MAX));
		err = connect_now(a, why);
	}
}

enum rmq_error ask_wait(struct ask *a)
{
	struct reason why;

	begin(a);
	for (;;) {
		enum rmq_error err = connect_now(a, &why);
		if (!err) {
			control_client_watch(&a->client);
			err = converse(a, &why);
			control_client_close(&a->client);
		}
		if (!err || (err == RMQ_E_NO_DAEMON && a->end_will_do))
			return RMQ_E_OK;
		if (err != RMQ_E_NO_DAEMON && err != RMQ_E_TIMEOUT && err != RMQ_E_LIMIT)
			return ask_fail(err, "%s", why.text);
		if (left(a, 1) == 0)
			break;
		pause_for(a, left(a, RETRY_MS));
	}
	if (a->answered && a->common.quiet)
		return RMQ_E_NOTHING;
	if (a->answered)
		return ask_fail(RMQ_E_NOTHING, "not met in time");
	return ask_fail(RMQ_E_NO_DAEMON, "%s", why.text);
}
