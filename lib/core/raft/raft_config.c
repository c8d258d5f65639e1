#include "core/raft/raft_config.h"

#include "core/base/name.h"
#include "core/base/tags.h"

#define FLAGS_ALL (RAFT_VOTER | RAFT_BROKER)

CODEC_MESSAGE(raft_config, head, RAFT_CONFIG_HEAD)
CODEC_MESSAGE(raft_config, member, RAFT_CONFIG_MEMBER)

/* ---- tags ---- */

/* Values of these are as large as they may be. */
#define REMOVED_SIZE (RAFT_REMOVED_MAX * RAFT_REMOVED_SIZE_MAX)

static void put_u8_tag(struct writer *w, uint16_t tag, uint8_t value)
{
	if (value > 0)
		tags_put(w, tag, slice_of(&value, 1));
}

static void put_removed(struct writer *w, const struct raft_config *c)
{
	uint8_t value[REMOVED_SIZE];
	struct writer list = writer_of(value, sizeof(value));

	for (unsigned i = 0; i < c->removed_count; i++) {
		const struct raft_removed *m = &c->removed[i];
		put_rest(&list, slice_of(m->id.bytes, RAFT_ID_SIZE));
		put_rest(&list, slice_of(m->key, RAFT_KEY_SIZE));
		put_u8(&list, m->how);
		put_str(&list, slice_str(m->name));
	}
	if (c->removed_count > 0)
		tags_put(w, RAFT_HEAD_REMOVED, slice_of(value, list.len));
}

static void put_head_tags(struct writer *w, const struct raft_config *c)
{
	uint8_t bytes[RAFT_HEAD_TAGS_MAX];
	struct writer list = writer_of(bytes, sizeof(bytes));

	tags_put_u64(&list, RAFT_HEAD_GENERATION, c->generation);
	tags_put_u64(&list, RAFT_HEAD_LEVEL, c->level);
	put_u8_tag(&list, RAFT_HEAD_LATCH, c->latch);
	put_removed(&list, c);
	put_u8_tag(&list, RAFT_HEAD_ENGINE, c->engine);
	w->full |= list.full;
	put_tags(w, slice_of(bytes, list.len));
}

static void put_member_tags(struct writer *w, const struct raft_member *m)
{
	uint8_t bytes[RAFT_MEMBER_TAGS_MAX];
	struct writer list = writer_of(bytes, sizeof(bytes));

	put_u8_tag(&list, RAFT_MEMBER_LEAVING, m->leaving);
	if (m->roles[0])
		tags_put(&list, RAFT_MEMBER_ROLES, slice_str(m->roles));
	w->full |= list.full;
	put_tags(w, slice_of(bytes, list.len));
}

static bool tagged(const struct raft_config *c)
{
	bool any = c->generation > 0 || c->level > 0 || c->latch || c->removed_count > 0 ||
		   c->engine > 0;

	for (unsigned i = 0; i < c->count; i++)
		any |= c->members[i].leaving || c->members[i].roles[0];
	return any;
}

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
	if (!tagged(c))
		return;
	put_head_tags(w, c);
	for (unsigned i = 0; i < c->count; i++)
		put_member_tags(w, &c->members[i]);
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

static bool get_removed(struct slice s, struct raft_config *c)
{
	struct reader r = reader_of(s);

	while (reader_left(&r) > 0 && c->removed_count < RAFT_REMOVED_MAX) {
		struct raft_removed *m = &c->removed[c->removed_count];
		const uint8_t *id = reader_take(&r, RAFT_ID_SIZE),
			      *key = reader_take(&r, RAFT_KEY_SIZE);
		m->how = get_u8(&r);
		struct slice name = get_str(&r);
		if (r.bad || m->how > RAFT_LOST || !name_valid_node(name) ||
		    !copy_text(m->name, RAFT_NAME_MAX, name) ||
		    !copy_id(&m->id, slice_of(id, RAFT_ID_SIZE)) ||
		    raft_config_find(c, m->id) || raft_config_removed(c, m->id))
			return false;
		memcpy(m->key, key, RAFT_KEY_SIZE);
		c->removed_count++;
	}
	return reader_done(&r) && c->removed_count > 0;
}

static bool get_u64_tag(struct slice value, uint64_t *to)
{
	*to = value.len == 8 ? load_u64(value.data) : 0;
	return *to > 0;
}

static bool get_u8_tag(struct slice value, uint8_t max, uint8_t *to)
{
	*to = value.len == 1 ? value.data[0] : 0;
	return *to > 0 && *to <= max;
}

