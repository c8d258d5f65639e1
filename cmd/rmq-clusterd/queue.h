/*
 * The journal's socket that the queue daemon is started with: core/host/shared_journal.h takes
 * its frames, and makes the answers.
 */
#ifndef RMQ_CLUSTERD_QUEUE_H
#define RMQ_CLUSTERD_QUEUE_H

#include <stdbool.h>
#include <stdint.h>

#include "core/host/health.h"

struct cluster;
struct queue;

/* Takes the socket.  The daemon speaks first.  NULL: libuv's *err. */
struct queue *queue_open(struct cluster *c, int fd, int *err);
/* Closes the socket; q is freed by the loop. */
void queue_close(struct queue *q);

/* As core/host/shared_journal.h has them. */
enum health_daemon queue_daemon(const struct queue *q);
uint64_t queue_words(const struct queue *q);
bool queue_waits(const struct queue *q);
void queue_ping(struct queue *q);
/* Of one that has died: reads what it said last.  Whether it was reading the log, and where. */
bool queue_died_at(struct queue *q, uint64_t *index);

/* A round that node_barrier() asked for is done. */
void queue_round_done(struct queue *q, uint64_t round);
/* The end of a turn: proposes, and answers what it can. */
void queue_turn(struct queue *q);

#endif
