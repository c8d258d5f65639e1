#include "core/link/link.h"

#include <assert.h>

enum link_kind { KIND_DATA = 0, KIND_CLOSE = 1 };

#define KIND_SIZE    1
#define CONFIRM_SIZE (KIND_SIZE + NOISE_TAG_SIZE) /* an empty DATA record */

static const struct slice nothing = {(const uint8_t *)"", 0};

const char *link_role_name(unsigned code)
{
	switch (code) {
#define X(name, value, cluster) \
	case value: \
		return #name;
		LINK_ROLES(X)
#undef X
	}
	return NULL;
}

bool link_role_parse(uint8_t byte, unsigned roles, enum link_role *role)
{
	if (!link_role_name(byte) || !(roles & LINK_ROLE_BIT(byte)))
		return false;
	*role = (enum link_role)byte;
	return true;
}

static bool role_has_cluster(enum link_role role)
{
	switch (role) {
#define X(name, value, cluster) \
	case LINK_##name: \
		return cluster;
		LINK_ROLES(X)
#undef X
	}
	return true;
}

static struct slice prologue_encode(
    const struct link_identity *id, uint8_t bytes[LINK_PROLOGUE_MAX])
{
	struct writer w = writer_of(bytes, LINK_PROLOGUE_MAX);
	const struct link_prologue prologue = {.magic = LINK_MAGIC,
	    .version = LINK_VERSION,
	    .role = (uint8_t)id->role,
	    .cluster = role_has_cluster(id->role) ? id->cluster : nothing,
	    .responder = id->responder};
	link_prologue_encode(&w, &prologue);
	assert(!w.full);
	return slice_of(w.p, w.len);
}

/* Appends a length; gives the place for so many bytes after it. */
static uint8_t *append(struct writer *out, size_t len)
{
	put_u16(out, (uint16_t)len);
	uint8_t *p = writer_take(out, len);
	assert(p);
	return p;
}

/* Takes what append() gave back, when there is nothing to put there. */
static enum rmq_error unappend(struct writer *out, size_t len, enum rmq_error err)
{
	if (err)
		out->len -= LINK_LENGTH_SIZE + len;
	return err;
}

enum rmq_error link_initiate(struct link *l, const struct link_identity *id,
    const uint8_t responder[KEY_SIZE], struct writer *out)
{
	uint8_t bytes[LINK_PROLOGUE_MAX];
	struct slice prologue = prologue_encode(id, bytes);
	memset(l, 0, sizeof(*l));
	l->role = id->role;
	enum rmq_error err =
	    noise_initiate(&l->noise, prologue, id->own, id->ephemeral, responder);
	if (err)
		return err;
	size_t begin = out->len;
	put_u8(out, (uint8_t)id->role);
	uint8_t *message = append(out, NOISE_MESSAGE_1_SIZE);
	err = noise_write(&l->noise, nothing, message);
	if (err)
		out->len = begin;
	return err;
}

/* Called back while message 1 is read. */
static bool peer_known(void *context, const uint8_t key[KEY_SIZE])
{
	const struct link *l = context;
	return l->known(l->context, l->role, key);
}

enum rmq_error link_respond(
    struct link *l, const struct link_identity *id, link_known *known, void *context)
{
	uint8_t bytes[LINK_PROLOGUE_MAX];
	struct slice prologue = prologue_encode(id, bytes);
	memset(l, 0, sizeof(*l));
	l->role = id->role;
	l->known = known;
	l->context = context;
	return noise_respond(&l->noise, prologue, id->own, id->ephemeral, peer_known, l);
}

void link_deinit(struct link *l)
{
	noise_deinit(&l->noise);
}

bool link_can_send(const struct link *l)
{
	return !l->close_sent && (l->noise.state == NOISE_OPEN ||
				     (l->noise.state == NOISE_SILENT && l->noise.initiator));
}

/* ---- input ---- */

/* The one length that is legal, before the peer is known; 0: any. */
static size_t exact_length(const struct link *l)
{
	switch (l->noise.state) {
	case NOISE_READS_1:
		return NOISE_MESSAGE_1_SIZE;
	case NOISE_READS_2:
		return NOISE_MESSAGE_2_SIZE;
	case NOISE_SILENT:
		return l->noise.initiator ? 0 : CONFIRM_SIZE;
	default:
		return 0;
	}
}

size_t link_input_max(const struct link *l)
{
	size_t exact = exact_length(l);
	if (l->noise.state == NOISE_FAILED || l->close_received)
		return 0;
	return exact ? LINK_LENGTH_SIZE + exact : LINK_STEP_MAX;
}

/* Makes a record of the pieces. */
static enum rmq_error seal_pieces(struct link *l, const struct slice *pieces, size_t count,
    enum link_kind kind, uint8_t *record)
{
	struct slice all[LINK_PIECES_MAX + 1];
	const uint8_t end[KIND_SIZE] = {(uint8_t)kind};
	size_t len = KIND_SIZE + NOISE_TAG_SIZE;
	assert(count <= LINK_PIECES_MAX);
	for (size_t i = 0; i < count; i++) {
		all[i] = pieces[i];
		len += pieces[i].len;
	}
	all[count] = slice_of(end, sizeof(end));
	store_u16(record, (uint16_t)len);
	return noise_seal_pieces(&l->noise, all, count + 1, record + LINK_LENGTH_SIZE);
}

