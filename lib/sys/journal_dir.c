#include "sys/journal_dir.h"

#include <dirent.h>
#include <errno.h>
#include <string.h>

#include "core/error.h"
#include "sys/identity.h"
#include "sys/journal_link.h"
#include "sys/log.h"

/*
 * Whether there is nothing yet at this path, or a directory that is empty but for the lost+found
 * of its file system, or one whose making was not finished.
 */
static bool is_to_be_made(const char *directory)
{
	DIR *d = opendir(directory);
	struct dirent *entry;
	bool blank = true, begun = false, made = false;

	if (!d)
		return errno == ENOENT;
	while ((entry = readdir(d)) != NULL) {
		const char *name = entry->d_name;
		begun |= strcmp(name, IDENTITY_NEW_FILE) == 0;
		made |= strcmp(name, IDENTITY_FILE) == 0;
		blank &= strcmp(name, ".") == 0 || strcmp(name, "..") == 0 ||
			 strcmp(name, "lost+found") == 0;
	}
	closedir(d);
	return blank || (begun && !made);
}

int journal_dir_make(const char *directory, const struct child_spec *spec)
{
	pid_t pid;

	if (!is_to_be_made(directory))
		return 0;
	int error = journal_link_run("init", directory, -1, spec, &pid);
	if (error != 0) {
		log_error("cannot run rmq-journal: %s", strerror(error));
		return error_exit(RMQ_E_IO);
	}
	int status = child_wait(pid);
	/* Whoever had begun it, and was killed, may have had a child that has finished it. */
	return status == error_exit(RMQ_E_EXISTS) && !is_to_be_made(directory) ? 0 : status;
}
