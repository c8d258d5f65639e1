#include "unsent.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sys/stream/io.h"

#define LINKS_MAX 16

/* What a symbolic link names.  NULL: errno, EINVAL if it is none. */
static char *follow(const char *link)
{
	char target[PATH_MAX], *path;
	ssize_t n = readlink(link, target, sizeof(target) - 1);
	if (n < 0)
		return NULL;
	target[n] = 0;
	const char *slash = strrchr(link, '/');
	int dir = slash && target[0] != '/' ? (int)(slash - link) + 1 : 0;
	return asprintf(&path, "%.*s%s", dir, link, target) < 0 ? NULL : path;
}

/* Where a path leads that may be a symbolic link to nothing yet.  NULL: errno. */
static char *resolve(const char *path)
{
	char *at = strdup(path);
	for (int i = 0; at && i < LINKS_MAX; i++) {
		char *next = follow(at);
		if (!next && (errno == EINVAL || errno == ENOENT))
			return at;
		free(at);
		at = next;
		if (at)
			errno = ELOOP;
	}
	free(at);
	return NULL;
}

/*
 * The descriptor of ours that a path names, as /dev/stderr and /dev/fd/9 do: links in the
 * folder of our descriptors, which no file's name can be taken from.  -1: it names none.
 */
static int descriptor_of(const char *path)
{
	char ours[32], *end, *at = strdup(path);
	long fd = -1;
	snprintf(ours, sizeof(ours), "/proc/%ld/fd", (long)getpid());
	for (int i = 0; at && fd < 0 && i < LINKS_MAX; i++) {
		char *slash = strrchr(at, '/'), *name = slash ? slash + 1 : at;
		if (slash)
			*slash = 0;
		char *folder = realpath(slash ? at : ".", NULL);
		if (slash)
			*slash = '/';
		if (folder && strcmp(folder, ours) == 0) {
			fd = strtol(name, &end, 10);
			if (end == name || *end || fd > INT_MAX)
				fd = -1;
		}
		free(folder);
		char *next = follow(at);
		free(at);
		at = next;
	}
	free(at);
	return (int)fd;
}

/* Writing to it is what its owner would do: at its offset, and whatever it is. */
static int open_descriptor(struct unsent *u, int fd)
{
	int flags = fcntl(fd, F_GETFL);
	if (flags < 0)
		return errno;
	if ((flags & O_ACCMODE) == O_RDONLY)
		return EBADF;
	u->fd = fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
	return u->fd < 0 ? errno : 0;
}

static int fail(struct unsent *u)
{
	int error = errno;
	free(u->path);
	free(u->temporary);
	*u = (struct unsent){.fd = -1};
	return error;
}

int unsent_open(struct unsent *u, const char *path)
{
	struct stat st;
	*u = (struct unsent){.fd = -1};
	if (!path)
		return 0;
	int ours = descriptor_of(path);
	if (ours >= 0)
		return open_descriptor(u, ours);
	bool exists = stat(path, &st) == 0;
	if (exists && S_ISDIR(st.st_mode))
		return EISDIR;
	if (exists && !S_ISREG(st.st_mode)) {
		u->fd = open(path, O_WRONLY | O_CLOEXEC);
		return u->fd < 0 ? errno : 0;
	}
	/* What it holds may have to stay in it. */
	if (exists && access(path, R_OK | W_OK) != 0)
		return errno;
	u->path = resolve(path);
	if (!u->path || asprintf(&u->temporary, "%s.XXXXXX", u->path) < 0)
		return fail(u);
	u->fd = mkostemp(u->temporary, O_CLOEXEC);
	if (u->fd < 0)
		return fail(u);
	/* What root replaces stays its owner's. */
	int error = exists ? io_keep_owner(AT_FDCWD, u->temporary, u->path) : 0;
	if (error) {
		unlink(u->temporary);
		close(u->fd);
		errno = error;
		return fail(u);
	}
	mode_t mask = umask(0);
	umask(mask);
	(void)fchmod(u->fd, exists ? st.st_mode & 07777 : 0666 & ~mask);
	return 0;
}

static void done(struct unsent *u)
{
	close(u->fd);
	free(u->path);
	free(u->temporary);
	*u = (struct unsent){.fd = -1};
}

int unsent_keep(struct unsent *u, struct sender *s)
{
	if (u->fd < 0)
		return 0;
	int error = sender_write_unsent(s, u->fd);
	if (!error && u->path && (fsync(u->fd) != 0 || rename(u->temporary, u->path) != 0))
		error = errno;
	if (error && u->path)
		unlink(u->temporary);
	done(u);
	return error;
}

int unsent_carry(struct unsent *u, char separator)
{
	static char buf[65536];
	char last = separator;
	int error = 0;
	ssize_t n = 1;
	if (!u->path)
		return 0;
	int fd = open(u->path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? 0 : errno;
	while (!error && n > 0) {
		n = io_read(fd, buf, sizeof(buf));
		error = n < 0 ? errno : io_write(u->fd, buf, (size_t)n);
		last = n > 0 ? buf[n - 1] : last;
	}
	close(fd);
	return error || last == separator ? error : io_write(u->fd, &separator, 1);
}

void unsent_drop(struct unsent *u)
{
	struct stat st;
	if (u->path && lstat(u->path, &st) == 0 && S_ISREG(st.st_mode))
		unlink(u->path);
	unsent_leave(u);
}

void unsent_leave(struct unsent *u)
{
	if (u->fd < 0)
		return;
	if (u->path)
		unlink(u->temporary);
	done(u);
}
