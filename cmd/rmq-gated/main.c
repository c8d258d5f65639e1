#include <errno.h>
#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "gate.h"
#include "one_client.h"
#include "sys/process/daemon_options.h"
#include "sys/process/heap.h"
#include "sys/process/ready.h"
#include "sys/process/startup.h"

#define PROGRAM "rmq-gated"

/* What this daemon cannot do without. */
#define SETTINGS_WANTED (CONFIG_BIT(name) | CONFIG_BIT(key) | CONFIG_BIT(gate_listen))

struct options {
	const char *config;
	bool stdio;
	struct daemon_options common;
};

enum { OPT_STDIO = 256 };

static const struct option_row rows[] = {
    {'c', "config", "FILE", NULL, NULL, "settings, see rmq.conf(5); each is an option as well"},
    {OPT_STDIO, "stdio", NULL, NULL, NULL,
	"serve one client, on stdin and stdout, from the socket for clients"},
    {0}};

static const struct option_table program = {PROGRAM,
    "[-c FILE] [--SETTING VALUE]... [OPTION]...", "",
    "Brings clients to the queue daemon of a cluster, wherever it runs.\n",
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

/* A setting with this value is why. */
_Noreturn static void fail_at(
    const char *setting, const char *value, enum rmq_error err, const struct reason *why)
{
	log_error("%s: %s: %s", setting, value, reason_text(why, err));
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
	(void)why;
	if (c == OPT_STDIO)
		o->stdio = true;
	else
		o->config = value;
	return RMQ_E_OK;
}

static struct options parse(int argc, char **argv, struct config *config)
{
	struct options o = {0};
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
	return o;
}

static enum rmq_error read_rights(struct gate *g, struct reason *why)
{
	if (gate_is_alone(g) && !config_given(&g->config, rights))
		return reason_set(why, RMQ_E_CONFIG,
		    "rights: is missing: without a cluster only clients with keys are served");
	return principals_open(g, why);
}

static void read_settings(struct gate *g, const struct options *o)
{
	struct config *config = &g->config;
	struct reason why = {""};
	enum rmq_error err = RMQ_E_OK;

	if (o->config)
		err = config_read(config, o->config, &why);
	if (!err)
		err = config_check(config, o->stdio ? 0 : SETTINGS_WANTED, &why);
	/* What is rmq-clusterd's: here are strangers. */
	config_forget(config);
	if (!err && !o->stdio)
		err = read_rights(g, &why);
	if (err)
		fail(err, &why);
}

static uint64_t raise_descriptors(void)
{
	struct rlimit was;
	rlim_t now;
	struct reason why;
	enum rmq_error err = startup_descriptors(GATE_DESCRIPTORS_MIN, &was, &now, &why);

	if (err)
		fail(err, &why);
	return now;
}

static void open_listener(struct gate *g)
{
	const char *why = "";

	if (gate_is_alone(g))
		return;
	if (listener_inherit(&g->listener)) {
		log_error("LISTEN_FDS: must be at most %d listening Unix stream sockets",
		    LISTENERS_MAX);
		exit(error_exit(RMQ_E_CONFIG));
	}
	if (g->listener.count > 0)
		return;
	enum rmq_error err = listener_open(&g->listener, g->config.socket.path, &why);
	if (!err)
		return;
	log_error("socket: %s: %s%s%s", g->config.socket.path, why, errno ? ": " : "",
	    errno ? strerror(errno) : "");
	exit(error_exit(err));
}

static void read_key(const char *setting, const char *path, struct keypair *pair)
{
	struct reason why = {""};
	enum rmq_error err = keyfile_read(path, pair, &why);

	if (err)
		fail_at(setting, path, err, &why);
}

/* Before it listens anywhere. */
static void read_keys(const struct config *config, struct keypair *own, struct keypair *old)
{
	read_key("key", config->key, own);
	if (config_given(config, old_key))
		read_key("old-key", config->old_key, old);
}

static void open_peers(struct gate *g, struct keypair *own, struct keypair *old)
{
	struct reason why = {""};
	bool has_old = config_given(&g->config, old_key);
	enum rmq_error err = peers_open(g, own, has_old ? old : NULL, &why);
	char text[SOCKET_HOST_TEXT_SIZE];

	keypair_wipe(own);
	keypair_wipe(old);
	if (!err)
		return;
	listener_close(&g->listener);
	socket_host_print(&g->config.gate_listen, text);
	fail_at("gate-listen", text, err, &why);
}

static void on_signal(uv_signal_t *signal, int signo)
{
	log_info("signal %d: ending", signo);
	(void)ready_notify("STOPPING=1");
	gate_stop(signal->data);
}

static void on_reload(uv_signal_t *signal, int signo)
{
	(void)signo;
	principals_reload(signal->data);
}

/* One that was ignored stays so, but that is no reason not to read a file again: see nohup(1). */
static void take_signals(struct gate *g)
{
	static const int signals[] = {SIGTERM, SIGINT, SIGHUP};
	struct sigaction old;

	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++) {
		bool ignored =
		    sigaction(signals[i], NULL, &old) != 0 || old.sa_handler == SIG_IGN;
		if (ignored && signals[i] != SIGHUP)
			continue;
		uv_signal_init(&g->loop, &g->signals[i]);
		g->signals[i].data = g;
		uv_signal_start(
		    &g->signals[i], signals[i] == SIGHUP ? on_reload : on_signal, signals[i]);
	}
}

/* Before threads look names up. */
static void confine(struct gate *g, struct daemon_options *common)
{
	struct sandbox box;

	sandbox_init(&box, SANDBOX_GATED);
	listener_paths(&g->listener, &box);
	sandbox_names(&box);
	if (g->principals.given)
		sandbox_around(&box, SANDBOX_READ, g->config.rights);
	enum rmq_error err = daemon_options_confine(common, &box);
	if (!err)
		return;
	listener_close(&g->listener);
	exit(error_exit(err));
}

int main(int argc, char **argv)
{
	static struct gate gate;
	struct gate *g = &gate;
	struct keypair own = {{0}, {0}}, old = {{0}, {0}};

	if (!startup(&program, argc, argv))
		return 0;
	heap_keep();
	log_init(PROGRAM, 0);
	config_init(&g->config);
	struct options o = parse(argc, argv, &g->config);
	log_init(PROGRAM, o.common.verbosity);
	signal(SIGPIPE, SIG_IGN);
	read_settings(g, &o);
	if (o.stdio)
		return one_client_run(&g->config.socket);
	int err = sodium_init() < 0 ? UV_ENOSYS : gate_init(g, raise_descriptors());
	if (err) {
		log_error("cannot start: %s", uv_strerror(err));
		return error_exit(RMQ_E_IO);
	}
	read_keys(&g->config, &own, &old);
	take_signals(g);
	open_listener(g);
	open_peers(g, &own, &old);
	confine(g, &o.common);
	g->common = &o.common;
	gate_start(g);
	watch_open(&g->watch, g);
	daemon_options_ready(&o.common);
	log_info("%s: ready", g->config.name);
	uv_run(&g->loop, UV_RUN_DEFAULT);
	/* Links' last bytes leave. */
	uv_run(&g->loop, UV_RUN_NOWAIT);
	return 0;
}
