/*
 * The list of cells of a daemon: the settings `cells` and `cell`.  Clients are told what it says, also those
 * that started in another directory or on another machine: its addresses are HOST[:PORT] of gates, and
 * sockets with whole paths.
 */
#ifndef RMQ_SYS_NET_CELL_LIST_H
#define RMQ_SYS_NET_CELL_LIST_H

#include "core/base/cells.h"
#include "sys/process/reason.h"

/*
 * Reads the list, which is borrowed, and finds `self` in it.  RMQ_E_CONFIG: one of them is wrong, or
 * `self` is in no list; *why says what, without the names of the settings.
 */
enum rmq_error cell_list_read(struct cells *cells, const char *list, const char *self,
    struct reason *why) __attribute__((warn_unused_result));

#endif
