#include "sys/store/store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "sys/store/empty_dir.h"
#include "sys/store/store_env.h"

#define ZEROS_BYTES ((size_t)1 << 20)

/* In front of a value that LMDB puts on pages of its own. */
#define OVERFLOW_HEADER 16
/* Around a record and its key in a page that others share: more than it is. */
#define NODE_OVERHEAD 32

struct store {
	struct store_env env;
	struct store_state state;
	struct store_replica replica;
	struct reason why;
	char *dir;
	int dir_fd;
	int identity_fd;   /* holds the lock */
	int data_fd;	   /* for pre-writing; locked while a commit is open */
	unsigned switches; /* to another data file */
	uint64_t file_bytes;
	uint64_t map_bytes; /* no page beyond it can be used */
	uint64_t last_page;
	uint64_t boundary_term; /* of the newest term boundary; 0: none */
	uint8_t *zeros;
	/* of the commit */
	MDB_txn *txn;
	MDB_cursor *cursor;
	bool changed;
	/* of the record that is not sealed yet */
	uint8_t *record;
	size_t payload_len;
	struct record_header header;
};

/* A full disk cuts a write short first, which LMDB calls an input/output error. */
static bool is_full(const struct store *s)
{
	struct statvfs fs;

	return fstatvfs(s->data_fd, &fs) == 0 && fs.f_bavail == 0;
}

static enum rmq_error fail(struct store *s, const char *what, int rc)
{
	if (rc == EIO && is_full(s))
		rc = ENOSPC;
	enum rmq_error err = store_env_error(rc);
	if (err == RMQ_E_NOTHING)
		err = RMQ_E_CORRUPT;
	return reason_set(&s->why, err, "%s: %s", what, mdb_strerror(rc));
}

const struct reason *store_reason(const struct store *s)
{
	return &s->why;
}

const struct store_state *store_state(const struct store *s)
{
	return &s->state;
}

const struct store_replica *store_replica(const struct store *s)
{
	return &s->replica;
}

uint64_t store_last_term(const struct store *s)
{
	return s->boundary_term;
}

const struct identity *store_identity(const struct store *s)
{
	return &s->env.identity;
}

/* ---- making and opening ---- */

/* Makes it if need be; *made says so. */
static enum rmq_error open_new_dir(const char *dir, int *dir_fd, bool *made, struct reason *why)
{
	*made = mkdir(dir, 0700) == 0;
	if (!*made && errno != EEXIST)
		return reason_set(why, errno == EACCES ? RMQ_E_DENIED : RMQ_E_IO,
		    errno == ENOENT ? "mkdir: %s: make its parent first" : "mkdir: %s",
		    strerror(errno));
	return store_env_dir(dir, dir_fd, why);
}

