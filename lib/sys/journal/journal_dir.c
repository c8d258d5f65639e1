#include "sys/journal/journal_dir.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#include "core/base/error.h"
#include "sys/journal/journal_link.h"
#include "sys/process/log.h"
#include "sys/store/empty_dir.h"
#include "sys/store/identity.h"

/* Whether there is nothing yet at this path, or one that is empty, or whose making was cut short. */
static bool is_to_be_made(const char *directory)
{
	static const char *const nothing[] = {NULL};
	int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return errno == ENOENT;
	bool made = faccessat(fd, IDENTITY_FILE, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
	bool begun = faccessat(fd, IDENTITY_NEW_FILE, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
	bool empty = empty_dir_check(fd, nothing, NULL) == RMQ_E_OK;
	close(fd);
	return empty || (begun && !made);
}

int journal_dir_make(const char *directory, const struct child_spec *spec)
{
	pid_t pid;

	if (!is_to_be_made(directory))
		return 0;
	int error = journal_link_run("init", NULL, directory, -1, spec, &pid);
	if (error != 0) {
		log_error("cannot run rmq-journal: %s", strerror(error));
		return error_exit(RMQ_E_IO);
	}
	int status = child_wait(pid);
	/* Whoever had begun it, and was killed, may have had a child that has finished it. */
	return status == error_exit(RMQ_E_EXISTS) && !is_to_be_made(directory) ? 0 : status;
}
