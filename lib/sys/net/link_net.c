#include "sys/net/link_net.h"

#include <assert.h>
#include <netdb.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "sys/net/fast_cipher.h"
#include "sys/net/link_state.h"
#include "sys/net/lookup.h"

/* ---- blocks ---- */

struct link_block *link_net_block(struct link_pool *pool)
{
	struct link_block *b = STAILQ_FIRST(&pool->free);
	if (b) {
		STAILQ_REMOVE_HEAD(&pool->free, entry);
		pool->count--;
	} else {
		b = malloc(sizeof(*b) + pool->size);
		if (!b)
			return NULL;
		b->size = pool->size;
	}
	pool->used++;
	b->at = b->len = b->data = 0;
	b->sealed = false;
	return b;
}

void link_net_block_free(struct link_pool *pool, struct link_block *b)
{
	if (!b)
		return;
	if (b->size != pool->size) {
		free(b);
		return;
	}
	pool->used--;
	if (pool->count >= LINK_POOL_MAX) {
		free(b);
		return;
	}
	STAILQ_INSERT_HEAD(&pool->free, b, entry);
	pool->count++;
}

static void pool_deinit(struct link_pool *pool)
{
	struct link_block *b;
	while ((b = STAILQ_FIRST(&pool->free))) {
		STAILQ_REMOVE_HEAD(&pool->free, entry);
		free(b);
	}
}

/* ---- turns ---- */

static void idle_nothing(uv_idle_t *idle)
{
	(void)idle;
}

void link_net_dirty(struct link_net *net, struct link_conn *c)
{
	if (c->dirty || net->ending)
		return;
	c->dirty = true;
	TAILQ_INSERT_TAIL(&net->dirty, c, dirty_entry);
	if (net->dirty_count++ == 0)
		uv_idle_start(&net->idle, idle_nothing);
}

void link_net_clean(struct link_net *net, struct link_conn *c)
{
	if (!c->dirty)
		return;
	c->dirty = false;
	TAILQ_REMOVE(&net->dirty, c, dirty_entry);
	if (--net->dirty_count == 0)
		uv_idle_stop(&net->idle);
}

/* Those that were dirty when it began: one that becomes so again waits for the next turn. */
static void on_prepare(uv_prepare_t *prepare)
{
	struct link_net *net = prepare->data;
	for (unsigned left = net->dirty_count; left > 0 && net->dirty_count > 0; left--) {
		struct link_conn *c = TAILQ_FIRST(&net->dirty);
		link_net_clean(net, c);
		link_conn_flush(c);
		link_conn_settle(c);
	}
}

void link_net_flush(struct link_net *net)
{
	struct link_conn *c;
	TAILQ_FOREACH (c, &net->dirty, dirty_entry)
		link_conn_flush(c);
}

/* ---- addresses ---- */

struct arrivals_origin link_net_origin(const struct sockaddr *address)
{
	struct arrivals_origin o = {.family = 4};
	const struct in6_addr *a = &((const struct sockaddr_in6 *)address)->sin6_addr;

	if (address->sa_family == AF_INET) {
		memcpy(o.bytes, &((const struct sockaddr_in *)address)->sin_addr, 4);
	} else if (IN6_IS_ADDR_V4MAPPED(a)) {
		memcpy(o.bytes, a->s6_addr + 12, 4);
	} else {
		o.family = 6;
		memcpy(o.bytes, a->s6_addr, sizeof(o.bytes));
	}
	return o;
}

void link_net_know(struct link_net *net, const struct sockaddr *address)
{
	struct arrivals_origin origin = link_net_origin(address);
	arrivals_expect(&net->arrivals, &origin, uv_now(net->loop));
}

void link_net_expect(struct link_net *net, const struct socket_host *host)
{
	struct addrinfo *list;

	if (socket_host_resolve(host, AI_NUMERICHOST, &list) != 0)
		return;
	link_net_know(net, list->ai_addr);
	freeaddrinfo(list);
}

/* ---- begin and end ---- */

void link_net_use(struct link_net *net)
{
	net->users++;
}

void link_net_leave(struct link_net *net)
{
	assert(net->users > 0);
	if (--net->users > 0)
		return;
	pool_deinit(&net->in);
	pool_deinit(&net->out);
	free(net);
}

static void on_handle_closed(uv_handle_t *handle)
{
	link_net_leave(handle->data);
}

struct link_net *link_net_new(uv_loop_t *loop, const struct keypair *own, struct slice name)
{
	struct link_net *net = calloc(1, sizeof(*net));
	if (!net)
		return NULL;
	net->lookups = lookups_new(loop);
	if (!net->lookups) {
		free(net);
		return NULL;
	}
	assert(name.len <= sizeof(net->name));
	net->loop = loop;
	net->in.size = LINK_IN_SIZE;
	net->out.size = LINK_OUT_SIZE;
	STAILQ_INIT(&net->in.free);
	STAILQ_INIT(&net->out.free);
	TAILQ_INIT(&net->dirty);
	net->own = *own;
	net->fast = fast_cipher();
	memcpy(net->name, name.data, name.len);
	net->name_len = name.len;
	/* These two cannot fail. */
	uv_prepare_init(loop, &net->prepare);
	uv_idle_init(loop, &net->idle);
	net->users = 2;
	net->prepare.data = net->idle.data = net;
	uv_prepare_start(&net->prepare, on_prepare);
	uv_unref((uv_handle_t *)&net->prepare);
	return net;
}

void link_net_old_key(struct link_net *net, const struct keypair *old)
{
	net->old = *old;
	net->has_old = true;
}

void link_net_cluster(struct link_net *net, struct slice cluster)
{
	assert(cluster.len <= sizeof(net->cluster));
	if (cluster.len > 0)
		memcpy(net->cluster, cluster.data, cluster.len);
	net->cluster_len = cluster.len;
}

void link_net_free(struct link_net *net)
{
	struct link_conn *c;
	if (!net)
		return;
	net->ending = true;
	lookups_free(net->lookups);
	sodium_memzero(&net->own, sizeof(net->own));
	sodium_memzero(&net->old, sizeof(net->old));
	while ((c = TAILQ_FIRST(&net->dirty)))
		link_net_clean(net, c);
	uv_close((uv_handle_t *)&net->prepare, on_handle_closed);
	uv_close((uv_handle_t *)&net->idle, on_handle_closed);
}
