#include "history_read.h"

#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WORDS_MAX 600

void *history_grow(void *p, size_t len, size_t *cap, size_t size)
{
	if (len < *cap)
		return p;
	*cap = *cap ? *cap * 2 : 64;
	p = realloc(p, *cap * size);
	if (!p)
		err(70, "realloc");
	return p;
}

/* ---- names and numbers ---- */

uint32_t history_name(struct history *h, const char *name)
{
	/* The newest is the one that is looked for most. */
	for (size_t i = h->names_len; i-- > 0;)
		if (strcmp(h->names[i], name) == 0)
			return (uint32_t)i;
	char *copy = strdup(name);
	if (!copy)
		err(70, "strdup");
	*GROW(h->names) = copy;
	return (uint32_t)(h->names_len - 1);
}

static size_t place(const struct map *m, uint64_t key)
{
	size_t i = (size_t)(key * 0x9e3779b97f4a7c15u >> 20) & (m->cap - 1);
	while (m->values[i] != NONE && m->keys[i] != key)
		i = (i + 1) & (m->cap - 1);
	return i;
}

uint32_t map_get(const struct map *m, uint64_t key)
{
	return m->cap ? m->values[place(m, key)] : NONE;
}

static void map_double(struct map *m)
{
	struct map old = *m;
	m->cap = old.cap ? old.cap * 2 : 1024;
	m->keys = malloc(m->cap * sizeof *m->keys);
	m->values = malloc(m->cap * sizeof *m->values);
	if (!m->keys || !m->values)
		err(70, "malloc");
	memset(m->values, 0xff, m->cap * sizeof *m->values);
	for (size_t i = 0; i < old.cap; i++) {
		if (old.values[i] == NONE)
			continue;
		size_t at = place(m, old.keys[i]);
		m->keys[at] = old.keys[i];
		m->values[at] = old.values[i];
	}
	free(old.keys);
	free(old.values);
}

void map_put(struct map *m, uint64_t key, uint32_t value)
{
	if (m->len * 2 >= m->cap)
		map_double(m);
	size_t at = place(m, key);
	m->len += m->values[at] == NONE;
	m->keys[at] = key;
	m->values[at] = value;
}

/* ---- lines ---- */

static const struct {
	const char *word;
	unsigned numbers;
	bool token;
} verbs[] = {
#define X(name, word, numbers, token) {word, numbers, token},
    VERBS(X)
#undef X
};

struct reading {
	struct history *h;
	uint32_t file;
	uint32_t line;
	struct map newest; /* of a client and number: the op */
};

static _Noreturn void bad(const struct reading *r, const char *what)
{
	errx(65, "%s:%u: %s", r->h->files[r->file].path, r->line, what);
}

static uint64_t number(const struct reading *r, const char *word)
{
	char *end;
	if (strcmp(word, "-") == 0)
		return NEVER;
	unsigned long long n = strtoull(word, &end, 10);
	if (*word < '0' || *word > '9' || *end)
		bad(r, "a number is expected");
	return n;
}

static uint64_t token(const struct reading *r, char *word)
{
	char *colon = strrchr(word, ':');
	if (!colon)
		bad(r, "a token is expected, NAME:N");
	*colon = 0;
	return token_of(history_name(r->h, word), number(r, colon + 1));
}

static void add_row(const struct reading *r, struct op *op, char *word)
{
	static const char *const states[] = {"ready", "leased", "delayed"};
	char *seq = strsep(&word, ":"), *state = strsep(&word, ":"),
	     *lease = strsep(&word, ":");
	unsigned s = 0;
	if (!state || !lease || !word)
		bad(r, "SEQ:STATE:LEASE:TOKEN is expected");
	while (strcmp(state, states[s]) != 0)
		if (++s == 3)
			bad(r, "a state is expected");
	*GROW(r->h->rows) =
	    (struct row){number(r, seq), (enum state)s, number(r, lease), token(r, word)};
	op->rows++;
}

