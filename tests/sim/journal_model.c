#include "journal_model.h"

#include "core/wire/event.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* So often a record of somebody else comes between those of the opener. */
#define FOREIGN_EVERY 16

#define GROW(array, count, cap) \
	do { \
		if ((count) == (cap)) { \
			(cap) = (cap) ? 2 * (cap) : 64; \
			(array) = realloc(array, (cap) * sizeof(*(array))); \
			assert(array); \
		} \
	} while (0)

static uint8_t *copy(struct slice s)
{
	uint8_t *p = malloc(s.len + 1);
	assert(p);
	if (s.len > 0)
		memcpy(p, s.data, s.len);
	return p;
}

void jm_free(struct journal_model *j)
{
	for (size_t i = 0; i < j->count; i++)
		free(j->log[i].payload);
	for (size_t i = 0; i < j->op_count; i++)
		free(j->ops[i].bytes);
	free(j->log);
	free(j->ops);
	free(j->answers);
}

const struct jm_record *jm_read(const struct journal_model *j, uint64_t index)
{
	if (j->read)
		return j->read(j->arg, index);
	return index >= 1 && index <= j->count ? &j->log[index - 1] : NULL;
}

enum rmq_error jm_log_read(
    void *journal, uint64_t index, enum record_kind *kind, struct slice *payload)
{
	const struct jm_record *r = jm_read(journal, index);
	if (!r || r->hole)
		return RMQ_E_NOTHING;
	*kind = r->kind;
	*payload = slice_of(r->payload, r->len);
	return RMQ_E_OK;
}

enum rmq_error jm_log_next(void *journal, uint64_t index, uint64_t *found,
    enum record_kind *kind, struct slice *payload)
{
	const struct journal_model *j = journal;
	for (; index <= j->count; index++) {
		if (jm_log_read(journal, index, kind, payload) == RMQ_E_OK) {
			*found = index;
			return RMQ_E_OK;
		}
	}
	return RMQ_E_NOTHING;
}

bool jm_idle(const struct journal_model *j)
{
	return j->op_count == 0 && j->answer_count == 0;
}

void jm_answer_with(struct journal_model *j, struct jm_answer a)
{
	/* Runs of STORED are one answer, as the journal gives them. */
	if (a.type == JM_STORED && j->answer_count > 0) {
		struct jm_answer *last = &j->answers[j->answer_count - 1];
		if (last->type == JM_STORED && last->n + last->count == a.n &&
		    last->value + last->count == a.value) {
			last->count += a.count;
			return;
		}
	}
	GROW(j->answers, j->answer_count, j->answer_cap);
	j->answers[j->answer_count++] = a;
}

bool jm_answer(struct journal_model *j, struct jm_answer *a)
{
	if (j->answer_count == 0)
		return false;
	*a = j->answers[0];
	j->answer_count--;
	memmove(j->answers, j->answers + 1, j->answer_count * sizeof(*j->answers));
	return true;
}

static uint64_t disk(const struct journal_model *j)
{
	return j->capacity > j->claimed ? j->capacity : j->claimed;
}

static void claim(struct journal_model *j)
{
	uint64_t want = j->bytes + j->reserve;
	if (want > j->capacity)
		want = j->capacity;
	if (want > j->claimed)
		j->claimed = want;
}

void jm_tell_room(struct journal_model *j)
{
	uint64_t used = j->bytes + j->reserve;
	claim(j);
	j->reserved = false;
	for (size_t i = 0; i < j->op_count; i++)
		if (j->ops[i].type == JM_APPEND)
			used += j->ops[i].len;
	uint64_t room = used < disk(j) ? disk(j) - used : 0;
	if (j->ahead > 0 && room > j->ahead)
		room = j->ahead;
	if (j->ahead > 0 && j->claimed < used + room)
		j->claimed = used + room;
	jm_answer_with(j, (struct jm_answer){JM_ROOM, j->last_n, room, 0});
}

static void sync_disk(struct journal_model *j)
{
	for (; j->durable < j->count; j->durable++)
		j->committed(j->arg, j->durable + 1, &j->log[j->durable]);
}

/* One that is not of the opener: a leader's, in a journal on several machines. */
static void append_foreign(struct journal_model *j)
{
	jm_put(j, &(struct jm_record){.kind = RECORD_NOOP});
}

uint64_t jm_open(struct journal_model *j)
{
	assert(jm_idle(j));
	if (++j->openings % 2 == 1)
		j->term++;
	append_foreign(j);
	sync_disk(j);
	j->last_n = 0;
	j->early_index = j->count + 1;
	jm_tell_room(j);
	return j->term;
}

static void push(struct journal_model *j, struct jm_op op)
{
	GROW(j->ops, j->op_count, j->op_cap);
	j->ops[j->op_count++] = op;
}

void jm_named_dead(struct slice payload, void (*each)(void *arg, uint64_t index), void *arg)
{
	struct slice dead;
	if (event_dead_ranges(payload, &dead))
		return;
	struct reader r = reader_of(dead);
	while (reader_left(&r) > 0) {
		struct hole_range range = hole_range_get(&r);
		for (uint32_t i = 0; i < range.count; i++)
			each(arg, range.first + i);
	}
}

static void mark_dead(void *arg, uint64_t index)
{
	struct journal_model *j = arg;
	if (index >= 1 && index <= j->count)
		j->log[index - 1].named_dead = true;
	else
		j->refused(j->arg, "END names a record that is not there", index);
}

