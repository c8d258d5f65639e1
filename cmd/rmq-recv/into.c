#include "into.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
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

static int end(int dir, struct slice queue, const struct client_delivery *d, uint32_t i, int fd)
{
	char name[NAME_SIZE], id[RECEIPT_MAX];
	temporary(name, queue, d, i);
	receipt_print_id(id, queue, d->first_seq + i);
	if (fsync(fd) != 0 || renameat(dir, name, dir, id) != 0)
		return errno;
	return 0;
}

static int store(
    int dir, struct slice queue, const struct client_delivery *d, uint32_t from, uint32_t count)
{
	int fds[TOGETHER], error = 0;
	uint32_t open = 0;
	char name[NAME_SIZE];
	for (uint32_t i = 0; i < count && !error; i++) {
		error = begin(dir, queue, d, from + i, &fds[i]);
		open += fds[i] >= 0;
	}
	for (uint32_t i = 0; i < open; i++) {
		if (!error)
			error = end(dir, queue, d, from + i, fds[i]);
		close(fds[i]);
		if (!error)
			continue;
		temporary(name, queue, d, from + i);
		(void)unlinkat(dir, name, 0);
	}
	return error;
}

int into_store(
    int dir, struct slice queue, const struct client_delivery *d, uint32_t from, uint32_t to)
{
	int error = 0;
	for (; from < to && !error; from += TOGETHER)
		error = store(dir, queue, d, from, to - from < TOGETHER ? to - from : TOGETHER);
	if (!error && fsync(dir) != 0)
		error = errno;
	return error;
}
