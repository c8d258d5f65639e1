#include "payload.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* Of one argument, as execve(2) takes it. */
#define ARGUMENT_MAX (128u << 10)

/* How often `word` holds `replace`. */
static size_t occurrences(const char *word, const char *replace)
{
	size_t n = 0, len = strlen(replace);
	for (const char *at = word; (at = strstr(at, replace)); at += len)
		n++;
	return n;
}

const char *payload_bad(const struct payload_form *f, struct slice body)
{
	/* A NUL is written as an escape in an envelope, and so is a newline. */
	if (!f->envelopes && body.len > 0) {
		if (f->replace && memchr(body.data, 0, body.len))
			return "holds a NUL, which no argument can";
		if (f->several && memchr(body.data, f->separator, body.len))
			return "holds the separator (use -0 or -j)";
	}
	for (char *const *word = f->argv; f->replace && *word; word++) {
		size_t n = occurrences(*word, f->replace);
		if (n > 0 && body.len >= (ARGUMENT_MAX - strlen(*word)) / n)
			return "is too long for an argument";
	}
	return NULL;
}

void payload_put(struct text *t, const struct payload_form *f, const struct envelope *e)
{
	if (f->envelopes)
		envelope_put_json(t, e);
	else
		text_put_slice(t, e->body);
	if (f->several)
		text_put_char(t, f->separator);
	else if (f->newline || (f->envelopes && !f->replace))
		text_put_char(t, '\n');
}

int payload_stdin(const struct text *t)
{
	int fd = memfd_create("message", MFD_CLOEXEC);
	size_t done = 0;
	while (fd >= 0 && done < t->len) {
		ssize_t n = pwrite(fd, t->data + done, t->len - done, (off_t)done);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			int error = errno;
			close(fd);
			errno = error;
			return -1;
		}
		done += (size_t)n;
	}
	return fd;
}

/* Writes `word` to *at with each `replace` replaced, or only counts (*at NULL). */
static size_t put_word(char *at, const char *word, const char *replace, const struct text *t)
{
	size_t len = strlen(replace), size = 0;
	while (*word) {
		const char *next = strstr(word, replace);
		size_t plain = next ? (size_t)(next - word) : strlen(word);
		if (at)
			memcpy(at + size, word, plain);
		size += plain;
		word += plain;
		if (!next)
			break;
		if (at && t->len > 0)
			memcpy(at + size, t->data, t->len);
		size += t->len;
		word += len;
	}
	if (at)
		at[size] = '\0';
	return size + 1;
}

char **payload_argv(const struct payload_form *f, const struct text *t)
{
	size_t words = 0, size = 0;
	for (; f->argv[words]; words++)
		size += put_word(NULL, f->argv[words], f->replace, t);
	char **argv = malloc((words + 1) * sizeof(*argv) + size);
	if (!argv)
		return NULL;
	char *at = (char *)(argv + words + 1);
	for (size_t i = 0; i < words; i++) {
		argv[i] = at;
		at += put_word(at, f->argv[i], f->replace, t);
	}
	argv[words] = NULL;
	return argv;
}
