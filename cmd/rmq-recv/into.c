#include "into.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "core/wire/receipt.h"
#include "sys/stream/io.h"

#define TOGETHER 128 /* files that are open at a time */

#define NAME_SIZE (RECEIPT_MAX + 1)

/* The file's name until it is whole: no other lease of the message has the same. */
static void temporary(
    char name[NAME_SIZE], struct slice queue, const struct client_delivery *d, uint32_t i)
{
	struct receipt r = {queue, d->first_seq + i, d->lease};
	name[0] = '.';
	receipt_print(name + 1, &r);
}

/* Its bytes are on their way to the disk then.  0, or errno. */
static int begin(
    int dir, struct slice queue, const struct client_delivery *d, uint32_t i, int *fd)
{
	char name[NAME_SIZE];
	struct slice body = client_body(d, i);
	temporary(name, queue, d, i);
	*fd = openat(dir, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
	if (*fd < 0)
		return errno;
	int error = io_write(*fd, body.data, body.len);
	/* So that syncing one after the other waits for the disk once, about. */
	if (!error)
		(void)sync_file_range(*fd, 0, 0, SYNC_FILE_RANGE_WRITE);
	return error;
}

/* Not over another file, on file systems without RENAME_NOREPLACE too.  0, or errno. */
static int rename_new(int dir, const char *name, const char *id)
{
	if (renameat2(dir, name, dir, id, RENAME_NOREPLACE) == 0)
		return 0;
	if (errno != EINVAL)
		return errno;
	return linkat(dir, name, dir, id, 0) == 0 && unlinkat(dir, name, 0) == 0 ? 0 : errno;
}

/*
 * Whether it is a file with just this body: 0, EEXIST, or errno.  What is no file, or may not be read, has
 * to be moved away, too.
 */
static int same(int dir, const char *id, struct slice body)
{
	char buf[65536];
	size_t at = 0;
	ssize_t n = 0;
	int fd = openat(dir, id, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return errno == ELOOP || errno == EACCES || errno == ENXIO ? EEXIST : errno;
	while (at <= body.len && (n = io_read(fd, buf, sizeof(buf))) > 0) {
		if ((size_t)n > body.len - at || memcmp(buf, body.data + at, (size_t)n) != 0)
			break;
		at += (size_t)n;
	}
	int error = n == 0 && at == body.len ? 0 : n < 0 && errno != EISDIR ? errno : EEXIST;
	close(fd);
	return error;
}

static int end(int dir, struct slice queue, const struct client_delivery *d, uint32_t i, int fd)
{
	char name[NAME_SIZE], id[RECEIPT_MAX];
	temporary(name, queue, d, i);
	receipt_print_id(id, queue, d->first_seq + i);
	if (fsync(fd) != 0)
		return errno;
	int error = rename_new(dir, name, id);
	if (error != EEXIST)
		return error;
	/* The message came here before, and was not settled; or its number was another one's. */
	error = same(dir, id, client_body(d, i));
	if (!error)
		(void)unlinkat(dir, name, 0);
	return error;
}

static int store(int dir, struct slice queue, const struct client_delivery *d, uint32_t from,
    uint32_t count, uint32_t *at)
{
	int fds[TOGETHER], error = 0;
	uint32_t open = 0;
	char name[NAME_SIZE];
	for (uint32_t i = 0; i < count && !error; i++) {
		*at = from + i;
		error = begin(dir, queue, d, from + i, &fds[i]);
		open += fds[i] >= 0;
	}
	for (uint32_t i = 0; i < open; i++) {
		if (!error) {
			*at = from + i;
			error = end(dir, queue, d, *at, fds[i]);
		}
		close(fds[i]);
		if (!error)
			continue;
		temporary(name, queue, d, from + i);
		(void)unlinkat(dir, name, 0);
	}
	return error;
}

int into_store(int dir, struct slice queue, const struct client_delivery *d, uint32_t from,
    uint32_t to, uint32_t *at)
{
	int error = 0;
	for (; from < to && !error; from += TOGETHER)
		error =
		    store(dir, queue, d, from, to - from < TOGETHER ? to - from : TOGETHER, at);
	if (!error && fsync(dir) != 0)
		error = errno;
	return error;
}
