#include "peers.h"

#include <inttypes.h>
#include <string.h>

#include "gate.h"

static const struct control_view_member *member_by_key(
    const struct gate *g, const uint8_t key[KEY_SIZE])
{
	for (unsigned i = 0; i < g->view.count; i++)
		if (memcmp(g->view.members[i].key, key, KEY_SIZE) == 0)
			return &g->view.members[i];
	return NULL;
}

static bool is_known(void *arg, enum link_role role, const uint8_t key[KEY_SIZE])
{
	return role == LINK_CLIENT ? principals_know(arg, key)
				   : member_by_key(arg, key) != NULL;
}

/* ---- links, whoever dialled ---- */

/* Of one gate so many links that it dialled stay: one more, and the oldest is a dead one. */
static void make_place(struct gate *g, const uint8_t key[KEY_SIZE])
{
	struct gate_link *l, *oldest = NULL;
	unsigned count = 0;

	LIST_FOREACH (l, &g->links, entry) {
		if (l->dialled || l->client ||
		    memcmp(link_conn_peer(l->conn), key, KEY_SIZE) != 0)
			continue;
		oldest = l;
		count++;
	}
	if (count >= GATE_LINKS_PEER)
		peers_cut(g, oldest);
}

static void begin(struct gate *g, struct link_conn *c, bool dialled)
{
	const struct control_view_member *m = member_by_key(g, link_conn_peer(c));

	if (!dialled)
		make_place(g, link_conn_peer(c));
	struct gate_link *l = m ? gate_link_new(g, c, dialled) : NULL;
	if (!l) {
		link_conn_cut(c);
		return;
	}
	memcpy(l->peer, m->name, sizeof(l->peer));
	link_conn_set_data(c, l);
	log_info("%s %s (%s)", dialled ? "to" : "from", l->peer, link_conn_address(c));
	if (!dialled) {
		link_conn_let_in(c);
		return;
	}
	l->heard = true;
	g->leader_link = l;
	g->peers.failed_said = false;
	gate_changed(g);
}

static void on_dialled(void *arg, struct link_conn *c)
{
	begin(arg, c, true);
}

static void begin_client(struct gate *g, struct link_conn *c)
{
	struct gate_link *l = gate_link_new(g, c, false);

	if (!l) {
		link_conn_cut(c);
		return;
	}
	l->client = true;
	link_conn_set_data(c, l);
	link_conn_set_window(c, (struct link_window){GATE_CLIENT_QUEUE, GATE_CLIENT_MARK});
	principals_begin(l);
	link_conn_limit_parts(c, principals_parts(l));
	if (l->principal && !l->ending)
		link_conn_let_in(c);
	if (l->principal)
		gate_link_send(l, slice_of(g->peers.contacts, g->peers.contacts_len));
}

static void on_accepted(void *arg, struct link_conn *c)
{
	if (link_conn_role(c) == LINK_CLIENT)
		begin_client(arg, c);
	else
		begin(arg, c, false);
}

static void end(struct gate *g, struct gate_link *l)
{
	bool leads = g->leader_link == l;

	l->conn = NULL;
	if (leads)
		g->leader_link = NULL;
	gate_link_free(l);
	if (leads)
		gate_changed(g);
}

void peers_cut(struct gate *g, struct gate_link *l)
{
	link_conn_cut(l->conn);
	end(g, l);
}

void peers_close_link(struct gate *g, struct gate_link *l)
{
	link_conn_close(l->conn);
	end(g, l);
}

static void on_frame(void *arg, struct link_conn *c, const struct frame *f)
{
	struct gate *g = arg;
	struct gate_link *l = link_conn_data(c);

	if (!gate_link_frame(l, f))
		return;
	if (!l->client || log_rate_allows(&g->principals.ended, uv_now(&g->loop)))
		log_notice("%s (%s): a frame that is none of the protocol: closing the link",
		    l->peer, link_conn_address(c));
	peers_cut(g, l);
}

