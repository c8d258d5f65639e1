#include "hear.h"

#include <stdio.h>
#include <string.h>

#include "core/base/units.h"
#include "core/host/events.h"

void hear_option(struct hear *h, int option, const char *value)
{
	static const uint8_t flags[] = {[HEAR_SNAPSHOT] = EVENTS_WITH_SNAPSHOT,
	    [HEAR_REPLAY] = EVENTS_WITH_REPLAY,
	    [HEAR_SINCE] = EVENTS_SINCE,
	    [HEAR_AFTER] = EVENTS_SINCE_SEQ};

	if (option < HEAR_SNAPSHOT || option > HEAR_AFTER) {
		h->only = value;
		return;
	}
	h->flags |= flags[option];
	if (value && !units_count(value, 0, UINT64_MAX, &h->since))
		h->bad = value;
}

static bool is_among(const char *list, struct slice kind)
{
	for (; *list; list += *list == ',') {
		size_t len = strcspn(list, ",");
		if (slice_eq(slice_of(list, len), kind))
			return true;
		list += len;
	}
	return false;
}

/* What was asked for by another option, or is lost, is no choice of --only. */
static bool is_shown(const struct hear *h, struct slice kind)
{
	return !h->only || is_among(h->only, kind) || is_among("snapshot,dropped", kind);
}

static void print(void *arg, struct slice kind, struct slice line)
{
	if (!is_shown(arg, kind))
		return;
	fwrite(line.data, 1, line.len, stdout);
	putchar('\n');
}

/* *bad: the first that is no name of an event. */
static bool are_kinds(const char *list, struct slice *bad)
{
	char kind[64];

	for (; list; list = strchr(list, ',')) {
		list += *list == ',';
		size_t len = strcspn(list, ",");
		snprintf(kind, sizeof(kind), "%.*s", (int)len, list);
		if (!events_kind_known(kind)) {
			*bad = slice_of(list, len);
			return false;
		}
	}
	return true;
}

static enum rmq_error check(const struct hear *h)
{
	struct slice bad;

	if (!are_kinds(h->only, &bad))
		return ask_fail(RMQ_E_USAGE, "'%.*s' is not the name of an event", (int)bad.len,
		    (const char *)bad.data);
	if (h->bad)
		return ask_fail(RMQ_E_USAGE, "'%s' is not a number", h->bad);
	if (h->flags & (h->flags - 1))
		return ask_fail(RMQ_E_USAGE,
		    "only one of --snapshot, --replay, --since and --after can be given");
	return RMQ_E_OK;
}

enum rmq_error hear_run(struct hear *h, struct ask *a)
{
	enum rmq_error err = check(h);

	a->event = print;
	a->arg = h;
	return err ? err : ask_events(a, h->flags, h->since);
}
