#include "sys/pg/pg_dsn.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/text.h"

static const char *option(const PQconninfoOption *options, const char *key)
{
	for (const PQconninfoOption *o = options; o && o->keyword; o++)
		if (strcmp(o->keyword, key) == 0)
			return o->val ? o->val : "";
	return "";
}

/* ---- lists: a,b,c ---- */

static unsigned list_count(const char *list)
{
	unsigned count = 1;
	for (; *list; list++)
		count += *list == ',';
	return count;
}

/* The i-th of them, or all of it if it is one for all. */
static void list_at(const char *list, unsigned i, char *out, size_t size)
{
	if (list_count(list) > 1)
		for (; i > 0; i--)
			list = strchr(list, ',') + 1;
	snprintf(out, size, "%.*s", (int)strcspn(list, ","), list);
}

/* A list that does not fit the others is left to libpq, which says so: as one host. */
static unsigned count_hosts(const PQconninfoOption *options)
{
	const char *hosts = option(options, "host");
	const char *addresses = option(options, "hostaddr");
	const char *ports = option(options, "port");
	unsigned count = list_count(*addresses ? addresses : hosts);

	if ((*addresses && *hosts && list_count(hosts) != count) ||
	    (list_count(ports) != 1 && list_count(ports) != count))
		return 1;
	return count;
}

/* A password that has an @ in a URI ends there, and what is left of it is taken for a host, which is shown. */
static bool hosts_fit(const char *hosts)
{
	for (; *hosts; hosts += strcspn(hosts, ",") + (hosts[strcspn(hosts, ",")] == ',')) {
		size_t len = strcspn(hosts, ",");
		if (*hosts != '/' && len > 0 && memchr(hosts + 1, '@', len - 1))
			return false;
	}
	return true;
}

bool pg_dsn_check(const char *dsn, const char **why)
{
	char *error = NULL;
	PQconninfoOption *options = PQconninfoParse(dsn, &error);

	/* Its words may hold pieces of the string, and so of the password. */
	PQfreemem(error);
	*why = "it is no connection string of libpq: words KEY=VALUE, or postgresql://…";
	if (!options)
		return false;
	bool few = count_hosts(options) <= PG_HOSTS_MAX;
	bool fits = hosts_fit(option(options, "host"));
	PQconninfoFree(options);
	*why = few ? "a host has an @ in it: in a URI one of the password is written %40"
		   : "it names more than 16 hosts";
	return few && fits;
}

/*
 * Only a connection says what the service's file, if any, and the environment add.  It is one that libpq refuses
 * once it has read all, before it looks up a name: that option is ours in each connection.
 */
void pg_dsn_init(struct pg_dsn *d, const char *dsn)
{
	const char *keys[] = {"dbname", "target_session_attrs", NULL};
	const char *values[] = {dsn, "none", NULL};
	PGconn *conn = PQconnectStartParams(keys, values, 1);

	*d = (struct pg_dsn){.options = PQconninfo(conn)};
	PQfinish(conn);
	/* It could not even read it all, as when there is no such service: it will say so again. */
	if (*option(d->options, "port") == '\0') {
		PQconninfoFree(d->options);
		d->options = PQconninfoParse(dsn, NULL);
	}
	if (!d->options)
		abort();
	d->hosts = count_hosts(d->options);
	if (d->hosts > PG_HOSTS_MAX)
		d->hosts = PG_HOSTS_MAX;
	long timeout = strtol(option(d->options, "connect_timeout"), NULL, 10);
	d->connect_ms = timeout > 0 && timeout < 3600 ? (uint32_t)timeout * 1000 : 0;
}

void pg_dsn_deinit(struct pg_dsn *d)
{
	PQconninfoFree(d->options);
}

/* ---- one host ---- */

/* What we want of a connection, where the string does not say it otherwise. */
static const char *wanted(const PQconninfoOption *o)
{
	static const struct {
		const char *key, *value;
		bool always;
	} table[] = {
	    {"target_session_attrs", "read-write", true},
	    {"client_encoding", "UTF8", true},
	    {"replication", "", true},
	    {"fallback_application_name", "rmq-clusterd", false},
	    {"keepalives_idle", "10", false},
	    {"keepalives_interval", "3", false},
	    {"keepalives_count", "3", false},
	};

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		if (strcmp(o->keyword, table[i].key) == 0 &&
		    (table[i].always || !o->val || !*o->val))
			return table[i].value;
	/* To ask for tickets of Kerberos takes long, and needs files; who has them says so. */
	if (strcmp(o->keyword, "gssencmode") == 0 && o->val && strcmp(o->val, "prefer") == 0)
		return "disable";
	return o->val;
}

