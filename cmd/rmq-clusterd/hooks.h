/* Programs of the administrator that are told of events: see core/host/hooks.h, sys/process/runner.h. */
#ifndef RMQ_CLUSTERD_HOOKS_H
#define RMQ_CLUSTERD_HOOKS_H

#include <stdbool.h>
#include <stdint.h>

struct cluster;

/*
 * Once settings are read: the directory is that of the setting, or hooks.d beside the file of settings
 * `config` (NULL: none).  True: it is there, and the runner is needed.
 */
bool hooks_wanted(struct cluster *c, const char *config);
/* The first look. */
void hooks_start(struct cluster *c);

/* The end of a turn, after events_turn(). */
void hooks_turn(struct cluster *c);
/* The node has done all else: whether it ends now. */
bool hooks_over(struct cluster *c);

#endif
