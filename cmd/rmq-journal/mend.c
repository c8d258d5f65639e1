/*
 * The queue daemon's state is recovered around the bad records (lib/core/broker/broker_gaps.c), and what
 * had its body in one of them leaves it.  That is journaled as events and a checkpoint, of which
 * the next start reads no bad record any more.  It is one transaction with the removal of the bad
 * records; their copies are durable before.
 */
#include "mend.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/broker/broker.h"
#include "core/host/recovery.h"
#include "journal.h"
#include "sys/process/clock.h"
#include "sys/store/store.h"
#include "sys/stream/io.h"

struct mending {
	const char *dir;
	const struct findings *found;
	struct store *store;
	struct broker_host host;
	struct broker *broker;
	struct reason *why;
	bool holes;			 /* records that are not there are bad, too … */
	const struct known_holes *known; /* … but these */
	bool only_if_whole;		 /* if something is lost nothing is done */
	uint64_t newest_bad;		 /* that was met; 0: none */
	uint64_t lost_in;		 /* the record that is told of */
	uint64_t first_n;     /* appended, and the broker not told: its number, … */
	uint64_t first_index; /* … its index, … */
	uint32_t appended;    /* … and how many */
	uint64_t barrier;     /* newest that was asked for */
	enum rmq_error err;   /* first error of what the broker had done */
};

static enum rmq_error store_failed(struct mending *m, enum rmq_error err)
{
	*m->why = *store_reason(m->store);
	return err;
}

/* ---- the log that is recovered from ---- */

static int compare(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;
	return (*x > *y) - (*x < *y);
}

static bool is_bad(const struct mending *m, uint64_t index)
{
	const struct findings *f = m->found;
	return f->count > 0 && bsearch(&index, f->bad, f->count, sizeof(index), compare);
}

bool known_holes_add(struct known_holes *k, uint64_t first, uint64_t count)
{
	struct known_hole *more = realloc(k->ranges, (k->count + 1) * sizeof(*more));
	if (!more)
		return false;
	k->ranges = more;
	k->ranges[k->count++] = (struct known_hole){first, count};
	return true;
}

/* The first index at `index` or after it that is no known hole. */
static uint64_t after_known(const struct mending *m, uint64_t index)
{
	for (size_t i = 0; m->known && i < m->known->count; i++) {
		const struct known_hole *h = &m->known->ranges[i];
		if (index >= h->first && index - h->first < h->count)
			index = h->first + h->count;
	}
	return index;
}

static enum rmq_error log_next(
    void *arg, uint64_t index, uint64_t *found, enum record_kind *kind, struct slice *payload)
{
	struct mending *m = arg;
	struct record_header h;
	struct slice value;
	enum rmq_error err = store_next(m->store, index, found, &value);
	if (err)
		return err;
	uint64_t expected = after_known(m, index);
	bool hole = m->holes && *found > expected;
	if (hole)
		*found = expected;
	err =
	    hole || is_bad(m, *found) ? RMQ_E_CORRUPT : record_open(value, *found, &h, payload);
	if (!err)
		*kind = h.kind;
	else if (err == RMQ_E_CORRUPT)
		m->newest_bad = *found;
	return err;
}

static enum rmq_error log_read(
    void *arg, uint64_t index, enum record_kind *kind, struct slice *payload)
{
	uint64_t found;
	enum rmq_error err = log_next(arg, index, &found, kind, payload);
	return !err && found != index ? RMQ_E_NOTHING : err;
}

static enum rmq_error recover_from(struct mending *m, uint64_t checkpoint, uint64_t *at)
{
	struct broker_log log = {m, log_read, log_next};

	return broker_recover_around(
	    m->broker, &log, checkpoint, store_state(m->store)->next - 1, clock_wall(), at);
}

static enum rmq_error recover(struct mending *m)
{
	uint64_t at = 0;
	enum rmq_error err = recovery_clock(clock_wall(), m->why->text);
	if (err)
		return err;
	err = recover_from(m, store_state(m->store)->checkpoint, &at);
	/* A checkpoint that lacks records says nothing: what there is otherwise says what it can. */
	if (err && m->holes) {
		broker_free(m->broker);
		m->broker = broker_new(&m->host);
		if (!m->broker)
			return reason_set(m->why, RMQ_E_IO, "out of memory");
		err = recover_from(m, 0, &at);
	}
	if (!err)
		return RMQ_E_OK;
	if (is_bad(m, at))
		return reason_set(m->why, RMQ_E_CORRUPT,
		    "record %" PRIu64 " is of the newest checkpoint: restore a backup", at);
	return reason_set(m->why, err == RMQ_E_NOTHING ? RMQ_E_CORRUPT : err,
	    "record %" PRIu64 " does not hold what it should: restore a backup", at);
}

