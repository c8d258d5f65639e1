/* The thread of a link: connections with hosts, one of which is up; statements to it. */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/memory.h"
#include "sys/pg/pg_link_state.h"
#include "sys/pg/pg_names.h"
#include "sys/pg/pg_session.h"
#include "sys/process/clock.h"

/* Until a host is tried again: doubled from the first to the last. */
#define DOWN_TEXT_MAX \
	(TEXT_MAX - 80) /* of what is said of all hosts: with words before it, it is a reason */
#define RETRY_FIRST_MS 200
#define RETRY_LAST_MS  1000
/* The same of one that is up and not to be trusted, or is the server that is up already. */
#define AVOID_MS 5000
/* Until an address that was found before is used, as name servers are silent. */
#define NAME_MS 1000

struct host {
	struct pg_session *session; /* NULL: it waits */
	bool asked;		    /* … for its address */
	uint64_t deadline_at;	    /* of the session, or until an older address will do */
	uint64_t retry_at;
	uint32_t retry_ms;
	char why
	    [256]; /* it could not be used, since the last connection was up; empty: not tried */
};

struct worker {
	struct pg_link *link;
	struct pg_dsn dsn;
	struct pg_names *names;
	struct host hosts[PG_HOSTS_MAX];
	struct pg_session *up; /* NULL: none */
	unsigned up_host;
	uint64_t epoch; /* of the newest that was up */
	uint64_t
	    waits_from; /* since when the oldest statement waits for its turn to be answered */
	struct pg_requests pending; /* taken over from the loop, not sent */
	char told[512];		    /* why none is up, as the loop was told */
	bool closing;
};

/* ---- to the loop ---- */

static void tell_result(struct worker *w, struct pg_answer *a)
{
	struct pg_note *n = memory_new(sizeof(*n));

	n->type = PG_NOTE_RESULT;
	n->answer = a;
	pg_link_note(w->link, n);
}

static void tell_failed(struct worker *w, struct pg_request *r, const char *why)
{
	struct pg_answer *a = memory_new(sizeof(*a));

	a->result.number = r->number;
	pg_answer_text(a, DATABASE_FAILED, why);
	tell_result(w, a);
	pg_request_free(r);
}

static void tell_up(struct worker *w)
{
	struct pg_note *n = memory_new(sizeof(*n));

	n->type = PG_NOTE_UP;
	n->epoch = w->epoch;
	n->server = *pg_session_server(w->up);
	pg_link_note(w->link, n);
	w->told[0] = '\0';
}

static void tell_down(struct worker *w, const char *why)
{
	struct pg_note *n;

	if (strcmp(w->told, why) == 0)
		return;
	snprintf(w->told, sizeof(w->told), "%s", why);
	n = memory_new(sizeof(*n));
	n->type = PG_NOTE_DOWN;
	memcpy(n->why, w->told, sizeof(n->why));
	pg_link_note(w->link, n);
}

/* The first host of which the same is said. */
static unsigned first_alike(const struct worker *w, unsigned i)
{
	unsigned first = 0;

	while (strcmp(w->hosts[first].why, w->hosts[i].why) != 0)
		first++;
	return first;
}

/* "a:5432, b:5432: Connection refused": this host, and those after it of which the same is said; addresses are cut so that all are there. */
static void put_hosts(const struct worker *w, unsigned i, char *one, size_t room)
{
	const char *why = w->hosts[i].why;
	size_t len = 0, says = strlen(why) < room / 3 ? strlen(why) : room / 3;
	unsigned count = 0;
	char address[300];

	for (unsigned k = i; k < w->dsn.hosts; k++)
		count += first_alike(w, k) == i;
	int most = (int)((room - says) / count) - 2;
	for (unsigned k = i; k < w->dsn.hosts; k++) {
		if (first_alike(w, k) != i)
			continue;
		pg_dsn_address(&w->dsn, k, address, sizeof(address));
		len += (size_t)snprintf(one + len, room + 1 - len, "%s%.*s",
		    len > 0 ? ", " : "", most > 0 ? most : 0, address);
	}
	snprintf(one + len, room + 1 - len, ": %s", why);
}

