/*
 * backup: copies records in ascending order, some MiB in one read transaction, and writes
 * them outside of it.  It is over when one transaction sees nothing more: all that is live
 * then was live, or not written yet, whenever we passed its place, so it is in the backup;
 * what died meanwhile may be in it too, and an END in it says so.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>

#include "backup_format.h"
#include "cover.h"
#include "journal.h"
#include "sys/process/log.h"
#include "sys/store/store.h"
#include "sys/stream/io.h"

enum { OPTION_SINCE = OPTION_LONG, OPTION_FORCE };

#define CHUNK_BYTES (4u << 20)
/* A record and the boundary before it. */
#define PIECE_MAX (2 * FRAME_HEADER_SIZE + RECORD_MAX + 16)

struct wanted {
	uint64_t since;
	bool force;
};

struct backup {
	struct store_reader *reader;
	XXH3_state_t *hash;
	uint8_t *chunk;
	uint64_t next; /* index to go on from */
	uint64_t last; /* index of the newest record that was copied */
	uint64_t term; /* of the newest TERM frame */
	uint64_t term_next;
	uint64_t records;
	struct store_state state;
	struct cover cover; /* as of the newest transaction */
};

static enum rmq_error put_record(
    struct backup *b, struct writer *w, uint64_t index, struct slice value)
{
	struct record_header h;
	struct slice payload;
	enum rmq_error err = record_open(value, index, &h, &payload);
	if (err)
		return err;
	while (h.term != b->term) {
		struct backup_term t;
		err = store_reader_term(b->reader, b->term_next, &t.index, &t.term);
		if (err || t.index > index)
			return RMQ_E_CORRUPT;
		b->term = t.term;
		b->term_next = t.index + 1;
		/* Only the last of those that are all holes says anything. */
		if (h.term == t.term)
			backup_put_term(w, &t);
	}
	struct backup_record m = {value};
	backup_put_record(w, &m);
	b->records++;
	return RMQ_E_OK;
}

/*
 * A node of a cluster may find that the end of its log is not the cluster's, and drop it.  If
 * the newest record that was copied has its term still, all before it is what it was.
 */
static enum rmq_error check_uncut(struct backup *b)
{
	struct backup_term t = {0};
	if (b->records == 0)
		return RMQ_E_OK;
	enum rmq_error err = store_reader_term(b->reader, b->term_next - 1, &t.index, &t.term);
	bool same = !err && t.index == b->term_next - 1 && t.term == b->term;
	if (same)
		err = store_reader_term(b->reader, b->term_next, &t.index, &t.term);
	if (err && err != RMQ_E_NOTHING)
		return err;
	bool behind = err == RMQ_E_NOTHING || t.index > b->last;
	return same && behind && b->last < b->state.next ? RMQ_E_OK : RMQ_E_BUSY;
}

/* RMQ_E_NOTHING: the end was reached; what was put before it counts. */
static enum rmq_error fill_chunk(struct backup *b, struct writer *w)
{
	enum rmq_error err = store_reader_begin(b->reader);
	if (!err)
		err = store_reader_state(b->reader, &b->state);
	if (!err)
		err = cover_read(b->reader, &b->cover);
	if (!err)
		err = check_uncut(b);
	while (!err && w->cap - w->len >= PIECE_MAX) {
		uint64_t index;
		struct slice value;
		err = store_reader_raw(b->reader, b->next, &index, &value);
		if (err)
			break;
		b->next = index;
		err = put_record(b, w, index, value);
		if (err)
			break;
		b->last = index;
		b->next = index + 1;
	}
	store_reader_end(b->reader);
	return err;
}

static enum rmq_error write_out(struct backup *b, const struct writer *w)
{
	XXH3_64bits_update(b->hash, w->p, w->len);
	return io_write(STDOUT_FILENO, w->p, w->len) == 0 ? RMQ_E_OK : RMQ_E_IO;
}

static void put_header(struct writer *w, uint64_t since, const struct identity *id)
{
	struct backup_header m = {
	    BACKUP_MAGIC, id->version, since, slice_of(id->incarnation, INCARNATION_BYTES)};
	backup_put_header(w, &m);
}

