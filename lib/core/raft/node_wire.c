#include "core/raft/node_wire.h"

#include "core/base/memory.h"

/* What was received, which is no term: who takes records has no other use for the field. */
static bool says_received(enum raft_message_type type, bool ok)
{
	return type == RAFT_APPENDED && ok;
}

void node_wire_put(struct writer *w, const struct raft_message *m)
{
	if (m->type != RAFT_APPEND) {
		bool received = says_received(m->type, m->ok);
		node_put_message(
		    w, &(struct node_message){(uint8_t)m->type, m->ok, m->term, m->place.index,
			   received ? m->received : m->place.term, m->round});
		return;
	}
	node_put_append(w, &(struct node_append){
			       .term = m->term,
			       .index = m->place.index,
			       .index_term = m->place.term,
			       .commit = m->commit,
			       .cover = m->cover.index,
			       .cover_term = m->cover.term,
			       .round = m->round,
			       .runs = (uint16_t)m->run_count,
			   });
}

void node_wire_put_run(struct writer *w, const struct raft_run *run)
{
	size_t begin = w->len;
	node_put_run(w, &(struct node_run){run->first, run->term, run->count, run->kind, {0}});
	if (!w->full)
		store_u32(
		    w->p + begin, (uint32_t)(NODE_RUN_HEAD - FRAME_HEADER_SIZE + run->bytes));
}

enum rmq_error node_wire_message(struct slice payload, struct raft_message *m)
{
	struct node_message f;

	if (!node_message_decode(payload, &f) || f.ok > 1 || f.type == RAFT_APPEND ||
	    f.type > RAFT_REMOVED)
		return RMQ_E_PROTOCOL;
	*m = (struct raft_message){
	    .type = (enum raft_message_type)f.type,
	    .term = f.term,
	    .place = {f.index, f.index_term},
	    .ok = f.ok == 1,
	    .round = f.round,
	};
	if (says_received(m->type, m->ok)) {
		m->received = f.index_term;
		m->place.term = 0;
	}
	return RMQ_E_OK;
}

enum rmq_error node_wire_begin(struct node_wire_in *in, struct slice payload)
{
	struct node_append f;

	node_wire_clear(in);
	if (!node_append_decode(payload, &f) || f.runs > RAFT_RUNS_MAX)
		return RMQ_E_PROTOCOL;
	in->message = (struct raft_message){
	    .type = RAFT_APPEND,
	    .term = f.term,
	    .place = {f.index, f.index_term},
	    .commit = f.commit,
	    .cover = {f.cover, f.cover_term},
	    .round = f.round,
	    .runs = in->runs,
	};
	in->left = f.runs;
	return RMQ_E_OK;
}

static enum rmq_error take_config(struct node_wire_in *in, struct slice payload)
{
	struct raft_config *config = memory_new(sizeof(*config));

	in->configs[in->config_count++] = config;
	if (raft_config_decode(payload, config))
		return RMQ_E_PROTOCOL;
	in->runs[in->message.run_count].config = config;
	return RMQ_E_OK;
}

static bool well_formed(const struct node_run *f)
{
	if (f->first == 0 || f->count == 0 || f->first > UINT64_MAX - f->count)
		return false;
	if (f->kind == RAFT_HOLE)
		return f->payload.len == 0;
	return f->count == 1 && record_kind_name(f->kind) &&
	       f->payload.len <= RECORD_PAYLOAD_MAX;
}

enum rmq_error node_wire_run(struct node_wire_in *in, struct slice payload)
{
	struct node_run f;
	unsigned at = in->message.run_count;
	enum rmq_error err = RMQ_E_OK;

	if (in->left == 0 || !node_run_decode(payload, &f) || !well_formed(&f))
		err = RMQ_E_PROTOCOL;
	if (!err) {
		in->runs[at] = (struct raft_run){.first = f.first,
		    .term = f.term,
		    .count = f.count,
		    .bytes = (uint32_t)f.payload.len,
		    .kind = f.kind};
		in->payloads[at] = f.payload;
	}
	if (!err && f.kind == RECORD_CONFIG)
		err = take_config(in, f.payload);
	if (err) {
		node_wire_clear(in);
		return err;
	}
	in->message.run_count++;
	in->bytes += f.payload.len;
	in->left--;
	return RMQ_E_OK;
}

void node_wire_clear(struct node_wire_in *in)
{
	for (unsigned i = 0; i < in->config_count; i++)
		free(in->configs[i]);
	in->config_count = 0;
	in->message.run_count = 0;
	in->left = 0;
	in->bytes = 0;
}

enum rmq_error node_wire_id(struct slice s, struct raft_id *id)
{
	if (s.len != RAFT_ID_SIZE)
		return RMQ_E_PROTOCOL;
	memcpy(id->bytes, s.data, RAFT_ID_SIZE);
	return raft_id_none(*id) ? RMQ_E_PROTOCOL : RMQ_E_OK;
}

static bool put_text(char *to, size_t cap, struct slice s)
{
	if (s.len > cap || (s.len > 0 && memchr(s.data, 0, s.len)))
		return false;
	if (s.len > 0)
		memcpy(to, s.data, s.len);
	to[s.len] = '\0';
	return true;
}

enum rmq_error node_wire_member(const struct node_command *f, struct raft_member *m)
{
	*m = (struct raft_member){.flags = f->flags & 0x0f};
	if (!put_text(m->name, RAFT_NAME_MAX, f->name) ||
	    !put_text(m->address, RAFT_ADDRESS_MAX, f->address) ||
	    !put_text(m->gate, RAFT_ADDRESS_MAX, f->gate) ||
	    (f->key.len > 0 && f->key.len != RAFT_KEY_SIZE) ||
	    (f->id.len > 0 && node_wire_id(f->id, &m->id)))
		return RMQ_E_PROTOCOL;
	if (f->key.len > 0)
		memcpy(m->key, f->key.data, RAFT_KEY_SIZE);
	return m->name[0] == '\0' || raft_member_valid(m) ? RMQ_E_OK : RMQ_E_PROTOCOL;
}

enum rmq_error node_wire_place(
    const struct node_place *f, struct raft_id *id, char address[RAFT_ADDRESS_MAX + 1])
{
	if (node_wire_id(f->id, id) || f->address.len == 0 ||
	    !put_text(address, RAFT_ADDRESS_MAX, f->address) || !raft_address_valid(address))
		return RMQ_E_PROTOCOL;
	return RMQ_E_OK;
}
