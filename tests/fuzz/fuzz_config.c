/*
 * What may stand in the files that people write: settings and known nodes.  What is accepted
 * is in range, and what is refused says in which line.
 */
#include "fuzz.h"

#include <stdio.h>
#include <stdlib.h>

#include "core/base/name.h"
#include "sys/net/known_nodes.h"
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

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size > INPUT_MAX)
		return 0;
	feed_config(slice_of(data, size));
	feed_nodes(slice_of(data, size));
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
}