static void make_hole(void *arg, uint64_t index)
{
	struct journal_model *j = arg;
	if (index < 1 || index > j->count || j->log[index - 1].hole)
		return;
	j->log[index - 1].hole = true;
	j->bytes -= j->log[index - 1].len;
	if (!j->forgets)
		return;
	free(j->log[index - 1].payload);
	j->log[index - 1].payload = NULL;
}

void jm_append(struct journal_model *j, uint64_t n, enum record_kind kind, struct slice payload)
{
	if (n != j->last_n + 1)
		j->refused(j->arg, "APPEND's number is not the next", n);
	if (payload.len > RECORD_PAYLOAD_MAX)
		j->refused(j->arg, "a record is too long", n);
	j->last_n = n;
	push(j, (struct jm_op){JM_APPEND, (uint8_t)kind, n, payload.len, copy(payload)});
	if (j->fault == JM_STORED_EARLY)
		jm_answer_with(j, (struct jm_answer){JM_STORED, n, j->early_index++, 1});
	if (j->fault == JM_HOLE_EARLY && kind == RECORD_END)
		jm_named_dead(payload, make_hole, j);
}

void jm_barrier(struct journal_model *j, uint64_t id)
{
	push(j, (struct jm_op){JM_BARRIER, 0, id, 0, NULL});
}

void jm_hole(struct journal_model *j, uint64_t checkpoint, struct slice ranges)
{
	if (ranges.len == 0 || ranges.len % HOLE_RANGE_SIZE != 0)
		j->refused(j->arg, "HOLE's list is cut", checkpoint);
	push(j, (struct jm_op){JM_HOLE, 0, checkpoint, ranges.len, copy(ranges)});
}

void jm_reserve(struct journal_model *j, uint64_t bytes)
{
	push(j, (struct jm_op){JM_RESERVE, 0, bytes, 0, NULL});
}

void jm_kill(struct journal_model *j, uint64_t index)
{
	push(j, (struct jm_op){JM_KILL, 0, index, 0, NULL});
}

bool jm_take(struct journal_model *j, struct jm_op *op)
{
	if (j->op_count == 0)
		return false;
	*op = j->ops[0];
	j->op_count--;
	memmove(j->ops, j->ops + 1, j->op_count * sizeof(*j->ops));
	return true;
}

void jm_clear(struct journal_model *j)
{
	for (size_t i = 0; i < j->op_count; i++)
		free(j->ops[i].bytes);
	j->op_count = 0;
	j->answer_count = 0;
	j->last_n = 0;
}

void jm_put(struct journal_model *j, const struct jm_record *r)
{
	GROW(j->log, j->count, j->cap);
	j->log[j->count++] = *r;
}

static void commit_append(struct journal_model *j, struct jm_op *op)
{
	if (j->count % FOREIGN_EVERY == 0)
		append_foreign(j);
	jm_put(j, &(struct jm_record){.kind = op->kind, .len = op->len, .payload = op->bytes});
	j->bytes += op->len;
	op->bytes = NULL;
	if (op->kind == RECORD_END) {
		j->older_end = j->end;
		j->end = j->count;
		jm_named_dead(slice_of(j->log[j->count - 1].payload, op->len), mark_dead, j);
	}
	if (j->fault != JM_STORED_EARLY)
		jm_answer_with(j, (struct jm_answer){JM_STORED, op->n, j->count, 1});
}

static void commit_hole(struct journal_model *j, const struct jm_op *op)
{
	const struct jm_record *end = jm_read(j, op->n);
	if (!end || end->kind != RECORD_END)
		j->refused(j->arg, "HOLE by an END that is not committed", op->n);
	struct reader r = reader_of(slice_of(op->bytes, op->len));
	while (reader_left(&r) >= HOLE_RANGE_SIZE) {
		struct hole_range range = hole_range_get(&r);
		for (uint32_t i = 0; i < range.count; i++) {
			const struct jm_record *dead = jm_read(j, range.first + i);
			if (!dead || !dead->named_dead)
				j->refused(
				    j->arg, "HOLE that no END has named", range.first + i);
			make_hole(j, range.first + i);
		}
	}
}

void jm_commit(struct journal_model *j, size_t ops)
{
	if (ops > j->op_count)
		ops = j->op_count;
	for (size_t i = 0; i < ops; i++) {
		struct jm_op *op = &j->ops[i];
		if (op->type == JM_APPEND && j->bytes + op->len > disk(j)) {
			ops = i;
			break;
		}
		switch (op->type) {
		case JM_APPEND:
			commit_append(j, op);
			break;
		case JM_HOLE:
			commit_hole(j, op);
			break;
		case JM_RESERVE:
			j->reserve = op->n;
			j->reserved = true;
			break;
		case JM_KILL:
			make_hole(j, op->n);
			break;
		case JM_BARRIER:
			jm_answer_with(j, (struct jm_answer){JM_BARRIER_DONE, op->n, 0, 0});
		}
		free(op->bytes);
	}
	j->op_count -= ops;
	if (j->op_count > 0)
		memmove(j->ops, j->ops + ops, j->op_count * sizeof(*j->ops));
	claim(j);
	if (j->fault != JM_COMMIT_SUPPRESSED)
		sync_disk(j);
}

/* Takes back what a suppressed commit never wrote. */
static void lose_unsynced(struct journal_model *j)
{
	while (j->count > j->durable) {
		j->count--;
		if (!j->log[j->count].hole)
			j->bytes -= j->log[j->count].len;
		free(j->log[j->count].payload);
	}
	if (j->end > j->count)
		j->end = j->older_end;
}

void jm_crash(struct journal_model *j, size_t ops)
{
	jm_commit(j, ops);
	lose_unsynced(j);
	jm_clear(j);
}
