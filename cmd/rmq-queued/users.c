#include "users.h"

#include "server.h"
#include "sys/net/local_rights.h"
#include "sys/process/clock.h"
#include "sys/process/daemon_options.h"

/* Rights that end are looked at so often. */
#define LOOK_MS 1000

enum rmq_error users_open(struct users *u, const char *path, struct reason *why)
{
	u->path = path;
	return rights_file_read(&u->file, path, why);
}

/* What is granted now is asked for with the client's next connection. */
static void end(struct conn *c)
{
	c->by_file = false;
	if (c->state < CONN_CLOSING)
		conn_refuse(c, RMQ_E_INTERRUPTED, "what its user may do has changed");
}

static void on_timer(uv_timer_t *timer)
{
	struct server *s = timer->data;
	uint64_t now_ms = clock_wall().ms;
	bool any = false;

	server_turn(s);
	for (uint32_t i = 0; i < s->slots_used; i++) {
		struct conn *c = s->conns[i];
		if (c && c->by_file && c->until_ms <= now_ms)
			end(c);
		any |= c && c->by_file && c->until_ms < UINT64_MAX;
	}
	if (!any)
		uv_timer_stop(timer);
	/* The turn's end comes after the next wait. */
	server_wake(s);
}

void users_start(struct users *u, struct server *s)
{
	uv_timer_init(&s->loop, &u->timer);
	u->timer.data = s;
}

void users_admit(struct server *s, struct conn *c)
{
	struct users *u = &s->users;
	struct rights_granted g;

	if (!u->path || !local_rights(&u->file, c->fd, clock_wall(), &g))
		return;
	c->by_file = true;
	c->until_ms = g.until.ms;
	broker_rights(s->broker, c->id, rights_granted_list(&g));
	if (c->until_ms < UINT64_MAX && !uv_is_active((uv_handle_t *)&u->timer))
		uv_timer_start(&u->timer, on_timer, LOOK_MS, LOOK_MS);
}

void users_reload(struct server *s)
{
	struct users *u = &s->users;
	struct rights_file old = u->file;
	struct reason why = {""};

	u->file = (struct rights_file){.groups_len = 0};
	if (rights_file_read(&u->file, u->path, &why)) {
		log_error("%s; the rights stay as they were", why.text);
		daemon_options_status(u->common, why.text);
		u->file = old;
		return;
	}
	log_notice("%s: read again", u->path);
	daemon_options_status(u->common, NULL);
	server_turn(s);
	for (uint32_t i = 0; i < s->slots_used; i++) {
		struct conn *c = s->conns[i];
		if (c && c->by_file && !local_rights_same(&old, &u->file, c->fd, clock_wall()))
			end(c);
	}
	rights_file_deinit(&old);
}
