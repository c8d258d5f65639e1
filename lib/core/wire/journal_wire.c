#include "core/wire/journal_wire.h"

#include <stdio.h>

static const char *tag_name(unsigned type, unsigned tag)
{
	if (type == JOURNAL_TYPE_OPEN_REPLICA)
		return tag == JOURNAL_TAG_FITS ? "fits" : NULL;
	if (type != JOURNAL_TYPE_OPEN)
		return NULL;
	if (tag == JOURNAL_TAG_ANSWERS)
		return "answers";
	return tag == JOURNAL_TAG_WANTED ? "wanted" : NULL;
}

enum rmq_error journal_open_check(uint8_t type, struct slice payload, char *text, size_t size)
{
	struct journal_open open;
	struct journal_open_replica replica;
	uint16_t unknown;
	if (payload.len < 8 || load_u32(payload.data) != JOURNAL_MAGIC)
		return RMQ_E_PROTOCOL;
	struct versions theirs = {load_u16(payload.data + 6), load_u16(payload.data + 4)};
	if (versions_common(theirs, JOURNAL_VERSIONS) == 0) {
		versions_differ(text, size, "the opener", theirs, JOURNAL_VERSIONS);
		return RMQ_E_VERSION;
	}
	bool whole = type == JOURNAL_TYPE_OPEN ? journal_open_decode(payload, &open)
					       : journal_open_replica_decode(payload, &replica);
	if (!whole)
		return RMQ_E_PROTOCOL;
	enum rmq_error err = tags_check(
	    type == JOURNAL_TYPE_OPEN ? open.tags : replica.tags, type, tag_name, &unknown);
	if (err == RMQ_E_VERSION)
		snprintf(text, size, "attribute %u of OPEN is not known here", unknown);
	return err;
}
