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

static const struct option_row rows[] = {
    {OPT_RELEASE, "release", NULL, NULL, NULL, "give back, not counted as a failure"},
    {OPT_FAIL, "fail", NULL, NULL, NULL,
	"give back as failed: after the queue's back-off, and to the dead-letter queue after its "
	"last attempt"},
    {OPT_DELAY, "delay", "DUR", NULL, NULL, "with --release, --fail: ready only after DUR"},
    {OPT_DEAD, "dead", "[=WHY]", NULL, NULL, "move to the dead-letter queue"},
    {OPT_TOUCH, "touch", "DUR", NULL, NULL, "let the lease run at least DUR from now"},
    {OPT_PASS, "pass", NULL, NULL, NULL, "print each line once its receipt is settled"},
    {OPT_SKIP_BAD, "skip-bad", NULL, NULL, NULL,
	"skip lines that are not receipts, 65 at the end"},
    {0}};

static const struct option_table program = {"rmq-ack",
    "[--release [--delay DUR] | --fail [--delay DUR] | --dead[=WHY] | --touch DUR] "
    "[OPTION]...",
    "[RECEIPT]...",
    "Settles messages by receipts: arguments, or lines of stdin (an envelope, or a line "
    "whose first word is the receipt).\n",
    {rows, client_options, options_of_all, NULL}, NULL};

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
	struct option_parser parser;
	enum rmq_error err = client_options_init(&o->common, 30000, why);
	o->how.verb = VERB_SETTLE;
	options_parser(&parser, &program, false);
	while (!err &&
	       (option = getopt_long(argc, argv, parser.letters, parser.longs, NULL)) != -1) {
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

	if (!startup(&program, argc, argv))
		return 0;
	if (parse(&o, argc, argv, &why))
		return why.text[0] ? usage(why.text) : error_exit(RMQ_E_USAGE);
	if (o.common.help || o.common.version)
		return error_exit(options_print(&program, NULL, o.common.help));
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
