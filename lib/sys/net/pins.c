#include "sys/net/pins.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/name.h"
#include "sys/process/user_file.h"
#include "sys/stream/io.h"
#include "sys/stream/lines.h"

#define NO_CLUSTER "-"

/* ---- one ---- */

const char *pin_take(struct pin *p, const struct socket_host *address, struct slice key,
    struct slice name, struct slice cluster)
{
	char text[KEY_TEXT_SIZE];
	struct pin out = {.address = *address};
	if (key.len != KEY_SIZE)
		return "its key is none";
	key_print(key.data, text);
	/* That refuses points of low order. */
	if (!key_parse(slice_str(text), out.key))
		return "its key is none";
	if (!name_valid_node(name))
		return "its name is none";
	memcpy(out.name, name.data, name.len);
	if (cluster.len == sizeof(out.cluster))
		memcpy(&out.cluster, cluster.data, cluster.len);
	if (cluster.len > 0 && raft_id_none(out.cluster))
		return "its cluster's id is none";
	*p = out;
	return NULL;
}

void pin_print(const struct pin *p, char text[PIN_TEXT_SIZE])
{
	char address[SOCKET_HOST_TEXT_SIZE], key[KEY_TEXT_SIZE];
	char cluster[2 * RAFT_ID_SIZE + 1] = NO_CLUSTER;
	socket_host_print(&p->address, address);
	key_print(p->key, key);
	if (!raft_id_none(p->cluster))
		(void)sodium_bin2hex(cluster, sizeof(cluster), p->cluster.bytes, RAFT_ID_SIZE);
	int len = snprintf(text, PIN_TEXT_SIZE, "%s %s %s %s", address, key, p->name, cluster);
	assert(len > 0 && len < (int)PIN_TEXT_SIZE);
}

static bool pin_same(const struct pin *a, const struct pin *b)
{
	return socket_host_same(&a->address, &b->address) &&
	       memcmp(a->key, b->key, KEY_SIZE) == 0 && strcmp(a->name, b->name) == 0 &&
	       raft_id_eq(a->cluster, b->cluster);
}

/* Cuts the next word off; "": there is none. */
static char *next_word(char **text)
{
	static const char blanks[] = " \t";
	char *word = *text + strspn(*text, blanks);
	*text = word + strcspn(word, blanks);
	if (**text)
		*(*text)++ = '\0';
	return word;
}

/* Whether the word is a cluster's id, or NO_CLUSTER. */
static bool parse_cluster(struct raft_id *id, const char *word)
{
	const char *end;
	size_t len;
	*id = (struct raft_id){{0}};
	if (strcmp(word, NO_CLUSTER) == 0)
		return true;
	if (sodium_hex2bin(id->bytes, RAFT_ID_SIZE, word, strlen(word), NULL, &len, &end) !=
		0 ||
	    *end || len != RAFT_ID_SIZE)
		return false;
	return !raft_id_none(*id);
}

static enum rmq_error pin_parse(struct pin *p, char *line, struct reason *what)
{
	const char *word = next_word(&line), *why;
	*p = (struct pin){.name = ""};
	if (socket_host_parse(&p->address, word, &why) != RMQ_E_OK)
		return reason_set(what, RMQ_E_CONFIG, "'%.60s': %s", word, why);
	word = next_word(&line);
	if (!key_parse(slice_str(word), p->key))
		return reason_set(what, RMQ_E_CONFIG,
		    "'%.60s' is not a public key, as rmq-keygen prints it", word);
	word = next_word(&line);
	if (!name_valid_node(slice_str(word)))
		return reason_set(
		    what, RMQ_E_CONFIG, "'%.60s' is not the name of a node", word);
	memcpy(p->name, word, strlen(word));
	word = next_word(&line);
	if (!parse_cluster(&p->cluster, word))
		return reason_set(what, RMQ_E_CONFIG,
		    "'%.60s' is not the id of a cluster, of 32 hexadecimal digits, nor -",
		    word);
	word = next_word(&line);
	if (*word)
		return reason_set(
		    what, RMQ_E_CONFIG, "'%.60s' is too much at the line's end", word);
	return RMQ_E_OK;
}

/* ---- a file, read ---- */

void pins_deinit(struct pins *p)
{
	free(p->pins);
	*p = (struct pins){.count = 0};
}