/*
 * Once all hosts were tried in vain.  All are named, those of which the same is said together: what is wrong with one is
 * cut so that there is room for those after it, too.
 */
static void tell_all_down(struct worker *w)
{
	char text[DOWN_TEXT_MAX + 1];
	unsigned reasons = 0;
	size_t len = 0;

	for (unsigned i = 0; i < w->dsn.hosts; i++) {
		if (w->hosts[i].why[0] == '\0')
			return;
		reasons += first_alike(w, i) == i;
	}
	for (unsigned i = 0; i < w->dsn.hosts; i++) {
		if (first_alike(w, i) != i)
			continue;
		if (len > 0)
			len += (size_t)snprintf(text + len, 3, "; ");
		/* And of those that follow what stands between. */
		reasons--;
		put_hosts(
		    w, i, text + len, (DOWN_TEXT_MAX - len - 2 * reasons) / (reasons + 1));
		len += strlen(text + len);
	}
	tell_down(w, text);
}

/* ---- the connection that is up ---- */

static void take_answers(struct worker *w, uint64_t now_ms)
{
	struct pg_answer *a;

	while ((a = pg_session_answer(w->up))) {
		tell_result(w, a);
		w->waits_from = now_ms;
	}
}

/* What is for a connection that is gone; all before it is answered. */
static void fail_stale(struct worker *w)
{
	struct pg_request *r;

	while ((r = STAILQ_FIRST(&w->pending)) && (!w->up || r->epoch != w->epoch)) {
		STAILQ_REMOVE_HEAD(&w->pending, entry);
		tell_failed(w, r, PG_NO_CONNECTION);
	}
}

/* It is bad: its answers are told, then that it is down. */
static void lose(struct worker *w, uint64_t now_ms, uint64_t retry_at)
{
	struct host *h = &w->hosts[w->up_host];
	char text[512];

	take_answers(w, now_ms);
	snprintf(h->why, sizeof(h->why), "%s", pg_session_why(w->up));
	snprintf(text, sizeof(text), "%s: %s", pg_session_server(w->up)->address, h->why);
	pg_session_free(w->up);
	w->up = NULL;
	h->retry_at = retry_at;
	fail_stale(w);
	tell_down(w, text);
}

static void come_up(struct worker *w, unsigned i)
{
	w->up = w->hosts[i].session;
	w->up_host = i;
	w->epoch++;
	w->hosts[i].session = NULL;
	for (unsigned k = 0; k < w->dsn.hosts; k++) {
		w->hosts[k].why[0] = '\0';
		w->hosts[k].retry_ms = 0;
	}
	tell_up(w);
}

static bool stalls(const struct worker *w, uint64_t now_ms)
{
	return w->up && pg_session_waiting(w->up) > 0 &&
	       now_ms - w->waits_from >= PG_LINK_STALL_MS &&
	       pg_session_server(w->up)->durability != PG_REPLICATES;
}

static bool is_late(const struct worker *w, uint64_t now_ms)
{
	return pg_session_waiting(w->up) > 0 && now_ms - w->waits_from >= w->link->answer_ms;
}

static void watch_up(struct worker *w, uint64_t now_ms)
{
	char text[TEXT_MAX + 1];

	if (!w->up)
		return;
	take_answers(w, now_ms);
	if (is_late(w, now_ms)) {
		/* It may have come while this thread did not run. */
		pg_session_turn(w->up);
		take_answers(w, now_ms);
	}
	if (is_late(w, now_ms)) {
		snprintf(text, sizeof(text), "a statement has no answer after %u ms",
		    (unsigned)w->link->answer_ms);
		pg_session_end(w->up, text);
	}
	if (pg_session_state(w->up) == PG_BAD)
		lose(w, now_ms, now_ms + RETRY_FIRST_MS);
}

/* ---- hosts that are tried ---- */

