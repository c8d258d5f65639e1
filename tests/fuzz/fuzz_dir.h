/* Data directories that a fuzz target makes for one input. */
#ifndef RMQ_FUZZ_DIR_H
#define RMQ_FUZZ_DIR_H

#include <stdio.h>
#include <unistd.h>

static inline void fuzz_dir_remove(const char *dir)
{
	static const char *const names[] = {"data.mdb", "lock.mdb", "identity"};
	char path[256];
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		snprintf(path, sizeof(path), "%s/%s", dir, names[i]);
		unlink(path);
	}
	rmdir(dir);
}

#endif
