#include "job.h"

#include <stdlib.h>
#include <string.h>

static struct slice copy(char **to, struct slice from)
{
	char *at = *to;
	if (from.len > 0)
		memcpy(at, from.data, from.len);
	*to += from.len;
	return slice_of(at, from.len);
}

static void append(struct jobs *l, struct job *j)
{
	j->next = NULL;
	if (l->tail)
		l->tail->next = j;
	else
		l->head = j;
	l->tail = j;
	l->count++;
	l->bytes += j->envelope.body.len;
}

bool jobs_add(struct jobs *l, const struct envelope *e, struct mono_time now)
{
	size_t len = e->note.len + e->key.len + e->headers.len + e->body.len;
	struct job *j = malloc(sizeof(*j) + len);
	if (!j)
		return false;
	char *at = j->bytes;
	j->envelope = *e;
	j->envelope.note = copy(&at, e->note);
	j->envelope.key = copy(&at, e->key);
	j->envelope.headers = copy(&at, e->headers);
	j->envelope.body = copy(&at, e->body);
	j->came = now;
	j->gone = false;
	append(l, j);
	return true;
}

static struct job *take(struct jobs *l)
{
	struct job *j = l->head;
	l->head = j->next;
	if (!l->head)
		l->tail = NULL;
	l->count--;
	l->bytes -= j->envelope.body.len;
	return j;
}

void jobs_move(struct jobs *l, struct jobs *to, uint64_t count)
{
	while (count-- > 0)
		append(to, take(l));
}

uint32_t jobs_cut(struct jobs *l, uint64_t lease, uint64_t first, uint32_t count)
{
	struct jobs kept = {0};
	uint32_t gone = 0;
	while (l->head) {
		struct job *j = take(l);
		const struct envelope *e = &j->envelope;
		if (e->lease != lease || e->seq < first || e->seq - first >= count) {
			append(&kept, j);
			continue;
		}
		free(j);
		gone++;
	}
	*l = kept;
	return gone;
}

void jobs_free(struct jobs *l)
{
	while (l->head)
		free(take(l));
}
