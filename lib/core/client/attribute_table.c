#include "core/client/attribute_table.h"

struct attribute_entry {
	uint32_t message;
	uint32_t at; /* of its value */
	uint16_t tag;
	uint16_t len;
};

static const uint16_t known[] = {
#define X(tag, NAME, name, kind) tag,
    ATTRIBUTES(X)
#undef X
};

#define KNOWN (sizeof(known) / sizeof(known[0]))

void attribute_table_deinit(struct attribute_table *t)
{
	text_deinit(&t->values);
	text_deinit(&t->entries);
}

void attribute_table_clear(struct attribute_table *t)
{
	t->values.len = t->entries.len = 0;
	t->values.failed = t->entries.failed = false;
}

void attribute_table_put(
    struct attribute_table *t, uint32_t message, uint16_t tag, struct slice value)
{
	struct attribute_entry e = {message, (uint32_t)t->values.len, tag, (uint16_t)value.len};
	text_put_slice(&t->values, value);
	text_put(&t->entries, &e, sizeof(e));
}

static size_t entries_count(const struct attribute_table *t)
{
	return t->entries.len / sizeof(struct attribute_entry);
}

static struct attribute_entry entry(const struct attribute_table *t, size_t i)
{
	struct attribute_entry e;
	memcpy(&e, t->entries.data + i * sizeof(e), sizeof(e));
	return e;
}

static struct slice value_of(const struct attribute_table *t, const struct attribute_entry *e)
{
	return slice_of(t->values.data + e->at, e->len);
}

size_t attribute_table_size(const struct attribute_table *t)
{
	/* Each value with its head, and the head of each list of values that differ. */
	return t->values.len + 4 * entries_count(t) + (entries_count(t) > 0 ? 4 * KNOWN : 0);
}

/* Whether all messages have the same value of this attribute; *has: at least one has one. */
static bool is_shared(const struct attribute_table *t, uint16_t tag, uint32_t count, bool *has,
    struct slice *value)
{
	uint32_t with = 0;
	*has = false;
	for (size_t i = 0; i < entries_count(t); i++) {
		struct attribute_entry e = entry(t, i);
		if (e.tag != tag)
			continue;
		if (*has && !slice_eq(*value, value_of(t, &e)))
			return false;
		*value = value_of(t, &e);
		*has = true;
		with = e.message == ATTRIBUTE_ALL ? count : with + 1;
	}
	return with == count;
}

static void put_each(const struct attribute_table *t, uint16_t tag, struct writer *w)
{
	tags_put(w, (uint16_t)(tag | ATTRIBUTE_EACH), slice_of("", 0));
	size_t body = w->len;
	for (size_t i = 0; i < entries_count(t); i++) {
		struct attribute_entry e = entry(t, i);
		if (e.tag == tag)
			tags_put(w, (uint16_t)e.message, value_of(t, &e));
	}
	if (!w->full)
		store_u16(w->p + body - 2, (uint16_t)(w->len - body));
}

void attribute_table_write(const struct attribute_table *t, uint32_t count, struct writer *w)
{
	bool each[KNOWN] = {false};
	struct slice value;
	for (size_t i = 0; i < KNOWN && t->entries.len > 0; i++) {
		bool has;
		if (is_shared(t, known[i], count, &has, &value))
			tags_put(w, known[i], value);
		else
			each[i] = has;
	}
	for (size_t i = 0; i < KNOWN; i++)
		if (each[i])
			put_each(t, known[i], w);
}
