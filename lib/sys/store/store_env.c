#include "sys/store/store_env.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/wire/journal_wire.h"
#include "sys/stream/io.h"

#define DATABASES   4
#define READERS_MAX 510
#define LOCK_BYTES  ((READERS_MAX + 2) * 64) /* of lock.mdb, with so many readers */
#define MAP_STEP    ((size_t)1 << 20)

static const MDB_dbi FREE_DATABASE = 0; /* LMDB's own, of free pages */

void store_env_key(uint8_t key[STORE_KEY_SIZE], uint64_t index)
{
	for (int i = 0; i < STORE_KEY_SIZE; i++)
		key[i] = (uint8_t)(index >> (56 - 8 * i));
}

bool store_env_index(const MDB_val *key, uint64_t *index)
{
	const uint8_t *p = key->mv_data;
	uint64_t v = 0;
	if (key->mv_size != STORE_KEY_SIZE)
		return false;
	for (int i = 0; i < STORE_KEY_SIZE; i++)
		v = v << 8 | p[i];
	*index = v;
	return true;
}

enum rmq_error store_env_error(int rc)
{
	switch (rc) {
	case MDB_SUCCESS:
		return RMQ_E_OK;
	case MDB_NOTFOUND:
		return RMQ_E_NOTHING;
	case MDB_VERSION_MISMATCH:
		return RMQ_E_VERSION;
	case MDB_READERS_FULL:
		return RMQ_E_LIMIT;
	case MDB_CORRUPTED:
	case MDB_PAGE_NOTFOUND:
	case MDB_INVALID:
	case MDB_INCOMPATIBLE:
	case MDB_KEYEXIST:
	case MDB_BAD_VALSIZE:
	case MDB_CURSOR_FULL:
	case MDB_BAD_TXN:
	case MDB_PANIC:
		return RMQ_E_CORRUPT;
	case EACCES:
	case EPERM:
	case EROFS:
		return RMQ_E_DENIED;
	default:
		return RMQ_E_IO;
	}
}

/* LMDB would print a line of its own before abort(). */
static void on_assert(MDB_env *env, const char *text)
{
	(void)env, (void)text;
	abort();
}

enum rmq_error store_env_dir(const char *dir, int *fd, struct reason *why)
{
	int got = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (got < 0 && (errno == ENOENT || errno == ENOTDIR))
		return reason_set(why, RMQ_E_CONFIG, "%s (rmq-journal init makes one)",
		    errno == ENOENT ? "no such directory" : "is not a directory");
	if (got < 0)
		return reason_set(
		    why, errno == EACCES ? RMQ_E_DENIED : RMQ_E_IO, "%s", strerror(errno));
	*fd = got;
	return RMQ_E_OK;
}

enum rmq_error store_env_identity(
    int dir_fd, bool lock, struct identity *id, int *fd, struct reason *why)
{
	enum rmq_error err = identity_read(dir_fd, lock, id, fd, why);
	if (err == RMQ_E_CONFIG && faccessat(dir_fd, STORE_DATA_FILE, F_OK, 0) == 0)
		return reason_set(why, RMQ_E_CORRUPT, "holds data.mdb, but no identity");
	return err;
}

/* An empty file would be opened as a new, empty environment: a data loss without a word. */
static enum rmq_error check_file(int dir_fd, struct reason *why)
{
	struct stat st;
	if (fstatat(dir_fd, STORE_DATA_FILE, &st, 0) != 0)
		return errno == ENOENT
			   ? reason_set(why, RMQ_E_CORRUPT, "data.mdb is missing")
			   : reason_set(why, RMQ_E_IO, "data.mdb: %s", strerror(errno));
	if (!S_ISREG(st.st_mode))
		return reason_set(why, RMQ_E_CORRUPT, "data.mdb is not a regular file");
	if (st.st_size == 0)
		return reason_set(why, RMQ_E_CORRUPT, "data.mdb is empty");
	return RMQ_E_OK;
}

