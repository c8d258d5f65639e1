/* How much has come over a connection: what a hostile server may make us hold is bounded by it. */
#ifndef RMQ_SYS_PG_PG_RECEIVED_H
#define RMQ_SYS_PG_PG_RECEIVED_H

#include <stdint.h>

/*
 * Bytes so far, at least, given what it was before; to be called before what has come is read.  The kernel
 * counts for TCP; of another socket what waits is added.
 */
uint64_t pg_received(int fd, uint64_t before);

#endif
