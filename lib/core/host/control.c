#include "core/host/control.h"

#include "core/base/name.h"
#include "core/host/events.h"

static_assert(RAFT_KEY_SIZE <= UINT8_MAX && TEXT_MAX <= UINT8_MAX, "they are strings");

/* Bytes that are all zero stand for none, which is the empty string in a frame. */
static struct slice bytes_slice(const uint8_t *bytes, size_t size)
{
	for (size_t i = 0; i < size; i++)
		if (bytes[i])
			return slice_of(bytes, size);
	return slice_of(NULL, 0);
}

static bool take_bytes(uint8_t *out, size_t size, struct slice s)
{
	memset(out, 0, size);
	if (s.len == 0)
		return true;
	if (s.len != size)
		return false;
	memcpy(out, s.data, size);
	return true;
}

static bool take_text(char *out, size_t size, struct slice s)
{
	if (s.len >= size || (s.len > 0 && memchr(s.data, 0, s.len)))
		return false;
	if (s.len > 0)
		memcpy(out, s.data, s.len);
	out[s.len] = 0;
	return true;
}

/* Of a node, or "". */
static bool take_name(char out[RAFT_NAME_MAX + 1], struct slice s)
{
	return (s.len == 0 || name_valid_node(s)) && take_text(out, RAFT_NAME_MAX + 1, s);
}

const char *control_role_text(enum control_role role)
{
	switch (role) {
#define X(NAME, value, text) \
	case CONTROL_ROLE_##NAME: \
		return text;
		CONTROL_ROLES(X)
#undef X
	}
	return "unknown";
}

const char *control_member_state_text(uint64_t state)
{
	switch (state) {
#define X(NAME, value, text) \
	case CONTROL_MEMBER_##NAME: \
		return text;
		CONTROL_MEMBER_STATES(X)
#undef X
	}
	return "unknown";
}

enum control_member_state control_member_state_of(const struct raft_member *m)
{
	if (raft_id_none(m->id))
		return CONTROL_MEMBER_ADMITTED;
	if (m->leaving)
		return m->leaving == RAFT_LEAVES ? CONTROL_MEMBER_LEAVING
						 : CONTROL_MEMBER_EXITING;
	return m->flags & RAFT_VOTER ? CONTROL_MEMBER_UP : CONTROL_MEMBER_JOINING;
}

const char *control_reason_text(enum control_reason reason)
{
	switch (reason) {
#define X(NAME, value, text) \
	case CONTROL_REASON_##NAME: \
		return text;
		CONTROL_REASONS(X)
#undef X
	}
	return "unknown";
}

const char *control_log_text(enum control_log level)
{
	switch (level) {
#define X(NAME, value, text) \
	case CONTROL_LOG_##NAME: \
		return text;
		CONTROL_LOGS(X)
#undef X
	case CONTROL_LOG_ASKED:
		break;
	}
	return "unknown";
}

bool control_log_parse(const char *text, enum control_log *level)
{
#define X(NAME, value, name) \
	if (strcmp(text, name) == 0) { \
		*level = CONTROL_LOG_##NAME; \
		return true; \
	}
	CONTROL_LOGS(X)
#undef X
	return false;
}

const char *control_synchronous_text(uint64_t synchronous)
{
	switch (synchronous) {
#define X(NAME, value, text) \
	case CONTROL_SYNCHRONOUS_##NAME: \
		return text;
		CONTROL_SYNCHRONOUS(X)
#undef X
	}
	return "";
}

const char *control_gate_text(enum control_its_gate gate)
{
	static const char *const texts[] = {
#define X(NAME, value, text) [value] = (text),
	    CONTROL_GATES(X)
#undef X
	};
	return texts[gate];
}

const struct control_view_member *control_view_find(
    const struct control_view *v, const char *name)
{
	for (unsigned i = 0; i < v->count; i++)
		if (strcmp(v->members[i].name, name) == 0)
			return &v->members[i];
	return NULL;
}

/* ---- a view ---- */

