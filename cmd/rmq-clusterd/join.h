/*
 * A node that is not a member yet asks seeds to take it in, until its own log says that it is a
 * member.  They are asked at the same time, in rounds: core/host/joining.h decides when.  Those of the
 * settings are asked, and those that a command tells.  A node never forms a cluster by itself.  A member that hears of
 * no leader asks the seeds who the members are, until it hears of one.
 */
#ifndef RMQ_CLUSTERD_JOIN_H
#define RMQ_CLUSTERD_JOIN_H

#include <uv.h>

#include "core/host/joining.h"
#include "sys/net/known_nodes.h"
#include "sys/net/link_dialer.h"
#include "sys/process/config.h"
#include "sys/process/log.h"

struct cluster;

/* A seed that is asked. */
struct join_ask {
	struct cluster *cluster;
	unsigned at;		    /* of the seeds */
	struct link_dialer *dialer; /* NULL: it is not */
	bool differs;		    /* its settings do, and that is enforced */
};

struct join {
	struct cluster *cluster;
	struct known_nodes known;  /* keys of seeds */
	struct config_seeds set;   /* without those of the command */
	struct config_seeds seeds; /* of this round */
	bool commanded;		   /* seed-command is run as well */
	bool asking;
	struct joining joining;
	struct join_ask asks[CONFIG_SEEDS_MAX];
	bool answered;	 /* a seed, in this round */
	uint64_t led_ms; /* when a leader was known last */
	/* an administrator waits for it; otherwise the time-out ends the process */
	bool by_command;
	uv_timer_t timer;
	char refused[TEXT_MAX + 1]; /* what a seed said, or why none is asked; "" */
	char why[TEXT_MAX + 1];	    /* that, without the seed's name */
	struct log_rate said, command_said;
	bool final;	     /* that is what a member has decided */
	enum rmq_error code; /* why it is over: RMQ_E_NO_DAEMON, as a rule */
};

/* Reads the keys of the seeds.  0, or an exit status; what is wrong was said. */
int join_open(struct cluster *c);
/* Begins to ask, if this node is not a member and has seeds. */
void join_start(struct cluster *c);
/*
 * Asks NAME@HOST:PORT, or the configured seeds if it is empty.  RMQ_E_CONFIG: no seeds, or no
 * key for them; RMQ_E_USAGE: no address; RMQ_E_EXISTS: the log holds a queue of its own, or
 * this node is a member of a cluster that does not have NAME, or was removed from one.  A
 * member asks only while nobody leads it.
 */
enum rmq_error join_begin(struct cluster *c, const char *address, struct reason *why)
    __attribute__((warn_unused_result));
/*
 * A link to a seed whose key is known, for a node that is not a member.  Of `options` only the
 * events, `failed` and `arg` are read.  Free it with link_dialer_free().
 */
struct link_dialer *join_dial(
    struct cluster *c, const struct config_seed *seed, struct link_dialer_options options);
/* Stops asking until it is told to ask again. */
void join_cancel(struct cluster *c);
/* The end of a turn. */
void join_turn(struct cluster *c);
void join_close(struct cluster *c);

#endif
