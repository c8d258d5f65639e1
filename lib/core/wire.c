#include "core/wire.h"

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
