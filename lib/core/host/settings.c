#include "core/host/settings.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <xxhash.h>

#include "core/base/units.h"
#include "core/base/variant.h"
#include "core/raft/node_wire.h"

static const struct {
	uint16_t tag;
	const char *name;
} table[SETTINGS_COUNT] = {
#define X(tag, NAME, name) {tag, name},
    SETTINGS(X)
#undef X
};

#define NO_RIGHTS "none"
#define NO_CELLS  "(none)" /* is the name of no cell */

/* ---- made ---- */

void settings_times(struct settings *s, uint64_t election_ms, uint64_t heartbeat_ms)
{
	(void)units_print_duration(s->value[SETTING_ELECTION_TIMEOUT], election_ms);
	(void)units_print_duration(s->value[SETTING_HEARTBEAT], heartbeat_ms);
}

void settings_flags(struct settings *s, uint32_t flags)
{
	char *rights = s->value[SETTING_RIGHTS];

	snprintf(s->value[SETTING_CREATE], sizeof(s->value[0]), "%s",
	    flags & NODE_STATE_EXPLICIT ? "explicit" : "auto");
	if (!(flags & NODE_STATE_RIGHTS))
		rights[0] = '\0';
	else if (NODE_STATE_RIGHTS_OF(flags) == 0)
		snprintf(rights, sizeof(s->value[0]), "%s", NO_RIGHTS);
	else
		snprintf(
		    rights, sizeof(s->value[0]), "%u", (unsigned)NODE_STATE_RIGHTS_OF(flags));
}

void settings_engine(struct settings *s, uint8_t engine)
{
	snprintf(s->value[SETTING_ENGINE], sizeof(s->value[0]), "%s", raft_engine_text(engine));
}

void settings_cells(struct settings *s, const struct cells *cells, const char *cell)
{
	uint64_t sum = 0;

	for (uint32_t i = 0; i < cells->count; i++) {
		const struct cell *c = &cells->cells[i];
		const uint8_t hashes = c->hashes;
		sum = XXH3_64bits_withSeed(c->name, c->name_len, sum);
		sum = XXH3_64bits_withSeed(&hashes, sizeof(hashes), sum);
		sum = XXH3_64bits_withSeed(c->servers.data, c->servers.len, sum);
	}
	snprintf(s->value[SETTING_CELLS], sizeof(s->value[0]), NO_CELLS);
	if (cells->count > 0)
		snprintf(s->value[SETTING_CELLS], sizeof(s->value[0]), "%016" PRIx64, sum);
	snprintf(s->value[SETTING_CELL], sizeof(s->value[0]), "%s", *cell ? cell : NO_CELLS);
}

/* The role that comes after this one; NULL: none. */
static const char *role_after(
    const struct min_members *min, const char *last, unsigned *members)
{
	const char *next = NULL;

	for (unsigned i = 0; i < min->count; i++) {
		const char *role = min->roles[i].role;
		if (strcmp(role, last) <= 0 || (next && strcmp(role, next) >= 0))
			continue;
		next = role;
		*members = min->roles[i].members;
	}
	return next;
}

void settings_min_members(struct settings *s, const struct min_members *min)
{
	char *text = s->value[SETTING_MIN_MEMBERS];
	const char *role = "";
	unsigned members = 0;
	size_t len =
	    (size_t)snprintf(text, sizeof(s->value[0]), "%u", min->all > 0 ? min->all : 1);

	while ((role = role_after(min, role, &members)))
		len += (size_t)snprintf(
		    text + len, sizeof(s->value[0]) - len, ",%s:%u", role, members);
}

void settings_take(struct settings *s, const struct settings *from)
{
	for (unsigned i = 0; i < SETTINGS_COUNT; i++)
		if (from->value[i][0])
			memcpy(s->value[i], from->value[i], sizeof(s->value[i]));
}

/* ---- told ---- */

void settings_encode(struct writer *w, const struct settings *s, bool unenforced)
{
	const uint8_t yes = 1;

	for (unsigned i = 0; i < SETTINGS_COUNT; i++)
		if (s->value[i][0])
			tags_put(w, table[i].tag, slice_str(s->value[i]));
	if (unenforced)
		tags_put(w, SETTINGS_TAG_UNENFORCED, slice_of(&yes, sizeof(yes)));
}

static bool take_value(char value[SETTINGS_VALUE_MAX + 1], struct slice s)
{
	if (s.len == 0 || s.len > SETTINGS_VALUE_MAX)
		return false;
	for (size_t i = 0; i < s.len; i++)
		if (s.data[i] <= ' ' || s.data[i] > '~')
			return false;
	memcpy(value, s.data, s.len);
	value[s.len] = '\0';
	return true;
}

static bool take(struct settings *s, bool *unenforced, const struct tag *tag)
{
	for (unsigned i = 0; i < SETTINGS_COUNT; i++)
		if (tag->tag == table[i].tag)
			return take_value(s->value[i], tag->value);
	if (tag->tag != SETTINGS_TAG_UNENFORCED)
		return true;
	*unenforced = true;
	return tag->value.len == 1 && tag->value.data[0] == 1;
}

