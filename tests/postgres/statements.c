/*
 * usage: statements [--allow-async] [--answer-ms N] DSN
 *
 * A link as rmq-clusterd has it, driven by hand: a command is a line on stdin, and what the link says a
 * line on stdout.
 *
 *	found CLUSTER
 *	look
 *	take CLUSTER NODE TERM INDEX TERM COMMIT LEASE-MS [vacant]
 *	append CLUSTER NODE TERM INDEX TERM COUNT SIZE COMMIT	COUNT records behind that place; 0: a heartbeat
 *	gap CLUSTER NODE TERM INDEX TERM COUNT SIZE COMMIT	the same, each second one is a hole
 *	dig CLUSTER NODE TERM COMMIT ROWS FIRST COUNT...
 *	read CLUSTER FROM ROWS BYTES
 *	drop WHY
 *	quit	as the end of stdin
 *	bench CLUSTER NODE TERM INDEX TERM COUNT SIZE TIMES	appends TIMES times, as many under way as may be
 *
 * CLUSTER and NODE are one letter each.  What a record holds follows from its index; `read` says whether it does.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <uv.h>

#include "core/base/memory.h"
#include "sys/pg/pg_link.h"
#include "sys/process/clock.h"

#define WORDS_MAX 64

struct bench {
	struct database_statement s;
	unsigned count, size, times, sent, answered;
	uint64_t began_us;
};

static uv_loop_t loop;
static uv_poll_t input;
static struct pg_link *link_up;
static uint64_t numbers, submitted, answered;
static struct bench bench;
static const char *const outcomes[] = {"DONE", "FENCED", "FAILED", "UNKNOWN"};

static struct raft_id id_of(const char *word)
{
	struct raft_id id;
	memset(id.bytes, word[0], sizeof(id.bytes));
	return id;
}

static uint64_t number_of(const char *word)
{
	return strtoull(word, NULL, 10);
}

static void submit(const struct database_statement *s)
{
	submitted++;
	pg_link_submit(link_up, s);
}

static void fill(uint8_t *bytes, size_t size, uint64_t index)
{
	for (size_t i = 0; i < size; i++)
		bytes[i] = (uint8_t)(index * 31 + i * 7);
}

static bool is_filled(struct slice s, uint64_t index)
{
	uint8_t *bytes = memory_new(s.len + 1);
	fill(bytes, s.len, index);
	bool same = memcmp(bytes, s.data, s.len) == 0;
	free(bytes);
	return same;
}

/* ---- what the link says ---- */

static void print_row(const struct database_row *row)
{
	if (!row->exists) {
		printf(" norow");
		return;
	}
	printf(
	    " cluster=%c term=%llu leader=%c last=%llu/%llu commit=%llu cover=%llu/%llu lease=%s",
	    row->cluster.bytes[0], (unsigned long long)row->term,
	    row->leader.bytes[0] ? row->leader.bytes[0] : '-',
	    (unsigned long long)row->last.index, (unsigned long long)row->last.term,
	    (unsigned long long)row->commit, (unsigned long long)row->cover.index,
	    (unsigned long long)row->cover.term, row->lease_left_ms > 0 ? "left" : "over");
}

static void print_log(const struct database_result *r)
{
	size_t bytes = 0;
	bool good = true;

	printf(" records=");
	for (unsigned i = 0; i < r->run_count; i++) {
		bytes += r->pieces[i].bytes.len;
		good &= is_filled(r->pieces[i].bytes, r->runs[i].first) &&
			r->runs[i].bytes == r->pieces[i].bytes.len && r->runs[i].count == 1;
		if (r->run_count <= 16)
			printf("%s%llu/%llu", i ? "," : "",
			    (unsigned long long)r->runs[i].first,
			    (unsigned long long)r->runs[i].term);
	}
	if (r->run_count > 16)
		printf("%u", r->run_count);
	printf(" bytes=%zu %s terms=", bytes, good ? "good" : "bad");
	for (unsigned i = 0; i < r->term_count; i++)
		printf("%s%llu/%llu", i ? "," : "", (unsigned long long)r->terms[i].index,
		    (unsigned long long)r->terms[i].term);
	printf(" %s", r->last ? "last" : "more");
}

static void append_next(void);