bool pg_dsn_name(const struct pg_dsn *d, unsigned host, char *name, size_t size)
{
	struct in6_addr address;
	char numeric[64];

	list_at(option(d->options, "hostaddr"), host, numeric, sizeof(numeric));
	list_at(option(d->options, "host"), host, name, size);
	/* Nothing, and paths, are Unix sockets. */
	return (d->hosts > 1 || (list_count(option(d->options, "host")) == 1 &&
				    list_count(option(d->options, "port")) == 1)) &&
	       numeric[0] == '\0' && name[0] != '\0' && name[0] != '/' && name[0] != '@' &&
	       !strchr(name, ':') && inet_pton(AF_INET, name, &address) != 1;
}

/* What is said of this host; its name once for each of its addresses. */
static void of_host(const struct pg_dsn *d, unsigned host, const char *addresses,
    const char *key, char *out, size_t size)
{
	char one[256];
	size_t len = 0;

	list_at(option(d->options, key), d->hosts > 1 ? host : 0, one, sizeof(one));
	if (*addresses && strcmp(key, "hostaddr") == 0) {
		snprintf(out, size, "%s", addresses);
		return;
	}
	unsigned count = strcmp(key, "host") == 0 ? list_count(addresses) : 1;
	for (unsigned i = 0; i < count && len < size; i++)
		len += (size_t)snprintf(out + len, size - len, "%s%s", i ? "," : "", one);
}

PGconn *pg_dsn_connect(const struct pg_dsn *d, unsigned host, const char *addresses)
{
	static const char *const lists[] = {"host", "hostaddr", "port"};
	const char *keys[128], *values[128];
	char ones[3][4096];
	unsigned count = 0;

	for (const PQconninfoOption *o = d->options; o->keyword && count < 127; o++) {
		const char *value = wanted(o);
		for (unsigned i = 0; i < 3; i++) {
			/* What does not fit together is libpq's to say. */
			if (strcmp(o->keyword, lists[i]) != 0 || (d->hosts == 1 && !*addresses))
				continue;
			of_host(d, host, addresses, o->keyword, ones[i], sizeof(ones[i]));
			value = ones[i];
		}
		if (!value || !*value)
			continue;
		keys[count] = o->keyword;
		values[count++] = value;
	}
	keys[count] = values[count] = NULL;
	return PQconnectStartParams(keys, values, 0);
}

void pg_dsn_address(const struct pg_dsn *d, unsigned host, char *text, size_t size)
{
	const char *names = option(d->options, "host");
	char name[256], port[16];

	list_at(*names ? names : option(d->options, "hostaddr"), host, name, sizeof(name));
	list_at(option(d->options, "port"), host, port, sizeof(port));
	if (name[0] == '\0')
		snprintf(name, sizeof(name), "the default socket");
	if (port[0] == '\0')
		snprintf(port, sizeof(port), "5432");
	if (name[0] == '/')
		snprintf(text, size, "%s/.s.PGSQL.%s", name, port);
	else
		snprintf(text, size, strchr(name, ':') ? "[%s]:%s" : "%s:%s", name, port);
	text_tame(text, strlen(text));
}

/* So much of a password is not shown either: a server that answers with it may have cut it. */
#define SCRUB_PIECE 6

static size_t same(const char *a, const char *b)
{
	size_t n = 0;

	while (a[n] != '\0' && a[n] == b[n])
		n++;
	return n;
}

static void scrub_word(char *text, const char *word)
{
	size_t len = strlen(word), least = len < SCRUB_PIECE ? len : SCRUB_PIECE;

	for (char *p = text; len > 0 && *p; p++) {
		size_t longest = 0;
		for (size_t at = 0; at + least <= len; at++) {
			size_t n = same(p, word + at);
			longest = n > longest ? n : longest;
		}
		if (longest < least)
			continue;
		memset(p, '*', longest);
		p += longest - 1;
	}
}

void pg_dsn_scrub(const struct pg_dsn *d, char *text)
{
	scrub_word(text, option(d->options, "password"));
	scrub_word(text, option(d->options, "sslpassword"));
	text_tame(text, strlen(text));
}
