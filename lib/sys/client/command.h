/* A connection that is a shell command's stdin and stdout; its stderr is ours. */
#ifndef RMQ_SYS_CLIENT_COMMAND_H
#define RMQ_SYS_CLIENT_COMMAND_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct command {
	pid_t pid; /* 0: none */
};

/* Starts it through /bin/sh; *fd is a stream socket, non-blocking.  0, else errno. */
int command_start(struct command *c, const char *text, int *fd)
    __attribute__((warn_unused_result));

/*
 * It has reached a daemon: by the end of its input it learns that it is over.  One that has not, and may
 * ask for a password still, is killed when the process ends by a signal.
 */
void command_arrived(const struct command *c);

/*
 * Ends it, after its socket was closed: it has so long to end by itself, then it is killed.  How it
 * ended, as waitpid(2) gives it; -1: somebody else has that.
 */
int command_end(struct command *c, uint64_t most_ms);

#endif