static void bench_result(const struct database_result *r)
{
	if (r->outcome != DATABASE_DONE) {
		printf("bench %s after %u: %s\n", outcomes[r->outcome], bench.answered,
		    r->text ? r->text : "");
		bench.times = 0;
	} else if (++bench.answered < bench.times) {
		append_next();
	} else {
		double s = (double)(clock_us() - bench.began_us) / 1e6;
		double mib = (double)bench.times * bench.count * bench.size / 1048576;
		printf("bench %.1f MiB/s, %.2f ms for each of %u\n", mib / s,
		    s * 1e3 / bench.times, bench.times);
		bench.times = 0;
	}
	fflush(stdout);
}

static void on_result(void *arg, const struct database_result *r)
{
	(void)arg;
	answered++;
	if (bench.times > 0) {
		bench_result(r);
		return;
	}
	printf("result %llu %s", (unsigned long long)r->number, outcomes[r->outcome]);
	if (r->row_known)
		print_row(&r->row);
	if (r->runs)
		print_log(r);
	else if (r->outcome == DATABASE_DONE && !r->row_known)
		printf(" %s", r->last ? "last" : "more");
	if (r->text)
		printf(" because %s", r->text);
	putchar('\n');
	fflush(stdout);
}

static void on_up(void *arg, const struct pg_server *s)
{
	static const char *const words[] = {"async", "standbys", "replicates"};
	(void)arg;
	printf("up %s %s (%s) %s %s\n", s->address, words[s->durability], s->version,
	    s->standbys, s->why_async);
	fflush(stdout);
}

static void on_down(void *arg, const char *why)
{
	(void)arg;
	if (answered != submitted)
		printf(
		    "bug: %llu are not answered\n", (unsigned long long)(submitted - answered));
	printf("down %s\n", why);
	fflush(stdout);
}

/* ---- commands ---- */

/* Records behind s->place, or each second one. */
static void append(struct database_statement *s, unsigned count, unsigned size, bool gaps)
{
	struct raft_run *runs = memory_new((count + 1) * sizeof(*runs));
	struct piece *pieces = memory_new((count + 1) * sizeof(*pieces));
	uint8_t *bytes = memory_new((size_t)count * size + 1);
	struct raft_place begins = {s->place.index + 1, s->term};

	for (unsigned i = 0; i < count; i++) {
		uint8_t *p = bytes + (size_t)i * size;
		uint64_t index = s->place.index + 1 + i;
		bool hole = gaps && i % 2 == 0;
		fill(p, size, index);
		runs[i] = (struct raft_run){.first = index,
		    .term = s->term,
		    .count = 1,
		    .bytes = hole ? 0 : size,
		    .kind = hole ? RAFT_HOLE : RECORD_EVENTS};
		pieces[i].bytes = slice_of(p, hole ? 0 : size);
	}
	s->verb = DATABASE_APPEND;
	s->last = count > 0 ? (struct raft_place){s->place.index + count, s->term} : s->place;
	s->runs = runs;
	s->pieces = pieces;
	s->run_count = count;
	s->terms = &begins;
	s->term_count = count > 0 && s->place.term != s->term;
	submit(s);
	free(runs);
	free(pieces);
	free(bytes);
}

static void append_next(void)
{
	if (bench.sent == bench.times)
		return;
	bench.sent++;
	bench.s.number = ++numbers;
	append(&bench.s, bench.count, bench.size, false);
	bench.s.place = bench.s.last;
}

static void dig(struct database_statement *s, char *const *words, int count)
{
	struct hole_range ranges[WORDS_MAX];

	for (int i = 0; i + 1 < count; i += 2)
		ranges[s->range_count++] =
		    (struct hole_range){number_of(words[i]), (uint32_t)number_of(words[i + 1])};
	s->ranges = ranges;
	submit(s);
}

static void run_bench(struct database_statement *s, char *const *words)
{
	bench = (struct bench){.s = *s,
	    .count = (unsigned)number_of(words[6]),
	    .size = (unsigned)number_of(words[7]),
	    .times = (unsigned)number_of(words[8]),
	    .began_us = clock_us()};
	for (int i = 0; i < DATABASE_STATEMENTS_MAX; i++)
		append_next();
}

static void quit(void)
{
	uv_poll_stop(&input);
	uv_close((uv_handle_t *)&input, NULL);
	pg_link_close(link_up);
}

