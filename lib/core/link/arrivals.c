#include "core/link/arrivals.h"

#include <assert.h>
#include <string.h>

#define EARLY_PERCENT 30   /* dropped at ARRIVALS_OPEN_EARLY; 100 at ARRIVALS_OPEN_MAX */
#define PARTS	      1000 /* of a connection: so many a second are one each millisecond */

static_assert(ARRIVALS_OPEN_MAX + ARRIVALS_KNOWN < ARRIVALS_ADDRESSES,
    "there is always a stranger's address that can give way");

/* ---- buckets ---- */

static void refill(struct arrivals_bucket *b, unsigned rate, unsigned burst, uint64_t now_ms)
{
	uint64_t most = (uint64_t)burst * PARTS, passed = now_ms - b->at_ms;

	b->at_ms = now_ms;
	b->parts = passed >= most / rate ? most : b->parts + passed * rate;
	if (b->parts > most)
		b->parts = most;
}

static struct arrivals_bucket full(unsigned burst, uint64_t now_ms)
{
	return (struct arrivals_bucket){now_ms, (uint64_t)burst * PARTS};
}

/* ---- addresses ---- */

bool arrivals_same(const struct arrivals_origin *a, const struct arrivals_origin *b)
{
	return a->family == b->family && memcmp(a->bytes, b->bytes, sizeof(a->bytes)) == 0;
}

static struct arrivals_address *find(struct arrivals *a, const struct arrivals_origin *from)
{
	for (unsigned i = 0; i < ARRIVALS_ADDRESSES; i++)
		if (arrivals_same(&a->list[i].origin, from))
			return &a->list[i];
	return NULL;
}

/* However many clients have come from however many places: other nodes are known. */
static bool gives_way(const struct arrivals_address *is, const struct arrivals_address *other)
{
	if (is->expected != other->expected)
		return other->expected;
	return is->bucket.at_ms < other->bucket.at_ms;
}

/* The one that was quiet for longest, of those without an open connection; NULL: all have some.
 */
static struct arrivals_address *quietest(struct arrivals *a, bool known)
{
	struct arrivals_address *best = NULL;

	for (unsigned i = 0; i < ARRIVALS_ADDRESSES; i++) {
		struct arrivals_address *is = &a->list[i];
		if (is->open == 0 && is->known == known && (!best || gives_way(is, best)))
			best = is;
	}
	return best;
}

static struct arrivals_address *find_or_make(
    struct arrivals *a, const struct arrivals_origin *from, uint64_t now_ms)
{
	struct arrivals_address *is = find(a, from);

	if (is)
		return is;
	is = quietest(a, false);
	assert(is);
	*is = (struct arrivals_address){.origin = *from,
	    .bucket = full(ARRIVALS_ADDRESS_BURST, now_ms),
	    .back = full(ARRIVALS_BACK_ADDRESS_BURST, now_ms)};
	return is;
}

/* It is used now.  False: all that are known have a connection open. */
static bool make_known(struct arrivals *a, struct arrivals_address *is, uint64_t now_ms)
{
	if (is->known) {
		refill(&is->bucket, ARRIVALS_KNOWN_RATE, ARRIVALS_KNOWN_BURST, now_ms);
		return true;
	}
	if (a->known == ARRIVALS_KNOWN) {
		struct arrivals_address *oldest = quietest(a, true);
		if (!oldest)
			return false;
		*oldest = (struct arrivals_address){.known = false};
		a->known--;
	}
	is->known = true;
	is->bucket = full(ARRIVALS_KNOWN_BURST, now_ms);
	a->known++;
	a->open_strangers -= is->open;
	a->open_known += is->open;
	return true;
}

static void begin(struct arrivals *a, uint64_t now_ms)
{
	if (a->begun)
		return;
	a->begun = true;
	a->all = full(ARRIVALS_ALL_BURST, now_ms);
	a->back = full(ARRIVALS_BACK_BURST, now_ms);
}

/* More than there may be is cut off when a bucket is looked at. */
static void give_back(
    struct arrivals *a, struct arrivals_address *is, bool stranger, uint64_t now_ms)
{
	refill(&a->back, ARRIVALS_BACK_RATE, ARRIVALS_BACK_BURST, now_ms);
	refill(&is->back, ARRIVALS_BACK_ADDRESS_RATE, ARRIVALS_BACK_ADDRESS_BURST, now_ms);
	if (a->back.parts < PARTS || is->back.parts < PARTS)
		return;
	a->back.parts -= PARTS;
	is->back.parts -= PARTS;
	is->bucket.parts += PARTS;
	if (stranger)
		a->all.parts += PARTS;
}

void arrivals_know(struct arrivals *a, const struct arrivals_origin *from, uint64_t now_ms)
{
	struct arrivals_address *is = find_or_make(a, from, now_ms);
	bool stranger = !is->known;

	begin(a, now_ms);
	(void)make_known(a, is, now_ms);
	give_back(a, is, stranger, now_ms);
}

/* Those of its kind that are open. */
static unsigned *open_of(struct arrivals *a, const struct arrivals_address *is)
{
	return is->expected ? &a->open_expected
	       : is->known  ? &a->open_known
			    : &a->open_strangers;
}

