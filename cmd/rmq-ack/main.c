/* rmq-ack: settles messages by their receipts.  See rmq-ack(1). */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "core/base/units.h"
#include "settler.h"
#include "sys/process/log.h"
#include "sys/process/signals.h"
#include "sys/process/startup.h"

enum { OPT_RELEASE = 256, OPT_FAIL, OPT_DELAY, OPT_DEAD, OPT_TOUCH, OPT_PASS, OPT_SKIP_BAD };

static const struct option longs[] = {{"release", no_argument, NULL, OPT_RELEASE},
    {"fail", no_argument, NULL, OPT_FAIL}, {"delay", required_argument, NULL, OPT_DELAY},
    {"dead", optional_argument, NULL, OPT_DEAD}, {"touch", required_argument, NULL, OPT_TOUCH},
    {"pass", no_argument, NULL, OPT_PASS}, {"skip-bad", no_argument, NULL, OPT_SKIP_BAD},
    CLIENT_OPTIONS_LONG, {NULL, 0, NULL, 0}};

static const char usage_text[] =
    "usage: rmq-ack [--release [--delay DUR] | --fail [--delay DUR] | --dead[=WHY] |\n"
    "               --touch DUR] [OPTION]... [RECEIPT]...\n"
    "Settles messages by receipts: arguments, or lines of stdin (an envelope, or a line\n"
    "whose first word is the receipt).\n"
    "\n"
    "      --release         give back, not counted as a failure\n"
    "      --fail            give back as failed: after the queue's back-off, and to the\n"
    "                        dead-letter queue after its last attempt\n"
    "      --delay DUR       with --release, --fail: ready only after DUR\n"
    "      --dead[=WHY]      move to the dead-letter queue\n"
    "      --touch DUR       let the lease run at least DUR from now\n"
    "      --pass            print each line once its receipt is settled\n"
    "      --skip-bad        skip lines that are not receipts, 65 at the end\n"
    "  -S, --server ADDR,... contact points (RMQ_SERVERS)\n"
    "      --timeout DUR     longest time without progress (30s)\n"
    "  -q, --quiet  -v, --verbose  -h, --help  -V, --version\n";

static int usage(const char *why)
{
	fprintf(stderr, "rmq-ack: %s\n", why);
	return error_exit(RMQ_E_USAGE);
}

static enum rmq_error take_option(struct ack_options *o, int option, struct reason *why)
{
	switch (option) {
	case OPT_RELEASE:
		o->how.verb = VERB_RELEASE;
		return RMQ_E_OK;
	case OPT_FAIL:
		o->how.verb = VERB_RELEASE;
		o->how.flags = SETTLE_COUNTED;
		return RMQ_E_OK;
	case OPT_DELAY:
		if (!units_duration(optarg, &o->how.ms) || o->how.ms > DELAY_MS_MAX)
			return reason_set(why, RMQ_E_USAGE,
			    "--delay: '%s' is not a duration up to 3650d", optarg);
		return RMQ_E_OK;
	case OPT_DEAD:
		o->how.verb = VERB_DEAD;
		o->how.why = slice_str(optarg ? optarg : "");
		if (o->how.why.len > TEXT_MAX)
			return reason_set(why, RMQ_E_USAGE,
			    "--dead: the reason is longer than %d bytes", TEXT_MAX);
		return RMQ_E_OK;
	case OPT_TOUCH:
		o->how.verb = VERB_TOUCH;
		if (!units_duration(optarg, &o->how.ms) || o->how.ms < LEASE_MS_MIN ||
		    o->how.ms > LEASE_MS_MAX)
			return reason_set(why, RMQ_E_USAGE,
			    "--touch: '%s' is not a duration from 100ms to 7d", optarg);
		return RMQ_E_OK;
	case OPT_PASS:
		o->pass = true;
		return RMQ_E_OK;
	case OPT_SKIP_BAD:
		o->skip_bad = true;
		return RMQ_E_OK;
	}
	why->text[0] = 0;
	return RMQ_E_USAGE;
}

static enum rmq_error parse(struct ack_options *o, int argc, char **argv, struct reason *why)
{
	bool delayed = false;
	int option, verbs = 0;
	enum rmq_error err = client_options_init(&o->common, 30000, why);
	o->how.verb = VERB_SETTLE;
	while (!err && (option = getopt_long(
			    argc, argv, "+" CLIENT_OPTIONS_SHORT, longs, NULL)) != -1) {
		delayed |= option == OPT_DELAY;
		verbs += option == OPT_RELEASE || option == OPT_FAIL || option == OPT_DEAD ||
			 option == OPT_TOUCH;
		err = client_options_take(&o->common, option, optarg, why);
		if (err == RMQ_E_NOTHING)
			err = take_option(o, option, why);
	}
	if (err)
		return err;
	if (verbs > 1)
		return reason_set(why, RMQ_E_USAGE,
		    "only one of --release, --fail, --dead and --touch can be given");
	if (delayed && o->how.verb != VERB_RELEASE)
		return reason_set(why, RMQ_E_USAGE, "--delay goes with --release or --fail");
	if (optind < argc)
		o->words = argv + optind;
	return RMQ_E_OK;
}

int main(int argc, char **argv)
{
	static struct settler a;
	struct ack_options o = {.pass = false};
	struct reason why;

	startup();
	if (parse(&o, argc, argv, &why))
		return why.text[0] ? usage(why.text) : error_exit(RMQ_E_USAGE);
	if (o.common.help || o.common.version) {
		fputs(o.common.help ? usage_text : "rmq-ack " RMQ_VERSION "\n", stdout);
		return fflush(stdout) ? error_exit(RMQ_E_IO) : 0;
	}
	if (!signals_init()) {
		fprintf(stderr, "rmq-ack: %s\n", strerror(errno));
		return error_exit(RMQ_E_IO);
	}
	log_init("rmq-ack", o.common.quiet ? -1 : o.common.verbose);
	enum rmq_error err = settler_open(&a, &o, &why);
	if (err) {
		fprintf(stderr, "rmq-ack: %s\n", why.text);
		return error_exit(err);
	}
	settler_run(&a);
	settler_close(&a);
	if (signals_caught())
		signals_die(signals_caught());
	return settler_status(&a);
}