/* Of the file that is open: another one may have its name by now, see store_compact.c. */
static enum rmq_error check_size(int fd, uint64_t at_least, struct reason *why)
{
	struct stat st;
	if (fstat(fd, &st) != 0)
		return reason_set(why, RMQ_E_IO, "data.mdb: %s", strerror(errno));
	if ((uint64_t)st.st_size < at_least)
		return reason_set(why, RMQ_E_CORRUPT,
		    "data.mdb is truncated: it has %llu bytes of %llu",
		    (unsigned long long)st.st_size, (unsigned long long)at_least);
	return RMQ_E_OK;
}

static size_t map_bytes(void)
{
	struct rlimit limit;
	if (getrlimit(RLIMIT_AS, &limit) != 0 || limit.rlim_cur / 2 >= STORE_MAP_BYTES)
		return STORE_MAP_BYTES;
	return (size_t)(limit.rlim_cur / 2) / MAP_STEP * MAP_STEP;
}

static enum rmq_error lmdb_reason(struct reason *why, const char *what, int rc)
{
	if (rc == ENOMEM)
		return reason_set(why, RMQ_E_IO,
		    "%s: no address space for a map of %zu MiB: raise the limit (ulimit -v, "
		    "LimitAS=)",
		    what, map_bytes() >> 20);
	if (rc == MDB_MAP_RESIZED)
		return reason_set(why, RMQ_E_IO,
		    "%s: too large for the limit of address space: raise it (ulimit -v, "
		    "LimitAS=)",
		    what);
	/* LMDB locks the byte of lock.mdb that has a reader's process id as its offset. */
	if (rc == EAGAIN)
		return reason_set(why, RMQ_E_BUSY,
		    "%s: a process in another container has the same number, %d, and has it open: "
		    "run this in that container, or when that one has ended",
		    what, (int)getpid());
	enum rmq_error err = store_env_error(rc);
	if (err == RMQ_E_NOTHING)
		err = RMQ_E_CORRUPT;
	return reason_set(why, err, "%s: %s", what, mdb_strerror(rc));
}

static MDB_val name_of(const char *name)
{
	return (MDB_val){strlen(name), (void *)(uintptr_t)name};
}

static enum rmq_error check_identity(
    const struct store_env *e, MDB_txn *txn, const struct identity *id, struct reason *why)
{
	MDB_val key = name_of("identity");
	MDB_val value;
	struct store_meta_identity m;
	int rc = mdb_get(txn, e->meta, &key, &value);
	if (rc)
		return lmdb_reason(why, "data.mdb", rc);
	if (!store_meta_identity_decode(slice_of(value.mv_data, value.mv_size), &m) ||
	    m.incarnation.len != INCARNATION_BYTES)
		return reason_set(why, RMQ_E_CORRUPT, "data.mdb is garbled");
	if (m.version < JOURNAL_OLDEST || m.version > JOURNAL_VERSION)
		return reason_set(why, RMQ_E_VERSION,
		    "data.mdb is of format %u, this program knows %s", m.version,
		    versions_text((char[VERSIONS_TEXT_MAX]){0}, JOURNAL_VERSIONS));
	struct identity stored = {.version = m.version};
	memcpy(stored.incarnation, m.incarnation.data, INCARNATION_BYTES);
	if (!identity_equal(&stored, id))
		return reason_set(
		    why, RMQ_E_CORRUPT, "data.mdb is of another directory than identity");
	return RMQ_E_OK;
}

static int put_identity(const struct store_env *e, MDB_txn *txn, const struct identity *id)
{
	uint8_t buffer[64];
	struct writer w = writer_of(buffer, sizeof(buffer));
	struct store_meta_identity m = {.version = id->version,
	    .incarnation = slice_of(id->incarnation, INCARNATION_BYTES)};
	store_meta_identity_encode(&w, &m);
	MDB_val key = name_of("identity");
	MDB_val value = {w.len, buffer};
	return mdb_put(txn, e->meta, &key, &value, 0);
}

