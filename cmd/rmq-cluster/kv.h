/* rmq-cluster kv: a client of the queue daemon, which keeps the map. */
#ifndef RMQ_CLUSTER_KV_H
#define RMQ_CLUSTER_KV_H

#include "core/client/client_map.h"
#include "core/client/table.h"
#include "sys/client/client_io.h"
#include "sys/client/client_options.h"

#define KV_COLUMNS "key,version,size"

struct kv_row {
	uint64_t version;
	uint32_t size;
	uint8_t key_len;
	char key[NAME_FULL_MAX];
};

struct kv {
	struct client_options common;
	bool json;
	const char *fields; /* -o, NULL: not given */
	bool has_condition;
	uint64_t condition; /* the key must have this version */
	bool if_absent;	    /* --if-absent: the same as a condition of 0 */
	bool prints_version;
	bool has_since;
	uint64_t since;

	struct client_io io;
	const char *about; /* what a failure is about; NULL: nothing */
	bool waiting;
	bool watches; /* ends when nobody reads stdout any more */
	enum rmq_error code;
	uint64_t version;      /* of the newest change, or that was read */
	struct wire_kv_at at;  /* the newest answer's end */
	struct client_map map; /* what was read so far */
	unsigned news;	       /* … by the newest answer */
	void (*row)(struct kv *k, const struct wire_kv_is *row);
	bool found;
	struct text value; /* that was read */
	struct kv_row **rows;
	size_t rows_count;
	size_t rows_cap;
};

/* Take what the options say; false: it is no version. */
bool kv_condition(struct kv *k, const char *value);
bool kv_since(struct kv *k, const char *value);

/* Runs the verb with the words after it.  Failures were printed. */
enum rmq_error kv_run(struct kv *k, const char *verb, char **words, int count)
    __attribute__((warn_unused_result));

#endif