void arrivals_expect(struct arrivals *a, const struct arrivals_origin *from, uint64_t now_ms)
{
	struct arrivals_address *is = find_or_make(a, from, now_ms);

	if (!make_known(a, is, now_ms))
		return;
	*open_of(a, is) -= is->open;
	is->expected = true;
	*open_of(a, is) += is->open;
}

/* ---- connections ---- */

/* Of those that share places, the one that has most of them. */
static const struct arrivals_address *fullest(const struct arrivals *a)
{
	const struct arrivals_address *best = NULL;

	for (unsigned i = 0; i < ARRIVALS_ADDRESSES; i++) {
		const struct arrivals_address *is = &a->list[i];
		if (is->known && !is->expected && (!best || is->open > best->open))
			best = is;
	}
	return best;
}

/* Whoever has most gives way, also where it is the address itself: but there others may be at work. */
static struct arrivals_instead instead_of(
    const struct arrivals *a, const struct arrivals_address *is, uint64_t now_ms)
{
	const struct arrivals_address *most = fullest(a);

	if (most->open > is->open + 1)
		return (struct arrivals_instead){most->origin, now_ms};
	return (struct arrivals_instead){
	    is->origin, now_ms > ARRIVALS_SILENT_MS ? now_ms - ARRIVALS_SILENT_MS : 0};
}

static enum arrivals_answer known_may(struct arrivals *a, const struct arrivals_address *is,
    uint64_t now_ms, struct arrivals_instead *instead)
{
	if (is->bucket.parts < PARTS)
		return ARRIVALS_ADDRESS_FAST;
	if (is->expected)
		return is->open < ARRIVALS_OPEN_EXPECTED ? ARRIVALS_HEARD
							 : ARRIVALS_ADDRESS_OPEN;
	if (a->open_known < ARRIVALS_OPEN_KNOWN)
		return ARRIVALS_HEARD;
	*instead = instead_of(a, is, now_ms);
	return ARRIVALS_INSTEAD;
}

/* The more are open, the more are dropped: a peer that comes again and again gets through. */
static bool dropped(const struct arrivals *a, unsigned percent)
{
	unsigned n = a->open_strangers;

	if (n < ARRIVALS_OPEN_EARLY)
		return false;
	return percent < EARLY_PERCENT + (100 - EARLY_PERCENT) * (n - ARRIVALS_OPEN_EARLY) /
					     (ARRIVALS_OPEN_MAX - ARRIVALS_OPEN_EARLY);
}

static enum arrivals_answer stranger_may(
    struct arrivals *a, const struct arrivals_address *is, unsigned percent)
{
	if (is->bucket.parts < PARTS)
		return ARRIVALS_ADDRESS_FAST;
	if (is->open >= ARRIVALS_OPEN_ADDRESS)
		return ARRIVALS_ADDRESS_OPEN;
	if (a->all.parts < PARTS)
		return ARRIVALS_ALL_FAST;
	return dropped(a, percent) ? ARRIVALS_ALL_OPEN : ARRIVALS_HEARD;
}

enum arrivals_answer arrivals_begin(struct arrivals *a, const struct arrivals_origin *from,
    unsigned percent, uint64_t now_ms, struct arrivals_instead *instead)
{
	struct arrivals_address *is = find_or_make(a, from, now_ms);
	enum arrivals_answer answer;

	begin(a, now_ms);
	if (is->known) {
		refill(&is->bucket, ARRIVALS_KNOWN_RATE, ARRIVALS_KNOWN_BURST, now_ms);
		answer = known_may(a, is, now_ms, instead);
	} else {
		refill(&is->bucket, ARRIVALS_ADDRESS_RATE, ARRIVALS_ADDRESS_BURST, now_ms);
		refill(&a->all, ARRIVALS_ALL_RATE, ARRIVALS_ALL_BURST, now_ms);
		answer = stranger_may(a, is, percent);
	}
	if (answer != ARRIVALS_HEARD)
		return answer;
	is->bucket.parts -= PARTS;
	if (!is->known)
		a->all.parts -= PARTS;
	is->open++;
	*open_of(a, is) += 1;
	return ARRIVALS_HEARD;
}

void arrivals_end(struct arrivals *a, const struct arrivals_origin *from)
{
	struct arrivals_address *is = find(a, from);

	assert(is && is->open > 0);
	is->open--;
	*open_of(a, is) -= 1;
}

const char *arrivals_text(enum arrivals_answer answer)
{
	switch (answer) {
	case ARRIVALS_HEARD:
	case ARRIVALS_ANSWERS:
		break;
	case ARRIVALS_ADDRESS_FAST:
		return "too many connections come from that address";
	case ARRIVALS_ALL_FAST:
		return "too many connections come from addresses where no peer is known";
	case ARRIVALS_ADDRESS_OPEN:
		return "too many from that address do not say who they are";
	case ARRIVALS_ALL_OPEN:
	case ARRIVALS_INSTEAD:
		return "too many do not say who they are";
	}
	return "";
}
