/*
 * replica_feed DIR COUNT [LEAST]: has transactions up to number COUNT stored by
 * `rmq-journal serve DIR`, as a node of a cluster would, and prints the number of each that
 * is answered.  What transaction i holds is a function of i and of those before it: records
 * of all kinds, holes, truncation, votes.
 *
 * Before it begins, and at the end, it holds the directory against that: it must be what the
 * first k transactions make of a new one, for some k that is not less than LEAST (0).  So it
 * goes on where an earlier one was cut off.  Ends with 1 if that is not so, else with what the
 * journal ended with, 128 and its number for a signal.
 *
 * replica_feed DIR fill|vote|dig|lag: sends one transaction after the other, each with a record
 * of 60000 bytes, until one has no answer for 2 s, and prints how many had; or one with a new
 * term and a vote; or one that makes holes of all records but the last; or one with a cover
 * that the log does not reach.
 */
#include <assert.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/wire/event.h"
#include "sys/store/replica_log.h"

#define ENTRIES_MAX 65536
#define RUNS_MAX    8
#define WINDOW	    4

struct entry {
	uint64_t term;
	uint32_t len;
	uint8_t kind; /* RAFT_HOLE: a hole */
	char name[8]; /* CONFIG */
};

/* The log that it should be. */
static struct entry entries[ENTRIES_MAX];
static uint64_t last, commit;
static struct raft_place cover;

/* One transaction. */
static struct raft_run runs[RUNS_MAX];
static struct raft_config configs[RUNS_MAX];
static struct slice payloads[RUNS_MAX];
static struct hole_range dug[16];
static struct raft_store store;
static uint8_t bodies[RUNS_MAX][RECORD_PAYLOAD_MAX];

static struct journal_link journal;
static uv_loop_t loop;
static uint64_t base, answered;
static int lost_status = -1;

static uint64_t random_state;
static uint64_t below(uint64_t n)
{
	random_state = random_state * 6364136223846793005u + 1442695040888963407u;
	return (random_state >> 33) % n;
}

_Noreturn static void fail(const char *what, uint64_t index)
{
	fprintf(stderr, "replica_feed: %s: %llu, behind transaction %llu\n", what,
	    (unsigned long long)index, (unsigned long long)base);
	exit(1);
}

/* ---- the model ---- */

static struct raft_id id_of(uint64_t n)
{
	struct raft_id id = {{1}};
	store_u64(id.bytes + 8, n);
	return id;
}

static void make_config(struct raft_config *c, const char *name)
{
	*c = (struct raft_config){.cluster = {{42}}, .count = 1};
	strcpy(c->members[0].name, name);
	c->members[0].id = id_of(7);
	c->members[0].key[0] = 9;
	c->members[0].flags = RAFT_VOTER | RAFT_BROKER;
}

#define TAKEN_SIZE 20

/* Events that can be read. */
static void fill_body(uint8_t *body, uint64_t index, const struct entry *e)
{
	struct writer w = writer_of(body, e->len);
	if (e->len == 0)
		return;
	put_u64(&w, index);
	put_u64(&w, e->term);
	for (uint64_t n = 1; e->len - w.len >= TAKEN_SIZE; n++)
		event_put_taken(&w, &(struct event_taken){index, n});
	assert(!w.full && w.len == e->len);
}

static uint32_t body_size(void)
{
	uint64_t events =
	    below(8) == 0 ? below((RECORD_FILL - 16) / TAKEN_SIZE + 1) : below(100);
	return (uint32_t)(16 + events * TAKEN_SIZE);
}

static void append(uint64_t term, uint8_t kind, uint32_t count)
{
	unsigned n = store.run_count++;
	struct entry e = {.term = term, .kind = kind};
	runs[n] = (struct raft_run){last + 1, term, count, 0, kind, NULL};
	if (kind == RECORD_CONFIG) {
		snprintf(e.name, sizeof(e.name), "n%u", (unsigned)(term % 100000));
		make_config(&configs[n], e.name);
		runs[n].config = &configs[n];
		struct writer w = writer_of(bodies[n], sizeof(bodies[n]));
		raft_config_encode(&w, &configs[n]);
		runs[n].bytes = (uint32_t)w.len;
	} else if (kind != RAFT_HOLE && kind != RECORD_NOOP) {
		e.len = body_size();
		fill_body(bodies[n], last + 1, &e);
		runs[n].bytes = e.len;
	}
	payloads[n] = slice_of(bodies[n], runs[n].bytes);
	assert(last + count < ENTRIES_MAX);
	for (uint32_t i = 0; i < count; i++)
		entries[++last] = e;
}

