/*
 * Text files written by people, line by line: blanks around a line are removed, empty lines and
 * those that begin with `#` or `;` are skipped, and reading ends at the first bad line, with
 * "FILE:LINE: text".
 */
#ifndef RMQ_SYS_STREAM_LINES_H
#define RMQ_SYS_STREAM_LINES_H

#include <stdbool.h>

#include "core/base/codec.h"
#include "core/base/limits.h"
#include "core/base/text.h"
#include "sys/process/reason.h"

#define LINES_FILE_MAX (1u << 20)
#define LINES_LINE_MAX (CELLS_TEXT_MAX + 255) /* that, and what it is */

/* One line, which it may change; false: it is wrong, *what says why. */
typedef bool lines_take(void *context, char *line, struct reason *what);

/*
 * RMQ_E_CONFIG: there is no such file, it has more than LINES_FILE_MAX bytes, or a line is
 * wrong, has more than LINES_LINE_MAX bytes or a NUL.  RMQ_E_DENIED: not readable; RMQ_E_IO;
 * RMQ_E_LIMIT: out of memory.
 */
enum rmq_error lines_read(const char *path, lines_take *take, void *context, struct reason *why)
    __attribute__((warn_unused_result));

/* The same of bytes in memory; `path` is what *why calls them. */
enum rmq_error lines_parse(struct slice bytes, const char *path, lines_take *take,
    void *context, struct reason *why) __attribute__((warn_unused_result));

/* A call on the file has failed: errno, as lines_read() says it. */
enum rmq_error lines_failed(const char *path, struct reason *why);

/* All bytes of an open file, appended to `all`; limit and errors as of lines_read(). */
enum rmq_error lines_load(struct text *all, int fd, const char *path, struct reason *why)
    __attribute__((warn_unused_result));

#endif
