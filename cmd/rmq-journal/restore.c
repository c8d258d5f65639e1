/*
 * restore: makes the data directory beside its place, or within it where that is an empty
 * directory already, and moves it there when it is whole.
 * Records that died while a backup was taken, or between one and the next, are deleted
 * where an END says so.  The last record says that there was a restore, and when.
 *
 * replay does the same with the log up to the first record that was made after a time.  Records
 * that a later END declared dead may not be in the backup, though they count at that time.  So an
 * END whose checkpoint has gone in this way is left out, the older one before it is the newest, and
 * what is missing after that, and was not left out here, is found by mend_cut().
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include "backup_format.h"
#include "core/base/units.h"
#include "core/host/recovery.h"
#include "core/wire/event.h"
#include "core/wire/journal_wire.h"
#include "journal.h"
#include "mend.h"
#include "sys/process/clock.h"
#include "sys/process/log.h"
#include "sys/store/empty_dir.h"
#include "sys/store/store.h"
#include "sys/stream/io.h"

#define IN_SIZE	     (2 * (FRAME_HEADER_SIZE + FRAME_PAYLOAD_MAX))
#define COMMIT_BYTES (4u << 20)
#define INSIDE	     "restoring" /* where it is made in a directory that is there */
#define NUMBER_MAX   INT64_MAX	 /* indexes and terms: one more is always there */

struct restore {
	struct store *store;
	struct reason *why;
	XXH3_state_t *hash;
	bool begun;		/* within a file: after its HEADER, before its END */
	bool any;		/* a file was complete */
	bool force;		/* also if it is not whole */
	struct wall_time until; /* UINT64_MAX: all of it */
	uint64_t cut;		/* index of the first record that is too late; 0: none yet */
	uint64_t seen;		/* index of the newest record that came */
	uint64_t seen_ms;	/* … that is kept, and has a time: that time */
	struct known_holes known;
	bool partial; /* the log of this file is not whole */
	uint8_t incarnation[INCARNATION_BYTES];
	uint64_t records;	 /* in this file */
	uint64_t previous;	 /* index of the last one in it */
	uint64_t term;		 /* newest that any END told of */
	uint64_t next;		 /* likewise */
	uint64_t boundary_index; /* newest term boundary */
	uint64_t boundary_term;
	uint64_t in_commit;
	size_t begin, end;
	uint8_t in[IN_SIZE];
};

static enum rmq_error bad(struct restore *r, const char *text)
{
	return reason_set(r->why, RMQ_E_BAD_DATA, "%s", text);
}

static enum rmq_error store_failed(struct restore *r, enum rmq_error err)
{
	*r->why = *store_reason(r->store);
	return err;
}

