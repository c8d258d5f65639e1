#include "sys/net/keyfile.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sys/process/user_file.h"
#include "sys/stream/io.h"

#define VERSION_WORD "1"
#define LINE_VERSION "rmq-secret-key "
#define LINE_PUBLIC  "public "
#define LINE_SECRET  "secret "
#define TEXT_SIZE    256

void keypair_make(struct keypair *pair)
{
	do
		randombytes_buf(pair->secret, KEY_SIZE);
	while (!key_public(pair->secret, pair->key));
}

void keypair_wipe(struct keypair *pair)
{
	sodium_memzero(pair, sizeof(*pair));
}

static enum rmq_error failed(struct reason *why)
{
	enum rmq_error err = errno == EACCES || errno == EPERM ? RMQ_E_DENIED : RMQ_E_IO;

	if (errno == EEXIST)
		return reason_set(
		    why, RMQ_E_EXISTS, "exists already: rmq-keygen -y shows its public part");
	return reason_set(why, err, "%s", strerror(errno));
}

/* ---- making ---- */

static bool write_pair(int fd, const struct keypair *pair)
{
	char key[KEY_TEXT_SIZE], secret[KEY_BASE64_SIZE], text[TEXT_SIZE];
	key_print(pair->key, key);
	key_encode(pair->secret, secret);
	int len = snprintf(text, sizeof(text),
	    LINE_VERSION VERSION_WORD "\n" LINE_PUBLIC "%s\n" LINE_SECRET "%s\n", key, secret);
	assert(len > 0 && len < TEXT_SIZE);
	bool done =
	    fchmod(fd, 0600) == 0 && io_write(fd, text, (size_t)len) == 0 && fsync(fd) == 0;
	sodium_memzero(text, sizeof(text));
	sodium_memzero(secret, sizeof(secret));
	return done;
}

/* A link, other than a rename, never takes the place of a file. */
enum rmq_error keyfile_create(const char *path, const struct keypair *pair, struct reason *why)
{
	char temporary[PATH_MAX];
	enum rmq_error err = RMQ_E_OK;
	if ((size_t)snprintf(temporary, sizeof(temporary), "%s.XXXXXX", path) >=
	    sizeof(temporary))
		return reason_set(why, RMQ_E_IO, "%s", strerror(ENAMETOOLONG));
	int fd = mkostemp(temporary, O_CLOEXEC);
	if (fd < 0)
		return failed(why);
	if (!write_pair(fd, pair) || link(temporary, path) != 0)
		err = failed(why);
	close(fd);
	unlink(temporary);
	if (!err && !user_file_sync(path)) {
		err = failed(why);
		unlink(path);
	}
	return err;
}

/* ---- reading ---- */

/* The rest of a line that begins so; moves *text after it. */
static bool take_line(const char **text, const char *begin, struct slice *rest)
{
	size_t len = strlen(begin);
	const char *end = strchr(*text, '\n');
	if (!end || strncmp(*text, begin, len) != 0)
		return false;
	*rest = slice_of(*text + len, (size_t)(end - *text) - len);
	*text = end + 1;
	return true;
}

/* The public key stands there so that a damaged secret one is noticed. */
static enum rmq_error parse(const char *text, struct keypair *pair, struct reason *why)
{
	struct slice version, key, secret;
	uint8_t said[KEY_SIZE];
	if (!take_line(&text, LINE_VERSION, &version))
		return reason_set(why, RMQ_E_BAD_DATA, "holds no key");
	if (slice_eq(version, slice_str(VERSION_WORD "\r")))
		return reason_set(why, RMQ_E_BAD_DATA,
		    "the key is damaged: its lines end with CR and LF, copy it as it is");
	if (!slice_eq(version, slice_str(VERSION_WORD)))
		return reason_set(
		    why, RMQ_E_VERSION, "key of a format other than %s", VERSION_WORD);
	if (!take_line(&text, LINE_PUBLIC, &key) || !take_line(&text, LINE_SECRET, &secret) ||
	    *text || !key_parse(key, said) || !key_decode(secret, pair->secret) ||
	    !key_public(pair->secret, pair->key) || memcmp(said, pair->key, KEY_SIZE) != 0)
		return reason_set(why, RMQ_E_BAD_DATA, "the key is damaged");
	return RMQ_E_OK;
}

static enum rmq_error check(int fd, struct reason *why)
{
	struct stat st;
	if (fstat(fd, &st) != 0)
		return failed(why);
	if (!S_ISREG(st.st_mode))
		return reason_set(why, RMQ_E_BAD_DATA, "is not a file");
	bool ours = st.st_uid == geteuid();
	if (!ours && st.st_uid != 0)
		return reason_set(why, RMQ_E_DENIED, "belongs to another user");
	if ((st.st_mode & (ours ? 077 : 037)) != 0)
		return reason_set(why, RMQ_E_DENIED,
		    "mode is %04o: others can use the key, make it %s", st.st_mode & 07777,
		    ours ? "0600" : "0640");
	return RMQ_E_OK;
}

static enum rmq_error read_text(int fd, char text[TEXT_SIZE], struct reason *why)
{
	enum rmq_error err = check(fd, why);
	if (err)
		return err;
	ssize_t n = read(fd, text, TEXT_SIZE - 1);
	if (n < 0)
		return failed(why);
	text[n] = '\0';
	if (strlen(text) != (size_t)n)
		return reason_set(why, RMQ_E_BAD_DATA, "holds no key");
	return RMQ_E_OK;
}

enum rmq_error keyfile_read(const char *path, struct keypair *pair, struct reason *why)
{
	char text[TEXT_SIZE];
	struct keypair found;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (fd < 0 && errno == ENOENT)
		return reason_set(why, RMQ_E_CONFIG, "%s", strerror(errno));
	if (fd < 0)
		return failed(why);
	enum rmq_error err = read_text(fd, text, why);
	close(fd);
	if (!err)
		err = parse(text, &found, why);
	if (!err)
		*pair = found;
	sodium_memzero(text, sizeof(text));
	keypair_wipe(&found);
	return err;
}
