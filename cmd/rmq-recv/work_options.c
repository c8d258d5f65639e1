#include "work_options.h"

#include "core/base/name.h"
#include "core/base/units.h"

const struct option_row work_option_rows[] = {{0, NULL, NULL, NULL, NULL, "With COMMAND:"},
    {'P', "parallel", "N", NULL, "1", "runs at a time"},
    {WORK_OPTION_BATCH, "batch", "N", NULL, NULL,
	"up to N messages for one run, as lines (-0, -j) on its stdin"},
    {WORK_OPTION_LINGER, "linger", "DUR", NULL, "0", "wait so long to fill a batch"},
    {WORK_OPTION_RATE, "rate", "N/s|m|h", "RATE", NULL, "start so many runs, and no more"},
    {WORK_OPTION_MAX_TIME, "max-time", "DUR", NULL, "infinity",
	"TERM to a run's process group, KILL 10 s later"},
    {WORK_OPTION_MAX_FAILS, "max-fails", "N", NULL, NULL,
	"end with 75 after N failures in a row"},
    {WORK_OPTION_ON_EXIT, "on-exit", "CODE,...=VERDICT",
	"settle|dead|retry|retry:DUR|fail|stop", NULL,
	"settle, dead, retry[:DUR], fail or stop for these statuses"},
    {'I', NULL, "STR", NULL, NULL, "the body stands for STR in the ARGs, stdin is /dev/null"},
    {'l', "newline", NULL, NULL, NULL, "end the body with a newline"},
    {WORK_OPTION_TO, "to", "QUEUE", NULL, NULL,
	"send each line that a run prints there as its message is settled"},
    {'w', "whole", NULL, NULL, NULL, "with --to: all that it prints as one message"},
    {WORK_OPTION_JOBLOG, "joblog", "FILE", NULL, NULL,
	"append a line for each message that a run had"},
    {WORK_OPTION_RESULTS, "results", "DIR", NULL, NULL,
	"stdout and stderr of each run are files ID.out, ID.err in DIR"},
    {0, NULL, NULL, NULL, NULL, "Of all clients:"}, {0}};

void work_options_init(struct work_options *o)
{
	*o = (struct work_options){.max_time_ms = UNITS_INFINITY};
	o->config =
	    (struct work_config){.parallel = 1, .batch = 1, .prefetch = WORK_PREFETCH_ADAPTS};
	work_rules_init(&o->config.rules);
}

static enum rmq_error bad(
    struct reason *why, const char *option, const char *arg, const char *what)
{
	return reason_set(why, RMQ_E_USAGE, "%s: '%s' is not %s", option, arg, what);
}

static enum rmq_error take_count(uint32_t *count, uint64_t most, const char *option,
    const char *arg, const char *what, struct reason *why)
{
	uint64_t n;
	if (!units_count(arg, 1, most, &n))
		return bad(why, option, arg, what);
	*count = (uint32_t)n;
	return RMQ_E_OK;
}

static enum rmq_error take_duration(
    uint64_t *ms, const char *option, const char *arg, struct reason *why)
{
	if (units_duration(arg, ms) && (*ms == UNITS_INFINITY || *ms <= DELAY_MS_MAX))
		return RMQ_E_OK;
	return bad(why, option, arg, "a duration");
}

enum rmq_error work_options_take(
    struct work_options *o, int option, const char *arg, struct reason *why)
{
	static const char *const names[] = {"--batch", "--linger", "--max-time", "--max-fails",
	    "--on-exit", "--to", "--joblog", "--results", "--rate"};
	enum rmq_error err = RMQ_E_OK;
	const char *name = option == 'P'   ? "-P"
			   : option == 'I' ? "-I"
			   : option == 'l' ? "-l"
			   : option == 'w' ? "-w"
			   : option >= WORK_OPTION_BATCH && option <= WORK_OPTION_RATE
			       ? names[option - WORK_OPTION_BATCH]
			       : NULL;
	if (!name)
		return RMQ_E_NOTHING;
	if (!o->given)
		o->given = name;
	switch (option) {
	case 'P':
		return take_count(&o->config.parallel, WORK_PARALLEL_MAX, name, arg,
		    "a number from 1 to 4096", why);
	case WORK_OPTION_BATCH:
		o->form.several = true;
		return take_count(&o->config.batch, SETTLE_ENTRIES_MAX, name, arg,
		    "a number from 1 to 2048", why);
	case WORK_OPTION_LINGER:
		return take_duration(&o->config.linger_ms, name, arg, why);
	case WORK_OPTION_MAX_TIME:
		err = take_duration(&o->max_time_ms, name, arg, why);
		return !err && o->max_time_ms == 0 ? bad(why, name, arg, "more than 0") : err;
	case WORK_OPTION_MAX_FAILS:
		if (!units_count(arg, 1, UINT64_MAX / 2, &o->config.max_fails))
			err = bad(why, name, arg, "a number of at least 1");
		return err;
	case WORK_OPTION_ON_EXIT:
		if (!work_rules_parse(&o->config.rules, arg))
			err = bad(why, name, arg,
			    "CODE[,CODE...]=settle, dead, retry[:DUR], fail or stop");
		return err;
	case 'I':
		o->form.replace = arg;
		return *arg ? RMQ_E_OK : bad(why, name, arg, "a string to be replaced");
	case 'w':
		o->whole = true;
		return RMQ_E_OK;
	case WORK_OPTION_TO:
		o->to = arg;
		return name_valid(slice_str(arg)) ? RMQ_E_OK
						  : bad(why, name, arg, "a queue name");
	case WORK_OPTION_RATE:
		return units_rate(arg, &o->config.rate, &o->config.rate_ms)
			   ? RMQ_E_OK
			   : bad(why, name, arg, "a rate, as 10/s, 10/m or 10/h");
	case WORK_OPTION_JOBLOG:
		o->joblog = arg;
		return RMQ_E_OK;
	case WORK_OPTION_RESULTS:
		o->results = arg;
		return RMQ_E_OK;
	default:
		o->form.newline = true;
		return RMQ_E_OK;
	}
}

static enum rmq_error exclude(struct reason *why, const char *a, const char *b)
{
	return reason_set(why, RMQ_E_USAGE, "%s and %s exclude each other", a, b);
}

enum rmq_error work_options_check(struct work_options *o, struct reason *why)
{
	if (!o->command && o->given)
		return reason_set(why, RMQ_E_USAGE, "%s: no COMMAND given", o->given);
	if (o->form.several && o->form.replace)
		return exclude(why, "--batch", "-I");
	if (o->form.several && o->form.newline)
		return exclude(why, "--batch", "-l");
	if (o->form.replace && o->form.newline)
		return exclude(why, "-I", "-l");
	if (!o->form.several && o->config.linger_ms > 0)
		return reason_set(why, RMQ_E_USAGE, "--linger goes with --batch");
	if (o->whole && !o->to)
		return reason_set(why, RMQ_E_USAGE, "-w goes with --to");
	return RMQ_E_OK;
}
