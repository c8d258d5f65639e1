/*
 * Diagnostics of daemons: one line each on stderr, `PROGRAM: text`, in one write(2).
 * Bytes that are not printable characters are shown as `?`, so that bytes from a peer cannot
 * make lines of their own.  A log that is not read stops nobody: lines that a full pipe, socket
 * or terminal does not take are dropped, and a line with their number comes before the next one
 * that it takes; if it takes only a part of a line, the rest is written before anything else.
 * Where stderr is systemd's journal (JOURNAL_STREAM, systemd.exec(5)) each line begins with its level, as
 * sd-daemon(3) has it: the journal takes that off.
 */
#ifndef RMQ_SYS_PROCESS_LOG_H
#define RMQ_SYS_PROCESS_LOG_H

#include <stdbool.h>
#include <stdint.h>

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_NOTICE, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

/*
 * `program` is borrowed for ever.  verbosity: 0 shows errors and notices; each -v
 * one level more, each -q one less.  Errors are always shown.
 */
void log_init(const char *program, int verbosity);

/* What is shown now, by its least important lines. */
enum log_level log_level(void);
void log_level_set(enum log_level level);

/* Longer lines are cut. */
void log_line(enum log_level level, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#define log_error(...)	log_line(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_notice(...) log_line(LOG_LEVEL_NOTICE, __VA_ARGS__)
#define log_info(...)	log_line(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...)	log_line(LOG_LEVEL_DEBUG, __VA_ARGS__)

/* Lines about peers, who may be hostile: at most LOG_RATE_LINES in LOG_RATE_MS. */
#define LOG_RATE_LINES 10
#define LOG_RATE_MS    10000
struct log_rate {
	uint64_t begin_ms;
	unsigned lines;
	uint64_t dropped;
};

/*
 * Whether one more line may be logged at `now_ms` (any clock that does not go back).
 * Says how many were dropped when a new period begins.
 */
bool log_rate_allows(struct log_rate *r, uint64_t now_ms);

#endif