static uint64_t larger(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

/* ---- frames ---- */

static enum rmq_error take_header(struct restore *r, struct slice payload)
{
	struct backup_header m;
	if (!backup_header_decode(payload, &m) || m.magic != BACKUP_MAGIC)
		return bad(r, "is not a backup");
	if (m.version < JOURNAL_OLDEST || m.version > JOURNAL_VERSION)
		return reason_set(r->why, RMQ_E_VERSION,
		    "backup is of format %u, this program knows %s", m.version,
		    versions_text((char[VERSIONS_TEXT_MAX]){0}, JOURNAL_VERSIONS));
	if (m.incarnation.len != INCARNATION_BYTES)
		return bad(r, "is not a backup");
	if (!r->any)
		memcpy(r->incarnation, m.incarnation.data, INCARNATION_BYTES);
	if (memcmp(r->incarnation, m.incarnation.data, INCARNATION_BYTES) != 0)
		return bad(r, "backups are of different directories");
	if (m.since > (r->any ? r->next - 1 : 0))
		return bad(r, r->any ? "a backup is missing before this one"
				     : "begins with an incremental backup");
	r->begun = true;
	r->partial = false;
	r->records = 0;
	r->previous = m.since;
	return RMQ_E_OK;
}

/* Deletes what an END says is dead. */
static enum rmq_error bury(struct restore *r, uint64_t index, struct slice payload)
{
	struct slice dead;
	enum rmq_error err = event_dead_ranges(payload, &dead);
	struct reader ranges = reader_of(dead);
	while (!err && reader_left(&ranges) > 0) {
		struct hole_range h = hole_range_get(&ranges);
		uint64_t first = h.first;
		unsigned deleted;
		if (first >= index || h.count > index - first)
			return RMQ_E_CORRUPT;
		err = store_delete(r->store, &first, first + h.count, UINT32_MAX, &deleted);
	}
	return err;
}

static enum rmq_error put_record(
    struct restore *r, const struct record_header *h, struct slice payload)
{
	uint8_t *to;
	enum rmq_error err = store_reserve(r->store, h, payload.len, &to);
	if (err)
		return store_failed(r, err);
	memcpy(to, payload.data, payload.len);
	err = store_seal(r->store);
	if (err)
		return store_failed(r, err);
	if (h->kind == RECORD_END && bury(r, h->index, payload))
		return bad(r, "holds an END that cannot be read");
	r->in_commit += payload.len + RECORD_HEADER_SIZE;
	if (r->in_commit < COMMIT_BYTES)
		return RMQ_E_OK;
	r->in_commit = 0;
	err = store_commit(r->store);
	if (!err)
		err = store_begin(r->store);
	return err ? store_failed(r, err) : RMQ_E_OK;
}

/* Wall clock of a record, 0 if it has none. */
static uint64_t time_of(const struct record_header *h, struct slice payload)
{
	struct events_header times;
	struct event_iter it;
	if (h->kind == RECORD_RESTORED && payload.len >= 8)
		return load_u64(payload.data);
	if (h->kind != RECORD_EVENTS && h->kind != RECORD_PART && h->kind != RECORD_END)
		return 0;
	return events_open(payload, &times, &it) ? 0 : times.wall.ms;
}

/* Whether the first part of each group is there. */
static bool is_whole(struct restore *r, struct slice payload)
{
	struct events_header times;
	struct event_iter it;
	struct event e;
	struct event_end_parts m;
	enum rmq_error err = events_open(payload, &times, &it);
	while (!err && (err = event_next(&it, &e)) == RMQ_E_OK) {
		if (e.type != EVENT_TYPE_END_PARTS)
			continue;
		if (!event_end_parts_decode(e.body, &m))
			return false;
		struct reader parts = reader_of(m.parts);
		while (reader_left(&parts) >= 8) {
			struct slice ignored;
			uint64_t index = get_u64(&parts);
			if (index > 0 && store_raw(r->store, index, &ignored))
				return false;
		}
	}
	return err == RMQ_E_NOTHING;
}

/* What is not stored, and is no loss. */
static enum rmq_error leave_out(struct restore *r, uint64_t first, uint64_t count)
{
	return known_holes_add(&r->known, first, count)
		   ? RMQ_E_OK
		   : reason_set(r->why, RMQ_E_IO, "out of memory");
}

static enum rmq_error take_record(struct restore *r, struct slice value)
{
	struct record_header h;
	struct slice payload;
	if (value.len < RECORD_HEADER_SIZE)
		return bad(r, "backup is garbled");
	uint64_t index = load_u64(value.data + 8);
	enum rmq_error err = record_open(value, index, &h, &payload);
	if (err == RMQ_E_VERSION)
		return name_record(r->why, err, index);
	if (err || h.index <= r->previous || h.index > NUMBER_MAX)
		return bad(r, "backup is garbled");
	r->previous = h.index;
	r->records++;
	/* Backups may overlap. */
	if (h.index <= r->seen)
		return RMQ_E_OK;
	r->seen = h.index;
	uint64_t time_ms = time_of(&h, payload);
	if (r->cut == 0 && time_ms > r->until.ms)
		r->cut = h.index;
	if (r->cut > 0)
		return RMQ_E_OK;
	r->seen_ms = time_ms ? time_ms : r->seen_ms;
	/* One node alone has no cluster: it becomes a hole. */
	if (h.kind == RECORD_CONFIG)
		return leave_out(r, h.index, 1);
	if (h.kind == RECORD_END && r->until.ms != UINT64_MAX && !is_whole(r, payload))
		return leave_out(r, h.index, 1);
	if (h.term < r->boundary_term || h.term > NUMBER_MAX || h.index < r->boundary_index)
		return bad(r, "backup is garbled");
	if (h.term > r->boundary_term) {
		r->boundary_term = h.term;
		r->boundary_index = h.index;
	}
	return put_record(r, &h, payload);
}

static enum rmq_error take_term(struct restore *r, struct slice payload)
{
	struct backup_term m;
	if (!backup_term_decode(payload, &m) || m.index > NUMBER_MAX || m.term > NUMBER_MAX)
		return bad(r, "backup is garbled");
	if ((m.term <= r->boundary_term && m.index <= r->boundary_index) || r->cut > 0)
		return RMQ_E_OK;
	if (m.term <= r->boundary_term || m.index <= r->boundary_index)
		return bad(r, "backup is garbled");
	if (m.index < store_state(r->store)->next)
		return bad(
		    r, "the log was truncated between these backups: a full one is needed");
	r->boundary_term = m.term;
	r->boundary_index = m.index;
	enum rmq_error err = store_put_term(r->store, m.index, m.term);
	return err ? store_failed(r, err) : RMQ_E_OK;
}

static enum rmq_error take_partial(struct restore *r, struct slice payload)
{
	struct backup_partial m;
	if (!backup_partial_decode(payload, &m))
		return bad(r, "backup is garbled");
	r->partial = true;
	return RMQ_E_OK;
}

static enum rmq_error take_end(struct restore *r, struct slice payload)
{
	struct backup_end m;
	if (!backup_end_decode(payload, &m) || m.records != r->records || m.next > NUMBER_MAX ||
	    m.term > NUMBER_MAX || m.checksum != XXH3_64bits_digest(r->hash))
		return bad(r, "backup is garbled");
	r->term = larger(r->term, m.term);
	r->next = larger(r->next, m.next);
	r->any = true;
	r->begun = false;
	XXH3_64bits_reset(r->hash);
	return RMQ_E_OK;
}

static enum rmq_error take_frame(struct restore *r, const struct frame *f, const uint8_t *bytes)
{
	enum rmq_error err;
	if (r->begun != (f->type != BACKUP_TYPE_HEADER))
		return bad(r, r->begun ? "a backup is truncated" : "is not a backup");
	switch (f->type) {
	case BACKUP_TYPE_HEADER:
		err = take_header(r, f->payload);
		break;
	case BACKUP_TYPE_RECORD:
		err = take_record(r, f->payload);
		break;
	case BACKUP_TYPE_TERM:
		err = take_term(r, f->payload);
		break;
	case BACKUP_TYPE_PARTIAL:
		err = take_partial(r, f->payload);
		break;
	case BACKUP_TYPE_END:
		return take_end(r, f->payload);
	default:
		return bad(r, "backup is garbled");
	}
	XXH3_64bits_update(r->hash, bytes, FRAME_HEADER_SIZE + f->payload.len);
	return err;
}

/* ---- input ---- */

static enum rmq_error read_more(struct restore *r, bool *eof)
{
	memmove(r->in, r->in + r->begin, r->end - r->begin);
	r->end -= r->begin;
	r->begin = 0;
	ssize_t n = io_read(STDIN_FILENO, r->in + r->end, IN_SIZE - r->end);
	if (n < 0)
		return reason_set(r->why, RMQ_E_IO, "standard input: %s", strerror(errno));
	r->end += (size_t)n;
	*eof = n == 0;
	return RMQ_E_OK;
}

static enum rmq_error read_backups(struct restore *r)
{
	bool eof = false;
	enum rmq_error err = RMQ_E_OK;
	while (!err) {
		struct frame f;
		size_t used;
		const uint8_t *at = r->in + r->begin;
		if (frame_parse(slice_of(at, r->end - r->begin), &f, &used))
			return bad(r, r->begun ? "backup is garbled" : "is not a backup");
		if (used > 0) {
			r->begin += used;
			err = take_frame(r, &f, at);
			continue;
		}
		if (eof && (r->begun || r->end > r->begin))
			return bad(
			    r, r->any || r->begun ? "backup is truncated" : "is not a backup");
		if (eof && r->partial && !r->force)
			return bad(r, "backup is of a node whose log was not complete: "
				      "take another node's, or use --force");
		if (eof)
			return r->any ? RMQ_E_OK : bad(r, "backup is empty");
		err = read_more(r, &eof);
	}
	return err;
}

/* The last record: whoever opens this directory knows that time was lost. */
static enum rmq_error finish(struct restore *r)
{
	uint8_t *payload;
	const struct store_state *state = store_state(r->store);
	/* A directory that was never opened has no term yet, but a record has one. */
	uint64_t term = larger(larger(larger(r->term, state->term), r->boundary_term), 1);
	uint64_t next = larger(larger(r->next, state->next), r->boundary_index);
	struct record_header h = {RECORD_RESTORED, next, term};
	enum rmq_error err = RMQ_E_OK;
	if (r->until.ms != UINT64_MAX && state->records == 0)
		return bad(r, "there is nothing of that time in the backup: take an older one");
	/* But before the cut each one that is missing may be missed. */
	uint64_t first = r->cut ? r->cut : state->next;
	if (next > first)
		err = leave_out(r, first, next - first);
	if (err)
		return err;
	err = store_reserve(r->store, &h, 8, &payload);
	if (!err) {
		store_u64(payload, clock_wall().ms);
		err = store_seal(r->store);
	}
	if (!err)
		err = store_commit(r->store);
	return err ? store_failed(r, err) : RMQ_E_OK;
}

/* What is wanted, and what has become of it. */
struct wanted {
	bool force;
	struct wall_time until;
	bool partial;
	uint64_t last_ms;
	struct known_holes known;
};

static enum rmq_error fill(const char *dir, struct wanted *w, struct reason *why)
{
	struct restore *r = calloc(1, sizeof(*r));
	XXH3_state_t *hash = XXH3_createState();
	enum rmq_error err = r && hash ? RMQ_E_OK : reason_set(why, RMQ_E_IO, "out of memory");
	if (!err)
		err = store_open(dir, &r->store, why);
	if (!err) {
		r->why = why;
		r->force = w->force;
		r->until = w->until;
		r->hash = hash;
		XXH3_64bits_reset(hash);
		err = store_begin(r->store);
		err = err ? store_failed(r, err) : read_backups(r);
		if (!err)
			err = finish(r);
		w->partial = r->partial;
		w->known = r->known;
		w->last_ms = r->seen_ms;
		store_close(r->store);
	}
	XXH3_freeState(hash);
	free(r);
	return err;
}

/* ---- the directory ---- */

static void remove_new(const char *dir)
{
	static const char *const names[] = {
	    "data.mdb", "lock.mdb", IDENTITY_FILE, IDENTITY_NEW_FILE};
	char path[4096];
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (snprintf(path, sizeof(path), "%s/%s", dir, names[i]) < (int)sizeof(path))
			unlink(path);
	rmdir(dir);
}

/*
 * Whether dir may become one, and whether it is there: then it stays, as it may be a mount point
 * or belong to somebody else.  It may hold what an attempt that was killed has left.
 */
static enum rmq_error check_target(const char *dir, bool *there, struct reason *why)
{
	static const char *const fresh[] = {NULL};
	static const char *const unfinished[] = {INSIDE, "data.mdb", NULL};
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	*there = fd >= 0;
	if (fd < 0 && errno == ENOENT)
		return RMQ_E_OK;
	if (fd < 0 && errno == ENOTDIR)
		return reason_set(why, RMQ_E_EXISTS, "is not a directory");
	if (fd < 0)
		return reason_set(
		    why, errno == EACCES ? RMQ_E_DENIED : RMQ_E_IO, "%s", strerror(errno));
	bool again = faccessat(fd, INSIDE, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
	enum rmq_error err = empty_dir_check(fd, again ? unfinished : fresh, why);
	close(fd);
	return err;
}

static enum rmq_error sync_parent(const char *dir, struct reason *why)
{
	char path[4096];
	snprintf(path, sizeof(path), "%s/..", dir);
	FILE *parent = fopen(path, "r");
	bool good = parent && fsync(fileno(parent)) == 0;
	if (!good)
		reason_set(why, RMQ_E_IO, "fsync: %s", strerror(errno));
	if (parent)
		fclose(parent);
	return good ? RMQ_E_OK : RMQ_E_IO;
}

/* The files go to a directory that is there, and to its owner; the one that makes it valid last. */
static enum rmq_error move_into(const char *made, const char *dir, struct reason *why)
{
	static const char *const names[] = {"data.mdb", IDENTITY_FILE};
	enum rmq_error err = RMQ_E_OK;
	struct stat owner;
	int from = open(made, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int to = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	bool good = from >= 0 && to >= 0 && fstat(to, &owner) == 0;
	for (size_t i = 0; good && i < sizeof(names) / sizeof(names[0]); i++)
		good = (geteuid() != 0 || fchownat(from, names[i], owner.st_uid, owner.st_gid,
					      AT_SYMLINK_NOFOLLOW) == 0) &&
		       renameat(from, names[i], to, names[i]) == 0 && fsync(to) == 0;
	if (!good)
		err = reason_set(why, RMQ_E_IO, "%s: %s", made, strerror(errno));
	if (from >= 0)
		close(from);
	if (to >= 0)
		close(to);
	return err;
}

static enum rmq_error move_to(const char *made, const char *dir, struct reason *why)
{
	if (rename(made, dir) != 0)
		return reason_set(why, errno == ENOTEMPTY ? RMQ_E_EXISTS : RMQ_E_IO,
		    "rename: %s", strerror(errno));
	return sync_parent(dir, why);
}

static enum rmq_error mend_made(const char *made, const struct wanted *w, struct reason *why)
{
	if (w->until.ms != UINT64_MAX)
		return mend_cut(made, &w->known, w->force, why);
	return w->partial ? mend_holes(made, why) : RMQ_E_OK;
}

static enum rmq_error restore(const char *dir, struct wanted *w, struct reason *why)
{
	char made[4096];
	bool there;
	size_t len = strlen(dir);
	enum rmq_error err = check_target(dir, &there, why);
	if (!err)
		err = recovery_clock(clock_wall(), why->text);
	if (err)
		return err;
	while (len > 1 && dir[len - 1] == '/')
		len--;
	if (snprintf(made, sizeof(made), there ? "%.*s/" INSIDE : "%.*s.restoring", (int)len,
		dir) >= (int)sizeof(made))
		return reason_set(why, RMQ_E_USAGE, "name is too long");
	remove_new(made); /* of an attempt that was killed */
	err = store_create(made, why);
	if (err)
		return err;
	err = fill(made, w, why);
	if (!err)
		err = mend_made(made, w, why);
	free(w->known.ranges);
	if (!err)
		err = there ? move_into(made, dir, why) : move_to(made, dir, why);
	if (err || there)
		remove_new(made);
	return err;
}

enum { OPTION_FORCE = OPTION_LONG, OPTION_UNTIL };

static bool set_option(int letter, const char *value, void *state)
{
	struct wanted *w = state;
	if (letter == OPTION_UNTIL) {
		bool ok = units_time(value, &w->until) && w->until.ms != UINT64_MAX;
		if (!ok)
			log_error("replay: --until: '%s' is not a time: @SECONDS, or as "
				  "2026-11-23T13:18:16Z",
			    value);
		return ok;
	}
	return w->force = true;
}

const struct option_row restore_rows[] = {
    {OPTION_FORCE, "force", NULL, NULL, NULL, "though the log of the backup is not complete"},
    {0}};

const struct option_row replay_rows[] = {
    {OPTION_UNTIL, "until", "TIME", NULL, NULL, "@SECONDS, or as RFC 3339 has it"},
    {OPTION_FORCE, "force", NULL, NULL, NULL, "though the log of the backup is not complete"},
    {0}};

int command_restore(int argc, char **argv)
{
	struct wanted w = {.until = {UINT64_MAX}};
	struct reason why = {""};
	int status;
	char **words = command_words(argc, argv, "restore", set_option, &w, 1, &status);
	if (!words)
		return status;
	enum rmq_error err = restore(words[0], &w, &why);
	return err ? report(words[0], err, &why) : 0;
}

int command_replay(int argc, char **argv)
{
	struct wanted w = {.until = {UINT64_MAX}};
	struct reason why = {""};
	char text[UNITS_TEXT_MAX];
	int status;
	char **words = command_words(argc, argv, "replay", set_option, &w, 1, &status);
	if (!words)
		return status;
	if (w.until.ms == UINT64_MAX) {
		log_error("replay: --until TIME is missing: restore makes all of a backup");
		return error_exit(RMQ_E_USAGE);
	}
	enum rmq_error err = restore(words[0], &w, &why);
	if (err)
		return report(words[0], err, &why);
	units_print_time(text, (struct wall_time){w.last_ms});
	log_notice("%s: as of %s", words[0], text);
	return 0;
}
