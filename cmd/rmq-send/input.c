#include "input.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/text.h"

#define INPUT_TOO_LARGE "message is larger than 16 MiB, the most that any queue takes"

static_assert(MESSAGE_MAX == 16u << 20, "the text says so");

void input_init(struct input *in)
{
	splitter_init(&in->splitter, (uint8_t)in->separator);
	in->ended = in->words != NULL;
}

void input_deinit(struct input *in)
{
	splitter_deinit(&in->splitter);
	sendbuf_free(in->names);
	sendbuf_free(in->content);
	sendbuf_free(in->file);
	text_deinit(&in->content_names);
	free(in->path);
}

bool input_wants(const struct input *in)
{
	if (in->ended)
		return false;
	const struct sendbuf *b = in->kind == INPUT_WHOLE ? NULL : in->splitter.buf;
	return !b || b->filled < SENDBUF_CAP;
}

static void chain_push(struct sendbuf **first, struct sendbuf *b)
{
	while (*first)
		first = &(*first)->next;
	*first = b;
}

/* The last buffer of `in->file` that has room, or a new one. */
static struct sendbuf *file_space(struct input *in)
{
	struct sendbuf *b = in->file;
	while (b && b->next)
		b = b->next;
	if (b && b->filled < SENDBUF_CAP)
		return b;
	b = sendbuf_new();
	if (b)
		chain_push(&in->file, b);
	return b;
}

static uint64_t file_len(const struct input *in)
{
	uint64_t len = 0;
	for (const struct sendbuf *b = in->file; b; b = b->next)
		len += b->filled;
	return len;
}

/* Reads once into `in->file`; the number of bytes, -1: errno. */
static ssize_t file_read(struct input *in, int fd)
{
	struct sendbuf *b = file_space(in);
	if (!b) {
		errno = ENOMEM;
		return -1;
	}
	ssize_t n = read(fd, sendbuf_blob(b) + b->filled, SENDBUF_CAP - b->filled);
	if (n > 0)
		b->filled += (uint32_t)n;
	return n;
}

int input_read(struct input *in)
{
	ssize_t n;
	if (in->kind == INPUT_WHOLE && file_len(in) > MESSAGE_MAX) {
		in->ended = true;
		return 0;
	}
	if (in->kind == INPUT_WHOLE) {
		n = file_read(in, STDIN_FILENO);
	} else {
		size_t len;
		uint8_t *p = splitter_space(&in->splitter, &len);
		if (!p)
			return ENOMEM;
		n = read(STDIN_FILENO, p, len);
		if (n > 0)
			splitter_fill(&in->splitter, (size_t)n);
	}
	if (n < 0)
		return errno == EINTR || errno == EAGAIN ? 0 : errno;
	in->eof = in->ended = n == 0;
	return 0;
}

void input_stop(struct input *in)
{
	in->ended = true;
	in->done |= in->kind == INPUT_WHOLE;
	/* No record begins any more, and none that was cut is ended. */
	in->require_newline = false;
	in->cut = true;
}

/* Makes what was read of a file a message: false if it is too large. */
static bool file_end(struct input *in)
{
	struct sendbuf *b = in->file;
	if (file_len(in) > MESSAGE_MAX)
		return false;
	if (!b->next && b->filled <= BATCH_BODY_MAX) {
		sendbuf_blob(b)[b->filled++] = (uint8_t)in->separator;
		sendbuf_push(b, b->filled);
		return true;
	}
	for (struct sendbuf *prev = NULL; b; prev = b, b = b->next) {
		b->large = true;
		b->blob_len = b->filled;
		if (prev && b->filled == 0) {
			prev->next = NULL;
			sendbuf_free(b);
			break;
		}
	}
	return true;
}

static enum input_result whole_next(struct input *in, struct parcel *out, const char **why)
{
	if (in->done)
		return INPUT_END;
	if (!in->ended)
		return INPUT_MORE;
	in->done = true;
	if (!file_space(in))
		return INPUT_NO_MEMORY;
	if (!file_end(in)) {
		*why = INPUT_TOO_LARGE;
		return INPUT_BAD;
	}
	out->buf = in->file;
	in->file = NULL;
	return INPUT_PARCEL;
}

