/*
 * Room: how much more a journal may take, so that it never meets a full disk.
 *
 * The data file is extended with zeros beyond the pages in use, in steps: overwriting is faster
 * than growing, and pages that exist cannot run out.  New messages are let in only up to pages
 * that exist, less a reserve for the records that drain a queue: leases, settlements,
 * checkpoints, moves.  The reserve is pages of the data file, written when the directory is
 * opened and whenever there is space to refill it: whatever fills the file system, a full queue
 * can be emptied.  A commit begins only if its pages exist.
 */
#ifndef RMQ_SYS_STORE_ROOM_H
#define RMQ_SYS_STORE_ROOM_H

#include "sys/store/store.h"

/* Records, by the free pages in a row that the largest of them needs. */
enum room_records {
	ROOM_SMALL,    /* they share pages: any free page will do */
	ROOM_ORDINARY, /* up to RECORD_FILL */
	ROOM_LARGE,    /* up to RECORD_PAYLOAD_MAX */
	ROOM_KINDS
};

struct room {
	uint64_t disk_total;	    /* bytes */
	uint64_t disk_left;	    /* bytes that may still become ours, when last looked */
	uint64_t asked;		    /* bytes that are to exist for the next commit */
	enum room_records asked_of; /* … in records like this */
	/* Usable by records like this; estimates that are too low. */
	uint64_t free_pages[ROOM_KINDS];
	uint64_t walk_after_ms;	   /* the list of free pages is not walked again before */
	uint64_t try_after_ms;	   /* nor is the file system asked for more */
	uint64_t readers_after_ms; /* nor is it looked for readers that are gone */
	uint64_t kept;	    /* bytes that are to be kept back, whatever the file's size */
	bool short_of_disk; /* it gave less than was wanted */
	bool stale;	    /* pages may have been freed since the walk */
	unsigned switches;  /* store_switches() when last looked */
};

/*
 * Keeps this many bytes, but no more than half of the file system, or the usual reserve if that
 * is more.  The pages for it are made by the next room_update().
 */
void room_keep(struct room *r, uint64_t bytes);

/* Looks at a directory that was just opened; writes the first step.  Outside of a commit. */
enum rmq_error room_init(struct room *r, struct store *s, uint64_t now_ms)
    __attribute__((warn_unused_result));

/*
 * Call between commits: makes pages ahead if there are few.  `spent`: pages of the records that
 * the last commit added; `freed`: whether it deleted some.  now_ms: any clock that does not
 * go back.
 */
enum rmq_error room_update(struct room *r, struct store *s, uint64_t spent, bool freed,
    uint64_t now_ms) __attribute__((warn_unused_result));

/*
 * The next commit adds so many bytes of records; 0: nothing that counts.  From then on
 * room_update() tries to have the pages for it, with a few to spare for commits that were not
 * asked for, and for the record with which a leader begins; room_fits() says whether they are
 * there.
 */
void room_ask(struct room *r, const struct store *s, uint64_t bytes, enum room_records of);
/* What a record with such a payload is. */
enum room_records room_records(const struct store *s, size_t payload_len);
bool room_fits(const struct room *r, const struct store *s);

/* Whether one commit without records has the pages that it takes. */
bool room_for_one(const struct room *r, const struct store *s);

/* Whether room_update() will write to the disk, or try to, though nothing was freed. */
bool room_is_low(const struct room *r, const struct store *s);

/* When to call room_update() again though nothing was committed; UINT64_MAX: no need. */
uint64_t room_due_ms(const struct room *r);

/* Bytes of records with new messages that may come. */
uint64_t room_bytes(const struct room *r, const struct store *s);

/*
 * Bytes of records that no commit waits for, whose largest is such a one: what the reserve
 * has as well.
 */
uint64_t room_for_sure(const struct room *r, const struct store *s, enum room_records of);

/* Bytes that one commit should not exceed. */
uint64_t room_commit_bytes(const struct room *r, const struct store *s);

#endif
