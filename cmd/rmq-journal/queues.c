#include "queues.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <unistd.h>

#include "core/broker/broker.h"
#include "sys/store/store.h"

static enum rmq_error log_read(
    void *arg, uint64_t index, enum record_kind *kind, struct slice *payload)
{
	struct record_header h;
	enum rmq_error err = store_reader_get(arg, index, &h, payload);
	if (!err)
		*kind = h.kind;
	return err;
}

static enum rmq_error log_next(
    void *arg, uint64_t index, uint64_t *found, enum record_kind *kind, struct slice *payload)
{
	struct record_header h;
	enum rmq_error err = store_reader_next(arg, index, &h, payload);
	if (!err || h.index > 0)
		*found = h.index;
	if (!err)
		*kind = h.kind;
	return err;
}

static void print_line(
    void *arg, struct slice queue, uint64_t messages, uint64_t bytes, uint64_t disk)
{
	(void)arg;
	printf("%.*s\t%" PRIu64 "\t%" PRIu64 "\t%" PRIu64 "\n", (int)queue.len,
	    (const char *)queue.data, messages, bytes, disk);
}

static void print_object(
    void *arg, struct slice queue, uint64_t messages, uint64_t bytes, uint64_t disk)
{
	(void)arg;
	json_t *o = json_pack("{s:s%, s:I, s:I, s:I}", "queue", (const char *)queue.data,
	    queue.len, "messages", (json_int_t)messages, "bytes", (json_int_t)bytes, "disk",
	    (json_int_t)disk);
	json_dumpf(o, stdout, JSON_COMPACT);
	putchar('\n');
	json_decref(o);
}

static enum rmq_error recover(struct broker *b, struct store_reader *r, struct reason *why)
{
	struct broker_log log = {r, log_read, log_next};
	struct store_state state;
	uint64_t at = 0;
	enum rmq_error err = store_reader_begin(r);
	if (!err)
		err = store_reader_state(r, &state);
	if (!err)
		err = broker_recover(b, &log, state.checkpoint, state.next - 1, &at);
	store_reader_end(r);
	return err ? name_record(why, err == RMQ_E_NOTHING ? RMQ_E_CORRUPT : err, at) : err;
}

enum rmq_error print_queues(const char *dir, bool json, struct reason *why)
{
	/* Recovery asks nothing of it. */
	struct broker_host host = {0};
	struct store_reader *r;
	enum rmq_error err = store_reader_open(dir, &r, why);
	if (err)
		return err;
	struct broker *b = broker_new(&host);
	if (!b)
		err = reason_set(why, RMQ_E_IO, "out of memory");
	if (!err)
		err = recover(b, r, why);
	if (!err && !json && isatty(STDOUT_FILENO))
		printf("QUEUE\tMESSAGES\tBYTES\tDISK\n");
	if (!err)
		broker_use(b, json ? print_object : print_line, NULL);
	broker_free(b);
	store_reader_close(r);
	return err;
}
