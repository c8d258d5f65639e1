#include "sys/net/socket.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "core/base/units.h"

#define BACKLOG	   1024
#define WIDE_BYTES (1 << 20)

static_assert(SOCKET_PATH_MAX + 1 == sizeof(((struct sockaddr_un *)0)->sun_path),
    "the longest path fits into the kernel's address");

static enum rmq_error address_set(
    struct socket_address *a, const char *path, size_t len, const char **why)
{
	errno = 0;
	if (len == 0) {
		*why = "the socket's path is empty";
		return RMQ_E_USAGE;
	}
	if (len > SOCKET_PATH_MAX) {
		*why = "the socket's path is longer than 107 bytes";
		return RMQ_E_USAGE;
	}
	memcpy(a->path, path, len);
	a->path[len] = '\0';
	return RMQ_E_OK;
}

enum rmq_error socket_address_path(struct socket_address *a, const char *path, const char **why)
{
	return address_set(a, path, strlen(path), why);
}

enum rmq_error socket_address_absolute(struct socket_address *a, const char **why)
{
	char path[PATH_MAX + SOCKET_PATH_MAX + 2];

	if (a->path[0] == '/')
		return RMQ_E_OK;
	if (!getcwd(path, PATH_MAX)) {
		*why = "cannot tell the working directory";
		return RMQ_E_IO;
	}
	size_t len = strlen(path);
	len += (size_t)snprintf(path + len, sizeof(path) - len, "/%s", a->path);
	return address_set(a, path, len, why);
}

enum rmq_error socket_address_print(
    struct socket_address *a, char text[SOCKET_ADDRESS_TEXT_SIZE], const char **why)
{
	enum rmq_error err = socket_address_absolute(a, why);

	if (!err && strchr(a->path, ',')) {
		errno = 0;
		*why = "there is a comma in the socket's absolute path";
		err = RMQ_E_USAGE;
	}
	if (!err)
		(void)snprintf(text, SOCKET_ADDRESS_TEXT_SIZE, "unix:%s", a->path);
	return err;
}

enum rmq_error socket_address_parse(
    struct socket_address *a, const char **list, const char **why)
{
	const char scheme[] = "unix:";
	const char *text = *list;
	size_t len = strcspn(text, ",");

	if (strncmp(text, scheme, strlen(scheme)) != 0) {
		errno = 0;
		*why = "an address is unix:/path";
		return RMQ_E_USAGE;
	}
	enum rmq_error err = address_set(a, text + strlen(scheme), len - strlen(scheme), why);
	if (!err)
		*list = text[len] == ',' ? text + len + 1 : NULL;
	return err;
}

enum rmq_error socket_address_runtime(
    struct socket_address *a, const char *name, const char **why)
{
	const char *runtime = getenv("XDG_RUNTIME_DIR");
	char path[SOCKET_PATH_MAX + 64];
	struct stat st;

	int len = snprintf(path, sizeof(path), "%s/rmq", runtime && *runtime ? runtime : "");
	if (len <= 4 || (size_t)len >= sizeof(path) || stat(path, &st) != 0 ||
	    !S_ISDIR(st.st_mode))
		runtime = "/run";
	len = snprintf(path, sizeof(path), "%s/rmq/%s", runtime, name);
	if (len < 0 || (size_t)len >= sizeof(path))
		len = sizeof(path) - 1;
	return address_set(a, path, (size_t)len, why);
}

enum rmq_error socket_address_default(struct socket_address *a, const char **why)
{
	return socket_address_runtime(a, "rmq.sock", why);
}

static struct sockaddr_un kernel_address(const struct socket_address *a)
{
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	memcpy(un.sun_path, a->path, strlen(a->path) + 1);
	return un;
}

/* Closes without losing the errno that explains why. */
static void close_keep(int fd)
{
	int saved = errno;
	close(fd);
	errno = saved;
}

enum rmq_error socket_connect(const struct socket_address *a, int *fd)
{
	struct sockaddr_un un = kernel_address(a);
	int s = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (s < 0)
		return RMQ_E_IO;
	if (connect(s, (struct sockaddr *)&un, sizeof(un)) == 0) {
		*fd = s;
		return RMQ_E_OK;
	}
	close_keep(s);
	switch (errno) {
	case ENOENT:
	case ECONNREFUSED:
	case EAGAIN:
		return RMQ_E_NO_DAEMON;
	case EACCES:
	case EPERM:
		return RMQ_E_DENIED;
	}
	return RMQ_E_IO;
}

/* Makes room at the address: nothing there, or a socket that nobody listens on. */
static enum rmq_error clear_stale(const struct socket_address *a, const char **why)
{
	struct stat st;
	int fd;

	if (lstat(a->path, &st) != 0) {
		if (errno == ENOENT)
			return RMQ_E_OK;
		*why = "cannot look at the socket";
		return errno == EACCES ? RMQ_E_DENIED : RMQ_E_IO;
	}
	if (!S_ISSOCK(st.st_mode)) {
		errno = 0;
		*why = "exists and is not a socket";
		return RMQ_E_EXISTS;
	}
	enum rmq_error err = socket_connect(a, &fd);
	if (!err)
		close(fd);
	if (!err || (err == RMQ_E_NO_DAEMON && errno == EAGAIN)) {
		errno = 0;
		*why = "another daemon listens there";
		return RMQ_E_BUSY;
	}
	if (err != RMQ_E_NO_DAEMON) {
		*why = "cannot tell whether another daemon listens there";
		return err;
	}
	if (unlink(a->path) != 0 && errno != ENOENT) {
		*why = "cannot remove the stale socket";
		return errno == EACCES || errno == EPERM ? RMQ_E_DENIED : RMQ_E_IO;
	}
	return RMQ_E_OK;
}