static bool head_tag(const struct tag *t, struct raft_config *c, bool *known)
{
	uint8_t latch = 0;
	bool good;

	switch (t->tag) {
	case RAFT_HEAD_GENERATION:
		return get_u64_tag(t->value, &c->generation);
	case RAFT_HEAD_LEVEL:
		good = get_u64_tag(t->value, &c->level) && c->level >= LEVEL_TAGS;
		*known = c->level <= level_newest();
		return good;
	case RAFT_HEAD_LATCH:
		good = get_u8_tag(t->value, 1, &latch);
		c->latch = latch == 1;
		return good;
	case RAFT_HEAD_REMOVED:
		return get_removed(t->value, c);
	case RAFT_HEAD_ENGINE:
		good = t->value.len == 1 && t->value.data[0] > 0;
		*known = good && t->value.data[0] == RAFT_ENGINE_POSTGRESQL;
		c->engine = *known ? t->value.data[0] : 0;
		return good;
	default:
		*known = false;
		return true;
	}
}

static bool member_tag(const struct tag *t, struct raft_member *m, bool *known)
{
	switch (t->tag) {
	case RAFT_MEMBER_LEAVING:
		return get_u8_tag(t->value, RAFT_EXITS, &m->leaving);
	case RAFT_MEMBER_ROLES:
		return t->value.len > 0 && copy_text(m->roles, RAFT_ROLES_MAX, t->value);
	default:
		*known = false;
		return true;
	}
}

/* The head's, or those of member m.  *some: there are any. */
static enum rmq_error get_list(
    struct reader *r, struct raft_config *c, struct raft_member *m, bool *some)
{
	struct slice tags = get_tags(r);
	struct reader list = reader_of(tags);
	struct tag t;
	uint16_t last = 0;

	while (tags_next(&list, &t)) {
		bool known = true;
		if (t.tag <= last || !(m ? member_tag(&t, m, &known) : head_tag(&t, c, &known)))
			return RMQ_E_BAD_DATA;
		if (!known)
			return RMQ_E_VERSION;
		last = t.tag;
		*some = true;
	}
	return r->bad || list.bad || (m && !raft_member_valid(m)) ? RMQ_E_BAD_DATA : RMQ_E_OK;
}

static enum rmq_error get_all_tags(struct reader *r, struct raft_config *c)
{
	bool some = false;
	if (level_newest() < LEVEL_TAGS)
		return RMQ_E_VERSION;
	enum rmq_error error = get_list(r, c, NULL, &some);

	for (unsigned i = 0; !error && i < c->count; i++)
		error = get_list(r, c, &c->members[i], &some);
	return error ? error : some && reader_done(r) ? RMQ_E_OK : RMQ_E_BAD_DATA;
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
	enum rmq_error error = reader_done(&r) ? RMQ_E_OK : get_all_tags(&r, &new);
	if (!error)
		*c = new;
	return error;
}

bool raft_roles_valid(const char *s)
{
	struct slice last = {0};

	if (s[0] == '\0')
		return true;
	for (;;) {
		struct slice name = slice_of(s, strcspn(s, ","));
		if (name.len > RAFT_ROLE_MAX || !name_valid_node(name) ||
		    (last.len > 0 && slice_cmp(last, name) >= 0))
			return false;
		last = name;
		s += name.len;
		if (*s == '\0')
			return true;
		s++;
	}
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
	bool tags = m->leaving || m->roles[0];
	return name_valid_node(slice_str(m->name)) && !raft_id_eq(m->id, RAFT_DATABASE) &&
	       raft_address_valid(m->address) && raft_address_valid(m->gate) &&
	       !(m->flags & ~FLAGS_ALL) && (joined || (!(m->flags & RAFT_VOTER) && !tags)) &&
	       m->leaving <= RAFT_EXITS && raft_roles_valid(m->roles);
}

bool raft_config_eq(const struct raft_config *a, const struct raft_config *b)
{
	/* As a rule; else what comes after the end of a text may differ. */
	if (memcmp(a, b, sizeof(*a)) == 0)
		return true;
	uint8_t one[RAFT_CONFIG_SIZE_MAX], other[RAFT_CONFIG_SIZE_MAX];
	struct writer v = writer_of(one, sizeof(one)), w = writer_of(other, sizeof(other));

	raft_config_encode(&v, a);
	raft_config_encode(&w, b);
	return slice_eq(slice_of(one, v.len), slice_of(other, w.len));
}

/* ---- changes ---- */

static bool stays(const struct raft_member *m)
{
	return (m->flags & RAFT_VOTER) && m->leaving == RAFT_STAYS;
}

static enum rmq_error mark_leaving(struct raft_config *c, struct raft_member *m)
{
	unsigned others = 0;

	for (unsigned i = 0; i < c->count; i++)
		others += &c->members[i] != m && stays(&c->members[i]);
	if (m->leaving)
		return RMQ_E_OK;
	if (others == 0)
		return RMQ_E_LIMIT;
	m->leaving = RAFT_LEAVES;
	return RMQ_E_OK;
}

