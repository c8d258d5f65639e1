#include "sys/store/room.h"

#include <string.h>

#define MIB ((uint64_t)1 << 20)

#define COMMIT_MAX	 (4 * MIB)
#define COMMIT_MIN	 (128 * 1024)
#define STEP_MIN	 (8 * MIB)
#define STEP_MAX	 (64 * MIB)
#define AHEAD_MIN	 (8 * MIB) /* fewer pages ahead than this: make some */
#define AHEAD_MAX	 (16 * MIB)
#define RESERVE_MIN	 (4 * MIB)
#define RESERVE_MAX	 (64 * MIB)
#define LEAVE_MAX	 (64 * MIB) /* for others on the same file system */
#define EXTEND_MIN	 (64 * 1024)
#define ASK_LEAVES_MAX	 MIB
#define WALK_EVERY_MS	 100
#define COMMIT_PAGES	 32		    /* more than a commit without records takes */
#define OWN_BYTES	 RECORD_HEADER_SIZE /* of a record without a payload */
#define TRY_EVERY_MS	 1000
#define READERS_EVERY_MS 10000

static uint64_t at_most(uint64_t v, uint64_t limit)
{
	return v < limit ? v : limit;
}

static uint64_t clamp(uint64_t v, uint64_t low, uint64_t high)
{
	return v < low ? low : at_most(v, high);
}

static uint64_t tail_bytes(const struct store *s)
{
	return store_tail(s) * store_page_size(s);
}

/* Small file systems have all of it smaller. */
static uint64_t ahead(const struct room *r, const struct store *s)
{
	uint64_t share = clamp(store_file_bytes(s) / 16, AHEAD_MIN, AHEAD_MAX);
	return at_most(share, r->disk_total / 32);
}

static uint64_t reserve(const struct room *r, const struct store *s)
{
	uint64_t share = clamp(store_file_bytes(s) / 16, RESERVE_MIN, RESERVE_MAX);
	uint64_t usual = at_most(share, r->disk_total / 8);
	uint64_t kept = at_most(r->kept, r->disk_total / 2);
	return kept > usual ? kept : usual;
}

static uint64_t step(const struct room *r, const struct store *s)
{
	uint64_t share = clamp(store_file_bytes(s) / 16, STEP_MIN, STEP_MAX);
	return at_most(share, r->disk_total / 32);
}

static enum rmq_error look_at_disk(struct room *r, struct store *s)
{
	uint64_t available;
	enum rmq_error err = store_disk(s, &r->disk_total, &available);
	if (err)
		return err;
	uint64_t leave = at_most(LEAVE_MAX, r->disk_total / 64);
	r->disk_left = available > leave ? available - leave : 0;
	return RMQ_E_OK;
}

/* What should be ahead: the reserve is never left to the file system. */
static uint64_t wanted(const struct room *r, const struct store *s)
{
	uint64_t share = ahead(r, s) + reserve(r, s);
	return share > r->asked ? share : r->asked;
}

static enum rmq_error extend(struct room *r, struct store *s, uint64_t now_ms)
{
	uint64_t page = store_page_size(s);
	if (r->short_of_disk && now_ms < r->try_after_ms)
		return RMQ_E_OK;
	store_check_readers(s);
	enum rmq_error err = look_at_disk(r, s);
	if (err)
		return err;
	if (tail_bytes(s) >= wanted(r, s))
		return RMQ_E_OK;
	uint64_t more = (step(r, s) + wanted(r, s) - ahead(r, s)) / page * page;
	uint64_t bytes = at_most(more, r->disk_left / page * page);
	r->try_after_ms = now_ms + TRY_EVERY_MS;
	err = bytes < EXTEND_MIN ? RMQ_E_FULL : store_extend(s, bytes);
	if (err && err != RMQ_E_FULL)
		return err;
	r->short_of_disk = err == RMQ_E_FULL || bytes < more;
	return look_at_disk(r, s);
}

static uint64_t exists(const struct room *r, const struct store *s, enum room_records of)
{
	return tail_bytes(s) + r->free_pages[of] * store_page_size(s);
}

/*
 * Whether what is asked for is a good part of what there is.  Each commit leaves some free
 * pages behind that are too few in a row, so then they are counted before it.
 */
static bool is_near(const struct room *r, const struct store *s)
{
	enum room_records of = r->asked_of == ROOM_SMALL ? ROOM_ORDINARY : r->asked_of;
	return r->asked > 0 && exists(r, s, of) / 8 < r->asked;
}

