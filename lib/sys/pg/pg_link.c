#include "sys/pg/pg_link.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "core/base/memory.h"
#include "sys/pg/pg_dsn.h"
#include "sys/pg/pg_link_state.h"

/* libpq and what it uses have their own ideas of how much is on a stack. */
#define STACK_SIZE (2u << 20)
#define CONNECT_MS 10000
#define ANSWER_MS  10000

static void note_free(struct pg_note *n)
{
	if (n->answer)
		pg_answer_deinit(n->answer);
	free(n->answer);
	free(n);
}

static void link_destroy(struct pg_link *l)
{
	struct pg_request *r;
	struct pg_note *n;

	while ((r = STAILQ_FIRST(&l->submitted))) {
		STAILQ_REMOVE_HEAD(&l->submitted, entry);
		pg_request_free(r);
	}
	while ((n = STAILQ_FIRST(&l->notes))) {
		STAILQ_REMOVE_HEAD(&l->notes, entry);
		note_free(n);
	}
	pthread_mutex_destroy(&l->lock);
	close(l->wake);
	free(l->dsn);
	free(l);
}

/* ---- on the thread ---- */

void pg_link_note(struct pg_link *l, struct pg_note *n)
{
	pthread_mutex_lock(&l->lock);
	STAILQ_INSERT_TAIL(&l->notes, n, entry);
	if (!l->closing)
		uv_async_send(&l->async);
	pthread_mutex_unlock(&l->lock);
}

static void *thread(void *arg)
{
	struct pg_link *l = arg;

	pg_worker_run(l);
	pthread_mutex_lock(&l->lock);
	l->running = false;
	bool last = l->closed;
	pthread_mutex_unlock(&l->lock);
	if (last)
		link_destroy(l);
	return NULL;
}

/* ---- in the loop ---- */

static void tell(struct pg_link *l, const struct pg_note *n)
{
	switch (n->type) {
	case PG_NOTE_UP:
		l->epoch = n->epoch;
		l->host.up(l->host.arg, &n->server);
		break;
	case PG_NOTE_DOWN:
		l->epoch = 0;
		l->host.down(l->host.arg, n->why);
		break;
	case PG_NOTE_RESULT:
		l->outstanding--;
		l->host.result(l->host.arg, &n->answer->result);
		break;
	}
}

static struct pg_note *note_of_failed(struct pg_link *l)
{
	struct pg_note *n = memory_new(sizeof(*n));
	struct pg_request *r = STAILQ_FIRST(&l->submitted);

	STAILQ_REMOVE_HEAD(&l->submitted, entry);
	n->type = PG_NOTE_RESULT;
	n->answer = memory_new(sizeof(*n->answer));
	n->answer->result.number = r->number;
	pg_answer_text(n->answer, DATABASE_FAILED, PG_NO_CONNECTION);
	pg_request_free(r);
	return n;
}

/*
 * Under the lock.  What was submitted before the loop knew that the connection is gone is answered before it is
 * told: by the thread, and what that has not taken yet, as it may be looking up a name, by us.  NULL: none, or
 * the thread is about to answer.
 */
static struct pg_note *next_note(struct pg_link *l)
{
	struct pg_note *first = STAILQ_FIRST(&l->notes), *n = first;
	struct pg_request *r;
	unsigned count = 0;

	if (first && first->type == PG_NOTE_DOWN && l->outstanding > 0) {
		while (n && n->type != PG_NOTE_RESULT)
			n = STAILQ_NEXT(n, entry);
		STAILQ_FOREACH (r, &l->submitted, entry)
			count++;
		if (!n && count == l->outstanding)
			return note_of_failed(l);
	}
	if (n)
		STAILQ_REMOVE(&l->notes, n, pg_note, entry);
	return n;
}

