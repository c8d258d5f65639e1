/*
 * A message with its attributes, as a line of JSON (an envelope) or as fields.
 *
 *	{"id":"jobs:42","queue":"jobs","seq":42,"time":"…Z","attempt":1,"failures":0,
 *	 "receipt":"jobs:42:7","until":"…Z","priority":4,"key":null,"headers":{},"body":"…"}
 *
 * A dead letter also has "note" (where it came from, and why) before its body, a message
 * that is only looked at "state".  A body that is not UTF-8 is "body64".
 */
#ifndef RMQ_CORE_CLIENT_ENVELOPE_H
#define RMQ_CORE_CLIENT_ENVELOPE_H

#include "core/base/text.h"
#include "core/client/client.h"

struct envelope {
	struct slice queue;
	uint64_t seq;
	uint64_t lease; /* 0: not leased */
	struct wall_time time;
	struct wall_time until; /* 0: none */
	uint32_t attempt;
	uint32_t failures;
	uint8_t state; /* STATE_*, 0: not told */
	struct slice note;
	uint8_t priority;
	struct slice key;     /* empty: none */
	struct slice headers; /* value of ATTRIBUTE_HEADERS; empty: none */
	struct slice body;
};

/* Where the attributes of the message before were; begins as zeros. */
struct envelope_cursors {
	struct attribute_cursor headers, priority, key;
};

/* Message i of a delivery. */
struct envelope envelope_of(const struct client_delivery *d, struct slice queue, uint32_t i,
    struct envelope_cursors *cursors);

/* Both append, without anything after it. */
void envelope_put_json(struct text *out, const struct envelope *e);

/* The fields, by their names; put_##name() in envelope.c puts it. */
/* clang-format off */
#define ENVELOPE_FIELDS(X) \
	X(id) X(queue) X(seq) X(time) X(attempt) X(failures) X(receipt) X(until) X(priority) X(key) \
	X(headers) X(state) X(note) X(body)
/* clang-format on */
#define ENVELOPE_FIELD_WORD(name) "," #name
#define ENVELOPE_FIELD_WORDS	  ENVELOPE_FIELDS(ENVELOPE_FIELD_WORD) /* ",id,queue,..." */

#define ENVELOPE_FIELDS_MAX 16
struct envelope_fields {
	uint8_t field[ENVELOPE_FIELDS_MAX];
	uint32_t count;
	bool body; /* the last one is the body */
};

/* "receipt,body".  False: a name that is none, too many, or a body that is not the last. */
bool envelope_fields_parse(struct envelope_fields *f, const char *list)
    __attribute__((warn_unused_result));
void envelope_put_fields(
    struct text *out, const struct envelope *e, const struct envelope_fields *f);

/* A member of a JSON object, "NAME":"TEXT", or "NAME64" if the bytes are not UTF-8. */
void envelope_put_bytes(struct text *out, const char *name, struct slice s);

/* A JSON string with its quotes; bytes that are not UTF-8 become U+FFFD. */
void envelope_put_string(struct text *out, struct slice s);

#endif
