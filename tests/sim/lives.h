/*
 * What a client is told to have happened to a message: each step follows from the one before, and as
 * far as the disk had come when it asked, all of it comes to what the shadow says of the message.
 */
#ifndef SIM_LIVES_H
#define SIM_LIVES_H

#include "net.h"
#include "world.h"

#include "core/wire/wire.h"

struct life {
	bool asked;
	char name[NAME_FULL_MAX];
	size_t name_len;
	uint64_t seq;
	/* as it was when the client asked */
	uint64_t index; /* the newest record on the disk */
	uint32_t queue; /* its number; 0: there was none */
	bool is_known;	/* the message had been sent */
	bool is_large;
	struct shadow_message was;
	/* as it is told */
	uint8_t place[HISTORY_PLACE_MAX];
	size_t place_len; /* 0: it begins, or that is all */
	struct bytes entries;
};

/* A client asks for the life of message `seq` of that queue. */
void lives_ask(struct life *l, const struct world *w, struct slice queue, uint64_t seq);
/* Some of it, or the rest of it. */
void lives_told(
    struct life *l, const struct world *w, struct slice place, struct slice entries);
void lives_free(struct life *l);

#endif
