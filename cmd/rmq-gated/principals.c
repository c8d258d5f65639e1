#include "principals.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "gate.h"
#include "sys/net/local_rights.h"
#include "sys/process/clock.h"
#include "sys/process/daemon_options.h"

/* Half of what an end may be late. */
#define EXPIRY_MS 500

static const struct link_parts parts_of_one = {
    .max = GATE_PARTS_PRINCIPAL, .patience_ms = GATE_PARTS_MS};

static int compare(const struct principal *a, const struct principal *b)
{
	return strcmp(a->name, b->name);
}

RB_PROTOTYPE(principal_tree, principal, by_name, )
RB_GENERATE(principal_tree, principal, by_name, compare)

/* ---- the file ---- */

static void on_expiry(uv_timer_t *timer);
static void end_users(struct gate_link *l, const struct rights_file *fresh);

enum rmq_error principals_open(struct gate *g, struct reason *why)
{
	struct principals *p = &g->principals;

	p->denied_parts = parts_of_one;
	p->given = config_given(&g->config, rights);
	return p->given ? rights_file_read(&p->file, g->config.rights, why) : RMQ_E_OK;
}

void principals_close(struct gate *g)
{
	uv_timer_stop(&g->principals.expiry);
	rights_file_deinit(&g->principals.file);
}

bool principals_know(const struct gate *g, const uint8_t key[KEY_SIZE])
{
	return g->principals.given && rights_file_knows(&g->principals.file, key);
}

static const struct sockaddr *address_of(
    const struct gate_link *l, struct sockaddr_storage *address)
{
	return link_conn_from(l->conn, address) ? (struct sockaddr *)address : NULL;
}

static bool is_same(const struct gate_link *l, const struct rights_file *fresh)
{
	struct sockaddr_storage address;
	const struct sockaddr *from = address_of(l, &address);

	return from && rights_file_same_key(&l->gate->principals.file, fresh,
			   link_conn_peer(l->conn), from, clock_wall());
}

static void say_ended(const struct gate_link *l, const char *what)
{
	struct gate *g = l->gate;

	if (l->principal && log_rate_allows(&g->principals.ended, uv_now(&g->loop)))
		log_notice("%s (%s): %s", l->peer, link_conn_address(l->conn), what);
}

/* A supervisor shows it for as long as it is so; NULL: nothing is wrong. */
static void tell_wrong(struct gate *g, const char *wrong)
{
	if (g->common)
		daemon_options_status(g->common, wrong);
}

void principals_reload(struct gate *g)
{
	struct principals *p = &g->principals;
	struct rights_file fresh = {0};
	struct gate_link *l;
	struct reason why = {""};
	char wrong[sizeof(why) + 64];

	if (!p->given) {
		log_notice("no file of rights is set: nothing is read again");
		return;
	}
	if (rights_file_read(&fresh, g->config.rights, &why)) {
		snprintf(wrong, sizeof(wrong), "the rights stay as they were: %s", why.text);
		log_error("%s", wrong);
		tell_wrong(g, wrong);
		return;
	}
	LIST_FOREACH (l, &g->links, entry) {
		if (l->dialled && !l->ending)
			end_users(l, &fresh);
		if (!l->client || l->ending || is_same(l, &fresh))
			continue;
		say_ended(l, "its rights have changed: ended");
		/* A key that is not named any more is refused in clear, which proves nothing, from now on. */
		if (rights_file_knows(&fresh, link_conn_peer(l->conn)))
			gate_dismiss(g, l);
		else
			gate_link_deny(l);
	}
	rights_file_deinit(&p->file);
	p->file = fresh;
	log_notice("%s: read again", g->config.rights);
	tell_wrong(g, NULL);
}

/* ---- links ---- */

struct link_parts *principals_parts(struct gate_link *l)
{
	return l->principal ? &l->principal->parts : &l->gate->principals.denied_parts;
}

static struct principal *find_or_make(struct principals *all, const char *name)
{
	struct principal *p = calloc(1, sizeof(*p)), *was;

