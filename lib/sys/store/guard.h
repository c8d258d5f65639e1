/*
 * The data file is read through a map, and LMDB does not check what it reads: damage may
 * show as a signal.  Between on and off, which closely enclose code that looks into the file's
 * structure, such a signal ends the daemon with its line and the status of a corrupt journal.
 * SIGBUS does so at any time: nothing else that is mapped can be truncated.  Any other such
 * signal is a bug of ours, and not reported as damage.
 */
#ifndef RMQ_SYS_STORE_GUARD_H
#define RMQ_SYS_STORE_GUARD_H

/* `program` and `directory` are for the line. */
void guard_init(const char *program, const char *directory);
void guard_on(void);
void guard_off(void);

#endif
