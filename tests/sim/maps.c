#include "maps.h"

#include "trace.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define U(v) ((unsigned long long)(v))

/* A change that is known, or that there is none of its key in (after, version). */
struct known {
	uint64_t version;
	uint32_t value; /* 0: it is deleted */
	unsigned key;
};

/* Of the key no change has a version in (after, before). */
struct gap {
	unsigned key;
	uint64_t after, before;
	const char *what;
};

struct maps {
	struct known *known;
	size_t known_count;
	struct gap *gaps;
	size_t gaps_count;
	uint64_t over; /* the newest version that an answer told */
	uint32_t values;
	bool *refused; /* values */
};

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
	free(m->known);
	free(m->gaps);
	free(m->refused);
	free(m);
}

uint64_t maps_some_version(const struct maps *m, unsigned key, uint64_t random)
{
	uint64_t newest = 0;
	/* Mostly the newest that is known. */
	for (size_t i = 0; i < m->known_count; i++)
		if (m->known[i].key == key && m->known[i].version > newest)
			newest = m->known[i].version;
	if (random % 4 != 0 || m->known_count == 0)
		return newest;
	return m->known[random / 4 % m->known_count].version;
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

static void tell_gap(
    struct maps *m, unsigned key, uint64_t after, uint64_t before, const char *what)
{
	for (size_t i = 0; i < m->known_count; i++)
		if (m->known[i].key == key && m->known[i].version > after &&
		    m->known[i].version < before)
			trace_fail("%s: key %u changed in version %llu, between %llu and %llu",
			    what, key, U(m->known[i].version), U(after), U(before));
	m->gaps = realloc(m->gaps, (m->gaps_count + 1) * sizeof(*m->gaps));
	assert(m->gaps);
	m->gaps[m->gaps_count++] = (struct gap){key, after, before, what};
}

static void tell_known(struct maps *m, unsigned key, uint64_t version, uint32_t value)
{
	for (size_t i = 0; i < m->known_count; i++) {
		const struct known *k = &m->known[i];
		if (k->version == version && (k->key != key || k->value != value))
			trace_fail("version %llu is of two changes: key %u, %u and key %u, %u",
			    U(version), k->key, k->value, key, value);
		if (k->version == version)
			return;
		if (value > 0 && k->value == value)
			trace_fail("value %u was put twice, as %llu and %llu", value,
			    U(k->version), U(version));
	}
	if (value > 0 && m->refused[value])
		trace_fail("value %u is there, and its put was refused", value);
	for (size_t i = 0; i < m->gaps_count; i++) {
		const struct gap *g = &m->gaps[i];
		if (g->key == key && version > g->after && version < g->before)
			trace_fail("%s: key %u changed in version %llu, between %llu and %llu",
			    g->what, key, U(version), U(g->after), U(g->before));
	}
	m->known = realloc(m->known, (m->known_count + 1) * sizeof(*m->known));
	assert(m->known);
	m->known[m->known_count++] = (struct known){version, value, key};
}

void maps_ask(const struct maps *m, struct map_op *op)
{
	op->on = true;
	op->before = m->over;
	op->found = false;
	op->version = 0;
}

void maps_done(struct maps *m, struct map_op *op, uint64_t version)
{
	trace("map done", op->verb, op->key, op->value, version);
	op->on = false;
	if (version <= op->before)
		trace_fail(
		    "a change has version %llu, and %llu was told before it was asked for",
		    U(version), U(op->before));
	tell_known(m, op->key, version, op->verb == MAP_PUT ? op->value : 0);
	/* If it was made because the key was not there, there may have been changes before. */
	if (op->has_condition && op->condition > 0)
		tell_gap(m, op->key, op->condition, version, "a condition");
	if (version > m->over)
		m->over = version;
}

void maps_refused(struct maps *m, struct map_op *op)
{
	trace("map refused", op->verb, op->key, op->value, 0);
	op->on = false;
	if (op->verb == MAP_PUT) {
		for (size_t i = 0; i < m->known_count; i++)
			if (m->known[i].value == op->value)
				trace_fail(
				    "value %u is there, and its put was refused", op->value);
		m->refused[op->value] = true;
	}
}

void maps_row(struct maps *m, struct map_op *op, uint64_t version, const void *text, size_t len)
{
	char want[256];
	uint32_t value = (uint32_t)strtoul(text, NULL, 10);
	if (len < 2 || value == 0 || value > m->values || maps_text(value, want) != len ||
	    memcmp(want, text, len) != 0)
		trace_fail("key %u has a value that nobody put", op->key);
	op->found = true;
	op->version = version;
	tell_known(m, op->key, version, value);
}

void maps_read(struct maps *m, struct map_op *op, uint64_t newest)
{
	uint64_t last = 0, told = 0;
	bool there = false;
	trace("map read", op->key, op->found, op->version, newest);
	op->on = false;
	if (newest < op->before)
		trace_fail("what is read is of version %llu, and %llu was told before",
		    U(newest), U(op->before));
	if (op->found)
		tell_gap(m, op->key, op->version, newest + 1, "a read");
	for (size_t i = 0; i < m->known_count; i++) {
		const struct known *k = &m->known[i];
		if (k->key != op->key || k->version > newest || k->version <= last)
			continue;
		last = k->version;
		there = k->value > 0;
	}
	/* One that is not answered yet may have deleted it, in a version that nobody was told. */
	for (size_t i = 0; i < m->known_count; i++)
		told += m->known[i].version > last && m->known[i].version <= newest;
	if (!op->found && there && told == newest - last)
		trace_fail("key %u is not there in version %llu, and was put in %llu", op->key,
		    U(newest), U(last));
	if (newest > m->over)
		m->over = newest;
}
