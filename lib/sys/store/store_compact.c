/*
 * store_compact(): a new data file beside the one that serves, and then in its place.
 *
 *	copy	the records in order, some MiB in one read transaction, so that no freed page
 *		has to wait for long; then what came meanwhile.  Of a node's log only what is
 *		committed: no record of it is replaced.
 *	prune	what the owner has deleted meanwhile, if it has.
 *	turn	flock(2) of the old file, which each owner takes for each of its commits
 *		(store.c).  If little is new, it is copied, and the new file has all that the
 *		old one has; else the turn is given back, and all begins again.
 *	switch	the new file is synced and renamed over the old one.  Before that nothing has
 *		happened; after it nothing is left to do.  The owner finds another file under
 *		the name when its turn comes, with the state that it knows, and goes on in that.
 *
 * Both files have the same lock.mdb, and what LMDB keeps in that must be true of the new one:
 * the newest transaction is number T there, and LMDB finds its meta page by T modulo 2.  So the
 * new file has as many transactions as make its newest meta page that one, and never more than
 * T: then the owner's next one, T + 1, replaces the other page and is the newest.  And a reader
 * that is told of a transaction which its file does not have knows that its file was replaced.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "sys/store/store_env.h"

#define CHUNK_BYTES  (4u << 20)	 /* copied in one read transaction */
#define CHUNK_KEYS   16384	 /* … or compared */
#define COMMIT_BYTES (64u << 20) /* of the new file */
#define FLUSH_BYTES  (16u << 20) /* so much is committed and synced before a turn */
#define TAIL_RECORDS 256	 /* are copied while the owner waits */
#define TURNS	     8		 /* given back; after that the owner waits for all of it */
/*
 * Pages that the file keeps ahead beside an owner, which has counted on them for its next commit:
 * that is more than any takes (room.h).
 */
#define AHEAD_BYTES ((uint64_t)80 << 20)
#define SLACK_BYTES ((uint64_t)32 << 20) /* more than a turn adds */
#define LEAVE_BYTES ((uint64_t)16 << 20) /* on the disk, for others */
#define ZEROS_BYTES ((size_t)1 << 20)

struct compaction {
	struct reason *why;
	int dir_fd;
	int identity_fd; /* locked, if the directory has no other owner */
	int old_fd;
	int new_fd; /* locked: one at a time */
	struct store_env from, to;
	struct store_state state; /* as of `snapshot` */
	struct store_replica replica;
	MDB_txn *snapshot;
	MDB_txn *txn;  /* of the new file */
	uint64_t last; /* index up to which all is copied */
	uint64_t bytes;
	size_t uncommitted;
	bool switched;	/* the new file has its name; what has the old one is another's */
	bool owned;	/* by another process */
	uint64_t ahead; /* bytes for its next commit: 0 if not owned */
};

static enum rmq_error failed(struct compaction *c, const char *what, int rc)
{
	enum rmq_error err = store_env_error(rc);
	if (err == RMQ_E_NOTHING)
		err = RMQ_E_CORRUPT;
	return reason_set(c->why, err, "%s: %s", what, mdb_strerror(rc));
}

/* ---- the old file ---- */

static void forget_snapshot(struct compaction *c)
{
	if (c->snapshot)
		mdb_txn_abort(c->snapshot);
	c->snapshot = NULL;
}

static enum rmq_error take_snapshot(struct compaction *c)
{
	forget_snapshot(c);
	int rc = mdb_txn_begin(c->from.env, NULL, MDB_RDONLY, &c->snapshot);
	if (rc) {
		c->snapshot = NULL;
		return failed(c, STORE_DATA_FILE, rc);
	}
	enum rmq_error err = store_env_state(&c->from, c->snapshot, &c->state);
	if (!err)
		err = store_env_replica(&c->from, c->snapshot, &c->replica);
	return err ? reason_set(c->why, err, STORE_DATA_FILE " is garbled") : RMQ_E_OK;
}

