#include "cancel.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/wire/receipt.h"

struct message {
	struct slice queue;
	uint64_t seq;
};

static int compare(const void *x, const void *y)
{
	const struct message *a = x, *b = y;
	int order = slice_cmp(a->queue, b->queue);
	return order != 0 ? order : a->seq < b->seq ? -1 : a->seq > b->seq;
}

/* Those of one queue, as many as one command takes: how many these are. */
static int cancel_some(
    struct admin *a, const struct message *m, int count, uint64_t *missing, enum rmq_error *err)
{
	uint64_t seqs[CANCEL_MAX];
	char queue[NAME_FULL_MAX + 1];
	uint32_t n = 0;
	int i = 0;
	for (; i < count && n < CANCEL_MAX && slice_eq(m[i].queue, m[0].queue); i++)
		if (n == 0 || seqs[n - 1] != m[i].seq)
			seqs[n++] = m[i].seq;
	memcpy(queue, m[0].queue.data, m[0].queue.len);
	queue[m[0].queue.len] = '\0';
	*err = admin_cancel(a, queue, seqs, n);
	/* It was named; those of other queues go all the same. */
	if (*err == RMQ_E_NO_QUEUE) {
		*err = RMQ_E_OK;
		*missing += n;
		return i;
	}
	struct reader r = reader_of(slice_of(a->stale.data, a->stale.len));
	while (!*err && reader_left(&r) >= SETTLE_ENTRY_SIZE) {
		struct settle_entry e = settle_entry_get(&r);
		for (uint32_t k = 0; k < e.count; k++, ++*missing)
			fprintf(stderr, "rmq-queue: %s:%llu: %s\n", queue,
			    (unsigned long long)(e.first + k), error_text(RMQ_E_NO_MESSAGE));
	}
	return i;
}

enum rmq_error cancel_run(struct admin *a, char **ids, int count)
{
	struct message *m = calloc((size_t)count, sizeof(*m));
	uint64_t missing = 0;
	enum rmq_error err = m ? RMQ_E_OK : admin_fail(a, RMQ_E_LIMIT, "out of memory");
	/* All are read before any goes. */
	for (int i = 0; !err && i < count; i++)
		if (!receipt_parse_id(slice_str(ids[i]), &m[i].queue, &m[i].seq))
			err = admin_fail(
			    a, RMQ_E_USAGE, "'%s' is not an id, QUEUE:NUMBER", ids[i]);
	if (!err)
		qsort(m, (size_t)count, sizeof(*m), compare);
	for (int at = 0; !err && at < count;)
		at += cancel_some(a, m + at, count - at, &missing, &err);
	free(m);
	text_deinit(&a->stale);
	/* They were named. */
	return err ? err : missing > 0 ? RMQ_E_NO_MESSAGE : RMQ_E_OK;
}
