#include "sys/net/rights_line.h"

#include <arpa/inet.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>

#include "core/base/name.h"
#include "core/base/units.h"

#define NOBODY UINT32_MAX /* no user and no group has this number */

/* ---- words ---- */

/* Cuts the next word off, up to a blank that is not between quotation marks; "": there is none. */
static char *next_word(char **text)
{
	static const char blanks[] = " \t";
	char *word = *text + strspn(*text, blanks), *end = word;
	for (bool quoted = false; *end && (quoted || !strchr(blanks, *end)); end++)
		quoted ^= *end == '"';
	*text = end;
	if (*end)
		*(*text)++ = '\0';
	return word;
}

/* Cuts the next piece of a list off; NULL: there is none. */
static char *next_piece(char **list)
{
	char *piece = *list;
	if (!piece)
		return NULL;
	*list = strchr(piece, ',');
	if (*list)
		*(*list)++ = '\0';
	return piece;
}

static enum rmq_error take_verbs(unsigned *verbs, char *word, struct reason *what)
{
	static const struct {
		const char *word;
		unsigned right;
	} known[] = {{"send", RIGHT_SEND}, {"recv", RIGHT_RECV}, {"admin", RIGHT_ADMIN}};
	for (char *verb; (verb = next_piece(&word));) {
		unsigned right = 0;
		for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
			if (strcmp(verb, known[i].word) == 0)
				right = known[i].right;
		if (!right && !*verb)
			return reason_set(what, RMQ_E_CONFIG,
			    "a verb is missing at a comma: there is no blank in send,recv");
		if (!right)
			return reason_set(what, RMQ_E_CONFIG,
			    "'%.60s' is none of send, recv and admin, with which a line begins",
			    verb);
		*verbs |= right;
	}
	return RMQ_E_OK;
}

/* ---- conditions ---- */

struct conditions {
	unsigned verbs;
	struct writer entries;
	struct rights_line *line;
};

static enum rmq_error take_globs(
    struct conditions *c, enum rights_of of, const char *name, char *list, struct reason *what)
{
	for (char *glob; (glob = next_piece(&list));) {
		struct rights_entry e = {
		    .verbs = (uint16_t)c->verbs, .of = (uint8_t)of, .glob = slice_str(glob)};
		const char *fault = rights_glob_fault(e.glob);
		if (fault)
			return reason_set(
			    what, RMQ_E_CONFIG, "%s=: '%.60s': %s", name, glob, fault);
		rights_entry_encode(&c->entries, &e);
	}
	if (c->entries.full)
		return reason_set(what, RMQ_E_CONFIG,
		    "the rights of the line are longer than %d bytes", RIGHTS_MAX);
	return RMQ_E_OK;
}

static enum rmq_error take_queue(struct conditions *c, char *value, struct reason *what)
{
	return take_globs(c, RIGHTS_QUEUE, "queue", value, what);
}

static enum rmq_error take_topic(struct conditions *c, char *value, struct reason *what)
{
	return take_globs(c, RIGHTS_TOPIC, "topic", value, what);
}

static enum rmq_error take_keys(struct conditions *c, char *value, struct reason *what)
{
	return take_globs(c, RIGHTS_KV, "kv", value, what);
}

/* What is left of an address if only its first bits count. */
static void mask(uint8_t *out, const struct rights_network *n)
{
	for (unsigned i = 0, left = n->bits; i < n->len; i++) {
		unsigned bits = left < 8 ? left : 8;
		out[i] = (uint8_t)(n->address[i] & ~(0xffu >> bits));
		left -= bits;
	}
}

static bool parse_address(struct rights_network *n, const char *text)
{
	struct in6_addr v6;
	n->len = sizeof(struct in_addr);
	if (inet_pton(AF_INET, text, n->address) == 1)
		return true;
	n->len = sizeof(v6);
	if (inet_pton(AF_INET6, text, &v6) != 1)
		return false;
	memcpy(n->address, &v6, sizeof(v6));
	/* It would never be met: see rights_line_from(). */
	return !IN6_IS_ADDR_V4MAPPED(&v6);
}