/* The tagged fields of a view or of a member as a list in `bytes`, which has room for all. */
static struct slice state_tags(uint8_t bytes[CONTROL_TAGS_MAX], const struct control_view *v)
{
	struct writer w = writer_of(bytes, CONTROL_TAGS_MAX);

#define X(tag, name) tags_put_u64(&w, tag, v->name);
	CONTROL_STATE_NUMBERS(X)
#undef X
#define X(tag, name, max) \
	if (v->name[0]) \
		tags_put(&w, tag, slice_str(v->name));
	CONTROL_STATE_TEXTS(X)
#undef X
	return slice_of(bytes, w.len);
}

static void put_member_tag(struct writer *w, unsigned at, const struct control_view_member *m)
{
	switch (at) {
#define X(tag, name, max) \
	case tag: \
		if (m->name[0]) \
			tags_put(w, tag, slice_str(m->name)); \
		break;
		CONTROL_MEMBER_TEXTS(X)
#undef X
#define X(tag, name) \
	case tag: \
		tags_put_u64(w, tag, m->name); \
		break;
		CONTROL_MEMBER_NUMBERS(X)
#undef X
	}
}

/* Numbers and texts, in order. */
static struct slice member_tags(
    uint8_t bytes[CONTROL_TAGS_MAX], const struct control_view_member *m)
{
	struct writer w = writer_of(bytes, CONTROL_TAGS_MAX);

	for (unsigned tag = 1; tag <= CONTROL_MEMBER_TAG_MAX; tag++)
		put_member_tag(&w, tag, m);
	return slice_of(bytes, w.len);
}

static bool take_tags(unsigned type, struct slice tags)
{
	uint16_t unknown;

	return tags_check(tags, type, control_tag_name, &unknown) == RMQ_E_OK;
}

/* Version 1: the list of tags, which is empty, is taken off the frame that begins there. */
#define NO_TAGS_SIZE 2
static void take_off_tags(struct writer *w, size_t begin)
{
	if (w->full)
		return;
	w->len -= NO_TAGS_SIZE;
	frame_end(w, begin);
}

static void encode_member(
    struct writer *w, uint32_t req, const struct control_view_member *m, bool tagged)
{
	uint8_t tags[CONTROL_TAGS_MAX];
	size_t begin = w->len;

	control_put_member(w, &(struct control_member){.req = req,
				  .name = slice_str(m->name),
				  .key = bytes_slice(m->key, sizeof(m->key)),
				  .id = bytes_slice(m->id.bytes, sizeof(m->id.bytes)),
				  .address = slice_str(m->address),
				  .gate = slice_str(m->gate),
				  .raft_flags = m->raft_flags,
				  .flags = m->flags,
				  .match = m->match,
				  .tags = tagged ? member_tags(tags, m) : NO_TAGS});
	if (!tagged)
		take_off_tags(w, begin);
}

void control_view_encode(
    struct writer *w, uint32_t req, const struct control_view *v, unsigned version)
{
	uint8_t tags[CONTROL_TAGS_MAX];
	bool tagged = version > 1;
	size_t begin = w->len;

	control_put_state(
	    w, &(struct control_state){.req = req,
		   .cluster = bytes_slice(v->cluster.bytes, sizeof(v->cluster.bytes)),
		   .name = slice_str(v->name),
		   .key = bytes_slice(v->key, sizeof(v->key)),
		   .id = bytes_slice(v->id.bytes, sizeof(v->id.bytes)),
		   .role = (uint8_t)v->role,
		   .flags = v->flags,
		   .term = v->term,
		   .commit = v->commit,
		   .last = v->last,
		   .leader = slice_str(v->leader),
		   .leader_key = bytes_slice(v->leader_key, sizeof(v->leader_key)),
		   .leader_gate = slice_str(v->leader_gate),
		   .queue_socket = slice_str(v->queue_socket),
		   .problem = slice_str(v->problem),
		   .members = (uint8_t)v->count,
		   .tags = tagged ? state_tags(tags, v) : NO_TAGS});
	if (!tagged)
		take_off_tags(w, begin);
	for (unsigned i = 0; i < v->count; i++)
		encode_member(w, req, &v->members[i], tagged);
}

static bool take_state_texts(struct control_view *v, struct slice tags)
{
	struct slice text;

#define X(tag, name, max) \
	if (tags_find(tags, tag, &text) && !take_text(v->name, (max) + 1, text)) \
		return false;
	CONTROL_STATE_TEXTS(X)
#undef X
	return true;
}