/* An increment begins where the records that there are have been. */
static enum rmq_error check_begin(struct backup *b, const struct wanted *w, struct reason *why)
{
	uint64_t since = w->since;
	enum rmq_error err = store_reader_begin(b->reader);
	if (!err)
		err = store_reader_state(b->reader, &b->state);
	if (!err)
		err = cover_read(b->reader, &b->cover);
	store_reader_end(b->reader);
	if (err)
		return reason_set(why, err, "%s", error_text(err));
	if (since < b->state.next)
		return w->force ? RMQ_E_OK : cover_check(&b->cover, b->state.next - 1, why);
	return reason_set(why, RMQ_E_USAGE,
	    "--since %" PRIu64 " is beyond the newest record, %" PRIu64
	    ": the previous backup is of another directory, or of a later state of this one",
	    since, b->state.next - 1);
}

/* Behind all records, as of the last transaction. */
static enum rmq_error put_end(
    struct backup *b, struct writer *w, bool force, struct reason *why)
{
	enum rmq_error err = force ? RMQ_E_OK : cover_check(&b->cover, b->state.next - 1, why);
	if (err)
		return err;
	if (!b->cover.covered) {
		backup_put_partial(w, &(struct backup_partial){b->cover.index});
		XXH3_64bits_update(b->hash, w->p, w->len);
	}
	struct backup_end end = {
	    b->records, b->state.next, b->state.term, XXH3_64bits_digest(b->hash)};
	backup_put_end(w, &end);
	return RMQ_E_OK;
}

static enum rmq_error copy(struct backup *b, const struct wanted *wanted, struct reason *why)
{
	struct writer w = writer_of(b->chunk, CHUNK_BYTES);
	enum rmq_error err = check_begin(b, wanted, why);
	if (err)
		return err;
	put_header(&w, wanted->since, store_reader_identity(b->reader));
	while (!err) {
		err = fill_chunk(b, &w);
		if (err == RMQ_E_BUSY)
			return reason_set(why, err, "the end of the log was dropped meanwhile");
		if (err && err != RMQ_E_NOTHING)
			return name_record(why, err, b->next);
		if (write_out(b, &w))
			return reason_set(
			    why, RMQ_E_IO, "standard output: %s", strerror(errno));
		w.len = 0;
	}
	err = put_end(b, &w, wanted->force, why);
	if (err)
		return err;
	if (write_out(b, &w) ||
	    (fsync(STDOUT_FILENO) != 0 && errno != EINVAL && errno != EROFS))
		return reason_set(why, RMQ_E_IO, "standard output: %s", strerror(errno));
	return RMQ_E_OK;
}

static enum rmq_error backup(const char *dir, const struct wanted *wanted, struct reason *why)
{
	struct backup b = {.next = wanted->since + 1, .term_next = 1};
	enum rmq_error err = store_reader_open(dir, &b.reader, why);
	if (err)
		return err;
	b.hash = XXH3_createState();
	b.chunk = malloc(CHUNK_BYTES);
	if (b.hash && b.chunk) {
		XXH3_64bits_reset(b.hash);
		err = copy(&b, wanted, why);
	} else {
		err = reason_set(why, RMQ_E_IO, "out of memory");
	}
	free(b.chunk);
	XXH3_freeState(b.hash);
	store_reader_close(b.reader);
	return err;
}

static bool set_option(int letter, const char *value, void *state)
{
	struct wanted *w = state;
	if (letter == OPTION_FORCE)
		return w->force = true;
	return parse_index(value, &w->since) && w->since < UINT64_MAX;
}

const struct option_row backup_rows[] = {
    {OPTION_SINCE, "since", "N", NULL, NULL, "only what came after record N"},
    {OPTION_FORCE, "force", NULL, NULL, NULL, "also of a log that is not complete"}, {0}};

int command_backup(int argc, char **argv)
{
	struct wanted wanted = {.since = 0};
	struct reason why = {""};
	int status;
	char **words = command_words(argc, argv, "backup", set_option, &wanted, 1, &status);
	if (!words)
		return status;
	if (isatty(STDOUT_FILENO)) {
		log_error("backup: standard output is a terminal");
		return error_exit(RMQ_E_USAGE);
	}
	guard_directory(words[0]);
	enum rmq_error err = backup(words[0], &wanted, &why);
	return err ? report(words[0], err, &why) : 0;
}