/* Records of stdin. */
static enum input_result split_next(
    struct input *in, bool flush, struct sendbuf **out, const char **why)
{
	for (;;) {
		switch (splitter_next(&in->splitter, flush || in->ended, out)) {
		case SPLITTER_BATCH:
			return INPUT_PARCEL;
		case SPLITTER_TOO_LARGE:
			in->skip_record = true;
			*why = INPUT_TOO_LARGE;
			return INPUT_BAD;
		case SPLITTER_NO_MEMORY:
			return INPUT_NO_MEMORY;
		case SPLITTER_MORE:
			break;
		}
		if (!in->ended)
			return INPUT_MORE;
		if (in->cut || splitter_partial(&in->splitter) == 0)
			return INPUT_END;
		if (in->require_newline) {
			*why = "the last record is incomplete";
			return INPUT_BAD;
		}
		splitter_end(&in->splitter);
		in->cut = true;
		in->unterminated = true;
	}
}

/* Words of the command line, as many as fit. */
static enum input_result words_next(struct input *in, struct sendbuf **out, const char **why)
{
	struct sendbuf *b = NULL;
	for (; *in->words; in->words++) {
		struct slice word = slice_str(*in->words);
		if (!b && !(b = sendbuf_new()))
			return INPUT_NO_MEMORY;
		if (sendbuf_append(b, word, (uint8_t)in->separator))
			continue;
		if (b->count > 0)
			break;
		sendbuf_free(b);
		/* One word is never longer than 128 KiB on Linux: two or three pieces. */
		if (word.len > MESSAGE_MAX) {
			*why = INPUT_TOO_LARGE;
			return INPUT_BAD;
		}
		*out = NULL;
		for (size_t at = 0; at < word.len; at += b->filled) {
			if (!(b = sendbuf_new()))
				return INPUT_NO_MEMORY;
			size_t left = word.len - at;
			b->filled = left < SENDBUF_CAP ? (uint32_t)left : SENDBUF_CAP;
			b->blob_len = b->filled;
			b->large = true;
			memcpy(sendbuf_blob(b), word.data + at, b->filled);
			chain_push(out, b);
		}
		in->words++;
		return INPUT_PARCEL;
	}
	*out = b;
	return b ? INPUT_PARCEL : INPUT_END;
}

/* The name that was taken last is bad: it is still there until input_skip(). */
static enum input_result name_bad(struct input *in)
{
	if (in->words)
		in->words--;
	else
		in->name--;
	in->skip_name = true;
	return INPUT_BAD;
}

/* The next name, in in->path. */
static enum input_result name_next(struct input *in, bool flush, const char **why)
{
	struct slice name;
	if (in->words) {
		if (!*in->words)
			return INPUT_END;
		name = slice_str(*in->words++);
	} else {
		if (in->names && in->name == in->names->count) {
			sendbuf_free(in->names);
			in->names = NULL;
			in->name = 0;
		}
		if (!in->names) {
			enum input_result r = split_next(in, flush, &in->names, why);
			if (r != INPUT_PARCEL)
				return r;
		}
		if (in->names->large) {
			sendbuf_free(in->names);
			in->names = NULL;
			*why = "file name is too long";
			return INPUT_BAD;
		}
		struct batch_view v = sendbuf_view(in->names);
		name = batch_body(&v, in->name++);
		if (memchr(name.data, 0, name.len)) {
			*why = "there is a NUL in the file name (-0: names end in NUL)";
			return name_bad(in);
		}
	}
	free(in->path);
	in->path = strndup((const char *)name.data, name.len);
	return in->path ? INPUT_PARCEL : INPUT_NO_MEMORY;
}

void input_about_file(char out[INPUT_WHY_MAX], struct slice name, const char *what)
{
	int len = name.len < 160 ? (int)name.len : 160;
	snprintf(out, INPUT_WHY_MAX, "%.*s: %s", len, (const char *)name.data, what);
	text_tame(out, strlen(out));
}

/* Says of the file that was named last what is wrong. */
static enum input_result file_bad(struct input *in, const char *what, const char **why)
{
	input_about_file(in->why, slice_str(in->path), what);
	*why = in->why;
	sendbuf_free(in->file);
	in->file = NULL;
	return name_bad(in);
}

