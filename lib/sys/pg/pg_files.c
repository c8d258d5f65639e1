/* Source: "The Password File", "The Connection Service File" and "SSL Support" of libpq's manual. */
#include <libpq-fe.h>
#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sys/pg/pg_link.h"

/* A word of the string, the variable that stands for it, and what is in the home directory without both. */
static const struct {
	const char *key, *variable, *standard;
} files[] = {
    {"passfile", "PGPASSFILE", ".pgpass"},
    {"sslcert", "PGSSLCERT", ".postgresql"},
    {"sslkey", "PGSSLKEY", NULL},
    {"sslrootcert", "PGSSLROOTCERT", NULL},
    {"sslcrl", "PGSSLCRL", NULL},
    {"sslcrldir", "PGSSLCRLDIR", NULL},
    {NULL, "PGSERVICEFILE", ".pg_service.conf"},
    {NULL, "PGSYSCONFDIR", NULL},
};

static const char *named(const PQconninfoOption *options, size_t i)
{
	const char *value = NULL;

	for (const PQconninfoOption *o = options; o && o->keyword && files[i].key; o++)
		if (strcmp(o->keyword, files[i].key) == 0)
			value = o->val;
	return value && *value ? value : getenv(files[i].variable);
}

static void at_home(const char *home, const char *name, pg_link_file *file, void *arg)
{
	char path[PATH_MAX];

	if (home && *home &&
	    snprintf(path, sizeof(path), "%s/%s", home, name) < (int)sizeof(path))
		file(arg, path, false);
}

void pg_link_files(const char *dsn, pg_link_file *file, void *arg)
{
	PQconninfoOption *options = PQconninfoParse(dsn, NULL);
	const struct passwd *user = getpwuid(geteuid());

	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		const char *path = named(options, i);
		/* Those of the system are no file of that name. */
		if (path && *path && strcmp(path, "system") != 0)
			file(arg, path, true);
		if (!files[i].standard)
			continue;
		at_home(getenv("HOME"), files[i].standard, file, arg);
		if (user)
			at_home(user->pw_dir, files[i].standard, file, arg);
	}
	PQconninfoFree(options);
}
