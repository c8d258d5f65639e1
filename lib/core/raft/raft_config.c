#include "core/raft/raft_config.h"

#include "core/base/name.h"

#define FLAGS_ALL (RAFT_VOTER | RAFT_BROKER)

CODEC_MESSAGE(raft_config, head, RAFT_CONFIG_HEAD)
CODEC_MESSAGE(raft_config, member, RAFT_CONFIG_MEMBER)

void raft_config_encode(struct writer *w, const struct raft_config *c)
{
	raft_config_head_encode(w, &(struct raft_config_head){
				       .cluster = slice_of(c->cluster.bytes, RAFT_ID_SIZE),
				       .members = (uint16_t)c->count,
				   });
	for (unsigned i = 0; i < c->count; i++) {
		const struct raft_member *m = &c->members[i];
		raft_config_member_encode(w, &(struct raft_config_member){
						 .name = slice_str(m->name),
						 .key = slice_of(m->key, RAFT_KEY_SIZE),
						 .id = raft_id_slice(&m->id),
						 .flags = m->flags,
						 .address = slice_str(m->address),
						 .gate = slice_str(m->gate),
					     });
	}
}

/* A text of at most max bytes; false if it is longer or holds a NUL. */
static bool copy_text(char *to, size_t max, struct slice s)
{
	if (s.len > max || (s.len > 0 && memchr(s.data, 0, s.len)))
		return false;
	if (s.len > 0)
		memcpy(to, s.data, s.len);
	to[s.len] = '\0';
	return true;
}

static bool copy_id(struct raft_id *to, struct slice s)
{
	if (s.len != RAFT_ID_SIZE)
		return false;
	memcpy(to->bytes, s.data, RAFT_ID_SIZE);
	return !raft_id_none(*to);
}

static bool get_member(struct reader *r, struct raft_member *m)
{
	struct raft_config_member f;
	raft_config_member_get(r, &f);
	if (r->bad || f.key.len != RAFT_KEY_SIZE)
		return false;
	memcpy(m->key, f.key.data, RAFT_KEY_SIZE);
	m->flags = f.flags;
	return copy_text(m->name, RAFT_NAME_MAX, f.name) &&
	       (f.id.len == 0 || copy_id(&m->id, f.id)) &&
	       copy_text(m->address, RAFT_ADDRESS_MAX, f.address) &&
	       copy_text(m->gate, RAFT_ADDRESS_MAX, f.gate) && raft_member_valid(m);
}

enum rmq_error raft_config_decode(struct slice s, struct raft_config *c)
{
	struct raft_config new = {0};
	struct raft_config_head head;
	struct reader r = reader_of(s);
	raft_config_head_get(&r, &head);
	if (r.bad || !copy_id(&new.cluster, head.cluster) || head.members > RAFT_MEMBERS_MAX)
		return RMQ_E_BAD_DATA;
	for (unsigned i = 0; i < head.members; i++) {
		struct raft_member *m = &new.members[i];
		if (!get_member(&r, m) || raft_config_find(&new, m->id) ||
		    raft_config_find_name(&new, m->name) || raft_config_find_key(&new, m->key))
			return RMQ_E_BAD_DATA;
		new.count++;
	}
	if (!reader_done(&r))
		return RMQ_E_BAD_DATA;
	*c = new;
	return RMQ_E_OK;
}

bool raft_address_valid(const char *s)
{
	for (; *s; s++) {
		if (*s < '!' || *s > '~')
			return false;
	}
	return true;
}

bool raft_member_valid(const struct raft_member *m)
{
	bool joined = !raft_id_none(m->id);
	return name_valid_node(slice_str(m->name)) && raft_address_valid(m->address) &&
	       raft_address_valid(m->gate) && !(m->flags & ~FLAGS_ALL) &&
	       (joined || !(m->flags & RAFT_VOTER));
}

const struct raft_member *raft_config_find(const struct raft_config *c, struct raft_id id)
{
	for (unsigned i = 0; !raft_id_none(id) && i < c->count; i++) {
		if (raft_id_eq(c->members[i].id, id))
			return &c->members[i];
	}
	return NULL;
}

const struct raft_member *raft_config_find_name(const struct raft_config *c, const char *name)
{
	for (unsigned i = 0; i < c->count; i++) {
		if (strcmp(c->members[i].name, name) == 0)
			return &c->members[i];
	}
	return NULL;
}

const struct raft_member *raft_config_find_key(
    const struct raft_config *c, const uint8_t key[RAFT_KEY_SIZE])
{
	for (unsigned i = 0; i < c->count; i++) {
		if (memcmp(c->members[i].key, key, RAFT_KEY_SIZE) == 0)
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
