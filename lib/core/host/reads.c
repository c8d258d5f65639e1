#include "core/host/reads.h"

void reads_want(struct reads *r, const struct raft_action *a)
{
	struct reads_one *place = NULL;

	for (unsigned i = 0; i < RAFT_MEMBERS_MAX; i++) {
		struct reads_one *one = &r->list[i];
		if (!one->wanted || raft_id_eq(one->id, a->id))
			place = one;
		if (one->wanted && raft_id_eq(one->id, a->id))
			break;
	}
	/* Reads of peers that are members no more may have the places. */
	if (!place)
		place = &r->list[0];
	*place = (struct reads_one){true, a->id, a->index, a->term, a->bytes, 0};
}

/* Holes of the tail from `index` on. */
static uint32_t holes_in_tail(const struct tail *t, uint64_t index)
{
	const struct tail_record *r;
	uint32_t n = 0;

	while ((r = tail_get(t, index + n)) != NULL && r->kind == TAIL_HOLE)
		n++;
	return n;
}

static bool read_tail(
    const struct tail *tail, const struct reads_one *r, struct reads_records *out)
{
	const struct tail_record *t;
	uint64_t bytes = 0, at = r->index;

	out->count = 0;
	while (out->count < RAFT_RUNS_MAX && (t = tail_get(tail, at)) != NULL) {
		uint32_t len = (uint32_t)t->piece.bytes.len, holes = holes_in_tail(tail, at);
		if (out->count > 0 && bytes + len > r->bytes)
			break;
		bytes += len;
		out->runs[out->count] = (struct raft_run){.first = at,
		    .count = holes > 0 ? holes : 1,
		    .bytes = len,
		    .kind = holes > 0 ? RAFT_HOLE : t->kind};
		at += out->runs[out->count].count;
		out->pieces[out->count++] = t->piece;
	}
	return out->count > 0;
}

/* False: not now. */
static bool serve(struct reads *r, struct reads_one *one, const struct reads_host *host)
{
	r->records.bad = 0;
	bool read = read_tail(host->tail, one, &r->records) ||
		    (one->index <= host->stored && !host->truncates &&
			!host->disk(host->arg, one, &r->records));
	one->bad = read ? 0 : r->records.bad;
	if (!read)
		return false;
	struct reads_one served = *one;
	one->wanted = false;
	/* It leads to the next one of that peer. */
	host->sent(host->arg, &served, &r->records);
	return true;
}

bool reads_turn(struct reads *r, const struct reads_host *host)
{
	bool left = false;

	for (unsigned i = 0; i < RAFT_MEMBERS_MAX; i++) {
		struct reads_one *one = &r->list[i];
		unsigned n = 0;
		/* Nobody waits for it any more. */
		if (one->term != host->term)
			*one = (struct reads_one){0};
		while (one->wanted && n < READS_IN_TURN && serve(r, one, host))
			n++;
		left |= n == READS_IN_TURN && one->wanted;
	}
	return left;
}

const struct reads_one *reads_bad(const struct reads *r, unsigned *from)
{
	while (*from < RAFT_MEMBERS_MAX) {
		const struct reads_one *one = &r->list[(*from)++];
		if (one->wanted && one->bad > 0)
			return one;
	}
	return NULL;
}