static int seek(MDB_cursor *cursor, uint64_t from, uint64_t *index, MDB_val *value)
{
	uint8_t key_bytes[STORE_KEY_SIZE];
	MDB_val key = {STORE_KEY_SIZE, key_bytes};
	store_env_key(key_bytes, from);
	int rc = mdb_cursor_get(cursor, &key, value, MDB_SET_RANGE);
	return rc || store_env_index(&key, index) ? rc : MDB_CORRUPTED;
}

static int next(MDB_cursor *cursor, uint64_t *index, MDB_val *value)
{
	MDB_val key;
	int rc = mdb_cursor_get(cursor, &key, value, MDB_NEXT);
	return rc || store_env_index(&key, index) ? rc : MDB_CORRUPTED;
}

/* ---- the new one ---- */

static enum rmq_error begin_new(struct compaction *c)
{
	int rc = c->txn ? 0 : mdb_txn_begin(c->to.env, NULL, 0, &c->txn);
	return rc ? failed(c, STORE_NEW_FILE, rc) : RMQ_E_OK;
}

static enum rmq_error commit_new(struct compaction *c)
{
	int rc = mdb_txn_commit(c->txn);
	c->txn = NULL;
	c->uncommitted = 0;
	return rc ? failed(c, STORE_NEW_FILE, rc) : RMQ_E_OK;
}

static enum rmq_error sync_new(struct compaction *c)
{
	return fsync(c->new_fd) == 0 ? RMQ_E_OK : failed(c, STORE_NEW_FILE, errno);
}

/* Writes zeros after the new file's end, so that it is that long. */
static enum rmq_error extend_new(struct compaction *c, uint64_t end)
{
	struct stat st;
	if (fstat(c->new_fd, &st) != 0)
		return failed(c, STORE_NEW_FILE, errno);
	uint8_t *zeros = calloc(1, ZEROS_BYTES);
	if (!zeros)
		return reason_set(c->why, RMQ_E_IO, "out of memory");
	int error = 0;
	for (uint64_t at = (uint64_t)st.st_size; !error && at < end;) {
		size_t len = end - at < ZEROS_BYTES ? (size_t)(end - at) : ZEROS_BYTES;
		ssize_t n = pwrite(c->new_fd, zeros, len, (off_t)at);
		error = n < 0 ? errno : n == 0 ? ENOSPC : 0;
		at += n > 0 ? (uint64_t)n : 0;
	}
	free(zeros);
	return error ? failed(c, STORE_NEW_FILE, error) : RMQ_E_OK;
}

/* What the transactions of the new file take. */
static enum rmq_error used_by_new(struct compaction *c, uint64_t *bytes)
{
	MDB_envinfo info;
	if (mdb_env_info(c->to.env, &info))
		return failed(c, STORE_NEW_FILE, EIO);
	*bytes = ((uint64_t)info.me_last_pgno + 1) * c->to.page_size;
	return RMQ_E_OK;
}

/* What can be written before a turn is. */
static enum rmq_error flush(struct compaction *c)
{
	uint64_t used = 0;
	enum rmq_error err = c->uncommitted < FLUSH_BYTES ? RMQ_E_OK : commit_new(c);
	if (!err)
		err = used_by_new(c, &used);
	if (!err && c->owned)
		err = extend_new(c, used + c->ahead + SLACK_BYTES);
	return err ? err : sync_new(c);
}

static enum rmq_error copy_one(struct compaction *c, uint64_t index, MDB_val *value)
{
	uint8_t key_bytes[STORE_KEY_SIZE];
	MDB_val key = {STORE_KEY_SIZE, key_bytes};
	struct record_header h;
	struct slice payload;
	enum rmq_error err =
	    record_open(slice_of(value->mv_data, value->mv_size), index, &h, &payload);
	if (err)
		return reason_set(c->why, err, "record %llu is bad", (unsigned long long)index);
	store_env_key(key_bytes, index);
	int rc = mdb_put(c->txn, c->to.log, &key, value, MDB_APPEND);
	if (rc)
		return failed(c, STORE_NEW_FILE, rc);
	c->last = index;
	c->bytes += value->mv_size;
	c->uncommitted += value->mv_size;
	return RMQ_E_OK;
}