static bool on_begun(void *arg, struct link_conn *c, struct slice part)
{
	(void)arg;
	return gate_link_begun(link_conn_data(c), part);
}

static void on_drained(void *arg, struct link_conn *c)
{
	(void)arg;
	gate_link_drained(link_conn_data(c));
}

static void on_down(void *arg, struct link_conn *c, enum rmq_error err, const char *why)
{
	struct gate *g = arg;
	struct gate_link *l = link_conn_data(c);

	if (l->client && err && err != RMQ_E_INTERRUPTED &&
	    log_rate_allows(&g->principals.ended, uv_now(&g->loop)))
		log_notice("%s (%s): %s: closing the link", l->peer, link_conn_address(c), why);
	else
		log_info(
		    "%s %s: %s", l->dialled ? "to" : "from", l->peer, err ? why : "closed");
	end(g, l);
}

static void on_failed(void *arg, enum rmq_error err, const char *why)
{
	struct gate *g = arg;
	struct peers *p = &g->peers;

	(void)err;
	if (!p->failed_said)
		log_notice("%s at %s: %s", p->leader, p->address, why);
	p->failed_said = true;
}

static void on_refused(void *arg, const char *address, const char *why)
{
	struct gate *g = arg;
	if (log_rate_allows(&g->principals.refused, uv_now(&g->loop)))
		log_notice("refused: %s: %s", address, why);
}

static void on_unheard(void *arg, const char *address, const char *why, uint64_t count)
{
	(void)arg;
	log_notice("connections are closed unheard: %s: %" PRIu64 ", the newest from %s", why,
	    count, address);
}

/* ---- the leader ---- */

static void hang_up(struct gate *g)
{
	struct peers *p = &g->peers;

	if (!p->dialer)
		return;
	/* First the link: no callback comes for it any more. */
	link_dialer_free(p->dialer);
	p->dialer = NULL;
	if (g->leader_link)
		end(g, g->leader_link);
}

static bool is_dialled(const struct gate *g)
{
	const struct peers *p = &g->peers;
	const struct control_view *v = &g->view;

	return p->dialer && strcmp(p->leader, v->leader) == 0 &&
	       strcmp(p->address, v->leader_gate) == 0 &&
	       memcmp(p->key, v->leader_key, KEY_SIZE) == 0 &&
	       raft_id_eq(p->cluster, v->cluster);
}

static void dial(struct gate *g)
{
	struct peers *p = &g->peers;
	const struct control_view *v = &g->view;
	const char *why = "";
	struct link_dialer_options o = {.name = slice_str(v->leader),
	    .role = LINK_GATE,
	    .window = {.mark = GATE_LINK_MARK},
	    .backoff_max_ms = GATE_HOLD_MS,
	    .events = {on_dialled, on_frame, on_drained, on_down, on_begun},
	    .failed = on_failed,
	    .arg = g};

	memcpy(p->leader, v->leader, sizeof(p->leader));
	memcpy(p->address, v->leader_gate, sizeof(p->address));
	memcpy(p->key, v->leader_key, sizeof(p->key));
	p->cluster = v->cluster;
	p->failed_said = false;
	memcpy(o.key, v->leader_key, KEY_SIZE);
	if (socket_host_parse(&o.address, v->leader_gate, &why)) {
		log_notice("%s: gate '%s': %s", v->leader, v->leader_gate, why);
		return;
	}
	p->dialer = link_dialer_new(p->net, &o);
	if (!p->dialer)
		log_error("out of memory");
}

/*
 * While nobody leads the link to who led stays: most often that one leads again.  Its queue
 * daemon's end is the end of its streams.
 */
static void follow(struct gate *g)
{
	const struct control_view *v = &g->view;

	if (!v->leader[0])
		return;
	if (strcmp(v->leader, v->name) == 0 || !v->leader_gate[0]) {
		hang_up(g);
	} else if (is_dialled(g)) {
		link_dialer_now(g->peers.dialer);
	} else {
		hang_up(g);
		dial(g);
	}
}

/* ---- who may ---- */

