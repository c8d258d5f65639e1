/*
 * What may stand in the files that people write: settings, known nodes, addresses.  What is accepted
 * is in range, and what is refused says in which line.
 */
#include "fuzz.h"

#include <stdio.h>
#include <stdlib.h>

#include "core/base/name.h"
#include "sys/net/client_address.h"
#include "sys/net/known_nodes.h"
#include "sys/net/pins.h"
#include "sys/process/config.h"

#define INPUT_MAX (64u << 10)

static void check_host(const struct socket_host *h)
{
	char text[SOCKET_HOST_TEXT_SIZE];
	struct socket_host again;
	const char *why;
	if (!h->host[0])
		return;
	socket_host_print(h, text);
	enum rmq_error err = socket_host_parse(&again, text, &why);
	assert(err == RMQ_E_OK && strcmp(again.host, h->host) == 0 && again.port == h->port);
}

static void feed_config(struct slice in)
{
	static struct config c;
	struct reason why = {""};
	config_init(&c);
	enum rmq_error err = config_parse(&c, in, "f", &why);
	assert(err == RMQ_E_OK || (err == RMQ_E_CONFIG && strncmp(why.text, "f:", 2) == 0));
	assert(!c.name[0] || name_valid_node(slice_str(c.name)));
	assert(c.seeds.count <= CONFIG_SEEDS_MAX);
	check_host(&c.listen);
	for (unsigned i = 0; i < c.seeds.count; i++) {
		assert(name_valid_node(slice_str(c.seeds.seeds[i].name)));
		check_host(&c.seeds.seeds[i].address);
	}
	if (err)
		return;
	err = config_check(&c, CONFIG_BIT(name) | CONFIG_BIT(advertise), &why);
	assert(err == RMQ_E_CONFIG || (!err && c.name[0] && c.advertise.host[0]));
}

static void feed_nodes(struct slice in)
{
	struct known_nodes k = {0};
	struct reason why = {""};
	enum rmq_error err = known_nodes_parse(&k, in, "f", &why);
	assert(err == RMQ_E_OK || (err == RMQ_E_CONFIG && strncmp(why.text, "f:", 2) == 0));
	assert(!err || k.count == 0);
	for (size_t i = 0; i < k.count; i++) {
		assert(known_nodes_by_name(&k, k.nodes[i].name) == &k.nodes[i]);
		assert(known_nodes_by_key(&k, k.nodes[i].key) == &k.nodes[i]);
	}
	known_nodes_deinit(&k);
}

static void feed_pins(struct slice in)
{
	struct pins p = {.count = 0}, again = {.count = 0};
	struct reason why = {""};
	enum rmq_error err = pins_parse(&p, in, "f", &why);
	assert(err == RMQ_E_OK || (err == RMQ_E_CONFIG && strncmp(why.text, "f:", 2) == 0));
	assert(!err || p.count == 0);
	for (size_t i = 0; i < p.count; i++) {
		char text[PIN_TEXT_SIZE];
		check_host(&p.pins[i].address);
		assert(pins_find_key(&p, &p.pins[i].address, p.pins[i].key) == &p.pins[i]);
		pin_print(&p.pins[i], text);
		err = pins_parse(&again, slice_str(text), "f", NULL);
		assert(!err && again.count == 1 &&
		       strcmp(again.pins[0].name, p.pins[i].name) == 0);
	}
	pins_deinit(&p);
	pins_deinit(&again);
}

static void feed_addresses(const char *text)
{
	const char *rest = text, *why;
	while (rest) {
		struct client_address a;
		char printed[CLIENT_ADDRESS_TEXT_SIZE];
		const char *before = rest;
		if (client_address_parse(&a, &rest, &why) != RMQ_E_OK) {
			assert(*why && rest == before);
			return;
		}
		assert(!rest || (rest > before && rest <= text + strlen(text)));
		assert(!rest || a.kind != ADDRESS_EXEC);
		if (a.kind == ADDRESS_HOST)
			check_host(&a.host);
		client_address_print(&a, printed);
		assert(strlen(printed) < sizeof(printed));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size > INPUT_MAX)
		return 0;
	feed_config(slice_of(data, size));
	feed_nodes(slice_of(data, size));
	feed_pins(slice_of(data, size));
	char *text = malloc(size + 1);
	assert(text);
	memcpy(text, data, size);
	text[size] = '\0';
	feed_addresses(text);
	free(text);
	return 0;
}

void fuzz_seeds(fuzz_add *add)
{
	static const char config[] = "# a comment\n[section]\nname = n1\n listen= [::]:7401\r\n"
				     "advertise = n1.example.org:7401\n"
				     "seeds = n1@a:1, n2@[::1]:2\njoin-timeout = 1.5m\n"
				     "heartbeat=100ms\nelection-timeout=1s\nroles=broker\n";
	add(config, sizeof(config) - 1);
	add(config + 22, sizeof(config) - 1 - 22);
	char nodes[512] = "# nodes\n";
	for (uint8_t i = 0; i < 3; i++) {
		const uint8_t secret[KEY_SIZE] = {1, i};
		uint8_t key[KEY_SIZE];
		char text[KEY_TEXT_SIZE];
		bool made = key_public(secret, key);
		assert(made);
		(void)made;
		key_print(key, text);
		size_t len = strlen(nodes);
		snprintf(nodes + len, sizeof(nodes) - len, "%s n%u\n", text, i);
	}
	add(nodes, strlen(nodes));
	char pins[512];
	int len = snprintf(pins, sizeof(pins),
	    "h.example.org:7411 %.49s n1 00112233445566778899aabbccddeeff\n[::1]:1 %.49s n2 -\n",
	    strstr(nodes, "rmq1:"), strstr(nodes, "rmq1:"));
	add(pins, (size_t)len);
	static const char servers[] = "unix:/run/rmq/rmq.sock,mq.example.org,10.0.0.1:7411,"
				      "[2001:db8::1],[::1]:1,exec:ssh host, rmq-gated --stdio";
	add(servers, sizeof(servers) - 1);
}
