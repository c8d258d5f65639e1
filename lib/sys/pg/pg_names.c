#include "sys/pg/pg_names.h"

#include <netdb.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/memory.h"
#include "sys/net/lookup_thread.h"
#include "sys/pg/pg_dsn.h"

struct name {
	bool asked;    /* and the answer was not taken */
	bool answered; /* it is here */
	bool looks_up; /* a thread does */
	int status;    /* of getaddrinfo() */
	unsigned count, next;
	char addresses[PG_ADDRESSES_MAX][PG_ADDRESS_SIZE];
};

struct pg_names {
	pthread_mutex_t lock;
	int wake;
	unsigned threads;
	bool freed; /* the last thread frees the memory */
	struct name names[PG_HOSTS_MAX];
};

struct look_up {
	struct lookup_thread thread; /* first */
	struct pg_names *owner;
	unsigned host;
};

static void names_destroy(struct pg_names *n)
{
	pthread_mutex_destroy(&n->lock);
	free(n);
}

/* ---- on its thread ---- */

static void keep(struct name *name, const struct addrinfo *list)
{
	name->count = 0;
	for (; list && name->count < PG_ADDRESSES_MAX; list = list->ai_next)
		if (getnameinfo(list->ai_addr, list->ai_addrlen, name->addresses[name->count],
			PG_ADDRESS_SIZE, NULL, 0, NI_NUMERICHOST) == 0)
			name->count++;
}

static void on_found(struct lookup_thread *t)
{
	struct look_up *k = (struct look_up *)t;
	struct pg_names *n = k->owner;
	struct name *name = &n->names[k->host];
	uint64_t one = 1;

	pthread_mutex_lock(&n->lock);
	name->looks_up = false;
	name->answered = true;
	name->status = t->status;
	if (t->status == 0)
		keep(name, t->list);
	n->threads--;
	bool last = n->freed && n->threads == 0;
	if (!n->freed) {
		ssize_t written = write(n->wake, &one, sizeof(one));
		(void)written; /* it is full: who reads it is awake */
	}
	pthread_mutex_unlock(&n->lock);
	if (t->list)
		freeaddrinfo(t->list);
	free(k);
	if (last)
		names_destroy(n);
}

/* ---- for who asks ---- */

/* Under the lock. */
static void begin(struct pg_names *n, unsigned host, const char *text)
{
	struct name *name = &n->names[host];
	struct look_up *k = memory_new(sizeof(*k));

	*k = (struct look_up){.thread = {.done = on_found}, .owner = n, .host = host};
	snprintf(k->thread.host.host, sizeof(k->thread.host.host), "%s", text);
	name->asked = true;
	name->answered = false;
	if (lookup_thread_begin(&k->thread) == 0) {
		name->looks_up = true;
		n->threads++;
		return;
	}
	free(k);
	name->answered = true;
	name->status = EAI_AGAIN;
}

static void print_addresses(struct name *name, char addresses[PG_ADDRESSES_SIZE])
{
	size_t len = 0;

	for (unsigned i = 0; i < name->count; i++)
		len += (size_t)snprintf(addresses + len, PG_ADDRESSES_SIZE - len, "%s%s",
		    i ? "," : "", name->addresses[(name->next + i) % name->count]);
	name->next++;
}

enum pg_names_state pg_names_ask(struct pg_names *n, unsigned host, const char *text, bool old,
    char addresses[PG_ADDRESSES_SIZE], const char **why)
{
	struct name *name = &n->names[host];
	enum pg_names_state state = PG_NAME_WAITS;

	pthread_mutex_lock(&n->lock);
	/* A thread that is late answers whoever asks next. */
	if (!name->asked && !name->looks_up)
		begin(n, host, text);
	name->asked = true;
	if (name->answered && name->status == 0 && name->count > 0) {
		state = PG_NAME_FOUND;
	} else if (name->answered) {
		state = PG_NAME_FAILED;
		*why = name->status != 0 ? gai_strerror(name->status) : "it has no address";
	} else if (old && name->count > 0) {
		state = PG_NAME_FOUND;
	}
	if (state != PG_NAME_WAITS)
		name->asked = name->answered = false;
	if (state == PG_NAME_FOUND)
		print_addresses(name, addresses);
	pthread_mutex_unlock(&n->lock);
	return state;
}

struct pg_names *pg_names_new(int wake)
{
	struct pg_names *n = memory_new(sizeof(*n));

	n->wake = wake;
	pthread_mutex_init(&n->lock, NULL);
	return n;
}

void pg_names_free(struct pg_names *n)
{
	pthread_mutex_lock(&n->lock);
	n->freed = true;
	bool last = n->threads == 0;
	pthread_mutex_unlock(&n->lock);
	if (last)
		names_destroy(n);
}
