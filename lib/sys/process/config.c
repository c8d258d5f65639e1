#include "sys/process/config.h"

#include <assert.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/name.h"
#include "core/base/units.h"
#include "core/host/phi.h"
#include "core/raft/raft_config.h"
#include "sys/net/cell_list.h"
#include "sys/stream/lines.h"

static_assert(CONFIG_SETTINGS_COUNT <= 64, "a set of settings is 64 bits");

/* ---- values: true, or *why; nothing is written on failure ---- */

static bool parse_name(char *name, const char *value, const char **why)
{
	*why = "a node's name is letters, digits, _ . - and not longer than 63";
	if (!name_valid_node(slice_str(value)))
		return false;
	memcpy(name, value, strlen(value) + 1);
	return true;
}

static bool parse_path(char *path, const char *value, const char **why)
{
	*why = "a path is not empty, and not longer than 4095 bytes";
	size_t len = strlen(value);
	if (len == 0 || len >= PATH_MAX)
		return false;
	memcpy(path, value, len + 1);
	return true;
}

static bool parse_command(char *command, const char *value, const char **why)
{
	*why = "a command is not empty, and not longer than 4095 bytes";
	size_t len = strlen(value);
	if (len == 0 || len >= PATH_MAX)
		return false;
	memcpy(command, value, len + 1);
	return true;
}

static bool parse_socket(struct socket_address *a, const char *value, const char **why)
{
	return socket_address_path(a, value, why) == RMQ_E_OK;
}

/* An empty path: none. */
static bool parse_control(struct socket_address *a, const char *value, const char **why)
{
	if (strcmp(value, "none") != 0)
		return parse_socket(a, value, why);
	a->path[0] = '\0';
	return true;
}

static bool parse_host(struct socket_host *h, const char *value, const char **why)
{
	return socket_host_parse(h, value, why) == RMQ_E_OK;
}

static bool parse_duration(uint64_t *ms, const char *value, const char **why)
{
	*why = "a duration is a number and ms, s, m, h or d, or infinity";
	return units_duration(value, ms);
}

static bool parse_interval(uint64_t *ms, const char *value, const char **why)
{
	uint64_t n;
	if (!parse_duration(&n, value, why))
		return false;
	*why = "must be from 10ms to 60s";
	if (n < CONFIG_INTERVAL_MIN_MS || n > CONFIG_INTERVAL_MAX_MS)
		return false;
	*ms = n;
	return true;
}

static bool parse_doubt(uint64_t *doubt, const char *value, const char **why)
{
	*why = "must be a whole number from 1 to 16";
	return units_count(value, 1, PHI_THRESHOLD_MAX, doubt);
}

/* Takes the next word of a list; false at its end. */
static bool next_word(const char **list, char *word, size_t size)
{
	const char *p = *list + strspn(*list, ", \t");
	size_t len = strcspn(p, ", \t");
	if (len == 0)
		return false;
	(void)snprintf(word, size, "%.*s", (int)len, p);
	*list = p + len;
	return true;
}

static bool parse_roles(struct roles *roles, const char *value, const char **why)
{
	char word[RAFT_ROLE_MAX + 2];
	struct roles found = {0};
	*why = "roles are names of at most 31 characters, 8 of them and broker; or none";
	if (strcmp(value, "none") == 0) {
		*roles = found;
		return true;
	}
	if (!next_word(&value, word, sizeof(word)))
		return false;
	do {
		if (strcmp(word, "none") == 0 || !roles_add(&found, word))
			return false;
	} while (next_word(&value, word, sizeof(word)));
	*roles = found;
	return true;
}

/* N, or ROLE:N. */
static bool parse_minimum_of(struct min_members *min, char *word)
{
	char *colon = strchr(word, ':');
	struct roles role = {0};
	uint64_t n;
	if (!units_count(colon ? colon + 1 : word, 1, RAFT_MEMBERS_MAX, &n))
		return false;
	if (!colon) {
		bool again = min->all > 0;
		min->all = (unsigned)n;
		return !again;
	}
	*colon = '\0';
	for (unsigned i = 0; i < min->count; i++)
		if (strcmp(min->roles[i].role, word) == 0)
			return false;
	if (!roles_add(&role, word) || min->count == MIN_MEMBERS_ROLES)
		return false;
	(void)snprintf(min->roles[min->count].role, sizeof(min->roles[0].role), "%.*s",
	    RAFT_ROLE_MAX, word);
	min->roles[min->count++].members = (unsigned)n;
	return true;
}

static bool parse_minimum(struct min_members *min, const char *value, const char **why)
{
	char word[RAFT_ROLE_MAX + 8];
	struct min_members found = {0};
	*why = "it is a number of members, and ROLE:N for roles, each once, from 1 to 9";
	while (next_word(&value, word, sizeof(word)))
		if (!parse_minimum_of(&found, word))
			return false;
	*min = found;
	return true;
}

