/* What is written down of runs: --joblog and --results. */
#ifndef RMQ_RECV_RESULTS_H
#define RMQ_RECV_RESULTS_H

#include "run.h"
#include "work_options.h"

struct outcome;

struct results {
	int log; /* -1: none */
	int dir; /* -1: none */
	struct text line;
};

enum rmq_error results_init(struct results *s, const struct work_options *o, struct reason *why)
    __attribute__((warn_unused_result));
void results_deinit(struct results *s);

/*
 * Files for what a run with these messages prints, named after the first of them.  False: errno,
 * and none is open.
 */
bool results_open(struct results *s, struct run_files *files, const struct job *first)
    __attribute__((warn_unused_result));
/* What it has printed and was kept for --to is a file as well.  False: errno. */
bool results_keep(struct results *s, const struct run *r, const struct job *first)
    __attribute__((warn_unused_result));

/* A line for each message of a run.  False: errno. */
bool results_log(struct results *s, const struct outcome *o)
    __attribute__((warn_unused_result));

#endif
