/*
 * Every message that a simulated sender ever wrote.  A message's number stands in its
 * body, whose other bytes follow from the number, so that a body can be recognised and
 * compared wherever it turns up.
 */
#ifndef SIM_LINES_H
#define SIM_LINES_H

#include "core/base/codec.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Topics that messages are sent to, and patterns that queues are bound to. */
#define LINE_TOPICS   4
#define LINE_PATTERNS 5
extern const char *const line_topics[LINE_TOPICS];
extern const char *const line_patterns[LINE_PATTERNS];
/* For each topic the patterns that match it, as bits. */
extern const uint8_t line_matches[LINE_TOPICS];

/* Each of the queues that a message is sent to has it for itself: */
struct line_copy {
	uint32_t queue; /* where it is now, */
	uint64_t seq;
	uint64_t first_seq; /* and as what it was stored first */
	uint32_t first_queue;
};

/* When and in which order a message was asked to be handed out. */
#define LINE_NO_PRIORITY 255
struct line_lane {
	uint64_t until_ms;  /* wall clock; 0: at once */
	uint64_t expire_ms; /* wall clock; 0: never */
	uint8_t priority;
	uint8_t key; /* 1 to LINE_KEYS; 0: none */
};
#define LINE_KEYS 6

struct line_state {
	uint32_t len;
	uint32_t attributes; /* which ones it has; 0: none */
	struct line_lane lane;
	bool replaces;		/* older ones of its key */
	uint32_t sender;	/* which process wrote it, */
	uint32_t wanted;	/* and to how many queues */
	uint32_t stored;	/* in how many it was stored */
	uint64_t stored_ms;	/* when it was, lease time */
	struct line_copy *copy; /* `stored` of them */
	uint8_t topic;		/* the number of its topic + 1; 0: it was sent to queues */
	bool settles;		/* it is stored together with a settlement */
	bool sent;		/* its sender was told that it is stored */
	bool refused;		/* its sender was told that it is not */
};

struct lines {
	struct line_state *all;
	uint32_t count, cap;
};

#define LINE_MIN 5

void lines_free(struct lines *l);
/* A new message of so many bytes, at least LINE_MIN; its number. */
uint32_t lines_new(struct lines *l, uint32_t len);
/* Writes its body, l->all[line].len bytes. */
void lines_body(const struct lines *l, uint32_t line, uint8_t *body);
/* Attributes number `which` (0: none) and this lane, of a batch or a large message, as a list. */
#define LINE_ATTRIBUTES_MAX 1024
struct slice lines_attributes(
    uint32_t which, const struct line_lane *lane, uint8_t list[LINE_ATTRIBUTES_MAX]);
/* The list with the lanes of these lines after it, each its own: no attribute in both ways. */
struct slice lines_lanes(const struct lines *l, const uint32_t *lines, uint32_t count,
    size_t len, uint8_t list[LINE_ATTRIBUTES_MAX]);
/* One more queue has got it; its copy there. */
struct line_copy *lines_stored(struct lines *l, uint32_t line);
/* Whose body begins like this; UINT32_MAX: nobody's. */
uint32_t lines_begun(const struct lines *l, struct slice body);
/* Whose body this is, byte for byte; UINT32_MAX: nobody's. */
uint32_t lines_recognise(const struct lines *l, struct slice body);

#endif
