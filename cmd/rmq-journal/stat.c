#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <jansson.h>

#include "config_json.h"
#include "cover.h"
#include "journal.h"
#include "queues.h"
#include "sys/process/log.h"
#include "sys/store/store.h"

/* Of one moment. */
struct numbers {
	struct store_state state;
	struct store_pages pages;
	uint64_t first; /* index; 0: no records */
	struct store_replica replica;
	struct cover cover;
	struct raft_id cluster; /* none: there is no CONFIG */
	bool ended;		/* the node was told that it is no member any more: */
	enum raft_how how;
};

/*      name          value                                         what */
#define STAT_NUMBERS(X) \
	X(first, n->first, "oldest record") \
	X(last, n->state.next - 1, "newest record") \
	X(last_term, n->cover.last_term, "of the newest record") \
	X(records, n->state.records, "") \
	X(holes, n->state.next - 1 - n->state.records, "") \
	X(record_bytes, n->state.bytes, "") \
	X(checkpoint, n->state.checkpoint, "newest END") \
	X(term, n->state.term, "") \
	X(page_size, n->pages.page_size, "bytes") \
	X(pages_used, n->pages.used, "") \
	X(pages_free, n->pages.free, "will be used again") \
	X(bytes_used, n->pages.used * n->pages.page_size, "") \
	X(file_bytes, n->pages.file_bytes, "including the part extended in advance")

/* Only of a directory that belongs to a cluster. */
#define STAT_REPLICA(X) \
	X(commit, n->replica.commit, "newest record known as committed") \
	X(cover, n->replica.cover_index, "newest END that made holes") \
	X(cover_term, n->replica.cover_term, "")

/* The cluster that the newest CONFIG names. */
static enum rmq_error read_cluster(struct store_reader *r, struct raft_id *cluster)
{
	struct record_header h;
	struct slice payload;
	struct raft_config c = {0};
	enum rmq_error err;
	uint64_t next = 1;
	while ((err = store_reader_config(r, next, &h, &payload)) == RMQ_E_OK) {
		enum rmq_error bad = raft_config_decode(payload, &c);
		if (bad)
			return bad == RMQ_E_VERSION ? bad : RMQ_E_CORRUPT;
		next = h.index + 1;
	}
	*cluster = c.cluster;
	return err == RMQ_E_NOTHING ? RMQ_E_OK : err;
}

static enum rmq_error read_numbers(
    const char *dir, struct numbers *n, struct identity *id, struct reason *why)
{
	struct store_reader *r;
	struct slice value;
	enum rmq_error err = store_reader_open(dir, &r, why);
	if (err)
		return err;
	*id = *store_reader_identity(r);
	err = store_reader_begin(r);
	if (!err)
		err = store_reader_state(r, &n->state);
	if (!err)
		err = store_reader_pages(r, &n->pages);
	if (!err)
		err = store_reader_replica(r, &n->replica);
	if (!err)
		err = cover_read(r, &n->cover);
	if (!err)
		err = read_cluster(r, &n->cluster);
	if (!err)
		err = store_reader_ended(r, &n->how);
	n->ended = !err;
	if (err == RMQ_E_NOTHING)
		err = RMQ_E_OK;
	n->first = 0;
	if (!err)
		err = store_reader_raw(r, 0, &n->first, &value);
	store_reader_close(r);
	return err == RMQ_E_NOTHING ? RMQ_E_OK : err;
}

/* of: what more is said of it, NULL: nothing; it is used up. */
static int print_json(
    const struct numbers *n, const struct identity *id, const char *incarnation, json_t *of)
{
	json_t *o = of ? of : json_object();
	json_object_set_new(o, "format", json_integer(id->version));
	json_object_set_new(o, "incarnation", json_string(incarnation));
#define X(name, value, what) json_object_set_new(o, #name, json_integer((json_int_t)(value)));
	STAT_NUMBERS(X)
	if (n->replica.present) {
		STAT_REPLICA(X)
		json_object_set_new(o, "covered", json_boolean(n->cover.covered));
		json_object_set_new(o, "cluster", config_json_id(n->cluster));
		json_object_set_new(o, "vote", config_json_id(n->replica.vote));
		if (n->ended)
			json_object_set_new(
			    o, "ended", json_string(raft_how_text((uint8_t)n->how)));
	}
#undef X
	int bad = json_dumpf(o, stdout, JSON_COMPACT) | (putchar('\n') == EOF);
	json_decref(o);
	return bad;
}

static void print_id(const char *format, const char *name, struct raft_id id)
{
	json_t *text = config_json_id(id);
	const char *s = json_string_value(text);
	printf(format, name, s ? s : "-");
	json_decref(text);
}

