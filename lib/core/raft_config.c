#include "core/raft_config.h"

#define FLAGS_ALL (RAFT_VOTER | RAFT_BROKER)

static void encode_member(struct writer *w, const struct raft_member *m)
{
	put_str(w, slice_str(m->name));
	put_rest(w, slice_of(m->key, RAFT_KEY_SIZE));
	put_rest(w, slice_of(m->id.bytes, RAFT_ID_SIZE));
	put_u8(w, m->flags);
}

void raft_config_encode(struct writer *w, const struct raft_config *c)
{
	put_u16(w, (uint16_t)c->count);
	for (unsigned i = 0; i < c->count; i++)
		encode_member(w, &c->members[i]);
}

static bool decode_member(struct reader *r, struct raft_member *m)
{
	struct slice name = get_str(r);
	const uint8_t *key = reader_take(r, RAFT_KEY_SIZE);
	const uint8_t *id = reader_take(r, RAFT_ID_SIZE);
	m->flags = get_u8(r);
	if (r->bad || name.len == 0 || name.len > RAFT_NAME_MAX ||
	    memchr(name.data, 0, name.len) || (m->flags & ~FLAGS_ALL))
		return false;
	memcpy(m->name, name.data, name.len);
	memcpy(m->key, key, RAFT_KEY_SIZE);
	memcpy(m->id.bytes, id, RAFT_ID_SIZE);
	return !raft_id_none(m->id);
}

enum rmq_error raft_config_decode(struct slice s, struct raft_config *c)
{
	struct raft_config new = {0};
	struct reader r = reader_of(s);
	unsigned count = get_u16(&r);
	if (r.bad || count > RAFT_MEMBERS_MAX)
		return RMQ_E_BAD_DATA;
	for (unsigned i = 0; i < count; i++) {
		struct raft_member *m = &new.members[i];
		if (!decode_member(&r, m) || raft_config_find(&new, m->id))
			return RMQ_E_BAD_DATA;
		for (unsigned j = 0; j < i; j++) {
			if (strcmp(new.members[j].name, m->name) == 0)
				return RMQ_E_BAD_DATA;
		}
		new.count++;
	}
	if (!reader_done(&r))
		return RMQ_E_BAD_DATA;
	*c = new;
	return RMQ_E_OK;
}

const struct raft_member *raft_config_find(const struct raft_config *c, struct raft_id id)
{
	for (unsigned i = 0; i < c->count; i++) {
		if (raft_id_eq(c->members[i].id, id))
			return &c->members[i];
	}
	return NULL;
}

bool raft_config_is_voter(const struct raft_config *c, struct raft_id id)
{
	const struct raft_member *m = raft_config_find(c, id);
	return m && (m->flags & RAFT_VOTER);
}

unsigned raft_config_voters(const struct raft_config *c)
{
	unsigned voters = 0;
	for (unsigned i = 0; i < c->count; i++)
		voters += (c->members[i].flags & RAFT_VOTER) != 0;
	return voters;
}
