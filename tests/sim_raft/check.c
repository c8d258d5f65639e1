/* What must hold after every step. */
#include <stdio.h>
#include <stdlib.h>

#include "tables.h"

/* A record (index, term) is made once, after one other: log matching by induction. */
void check_made(struct sim *s, uint64_t index, uint64_t prev_term, struct rec rec)
{
	for (struct made *m = s->made[index]; m; m = m->next) {
		if (m->rec.term != rec.term)
			continue;
		if (m->prev_term != prev_term)
			sim_broken(
			    s, "log matching: another record comes before", index, rec.term);
		if (rec.kind != RAFT_HOLE &&
		    (m->rec.value != rec.value || m->rec.kind != rec.kind))
			sim_broken(s, "log matching: two records of one term", index, rec.term);
		return;
	}
	if (rec.kind == RAFT_HOLE)
		sim_broken(s, "a hole where no record was", index, rec.term);
	struct made *m = calloc(1, sizeof(*m));
	*m = (struct made){s->made[index], prev_term, rec};
	s->made[index] = m;
}

static const struct rec *made_at(struct sim *s, uint64_t index, uint64_t term)
{
	for (struct made *m = s->made[index]; m; m = m->next) {
		if (m->rec.term == term)
			return &m->rec;
	}
	return NULL;
}

/* Whether a committed END at or below `last` says that the record at `index` died. */
static bool killed(struct sim *s, uint64_t index, uint64_t last)
{
	return s->killed_by[index] != 0 && s->killed_by[index] <= last;
}

static void note_dead(struct sim *s, uint64_t end)
{
	const struct end *e = s->value[s->committed[end].value].end;
	for (unsigned i = 0; i < e->count; i++) {
		for (uint64_t k = e->dead[i].first; k < e->dead[i].first + e->dead[i].count;
		     k++) {
			if (!s->killed_by[k])
				s->killed_by[k] = end;
		}
	}
}

/* Rules 1, 2 and 6 of holes, and log matching, for what is new in a log. */
void check_log(struct sim *s, struct node *n, uint64_t from)
{
	const struct disk *d = &n->view;
	if (n->lost)
		return;
	for (uint64_t i = from; i <= d->last; i++) {
		const struct rec *rec = &d->log[i];
		check_made(s, i, d->log[i - 1].term, *rec);
		if (rec->kind != RAFT_HOLE || made_at(s, i, rec->term)->kind == RAFT_HOLE)
			continue;
		if (made_at(s, i, rec->term)->kind == RECORD_CONFIG)
			sim_broken(s, "a configuration became a hole", i, n->slot);
		if (i > d->commit)
			sim_broken(s, "a hole above the own commit index", i, n->slot);
		if (!killed(s, i, s->commit))
			sim_broken(s, "a hole that no committed END made", i, n->slot);
	}
}

/*
 * Rule 5: from a covered disk everything that is alive can be recovered; and a disk with
 * holes says what covers them.
 */
void check_disk(struct sim *s, struct node *n, const struct disk *d)
{
	bool covered = d->cover.index == 0 || (d->cover.index <= d->last &&
						  d->log[d->cover.index].term == d->cover.term);
	for (uint64_t i = 1; covered && !n->lost && i <= d->last; i++) {
		if (d->log[i].kind != RAFT_HOLE ||
		    made_at(s, i, d->log[i].term)->kind == RAFT_HOLE)
			continue;
		if (d->cover.index <= i)
			sim_broken(s, "a hole on disk before its cover", i, n->slot);
		if (!killed(s, i, d->last))
			sim_broken(s, "a covered disk without the END of a hole", i, n->slot);
	}
	uint64_t index;
	if (!n->lost && !raft_id_none(d->vote) && !raft_id_forgot(d->vote, &index) &&
	    d->term < TERMS) {
		struct raft_id *v = &s->votes[d->term][n->slot][n->incarnation % 8];
		if (raft_id_none(*v))
			*v = d->vote;
		if (!raft_id_eq(*v, d->vote))
			sim_broken(s, "two votes in a term, on disk", d->term, n->slot);
	}
}

/* What is acknowledged to a leader is as it has it. */
static void check_compared(struct sim *s, const struct node *n, const struct raft_message *m)
{
	uint64_t i = m->place.index;
	struct raft_status st;
	for (unsigned k = 0; k < NODES; k++) {
		const struct node *l = &s->nodes[k];
		if (!l->raft || !raft_id_eq(l->id, m->to))
			continue;
		raft_status(l->raft, &st);
		if (st.role == RAFT_LEADER && st.term == m->term &&
		    l->view.log[i].term != n->disk.log[i].term)
			sim_broken(s, "acknowledged, and not what the leader has", i, n->slot);
	}
}