/* The host may close the link in any of them; the memory stays until the loop has closed the handle. */
static void on_notes(uv_async_t *async)
{
	struct pg_link *l = async->data;

	for (;;) {
		pthread_mutex_lock(&l->lock);
		struct pg_note *n = l->closing ? NULL : next_note(l);
		pthread_mutex_unlock(&l->lock);
		if (!n)
			return;
		tell(l, n);
		note_free(n);
	}
}

static void wake(struct pg_link *l)
{
	uint64_t one = 1;
	ssize_t n = write(l->wake, &one, sizeof(one));
	(void)n; /* it is full: the thread is awake */
}

enum rmq_error pg_link_check(const char *dsn, struct reason *why)
{
	const char *text;

	if (pg_dsn_check(dsn, &text))
		return RMQ_E_OK;
	return reason_set(why, RMQ_E_CONFIG, "%s", text);
}

struct pg_link *pg_link_open(
    uv_loop_t *loop, const struct pg_link_options *options, const struct pg_link_host *host)
{
	struct pg_link *l = calloc(1, sizeof(*l));

	if (!l)
		return NULL;
	l->dsn = strdup(options->dsn);
	l->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (!l->dsn || l->wake == -1 || uv_async_init(loop, &l->async, on_notes) != 0) {
		if (l->wake != -1)
			close(l->wake);
		free(l->dsn);
		free(l);
		return NULL;
	}
	uv_unref((uv_handle_t *)&l->async);
	l->async.data = l;
	l->host = *host;
	l->allow_async = options->allow_async;
	l->connect_ms = options->connect_ms ? options->connect_ms : CONNECT_MS;
	l->answer_ms = options->answer_ms ? options->answer_ms : ANSWER_MS;
	pthread_mutex_init(&l->lock, NULL);
	STAILQ_INIT(&l->submitted);
	STAILQ_INIT(&l->notes);
	return l;
}

/* Signals are for the other threads. */
enum rmq_error pg_link_start(struct pg_link *l, struct reason *why)
{
	pthread_attr_t attributes;
	pthread_t id;
	sigset_t all, before;

	int err = pthread_attr_init(&attributes);
	if (err == 0) {
		pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
		pthread_attr_setstacksize(&attributes, STACK_SIZE);
		sigfillset(&all);
		pthread_sigmask(SIG_SETMASK, &all, &before);
		l->running = true;
		err = pthread_create(&id, &attributes, thread, l);
		pthread_sigmask(SIG_SETMASK, &before, NULL);
		pthread_attr_destroy(&attributes);
	}
	if (err) {
		l->running = false;
		return reason_set(
		    why, RMQ_E_IO, "no thread for the database: %s", strerror(err));
	}
	return RMQ_E_OK;
}

void pg_link_submit(struct pg_link *l, const struct database_statement *s)
{
	struct pg_request *r = pg_request_new(s);

	r->epoch = l->epoch;
	l->outstanding++;
	pthread_mutex_lock(&l->lock);
	STAILQ_INSERT_TAIL(&l->submitted, r, entry);
	pthread_mutex_unlock(&l->lock);
	wake(l);
}

void pg_link_drop(struct pg_link *l, const char *why)
{
	pthread_mutex_lock(&l->lock);
	l->drop_epoch = l->epoch;
	snprintf(l->drop_why, sizeof(l->drop_why), "%s", why);
	pthread_mutex_unlock(&l->lock);
	wake(l);
}

static void on_closed(uv_handle_t *handle)
{
	struct pg_link *l = handle->data;

	pthread_mutex_lock(&l->lock);
	l->closed = true;
	bool last = !l->running;
	pthread_mutex_unlock(&l->lock);
	if (last)
		link_destroy(l);
}

void pg_link_close(struct pg_link *l)
{
	if (!l)
		return;
	pthread_mutex_lock(&l->lock);
	l->closing = true;
	pthread_mutex_unlock(&l->lock);
	wake(l);
	uv_close((uv_handle_t *)&l->async, on_closed);
}
