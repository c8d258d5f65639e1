/*
 * The control socket, both ways: a stream of frames is taken as requests and as views.  What
 * is accepted is in bounds, and a whole view says the same when it is written again.
 */
#include "fuzz.h"

#include <stdlib.h>

#include "core/base/name.h"
#include "core/host/control.h"

static uint8_t again[CONTROL_VIEW_SIZE_MAX];

static void check_view(const struct control_view *v, uint32_t req, unsigned version)
{
	struct control_collector c = {.untagged = version == 1};
	struct writer w = writer_of(again, sizeof(again));
	size_t used = 0;
	enum rmq_error err = RMQ_E_NOTHING;

	control_view_encode(&w, req, v, version);
	assert(!w.full && v->count <= RAFT_MEMBERS_MAX);
	for (size_t at = 0; at < w.len; at += used) {
		struct frame f;
		assert(err == RMQ_E_NOTHING);
		assert(!frame_parse(slice_of(w.p + at, w.len - at), &f, &used) && used > 0);
		err = control_collect(&c, &f);
	}
	assert(err == RMQ_E_OK && c.req == req && c.view.count == v->count);
	assert(memcmp(c.view.name, v->name, sizeof(v->name)) == 0);
	for (unsigned i = 0; i < v->count; i++)
		assert(control_view_find(&c.view, v->members[i].name));
	assert(strlen(control_role_text(v->role)) > 0);
}

static void check_request(const struct frame *f)
{
	struct control_request r;
	const char *why = NULL;
	enum rmq_error err = control_request_parse(f, &r, &why);

	assert(err == RMQ_E_OK || err == RMQ_E_PROTOCOL || (err == RMQ_E_USAGE && why));
	if (err)
		return;
	assert(memchr(r.name, 0, sizeof(r.name)) && memchr(r.address, 0, sizeof(r.address)));
	assert(!r.name[0] || name_valid_node(slice_str(r.name)));
	assert((r.type != CONTROL_TYPE_ADMIT && r.type != CONTROL_TYPE_REPLACE) || r.name[0]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice in = slice_of(data, size);
	struct control_collector c = {.req = 0}, older = {.untagged = true};
	struct frame f;
	size_t used;

	while (!frame_parse(in, &f, &used) && used > 0) {
		check_request(&f);
		if (control_collect(&c, &f) == RMQ_E_OK)
			for (unsigned i = CONTROL_OLDEST; i <= CONTROL_VERSION; i++)
				check_view(&c.view, c.req, i);
		if (control_collect(&older, &f) == RMQ_E_OK)
			check_view(&older.view, older.req, 1);
		in = slice_of(in.data + used, in.len - used);
	}
	return 0;
}

void fuzz_seeds(fuzz_add *add)
{
	static uint8_t all[16384];
	static struct control_view v = {.name = "n1",
	    .leader = "n2",
	    .leader_gate = "host:7402",
	    .queue_socket = "/run/rmq/queue.sock",
	    .cluster = {{1}},
	    .id = {{2}},
	    .key = {3},
	    .role = CONTROL_ROLE_LEADER,
	    .count = 3,
	    .members = {{.name = "n1", .id = {{2}}, .address = "host:1"}, {.name = "n2"},
		{.name = "n3", .key = {9}}}};
	struct writer stream = writer_of(all, sizeof(all)), *w = &stream;
	size_t begin;

#define X(type, NAME, name, FIELDS) \
	begin = frame_begin(w, type); \
	FIELDS(FUZZ_PUT) \
	frame_end(w, begin); \
	add(w->p + begin, w->len - begin);
	CONTROL_ASKER_FRAMES(X)
	CONTROL_NODE_FRAMES(X)
#undef X
	w->len = 0;
	control_view_encode(w, 1, &v, 1);
	control_view_encode(w, 1, &v, CONTROL_VERSION);
	control_put_admit(w, &(struct control_admit){2, slice_str("n4"),
				 slice_of(v.members[2].key, RAFT_KEY_SIZE)});
	control_put_leave(w, &(struct control_leave){3, slice_str("n4")});
	control_put_join(w, &(struct control_join){3, slice_str("n1@host:7401")});
	control_view_encode(w, 1, &v, CONTROL_VERSION);
	assert(!w->full);
	add(all, w->len);
}
