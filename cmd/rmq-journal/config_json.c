#include "config_json.h"

#include "core/link/key.h"
#include "sys/store/identity.h"

static_assert(RAFT_ID_SIZE == INCARNATION_BYTES, "an id is an incarnation");

json_t *config_json_id(struct raft_id id)
{
	struct identity identity = {0};
	char text[IDENTITY_TEXT_SIZE];
	if (raft_id_none(id))
		return json_null();
	memcpy(identity.incarnation, id.bytes, RAFT_ID_SIZE);
	identity_text(&identity, text);
	return json_string(text);
}

static json_t *flags_json(uint8_t flags)
{
	json_t *list = json_array();
#define X(name, bit) \
	if (flags & (bit)) \
		json_array_append_new(list, json_string(#name));
	RAFT_FLAGS(X)
#undef X
	return list;
}

static json_t *member_json(const struct raft_member *m)
{
	char key[KEY_TEXT_SIZE];
	key_print(m->key, key);
	return json_pack("{s:s, s:s, s:o, s:o, s:s, s:s}", "name", m->name, "key", key, "id",
	    config_json_id(m->id), "flags", flags_json(m->flags), "address", m->address, "gate",
	    m->gate);
}

json_t *config_json(const struct raft_config *c)
{
	json_t *members = json_array();
	for (unsigned i = 0; i < c->count; i++)
		json_array_append_new(members, member_json(&c->members[i]));
	return json_pack(
	    "{s:o, s:o}", "cluster", config_json_id(c->cluster), "members", members);
}
