#include "sys/net/rights_file.h"

#include <fcntl.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <unistd.h>

#include "sys/net/rights_line.h"
#include "sys/process/user_file.h"
#include "sys/stream/lines.h"

/* A line of the file. */
struct line {
	STAILQ_ENTRY(line) entry;
	struct wall_time until;
	unsigned networks_count;
	struct rights_network *networks; /* after the entries */
	size_t len;
	uint8_t entries[];
};

/* All lines for one key, user or group. */
struct rights_of_one {
	RB_ENTRY(rights_of_one) entry;
	enum rights_who who;
	uint8_t key[KEY_SIZE];
	uint32_t id;
	char name[BEHALF_NAME_MAX + 1];
	size_t len; /* bytes of the entries of all lines */
	STAILQ_HEAD(, line) lines;
};

static int rights_compare(const struct rights_of_one *a, const struct rights_of_one *b)
{
	if (a->who != b->who)
		return a->who < b->who ? -1 : 1;
	if (a->id != b->id)
		return a->id < b->id ? -1 : 1;
	return memcmp(a->key, b->key, KEY_SIZE);
}

RB_PROTOTYPE(rights_tree, rights_of_one, entry, rights_compare)
RB_GENERATE(rights_tree, rights_of_one, entry, rights_compare)

static struct rights_of_one *find(
    const struct rights_file *f, enum rights_who who, const uint8_t key[KEY_SIZE], uint32_t id)
{
	struct rights_of_one wanted = {.who = who, .id = id};
	if (key)
		memcpy(wanted.key, key, KEY_SIZE);
	/* The tree does not change, but the macro is without const. */
	struct rights_tree all = f->all;
	return RB_FIND(rights_tree, &all, &wanted);
}

void rights_file_deinit(struct rights_file *f)
{
	struct rights_of_one *one;
	struct line *l;
	while ((one = RB_ROOT(&f->all))) {
		RB_REMOVE(rights_tree, &f->all, one);
		while ((l = STAILQ_FIRST(&one->lines))) {
			STAILQ_REMOVE_HEAD(&one->lines, entry);
			free(l);
		}
		free(one);
	}
	*f = (struct rights_file){.groups_len = 0};
}

/* ---- reading ---- */

static enum rmq_error no_memory(struct reason *what)
{
	return reason_set(what, RMQ_E_CONFIG, "out of memory");
}

static enum rmq_error add_line(
    struct rights_of_one *one, const struct rights_line *l, struct reason *what)
{
	size_t networks_size = l->networks_count * sizeof(l->networks[0]);
	struct line *line = malloc(sizeof(*line) + l->len + networks_size);
	if (!line)
		return no_memory(what);
	line->until = l->until;
	line->networks_count = l->networks_count;
	line->networks = (struct rights_network *)(void *)(line->entries + l->len);
	line->len = l->len;
	memcpy(line->entries, l->entries, l->len);
	memcpy(line->networks, l->networks, networks_size);
	STAILQ_INSERT_TAIL(&one->lines, line, entry);
	one->len += l->len;
	return RMQ_E_OK;
}

static struct rights_of_one *add_one(struct rights_file *f, const struct rights_line *l)
{
	struct rights_of_one *one = calloc(1, sizeof(*one));
	if (!one)
		return NULL;
	one->who = l->who;
	one->id = l->id;
	memcpy(one->key, l->key, KEY_SIZE);
	memcpy(one->name, l->name, sizeof(one->name));
	STAILQ_INIT(&one->lines);
	RB_INSERT(rights_tree, &f->all, one);
	return one;
}

/*
 * That the answer to each question fits a list of rights, also for a user of all groups.  (That of a
 * user who has no line is not longer.)
 */
static bool fits(struct rights_file *f, const struct rights_of_one *one)
{
	if (one->who == RIGHTS_KEY)
		return one->len <= RIGHTS_MAX;
	if (one->who == RIGHTS_USER && one->len > f->user_len)
		f->user_len = one->len;
	return f->groups_len + f->user_len <= RIGHTS_MAX;
}

static uint64_t sum_of(const char *text)
{
	static const uint8_t key[crypto_shorthash_KEYBYTES];
	uint8_t sum[crypto_shorthash_BYTES];

	crypto_shorthash(sum, (const uint8_t *)text, strlen(text), key);
	return load_u64(sum);
}

uint16_t rights_file_tag(const struct rights_file *f)
{
	return (uint16_t)(f->sum % UINT16_MAX + 1);
}

static bool take(void *context, char *text, struct reason *what)
{
	struct rights_file *f = context;
	struct rights_line l;

	f->sum += sum_of(text);
	if (strcmp(text, "none") == 0)
		return f->none = true;
	if (rights_line_parse(&l, text, what) != RMQ_E_OK)
		return false;
	struct rights_of_one *one = find(f, l.who, l.key, l.id);
	if (one && strcmp(one->name, l.name) != 0) {
		(void)reason_set(
		    what, RMQ_E_CONFIG, "the key has the name '%s' in a line above", one->name);
		return false;
	}
	if (!one)
		one = add_one(f, &l);
	if (!one) {
		(void)no_memory(what);
		return false;
	}
	if (add_line(one, &l, what) != RMQ_E_OK)
		return false;
	if (l.who == RIGHTS_GROUP)
		f->groups_len += l.len;
	if (fits(f, one))
		return true;
	(void)reason_set(what, RMQ_E_CONFIG,
	    "the rights of %s are longer than %d bytes now: use *",
	    l.who == RIGHTS_KEY ? "the key" : "a user and all groups together", RIGHTS_MAX);
	return false;
}