const struct pin *pins_find(const struct pins *p, const struct socket_host *address)
{
	for (size_t i = 0; i < p->count; i++)
		if (socket_host_same(&p->pins[i].address, address))
			return &p->pins[i];
	return NULL;
}

const struct pin *pins_find_key(
    const struct pins *p, const struct socket_host *address, const uint8_t key[KEY_SIZE])
{
	for (size_t i = 0; i < p->count; i++)
		if ((!address || socket_host_same(&p->pins[i].address, address)) &&
		    memcmp(p->pins[i].key, key, KEY_SIZE) == 0)
			return &p->pins[i];
	return NULL;
}

static bool take(void *context, char *line, struct reason *what)
{
	struct pins *p = context;
	struct pin pin;
	if (pin_parse(&pin, line, what) != RMQ_E_OK)
		return false;
	if (pins_find_key(p, &pin.address, pin.key)) {
		(void)reason_set(what, RMQ_E_CONFIG,
		    "a line above is for the same address and key: remove one");
		return false;
	}
	struct pin *pins = realloc(p->pins, (p->count + 1) * sizeof(*pins));
	if (!pins) {
		(void)reason_set(what, RMQ_E_CONFIG, "out of memory");
		return false;
	}
	p->pins = pins;
	p->pins[p->count++] = pin;
	return true;
}

enum rmq_error pins_parse(
    struct pins *p, struct slice bytes, const char *path, struct reason *why)
{
	struct pins fresh = {.count = 0};
	enum rmq_error err = lines_parse(bytes, path, take, &fresh, why);
	pins_deinit(err ? &fresh : p);
	if (!err)
		*p = fresh;
	return err;
}

/* All of an open file, as text and taken apart. */
static enum rmq_error load(
    struct pins *p, struct text *all, int fd, const char *path, struct reason *why)
{
	enum rmq_error err = user_file_trusted(fd, path, why);
	if (!err)
		err = lines_load(all, fd, path, why);
	if (!err)
		err = pins_parse(p, slice_of(all->data, all->len), path, why);
	return err;
}

enum rmq_error pins_read(struct pins *p, const char *path, struct reason *why)
{
	struct text all = {0};
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 && errno != ENOENT)
		return lines_failed(path, why);
	if (fd < 0) {
		pins_deinit(p);
		return RMQ_E_OK;
	}
	enum rmq_error err = load(p, &all, fd, path, why);
	close(fd);
	text_deinit(&all);
	return err;
}

/* ---- a file, changed ---- */

/* One that is being changed: nobody else changes it meanwhile. */
struct change {
	const char *path;
	int fd;
	struct text all;
	struct pins pins;
};

/* Waits for the lock; *changed: whoever had it has put another file in the place of this one. */
static bool lock(int fd, const char *path, bool *changed)
{
	struct stat is, has;
	while (flock(fd, LOCK_EX) != 0)
		if (errno != EINTR)
			return false;
	if (fstat(fd, &is) != 0)
		return false;
	*changed = stat(path, &has) != 0 || is.st_dev != has.st_dev || is.st_ino != has.st_ino;
	return true;
}