static void drop_strangers(struct gate *g)
{
	struct gate_link *l, *next;

	for (l = LIST_FIRST(&g->links); l; l = next) {
		next = LIST_NEXT(l, entry);
		if (l->dialled || l->client || member_by_key(g, link_conn_peer(l->conn)))
			continue;
		log_notice("%s is no longer a member", l->peer);
		peers_cut(g, l);
	}
}

/* ---- what clients are told ---- */

static void put_contact(
    struct writer *w, const char *address, const char *name, const uint8_t key[KEY_SIZE])
{
	gate_contact_encode(w, &(struct gate_contact){slice_str(address), slice_str(name),
				   slice_of(key, KEY_SIZE)});
}

static void put_contacts(const struct gate *g, struct writer *w)
{
	size_t begin = frame_begin(w, GATE_TYPE_CONTACTS);

	put_u16(w, 0); /* no tags */
	/* Clients know where it is, but maybe an older key of it. */
	if (gate_is_alone(g))
		put_contact(w, "", g->config.name, g->peers.own);
	for (unsigned i = 0; i < g->view.count; i++) {
		const struct control_view_member *m = &g->view.members[i];
		put_contact(w, m->gate, m->name, m->key);
	}
	frame_end(w, begin);
}

static void tell_contacts(struct gate *g)
{
	struct peers *p = &g->peers;
	uint8_t bytes[PEERS_CONTACTS_MAX];
	struct writer w = writer_of(bytes, sizeof(bytes));
	struct gate_link *l;

	put_contacts(g, &w);
	if (w.len == p->contacts_len && memcmp(bytes, p->contacts, w.len) == 0)
		return;
	memcpy(p->contacts, bytes, w.len);
	p->contacts_len = w.len;
	LIST_FOREACH (l, &g->links, entry)
		if (l->client && l->principal && !l->ending)
			gate_link_send(l, slice_of(bytes, w.len));
}

/* Gates come from where their nodes are, as a rule. */
static void expect(struct gate *g, const char *address)
{
	struct socket_host host;
	const char *why;

	if (!socket_host_parse(&host, address, &why))
		link_net_expect(g->peers.net, &host);
}

void peers_changed(struct gate *g)
{
	for (unsigned i = 0; i < g->view.count; i++) {
		expect(g, g->view.members[i].gate);
		expect(g, g->view.members[i].address);
	}
	link_net_cluster(g->peers.net, raft_id_slice(&g->view.cluster));
	drop_strangers(g);
	tell_contacts(g);
	follow(g);
}

/* ---- life ---- */

enum rmq_error peers_open(
    struct gate *g, const struct keypair *own, const struct keypair *old, struct reason *why)
{
	struct peers *p = &g->peers;
	struct link_listener_options o = {.address = g->config.gate_listen,
	    .roles = (gate_is_alone(g) ? 0 : LINK_ROLE_BIT(LINK_GATE)) |
		     (g->principals.given ? LINK_ROLE_BIT(LINK_CLIENT) : 0),
	    .window = {.mark = GATE_LINK_MARK},
	    .known = is_known,
	    .events = {on_accepted, on_frame, on_drained, on_down, on_begun},
	    .refused = on_refused,
	    .unheard = on_unheard,
	    .arg = g};

	p->net = link_net_new(&g->loop, own, slice_str(g->config.name));
	if (!p->net)
		return reason_set(why, RMQ_E_LIMIT, "out of memory");
	if (old)
		link_net_old_key(p->net, old);
	memcpy(p->own, own->key, KEY_SIZE);
	tell_contacts(g);
	return link_listener_new(p->net, &o, &p->listener, why);
}

void peers_close(struct gate *g)
{
	struct gate_link *l, *next;

	hang_up(g);
	if (g->peers.listener)
		link_listener_free(g->peers.listener);
	g->peers.listener = NULL;
	for (l = LIST_FIRST(&g->links); l; l = next) {
		next = LIST_NEXT(l, entry);
		peers_cut(g, l);
	}
}
