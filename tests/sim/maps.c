#include "maps.h"

#include "trace.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define U(v) ((unsigned long long)(v))

struct change {
	uint64_t version;
	uint32_t value; /* 0: it is deleted */
	unsigned key;
};

struct maps {
	struct change *changes; /* on disk, in order */
	size_t count;
	uint64_t over; /* the newest version that an answer told */
	uint32_t values;
	bool *refused; /* values */
};

static const struct change none = {0};

struct maps *maps_new(void)
{
	struct maps *m = calloc(1, sizeof(*m));
	assert(m);
	return m;
}

void maps_free(struct maps *m)
{
	if (!m)
		return;
	free(m->changes);
	free(m->refused);
	free(m);
}

/* ---- the map on disk ---- */

static unsigned key_number(struct slice key)
{
	const char *name = (const char *)key.data;
	unsigned number =
	    key.len == 2 && name[0] == 'k' ? (unsigned)(name[1] - '0') : MAPS_KEYS;
	if (number >= MAPS_KEYS)
		trace_fail("a key of the map is %.*s", (int)key.len, name);
	return number;
}

static uint32_t value_number(struct slice value)
{
	uint32_t number = 0;
	for (size_t i = 0; i < value.len && value.data[i] >= '0' && value.data[i] <= '9'; i++)
		number = 10 * number + value.data[i] - '0';
	return number;
}

void maps_change(struct maps *m, struct slice key, uint64_t version, const struct slice *value)
{
	struct change c = {version, value ? value_number(*value) : 0, key_number(key)};
	trace("map on disk", c.key, c.version, c.value, 0);
	if (m->count > 0 && m->changes[m->count - 1].version >= version)
		trace_fail("version %llu comes after %llu", U(version),
		    U(m->changes[m->count - 1].version));
	if (value && (c.value == 0 || c.value > m->values))
		trace_fail("key %u has a value that nobody put", c.key);
	if (value && m->refused[c.value])
		trace_fail("value %u is there, and its put was refused", c.value);
	for (size_t i = 0; value && i < m->count; i++)
		if (m->changes[i].value == c.value)
			trace_fail("value %u was put twice, as %llu and %llu", c.value,
			    U(m->changes[i].version), U(version));
	m->changes = realloc(m->changes, (m->count + 1) * sizeof(*m->changes));
	assert(m->changes);
	m->changes[m->count++] = c;
}

/* The newest change of the key up to that version. */
static const struct change *at(const struct maps *m, unsigned key, uint64_t version)
{
	for (size_t i = m->count; i > 0; i--)
		if (m->changes[i - 1].key == key && m->changes[i - 1].version <= version)
			return &m->changes[i - 1];
	return &none;
}

/* The version that the key had then; 0: it was not there. */
static uint64_t version_at(const struct maps *m, unsigned key, uint64_t version)
{
	const struct change *c = at(m, key, version);
	return c->value > 0 ? c->version : 0;
}

/* What is told is so on disk. */
static const struct change *check_row(const struct maps *m, const struct wire_kv_is *row)
{
	const struct change *c = at(m, key_number(row->key), row->version);
	bool there = row->what == KV_IS_THERE;
	char want[256];
	if (c->version != row->version || (c->value > 0) != there)
		trace_fail("key %.*s did not change so in version %llu", (int)row->key.len,
		    (const char *)row->key.data, U(row->version));
	if (there && !slice_eq(slice_of(want, maps_text(c->value, want)), row->value))
		trace_fail("value %u is not what was put", c->value);
	return c;
}

/* ---- values ---- */

uint64_t maps_newest(const struct maps *m)
{
	return m->count > 0 ? m->changes[m->count - 1].version : 0;
}

uint64_t maps_some_version(const struct maps *m, unsigned key, uint64_t random)
{
	/* Mostly the newest. */
	if (random % 4 != 0 || m->count == 0)
		return version_at(m, key, UINT64_MAX);
	return m->changes[random / 4 % m->count].version;
}

uint32_t maps_value(struct maps *m)
{
	m->refused = realloc(m->refused, m->values + 2);
	assert(m->refused);
	m->refused[++m->values] = false;
	return m->values;
}

size_t maps_text(uint32_t value, char text[256])
{
	size_t len = (size_t)value * 37 % 200 + 10;
	memset(text, (int)('a' + value % 26), 255);
	char number[16];
	int digits = snprintf(number, sizeof(number), "%u", value);
	memcpy(text, number, (size_t)digits);
	return len > (size_t)digits ? len : (size_t)digits + 1;
}

/* ---- questions ---- */

void maps_ask(const struct maps *m, struct map_op *op)
{
	op->on = true;
	op->before = m->over;
	op->found = false;
	op->version = 0;
}

void maps_done(struct maps *m, struct map_op *op, uint64_t version)
{
	const struct change *c = at(m, op->key, version);
	trace("map done", op->verb, op->key, op->value, version);
	op->on = false;
	if (version <= op->before)
		trace_fail(
		    "a change has version %llu, and %llu was told before it was asked for",
		    U(version), U(op->before));
	if (c->version != version || c->value != op->value)
		trace_fail("key %u: value %u is not on disk as version %llu", op->key,
		    op->value, U(version));
	if (op->has_condition && version_at(m, op->key, version - 1) != op->condition)
		trace_fail("key %u changed in version %llu, between %llu and %llu", op->key,
		    U(version_at(m, op->key, version - 1)), U(op->condition), U(version));
	if (version > m->over)
		m->over = version;
}

