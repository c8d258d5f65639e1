/* Says in which cell a queue lives whose cell has lost it: core/client/placer.h, with a client for each cell. */
#ifndef RMQ_QUEUE_PLACE_CELL_H
#define RMQ_QUEUE_PLACE_CELL_H

#include "cells.h"

/* The cells that are not asked, as they have lost all that they had. */
struct lost_cells {
	const char *names[CELLS_MAX];
	uint32_t count;
};

enum rmq_error place_cell_run(struct cells_asked *c, const char *queue, const char *cell,
    const struct lost_cells *lost) __attribute__((warn_unused_result));

#endif
