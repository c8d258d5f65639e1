/*
 * Encrypted links: frames of 64 KiB over loopback TCP, both sides in one thread, so that each
 * byte is sealed, written, read and opened by it.  Prints MiB of the stream in a second of
 * processor time, and the same of sealing and opening alone, which is the ceiling.
 *
 *	build/release/bench/link [SECONDS]
 */
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "sys/net/link_dialer.h"
#include "sys/net/link_listener.h"
#include "sys/process/heap.h"

#define FRAME_SIZE (64u << 10)

static const uint8_t secrets[2][KEY_SIZE] = {{1, 'a'}, {1, 'b'}};
static uint8_t frame[FRAME_HEADER_SIZE + FRAME_SIZE];
static uint64_t bytes, seconds = 2;
static clock_t begin;
static bool done;

static void fill(void *arg, struct link_conn *c)
{
	struct slice piece = slice_of(frame, sizeof(frame));
	(void)arg;
	while (link_conn_send(c, &piece, 1) == RMQ_E_OK)
		;
}

static void on_frame(void *arg, struct link_conn *c, const struct frame *f)
{
	(void)arg, (void)c;
	bytes += f->payload.len;
	done = (uint64_t)((clock() - begin) / CLOCKS_PER_SEC) >= seconds;
}

static bool known(void *arg, enum link_role role, const uint8_t key[KEY_SIZE])
{
	(void)arg, (void)role, (void)key;
	return true;
}

static void print(const char *what, uint64_t n)
{
	double s = (double)(clock() - begin) / CLOCKS_PER_SEC;
	printf("%-8s%.0f MiB/s\n", what, (double)n / (1 << 20) / s);
	begin = clock();
}

static void ceiling(void)
{
	static uint8_t record[FRAME_SIZE + 64];
	uint8_t nonce[12] = {0}, key[32] = {0};
	unsigned long long len;
	uint64_t n = 0;
	int err = 0;
	begin = clock();
	while (!err && clock() - begin < CLOCKS_PER_SEC / 2) {
		crypto_aead_chacha20poly1305_ietf_encrypt(
		    record, &len, record, FRAME_SIZE, NULL, 0, NULL, nonce, key);
		err = crypto_aead_chacha20poly1305_ietf_decrypt(
		    record, &len, NULL, record, len, NULL, 0, nonce, key);
		n += FRAME_SIZE;
	}
	print("ceiling", n);
}

int main(int argc, char **argv)
{
	struct reason why = {""};
	struct link_listener *listener;
	heap_keep();
	if (sodium_init() < 0)
		return 1;
	if (argc > 1)
		seconds = strtoul(argv[1], NULL, 10);
	frame_header(frame, 1, FRAME_SIZE);
	uv_loop_t *loop = uv_default_loop();
	struct link_net *net[2];
	struct keypair own;
	for (int i = 0; i < 2; i++) {
		memcpy(own.secret, secrets[i], KEY_SIZE);
		if (!key_public(own.secret, own.key))
			return 1;
		net[i] = link_net_new(loop, &own, slice_str(i ? "b" : "a"));
	}
	const struct link_listener_options take = {.address = {.host = "127.0.0.1"},
	    .roles = LINK_ROLE_BIT(LINK_BULK),
	    .known = known,
	    .events = {.frame = on_frame}};
	if (link_listener_new(net[1], &take, &listener, &why) != RMQ_E_OK) {
		fprintf(stderr, "link: %s\n", why.text);
		return 1;
	}
	struct link_dialer_options dial = {
	    .address = {.host = "127.0.0.1", .port = link_listener_port(listener)},
	    .name = slice_str("b"),
	    .role = LINK_BULK,
	    .window = {.max = 4 << 20, .mark = 1 << 20},
	    .events = {.up = fill, .frame = on_frame, .drained = fill}};
	memcpy(dial.key, own.key, KEY_SIZE);
	if (!link_dialer_new(net[0], &dial))
		return 1;
	ceiling();
	while (!done)
		uv_run(loop, UV_RUN_ONCE);
	print("link", bytes);
	return 0;
}
