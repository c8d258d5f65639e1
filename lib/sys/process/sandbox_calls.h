/* Which system calls there are for a daemon: part of sandbox.h. */
#ifndef RMQ_SYS_PROCESS_SANDBOX_CALLS_H
#define RMQ_SYS_PROCESS_SANDBOX_CALLS_H

/* From now on there are those of this enum sandbox_program only, for all threads.  0, else errno. */
int sandbox_calls_enter(unsigned program);

#endif
