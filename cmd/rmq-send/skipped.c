#include "skipped.h"

#include <errno.h>
#include <string.h>

#include "sys/stream/io.h"

#define FULL (1u << 20)

void skipped_deinit(struct skipped *k)
{
	text_deinit(&k->bytes);
	text_deinit(&k->records);
}

static struct skipped_record record(const struct skipped *k, size_t i)
{
	struct skipped_record r;
	memcpy(&r, k->records.data + i * sizeof(r), sizeof(r));
	return r;
}

static size_t count(const struct skipped *k)
{
	return k->records.len / sizeof(struct skipped_record);
}

static void put_record(struct skipped *k, size_t i, struct skipped_record r)
{
	memcpy(k->records.data + i * sizeof(r), &r, sizeof(r));
}

void skipped_put(struct skipped *k, uint64_t number, struct slice bytes)
{
	if (k->fd < 0 || k->error)
		return;
	size_t n = count(k), i = n, from, len = k->bytes.len;
	while (i > 0 && record(k, i - 1).number > number)
		i--;
	bool goes_on = i > 0 && record(k, i - 1).number == number;
	from = i > 0 ? record(k, i - 1).end : 0;
	text_put_slice(&k->bytes, bytes);
	if (!goes_on)
		text_put(
		    &k->records, &(struct skipped_record){0}, sizeof(struct skipped_record));
	if (k->bytes.failed || k->records.failed) {
		k->error = ENOMEM;
		return;
	}
	/* What comes after it makes room. */
	if (bytes.len > 0) {
		memmove(k->bytes.data + from + bytes.len, k->bytes.data + from, len - from);
		memcpy(k->bytes.data + from, bytes.data, bytes.len);
	}
	for (size_t at = n; at > i; at--) {
		struct skipped_record later = record(k, at - 1);
		later.end += bytes.len;
		put_record(k, at - goes_on, later);
	}
	put_record(k, i - goes_on, (struct skipped_record){number, from + bytes.len});
}

bool skipped_is_full(const struct skipped *k)
{
	return k->bytes.len >= FULL;
}

bool skipped_any(const struct skipped *k)
{
	return k->last > 0 || k->records.len > 0 || k->error;
}

struct slice skipped_held(const struct skipped *k)
{
	return slice_of(&k->separator, k->held);
}

void skipped_write(struct skipped *k, uint64_t number)
{
	size_t n = 0, len;
	while (n < count(k) && record(k, n).number < number)
		n++;
	if (n == 0)
		return;
	struct slice held = skipped_held(k);
	len = record(k, n - 1).end;
	k->last = record(k, n - 1).number;
	bool ends = !k->whole && len > 0 && k->bytes.data[len - 1] == k->separator;
	if (!k->error)
		k->error = io_write(k->fd, held.data, held.len);
	if (!k->error)
		k->error = io_write(k->fd, k->bytes.data, len - ends);
	k->held = ends;
	text_shift(&k->bytes, len);
	text_shift(&k->records, n * sizeof(struct skipped_record));
	for (size_t i = 0; i < count(k); i++) {
		struct skipped_record r = record(k, i);
		r.end -= len;
		put_record(k, i, r);
	}
}

bool skipped_next(struct skipped *k, uint64_t number, uint64_t *which, struct slice *bytes)
{
	if (k->at == count(k) || record(k, k->at).number >= number)
		return false;
	size_t from = k->at > 0 ? record(k, k->at - 1).end : 0;
	struct skipped_record r = record(k, k->at++);
	*which = r.number;
	*bytes = slice_of(k->bytes.data + from, r.end - from);
	return true;
}
