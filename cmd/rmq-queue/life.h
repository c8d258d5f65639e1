/* What has happened to a message, as people and programs read it. */
#ifndef RMQ_QUEUE_LIFE_H
#define RMQ_QUEUE_LIFE_H

#include "core/base/codec.h"
#include "core/base/text.h"

/* A line for each of these history_entry (checked): when, what, and what else is known of it. */
void life_lines(struct text *out, struct slice entries);
/* The same as a member "history" of the object with which the text ends, and its newline. */
void life_json(struct text *out, struct slice entries);

#endif