/* No message says what a crash could take back. */
void check_message(struct sim *s, struct node *n, const struct raft_message *m)
{
	const struct disk *d = &n->disk;
	bool vote = (m->type == RAFT_VOTED && m->ok) || m->type == RAFT_VOTE;
	bool depends = m->type != RAFT_PREVOTE && m->type != RAFT_PREVOTED;
	struct raft_status st;
	if (n->lost)
		return;
	raft_status(n->raft, &st);
	if (st.forgot && m->ok && (m->type == RAFT_VOTED || m->type == RAFT_PREVOTED))
		sim_broken(s, "a node that has forgotten gives its vote", m->term, n->slot);
	if (depends && m->term > d->term)
		sim_broken(s, "a message of a term that is not durable", m->term, n->slot);
	if (vote && m->term < TERMS) {
		struct raft_id to = m->type == RAFT_VOTE ? n->id : m->to;
		struct raft_id *v = &s->votes[m->term][n->slot][n->incarnation % 8];
		if (raft_id_none(*v))
			*v = to;
		if (!raft_id_eq(*v, to))
			sim_broken(s, "two votes in a term", m->term, n->slot);
		if (d->term != m->term || !raft_id_eq(d->vote, to))
			sim_broken(s, "a vote that is not durable", m->term, n->slot);
	}
	if (m->type != RAFT_APPENDED || !m->ok)
		return;
	uint64_t i = m->place.index;
	if (i > d->last || d->log[i].term != n->view.log[i].term)
		sim_broken(s, "acknowledged and not durable", i, n->slot);
	check_compared(s, n, m);
}

/* What was committed anywhere when a barrier was asked for is in this log. */
void check_barrier(struct sim *s, struct node *n, const struct barrier *b)
{
	uint64_t i = b->commit;
	if (i > n->view.last || n->view.log[i].term != s->committed[i].term)
		sim_broken(
		    s, "a barrier is done, and this log lacks what was committed", i, n->slot);
}

static void check_leader(struct sim *s, struct node *n, const struct raft_status *st)
{
	if (st->term < TERMS) {
		struct raft_id *l = &s->leaders[st->term];
		if (!raft_id_none(*l) && !raft_id_eq(*l, n->id))
			sim_broken(s, "two leaders in a term", st->term, n->slot);
		*l = n->id;
	}
	s->elections++;
	/* Leader completeness: what was committed in earlier terms. */
	for (uint64_t i = 1; i <= s->commit; i++) {
		if (s->commit_terms[i] >= st->term)
			continue;
		if (i > n->view.last || n->view.log[i].term != s->committed[i].term)
			sim_broken(s, "a leader lacks a committed record", i, n->slot);
	}
	check_disk(s, n, &n->disk);
	if (n->view.cover.index &&
	    raft_term_at(n->raft, n->view.cover.index) != n->view.cover.term)
		sim_broken(s, "a leader without the END that covers its holes",
		    n->view.cover.index, n->slot);
}

/* The record's leader made it in the cluster that there was; its configurations are no more. */
static void inherit(struct sim *s, const struct sim *was, uint64_t index, const struct rec *rec)
{
	const struct made *m = was->made[index];
	while (m && m->rec.term != rec->term)
		m = m->next;
	struct made *copy = calloc(1, sizeof(*copy));
	*copy = (struct made){.prev_term = m->prev_term, .rec = m->rec};
	if (m->rec.kind == RECORD_CONFIG)
		copy->rec.kind = RAFT_HOLE;
	s->made[index] = copy;
}

void check_recovered(struct sim *s, const struct sim *was, const struct node *n, uint64_t old)
{
	const struct disk *d = &n->disk;
	for (uint64_t i = 1; i <= d->last; i++) {
		if (i <= old)
			inherit(s, was, i, &d->log[i]);
		else
			check_made(s, i, d->log[i - 1].term, d->log[i]);
		s->committed[i] = s->made[i]->rec;
		s->commit_terms[i] = d->log[i].term;
		s->commit = i;
		if (s->committed[i].kind == RECORD_END)
			note_dead(s, i);
	}
}

/* Commit never goes back, and all nodes commit the same. */
void check_node(struct sim *s, struct node *n)
{
	struct raft_status st;
	raft_status(n->raft, &st);
	if (n->lost)
		return;
	if (st.commit < n->committed)
		sim_broken(s, "commit went back", st.commit, n->slot);
	if (st.last.index != n->view.last)
		sim_broken(s, "core and log differ", st.last.index, n->view.last);
	for (uint64_t i = n->committed + 1; i <= st.commit; i++) {
		if (i > n->view.last)
			sim_broken(s, "commit is behind the log", i, n->slot);
		const struct rec *rec = made_at(s, i, n->view.log[i].term);
		if (i > s->commit) {
			s->committed[i] = *rec;
			s->commit_terms[i] = st.term;
			s->commit = i;
			if (rec->kind == RECORD_END)
				note_dead(s, i);
			if (s->table)
				tables_check_committed(s, i);
			if (s->host)
				s->host->committed(s, i);
		} else if (s->committed[i].term != rec->term) {
			sim_broken(
			    s, "state machine safety: committed is something else", i, n->slot);
		}
	}
	n->committed = st.commit;
	if (st.role == RAFT_LEADER && (n->role != RAFT_LEADER || n->role_term != st.term)) {
		/* What it was asked when it led before has no answer. */
		n->barrier_count = 0;
		check_leader(s, n, &st);
	}
	if (st.abstains && st.role != RAFT_FOLLOWER)
		sim_broken(s, "a node that abstains campaigns", st.role, n->slot);
	if (st.forgot && st.role != RAFT_FOLLOWER)
		sim_broken(s, "a node that has forgotten campaigns", st.role, n->slot);
	n->role = st.role;
	n->role_term = st.term;
}
