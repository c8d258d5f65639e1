#include "core/queue/owner.h"

#include <assert.h>
#include <sodium/crypto_generichash.h>
#include <stdio.h>

#include "core/base/memory.h"
#include "core/base/variant.h"
#include "core/wire/wire.h"

static_assert(SESSION_SECRET_SIZE >= crypto_generichash_KEYBYTES_MIN &&
		  SESSION_TOKEN_SIZE >= crypto_generichash_BYTES_MIN,
    "keyed BLAKE2b takes a secret and gives a token of that size");

const char *owner_kind(const struct owner *o)
{
	return wire_behalf_key(owner_node(o)).len > 0 ? "key" : "user";
}

const char *owner_title(const struct owner *o, char text[OWNER_TITLE_SIZE])
{
	struct slice key = wire_behalf_key(owner_node(o));
	if (key.len > 0)
		snprintf(
		    text, OWNER_TITLE_SIZE, "key %.*s", (int)key.len, (const char *)key.data);
	else
		snprintf(text, OWNER_TITLE_SIZE, "user %u", o->uid);
	return text;
}

/* The order of the tree. */
static int compare(const struct owner *o, struct slice node, uint32_t uid)
{
	if (o->uid != uid)
		return o->uid < uid ? -1 : 1;
	return slice_cmp(owner_node(o), node);
}

static int owner_compare(const struct owner *a, const struct owner *b)
{
	return compare(a, owner_node(b), b->uid);
}

RB_GENERATE(owner_tree, owner, by_name, owner_compare)

struct owner *owner_use(struct owner_tree *owners, struct slice node, uint32_t uid)
{
	struct owner *o = RB_ROOT(owners);
	int order;
	assert(node.len <= RAFT_NAME_MAX);
	while (o && (order = compare(o, node, uid)) != 0)
		o = order < 0 ? RB_RIGHT(o, by_name) : RB_LEFT(o, by_name);
	if (o)
		return owner_hold(o);
	o = memory_new(sizeof(*o) + node.len);
	o->users = 1;
	o->uid = uid;
	o->node_len = (uint8_t)node.len;
	if (node.len > 0)
		memcpy(o->node, node.data, node.len);
	TAILQ_INIT(&o->idle);
	RB_INSERT(owner_tree, owners, o);
	return o;
}

struct owner *owner_hold(struct owner *o)
{
	o->users++;
	return o;
}

void owner_drop(struct owner_tree *owners, struct owner *o)
{
	if (--o->users > 0)
		return;
	RB_REMOVE(owner_tree, owners, o);
	free(o);
}

void owner_token(const struct owner *o, const uint8_t secret[SESSION_SECRET_SIZE],
    uint64_t session, uint8_t token[SESSION_TOKEN_SIZE])
{
	uint8_t bytes[8 + 4 + RAFT_NAME_MAX];
	struct writer w = writer_of(bytes, sizeof(bytes));
	put_u64(&w, session);
	if (!RMQ_VARIANT(SESSION_TAKEN_OVER))
		put_u32(&w, o->uid);
	/* A user is the same on each node. */
	put_rest(&w, wire_behalf_key(owner_node(o)));
	crypto_generichash(token, SESSION_TOKEN_SIZE, w.p, w.len, secret, SESSION_SECRET_SIZE);
}
