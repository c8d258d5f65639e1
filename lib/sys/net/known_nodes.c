#include "sys/net/known_nodes.h"

#include <stdlib.h>

#include "core/base/name.h"
#include "sys/stream/lines.h"

/* A line `rmq1:KEY NAME`. */
static bool take(void *context, char *line, struct reason *what)
{
	struct known_nodes *k = context;
	struct known_node node;
	size_t len = strcspn(line, " \t");
	const char *name = line + len + strspn(line + len, " \t"), *wrong = NULL;
	if (!key_parse(slice_of(line, len), node.key))
		wrong = "this is not a public key, as rmq-keygen prints it";
	else if (!name_valid_node(slice_str(name)))
		wrong = "a node's name must follow the key";
	else if (known_nodes_by_name(k, name))
		wrong = "the node has a key already";
	else if (known_nodes_by_key(k, node.key))
		wrong = "the key belongs to another node already";
	if (wrong) {
		(void)reason_set(what, RMQ_E_CONFIG, "%s", wrong);
		return false;
	}
	struct known_node *nodes = realloc(k->nodes, (k->count + 1) * sizeof(*nodes));
	if (!nodes) {
		(void)reason_set(what, RMQ_E_CONFIG, "out of memory");
		return false;
	}
	memcpy(node.name, name, strlen(name) + 1);
	k->nodes = nodes;
	k->nodes[k->count++] = node;
	return true;
}

/* All of it, or nothing. */
static enum rmq_error finish(
    struct known_nodes *k, struct known_nodes *fresh, enum rmq_error err)
{
	known_nodes_deinit(err ? fresh : k);
	if (!err)
		*k = *fresh;
	return err;
}

enum rmq_error known_nodes_read(struct known_nodes *k, const char *path, struct reason *why)
{
	struct known_nodes fresh = {0};
	return finish(k, &fresh, lines_read(path, take, &fresh, why));
}

enum rmq_error known_nodes_parse(
    struct known_nodes *k, struct slice bytes, const char *path, struct reason *why)
{
	struct known_nodes fresh = {0};
	return finish(k, &fresh, lines_parse(bytes, path, take, &fresh, why));
}

const struct known_node *known_nodes_by_name(const struct known_nodes *k, const char *name)
{
	for (size_t i = 0; i < k->count; i++)
		if (strcmp(k->nodes[i].name, name) == 0)
			return &k->nodes[i];
	return NULL;
}

const struct known_node *known_nodes_by_key(
    const struct known_nodes *k, const uint8_t key[KEY_SIZE])
{
	for (size_t i = 0; i < k->count; i++)
		if (memcmp(k->nodes[i].key, key, KEY_SIZE) == 0)
			return &k->nodes[i];
	return NULL;
}

void known_nodes_deinit(struct known_nodes *k)
{
	free(k->nodes);
	*k = (struct known_nodes){0};
}
