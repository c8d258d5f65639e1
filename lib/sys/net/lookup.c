#include "sys/net/lookup.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/queue.h>

#include "sys/net/lookup_thread.h"

struct lookup {
	struct lookup_thread thread; /* first */
	STAILQ_ENTRY(lookup) entry;
	struct lookups *owner;
	lookup_done *done; /* NULL: nobody waits; of the loop's thread only */
	void *arg;
};

struct lookups {
	uv_async_t async;
	pthread_mutex_t lock;
	/* Under the lock: */
	unsigned threads;
	bool freed;  /* nobody takes what is answered */
	bool closed; /* the handle is gone: the last thread frees the memory */
	STAILQ_HEAD(, lookup) answered;
};

static void answer_free(struct lookup *k)
{
	if (k->thread.list)
		freeaddrinfo(k->thread.list);
	free(k);
}

static void lookups_destroy(struct lookups *l)
{
	pthread_mutex_destroy(&l->lock);
	free(l);
}

/* ---- on its thread ---- */

static void on_found(struct lookup_thread *t)
{
	struct lookup *k = (struct lookup *)t;
	struct lookups *l = k->owner;

	pthread_mutex_lock(&l->lock);
	l->threads--;
	bool last = l->closed && l->threads == 0;
	if (l->freed) {
		answer_free(k);
	} else {
		STAILQ_INSERT_TAIL(&l->answered, k, entry);
		uv_async_send(&l->async);
	}
	pthread_mutex_unlock(&l->lock);
	if (last)
		lookups_destroy(l);
}

/* ---- in the loop ---- */

static void on_answered(uv_async_t *async)
{
	struct lookups *l = async->data;
	struct lookup *k;

	for (;;) {
		pthread_mutex_lock(&l->lock);
		k = l->freed ? NULL : STAILQ_FIRST(&l->answered);
		if (k)
			STAILQ_REMOVE_HEAD(&l->answered, entry);
		pthread_mutex_unlock(&l->lock);
		if (!k)
			return;
		if (k->done) {
			struct addrinfo *list = k->thread.list;
			k->thread.list = NULL;
			k->done(k->arg, k->thread.status, list);
		}
		answer_free(k);
	}
}

struct lookup *lookup_begin(
    struct lookups *l, const struct socket_host *host, lookup_done *done, void *arg)
{
	struct lookup *k = calloc(1, sizeof(*k));

	if (!k)
		return NULL;
	*k = (struct lookup){
	    .thread = {.host = *host, .done = on_found}, .owner = l, .done = done, .arg = arg};
	pthread_mutex_lock(&l->lock);
	bool may = l->threads < LOOKUPS_MAX && lookup_thread_begin(&k->thread) == 0;
	l->threads += may;
	pthread_mutex_unlock(&l->lock);
	if (may)
		return k;
	free(k);
	return NULL;
}

void lookup_drop(struct lookup *k)
{
	if (k)
		k->done = NULL;
}

struct lookups *lookups_new(uv_loop_t *loop)
{
	struct lookups *l = calloc(1, sizeof(*l));

	if (!l)
		return NULL;
	if (uv_async_init(loop, &l->async, on_answered) != 0) {
		free(l);
		return NULL;
	}
	uv_unref((uv_handle_t *)&l->async);
	l->async.data = l;
	pthread_mutex_init(&l->lock, NULL);
	STAILQ_INIT(&l->answered);
	return l;
}

static void on_closed(uv_handle_t *handle)
{
	struct lookups *l = handle->data;

	pthread_mutex_lock(&l->lock);
	l->closed = true;
	bool last = l->threads == 0;
	pthread_mutex_unlock(&l->lock);
	if (last)
		lookups_destroy(l);
}

void lookups_free(struct lookups *l)
{
	struct lookup *k;

	if (!l)
		return;
	pthread_mutex_lock(&l->lock);
	l->freed = true;
	while ((k = STAILQ_FIRST(&l->answered))) {
		STAILQ_REMOVE_HEAD(&l->answered, entry);
		answer_free(k);
	}
	pthread_mutex_unlock(&l->lock);
	uv_close((uv_handle_t *)&l->async, on_closed);
}
