#include "unsent.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define LINKS_MAX 16

/* Where a path leads that may be a symbolic link to nothing yet.  NULL: errno. */
static char *resolve(const char *path)
{
	char *at = strdup(path), target[PATH_MAX], *next;
	for (int i = 0; at && i < LINKS_MAX; i++) {
		ssize_t n = readlink(at, target, sizeof(target) - 1);
		if (n < 0 && (errno == EINVAL || errno == ENOENT))
			return at;
		if (n < 0)
			break;
		target[n] = 0;
		char *slash = strrchr(at, '/');
		int dir = slash && target[0] != '/' ? (int)(slash - at) + 1 : 0;
		if (asprintf(&next, "%.*s%s", dir, at, target) < 0)
			next = NULL;
		free(at);
		at = next;
		errno = ELOOP;
	}
	free(at);
	return NULL;
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
	bool exists = stat(path, &st) == 0;
	if (exists && S_ISDIR(st.st_mode))
		return EISDIR;
	if (exists && !S_ISREG(st.st_mode)) {
		u->fd = open(path, O_WRONLY | O_CLOEXEC);
		return u->fd < 0 ? errno : 0;
	}
	if (exists && access(path, W_OK) != 0)
		return errno;
	u->path = resolve(path);
	if (!u->path || asprintf(&u->temporary, "%s.XXXXXX", u->path) < 0)
		return fail(u);
	u->fd = mkostemp(u->temporary, O_CLOEXEC);
	if (u->fd < 0)
		return fail(u);
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

void unsent_drop(struct unsent *u)
{
	struct stat st;
	if (u->fd < 0)
		return;
	if (u->path) {
		unlink(u->temporary);
		if (lstat(u->path, &st) == 0 && S_ISREG(st.st_mode))
			unlink(u->path);
	}
	done(u);
}
