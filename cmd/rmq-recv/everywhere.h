/*
 * A queue that is bound to a pattern (--as) gets what comes to topics in every cell: in those in which it does
 * not live the pattern is bound to the queue NAME.away, whose messages are brought to it.
 */
#ifndef RMQ_RECV_EVERYWHERE_H
#define RMQ_RECV_EVERYWHERE_H

#include "receiver.h"

/*
 * Binds o->pattern so in all cells but the one where o->queue lives, which source_subscribe() sees to.  Once
 * that is done the bindings are durable.  RMQ_E_INTERRUPTED: by a signal; other errors: *why, with the cell.
 */
enum rmq_error everywhere_bind(const struct recv_options *o, const struct spread *cells,
    struct reason *why) __attribute__((warn_unused_result));

#endif
