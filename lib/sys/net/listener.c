#include "sys/net/listener.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "sys/process/log.h"

/* The socket's user and group may connect; its directory says who comes that far. */
#define SOCKET_MODE  0660
#define LISTEN_FIRST 3

static bool is_listening_stream(int fd)
{
	struct sockaddr_storage address;
	int type = 0, listening = 0;
	socklen_t len = sizeof(type);

	if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) != 0 || type != SOCK_STREAM)
		return false;
	len = sizeof(listening);
	if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &len) != 0 || !listening)
		return false;
	len = sizeof(address);
	return getsockname(fd, (struct sockaddr *)&address, &len) == 0 &&
	       address.ss_family == AF_UNIX;
}

enum rmq_error listener_inherit(struct listener *l)
{
	const char *pid = getenv("LISTEN_PID"), *fds = getenv("LISTEN_FDS");
	long count = fds ? strtol(fds, NULL, 10) : 0;

	l->count = 0;
	if (!pid || !fds || strtol(pid, NULL, 10) != (long)getpid() || count == 0)
		return RMQ_E_OK;
	if (count < 0 || count > LISTENERS_MAX)
		return RMQ_E_CONFIG;
	for (int i = 0; i < count; i++) {
		int fd = LISTEN_FIRST + i;
		if (!is_listening_stream(fd) || fcntl(fd, F_SETFD, FD_CLOEXEC) != 0 ||
		    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK) != 0)
			return RMQ_E_CONFIG;
		l->fds[i] = fd;
	}
	l->count = (int)count;
	unsetenv("LISTEN_PID");
	unsetenv("LISTEN_FDS");
	unsetenv("LISTEN_FDNAMES");
	return RMQ_E_OK;
}

/* Whether it waits, comes to a handler or is ignored. */
static bool is_taken(int signal)
{
	struct sigaction action;
	sigset_t blocked;

	sigprocmask(SIG_BLOCK, NULL, &blocked);
	return sigismember(&blocked, signal) == 1 || sigaction(signal, NULL, &action) != 0 ||
	       action.sa_handler != SIG_DFL;
}

enum rmq_error listener_open(struct listener *l, const char *path, const char **why)
{
	assert(is_taken(SIGTERM) && is_taken(SIGINT) && is_taken(SIGHUP));
	enum rmq_error err = socket_address_path(&l->address, path, why);
	if (!err)
		err = socket_listen(&l->address, SOCKET_MODE, &l->fds[0], &l->file, why);
	if (err)
		return err;
	l->count = 1;
	l->bound = true;
	return RMQ_E_OK;
}

/* ---- private directories ---- */

/*
 * Each is locked by its owner as long as that lives: one that can be locked by another is
 * stale.  It holds the socket and nothing else.
 */
#define PRIVATE_PREFIX "rmq-private."
#define PRIVATE_SOCKET "rmq.sock"

/* Whether nothing but a socket of ours is in it. */
static bool holds_socket_only(int fd)
{
	int copy = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = copy >= 0 ? fdopendir(copy) : NULL;
	bool only = dir;

	if (!dir && copy >= 0)
		close(copy);
	for (struct dirent *e; only && (e = readdir(dir));)
		only = strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0 ||
		       strcmp(e->d_name, PRIVATE_SOCKET) == 0;
	if (dir)
		closedir(dir);
	return only;
}

static void remove_stale(int parent, const char *name)
{
	struct stat st;
	int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	if (fd < 0)
		return;
	if (fstat(fd, &st) == 0 && st.st_uid == geteuid() &&
	    flock(fd, LOCK_EX | LOCK_NB) == 0 && holds_socket_only(fd)) {
		(void)unlinkat(fd, PRIVATE_SOCKET, 0);
		(void)unlinkat(parent, name, AT_REMOVEDIR);
	}
	close(fd);
}

/* What cannot be removed stays. */
static void remove_all_stale(const char *parent)
{
	DIR *dir = opendir(parent);

	if (!dir)
		return;
	for (struct dirent *e; (e = readdir(dir));)
		if (strncmp(e->d_name, PRIVATE_PREFIX, strlen(PRIVATE_PREFIX)) == 0)
			remove_stale(dirfd(dir), e->d_name);
	closedir(dir);
}

/* Whether it is locked, and nobody has removed it before it was. */
static bool lock_private(struct listener *l)
{
	struct stat ours, there;
	int fd = open(l->directory, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0 && fstat(fd, &ours) == 0 &&
	    lstat(l->directory, &there) == 0 && ours.st_dev == there.st_dev &&
	    ours.st_ino == there.st_ino) {
		l->directory_fd = fd;
		return true;
	}
	if (fd >= 0)
		close(fd);
	(void)rmdir(l->directory);
	return false;
}

static bool make_private(struct listener *l, const char *parent)
{
	/* Another daemon that starts may take it for a stale one, as long as it is not locked.
	 */
	for (int i = 0; i < 100; i++) {
		snprintf(
		    l->directory, sizeof(l->directory), "%s/" PRIVATE_PREFIX "XXXXXX", parent);
		if (!mkdtemp(l->directory))
			break;
		if (lock_private(l))
			return true;
	}
	l->directory[0] = '\0';
	return false;
}

enum rmq_error listener_open_private(struct listener *l, const char **why)
{
	const char *parents[] = {getenv("XDG_RUNTIME_DIR"), getenv("TMPDIR"), "/tmp"};
	char path[SOCKET_PATH_MAX + 1];