/* The records after the last one up to `bound`, of the snapshot.  *done: that was all. */
static enum rmq_error copy_chunk(struct compaction *c, uint64_t bound, bool *done)
{
	MDB_cursor *cursor;
	MDB_val value;
	uint64_t index;
	uint64_t until = c->bytes + CHUNK_BYTES;
	int rc = mdb_cursor_open(c->snapshot, c->from.log, &cursor);
	if (rc)
		return failed(c, STORE_DATA_FILE, rc);
	enum rmq_error err = RMQ_E_OK;
	rc = seek(cursor, c->last + 1, &index, &value);
	while (!rc && !err && index <= bound && c->bytes < until) {
		err = copy_one(c, index, &value);
		rc = next(cursor, &index, &value);
	}
	mdb_cursor_close(cursor);
	*done = rc == MDB_NOTFOUND || index > bound;
	return err || !rc || rc == MDB_NOTFOUND ? err : failed(c, STORE_DATA_FILE, rc);
}

/* Without the owner's turn: what comes, and is deleted, goes on. */
static enum rmq_error copy(struct compaction *c)
{
	bool done = false;
	enum rmq_error err = RMQ_E_OK;
	while (!err && !done) {
		err = begin_new(c);
		if (!err)
			err = take_snapshot(c);
		if (!err)
			err = copy_chunk(c,
			    c->replica.present ? c->replica.commit : c->state.next - 1, &done);
		forget_snapshot(c);
		if (!err && c->uncommitted >= COMMIT_BYTES)
			err = commit_new(c);
	}
	return err ? err : flush(c);
}

/* Deletes what the snapshot does not have; moves *at after what it has looked at. */
static int prune_chunk(struct compaction *c, uint64_t *at)
{
	MDB_cursor *old, *new;
	MDB_val value, ignored;
	uint64_t index = 0;
	int rc = mdb_cursor_open(c->snapshot, c->from.log, &old);
	if (rc)
		return rc;
	rc = mdb_cursor_open(c->txn, c->to.log, &new);
	if (rc) {
		mdb_cursor_close(old);
		return rc;
	}
	rc = seek(new, *at, &index, &value);
	for (unsigned i = 0; !rc && i < CHUNK_KEYS; i++) {
		uint8_t key_bytes[STORE_KEY_SIZE];
		MDB_val key = {STORE_KEY_SIZE, key_bytes};
		store_env_key(key_bytes, index);
		*at = index + 1;
		rc = mdb_cursor_get(old, &key, &ignored, MDB_SET);
		if (rc == MDB_NOTFOUND) {
			c->bytes -= value.mv_size;
			rc = mdb_cursor_del(new, 0);
		}
		if (!rc)
			rc = next(new, &index, &value);
	}
	mdb_cursor_close(new);
	mdb_cursor_close(old);
	return rc;
}

static enum rmq_error prune(struct compaction *c, bool in_turn)
{
	uint64_t at = 0;
	int rc = 0;
	enum rmq_error err = begin_new(c);
	while (!err && !rc) {
		if (!in_turn)
			err = take_snapshot(c);
		if (!err)
			rc = prune_chunk(c, &at);
		if (!in_turn)
			forget_snapshot(c);
	}
	return err || rc == MDB_NOTFOUND ? err : failed(c, STORE_NEW_FILE, rc);
}

/* ---- the turn ---- */

