#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sys/store/store_env.h"

/*
 * Which records' checksums were right: by the low bits of the index, the last one that
 * was looked at.  A record never changes once it is written.
 */
#define VERIFIED_SLOTS 4096

struct store_reader {
	struct store_env env;
	char *dir;
	MDB_txn *txn; /* kept for the next begin */
	MDB_cursor *cursor;
	bool begun;
	struct record_header last; /* found last since begin; index 0: none */
	struct slice last_payload;
	uint64_t verified[VERIFIED_SLOTS];
};

enum rmq_error store_reader_open(
    const char *dir, struct store_reader **reader, struct reason *why)
{
	int dir_fd;
	struct identity id;
	enum rmq_error err = store_env_dir(dir, &dir_fd, why);
	if (err)
		return err;
	struct store_reader *r = calloc(1, sizeof(*r));
	if (!r || !(r->dir = strdup(dir)))
		err = reason_set(why, RMQ_E_IO, "out of memory");
	if (!err)
		err = store_env_identity(dir_fd, false, &id, NULL, why);
	if (!err)
		err = store_env_open(&r->env, dir, dir_fd, MDB_RDONLY, &id, why);
	close(dir_fd);
	if (err) {
		if (r)
			free(r->dir);
		free(r);
		return err;
	}
	*reader = r;
	return RMQ_E_OK;
}

static void forget_txn(struct store_reader *r)
{
	if (r->cursor)
		mdb_cursor_close(r->cursor);
	if (r->txn)
		mdb_txn_abort(r->txn);
	r->cursor = NULL;
	r->txn = NULL;
}

void store_reader_close(struct store_reader *r)
{
	if (!r)
		return;
	forget_txn(r);
	store_env_close(&r->env);
	free(r->dir);
	free(r);
}

/* It never writes into the data file, whose name may come to be another file's. */
void store_reader_paths(const char *dir, struct sandbox *s)
{
	char lock[PATH_MAX];

	sandbox_path(s, SANDBOX_READ, dir);
	if (snprintf(lock, sizeof(lock), "%s/" STORE_LOCK_FILE, dir) < (int)sizeof(lock))
		sandbox_path(s, SANDBOX_WRITE, lock);
}

static int first_begin(struct store_reader *r)
{
	int rc = mdb_txn_begin(r->env.env, NULL, MDB_RDONLY, &r->txn);
	if (rc) {
		r->txn = NULL;
		return rc;
	}
	rc = mdb_cursor_open(r->txn, r->env.log, &r->cursor);
	if (rc) {
		mdb_txn_abort(r->txn);
		r->txn = NULL;
		r->cursor = NULL;
	}
	return rc;
}

static int begin(struct store_reader *r)
{
	if (!r->txn)
		return first_begin(r);
	int rc = mdb_txn_renew(r->txn);
	return rc ? rc : mdb_cursor_renew(r->txn, r->cursor);
}

/*
 * Whether something was committed that is not in our file: a compaction has put another one in
 * its place, see store_compact.c.  Also if our file has more than the one transaction that is being
 * committed now: when an owner has died within a commit, LMDB sets the number back to the new file's.
 */
static bool is_behind(const struct store_reader *r)
{
	MDB_envinfo info;
	uint64_t newest = mdb_txn_id(r->txn);
	return mdb_env_info(r->env.env, &info) == 0 &&
	       (newest > info.me_last_txnid || newest + 1 < info.me_last_txnid);
}

enum rmq_error store_reader_follow(struct store_reader *r)
{
	struct stat st, named;
	mdb_filehandle_t fd;
	int dir_fd;
	enum rmq_error err = store_env_dir(r->dir, &dir_fd, NULL);
	if (err)
		return err;
	bool open = r->env.env && !mdb_env_get_fd(r->env.env, &fd) && fstat(fd, &st) == 0;
	if (open && fstatat(dir_fd, STORE_DATA_FILE, &named, AT_SYMLINK_NOFOLLOW) != 0)
		err = RMQ_E_IO;
	if (!err && !(open && st.st_dev == named.st_dev && st.st_ino == named.st_ino)) {
		struct identity id = r->env.identity;
		forget_txn(r);
		store_env_close(&r->env);
		memset(r->verified, 0, sizeof(r->verified));
		err = store_env_open(&r->env, r->dir, dir_fd, MDB_RDONLY, &id, NULL);
	}
	close(dir_fd);
	return err;
}

enum rmq_error store_reader_begin(struct store_reader *r)
{
	/* It is not, if one could not be followed. */
	enum rmq_error err = r->env.env ? store_env_error(begin(r)) : store_reader_follow(r);
	if (!err && r->txn && !is_behind(r)) {
		r->last.index = 0;
		r->begun = true;
		return RMQ_E_OK;
	}
	if (r->txn)
		mdb_txn_reset(r->txn);
	if (!err)
		err = store_reader_follow(r);
	if (!err)
		err = store_env_error(begin(r));
	r->last.index = 0;
	r->begun = !err;
	return err;
}

void store_reader_end(struct store_reader *r)
{
	if (r->begun)
		mdb_txn_reset(r->txn);
	r->begun = false;
}

static enum rmq_error open_record(struct store_reader *r, uint64_t index, const MDB_val *value,
    struct record_header *h, struct slice *payload)
{
	struct slice bytes = slice_of(value->mv_data, value->mv_size);
	uint64_t *verified = &r->verified[index % VERIFIED_SLOTS];
	if (*verified == index)
		return record_peek(bytes, index, h, payload);
	enum rmq_error err = record_open(bytes, index, h, payload);
	if (!err)
		*verified = index;
	return err;
}

