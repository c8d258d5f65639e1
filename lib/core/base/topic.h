/*
 * Topics and patterns as words.  A topic is words of A-Z a-z 0-9 _ - separated by single dots,
 * TOPIC_WORDS_MAX at most; it begins like a queue's name.  In a pattern a word may be "*", which
 * stands for any one word, and the last one "#", for the rest: any number of words, also none.
 */
#ifndef RMQ_CORE_BASE_TOPIC_H
#define RMQ_CORE_BASE_TOPIC_H

#include <stdbool.h>

#include "core/base/codec.h"

#define PATTERN_ANY  "*"
#define PATTERN_REST "#"

/* What keeps it from being a topic, or a pattern, for people; NULL: it is one. */
const char *topic_fault(struct slice topic);
const char *pattern_fault(struct slice pattern);

/* Takes the next word off *rest; false: there is none. */
bool topic_word(struct slice *rest, struct slice *word);

#endif
