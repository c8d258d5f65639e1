/*
 * Goldens: bytes of version 2 as it was first written, and the same with tagged fields that
 * nobody knows.  They are read for ever: whoever changes a format leaves these as they are and
 * adds what the new one writes.  Records that are recovered are in test_broker.c.
 */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "core/event.h"
#include "core/journal_wire.h"
#include "core/wire.h"
#include "golden.h"

/* What was read, as `NAME field=value …`. */
struct told {
	struct codec_visitor v; /* first */
	char text[1024];
	size_t len;
};

static __attribute__((format(printf, 2, 3))) void tell(struct told *t, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	int n = vsnprintf(t->text + t->len, sizeof(t->text) - t->len, format, args);
	va_end(args);
	assert_in_range(n, 0, sizeof(t->text) - t->len - 1);
	t->len += (size_t)n;
}

static void tell_number(struct codec_visitor *v, const char *name, uint64_t n)
{
	tell((struct told *)v, " %s=%" PRIu64, name, n);
}

static void tell_u8(struct codec_visitor *v, const char *name, uint8_t n)
{
	tell_number(v, name, n);
}

static void tell_u16(struct codec_visitor *v, const char *name, uint16_t n)
{
	tell_number(v, name, n);
}

static void tell_u32(struct codec_visitor *v, const char *name, uint32_t n)
{
	tell_number(v, name, n);
}

static void tell_str(struct codec_visitor *v, const char *name, struct slice s)
{
	tell((struct told *)v, " %s=%.*s", name, (int)s.len,
	    s.len > 0 ? (const char *)s.data : "");
}

static void tell_bytes(struct codec_visitor *v, const char *name, struct slice s)
{
	tell((struct told *)v, " %s=", name);
	for (size_t i = 0; i < s.len; i++)
		tell((struct told *)v, "%02x", s.data[i]);
}

static struct told told_of(const char *name)
{
	struct told t = {.v = {.u8 = tell_u8,
			     .u16 = tell_u16,
			     .u32 = tell_u32,
			     .u64 = tell_number,
			     .str = tell_str,
			     .rest = tell_bytes,
			     .tags = tell_bytes}};
	tell(&t, "%s", name);
	return t;
}

/* Decodes it, and checks its tagged fields, of which the format knows those that `knows` names.
 */
