#include "sys/client/first_contact.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "sys/process/log.h"
#include "sys/stream/io.h"

/* One line of the terminal, without its end; false: a signal, or nobody is there. */
static bool read_answer(int tty, char answer[64])
{
	size_t len = 0;
	char c;
	while (read(tty, &c, 1) == 1) {
		if (c == '\n') {
			answer[len] = '\0';
			return true;
		}
		if (len < 63)
			answer[len++] = c;
	}
	return false;
}

/* Its text has only what pin_take() lets through. */
static bool ask(int tty, const struct pin *pin, const char *fingerprint)
{
	char text[SOCKET_HOST_TEXT_SIZE + RAFT_NAME_MAX + KEY_TEXT_SIZE + KEY_FINGERPRINT_SIZE +
		  400];
	char address[SOCKET_HOST_TEXT_SIZE], key[KEY_TEXT_SIZE], answer[64];
	socket_host_print(&pin->address, address);
	key_print(pin->key, key);
	int len = snprintf(text, sizeof(text),
	    "The gate at %s is not known.  It says that it is node %s%s, and its key is\n"
	    "\t%s\n\t%s\nCompare that with what rmq-keygen -l says of its key file.\n"
	    "Is it to be trusted from now on (yes/no)? ",
	    address, pin->name, raft_id_none(pin->cluster) ? "" : " of a cluster", key,
	    fingerprint);
	for (int tries = 0; tries < 3; tries++) {
		if (io_write(tty, text, (size_t)len) != 0 || !read_answer(tty, answer))
			return false;
		if (strcmp(answer, "yes") == 0 || strcmp(answer, fingerprint) == 0)
			return true;
		if (strcmp(answer, "no") == 0)
			return false;
		len = snprintf(text, sizeof(text), "Type yes, no, or its fingerprint: ");
	}
	return false;
}

enum rmq_error first_contact(
    const struct pin *pin, const char *known_nodes, bool accept_new, struct reason *why)
{
	char fingerprint[KEY_FINGERPRINT_SIZE], line[PIN_TEXT_SIZE];
	key_fingerprint(pin->key, fingerprint);
	pin_print(pin, line);
	if (accept_new) {
		enum rmq_error err = pins_add(known_nodes, pin, why);
		if (!err)
			log_notice("trusted from now on: %s", line);
		return err;
	}
	int tty = open("/dev/tty", O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (tty < 0) {
		/* Which may be too long for a reason. */
		log_error("a line for %s would be: %s", known_nodes, line);
		return reason_set(why, RMQ_E_DENIED,
		    "its key is not known; if its fingerprint is %s, give --accept-new, or add its "
		    "line to the known nodes",
		    fingerprint);
	}
	bool yes = ask(tty, pin, fingerprint);
	close(tty);
	return yes ? pins_add(known_nodes, pin, why)
		   : reason_set(why, RMQ_E_DENIED, "its key is not trusted");
}