/* ---- what the broker has done ---- */

static void host_append(void *arg, uint64_t n, enum record_kind kind, struct slice payload)
{
	struct mending *m = arg;
	const struct store_state *state = store_state(m->store);
	struct record_header h = {kind, state->next, state->term};
	uint8_t *bytes;
	if (m->appended++ == 0) {
		m->first_n = n;
		m->first_index = h.index;
	}
	if (!m->err)
		m->err = store_reserve(m->store, &h, payload.len, &bytes);
	if (!m->err) {
		memcpy(bytes, payload.data, payload.len);
		m->err = store_seal(m->store);
	}
}

static void host_barrier(void *arg, uint64_t id)
{
	((struct mending *)arg)->barrier = id;
}

/* The daemon has the same ones removed when it starts. */
static void host_hole(void *arg, uint64_t checkpoint, struct slice ranges)
{
	(void)arg, (void)checkpoint, (void)ranges;
}

static void host_reserve(void *arg, uint64_t bytes)
{
	(void)arg, (void)bytes;
}

/* There are no clients. */
static void host_send(void *arg, uint64_t conn, struct slice frames)
{
	(void)arg, (void)conn, (void)frames;
}

static void host_conn(void *arg, uint64_t conn)
{
	(void)arg, (void)conn;
}

/* Until all that it wants stored is in the transaction. */
static enum rmq_error run(struct mending *m)
{
	struct broker *b = m->broker;
	broker_checkpoint(b);
	while (!m->err && (broker_pending(b) || broker_checkpointing(b))) {
		uint32_t appended;
		broker_flush(b);
		appended = m->appended;
		m->appended = 0;
		if (appended > 0)
			broker_stored(b, m->first_n, appended, m->first_index);
		if (m->barrier > 0)
			broker_barrier_done(b, m->barrier);
	}
	return m->err ? store_failed(m, m->err) : RMQ_E_OK;
}

/* ---- what is lost ---- */

static void print_lost(
    uint64_t index, struct slice queue, uint64_t first, uint64_t last, uint64_t messages)
{
	printf("%" PRIu64 "\tqueue %.*s: %" PRIu64 "..%" PRIu64 " lost (%" PRIu64
	       " message%s)\n",
	    index, (int)queue.len, (const char *)queue.data, first, last, messages,
	    messages == 1 ? "" : "s");
}

static void tell_gap(
    void *arg, uint64_t index, struct slice queue, uint64_t first, uint64_t last)
{
	(void)arg;
	print_lost(index, queue, first, last, last - first + 1);
}

static void tell_lost(
    void *arg, struct slice queue, uint64_t first, uint64_t last, uint64_t messages)
{
	print_lost(((struct mending *)arg)->lost_in, queue, first, last, messages);
}

/* Whether all events, and all bodies, are there. */
static enum rmq_error check_whole(struct mending *m)
{
	uint64_t index = 0;
	struct slice value;
	enum rmq_error err = RMQ_E_OK;
	bool whole = m->newest_bad == 0;
	for (; whole && broker_holds_bodies(m->broker, index, &index); index++) {
		err = store_raw(m->store, index, &value);
		if (err && err != RMQ_E_NOTHING)
			return store_failed(m, err);
		whole = !err;
	}
	if (whole)
		return RMQ_E_OK;
	return reason_set(m->why, RMQ_E_BAD_DATA,
	    "the backup does not have all that counted at that time, as it was taken later: take "
	    "one of before that time and the increments since, or use --force to see what is "
	    "there");
}

/* Messages whose bodies were in bad records, or in ones that are gone without a trace. */
static enum rmq_error lose_bodies(struct mending *m)
{
	uint64_t index = 0;
	struct slice value;
	for (; broker_holds_bodies(m->broker, index, &index); index++) {
		enum rmq_error err =
		    is_bad(m, index) ? RMQ_E_NOTHING : store_raw(m->store, index, &value);
		if (err && err != RMQ_E_NOTHING)
			return store_failed(m, err);
		m->lost_in = index;
		if (err)
			broker_lost(m->broker, index, tell_lost, m);
	}
	return RMQ_E_OK;
}