static enum rmq_error take_network(struct rights_network *n, char *text, struct reason *what)
{
	uint8_t masked[RIGHTS_ADDRESS_MAX];
	char network[INET6_ADDRSTRLEN];
	char *slash = strchr(text, '/');
	uint64_t bits;
	if (slash)
		*slash = '\0';
	if (!parse_address(n, text))
		return reason_set(
		    what, RMQ_E_CONFIG, "from=: '%.60s' is not an IPv4 or IPv6 address", text);
	bits = 8u * n->len;
	if (slash && !units_count(slash + 1, 0, bits, &bits))
		return reason_set(what, RMQ_E_CONFIG,
		    "from=: after '%.60s/' comes a number of bits, at most %u", text,
		    8u * n->len);
	n->bits = (uint8_t)bits;
	mask(masked, n);
	if (memcmp(masked, n->address, n->len) == 0)
		return RMQ_E_OK;
	(void)inet_ntop(n->len == 4 ? AF_INET : AF_INET6, masked, network, sizeof(network));
	return reason_set(what, RMQ_E_CONFIG,
	    "from=: %s is one address in a network: write %s/%u for that, or %s alone", text,
	    network, n->bits, text);
}

static enum rmq_error take_from(struct conditions *c, char *value, struct reason *what)
{
	for (char *text; (text = next_piece(&value));) {
		struct rights_line *l = c->line;
		if (l->networks_count == RIGHTS_NETWORKS_MAX)
			return reason_set(what, RMQ_E_CONFIG,
			    "from= has more than %d addresses; a second line for the key can have "
			    "more",
			    RIGHTS_NETWORKS_MAX);
		enum rmq_error err =
		    take_network(&l->networks[l->networks_count++], text, what);
		if (err)
			return err;
	}
	return RMQ_E_OK;
}

static enum rmq_error take_expires(struct conditions *c, char *value, struct reason *what)
{
	char midnight[sizeof("2027-01-31T00:00:00Z")];
	(void)snprintf(midnight, sizeof(midnight), "%.10sT00:00:00Z", value);
	if (units_time(
		strlen(value) == 10 && *value != '@' ? midnight : value, &c->line->until))
		return RMQ_E_OK;
	return reason_set(what, RMQ_E_CONFIG,
	    "expires=: '%.60s' is not a time, as 2027-01-31 or 2027-01-31T12:00:00Z", value);
}

static const struct condition {
	const char *name; /* with its "=" */
	enum rmq_error (*take)(struct conditions *c, char *value, struct reason *what);
} conditions[] = {{"queue=", take_queue}, {"topic=", take_topic}, {"kv=", take_keys},
    {"from=", take_from}, {"expires=", take_expires}};
#define CONDITIONS (sizeof(conditions) / sizeof(conditions[0]))

static enum rmq_error take_condition(
    struct conditions *c, const struct condition *k, char *word, struct reason *what)
{
	char *value = word + strlen(k->name), *end = value + strlen(value) - 1;
	if (*value != '"' || end == value || *end != '"')
		return reason_set(what, RMQ_E_CONFIG,
		    "after %s comes a value in quotation marks, and then a blank", k->name);
	*end = '\0';
	if (strchr(++value, '"'))
		return reason_set(what, RMQ_E_CONFIG,
		    "after the closing quotation mark of %s a blank is missing", k->name);
	return k->take(c, value, what);
}

/* All of them; *word is then the first that is none. */
static enum rmq_error take_conditions(
    struct conditions *c, char **text, char **word, struct reason *what)
{
	bool seen[CONDITIONS] = {false};
	for (*word = next_word(text); strchr(*word, '='); *word = next_word(text)) {
		size_t i = 0;
		while (i < CONDITIONS &&
		       strncmp(*word, conditions[i].name, strlen(conditions[i].name)) != 0)
			i++;
		if (i == CONDITIONS)
			break; /* keys have a "=", too */
		if (seen[i])
			return reason_set(what, RMQ_E_CONFIG,
			    "%s stands there twice: separate values by commas",
			    conditions[i].name);
		seen[i] = true;
		enum rmq_error err = take_condition(c, &conditions[i], *word, what);
		if (err)
			return err;
	}
	return RMQ_E_OK;
}

/* ---- who ---- */

static enum rmq_error take_key(
    struct rights_line *l, const char *word, char **text, struct reason *what)
{
	if (!key_parse(slice_str(word), l->key))
		return reason_set(what, RMQ_E_CONFIG,
		    "'%.60s' is not a public key, as rmq-keygen prints it", word);
	const char *name = next_word(text);
	if (!*name)
		return reason_set(
		    what, RMQ_E_CONFIG, "a name for the client must follow its key");
	if (!name_valid_node(slice_str(name)) || strlen(name) > BEHALF_NAME_MAX)
		return reason_set(what, RMQ_E_CONFIG,
		    "'%.60s' cannot be a client's name: at most %zu letters, digits and any of _.-",
		    name, BEHALF_NAME_MAX);
	memcpy(l->name, name, strlen(name) + 1);
	return RMQ_E_OK;
}

