/*
 * What the map held when, by the journal, and whether what clients are told fits that: each answer is the state
 * at one moment between its question and its end.  And what those have seen who go on with its changes.
 */
#ifndef SIM_MAPS_H
#define SIM_MAPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/client/client_map.h"

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
	uint32_t req;	 /* READ */
	bool found;	 /* … so far */
	uint64_t version;
};

/* One that goes on with the changes of all keys, or of one. */
struct map_view {
	bool on;
	bool asking;
	struct client_map read;
	unsigned key; /* MAPS_KEYS: all */
	uint64_t from;
	uint64_t told[MAPS_KEYS]; /* the newest change of each; 0: none */
	uint64_t count;		  /* of changes that were told, or left out and counted */
};

struct maps;
struct maps *maps_new(void);
void maps_free(struct maps *m);

/* A record on disk: the key has that value, as text; NULL: it is deleted. */
void maps_change(struct maps *m, struct slice key, uint64_t version, const struct slice *value);

/* 0: there was no change. */
uint64_t maps_newest(const struct maps *m);
/* Some version that the key has or had, or 0. */
uint64_t maps_some_version(const struct maps *m, unsigned key, uint64_t random);
/* A value that was never put, and its text: some bytes long. */
uint32_t maps_value(struct maps *m);
size_t maps_text(uint32_t value, char text[256]);

void maps_ask(const struct maps *m, struct map_op *op);
/* It is done, with this version; or was refused and did nothing. */
void maps_done(struct maps *m, struct map_op *op, uint64_t version);
void maps_refused(struct maps *m, struct map_op *op, bool unmet);
/* READ: a row, … */
void maps_row(struct maps *m, struct map_op *op, const struct wire_kv_is *row);
/* … and that is so when the map has that version. */
void maps_read(struct maps *m, struct map_op *op, uint64_t newest);

void maps_view_begin(struct map_view *v, unsigned key, uint64_t since);
void maps_view_row(const struct maps *m, struct map_view *v, const struct wire_kv_is *row);
/* An answer is at its end, and this was left out. */
void maps_view_at(
    const struct maps *m, struct map_view *v, const struct wire_kv_at *at, unsigned news);
/* Whether there is nothing that it will be told. */
bool maps_view_done(const struct maps *m, const struct map_view *v);

#endif