static void give_up(struct worker *w, unsigned i, const char *why)
{
	struct host *h = &w->hosts[i];

	snprintf(h->why, sizeof(h->why), "%s", why);
	pg_session_free(h->session);
	h->session = NULL;
	h->retry_ms = h->retry_ms == 0 ? RETRY_FIRST_MS : 2 * h->retry_ms;
	if (h->retry_ms > RETRY_LAST_MS)
		h->retry_ms = RETRY_LAST_MS;
	h->retry_at = clock_mono().ms + h->retry_ms;
}

static bool is_wanted(const struct worker *w, unsigned i, uint64_t now_ms)
{
	return !w->up || (i != w->up_host && stalls(w, now_ms));
}

/* Another one takes writes while that which is up does not answer. */
static void replace(struct worker *w, unsigned i, uint64_t now_ms)
{
	struct host *h = &w->hosts[i];
	const char *start = pg_session_start(h->session);
	char text[512];

	if (strcmp(start, pg_session_start(w->up)) == 0) {
		/* The same server by another name. */
		pg_session_free(h->session);
		h->session = NULL;
		h->retry_at = now_ms + AVOID_MS;
		return;
	}
	snprintf(text, sizeof(text), "it does not answer, and %s takes writes",
	    pg_session_server(h->session)->address);
	pg_session_end(w->up, text);
	lose(w, now_ms, now_ms + AVOID_MS);
	come_up(w, i);
}

static uint32_t connect_ms(const struct worker *w)
{
	return w->dsn.connect_ms ? w->dsn.connect_ms : w->link->connect_ms;
}

/* Connects, once its address is known. */
static void begin(struct worker *w, unsigned i, uint64_t now_ms)
{
	struct host *h = &w->hosts[i];
	char name[256], addresses[PG_ADDRESSES_SIZE] = "";
	const char *why;

	if (pg_dsn_name(&w->dsn, i, name, sizeof(name))) {
		if (!h->asked)
			h->deadline_at = now_ms + NAME_MS;
		h->asked = true;
		bool late = now_ms >= h->deadline_at;
		switch (pg_names_ask(w->names, i, name, late, addresses, &why)) {
		case PG_NAME_WAITS:
			if (late)
				snprintf(h->why, sizeof(h->why), "its name is being looked up");
			return;
		case PG_NAME_FAILED:
			h->asked = false;
			give_up(w, i, why);
			return;
		case PG_NAME_FOUND:
			h->asked = false;
			break;
		}
	}
	h->session = pg_session_open(&w->dsn, i, addresses, w->link->allow_async);
	h->deadline_at = clock_mono().ms + connect_ms(w);
}

static void watch_host(struct worker *w, unsigned i, uint64_t now_ms)
{
	struct host *h = &w->hosts[i];
	char text[TEXT_MAX + 1];

	if (!h->session && is_wanted(w, i, now_ms) && now_ms >= h->retry_at)
		begin(w, i, now_ms);
	if (!h->session)
		return;
	if (!is_wanted(w, i, now_ms)) {
		pg_session_free(h->session);
		h->session = NULL;
		return;
	}
	if (pg_session_state(h->session) == PG_CONNECTS && now_ms >= h->deadline_at) {
		snprintf(text, sizeof(text), "no answer after %u ms", (unsigned)connect_ms(w));
		pg_session_end(h->session, text);
	}
	if (pg_session_state(h->session) == PG_BAD)
		give_up(w, i, pg_session_why(h->session));
	else if (pg_session_state(h->session) == PG_UP && w->up)
		replace(w, i, now_ms);
	else if (pg_session_state(h->session) == PG_UP)
		come_up(w, i);
}

/* ---- from the loop ---- */

static void take_input(struct worker *w, uint64_t now_ms)
{
	struct pg_link *l = w->link;
	char why[TEXT_MAX + 1];
	uint64_t wakes;
	ssize_t n = read(l->wake, &wakes, sizeof(wakes));
	(void)n;

	pthread_mutex_lock(&l->lock);
	w->closing = l->closing;
	STAILQ_CONCAT(&w->pending, &l->submitted);
	bool drop = l->drop_epoch != 0 && w->up && l->drop_epoch == w->epoch;
	memcpy(why, l->drop_why, sizeof(why));
	l->drop_epoch = 0;
	pthread_mutex_unlock(&l->lock);
	fail_stale(w);
	if (drop) {
		pg_session_end(w->up, why);
		lose(w, now_ms, now_ms + (w->dsn.hosts > 1 ? AVOID_MS : RETRY_LAST_MS));
	}
}