static bool take_state(struct control_collector *c, const struct control_state *s)
{
	struct control_view *v = &c->view;

	memset(v, 0, sizeof(*v));
	c->req = s->req;
	c->missing = s->members;
	v->role = (enum control_role)s->role;
	v->flags = s->flags;
	v->term = s->term;
	v->commit = s->commit;
	v->last = s->last;
#define X(tag, name) v->name = tags_find_u64(s->tags, tag);
	CONTROL_STATE_NUMBERS(X)
#undef X
	return take_tags(CONTROL_TYPE_STATE, s->tags) && take_state_texts(v, s->tags) &&
	       s->members <= RAFT_MEMBERS_MAX &&
	       take_bytes(v->cluster.bytes, sizeof(v->cluster.bytes), s->cluster) &&
	       take_name(v->name, s->name) && take_bytes(v->key, sizeof(v->key), s->key) &&
	       take_bytes(v->id.bytes, sizeof(v->id.bytes), s->id) &&
	       take_name(v->leader, s->leader) &&
	       take_bytes(v->leader_key, sizeof(v->leader_key), s->leader_key) &&
	       take_text(v->leader_gate, sizeof(v->leader_gate), s->leader_gate) &&
	       take_text(v->queue_socket, sizeof(v->queue_socket), s->queue_socket) &&
	       take_text(v->problem, sizeof(v->problem), s->problem);
}

static bool take_texts(struct control_view_member *v, struct slice tags)
{
	struct slice text;

#define X(tag, name, max) \
	if (tags_find(tags, tag, &text) && !take_text(v->name, (max) + 1, text)) \
		return false;
	CONTROL_MEMBER_TEXTS(X)
#undef X
	return true;
}

static bool take_member(struct control_collector *c, const struct control_member *m)
{
	struct control_view_member *v = &c->view.members[c->view.count];

	if (c->missing == 0 || m->req != c->req)
		return false;
	v->raft_flags = m->raft_flags;
	v->flags = m->flags;
	v->match = m->match;
#define X(tag, name) v->name = tags_find_u64(m->tags, tag);
	CONTROL_MEMBER_NUMBERS(X)
#undef X
	if (!take_tags(CONTROL_TYPE_MEMBER, m->tags) || !take_texts(v, m->tags) ||
	    m->name.len == 0 || !take_name(v->name, m->name) ||
	    !take_bytes(v->key, sizeof(v->key), m->key) ||
	    !take_bytes(v->id.bytes, sizeof(v->id.bytes), m->id) ||
	    !take_text(v->address, sizeof(v->address), m->address) ||
	    !take_text(v->gate, sizeof(v->gate), m->gate))
		return false;
	c->view.count++;
	c->missing--;
	return true;
}

/* What a member of version 1 does not say. */
static void note_state(struct control_view_member *v)
{
	v->state = raft_id_none(v->id)		? CONTROL_MEMBER_ADMITTED
		   : v->raft_flags & RAFT_VOTER ? CONTROL_MEMBER_UP
						: CONTROL_MEMBER_JOINING;
}

/* A payload of version 1 with an empty list of tags after it; false: it is too long. */
static bool add_tags(uint8_t *bytes, size_t cap, struct slice *payload)
{
	if (payload->len + NO_TAGS_SIZE > cap)
		return false;
	if (payload->len > 0)
		memcpy(bytes, payload->data, payload->len);
	memset(bytes + payload->len, 0, NO_TAGS_SIZE);
	*payload = slice_of(bytes, payload->len + NO_TAGS_SIZE);
	return true;
}

enum rmq_error control_collect(struct control_collector *c, const struct frame *f)
{
	uint8_t bytes[CONTROL_VIEW_SIZE_MAX / (1 + RAFT_MEMBERS_MAX)];
	struct slice payload = f->payload;
	struct control_state state;
	struct control_member member;
	bool good = !c->untagged || add_tags(bytes, sizeof(bytes), &payload);

	if (good && f->type == CONTROL_TYPE_STATE)
		good = c->missing == 0 && control_state_decode(payload, &state) &&
		       take_state(c, &state);
	else if (good && f->type == CONTROL_TYPE_MEMBER)
		good = control_member_decode(payload, &member) && take_member(c, &member);
	else
		good = false;
	if (good && c->untagged && f->type == CONTROL_TYPE_MEMBER)
		note_state(&c->view.members[c->view.count - 1]);
	if (!good) {
		c->missing = 0;
		return RMQ_E_PROTOCOL;
	}
	return c->missing > 0 ? RMQ_E_NOTHING : RMQ_E_OK;
}