static void print_lines(
    const struct numbers *n, const struct identity *id, const char *incarnation)
{
	bool people = isatty(STDOUT_FILENO);
	const char *format = people ? "%-14s %s\n" : "%s\t%s\n";
	char number[32];
	snprintf(number, sizeof(number), "%u", id->version);
	printf(format, "format", number);
	printf(format, "incarnation", incarnation);
#define X(name, value, what) \
	snprintf(number, sizeof(number), "%" PRIu64, (uint64_t)(value)); \
	if (people && what[0]) \
		printf("%-14s %-20s (%s)\n", #name, number, what); \
	else \
		printf(format, #name, number);
	STAT_NUMBERS(X)
	if (n->replica.present) {
		STAT_REPLICA(X)
		printf(format, "covered", n->cover.covered ? "yes" : "no");
		print_id(format, "cluster", n->cluster);
		print_id(format, "vote", n->replica.vote);
		if (n->ended)
			printf(format, "ended", raft_how_text((uint8_t)n->how));
	}
#undef X
}

enum { OPTION_QUEUES = OPTION_LONG };

struct stat_options {
	bool json;
	bool queues;
};

static bool set_option(int letter, const char *value, void *state)
{
	struct stat_options *o = state;
	(void)value;
	*(letter == 'j' ? &o->json : &o->queues) = true;
	return true;
}

/* ---- several ---- */

struct directory {
	const char *name;
	struct numbers numbers;
	struct identity id;
};

/* Of two logs, what is newer is what a node would vote for. */
static bool newer(const struct numbers *a, const struct numbers *b)
{
	if (a->cover.last_term != b->cover.last_term)
		return a->cover.last_term > b->cover.last_term;
	return a->state.next > b->state.next;
}

/*
 * The place of the one that lacks nothing that another one has, of those whose nodes have not ended;
 * `count`: none is whole.
 */
static size_t find_best(const struct directory *all, size_t count)
{
	size_t best = count;
	for (size_t i = 0; i < count; i++) {
		if (all[i].numbers.cover.covered && !all[i].numbers.ended &&
		    (best == count || newer(&all[i].numbers, &all[best].numbers)))
			best = i;
	}
	return best;
}

static enum rmq_error read_all(
    char **words, struct directory *all, size_t count, const char **about, struct reason *why)
{
	for (size_t i = 0; i < count; i++) {
		struct directory *d = &all[i];
		*about = d->name = words[i];
		guard_directory(d->name);
		enum rmq_error err = read_numbers(d->name, &d->numbers, &d->id, why);
		if (err)
			return err;
		if (!d->numbers.replica.present || raft_id_none(d->numbers.cluster))
			return reason_set(why, RMQ_E_BAD_DATA,
			    "is not of a node of a cluster: nothing to compare");
		if (!raft_id_eq(d->numbers.cluster, all[0].numbers.cluster))
			return reason_set(
			    why, RMQ_E_BAD_DATA, "is of another cluster than %s", all[0].name);
	}
	return RMQ_E_OK;
}

static void print_row(const struct directory *d, bool keep)
{
	printf("%s\t%" PRIu64 "\t%" PRIu64 "\t%s\t%s\n", d->name, d->numbers.cover.last_term,
	    d->numbers.state.next - 1, d->numbers.cover.covered ? "yes" : "no",
	    keep ? "yes" : "no");
}

static void print_object(const struct directory *d, bool keep)
{
	char incarnation[IDENTITY_TEXT_SIZE];
	json_t *o = json_object();
	json_object_set_new(o, "directory", json_string(d->name));
	json_object_set_new(o, "keep", json_boolean(keep));
	identity_text(&d->id, incarnation);
	print_json(&d->numbers, &d->id, incarnation, o);
}

static int compare(char **words, bool json)
{
	struct reason why = {""};
	const char *about = words[0];
	size_t count = 0;
	while (words[count])
		count++;
	struct directory *all = calloc(count, sizeof(*all));
	if (!all)
		return report(about, RMQ_E_IO, NULL);
	enum rmq_error err = read_all(words, all, count, &about, &why);
	size_t best = err ? count : find_best(all, count);
	if (!err && !json && isatty(STDOUT_FILENO))
		printf("DIRECTORY\tLAST_TERM\tLAST\tCOVERED\tKEEP\n");
	for (size_t i = 0; i < count && !err; i++)
		(json ? print_object : print_row)(&all[i], i == best);
	if (!err && best == count) {
		about = "stat";
		err = reason_set(&why, RMQ_E_BAD_DATA, "no directory has a complete log");
	}
	free(all);
	return finish_stdout(err ? report(about, err, &why) : 0);
}

static int stat_queues(const char *dir, bool json)
{
	struct reason why = {""};
	guard_directory(dir);
	enum rmq_error err = print_queues(dir, json, &why);
	return finish_stdout(err ? report(dir, err, &why) : 0);
}

const struct option_row stat_rows[] = {{'j', "json", NULL, NULL, NULL, "print JSON"},
    {OPTION_QUEUES, "queues", NULL, NULL, NULL, "how much room each queue takes"}, {0}};

int command_stat(int argc, char **argv)
{
	struct stat_options o = {0};
	int status;
	char incarnation[IDENTITY_TEXT_SIZE];
	struct numbers n;
	struct identity id;
	struct reason why = {""};
	char **words = command_words(argc, argv, "stat", set_option, &o, WORDS_SOME, &status);
	if (!words)
		return status;
	if (words[1] && o.queues) {
		log_error("stat: --queues takes one directory");
		return error_exit(RMQ_E_USAGE);
	}
	if (words[1])
		return compare(words, o.json);
	if (o.queues)
		return stat_queues(words[0], o.json);
	guard_directory(words[0]);
	enum rmq_error err = read_numbers(words[0], &n, &id, &why);
	if (err)
		return report(words[0], err, &why);
	identity_text(&id, incarnation);
	if (o.json)
		print_json(&n, &id, incarnation, NULL);
	else
		print_lines(&n, &id, incarnation);
	return finish_stdout(0);
}
