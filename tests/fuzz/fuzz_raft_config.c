/*
 * Payloads of CONFIG records: one that decodes encodes to the same bytes, each of its members
 * is a member, and no two of them can be taken for each other, nor for one that was removed.
 */
#include "fuzz.h"

#include "core/raft/raft_config.h"

static void check_member(const struct raft_config *c, unsigned i)
{
	const struct raft_member *m = &c->members[i];
	assert(raft_member_valid(m));
	assert(raft_config_find_name(c, m->name) == m);
	assert(raft_config_find_key(c, m->key) == m);
	assert(raft_config_find(c, m->id) == (raft_id_none(m->id) ? NULL : m));
	assert(!raft_config_removed(c, m->id));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct raft_config untouched;
	static uint8_t bytes[RAFT_CONFIG_SIZE_MAX];
	struct raft_config c = untouched;
	if (raft_config_decode(slice_of(data, size), &c)) {
		assert(memcmp(&c, &untouched, sizeof(c)) == 0);
		return 0;
	}
	assert(!raft_id_none(c.cluster) && c.count <= RAFT_MEMBERS_MAX);
	for (unsigned i = 0; i < c.count; i++)
		check_member(&c, i);
	assert(raft_config_voters(&c) <= c.count);
	for (unsigned i = 0; i < c.removed_count; i++)
		assert(raft_config_removed(&c, c.removed[i].id) == &c.removed[i]);
	struct writer w = writer_of(bytes, sizeof(bytes));
	raft_config_encode(&w, &c);
	assert(!w.full && slice_eq(slice_of(bytes, w.len), slice_of(data, size)));
	return 0;
}

void fuzz_seeds(fuzz_add *add)
{
	static uint8_t bytes[RAFT_CONFIG_SIZE_MAX];
	static struct raft_config c = {.cluster = {{1}}};
	for (unsigned i = 0; i <= RAFT_MEMBERS_MAX; i++) {
		struct writer w = writer_of(bytes, sizeof(bytes));
		raft_config_encode(&w, &c);
		assert(!w.full);
		add(bytes, w.len);
		if (i == RAFT_MEMBERS_MAX)
			break;
		struct raft_member *m = &c.members[c.count++];
		*m = (struct raft_member){.name = {'n', (char)('1' + i)}, .key = {(uint8_t)i}};
		if (i % 3 == 0)
			continue;
		m->id.bytes[0] = (uint8_t)i;
		m->flags = i % 2 ? RAFT_VOTER | RAFT_BROKER : 0;
		memcpy(m->address, "host:7401", 10);
		memcpy(m->gate, "host:7402", i % 2 ? 10 : 0);
		if (i < RAFT_MEMBERS_MAX / 2)
			continue;
		m->leaving = (uint8_t)(i % 3);
		memcpy(m->roles, "a,b", i % 2 ? 4 : 0);
		c.level = level_newest();
		c.generation = i;
		c.latch = i % 2;
		c.removed[c.removed_count++] = (struct raft_removed){
		    .id = {{(uint8_t)(100 + i)}}, .how = (uint8_t)(i % 3), .name = "x"};
	}
}
