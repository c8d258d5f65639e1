/*
 * A gate that has proved its key and then says what it likes, to a client.  However the bytes are cut
 * into records, the same comes of them: the payloads of DATA within the client's credit, in turn.
 *
 *	u8 bytes in a record, 0: all; u8 every so many records the client takes what has come; then
 *	what the gate says
 */
#include "fuzz.h"

#include <stdlib.h>

#include "core/link/client_link.h"

#define SAID_MAX (64u << 10)
#define IN_MAX	 (512u << 10)

static const uint8_t secrets[2][KEY_SIZE] = {{0, 'g', 1}, {0, 'c', 1}};
static const uint8_t ephemerals[2][KEY_SIZE] = {{0, 'g', 2}, {0, 'c', 2}};

static size_t contacts_len;

static void on_contacts(void *arg, struct slice contacts)
{
	(void)arg;
	contacts_len += contacts.len;
}

static bool known(void *context, enum link_role role, const uint8_t key[KEY_SIZE])
{
	(void)context, (void)key;
	return role == LINK_CLIENT;
}

/* Takes what `from` was given to send into a link. */
static void pass(struct link *to, struct writer *from, struct writer *answer)
{
	static uint8_t nothing[LINK_PLAIN_MAX];
	struct writer plain = writer_of(nothing, sizeof(nothing));
	size_t used;
	enum rmq_error err =
	    link_receive(to, slice_of(from->p, from->len), &used, &plain, answer);
	assert(!err && used == from->len);
	from->len = 0;
}

/* Both ends of a link that is up; made once, and copied. */
static void establish(struct client_link *client, struct link *gate)
{
	static struct client_link up;
	static struct link other;
	uint8_t bytes[2][256];
	struct writer sent[2] = {
	    writer_of(bytes[0], sizeof(bytes[0])), writer_of(bytes[1], sizeof(bytes[1]))};
	struct keypair pairs[2];
	if (!client_link_up(&up)) {
		for (int i = 0; i < 2; i++) {
			memcpy(pairs[i].secret, secrets[i], KEY_SIZE);
			assert(key_public(secrets[i], pairs[i].key));
		}
		struct link_identity id = {.role = LINK_CLIENT,
		    .cluster = slice_str(""),
		    .responder = slice_str("n1"),
		    .own = &pairs[1],
		    .ephemeral = ephemerals[1]};
		enum rmq_error err =
		    client_link_begin(&up, &id, pairs[0].key, &sent[1], on_contacts, NULL);
		assert(!err);
		id.own = &pairs[0];
		id.ephemeral = ephemerals[0];
		err = link_respond(&other, &id, known, NULL);
		assert(!err);
		sent[1].p += LINK_ROLE_SIZE;
		sent[1].len -= LINK_ROLE_SIZE;
		pass(&other, &sent[1], &sent[0]);
		pass(&up.link, &sent[0], &sent[1]);
		pass(&other, &sent[1], &sent[0]);
	}
	*client = up;
	*gate = other;
}

struct outcome {
	enum rmq_error error;
	bool over;
	enum rmq_error code;
	uint32_t may_send;
	size_t contacts;
	size_t got;
};

static struct outcome feed(struct slice said, size_t piece, unsigned takes, uint8_t *got)
{
	static uint8_t memory[CLIENT_LINK_HEAD + IN_MAX], record[CLIENT_LINK_RECORD_MAX];
	struct client_link_in in = {memory + CLIENT_LINK_HEAD, IN_MAX, 0, 0};
	struct writer none = writer_of(NULL, 0);
	struct client_link c;
	struct link gate;
	struct outcome o = {0};
	size_t used;
	establish(&c, &gate);
	contacts_len = 0;
	for (unsigned n = 1; said.len > 0 && !o.error; n++) {
		size_t len = said.len < piece ? said.len : piece;
		struct writer w = writer_of(record, sizeof(record));
		o.error = link_send(&gate, slice_of(said.data, len), &w);
		assert(!o.error);
		o.error = client_link_receive(&c, slice_of(w.p, w.len), &used, &in, &none);
		assert(in.data <= in.end && in.end <= in.cap);
		assert(o.error || used == w.len);
		assert(in.end - in.data < CLIENT_LINK_FRAME_MAX);
		said = slice_of(said.data + len, said.len - len);
		if (takes > 0 && n % takes == 0) {
			memcpy(got + o.got, in.bytes, in.data);
			o.got += in.data;
			memmove(in.bytes, in.bytes + in.data, in.end - in.data);
			in.end -= in.data;
			in.data = 0;
		}
	}
	memcpy(got + o.got, in.bytes, in.data);
	o.got += in.data;
	o.over = c.over;
	o.code = c.code;
	o.may_send = c.flow.may_send;
	o.contacts = contacts_len;
	assert(o.got <= SAID_MAX && (!o.error || c.link.noise.state == NOISE_FAILED));
	client_link_deinit(&c);
	link_deinit(&gate);
	return o;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t got[2][SAID_MAX + 1];
	if (size < 2 || size > SAID_MAX)
		return 0;
	struct slice said = slice_of(data + 2, size - 2);
	struct outcome one = feed(said, LINK_DATA_MAX, 0, got[0]);
	struct outcome two = feed(said, data[0] ? data[0] : LINK_DATA_MAX, data[1], got[1]);
	assert(one.error == two.error && one.over == two.over && one.code == two.code);
	assert(one.contacts == two.contacts && one.may_send == two.may_send);
	/* In one record, what is wrong is found before what was right in it is given out. */
	assert(one.error || one.got == two.got);
	assert(memcmp(got[0], got[1], one.got < two.got ? one.got : two.got) == 0);
	return 0;
}

void fuzz_seeds(fuzz_add *add)
{
	static uint8_t bytes[SAID_MAX], zeros[8000];
	struct writer w = writer_of(bytes, sizeof(bytes));
	uint8_t one[128];
	struct writer contact = writer_of(one, sizeof(one));
	gate_contact_encode(&contact, &(struct gate_contact){slice_str("192.0.2.1:7411"),
					  slice_str("n1"), slice_of(secrets[0], KEY_SIZE)});
	put_u8(&w, 30);
	put_u8(&w, 3);
	gate_put_contacts(
	    &w, &(struct gate_contacts){NO_TAGS, slice_of(contact.p, contact.len)});
	add(w.p, w.len);
	gate_put_data(&w, &(struct gate_data){1, slice_str("the first bytes of a stream")});
	gate_put_credit(&w, &(struct gate_credit){1, 1000});
	gate_put_data(&w, &(struct gate_data){1, slice_of(zeros, 100)});
	gate_put_data(&w, &(struct gate_data){1, slice_str("")});
	add(w.p, w.len);
	gate_put_data(&w, &(struct gate_data){1, slice_of(zeros, 8000)});
	add(w.p, w.len);
	gate_put_close(&w, &(struct gate_close){1, RMQ_E_LIMIT});
	add(w.p, w.len);
}
