#include "sys/net/client_address.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define EXEC "exec:"
#define UNIX "unix:"

/* As long as no host is, so that it is refused as one that is too long. */
#define HOST_TEXT_MAX (SOCKET_HOST_TEXT_SIZE + 16)

static enum rmq_error parse_host(
    struct socket_host *h, const char *text, size_t len, const char **why)
{
	char copy[HOST_TEXT_MAX + sizeof(":65535")];
	if (len > HOST_TEXT_MAX)
		len = HOST_TEXT_MAX;
	memcpy(copy, text, len);
	copy[len] = '\0';
	errno = 0;
	*why = "an address is unix:/PATH, HOST:PORT, [IPV6]:PORT or exec:COMMAND";
	if (len == 0 || strchr(copy, '/'))
		return RMQ_E_USAGE;
	/* After the brackets, if there are some. */
	const char *bracket = strchr(copy, ']');
	if (!strchr(bracket ? bracket : copy, ':'))
		(void)snprintf(copy + len, sizeof(copy) - len, ":%d", CLIENT_ADDRESS_PORT);
	enum rmq_error err = socket_host_parse(h, copy, why);
	if (err && strpbrk(copy, " \t;"))
		*why = "addresses are separated by commas, without blanks";
	return err;
}

enum rmq_error client_address_parse(
    struct client_address *a, const char **list, const char **why)
{
	const char *text = *list;
	size_t len = strcspn(text, ",");
	struct client_address out;
	enum rmq_error err = RMQ_E_OK;
	if (strncmp(text, UNIX, strlen(UNIX)) == 0) {
		out.kind = ADDRESS_UNIX;
		err = socket_address_parse(&out.path, list, why);
		if (!err)
			*a = out;
		return err;
	}
	if (strncmp(text, EXEC, strlen(EXEC)) == 0) {
		out.kind = ADDRESS_EXEC;
		out.command = text + strlen(EXEC);
		len = strlen(text);
		if (!*out.command) {
			errno = 0;
			*why = "there is no command after exec:";
			return RMQ_E_USAGE;
		}
	} else {
		out.kind = ADDRESS_HOST;
		err = parse_host(&out.host, text, len, why);
	}
	if (err)
		return err;
	*a = out;
	*list = text[len] == ',' ? text + len + 1 : NULL;
	return RMQ_E_OK;
}

void client_address_print(const struct client_address *a, char text[CLIENT_ADDRESS_TEXT_SIZE])
{
	switch (a->kind) {
	case ADDRESS_UNIX:
		(void)snprintf(text, CLIENT_ADDRESS_TEXT_SIZE, UNIX "%s", a->path.path);
		break;
	case ADDRESS_HOST:
		socket_host_print(&a->host, text);
		break;
	case ADDRESS_EXEC:
		/* Room for what says that there was more. */
		if ((size_t)snprintf(text, CLIENT_ADDRESS_TEXT_SIZE, EXEC "%s", a->command) >=
		    CLIENT_ADDRESS_TEXT_SIZE)
			memcpy(text + CLIENT_ADDRESS_TEXT_SIZE - sizeof("..."), "...",
			    sizeof("..."));
		break;
	}
}