/* Whether the directory still names our file, and lock.mdb is the one that its owner uses. */
static enum rmq_error check_turn(struct compaction *c)
{
	struct stat st, named;
	MDB_envinfo info;
	if (fstat(c->old_fd, &st) != 0 ||
	    fstatat(c->dir_fd, STORE_DATA_FILE, &named, AT_SYMLINK_NOFOLLOW) != 0)
		return failed(c, STORE_DATA_FILE, errno);
	if (st.st_dev != named.st_dev || st.st_ino != named.st_ino)
		return reason_set(
		    c->why, RMQ_E_BUSY, STORE_DATA_FILE " was replaced meanwhile");
	if (mdb_env_info(c->from.env, &info) || mdb_txn_id(c->snapshot) < info.me_last_txnid)
		return reason_set(c->why, RMQ_E_BUSY,
		    STORE_LOCK_FILE
		    " was removed while the directory is in use: restart its daemon");
	return RMQ_E_OK;
}

/* How much a turn would have to do: records to copy (no more are counted), others to delete. */
static enum rmq_error look_ahead(struct compaction *c, unsigned *tail, bool *pruned)
{
	MDB_cursor *cursor;
	MDB_val value;
	MDB_stat stat;
	uint64_t index;
	*tail = 0;
	int rc = mdb_cursor_open(c->snapshot, c->from.log, &cursor);
	if (rc)
		return failed(c, STORE_DATA_FILE, rc);
	rc = seek(cursor, c->last + 1, &index, &value);
	for (; !rc && *tail <= TAIL_RECORDS; (*tail)++)
		rc = next(cursor, &index, &value);
	mdb_cursor_close(cursor);
	if (rc == MDB_NOTFOUND)
		rc = 0;
	if (!rc)
		rc = mdb_stat(c->txn, c->to.log, &stat);
	*pruned = stat.ms_entries + *tail != c->state.records;
	return rc ? failed(c, STORE_DATA_FILE, rc) : RMQ_E_OK;
}

static int copy_table(struct compaction *c, MDB_dbi from, MDB_dbi to)
{
	MDB_cursor *cursor;
	MDB_val key, value;
	int rc = mdb_drop(c->txn, to, 0);
	if (!rc)
		rc = mdb_cursor_open(c->snapshot, from, &cursor);
	if (rc)
		return rc;
	while ((rc = mdb_cursor_get(cursor, &key, &value, MDB_NEXT)) == 0)
		if ((rc = mdb_put(c->txn, to, &key, &value, 0)) != 0)
			break;
	mdb_cursor_close(cursor);
	return rc == MDB_NOTFOUND ? 0 : rc;
}

static int copy_tables(struct compaction *c)
{
	int rc = copy_table(c, c->from.meta, c->to.meta);
	if (!rc)
		rc = copy_table(c, c->from.terms, c->to.terms);
	/* The owner may have made it since we began. */
	if (!rc)
		rc = mdb_dbi_open(c->snapshot, STORE_MARKS, 0, &c->from.marks);
	if (rc)
		return rc == MDB_NOTFOUND ? 0 : rc;
	rc = mdb_dbi_open(c->txn, STORE_MARKS, MDB_CREATE, &c->to.marks);
	return rc ? rc : copy_table(c, c->from.marks, c->to.marks);
}

/* A transaction that changes nothing. */
static enum rmq_error count_one(struct compaction *c)
{
	enum rmq_error err = begin_new(c);
	if (!err)
		err = store_env_put_state(&c->to, c->txn, &c->state);
	return err ? err : commit_new(c);
}

static enum rmq_error number_transactions(struct compaction *c)
{
	MDB_envinfo info;
	uint64_t newest = mdb_txn_id(c->snapshot);
	enum rmq_error err = RMQ_E_OK;
	do {
		if (mdb_env_info(c->to.env, &info))
			return failed(c, STORE_NEW_FILE, EIO);
		if (info.me_last_txnid > newest)
			return reason_set(c->why, RMQ_E_BUSY,
			    "was used too little since it was made to be compacted now");
		if ((newest - info.me_last_txnid) % 2 == 0)
			return RMQ_E_OK;
		err = count_one(c);
	} while (!err);
	return err;
}

/* As much as the owner has counted on, and no more. */
static enum rmq_error set_size(struct compaction *c)
{
	uint64_t used = 0;
	enum rmq_error err = used_by_new(c, &used);
	if (!err)
		err = extend_new(c, used + c->ahead);
	if (!err && ftruncate(c->new_fd, (off_t)(used + c->ahead)) != 0)
		err = failed(c, STORE_NEW_FILE, errno);
	return err;
}

