/*
 * The heap of a process that allocates and frees blocks of 64 KiB all the time.
 */
#ifndef RMQ_SYS_PROCESS_HEAP_H
#define RMQ_SYS_PROCESS_HEAP_H

/*
 * Keeps up to 8 MiB of freed memory in the process: given back to the kernel at each
 * free(), it would be faulted in and cleared again, a fifth of all processor time.
 * Call once, first thing in main().
 */
void heap_keep(void);

#endif
