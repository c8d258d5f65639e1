#include "queues.h"

#include <stdio.h>
#include <string.h>

#include "sys/process/clock.h"
#include "sys/process/log.h"
#include "sys/process/signals.h"

/* Somebody waits for the page. */
#define QUEUES_MS 1000

static void on_listed(void *arg, const struct wire_listed *row)
{
	struct queues *q = arg;

	if (row->queue.len <= sizeof(q->last)) {
		memcpy(q->last, row->queue.data, row->queue.len);
		q->last_len = row->queue.len;
	}
	q->put(&q->rows, row);
	q->count++;
}

static void on_list_end(void *arg, uint32_t req, bool more)
{
	struct queues *q = arg;

	(void)req;
	q->more = more;
	q->waiting = false;
}

static void fail(struct queues *q, struct slice text)
{
	snprintf(q->why, sizeof(q->why), "Nobody says how %s: %.*s",
	    q->count > 0 ? "the others are" : "they are", (int)text.len,
	    (const char *)text.data);
	text_tame(q->why, strlen(q->why));
	q->waiting = false;
}

static void on_fatal(void *arg, enum rmq_error code, struct slice text)
{
	struct queues *q = arg;
	char why[CLIENT_IO_WHY_MAX];
	struct slice said = client_io_why(&q->io, code, text, why);

	fail(q, said.len > 0 ? said : slice_str(error_text(code)));
}

void queues_ask(struct queues *q, const char *servers)
{
	struct reason why;
	struct client_options options = {
	    .servers = servers, .timeout_ms = QUEUES_MS, .quiet = true};
	struct client_config config = {.window = 1, .timeout_ms = QUEUES_MS};
	struct client_host host = {
	    .arg = q, .listed = on_listed, .list_end = on_list_end, .fatal = on_fatal};

	log_init("rmq-cluster", -1);
	enum rmq_error err = client_io_open(&q->io, &options, &config, &host, &why);
	if (err) {
		fail(q, slice_str(reason_text(&why, err)));
		return;
	}
	do {
		client_list(q->io.client, clock_mono(), slice_of(q->last, q->last_len),
		    slice_str("*"), LIST_ROWS_MAX);
		for (q->waiting = true; q->waiting;) {
			client_io_wait(&q->io, signals_fd(), CLIENT_FOREVER);
			if (signals_caught())
				signals_die(signals_caught());
		}
	} while (!*q->why && q->more && q->count < QUEUES_SHOWN);
	int timeout_ms;
	client_bye(q->io.client);
	if (!*q->why)
		(void)client_io_prepare(&q->io, &timeout_ms);
	client_io_close(&q->io);
}

void queues_deinit(struct queues *q)
{
	text_deinit(&q->rows);
}
