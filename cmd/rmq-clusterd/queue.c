#include "queue.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/host/shared_journal.h"
#include "node.h"
#include "state.h"
#include "supervisor.h"

/* What is read in one turn, and so what is proposed at once. */
#define QUEUE_TURN_BYTES (1u << 20)

struct queue {
	struct cluster *cluster;
	struct shared_journal *journal;
	struct shared_journal_owner owner;
	uv_poll_t poll;
	int fd;
	int events; /* that are polled */
	bool ended; /* its end was told */
};

static void lost(void *arg, const char *why)
{
	struct queue *q = arg;

	q->ended = true;
	supervisor_lost(q->cluster, why);
}

static size_t answer(void *arg, struct slice bytes)
{
	struct queue *q = arg;
	ssize_t n = write(q->fd, bytes.data, bytes.len);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	/* Else it has died: what it said before is read first, and nobody reads this. */
	return n < 0 ? bytes.len : (size_t)n;
}

/* What is written before a higher level is committed may have to be read by less. */
static uint64_t queue_level(const struct cluster *c)
{
	return c->status.committed ? raft_config_level(c->status.committed) : LEVEL_FIRST;
}

static void opening(void *arg, struct journal_opened *m, uint64_t *level)
{
	struct queue *q = arg;
	struct store_state state;

	m->first = disk_state(&q->cluster->disk, &state);
	m->checkpoint = state.checkpoint;
	m->directory = slice_str(q->cluster->disk.directory);
	*level = queue_level(q->cluster);
}

static void reserve(void *arg, uint64_t bytes)
{
	struct queue *q = arg;

	disk_reserve(&q->cluster->disk, bytes);
}

static enum rmq_error mend(void *arg, uint64_t index)
{
	struct queue *q = arg;

	if (!disk_is_bad(&q->cluster->disk, index))
		return RMQ_E_OK;
	return node_wants(q->cluster, index) ? RMQ_E_BUSY : RMQ_E_CORRUPT;
}

static void read_some(struct queue *q)
{
	size_t got = 0, size;
	uint8_t *to;

	while (!q->ended && got < QUEUE_TURN_BYTES &&
	       (to = shared_journal_space(q->journal, &size)) != NULL) {
		ssize_t n = read(q->fd, to, size);
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (n <= 0) {
			lost(q, NULL);
			return;
		}
		got += (size_t)n;
		shared_journal_read(q->journal, (size_t)n);
	}
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
	struct queue *q = poll->data;

	if (status < 0) {
		/* libuv has stopped watching; what it said before its end is read first. */
		q->events = 0;
		events |= UV_READABLE;
	}
	/* What waits to be written is, at the end of the turn. */
	if (events & UV_READABLE)
		read_some(q);
}

static void watch(struct queue *q)
{
	int events = (shared_journal_reads(q->journal) ? UV_READABLE : 0) |
		     (shared_journal_owes(q->journal) ? UV_WRITABLE : 0);

	if (q->ended)
		events = 0;
	if (events == q->events)
		return;
	q->events = events;
	if (events)
		uv_poll_start(&q->poll, events, on_poll);
	else
		uv_poll_stop(&q->poll);
}

void queue_turn(struct queue *q)
{
	if (q->ended)
		return;
	const struct cluster *c = q->cluster;
	shared_journal_turn(
	    q->journal, c->ends.followed, c->room, c->holes_wanted, queue_level(c));
	watch(q);
}

enum health_daemon queue_daemon(const struct queue *q)
{
	return q->ended ? HEALTH_DAEMON_UNWATCHED : shared_journal_daemon(q->journal);
}

bool queue_died_at(struct queue *q, uint64_t *index)
{
	if (!q->ended)
		read_some(q);
	return shared_journal_place(q->journal, index);
}

bool queue_waits(const struct queue *q)
{
	return shared_journal_waits(q->journal);
}

uint64_t queue_words(const struct queue *q)
{
	return shared_journal_words(q->journal);
}

void queue_ping(struct queue *q)
{
	shared_journal_ping(q->journal);
	watch(q);
}

void queue_round_done(struct queue *q, uint64_t round)
{
	shared_journal_round_done(q->journal, round);
}

struct queue *queue_open(struct cluster *c, int fd, int *err)
{
	struct queue *q = calloc(1, sizeof(*q));

	if (!q)
		abort();
	q->cluster = c;
	q->fd = fd;
	q->owner = (struct shared_journal_owner){q, opening, answer, reserve, mend, lost};
	*err = uv_poll_init(&c->loop, &q->poll, fd);
	if (*err) {
		free(q);
		return NULL;
	}
	q->poll.data = q;
	q->journal = shared_journal_new(&c->engine, &q->owner);
	watch(q);
	return q;
}

static void on_closed(uv_handle_t *handle)
{
	struct queue *q = handle->data;

	shared_journal_free(q->journal);
	free(q);
}

void queue_close(struct queue *q)
{
	q->ended = true;
	shared_journal_end(q->journal);
	uv_poll_stop(&q->poll);
	q->events = 0;
	close(q->fd);
	uv_close((uv_handle_t *)&q->poll, on_closed);
}
