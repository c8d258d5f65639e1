#include "core/wire/wire.h"

#include "core/base/name.h"

const char *wire_name(unsigned type)
{
	switch (type) {
#define X(type, NAME, name, FIELDS) \
	case type: \
		return #NAME;
		WIRE_CLIENT_FRAMES(X)
		WIRE_GATE_FRAMES(X)
		WIRE_DAEMON_FRAMES(X)
#undef X
	}
	return NULL;
}

const char *wire_tag_name(unsigned type, unsigned tag)
{
	switch (type << 16 | tag) {
#define X(frame, tag, name) \
	case WIRE_TYPE_##frame << 16 | tag: \
		return #name;
		WIRE_TAGS(X)
#undef X
	}
	return NULL;
}

const char *history_word(unsigned what)
{
	switch (what) {
#define X(code, NAME, word) \
	case code: \
		return word;
		HISTORY_WHATS(X)
#undef X
	}
	return NULL;
}

struct slice wire_behalf_key(struct slice node)
{
	size_t len = sizeof(BEHALF_KEY) - 1;
	if (node.len < len || memcmp(node.data, BEHALF_KEY, len) != 0)
		return slice_of(NULL, 0);
	return slice_of(node.data + len, node.len - len);
}

bool wire_behalf_node_valid(struct slice node)
{
	struct slice key = wire_behalf_key(node);
	return name_valid_node(node) || (key.len <= BEHALF_NAME_MAX && name_valid_node(key));
}
