/*
 * The settings of the cluster's daemons, see rmq.conf(5): a file of lines `NAME = VALUE`, and
 * an option --NAME VALUE for each, which overrides the file.  Both daemons read the same file, so
 * each knows all settings.
 *
 * A setting is a line in CONFIG_SETTINGS, and nothing else: its member in struct config, its
 * option, its line of help and its check come from there.
 */
#ifndef RMQ_SYS_PROCESS_CONFIG_H
#define RMQ_SYS_PROCESS_CONFIG_H

#include <limits.h>
#include <stdbool.h>

#include "core/base/limits.h"
#include "core/base/text.h"
#include "core/host/roles.h"
#include "core/host/start_gate.h"
#include "core/raft/raft_config.h"
#include "sys/net/socket.h"
#include "sys/process/options.h"
#include "sys/process/reason.h"

#define CONFIG_SEEDS_MAX RAFT_MEMBERS_MAX

struct config_seed {
	char name[RAFT_NAME_MAX + 1];
	struct socket_host address;
};

struct config_seeds {
	unsigned count;
	struct config_seed seeds[CONFIG_SEEDS_MAX];
};

/*
 * Kinds of values, as members of struct config.  Absent ones are zeros.  A duration is in
 * milliseconds, maybe UNITS_INFINITY; a command is a line for /bin/sh; an interval is one from CONFIG_INTERVAL_MIN_MS to
 * CONFIG_INTERVAL_MAX_MS; a doubt is from 1 to PHI_THRESHOLD_MAX; create is whether it is explicit; enforce is whether it is not; control
 * is a socket, with an empty path if the value is "none"; cells is a list as of core/base/cells.h; a secret is never shown, and refused as
 * an option: others see those.
 */
#define CONFIG_MEMBER_name(member)     char member[RAFT_NAME_MAX + 1];
#define CONFIG_MEMBER_path(member)     char member[PATH_MAX];
#define CONFIG_MEMBER_command(member)  char member[PATH_MAX];
#define CONFIG_MEMBER_socket(member)   struct socket_address member;
#define CONFIG_MEMBER_control(member)  struct socket_address member;
#define CONFIG_MEMBER_host(member)     struct socket_host member;
#define CONFIG_MEMBER_seeds(member)    struct config_seeds member;
#define CONFIG_MEMBER_roles(member)    struct roles member;
#define CONFIG_MEMBER_minimum(member)  struct min_members member;
#define CONFIG_MEMBER_create(member)   bool member;
#define CONFIG_MEMBER_enforce(member)  bool member;
#define CONFIG_MEMBER_duration(member) uint64_t member;
#define CONFIG_MEMBER_interval(member) uint64_t member;
#define CONFIG_MEMBER_doubt(member)    uint64_t member;
#define CONFIG_MEMBER_engine(member)   uint8_t member; /* enum raft_engine */
#define CONFIG_MEMBER_cells(member)    char member[CELLS_TEXT_MAX + 1];
#define CONFIG_MEMBER_secret(member)   char member[CONFIG_SECRET_MAX + 1];

#define CONFIG_SECRET_MAX 4095

#define CONFIG_INTERVAL_MIN_MS 10
#define CONFIG_INTERVAL_MAX_MS 60000

