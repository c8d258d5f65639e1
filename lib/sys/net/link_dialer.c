/*
 * Idle until the timer says to dial; then the name is looked up, and its addresses are dialled one
 * after the other, each with a connection of its own, until one is up or the attempt's time is over.
 * A look-up that takes longer goes on, over attempts that use the addresses known before.
 */
#include "sys/net/link_dialer.h"

#include <netdb.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sys/net/link_state.h"
#include "sys/net/lookup.h"

#define BACKOFF_MAX_MS 1000
#define ASK_MS	       200 /* for name servers, if addresses are known */

enum dialer_state { DIALER_WAITS, DIALER_ASKS, DIALER_TRIES, DIALER_UP };

struct link_dialer {
	struct link_net *net;
	struct link_dialer_options options;
	uint8_t name[UINT8_MAX];
	enum dialer_state state;
	uv_timer_t timer; /* waiting: when to dial; else: when to give up */
	uint64_t backoff_ms;
	uint64_t up_since_ms;
	bool numeric;
	struct lookup *lookup; /* NULL: none is under way */
	struct addrinfo *known, *newer;
	struct addrinfo *next; /* of those known, to be tried */
	struct link_conn *conn;
	bool freed;
};

static void try_next(struct link_dialer *d);
static void on_time(uv_timer_t *timer);

/* ---- the pause ---- */

static void wait_for(struct link_dialer *d, uint64_t ms)
{
	d->state = DIALER_WAITS;
	uv_timer_start(&d->timer, on_time, ms, 0);
}

/* Between half of the pause and all of it, so that many who lost one peer do not come at once.
 */
static void back_off(struct link_dialer *d)
{
	uint64_t half = d->backoff_ms / 2;
	wait_for(d, half + randombytes_uniform((uint32_t)half + 1));
	d->backoff_ms *= 2;
	if (d->backoff_ms > d->options.backoff_max_ms)
		d->backoff_ms = d->options.backoff_max_ms;
}

static void learn(struct link_dialer *d, struct addrinfo *addresses)
{
	if (d->known)
		freeaddrinfo(d->known);
	d->known = addresses;
}

/* No address is tried any more. */
static void settle_addresses(struct link_dialer *d)
{
	d->next = NULL;
	if (d->newer)
		learn(d, d->newer);
	d->newer = NULL;
}

static void attempt_clear(struct link_dialer *d)
{
	settle_addresses(d);
	if (d->conn) {
		link_conn_disown(d->conn);
		link_conn_cut(d->conn);
		d->conn = NULL;
	}
}

static void attempt_failed(struct link_dialer *d, enum rmq_error err, const char *why)
{
	attempt_clear(d);
	back_off(d);
	if (d->options.failed)
		d->options.failed(d->options.arg, err, why);
}

/* ---- an attempt ---- */

static void on_up(void *arg, struct link_conn *c)
{
	struct link_dialer *d = arg;
	(void)c;
	uv_timer_stop(&d->timer);
	settle_addresses(d);
	d->state = DIALER_UP;
	d->up_since_ms = uv_now(d->net->loop);
}

/* One that was up for long is a reason to begin anew; else a peer that refuses is dialled ever
 * more slowly. */
static void on_over(void *arg, struct link_conn *c, enum rmq_error err, const char *why)
{
	struct link_dialer *d = arg;
	(void)c;
	d->conn = NULL;
	if (d->state == DIALER_UP) {
		if (uv_now(d->net->loop) - d->up_since_ms >= d->options.backoff_max_ms)
			d->backoff_ms = LINK_BACKOFF_MIN_MS;
		back_off(d);
	} else if (d->next) {
		try_next(d);
	} else {
		attempt_failed(d, err, why);
	}
}

static const struct link_owner owner = {on_up, on_over};

static void try_next(struct link_dialer *d)
{
	const struct link_dialer_options *o = &d->options;
	const struct link_conn_options options = {.owner = &owner,
	    .owner_arg = d,
	    .events = &o->events,
	    .arg = o->arg,
	    .window = o->window,
	    .user_timeout_ms = o->user_timeout_ms};
	int err = UV_ENOMEM;
	while (d->next) {
		const struct sockaddr *address = d->next->ai_addr;
		d->next = d->next->ai_next;
		link_net_know(d->net, address);
		d->conn = link_conn_new(d->net, &options);
		if (!d->conn)
			break;
		err = link_conn_dial(d->conn, address, o->role, o->key, o->name);
		if (!err)
			return;
		link_conn_disown(d->conn);
		link_conn_cut(d->conn);
		d->conn = NULL;
	}
	attempt_failed(d, RMQ_E_NO_DAEMON, uv_strerror(err));
}

