#include "core/client/client_map.h"

#include "core/base/variant.h"

void client_map_begin(struct client_map *m, uint8_t flags, uint64_t since)
{
	*m = (struct client_map){.flags = flags,
	    .since = since,
	    .known = since,
	    .seen = since,
	    .current = since > 0};
}

void client_map_ask(
    struct client_map *m, struct client *c, struct mono_time now, struct slice key)
{
	uint8_t waits = m->current ? m->flags & KV_WAIT : 0;
	m->req = client_kv_read(
	    c, now, key, (uint8_t)((m->flags & ~KV_WAIT) | waits), m->since, m->known);
}

bool client_map_row(struct client_map *m, const struct wire_kv_is *row)
{
	if (row->version <= m->seen)
		return false;
	m->seen = row->version;
	return true;
}

unsigned client_map_at(
    struct client_map *m, const struct wire_kv_at *at, uint32_t rows, uint64_t known)
{
	unsigned news = at->left_out > 0 ? CLIENT_MAP_LEFT_OUT : 0;
	if (at->flags & KV_ANEW) {
		client_map_begin(m, m->flags, 0);
		return CLIENT_MAP_ANEW;
	}
	/* One key's row that came before the connection was lost: it may have been deleted since. */
	bool gone = m->since == 0 && rows == 0 && m->seen > 0;
	m->since = gone ? m->seen : at->version;
	m->known = gone ? m->seen : RMQ_VARIANT(KV_LOST_DELETED) ? at->newest : known;
	if (at->flags & KV_MORE)
		return news;
	if (!m->current)
		news |= CLIENT_MAP_CURRENT;
	m->current = true;
	return news;
}