static bool parse_create(bool *is_explicit, const char *value, const char **why)
{
	*why = "must be auto or explicit";
	*is_explicit = strcmp(value, "explicit") == 0;
	return *is_explicit || strcmp(value, "auto") == 0;
}

static bool parse_enforce(bool *unenforced, const char *value, const char **why)
{
	*why = "must be yes or no";
	*unenforced = strcmp(value, "no") == 0;
	return *unenforced || strcmp(value, "yes") == 0;
}

static bool parse_engine(uint8_t *engine, const char *value, const char **why)
{
	*why = "must be built-in or postgresql";
	return raft_engine_parse(value, engine);
}

/* Who is in it is checked when all is read. */
static bool parse_cells(char *cells, const char *value, const char **why)
{
	struct cells list;
	size_t len = strlen(value);
	if (cells_parse(&list, slice_str(value), why))
		return false;
	memcpy(cells, value, len + 1);
	return true;
}

/* *why never shows it. */
static bool parse_secret(char *secret, const char *value, const char **why)
{
	*why = "is longer than 4095 bytes";
	size_t len = strlen(value);
	if (len > CONFIG_SECRET_MAX)
		return false;
	memcpy(secret, value, len + 1);
	return true;
}

bool config_seed_parse(struct config_seed *to, const char *word, const char **why)
{
	const char *at = strchr(word, '@');
	char name[RAFT_NAME_MAX + 2];
	struct config_seed seed = {0};
	*why = "a seed is NAME@HOST:PORT";
	if (!at || at - word > RAFT_NAME_MAX)
		return false;
	(void)snprintf(name, sizeof(name), "%.*s", (int)(at - word), word);
	if (!parse_name(seed.name, name, why) || !parse_host(&seed.address, at + 1, why))
		return false;
	*to = seed;
	return true;
}

static bool parse_seed(struct config_seeds *seeds, const char *word, const char **why)
{
	struct config_seed seed;
	if (!config_seed_parse(&seed, word, why))
		return false;
	*why = "a seed occurs twice";
	for (unsigned i = 0; i < seeds->count; i++)
		if (strcmp(seeds->seeds[i].name, seed.name) == 0)
			return false;
	*why = "more seeds than a cluster may have nodes";
	if (seeds->count == CONFIG_SEEDS_MAX)
		return false;
	seeds->seeds[seeds->count++] = seed;
	return true;
}

static bool parse_seeds(struct config_seeds *seeds, const char *value, const char **why)
{
	char word[RAFT_NAME_MAX + SOCKET_HOST_TEXT_SIZE + 2];
	struct config_seeds found = {0};
	while (next_word(&value, word, sizeof(word)))
		if (!parse_seed(&found, word, why))
			return false;
	*why = "it names no seed";
	if (found.count == 0)
		return false;
	*seeds = found;
	return true;
}

/* ---- settings ---- */

