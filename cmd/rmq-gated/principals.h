/*
 * Clients that have keys: which ones may come and what they may do, by the file of rights; and how
 * much one of them may take.
 *
 * A principal is a name in the file; it may have several keys, and each key many links.  A link keeps
 * nothing of what the file says but until when that holds.
 */
#ifndef RMQ_GATED_PRINCIPALS_H
#define RMQ_GATED_PRINCIPALS_H

#include <sys/tree.h>
#include <uv.h>

#include "core/base/limits.h"
#include "sys/net/link_conn.h"
#include "sys/net/rights_file.h"
#include "sys/process/log.h"

struct gate;
struct gate_link;
struct stream;

struct principal {
	RB_ENTRY(principal) by_name;
	unsigned links;
	unsigned streams;
	uint32_t budget; /* of the gate's, for its large windows */
	struct link_parts parts;
	/*
	 * Until then it has begun its share of streams, in parts of a millisecond: each takes GATE_OPENS_MS of
	 * these, of which GATE_OPENS_PRINCIPAL pass in one, and at most GATE_OPENS_MS are taken before.
	 */
	uint64_t opens;
	char name[BEHALF_NAME_MAX + 1];
};
RB_HEAD(principal_tree, principal);

struct principals {
	bool given; /* there is a file: clients are served */
	struct rights_file file;
	struct principal_tree tree;
	unsigned links;	 /* of all */
	unsigned denied; /* of those who may not come, and are told so */
	struct link_parts denied_parts;
	uint64_t swept_ms;
	unsigned links_max;
	uv_timer_t expiry; /* runs while something has an end */
	struct log_rate let_in, refused, ended;
};

/* Reads the file that the settings name, if they do.  Errors as rights_file_read(). */
enum rmq_error principals_open(struct gate *g, struct reason *why)
    __attribute__((warn_unused_result));
void principals_close(struct gate *g);

/* Reads it anew; if it has an error the old one stays.  Links of whom it changes end. */
void principals_reload(struct gate *g);

/* Whether the file names the key. */
bool principals_know(const struct gate *g, const uint8_t key[KEY_SIZE]);

/*
 * A client's link is up: whose it is.  If it may not be, it has no principal, which an OPEN is told;
 * or it has ended.  The log has a line either way.
 */
void principals_begin(struct gate_link *l);
void principals_end(struct gate_link *l);

/* What may be kept of frames of its that are not whole. */
struct link_parts *principals_parts(struct gate_link *l);

/* What it may do now.  RMQ_E_DENIED: nothing. */
enum rmq_error principals_ask(struct gate_link *l, struct rights_granted *granted)
    __attribute__((warn_unused_result));

/* Whom another gate brings; NULL: out of memory.  It is kept while it has a stream. */
struct principal *principals_named(struct gate *g, const char *name);

/* Whether it may have one more stream now, which counts: neither too many nor too fast. */
bool principals_may_open(struct gate *g, struct principal *p)
    __attribute__((warn_unused_result));

/*
 * What a client of this machine may do, whom another node's gate is to bring to the queue.  False: he is
 * not restricted.  If nothing is granted, the list is empty.
 */
bool principals_user(struct stream *s, struct rights_granted *granted);

/* It has a share of the gate's budget for large windows. */
bool principals_widen(struct principal *p);

/* A stream is freed, that had a large window or not; until then it counts, also without a link. */
void principals_ended(struct principal *p, bool wide);

#endif
