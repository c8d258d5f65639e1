/* Bad records set aside, and what is left made into a journal that a queue daemon starts on. */
#ifndef RMQ_JOURNAL_MEND_H
#define RMQ_JOURNAL_MEND_H

#include "sys/process/reason.h"
#include "verify.h"

/*
 * Copies each bad record of `f`, of which there are some, to DIR/quarantine-INDEX, prints what is
 * lost with it, and takes it out of the log.  Durable on return, and all or nothing: after an
 * error, or a crash, the log is as it was.
 */
enum rmq_error mend(const char *dir, const struct findings *f, struct reason *why)
    __attribute__((warn_unused_result));

/*
 * The same of a log that lacks records which no checkpoint in it declares dead (cover.h): they are
 * taken for bad ones, and so is the newest checkpoint if it lacks some.
 */
enum rmq_error mend_holes(const char *dir, struct reason *why)
    __attribute__((warn_unused_result));

#endif
