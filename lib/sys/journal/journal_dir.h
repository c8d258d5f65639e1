/* Data directories that daemons make on request (--init). */
#ifndef RMQ_SYS_JOURNAL_JOURNAL_DIR_H
#define RMQ_SYS_JOURNAL_JOURNAL_DIR_H

#include "sys/process/child.h"

/*
 * Makes a data directory, by running `rmq-journal init`, if there is nothing yet at `directory`, or
 * one that is empty (lost+found does not count) or was begun and not finished.  0, also if
 * something is there; else an exit status, and what is wrong was said.  spec: mask and nofile
 * count.
 */
int journal_dir_make(const char *directory, const struct child_spec *spec);

#endif