/* words[0] is the command, words[1] the cluster; those that are not there are "0". */
static void command(char *const *words, int count)
{
	struct database_statement s = {.number = ++numbers, .cluster = id_of(words[1])};

	s.node = id_of(words[2]);
	s.term = number_of(words[3]);
	s.place = (struct raft_place){number_of(words[4]), number_of(words[5])};
	s.lease_ms = 5000;
	if (strcmp(words[0], "found") == 0) {
		s.verb = DATABASE_FOUND;
		submit(&s);
	} else if (strcmp(words[0], "look") == 0) {
		s.verb = DATABASE_LOOK;
		submit(&s);
	} else if (strcmp(words[0], "take") == 0) {
		s.verb = DATABASE_TAKE;
		s.commit = number_of(words[6]);
		s.lease_ms = (uint32_t)number_of(words[7]);
		s.vacant = count > 8;
		submit(&s);
	} else if (strcmp(words[0], "append") == 0 || strcmp(words[0], "gap") == 0) {
		s.commit = number_of(words[8]);
		append(&s, (unsigned)number_of(words[6]), (unsigned)number_of(words[7]),
		    words[0][0] == 'g');
	} else if (strcmp(words[0], "dig") == 0) {
		s.verb = DATABASE_DIG;
		s.commit = number_of(words[4]);
		s.cover = (struct raft_place){s.commit, s.term};
		s.rows = (uint32_t)number_of(words[5]);
		dig(&s, words + 6, count - 6);
	} else if (strcmp(words[0], "read") == 0) {
		s.verb = DATABASE_READ;
		s.from = number_of(words[2]);
		s.rows = (uint32_t)number_of(words[3]);
		s.bytes = (uint32_t)number_of(words[4]);
		submit(&s);
	} else if (strcmp(words[0], "drop") == 0) {
		pg_link_drop(link_up, words[1]);
	} else if (strcmp(words[0], "quit") == 0) {
		quit();
	} else if (strcmp(words[0], "bench") == 0) {
		run_bench(&s, words);
	} else {
		printf("unknown %s\n", words[0]);
		fflush(stdout);
	}
}

static void on_line(char *line)
{
	static char none[] = "0";
	char *words[WORDS_MAX], *save = NULL;
	int count = 0;

	for (int i = 0; i < WORDS_MAX; i++)
		words[i] = none;
	for (char *w = strtok_r(line, " ", &save); w && count < WORDS_MAX; count++) {
		words[count] = w;
		w = strtok_r(NULL, " ", &save);
	}
	if (count > 0)
		command(words, count);
}

static void on_input(uv_poll_t *poll, int status, int events)
{
	static char buf[4096];
	static size_t len;
	(void)poll;
	(void)status;
	(void)events;

	ssize_t n = read(0, buf + len, sizeof(buf) - 1 - len);
	if (n <= 0) {
		quit();
		return;
	}
	len += (size_t)n;
	for (char *end; (end = memchr(buf, '\n', len));) {
		*end = '\0';
		on_line(buf);
		len -= (size_t)(end + 1 - buf);
		memmove(buf, end + 1, len);
	}
}

int main(int argc, char **argv)
{
	struct pg_link_options options = {0};
	struct pg_link_host host = {.up = on_up, .down = on_down, .result = on_result};
	struct reason why = {0};

	for (; argc > 2; argc--, argv++) {
		if (strcmp(argv[1], "--allow-async") == 0) {
			options.allow_async = true;
		} else if (strcmp(argv[1], "--answer-ms") == 0 && argc > 3) {
			options.answer_ms = (uint32_t)number_of(argv[2]);
			argc--;
			argv++;
		}
	}
	if (argc != 2)
		return 64;
	options.dsn = argv[1];
	if (pg_link_check(options.dsn, &why) != RMQ_E_OK) {
		fprintf(stderr, "dsn: %s\n", why.text);
		return 78;
	}
	uv_loop_init(&loop);
	uv_poll_init(&loop, &input, 0);
	link_up = pg_link_open(&loop, &options, &host);
	if (!link_up || pg_link_start(link_up, &why) != RMQ_E_OK)
		return 70;
	uv_poll_start(&input, UV_READABLE, on_input);
	uv_run(&loop, UV_RUN_DEFAULT);
	return uv_loop_close(&loop) == 0 ? 0 : 70;
}