static enum rmq_error tell(struct mending *m)
{
	broker_now(m->broker, broker_lease_time(m->broker), clock_wall());
	if (broker_gaps(m->broker, tell_gap, m))
		printf("%" PRIu64
		       "\tevents are lost: messages may be handed out again, sessions end\n",
		    m->newest_bad);
	enum rmq_error err = lose_bodies(m);
	if (!err && (fflush(stdout) != 0 || ferror(stdout)))
		return reason_set(m->why, RMQ_E_IO, "standard output: %s", strerror(errno));
	return err;
}

/* ---- the copies ---- */

static enum rmq_error save(struct mending *m, int dir_fd, uint64_t index, struct slice value)
{
	char name[64];
	snprintf(name, sizeof(name), "quarantine-%" PRIu64, index);
	/* Of an attempt that was killed: a record that is bad has its index for ever. */
	unlinkat(dir_fd, name, 0);
	int fd = openat(dir_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	int error = fd < 0 ? errno : io_write(fd, value.data, value.len);
	if (!error)
		error = io_keep_owner(dir_fd, name, "data.mdb");
	if (!error && fsync(fd) != 0)
		error = errno;
	if (fd >= 0)
		close(fd);
	return error ? reason_set(m->why, RMQ_E_IO, "%s: %s", name, strerror(error)) : RMQ_E_OK;
}

static enum rmq_error save_all(struct mending *m)
{
	struct slice value;
	enum rmq_error err = RMQ_E_OK;
	int fd = open(m->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return reason_set(m->why, RMQ_E_IO, "%s", strerror(errno));
	for (size_t i = 0; !err && i < m->found->count; i++) {
		err = store_raw(m->store, m->found->bad[i], &value);
		err = err ? store_failed(m, err) : save(m, fd, m->found->bad[i], value);
	}
	if (!err && fsync(fd) != 0)
		err = reason_set(m->why, RMQ_E_IO, "fsync: %s", strerror(errno));
	close(fd);
	return err;
}

static enum rmq_error take_out(struct mending *m)
{
	unsigned deleted;
	for (size_t i = 0; i < m->found->count; i++) {
		uint64_t first = m->found->bad[i];
		enum rmq_error err = store_delete(m->store, &first, first + 1, 1, &deleted);
		if (err)
			return store_failed(m, err);
	}
	return RMQ_E_OK;
}

static enum rmq_error change(struct mending *m)
{
	enum rmq_error err = store_begin(m->store);
	if (err)
		return store_failed(m, err);
	err = recover(m);
	if (!err && m->only_if_whole)
		return check_whole(m);
	if (!err)
		err = save_all(m);
	if (!err)
		err = take_out(m);
	if (!err)
		err = tell(m);
	if (!err)
		err = run(m);
	if (err)
		return err;
	err = store_commit(m->store);
	return err ? store_failed(m, err) : RMQ_E_OK;
}

static enum rmq_error mend_all(struct mending *m)
{
	struct reason *why = m->why;
	m->host = (struct broker_host){m, host_append, host_barrier, host_hole, host_reserve,
	    host_send, host_conn, host_conn};
	guard_directory(m->dir);
	enum rmq_error err = store_open(m->dir, &m->store, why);
	if (err)
		return err;
	m->broker = broker_new(&m->host);
	if (!m->broker)
		err = reason_set(why, RMQ_E_IO, "out of memory");
	else if (store_replica(m->store)->present)
		err = reason_set(why, RMQ_E_CONFIG,
		    "belongs to a cluster, whose other members have these records: remove this "
		    "one (rmq-cluster down NODE), admit it, and let it join with a new directory");
	else
		err = change(m);
	broker_free(m->broker);
	store_close(m->store);
	return err;
}

enum rmq_error mend(const char *dir, const struct findings *f, struct reason *why)
{
	return mend_all(&(struct mending){.dir = dir, .found = f, .why = why});
}

enum rmq_error mend_holes(const char *dir, struct reason *why)
{
	static const struct findings none = {0};

	return mend_all(
	    &(struct mending){.dir = dir, .found = &none, .why = why, .holes = true});
}

enum rmq_error mend_cut(
    const char *dir, const struct known_holes *known, bool force, struct reason *why)
{
	static const struct findings none = {0};
	struct mending m = {.dir = dir,
	    .found = &none,
	    .why = why,
	    .holes = true,
	    .known = known,
	    .only_if_whole = true};
	enum rmq_error err = mend_all(&m);

	if (err != RMQ_E_BAD_DATA || !force)
		return err;
	m = (struct mending){
	    .dir = dir, .found = &none, .why = why, .holes = true, .known = known};
	return mend_all(&m);
}
