#include "core/host/shared_journal.h"

#include <assert.h>
#include <string.h>

#include "core/base/limits.h"
#include "core/base/memory.h"
#include "core/base/variant.h"
#include "core/wire/record.h"

/* No more is read while so much waits for being stored. */
#define UNSTORED_BYTES LIMIT(8u << 20, 30000u)
#define UNSTORED_RING  65536u /* records; a power of two */
/* What is proposed at once. */
#define PROPOSAL_MAX 4096u
#define PROPOSAL     LIMIT(PROPOSAL_MAX, 5u)
/* BARRIERs and HOLEs that may wait. */
#define WAITS_MAX 4096u
/* The longest answer; OPENED is the first one, and has all the place. */
#define ANSWER_MAX 64
#define OUT_SIZE   (64u << 10)
/* The room is told when what the queue daemon takes it for is off by this, or by a quarter. */
#define ROOM_STEP_BYTES LIMIT(256u << 10, 4000u)

/* An APPEND that is proposed. */
struct appended {
	uint64_t index;
	uint32_t bytes;
};

/* A BARRIER: answered when its round is done, and what was appended before it is stored. */
struct barrier {
	uint64_t id;
	uint64_t after_n;
	uint64_t round;
	bool reserves; /* RESERVE came before it: ROOM follows its answer */
};

struct shared_journal {
	const struct engine *engine;
	const struct shared_journal_owner *owner;
	uint64_t term;
	bool opened;	/* OPEN came */
	bool answers;	/* PINGs */
	bool hears;	/* HOLES_WANTED */
	bool levels;	/* LEVEL */
	uint64_t level; /* as told */
	uint64_t pings; /* sent */
	uint64_t words; /* read */
	bool placed;	/* it reads the log, and has said where */
	uint64_t place;
	bool paused; /* what was read could not be proposed: later */
	bool ended;

	struct chunk *in;
	size_t taken; /* bytes of it */

	/* APPENDs that are not proposed yet; their chunks are held */
	unsigned count;
	struct proposal proposals[PROPOSAL_MAX];

	/* APPENDs [stored_n + 1, proposed_n], in a ring by n */
	uint64_t stored_n;
	uint64_t proposed_n;
	uint64_t proposed_bytes; /* of all of them */
	uint64_t unstored_bytes;
	struct appended *ring;

	struct barrier barriers[WAITS_MAX];
	unsigned barrier_first, barrier_count;
	unsigned unasked; /* the newest of them, which have no round yet */
	uint64_t rounds_done;

	/* HOLEs: an END each, answered when its holes are stored */
	uint64_t holes[WAITS_MAX];
	unsigned hole_first, hole_count;

	uint64_t bad; /* BAD that waits for its answer; 0: none */

	uint64_t room;	     /* as told … */
	uint64_t room_bytes; /* … when proposed_bytes were so many */
	bool room_told;
	bool wanted;   /* as told */
	bool reserved; /* RESERVE came, no BARRIER yet */
	size_t out_len;
	uint8_t out[OUT_SIZE];
};

static void lost(struct shared_journal *j, const char *why)
{
	if (j->ended)
		return;
	j->ended = true;
	j->owner->lost(j->owner->arg, why);
}

static uint64_t committed(const struct shared_journal *j)
{
	return j->engine->state(j->engine->arg).committed;
}

/* ---- answers ---- */

static void flush(struct shared_journal *j)
{
	if (j->out_len == 0)
		return;
	size_t n = j->owner->answer(j->owner->arg, slice_of(j->out, j->out_len));
	assert(n <= j->out_len);
	j->out_len -= n;
	memmove(j->out, j->out + n, j->out_len);
}

/* Room for one more answer; while there is none, nothing is read that may want one. */
static bool answerable(struct shared_journal *j)
{
	if (sizeof(j->out) - j->out_len < ANSWER_MAX)
		flush(j);
	return sizeof(j->out) - j->out_len >= ANSWER_MAX;
}

static struct writer answer(struct shared_journal *j)
{
	return writer_of(j->out + j->out_len, sizeof(j->out) - j->out_len);
}

