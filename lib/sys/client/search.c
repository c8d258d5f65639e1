#include "sys/client/search.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#include "sys/net/lookup_thread.h"

#define LOOKUP_MS 15000 /* for name servers to answer: the first may not, for 5 s */

/* Its thread and we leave it in any order: the second one frees it. */
struct search {
	struct lookup_thread thread; /* first */
	atomic_bool left;
	int answers[2]; /* a pipe, whose end is closed by the thread when it has the answer */
	struct mono_time until;
	struct search *next;
};

static void leave(struct search *s)
{
	if (!atomic_exchange(&s->left, true))
		return;
	if (s->thread.list)
		freeaddrinfo(s->thread.list);
	free(s);
}

static void on_answered(struct lookup_thread *t)
{
	struct search *s = (struct search *)t;
	close(s->answers[1]);
	leave(s);
}

struct search *search_of(
    struct search **all, const struct socket_host *host, struct mono_time now, int *error)
{
	for (struct search *s = *all; s; s = s->next)
		if (socket_host_same(&s->thread.host, host))
			return s;
	struct search *s = calloc(1, sizeof(*s));
	if (!s) {
		*error = ENOMEM;
		return NULL;
	}
	s->thread.host = *host;
	s->thread.done = on_answered;
	s->until.ms = now.ms + LOOKUP_MS;
	if (pipe2(s->answers, O_CLOEXEC | O_NONBLOCK) != 0) {
		*error = errno;
		free(s);
		return NULL;
	}
	*error = lookup_thread_begin(&s->thread);
	if (*error) {
		close(s->answers[0]);
		close(s->answers[1]);
		free(s);
		return NULL;
	}
	s->next = *all;
	*all = s;
	return s;
}

int search_fd(const struct search *s)
{
	return s->answers[0];
}

struct mono_time search_until(const struct search *s)
{
	return s->until;
}

bool search_answered(struct search *s, int *status, struct addrinfo **list)
{
	char c;
	/* The pipe ends before the thread leaves; what it has found stood there before that. */
	if (read(s->answers[0], &c, 1) < 0)
		return false;
	*status = s->thread.status;
	*list = s->thread.list;
	s->thread.list = NULL;
	return true;
}

void search_leave(struct search **all, struct search *s)
{
	struct search **at = all;
	while (*at != s)
		at = &(*at)->next;
	*at = s->next;
	close(s->answers[0]);
	leave(s);
}
