/*
 * What a gate's streams and principals are linked with in tests, without peers: a link takes all that it
 * is given.
 */
#ifndef RMQ_TESTS_FAKE_PEERS_H
#define RMQ_TESTS_FAKE_PEERS_H

#include <assert.h>
#include <string.h>
#include <sys/socket.h>

#include "../../cmd/rmq-gated/client.h"
#include "../../cmd/rmq-gated/far.h"
#include "../../cmd/rmq-gated/gate.h"

#define FAKE_BREAKS_AT 20

static bool fake_breaks; /* the link, when so much was sent */
static unsigned fake_sent;
static bool fake_cut; /* it is over */
static uint8_t fake_key[KEY_SIZE];
static uint8_t fake_told[64]; /* the newest short frame */
static size_t fake_told_len;

enum rmq_error link_conn_send(struct link_conn *c, const struct slice *pieces, size_t count)
{
	(void)c;
	for (size_t i = 0; i < count; i++)
		assert(pieces[i].len <= FRAME_PAYLOAD_MAX + FRAME_HEADER_SIZE);
	if (pieces[0].len <= sizeof(fake_told)) {
		memcpy(fake_told, pieces[0].data, pieces[0].len);
		fake_told_len = pieces[0].len;
	}
	return fake_breaks && ++fake_sent > FAKE_BREAKS_AT ? RMQ_E_FULL : RMQ_E_OK;
}

uint8_t *link_conn_room(struct link_conn *c, size_t want, size_t *room)
{
	static uint8_t record[LINK_DATA_MAX];
	(void)c;
	assert(want <= sizeof(record));
	*room = sizeof(record);
	return fake_breaks && ++fake_sent > FAKE_BREAKS_AT ? NULL : record;
}

void link_conn_filled(struct link_conn *c, size_t len)
{
	(void)c;
	assert(len <= LINK_DATA_MAX);
}

size_t link_conn_queued(const struct link_conn *c)
{
	(void)c;
	return 0;
}

uint64_t link_conn_taken(const struct link_conn *c)
{
	(void)c;
	return 0;
}

bool link_conn_from(const struct link_conn *c, struct sockaddr_storage *from)
{
	(void)c;
	memset(from, 0, sizeof(*from));
	from->ss_family = AF_INET;
	return true;
}

const uint8_t *link_conn_peer(const struct link_conn *c)
{
	(void)c;
	return fake_key;
}

bool link_conn_by_old_key(const struct link_conn *c)
{
	(void)c;
	return false;
}

const char *link_conn_address(const struct link_conn *c)
{
	(void)c;
	return "there";
}

void watch_again(struct watch *w)
{
	(void)w;
}

void watch_report(struct watch *w, enum control_gate_state state)
{
	(void)w, (void)state;
}

void peers_cut(struct gate *g, struct gate_link *l)
{
	(void)g;
	l->conn = NULL;
	gate_link_free(l);
	fake_cut = true;
}

void peers_close_link(struct gate *g, struct gate_link *l)
{
	peers_cut(g, l);
}

void peers_close(struct gate *g)
{
	(void)g;
}

void watch_close(struct watch *w)
{
	(void)w;
}

#endif