static void answered(struct shared_journal *j, const struct writer *w)
{
	assert(!w->full);
	j->out_len += w->len;
}

static void tell_holed(struct shared_journal *j, uint64_t followed)
{
	while (j->hole_count > 0 && answerable(j)) {
		uint64_t checkpoint = j->holes[j->hole_first];
		if (checkpoint > followed)
			return;
		struct writer w = answer(j);
		journal_put_holed(&w, &(struct journal_holed){checkpoint});
		answered(j, &w);
		j->hole_first = (j->hole_first + 1) % WAITS_MAX;
		j->hole_count--;
	}
}

static void tell_barriers(struct shared_journal *j)
{
	while (j->barrier_count > j->unasked && answerable(j)) {
		const struct barrier *b = &j->barriers[j->barrier_first];
		if (b->round > j->rounds_done || b->after_n > j->stored_n)
			return;
		struct writer w = answer(j);
		journal_put_barrier_done(&w, &(struct journal_barrier_done){b->id});
		answered(j, &w);
		j->room_told = j->room_told && !b->reserves;
		j->barrier_first = (j->barrier_first + 1) % WAITS_MAX;
		j->barrier_count--;
	}
}

static struct appended *appended_at(struct shared_journal *j, uint64_t n)
{
	return &j->ring[n % UNSTORED_RING];
}

/* Runs of APPENDs whose indexes follow each other, up to `index`. */
static void tell_stored(struct shared_journal *j, uint64_t index)
{
	while (j->stored_n < j->proposed_n && answerable(j)) {
		uint64_t first_n = j->stored_n + 1, first = appended_at(j, first_n)->index;
		uint32_t count = 0;
		while (first_n + count <= j->proposed_n) {
			const struct appended *a = appended_at(j, first_n + count);
			if (a->index > index || a->index != first + count)
				break;
			j->unstored_bytes -= a->bytes;
			count++;
		}
		if (count == 0)
			return;
		struct writer w = answer(j);
		journal_put_stored(&w, &(struct journal_stored){first_n, count, first});
		answered(j, &w);
		j->stored_n += count;
	}
}

static void tell_mended(struct shared_journal *j)
{
	if (j->bad == 0 || !answerable(j))
		return;
	enum rmq_error err = j->owner->mend(j->owner->arg, j->bad);
	if (err == RMQ_E_BUSY)
		return;
	struct writer w = answer(j);
	journal_put_mended(&w, &(struct journal_mended){j->bad, (uint8_t)err});
	answered(j, &w);
	j->bad = 0;
}

/*
 * What is left of the room that was told: the queue daemon has used it.  Where pages that are
 * free are used again, the room stays as it is, and is news all the same.
 */
static uint64_t room_left(const struct shared_journal *j)
{
	uint64_t used = j->proposed_bytes - j->room_bytes;

	if (RMQ_VARIANT(ROOM_LEVEL_UNTOLD))
		return j->room;
	return j->room > used ? j->room - used : 0;
}

static bool room_is_off(const struct shared_journal *j, uint64_t bytes)
{
	uint64_t left = room_left(j), most = bytes > left ? bytes : left,
		 change = most - (bytes < left ? bytes : left);

	return change >= ROOM_STEP_BYTES || (change > 0 && change >= most / 4);
}

static void tell_room(struct shared_journal *j, uint64_t bytes)
{
	if (!j->opened || !answerable(j) || (j->room_told && !room_is_off(j, bytes)))
		return;
	struct writer w = answer(j);
	journal_put_room(&w, &(struct journal_room){j->proposed_n, bytes});
	answered(j, &w);
	j->room_told = true;
	j->room = bytes;
	j->room_bytes = j->proposed_bytes;
}

static void tell_wanted(struct shared_journal *j, bool wanted)
{
	if (!j->hears || j->wanted == wanted || !answerable(j))
		return;
	struct writer w = answer(j);
	journal_put_holes_wanted(&w, &(struct journal_holes_wanted){wanted});
	answered(j, &w);
	j->wanted = wanted;
}

