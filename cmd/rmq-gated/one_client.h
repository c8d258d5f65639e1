/*
 * One client, whose connection is our stdin and stdout, brought to the socket for clients on this
 * machine: what a client runs by ssh, docker exec or the like as its contact point.
 */
#ifndef RMQ_GATED_ONE_CLIENT_H
#define RMQ_GATED_ONE_CLIENT_H

#include "sys/net/socket.h"

/*
 * Until one side ends.  Redirects are followed here, since they name sockets of this machine.  The
 * exit status.
 */
int one_client_run(const struct socket_address *socket);

#endif
