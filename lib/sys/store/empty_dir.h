/* Directories that may become data directories: what counts as empty. */
#ifndef RMQ_SYS_STORE_EMPTY_DIR_H
#define RMQ_SYS_STORE_EMPTY_DIR_H

#include "core/base/error.h"
#include "sys/process/reason.h"

/*
 * Whether the directory `fd` (borrowed) holds nothing but the lost+found of its file system, and
 * files of the names in `also` (a list that NULL ends).  RMQ_E_EXISTS: `why` names what else it
 * holds; RMQ_E_IO: it cannot be read.
 */
enum rmq_error empty_dir_check(int fd, const char *const *also, struct reason *why)
    __attribute__((warn_unused_result));

#endif