static enum input_result file_load(struct input *in, const char **why)
{
	ssize_t n = 0;
	int fd = open(in->path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return file_bad(in, strerror(errno), why);
	while ((n = file_read(in, fd)) > 0 && file_len(in) <= MESSAGE_MAX)
		;
	int error = errno;
	close(fd);
	if (n < 0)
		return file_bad(in, strerror(error), why);
	return file_end(in) ? INPUT_PARCEL : file_bad(in, INPUT_TOO_LARGE, why);
}

static enum input_result give_content(struct input *in, struct parcel *out)
{
	out->buf = in->content;
	out->names = in->content_names;
	in->content = NULL;
	in->content_names = (struct text){0};
	return INPUT_PARCEL;
}

/* Puts the file that was read into the content that is put together; true: give that. */
static bool file_join(struct input *in)
{
	if (in->content && (in->file->large || in->content->large))
		return true;
	if (in->content) {
		struct batch_view v = sendbuf_view(in->file);
		if (!sendbuf_append(in->content, batch_body(&v, 0), (uint8_t)in->separator))
			return true;
		sendbuf_free(in->file);
	} else {
		in->content = in->file;
	}
	in->file = NULL;
	text_put(&in->content_names, in->path, strlen(in->path));
	text_put_char(&in->content_names, in->separator);
	return false;
}

static enum input_result files_next(
    struct input *in, bool flush, struct parcel *out, const char **why)
{
	if (in->bad) {
		*why = in->bad;
		in->bad = NULL;
		return INPUT_BAD;
	}
	for (;;) {
		if (in->file && file_join(in))
			return give_content(in, out);
		enum input_result r = name_next(in, flush, why);
		if (r == INPUT_PARCEL)
			r = file_load(in, why);
		if (r == INPUT_PARCEL)
			continue;
		/* All that is before a bad record, or at hand, goes first. */
		if (in->content && r == INPUT_BAD)
			in->bad = *why;
		if (in->content && (flush || r != INPUT_MORE))
			return give_content(in, out);
		return r;
	}
}

enum input_result input_next(struct input *in, bool flush, struct parcel *out, const char **why)
{
	*out = (struct parcel){0};
	if (in->files)
		return files_next(in, flush, out, why);
	if (in->kind == INPUT_WHOLE)
		return whole_next(in, out, why);
	if (in->words)
		return words_next(in, &out->buf, why);
	return split_next(in, flush, &out->buf, why);
}

void input_skip(struct input *in)
{
	if (in->skip_record)
		splitter_skip(&in->splitter);
	else if (in->require_newline && in->ended)
		in->cut = true;
	else if (in->words && !in->files && *in->words)
		in->words++;
	else if (in->skip_name && in->words)
		in->words++;
	else if (in->skip_name)
		in->name++;
	in->skip_record = in->skip_name = false;
	sendbuf_free(in->file);
	in->file = NULL;
}

uint64_t input_waiting(const struct input *in)
{
	uint64_t n = in->splitter.buf ? in->splitter.buf->count : 0;
	if (in->names)
		n += in->names->count - in->name;
	if (in->content)
		n += in->content->count;
	for (char **word = in->words; word && *word; word++)
		n++;
	return n + (in->file && in->files);
}

static void put_blob(struct text *out, const struct sendbuf *b, size_t from, size_t to)
{
	text_put(out, b->bytes + SENDBUF_BLOB + from, to - from);
}

void input_rest(const struct input *in, struct text *out)
{
	const struct splitter *s = &in->splitter;
	text_put(out, in->content_names.data, in->content_names.len);
	if (in->files && in->file) {
		text_put_str(out, in->path);
		text_put_char(out, in->separator);
	}
	if (in->names) {
		struct batch_view v = sendbuf_view(in->names);
		put_blob(out, in->names, batch_begin(&v, in->name), v.blob_len);
	}
	for (const struct sendbuf *b = in->files ? NULL : in->file; b; b = b->next)
		put_blob(out, b, 0, b->filled);
	for (const struct sendbuf *b = s->large; b; b = b->next)
		put_blob(out, b, 0, b->blob_len);
	if (s->buf)
		put_blob(out, s->buf, 0, s->buf->filled);
	for (char **word = in->words; word && *word; word++) {
		text_put_str(out, *word);
		text_put_char(out, in->separator);
	}
}