static int open_databases(struct store_env *e, MDB_txn *txn, unsigned flags)
{
	int rc = mdb_dbi_open(txn, "log", flags, &e->log);
	if (!rc)
		rc = mdb_dbi_open(txn, "meta", flags, &e->meta);
	if (!rc)
		rc = mdb_dbi_open(txn, "terms", flags, &e->terms);
	if (rc)
		return rc;
	/* Only a directory that was open as a replica has it. */
	rc = mdb_dbi_open(txn, STORE_MARKS, 0, &e->marks);
	e->has_marks = rc == 0;
	return rc == MDB_NOTFOUND ? 0 : rc;
}

static enum rmq_error open_contents(
    struct store_env *e, bool create, const struct identity *id, struct reason *why)
{
	MDB_txn *txn;
	int rc = mdb_txn_begin(e->env, NULL, create ? 0 : MDB_RDONLY, &txn);
	if (rc)
		return lmdb_reason(why, "data.mdb", rc);
	rc = open_databases(e, txn, create ? MDB_CREATE : 0);
	if (!rc && create) {
		struct store_state fresh = {.next = 1};
		rc = put_identity(e, txn, id);
		if (!rc && store_env_put_state(e, txn, &fresh))
			rc = EIO;
	}
	if (rc) {
		mdb_txn_abort(txn);
		return lmdb_reason(why, "data.mdb", rc);
	}
	enum rmq_error err = check_identity(e, txn, id, why);
	if (err) {
		mdb_txn_abort(txn);
		return err;
	}
	/* Also of a read-only transaction: what keeps the databases' handles. */
	rc = mdb_txn_commit(txn);
	return rc ? lmdb_reason(why, "data.mdb", rc) : RMQ_E_OK;
}

/*
 * LMDB maps its table of readers and fills it by and by: on a full disk a page that is not
 * there yet would be SIGBUS, and told as damage.
 */
static enum rmq_error claim_lock_file(int dir_fd, struct reason *why)
{
	struct stat st;
	int error = 0;
	int fd = openat(dir_fd, STORE_LOCK_FILE, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0)
		return RMQ_E_OK; /* LMDB says so, if it cannot do without */
	if (fstat(fd, &st) != 0 || (st.st_blocks * 512 < LOCK_BYTES &&
				       fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, LOCK_BYTES) != 0))
		error = errno == EOPNOTSUPP || errno == ENOSYS ? 0 : errno;
	close(fd);
	if (error)
		return reason_set(why, RMQ_E_IO, STORE_LOCK_FILE ": %s", strerror(error));
	return RMQ_E_OK;
}

static enum rmq_error open_env(
    struct store_env *e, const char *dir, int dir_fd, unsigned flags, struct reason *why)
{
	bool create = flags & MDB_CREATE;
	enum rmq_error err = create ? RMQ_E_OK : check_file(dir_fd, why);
	if (!err)
		err = claim_lock_file(dir_fd, why);
	if (err)
		return err;
	int rc = mdb_env_create(&e->env);
	if (rc) {
		e->env = NULL;
		return reason_set(why, RMQ_E_IO, "%s", mdb_strerror(rc));
	}
	mdb_env_set_assert(e->env, on_assert);
	mdb_env_set_mapsize(e->env, map_bytes());
	mdb_env_set_maxdbs(e->env, DATABASES);
	mdb_env_set_maxreaders(e->env, READERS_MAX);
	rc = mdb_env_open(e->env, dir, (flags & ~(unsigned)MDB_CREATE) | MDB_NOTLS, 0600);
	if (rc)
		return lmdb_reason(why, "data.mdb", rc);
	int error = create ? io_keep_owner(dir_fd, STORE_DATA_FILE, ".") : 0;
	if (!error)
		error = io_keep_owner(dir_fd, STORE_LOCK_FILE, STORE_DATA_FILE);
	/* A reader on a read-only file system makes none. */
	if (error && error != ENOENT)
		return reason_set(why, RMQ_E_IO, "chown: %s", strerror(error));
	/* LMDB does so with lock.mdb only; COMMAND and what it leaves running have no part in it. */
	mdb_filehandle_t fd;
	if (mdb_env_get_fd(e->env, &fd) || fcntl(fd, F_SETFD, FD_CLOEXEC) != 0)
		return reason_set(why, RMQ_E_IO, "data.mdb: %s", strerror(errno));
	/* Places of readers that were killed: there may be no other left. */
	int dead;
	(void)mdb_reader_check(e->env, &dead);
	MDB_stat stat;
	MDB_envinfo info;
	if (mdb_env_stat(e->env, &stat) || mdb_env_info(e->env, &info))
		return reason_set(why, RMQ_E_IO, "data.mdb cannot be read");
	e->page_size = stat.ms_psize;
	return check_size(fd, ((uint64_t)info.me_last_pgno + 1) * e->page_size, why);
}