enum rmq_error store_reader_get(
    struct store_reader *r, uint64_t index, struct record_header *h, struct slice *payload)
{
	uint8_t key_bytes[STORE_KEY_SIZE];
	MDB_val key = {STORE_KEY_SIZE, key_bytes};
	MDB_val value;
	if (r->last.index != index || index == 0) {
		store_env_key(key_bytes, index);
		h->index = 0;
		int rc = mdb_get(r->txn, r->env.log, &key, &value);
		if (rc)
			return store_env_error(rc);
		enum rmq_error err = open_record(r, index, &value, h, payload);
		if (err) {
			h->index = index;
			return err;
		}
		r->last = *h;
		r->last_payload = *payload;
	}
	*h = r->last;
	*payload = r->last_payload;
	return RMQ_E_OK;
}

static enum rmq_error seek_with(
    MDB_cursor *cursor, uint64_t from, uint64_t *index, MDB_val *value)
{
	uint8_t key_bytes[STORE_KEY_SIZE];
	MDB_val key = {STORE_KEY_SIZE, key_bytes};
	store_env_key(key_bytes, from);
	int rc = mdb_cursor_get(cursor, &key, value, MDB_SET_RANGE);
	if (rc)
		return store_env_error(rc);
	return store_env_index(&key, index) && *index >= from ? RMQ_E_OK : RMQ_E_CORRUPT;
}

/* The first entry at `from` or after it of a database that is not looked at often. */
static enum rmq_error seek(
    struct store_reader *r, MDB_dbi database, uint64_t from, uint64_t *index, MDB_val *value)
{
	MDB_cursor *cursor;
	int rc = mdb_cursor_open(r->txn, database, &cursor);
	if (rc)
		return store_env_error(rc);
	enum rmq_error err = seek_with(cursor, from, index, value);
	mdb_cursor_close(cursor);
	return err;
}

enum rmq_error store_reader_next(
    struct store_reader *r, uint64_t from, struct record_header *h, struct slice *payload)
{
	uint64_t index;
	MDB_val value;
	enum rmq_error err = seek_with(r->cursor, from, &index, &value);
	if (err) {
		h->index = 0;
		return err;
	}
	err = open_record(r, index, &value, h, payload);
	if (err)
		h->index = index;
	return err;
}

enum rmq_error store_reader_raw(
    struct store_reader *r, uint64_t from, uint64_t *index, struct slice *value)
{
	MDB_val found;
	enum rmq_error err = seek_with(r->cursor, from, index, &found);
	if (!err)
		*value = slice_of(found.mv_data, found.mv_size);
	return err;
}

enum rmq_error store_reader_state(struct store_reader *r, struct store_state *state)
{
	return store_env_state(&r->env, r->txn, state);
}

enum rmq_error store_reader_term(
    struct store_reader *r, uint64_t from, uint64_t *index, uint64_t *term)
{
	MDB_val value;
	enum rmq_error err = seek(r, r->env.terms, from, index, &value);
	if (err)
		return err;
	if (value.mv_size != sizeof(*term))
		return RMQ_E_CORRUPT;
	*term = load_u64(value.mv_data);
	return RMQ_E_OK;
}

enum rmq_error store_reader_term_at(
    struct store_reader *r, uint64_t index, uint64_t *term, uint64_t *end)
{
	int rc = store_env_term(&r->env, r->txn, index, term, end);

	return rc ? store_env_error(rc) : RMQ_E_OK;
}

enum rmq_error store_reader_replica(struct store_reader *r, struct store_replica *replica)
{
	return store_env_replica(&r->env, r->txn, replica);
}

enum rmq_error store_reader_ended(struct store_reader *r, enum raft_how *how)
{
	return store_env_ended(&r->env, r->txn, how);
}

static enum rmq_error next_marked(struct store_reader *r, enum record_kind kind, uint64_t from,
    struct record_header *h, struct slice *payload)
{
	uint64_t index = from;
	MDB_val value;
	h->index = 0;
	if (!r->env.has_marks)
		return RMQ_E_NOTHING;
	for (;; index++) {
		enum rmq_error err = seek(r, r->env.marks, index, &index, &value);
		if (err)
			return err;
		if (value.mv_size != 1)
			return RMQ_E_CORRUPT;
		if (*(const uint8_t *)value.mv_data == kind)
			break;
	}
	enum rmq_error err = store_reader_get(r, index, h, payload);
	if (err)
		h->index = index;
	return err == RMQ_E_NOTHING || (!err && h->kind != kind) ? RMQ_E_CORRUPT : err;
}

enum rmq_error store_reader_config(
    struct store_reader *r, uint64_t from, struct record_header *h, struct slice *payload)
{
	return next_marked(r, RECORD_CONFIG, from, h, payload);
}

enum rmq_error store_reader_checkpoint(
    struct store_reader *r, uint64_t from, struct record_header *h, struct slice *payload)
{
	return next_marked(r, RECORD_END, from, h, payload);
}

enum rmq_error store_reader_marked(struct store_reader *r, uint64_t index, unsigned *kind)
{
	uint64_t found = 0;
	MDB_val value;
	enum rmq_error err =
	    r->env.has_marks ? seek(r, r->env.marks, index, &found, &value) : RMQ_E_NOTHING;

	if (err && err != RMQ_E_NOTHING)
		return err;
	bool there = !err && found == index;
	if (there && value.mv_size != 1)
		return RMQ_E_CORRUPT;
	*kind = there ? *(const uint8_t *)value.mv_data : 0;
	return RMQ_E_OK;
}

enum rmq_error store_reader_pages(struct store_reader *r, struct store_pages *pages)
{
	return store_env_pages(&r->env, r->txn, pages);
}

const struct identity *store_reader_identity(const struct store_reader *r)
{
	return &r->env.identity;
}
