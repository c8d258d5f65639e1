#include "input.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/text.h"
#include "envelope_line.h"
#include "sys/process/clock.h"

/* An envelope of the largest message: each byte of it may be an escape of six, or more for headers. */
#define ENVELOPE_MAX (6ull * MESSAGE_MAX + (1u << 20))

#define INPUT_TOO_LARGE "message is larger than 16 MiB, the most that any queue takes"

static_assert(MESSAGE_MAX == 16u << 20, "the text says so");

/*
 * Bytes of the attributes that messages with these labels have at most; and, for a topic, those that
 * a batch or piece has less.
 */
static uint32_t attributes_max(struct input *in, const struct labels *l)
{
	struct attribute_table t = {0};
	labels_put(l, &t, 0);
	labels_put_times(in->labels, &t, clock_wall());
	uint32_t size = (uint32_t)attribute_table_size(&t);
	attribute_table_deinit(&t);
	return size + (in->topic ? BATCH_MAX - TOPIC_DATA_MAX : 0);
}

void input_init(struct input *in)
{
	splitter_init(&in->splitter, (uint8_t)in->separator);
	in->ended = in->words != NULL;
	in->file_part = in->content_part = INPUT_ANY_PART;
	in->reserve = attributes_max(in, in->labels) + (in->id.used ? 4 + RECORD_ID_SIZE : 0);
	if (in->envelopes)
		in->splitter.record_max = ENVELOPE_MAX;
	if (!input_is_read(in))
		in->splitter.reserve = in->reserve;
}

void input_deinit(struct input *in)
{
	splitter_deinit(&in->splitter);
	sendbuf_free(in->names);
	sendbuf_free(in->content);
	sendbuf_free(in->file);
	text_deinit(&in->content_names);
	text_deinit(&in->record);
	text_deinit(&in->dropped);
	labels_deinit(&in->own);
	attribute_table_deinit(&in->table);
}

bool input_wants(const struct input *in)
{
	if (in->ended)
		return false;
	const struct sendbuf *b = in->kind == INPUT_WHOLE ? NULL : in->splitter.buf;
	return !b || b->filled < sendbuf_cap(b);
}