/* The file, made if need be, locked; -1: errno. */
static int open_locked(const char *path)
{
	for (bool changed = true;;) {
		int fd = open(path, O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
		if (fd < 0)
			return -1;
		bool locked = lock(fd, path, &changed);
		if (locked && !changed)
			return fd;
		int error = errno;
		close(fd);
		errno = error;
		if (!locked)
			return -1;
	}
}

static void change_end(struct change *c)
{
	if (c->fd >= 0)
		close(c->fd);
	text_deinit(&c->all);
	pins_deinit(&c->pins);
}

static enum rmq_error change_begin(struct change *c, const char *path, struct reason *why)
{
	*c = (struct change){.path = path, .fd = -1};
	enum rmq_error err = user_file_folders(path, why);
	if (err)
		return err;
	c->fd = open_locked(path);
	if (c->fd < 0)
		return lines_failed(path, why);
	return load(&c->pins, &c->all, c->fd, path, why);
}

/* A line, at its end; what could not be written whole is cut off again. */
static enum rmq_error append(struct change *c, const struct pin *pin, struct reason *why)
{
	char line[PIN_TEXT_SIZE + 2];
	bool cut = c->all.len > 0 && c->all.data[c->all.len - 1] != '\n';
	line[0] = '\n';
	pin_print(pin, line + cut);
	strcat(line, "\n");
	if (c->all.len + strlen(line) > LINES_FILE_MAX)
		return reason_set(why, RMQ_E_LIMIT, "%s: the file is too large", c->path);
	errno = io_write(c->fd, line, strlen(line));
	if (errno == 0 && fsync(c->fd) == 0 && user_file_sync(c->path))
		return RMQ_E_OK;
	enum rmq_error err = lines_failed(c->path, why);
	if (ftruncate(c->fd, (off_t)c->all.len) != 0)
		(void)reason_set(why, err, "%s: its last line may be cut", c->path);
	return err;
}

enum rmq_error pins_add(const char *path, const struct pin *pin, struct reason *why)
{
	struct change c;
	enum rmq_error err = change_begin(&c, path, why);
	const struct pin *has = err ? NULL : pins_find_key(&c.pins, &pin->address, pin->key);
	if (!err && !has && pins_find(&c.pins, &pin->address))
		err =
		    reason_set(why, RMQ_E_EXISTS, "%s: has another key for the address", path);
	else if (has && !pin_same(has, pin))
		err = reason_set(
		    why, RMQ_E_EXISTS, "%s: has another name or cluster for the key", path);
	else if (!err && !has)
		err = append(&c, pin, why);
	change_end(&c);
	return err;
}

/* The text with the pin in the place of the line that has its address and the older key. */
static void put_replaced(
    struct text *out, struct slice all, const uint8_t key[KEY_SIZE], const struct pin *pin)
{
	char text[PIN_TEXT_SIZE];
	struct pins old = {.count = 0};
	pin_print(pin, text);
	while (all.len > 0) {
		const uint8_t *end = memchr(all.data, '\n', all.len);
		struct slice line =
		    slice_of(all.data, end ? (size_t)(end + 1 - all.data) : all.len);
		all = slice_of(all.data + line.len, all.len - line.len);
		if (pins_parse(&old, line, "", NULL) == RMQ_E_OK &&
		    pins_find_key(&old, &pin->address, key)) {
			text_put_str(out, text);
			text_put_char(out, '\n');
		} else {
			text_put_slice(out, line);
		}
	}
	pins_deinit(&old);
}

/* Another file takes its place, of the same mode. */
static enum rmq_error replace(
    struct change *c, const uint8_t old[KEY_SIZE], const struct pin *pin, struct reason *why)
{
	char real[PATH_MAX], temporary[PATH_MAX];
	struct text out = {0};
	struct stat st;
	put_replaced(&out, slice_of(c->all.data, c->all.len), old, pin);
	if (out.failed)
		return reason_set(why, RMQ_E_LIMIT, "out of memory");
	/* What a symbolic link leads to is replaced. */
	errno = ENAMETOOLONG;
	if (fstat(c->fd, &st) != 0 || !realpath(c->path, real) ||
	    strlen(real) + sizeof(".XXXXXX") > sizeof(temporary)) {
		text_deinit(&out);
		return lines_failed(c->path, why);
	}
	(void)snprintf(temporary, sizeof(temporary), "%.*s.XXXXXX",
	    (int)(sizeof(temporary) - sizeof(".XXXXXX")), real);
	enum rmq_error err = RMQ_E_OK;
	int fd = mkostemp(temporary, O_CLOEXEC);
	errno = fd < 0 ? errno : io_write(fd, out.data, out.len);
	if (errno != 0 || fchmod(fd, st.st_mode & 0777) != 0 || fsync(fd) != 0 ||
	    rename(temporary, real) != 0 || !user_file_sync(real)) {
		err = lines_failed(c->path, why);
		if (fd >= 0)
			unlink(temporary);
	}
	if (fd >= 0)
		close(fd);
	text_deinit(&out);
	return err;
}

enum rmq_error pins_replace(
    const char *path, const uint8_t old[KEY_SIZE], const struct pin *pin, struct reason *why)
{
	struct change c;
	enum rmq_error err = change_begin(&c, path, why);
	const struct pin *has = err ? NULL : pins_find_key(&c.pins, &pin->address, pin->key);
	/* One key has one line. */
	if (!err && !has)
		err = pins_find_key(&c.pins, &pin->address, old) ? replace(&c, old, pin, why)
								 : append(&c, pin, why);
	change_end(&c);
	return err;
}
