/*
 * A progress bar on stderr, redrawn at most every 100 ms, cut to the terminal's width, and only
 * while we are in its foreground: a background job would be stopped for it (stty tostop).
 */
#ifndef RMQ_SEND_PROGRESS_H
#define RMQ_SEND_PROGRESS_H

#include "sender.h"

/* On a terminal: if asked for, or if stdin is a regular file. */
bool progress_wanted(const struct send_options *o, bool asked);
void progress_show(const struct sender *s);
void progress_clear(void);

#endif
