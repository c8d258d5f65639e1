#include "sys/net/lookup_thread.h"

#include <netdb.h>
#include <pthread.h>
#include <signal.h>

#define STACK_SIZE (512u << 10)

static void *look_up(void *arg)
{
	struct lookup_thread *t = arg;

	/* Not AI_ADDRCONFIG, for which localhost is no address of IPv4 if all others are of IPv6. */
	t->status = socket_host_resolve(&t->host, 0, &t->list);
	if (t->status != 0)
		t->list = NULL;
	t->done(t);
	return NULL;
}

/* Signals are for the other threads. */
int lookup_thread_begin(struct lookup_thread *t)
{
	pthread_attr_t attributes;
	pthread_t thread;
	sigset_t all, before;

	int err = pthread_attr_init(&attributes);
	if (err)
		return err;
	pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
	pthread_attr_setstacksize(&attributes, STACK_SIZE);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	err = pthread_create(&thread, &attributes, look_up, t);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_attr_destroy(&attributes);
	return err;
}