/*      member            setting             kind      default    what it is called, help */
/* clang-format off */
#define CONFIG_SETTINGS(X) \
	X(name,             "name",             name,     NULL,      "NAME", "this node's name") \
	X(key,              "key",              path,     NULL,      "FILE", "its secret key, of rmq-keygen") \
	X(old_key,          "old-key",          path,     NULL,      "FILE", "the key before that, while clients know it") \
	X(known_nodes,      "known-nodes",      path,     NULL,      "FILE", "public keys of the seeds") \
	X(listen,           "listen",           host,     "0.0.0.0:7401", "HOST:PORT", "where nodes reach it") \
	X(advertise,        "advertise",        host,     NULL,      "HOST:PORT", "the same, as others see it") \
	X(gate_listen,      "gate-listen",      host,     "0.0.0.0:7411", "HOST:PORT", "where gates and clients reach its gate") \
	X(gate_advertise,   "gate-advertise",   host,     NULL,      "HOST:PORT", "the same, as others see it") \
	X(seeds,            "seeds",            seeds,    NULL,      "NAME@HOST:PORT,...", "nodes that it asks to let it in") \
	X(seed_command,     "seed-command",     command,  NULL,      "COMMAND", "prints more of them, a line each") \
	X(seed_timeout,     "seed-timeout",     interval, "5s",      "DURATION", "how long each has to answer") \
	X(retry_join,       "retry-join",       interval, "10s",     "DURATION", "the longest pause before all are asked again") \
	X(join_timeout,     "join-timeout",     duration, "infinity", "DURATION", "how long to ask them") \
	X(roles,            "roles",            roles,    "broker",  "broker|none|ROLE,...", "what it is for; broker: it may run the queue daemon") \
	X(min_members,      "min-members",      minimum,  "1",       "N,ROLE:N,...", "how many must be up before the queue first starts; the same on all nodes") \
	X(election_timeout, "election-timeout", interval, "500ms",   "DURATION", "silence of a leader; the same on all nodes") \
	X(heartbeat,        "heartbeat",        interval, "100ms",   "DURATION", "how often a leader is heard; the same on all nodes") \
	X(phi_threshold,    "phi-threshold",    doubt,    "8",       "NUMBER", "doubt from which a member is suspected") \
	X(phi_pause,        "phi-pause",        interval, "3s",      "DURATION", "silence, beside a heartbeat, before doubt begins") \
	X(explicit_create,  "create",           create,   "auto",    "auto|explicit", "when a queue is made; the same on all nodes") \
	X(unenforced,       "enforce",          enforce,  "yes",     "yes|no", "whether settings that must be the same on all nodes are; no: for a rolling change") \
	X(rights,           "rights",           path,     NULL,      "FILE", "what clients may do") \
	X(hooks,            "hooks",            path,     NULL,      "DIR",  "programs that are run for events") \
	X(hook_timeout,     "hook-timeout",     duration, "30s",     "DURATION", "how long each may run") \
	X(control,          "control",          control,  "cluster.sock", "PATH|none", "socket for administration") \
	X(queue_socket,     "queue-socket",     socket,   "queue.sock", "PATH", "socket of the queue daemon") \
	X(socket,           "socket",           socket,   "rmq.sock", "PATH", "socket for clients") \
	X(cells,            "cells",            cells,    NULL,      "LIST", "all cells, see rmq(7); the same on all nodes") \
	X(cell,             "cell",             name,     NULL,      "NAME", "which of them this cluster is; the same on all nodes") \
	X(engine,           "engine",           engine,   "built-in", "built-in|postgresql", "who keeps the log: the nodes, or a database") \
	X(dsn_file,         "dsn-file",         path,     NULL,      "FILE", "where that database is: a line of libpq") \
	X(dsn,              "dsn",              secret,   NULL,      "STRING", "that line itself; only in the file of settings")
/* clang-format on */

enum config_setting {
#define X(member, setting, kind, standard, value, help) CONFIG_SETTING_##member,
	CONFIG_SETTINGS(X)
#undef X
	    CONFIG_SETTINGS_COUNT
};

/* The bit of a setting in a set of them. */
#define CONFIG_BIT(member) (UINT64_C(1) << CONFIG_SETTING_##member)

struct config {
#define X(member, setting, kind, standard, value, help) CONFIG_MEMBER_##kind(member)
	CONFIG_SETTINGS(X)
#undef X
	uint64_t given_in_file;
	uint64_t given_as_option;
};

/* Whether the file or an option has it. */
#define config_given(c, member) \
	((((c)->given_in_file | (c)->given_as_option) & CONFIG_BIT(member)) != 0)

/* NAME@HOST:PORT; false: *why says what is wrong with it, and *seed is untouched. */
bool config_seed_parse(struct config_seed *seed, const char *word, const char **why);

/*
 * Order of use: config_init(); config_rows for the parser, whose codes from CONFIG_OPTION on are
 * given to config_option(); config_read() if there is a file; config_check().
 */
void config_init(struct config *c);

#define CONFIG_OPTION 1000
/* An option for each setting, in their order; a row of zeros ends them. */
extern const struct option_row config_rows[CONFIG_SETTINGS_COUNT + 1];

/* `value` is what getopt_long() gave back.  RMQ_E_USAGE: "--NAME: text". */
enum rmq_error config_option(struct config *c, int value, const char *arg, struct reason *why)
    __attribute__((warn_unused_result));

/*
 * Reads a file; a setting that an option has given already is checked and then skipped.
 * RMQ_E_CONFIG: there is no such file, or a line is wrong: "FILE:LINE: text".  RMQ_E_DENIED,
 * RMQ_E_IO.
 */
enum rmq_error config_read(struct config *c, const char *path, struct reason *why)
    __attribute__((warn_unused_result));

/* The same of bytes in memory; `path` is what *why calls them. */
enum rmq_error config_parse(struct config *c, struct slice bytes, const char *path,
    struct reason *why) __attribute__((warn_unused_result));

/*
 * Completes it: defaults; `advertise` and `gate_advertise` are what `listen` and `gate_listen`
 * are if those name one address; sockets are where socket_address_runtime() has them;
 * the path of `queue_socket` becomes an absolute one.  Without a control socket, `queue_socket` is by
 * itself the one where rmq-queued listens.  RMQ_E_CONFIG: one of the set `wanted` is missing (a
 * control socket also if it is "none"), or values do not fit each other; *why names the setting.
 */
enum rmq_error config_check(struct config *c, uint64_t wanted, struct reason *why)
    __attribute__((warn_unused_result));

/*
 * Reads `dsn` from `dsn_file`, if that is set: its one line.  RMQ_E_CONFIG: there is no such file, or it
 * is not one line; RMQ_E_DENIED: others can read it, or we cannot; RMQ_E_IO.
 */
enum rmq_error config_read_dsn(struct config *c, struct reason *why)
    __attribute__((warn_unused_result));
/* Wipes what must not be shown. */
void config_forget(struct config *c);

#endif