enum rmq_error socket_listen(const struct socket_address *a, mode_t mode, int *fd,
    struct socket_file *file, const char **why)
{
	struct sockaddr_un un = kernel_address(a);
	struct stat st;
	enum rmq_error err = clear_stale(a, why);
	if (err)
		return err;
	int s = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (s < 0) {
		*why = "cannot make a socket";
		return RMQ_E_IO;
	}
	/* Nobody can connect before listen(): the mode is right by then. */
	if (bind(s, (struct sockaddr *)&un, sizeof(un)) != 0) {
		*why = "cannot bind the socket";
		err = errno == EADDRINUSE		  ? RMQ_E_BUSY
		      : errno == EACCES || errno == EPERM ? RMQ_E_DENIED
							  : RMQ_E_IO;
	} else if (chmod(a->path, mode) != 0 || lstat(a->path, &st) != 0 ||
		   listen(s, BACKLOG) != 0) {
		*why = "cannot listen on the socket";
		err = RMQ_E_IO;
	}
	if (err) {
		close_keep(s);
		return err;
	}
	*file = (struct socket_file){st.st_dev, st.st_ino};
	*fd = s;
	return RMQ_E_OK;
}

void socket_unlink(const struct socket_address *a, const struct socket_file *file)
{
	struct stat st;
	if (lstat(a->path, &st) == 0 && st.st_dev == file->dev && st.st_ino == file->ino)
		(void)unlink(a->path);
}

/* ---- TCP ---- */

/* What names and numeric addresses are made of. */
static bool host_valid(const char *host, size_t len, bool brackets)
{
	static const char letters[] =
	    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_";
	static const char ipv6[] = "0123456789abcdefABCDEF:.";
	if (!brackets)
		return len > 0 && host[0] != '-' && strspn(host, letters) >= len;
	/* A zone, as in fe80::1%eth0, may follow. */
	size_t address = strspn(host, ipv6);
	if (address < len && host[address] == '%')
		address += 1 + strspn(host + address + 1, letters);
	return address >= len && memchr(host, ':', len);
}

enum rmq_error socket_host_parse(struct socket_host *h, const char *text, const char **why)
{
	bool brackets = text[0] == '[';
	const char *host = text + brackets;
	size_t len = strcspn(host, brackets ? "]" : ":");
	const char *colon = host + len + (brackets && host[len] == ']');
	uint64_t port;

	errno = 0;
	*why = "an address is HOST:PORT or [IPV6]:PORT";
	if (!brackets && *colon == ':' && strchr(colon + 1, ':'))
		*why = "an IPv6 address is written in brackets: [IPV6]:PORT";
	if (len > SOCKET_HOST_MAX || *colon != ':' || !host_valid(host, len, brackets))
		return RMQ_E_USAGE;
	if (!units_count(colon + 1, 1, UINT16_MAX, &port)) {
		if (!strchr(colon + 1, ':'))
			*why = "a port is a number from 1 to 65535";
		return RMQ_E_USAGE;
	}
	memcpy(h->host, host, len);
	h->host[len] = '\0';
	h->port = (uint16_t)port;
	return RMQ_E_OK;
}

bool socket_host_same(const struct socket_host *a, const struct socket_host *b)
{
	struct in6_addr a6, b6;
	if (a->port != b->port)
		return false;
	if (inet_pton(AF_INET6, a->host, &a6) == 1 && inet_pton(AF_INET6, b->host, &b6) == 1)
		return memcmp(&a6, &b6, sizeof(a6)) == 0;
	return strcasecmp(a->host, b->host) == 0;
}

void socket_host_print(const struct socket_host *h, char text[SOCKET_HOST_TEXT_SIZE])
{
	bool brackets = strchr(h->host, ':');
	(void)snprintf(text, SOCKET_HOST_TEXT_SIZE, "%s%s%s:%u", brackets ? "[" : "", h->host,
	    brackets ? "]" : "", h->port);
}

void socket_host_of(struct socket_host *h, const struct sockaddr *address)
{
	socklen_t len = address->sa_family == AF_INET6 ? sizeof(struct sockaddr_in6)
						       : sizeof(struct sockaddr_in);
	struct sockaddr_in v4 = {.sin_family = AF_INET};
	const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)(const void *)address;

	/* An IPv4 client of a socket that takes both. */
	if (address->sa_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr)) {
		memcpy(&v4.sin_addr, v6->sin6_addr.s6_addr + 12, sizeof(v4.sin_addr));
		v4.sin_port = v6->sin6_port;
		address = (const struct sockaddr *)&v4;
		len = sizeof(v4);
	}
	*h = (struct socket_host){.port = 0};
	if (getnameinfo(address, len, h->host, sizeof(h->host), NULL, 0, NI_NUMERICHOST) != 0)
		return;
	/* The port is at the same place in both. */
	h->port = ntohs(((const struct sockaddr_in *)(const void *)address)->sin_port);
}

int socket_host_resolve(const struct socket_host *h, int flags, struct addrinfo **list)
{
	struct addrinfo hints = {
	    .ai_socktype = SOCK_STREAM, .ai_flags = flags | AI_NUMERICSERV};
	char port[sizeof("65535")];
	(void)snprintf(port, sizeof(port), "%u", h->port);
	return getaddrinfo(h->host, port, &hints, list);
}

bool socket_host_any(const struct socket_host *h)
{
	return strcmp(h->host, "0.0.0.0") == 0 || strcmp(h->host, "::") == 0;
}

int socket_wide_pair(int fds[2])
{
	const int bytes = WIDE_BYTES;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) != 0)
		return errno;
	/* The kernel's limit counts if it is lower. */
	for (int i = 0; i < 2; i++)
		(void)setsockopt(fds[i], SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes));
	return 0;
}