static void tell_level(struct shared_journal *j, uint64_t level)
{
	if (!j->levels || j->level >= level || !answerable(j))
		return;
	struct writer w = answer(j);
	journal_put_level(&w, &(struct journal_level){level});
	answered(j, &w);
	j->level = level;
}

/* ---- what it says ---- */

static bool take_open(struct shared_journal *j, struct slice payload)
{
	struct journal_open m;
	char text[TEXT_MAX];

	if (j->opened || journal_open_check(JOURNAL_TYPE_OPEN, payload, text, sizeof(text)) ||
	    !journal_open_decode(payload, &m))
		return false;
	struct journal_opened opened = {.version = JOURNAL_VERSION,
	    .features = JOURNAL_FEATURE_READS | JOURNAL_FEATURE_MENDS,
	    .term = j->term,
	    .last = committed(j),
	    .tags = NO_TAGS};
	uint8_t tags[TAG_U64_SIZE];
	j->owner->opening(j->owner->arg, &opened, &j->level);
	opened.tags = tags_of_u64(tags, JOURNAL_TAG_OPENED_LEVEL, j->level);
	struct writer w = answer(j);
	journal_put_opened(&w, &opened);
	answered(j, &w);
	struct slice empty;
	j->answers = tags_find(m.tags, JOURNAL_TAG_ANSWERS, &empty);
	j->hears = tags_find(m.tags, JOURNAL_TAG_WANTED, &empty);
	j->levels = tags_find(m.tags, JOURNAL_TAG_LEVEL, &empty);
	j->opened = true;
	return true;
}

/* Which one it answers does not matter: it has said something. */
static bool take_pong(const struct shared_journal *j, struct slice payload)
{
	struct journal_pong m;

	return j->opened && journal_pong_decode(payload, &m) && m.id > 0 && m.id <= j->pings;
}

static bool take_reads(struct shared_journal *j, struct slice payload)
{
	struct journal_reads m;

	if (!j->opened || !journal_reads_decode(payload, &m))
		return false;
	j->placed = m.index > 0 || RMQ_VARIANT(PLACE_STAYS);
	if (m.index > 0)
		j->place = m.index;
	return true;
}

static bool take_append(struct shared_journal *j, struct slice payload)
{
	struct journal_append m;

	if (!j->opened || !journal_append_decode(payload, &m) ||
	    m.n != j->proposed_n + j->count + 1 || m.payload.len > RECORD_PAYLOAD_MAX ||
	    !record_kind_name(m.kind) || m.kind == RECORD_NOOP || m.kind == RECORD_CONFIG)
		return false;
	j->proposals[j->count++] = (struct proposal){m.kind, {m.payload, chunk_hold(j->in)}};
	return true;
}

static bool take_barrier(struct shared_journal *j, struct slice payload)
{
	struct journal_barrier m;

	if (!j->opened || !journal_barrier_decode(payload, &m) || j->barrier_count == WAITS_MAX)
		return false;
	unsigned at = (j->barrier_first + j->barrier_count++) % WAITS_MAX;
	j->barriers[at] = (struct barrier){m.id, j->proposed_n + j->count, 0, j->reserved};
	j->reserved = false;
	j->unasked++;
	return true;
}

/* This node's disk keeps it back, as long as this node leads. */
static bool take_reserve(struct shared_journal *j, struct slice payload)
{
	struct journal_reserve m;

	if (!j->opened || !journal_reserve_decode(payload, &m))
		return false;
	j->owner->reserve(j->owner->arg, m.bytes);
	j->reserved = true;
	return true;
}

static bool take_bad(struct shared_journal *j, struct slice payload)
{
	struct journal_bad m;

	if (!j->opened || j->bad > 0 || !journal_bad_decode(payload, &m) || m.index == 0 ||
	    m.index > committed(j))
		return false;
	j->bad = m.index;
	return true;
}

