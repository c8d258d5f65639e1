#include "sys/client/known_gates.h"

#include <stdlib.h>
#include <string.h>

#include "core/wire/gate_wire.h"
#include "sys/process/log.h"

void known_gates_init(struct known_gates *k)
{
	*k = (struct known_gates){.changes = 0};
	k->told.pins = k->told_pins;
}

void known_gates_deinit(struct known_gates *k)
{
	pins_deinit(&k->here);
}

enum rmq_error known_gates_at(
    struct known_gates *k, const struct socket_host *host, bool led, struct reason *why)
{
	const struct pin *told = pins_find(&k->told, host);
	enum rmq_error err = pins_read(&k->here, k->path, why);
	size_t count = 0;
	if (err)
		return err;
	for (size_t i = 0; i < k->here.count; i++)
		if (socket_host_same(&k->here.pins[i].address, host))
			k->here.pins[count++] = k->here.pins[i];
	k->here.count = count;
	if (!told || (count > 0 && !led))
		return RMQ_E_OK;
	if (!k->here.pins)
		k->here.pins = malloc(sizeof(*told));
	if (!k->here.pins)
		return reason_set(why, RMQ_E_LIMIT, "out of memory");
	k->here.pins[0] = *told;
	k->here.count = 1;
	return RMQ_E_OK;
}

const struct pin *known_gates_expected(const struct known_gates *k, const uint8_t key[KEY_SIZE])
{
	const struct pin *pin = pins_find_key(&k->here, NULL, key);
	if (pin || k->here.count == 0)
		return pin;
	const struct raft_id *cluster = &k->here.pins[0].cluster;
	pin = pins_find_key(&k->told, NULL, key);
	return pin && !raft_id_none(*cluster) && raft_id_eq(pin->cluster, *cluster) ? pin
										    : NULL;
}

/*
 * A gate that has proved the key which the file has for this address says that it has another one now.
 * Of other addresses nobody's word is written down: who is believed in one place is not in all.
 */
static void keep_newer(
    const struct known_gates *k, const struct pin *proved, const struct pin *told)
{
	struct pins pins = {0};
	struct reason why;
	char line[PIN_TEXT_SIZE];
	if (strcmp(told->name, proved->name) != 0 ||
	    memcmp(told->key, proved->key, KEY_SIZE) == 0 ||
	    pins_read(&pins, k->path, &why) != RMQ_E_OK)
		return;
	bool in_file = pins_find_key(&pins, &told->address, proved->key) &&
		       !pins_find_key(&pins, &told->address, told->key);
	pins_deinit(&pins);
	if (!in_file)
		return;
	pin_print(told, line);
	if (pins_replace(k->path, proved->key, told, &why) == RMQ_E_OK)
		log_notice("it has a newer key, and is known from now on as: %s", line);
	else
		log_notice("%s; it has a newer key, soon the only one: make its line there: %s",
		    why.text, line);
}

void known_gates_take(struct known_gates *k, const struct socket_host *at,
    const struct pin *proved, struct slice contacts)
{
	struct reader in = reader_of(contacts);
	struct gate_contact m;
	struct slice cluster = raft_id_slice(&proved->cluster);
	struct pin told[RAFT_MEMBERS_MAX];
	size_t count = 0;
	memset(told, 0, sizeof(told));
	while (reader_left(&in) > 0 && count < RAFT_MEMBERS_MAX) {
		char text[UINT8_MAX + 1];
		struct socket_host host;
		const char *why;
		gate_contact_get(&in, &m);
		if (in.bad)
			return;
		memcpy(text, m.address.data, m.address.len);
		text[m.address.len] = '\0';
		struct pin here;
		if (!pin_take(&here, at, m.key, m.name, cluster))
			keep_newer(k, proved, &here);
		/* Gates without a cluster have nothing in common: each speaks for itself. */
		if (socket_host_parse(&host, text, &why) == RMQ_E_OK &&
		    (cluster.len > 0 || socket_host_same(&host, at)) &&
		    !pin_take(&told[count], &host, m.key, m.name, cluster))
			count++;
	}
	if (count == k->told.count && memcmp(told, k->told_pins, count * sizeof(told[0])) == 0)
		return;
	memcpy(k->told_pins, told, sizeof(told));
	k->told.count = count;
	k->changes++;
}
