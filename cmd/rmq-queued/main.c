#include <errno.h>
#include <inttypes.h>
#include <malloc.h>
#include <signal.h>
#include <sodium/core.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/base/name.h"
#include "server.h"
#include "sys/journal/journal_dir.h"
#include "sys/net/cell_list.h"
#include "sys/process/daemon_options.h"
#include "sys/process/heap.h"
#include "sys/process/startup.h"

#define PROGRAM "rmq-queued"

/* Memory at the heap's end that is kept: buffers of frames come and go with each turn. */
#define HEAP_KEPT_BYTES (4 << 20)

struct options {
	const char *directory;
	const char *listen;
	const char *rights;	  /* NULL: all may do all */
	const char *node;	  /* NULL: of no cluster */
	const char *cells, *cell; /* NULL: there is one */
	struct cells list;
	int journal_fd; /* -1: none, a child of ours is the journal */
	bool init;
	bool explicit_create;
	struct daemon_options common;
	char **command; /* NULL: none */
};

enum {
	OPTION_INIT = 256,
	OPTION_JOURNAL_FD,
	OPTION_CREATE,
	OPTION_NODE,
	OPTION_RIGHTS,
	OPTION_CELLS,
	OPTION_CELL
};

static const struct option_row rows[] = {
    {'d', "dir", "DIR", NULL, NULL, "the journal's data directory"},
    {OPTION_INIT, "init", NULL, NULL, NULL, "make DIR if it is absent or empty"},
    {OPTION_CREATE, "create", "auto|explicit", NULL, "auto",
	"make a queue when it is first named, or by rmq-queue create only"},
    {OPTION_JOURNAL_FD, "journal-fd", "N", NULL, NULL,
	"the journal is at the other end of descriptor N, a socket"},
    {OPTION_NODE, "node", "NAME", NULL, NULL, "this node's name, by which its users are known"},
    {OPTION_RIGHTS, "rights", "FILE", NULL, NULL,
	"what the users of this machine may do, rmq-rights(5); SIGHUP reads it again"},
    {OPTION_CELLS, "cells", "LIST", NULL, NULL,
	"all cells, rmq(7): NAME=SERVERS;NAME=SERVERS..."},
    {OPTION_CELL, "cell", "NAME", NULL, NULL, "which of them this is"},
    {'l', "listen", "PATH", NULL, NULL,
	"the socket for clients (default $XDG_RUNTIME_DIR/rmq/rmq.sock if that directory exists, "
	"else /run/rmq/rmq.sock; with COMMAND a private one)"},
    {0}};

static const struct option_table program = {PROGRAM, "-d DIR [--init] [OPTION]...",
    "[[--] COMMAND [ARG]...]",
    "       " PROGRAM " --journal-fd N [--node NAME] [OPTION]...\n"
    "Keeps queues.  COMMAND runs with RMQ_SERVERS set; the daemon ends after it, with its "
    "status.\n",
    {rows, daemon_options, options_of_all, NULL}, NULL};

_Noreturn static void bad_usage(const char *what)
{
	if (*what)
		log_error("%s", what);
	fprintf(stderr, "try '" PROGRAM " --help'\n");
	exit(error_exit(RMQ_E_USAGE));
}

static enum rmq_error parse_socket(
    const char *option, const char *text, int *fd, struct reason *why)
{
	enum rmq_error err = daemon_options_fd(option, text, fd, why);
	int type = 0, listens = 0;
	socklen_t len = sizeof(int);
	if (!err &&
	    (getsockopt(*fd, SOL_SOCKET, SO_TYPE, &type, &len) != 0 || type != SOCK_STREAM ||
		getsockopt(*fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &len) != 0 || listens))
		return reason_set(
		    why, RMQ_E_USAGE, "%s: not a connected stream socket", option);
	return err;
}

_Noreturn static void print_and_exit(bool help)
{
	if (options_print(&program, NULL, help)) {
		log_error("stdout: %s", strerror(errno));
		exit(error_exit(RMQ_E_IO));
	}
	exit(0);
}

static void check_cells(struct options *o)
{
	struct reason why = {""};

	if (!o->cells && !o->cell)
		return;
	if (!o->cells || !o->cell)
		bad_usage(
		    "--cells and --cell go together: all cells, and which of them this is");
	if (!cell_list_read(&o->list, o->cells, o->cell, &why))
		return;
	log_error("--cells: %s", why.text);
	bad_usage("");
}

static void check(struct options *o)
{
	check_cells(o);
	if (o->journal_fd < 0 && (!o->directory || !*o->directory))
		bad_usage("no data directory: -d DIR");
	if (o->journal_fd >= 0 && (o->directory || o->init || o->command))
		bad_usage("--journal-fd excludes -d, --init and COMMAND");
	if (o->node && o->journal_fd < 0)
		bad_usage("--node needs --journal-fd");
}