/* The END that says so makes the holes, here as on the other nodes. */
static bool take_hole(struct shared_journal *j, struct slice payload)
{
	struct journal_hole m;

	if (!j->opened || !journal_hole_decode(payload, &m) || m.checkpoint > committed(j) ||
	    j->hole_count == WAITS_MAX)
		return false;
	j->holes[(j->hole_first + j->hole_count++) % WAITS_MAX] = m.checkpoint;
	return true;
}

static bool take(struct shared_journal *j, const struct frame *f)
{
	switch (f->type) {
	case JOURNAL_TYPE_OPEN:
		return take_open(j, f->payload);
	case JOURNAL_TYPE_APPEND:
		return take_append(j, f->payload);
	case JOURNAL_TYPE_BARRIER:
		return take_barrier(j, f->payload);
	case JOURNAL_TYPE_HOLE:
		return take_hole(j, f->payload);
	case JOURNAL_TYPE_RESERVE:
		return take_reserve(j, f->payload);
	case JOURNAL_TYPE_PONG:
		return take_pong(j, f->payload);
	case JOURNAL_TYPE_BAD:
		return take_bad(j, f->payload);
	case JOURNAL_TYPE_READS:
		return take_reads(j, f->payload);
	}
	return false;
}

/* The first ones of them. */
static void drop_proposals(struct shared_journal *j, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		chunk_drop(j->proposals[i].piece.chunk);
	j->count -= count;
	memmove(j->proposals, j->proposals + count, j->count * sizeof(*j->proposals));
}

/* Gives what was appended to the engine; false: some of it cannot be now. */
static bool propose(struct shared_journal *j)
{
	uint64_t first = 0;
	unsigned count = j->count;

	if (count == 0)
		return true;
	enum rmq_error err = j->engine->propose(j->engine->arg, j->proposals, &count, &first);
	j->paused = err == RMQ_E_BUSY || count < j->count;
	if (err == RMQ_E_BUSY || j->ended)
		return false;
	if (err) {
		lost(j, "it sent records that cannot be stored");
		return false;
	}
	for (unsigned i = 0; i < count; i++) {
		uint32_t bytes = (uint32_t)j->proposals[i].piece.bytes.len;
		*appended_at(j, ++j->proposed_n) = (struct appended){first + i, bytes};
		j->unstored_bytes += bytes;
		j->proposed_bytes += bytes;
	}
	drop_proposals(j, count);
	return j->count == 0;
}

/* All BARRIERs of a turn share a round. */
static void ask(struct shared_journal *j)
{
	if (j->unasked == 0)
		return;
	uint64_t round =
	    RMQ_VARIANT(BARRIER_LOCAL) ? ++j->rounds_done : j->engine->barrier(j->engine->arg);
	if (round == 0 || j->ended)
		return;
	for (; j->unasked > 0; j->unasked--) {
		unsigned at = j->barrier_first + j->barrier_count - j->unasked;
		j->barriers[at % WAITS_MAX].round = round;
	}
}

/* All whole frames that were read, as far as there is room for them. */
static void take_frames(struct shared_journal *j)
{
	struct frame f;
	size_t used;

	while (!j->ended && j->in) {
		struct slice rest = slice_of(j->in->bytes + j->taken, j->in->len - j->taken);
		enum rmq_error err = frame_parse(rest, &f, &used);
		if (!err && used == 0)
			return;
		if (j->count >= PROPOSAL && !propose(j))
			return;
		if (err || !take(j, &f)) {
			lost(j, "it sent a malformed frame, or one out of place");
			return;
		}
		j->taken += used;
	}
}

/* A frame is in one piece: the begin of one that does not fit moves to the next chunk. */
static void make_space(struct shared_journal *j)
{
	size_t rest = j->in ? j->in->len - j->taken : 0;

	if (j->in && chunk_room(j->in) > 0 &&
	    j->in->cap - j->taken >= FRAME_HEADER_SIZE + FRAME_PAYLOAD_MAX)
		return;
	struct chunk *next = chunk_new(CHUNK_SIZE);
	if (rest > 0)
		memcpy(next->bytes, j->in->bytes + j->taken, rest);
	next->len = rest;
	chunk_drop(j->in);
	j->in = next;
	j->taken = 0;
}

