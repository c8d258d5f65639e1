#include "sys/client_options.h"

#include <stdlib.h>

#include "core/units.h"

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

int client_options_next(
    int argc, char **argv, const char *letters, const struct option *longs, bool *dashes)
{
	int before = optind;
	int option = getopt_long(argc, argv, letters, longs, NULL);
	if (option == -1 && optind > before)
		*dashes = true;
	return option;
}