enum rmq_error store_env_open(struct store_env *e, const char *dir, int dir_fd, unsigned flags,
    const struct identity *id, struct reason *why)
{
	*e = (struct store_env){.identity = *id};
	enum rmq_error err = open_env(e, dir, dir_fd, flags, why);
	if (!err)
		err = open_contents(e, flags & MDB_CREATE, id, why);
	if (err)
		store_env_close(e);
	return err;
}

enum rmq_error store_env_open_new(
    struct store_env *e, const char *dir, uint64_t bytes, MDB_txn **txn, struct reason *why)
{
	char path[4096];
	MDB_stat stat;
	uint64_t size = (bytes + bytes / 2) / MAP_STEP * MAP_STEP + 64 * MAP_STEP;
	*e = (struct store_env){0};
	if (snprintf(path, sizeof(path), "%s/" STORE_NEW_FILE, dir) >= (int)sizeof(path))
		return reason_set(why, RMQ_E_USAGE, "name is too long");
	int rc = mdb_env_create(&e->env);
	if (rc) {
		e->env = NULL;
		return reason_set(why, RMQ_E_IO, "%s", mdb_strerror(rc));
	}
	mdb_env_set_assert(e->env, on_assert);
	mdb_env_set_mapsize(e->env, size < STORE_MAP_BYTES ? (size_t)size : STORE_MAP_BYTES);
	mdb_env_set_maxdbs(e->env, DATABASES);
	rc = mdb_env_open(
	    e->env, path, MDB_NOSUBDIR | MDB_NOLOCK | MDB_NOSYNC | MDB_NOTLS, 0600);
	if (!rc)
		rc = mdb_env_stat(e->env, &stat);
	if (!rc)
		rc = mdb_txn_begin(e->env, NULL, 0, txn);
	if (rc)
		return lmdb_reason(why, STORE_NEW_FILE, rc);
	e->page_size = stat.ms_psize;
	rc = open_databases(e, *txn, MDB_CREATE);
	return rc ? lmdb_reason(why, STORE_NEW_FILE, rc) : RMQ_E_OK;
}

void store_env_close(struct store_env *e)
{
	if (e->env)
		mdb_env_close(e->env);
	e->env = NULL;
}

enum rmq_error store_env_state(
    const struct store_env *e, MDB_txn *txn, struct store_state *state)
{
	MDB_val key = name_of("state");
	MDB_val value;
	MDB_stat stat;
	struct store_meta_state m;
	int rc = mdb_get(txn, e->meta, &key, &value);
	if (!rc)
		rc = mdb_stat(txn, e->log, &stat);
	if (rc)
		return rc == MDB_NOTFOUND ? RMQ_E_CORRUPT : store_env_error(rc);
	if (!store_meta_state_decode(slice_of(value.mv_data, value.mv_size), &m))
		return RMQ_E_CORRUPT;
	*state = (struct store_state){m.next, m.term, m.checkpoint, stat.ms_entries, m.bytes};
	return RMQ_E_OK;
}

enum rmq_error store_env_put_state(
    const struct store_env *e, MDB_txn *txn, const struct store_state *state)
{
	uint8_t buffer[64];
	struct writer w = writer_of(buffer, sizeof(buffer));
	struct store_meta_state m = {state->next, state->term, state->checkpoint, state->bytes};
	store_meta_state_encode(&w, &m);
	MDB_val key = name_of("state");
	MDB_val value = {w.len, buffer};
	return store_env_error(mdb_put(txn, e->meta, &key, &value, 0));
}