/* With the newest addresses that are known; false: there are none. */
static bool try_known(struct link_dialer *d)
{
	if (!d->known)
		return false;
	d->state = DIALER_TRIES;
	uv_timer_start(&d->timer, on_time, d->options.handshake_ms, 0);
	d->next = d->known;
	try_next(d);
	return true;
}

/* An answer that comes while older addresses are tried, or later, is for the next attempt. */
static void on_looked_up(void *arg, int status, struct addrinfo *addresses)
{
	struct link_dialer *d = arg;
	d->lookup = NULL;
	if (status == 0 && d->next) {
		if (d->newer)
			freeaddrinfo(d->newer);
		d->newer = addresses;
	} else if (status == 0) {
		learn(d, addresses);
	}
	if (d->state == DIALER_ASKS && !try_known(d))
		attempt_failed(d, RMQ_E_NO_DAEMON, gai_strerror(status));
}

/* Where the last address is known, a silent name server is not waited for long. */
static void ask(struct link_dialer *d)
{
	d->state = DIALER_ASKS;
	if (!d->lookup)
		d->lookup = lookup_begin(d->net->lookups, &d->options.address, on_looked_up, d);
	uv_timer_start(&d->timer, on_time, d->known ? ASK_MS : d->options.handshake_ms, 0);
	if (!d->lookup && !try_known(d))
		attempt_failed(d, RMQ_E_LIMIT, "too many names are being looked up");
}

static void on_time(uv_timer_t *timer)
{
	struct link_dialer *d = timer->data;
	if (d->state == DIALER_TRIES) {
		attempt_failed(d, RMQ_E_TIMEOUT, "no answer in time");
	} else if (d->state == DIALER_ASKS) {
		if (!try_known(d))
			attempt_failed(d, RMQ_E_TIMEOUT, "its name was not looked up in time");
	} else if (d->numeric) {
		(void)try_known(d);
	} else {
		ask(d);
	}
}

/* ---- begin and end ---- */

struct link_dialer *link_dialer_new(
    struct link_net *net, const struct link_dialer_options *options)
{
	struct link_dialer *d = calloc(1, sizeof(*d));
	if (!d)
		return NULL;
	d->net = net;
	d->options = *options;
	memcpy(d->name, options->name.data, options->name.len);
	d->options.name.data = d->name;
	if (d->options.backoff_max_ms == 0)
		d->options.backoff_max_ms = BACKOFF_MAX_MS;
	if (d->options.handshake_ms == 0)
		d->options.handshake_ms = LINK_HANDSHAKE_MS;
	if (d->options.user_timeout_ms == 0)
		d->options.user_timeout_ms = LINK_USER_TIMEOUT_MS;
	d->backoff_ms = LINK_BACKOFF_MIN_MS;
	d->numeric = socket_host_resolve(&d->options.address, AI_NUMERICHOST, &d->known) == 0;
	if (!d->numeric)
		d->known = NULL;
	uv_timer_init(net->loop, &d->timer);
	d->timer.data = d;
	link_net_use(net);
	wait_for(d, 0);
	return d;
}

void link_dialer_now(struct link_dialer *d)
{
	d->backoff_ms = LINK_BACKOFF_MIN_MS;
	if (d->state == DIALER_WAITS)
		wait_for(d, 0);
}

/* What is known of the place before is of no use any more, nor is a connection on its way there. */
void link_dialer_address(struct link_dialer *d, const struct socket_host *address)
{
	const struct socket_host *is = &d->options.address;
	bool tries = d->state == DIALER_ASKS || d->state == DIALER_TRIES;
	struct addrinfo *known;

	if (strcmp(is->host, address->host) == 0 && is->port == address->port)
		return;
	if (tries)
		attempt_clear(d);
	else
		settle_addresses(d);
	lookup_drop(d->lookup);
	d->lookup = NULL;
	d->options.address = *address;
	d->numeric = socket_host_resolve(address, AI_NUMERICHOST, &known) == 0;
	learn(d, d->numeric ? known : NULL);
	if (tries)
		wait_for(d, 0);
}

struct link_conn *link_dialer_conn(const struct link_dialer *d)
{
	return d->state == DIALER_UP ? d->conn : NULL;
}

static void on_closed(uv_handle_t *handle)
{
	struct link_dialer *d = handle->data;
	link_net_leave(d->net);
	free(d);
}

void link_dialer_free(struct link_dialer *d)
{
	if (!d)
		return;
	if (d->state == DIALER_UP) {
		struct link_conn *c = d->conn;
		d->conn = NULL;
		link_conn_disown(c);
		link_conn_close(c);
	}
	attempt_clear(d);
	lookup_drop(d->lookup);
	if (d->known)
		freeaddrinfo(d->known);
	uv_close((uv_handle_t *)&d->timer, on_closed);
}
