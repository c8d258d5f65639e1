/* --id-from: the id of a message, made of its body. */
#ifndef RMQ_SEND_RECORD_ID_H
#define RMQ_SEND_RECORD_ID_H

#include <stdbool.h>
#include <stdint.h>

#include "core/base/codec.h"

#define RECORD_ID_SIZE 16

/* Where ids come from. */
struct record_id {
	bool used;
	const char *path; /* in JSON: ".order.lines[0]"; NULL: all of the body */
};

/* "hash", "json:.path".  False: neither. */
bool record_id_parse(const char *text, struct record_id *r) __attribute__((warn_unused_result));

/* The same of equal bodies, or equal values in them.  NULL, or why there is none. */
const char *record_id(const struct record_id *r, struct slice body, uint8_t id[RECORD_ID_SIZE]);

#endif