enum rmq_error store_env_replica(
    const struct store_env *e, MDB_txn *txn, struct store_replica *replica)
{
	MDB_val key = name_of("replica");
	MDB_val value;
	struct store_meta_replica m;
	*replica = (struct store_replica){0};
	int rc = mdb_get(txn, e->meta, &key, &value);
	if (rc)
		return rc == MDB_NOTFOUND ? RMQ_E_OK : store_env_error(rc);
	if (!store_meta_replica_decode(slice_of(value.mv_data, value.mv_size), &m) ||
	    (m.vote.len != 0 && m.vote.len != RAFT_ID_SIZE))
		return RMQ_E_CORRUPT;
	*replica = (struct store_replica){true, {{0}}, m.commit, m.cover_index, m.cover_term};
	if (m.vote.len > 0)
		memcpy(replica->vote.bytes, m.vote.data, RAFT_ID_SIZE);
	return RMQ_E_OK;
}

enum rmq_error store_env_put_replica(
    const struct store_env *e, MDB_txn *txn, const struct store_replica *replica)
{
	uint8_t buffer[64];
	struct writer w = writer_of(buffer, sizeof(buffer));
	size_t vote_len = raft_id_none(replica->vote) ? 0 : RAFT_ID_SIZE;
	struct store_meta_replica m = {replica->commit, replica->cover_index,
	    replica->cover_term, slice_of(replica->vote.bytes, vote_len)};
	store_meta_replica_encode(&w, &m);
	MDB_val key = name_of("replica");
	MDB_val value = {w.len, buffer};
	return store_env_error(mdb_put(txn, e->meta, &key, &value, 0));
}

enum rmq_error store_env_ended(const struct store_env *e, MDB_txn *txn, enum raft_how *how)
{
	MDB_val key = name_of("ended");
	MDB_val value;
	struct store_meta_ended m;
	int rc = mdb_get(txn, e->meta, &key, &value);
	if (rc)
		return store_env_error(rc);
	if (!store_meta_ended_decode(slice_of(value.mv_data, value.mv_size), &m))
		return RMQ_E_CORRUPT;
	*how = (enum raft_how)m.how;
	return RMQ_E_OK;
}

enum rmq_error store_env_put_ended(const struct store_env *e, MDB_txn *txn, enum raft_how how)
{
	uint8_t buffer[8];
	struct writer w = writer_of(buffer, sizeof(buffer));
	store_meta_ended_encode(&w, &(struct store_meta_ended){(uint8_t)how});
	MDB_val key = name_of("ended");
	MDB_val value = {w.len, buffer};
	return store_env_error(mdb_put(txn, e->meta, &key, &value, 0));
}

/* Page numbers of LMDB's list of free pages. */
struct page_list {
	size_t *ids;
	size_t count;
	size_t cap;
};

/* A value of the list: a count and so many page numbers. */
static enum rmq_error page_list_add(struct page_list *l, const MDB_val *value)
{
	size_t count;
	if (value->mv_size < sizeof(count))
		return RMQ_E_CORRUPT;
	memcpy(&count, value->mv_data, sizeof(count));
	if (count > value->mv_size / sizeof(count) - 1)
		return RMQ_E_CORRUPT;
	if (l->cap - l->count < count) {
		size_t cap = 2 * l->cap + count;
		size_t *ids = realloc(l->ids, cap * sizeof(*ids));
		if (!ids)
			return RMQ_E_IO;
		l->ids = ids;
		l->cap = cap;
	}
	if (count > 0)
		memcpy(l->ids + l->count, (const size_t *)value->mv_data + 1,
		    count * sizeof(count));
	l->count += count;
	return RMQ_E_OK;
}

static int compare_ids(const void *a, const void *b)
{
	size_t x = *(const size_t *)a;
	size_t y = *(const size_t *)b;
	return (x > y) - (x < y);
}

/* Pages in a row that a record of so many bytes takes. */
static size_t record_pages(const struct store_env *e, size_t bytes)
{
	return (bytes + 16 + e->page_size - 1) / e->page_size;
}

