#include "sys/client/contacts.h"

#include <stdlib.h>
#include <string.h>

/* Reads addresses, which are borrowed. */
static enum rmq_error read_servers(struct contacts *c, const char *servers, struct reason *why)
{
	const char *text = "";
	c->count = 0;
	for (const char *rest = servers; rest;) {
		if (c->count == CONTACTS_MAX)
			return reason_set(
			    why, RMQ_E_USAGE, "%.120s: too many addresses", servers);
		enum rmq_error err =
		    client_address_parse(&c->servers[c->count++], &rest, &text);
		if (err)
			return reason_set(why, err, "%.120s: %s", servers, text);
	}
	return RMQ_E_OK;
}

static enum rmq_error read_default(struct contacts *c, struct reason *why)
{
	const char *text;
	c->count = 1;
	c->servers[0].kind = ADDRESS_UNIX;
	enum rmq_error err = socket_address_default(&c->servers[0].path, &text);
	return err ? reason_set(why, err, "%s", text) : RMQ_E_OK;
}

/* A copy of what a cell has, which ends in a NUL. */
static enum rmq_error keep_text(struct contacts *c, struct slice servers, struct reason *why)
{
	free(c->text);
	c->text = malloc(servers.len + 1);
	if (!c->text)
		return reason_set(why, RMQ_E_LIMIT, "out of memory");
	if (servers.len > 0)
		memcpy(c->text, servers.data, servers.len);
	c->text[servers.len] = '\0';
	return RMQ_E_OK;
}

static enum rmq_error read_cell(struct contacts *c, struct slice servers, struct reason *why)
{
	enum rmq_error err = keep_text(c, servers, why);
	return err ? err : read_servers(c, c->text, why);
}

static enum rmq_error read_cells(struct contacts *c, const char *list, struct reason *why)
{
	const char *text;
	c->cells = calloc(1, sizeof(*c->cells));
	if (!c->cells)
		return reason_set(why, RMQ_E_LIMIT, "out of memory");
	enum rmq_error err = cells_parse(c->cells, slice_str(list), &text);
	if (err)
		return reason_set(why, err, "%.120s: %s", list, text);
	/* So that what is wrong with any is said at once. */
	for (uint32_t i = 0; !err && i < c->cells->count; i++)
		err = read_cell(c, c->cells->cells[i].servers, why);
	c->count = 0;
	return err;
}

enum rmq_error contacts_init(struct contacts *c, const char *list, struct reason *why)
{
	enum rmq_error err;
	c->list = list;
	c->servers = malloc(CONTACTS_MAX * sizeof(*c->servers));
	if (!c->servers)
		return reason_set(why, RMQ_E_LIMIT, "out of memory");
	if (list && cells_named(slice_str(list)))
		err = read_cells(c, list, why);
	else
		err = list ? read_servers(c, list, why) : read_default(c, why);
	c->given = c->count;
	return err;
}

void contacts_deinit(struct contacts *c)
{
	free(c->servers);
	free(c->cells);
	free(c->text);
	c->servers = NULL;
	c->cells = NULL;
	c->text = NULL;
}

/* What a daemon told is taken as far as it is good for anything. */
static enum rmq_error read_told(
    struct contacts *c, struct slice told, bool local, struct reason *why)
{
	enum rmq_error err = keep_text(c, told, why);
	const char *text;
	c->count = 0;
	if (err)
		return err;
	for (const char *rest = told.len > 0 ? c->text : NULL;
	     rest && c->count < CONTACTS_MAX;) {
		struct client_address *a = &c->servers[c->count];
		if (client_address_parse(a, &rest, &text))
			break;
		bool socket = a->kind == ADDRESS_UNIX && a->path.path[0] == '/';
		if (a->kind == ADDRESS_HOST || (local && socket))
			c->count++;
	}
	return RMQ_E_OK;
}

enum rmq_error contacts_choose(
    struct contacts *c, struct slice cell, struct slice told, bool local, struct reason *why)
{
	enum rmq_error err;
	uint32_t i = c->cells ? cells_find(c->cells, cell) : CELLS_NONE;
	if (cell.len > RAFT_NAME_MAX)
		return reason_set(why, RMQ_E_USAGE, "the name of a cell is too long");
	memcpy(c->cell, cell.data, cell.len);
	c->cell[cell.len] = '\0';
	if (i != CELLS_NONE)
		err = read_cell(c, c->cells->cells[i].servers, why);
	else if (cell.len > 0)
		err = read_told(c, told, local, why);
	else
		err = c->list ? read_servers(c, c->list, why) : read_default(c, why);
	c->given = c->count;
	if (!err && c->count == 0)
		return reason_set(why, RMQ_E_CONFIG,
		    "cell %s has no address that can be reached from here: name it in RMQ_SERVERS",
		    c->cell);
	return err;
}

bool contacts_far(const struct contacts *c, bool *all)
{
	uint32_t far = 0;
	for (uint32_t i = 0; i < c->count; i++)
		far += c->servers[i].kind == ADDRESS_HOST;
	*all = far == c->count;
	return far > 0;
}