static void append_some(uint64_t term)
{
	static const uint8_t kinds[] = {RECORD_EVENTS, RECORD_EVENTS, RECORD_PART, RECORD_END,
	    RECORD_CONFIG, RECORD_NOOP, RAFT_HOLE};
	for (uint64_t n = below(RUNS_MAX); n > 0; n--) {
		uint8_t kind = kinds[below(sizeof(kinds))];
		append(term, kind, kind == RAFT_HOLE ? 1 + (uint32_t)below(5) : 1);
		if (kind == RAFT_HOLE)
			commit = last;
	}
	if (last > commit)
		commit += below(last - commit + 1);
}

/* Holes below a committed END. */
static void dig_some(void)
{
	uint64_t end = 1 + below(commit + 1);
	while (end <= commit && entries[end].kind != RECORD_END)
		end++;
	if (end > commit)
		return;
	if (end > cover.index)
		cover = (struct raft_place){end, entries[end].term};
	for (unsigned i = 0; end > 1 && i < sizeof(dug) / sizeof(dug[0]); i++) {
		uint64_t first = 1 + below(end - 1);
		if (entries[first].kind == RECORD_CONFIG)
			continue;
		entries[first].kind = RAFT_HOLE;
		dug[store.hole_count++] = (struct hole_range){first, 1};
	}
}

/* Makes transaction i, and the log what it is after it. */
static void make(uint64_t i)
{
	random_state = i;
	store =
	    (struct raft_store){.term = i, .vote = below(3) ? id_of(i) : (struct raft_id){{0}}};
	if (below(4) != 0) {
		if (below(3) == 0 && last > commit) {
			store.truncate = commit + 1 + below(last - commit);
			last = store.truncate - 1;
		}
		append_some(i);
		if (below(3) == 0)
			dig_some();
	}
	store.seq = i - base;
	store.commit = commit;
	store.cover = cover;
	store.runs = runs;
	store.holes = dug;
}

/* ---- the directory ---- */

static uint64_t newest_end(void)
{
	uint64_t end = last;
	while (end > 0 && entries[end].kind != RECORD_END)
		end--;
	return end;
}

static void check_begin(const struct raft_begin *b)
{
	size_t terms = 0, found = 0;
	if (b->last != last || b->commit != commit || b->cover.index != cover.index ||
	    b->cover.term != cover.term || !raft_id_eq(b->vote, store.vote))
		fail("what the node knows differs; last is", b->last);
	for (uint64_t i = 1; i <= last; i++) {
		const struct entry *e = &entries[i];
		if (i == 1 || e->term != entries[i - 1].term) {
			if (terms == b->term_count || b->terms[terms].index != i ||
			    b->terms[terms].term != e->term)
				fail("no such term boundary", i);
			terms++;
		}
		if (e->kind != RECORD_CONFIG)
			continue;
		if (found == b->config_count || b->configs[found].first != i ||
		    strcmp(b->configs[found].config->members[0].name, e->name) != 0)
			fail("no such configuration", i);
		found++;
	}
	if (terms != b->term_count || found != b->config_count)
		fail("too many terms or configurations", terms);
}

static void check_records(struct store_reader *r)
{
	static uint8_t body[RECORD_PAYLOAD_MAX];
	struct record_header h;
	struct slice payload;
	for (uint64_t i = 1; i <= last + 1; i++) {
		const struct entry *e = &entries[i];
		enum rmq_error err = store_reader_get(r, i, &h, &payload);
		if (i > last || e->kind == RAFT_HOLE) {
			if (err != RMQ_E_NOTHING)
				fail("a record, not a hole", i);
			continue;
		}
		fill_body(body, i, e);
		if (err || h.kind != e->kind || h.term != e->term ||
		    (e->kind != RECORD_CONFIG && !slice_eq(payload, slice_of(body, e->len))))
			fail("another record, or none", i);
	}
}

/* How many transactions are in the directory, which is just that. */
static uint64_t check(const char *dir, uint64_t least)
{
	struct store_reader *r;
	struct store_state state;
	struct raft_begin b = {0};
	struct reason why;
	uint64_t bad = 0;
	bool replicated;
	if (store_reader_open(dir, &r, &why) || store_reader_begin(r) ||
	    replica_log_begin(r, &b, &replicated, &bad) || store_reader_state(r, &state))
		fail("the directory cannot be read", bad);
	last = commit = 0;
	base = 0;
	cover = (struct raft_place){0};
	store = (struct raft_store){0};
	for (uint64_t i = 1; i <= b.term; i++)
		make(i);
	base = b.term;
	if (base < least)
		fail("less is stored than was answered", least);
	check_begin(&b);
	check_records(r);
	if (state.checkpoint != newest_end())
		fail("another checkpoint", state.checkpoint);
	replica_log_begin_free(&b);
	store_reader_close(r);
	return base;
}