	*why = "cannot make a private directory";
	for (size_t i = 0; i < sizeof(parents) / sizeof(parents[0]); i++) {
		/* Room for the socket's name; a longer parent is of no use, nor one that
		 * COMMAND cannot be told of. */
		const size_t most =
		    SOCKET_PATH_MAX - strlen("/" PRIVATE_PREFIX "XXXXXX/" PRIVATE_SOCKET);
		if (!parents[i] || parents[i][0] != '/' || strlen(parents[i]) > most ||
		    strchr(parents[i], ','))
			continue;
		remove_all_stale(parents[i]);
		if (!make_private(l, parents[i]))
			continue;
		int len = snprintf(path, sizeof(path), "%s/" PRIVATE_SOCKET, l->directory);
		if (len > 0 && (size_t)len < sizeof(path))
			return listener_open(l, path, why);
	}
	return RMQ_E_IO;
}

enum rmq_error listener_address(
    const struct listener *l, char text[SOCKET_ADDRESS_TEXT_SIZE], const char **why)
{
	struct sockaddr_un un;
	socklen_t un_len = sizeof(un);
	struct socket_address address;
	char path[sizeof(un.sun_path) + 1] = "";

	memset(&un, 0, sizeof(un));
	if (getsockname(l->fds[0], (struct sockaddr *)&un, &un_len) != 0) {
		*why = "cannot tell the socket's path";
		return RMQ_E_IO;
	}
	memcpy(path, un.sun_path, sizeof(un.sun_path));
	enum rmq_error err = socket_address_path(&address, path, why);
	return err ? err : socket_address_print(&address, text, why);
}

static void on_connection(uv_poll_t *poll, int status, int events)
{
	struct listener *l = poll->data;
	int listening = l->fds[poll - l->polls];

	(void)status, (void)events;
	for (int i = 0; i < ACCEPT_BATCH && !l->host.full(l->host.arg); i++) {
		int fd = accept4(listening, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd >= 0)
			l->host.accept(l->host.arg, fd);
		else if (errno == ECONNABORTED || errno == EINTR)
			continue;
		else if (errno == EAGAIN)
			return;
		else {
			l->host.exhausted(l->host.arg, errno);
			return;
		}
	}
}

/* ---- the file ---- */

static bool is_there(const struct listener *l)
{
	struct stat st;
	return lstat(l->address.path, &st) == 0 && st.st_dev == l->file.dev &&
	       st.st_ino == l->file.ino;
}

static void on_file(uv_fs_event_t *watch, const char *name, int events, int status);

static void watch_file(struct listener *l)
{
	int err = l->bound ? uv_fs_event_start(&l->watch, on_file, l->address.path, 0) : 0;
	if (err)
		log_notice("%s: cannot watch whether it is removed: %s", l->address.path,
		    uv_strerror(err));
}

/* Who waits in the old one's backlog and is not taken before comes again. */
static void on_file(uv_fs_event_t *watch, const char *name, int events, int status)
{
	struct listener *l = watch->data;
	const char *why = "";
	bool accepting = l->accepting;
	int fd;

	(void)name, (void)status;
	if (is_there(l))
		return;
	uv_fs_event_stop(watch);
	if (events & UV_RENAME) {
		log_notice("%s: the socket was moved: the daemon serves at its new path",
		    l->address.path);
		return;
	}
	enum rmq_error err = socket_listen(&l->address, SOCKET_MODE, &fd, &l->file, &why);
	int error = errno;
	if (!err) {
		on_connection(&l->polls[0], 0, UV_READABLE);
		listener_pause(l);
		(void)dup3(fd, l->fds[0], O_CLOEXEC);
		close(fd);
		if (accepting)
			listener_resume(l);
		watch_file(l);
	}
	if (!err)
		log_notice("%s: the socket was removed, and is made anew", l->address.path);
	else
		log_error("%s: the socket was removed: %s%s%s: only connected clients are "
			  "served; restart this daemon",
		    l->address.path, why, error ? ": " : "", error ? strerror(error) : "");
}

void listener_start(struct listener *l, uv_loop_t *loop, const struct listener_host *host)
{
	l->host = *host;
	uv_fs_event_init(loop, &l->watch);
	l->watch.data = l;
	for (int i = 0; i < l->count; i++) {
		uv_poll_init(loop, &l->polls[i], l->fds[i]);
		l->polls[i].data = l;
	}
	l->started = true;
	listener_resume(l);
	watch_file(l);
}

void listener_pause(struct listener *l)
{
	l->accepting = false;
	for (int i = 0; i < l->count && l->started; i++)
		uv_poll_stop(&l->polls[i]);
}

void listener_resume(struct listener *l)
{
	l->accepting = true;
	for (int i = 0; i < l->count && l->started; i++)
		uv_poll_start(&l->polls[i], UV_READABLE, on_connection);
}

void listener_paths(const struct listener *l, struct sandbox *s)
{
	if (l->bound)
		sandbox_around(s, SANDBOX_SOCKET, l->address.path);
	if (l->directory[0])
		sandbox_around(s, SANDBOX_REMOVE, l->directory);
}

unsigned listener_end(struct listener *l, uv_close_cb closed)
{
	unsigned polls = (unsigned)l->count;

	listener_close(l);
	for (unsigned i = 0; i < polls; i++) {
		l->polls[i].data = l->host.arg;
		uv_close((uv_handle_t *)&l->polls[i], closed);
	}
	l->watch.data = l->host.arg;
	uv_close((uv_handle_t *)&l->watch, closed);
	return polls + 1;
}

void listener_close(struct listener *l)
{
	listener_pause(l);
	if (l->started)
		uv_fs_event_stop(&l->watch);
	for (int i = 0; i < l->count; i++)
		close(l->fds[i]);
	l->count = 0;
	if (l->bound)
		socket_unlink(&l->address, &l->file);
	l->bound = false;
	if (l->directory[0]) {
		(void)rmdir(l->directory);
		close(l->directory_fd);
	}
	l->directory[0] = '\0';
}
