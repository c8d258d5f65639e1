/*
 * A database that votes: its servers, and each node's connection with it.  What the shipped driver
 * (core/host/database.h) gives is executed by a model of the tables, with what can go wrong: statements that are
 * executed late or whose answer is lost, a standby that is promoted with all that was confirmed and some of the rest,
 * the old primary, which still answers, servers that stand still, and full disks.
 */
#ifndef SIM_RAFT_TABLES_H
#define SIM_RAFT_TABLES_H

#include "core/host/database.h"

#include "sim.h"

void tables_begin(struct sim *s);
void tables_end(struct sim *s);
/* The process of a node begins, and has ended. */
void tables_up(struct sim *s, struct node *n, const struct raft_begin *b);
void tables_down(struct sim *s, struct node *n);
/* It is to adopt the log that the database holds; or not, any more.  *is: how the database is; NULL: nobody asks. */
void tables_adopt(struct sim *s, struct node *n, bool adopts, struct database_status *is);
/* After each step, before its actions. */
void tables_stepped(struct sim *s, struct node *n);
/* A message to the database. */
void tables_post(struct sim *s, struct node *n, const struct raft_message *m);
/* A leader has made these holes. */
void tables_dig(struct sim *s, struct node *n, const struct raft_store *st);
/* Servers and connections, for a millisecond. */
void tables_millisecond(struct sim *s);
/* The faults end. */
void tables_calm(struct sim *s);
/* Something that a leader has committed is in the database, confirmed. */
void tables_check_committed(struct sim *s, uint64_t index);
/* The clock of the server that is written to is set forward. */
void tables_clock(struct sim *s, uint64_t ms);
/* It takes no more records, or takes them again. */
void tables_full(struct sim *s, bool is);
/* The index of the newest record that the standbys have. */
uint64_t tables_last(const struct sim *s);
/* When all is calm: what is dead is not in it.  NULL, or what is wrong. */
const char *tables_is_clean(struct sim *s, uint64_t *a, uint64_t *b);
/* A server takes the place of all that lacks much of what was confirmed; and the right one is back. */
bool tables_put_back(struct sim *s);
void tables_mend(struct sim *s);

#endif
