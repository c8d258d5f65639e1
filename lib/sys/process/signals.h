/*
 * Signals that end a client: SIGINT, SIGTERM, SIGHUP (each unless it was ignored at the
 * start).  The first one is remembered and makes a descriptor readable; a second one ends
 * the process at once, as if nothing had been set up, unless it comes so soon that it is the
 * same: timeout(1) sends its signal to its child, and once more to its process group.
 */
#ifndef RMQ_SYS_PROCESS_SIGNALS_H
#define RMQ_SYS_PROCESS_SIGNALS_H

#include <stdbool.h>

#define SIGNALS_APART_MS 500

/* False: no descriptors left (errno). */
bool signals_init(void) __attribute__((warn_unused_result));

/* Readable from the first signal on. */
int signals_fd(void);
/* The first signal, 0: none came. */
int signals_caught(void);

/* Called before signals_die() ends the process; NULL: nothing is. */
void signals_before_death(void (*f)(void));
/* Ends the process by this signal. */
void signals_die(int signal) __attribute__((noreturn));

#endif
