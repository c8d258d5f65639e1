/*
 * recorder.so, preloaded into `rmq-journal serve`, records what it writes to its data file,
 * what it syncs, and what it tells its opener to be stored.  The environment says:
 *
 *	RECORD_LOG	where to (recorder.h); entries are added
 *	RECORD_DATA	the data file, by whatever descriptor
 *	RECORD_CONFIRMED, RECORD_TAKEN	files of which each entry has the size
 *	RECORD_DIE=N	the process dies in its Nth write with O_DSYNC, like by kill -9: the
 *			bytes are in the page cache, and not yet durable
 *	RECORD_LOSE_fdatasync=N	each Nth fdatasync of a commit is not made, and "succeeds"
 *	RECORD_LOSE_O_DSYNC=N	each Nth write with O_DSYNC is recorded as one without
 *
 * Only the calls that LMDB and lib/sys make are looked at.  Should they ever make others, then
 * what was recorded does not add up to the file, and `images` says so.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "core/wire/journal_wire.h"
#include "recorder.h"

static ssize_t (*real_pwrite)(int, const void *, size_t, off_t);
static ssize_t (*real_writev)(int, const struct iovec *, int);
static ssize_t (*real_send)(int, const void *, size_t, int);
static int (*real_fdatasync)(int);
static int (*real_fsync)(int);

static int log_fd = -1;
static unsigned long die, lose_fdatasync, lose_o_dsync;
static unsigned long commits, o_dsyncs;

_Noreturn static void fail(const char *what)
{
	dprintf(STDERR_FILENO, "recorder.so: %s: %s\n", what, strerror(errno));
	abort();
}

static unsigned long number(const char *name)
{
	const char *s = getenv(name);
	return s ? strtoul(s, NULL, 10) : 0;
}

static const char *path(const char *name)
{
	const char *s = getenv(name);
	if (!s)
		fail(name);
	return s;
}

__attribute__((constructor)) static void begin(void)
{
	*(void **)&real_pwrite = dlsym(RTLD_NEXT, "pwrite");
	*(void **)&real_writev = dlsym(RTLD_NEXT, "writev");
	*(void **)&real_send = dlsym(RTLD_NEXT, "send");
	*(void **)&real_fdatasync = dlsym(RTLD_NEXT, "fdatasync");
	*(void **)&real_fsync = dlsym(RTLD_NEXT, "fsync");
	die = number("RECORD_DIE");
	lose_fdatasync = number("RECORD_LOSE_fdatasync");
	lose_o_dsync = number("RECORD_LOSE_O_DSYNC");
	log_fd = open(path("RECORD_LOG"), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	if (log_fd < 0)
		fail("the log");
}

static uint64_t size_of(const char *name)
{
	struct stat st;
	if (stat(path(name), &st) != 0)
		fail(name);
	return (uint64_t)st.st_size;
}

static bool is_data(int fd)
{
	struct stat data, st;
	if (stat(path("RECORD_DATA"), &data) != 0)
		fail("the data file");
	return fstat(fd, &st) == 0 && st.st_dev == data.st_dev && st.st_ino == data.st_ino;
}

static bool is_o_dsync(int fd)
{
	return fcntl(fd, F_GETFL) & O_DSYNC;
}

/* LMDB's own descriptor, that of commits, can read too. */
static bool is_of_commits(int fd)
{
	return (fcntl(fd, F_GETFL) & O_ACCMODE) == O_RDWR;
}

/* A small limit of file sizes (ulimit -S -f) is the data file's, not ours. */
static void record(enum entry_kind kind, uint64_t at, const struct iovec *iov, int count)
{
	struct iovec all[1025];
	struct rlimit limit, none;
	struct entry e = {kind, 0, at, size_of("RECORD_CONFIRMED"), size_of("RECORD_TAKEN")};
	all[0] = (struct iovec){&e, sizeof(e)};
	for (int i = 0; i < count; i++) {
		e.len += (uint32_t)iov[i].iov_len;
		all[i + 1] = iov[i];
	}
	bool data = kind == ENTRY_WRITE;
	size_t size = sizeof(e) + (data ? e.len : 0);
	getrlimit(RLIMIT_FSIZE, &limit);
	none = (struct rlimit){limit.rlim_max, limit.rlim_max};
	setrlimit(RLIMIT_FSIZE, &none);
	if (real_writev(log_fd, all, data ? count + 1 : 1) != (ssize_t)size)
		fail("the log");
	setrlimit(RLIMIT_FSIZE, &limit);
}