/* What it says need not wait for others. */
static bool takes(const struct shared_journal *j)
{
	return !j->ended && !j->paused && j->unstored_bytes < UNSTORED_BYTES &&
	       j->proposed_n - j->stored_n < UNSTORED_RING - 2 * PROPOSAL_MAX &&
	       j->barrier_count < WAITS_MAX / 2 && j->hole_count < WAITS_MAX / 2;
}

bool shared_journal_reads(const struct shared_journal *j)
{
	return takes(j) && j->out_len < sizeof(j->out) / 2;
}

enum health_daemon shared_journal_daemon(const struct shared_journal *j)
{
	if (!j->opened && !j->ended)
		return HEALTH_DAEMON_OPENS;
	return j->answers && takes(j) ? HEALTH_DAEMON_ANSWERS : HEALTH_DAEMON_UNWATCHED;
}

bool shared_journal_waits(const struct shared_journal *j)
{
	return j->paused && !j->ended;
}

bool shared_journal_place(const struct shared_journal *j, uint64_t *index)
{
	*index = j->place;
	return j->placed;
}

uint64_t shared_journal_words(const struct shared_journal *j)
{
	return j->words;
}

/* If there is no place for it, the daemon has not read what it was answered: that is as good. */
void shared_journal_ping(struct shared_journal *j)
{
	if (j->ended || !j->answers || !answerable(j))
		return;
	struct writer w = answer(j);
	journal_put_ping(&w, &(struct journal_ping){++j->pings});
	answered(j, &w);
	flush(j);
}

bool shared_journal_owes(const struct shared_journal *j)
{
	return !j->ended && j->out_len > 0;
}

uint8_t *shared_journal_space(struct shared_journal *j, size_t *size)
{
	if (!shared_journal_reads(j))
		return NULL;
	make_space(j);
	*size = chunk_room(j->in);
	return j->in->bytes + j->in->len;
}

void shared_journal_read(struct shared_journal *j, size_t n)
{
	assert(n > 0 && n <= chunk_room(j->in));
	j->words++;
	j->in->len += n;
	take_frames(j);
}

void shared_journal_round_done(struct shared_journal *j, uint64_t round)
{
	if (round > j->rounds_done)
		j->rounds_done = round;
}

void shared_journal_turn(struct shared_journal *j, uint64_t followed, uint64_t room,
    bool holes_wanted, uint64_t level)
{
	if (!j->ended && propose(j))
		take_frames(j);
	if (!j->ended)
		ask(j);
	if (j->ended)
		return;
	tell_stored(j, RMQ_VARIANT(STORED_AT_APPEND) ? UINT64_MAX : committed(j));
	tell_barriers(j);
	tell_holed(j, followed);
	tell_mended(j);
	tell_room(j, room);
	tell_wanted(j, holes_wanted);
	tell_level(j, level);
	flush(j);
}

/* ---- life ---- */

struct shared_journal *shared_journal_new(
    const struct engine *engine, const struct shared_journal_owner *owner)
{
	struct shared_journal *j = memory_new(sizeof(*j));

	j->ring = memory_new(UNSTORED_RING * sizeof(*j->ring));
	j->engine = engine;
	j->owner = owner;
	j->term = engine->state(engine->arg).term;
	return j;
}

/* Known-bad: all that waits is let out. */
static void release(struct shared_journal *j)
{
	tell_stored(j, UINT64_MAX);
	j->rounds_done = UINT64_MAX;
	j->unasked = 0;
	tell_barriers(j);
	flush(j);
}

void shared_journal_end(struct shared_journal *j)
{
	if (RMQ_VARIANT(EFFECTS_RELEASED) && !j->ended)
		release(j);
	/* What is being proposed may be in use. */
	j->ended = true;
}

void shared_journal_free(struct shared_journal *j)
{
	if (!j)
		return;
	drop_proposals(j, j->count);
	chunk_drop(j->in);
	free(j->ring);
	free(j);
}
