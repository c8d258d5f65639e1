#include "config_json.h"

#include "core/base/json.h"
#include "core/link/key.h"

static_assert(RAFT_ID_SIZE == INCARNATION_BYTES, "an id is an incarnation");

void config_id_text(struct raft_id id, char text[IDENTITY_TEXT_SIZE])
{
	struct identity identity = {0};
	text[0] = '\0';
	if (raft_id_none(id))
		return;
	memcpy(identity.incarnation, id.bytes, RAFT_ID_SIZE);
	identity_text(&identity, text);
}

void config_json_id(struct text *out, struct raft_id id)
{
	char text[IDENTITY_TEXT_SIZE];
	config_id_text(id, text);
	if (text[0])
		json_put_str(out, text);
	else
		text_put_str(out, "null");
}

static void put_flags(struct text *out, uint8_t flags)
{
	text_put_char(out, '[');
#define X(name, bit) \
	if (flags & (bit)) { \
		json_put_next(out); \
		json_put_str(out, #name); \
	}
	RAFT_FLAGS(X)
#undef X
	text_put_char(out, ']');
}

static void put_member(struct text *out, const struct raft_member *m)
{
	char key[KEY_TEXT_SIZE];
	key_print(m->key, key);
	text_put_char(out, '{');
	json_put_key(out, "name");
	json_put_str(out, m->name);
	json_put_key(out, "key");
	json_put_str(out, key);
	json_put_key(out, "id");
	config_json_id(out, m->id);
	json_put_key(out, "flags");
	put_flags(out, m->flags);
	json_put_key(out, "address");
	json_put_str(out, m->address);
	json_put_key(out, "gate");
	json_put_str(out, m->gate);
	text_put_char(out, '}');
}

void config_json(struct text *out, const struct raft_config *c)
{
	json_put_key(out, "cluster");
	config_json_id(out, c->cluster);
	json_put_key(out, "members");
	text_put_char(out, '[');
	for (unsigned i = 0; i < c->count; i++) {
		json_put_next(out);
		put_member(out, &c->members[i]);
	}
	text_put_char(out, ']');
}
