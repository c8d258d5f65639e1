/*
 * Versions are ranges: each side says which ones it understands, from the oldest to the newest,
 * and both use the newest that both know.  Features are bits that each side shows to the
 * other; an unknown bit means nothing.
 */
#ifndef RMQ_CORE_BASE_VERSION_H
#define RMQ_CORE_BASE_VERSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct versions {
	uint16_t oldest;
	uint16_t newest;
};

/* The newest version that both know, 0: there is none. */
uint16_t versions_common(struct versions a, struct versions b);

/* "2", or "2 to 4". */
#define VERSIONS_TEXT_MAX 16
const char *versions_text(char text[VERSIONS_TEXT_MAX], struct versions v);

/* "WHO knows versions 3 to 4, this program 2", into `text`; gives it back. */
const char *versions_differ(
    char *text, size_t size, const char *who, struct versions theirs, struct versions ours);

#endif
