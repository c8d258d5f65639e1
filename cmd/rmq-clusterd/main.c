#include <errno.h>
#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "control.h"
#include "events.h"
#include "hooks.h"
#include "node.h"
#include "state.h"
#include "sys/journal/journal_dir.h"
#include "sys/process/daemon_options.h"
#include "sys/process/heap.h"
#include "sys/process/startup.h"

#define PROGRAM "rmq-clusterd"

/* What this daemon cannot do without. */
#define SETTINGS_WANTED \
	(CONFIG_BIT(name) | CONFIG_BIT(key) | CONFIG_BIT(listen) | CONFIG_BIT(advertise) | \
	    CONFIG_BIT(gate_advertise) | CONFIG_BIT(control) | CONFIG_BIT(engine))

struct options {
	const char *directory;
	const char *config;
	bool init;
	bool allow_async;
	struct config *settings;
	struct daemon_options common;
};

enum { OPTION_INIT = 256, OPTION_NO_ENFORCE, OPTION_ALLOW_ASYNC };

static const struct option_row rows[] = {
    {'d', "dir", "DIR", NULL, NULL, "the data directory of this node"},
    {OPTION_INIT, "init", NULL, NULL, NULL, "make DIR if it is absent or empty"},
    {OPTION_NO_ENFORCE, "no-enforce", NULL, NULL, NULL,
	"as enforce = no: for a rolling change of settings"},
    {OPTION_ALLOW_ASYNC, "allow-async", NULL, NULL, NULL,
	"use a database that waits for no standby, and may lose what it has confirmed"},
    {'c', "config", "FILE", NULL, NULL, "settings, see rmq.conf(5); each is an option as well"},
    {0}};

static const struct option_table program = {PROGRAM,
    "-d DIR [--init] [-c FILE] [--SETTING VALUE]... [OPTION]...", "",
    "Runs a node of a cluster; its leader runs the queue daemon.\n",
    {rows, daemon_options, options_of_all, config_rows}, NULL};

_Noreturn static void bad_usage(const char *what)
{
	if (*what)
		log_error("%s", what);
	fprintf(stderr, "try '" PROGRAM " --help'\n");
	exit(error_exit(RMQ_E_USAGE));
}

_Noreturn static void fail(enum rmq_error err, const struct reason *why)
{
	log_error("%s", reason_text(why, err));
	exit(error_exit(err));
}

_Noreturn static void print_and_exit(bool help)
{
	if (options_print(&program, NULL, help)) {
		log_error("stdout: %s", strerror(errno));
		exit(error_exit(RMQ_E_IO));
	}
	exit(0);
}

static enum rmq_error take_option(void *arg, int c, const char *value, struct reason *why)
{
	struct options *o = arg;
	switch (c) {
	case 'c':
		o->config = value;
		break;
	case 'd':
		o->directory = value;
		break;
	case OPTION_INIT:
		o->init = true;
		break;
	case OPTION_ALLOW_ASYNC:
		o->allow_async = true;
		break;
	case OPTION_NO_ENFORCE:
		return config_option(
		    o->settings, CONFIG_OPTION + CONFIG_SETTING_unenforced, "no", why);
	}
	return RMQ_E_OK;
}

static struct options parse(int argc, char **argv, struct config *config)
{
	struct options o = {.settings = config};
	struct reason why = {""};
	const struct daemon_parser parser = {&program, false, config, take_option, &o};

	if (daemon_options_parse(&o.common, argc, argv, &parser, &why))
		bad_usage(why.text);
	if (o.common.help)
		print_and_exit(true);
	if (o.common.version)
		print_and_exit(false);
	if (optind < argc) {
		(void)reason_set(&why, RMQ_E_USAGE, "unexpected argument: %s", argv[optind]);
		bad_usage(why.text);
	}
	if (!o.directory || !*o.directory)
		bad_usage("no data directory: -d DIR");
	return o;
}

static void no_runner(void *arg)
{
	struct cluster *c = arg;

	log_error(
	    "the process that runs hooks and seed-command has ended: restart rmq-clusterd");
	c->runner_ended = true;
	cluster_changed(c);
}

/* Before the key is read, which that process is not to have. */
static void open_runner(struct cluster *c, const char *config)
{
	int error = 0;

	bool hooks = hooks_wanted(c, config);

	if (!hooks && !config_given(&c->config, seed_command))
		return;
	c->runner = runner_open(&c->mask, &c->nofile, &error);
	if (!c->runner) {
		log_error("cannot start programs: %s", strerror(error));
		exit(error_exit(RMQ_E_IO));
	}
	runner_start(c->runner, &c->loop, no_runner, c);
}

static void read_settings(struct cluster *c, const struct options *o)
{
	struct reason why = {""};
	enum rmq_error err = RMQ_E_OK;

	if (o->config)
		err = config_read(&c->config, o->config, &why);
	if (!err)
		err = config_check(&c->config, SETTINGS_WANTED, &why);
	if (err)
		fail(err, &why);
	open_runner(c, o->config);
	err = keyfile_read(c->config.key, &c->pair, &why);
	if (err) {
		log_error("key: %s: %s", c->config.key, reason_text(&why, err));
		exit(error_exit(err));
	}
}