static enum rmq_error mark_member(
    struct raft_config *c, struct raft_member *m, enum raft_mark mark, const char *text)
{
	if (mark == RAFT_MARK_LEAVING)
		return mark_leaving(c, m);
	if (mark == RAFT_MARK_EXITING) {
		if (!m->leaving)
			return RMQ_E_NOTHING;
		m->leaving = RAFT_EXITS;
		return RMQ_E_OK;
	}
	if (!text || !raft_roles_valid(text) ||
	    !copy_text(m->roles, RAFT_ROLES_MAX, slice_str(text)))
		return RMQ_E_BAD_DATA;
	/* Of the longer text that stood there nothing is left: members are compared. */
	size_t len = strlen(text);
	memset(m->roles + len, 0, sizeof(m->roles) - len);
	return RMQ_E_OK;
}

enum rmq_error raft_config_mark(struct raft_config *c, enum raft_mark mark, struct raft_id id,
    const char *text, uint64_t value)
{
	const struct raft_member *is = raft_config_find(c, id);

	if (mark == RAFT_MARK_LEVEL) {
		if (value > level_newest())
			return RMQ_E_BAD_DATA;
		if (value > raft_config_level(c))
			c->level = value;
		return RMQ_E_OK;
	}
	if (raft_config_level(c) < LEVEL_TAGS)
		return RMQ_E_VERSION;
	if (mark == RAFT_MARK_LATCH) {
		c->latch = true;
		return RMQ_E_OK;
	}
	return is ? mark_member(c, &c->members[is - c->members], mark, text) : RMQ_E_NOTHING;
}

/* If all voters that are left are about to leave, they stay: as if they had asked after this one went. */
static void keep_voters(struct raft_config *c)
{
	for (unsigned i = 0; i < c->count; i++)
		if (stays(&c->members[i]))
			return;
	for (unsigned i = 0; i < c->count; i++)
		if (c->members[i].flags & RAFT_VOTER)
			c->members[i].leaving = RAFT_STAYS;
}

void raft_config_remove(struct raft_config *c, const struct raft_member *is, enum raft_how how)
{
	struct raft_removed was = {.id = is->id, .how = (uint8_t)how};

	memcpy(was.key, is->key, sizeof(was.key));
	memcpy(was.name, is->name, sizeof(was.name));
	c->members[is - c->members] = c->members[c->count - 1];
	memset(&c->members[--c->count], 0, sizeof(c->members[0]));
	keep_voters(c);
	if (raft_id_none(was.id) || raft_config_level(c) < LEVEL_TAGS)
		return;
	if (c->removed_count == RAFT_REMOVED_MAX)
		memmove(c->removed, c->removed + 1,
		    (size_t)--c->removed_count * sizeof(c->removed[0]));
	c->removed[c->removed_count++] = was;
}

const struct raft_removed *raft_config_removed(const struct raft_config *c, struct raft_id id)
{
	for (unsigned i = 0; i < c->removed_count; i++) {
		if (raft_id_eq(c->removed[i].id, id))
			return &c->removed[i];
	}
	return NULL;
}

const struct raft_removed *raft_config_removed_key(
    const struct raft_config *c, const uint8_t key[RAFT_KEY_SIZE])
{
	for (unsigned i = c->removed_count; i > 0; i--) {
		if (memcmp(c->removed[i - 1].key, key, RAFT_KEY_SIZE) == 0)
			return &c->removed[i - 1];
	}
	return NULL;
}

const struct raft_removed *raft_config_removed_name(
    const struct raft_config *c, const char *name)
{
	for (unsigned i = c->removed_count; i > 0; i--) {
		if (strcmp(c->removed[i - 1].name, name) == 0)
			return &c->removed[i - 1];
	}
	return NULL;
}

const char *raft_how_text(uint8_t how)
{
	switch (how) {
#define X(name, value, text) \
	case value: \
		return text;
		RAFT_HOWS(X)
#undef X
	default:
		return "unknown";
	}
}

const char *raft_engine_text(uint8_t engine)
{
	switch (engine) {
#define X(name, value, text) \
	case value: \
		return text;
		RAFT_ENGINES(X)
#undef X
	default:
		return "unknown";
	}
}

bool raft_engine_parse(const char *text, uint8_t *engine)
{
#define X(name, value, word) \
	if (strcmp(text, word) == 0) { \
		*engine = value; \
		return true; \
	}
	RAFT_ENGINES(X)
#undef X
	return false;
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

unsigned raft_config_spare(const struct raft_config *c)
{
	return raft_config_spare_of(c, raft_config_voters(c));
}

unsigned raft_config_spare_of(const struct raft_config *c, unsigned voters)
{
	if (voters == 0)
		return 0;
	return c->engine == RAFT_ENGINE_BUILT_IN ? (voters - 1) / 2 : voters - 1;
}
