/*
 * A data directory's identity: the file DIR/identity, lines of a key and a value.  It says
 * that there should be data, of which format, and whose; the same identity stands inside
 * of the data file.  The directory's one owner holds flock(2) on it, which holds also if
 * LMDB's own lock file is removed.
 */
#ifndef RMQ_SYS_STORE_IDENTITY_H
#define RMQ_SYS_STORE_IDENTITY_H

#include <stdbool.h>
#include <stdint.h>

#include "core/base/error.h"
#include "sys/process/reason.h"

#define IDENTITY_FILE	  "identity"
#define INCARNATION_BYTES 16

struct identity {
	uint16_t version;			/* JOURNAL_VERSION */
	uint8_t incarnation[INCARNATION_BYTES]; /* random, made with the directory */
};

/* A new one.  RMQ_E_IO: no random numbers. */
enum rmq_error identity_make(struct identity *id) __attribute__((warn_unused_result));

/*
 * Making a directory, in two steps, so that one that was begun and not finished can be told
 * from one that lost its data.  begin makes DIR/identity.new and holds the directory's lock by
 * *fd; *again says that an earlier attempt left it there.  RMQ_E_EXISTS: there is an identity;
 * RMQ_E_BUSY: another process is at it, and still after a second.  finish writes it and gives it
 * its name; both are durable then.
 */
#define IDENTITY_NEW_FILE "identity.new"
enum rmq_error identity_begin(int dir, int *fd, bool *again, struct reason *why)
    __attribute__((warn_unused_result));
enum rmq_error identity_finish(int dir, int fd, const struct identity *id, struct reason *why)
    __attribute__((warn_unused_result));

/*
 * Reads DIR/identity.  With `lock`, *fd is the open file and holds the directory's lock;
 * RMQ_E_BUSY if someone else does, and still after a second.  RMQ_E_CONFIG: no such file;
 * RMQ_E_CORRUPT: not readable as an identity; RMQ_E_VERSION: of an unknown format.
 */
enum rmq_error identity_read(int dir, bool lock, struct identity *id, int *fd,
    struct reason *why) __attribute__((warn_unused_result));

bool identity_equal(const struct identity *a, const struct identity *b);

/* The incarnation as lower-case hexadecimal digits. */
#define IDENTITY_TEXT_SIZE (2 * INCARNATION_BYTES + 1)
void identity_text(const struct identity *id, char text[IDENTITY_TEXT_SIZE]);

#endif