/* This node's directory says which node it is; settings must say the same. */
static void check_self(struct cluster *c)
{
	const struct raft_config *config = c->status.config;
	const struct raft_member *m = config ? raft_config_find(config, c->id) : NULL;

	if (!m)
		return;
	if (strcmp(m->name, c->config.name) != 0)
		log_error("name: the data directory belongs to %s", m->name);
	else if (memcmp(m->key, c->pair.key, RAFT_KEY_SIZE) != 0)
		log_error("%s: not the key by which the cluster knows %s", c->config.key,
		    c->config.name);
	else
		return;
	cluster_die(c, error_exit(RMQ_E_CONFIG));
}

/* Who was told that it is no member any more needs nobody to say so again, and tells nobody. */
static void check_ended(struct cluster *c)
{
	enum raft_how how;

	if (!disk_ended(&c->disk, &how))
		return;
	log_error("%s: this node %s", c->disk.directory,
	    how == RAFT_LEFT ? "has left the cluster" MEMBERS_AGAIN_TEXT
			     : members_removed_text(how));
	cluster_die(c, error_exit(RMQ_E_CONFIG));
}

static void open_node(struct cluster *c, const struct options *o)
{
	struct child_spec spec = {.mask = &c->mask, .nofile = &c->nofile};
	int status = o->init ? journal_dir_make(o->directory, &spec) : 0;

	if (status == 0)
		status = disk_open(&c->disk, c, o->directory, o->common.sandbox);
	if (status != 0)
		exit(status);
	check_ended(c);
	tail_init(&c->tail);
	c->engine = node_engine(c);
	node_open(c);
	check_self(c);
	events_start(c);
	hooks_start(c);
}

/* err: libuv's. */
static void must_start(struct cluster *c, int err)
{
	if (!err)
		return;
	log_error("cannot start: %s", uv_strerror(err));
	cluster_die(c, error_exit(RMQ_E_IO));
}

static void open_sockets(struct cluster *c)
{
	struct reason why = {""};
	int status = peers_open(c);

	if (status == 0)
		status = join_open(c);
	if (status != 0)
		cluster_die(c, status);
	must_start(c, cluster_take_signals(c));
	enum rmq_error err =
	    control_open(&c->control, &c->loop, c, c->config.control.path, &why);
	if (err) {
		log_error("control: %s: %s", c->config.control.path, reason_text(&why, err));
		cluster_die(c, error_exit(err));
	}
}

static void start(struct cluster *c)
{
	cluster_start(c);
	must_start(c, disk_start(&c->disk));
	int status = database_link_start(c);
	if (status)
		cluster_die(c, status);
	join_start(c);
	rights_look(c);
}

/* While all are open that may be, there are some for the queue daemon's sockets. */
static void raise_descriptors(struct cluster *c)
{
	rlim_t now;
	struct reason why;
	enum rmq_error err = startup_descriptors(DESCRIPTORS_MIN, &c->nofile, &now, &why);

	if (err)
		fail(err, &why);
}

/* The queue daemon, which is started later, is in it too: with its paths, and its own sandbox below. */
static void confine(struct cluster *c, struct daemon_options *common)
{
	struct sandbox box;

	sandbox_init(&box, SANDBOX_CLUSTERD);
	store_reader_paths(c->disk.directory, &box);
	/* child_kill() looks at a child there. */
	sandbox_path(&box, SANDBOX_READ, "/proc");
	sandbox_around(&box, SANDBOX_SOCKET, c->config.control.path);
	sandbox_around(&box, SANDBOX_SOCKET, c->config.queue_socket.path);
	if (config_given(&c->config, rights))
		sandbox_around(&box, SANDBOX_READ, c->config.rights);
	if (c->hooks_set)
		sandbox_path(&box, SANDBOX_READ, c->config.hooks);
	database_link_confine(c, &box);
	sandbox_names(&box);
	sandbox_program(&box, SUPERVISOR_PROGRAM);
	enum rmq_error err = daemon_options_confine(common, &box);
	if (err)
		cluster_die(c, error_exit(err));
}

static int run(struct cluster *c)
{
	uv_run(&c->loop, UV_RUN_DEFAULT);
	control_close(c->control);
	join_close(c);
	peers_close(c);
	int status = disk_close(&c->disk);
	node_close(c);
	database_link_close(c);
	keypair_wipe(&c->pair);
	return status ? status : c->leave.status;
}

int main(int argc, char **argv)
{
	static struct cluster cluster;
	struct cluster *c = &cluster;

	if (!startup(&program, argc, argv))
		return 0;
	heap_keep();
	log_init(PROGRAM, 0);
	config_init(&c->config);
	struct options o = parse(argc, argv, &c->config);
	log_init(PROGRAM, o.common.verbosity);
	signal(SIGPIPE, SIG_IGN);
	sigprocmask(SIG_BLOCK, NULL, &c->mask);
	raise_descriptors(c);
	if (sodium_init() < 0 || uv_loop_init(&c->loop) != 0) {
		log_error("cannot start");
		return error_exit(RMQ_E_IO);
	}
	randombytes_buf(&c->boot, sizeof(c->boot));
	read_settings(c, &o);
	c->database.allow_async = o.allow_async;
	int status = database_link_open(c);
	if (status)
		return status;
	watchdog_open(c);
	c->supervisor.sandbox = o.common.sandbox;
	supervisor_open(c);
	open_node(c, &o);
	open_sockets(c);
	/* Before threads look names up. */
	confine(c, &o.common);
	start(c);
	daemon_options_ready(&o.common);
	log_info("%s: ready", c->disk.directory);
	return run(c);
}