static enum rmq_error switch_files(struct compaction *c)
{
	struct stat old;
	enum rmq_error err = sync_new(c);
	if (err)
		return err;
	/* Whoever does it: the file stays its owner's. */
	if (fstat(c->old_fd, &old) != 0 || fchown(c->new_fd, old.st_uid, old.st_gid) != 0 ||
	    fchmod(c->new_fd, old.st_mode & 07777) != 0 || fsync(c->new_fd) != 0 ||
	    renameat(c->dir_fd, STORE_NEW_FILE, c->dir_fd, STORE_DATA_FILE) != 0)
		return failed(c, STORE_NEW_FILE, errno);
	c->switched = true;
	if (fsync(c->dir_fd) != 0)
		return reason_set(c->why, RMQ_E_IO, "fsync: %s", strerror(errno));
	return RMQ_E_OK;
}

/* What is left, and the switch; all of it while the owner waits. */
static enum rmq_error finish(struct compaction *c, bool pruned)
{
	MDB_stat stat;
	bool done = false;
	enum rmq_error err = RMQ_E_OK;
	while (!err && !done)
		err = copy_chunk(c, c->state.next - 1, &done);
	if (!err && pruned)
		err = prune(c, true);
	if (err)
		return err;
	int rc = copy_tables(c);
	if (!rc)
		rc = mdb_stat(c->txn, c->to.log, &stat);
	if (rc)
		return failed(c, STORE_NEW_FILE, rc);
	if (stat.ms_entries != c->state.records || c->bytes != c->state.bytes)
		return reason_set(c->why, RMQ_E_BUG, "the copy has other records");
	err = commit_new(c);
	if (!err)
		err = number_transactions(c);
	if (!err)
		err = set_size(c);
	return err ? err : switch_files(c);
}

/* *again: there is too much left to do for one turn. */
static enum rmq_error take_turn(struct compaction *c, bool last, bool *again, bool *pruned)
{
	unsigned tail;
	int rc;
	do
		rc = flock(c->old_fd, LOCK_EX);
	while (rc != 0 && errno == EINTR);
	if (rc != 0)
		return failed(c, STORE_DATA_FILE, errno);
	enum rmq_error err = begin_new(c);
	if (!err)
		err = take_snapshot(c);
	if (!err)
		err = check_turn(c);
	if (!err)
		err = look_ahead(c, &tail, pruned);
	*again = !err && !last && (tail > TAIL_RECORDS || *pruned);
	if (!err && !*again)
		err = finish(c, *pruned);
	forget_snapshot(c);
	if (flock(c->old_fd, LOCK_UN) != 0 && !err)
		err = failed(c, STORE_DATA_FILE, errno);
	return err;
}

static enum rmq_error compact(struct compaction *c)
{
	bool again = true, pruned = false;
	sigset_t stop, before;
	enum rmq_error err = RMQ_E_OK;
	sigemptyset(&stop);
	sigaddset(&stop, SIGTSTP);
	for (unsigned turn = 0; !err && again; turn++) {
		if (pruned)
			err = prune(c, false);
		if (!err)
			err = copy(c);
		if (err)
			break;
		/* The owner does not wait for a person at a terminal. */
		sigprocmask(SIG_BLOCK, &stop, &before);
		err = take_turn(c, turn == TURNS, &again, &pruned);
		sigprocmask(SIG_SETMASK, &before, NULL);
	}
	return err;
}

/* ---- beginning and end ---- */

