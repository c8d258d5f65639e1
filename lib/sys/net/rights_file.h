/*
 * The file of rights, rmq-rights(5): which clients with keys may come, from where and until when,
 * and what they and the users of this machine may do.  Lines
 *
 *	VERBS CONDITION... WHO [NAME]
 *
 * WHO is rmq1:KEY, user:NAME or group:NAME; empty lines and comments as of lines.h.  One bad line
 * makes the whole file invalid, as do a last line without a newline, and no line at all: such a file
 * is being written.  The line "none" stands in one that is to grant nothing.  What no line grants is denied.
 *
 * An answer is a function of the file, of who asks and of the time alone.  So a daemon that reads
 * the file anew keeps nothing of the answers: it asks both files whether they differ.
 */
#ifndef RMQ_SYS_NET_RIGHTS_FILE_H
#define RMQ_SYS_NET_RIGHTS_FILE_H

#include <sys/tree.h>
#include <sys/types.h>

#include "core/base/time.h"
#include "core/link/key.h"
#include "core/queue/rights.h"
#include "core/wire/wire.h"
#include "sys/process/reason.h"

struct sockaddr;

/* Zeroed memory is an empty one: it grants nothing. */
RB_HEAD(rights_tree, rights_of_one);
struct rights_file {
	struct rights_tree all; /* keys, users and groups */
	size_t groups_len;	/* bytes of the lists of all groups */
	size_t user_len;	/* of the user who has the longest */
	bool none;		/* it says so */
	uint64_t sum;		/* of its lines: see rights_file_tag() */
};

/* What somebody may do. */
struct rights_granted {
	char name[BEHALF_NAME_MAX + 1]; /* the principal's; "": a user of this machine */
	struct wall_time until;		/* then it is to be asked again; UINT64_MAX: never */
	size_t len;
	uint8_t list[RIGHTS_MAX]; /* core/queue/rights.h; never empty */
};

static inline struct slice rights_granted_list(const struct rights_granted *g)
{
	return slice_of(g->list, g->len);
}

/*
 * Reads a file, in place of what *f holds; on failure that is untouched.  RMQ_E_CONFIG: there is no
 * such file, or something in it is wrong: *why is "FILE:LINE: text".  RMQ_E_DENIED: not readable,
 * or others can write to it; RMQ_E_IO; RMQ_E_LIMIT: out of memory.  With each of them *why has a text.
 * Names of users and groups are looked up now.
 */
enum rmq_error rights_file_read(struct rights_file *f, const char *path, struct reason *why)
    __attribute__((warn_unused_result));

/* The same of bytes in memory; `path` is what *why calls them. */
enum rmq_error rights_file_parse(struct rights_file *f, struct slice bytes, const char *path,
    struct reason *why) __attribute__((warn_unused_result));

/* Whether a line names the key, be it for other addresses or over: for link_known. */
bool rights_file_knows(const struct rights_file *f, const uint8_t key[KEY_SIZE]);

/*
 * Never 0, and the same for files with the same lines in any order, whatever their comments and empty
 * lines: so that nodes can say whether they have the same file.  Others may have it too.
 */
uint16_t rights_file_tag(const struct rights_file *f);

/*
 * What a client with that key may do that comes from there.  RMQ_E_DENIED: nothing; *why (a
 * constant, without a name) says whether the key is unknown, not to come from there, or over.
 */
enum rmq_error rights_file_key(const struct rights_file *f, const uint8_t key[KEY_SIZE],
    const struct sockaddr *from, struct wall_time now, struct rights_granted *g,
    const char **why) __attribute__((warn_unused_result));

/* What a process of that user and these groups may do: of all of them together. */
enum rmq_error rights_file_user(const struct rights_file *f, uid_t uid, const gid_t *groups,
    size_t groups_count, struct wall_time now, struct rights_granted *g, const char **why)
    __attribute__((warn_unused_result));

/*
 * Whether two files give the same answer now, `until` included.  If not, or once `until` is reached,
 * connections that go by it must end.
 */
bool rights_file_same_key(const struct rights_file *a, const struct rights_file *b,
    const uint8_t key[KEY_SIZE], const struct sockaddr *from, struct wall_time now);
bool rights_file_same_user(const struct rights_file *a, const struct rights_file *b, uid_t uid,
    const gid_t *groups, size_t groups_count, struct wall_time now);

void rights_file_deinit(struct rights_file *f);

#endif