	if (!p)
		return NULL;
	memcpy(p->name, name, strlen(name) + 1);
	p->parts = parts_of_one;
	was = RB_INSERT(principal_tree, &all->tree, p);
	if (was)
		free(p);
	return was ? was : p;
}

static void refuse(struct gate_link *l, const char *why)
{
	struct gate *g = l->gate;
	char print[KEY_FINGERPRINT_SIZE];

	key_fingerprint(link_conn_peer(l->conn), print);
	if (log_rate_allows(&g->principals.refused, uv_now(&g->loop)))
		log_notice("refused: client at %s, key %s: %s", link_conn_address(l->conn),
		    print, why);
}

/* Whose it is, if there is room for one more. */
static const char *join(struct gate_link *l, const struct rights_granted *granted)
{
	struct principals *all = &l->gate->principals;
	struct principal *p = find_or_make(all, granted->name);

	if (!p)
		return "out of memory";
	all->denied--;
	all->links++;
	p->links++;
	l->principal = p;
	l->until = granted->until;
	(void)snprintf(l->peer, sizeof(l->peer), BEHALF_KEY "%s", p->name);
	if (p->links > GATE_LINKS_PRINCIPAL || p->links > all->links_max / 2)
		return "too many connections of that client";
	return all->links > all->links_max ? "too many connections of clients" : NULL;
}

static void watch_end(struct gate *g, struct wall_time until)
{
	uv_timer_t *timer = &g->principals.expiry;

	if (until.ms != UINT64_MAX && !uv_is_active((uv_handle_t *)timer))
		uv_timer_start(timer, on_expiry, EXPIRY_MS, EXPIRY_MS);
}

/* It has had the longest time to ask why. */
static void dismiss_denied(struct gate *g)
{
	struct gate_link *l, *oldest = NULL;

	LIST_FOREACH (l, &g->links, entry)
		if (l->client && !l->principal && !l->ending)
			oldest = l;
	if (oldest)
		gate_dismiss(g, oldest);
}

void principals_begin(struct gate_link *l)
{
	struct gate *g = l->gate;
	struct rights_granted granted;
	char print[KEY_FINGERPRINT_SIZE];

	/* Whoever may not come waits for the answer to OPEN, and not for long. */
	l->until = (struct wall_time){clock_wall().ms + GATE_DENIED_MS};
	g->principals.denied++;
	if (principals_ask(l, &granted)) {
		if (g->principals.denied > GATE_DENIED_MAX)
			dismiss_denied(g);
		watch_end(g, l->until);
		return;
	}
	const char *why = join(l, &granted);
	if (why) {
		refuse(l, why);
		gate_dismiss(g, l);
		return;
	}
	watch_end(g, l->until);
	key_fingerprint(link_conn_peer(l->conn), print);
	if (log_rate_allows(&g->principals.let_in, uv_now(&g->loop)))
		log_notice("client %s at %s, key %s%s", l->principal->name,
		    link_conn_address(l->conn), print,
		    link_conn_by_old_key(l->conn) ? ", by old-key" : "");
}

static uint64_t opens_now(const struct gate *g)
{
	return uv_now(&g->loop) * GATE_OPENS_PRINCIPAL;
}

/* Those without a link or stream are forgotten, but not how many streams they have begun just now. */
static void sweep(struct gate *g)
{
	struct principals *all = &g->principals;
	struct principal *p, *next;

	if (uv_now(&g->loop) - all->swept_ms < GATE_OPENS_MS)
		return;
	all->swept_ms = uv_now(&g->loop);
	RB_FOREACH_SAFE(p, principal_tree, &all->tree, next)
	{
		if (p->links + p->streams > 0 || p->opens > opens_now(g))
			continue;
		RB_REMOVE(principal_tree, &all->tree, p);
		free(p);
	}
}

void principals_end(struct gate_link *l)
{
	struct principals *all = &l->gate->principals;
	struct principal *p = l->principal;

	if (!p) {
		all->denied -= l->client;
		return;
	}
	l->principal = NULL;
	all->links--;
	p->links--;
	sweep(l->gate);
}

