#include "core/base/cells.h"

#include <assert.h>
#include <stdio.h>
#include <xxhash.h>

#include "core/base/name.h"

#define AT   ".at."
#define EXEC "exec:"

static bool ends_in(struct slice name, const char *end)
{
	size_t len = strlen(end);
	return name.len > len && memcmp(name.data + name.len - len, end, len) == 0;
}

static struct slice without(struct slice name, const char *end)
{
	return slice_of(name.data, name.len - strlen(end));
}

bool cells_is_away(struct slice name)
{
	return ends_in(name, NAME_AWAY_SUFFIX);
}

struct slice cells_away_name(struct slice name, char away[AWAY_NAME_MAX])
{
	assert(name.len <= NAME_FULL_MAX);
	int len = snprintf(away, AWAY_NAME_MAX, "%.*s%s", (int)name.len,
	    (const char *)name.data, NAME_AWAY_SUFFIX);
	return slice_of(away, (size_t)len);
}

struct slice cells_away_for(struct slice name)
{
	assert(cells_is_away(name));
	return without(name, NAME_AWAY_SUFFIX);
}

struct slice cells_base(struct slice name)
{
	for (;;) {
		if (cells_is_away(name))
			name = cells_away_for(name);
		else if (name_is_dead(name))
			name = without(name, NAME_DEAD_SUFFIX);
		else
			return name;
	}
}

uint32_t cells_find(const struct cells *cells, struct slice name)
{
	for (uint32_t i = 0; i < cells->count; i++)
		if (slice_eq(cells_name(cells, i), name))
			return i;
	return CELLS_NONE;
}

/* The cell that a base name says: what is after the last ".at." in it. */
static uint32_t named_home(const struct cells *cells, struct slice base)
{
	size_t len = strlen(AT);
	for (size_t i = base.len; i > len; i--) {
		const uint8_t *after = base.data + i;
		if (i - len > 0 && memcmp(after - len, AT, len) == 0)
			return cells_find(cells, slice_of(after, base.len - i));
	}
	return CELLS_NONE;
}

uint32_t cells_home(const struct cells *cells, struct slice name)
{
	struct slice base = cells_base(name);
	uint32_t best = named_home(cells, base);
	uint64_t most = 0;
	if (best != CELLS_NONE)
		return best;
	for (uint32_t i = 0; i < cells->count; i++) {
		const struct cell *c = &cells->cells[i];
		if (!c->hashes)
			continue;
		uint64_t w = XXH3_64bits_withSeed(base.data, base.len, c->seed);
		bool first = best == CELLS_NONE ||
			     slice_cmp(cells_name(cells, i), cells_name(cells, best)) < 0;
		if (best == CELLS_NONE || w > most || (w == most && first)) {
			best = i;
			most = w;
		}
	}
	return best;
}

/* ---- the text ---- */

/* NAME= or NAME+= at the start of a cell, which is taken; no address begins so, as it has a colon first. */
static bool take_name(struct slice *text, struct slice *name, bool *hashes)
{
	size_t len = 0;
	while (len < text->len && !strchr("=:,;/", text->data[len]))
		len++;
	if (len == text->len || text->data[len] != '=')
		return false;
	*hashes = len == 0 || text->data[len - 1] != '+';
	*name = slice_of(text->data, *hashes ? len : len - 1);
	*text = slice_of(text->data + len + 1, text->len - len - 1);
	return true;
}

/* Whether one of the addresses is a command, which may have anything in it. */
static bool runs_command(struct slice servers)
{
	size_t len = strlen(EXEC);
	for (size_t i = 0; i + len <= servers.len; i++)
		if ((i == 0 || servers.data[i - 1] == ',') &&
		    memcmp(servers.data + i, EXEC, len) == 0)
			return true;
	return false;
}

/* Takes one cell off the text; false: it was the last one. */
static bool take_cell(
    struct slice *text, bool *named, struct slice *name, bool *hashes, struct slice *servers)
{
	*named = take_name(text, name, hashes);
	const uint8_t *end = text->len > 0 ? memchr(text->data, ';', text->len) : NULL;
	size_t len = end ? (size_t)(end - text->data) : text->len;
	if (end && !*named && runs_command(slice_of(text->data, len))) {
		end = NULL;
		len = text->len;
	}
	*servers = slice_of(text->data, len);
	if (end)
		*text = slice_of(end + 1, text->len - len - 1);
	return end != NULL;
}

bool cells_named(struct slice text)
{
	struct slice name, servers;
	bool named, hashes;
	return take_cell(&text, &named, &name, &hashes, &servers) || named;
}

static_assert(CELLS_MAX == 128 && RAFT_NAME_MAX == 63 && CELL_SERVERS_MAX == 4096 &&
		  CELLS_TEXT_MAX == 65536,
    "the texts below say so");

/* A queue that is named after it would be at home elsewhere: Q.at.dead goes with Q.at. */
static bool is_ambiguous(const struct cells *cells, uint32_t i)
{
	char queue[sizeof("q" AT) + RAFT_NAME_MAX];
	struct slice name = cells_name(cells, i);
	int len = snprintf(
	    queue, sizeof(queue), "q" AT "%.*s", (int)name.len, (const char *)name.data);
	return named_home(cells, cells_base(slice_of(queue, (size_t)len))) != i;
}

/* A constant that says what is wrong with a cell; NULL: it was added. */
static const char *add(
    struct cells *cells, const struct slice *name, bool hashes, struct slice servers)
{
	char number[12];
	struct slice is = name ? *name : slice_of(NULL, 0);
	if (cells->count == CELLS_MAX)
		return "a list has at most 128 cells";
	if (!name) {
		int len = snprintf(number, sizeof(number), "%u", cells->count + 1);
		is = slice_of(number, (size_t)len);
	}
	if (!name_valid_node(is))
		return "a cell's NAME before = has at most 63 letters, digits, and _ . -";
	if (cells_find(cells, is) != CELLS_NONE)
		return "two cells have the same name";
	if (servers.len == 0)
		return "a cell has no address after NAME= or between ;";
	if (servers.len > CELL_SERVERS_MAX)
		return "the addresses of a cell have at most 4096 bytes";
	struct cell *c = &cells->cells[cells->count++];
	memcpy(c->name, is.data, is.len);
	c->name_len = (uint8_t)is.len;
	c->hashes = hashes;
	c->seed = XXH3_64bits(is.data, is.len);
	c->servers = servers;
	if (is_ambiguous(cells, cells->count - 1))
		return "a cell's NAME is not dead or away, ends in no .dead or .away, and has no .at. in it: "
		       "Q.at.NAME would be another queue's";
	return NULL;
}

enum rmq_error cells_parse(struct cells *cells, struct slice text, const char **why)
{
	bool more = true, any = false;
	*why = text.len > CELLS_TEXT_MAX ? "the list of cells has at most 65536 bytes" : NULL;
	cells->count = 0;
	while (more && !*why) {
		struct slice name, servers;
		bool named, hashes = true;
		more = take_cell(&text, &named, &name, &hashes, &servers);
		any |= !named || hashes;
		*why = add(cells, named ? &name : NULL, !named || hashes, servers);
	}
	if (!*why && !any)
		*why = "all cells have +, and no queue would have a home";
	if (!*why)
		return RMQ_E_OK;
	cells->count = 0;
	return RMQ_E_USAGE;
}