static void send_pending(struct worker *w, uint64_t now_ms)
{
	struct pg_request *r;

	fail_stale(w);
	while ((r = STAILQ_FIRST(&w->pending))) {
		/* It is answered in its turn; or the connection was lost by the one before. */
		if ((r->bad && pg_session_waiting(w->up) > 0) ||
		    pg_session_state(w->up) != PG_UP)
			return;
		STAILQ_REMOVE_HEAD(&w->pending, entry);
		if (r->bad) {
			tell_failed(w, r, r->bad);
			continue;
		}
		if (pg_session_waiting(w->up) == 0)
			w->waits_from = now_ms;
		pg_session_send(w->up, r);
	}
}

/* ---- waiting ---- */

static void sooner(uint64_t *at, uint64_t other)
{
	if (other < *at)
		*at = other;
}

static int wait_ms(const struct worker *w, uint64_t now_ms)
{
	uint64_t at = now_ms + 60000;

	for (unsigned i = 0; i < w->dsn.hosts; i++) {
		const struct host *h = &w->hosts[i];
		if (h->session || (h->asked && now_ms < h->deadline_at))
			sooner(&at, h->deadline_at);
		else if (h->asked)
			continue;
		else if (is_wanted(w, i, now_ms))
			sooner(&at, h->retry_at);
	}
	if (w->up && pg_session_waiting(w->up) > 0) {
		sooner(&at, w->waits_from + w->link->answer_ms);
		if (now_ms - w->waits_from < PG_LINK_STALL_MS)
			sooner(&at, w->waits_from + PG_LINK_STALL_MS);
	}
	return at > now_ms ? (int)(at - now_ms) : 0;
}

/* Waits, and lets sessions do what goes then. */
static void wait(struct worker *w)
{
	struct pollfd fds[PG_HOSTS_MAX + 2] = {{.fd = w->link->wake, .events = POLLIN}};
	struct pg_session *of[PG_HOSTS_MAX + 2] = {NULL};
	nfds_t count = 1;

	for (unsigned i = 0; i <= w->dsn.hosts; i++) {
		struct pg_session *s = i < w->dsn.hosts ? w->hosts[i].session : w->up;
		if (!s)
			continue;
		of[count] = s;
		fds[count].fd = pg_session_fd(s, &fds[count].events);
		count++;
	}
	if (poll(fds, count, wait_ms(w, clock_mono().ms)) <= 0)
		return;
	for (nfds_t i = 1; i < count; i++)
		if (fds[i].revents)
			pg_session_turn(of[i]);
}

void pg_worker_run(struct pg_link *l)
{
	struct worker w = {.link = l};
	struct pg_request *r;

	STAILQ_INIT(&w.pending);
	w.names = pg_names_new(l->wake);
	pg_dsn_init(&w.dsn, l->dsn);
	for (;;) {
		uint64_t now_ms = clock_mono().ms;
		take_input(&w, now_ms);
		if (w.closing)
			break;
		watch_up(&w, now_ms);
		for (unsigned i = 0; i < w.dsn.hosts; i++)
			watch_host(&w, i, now_ms);
		if (!w.up)
			tell_all_down(&w);
		send_pending(&w, now_ms);
		watch_up(&w, now_ms);
		wait(&w);
	}
	for (unsigned i = 0; i < w.dsn.hosts; i++)
		pg_session_free(w.hosts[i].session);
	pg_session_free(w.up);
	while ((r = STAILQ_FIRST(&w.pending))) {
		STAILQ_REMOVE_HEAD(&w.pending, entry);
		pg_request_free(r);
	}
	pg_names_free(w.names);
	pg_dsn_deinit(&w.dsn);
}