/* ---- the journal ---- */

static bool on_frame(void *arg, const struct frame *f)
{
	struct journal_txn_stored m;
	(void)arg;
	if (f->type != JOURNAL_TYPE_TXN_STORED)
		return f->type == JOURNAL_TYPE_ROOM || f->type == JOURNAL_TYPE_FITS;
	if (!journal_txn_stored_decode(f->payload, &m) || base + m.seq <= answered)
		return false;
	answered = base + m.seq;
	printf("%llu\n", (unsigned long long)answered);
	fflush(stdout);
	return true;
}

static void on_lost(void *arg, int status, const char *why)
{
	(void)arg;
	fprintf(stderr, "replica_feed: %s\n", why);
	lost_status = status;
}

static void feed(uint64_t count)
{
	for (uint64_t i = base + 1; i <= count && lost_status < 0; i++) {
		make(i);
		replica_log_store(&journal, &store, store.seq, payloads);
		while (lost_status < 0 && i - answered >= WINDOW)
			uv_run(&loop, UV_RUN_ONCE);
	}
	while (lost_status < 0 && answered < count)
		uv_run(&loop, UV_RUN_ONCE);
}

/* ---- on a full disk ---- */

static void load(const char *dir)
{
	struct store_reader *r;
	struct raft_begin b = {0};
	struct reason why;
	uint64_t bad = 0;
	bool replicated;
	if (store_reader_open(dir, &r, &why) || store_reader_begin(r) ||
	    replica_log_begin(r, &b, &replicated, &bad))
		fail("the directory cannot be read", bad);
	last = b.last;
	store = (struct raft_store){.term = b.term + 1, .commit = last, .cover = b.cover};
	replica_log_begin_free(&b);
	store_reader_close(r);
}

static void on_timer(uv_timer_t *timer)
{
	*(bool *)timer->data = true;
}

/* Whether `store` is answered within so many ms. */
static bool stored_within(uint64_t ms)
{
	static uv_timer_t timer;
	bool late = false;
	timer.data = &late;
	uv_timer_init(&loop, &timer);
	uv_timer_start(&timer, on_timer, ms, 0);
	store.seq++;
	replica_log_store(&journal, &store, store.seq, payloads);
	while (answered < store.seq && !late && lost_status < 0)
		uv_run(&loop, UV_RUN_ONCE);
	uv_timer_stop(&timer);
	return answered == store.seq;
}

static void fill(void)
{
	payloads[0] = slice_of(bodies[0], 60000);
	store.runs = runs;
	store.run_count = 1;
	do
		runs[0] = (struct raft_run){++last, store.term, 1, 60000, RECORD_EVENTS, NULL};
	while (stored_within(2000));
}

static void once(const char *what)
{
	if (strcmp(what, "lag") == 0) {
		store.cover = (struct raft_place){last + 100, store.term};
	} else if (strcmp(what, "dig") == 0) {
		dug[0] = (struct hole_range){1, (uint32_t)last - 1};
		store.holes = dug;
		store.hole_count = 1;
		store.cover = (struct raft_place){last, store.term - 1};
	} else {
		store.vote = id_of(1);
	}
	if (!stored_within(20000))
		fail("no answer", store.seq);
}

static bool is_number(const char *s)
{
	return s[0] >= '0' && s[0] <= '9';
}

static void run(const char *what, const char *dir)
{
	if (is_number(what)) {
		feed(strtoull(what, NULL, 10));
		return;
	}
	load(dir);
	if (strcmp(what, "fill") == 0)
		fill();
	else
		once(what);
}

int main(int argc, char **argv)
{
	static const struct journal_link_host host = {.frame = on_frame, .lost = on_lost};
	static struct journal_opened_info info;
	struct rlimit nofile;
	sigset_t mask;
	if (argc < 3)
		return 1;
	bool counts = is_number(argv[2]);
	if (counts)
		answered = check(argv[1], argc > 3 ? strtoull(argv[3], NULL, 10) : 0);
	signal(SIGPIPE, SIG_IGN);
	sigprocmask(SIG_BLOCK, NULL, &mask);
	getrlimit(RLIMIT_NOFILE, &nofile);
	struct child_spec spec = {.mask = &mask, .nofile = &nofile};
	if (journal_link_spawn(&journal, &host, NULL, argv[1], &spec) == 0 &&
	    journal_link_open(&journal, true, &info) == 0 && uv_loop_init(&loop) == 0 &&
	    journal_link_start(&journal, &loop) == 0)
		run(argv[2], argv[1]);
	int status = journal_link_close(&journal);
	if (lost_status >= 0)
		return lost_status;
	if (counts)
		(void)check(argv[1], strtoull(argv[2], NULL, 10));
	return status;
}
