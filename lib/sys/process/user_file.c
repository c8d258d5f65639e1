#include "sys/process/user_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum rmq_error user_file_find(
    char path[PATH_MAX], const char *variable, const char *name, struct reason *why)
{
	const struct {
		const char *variable, *format;
		bool absolute;
	} places[] = {{variable, "%s%.0s", false}, {"XDG_CONFIG_HOME", "%s/rmq/%s", true},
	    {"HOME", "%s/.config/rmq/%s", true}};
	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		const char *at = getenv(places[i].variable);
		if (!at || !*at || (places[i].absolute && *at != '/'))
			continue;
		int len = snprintf(path, PATH_MAX, places[i].format, at, name);
		if (len > 0 && len < PATH_MAX)
			return RMQ_E_OK;
		return reason_set(
		    why, RMQ_E_CONFIG, "%s: %s", places[i].variable, strerror(ENAMETOOLONG));
	}
	return reason_set(
	    why, RMQ_E_CONFIG, "%s, XDG_CONFIG_HOME and HOME are not set", variable);
}

/* The folder of a file, "." if its name says none.  False: errno. */
static bool folder_of(const char *path, char folder[PATH_MAX])
{
	const char *slash = strrchr(path, '/');
	size_t len = slash > path ? (size_t)(slash - path) : 1;
	if (len >= PATH_MAX) {
		errno = ENAMETOOLONG;
		return false;
	}
	memcpy(folder, slash ? path : ".", len);
	folder[len] = '\0';
	return true;
}

bool user_file_sync(const char *path)
{
	char folder[PATH_MAX];
	if (!folder_of(path, folder))
		return false;
	int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	bool done = fd >= 0 && fsync(fd) == 0;
	int error = errno;
	if (fd >= 0)
		close(fd);
	errno = error;
	return done;
}

static bool make(const char *folder)
{
	if (mkdir(folder, 0700) != 0)
		return errno == EEXIST;
	return user_file_sync(folder);
}

enum rmq_error user_file_folders(const char *path, struct reason *why)
{
	char folder[PATH_MAX];
	struct stat st;
	if (!folder_of(path, folder))
		return reason_set(why, RMQ_E_IO, "%s", strerror(errno));
	if (stat(folder, &st) == 0)
		return RMQ_E_OK;
	for (char *p = folder + 1;; p++) {
		char c = *p;
		if (c != '/' && c != '\0')
			continue;
		*p = '\0';
		if (!make(folder))
			return reason_set(why,
			    errno == EACCES || errno == EPERM ? RMQ_E_DENIED : RMQ_E_IO,
			    "%s: %s", folder, strerror(errno));
		if (c == '\0')
			return RMQ_E_OK;
		*p = c;
	}
}

enum rmq_error user_file_trusted(int fd, const char *path, struct reason *why)
{
	struct stat st;
	if (fstat(fd, &st) != 0)
		return reason_set(why, RMQ_E_IO, "%s: %s", path, strerror(errno));
	if (st.st_uid != geteuid() && st.st_uid != 0)
		return reason_set(why, RMQ_E_DENIED,
		    "%s: belongs to another user, who could change it", path);
	if ((st.st_mode & 022) != 0)
		return reason_set(why, RMQ_E_DENIED,
		    "%s: mode is %04o: others can change it: chmod go-w", path,
		    st.st_mode & 07777);
	return RMQ_E_OK;
}
