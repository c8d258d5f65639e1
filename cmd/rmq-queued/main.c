#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "server.h"
#include "sys/heap.h"
#include "sys/journal_dir.h"
#include "sys/ready.h"

#define PROGRAM "rmq-queued"

/* Memory at the heap's end that is kept: buffers of frames come and go with each turn. */
#define HEAP_KEPT_BYTES (4 << 20)

static const char usage[] =
    "usage: " PROGRAM " -d DIR [--init] [-l PATH] [--ready-fd N] [-qv] [-- COMMAND [ARG...]]\n"
    "       " PROGRAM " --journal-fd N [-l PATH] [--ready-fd N] [-qv]\n"
    "  -d, --dir DIR       the journal's data directory\n"
    "      --init          make DIR if it is absent or empty\n"
    "      --journal-fd N  the journal is at the other end of descriptor N, a socket\n"
    "  -l, --listen PATH   the socket for clients (default $XDG_RUNTIME_DIR/rmq/rmq.sock if\n"
    "                      that directory exists, else /run/rmq/rmq.sock; with COMMAND a\n"
    "                      private one)\n"
    "      --ready-fd N    write a newline to descriptor N when ready\n"
    "  -q, --quiet  -v, --verbose  -h, --help  -V, --version\n"
    "COMMAND runs with RMQ_SERVERS set; the daemon ends after it, with its status.\n";

struct options {
	const char *directory;
	const char *listen;
	int journal_fd; /* -1: none, a child of ours is the journal */
	int ready_fd;	/* -1: none */
	bool init;
	int verbosity;
	char **command; /* NULL: none */
};

enum { OPTION_INIT = 256, OPTION_JOURNAL_FD, OPTION_READY_FD };

static const struct option long_options[] = {
    {"dir", required_argument, NULL, 'd'},
    {"init", no_argument, NULL, OPTION_INIT},
    {"journal-fd", required_argument, NULL, OPTION_JOURNAL_FD},
    {"listen", required_argument, NULL, 'l'},
    {"ready-fd", required_argument, NULL, OPTION_READY_FD},
    {"quiet", no_argument, NULL, 'q'},
    {"verbose", no_argument, NULL, 'v'},
    {"help", no_argument, NULL, 'h'},
    {"version", no_argument, NULL, 'V'},
    {NULL, 0, NULL, 0},
};

_Noreturn static void bad_usage(const char *what)
{
	if (what)
		log_error("%s", what);
	fprintf(stderr, "try '" PROGRAM " --help'\n");
	exit(error_exit(RMQ_E_USAGE));
}

_Noreturn static void bad_usage_of(const char *option, const char *what)
{
	char text[128];
	snprintf(text, sizeof(text), "%s: %s", option, what);
	bad_usage(text);
}

static int parse_fd(const char *option, const char *text)
{
	char *end;
	errno = 0;
	long fd = strtol(text, &end, 10);
	if (errno != 0 || end == text || *end || fd < 0 || fd > INT32_MAX ||
	    fcntl((int)fd, F_SETFD, FD_CLOEXEC) != 0)
		bad_usage_of(option, "not an open descriptor");
	return (int)fd;
}

static int parse_socket(const char *option, const char *text)
{
	int fd = parse_fd(option, text);
	int type = 0, listens = 0;
	socklen_t len = sizeof(int);
	if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) != 0 || type != SOCK_STREAM ||
	    getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &len) != 0 || listens)
		bad_usage_of(option, "not a connected stream socket");
	return fd;
}

_Noreturn static void print_and_exit(const char *text)
{
	if (fputs(text, stdout) == EOF || fflush(stdout) != 0) {
		log_error("stdout: %s", strerror(errno));
		exit(error_exit(RMQ_E_IO));
	}
	exit(0);
}

static void check(const struct options *o)
{
	if (o->journal_fd < 0 && (!o->directory || !*o->directory))
		bad_usage("no data directory: -d DIR");
	if (o->journal_fd >= 0 && (o->directory || o->init || o->command))
		bad_usage("--journal-fd: not together with -d, --init or COMMAND");
}

