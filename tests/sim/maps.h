/*
 * What clients know of the map, from answers alone: which change had which version.  All of them must fit
 * one order, in which each answer lies between its question and its end.
 */
#ifndef SIM_MAPS_H
#define SIM_MAPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MAPS_KEYS 6

enum map_verb { MAP_READ, MAP_PUT, MAP_DELETE };

/* What one client asks, one at a time. */
struct map_op {
	bool on;
	enum map_verb verb;
	unsigned key;
	uint32_t value; /* PUT: no other one has it */
	bool has_condition;
	uint64_t condition;
	uint64_t before; /* no older version may be the answer */
	bool found;	 /* READ: so far */
	uint64_t version;
};

struct maps;
struct maps *maps_new(void);
void maps_free(struct maps *m);

/* Some version that the key has or had, or 0. */
uint64_t maps_some_version(const struct maps *m, unsigned key, uint64_t random);
/* A value that was never put, and its text: some bytes long. */
uint32_t maps_value(struct maps *m);
size_t maps_text(uint32_t value, char text[256]);

void maps_ask(const struct maps *m, struct map_op *op);
/* It is done, with this version; or was refused and did nothing. */
void maps_done(struct maps *m, struct map_op *op, uint64_t version);
void maps_refused(struct maps *m, struct map_op *op);
/* READ: the key has this value. */
void maps_row(
    struct maps *m, struct map_op *op, uint64_t version, const void *text, size_t len);
/* … and that is so when the map has that version. */
void maps_read(struct maps *m, struct map_op *op, uint64_t newest);

#endif