/* Pages in runs of so many, in multiples of that; the list is sorted. */
static uint64_t page_list_runs(const struct page_list *l, size_t run_pages)
{
	uint64_t pages = 0;
	for (size_t i = 0, j; i < l->count; i = j) {
		for (j = i + 1; j < l->count && l->ids[j] == l->ids[j - 1] + 1; j++)
			;
		pages += (j - i) / run_pages * run_pages;
	}
	return pages;
}

/* A line of LMDB's about a reader: process, thread, and transaction or "-". */
static int see_reader(const char *line, void *arg)
{
	size_t *oldest = arg;
	size_t txnid;
	if (sscanf(line, "%*s %*s %zu", &txnid) == 1 && txnid < *oldest)
		*oldest = txnid;
	return 0;
}

/* What transactions below this have freed can be used by the next one that writes. */
static size_t oldest_seen(const struct store_env *e, const MDB_envinfo *info)
{
	size_t oldest = info->me_last_txnid;
	(void)mdb_reader_list(e->env, see_reader, &oldest);
	return oldest;
}

enum rmq_error store_env_pages(
    const struct store_env *e, MDB_txn *txn, struct store_pages *pages)
{
	MDB_cursor *cursor;
	MDB_val key, value;
	MDB_envinfo info;
	mdb_filehandle_t fd;
	struct stat st;
	struct page_list list = {0}, pinned = {0};
	enum rmq_error err = RMQ_E_OK;
	if (mdb_env_info(e->env, &info))
		return RMQ_E_IO;
	size_t oldest = oldest_seen(e, &info);
	int rc = mdb_cursor_open(txn, FREE_DATABASE, &cursor);
	if (rc)
		return store_env_error(rc);
	while (!err && (rc = mdb_cursor_get(cursor, &key, &value, MDB_NEXT)) == 0) {
		size_t freed_by;
		if (key.mv_size != sizeof(freed_by)) {
			err = RMQ_E_CORRUPT;
			break;
		}
		memcpy(&freed_by, key.mv_data, sizeof(freed_by));
		err = page_list_add(freed_by < oldest ? &list : &pinned, &value);
	}
	mdb_cursor_close(cursor);
	if (!err && rc != MDB_NOTFOUND)
		err = store_env_error(rc);
	if (!err && (mdb_env_get_fd(e->env, &fd) || fstat(fd, &st)))
		err = RMQ_E_IO;
	if (list.count > 0)
		qsort(list.ids, list.count, sizeof(*list.ids), compare_ids);
	if (!err) {
		size_t run = record_pages(e, RECORD_FILL + RECORD_HEADER_SIZE);
		size_t long_run = record_pages(e, RECORD_MAX);
		*pages = (struct store_pages){.page_size = e->page_size,
		    .used = (uint64_t)info.me_last_pgno + 1 - list.count - pinned.count,
		    .free = list.count + pinned.count,
		    .usable = list.count,
		    .free_runs = page_list_runs(&list, run),
		    .free_long_runs = page_list_runs(&list, long_run),
		    .file_bytes = (uint64_t)st.st_size};
	}
	free(list.ids);
	free(pinned.ids);
	return err;
}

/* That of the newest boundary at or below the index. */
int store_env_term(
    const struct store_env *e, MDB_txn *txn, uint64_t index, uint64_t *term, uint64_t *end)
{
	uint8_t key_bytes[STORE_KEY_SIZE];
	MDB_val key = {STORE_KEY_SIZE, key_bytes};
	MDB_val value;
	MDB_cursor *cursor;
	int rc = mdb_cursor_open(txn, e->terms, &cursor);
	if (rc)
		return rc;
	*end = UINT64_MAX;
	store_env_key(key_bytes, index + 1);
	rc = mdb_cursor_get(cursor, &key, &value, MDB_SET_RANGE);
	if (!rc && !store_env_index(&key, end))
		rc = MDB_CORRUPTED;
	else if (!rc || rc == MDB_NOTFOUND)
		rc = mdb_cursor_get(cursor, &key, &value, rc ? MDB_LAST : MDB_PREV);
	if (!rc && value.mv_size != sizeof(*term))
		rc = MDB_CORRUPTED;
	if (!rc)
		*term = load_u64(value.mv_data);
	mdb_cursor_close(cursor);
	return rc;
}