enum rmq_error principals_ask(struct gate_link *l, struct rights_granted *granted)
{
	struct sockaddr_storage address;
	const struct sockaddr *from = address_of(l, &address);
	const char *why = "";

	if (!from)
		return RMQ_E_DENIED;
	enum rmq_error err = rights_file_key(&l->gate->principals.file, link_conn_peer(l->conn),
	    from, clock_wall(), granted, &why);
	if (err)
		refuse(l, why);
	return err;
}

struct principal *principals_named(struct gate *g, const char *name)
{
	sweep(g);
	return find_or_make(&g->principals, name);
}

static bool may_open(const struct gate *g, struct principal *p)
{
	uint64_t now = opens_now(g);

	/* Those who are led on have half of the places of this machine's clients, and one key half of these. */
	unsigned part = g->view.flags & CONTROL_SERVING ? 2 : 4;
	if (p->streams >= GATE_STREAMS_PRINCIPAL || p->streams >= g->far_max / part)
		return false;
	if (p->opens < now)
		p->opens = now;
	if (p->opens - now > (uint64_t)GATE_OPENS_MS * (GATE_OPENS_PRINCIPAL - 1))
		return false;
	p->opens += GATE_OPENS_MS;
	return true;
}

bool principals_may_open(struct gate *g, struct principal *p)
{
	if (may_open(g, p))
		return true;
	if (log_rate_allows(&g->principals.refused, uv_now(&g->loop)))
		log_notice(
		    "refused: a stream of client %s: %u are open, or too many were begun",
		    p->name, p->streams);
	return false;
}

/* ---- users of this machine ---- */

bool principals_user(struct stream *s, struct rights_granted *granted)
{
	struct principals *p = &s->gate->principals;

	if (!p->given || !local_rights(&p->file, s->fd, clock_wall(), granted))
		return false;
	watch_end(s->gate, granted->until);
	return true;
}

/* Those whom another gate brings to the queue, and for whom the answer is another one. */
static void end_users(struct gate_link *l, const struct rights_file *fresh)
{
	struct stream *s, *next;

	for (s = RB_MIN(stream_tree, &l->streams); s; s = next) {
		next = RB_NEXT(stream_tree, &l->streams, s);
		if (!s->key &&
		    !local_rights_same(&l->gate->principals.file, fresh, s->fd, clock_wall()))
			stream_close(s, RMQ_E_OK);
	}
}

/* ---- time ---- */

/* Whether there are more to come. */
static bool expire_users(struct gate_link *l, uint64_t now)
{
	bool more = false;
	struct stream *s, *next;

	for (s = RB_MIN(stream_tree, &l->streams); s; s = next) {
		next = RB_NEXT(stream_tree, &l->streams, s);
		if (s->until.ms == UINT64_MAX)
			continue;
		more = true;
		if (now >= s->until.ms)
			stream_close(s, RMQ_E_OK);
	}
	return more;
}

static void on_expiry(uv_timer_t *timer)
{
	struct gate *g = timer->data;
	uint64_t now = clock_wall().ms;
	bool more = false;
	struct gate_link *l;

	LIST_FOREACH (l, &g->links, entry) {
		if (l->dialled && !l->ending)
			more |= expire_users(l, now);
		if (!l->client || l->ending || l->until.ms == UINT64_MAX)
			continue;
		more = true;
		if (now < l->until.ms)
			continue;
		say_ended(l, "its rights end now");
		gate_dismiss(g, l);
	}
	if (!more)
		uv_timer_stop(timer);
}

/* ---- memory ---- */

bool principals_widen(struct principal *p)
{
	if (p->budget + GATE_WINDOW > GATE_BUDGET_PRINCIPAL)
		return false;
	p->budget += GATE_WINDOW;
	return true;
}

void principals_ended(struct principal *p, bool wide)
{
	p->streams--;
	if (wide)
		p->budget -= GATE_WINDOW;
}
