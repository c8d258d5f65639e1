#include "sys/store/empty_dir.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

static bool is_in(const char *name, const char *const *list)
{
	for (; *list; list++)
		if (strcmp(name, *list) == 0)
			return true;
	return false;
}

enum rmq_error empty_dir_check(int fd, const char *const *also, struct reason *why)
{
	static const char *const always[] = {".", "..", "lost+found", NULL};
	enum rmq_error err = RMQ_E_OK;
	struct dirent *entry;
	/* Not dup(2): the place in the list would be shared. */
	int list_fd = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *list = list_fd < 0 ? NULL : fdopendir(list_fd);
	if (!list) {
		err = reason_set(why, RMQ_E_IO, "%s", strerror(errno));
		if (list_fd >= 0)
			close(list_fd);
		return err;
	}
	errno = 0;
	while (!err && (entry = readdir(list)))
		if (!is_in(entry->d_name, always) && !is_in(entry->d_name, also))
			err = reason_set(
			    why, RMQ_E_EXISTS, "is not empty: it holds %.128s", entry->d_name);
	if (!err && errno != 0)
		err = reason_set(why, RMQ_E_IO, "%s", strerror(errno));
	closedir(list);
	return err;
}