static struct options parse(int argc, char **argv)
{
	struct options o = {.journal_fd = -1, .ready_fd = -1};
	int c;

	while ((c = getopt_long(argc, argv, "+d:l:qvhV", long_options, NULL)) != -1) {
		switch (c) {
		case 'd':
			o.directory = optarg;
			break;
		case OPTION_INIT:
			o.init = true;
			break;
		case 'l':
			o.listen = optarg;
			break;
		case OPTION_JOURNAL_FD:
			o.journal_fd = parse_socket("--journal-fd", optarg);
			break;
		case OPTION_READY_FD:
			o.ready_fd = parse_fd("--ready-fd", optarg);
			break;
		case 'q':
			o.verbosity--;
			break;
		case 'v':
			o.verbosity++;
			break;
		case 'h':
			print_and_exit(usage);
		case 'V':
			print_and_exit(PROGRAM " " RMQ_VERSION "\n");
		default:
			bad_usage(NULL);
		}
	}
	if (optind < argc)
		o.command = argv + optind;
	else if (strcmp(argv[optind - 1], "--") == 0)
		bad_usage("no COMMAND behind --");
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
	if (getrlimit(RLIMIT_NOFILE, &s->nofile) != 0) {
		log_error("getrlimit: %s", strerror(errno));
		exit(error_exit(RMQ_E_IO));
	}
	struct rlimit raised = {s->nofile.rlim_max, s->nofile.rlim_max};
	s->nofile_now =
	    setrlimit(RLIMIT_NOFILE, &raised) == 0 ? raised.rlim_cur : s->nofile.rlim_cur;
}

/* Signals are read from a descriptor from now on.  One that was ignored stays so. */
static int take_signals(struct server *s)
{
	static const int signals[] = {SIGTERM, SIGINT, SIGHUP};
	struct sigaction old;
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
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
		log_error(
		    "LISTEN_FDS: not at most %d listening Unix stream sockets", LISTENERS_MAX);
		exit(error_exit(RMQ_E_CONFIG));
	}
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
		log_error(
		    "%s: %s%s%s", path, why, errno ? ": " : "", errno ? strerror(errno) : "");
		server_die(s, error_exit(err));
	}
}

static void say_ready(struct server *s, const struct options *o)
{
	if (ready_notify("READY=1") != 0)
		log_notice("NOTIFY_SOCKET: %s", strerror(errno));
	if (o->ready_fd >= 0 && ready_fd(o->ready_fd) != 0)
		log_notice("--ready-fd: %s", strerror(errno));
	log_info("%s: ready", s->directory);
}

static void run_command(struct server *s, char **argv)
{
	char address[SOCKET_PATH_MAX + 16];

	if (listener_address(&s->listener, address, sizeof(address)))
		setenv("RMQ_SERVERS", address, 1);
	server_command(s, argv);
}

int main(int argc, char **argv)
{
	static struct server server;
	struct server *s = &server;

	heap_keep();
	log_init(PROGRAM, 0);
	struct options o = parse(argc, argv);
	log_init(PROGRAM, o.verbosity);
	mallopt(M_TRIM_THRESHOLD, HEAP_KEPT_BYTES);
	signal(SIGPIPE, SIG_IGN);
	sigprocmask(SIG_BLOCK, NULL, &s->mask);
	/* COMMAND may be one that gains privileges; then only the journal is kept from it. */
	if (!o.command && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
		log_notice("no_new_privs: %s", strerror(errno));
	raise_descriptors(s);
	inherit(s);
	if (o.init)
		make_directory(s, o.directory);
	if (o.journal_fd >= 0)
		server_open_at(s, o.journal_fd);
	else
		server_open(s, o.directory);
	open_listener(s, &o);
	server_start(s, take_signals(s));
	say_ready(s, &o);
	if (o.command)
		run_command(s, o.command);
	return server_run(s);
}