/* What is not ours to keep busy may be made by an attempt that was killed. */
static enum rmq_error open_new_file(struct compaction *c)
{
	struct stat st, named;
	c->new_fd =
	    openat(c->dir_fd, STORE_NEW_FILE, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (c->new_fd < 0)
		return failed(c, STORE_NEW_FILE, errno);
	if (flock(c->new_fd, LOCK_EX | LOCK_NB) != 0 || fstat(c->new_fd, &st) != 0 ||
	    fstatat(c->dir_fd, STORE_NEW_FILE, &named, AT_SYMLINK_NOFOLLOW) != 0 ||
	    st.st_ino != named.st_ino) {
		close(c->new_fd);
		c->new_fd = -1;
		return reason_set(c->why, RMQ_E_BUSY, "is being compacted by another process");
	}
	return ftruncate(c->new_fd, 0) == 0 ? RMQ_E_OK : failed(c, STORE_NEW_FILE, errno);
}

static enum rmq_error check_disk(struct compaction *c, uint64_t *needed)
{
	struct store_pages pages;
	struct statvfs fs;
	struct stat st;
	enum rmq_error err = take_snapshot(c);
	if (!err)
		err = store_env_pages(&c->from, c->snapshot, &pages);
	forget_snapshot(c);
	if (err)
		return err;
	if (fstatvfs(c->new_fd, &fs) != 0 || fstat(c->old_fd, &st) != 0)
		return failed(c, "statvfs", errno);
	uint64_t used = pages.used * pages.page_size;
	uint64_t spare = (uint64_t)st.st_size > used ? (uint64_t)st.st_size - used : 0;
	uint64_t available = (uint64_t)fs.f_bavail * fs.f_frsize;
	if (c->owned)
		c->ahead = spare < AHEAD_BYTES ? spare : AHEAD_BYTES;
	*needed = used + (c->owned ? c->ahead + SLACK_BYTES + LEAVE_BYTES : 0);
	if (available >= *needed)
		return RMQ_E_OK;
	return reason_set(c->why, RMQ_E_IO,
	    "no space for a copy: it needs %llu MiB, its file system has %llu",
	    (unsigned long long)(*needed >> 20) + 1, (unsigned long long)(available >> 20));
}

static enum rmq_error open_all(struct compaction *c, const char *dir)
{
	struct identity id;
	uint64_t needed = 0;
	enum rmq_error err = store_env_dir(dir, &c->dir_fd, c->why);
	if (!err)
		err = store_env_identity(c->dir_fd, false, &id, NULL, c->why);
	if (err)
		return err;
	c->identity_fd = openat(c->dir_fd, IDENTITY_FILE, O_RDONLY | O_CLOEXEC);
	if (c->identity_fd < 0)
		return failed(c, IDENTITY_FILE, errno);
	/* Without an owner nobody becomes one meanwhile. */
	c->owned = flock(c->identity_fd, LOCK_EX | LOCK_NB) != 0;
	err = open_new_file(c);
	if (err)
		return err;
	c->old_fd = openat(c->dir_fd, STORE_DATA_FILE, O_RDWR | O_CLOEXEC);
	if (c->old_fd < 0)
		return failed(c, STORE_DATA_FILE, errno);
	err = store_env_open(&c->from, dir, c->dir_fd, MDB_RDONLY, &id, c->why);
	if (!err)
		err = check_disk(c, &needed);
	return err ? err : store_env_open_new(&c->to, dir, needed, &c->txn, c->why);
}

enum rmq_error store_compact(const char *dir, struct reason *why)
{
	struct compaction c = {
	    .why = why, .dir_fd = -1, .identity_fd = -1, .old_fd = -1, .new_fd = -1};
	enum rmq_error err = open_all(&c, dir);
	if (!err)
		err = compact(&c);
	forget_snapshot(&c);
	if (c.txn)
		mdb_txn_abort(c.txn);
	store_env_close(&c.to);
	store_env_close(&c.from);
	if (err && c.new_fd >= 0 && !c.switched)
		unlinkat(c.dir_fd, STORE_NEW_FILE, 0);
	int fds[] = {c.new_fd, c.old_fd, c.identity_fd, c.dir_fd};
	for (size_t i = 0; i < sizeof(fds) / sizeof(fds[0]); i++)
		if (fds[i] >= 0)
			close(fds[i]);
	return err;
}