const struct option_row config_rows[CONFIG_SETTINGS_COUNT + 1] = {
#define X(member, setting, kind, standard, value, help) \
	{CONFIG_OPTION + CONFIG_SETTING_##member, setting, value, NULL, standard, help},
    CONFIG_SETTINGS(X)
#undef X
};

/* An array is given as the pointer that it becomes, all others by their address. */
#define TARGET_name(m)	   (m)
#define TARGET_path(m)	   (m)
#define TARGET_command(m)  (m)
#define TARGET_socket(m)   &(m)
#define TARGET_control(m)  &(m)
#define TARGET_host(m)	   &(m)
#define TARGET_seeds(m)	   &(m)
#define TARGET_roles(m)	   &(m)
#define TARGET_minimum(m)  &(m)
#define TARGET_create(m)   &(m)
#define TARGET_enforce(m)  &(m)
#define TARGET_duration(m) &(m)
#define TARGET_interval(m) &(m)
#define TARGET_doubt(m)	   &(m)
#define TARGET_engine(m)   &(m)
#define TARGET_cells(m)	   (m)
#define TARGET_secret(m)   (m)

static bool set(
    struct config *c, enum config_setting setting, const char *value, const char **why)
{
	if (!*value) {
		*why = "it has no value";
		return false;
	}
	switch (setting) {
#define X(member, name, kind, standard, text, help) \
	case CONFIG_SETTING_##member: \
		return parse_##kind(TARGET_##kind(c->member), value, why);
		CONFIG_SETTINGS(X)
#undef X
	case CONFIG_SETTINGS_COUNT:
		break;
	}
	return false;
}

void config_init(struct config *c)
{
	memset(c, 0, sizeof(*c));
}

/* ---- options ---- */

enum rmq_error config_option(struct config *c, int value, const char *arg, struct reason *why)
{
	const char *what;
	assert(value >= CONFIG_OPTION && value < CONFIG_OPTION + CONFIG_SETTINGS_COUNT);
	enum config_setting setting = (enum config_setting)(value - CONFIG_OPTION);
	if (setting == CONFIG_SETTING_dsn)
		return reason_set(why, RMQ_E_USAGE,
		    "--dsn: others see options: set it in the file of settings, or use --dsn-file");
	if (!set(c, setting, arg, &what))
		return reason_set(
		    why, RMQ_E_USAGE, "--%s: %s", config_rows[setting].name, what);
	c->given_as_option |= UINT64_C(1) << setting;
	return RMQ_E_OK;
}

/* ---- the file ---- */

static int setting_of(const char *name)
{
	for (int i = 0; i < CONFIG_SETTINGS_COUNT; i++)
		if (strcmp(config_rows[i].name, name) == 0)
			return i;
	return -1;
}

/* What an option gave stays, though the line must be right. */
static bool take_setting(
    struct config *c, const char *name, const char *value, struct reason *what)
{
	struct config unused;
	const char *wrong;
	int setting = setting_of(name);
	if (setting < 0) {
		/* What follows a name without a "=" may be a secret. */
		int len = (int)strspn(
		    name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-");
		(void)reason_set(
		    what, RMQ_E_CONFIG, "%.*s: no such setting", len < 64 ? len : 64, name);
		return false;
	}
	uint64_t bit = UINT64_C(1) << setting;
	if (c->given_in_file & bit)
		wrong = "is set a second time";
	else if (set(c->given_as_option & bit ? &unused : c, (enum config_setting)setting,
		     value, &wrong))
		wrong = NULL;
	if (wrong)
		(void)reason_set(what, RMQ_E_CONFIG, "%s: %s", name, wrong);
	else
		c->given_in_file |= bit;
	return !wrong;
}

static bool take_line(void *context, char *line, struct reason *what)
{
	char *equals = strchr(line, '=');
	if (line[0] == '[') {
		(void)reason_set(what, RMQ_E_CONFIG, "%.64s: no such section", line);
		return false;
	}
	if (!equals) {
		(void)reason_set(what, RMQ_E_CONFIG, "a line is NAME = VALUE");
		return false;
	}
	char *end = equals;
	while (end > line && (end[-1] == ' ' || end[-1] == '\t'))
		end--;
	*end = '\0';
	return take_setting(context, line, equals + 1 + strspn(equals + 1, " \t"), what);
}

enum rmq_error config_read(struct config *c, const char *path, struct reason *why)
{
	return lines_read(path, take_line, c, why);
}

enum rmq_error config_parse(
    struct config *c, struct slice bytes, const char *path, struct reason *why)
{
	return lines_parse(bytes, path, take_line, c, why);
}

/* ---- what is missing, and what fits together ---- */

static enum rmq_error wrong(struct reason *why, enum config_setting setting, const char *what)
{
	return reason_set(why, RMQ_E_CONFIG, "%s: %s", config_rows[setting].name, what);
}

static bool given(const struct config *c, enum config_setting setting)
{
	return ((c->given_in_file | c->given_as_option) >> setting & 1) != 0;
}

/* The default of a socket is a name in the directory for sockets. */
static bool set_default(struct config *c, enum config_setting setting, const char **why)
{
	const char *standard = config_rows[setting].standard;
	switch (setting) {
	case CONFIG_SETTING_control:
		return socket_address_runtime(&c->control, standard, why) == RMQ_E_OK;
	case CONFIG_SETTING_queue_socket:
		/* Its control socket tells where the queue is; without one it is where clients look. */
		if (!c->control.path[0])
			standard = config_rows[CONFIG_SETTING_socket].standard;
		return socket_address_runtime(&c->queue_socket, standard, why) == RMQ_E_OK;
	case CONFIG_SETTING_socket:
		return socket_address_runtime(&c->socket, standard, why) == RMQ_E_OK;
	default:
		return set(c, setting, standard, why);
	}
}

/* What others are told is one address, and by itself the one that is listened on. */
static enum rmq_error advertise(struct config *c, enum config_setting setting,
    const struct socket_host *listen, struct socket_host *address, uint64_t wanted,
    struct reason *why)
{
	if (!given(c, setting) && !socket_host_any(listen))
		*address = *listen;
	if (given(c, setting) && socket_host_any(address))
		return wrong(why, setting, "nobody can connect to that address");
	if (!address->host[0] && (wanted >> setting & 1))
		return wrong(why, setting,
		    "is missing, and the address to listen on is not one address");
	return RMQ_E_OK;
}

/* Those of the database are complete, and needed. */
static enum rmq_error check_engine(const struct config *c, uint64_t wanted, struct reason *why)
{
	bool file = config_given(c, dsn_file), here = config_given(c, dsn);
	if (c->engine == RAFT_ENGINE_BUILT_IN && (file || here))
		return wrong(why, file ? CONFIG_SETTING_dsn_file : CONFIG_SETTING_dsn,
		    "is for engine = postgresql, and engine is built-in");
	if (file && here)
		return wrong(
		    why, CONFIG_SETTING_dsn_file, "dsn is set as well: keep one of them");
	if (c->engine != RAFT_ENGINE_BUILT_IN && !file && !here &&
	    (wanted & CONFIG_BIT(engine)))
		return wrong(why, CONFIG_SETTING_dsn,
		    "is missing, and so is dsn-file: one of them says where the database is");
	return RMQ_E_OK;
}

/* Both or none, and this cell is in the list. */
static enum rmq_error check_cells(const struct config *c, struct reason *why)
{
	struct cells list;
	struct reason what = {""};
	if (!config_given(c, cells) && !config_given(c, cell))
		return RMQ_E_OK;
	if (!config_given(c, cell))
		return wrong(why, CONFIG_SETTING_cell,
		    "is missing, and cells is set: which of them is this one?");
	if (!config_given(c, cells))
		return wrong(why, CONFIG_SETTING_cells,
		    "is missing, and cell is set: which cells are there?");
	if (cell_list_read(&list, c->cells, c->cell, &what))
		return wrong(why, CONFIG_SETTING_cells, what.text);
	return RMQ_E_OK;
}

enum rmq_error config_check(struct config *c, uint64_t wanted, struct reason *why)
{
	const uint64_t addresses = CONFIG_BIT(advertise) | CONFIG_BIT(gate_advertise);
	const char *what;
	for (int i = 0; i < CONFIG_SETTINGS_COUNT; i++) {
		enum config_setting setting = (enum config_setting)i;
		if (given(c, setting))
			continue;
		if (config_rows[i].standard && !set_default(c, setting, &what))
			return wrong(why, setting, what);
		if (!config_rows[i].standard && ((wanted & ~addresses) >> i & 1))
			return wrong(why, setting, "is missing");
	}
	if (!c->control.path[0] && (wanted & CONFIG_BIT(control)))
		return wrong(why, CONFIG_SETTING_control,
		    "only rmq-gated does without one, in front of a single node");
	/* Clients are told it, wherever they are. */
	if (socket_address_absolute(&c->queue_socket, &what))
		return wrong(why, CONFIG_SETTING_queue_socket, what);
	enum rmq_error err =
	    advertise(c, CONFIG_SETTING_advertise, &c->listen, &c->advertise, wanted, why);
	if (!err)
		err = advertise(c, CONFIG_SETTING_gate_advertise, &c->gate_listen,
		    &c->gate_advertise, wanted, why);
	if (!err && c->election_timeout < 2 * c->heartbeat)
		err =
		    wrong(why, CONFIG_SETTING_election_timeout, "is less than two heartbeats");
	if (!err)
		err = check_cells(c, why);
	return err ? err : check_engine(c, wanted, why);
}

/* ---- the connection string ---- */

static enum rmq_error check_private(int fd, const char *path, struct reason *why)
{
	struct stat st;
	if (fstat(fd, &st) != 0)
		return lines_failed(path, why);
	if (!S_ISREG(st.st_mode))
		return reason_set(why, RMQ_E_CONFIG, "%s: not a regular file", path);
	if (st.st_mode & S_IRWXO)
		return reason_set(why, RMQ_E_DENIED,
		    "%s: mode is %04o: others can use it, make it 0600 or 0640", path,
		    st.st_mode & 07777);
	return RMQ_E_OK;
}

static bool take_dsn(void *context, char *line, struct reason *what)
{
	struct config *c = context;
	const char *wrong = "it is one line";
	if (c->dsn[0] == '\0' && parse_secret(c->dsn, line, &wrong))
		return true;
	(void)reason_set(what, RMQ_E_CONFIG, "%s", wrong);
	return false;
}

enum rmq_error config_read_dsn(struct config *c, struct reason *why)
{
	struct text all = {0};
	if (!config_given(c, dsn_file))
		return RMQ_E_OK;
	int fd = open(c->dsn_file, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return lines_failed(c->dsn_file, why);
	enum rmq_error err = check_private(fd, c->dsn_file, why);
	if (!err)
		err = lines_load(&all, fd, c->dsn_file, why);
	close(fd);
	if (!err)
		err = lines_parse(slice_of(all.data, all.len), c->dsn_file, take_dsn, c, why);
	if (!err && c->dsn[0] == '\0')
		err = reason_set(why, RMQ_E_CONFIG, "%s: is empty", c->dsn_file);
	if (all.len > 0)
		explicit_bzero(all.data, all.len);
	text_deinit(&all);
	return err;
}

void config_forget(struct config *c)
{
	explicit_bzero(c->dsn, sizeof(c->dsn));
}