static enum rmq_error take_option(void *arg, int c, const char *value, struct reason *why)
{
	struct options *o = arg;
	switch (c) {
	case 'd':
		o->directory = value;
		break;
	case OPTION_INIT:
		o->init = true;
		break;
	case 'l':
		o->listen = value;
		break;
	case OPTION_CREATE:
		o->explicit_create = strcmp(value, "explicit") == 0;
		if (!o->explicit_create && strcmp(value, "auto") != 0)
			return reason_set(why, RMQ_E_USAGE,
			    "--create: '%s' is neither auto nor explicit", value);
		break;
	case OPTION_RIGHTS:
		o->rights = value;
		break;
	case OPTION_NODE:
		o->node = value;
		if (!name_valid_node(slice_str(value)))
			return reason_set(
			    why, RMQ_E_USAGE, "--node: '%s' is not a node's name", value);
		break;
	case OPTION_CELLS:
		o->cells = value;
		break;
	case OPTION_CELL:
		o->cell = value;
		break;
	case OPTION_JOURNAL_FD:
		return parse_socket("--journal-fd", value, &o->journal_fd, why);
	}
	return RMQ_E_OK;
}

static struct options parse(int argc, char **argv)
{
	struct options o = {.journal_fd = -1};
	struct reason why = {""};
	const struct daemon_parser parser = {&program, true, NULL, take_option, &o};

	if (daemon_options_parse(&o.common, argc, argv, &parser, &why))
		bad_usage(why.text);
	if (o.common.help)
		print_and_exit(true);
	if (o.common.version)
		print_and_exit(false);
	if (optind < argc)
		o.command = argv + optind;
	else if (strcmp(argv[optind - 1], "--") == 0)
		bad_usage("no COMMAND after --");
	check(&o);
	return o;
}

/* What is wrong is said by rmq-journal. */
static void make_directory(struct server *s, const char *directory)
{
	struct child_spec spec = {.mask = &s->mask, .nofile = &s->nofile};
	int status = journal_dir_make(directory, &spec);

	if (status != 0)
		exit(status);
}

static void raise_descriptors(struct server *s)
{
	struct reason why;
	enum rmq_error err =
	    startup_descriptors(DESCRIPTORS_MIN, &s->nofile, &s->nofile_now, &why);

	if (err) {
		log_error("%s", why.text);
		exit(error_exit(err));
	}
}

/* SIGHUP is about it from now on, and ends nothing. */
static void open_rights(struct server *s, const char *path, bool of_node)
{
	struct reason why = {""};
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGHUP);
	sigprocmask(SIG_BLOCK, &set, NULL);
	enum rmq_error err = users_open(&s->users, path, &why);
	if (!err)
		return;
	/* A node's queue daemon may be started at any time: others than users of this machine are served. */
	log_error("%s%s", why.text,
	    of_node ? ": until SIGHUP finds it right, users of this machine may do nothing"
		    : "");
	if (!of_node)
		exit(error_exit(err));
}

/* Signals are read from a descriptor from now on.  One that was ignored stays so. */
static int take_signals(struct server *s)
{
	static const int signals[] = {SIGTERM, SIGINT, SIGHUP};
	struct sigaction old;
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	if (s->users.path)
		sigaddset(&set, SIGHUP);
	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		if (sigaction(signals[i], NULL, &old) == 0 && old.sa_handler != SIG_IGN)
			sigaddset(&set, signals[i]);
	int fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
	if (fd < 0 || sigprocmask(SIG_BLOCK, &set, NULL) != 0) {
		log_error("signalfd: %s", strerror(errno));
		server_die(s, error_exit(RMQ_E_IO));
	}
	return fd;
}

static void inherit(struct server *s)
{
	if (listener_inherit(&s->listener)) {
		log_error("LISTEN_FDS: must be at most %d listening Unix stream sockets",
		    LISTENERS_MAX);
		exit(error_exit(RMQ_E_CONFIG));
	}
}

/* COMMAND is told of the socket, or does not run: it would find another daemon's. */
static void check_address(const struct server *s, const struct options *o)
{
	char text[SOCKET_ADDRESS_TEXT_SIZE];
	struct socket_address address;
	const char *why = "", *what = s->listener.count > 0 ? "LISTEN_FDS" : o->listen;
	enum rmq_error err = RMQ_E_OK;

	if (s->listener.count > 0) {
		err = listener_address(&s->listener, text, &why) ? RMQ_E_CONFIG : RMQ_E_OK;
	} else if (o->listen) {
		err = socket_address_path(&address, o->listen, &why);
		if (!err)
			err = socket_address_print(&address, text, &why);
	}
	if (!err)
		return;
	log_error("%s: RMQ_SERVERS for COMMAND cannot name it: %s", what, why);
	exit(error_exit(err));
}

