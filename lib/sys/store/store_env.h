/*
 * What both roles of store.h have in common: the LMDB environment of a data directory.
 * Private to store_*.c.
 */
#ifndef RMQ_SYS_STORE_STORE_ENV_H
#define RMQ_SYS_STORE_STORE_ENV_H

#include <lmdb.h>

#include "sys/store/store.h"

#define STORE_DATA_FILE "data.mdb"
#define STORE_LOCK_FILE "lock.mdb"
#define STORE_NEW_FILE	"data.mdb.compact" /* what is to be data.mdb, while it is made */
#define STORE_MARKS	"marks"

/*
 * Address space only; the same in every process, so that no map is ever outgrown.  Where address
 * space is limited (ulimit -v) it is half of the limit, and the data file grows no larger.
 */
#define STORE_MAP_BYTES ((size_t)1 << 40)

/*
 * The values of database `meta`, under the keys "identity", "state", "replica" and "ended".
 *
 * To bump: raise JOURNAL_VERSION; store_env_open() then takes directories of the old
 * version to the new one, or refuses them.
 */
#define STORE_IDENTITY(F) F(u16, version) F(rest, incarnation)
#define STORE_STATE(F)	  F(u64, next) F(u64, term) F(u64, checkpoint) F(u64, bytes)
#define STORE_REPLICA(F)  F(u64, commit) F(u64, cover_index) F(u64, cover_term) F(str, vote)
#define STORE_ENDED(F)	  F(u8, how)
CODEC_MESSAGE(store_meta, identity, STORE_IDENTITY)
CODEC_MESSAGE(store_meta, state, STORE_STATE)
CODEC_MESSAGE(store_meta, replica, STORE_REPLICA)
CODEC_MESSAGE(store_meta, ended, STORE_ENDED)

struct store_env {
	MDB_env *env;
	MDB_dbi log;   /* index (store_env_key) -> record */
	MDB_dbi meta;  /* names -> values */
	MDB_dbi terms; /* first index of a term (store_env_key) -> u64 term */
	MDB_dbi marks; /* index (store_env_key) of a CONFIG or END -> u8 kind */
	bool has_marks;
	size_t page_size;
	struct identity identity;
};

/* Keys sort as their numbers do: big-endian. */
#define STORE_KEY_SIZE 8
void store_env_key(uint8_t key[STORE_KEY_SIZE], uint64_t index);
/* False: it is not a key. */
bool store_env_index(const MDB_val *key, uint64_t *index);

/* What LMDB's error code means here. */
enum rmq_error store_env_error(int rc);

/* The directory as a descriptor, for openat(2). */
enum rmq_error store_env_dir(const char *dir, int *fd, struct reason *why)
    __attribute__((warn_unused_result));

/* identity_read(), and RMQ_E_CORRUPT if there is none but data. */
enum rmq_error store_env_identity(int dir_fd, bool lock, struct identity *id, int *fd,
    struct reason *why) __attribute__((warn_unused_result));

/*
 * Opens the environment of a directory whose identity file says `id`; flags: LMDB's, MDB_CREATE
 * makes its databases.  Leaves e->env NULL on error.
 */
enum rmq_error store_env_open(struct store_env *e, const char *dir, int dir_fd, unsigned flags,
    const struct identity *id, struct reason *why) __attribute__((warn_unused_result));
void store_env_close(struct store_env *e);

/*
 * The environment of an empty STORE_NEW_FILE of the directory, for at most so many bytes or the
 * half more, which nobody else uses: it has no lock file, and its commits are not durable.  *txn
 * has made its databases.
 */
enum rmq_error store_env_open_new(struct store_env *e, const char *dir, uint64_t bytes,
    MDB_txn **txn, struct reason *why) __attribute__((warn_unused_result));

/* As of the transaction. */
enum rmq_error store_env_state(const struct store_env *e, MDB_txn *txn,
    struct store_state *state) __attribute__((warn_unused_result));
enum rmq_error store_env_put_state(const struct store_env *e, MDB_txn *txn,
    const struct store_state *state) __attribute__((warn_unused_result));
/* All zero if there is none. */
enum rmq_error store_env_replica(const struct store_env *e, MDB_txn *txn,
    struct store_replica *replica) __attribute__((warn_unused_result));
enum rmq_error store_env_put_replica(const struct store_env *e, MDB_txn *txn,
    const struct store_replica *replica) __attribute__((warn_unused_result));
/* RMQ_E_NOTHING: there is none. */
enum rmq_error store_env_ended(const struct store_env *e, MDB_txn *txn, enum raft_how *how)
    __attribute__((warn_unused_result));
enum rmq_error store_env_put_ended(const struct store_env *e, MDB_txn *txn, enum raft_how how)
    __attribute__((warn_unused_result));
/* `txn` is read-only. */
enum rmq_error store_env_pages(const struct store_env *e, MDB_txn *txn,
    struct store_pages *pages) __attribute__((warn_unused_result));

/* The log's term at `index`, and at those before *end.  LMDB's error code. */
int store_env_term(const struct store_env *e, MDB_txn *txn, uint64_t index, uint64_t *term,
    uint64_t *end) __attribute__((warn_unused_result));

#endif