/* All that are known are odd. */
static const char *no_name(unsigned type, unsigned tag)
{
	(void)type, (void)tag;
	return NULL;
}

enum rmq_error settings_decode(struct slice tags, struct settings *s, bool *unenforced)
{
	struct settings taken = {{{0}}};
	struct reader r = reader_of(tags);
	struct tag tag;
	uint16_t unknown;
	bool without = false;
	enum rmq_error err = tags_check(tags, 0, no_name, &unknown);

	if (err)
		return err;
	while (tags_next(&r, &tag))
		if (!take(&taken, &without, &tag))
			return RMQ_E_PROTOCOL;
	*s = taken;
	*unenforced = without;
	return RMQ_E_OK;
}

/* ---- compared ---- */

static const char *engine(const struct settings *s)
{
	const char *said = s->value[SETTING_ENGINE];

	return said[0] ? said : raft_engine_text(RAFT_ENGINE_BUILT_IN);
}

enum setting settings_differ(const struct settings *a, const struct settings *b, unsigned from)
{
	unsigned i = from;

	while (i < SETTINGS_COUNT &&
	       (!a->value[i][0] || !b->value[i][0] || strcmp(a->value[i], b->value[i]) == 0))
		i++;
	return (enum setting)i;
}

/* "on n1", or "here". */
#define PLACE_MAX (3 + 40)
static const char *place(char text[PLACE_MAX + 1], const struct settings_of *of)
{
	if (of->name)
		snprintf(text, PLACE_MAX + 1, "on %s", of->name);
	return of->name ? text : "here";
}

/* Its lines are not said: who has other ones is all that is known. */
static void rights_text(char *text, const struct settings_of *a, const struct settings_of *b)
{
	char at_a[PLACE_MAX + 1], at_b[PLACE_MAX + 1];
	bool in_a = strcmp(a->settings->value[SETTING_RIGHTS], NO_RIGHTS) != 0,
	     in_b = strcmp(b->settings->value[SETTING_RIGHTS], NO_RIGHTS) != 0;

	if (in_a && in_b)
		snprintf(text, TEXT_MAX + 1,
		    "the file of rights has other lines %s than %s, and must be the same on all "
		    "nodes: rmq-clusterd reads it again at SIGHUP",
		    place(at_a, a), place(at_b, b));
	else
		snprintf(text, TEXT_MAX + 1,
		    "rights is %s %s and %s %s, and must be the same on all nodes: see "
		    "rmq-rights(5)",
		    in_a ? "set" : "not set", place(at_a, a), in_b ? "set" : "not set",
		    place(at_b, b));
}

static void cells_text(char *text, const struct settings_of *a, const struct settings_of *b)
{
	char at_a[PLACE_MAX + 1], at_b[PLACE_MAX + 1];
	bool in_a = strcmp(a->settings->value[SETTING_CELLS], NO_CELLS) != 0,
	     in_b = strcmp(b->settings->value[SETTING_CELLS], NO_CELLS) != 0;

	if (in_a && in_b)
		snprintf(text, TEXT_MAX + 1,
		    "cells is another list %s than %s, and must be the same on all nodes: start "
		    "rmq-clusterd again with the new one where it is old",
		    place(at_a, a), place(at_b, b));
	else
		snprintf(text, TEXT_MAX + 1,
		    "cells is %s %s and %s %s, and must be the same on all nodes: see rmq.conf(5)",
		    in_a ? "set" : "not set", place(at_a, a), in_b ? "set" : "not set",
		    place(at_b, b));
}

void settings_text(
    char *text, enum setting which, const struct settings_of *a, const struct settings_of *b)
{
	char at_a[PLACE_MAX + 1], at_b[PLACE_MAX + 1];

	if (which == SETTING_RIGHTS)
		rights_text(text, a, b);
	else if (which == SETTING_CELLS)
		cells_text(text, a, b);
	else if (which == SETTING_ENGINE)
		snprintf(text, TEXT_MAX + 1,
		    "engine is %.40s %s and %.40s %s: a cluster has one, and keeps it: see "
		    "rmq.conf(5)",
		    engine(a->settings), place(at_a, a), engine(b->settings), place(at_b, b));
	else
		snprintf(text, TEXT_MAX + 1,
		    "%s is %.40s %s and %.40s %s, and must be the same on all nodes: see enforce "
		    "in rmq.conf(5)",
		    table[which].name, a->settings->value[which], place(at_a, a),
		    b->settings->value[which], place(at_b, b));
}

enum rmq_error settings_admit(
    const struct settings_of *node, const struct settings_of *member, bool enforce, char *text)
{
	enum setting which = settings_differ(node->settings, member->settings, 0);

	if (strcmp(engine(node->settings), engine(member->settings)) != 0)
		which = SETTING_ENGINE;
	else if (!enforce || which == SETTINGS_COUNT || RMQ_VARIANT(SETTINGS_UNASKED))
		return RMQ_E_OK;
	settings_text(text, which, node, member);
	return RMQ_E_CONFIG;
}
