/*
 * The first steps of every program, so that it behaves the same whoever starts it:
 *
 *  - Descriptors 0, 1 and 2, should it be started without one of them, are opened so that
 *    using it fails with EBADF, as it would have, but nothing else gets its number.
 *  - No signal is blocked.  SIGCHLD and SIGPIPE have their defaults, which some hand down
 *    ignored.  SIGXFSZ is ignored: a file that may not grow is a full disk, EFBIG.  SIGHUP,
 *    SIGINT and SIGTERM stay ignored if they were, as under nohup(1).
 *  - stdout writes to descriptor 1 whole, also where that is non-blocking or a signal
 *    interrupts it.  Once signals_caught() (signals.h) says that the program is to end, it
 *    ends, by that signal, at the end of a line whose next the reader does not take.  When
 *    writing fails, a line that was written in part is cut off (outlet.h), and nothing
 *    follows it.
 *
 * A daemon raises its limit of open files as well.
 */
#ifndef RMQ_SYS_PROCESS_STARTUP_H
#define RMQ_SYS_PROCESS_STARTUP_H

#include <sys/resource.h>

#include "sys/process/options.h"
#include "sys/process/reason.h"

/*
 * To be called first, before any thread and any use of stdout.  False: the program was asked for the rows
 * of its options (options.h; NULL: it has no table), and has nothing else to do.
 */
bool startup(const struct option_table *program, int argc, char **argv)
    __attribute__((warn_unused_result));
/*
 * The limit of open files is raised to the most that is allowed, *now; *was: what children are to begin
 * with.  RMQ_E_CONFIG: that is less than `least`; *why names the limit and says what to do.
 */
enum rmq_error startup_descriptors(rlim_t least, struct rlimit *was, rlim_t *now,
    struct reason *why) __attribute__((warn_unused_result));
/* What is written to stdout is records that end in this byte, not lines. */
void startup_separator(char separator);
/*
 * Ends the program by the signal that was caught, once a line that was written in part is
 * whole.  Lines that were printed and not written yet are dropped.
 */
void startup_die(void) __attribute__((noreturn));

#endif
