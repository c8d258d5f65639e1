#include "skipped.h"

#include <errno.h>
#include <string.h>

#include "sys/stream/io.h"

#define FULL (1u << 20)

static void list_deinit(struct skipped_list *l)
{
	text_deinit(&l->bytes);
	text_deinit(&l->records);
}

void skipped_deinit(struct skipped *k)
{
	list_deinit(&k->here);
	list_deinit(&k->refused);
}

static size_t count(const struct skipped_list *l)
{
	return l->records.len / sizeof(struct skipped_record);
}

static struct skipped_record record(const struct skipped_list *l, size_t i)
{
	struct skipped_record r;
	memcpy(&r, l->records.data + i * sizeof(r), sizeof(r));
	return r;
}

/* Where the bytes of a record begin. */
static size_t begin(const struct skipped_list *l, size_t i)
{
	return i > 0 ? record(l, i - 1).end : 0;
}

static size_t bytes_left(const struct skipped_list *l)
{
	return l->bytes.len - begin(l, l->at);
}

/* Forgets what was taken, once it is most of it. */
static void forget_taken(struct skipped_list *l)
{
	size_t taken = begin(l, l->at), n = count(l) - l->at;
	if (l->at <= n)
		return;
	text_shift(&l->bytes, taken);
	text_shift(&l->records, l->at * sizeof(struct skipped_record));
	l->at = 0;
	for (size_t i = 0; i < n; i++) {
		struct skipped_record r = record(l, i);
		r.end -= taken;
		memcpy(l->records.data + i * sizeof(r), &r, sizeof(r));
	}
}

/* Whether a record of that number comes after all of the list, or goes on with its last one. */
static bool follows(const struct skipped_list *l, uint64_t number)
{
	return count(l) == l->at || record(l, count(l) - 1).number <= number;
}

/* In its place by number, which is another one than theirs. */
static void insert(struct skipped_list *l, uint64_t number, struct slice bytes)
{
	size_t n = count(l), i = n;
	while (i > l->at && record(l, i - 1).number > number)
		i--;
	size_t from = begin(l, i), behind = l->bytes.len - from;
	struct skipped_record r = {number, from + bytes.len};
	text_put_slice(&l->bytes, bytes);
	text_put(&l->records, &r, sizeof(r));
	if (l->bytes.failed || l->records.failed)
		return;
	memmove(l->bytes.data + from + bytes.len, l->bytes.data + from, behind);
	if (bytes.len > 0)
		memcpy(l->bytes.data + from, bytes.data, bytes.len);
	for (size_t at = n; at > i; at--) {
		struct skipped_record later = record(l, at - 1);
		later.end += bytes.len;
		memcpy(l->records.data + at * sizeof(r), &later, sizeof(r));
	}
	memcpy(l->records.data + i * sizeof(r), &r, sizeof(r));
}

void skipped_put(struct skipped *k, uint64_t number, struct slice bytes)
{
	struct skipped_list *l = follows(&k->here, number) ? &k->here : &k->refused;
	size_t n = count(l);
	if (k->fd < 0 || k->error)
		return;
	bool goes_on = n > l->at && record(l, n - 1).number == number;
	struct skipped_record r = {number, l->bytes.len + bytes.len};
	if (!follows(l, number)) {
		insert(l, number, bytes);
	} else {
		text_put_slice(&l->bytes, bytes);
		if (goes_on)
			memcpy(l->records.data + (n - 1) * sizeof(r), &r, sizeof(r));
		else
			text_put(&l->records, &r, sizeof(r));
	}
	if (l->bytes.failed || l->records.failed)
		k->error = ENOMEM;
}

bool skipped_is_full(const struct skipped *k)
{
	return bytes_left(&k->here) + bytes_left(&k->refused) >= FULL;
}

bool skipped_any(const struct skipped *k)
{
	return k->last > 0 || k->here.records.len > 0 || k->refused.records.len > 0 || k->error;
}

struct slice skipped_held(const struct skipped *k)
{
	return slice_of(&k->separator, k->held);
}

bool skipped_next(struct skipped *k, uint64_t number, uint64_t *which, struct slice *bytes)
{
	struct skipped_list *lists[] = {&k->here, &k->refused}, *next = NULL;
	*which = number;
	for (size_t i = 0; i < 2; i++) {
		struct skipped_list *l = lists[i];
		if (l->at < count(l) && record(l, l->at).number < *which) {
			*which = record(l, l->at).number;
			next = l;
		}
	}
	if (!next)
		return false;
	size_t from = begin(next, next->at), end = record(next, next->at).end;
	*bytes = slice_of(next->bytes.data + from, end - from);
	next->at++;
	return true;
}

void skipped_write(struct skipped *k, uint64_t number)
{
	struct text out = {0};
	struct slice bytes;
	uint64_t which;
	text_put_slice(&out, skipped_held(k));
	size_t held = out.len;
	bool any = false;
	while (skipped_next(k, number, &which, &bytes)) {
		text_put_slice(&out, bytes);
		k->last = which;
		any = true;
	}
	if (any) {
		k->held = !k->whole && out.len > held && out.data[out.len - 1] == k->separator;
		if (!k->error)
			k->error =
			    out.failed ? ENOMEM : io_write(k->fd, out.data, out.len - k->held);
		forget_taken(&k->here);
		forget_taken(&k->refused);
	}
	text_deinit(&out);
}
