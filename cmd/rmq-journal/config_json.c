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
	json_t *o = json_pack("{s:s, s:s, s:o, s:o, s:s, s:s}", "name", m->name, "key", key,
	    "id", config_json_id(m->id), "flags", flags_json(m->flags), "address", m->address,
	    "gate", m->gate);
	if (m->leaving)
		json_object_set_new(o, "leaving",
		    json_string(m->leaving == RAFT_LEAVES ? "leaving" : "exiting"));
	if (m->roles[0])
		json_object_set_new(o, "roles", json_string(m->roles));
	return o;
}

static json_t *removed_json(const struct raft_config *c)
{
	json_t *list = json_array();
	for (unsigned i = 0; i < c->removed_count; i++) {
		const struct raft_removed *m = &c->removed[i];
		char key[KEY_TEXT_SIZE];
		key_print(m->key, key);
		json_array_append_new(
		    list, json_pack("{s:s, s:s, s:o, s:s}", "name", m->name, "key", key, "id",
			      config_json_id(m->id), "how", raft_how_text(m->how)));
	}
	return list;
}

json_t *config_json(const struct raft_config *c)
{
	json_t *members = json_array();
	for (unsigned i = 0; i < c->count; i++)
		json_array_append_new(members, member_json(&c->members[i]));
	json_t *o =
	    json_pack("{s:o, s:o}", "cluster", config_json_id(c->cluster), "members", members);
	if (c->generation > 0)
		json_object_set_new(o, "generation", json_integer((json_int_t)c->generation));
	if (c->level > 0)
		json_object_set_new(o, "level", json_integer((json_int_t)c->level));
	if (c->latch)
		json_object_set_new(o, "latch", json_true());
	if (c->removed_count > 0)
		json_object_set_new(o, "removed", removed_json(c));
	return o;
}
