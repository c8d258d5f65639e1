/*
 * The journal as the queue daemon sees it, over a simulated disk.
 *
 * Appends, barriers and holes wait in the order they came.  A commit takes a run of
 * them from the front and puts it on disk as a whole, or not at all; answers are
 * queued for the daemon in order and picked up late.  Holes are made by the commit that
 * takes them, and only those that an END on disk has named.  A crash loses whatever no
 * commit took, and every answer that was not picked up; the commit under way may have
 * reached the disk all the same.
 *
 * Beside the disk with its holes the model keeps every record that was ever committed,
 * for replaying the whole history.
 */
#ifndef SIM_JOURNAL_MODEL_H
#define SIM_JOURNAL_MODEL_H

#include "core/wire/journal_wire.h"
#include "core/wire/record.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct jm_record {
	uint8_t kind;
	bool hole;
	bool named_dead; /* by an END on disk */
	bool rotten;	 /* its bodies cannot be read any more */
	size_t len;
	uint8_t *payload;
};

enum jm_op_type { JM_APPEND, JM_BARRIER, JM_HOLE, JM_RESERVE, JM_KILL };
struct jm_op {
	enum jm_op_type type;
	uint8_t kind; /* append */
	uint64_t n;   /* append: n; barrier: id; hole: checkpoint; reserve: bytes */
	size_t len;
	uint8_t *bytes; /* append: payload; hole: ranges */
};

enum jm_answer_type { JM_STORED, JM_BARRIER_DONE, JM_ROOM, JM_HOLES_WANTED };
struct jm_answer {
	enum jm_answer_type type;
	uint64_t n;	/* stored: first n; barrier_done: id; room: n */
	uint64_t value; /* stored: first index; room: bytes; holes_wanted: whether */
	uint32_t count;
};

/* What the model breaks on purpose. */
enum jm_fault {
	JM_SOUND,
	JM_STORED_EARLY,      /* answers STORED before the commit */
	JM_COMMIT_SUPPRESSED, /* answers after a commit that stays in memory */
	JM_HOLE_EARLY,	      /* an END makes its holes when it is appended */
};

struct journal_model {
	enum jm_fault fault;
	/* disk: record with index i is log[i - 1] */
	struct jm_record *log;
	size_t count, cap;
	size_t durable; /* records that a crash leaves: count, but for JM_COMMIT_SUPPRESSED */
	uint64_t end;	/* index of the newest END */
	uint64_t older_end;
	uint64_t bytes; /* of records that are no holes */
	uint64_t openings;
	uint64_t term; /* two openings share one */
	/*
	 * Room.  The disk gives `capacity` bytes, what others leave of it; what was claimed once
	 * is kept: all that is used, and the reserve after it as far as there was room for it.
	 */
	uint64_t capacity;
	uint64_t claimed;
	uint64_t reserve;
	bool reserved; /* room is to be told because of it */
	/* Not more room than that is told, and it is claimed; 0: nobody takes what was told of. */
	uint64_t ahead;
	/* memory */
	struct jm_op *ops;
	size_t op_count, op_cap;
	struct jm_answer *answers;
	size_t answer_count, answer_cap;
	uint64_t last_n;
	uint64_t early_index; /* JM_STORED_EARLY: index of the next append */
	void *arg;
	/*
	 * Where records are read, NULL: from `log`.  Such a model has no disk: who owns it
	 * takes what waits and answers it.
	 */
	const struct jm_record *(*read)(void *arg, uint64_t index);
	/* Told of each record that is durable now, in order. */
	void (*committed)(void *arg, uint64_t index, const struct jm_record *r);
	/* Told when something was asked for that a journal refuses. */
	void (*refused)(void *arg, const char *why, uint64_t index);
	bool forgets; /* what becomes a hole is freed: no history is kept, for long runs */
};

void jm_free(struct journal_model *j);

/* Opens: one commit, the term, room.  Returns the term. */
uint64_t jm_open(struct journal_model *j);
void jm_append(
    struct journal_model *j, uint64_t n, enum record_kind kind, struct slice payload);
void jm_barrier(struct journal_model *j, uint64_t id);
void jm_hole(struct journal_model *j, uint64_t checkpoint, struct slice ranges);
/* So much is kept back for what is no new message. */
void jm_reserve(struct journal_model *j, uint64_t bytes);
/* Makes a hole of a record, whatever was said about it (a known-bad variant). */
void jm_kill(struct journal_model *j, uint64_t index);

/* Takes the oldest that waits; its bytes are the caller's.  false: none. */
bool jm_take(struct journal_model *j, struct jm_op *op);
void jm_answer_with(struct journal_model *j, struct jm_answer a);
/* A record is in the log, without an APPEND.  Its payload is taken. */
void jm_put(struct journal_model *j, const struct jm_record *r);
/* Forgets all that waits and all answers, and numbers from 1 again. */
void jm_clear(struct journal_model *j);

/* Commits the first `ops` that wait, as far as there is room, and queues their answers. */
void jm_commit(struct journal_model *j, size_t ops);
/* Says how much room there is. */
void jm_tell_room(struct journal_model *j);
/* The next answer; false: none. */
bool jm_answer(struct journal_model *j, struct jm_answer *a);
/* The process ends; the first `ops` that wait reach the disk without an answer. */
void jm_crash(struct journal_model *j, size_t ops);
/* Whether nothing waits to be committed or picked up. */
bool jm_idle(const struct journal_model *j);

/* Calls `each` for every record that the END in `payload` names dead. */
void jm_named_dead(struct slice payload, void (*each)(void *arg, uint64_t index), void *arg);

/* A record on disk, NULL if there is none at this index; a hole is one with hole set. */
const struct jm_record *jm_read(const struct journal_model *j, uint64_t index);

/* What a daemon reads: of struct broker_log, whose arg the model is. */
enum rmq_error jm_log_read(
    void *journal, uint64_t index, enum record_kind *kind, struct slice *payload);
enum rmq_error jm_log_next(void *journal, uint64_t index, uint64_t *found,
    enum record_kind *kind, struct slice *payload);

#endif
