/*
 * The data file is read through a map, and LMDB does not check what it reads: damage may
 * show as a signal.  Between on and off that ends the daemon with its line and the status
 * of a corrupt journal; otherwise such a signal is a bug of ours.
 */
#ifndef RMQ_SYS_GUARD_H
#define RMQ_SYS_GUARD_H

/* `program` and `directory` are for the line. */
void guard_init(const char *program, const char *directory);
void guard_on(void);
void guard_off(void);

#endif
