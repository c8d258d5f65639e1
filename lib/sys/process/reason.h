/*
 * Why something failed, as text for the one line that a program prints, beyond the text of
 * error.h.  Filled in by functions that return an enum rmq_error other than RMQ_E_OK; a NULL
 * reason is legal everywhere.
 */
#ifndef RMQ_SYS_PROCESS_REASON_H
#define RMQ_SYS_PROCESS_REASON_H

#include "core/base/error.h"

struct reason {
	char text[256];
};

/* Fills in the text, cut if too long, and returns `code`. */
enum rmq_error reason_set(struct reason *why, enum rmq_error code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Its text, or that of the code if there is none. */
static inline const char *reason_text(const struct reason *why, enum rmq_error code)
{
	return why->text[0] ? why->text : error_text(code);
}

#endif
