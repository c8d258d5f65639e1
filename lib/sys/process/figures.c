#include "sys/process/figures.h"

#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* A short file of one line. */
static bool read_line(const char *path, char *line, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, line, size - 1);

	if (fd >= 0)
		close(fd);
	line[n > 0 ? n : 0] = '\0';
	return n > 0;
}

bool figures_load(uint64_t *hundredths)
{
	unsigned long whole;
	unsigned part;
	char line[128];

	if (!read_line("/proc/loadavg", line, sizeof(line)) ||
	    sscanf(line, "%lu.%2u", &whole, &part) != 2)
		return false;
	*hundredths = (uint64_t)whole * 100 + part;
	return true;
}

/* statm: pages of address space, those in memory, and those of the latter that are shared files. */
uint64_t figures_memory(pid_t pid)
{
	char path[64], line[256];
	uint64_t resident, shared;

	snprintf(path, sizeof(path), "/proc/%d/statm", (int)pid);
	if (!read_line(path, line, sizeof(line)) ||
	    sscanf(line, "%*u %" SCNu64 " %" SCNu64, &resident, &shared) != 2)
		return 0;
	return (resident > shared ? resident - shared : 0) * (uint64_t)sysconf(_SC_PAGESIZE);
}

bool figures_file(const char *directory, const char *name, uint64_t *bytes)
{
	char path[PATH_MAX];
	struct stat st;

	if (snprintf(path, sizeof(path), "%s/%s", directory, name) >= (int)sizeof(path) ||
	    stat(path, &st) != 0)
		return false;
	*bytes = (uint64_t)st.st_blocks * 512;
	return true;
}
