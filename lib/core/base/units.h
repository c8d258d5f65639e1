/*
 * Durations, sizes, counts and times as people write them.
 *
 *	duration	250ms 0.5s 30s 5m 2h 7d, bare: seconds; 0; infinity
 *	size		bare: bytes; 64K 1M 2G (powers of 1024)
 *	time		@EPOCH, in seconds; RFC 3339: 2026-11-23T13:18:16Z, …16.25+01:00
 */
#ifndef RMQ_CORE_BASE_UNITS_H
#define RMQ_CORE_BASE_UNITS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/time.h"

#define UNITS_INFINITY UINT64_MAX

/* False: not a duration, or one that is too long for 63 bits of milliseconds. */
bool units_duration(const char *text, uint64_t *ms) __attribute__((warn_unused_result));
bool units_size(const char *text, uint64_t *bytes) __attribute__((warn_unused_result));
/* False: not a time, or not from 1970 to 9999. */
bool units_time(const char *text, struct wall_time *t) __attribute__((warn_unused_result));
/* N/s, N/m or N/h: so many in a period of so many ms.  false: not that, or N is 0. */
bool units_rate(const char *text, uint32_t *number, uint32_t *period_ms)
    __attribute__((warn_unused_result));
/* Decimal digits only, min <= n <= max. */
bool units_count(const char *text, uint64_t min, uint64_t max, uint64_t *n)
    __attribute__((warn_unused_result));

#define UNITS_TEXT_MAX 32
/* The same the other way round, in the largest unit that is exact: "90s", "2h", "250ms". */
size_t units_print_duration(char out[UNITS_TEXT_MAX], uint64_t ms);
size_t units_print_rate(char out[UNITS_TEXT_MAX], uint32_t number, uint32_t period_ms);
/* A number of more than five digits in thousands, millions and so on: "12345", "123k". */
size_t units_print_brief(char out[UNITS_TEXT_MAX], uint64_t n);
/* RFC 3339 in UTC with milliseconds: "2026-11-23T13:18:16.250Z". */
size_t units_print_time(char out[UNITS_TEXT_MAX], struct wall_time t);

#endif
