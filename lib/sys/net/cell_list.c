#include "sys/net/cell_list.h"

#include <stdio.h>
#include <string.h>

#include "core/base/memory.h"
#include "sys/net/client_address.h"

static enum rmq_error check_address(
    const struct client_address *a, struct slice cell, struct reason *why)
{
	const char *wrong = NULL;
	char text[CLIENT_ADDRESS_TEXT_SIZE];

	if (a->kind == ADDRESS_EXEC)
		wrong =
		    "no client runs a command that a daemon tells it; set it in RMQ_SERVERS";
	else if (a->kind == ADDRESS_UNIX && a->path.path[0] != '/')
		wrong = "clients start in other directories: a path begins with /";
	if (!wrong)
		return RMQ_E_OK;
	client_address_print(a, text);
	return reason_set(why, RMQ_E_CONFIG, "cell %.*s: %.80s: %s", (int)cell.len,
	    (const char *)cell.data, text, wrong);
}

static enum rmq_error check_servers(
    const struct cell *cell, struct slice name, struct reason *why)
{
	char servers[CELL_SERVERS_MAX + 1];
	const char *rest = servers, *wrong;
	struct client_address a;
	enum rmq_error err = RMQ_E_OK;

	snprintf(servers, sizeof(servers), "%.*s", (int)cell->servers.len,
	    (const char *)cell->servers.data);
	while (rest && !err) {
		const char *at = rest;
		if (client_address_parse(&a, &rest, &wrong))
			return reason_set(why, RMQ_E_CONFIG, "cell %.*s: '%.60s': %s",
			    (int)name.len, (const char *)name.data, at, wrong);
		err = check_address(&a, name, why);
	}
	return err;
}

enum rmq_error cell_list_read(
    struct cells *cells, const char *list, const char *self, struct reason *why)
{
	const char *wrong;

	if (cells_parse(cells, slice_str(list), &wrong))
		return reason_set(why, RMQ_E_CONFIG, "%s", wrong);
	for (uint32_t i = 0; i < cells->count; i++) {
		enum rmq_error err = check_servers(&cells->cells[i], cells_name(cells, i), why);
		if (err)
			return err;
	}
	if (cells_find(cells, slice_str(self)) == CELLS_NONE)
		return reason_set(why, RMQ_E_CONFIG,
		    "the list has no cell of the name %.63s, which this one is to be", self);
	return RMQ_E_OK;
}
