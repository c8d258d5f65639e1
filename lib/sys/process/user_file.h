/* Files of one user, of clients most of all: where they are, making them last, who can write to them. */
#ifndef RMQ_SYS_PROCESS_USER_FILE_H
#define RMQ_SYS_PROCESS_USER_FILE_H

#include <limits.h>
#include <stdbool.h>

#include "sys/process/reason.h"

/*
 * The path that `variable` of the environment holds, else that of the file `name` among the user's
 * settings: $XDG_CONFIG_HOME/rmq/NAME, else $HOME/.config/rmq/NAME, whichever is an absolute path.
 * RMQ_E_CONFIG: none of them is set, or the path is too long: *why names the variables.
 */
enum rmq_error user_file_find(char path[PATH_MAX], const char *variable, const char *name,
    struct reason *why) __attribute__((warn_unused_result));

/*
 * Makes the folders that a file is in, those that are not there, for this user alone and durably.
 * RMQ_E_DENIED, RMQ_E_IO: *why names the folder.
 */
enum rmq_error user_file_folders(const char *path, struct reason *why)
    __attribute__((warn_unused_result));

/*
 * Whether only this user and root can write to an open file, of which it says whom we trust.
 * RMQ_E_DENIED: others can; RMQ_E_IO: *why names the file.
 */
enum rmq_error user_file_trusted(int fd, const char *path, struct reason *why)
    __attribute__((warn_unused_result));

/* Makes the list of files durable that the file is in.  False: errno. */
bool user_file_sync(const char *path) __attribute__((warn_unused_result));

#endif
