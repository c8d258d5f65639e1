/*
 * Records on their way to stdout, in a program that goes on meanwhile: records that the reader
 * does not take yet wait here, and each is printed whole or not at all.
 */
#ifndef RMQ_SYS_STREAM_PRINTER_H
#define RMQ_SYS_STREAM_PRINTER_H

#include <poll.h>

#include "core/base/text.h"
#include "sys/stream/output.h"

/* More than this waits: what would bring more is to be put off. */
#define PRINTER_ENOUGH_BYTES (256u << 10)

struct printer {
	struct output out;
	struct text records; /* from `at` on they wait */
	size_t at;
	int separator;
	size_t torn; /* so many bytes of the first that waits were written */
	bool left_torn;
};

/*
 * separator: the byte that ends each record; -1: all that comes is one record.  0, or errno:
 * the descriptor cannot be used.
 */
int printer_open(struct printer *p, int fd, int separator);
void printer_deinit(struct printer *p);

/* Where to put what is to be printed: whole records, each with its separator. */
struct text *printer_text(struct printer *p);

/*
 * Writes what is taken without waiting.  0, or errno, and then what a file has of a record that
 * was written in part is cut off again; ENOMEM: something could not be put.
 */
int printer_write(struct printer *p) __attribute__((warn_unused_result));

/* What is to be said after an error: "", or that a part of a record could not be cut off. */
const char *printer_says(const struct printer *p);

/* Whether something waits, and whether it is PRINTER_ENOUGH_BYTES. */
bool printer_waits(const struct printer *p);
bool printer_is_behind(const struct printer *p);
/* For poll(2): ready when printer_write() would get on; fd is -1 while nothing waits. */
struct pollfd printer_poll(const struct printer *p);

/*
 * Writes all that waits, for as long as that takes; after a signal (sys/process/signals.h) only the rest
 * of a record that was written in part.  0, or errno.
 */
int printer_finish(struct printer *p) __attribute__((warn_unused_result));

#endif
