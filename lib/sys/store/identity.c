#include "sys/store/identity.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sodium/utils.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <unistd.h>

#include "core/base/limits.h"
#include "core/wire/journal_wire.h"
#include "sys/process/clock.h"
#include "sys/stream/io.h"

#define TEXT_SIZE    256
#define LOCK_WAIT_MS 1000
#define LOCK_POLL_MS 10

enum rmq_error identity_make(struct identity *id)
{
	struct identity made = {.version = JOURNAL_VERSION};
	if (getrandom(made.incarnation, INCARNATION_BYTES, 0) != INCARNATION_BYTES)
		return RMQ_E_IO;
	*id = made;
	return RMQ_E_OK;
}

bool identity_equal(const struct identity *a, const struct identity *b)
{
	return a->version == b->version &&
	       memcmp(a->incarnation, b->incarnation, INCARNATION_BYTES) == 0;
}

void identity_text(const struct identity *id, char text[IDENTITY_TEXT_SIZE])
{
	(void)sodium_bin2hex(text, IDENTITY_TEXT_SIZE, id->incarnation, INCARNATION_BYTES);
}

/*
 * An owner that was killed may hold the lock until the kernel has cleared it away: who is
 * started anew at once waits for that.  0, or -1 with errno.
 */
static int lock_soon(int file)
{
	uint64_t deadline = clock_mono().ms + LOCK_WAIT_MS;
	while (flock(file, LOCK_EX | LOCK_NB) != 0) {
		if (errno != EWOULDBLOCK || clock_mono().ms >= deadline)
			return -1;
		(void)poll(NULL, 0, LOCK_POLL_MS);
	}
	return 0;
}

enum rmq_error identity_begin(int dir, int *fd, bool *again, struct reason *why)
{
	bool there = faccessat(dir, IDENTITY_NEW_FILE, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
	int file =
	    openat(dir, IDENTITY_NEW_FILE, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (file < 0)
		return reason_set(why, errno == EACCES ? RMQ_E_DENIED : RMQ_E_IO, "%s: %s",
		    IDENTITY_NEW_FILE, strerror(errno));
	if (lock_soon(file) != 0) {
		close(file);
		return reason_set(why, RMQ_E_BUSY, "is being made by another process");
	}
	if (faccessat(dir, IDENTITY_FILE, F_OK, AT_SYMLINK_NOFOLLOW) == 0) {
		unlinkat(dir, IDENTITY_NEW_FILE, 0);
		close(file);
		return reason_set(why, RMQ_E_EXISTS, "is a data directory already");
	}
	*fd = file;
	*again = there;
	return RMQ_E_OK;
}

enum rmq_error identity_finish(int dir, int fd, const struct identity *id, struct reason *why)
{
	char text[TEXT_SIZE];
	char incarnation[IDENTITY_TEXT_SIZE];
	identity_text(id, incarnation);
	int len = snprintf(
	    text, sizeof(text), "format %u\nincarnation %s\n", id->version, incarnation);
	if (ftruncate(fd, 0) != 0 || pwrite(fd, text, (size_t)len, 0) != len ||
	    (errno = io_keep_owner(dir, IDENTITY_NEW_FILE, ".")) != 0 || fsync(fd) != 0 ||
	    renameat(dir, IDENTITY_NEW_FILE, dir, IDENTITY_FILE) != 0 || fsync(dir) != 0)
		return reason_set(why, RMQ_E_IO, "%s: %s", IDENTITY_FILE, strerror(errno));
	return RMQ_E_OK;
}

static bool parse_incarnation(const char *s, struct identity *id)
{
	size_t len;
	return sodium_hex2bin(
		   id->incarnation, INCARNATION_BYTES, s, strlen(s), NULL, &len, NULL) == 0 &&
	       len == INCARNATION_BYTES;
}

/* `text` is overwritten.  Lines with other keys are for later versions of this format. */
static enum rmq_error parse(char *text, struct identity *id, struct reason *why)
{
	bool have_version = false;
	bool have_incarnation = false;
	char *rest = NULL;
	for (char *line = strtok_r(text, "\n", &rest); line;
	     line = strtok_r(NULL, "\n", &rest)) {
		char *value = strchr(line, ' ');
		if (!value)
			return reason_set(why, RMQ_E_CORRUPT, "identity is garbled");
		*value++ = '\0';
		if (strcmp(line, "format") == 0) {
			char *end;
			unsigned long version = strtoul(value, &end, 10);
			if (*end || end == value || version == 0)
				return reason_set(why, RMQ_E_CORRUPT, "identity is garbled");
			if (version < JOURNAL_OLDEST || version > JOURNAL_VERSION)
				return reason_set(why, RMQ_E_VERSION,
				    "is of format %s, this program knows %s", value,
				    versions_text(
					(char[VERSIONS_TEXT_MAX]){0}, JOURNAL_VERSIONS));
			id->version = (uint16_t)version;
			have_version = true;
		} else if (strcmp(line, "incarnation") == 0) {
			have_incarnation = parse_incarnation(value, id);
		}
	}
	if (!have_version || !have_incarnation)
		return reason_set(why, RMQ_E_CORRUPT, "identity is garbled");
	return RMQ_E_OK;
}

static enum rmq_error read_file(int fd, struct identity *id, struct reason *why)
{
	char text[TEXT_SIZE];
	ssize_t n = pread(fd, text, sizeof(text) - 1, 0);
	if (n < 0)
		return reason_set(why, RMQ_E_IO, "%s: %s", IDENTITY_FILE, strerror(errno));
	text[n] = '\0';
	if (n == 0)
		return reason_set(why, RMQ_E_CORRUPT, "identity is empty");
	if (strlen(text) != (size_t)n)
		return reason_set(why, RMQ_E_CORRUPT, "identity is garbled");
	return parse(text, id, why);
}

enum rmq_error identity_read(
    int dir, bool lock, struct identity *id, int *fd, struct reason *why)
{
	int file = openat(dir, IDENTITY_FILE, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (file < 0 && errno == ENOENT)
		return reason_set(
		    why, RMQ_E_CONFIG, "is not a data directory (rmq-journal init makes one)");
	if (file < 0)
		return reason_set(why, errno == EACCES ? RMQ_E_DENIED : RMQ_E_IO, "%s: %s",
		    IDENTITY_FILE, strerror(errno));
	struct identity found = {0};
	enum rmq_error err = RMQ_E_OK;
	if (lock && lock_soon(file) != 0)
		err = errno == EWOULDBLOCK
			  ? reason_set(why, RMQ_E_BUSY, "is in use by another process")
			  : reason_set(why, RMQ_E_IO, "flock: %s", strerror(errno));
	if (!err)
		err = read_file(file, &found, why);
	if (err || !lock)
		close(file);
	if (err)
		return err;
	*id = found;
	if (lock)
		*fd = file;
	return RMQ_E_OK;
}