/* A number or a name; a number is not looked up. */
static enum rmq_error take_id(struct rights_line *l, const char *name, struct reason *what)
{
	bool user = l->who == RIGHTS_USER;
	struct passwd *passwd = NULL;
	struct group *group = NULL;
	uint64_t id = NOBODY;
	if (!units_count(name, 0, NOBODY - 1, &id) && *name) {
		if (user && (passwd = getpwnam(name)))
			id = passwd->pw_uid;
		else if (!user && (group = getgrnam(name)))
			id = group->gr_gid;
	}
	if (id == NOBODY)
		return reason_set(what, RMQ_E_CONFIG, "there is no %s '%.60s' on this machine",
		    user ? "user" : "group", name);
	l->id = (uint32_t)id;
	return RMQ_E_OK;
}

static enum rmq_error take_who(
    struct rights_line *l, char *word, char **text, struct reason *what)
{
	static const char user[] = "user:", group[] = "group:";
	if (strncmp(word, KEY_PREFIX, strlen(KEY_PREFIX)) == 0) {
		l->who = RIGHTS_KEY;
		return take_key(l, word, text, what);
	}
	if (!*word)
		return reason_set(what, RMQ_E_CONFIG,
		    "who may do it is missing: rmq1:KEY NAME, user:NAME or group:NAME");
	bool is_user = strncmp(word, user, strlen(user)) == 0;
	if (!is_user && strncmp(word, group, strlen(group)) != 0)
		return reason_set(what, RMQ_E_CONFIG,
		    "'%.60s' is neither queue=, topic=, kv=, from= or expires=, nor rmq1:KEY, "
		    "user:NAME or group:NAME",
		    word);
	if (l->networks_count > 0)
		return reason_set(what, RMQ_E_CONFIG,
		    "from= goes with keys only: users of this machine have no address");
	l->who = is_user ? RIGHTS_USER : RIGHTS_GROUP;
	return take_id(l, word + strlen(is_user ? user : group), what);
}

enum rmq_error rights_line_parse(struct rights_line *l, char *text, struct reason *what)
{
	struct conditions c = {.entries = writer_of(l->entries, sizeof(l->entries)), .line = l};
	char *word;
	*l = (struct rights_line){.until = {UINT64_MAX}};
	enum rmq_error err = take_verbs(&c.verbs, next_word(&text), what);
	if (!err)
		err = take_conditions(&c, &text, &word, what);
	if (!err)
		err = take_who(l, word, &text, what);
	if (err)
		return err;
	word = next_word(&text);
	if (*word == '#')
		return reason_set(what, RMQ_E_CONFIG, "a comment must have a line of its own");
	if (*word)
		return reason_set(
		    what, RMQ_E_CONFIG, "'%.60s' is too much at the line's end", word);
	if (c.entries.len == 0)
		return reason_set(what, RMQ_E_CONFIG,
		    "queue=\"GLOB,...\", topic=\"GLOB,...\" or kv=\"GLOB,...\" must say what is meant");
	l->len = c.entries.len;
	return RMQ_E_OK;
}

/* ---- addresses ---- */

bool rights_line_from(
    const struct rights_network *networks, size_t count, const struct sockaddr *address)
{
	static const uint8_t v4_mapped = 12; /* bytes before the IPv4 address in it */
	const uint8_t *bytes = NULL;
	uint8_t masked[RIGHTS_ADDRESS_MAX];
	struct rights_network n = {.len = 0};
	struct sockaddr_in6 in6;
	struct sockaddr_in in;
	if (address->sa_family == AF_INET) {
		memcpy(&in, address, sizeof(in));
		n.len = sizeof(in.sin_addr);
		bytes = (const uint8_t *)&in.sin_addr;
	} else if (address->sa_family == AF_INET6) {
		memcpy(&in6, address, sizeof(in6));
		bool mapped = IN6_IS_ADDR_V4MAPPED(&in6.sin6_addr);
		n.len = mapped ? sizeof(in.sin_addr) : sizeof(in6.sin6_addr);
		bytes = in6.sin6_addr.s6_addr + (mapped ? v4_mapped : 0);
	}
	if (bytes)
		memcpy(n.address, bytes, n.len);
	for (size_t i = 0; i < count && n.len > 0; i++) {
		n.bits = networks[i].bits;
		mask(masked, &n);
		if (networks[i].len == n.len && memcmp(masked, networks[i].address, n.len) == 0)
			return true;
	}
	return false;
}