static enum rmq_error make_files(
    const char *dir, int dir_fd, int identity_fd, struct reason *why)
{
	struct store_env env;
	struct identity id;
	/* Nothing was ever acknowledged from an attempt that did not finish. */
	unlinkat(dir_fd, STORE_DATA_FILE, 0);
	unlinkat(dir_fd, STORE_LOCK_FILE, 0);
	if (identity_make(&id))
		return reason_set(why, RMQ_E_IO, "no random numbers: %s", strerror(errno));
	enum rmq_error err = store_env_open(&env, dir, dir_fd, MDB_CREATE, &id, why);
	if (err)
		return err;
	store_env_close(&env);
	err = identity_finish(dir_fd, identity_fd, &id, why);
	if (err)
		return err;
	int parent = openat(dir_fd, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (parent >= 0 && fsync(parent) != 0)
		err = reason_set(why, RMQ_E_IO, "fsync: %s", strerror(errno));
	if (parent >= 0)
		close(parent);
	return err;
}

/* identity_fd holds the lock: there was no identity, and what is removed is ours. */
static enum rmq_error fill_new_dir(
    const char *dir, int dir_fd, bool again, int identity_fd, struct reason *why)
{
	static const char *const fresh[] = {IDENTITY_NEW_FILE, NULL};
	static const char *const unfinished[] = {
	    IDENTITY_NEW_FILE, STORE_DATA_FILE, STORE_LOCK_FILE, NULL};
	enum rmq_error err = empty_dir_check(dir_fd, again ? unfinished : fresh, why);
	if (!err) {
		err = make_files(dir, dir_fd, identity_fd, why);
		if (!err)
			return RMQ_E_OK;
		unlinkat(dir_fd, IDENTITY_FILE, 0);
		unlinkat(dir_fd, STORE_DATA_FILE, 0);
		unlinkat(dir_fd, STORE_LOCK_FILE, 0);
	}
	if (!again)
		unlinkat(dir_fd, IDENTITY_NEW_FILE, 0);
	return err;
}

enum rmq_error store_create(const char *dir, struct reason *why)
{
	int dir_fd, identity_fd;
	bool made, again;
	enum rmq_error err = open_new_dir(dir, &dir_fd, &made, why);
	if (err)
		return err;
	err = identity_begin(dir_fd, &identity_fd, &again, why);
	if (!err) {
		err = fill_new_dir(dir, dir_fd, again, identity_fd, why);
		close(identity_fd);
	}
	close(dir_fd);
	if (err && made)
		rmdir(dir); /* unless another process makes it */
	return err;
}

/* What a compaction has left that was killed. */
static void remove_new_file(const struct store *s)
{
	struct stat st, named;
	int fd = openat(s->dir_fd, STORE_NEW_FILE, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return;
	if (flock(fd, LOCK_EX | LOCK_NB) == 0 && fstat(fd, &st) == 0 &&
	    fstatat(s->dir_fd, STORE_NEW_FILE, &named, AT_SYMLINK_NOFOLLOW) == 0 &&
	    st.st_ino == named.st_ino)
		unlinkat(s->dir_fd, STORE_NEW_FILE, 0);
	close(fd);
}

/* Sets boundary_term. */
static int newest_boundary(struct store *s, MDB_txn *txn)
{
	MDB_cursor *cursor;
	MDB_val key, value;
	int rc = mdb_cursor_open(txn, s->env.terms, &cursor);
	if (rc)
		return rc;
	s->boundary_term = 0;
	rc = mdb_cursor_get(cursor, &key, &value, MDB_LAST);
	if (!rc && value.mv_size == sizeof(uint64_t))
		s->boundary_term = load_u64(value.mv_data);
	mdb_cursor_close(cursor);
	return rc == MDB_NOTFOUND ? 0 : rc;
}

static enum rmq_error read_state(struct store *s)
{
	MDB_txn *txn;
	MDB_cursor *cursor;
	MDB_val key, value;
	int rc = mdb_txn_begin(s->env.env, NULL, MDB_RDONLY, &txn);
	if (rc)
		return fail(s, "data.mdb", rc);
	enum rmq_error err = store_env_state(&s->env, txn, &s->state);
	if (!err)
		err = store_env_replica(&s->env, txn, &s->replica);
	rc = mdb_cursor_open(txn, s->env.log, &cursor);
	if (!err && !rc) {
		uint64_t last = 0;
		rc = mdb_cursor_get(cursor, &key, &value, MDB_LAST);
		if (!rc && (!store_env_index(&key, &last) || last >= s->state.next))
			err = RMQ_E_CORRUPT;
		mdb_cursor_close(cursor);
	}
	if (!err && (!rc || rc == MDB_NOTFOUND))
		rc = newest_boundary(s, txn);
	mdb_txn_abort(txn);
	if (err)
		return reason_set(&s->why, err, "data.mdb is garbled");
	return rc ? fail(s, "data.mdb", rc) : RMQ_E_OK;
}

static enum rmq_error replaced(struct store *s)
{
	return reason_set(&s->why, RMQ_E_IO, "data.mdb was removed or replaced while in use");
}

/*
 * How far LMDB's pages go, and the file.  What is written to a file without a name is lost when
 * we end: the name must still lead to it.
 */
static enum rmq_error measure(struct store *s)
{
	MDB_envinfo info;
	struct stat st, named;
	if (fstat(s->data_fd, &st) != 0 || mdb_env_info(s->env.env, &info))
		return reason_set(&s->why, RMQ_E_IO, "data.mdb: %s", strerror(errno));
	if (fstatat(s->dir_fd, STORE_DATA_FILE, &named, AT_SYMLINK_NOFOLLOW) != 0 ||
	    named.st_dev != st.st_dev || named.st_ino != st.st_ino)
		return replaced(s);
	s->last_page = info.me_last_pgno;
	s->map_bytes = info.me_mapsize;
	s->file_bytes = (uint64_t)st.st_size;
	return RMQ_E_OK;
}

/* Whether data.mdb is another file now; if so, the one that is open is ours no more. */
static enum rmq_error look_at_name(struct store *s, bool *other)
{
	struct stat st, named;
	if (fstat(s->data_fd, &st) != 0)
		return reason_set(&s->why, RMQ_E_IO, "data.mdb: %s", strerror(errno));
	if (fstatat(s->dir_fd, STORE_DATA_FILE, &named, AT_SYMLINK_NOFOLLOW) != 0)
		return replaced(s);
	*other = named.st_dev != st.st_dev || named.st_ino != st.st_ino;
	return RMQ_E_OK;
}

/* As long as it is locked, and has the name, no compaction puts another file in its place. */
static enum rmq_error lock_file(struct store *s, bool *other)
{
	while (flock(s->data_fd, LOCK_EX) != 0)
		if (errno != EINTR)
			return reason_set(
			    &s->why, RMQ_E_IO, "data.mdb: flock: %s", strerror(errno));
	return look_at_name(s, other);
}

/*
 * It is locked on return, and before LMDB opens it, which it does twice and by its name: else what
 * we write could go to a file that a compaction replaces meanwhile, or half of it.  One that was
 * killed has not made the name durable.
 */
static enum rmq_error open_data(struct store *s, const struct identity *id)
{
	enum rmq_error err = RMQ_E_OK;
	int error = 0;
	for (bool other = true; !err && !error && other;) {
		if (s->data_fd >= 0)
			close(s->data_fd);
		s->data_fd =
		    openat(s->dir_fd, STORE_DATA_FILE, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
		error = s->data_fd < 0 ? errno : 0;
		if (!error)
			err = lock_file(s, &other);
	}
	/* If it cannot be opened, this says more of why. */
	if (!err)
		err = store_env_open(&s->env, s->dir, s->dir_fd, 0, id, &s->why);
	if (!err && error)
		err = reason_set(&s->why, RMQ_E_IO, "data.mdb: %s", strerror(error));
	if (!err && fsync(s->dir_fd) != 0)
		err = reason_set(&s->why, RMQ_E_IO, "fsync: %s", strerror(errno));
	if (!err)
		err = read_state(s);
	return err ? err : measure(s);
}

static enum rmq_error open_in(struct store *s)
{
	struct identity id;
	enum rmq_error err = store_env_identity(s->dir_fd, true, &id, &s->identity_fd, &s->why);
	if (err)
		return err;
	remove_new_file(s);
	s->zeros = calloc(1, ZEROS_BYTES);
	if (!s->zeros)
		return reason_set(&s->why, RMQ_E_IO, "out of memory");
	err = open_data(s, &id);
	if (err)
		return err;
	(void)flock(s->data_fd, LOCK_UN);
	store_check_readers(s);
	return RMQ_E_OK;
}

enum rmq_error store_open(const char *dir, struct store **store, struct reason *why)
{
	int dir_fd;
	enum rmq_error err = store_env_dir(dir, &dir_fd, why);
	if (err)
		return err;
	struct store *s = calloc(1, sizeof(*s));
	if (!s) {
		close(dir_fd);
		return reason_set(why, RMQ_E_IO, "out of memory");
	}
	s->dir_fd = dir_fd;
	s->identity_fd = -1;
	s->data_fd = -1;
	s->dir = strdup(dir);
	err = s->dir ? open_in(s) : reason_set(&s->why, RMQ_E_IO, "out of memory");
	if (err) {
		if (why)
			*why = s->why;
		store_close(s);
		return err;
	}
	*store = s;
	return RMQ_E_OK;
}

static void forget_commit(struct store *s)
{
	if (s->cursor)
		mdb_cursor_close(s->cursor);
	if (s->txn)
		mdb_txn_abort(s->txn);
	s->cursor = NULL;
	if (s->txn && s->data_fd >= 0)
		(void)flock(s->data_fd, LOCK_UN);
	s->txn = NULL;
	s->record = NULL;
	s->changed = false;
}

void store_close(struct store *s)
{
	if (!s)
		return;
	forget_commit(s);
	store_env_close(&s->env);
	free(s->zeros);
	if (s->data_fd >= 0)
		close(s->data_fd);
	if (s->identity_fd >= 0)
		close(s->identity_fd);
	close(s->dir_fd);
	free(s->dir);
	free(s);
}

/* ---- a look at what is there ---- */

/* Within the commit if there is one. */
static int look(struct store *s, MDB_val *key, MDB_val *value, MDB_cursor_op op,
    void (*seen)(const MDB_val *, const MDB_val *, void *), void *out)
{
	MDB_txn *txn = s->txn;
	MDB_cursor *cursor;
	int rc = txn ? 0 : mdb_txn_begin(s->env.env, NULL, MDB_RDONLY, &txn);
	if (rc)
		return rc;
	rc = mdb_cursor_open(txn, s->env.log, &cursor);
	if (!rc) {
		rc = mdb_cursor_get(cursor, key, value, op);
		if (!rc)
			seen(key, value, out);
		mdb_cursor_close(cursor);
	}
	if (txn != s->txn)
		mdb_txn_abort(txn);
	return rc;
}

static void see_index(const MDB_val *key, const MDB_val *value, void *out)
{
	uint64_t *index = out;
	(void)value;
	if (!store_env_index(key, index))
		*index = 0;
}

static void see_kind(const MDB_val *key, const MDB_val *value, void *out)
{
	int *kind = out;
	(void)key;
	*kind = value->mv_size < RECORD_HEADER_SIZE ? 0 : ((const uint8_t *)value->mv_data)[1];
}

enum rmq_error store_first(struct store *s, uint64_t *index)
{
	MDB_val key, value;
	uint64_t found = 0;
	int rc = look(s, &key, &value, MDB_FIRST, see_index, &found);
	if (rc && rc != MDB_NOTFOUND)
		return fail(s, "data.mdb", rc);
	*index = found;
	return RMQ_E_OK;
}

enum rmq_error store_kind(struct store *s, uint64_t index, enum record_kind *kind)
{
	uint8_t key_bytes[STORE_KEY_SIZE];
	MDB_val key = {STORE_KEY_SIZE, key_bytes};
	MDB_val value;
	int found = 0;
	store_env_key(key_bytes, index);
	int rc = look(s, &key, &value, MDB_SET, see_kind, &found);
	if (rc == MDB_NOTFOUND)
		return RMQ_E_NOTHING;
	if (rc)
		return fail(s, "data.mdb", rc);
	if (!record_kind_name((unsigned)found))
		return reason_set(&s->why, RMQ_E_CORRUPT, "record %llu is garbled",
		    (unsigned long long)index);
	*kind = (enum record_kind)found;
	return RMQ_E_OK;
}

enum rmq_error store_raw(struct store *s, uint64_t index, struct slice *value)
{
	uint8_t key_bytes[STORE_KEY_SIZE];
	MDB_val key = {STORE_KEY_SIZE, key_bytes};
	MDB_val found;
	store_env_key(key_bytes, index);
	int rc = mdb_get(s->txn, s->env.log, &key, &found);
	if (rc == MDB_NOTFOUND)
		return RMQ_E_NOTHING;
	if (rc)
		return fail(s, "data.mdb", rc);
	*value = slice_of(found.mv_data, found.mv_size);
	return RMQ_E_OK;
}

enum rmq_error store_next(struct store *s, uint64_t from, uint64_t *index, struct slice *value)
{
	uint8_t key_bytes[STORE_KEY_SIZE];
	MDB_val key = {STORE_KEY_SIZE, key_bytes};
	MDB_val found;
	store_env_key(key_bytes, from);
	int rc = mdb_cursor_get(s->cursor, &key, &found, MDB_SET_RANGE);
	if (rc == MDB_NOTFOUND)
		return RMQ_E_NOTHING;
	if (rc)
		return fail(s, "data.mdb", rc);
	if (!store_env_index(&key, index))
		return reason_set(&s->why, RMQ_E_CORRUPT, "data.mdb is garbled");
	*value = slice_of(found.mv_data, found.mv_size);
	return RMQ_E_OK;
}

/* ---- commits ---- */

unsigned store_switches(const struct store *s)
{
	return s->switches;
}

bool store_begun(const struct store *s)
{
	return s->txn;
}

/*
 * A compaction has put another file in the place of ours, or somebody something.  If it holds
 * what ours does it is as good.  It is locked on return.
 */
static enum rmq_error switch_file(struct store *s)
{
	struct store_state state = s->state;
	struct store_replica replica = s->replica;
	struct identity id = s->env.identity;
	store_env_close(&s->env);
	enum rmq_error err = open_data(s, &id);
	if (err)
		return err;
	if (s->state.next != state.next || s->state.term != state.term ||
	    s->state.checkpoint != state.checkpoint || s->state.records != state.records ||
	    s->state.bytes != state.bytes || s->replica.present != replica.present ||
	    s->replica.commit != replica.commit ||
	    s->replica.cover_index != replica.cover_index ||
	    s->replica.cover_term != replica.cover_term ||
	    !raft_id_eq(s->replica.vote, replica.vote))
		return replaced(s);
	s->switches++;
	return RMQ_E_OK;
}

/* From now until it is unlocked no compaction switches files: what we commit stays. */
static enum rmq_error lock_data(struct store *s)
{
	bool other;
	enum rmq_error err = lock_file(s, &other);
	return err || !other ? err : switch_file(s);
}

enum rmq_error store_begin(struct store *s)
{
	enum rmq_error err = lock_data(s);
	if (err)
		return err;
	int rc = mdb_txn_begin(s->env.env, NULL, 0, &s->txn);
	if (rc) {
		s->txn = NULL;
		return fail(s, "data.mdb", rc);
	}
	rc = mdb_cursor_open(s->txn, s->env.log, &s->cursor);
	if (rc) {
		s->cursor = NULL;
		return fail(s, "data.mdb", rc);
	}
	return RMQ_E_OK;
}

enum rmq_error store_reserve(
    struct store *s, const struct record_header *h, size_t payload_len, uint8_t **payload)
{
	uint8_t key_bytes[STORE_KEY_SIZE];
	MDB_val key = {STORE_KEY_SIZE, key_bytes};
	MDB_val value = {RECORD_HEADER_SIZE + payload_len, NULL};
	if (h->index < s->state.next || payload_len > RECORD_PAYLOAD_MAX)
		return reason_set(&s->why, RMQ_E_BUG, "record %llu is out of order or too long",
		    (unsigned long long)h->index);
	store_env_key(key_bytes, h->index);
	int rc = mdb_cursor_put(s->cursor, &key, &value, MDB_RESERVE | MDB_APPEND);
	if (rc)
		return fail(s, "data.mdb", rc);
	s->record = value.mv_data;
	s->payload_len = payload_len;
	s->header = *h;
	*payload = s->record + RECORD_HEADER_SIZE;
	return RMQ_E_OK;
}

enum rmq_error store_put_term(struct store *s, uint64_t index, uint64_t term)
{
	uint8_t key_bytes[STORE_KEY_SIZE];
	uint8_t value_bytes[8];
	MDB_val key = {STORE_KEY_SIZE, key_bytes};
	MDB_val value = {sizeof(value_bytes), value_bytes};
	store_env_key(key_bytes, index);
	store_u64(value_bytes, term);
	int rc = mdb_put(s->txn, s->env.terms, &key, &value, 0);
	if (rc)
		return fail(s, "data.mdb", rc);
	s->changed = true;
	s->boundary_term = term;
	return RMQ_E_OK;
}

/* Whether there is an entry in `marks` for a record of this kind. */
static bool is_marked(const struct store *s, unsigned kind)
{
	return s->env.has_marks && (kind == RECORD_CONFIG || kind == RECORD_END);
}

/* What the entry in `marks` of this index says; 0: there is none. */
static int marked_kind(struct store *s, uint64_t index, unsigned *kind)
{
	uint8_t key_bytes[STORE_KEY_SIZE];
	MDB_val key = {STORE_KEY_SIZE, key_bytes};
	MDB_val value;
	store_env_key(key_bytes, index);
	int rc = mdb_get(s->txn, s->env.marks, &key, &value);
	if (!rc && value.mv_size != 1)
		return MDB_CORRUPTED;
	*kind = rc ? 0 : *(const uint8_t *)value.mv_data;
	return rc == MDB_NOTFOUND ? 0 : rc;
}

static enum rmq_error put_mark(struct store *s, uint64_t index, unsigned kind)
{
	uint8_t key_bytes[STORE_KEY_SIZE];
	uint8_t byte = (uint8_t)kind;
	MDB_val key = {STORE_KEY_SIZE, key_bytes};
	MDB_val value = {1, &byte};
	store_env_key(key_bytes, index);
	int rc = mdb_put(s->txn, s->env.marks, &key, &value, 0);
	s->changed = true;
	return rc ? fail(s, "data.mdb", rc) : RMQ_E_OK;
}

enum rmq_error store_seal(struct store *s)
{
	const struct record_header *h = &s->header;
	record_seal(s->record, h, s->payload_len);
	s->record = NULL;
	s->changed = true;
	s->state.next = h->index + 1;
	s->state.records++;
	s->state.bytes += RECORD_HEADER_SIZE + s->payload_len;
	if (h->kind == RECORD_END)
		s->state.checkpoint = h->index;
	if (is_marked(s, h->kind)) {
		enum rmq_error err = put_mark(s, h->index, h->kind);
		if (err)
			return err;
	}
	if (h->term > s->state.term)
		s->state.term = h->term;
	if (h->term == s->boundary_term)
		return RMQ_E_OK;
	return store_put_term(s, h->index, h->term);
}

enum rmq_error store_drop(struct store *s)
{
	s->record = NULL;
	int rc = mdb_cursor_del(s->cursor, 0);
	return rc ? fail(s, "data.mdb", rc) : RMQ_E_OK;
}

void store_set_term(struct store *s, uint64_t term)
{
	s->state.term = term;
	s->changed = true;
}

/* Sets the checkpoint to the newest END that is left. */
static int newest_end(struct store *s)
{
	MDB_cursor *cursor;
	MDB_val key, value;
	uint64_t index;
	int rc = mdb_cursor_open(s->txn, s->env.marks, &cursor);
	if (rc)
		return rc;
	s->state.checkpoint = 0;
	for (MDB_cursor_op op = MDB_LAST; !rc && s->state.checkpoint == 0; op = MDB_PREV) {
		rc = mdb_cursor_get(cursor, &key, &value, op);
		if (!rc && (!store_env_index(&key, &index) || value.mv_size != 1))
			rc = MDB_CORRUPTED;
		if (!rc && *(const uint8_t *)value.mv_data == RECORD_END)
			s->state.checkpoint = index;
	}
	mdb_cursor_close(cursor);
	return rc == MDB_NOTFOUND ? 0 : rc;
}

/* The record that the cursor is at.  Its own bytes may be bad: what is marked says its kind. */
static enum rmq_error delete_one(
    struct store *s, uint64_t index, const MDB_val *value, bool whatever)
{
	size_t size = value->mv_size;
	unsigned kind = size >= RECORD_HEADER_SIZE ? ((const uint8_t *)value->mv_data)[1] : 0;
	int rc = s->env.has_marks ? marked_kind(s, index, &kind) : 0;
	if (rc)
		return fail(s, "data.mdb", rc);
	if (kind == RECORD_CONFIG && !whatever)
		return reason_set(&s->why, RMQ_E_PROTOCOL, "record %llu never becomes a hole",
		    (unsigned long long)index);
	rc = mdb_cursor_del(s->cursor, 0);
	if (!rc && is_marked(s, kind)) {
		uint8_t key_bytes[STORE_KEY_SIZE];
		MDB_val key = {STORE_KEY_SIZE, key_bytes};
		store_env_key(key_bytes, index);
		rc = mdb_del(s->txn, s->env.marks, &key, NULL);
		if (!rc && index == s->state.checkpoint && !whatever)
			rc = newest_end(s);
	}
	if (rc)
		return fail(s, "data.mdb", rc);
	s->changed = true;
	s->state.records--;
	s->state.bytes -= size;
	return RMQ_E_OK;
}

static enum rmq_error delete_range(struct store *s, uint64_t *first, uint64_t end,
    unsigned limit, bool whatever, unsigned *deleted)
{
	uint8_t key_bytes[STORE_KEY_SIZE];
	MDB_val key = {STORE_KEY_SIZE, key_bytes};
	MDB_val value;
	*deleted = 0;
	store_env_key(key_bytes, *first);
	int rc = *first < end ? mdb_cursor_get(s->cursor, &key, &value, MDB_SET_RANGE)
			      : MDB_NOTFOUND;
	while (!rc) {
		uint64_t index;
		if (!store_env_index(&key, &index))
			return reason_set(&s->why, RMQ_E_CORRUPT, "data.mdb is garbled");
		if (index >= end || *deleted == limit) {
			*first = index < end ? index : end;
			return RMQ_E_OK;
		}
		enum rmq_error err = delete_one(s, index, &value, whatever);
		if (err)
			return err;
		(*deleted)++;
		rc = mdb_cursor_get(s->cursor, &key, &value, MDB_NEXT);
	}
	if (rc != MDB_NOTFOUND)
		return fail(s, "data.mdb", rc);
	*first = end;
	return RMQ_E_OK;
}

enum rmq_error store_delete(
    struct store *s, uint64_t *first, uint64_t end, unsigned limit, unsigned *deleted)
{
	return delete_range(s, first, end, limit, false, deleted);
}

/* The first CONFIG at *index or after it, by what is marked; LMDB's error code. */
static int next_config(struct store *s, uint64_t *index)
{
	uint8_t key_bytes[STORE_KEY_SIZE];
	MDB_val key = {STORE_KEY_SIZE, key_bytes};
	MDB_val value;
	MDB_cursor *cursor;
	bool found = false;
	store_env_key(key_bytes, *index);
	int rc = mdb_cursor_open(s->txn, s->env.marks, &cursor);
	if (rc)
		return rc;
	for (MDB_cursor_op op = MDB_SET_RANGE; !rc && !found; op = MDB_NEXT) {
		rc = mdb_cursor_get(cursor, &key, &value, op);
		if (!rc && (!store_env_index(&key, index) || value.mv_size != 1))
			rc = MDB_CORRUPTED;
		found = !rc && *(const uint8_t *)value.mv_data == RECORD_CONFIG;
	}
	mdb_cursor_close(cursor);
	return rc;
}

enum rmq_error store_delete_configs(struct store *s)
{
	uint64_t index = 0;
	int rc = s->env.has_marks ? next_config(s, &index) : MDB_NOTFOUND;
	while (!rc) {
		unsigned deleted;
		enum rmq_error err =
		    delete_range(s, &index, index + 1, UINT32_MAX, true, &deleted);
		if (err)
			return err;
		rc = next_config(s, &index);
	}
	return rc == MDB_NOTFOUND ? RMQ_E_OK : fail(s, "data.mdb", rc);
}

/* ---- a node of a cluster ---- */

enum rmq_error store_make_replica(struct store *s)
{
	enum record_kind kind;
	if (s->env.has_marks)
		return RMQ_E_OK;
	int rc = mdb_dbi_open(s->txn, STORE_MARKS, MDB_CREATE, &s->env.marks);
	if (rc)
		return fail(s, "data.mdb", rc);
	s->env.has_marks = true;
	s->changed = true;
	/* The only one that can be looked for: what one node stored is never truncated. */
	uint64_t checkpoint = s->state.checkpoint;
	enum rmq_error err = checkpoint ? store_kind(s, checkpoint, &kind) : RMQ_E_NOTHING;
	if (!err)
		err = put_mark(s, checkpoint, kind);
	return err == RMQ_E_NOTHING ? RMQ_E_OK : err;
}

void store_set_replica(struct store *s, const struct store_replica *replica)
{
	s->replica = *replica;
	s->replica.present = true;
	s->changed = true;
}

enum rmq_error store_put_ended(struct store *s, enum raft_how how)
{
	enum rmq_error err = store_env_put_ended(&s->env, s->txn, how);
	s->changed = true;
	return err ? reason_set(&s->why, err, "data.mdb: the node's end cannot be written")
		   : RMQ_E_OK;
}

/* All entries of a database that has indexes for keys. */
static int cut_off(struct store *s, MDB_dbi database, uint64_t from)
{
	uint8_t key_bytes[STORE_KEY_SIZE];
	MDB_val key = {STORE_KEY_SIZE, key_bytes};
	MDB_val value;
	MDB_cursor *cursor;
	int rc = mdb_cursor_open(s->txn, database, &cursor);
	if (rc)
		return rc;
	store_env_key(key_bytes, from);
	rc = mdb_cursor_get(cursor, &key, &value, MDB_SET_RANGE);
	while (!rc) {
		rc = mdb_cursor_del(cursor, 0);
		if (!rc)
			rc = mdb_cursor_get(cursor, &key, &value, MDB_NEXT);
	}
	mdb_cursor_close(cursor);
	return rc == MDB_NOTFOUND ? 0 : rc;
}

enum rmq_error store_truncate(struct store *s, uint64_t from)
{
	unsigned deleted;
	uint64_t first = from;
	enum rmq_error err = delete_range(s, &first, s->state.next, UINT32_MAX, true, &deleted);
	if (err)
		return err;
	int rc = cut_off(s, s->env.terms, from);
	if (!rc)
		rc = newest_boundary(s, s->txn);
	if (!rc && s->state.checkpoint >= from)
		rc = newest_end(s);
	if (rc)
		return fail(s, "data.mdb", rc);
	s->state.next = from;
	s->changed = true;
	return RMQ_E_OK;
}

enum rmq_error store_append_holes(struct store *s, uint64_t count, uint64_t term)
{
	uint64_t first = s->state.next;
	s->state.next += count;
	s->changed = true;
	return term == s->boundary_term ? RMQ_E_OK : store_put_term(s, first, term);
}

/* Whether it can be the record of its index. */
static enum rmq_error check_place(struct store *s, const struct record_header *h)
{
	uint64_t term, end;
	unsigned kind = 0;
	int rc = store_env_term(&s->env, s->txn, h->index, &term, &end);
	if (!rc && s->env.has_marks)
		rc = marked_kind(s, h->index, &kind);
	if (rc)
		return fail(s, "data.mdb", rc);
	if (term != h->term || !record_kind_fits(h->kind, kind))
		return reason_set(&s->why, RMQ_E_PROTOCOL,
		    "record %llu is of another term or kind", (unsigned long long)h->index);
	return RMQ_E_OK;
}

enum rmq_error store_mend(
    struct store *s, const struct record_header *h, struct slice payload, bool *mended)
{
	uint8_t key_bytes[STORE_KEY_SIZE];
	MDB_val key = {STORE_KEY_SIZE, key_bytes};
	MDB_val value = {RECORD_HEADER_SIZE + payload.len, NULL};
	struct record_header found;
	struct slice old, bytes;
	*mended = false;
	enum rmq_error err = store_raw(s, h->index, &old);
	if (err == RMQ_E_NOTHING)
		return RMQ_E_OK;
	if (!err)
		err = check_place(s, h);
	if (err)
		return err;
	if (!record_open(old, h->index, &found, &bytes) && found.term == h->term)
		return RMQ_E_OK;
	size_t old_len = old.len;
	store_env_key(key_bytes, h->index);
	int rc = mdb_put(s->txn, s->env.log, &key, &value, MDB_RESERVE);
	if (rc)
		return fail(s, "data.mdb", rc);
	uint8_t *record = value.mv_data;
	if (payload.len > 0)
		memcpy(record + RECORD_HEADER_SIZE, payload.data, payload.len);
	record_seal(record, h, payload.len);
	s->state.bytes += RECORD_HEADER_SIZE + payload.len - old_len;
	s->changed = *mended = true;
	return RMQ_E_OK;
}

/* ---- commit ---- */

enum rmq_error store_commit(struct store *s)
{
	enum rmq_error err = RMQ_E_OK;
	if (!s->changed) {
		forget_commit(s);
		return RMQ_E_OK;
	}
	mdb_cursor_close(s->cursor);
	s->cursor = NULL;
	err = store_env_put_state(&s->env, s->txn, &s->state);
	if (!err && s->replica.present)
		err = store_env_put_replica(&s->env, s->txn, &s->replica);
	if (err)
		return reason_set(&s->why, err, "data.mdb: state cannot be written");
	int rc = mdb_txn_commit(s->txn);
	s->txn = NULL;
	s->changed = false;
	(void)flock(s->data_fd, LOCK_UN);
	return rc ? fail(s, "data.mdb", rc) : measure(s);
}

/* ---- space ---- */

uint64_t store_tail(const struct store *s)
{
	uint64_t in_file = s->file_bytes / s->env.page_size;
	return in_file > s->last_page + 1 ? in_file - s->last_page - 1 : 0;
}

size_t store_page_size(const struct store *s)
{
	return s->env.page_size;
}

uint64_t store_file_bytes(const struct store *s)
{
	return s->file_bytes;
}

size_t store_record_pages(const struct store *s, size_t payload_len)
{
	size_t bytes = OVERFLOW_HEADER + RECORD_HEADER_SIZE + payload_len;
	return (bytes + s->env.page_size - 1) / s->env.page_size;
}

bool store_record_shares(const struct store *s, size_t payload_len)
{
	return 2 * (RECORD_HEADER_SIZE + payload_len + NODE_OVERHEAD) <= s->env.page_size;
}

enum rmq_error store_pages(struct store *s, struct store_pages *pages)
{
	MDB_txn *txn;
	int rc = mdb_txn_begin(s->env.env, NULL, MDB_RDONLY, &txn);
	if (rc)
		return fail(s, "data.mdb", rc);
	enum rmq_error err = store_env_pages(&s->env, txn, pages);
	mdb_txn_abort(txn);
	return err ? reason_set(&s->why, err, "data.mdb: list of free pages") : RMQ_E_OK;
}

static bool no_space(int error)
{
	return error == ENOSPC || error == EDQUOT || error == EFBIG;
}

enum rmq_error store_extend(struct store *s, uint64_t bytes)
{
	uint64_t at = s->file_bytes;
	uint64_t end = at + bytes;
	while (at < end) {
		size_t len = end - at < ZEROS_BYTES ? (size_t)(end - at) : ZEROS_BYTES;
		ssize_t n = pwrite(s->data_fd, s->zeros, len, (off_t)at);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && !no_space(errno))
			return reason_set(&s->why, RMQ_E_IO, "data.mdb: %s", strerror(errno));
		if (n <= 0)
			break;
		at += (uint64_t)n;
	}
	if (at == s->file_bytes)
		return RMQ_E_FULL;
	if (fdatasync(s->data_fd) != 0)
		return reason_set(&s->why, RMQ_E_IO, "data.mdb: %s", strerror(errno));
	s->file_bytes = at;
	return RMQ_E_OK;
}

/* By the size of the map, and of files that the process may write (ulimit -f). */
static uint64_t largest_file(const struct store *s)
{
	struct rlimit limit;
	uint64_t most = s->map_bytes;
	if (getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY &&
	    limit.rlim_cur < most)
		most = limit.rlim_cur;
	return most;
}

enum rmq_error store_disk(struct store *s, uint64_t *total, uint64_t *available)
{
	struct statvfs fs;
	if (fstatvfs(s->data_fd, &fs) != 0)
		return reason_set(&s->why, RMQ_E_IO, "statvfs: %s", strerror(errno));
	uint64_t most = largest_file(s);
	uint64_t left = most > s->file_bytes ? most - s->file_bytes : 0;
	*total = (uint64_t)fs.f_blocks * fs.f_frsize;
	*available = (uint64_t)fs.f_bavail * fs.f_frsize;
	*total = *total < most ? *total : most;
	*available = *available < left ? *available : left;
	return RMQ_E_OK;
}

void store_check_readers(struct store *s)
{
	int dead;
	(void)mdb_reader_check(s->env.env, &dead);
}
