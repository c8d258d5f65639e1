/* rmq-queue check: a question of a monitor, answered as plugins of monitors do. */
#ifndef RMQ_QUEUE_CHECK_H
#define RMQ_QUEUE_CHECK_H

#include "admin.h"

enum check_status { CHECK_OK, CHECK_WARNING, CHECK_CRITICAL, CHECK_UNKNOWN };

enum check_format { CHECK_NAGIOS, CHECK_JSON, CHECK_TEXT };

/* More than this is to be warned of, or critical; UINT64_MAX: never. */
struct check_limit {
	uint64_t warning;
	uint64_t critical;
};

struct check {
	struct check_limit ready;
	struct check_limit age_ms;
	struct check_limit dead;
	enum check_format format;
};

/* No limits. */
void check_init(struct check *c);
/* "CRITICAL" or "WARNING,CRITICAL", counts or durations; false: it is neither. */
bool check_limit_parse(struct check_limit *l, const char *text, bool duration)
    __attribute__((warn_unused_result));
bool check_format_parse(enum check_format *f, const char *text)
    __attribute__((warn_unused_result));

/* Prints the answer, also if it is that nobody answered. */
enum check_status check_run(struct admin *a, const struct check *c, const char *queue);

#endif