/* ---- writes ---- */

static void record_done(int fd, off_t at, const struct iovec *iov, int count, ssize_t n)
{
	size_t len = 0;
	for (int i = 0; i < count; i++)
		len += iov[i].iov_len;
	if (n != (ssize_t)len)
		fail("a write to the data file failed");
	if (!is_o_dsync(fd))
		return;
	o_dsyncs++;
	if (o_dsyncs == die)
		kill(getpid(), SIGKILL);
	if (!lose_o_dsync || o_dsyncs % lose_o_dsync != 0)
		record(ENTRY_WRITTEN, (uint64_t)at, iov, count);
}

ssize_t pwrite(int fd, const void *data, size_t len, off_t at)
{
	struct iovec iov = {(void *)(uintptr_t)data, len};
	if (!is_data(fd))
		return real_pwrite(fd, data, len, at);
	record(ENTRY_WRITE, (uint64_t)at, &iov, 1);
	ssize_t n = real_pwrite(fd, data, len, at);
	record_done(fd, at, &iov, 1, n);
	return n;
}

ssize_t writev(int fd, const struct iovec *iov, int count)
{
	if (!is_data(fd))
		return real_writev(fd, iov, count);
	off_t at = lseek(fd, 0, SEEK_CUR);
	record(ENTRY_WRITE, (uint64_t)at, iov, count);
	ssize_t n = real_writev(fd, iov, count);
	record_done(fd, at, iov, count, n);
	return n;
}

/* ---- syncs ---- */

int fdatasync(int fd)
{
	bool data = is_data(fd);
	if (data && is_of_commits(fd) && lose_fdatasync && ++commits % lose_fdatasync == 0)
		return 0;
	int rc = real_fdatasync(fd);
	if (data && rc == 0)
		record(ENTRY_SYNCED, 0, NULL, 0);
	return rc;
}

int fsync(int fd)
{
	int rc = real_fsync(fd);
	if (is_data(fd) && rc == 0)
		record(ENTRY_SYNCED, 0, NULL, 0);
	return rc;
}

/* ---- what is said ---- */

/* Up to where a frame says that all is stored: an index, in a cluster a transaction. */
static uint64_t said_by(uint8_t type, struct slice payload)
{
	struct journal_opened opened;
	struct journal_stored stored;
	struct journal_txn_stored txn;
	if (type == JOURNAL_TYPE_OPENED && journal_opened_decode(payload, &opened))
		return opened.last;
	if (type == JOURNAL_TYPE_STORED && journal_stored_decode(payload, &stored))
		return stored.first_index + stored.count - 1;
	if (type == JOURNAL_TYPE_TXN_STORED && journal_txn_stored_decode(payload, &txn))
		return txn.seq;
	return 0;
}

ssize_t send(int fd, const void *data, size_t len, int flags)
{
	uint64_t said = 0;
	size_t used;
	for (size_t at = 0; at + FRAME_HEADER_SIZE <= len; at += used) {
		const uint8_t *frame = (const uint8_t *)data + at;
		used = FRAME_HEADER_SIZE + load_u32(frame);
		if (used > len - at)
			fail("a frame is sent in pieces");
		uint64_t up_to = said_by(
		    frame[4], slice_of(frame + FRAME_HEADER_SIZE, used - FRAME_HEADER_SIZE));
		said = up_to > said ? up_to : said;
	}
	if (said > 0)
		record(ENTRY_SAID, said, NULL, 0);
	return real_send(fd, data, len, flags);
}
