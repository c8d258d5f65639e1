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

void skipped_put(struct skipped *k, uint64_t number, struct slice bytes)
{
	if (k->fd < 0 || k->error)
		return;
	text_put_slice(&k->bytes, bytes);
	if (count(k) > 0 && record(k, count(k) - 1).number == number)
		k->records.len -= sizeof(struct skipped_record);
	struct skipped_record r = {number, k->bytes.len};
	text_put(&k->records, &r, sizeof(r));
	if (k->bytes.failed || k->records.failed)
		k->error = ENOMEM;
}

bool skipped_is_full(const struct skipped *k)
{
	return k->bytes.len >= FULL;
}

bool skipped_any(const struct skipped *k)
{
	return k->last > 0 || k->records.len > 0;
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
		memcpy(k->records.data + i * sizeof(r), &r, sizeof(r));
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