#define READ(prefix, knows, type, NAME, name) \
	case type: { \
		struct prefix##_##name m; \
		struct told t = told_of(#NAME); \
		assert_true(prefix##_##name##_decode(payload, &m)); \
		assert_int_equal( \
		    tags_check(prefix##_##name##_tagged(&m), type, knows, &(uint16_t){0}), \
		    RMQ_E_OK); \
		prefix##_##name##_visit(&t.v, &m); \
		return t; \
	}

static struct told read_wire(unsigned of, struct slice payload)
{
	switch (of) {
#define X(type, NAME, name, FIELDS) READ(wire, wire_tag_name, type, NAME, name)
		WIRE_CLIENT_FRAMES(X)
		WIRE_DAEMON_FRAMES(X)
#undef X
	}
	fail_msg("frame %u", of);
	return told_of("");
}

static const char *no_tag(unsigned type, unsigned tag)
{
	(void)type, (void)tag;
	return NULL;
}

static struct told read_journal(unsigned of, struct slice payload)
{
	switch (of) {
#define X(type, NAME, name, FIELDS) READ(journal, no_tag, type, NAME, name)
		JOURNAL_OPENER_FRAMES(X)
		JOURNAL_JOURNAL_FRAMES(X)
#undef X
	}
	fail_msg("frame %u", of);
	return told_of("");
}

static struct told read_event(unsigned of, struct slice payload)
{
	switch (of) {
#define X(type, NAME, name, FIELDS) READ(event, event_tag_name, type, NAME, name)
		EVENTS(X)
#undef X
	}
	fail_msg("event %u", of);
	return told_of("");
}

struct golden {
	const char *hex;
	const char *says;
};

static const struct golden wire[] = {
    {"2200000001000000726d713102000200000000000000000001000000010000000500000000000000"
     "0000",
	"HELLO magic=829517170 newest=2 oldest=2 features=0 session=4294967297"
	" answered=5 tags="},
    {"2b00000002000000060000000000000005000000000000000100000000017100000200000004000a"
     "006f6e650a74687265650a",
	"SEND n=6 answered=5 flags=1 part=0 queue=q tags= "
	"data=0200000004000a006f6e650a74687265650a"},
    {"3b00000003000000070000000000000006000000000000000201dc05000000000000630000000000"
     "000001710000000700000000000000030000000000000002000000",
	"SETTLE n=7 answered=6 verb=2 flags=1 ms=1500 stamp=99 queue=q why= tags="
	" entries=0700000000000000030000000000000002000000"},
    {"0d0000000400000001000000021027000001710000",
	"SUBSCRIBE sub=1 flags=2 lease_ms=10000 queue=q tags="},
    {"3d000000080000000800000000000000070000000000000001000000017130750000000000000000"
     "0000000000000000000000000000000000000000000000000000000000",
	"QUEUE_CREATE n=8 answered=7 mask=1 queue=q lease_ms=30000 max_attempts=0"
	" backoff_min_ms=0 backoff_max_ms=0 max_bytes=0 max_message=0 dead_letter="
	" tags="},
    {"280000004000000002000000000000000000010000000100000005000000000000000068e5cf8b01"
     "0000000080000000",
	"WELCOME version=2 features=0 session=4294967297 last=5 wall_ms=1700000000000"
	" window=8388608 tags="},
    {"4100000048000000010000000700000000000000030000000000000001000000000000000068e5cf"
     "8b01000063000000000000000000000200000004000a006f6e650a74687265650a",
	"DELIVER sub=1 lease=7 first_seq=3 attempt=1 failures=0 time_ms=1700000000000"
	" stamp=99 note= base=0 count=2 tags= data=04000a006f6e650a74687265650a"},
    {"2b00000001000000726d713102000200000000000000000001000000010000000500000000000000"
     "0900fff905006c61746572",
	"HELLO magic=829517170 newest=2 oldest=2 features=0 session=4294967297"
	" answered=5 tags=fff905006c61746572"},
    {"340000000200000006000000000000000500000000000000010000000001710900fff905006c6174"
     "65720200000004000a006f6e650a74687265650a",
	"SEND n=6 answered=5 flags=1 part=0 queue=q tags=fff905006c61746572 "
	"data=0200000004000a006f6e650a74687265650a"},
    {"4400000003000000070000000000000006000000000000000201dc05000000000000630000000000"
     "00000171000900fff905006c617465720700000000000000030000000000000002000000",
	"SETTLE n=7 answered=6 verb=2 flags=1 ms=1500 stamp=99 queue=q why= "
	"tags=fff905006c61746572"
	" entries=0700000000000000030000000000000002000000"},
    {"160000000400000001000000021027000001710900fff905006c61746572",
	"SUBSCRIBE sub=1 flags=2 lease_ms=10000 queue=q tags=fff905006c61746572"},
    {"46000000080000000800000000000000070000000000000001000000017130750000000000000000"
     "0000000000000000000000000000000000000000000000000000000900fff905006c61746572",
	"QUEUE_CREATE n=8 answered=7 mask=1 queue=q lease_ms=30000 max_attempts=0"
	" backoff_min_ms=0 backoff_max_ms=0 max_bytes=0 max_message=0 dead_letter="
	" tags=fff905006c61746572"},
    {"310000004000000002000000000000000000010000000100000005000000000000000068e5cf8b01"
     "0000000080000900fff905006c61746572",
	"WELCOME version=2 features=0 session=4294967297 last=5 wall_ms=1700000000000"
	" window=8388608 tags=fff905006c61746572"},
    {"4a00000048000000010000000700000000000000030000000000000001000000000000000068e5cf"
     "8b010000630000000000000000000002000900fff905006c6174657204000a006f6e650a74687265"
     "650a",
	"DELIVER sub=1 lease=7 first_seq=3 attempt=1 failures=0 time_ms=1700000000000"
	" stamp=99 note= base=0 count=2 tags=fff905006c61746572 "
	"data=04000a006f6e650a74687265650a"},
    /* The first piece of a large message with a header, sent and handed out. */
    {"2c0000000200000006000000000000000500000000000000060000000001710e0002000a00010006"
     "000168020078317069656365",
	"SEND n=6 answered=5 flags=6 part=0 queue=q tags=02000a0001000600016802007831"
	" data=7069656365"},
    {"4e00000049000000010000000700000000000000030000000000000001000000000000000068e5cf"
     "8b0100006300000000000000000000000002000000701101000e0001000a00010006000168020078"
     "317069656365",
	"DELIVER_PART sub=1 lease=7 seq=3 attempt=1 failures=0 time_ms=1700000000000"
	" stamp=99 note= part=0 parts=2 total=70000 tags=01000a0001000600016802007831"
	" data=7069656365"},
};

static const struct golden journal[] = {
    {"1a00000001000000726d716a02000200000000000000000004000000000000000000",
	"OPEN magic=1785818482 newest=2 oldest=2 features=0 term=4 tags="},
    {"1200000005000000726d716a0200020000000000000000000000",
	"OPEN_REPLICA magic=1785818482 newest=2 oldest=2 features=0 tags="},
    {"38000000400000000200000000000000000004000000000000000100000000000000090000000000"
     "0000000000000000000000002f7661722f6c69622f726d71",
	"OPENED version=2 features=0 term=4 first=1 last=9 checkpoint=0 tags="
	" directory=2f7661722f6c69622f726d71"},
    {"1b000000020000000100000000000000010200000004000a006f6e650a74687265650a",
	"APPEND n=1 kind=1 payload=0200000004000a006f6e650a74687265650a"},
    {"14000000410000000100000000000000020000000a00000000000000",
	"STORED first_n=1 count=2 first_index=10"},
    {"1800000004000000090000000000000009000000000000004000000010000000",
	"HOLE checkpoint=9 ranges=09000000000000004000000010000000"},
    {"2300000001000000726d716a02000200000000000000000004000000000000000900fff905006c61"
     "746572",
	"OPEN magic=1785818482 newest=2 oldest=2 features=0 term=4 tags=fff905006c61746572"},
    {"1b00000005000000726d716a0200020000000000000000000900fff905006c61746572",
	"OPEN_REPLICA magic=1785818482 newest=2 oldest=2 features=0 tags=fff905006c61746572"},
    {"41000000400000000200000000000000000004000000000000000100000000000000090000000000"
     "000000000000000000000900fff905006c617465722f7661722f6c69622f726d71",
	"OPENED version=2 features=0 term=4 first=1 last=9 checkpoint=0 tags=fff905006c61746572"
	" directory=2f7661722f6c69622f726d71"},
};

static const struct golden events[] = {
    {"16000600030000000000", "START number=3 tags="},
    {"01002d000100000001713075000010000000e80300000000000060ea000000000000000010000000"
     "000000001000000000",
	"CREATE queue=1 name=q lease_ms=30000 max_attempts=16 backoff_min_ms=1000"
	" backoff_max_ms=60000 max_bytes=1048576 max_message=1048576 dead_letter="
	" tags="},
    {"06003000010000000100000001000000010000000000000001000000000000000000020000000400"
     "0a006f6e650a74687265650a",
	"SEND queue=1 session=4294967297 n=1 first_seq=1 tags= "
	"batch=0200000004000a006f6e650a74687265650a"},
    {"0b002e00010000000100000001000000020000000000000000000000000007000000000000000300"
     "00000000000002000000",
	"SETTLE queue=1 session=4294967297 n=2 stale=0 tags= "
	"entries=0700000000000000030000000000000002000000"},
    {"0c003700010000000100000001000000030000000000000000000000018813000000000000000007"
     "00000000000000030000000000000002000000",
	"RELEASE queue=1 session=4294967297 n=3 stale=0 flags=1 until_ms=5000"
	" tags= entries=0700000000000000030000000000000002000000"},
    {"140028000100000001000000000000000068e5cf8b01000000000200000004000a006f6e650a7468"
     "7265650a",
	"MOVE queue=1 first_seq=1 time_ms=1700000000000 tags= "
	"batch=0200000004000a006f6e650a74687265650a"},
    {"1000430002000000010000000000000002000000100000000068e5cf8b0100000800000010713a33"
     "206d61782d617474656d707473000009000000000000004000000010000000",
	"DEAD queue=2 first_seq=1 count=2 failures=16 time_ms=1700000000000 bytes=8"
	" note=q:3 max-attempts tags= location=09000000000000004000000010000000"},
    {"41001600030000004d0000000000000000000000000000000000",
	"PART_GLOBAL next_queue=3 lease=77 forgotten=0 tags="},
    {"4b000600030000000000", "PART_START number=3 tags="},
    {"42001200010000000100000003000000000000000000",
	"PART_SESSION session=4294967297 last=3 tags="},
    {"43001e00010000000100000001000000000000000100000000000000020000000000",
	"PART_ANSWER session=4294967297 n=1 first_seq=1 count=2 tags= stale="},
    {"44005d000100000001713075000010000000e80300000000000060ea000000000000000010000000"
     "00000000100000030000000000000002000000000000000100000000000000010000000000000000"
     "0000000000000000000000000000000000",
	"PART_QUEUE queue=1 name=q lease_ms=30000 max_attempts=16 backoff_min_ms=1000"
	" backoff_max_ms=60000 max_bytes=1048576 max_message=1048576 dead_letter="
	" next_seq=3 sent=2 delivered=1 settled=1 failed=0 dead=0 tags="},
    {"45002700010000000100000000000000020000000900000000000000100000000800000040000000"
     "000000",
	"PART_BATCH queue=1 first_seq=1 count=2 index=9 offset=16 slot=0 bytes=8"
	" record_bytes=64 note= tags= live="},
    {"47003c00010000000200010000000000000001000000000000000100000000000000070000000000"
     "000001000000010000003075000039300000000000000000",
	"PART_RANGE queue=1 state=2 flags=0 first=1 span=1 attempt=1 failures=0"
	" lease=7 session=4294967297 lease_ms=30000 until_ms=12345 tags="},
    {"18001e0001000000050000000000000004000000000000000900000000000000"
     "0000",
	"LOST queue=1 first=5 span=4 index=9 tags="},
    {"180027000100000005000000000000000400000000000000090000000000000009"
     "00fff905006c61746572",
	"LOST queue=1 first=5 span=4 index=9 tags=fff905006c61746572"},
    {"440069000100000001713075000010000000e80300000000000060ea000000000000000010000000"
     "00000000100000030000000000000002000000000000000100000000000000010000000000000000"
     "0000000000000000000000000000000c000100080005000000"
     "00000000",
	"PART_QUEUE queue=1 name=q lease_ms=30000 max_attempts=16 backoff_min_ms=1000"
	" backoff_max_ms=60000 max_bytes=1048576 max_message=1048576 dead_letter="
	" next_seq=3 sent=2 delivered=1 settled=1 failed=0 dead=0 tags=010008000500000000000000"},
    {"16000f00030000000900fff905006c61746572", "START number=3 tags=fff905006c61746572"},
    {"010036000100000001713075000010000000e80300000000000060ea000000000000000010000000"
     "000000001000000900fff905006c61746572",
	"CREATE queue=1 name=q lease_ms=30000 max_attempts=16 backoff_min_ms=1000"
	" backoff_max_ms=60000 max_bytes=1048576 max_message=1048576 dead_letter="
	" tags=fff905006c61746572"},
    {"06003900010000000100000001000000010000000000000001000000000000000900fff905006c61"
     "7465720200000004000a006f6e650a74687265650a",
	"SEND queue=1 session=4294967297 n=1 first_seq=1 tags=fff905006c61746572"
	" batch=0200000004000a006f6e650a74687265650a"},
    {"0b0037000100000001000000010000000200000000000000000000000900fff905006c6174657207"
     "00000000000000030000000000000002000000",
	"SETTLE queue=1 session=4294967297 n=2 stale=0 tags=fff905006c61746572"
	" entries=0700000000000000030000000000000002000000"},
    {"0c0040000100000001000000010000000300000000000000000000000188130000000000000900ff"
     "f905006c617465720700000000000000030000000000000002000000",
	"RELEASE queue=1 session=4294967297 n=3 stale=0 flags=1 until_ms=5000"
	" tags=fff905006c61746572 entries=0700000000000000030000000000000002000000"},
    {"140031000100000001000000000000000068e5cf8b0100000900fff905006c617465720200000004"
     "000a006f6e650a74687265650a",
	"MOVE queue=1 first_seq=1 time_ms=1700000000000 tags=fff905006c61746572"
	" batch=0200000004000a006f6e650a74687265650a"},
    {"10004c0002000000010000000000000002000000100000000068e5cf8b0100000800000010713a33"
     "206d61782d617474656d7074730900fff905006c6174657209000000000000004000000010000000",
	"DEAD queue=2 first_seq=1 count=2 failures=16 time_ms=1700000000000 bytes=8"
	" note=q:3 max-attempts tags=fff905006c61746572 "
	"location=09000000000000004000000010000000"},
    {"41001f00030000004d0000000000000000000000000000000900fff905006c61746572",
	"PART_GLOBAL next_queue=3 lease=77 forgotten=0 tags=fff905006c61746572"},
    {"4b000f00030000000900fff905006c61746572", "PART_START number=3 tags=fff905006c61746572"},
    {"42001b00010000000100000003000000000000000900fff905006c61746572",
	"PART_SESSION session=4294967297 last=3 tags=fff905006c61746572"},
    {"43002700010000000100000001000000000000000100000000000000020000000900fff905006c61"
     "746572",
	"PART_ANSWER session=4294967297 n=1 first_seq=1 count=2 tags=fff905006c61746572"
	" stale="},
    {"440066000100000001713075000010000000e80300000000000060ea000000000000000010000000"
     "00000000100000030000000000000002000000000000000100000000000000010000000000000000"
     "0000000000000000000000000000000900fff905006c61746572",
	"PART_QUEUE queue=1 name=q lease_ms=30000 max_attempts=16 backoff_min_ms=1000"
	" backoff_max_ms=60000 max_bytes=1048576 max_message=1048576 dead_letter="
	" next_seq=3 sent=2 delivered=1 settled=1 failed=0 dead=0 tags=fff905006c61746572"},
    {"45003000010000000100000000000000020000000900000000000000100000000800000040000000"
     "000900fff905006c61746572",
	"PART_BATCH queue=1 first_seq=1 count=2 index=9 offset=16 slot=0 bytes=8"
	" record_bytes=64 note= tags=fff905006c61746572 live="},
    {"47004500010000000200010000000000000001000000000000000100000000000000070000000000"
     "000001000000010000003075000039300000000000000900fff905006c61746572",
	"PART_RANGE queue=1 state=2 flags=0 first=1 span=1 attempt=1 failures=0"
	" lease=7 session=4294967297 lease_ms=30000 until_ms=12345 tags=fff905006c61746572"},
    {"4d000e000100000001100000000000000000", "PART_PAUSE queue=1 below=4097 tags="},
    {"4d0017000100000001100000000000000900fff905006c61746572",
	"PART_PAUSE queue=1 below=4097 tags=fff905006c61746572"},
    {"07002d000100000001000000010000000100000000000000000000000e0002000a00010006000168"
     "020078317069656365",
	"CHUNK queue=1 session=4294967297 n=1 part=0 tags=02000a0001000600016802007831"
	" data=7069656365"},
    /* Dead letters that were message 3 of queue q and those behind it. */
    {"10004c0002000000010000000000000002000000100000000068e5cf8b010000080000000c6d6178"
     "2d617474656d7074730d000800090003000000000000007109000000000000004000000010000000",
	"DEAD queue=2 first_seq=1 count=2 failures=16 time_ms=1700000000000 bytes=8"
	" note=max-attempts tags=08000900030000000000000071"
	" location=09000000000000004000000010000000"},
    {"45004000020000000100000000000000020000000900000000000000100000000800000040000000"
     "0c6d61782d617474656d7074730d0008000900030000000000000071",
	"PART_BATCH queue=2 first_seq=1 count=2 index=9 offset=16 slot=0 bytes=8"
	" record_bytes=64 note=max-attempts tags=08000900030000000000000071 live="},
    {"46003b00020000000300000000000000701101000068e5cf8b010000037768790d00080009000300"
     "000000000000710900000000000000400000001000ffff",
	"PART_LARGE queue=2 seq=3 bytes=70000 time_ms=1700000000000 note=why"
	" tags=08000900030000000000000071 location=0900000000000000400000001000ffff"},
};

#define COUNT(a) (sizeof(a) / sizeof(*(a)))

static void read_frames(const struct golden *g, size_t count,
    struct told (*told)(unsigned type, struct slice payload))
{
	uint8_t bytes[GOLDEN_MAX];
	for (size_t i = 0; i < count; i++) {
		struct slice in = golden_bytes(g[i].hex, bytes);
		struct frame f;
		size_t used;
		assert_int_equal(frame_parse(in, &f, &used), RMQ_E_OK);
		assert_int_equal(used, in.len);
		assert_string_equal(told(f.type, f.payload).text, g[i].says);
	}
}

static void frames_of_the_clients_protocol_are_read_for_ever(void **state)
{
	(void)state;
	read_frames(wire, COUNT(wire), read_wire);
}

static void frames_of_the_journals_protocol_are_read_for_ever(void **state)
{
	(void)state;
	read_frames(journal, COUNT(journal), read_journal);
}

static void events_are_read_for_ever(void **state)
{
	uint8_t bytes[EVENTS_HEADER_SIZE + GOLDEN_MAX] = {0};
	(void)state;
	for (size_t i = 0; i < COUNT(events); i++) {
		struct slice in = golden_bytes(events[i].hex, bytes + EVENTS_HEADER_SIZE);
		struct events_header h;
		struct event_iter it;
		struct event e;
		in = slice_of(bytes, EVENTS_HEADER_SIZE + in.len);
		assert_int_equal(events_open(in, &h, &it), RMQ_E_OK);
		assert_int_equal(event_next(&it, &e), RMQ_E_OK);
		assert_string_equal(read_event(e.type, e.body).text, events[i].says);
		assert_int_equal(event_next(&it, &e), RMQ_E_NOTHING);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(frames_of_the_clients_protocol_are_read_for_ever),
	    cmocka_unit_test(frames_of_the_journals_protocol_are_read_for_ever),
	    cmocka_unit_test(events_are_read_for_ever),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