static void take_result(const struct reading *r, struct op *op, char **word, unsigned count)
{
	static const char *const outcomes[] = {"unknown", "done", "stale", "refused"};
	for (unsigned i = 0; count == 1 && i < 4; i++) {
		if (strcmp(word[0], outcomes[i]) == 0) {
			op->outcome = (enum outcome)i;
			return;
		}
	}
	op->outcome = DONE;
	op->row = r->h->rows_len;
	if (op->verb == PEEK) {
		for (unsigned i = 0; i < count; i++)
			add_row(r, op, word[i]);
		return;
	}
	if (count != (op->verb == LIST ? 4 : op->verb == SEND ? 1 : 0))
		bad(r, "its result is not one of that verb");
	for (unsigned i = 0; i < count; i++)
		op->got[i] = number(r, word[i]);
}

static enum verb verb_of(const struct reading *r, const char *word)
{
	for (unsigned i = 0; i < sizeof verbs / sizeof *verbs; i++)
		if (strcmp(word, verbs[i].word) == 0)
			return (enum verb)i;
	bad(r, "no such verb");
}

static void keep(struct reading *r, const struct op *op)
{
	uint64_t key = (uint64_t)op->client << 40 | op->number;
	uint32_t at = map_get(&r->newest, key);
	if (at != NONE && r->h->ops[at].outcome != UNKNOWN)
		bad(r, "an operation with this number has returned");
	if (at == NONE) {
		map_put(&r->newest, key, (uint32_t)r->h->ops_len);
		*GROW(r->h->ops) = *op;
	} else {
		r->h->ops[at] = *op;
	}
}

static void take_line(struct reading *r, char *line)
{
	char *words[WORDS_MAX], *word;
	unsigned count = 0, at = 6;
	while ((word = strsep(&line, " ")))
		if (*word && count < WORDS_MAX)
			words[count++] = word;
	if (count < 6)
		bad(r, "a line is CLIENT NUMBER CALL RETURN VERB QUEUE ...");
	struct op op = {.file = r->file,
	    .line = r->line,
	    .client = history_name(r->h, words[0]),
	    .number = number(r, words[1]),
	    .call = number(r, words[2]),
	    .ret = number(r, words[3]),
	    .verb = verb_of(r, words[4]),
	    .queue = history_name(r->h, words[5])};
	if (count == WORDS_MAX ||
	    count < at + verbs[op.verb].numbers + verbs[op.verb].token + 1)
		bad(r, "too few arguments, or too many");
	for (unsigned i = 0; i < verbs[op.verb].numbers; i++)
		op.arg[i] = number(r, words[at++]);
	if (verbs[op.verb].token)
		op.token = token(r, words[at++]);
	if (strcmp(words[at++], "=") != 0)
		bad(r, "'=' is expected");
	take_result(r, &op, words + at, count - at);
	if (op.call > op.ret || (op.outcome == UNKNOWN) != (op.ret == NEVER))
		bad(r, "it returns before its call, or says an outcome without returning");
	keep(r, &op);
	struct file *f = &r->h->files[r->file];
	uint64_t newest = op.ret == NEVER ? op.call : op.ret;
	f->last = newest > f->last ? newest : f->last;
}

void history_read(struct history *h, const char *path)
{
	FILE *in = fopen(path, "r");
	char *line = NULL;
	size_t cap = 0;
	ssize_t len;
	if (!in)
		err(66, "%s", path);
	*GROW(h->files) = (struct file){path, 0};
	struct reading r = {.h = h, .file = (uint32_t)h->files_len - 1};
	while ((len = getline(&line, &cap, in)) > 0 && line[len - 1] == '\n') {
		r.line++;
		line[len - 1] = 0;
		if (len > 1 && line[0] != '#')
			take_line(&r, line);
	}
	if (ferror(in))
		err(74, "%s", path);
	fclose(in);
	free(line);
	free(r.newest.keys);
	free(r.newest.values);
}
