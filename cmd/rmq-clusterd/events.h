/* What has happened in the cluster, as this node sees it: see core/host/events.h. */
#ifndef RMQ_CLUSTERD_EVENTS_H
#define RMQ_CLUSTERD_EVENTS_H

struct cluster;

/* Once it is known which node this is. */
void events_start(struct cluster *c);

/* The end of a turn, when all that it changes has changed. */
void events_turn(struct cluster *c);

#endif
