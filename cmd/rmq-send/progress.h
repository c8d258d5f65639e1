/* A progress bar on stderr, redrawn at most every 100 ms. */
#ifndef RMQ_SEND_PROGRESS_H
#define RMQ_SEND_PROGRESS_H

#include "sender.h"

/* On a terminal: if asked for, or if stdin is a regular file. */
bool progress_wanted(const struct send_options *o, bool asked);
void progress_show(const struct sender *s);
void progress_clear(void);

#endif