/* Whether its condition was not met at some time since it was asked. */
static bool was_unmet(const struct maps *m, const struct map_op *op)
{
	uint64_t version = version_at(m, op->key, op->before);
	if (at(m, op->key, UINT64_MAX)->version > op->before)
		return true;
	return (op->has_condition && version != op->condition) ||
	       (op->verb == MAP_DELETE && version == 0);
}

void maps_refused(struct maps *m, struct map_op *op, bool unmet)
{
	trace("map refused", op->verb, op->key, op->value, unmet);
	op->on = false;
	if (unmet && !was_unmet(m, op))
		trace_fail("key %u: version %llu is refused, and it is that one", op->key,
		    U(op->condition));
	if (op->verb != MAP_PUT)
		return;
	m->refused[op->value] = true;
	for (size_t i = 0; i < m->count; i++)
		if (m->changes[i].value == op->value)
			trace_fail("value %u is there, and its put was refused", op->value);
}

void maps_row(struct maps *m, struct map_op *op, const struct wire_kv_is *row)
{
	if (check_row(m, row)->key != op->key || row->what != KV_IS_THERE)
		trace_fail("a row of another key than key %u, or none", op->key);
	op->found = true;
	op->version = row->version;
}

void maps_read(struct maps *m, struct map_op *op, uint64_t newest)
{
	uint64_t version = version_at(m, op->key, newest);
	trace("map read", op->key, op->found, op->version, newest);
	op->on = false;
	if (newest < op->before)
		trace_fail("what is read is of version %llu, and %llu was told before",
		    U(newest), U(op->before));
	if (m->count == 0 || newest > m->changes[m->count - 1].version) {
		if (newest > 0)
			trace_fail("version %llu is told, and is not on disk", U(newest));
	}
	if (version != (op->found ? op->version : 0))
		trace_fail("key %u is read as version %llu, and it had %llu in %llu", op->key,
		    U(op->found ? op->version : 0), U(version), U(newest));
	if (newest > m->over)
		m->over = newest;
}

/* ---- who goes on with changes ---- */

static bool is_of(const struct map_view *v, unsigned key)
{
	return v->key == MAPS_KEYS || v->key == key;
}

void maps_view_begin(struct map_view *v, unsigned key, uint64_t since)
{
	uint8_t flags = KV_WAIT | KV_VALUES;
	*v = (struct map_view){.on = true, .key = key, .from = since};
	client_map_begin(
	    &v->read, key == MAPS_KEYS ? (uint8_t)(flags | KV_PREFIX) : flags, since);
}

void maps_view_row(const struct maps *m, struct map_view *v, const struct wire_kv_is *row)
{
	const struct change *c = check_row(m, row);
	trace("map row", c->key, c->version, c->value, 0);
	if (!is_of(v, c->key))
		trace_fail("key %u is told to who asked for key %u", c->key, v->key);
	for (unsigned key = 0; key < MAPS_KEYS; key++)
		if (v->told[key] >= c->version)
			trace_fail(
			    "version %llu is told after %llu", U(c->version), U(v->told[key]));
	v->told[c->key] = c->version;
	v->count++;
}

/* Whether it came and went before it was told: of that there is nothing to tell. */
static bool passed(const struct map_view *v, unsigned key, const struct change *newest)
{
	return newest->value == 0 && v->from == 0 && v->told[key] == 0;
}

/* What is told of the key so far is how it was then. */
static void check_view(
    const struct maps *m, const struct map_view *v, unsigned key, uint64_t version)
{
	const struct change *c = at(m, key, version);
	uint64_t told = v->told[key];
	if (told != c->version && c->version > v->from && !passed(v, key, c))
		trace_fail(
		    "key %u: the newest that was told is %llu, in version %llu it is %llu", key,
		    U(told), U(version), U(c->version));
}

void maps_view_at(
    const struct maps *m, struct map_view *v, const struct wire_kv_at *end, unsigned news)
{
	uint64_t changes = 0;
	trace("map told up to", v->key, v->read.since, end->left_out, news);
	v->asking = false;
	if (news & CLIENT_MAP_ANEW) {
		maps_view_begin(v, v->key, 0);
		return;
	}
	v->count += end->left_out;
	for (size_t i = 0; i < m->count; i++)
		changes += is_of(v, m->changes[i].key) && m->changes[i].version > v->from &&
			   m->changes[i].version <= end->newest;
	if (v->count > changes)
		trace_fail(
		    "%llu changes were told or counted, of %llu", U(v->count), U(changes));
	for (unsigned key = 0; !(end->flags & KV_MORE) && key < MAPS_KEYS; key++)
		if (is_of(v, key))
			check_view(m, v, key, v->read.since);
}

bool maps_view_done(const struct maps *m, const struct map_view *v)
{
	for (unsigned key = 0; v->on && key < MAPS_KEYS; key++) {
		const struct change *c = at(m, key, UINT64_MAX);
		/* A row that came before the connection was lost is not told again. */
		if (is_of(v, key) && c->version > v->read.since && c->version != v->told[key] &&
		    !passed(v, key, c))
			return false;
	}
	return true;
}
