/*
 * What clients wait for (WATCH): nobody is told before it is so, and once it is, everybody is who
 * still waits.
 */
#ifndef SIM_WATCHES_H
#define SIM_WATCHES_H

#include "world.h"

#include "core/wire/wire.h"

/* What a client, or a daemon for a connection, waits for. */
struct watch {
	bool on;
	uint32_t req;
	uint8_t what; /* WATCH_* */
	uint64_t messages;
	uint8_t name_len;
	char name[NAME_FULL_MAX];
	uint64_t since_ms; /* lease time, by the daemon's */
	uint32_t queue;	   /* the one on disk then; UINT32_MAX: none */
};

/* Whether it is so on disk now, or there is no such queue, which is an answer as well. */
bool watches_met(const struct world *w, const struct watch *watch);
/* A daemon takes the frame at that lease time. */
void watches_asked(
    const struct world *w, struct watch *watch, const struct wire_watch *m, uint64_t lease_ms);
/* This leaves the daemon, which knows the newest state on disk. */
void watches_told(const struct world *w, struct watch *watch, const struct wire_watched *m);

#endif