/* Queues that were there before the list, or before it became another one. */
static void be_a_cell(struct server *s, const struct options *o)
{
	struct slice one;

	broker_cells(s->broker, &o->list, slice_str(o->cell));
	uint32_t strays = broker_strays(s->broker, &one);
	if (strays > 0)
		log_notice(
		    "%s: %u queue%s here, and by --cells at home in another cell, as %.*s: "
		    "clients that begin there do not find %s: rmq-queue move-cell",
		    s->directory, strays, strays == 1 ? " is" : "s are", (int)one.len,
		    (const char *)one.data, strays == 1 ? "it" : "them");
}

/* Behind the journal's lock: two daemons of one directory do not meet here. */
static void open_listener(struct server *s, const struct options *o)
{
	struct listener *l = &s->listener;
	struct socket_address address;
	const char *path = o->listen, *why = "";
	enum rmq_error err = RMQ_E_OK;

	if (l->count > 0)
		return;
	if (!path && o->command) {
		path = "private socket";
		err = listener_open_private(l, &why);
	} else {
		if (!path) {
			err = socket_address_default(&address, &why);
			path = address.path;
		}
		if (!err)
			err = listener_open(l, path, &why);
	}
	if (err) {
		int error = errno;
		log_error("%s: %s%s%s%s", path, why, error ? ": " : "",
		    error ? strerror(error) : "",
		    error == ENOENT ? " (make its directory, or name another socket with -l)"
				    : "");
		server_die(s, error_exit(err));
	}
}

static void run_command(struct server *s, char **argv)
{
	char address[SOCKET_ADDRESS_TEXT_SIZE];
	const char *why = "";
	enum rmq_error err = listener_address(&s->listener, address, &why);

	if (!err && setenv("RMQ_SERVERS", address, 1) != 0) {
		why = strerror(errno);
		err = RMQ_E_LIMIT;
	}
	if (err) {
		log_error("RMQ_SERVERS: %s", why);
		server_die(s, error_exit(err));
	}
	server_command(s, argv);
}

/* COMMAND runs already: it may be one that opens anything, or gains privileges. */
static void confine(struct server *s, struct daemon_options *common)
{
	struct sandbox box;

	sandbox_init(&box, SANDBOX_QUEUED);
	store_reader_paths(s->directory, &box);
	/* child_kill() looks at a child there. */
	sandbox_path(&box, SANDBOX_READ, "/proc");
	if (s->users.path) {
		sandbox_around(&box, SANDBOX_READ, s->users.path);
		sandbox_names(&box);
	}
	listener_paths(&s->listener, &box);
	enum rmq_error err = daemon_options_confine(common, &box);
	if (err)
		server_die(s, error_exit(err));
	broker_tell_sandbox(s->broker, box.achieved);
}

int main(int argc, char **argv)
{
	static struct server server;
	struct server *s = &server;

	if (!startup(&program, argc, argv))
		return 0;
	heap_keep();
	log_init(PROGRAM, 0);
	struct options o = parse(argc, argv);
	log_init(PROGRAM, o.common.verbosity);
	mallopt(M_TRIM_THRESHOLD, HEAP_KEPT_BYTES);
	signal(SIGPIPE, SIG_IGN);
	sigprocmask(SIG_BLOCK, NULL, &s->mask);
	if (sodium_init() < 0) {
		log_error("cannot start: no random numbers");
		return error_exit(RMQ_E_IO);
	}
	if (o.rights)
		open_rights(s, o.rights, o.journal_fd >= 0);
	raise_descriptors(s);
	inherit(s);
	if (o.command)
		check_address(s, &o);
	if (o.init)
		make_directory(s, o.directory);
	s->node = slice_str(o.node ? o.node : "");
	if (o.journal_fd >= 0)
		server_open_at(s, o.journal_fd);
	else
		server_open(s, o.directory, o.common.sandbox);
	if (o.explicit_create)
		broker_create_explicitly(s->broker);
	if (o.cells)
		be_a_cell(s, &o);
	int signals = take_signals(s);
	open_listener(s, &o);
	server_start(s, signals);
	if (o.command)
		run_command(s, o.command);
	confine(s, &o.common);
	s->users.common = &o.common;
	daemon_options_ready(&o.common);
	log_info("%s: ready", s->directory);
	return server_run(s);
}
