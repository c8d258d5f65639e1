/*
 * Addresses of the form unix:/path, and listening on and connecting to them; addresses of the
 * form HOST:PORT.
 *
 * Texts that explain a failure are constants; errno is as the failing call left it
 * (0 if no call failed).
 */
#ifndef RMQ_SYS_NET_SOCKET_H
#define RMQ_SYS_NET_SOCKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "core/base/error.h"

/* The longest path that the kernel takes, without the NUL after it. */
#define SOCKET_PATH_MAX 107

struct socket_address {
	char path[SOCKET_PATH_MAX + 1];
};

/* Which file a listening socket is: so that only our own is removed. */
struct socket_file {
	dev_t dev;
	ino_t ino;
};

/*
 * `path` as an address.  RMQ_E_USAGE: it is empty or longer than SOCKET_PATH_MAX,
 * *why says which.
 */
enum rmq_error socket_address_path(struct socket_address *a, const char *path, const char **why)
    __attribute__((warn_unused_result));

/*
 * Makes its path absolute, from our working directory, for processes with another one.
 * RMQ_E_USAGE: that is longer than SOCKET_PATH_MAX; RMQ_E_IO: our working directory cannot be
 * told.
 */
enum rmq_error socket_address_absolute(struct socket_address *a, const char **why)
    __attribute__((warn_unused_result));

/* `unix:` and a path. */
#define SOCKET_ADDRESS_TEXT_SIZE (SOCKET_PATH_MAX + sizeof("unix:"))

/*
 * Makes its path absolute, as above, and prints the address as in RMQ_SERVERS.  Errors as
 * above; RMQ_E_USAGE as well if there is a comma in it, which RMQ_SERVERS cannot hold.
 */
enum rmq_error socket_address_print(struct socket_address *a,
    char text[SOCKET_ADDRESS_TEXT_SIZE], const char **why) __attribute__((warn_unused_result));

/*
 * Takes the first address from a comma-separated list (`unix:/path[,…]`) and sets
 * *list after it and its comma, or to NULL if it was the last.  RMQ_E_USAGE: it is
 * not an address that this version knows, *why says what is wrong.
 */
enum rmq_error socket_address_parse(struct socket_address *a, const char **list,
    const char **why) __attribute__((warn_unused_result));

/*
 * The socket of that name where a machine's sockets are: $XDG_RUNTIME_DIR/rmq/NAME if that
 * directory ($XDG_RUNTIME_DIR/rmq) exists, else /run/rmq/NAME; never one instead of the other.
 */
enum rmq_error socket_address_runtime(struct socket_address *a, const char *name,
    const char **why) __attribute__((warn_unused_result));

/* Of clients, when no address is given: rmq.sock. */
enum rmq_error socket_address_default(struct socket_address *a, const char **why)
    __attribute__((warn_unused_result));

/*
 * A connected stream socket, non-blocking and close-on-exec, in *fd.  Never waits.
 * RMQ_E_NO_DAEMON: no socket there, nobody listens, or its backlog is full (errno
 * ENOENT, ECONNREFUSED, EAGAIN).  RMQ_E_DENIED: no permission.  RMQ_E_IO: other.
 */
enum rmq_error socket_connect(const struct socket_address *a, int *fd)
    __attribute__((warn_unused_result));

/*
 * A listening socket, non-blocking and close-on-exec, in *fd, and which file it is.
 * The file's mode is `mode`, whatever the umask.  A stale socket (nobody listens) is
 * replaced.  RMQ_E_BUSY: someone listens there.  RMQ_E_EXISTS: a file that is not a
 * socket.  RMQ_E_DENIED, RMQ_E_IO: errno; *why says what failed.
 */
enum rmq_error socket_listen(const struct socket_address *a, mode_t mode, int *fd,
    struct socket_file *file, const char **why) __attribute__((warn_unused_result));

/* Removes the socket's file if it is still the one that socket_listen() made. */
void socket_unlink(const struct socket_address *a, const struct socket_file *file);

/* Of TCP: a name (RFC 1123) or a numeric address, and a port. */
#define SOCKET_HOST_MAX	      253
#define SOCKET_HOST_TEXT_SIZE (SOCKET_HOST_MAX + 2 + 1 + 5 + 1)

struct socket_host {
	char host[SOCKET_HOST_MAX + 1]; /* IPv6 without brackets; "": none */
	uint16_t port;
};

/* HOST:PORT, [IPV6]:PORT; the port is not 0.  RMQ_E_USAGE: *why says what is wrong. */
enum rmq_error socket_host_parse(struct socket_host *h, const char *text, const char **why)
    __attribute__((warn_unused_result));

/* Whether they say the same: names in any case, IPv6 in any form. */
bool socket_host_same(const struct socket_host *a, const struct socket_host *b);

/* The other way round. */
void socket_host_print(const struct socket_host *h, char text[SOCKET_HOST_TEXT_SIZE]);

/* A numeric address of the kernel's; `host` is empty if it is of neither IP. */
struct sockaddr;
void socket_host_of(struct socket_host *h, const struct sockaddr *address);

/*
 * Its addresses, for stream sockets; to be given to freeaddrinfo().  `flags` of getaddrinfo(3):
 * with AI_NUMERICHOST it does not wait for name servers.  Gives back what getaddrinfo() does.
 */
struct addrinfo;
int socket_host_resolve(const struct socket_host *h, int flags, struct addrinfo **list)
    __attribute__((warn_unused_result));

/* Whether it stands for all addresses of a machine: 0.0.0.0, [::]. */
bool socket_host_any(const struct socket_host *h);

/*
 * A pair of stream sockets for much data, closed on exec: while one side is busy, the other can
 * send about a megabyte, or what the kernel allows, without waiting.  0, else errno.
 */
int socket_wide_pair(int fds[2]) __attribute__((warn_unused_result));

#endif
