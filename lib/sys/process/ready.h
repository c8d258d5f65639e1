/* Tells a supervisor that a daemon is ready: $NOTIFY_SOCKET and --ready-fd. */
#ifndef RMQ_SYS_PROCESS_READY_H
#define RMQ_SYS_PROCESS_READY_H

/*
 * Sends `state` ("READY=1", "STOPPING=1") to the datagram socket $NOTIFY_SOCKET (a
 * path, or abstract with '@').  0, also if the variable is not set; -1 and errno.
 */
int ready_notify(const char *state);

/* Writes a newline to fd and closes it.  0; -1 and errno. */
int ready_fd(int fd);

#endif
