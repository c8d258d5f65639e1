#include "sys/client/client_options.h"

#include <stdlib.h>

#include "core/base/name.h"
#include "core/base/topic.h"
#include "core/base/units.h"

const struct option_row client_options[] = {
    {'S', "server", "ADDR,...", NULL, "RMQ_SERVERS", "contact points: unix:/PATH, HOST:PORT"},
    {CLIENT_OPTION_KEYFILE, "keyfile", "FILE", NULL, "RMQ_KEYFILE",
	"our secret key, for other machines"},
    {CLIENT_OPTION_KNOWN_NODES, "known-nodes", "FILE", NULL, "RMQ_KNOWN_NODES",
	"keys of gates by address"},
    {CLIENT_OPTION_ACCEPT_NEW, "accept-new", NULL, NULL, NULL,
	"trust a gate that is not known, and add its key there"},
    {CLIENT_OPTION_TIMEOUT, "timeout", "DUR", NULL, "30s", "longest time without an answer"},
    {0}};

enum rmq_error client_options_init(
    struct client_options *o, uint64_t timeout_ms, struct reason *why)
{
	const char *timeout = getenv("RMQ_TIMEOUT");
	*o =
	    (struct client_options){.servers = getenv("RMQ_SERVERS"), .timeout_ms = timeout_ms};
	if (o->servers && !*o->servers)
		o->servers = NULL;
	if (timeout && *timeout && !units_duration(timeout, &o->timeout_ms))
		return reason_set(
		    why, RMQ_E_USAGE, "RMQ_TIMEOUT: '%s' is not a duration", timeout);
	return RMQ_E_OK;
}

enum rmq_error client_options_take(
    struct client_options *o, int option, const char *arg, struct reason *why)
{
	switch (option) {
	case 'S':
		o->servers = arg;
		return RMQ_E_OK;
	case CLIENT_OPTION_TIMEOUT:
		if (units_duration(arg, &o->timeout_ms))
			return RMQ_E_OK;
		return reason_set(why, RMQ_E_USAGE, "--timeout: '%s' is not a duration", arg);
	case CLIENT_OPTION_KEYFILE:
		o->keyfile = arg;
		return RMQ_E_OK;
	case CLIENT_OPTION_KNOWN_NODES:
		o->known_nodes = arg;
		return RMQ_E_OK;
	case CLIENT_OPTION_ACCEPT_NEW:
		o->accept_new = true;
		return RMQ_E_OK;
	case 'q':
		o->quiet = true;
		return RMQ_E_OK;
	case 'v':
		o->verbose++;
		return RMQ_E_OK;
	case 'h':
		o->help = true;
		return RMQ_E_OK;
	case 'V':
		o->version = true;
		return RMQ_E_OK;
	}
	return RMQ_E_NOTHING;
}

int client_options_next(int argc, char **argv, const struct option_parser *p, bool *dashes)
{
	int before = optind;
	int option = getopt_long(argc, argv, p->letters, p->longs, NULL);
	if (option == -1 && optind > before)
		*dashes = true;
	return option;
}

/* Takes options up to a word that is none, or "--". */
static enum rmq_error take_all(
    struct client_options *o, const struct client_line *l, bool *dashes, struct reason *why)
{
	struct option_parser parser;
	int option;
	options_parser(&parser, l->table, true);
	while ((option = client_options_next(l->argc, l->argv, &parser, dashes)) != -1) {
		enum rmq_error err = client_options_take(o, option, optarg, why);
		if (err == RMQ_E_NOTHING) {
			why->text[0] = 0;
			err = l->take(l->arg, option, why);
		}
		if (err)
			return err;
	}
	return RMQ_E_OK;
}

static enum rmq_error check_name(enum client_names names, const char *name, struct reason *why)
{
	const char *fault = NULL;
	if (names == NAMES_QUEUE)
		return name_valid(slice_str(name))
			   ? RMQ_E_OK
			   : reason_set(why, RMQ_E_USAGE, "'%s' is not a queue name", name);
	fault = names == NAMES_TOPIC ? topic_fault(slice_str(name))
				     : pattern_fault(slice_str(name));
	if (!fault)
		return RMQ_E_OK;
	return reason_set(why, RMQ_E_USAGE, "'%s' is not a %s: %s", name,
	    names == NAMES_TOPIC ? "topic" : "pattern", fault);
}

enum rmq_error client_options_line(
    struct client_options *o, struct client_line *l, struct reason *why)
{
	bool dashes = false;
	enum rmq_error err = take_all(o, l, &dashes, why);
	l->queue = NULL;
	l->dashes = false;
	l->late = NULL;
	if (err || o->help || o->version)
		return err;
	if (optind == l->argc)
		return reason_set(why, RMQ_E_USAGE, "no QUEUE given");
	const char *queue = l->argv[optind++];
	/* Behind a "--" before QUEUE there are no options. */
	int behind = optind;
	if (!dashes)
		err = take_all(o, l, &l->dashes, why);
	if (optind > behind + l->dashes)
		l->late = l->argv[behind];
	if (err || o->help || o->version)
		return err;
	l->queue = queue;
	return check_name(o->names, queue, why);
}
