/*
 * What a queue daemon that was taken over may say to the node of a cluster that runs it.  It
 * comes in pieces: a byte says what the engine and the socket do meanwhile, one how long the
 * piece is.  No record is proposed that is not one, and what is answered was asked for, in
 * order.
 */
#include "fuzz.h"

#include "core/host/shared_journal.h"
#include "core/wire/record.h"

static struct {
	struct engine_state log;
	uint8_t mood;
	uint64_t rounds, rounds_done;
	uint64_t proposed_n, stored_n;
	bool opened, lost;
	size_t len;
	uint8_t bytes[4096 + FRAME_HEADER_SIZE];
} world;

static struct shared_journal *journal;

#define MOOD(bit) ((world.mood >> (bit)) & 1)

static struct engine_state state(void *arg)
{
	(void)arg;
	return world.log;
}

static enum rmq_error propose(
    void *arg, const struct proposal *p, unsigned *counted, uint64_t *first)
{
	unsigned count = *counted;
	(void)arg;
	assert(count > 0 && !world.lost && world.opened);
	if (MOOD(0))
		return RMQ_E_BUSY;
	if (MOOD(3))
		*counted = count = (count + 1) / 2;
	for (unsigned i = 0; i < count; i++) {
		assert(record_kind_name(p[i].kind) && p[i].kind != RECORD_NOOP &&
		       p[i].kind != RECORD_CONFIG);
		assert(p[i].piece.bytes.len <= RECORD_PAYLOAD_MAX);
		assert(p[i].piece.bytes.data >= p[i].piece.chunk->bytes &&
		       p[i].piece.bytes.data + p[i].piece.bytes.len <=
			   p[i].piece.chunk->bytes + p[i].piece.chunk->len);
	}
	*first = world.log.last + 1;
	world.log.last += count;
	world.proposed_n += count;
	return RMQ_E_OK;
}

static uint64_t barrier(void *arg)
{
	(void)arg;
	return MOOD(1) ? 0 : ++world.rounds;
}

static void opening(void *arg, struct journal_opened *m, uint64_t *level)
{
	(void)arg;
	assert(!world.opened);
	world.opened = true;
	m->directory = slice_str("/var/lib/rmq");
	*level = LEVEL_FIRST;
}

static void check(const struct frame *f)
{
	struct journal_opened opened;
	struct journal_stored stored;
	struct journal_barrier_done done;
	struct journal_holed holed;
	struct journal_room room;
	struct journal_mended mended;
	struct journal_holes_wanted wanted;
	struct journal_level level;

	switch (f->type) {
	case JOURNAL_TYPE_OPENED:
		assert(journal_opened_decode(f->payload, &opened) && world.opened);
		break;
	case JOURNAL_TYPE_STORED:
		assert(journal_stored_decode(f->payload, &stored) && stored.count > 0);
		assert(stored.first_n == world.stored_n + 1);
		world.stored_n += stored.count;
		assert(world.stored_n <= world.proposed_n);
		assert(stored.first_index + stored.count - 1 <= world.log.committed);
		break;
	case JOURNAL_TYPE_BARRIER_DONE:
		assert(journal_barrier_done_decode(f->payload, &done));
		assert(world.rounds_done > 0);
		break;
	case JOURNAL_TYPE_HOLED:
		assert(journal_holed_decode(f->payload, &holed));
		assert(holed.checkpoint <= world.log.committed);
		break;
	case JOURNAL_TYPE_MENDED:
		assert(journal_mended_decode(f->payload, &mended));
		assert(mended.index > 0 && mended.index <= world.log.committed);
		break;
	case JOURNAL_TYPE_HOLES_WANTED:
		assert(journal_holes_wanted_decode(f->payload, &wanted) && wanted.wanted <= 1);
		break;
	case JOURNAL_TYPE_LEVEL:
		assert(journal_level_decode(f->payload, &level) && level.level == 2);
		break;
	default:
		assert(f->type == JOURNAL_TYPE_ROOM && journal_room_decode(f->payload, &room));
		assert(room.n <= world.proposed_n);
	}
}

static size_t answer(void *arg, struct slice bytes)
{
	size_t n = MOOD(2) ? bytes.len / 2 : bytes.len, used;
	struct frame f;

	(void)arg;
	assert(!world.lost);
	for (size_t at = 0; at < n;) {
		size_t some = sizeof(world.bytes) - world.len;
		some = some < n - at ? some : n - at;
		memcpy(world.bytes + world.len, bytes.data + at, some);
		world.len += some;
		at += some;
		while (!frame_parse(slice_of(world.bytes, world.len), &f, &used) && used > 0) {
			check(&f);
			world.len -= used;
			memmove(world.bytes, world.bytes + used, world.len);
		}
	}
	return n;
}

