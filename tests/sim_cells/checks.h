/*
 * What must hold over all cells, by a simple reading of their journals, message by message, as records
 * become durable:
 *
 *  - a queue is held by one cell, or is between GONE and OPEN; nothing of it is changed elsewhere;
 *  - what a cell opens is what the other one let go: all messages that were there, with their numbers,
 *    and none that had left;
 *  - a line is stored once in the queue that it was sent to, with an id however often it is sent;
 *  - messages of a queue without priorities are handed out in order, and of each key one at a time;
 *  - what is handed out is leased there, and has not left;
 *  - what a client is told is so on disk, and no two clients vouch for a message;
 *  - in the end every message has left its queue, and all that was sent to topics has come to the bound queues.
 */
#ifndef SIM_CELLS_CHECKS_H
#define SIM_CELLS_CHECKS_H

#include "world.h"

#include "../sim/journal_model.h"

#include "core/broker/delivery.h"

struct actor;
struct daemon;

/*
 * A queue may be made where another one of its name is elsewhere: with lists of cells that contradict each other.
 * Each counts for itself.
 */
void checks_make(struct world *w);
void checks_free(struct world *w);

/* Queues of the model: those that have names, then their dead-letter queues. */
static inline unsigned checks_queues(const struct world *w)
{
	return 2 * w->queues_count;
}
struct slice checks_name(const struct world *w, unsigned queue);

void checks_committed(struct daemon *d, uint64_t index, const struct jm_record *r);
/* A delivery that a daemon pulls. */
void checks_delivery(struct daemon *d, const struct delivery *del);
/* A client is given a message; vouches: it may trust that it alone has it. */
void checks_given(struct world *w, const struct actor *a, unsigned queue, uint64_t seq,
    uint32_t line, bool vouches);
/* A client is told that a line is stored, or that it is not, or that a message is settled. */
void checks_sent(struct world *w, unsigned queue, uint32_t line, uint64_t seq);
void checks_known(struct world *w, unsigned queue, uint32_t line, uint64_t seq);
void checks_refused(struct world *w, uint32_t line);
void checks_settled(struct world *w, unsigned queue, uint64_t seq, uint32_t line);
/* The number under which a line was stored last in a queue without ending; 0: it was not. */
uint64_t checks_stored(const struct world *w, unsigned queue, uint32_t line);
/* What a line is for: queues as bits, or all that are bound (topic). */
void checks_line(struct world *w, uint32_t line, uint32_t queues, bool again, bool topic);

/* Messages that are in the queue; in all of them. */
uint64_t checks_live(const struct world *w, unsigned queue);
uint64_t checks_live_all(const struct world *w);
uint64_t checks_next(const struct world *w, unsigned queue);
/* The cell that holds a queue without ending: WORLD_CELLS: none. */
unsigned checks_holder(const struct world *w, unsigned queue);
/* … or has let it go last, or would make it, as it was there or is to be. */
unsigned checks_place(const struct world *w, unsigned queue);
/* Whether the cell has a place of it, or holds it. */
bool checks_knows(const struct world *w, unsigned queue, unsigned cell);
/* A cell that leads to this one for it; WORLD_CELLS: none. */
unsigned checks_leads(const struct world *w, unsigned queue, unsigned cell);
/* Messages in that cell for queues elsewhere. */
uint64_t checks_away(const struct world *w, unsigned cell);
/* A line that was sent to this queue with an id and may be sent again; false: none. */
bool checks_again(struct world *w, unsigned queue, uint32_t *line);
/* Adds to the trace which messages are left. */
void checks_report(struct world *w);
/* Everything was drained. */
void checks_end(struct world *w);

#endif
