/*
 * The data file is read through a map, and LMDB does not check what it reads: damage may
 * show as a signal.  Between on and off, which stand close around what looks into the file's
 * structure, that ends the daemon with its line and the status of a corrupt journal, as SIGBUS
 * does at any time: nothing else that is mapped can be cut.  Otherwise such a signal is a bug of
 * ours, and not told as damage.
 */
#ifndef RMQ_SYS_STORE_GUARD_H
#define RMQ_SYS_STORE_GUARD_H

/* `program` and `directory` are for the line. */
void guard_init(const char *program, const char *directory);
void guard_on(void);
void guard_off(void);

#endif
