#include "sys/journal_dir.h"

#include <dirent.h>
#include <errno.h>
#include <string.h>

#include "core/error.h"
#include "sys/journal_link.h"
#include "sys/log.h"

/*
 * Whether there is nothing yet at this path, or a directory that is empty but for the lost+found
 * of its file system.
 */
static bool is_blank(const char *directory)
{
	DIR *d = opendir(directory);
	struct dirent *entry;
	bool blank = true;

	if (!d)
		return errno == ENOENT;
	while (blank && (entry = readdir(d)) != NULL)
		blank = strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0 ||
			strcmp(entry->d_name, "lost+found") == 0;
	closedir(d);
	return blank;
}

int journal_dir_make(const char *directory, const struct child_spec *spec)
{
	pid_t pid;

	if (!is_blank(directory))
		return 0;
	int error = journal_link_run("init", directory, -1, spec, &pid);
	if (error != 0) {
		log_error("cannot run rmq-journal: %s", strerror(error));
		return error_exit(RMQ_E_IO);
	}
	return child_wait(pid);
}
