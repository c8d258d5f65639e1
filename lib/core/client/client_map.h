/*
 * Reading the map: what is there, as it is at one moment, and then, for who goes on, what changes, whatever
 * connections are lost meanwhile.  Of each key the newest change is always told, in order of versions.
 */
#ifndef RMQ_CORE_CLIENT_CLIENT_MAP_H
#define RMQ_CORE_CLIENT_CLIENT_MAP_H

#include "core/client/client.h"

struct client_map {
	uint8_t
	    flags; /* KV_PREFIX, KV_VALUES; KV_WAIT: it goes on once it has told what is there */
	uint64_t since; /* all up to that version was told; 0: nothing was */
	uint64_t known; /* deletions up to that one need not be told */
	uint64_t seen;	/* of the newest row */
	bool current;	/* what was there has been told */
	uint32_t req;
};

/* What an answer means besides its rows. */
enum client_map_news {
	CLIENT_MAP_ANEW = 1,	 /* what was told is of no use: all that is there comes now */
	CLIENT_MAP_CURRENT = 2,	 /* that was all that was there, as of `since` */
	CLIENT_MAP_LEFT_OUT = 4, /* so many changes, at least, were not told: newer ones were */
};

/* since: where to go on; 0: with what is there. */
void client_map_begin(struct client_map *m, uint8_t flags, uint64_t since);
/* Asks for the key, or what begins so; again after each answer, until it is at its end. */
void client_map_ask(
    struct client_map *m, struct client *c, struct mono_time now, struct slice key);
/* Whether a row is new: one may come again after a connection was lost. */
bool client_map_row(struct client_map *m, const struct wire_kv_is *row);
/* The answer is complete: news; known as kv_at() has it. */
unsigned client_map_at(
    struct client_map *m, const struct wire_kv_at *at, uint32_t rows, uint64_t known);

#endif