static enum rmq_error mend(void *arg, uint64_t index)
{
	(void)arg;
	assert(index > 0 && index <= world.log.committed && !world.lost);
	return index % 3 == 0 ? RMQ_E_BUSY : index % 3 == 1 ? RMQ_E_OK : RMQ_E_CORRUPT;
}

static void reserve(void *arg, uint64_t bytes)
{
	(void)arg, (void)bytes;
	assert(world.opened);
}

static void lost(void *arg, const char *why)
{
	(void)arg;
	assert(!world.lost && why);
	world.lost = true;
}

static const struct engine engine = {NULL, state, propose, barrier, NULL};
static const struct shared_journal_owner owner = {NULL, opening, answer, reserve, mend, lost};

/* Some of it is put there, as far as there is place. */
static void put(struct slice in)
{
	size_t size;
	uint8_t *to;

	while (in.len > 0 && (to = shared_journal_space(journal, &size)) != NULL) {
		size_t n = in.len < size ? in.len : size;
		assert(!world.lost && n > 0);
		memcpy(to, in.data, n);
		shared_journal_read(journal, n);
		in = slice_of(in.data + n, in.len - n);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	memset(&world, 0, sizeof(world));
	world.log = (struct engine_state){true, true, 3, 100, 100, 0, 100, 100};
	journal = shared_journal_new(&engine, &owner);
	while (size >= 2) {
		size_t n = data[1] < size - 2 ? data[1] : size - 2;
		world.mood = data[0];
		put(slice_of(data + 2, n));
		data += 2 + n;
		size -= 2 + n;
		if (MOOD(4))
			world.log.committed = world.log.last;
		if (MOOD(5))
			shared_journal_round_done(journal, world.rounds_done = world.rounds);
		shared_journal_turn(journal, MOOD(6) ? world.log.committed : 0, world.mood,
		    MOOD(5), MOOD(4) ? 2 : LEVEL_FIRST);
		if (world.mood == 0xff)
			shared_journal_end(journal);
	}
	assert(!world.lost || !shared_journal_reads(journal));
	shared_journal_free(journal);
	return 0;
}

/* Pieces of `most` bytes, in all moods; then nothing more comes. */
static void in_pieces(fuzz_add *add, struct slice in, size_t most)
{
	static uint8_t all[8192];
	struct writer w = writer_of(all, sizeof(all));
	uint8_t mood = 0xf0;

	for (size_t at = 0; at < in.len; at += most) {
		size_t n = in.len - at < most ? in.len - at : most;
		put_u8(&w, mood++);
		put_u8(&w, (uint8_t)n);
		put_rest(&w, slice_of(in.data + at, n));
	}
	for (int i = 0; i < 2; i++) {
		put_u8(&w, 0xf0);
		put_u8(&w, 0);
	}
	assert(!w.full);
	add(w.p, w.len);
}

void fuzz_seeds(fuzz_add *add)
{
	static uint8_t all[8192];
	struct writer stream = writer_of(all, sizeof(all)), *w = &stream;

	journal_put_open(w, &(struct journal_open){JOURNAL_OPEN_VERSIONS, 0, NO_TAGS});
	for (uint64_t n = 1; n <= 4; n++) {
		journal_put_append(
		    w, &(struct journal_append){n, RECORD_EVENTS, slice_str("a")});
		journal_put_barrier(w, &(struct journal_barrier){n});
	}
	journal_put_hole(w, &(struct journal_hole){90, slice_str("123456789012")});
	journal_put_reserve(w, &(struct journal_reserve){1 << 20});
	journal_put_barrier(w, &(struct journal_barrier){6});
	assert(!w->full);
	in_pieces(add, slice_of(all, w->len), 255);
	in_pieces(add, slice_of(all, w->len), 15);
#define X(type, NAME, name, FIELDS) \
	w->len = 0; \
	journal_put_open(w, &(struct journal_open){JOURNAL_OPEN_VERSIONS, 0, NO_TAGS}); \
	{ \
		size_t begin = frame_begin(w, type); \
		FIELDS(FUZZ_PUT) \
		frame_end(w, begin); \
	} \
	in_pieces(add, slice_of(all, w->len), 255);
	JOURNAL_OPENER_FRAMES(X)
#undef X
}
