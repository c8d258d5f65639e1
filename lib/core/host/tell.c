#include "core/host/tell.h"

#include <string.h>

static const struct {
	uint16_t tag;
	uint8_t bytes;
} fields[METRICS_COUNT] = {
#define X(tag, NAME, bytes) {tag, bytes},
    METRICS(X)
#undef X
};

void metrics_set(struct metrics *m, enum metric metric, uint64_t value)
{
	m->known |= 1u << metric;
	m->value[metric] = value;
}

bool metrics_get(const struct metrics *m, enum metric metric, uint64_t *value)
{
	if (!(m->known & 1u << metric))
		return false;
	*value = m->value[metric];
	return true;
}

/* ---- written ---- */

static void put_number(struct writer *w, const struct metrics *m, unsigned i, unsigned above)
{
	uint64_t value = m->value[i];
	uint8_t bytes[8];

	if (!(m->known & 1u << i))
		return;
	if (fields[i].bytes == 4 && value > UINT32_MAX)
		value = UINT32_MAX;
	store_u64(bytes, value);
	tags_put(w, (uint16_t)(fields[i].tag + above), slice_of(bytes, fields[i].bytes));
}

static void put_list(struct writer *w, unsigned tag, const struct opinion_list *list)
{
	if (list->count > 0)
		tags_put(w, (uint16_t)tag, slice_of(list->ids, list->count * RAFT_ID_SIZE));
}

/* Those with tags from `from` up to below `to`. */
static void put_numbers(
    struct writer *w, const struct metrics *m, unsigned above, unsigned from, unsigned to)
{
	for (unsigned i = 0; i < METRICS_COUNT; i++)
		if (fields[i].tag >= from && fields[i].tag < to)
			put_number(w, m, i, above);
}

/* A list of tags in one. */
static void put_settings(struct writer *w, const struct settings *s)
{
	uint8_t tags[SETTINGS_SIZE_MAX];
	struct writer t = writer_of(tags, sizeof(tags));

	settings_encode(&t, s, false);
	w->full |= t.full;
	if (t.len > 0)
		tags_put(w, TELL_TAG_SETTINGS, slice_of(tags, t.len));
}

static void put_version(struct writer *w, const struct metrics *m, unsigned above)
{
	if (m->version[0])
		tags_put(w, (uint16_t)(TELL_TAG_VERSION + above), slice_str(m->version));
}

void metrics_encode(struct writer *w, const struct metrics *m, unsigned above)
{
	put_numbers(w, m, above, 0, TELL_TAG_VERSION);
	put_version(w, m, above);
}

void tell_encode(struct writer *w, const struct tell *t)
{
	put_numbers(w, &t->metrics, 0, 0, TELL_TAG_SUSPECTS);
	put_list(w, TELL_TAG_SUSPECTS, &t->opinion.suspects);
	put_numbers(w, &t->metrics, 0, TELL_TAG_SUSPECTS, TELL_TAG_SETTINGS);
	put_settings(w, &t->settings);
	put_numbers(w, &t->metrics, 0, TELL_TAG_SETTINGS, TELL_TAG_VERSION);
	put_version(w, &t->metrics, 0);
	put_list(w, TELL_TAG_UNHEARD, &t->opinion.unheard);
	if (t->says_roles)
		tags_put(w, TELL_TAG_ROLES, slice_str(t->roles));
}

/* ---- read ---- */

static bool take_version(struct metrics *m, struct slice s)
{
	if (s.len > METRICS_VERSION_MAX)
		return false;
	for (size_t i = 0; i < s.len; i++)
		if (s.data[i] <= ' ' || s.data[i] > '~')
			return false;
	memset(m->version, 0, sizeof(m->version));
	if (s.len > 0)
		memcpy(m->version, s.data, s.len);
	return true;
}

bool metrics_take(struct metrics *m, const struct tag *tag, unsigned above)
{
	if (tag->tag == TELL_TAG_VERSION + above)
		return take_version(m, tag->value);
	for (unsigned i = 0; i < METRICS_COUNT; i++) {
		if (tag->tag != fields[i].tag + above)
			continue;
		if (tag->value.len != fields[i].bytes)
			return false;
		metrics_set(m, (enum metric)i,
		    fields[i].bytes == 4 ? load_u32(tag->value.data)
					 : load_u64(tag->value.data));
	}
	return true;
}

static bool take_list(struct opinion_list *list, struct slice s)
{
	if (s.len % RAFT_ID_SIZE != 0 || s.len > sizeof(list->ids))
		return false;
	list->count = (unsigned)(s.len / RAFT_ID_SIZE);
	if (s.len > 0)
		memcpy(list->ids, s.data, s.len);
	return true;
}

static bool take_roles(struct tell *t, struct slice s)
{
	char roles[RAFT_ROLES_MAX + 1] = "";

	if (s.len > RAFT_ROLES_MAX)
		return false;
	if (s.len > 0)
		memcpy(roles, s.data, s.len);
	if (strlen(roles) != s.len || !raft_roles_valid(roles))
		return false;
	memcpy(t->roles, roles, sizeof(t->roles));
	return t->says_roles = true;
}

/* Those of a node that cannot be understood are not known. */
static bool take_settings(struct tell *t, struct slice tags)
{
	bool unenforced;

	return settings_decode(tags, &t->settings, &unenforced) != RMQ_E_PROTOCOL;
}

static bool take(struct tell *t, const struct tag *tag)
{
	if (tag->tag == TELL_TAG_SUSPECTS)
		return take_list(&t->opinion.suspects, tag->value);
	if (tag->tag == TELL_TAG_SETTINGS)
		return take_settings(t, tag->value);
	if (tag->tag == TELL_TAG_UNHEARD)
		return take_list(&t->opinion.unheard, tag->value);
	if (tag->tag == TELL_TAG_ROLES)
		return take_roles(t, tag->value);
	return metrics_take(&t->metrics, tag, 0);
}

/* All that are known are odd. */
static const char *no_name(unsigned type, unsigned tag)
{
	(void)type, (void)tag;
	return NULL;
}

bool tell_decode(struct slice tags, struct tell *t)
{
	struct tell taken = {.metrics = {.known = 0}};
	struct reader r = reader_of(tags);
	struct tag tag;
	uint16_t unknown;
	enum rmq_error err = tags_check(tags, 0, no_name, &unknown);

	if (err == RMQ_E_PROTOCOL)
		return false;
	while (err == RMQ_E_OK && tags_next(&r, &tag))
		if (!take(&taken, &tag))
			return false;
	*t = taken;
	return true;
}