/* The same at the end of `out`, where nothing stays on an error. */
static enum rmq_error seal(
    struct link *l, struct slice data, enum link_kind kind, struct writer *out)
{
	uint8_t *record = writer_take(out, data.len + LINK_OVERHEAD);
	assert(record);
	enum rmq_error err = seal_pieces(l, &data, 1, kind, record);
	if (err)
		out->len -= data.len + LINK_OVERHEAD;
	return err;
}

/* Message 1 is answered by message 2, and that by a record that proves it was no repetition. */
static enum rmq_error receive_message(struct link *l, struct slice message, struct writer *out)
{
	bool first = l->noise.state == NOISE_READS_1;
	l->noise.context = l; /* wherever it stands now */
	enum rmq_error err = noise_read(&l->noise, message, NULL, 0);
	if (err)
		return err;
	if (!first)
		return seal(l, nothing, KIND_DATA, out);
	uint8_t *p = append(out, NOISE_MESSAGE_2_SIZE);
	return unappend(out, NOISE_MESSAGE_2_SIZE, noise_write(&l->noise, nothing, p));
}

static enum rmq_error receive_record(struct link *l, struct slice record, struct writer *plain)
{
	uint8_t *p = plain->p + plain->len;
	assert(plain->cap - plain->len >= LINK_PLAIN_MAX);
	enum rmq_error err = noise_open(&l->noise, record, p);
	if (err)
		return err;
	if (record.len < KIND_SIZE + NOISE_TAG_SIZE)
		return noise_fail(&l->noise, RMQ_E_PROTOCOL);
	size_t len = record.len - KIND_SIZE - NOISE_TAG_SIZE;
	if (p[len] > KIND_CLOSE || (p[len] == KIND_CLOSE && len > 0))
		return noise_fail(&l->noise, RMQ_E_PROTOCOL);
	l->close_received = p[len] == KIND_CLOSE;
	plain->len += len;
	return RMQ_E_OK;
}

enum rmq_error link_receive(
    struct link *l, struct slice in, size_t *used, struct writer *plain, struct writer *out)
{
	*used = 0;
	if (l->noise.state == NOISE_FAILED)
		return l->noise.error;
	if (in.len > 0 && l->close_received)
		return noise_fail(&l->noise, RMQ_E_PROTOCOL);
	if (in.len < LINK_LENGTH_SIZE)
		return RMQ_E_OK;
	size_t len = load_u16(in.data), exact = exact_length(l);
	if (len < NOISE_TAG_SIZE || (exact && len != exact))
		return noise_fail(&l->noise, RMQ_E_PROTOCOL);
	if (in.len - LINK_LENGTH_SIZE < len)
		return RMQ_E_OK;
	struct slice body = slice_of(in.data + LINK_LENGTH_SIZE, len);
	bool handshake = l->noise.state < NOISE_SILENT;
	enum rmq_error err =
	    handshake ? receive_message(l, body, out) : receive_record(l, body, plain);
	if (!err)
		*used = LINK_LENGTH_SIZE + len;
	return err;
}

enum rmq_error link_eof(struct link *l)
{
	if (l->noise.state == NOISE_FAILED)
		return l->noise.error;
	return l->close_received ? RMQ_E_OK : noise_fail(&l->noise, RMQ_E_INTERRUPTED);
}

/* ---- output ---- */

size_t link_sealed_size(size_t len)
{
	return len + (len + LINK_DATA_MAX - 1) / LINK_DATA_MAX * LINK_OVERHEAD;
}

enum rmq_error link_send(struct link *l, struct slice data, struct writer *out)
{
	if (l->noise.state == NOISE_FAILED)
		return l->noise.error;
	if (!link_can_send(l))
		return noise_fail(&l->noise, RMQ_E_BUG);
	assert(out->cap - out->len >= link_sealed_size(data.len));
	while (data.len > 0) {
		size_t len = data.len < LINK_DATA_MAX ? data.len : LINK_DATA_MAX;
		enum rmq_error err = seal(l, slice_of(data.data, len), KIND_DATA, out);
		if (err)
			return err;
		data = slice_of(data.data + len, data.len - len);
	}
	return RMQ_E_OK;
}

enum rmq_error link_seal(
    struct link *l, const struct slice *pieces, size_t count, uint8_t *record)
{
	if (l->noise.state == NOISE_FAILED)
		return l->noise.error;
	if (!link_can_send(l))
		return noise_fail(&l->noise, RMQ_E_BUG);
	return seal_pieces(l, pieces, count, KIND_DATA, record);
}

enum rmq_error link_close(struct link *l, struct writer *out)
{
	if (l->noise.state == NOISE_FAILED)
		return l->noise.error;
	if (!link_can_send(l))
		return noise_fail(&l->noise, RMQ_E_BUG);
	enum rmq_error err = seal(l, nothing, KIND_CLOSE, out);
	l->close_sent = !err;
	return err;
}