static struct sendbuf *new_buf(const struct input *in)
{
	struct sendbuf *b = sendbuf_new();
	if (b)
		b->reserved = in->reserve;
	return b;
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
	if (b && b->filled < sendbuf_cap(b))
		return b;
	b = new_buf(in);
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
	ssize_t n = read(fd, sendbuf_blob(b) + b->filled, sendbuf_cap(b) - b->filled);
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
	if (!b->next && sendbuf_fits(b, b->filled + 1)) {
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

static enum input_result file_label(struct input *in, const char **why);

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
	/* There is no record that it would be instead of. */
	in->words = NULL;
	if (file_label(in, why) != INPUT_PARCEL)
		return INPUT_BAD;
	attribute_table_clear(&in->table);
	labels_put(&in->own, &in->table, 0);
	out->part = in->file_part;
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
		if (!b && !(b = new_buf(in)))
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
			if (!(b = new_buf(in)))
				return INPUT_NO_MEMORY;
			size_t left = word.len - at, cap = sendbuf_cap(b);
			b->filled = (uint32_t)(left < cap ? left : cap);
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

static uint32_t names_count(const struct input *in)
{
	return in->names->large ? 1 : in->names->count;
}

/* The records that are not looked at yet, one at least. */
static enum input_result names_refill(struct input *in, bool flush, const char **why)
{
	if (in->names && in->name == names_count(in)) {
		sendbuf_free(in->names);
		in->names = NULL;
		in->name = 0;
	}
	return in->names ? INPUT_PARCEL : split_next(in, flush, &in->names, why);
}

static void put_blob(struct text *out, const struct sendbuf *b, size_t from, size_t to)
{
	text_put(out, b->bytes + SENDBUF_BLOB + from, to - from);
}

/* The next name, in in->record. */
static enum input_result name_next(struct input *in, bool flush, const char **why)
{
	in->record.len = 0;
	if (in->words) {
		if (!*in->words)
			return INPUT_END;
		text_put_str(&in->record, *in->words++);
	} else {
		enum input_result r = names_refill(in, flush, why);
		if (r != INPUT_PARCEL)
			return r;
		if (in->names->large) {
			for (const struct sendbuf *b = in->names; b; b = b->next)
				put_blob(&in->record, b, 0, b->blob_len);
			in->name++;
		} else {
			struct batch_view v = sendbuf_view(in->names);
			text_put_slice(&in->record, batch_body(&v, in->name++));
		}
	}
	text_put_char(&in->record, 0);
	if (in->record.failed)
		return INPUT_NO_MEMORY;
	in->record.len--;
	return INPUT_PARCEL;
}

static struct slice record_of(const struct input *in)
{
	return slice_of(in->record.data, in->record.len);
}

void input_about_file(char out[INPUT_WHY_MAX], struct slice name, const char *what)
{
	int len = name.len < 160 ? (int)name.len : 160;
	snprintf(out, INPUT_WHY_MAX, "%.*s: %s", len, (const char *)name.data, what);
	text_tame(out, strlen(out));
}

/* Says of what was named last what is wrong. */
static enum input_result file_bad(struct input *in, const char *what, const char **why)
{
	if (in->files) {
		input_about_file(in->why, record_of(in), what);
		what = in->why;
	}
	*why = what;
	/* It is all of the input, and no record names it. */
	if (in->kind == INPUT_WHOLE)
		return INPUT_BAD;
	sendbuf_free(in->file);
	in->file = NULL;
	return name_bad(in);
}

static enum input_result file_load(struct input *in, const char **why)
{
	ssize_t n = 0;
	if (in->record.len > BATCH_BODY_MAX) {
		*why = "file name is too long";
		return name_bad(in);
	}
	if (memchr(in->record.data, 0, in->record.len)) {
		*why = "there is a NUL in the file name (-0: names end in NUL)";
		return name_bad(in);
	}
	int fd = open(in->record.data, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return file_bad(in, strerror(errno), why);
	while ((n = file_read(in, fd)) > 0 && file_len(in) <= MESSAGE_MAX)
		;
	int error = errno;
	close(fd);
	if (n < 0)
		return file_bad(in, strerror(error), why);
	if (!file_end(in))
		return file_bad(in, INPUT_TOO_LARGE, why);
	return file_label(in, why);
}

/* Copies a message to `in->file`. */
static bool file_copy(struct input *in, struct slice body)
{
	for (size_t at = 0, n; at < body.len || !in->file; at += n) {
		struct sendbuf *b = file_space(in);
		if (!b)
			return false;
		n = sendbuf_cap(b) - b->filled;
		if (n > body.len - at)
			n = body.len - at;
		if (n > 0)
			memcpy(sendbuf_blob(b) + b->filled, body.data + at, n);
		b->filled += (uint32_t)n;
	}
	return true;
}

/* All messages of a key come to the same part, and so do those of an id: only there is it known. */
static uint32_t part_of(const struct input *in)
{
	const struct text *key = in->own.key.len > 0 ? &in->own.key : &in->own.id;
	if (!in->cells || key->len == 0)
		return INPUT_ANY_PART;
	return spread_of(in->cells, slice_of(key->data, key->len));
}

/* What it says of itself: its id, and the labels of all; NULL, or what is wrong. */
static const char *own_labels(struct input *in, struct slice body)
{
	uint8_t id[RECORD_ID_SIZE];
	const char *why = labels_overlay(&in->own, in->labels);
	if (!why && in->id.used) {
		why = record_id(&in->id, body, id);
		in->own.id.len = 0;
		text_put(&in->own.id, id, sizeof(id));
	}
	in->file_part = part_of(in);
	return why;
}

/* The same of a message that was read; the list is of one. */
static enum input_result file_label(struct input *in, const char **why)
{
	struct text body = {0};
	const char *what = NULL;
	if (!in->id.used || in->envelopes)
		return INPUT_PARCEL;
	labels_clear(&in->own);
	if (in->file->large) {
		for (const struct sendbuf *b = in->file; b; b = b->next)
			put_blob(&body, b, 0, b->blob_len);
		what = body.failed ? "out of memory"
				   : own_labels(in, slice_of(body.data, body.len));
		text_deinit(&body);
	} else {
		struct batch_view v = sendbuf_view(in->file);
		what = own_labels(in, batch_body(&v, 0));
	}
	return what ? file_bad(in, what, why) : INPUT_PARCEL;
}

static bool file_copy(struct input *in, struct slice body);

/* A record that is the message. */
static enum input_result record_load(struct input *in, const char **why)
{
	if (in->record.len > MESSAGE_MAX)
		return file_bad(in, INPUT_TOO_LARGE, why);
	if (!file_copy(in, record_of(in)) || !file_end(in))
		return INPUT_NO_MEMORY;
	return file_label(in, why);
}

static enum input_result envelope_load(struct input *in, const char **why)
{
	struct text body = {0};
	enum input_result r = INPUT_PARCEL;
	labels_clear(&in->own);
	const char *what = envelope_read(record_of(in), &in->own, &body, in->why);
	if (!what)
		what = own_labels(in, slice_of(body.data, body.len));
	in->reserve = attributes_max(in, &in->own);
	if (!what && body.len > MESSAGE_MAX)
		what = INPUT_TOO_LARGE;
	if (what)
		r = file_bad(in, what, why);
	else if (!file_copy(in, slice_of(body.data, body.len)) || !file_end(in))
		r = INPUT_NO_MEMORY;
	text_deinit(&body);
	return r;
}

static enum input_result give_content(struct input *in, struct parcel *out)
{
	out->buf = in->content;
	out->names = in->content_names;
	out->part = in->content_part;
	in->content = NULL;
	in->content_names = (struct text){0};
	return INPUT_PARCEL;
}

/* Whether each message has attributes of its own. */
static bool has_own(const struct input *in)
{
	return in->envelopes || in->id.used;
}

/* Appends the message that was read to the content, if both fit; false: it did not. */
static bool file_append(struct input *in)
{
	struct batch_view v = sendbuf_view(in->file);
	size_t values = in->table.values.len, entries = in->table.entries.len;
	uint32_t reserved = in->content->reserved;
	if (has_own(in)) {
		labels_put(&in->own, &in->table, in->content->count);
		size_t size = attribute_table_size(&in->table) + LABELS_TIMES_SIZE;
		in->content->reserved = 0;
		if (in->topic && in->content->count > 0 &&
		    batch_size(in->content->count + 1u, in->content->blob_len + v.blob_len) +
			    size >
			TOPIC_DATA_MAX)
			goto full;
		if (!sendbuf_reserve(in->content, size))
			goto full;
	}
	if (sendbuf_append(in->content, batch_body(&v, 0), (uint8_t)in->separator))
		return true;
full:
	in->content->reserved = reserved;
	in->table.values.len = values;
	in->table.entries.len = entries;
	return false;
}

/* Puts what was read into the content that is put together; true: give that. */
static bool file_join(struct input *in)
{
	if (!in->content) {
		in->content = in->file;
		in->content_part = in->file_part;
		attribute_table_clear(&in->table);
		if (has_own(in))
			labels_put(&in->own, &in->table, 0);
	} else if (in->file->large || in->content->large || in->file_part != in->content_part ||
		   !file_append(in)) {
		return true;
	} else {
		sendbuf_free(in->file);
	}
	in->file = NULL;
	if (!input_is_named(in))
		return false;
	text_put(&in->content_names, in->record.data, in->record.len);
	text_put_char(&in->content_names, input_name_end(in));
	return false;
}

static enum input_result named_next(
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
			r = in->files	    ? file_load(in, why)
			    : in->envelopes ? envelope_load(in, why)
					    : record_load(in, why);
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

/* Gives what is in the parcel its attributes. */
static bool label(struct input *in, struct sendbuf *b)
{
	uint8_t list[SENDBUF_ATTRIBUTES_MAX];
	struct writer w = writer_of(list, sizeof(list));
	if (!has_own(in)) {
		attribute_table_clear(&in->table);
		labels_put(in->labels, &in->table, ATTRIBUTE_ALL);
	}
	labels_put_times(in->labels, &in->table, clock_wall());
	if (attribute_table_failed(&in->table))
		return false;
	attribute_table_write(&in->table, b->large ? 1 : b->count, &w);
	assert(!w.full);
	return w.len == 0 || sendbuf_set_attributes(b, slice_of(list, w.len));
}

enum input_result input_next(struct input *in, bool flush, struct parcel *out, const char **why)
{
	enum input_result r;
	*out = (struct parcel){.part = INPUT_ANY_PART};
	if (in->kind != INPUT_WHOLE && input_is_read(in))
		r = named_next(in, flush, out, why);
	else if (in->kind == INPUT_WHOLE)
		r = whole_next(in, out, why);
	else if (in->words)
		r = words_next(in, &out->buf, why);
	else
		r = split_next(in, flush, &out->buf, why);
	if (r != INPUT_PARCEL || label(in, out->buf))
		return r;
	sendbuf_free(out->buf);
	text_deinit(&out->names);
	return INPUT_NO_MEMORY;
}

/* Bytes of a message that was read or put together: the separator is not of it. */
static void put_file(const struct input *in, struct text *out)
{
	for (const struct sendbuf *b = in->file; b; b = b->next)
		put_blob(out, b, 0, b->filled - (b->count > 0));
}

void input_bad(const struct input *in, struct text *out)
{
	if (in->kind == INPUT_WHOLE) {
		put_file(in, out);
		return;
	}
	if (in->skip_name)
		text_put_slice(out, record_of(in));
	else if (in->words && *in->words)
		text_put_str(out, *in->words);
	else
		return;
	text_put_char(out, in->separator);
}

void input_skip(struct input *in)
{
	if (in->skip_record)
		splitter_skip(&in->splitter);
	else if (in->words && (in->skip_name || *in->words))
		in->words++;
	else if (in->skip_name)
		in->name++;
	else if (in->require_newline && in->ended)
		in->cut = true;
	in->skip_record = in->skip_name = false;
	sendbuf_free(in->file);
	in->file = NULL;
}

uint64_t input_waiting(const struct input *in)
{
	uint64_t n = in->splitter.buf ? in->splitter.buf->count : 0;
	if (in->names)
		n += names_count(in) - in->name;
	if (in->content)
		n += in->content->count;
	for (char **word = in->words; word && *word; word++)
		n++;
	return n + (in->file && in->kind != INPUT_WHOLE && input_is_read(in));
}

void input_put_names(const struct input *in, struct text *out, struct slice names)
{
	size_t at = out->len;
	text_put_slice(out, names);
	for (; in->words && at < out->len; at++)
		if (out->data[at] == '\0')
			out->data[at] = in->separator;
}

/* Records that were not looked at. */
static void names_rest(const struct input *in, struct text *out)
{
	if (in->names->large) {
		for (const struct sendbuf *b = in->name ? NULL : in->names; b; b = b->next)
			put_blob(out, b, 0, b->blob_len);
		if (!in->name)
			text_put_char(out, in->separator);
		return;
	}
	struct batch_view v = sendbuf_view(in->names);
	put_blob(out, in->names, in->name < v.count ? batch_begin(&v, in->name) : v.blob_len,
	    v.blob_len);
}

void input_rest(const struct input *in, struct text *out)
{
	const struct splitter *s = &in->splitter;
	input_put_names(in, out, slice_of(in->content_names.data, in->content_names.len));
	if (in->content && !input_is_named(in))
		for (const struct sendbuf *b = in->content; b; b = b->next)
			put_blob(out, b, 0, b->blob_len);
	if (in->content && in->content->large && !input_is_named(in))
		text_put_char(out, in->separator);
	if (in->kind != INPUT_WHOLE && input_is_read(in) && in->file) {
		text_put_slice(out, record_of(in));
		text_put_char(out, in->separator);
	}
	if (in->names)
		names_rest(in, out);
	if (in->kind == INPUT_WHOLE)
		put_file(in, out);
	for (const struct sendbuf *b = s->large; b; b = b->next)
		put_blob(out, b, 0, b->blob_len);
	if (s->buf)
		put_blob(out, s->buf, 0, s->buf->filled);
	for (char **word = in->words; word && *word; word++) {
		text_put_str(out, *word);
		text_put_char(out, in->separator);
	}
}