/* One that is being written, or was cut, takes no rights away. */
static enum rmq_error check_whole(
    const struct rights_file *f, struct slice bytes, const char *path, struct reason *why)
{
	if (bytes.len > 0 && bytes.data[bytes.len - 1] != '\n')
		return reason_set(why, RMQ_E_CONFIG,
		    "%s: its last line does not end with a newline: it may be cut", path);
	if (RB_EMPTY(&f->all) && !f->none)
		return reason_set(why, RMQ_E_CONFIG,
		    "%s: it grants nothing: if this is meant, add the line: none", path);
	return RMQ_E_OK;
}

enum rmq_error rights_file_parse(
    struct rights_file *f, struct slice bytes, const char *path, struct reason *why)
{
	struct rights_file fresh = {.groups_len = 0};
	enum rmq_error err = lines_parse(bytes, path, take, &fresh, why);
	if (!err)
		err = check_whole(&fresh, bytes, path, why);
	/* All of it, or nothing. */
	rights_file_deinit(err ? &fresh : f);
	if (!err)
		*f = fresh;
	return err;
}

enum rmq_error rights_file_read(struct rights_file *f, const char *path, struct reason *why)
{
	struct text all = {0};
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return lines_failed(path, why);
	enum rmq_error err = user_file_trusted(fd, path, why);
	if (!err)
		err = lines_load(&all, fd, path, why);
	close(fd);
	if (!err)
		err = rights_file_parse(f, slice_of(all.data, all.len), path, why);
	text_deinit(&all);
	return err;
}

/* ---- asking ---- */

static void answer_begin(struct rights_granted *g)
{
	g->name[0] = '\0';
	g->until.ms = UINT64_MAX;
	g->len = 0;
}

/*
 * Adds what holds now, for a client that comes from there (NULL: it is of this machine).  Whether
 * there is something that would hold if it were not over.
 */
static bool answer_add(struct rights_granted *g, const struct rights_of_one *one,
    const struct sockaddr *from, struct wall_time now)
{
	const struct line *l;
	bool over = false;
	STAILQ_FOREACH (l, &one->lines, entry) {
		if (l->networks_count > 0 &&
		    !rights_line_from(l->networks, l->networks_count, from))
			continue;
		if (now.ms >= l->until.ms) {
			over = true;
			continue;
		}
		/* That it fits was made sure of: see fits(). */
		memcpy(g->list + g->len, l->entries, l->len);
		g->len += l->len;
		if (l->until.ms < g->until.ms)
			g->until = l->until;
	}
	return over;
}

bool rights_file_knows(const struct rights_file *f, const uint8_t key[KEY_SIZE])
{
	return find(f, RIGHTS_KEY, key, 0) != NULL;
}

enum rmq_error rights_file_key(const struct rights_file *f, const uint8_t key[KEY_SIZE],
    const struct sockaddr *from, struct wall_time now, struct rights_granted *g,
    const char **why)
{
	const struct rights_of_one *one = find(f, RIGHTS_KEY, key, 0);
	answer_begin(g);
	if (!one) {
		*why = "its key is not in the file of rights";
		return RMQ_E_DENIED;
	}
	bool over = answer_add(g, one, from, now);
	memcpy(g->name, one->name, sizeof(g->name));
	if (g->len > 0)
		return RMQ_E_OK;
	*why = over ? "the rights of its key are over (expires=)"
		    : "its key may not come from that address (from=)";
	return RMQ_E_DENIED;
}

static bool of_group(uint32_t id, const gid_t *groups, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (groups[i] == id)
			return true;
	return false;
}

enum rmq_error rights_file_user(const struct rights_file *f, uid_t uid, const gid_t *groups,
    size_t groups_count, struct wall_time now, struct rights_granted *g, const char **why)
{
	struct rights_tree all = f->all;
	struct rights_of_one *one = find(f, RIGHTS_USER, NULL, uid);
	bool over = false;
	answer_begin(g);
	if (one)
		over |= answer_add(g, one, NULL, now);
	/* Groups come last in the tree. */
	RB_FOREACH_REVERSE(one, rights_tree, &all)
	{
		if (one->who != RIGHTS_GROUP)
			break;
		if (of_group(one->id, groups, groups_count))
			over |= answer_add(g, one, NULL, now);
	}
	if (g->len > 0)
		return RMQ_E_OK;
	*why = over ? "the user's rights are over (expires=)"
		    : "neither the user nor a group of it is in the file of rights";
	return RMQ_E_DENIED;
}

static bool same(enum rmq_error a_err, const struct rights_granted *a, enum rmq_error b_err,
    const struct rights_granted *b)
{
	return a_err == b_err && a->until.ms == b->until.ms && strcmp(a->name, b->name) == 0 &&
	       slice_eq(rights_granted_list(a), rights_granted_list(b));
}

bool rights_file_same_key(const struct rights_file *a, const struct rights_file *b,
    const uint8_t key[KEY_SIZE], const struct sockaddr *from, struct wall_time now)
{
	struct rights_granted of_a, of_b;
	const char *why;
	enum rmq_error a_err = rights_file_key(a, key, from, now, &of_a, &why);
	enum rmq_error b_err = rights_file_key(b, key, from, now, &of_b, &why);
	return same(a_err, &of_a, b_err, &of_b);
}

bool rights_file_same_user(const struct rights_file *a, const struct rights_file *b, uid_t uid,
    const gid_t *groups, size_t groups_count, struct wall_time now)
{
	struct rights_granted of_a, of_b;
	const char *why;
	enum rmq_error a_err = rights_file_user(a, uid, groups, groups_count, now, &of_a, &why);
	enum rmq_error b_err = rights_file_user(b, uid, groups, groups_count, now, &of_b, &why);
	return same(a_err, &of_a, b_err, &of_b);
}
