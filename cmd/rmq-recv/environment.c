#include "environment.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/units.h"
#include "core/wire/receipt.h"
#include "sys/net/keyfile.h"
#include "sys/net/pins.h"

#define MESSAGE_PREFIX "RMQ_MSG_"
#define HEADER_PREFIX  "RMQ_HEADER_"

static bool begins(const char *var, const char *prefix)
{
	return strncmp(var, prefix, strlen(prefix)) == 0;
}

/* The array grows to hold one more, and the NULL. */
static bool room(struct environment *e, size_t count)
{
	if (count + 2 <= e->cap)
		return true;
	size_t cap = e->cap ? e->cap * 2 : 64;
	char **vars = realloc(e->vars, cap * sizeof(*vars));
	if (!vars)
		return false;
	e->vars = vars;
	e->cap = cap;
	return true;
}

bool environment_init(struct environment *e, const struct client_options *ours)
{
	const struct {
		const char *name, *value; /* NULL: as inherited */
	} set[] = {{"RMQ_SERVERS", ours->servers}, {KEYFILE_VARIABLE, ours->keyfile},
	    {PINS_VARIABLE, ours->known_nodes}};
	*e = (struct environment){0};
	for (size_t i = 0; i < sizeof(set) / sizeof(set[0]); i++)
		if (set[i].value && setenv(set[i].name, set[i].value, 1) != 0)
			return false;
	for (char **var = environ; *var; var++) {
		if (begins(*var, MESSAGE_PREFIX) || begins(*var, HEADER_PREFIX))
			continue;
		if (!room(e, e->ours))
			return false;
		e->vars[e->ours++] = *var;
	}
	return room(e, e->ours);
}

void environment_deinit(struct environment *e)
{
	free(e->vars);
	text_deinit(&e->text);
}

static void put_var(struct text *t, const char *name, const void *value, size_t len)
{
	text_put_str(t, MESSAGE_PREFIX);
	text_put_str(t, name);
	text_put_char(t, '=');
	text_put(t, value, len);
	text_put_char(t, '\0');
}

static void put_number(struct text *t, const char *name, uint64_t n)
{
	char digits[24];
	put_var(t, name, digits,
	    (size_t)snprintf(digits, sizeof(digits), "%llu", (unsigned long long)n));
}

/* Of two variables of a name, programs take one or the other: the last header is the only one. */
static bool drop_same(struct environment *e, size_t count)
{
	const char *var = e->vars[count];
	size_t name = (size_t)(strchr(var, '=') - var) + 1;
	for (size_t i = e->ours; i < count; i++)
		if (strncmp(e->vars[i], var, name) == 0) {
			e->vars[i] = e->vars[count];
			return true;
		}
	return false;
}

/* Upper case; what no name of a variable may hold becomes `_`. */
static void put_headers(struct text *t, struct slice headers)
{
	struct reader r = reader_of(headers);
	struct slice name, value;
	while (headers.len > 0 && headers_next(&r, &name, &value)) {
		text_put_str(t, HEADER_PREFIX);
		for (size_t i = 0; i < name.len; i++) {
			uint8_t c = name.data[i];
			bool lower = c >= 'a' && c <= 'z';
			bool plain = (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
			text_put_char(t, lower ? (char)(c - 'a' + 'A') : plain ? (char)c : '_');
		}
		text_put_char(t, '=');
		text_put_slice(t, value);
		text_put_char(t, '\0');
	}
}

static void put_message(struct text *t, const struct envelope *m)
{
	char word[RECEIPT_MAX], time[UNITS_TEXT_MAX];
	struct receipt receipt = {m->queue, m->seq, m->lease};
	put_var(t, "ID", word, receipt_print_id(word, m->queue, m->seq));
	put_var(t, "RECEIPT", word, receipt_print(word, &receipt));
	put_number(t, "ATTEMPT", m->attempt);
	put_number(t, "PRIORITY", m->priority);
	/* No variable can hold a NUL. */
	bool has_nul = m->key.len > 0 && memchr(m->key.data, 0, m->key.len);
	put_var(t, "KEY", m->key.data, has_nul ? 0 : m->key.len);
	put_var(t, "TIME", time, units_print_time(time, m->time));
	put_headers(t, m->headers);
}

bool environment_set(struct environment *e, struct slice queue, const struct envelope *message,
    uint64_t deadline)
{
	size_t count = e->ours;
	e->text.len = 0;
	put_var(&e->text, "QUEUE", queue.data, queue.len);
	if (deadline)
		put_number(&e->text, "DEADLINE", deadline);
	if (message)
		put_message(&e->text, message);
	if (e->text.failed)
		return false;
	for (char *var = e->text.data; var < e->text.data + e->text.len;
	     var += strlen(var) + 1) {
		if (!room(e, count))
			return false;
		e->vars[count] = var;
		count += !drop_same(e, count);
	}
	e->vars[count] = NULL;
	return true;
}
