/* What the kernel says of this machine and of processes, in /proc. */
#ifndef RMQ_SYS_PROCESS_FIGURES_H
#define RMQ_SYS_PROCESS_FIGURES_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* The load average of the last minute, times 100.  False: it is not known. */
bool figures_load(uint64_t *hundredths);
/* Bytes in memory that are the process'; 0: there is no such process, or it is not known. */
uint64_t figures_memory(pid_t pid);
/* Bytes that a file takes on its disk.  False: it is not known. */
bool figures_file(const char *directory, const char *name, uint64_t *bytes);

#endif