/* Free pages count only where the file cannot grow any more. */
static enum rmq_error count_free(struct room *r, struct store *s, uint64_t now_ms)
{
	struct store_pages pages;
	if (now_ms < r->walk_after_ms && !is_near(r, s))
		return RMQ_E_OK;
	enum rmq_error err = store_pages(s, &pages);
	if (err)
		return err;
	r->free_pages[ROOM_SMALL] = pages.usable;
	r->free_pages[ROOM_ORDINARY] = pages.free_runs;
	r->free_pages[ROOM_LARGE] = pages.free_long_runs;
	r->stale = false;
	r->walk_after_ms = now_ms + WALK_EVERY_MS;
	return RMQ_E_OK;
}

enum room_records room_records(const struct store *s, size_t payload_len)
{
	if (store_record_shares(s, payload_len))
		return ROOM_SMALL;
	return payload_len <= RECORD_FILL ? ROOM_ORDINARY : ROOM_LARGE;
}

/* For commits that were not asked for. */
static uint64_t spared(const struct room *r, const struct store *s)
{
	return at_most(ASK_LEAVES_MAX, reserve(r, s) / 4);
}

/* What is left for commits without records. */
static uint64_t own(const struct store *s)
{
	return COMMIT_PAGES * store_page_size(s);
}

void room_ask(struct room *r, const struct store *s, uint64_t bytes, enum room_records of)
{
	/* Nobody is asked before a leader makes its first record. */
	uint64_t left = bytes > OWN_BYTES ? spared(r, s) : at_most(own(s), spared(r, s));
	/* A record of half a page and a little more takes a whole one. */
	r->asked = bytes > 0 ? 2 * bytes + left : 0;
	r->asked_of = of;
}

bool room_fits(const struct room *r, const struct store *s)
{
	bool unsure = r->short_of_disk && r->stale && is_near(r, s);
	return !unsure && exists(r, s, r->asked_of) >= r->asked;
}

/* Pages that one commit freed can be used by the next but one: this is the next one. */
static enum rmq_error age_free_pages(struct store *s)
{
	enum rmq_error err = store_begin(s);
	if (err)
		return err;
	store_set_term(s, store_state(s)->term);
	return store_commit(s);
}

bool room_for_one(const struct room *r, const struct store *s)
{
	return exists(r, s, ROOM_SMALL) >= own(s);
}

bool room_is_low(const struct room *r, const struct store *s)
{
	return tail_bytes(s) < wanted(r, s);
}

void room_keep(struct room *r, uint64_t bytes)
{
	r->kept = bytes;
}

enum rmq_error room_init(struct room *r, struct store *s, uint64_t now_ms)
{
	*r = (struct room){.stale = true}; /* nothing is known of free pages */
	enum rmq_error err = look_at_disk(r, s);
	return err ? err : room_update(r, s, 0, false, now_ms);
}

enum rmq_error room_update(
    struct room *r, struct store *s, uint64_t spent, bool freed, uint64_t now_ms)
{
	enum rmq_error err = RMQ_E_OK;
	for (int i = 0; i < ROOM_KINDS; i++)
		r->free_pages[i] -= at_most(spent, r->free_pages[i]);
	if (r->switches != store_switches(s)) {
		r->switches = store_switches(s);
		memset(r->free_pages, 0, sizeof(r->free_pages));
		r->try_after_ms = 0;
		freed = true;
	}
	r->stale = r->stale || spent > 0 || freed;
	if (now_ms >= r->readers_after_ms) {
		store_check_readers(s);
		r->readers_after_ms = now_ms + READERS_EVERY_MS;
	}
	if (room_is_low(r, s))
		err = extend(r, s, now_ms);
	else
		r->short_of_disk = false;
	if (!err && r->short_of_disk && room_for_one(r, s) && (freed || !room_fits(r, s)))
		err = age_free_pages(s);
	if (!err && r->short_of_disk && r->stale)
		err = count_free(r, s, now_ms);
	return err;
}

uint64_t room_due_ms(const struct room *r)
{
	if (!r->short_of_disk)
		return UINT64_MAX;
	return r->stale && r->walk_after_ms < r->try_after_ms ? r->walk_after_ms
							      : r->try_after_ms;
}

uint64_t room_bytes(const struct room *r, const struct store *s)
{
	uint64_t there = exists(r, s, ROOM_LARGE);
	uint64_t could_exist = there + (r->short_of_disk ? 0 : r->disk_left);
	uint64_t held_back = reserve(r, s);
	uint64_t room = could_exist > held_back ? could_exist - held_back : 0;
	/* A record of half a page and a little more takes a whole one. */
	return r->short_of_disk ? at_most(room, there) / 2 : at_most(room, there);
}

uint64_t room_for_sure(const struct room *r, const struct store *s, enum room_records of)
{
	uint64_t there = exists(r, s, of), left = spared(r, s);
	return there > left ? (there - left) / 2 : 0;
}

uint64_t room_commit_bytes(const struct room *r, const struct store *s)
{
	(void)r;
	return clamp(tail_bytes(s) / 2, COMMIT_MIN, COMMIT_MAX);
}
