/*
 * A client meets a gate whose key it does not know: asks on the terminal, or refuses it in a script.
 */
#ifndef RMQ_SYS_CLIENT_FIRST_CONTACT_H
#define RMQ_SYS_CLIENT_FIRST_CONTACT_H

#include "sys/client/client_options.h"
#include "sys/net/pins.h"

/*
 * Whether it is to be trusted from now on; it is then in the file `known_nodes`.  again: this process
 * was told so before: it asks nobody, and says less.  *asked becomes true if a person was, who took his
 * time.  RMQ_E_DENIED: no, and *why says what to do; RMQ_E_INTERRUPTED: by a signal of signals.h, there
 * is no answer; others as of pins_add().
 */
enum rmq_error first_contact(const struct pin *pin, const char *known_nodes, bool accept_new,
    bool again, bool *asked, struct reason *why) __attribute__((warn_unused_result));

#endif
