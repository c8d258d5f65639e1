#include "sys/client/first_contact.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "sys/process/log.h"
#include "sys/process/signals.h"
#include "sys/stream/io.h"

/* One character of the terminal.  INTERRUPTED; DENIED: nobody is there. */
static enum rmq_error read_char(int tty, char *c)
{
	struct pollfd p[2] = {{tty, POLLIN, 0}, {signals_fd(), POLLIN, 0}};
	while (!signals_caught()) {
		if (poll(p, 2, -1) < 0 && errno != EINTR)
			return RMQ_E_DENIED;
		if (!signals_caught() && p[0].revents)
			return read(tty, c, 1) == 1 ? RMQ_E_OK : RMQ_E_DENIED;
	}
	return RMQ_E_INTERRUPTED;
}

/* One line, without its end. */
static enum rmq_error read_answer(int tty, char answer[64])
{
	size_t len = 0;
	for (;;) {
		char c;
		enum rmq_error err = read_char(tty, &c);
		if (err)
			return err;
		if (c == '\n')
			break;
		if (len < 63)
			answer[len++] = c;
	}
	answer[len] = '\0';
	return RMQ_E_OK;
}

/* Its text has only what pin_take() lets through. */
static enum rmq_error ask(int tty, const struct pin *pin, const char *fingerprint)
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
		if (io_write(tty, text, (size_t)len) != 0)
			return RMQ_E_DENIED;
		enum rmq_error err = read_answer(tty, answer);
		if (err)
			return err;
		if (strcmp(answer, "yes") == 0 || strcmp(answer, fingerprint) == 0)
			return RMQ_E_OK;
		if (strcmp(answer, "no") == 0)
			return RMQ_E_DENIED;
		len = snprintf(text, sizeof(text), "Type yes, no, or its fingerprint: ");
	}
	return RMQ_E_DENIED;
}

enum rmq_error first_contact(const struct pin *pin, const char *known_nodes, bool accept_new,
    bool again, bool *asked, struct reason *why)
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
		if (!again)
			log_error("a line for %s would be: %s", known_nodes, line);
		return reason_set(why, RMQ_E_DENIED,
		    "its key is not known; if its fingerprint is %s, give --accept-new, or add its "
		    "line to the known nodes",
		    fingerprint);
	}
	enum rmq_error err = RMQ_E_DENIED;
	if (!again) {
		*asked = true;
		err = ask(tty, pin, fingerprint);
	}
	close(tty);
	if (err)
		return reason_set(why, err, "its key is not trusted");
	return pins_add(known_nodes, pin, why);
}
