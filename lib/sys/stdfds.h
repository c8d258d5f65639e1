/*
 * Descriptors 0, 1 and 2, should a program be started without one of them: it is opened
 * so that using it fails with EBADF, as it would have, but nothing else gets its number.
 */
#ifndef RMQ_SYS_STDFDS_H
#define RMQ_SYS_STDFDS_H

/* To be called first.  What cannot be opened stays closed. */
void stdfds_init(void);

#endif
