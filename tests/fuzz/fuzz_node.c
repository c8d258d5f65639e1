/*
 * What comes over a link from another node: frames are taken one by one, as rmq-clusterd takes
 * them.  What decodes encodes to the same bytes, and an APPEND that is complete holds what its
 * RUNs said.
 */
#include "fuzz.h"

#include "core/host/settings.h"
#include "core/host/tell.h"
#include "core/raft/node_wire.h"

static uint8_t bytes[FRAME_HEADER_SIZE + FRAME_PAYLOAD_MAX];
static struct node_wire_in in;

static void same(const struct writer *w, struct slice payload)
{
	assert(!w->full && w->len == FRAME_HEADER_SIZE + payload.len);
	assert(memcmp(w->p + FRAME_HEADER_SIZE, payload.data, payload.len) == 0);
}

static void check_frame(const struct frame *f)
{
	struct writer w = writer_of(bytes, sizeof(bytes));

	switch (f->type) {
#define X(type, NAME, name, FIELDS) \
	case type: { \
		struct node_##name m; \
		if (!node_##name##_decode(f->payload, &m)) \
			return; \
		node_put_##name(&w, &m); \
		same(&w, f->payload); \
		break; \
	}
		NODE_FRAMES(X)
#undef X
	}
}

static void check_message(struct slice payload)
{
	struct writer w = writer_of(bytes, sizeof(bytes));
	struct raft_message m;

	if (node_wire_message(payload, &m))
		return;
	assert(m.type != RAFT_APPEND && m.run_count == 0);
	node_wire_put(&w, &m);
	same(&w, payload);
}

static void check_command(struct slice payload)
{
	struct node_command m;
	struct raft_member member;

	if (!node_command_decode(payload, &m) || node_wire_member(&m, &member))
		return;
	assert(strlen(member.name) == m.name.len && strlen(member.gate) == m.gate.len);
	assert(m.name.len == 0 || raft_member_valid(&member));
}

static void check_place(struct slice payload)
{
	struct node_place m;
	struct raft_id id;
	char address[RAFT_ADDRESS_MAX + 1];

	if (!node_place_decode(payload, &m) || node_wire_place(&m, &id, address))
		return;
	assert(strlen(address) == m.address.len && !raft_id_none(id));
}

/* What is taken can be told. */
static void check_tell(struct slice payload)
{
	uint8_t tags[TELL_SIZE_MAX], same_tags[TELL_SIZE_MAX];
	struct writer w = writer_of(tags, sizeof(tags));
	struct writer v = writer_of(same_tags, sizeof(same_tags));
	struct node_tell m;
	static struct tell t, again;

	if (!node_tell_decode(payload, &m) || !tell_decode(m.tags, &t))
		return;
	tell_encode(&w, &t);
	assert(!w.full && tell_decode(slice_of(tags, w.len), &again));
	tell_encode(&v, &again);
	assert(v.len == w.len && memcmp(tags, same_tags, w.len) == 0);
}

static void check_settings(struct slice payload)
{
	uint8_t tags[SETTINGS_SIZE_MAX];
	struct writer w = writer_of(tags, sizeof(tags));
	struct node_settings m;
	struct settings s, again;
	bool unenforced, still;

	if (!node_settings_decode(payload, &m) || settings_decode(m.tags, &s, &unenforced))
		return;
	settings_encode(&w, &s, unenforced);
	assert(!w.full && !settings_decode(slice_of(tags, w.len), &again, &still));
	assert(still == unenforced && settings_differ(&s, &again, 0) == SETTINGS_COUNT);
}

static void check_run(unsigned at)
{
	const struct raft_run *run = &in.runs[at];

	assert(run->count > 0 && run->first > 0 && run->first + run->count > run->first);
	assert(in.payloads[at].len == run->bytes && run->bytes <= RECORD_PAYLOAD_MAX);
	assert(run->kind != RAFT_HOLE || run->bytes == 0);
	assert((run->kind == RECORD_CONFIG) == (run->config != NULL));
}

static void take(const struct frame *f)
{
	check_frame(f);
	if (f->type == NODE_TYPE_MESSAGE)
		check_message(f->payload);
	if (f->type == NODE_TYPE_COMMAND)
		check_command(f->payload);
	if (f->type == NODE_TYPE_PLACE)
		check_place(f->payload);
	if (f->type == NODE_TYPE_TELL)
		check_tell(f->payload);
	if (f->type == NODE_TYPE_SETTINGS)
		check_settings(f->payload);
	if (f->type == NODE_TYPE_APPEND && node_wire_begin(&in, f->payload) == RMQ_E_OK)
		assert(in.left <= RAFT_RUNS_MAX && in.message.run_count == 0);
	if (f->type == NODE_TYPE_RUN) {
		unsigned left = in.left;
		if (node_wire_run(&in, f->payload) == RMQ_E_OK) {
			assert(left > 0 && in.left == left - 1);
			check_run(in.message.run_count - 1);
		} else {
			assert(in.left == 0 && in.message.run_count == 0);
		}
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice rest = slice_of(data, size);
	struct frame f;
	size_t used;

	while (frame_parse(rest, &f, &used) == RMQ_E_OK && used > 0) {
		take(&f);
		rest = slice_of(rest.data + used, rest.len - used);
	}
	node_wire_clear(&in);
	return 0;
}

static struct raft_config a_config(void)
{
	struct raft_config c = {.cluster = {{1}}, .count = 2};
	for (unsigned i = 0; i < 2; i++) {
		struct raft_member *m = &c.members[i];
		*m = (struct raft_member){.name = "n1",
		    .key = {(uint8_t)(i + 1)},
		    .id = {{(uint8_t)(i + 1)}},
		    .flags = RAFT_VOTER | RAFT_BROKER,
		    .address = "192.0.2.1:7401"};
		m->name[1] = (char)('1' + i);
	}
	return c;
}

/* An APPEND with a record of events, holes, a configuration and a NOOP. */
static void seed_append(fuzz_add *add)
{
	static const char text[] = "events";
	static uint8_t config[RAFT_CONFIG_SIZE_MAX], seed[8192];
	struct raft_config c = a_config();
	struct writer cw = writer_of(config, sizeof(config)), w = writer_of(seed, sizeof(seed));

	raft_config_encode(&cw, &c);
	const struct raft_run runs[] = {
	    {.first = 7, .term = 2, .count = 1, .bytes = sizeof(text), .kind = RECORD_EVENTS},
	    {.first = 8, .term = 2, .count = 100, .kind = RAFT_HOLE},
	    {.first = 108,
		.term = 3,
		.count = 1,
		.bytes = (uint32_t)cw.len,
		.kind = RECORD_CONFIG},
	    {.first = 109, .term = 3, .count = 1, .kind = RECORD_NOOP},
	};
	const struct slice payloads[] = {
	    slice_of(text, sizeof(text)), {NULL, 0}, slice_of(config, cw.len), {NULL, 0}};
	node_wire_put(&w, &(struct raft_message){.type = RAFT_APPEND,
			      .term = 3,
			      .place = {6, 2},
			      .commit = 107,
			      .run_count = 4});
	for (unsigned i = 0; i < 4; i++) {
		node_wire_put_run(&w, &runs[i]);
		put_rest(&w, payloads[i]);
	}
	node_wire_put(&w, &(struct raft_message){.type = RAFT_APPENDED, .term = 3, .ok = true});
	assert(!w.full);
	add(seed, w.len);
}

static void seed_command(fuzz_add *add)
{
	static const uint8_t key[RAFT_KEY_SIZE] = {1}, id[RAFT_ID_SIZE] = {2};
	uint8_t seed[512];
	struct writer w = writer_of(seed, sizeof(seed));

	node_put_command(&w, &(struct node_command){1, NODE_COMMAND_TAKE_IN, slice_str("n2"),
				 slice_of(key, sizeof(key)), slice_of(id, sizeof(id)),
				 RAFT_BROKER, slice_str("host:1"), slice_str("")});
	add(seed, w.len);
}

static void seed_tell(fuzz_add *add)
{
	static struct tell t = {.metrics = {.version = "1.0"},
	    .settings = {{"500ms", "100ms", "auto", "3,west:1", "none"}},
	    .opinion = {.suspects = {2, {{{1}}, {{2}}}}, .unheard = {1, {{{3}}}}}};
	uint8_t tags[TELL_SIZE_MAX], seed[TELL_SIZE_MAX + 64];
	struct writer w = writer_of(tags, sizeof(tags)), f = writer_of(seed, sizeof(seed));

	for (unsigned i = 0; i < METRICS_COUNT; i++)
		metrics_set(&t.metrics, (enum metric)i, i);
	tell_encode(&w, &t);
	node_put_tell(&f, &(struct node_tell){slice_of(tags, w.len)});
	assert(!w.full && !f.full);
	add(seed, f.len);
}

static void seed_settings(fuzz_add *add)
{
	const struct settings s = {{"500ms", "100ms", "explicit", "3,west:1", "41235"}};
	uint8_t tags[SETTINGS_SIZE_MAX], seed[SETTINGS_SIZE_MAX + 64];
	struct writer w = writer_of(tags, sizeof(tags)), f = writer_of(seed, sizeof(seed));

	settings_encode(&w, &s, true);
	node_put_settings(&f, &(struct node_settings){slice_of(tags, w.len)});
	assert(!w.full && !f.full);
	add(seed, f.len);
}

void fuzz_seeds(fuzz_add *add)
{
	uint8_t seed[1024];
	struct writer writer, *w = &writer;
	size_t begin;

	seed_append(add);
	seed_command(add);
	seed_tell(add);
	seed_settings(add);
#define X(type, NAME, name, FIELDS) \
	writer = writer_of(seed, sizeof(seed)); \
	begin = frame_begin(w, type); \
	FIELDS(FUZZ_PUT) \
	frame_end(w, begin); \
	add(w->p, w->len);
	NODE_FRAMES(X)
#undef X
}
