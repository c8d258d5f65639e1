#include "core/wire/wire.h"

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