/* ---- requests ---- */

static bool take_admit(
    struct control_request *r, const struct control_admit *m, const char **why)
{
	*why = "not a node's name";
	if (m->name.len == 0 || !take_name(r->name, m->name))
		return false;
	*why = "not a public key";
	return m->key.len > 0 && take_bytes(r->key, sizeof(r->key), m->key);
}

static bool take_log(struct control_request *r, uint8_t level, const char **why)
{
	*why = "no such level";
	r->log = (enum control_log)level;
	return level <= CONTROL_LOG_DEBUG || level == CONTROL_LOG_ASKED;
}

/* No name is this node, or the best one; nobody means to down the node that is asked. */
static bool take_leave(
    struct control_request *r, uint16_t type, const struct control_leave *m, const char **why)
{
	r->req = m->req;
	*why = "not a node's name";
	return take_name(r->name, m->name) && (type != CONTROL_TYPE_DOWN || m->name.len > 0);
}

static bool take_events(
    struct control_request *r, const struct control_events *m, const char **why)
{
	*why = "unknown flags";
	r->flags = m->flags;
	r->since = m->since;
	return (m->flags & ~EVENTS_FLAGS) == 0;
}

enum rmq_error control_request_parse(
    const struct frame *f, struct control_request *r, const char **why)
{
	struct control_admit admit; /* REPLACE has the same fields */
	struct control_join join;
	struct control_leave leave;   /* LEAVE_FORCED, DOWN and TRANSFER have the same fields */
	struct control_status status; /* as INIT…, STATUS, WATCH and WHY do */
	struct control_gate gate;
	struct control_events events;
	struct control_log_level log;
	bool good = true;

	memset(r, 0, sizeof(*r));
	switch (f->type) {
	case CONTROL_TYPE_INIT:
	case CONTROL_TYPE_INIT_NEW:
	case CONTROL_TYPE_INIT_ADOPT:
	case CONTROL_TYPE_STATUS:
	case CONTROL_TYPE_WATCH:
	case CONTROL_TYPE_WHY:
		if (!control_status_decode(f->payload, &status))
			return RMQ_E_PROTOCOL;
		r->req = status.req;
		break;
	case CONTROL_TYPE_ADMIT:
	case CONTROL_TYPE_REPLACE:
		if (!control_admit_decode(f->payload, &admit))
			return RMQ_E_PROTOCOL;
		r->req = admit.req;
		good = take_admit(r, &admit, why);
		break;
	case CONTROL_TYPE_JOIN:
		if (!control_join_decode(f->payload, &join))
			return RMQ_E_PROTOCOL;
		r->req = join.req;
		*why = "not an address";
		good = take_text(r->address, sizeof(r->address), join.address);
		break;
	case CONTROL_TYPE_LEAVE:
	case CONTROL_TYPE_LEAVE_FORCED:
	case CONTROL_TYPE_DOWN:
	case CONTROL_TYPE_TRANSFER:
		if (!control_leave_decode(f->payload, &leave))
			return RMQ_E_PROTOCOL;
		good = take_leave(r, f->type, &leave, why);
		break;
	case CONTROL_TYPE_GATE:
		if (!control_gate_decode(f->payload, &gate) ||
		    gate.state >= CONTROL_GATE_STATES)
			return RMQ_E_PROTOCOL;
		r->req = gate.req;
		r->gate = (enum control_gate_state)gate.state;
		break;
	case CONTROL_TYPE_LOG:
		if (!control_log_level_decode(f->payload, &log))
			return RMQ_E_PROTOCOL;
		r->req = log.req;
		good = take_log(r, log.level, why);
		break;
	case CONTROL_TYPE_EVENTS:
		if (!control_events_decode(f->payload, &events))
			return RMQ_E_PROTOCOL;
		r->req = events.req;
		good = take_events(r, &events, why);
		break;
	default:
		return RMQ_E_PROTOCOL;
	}
	r->type = (enum control_type)f->type;
	return good ? RMQ_E_OK : RMQ_E_USAGE;
}
