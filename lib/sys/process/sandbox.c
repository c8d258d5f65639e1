/* Sources: landlock(7), Documentation/userspace-api/landlock.rst, seccomp(2), libseccomp's pages. */
#include "sys/process/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <link.h>
#include <linux/landlock.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "sys/process/child.h"
#include "core/wire/wire.h"
#include "sys/process/sandbox_calls.h"

static const char *const modes[] = {"auto", "require", "off"};

bool sandbox_mode_parse(const char *text, enum sandbox_mode *mode)
{
	for (unsigned i = 0; i < sizeof(modes) / sizeof(modes[0]); i++)
		if (strcmp(text, modes[i]) == 0) {
			*mode = i;
			return true;
		}
	return false;
}

const char *sandbox_option(enum sandbox_mode mode)
{
	static const char *const options[] = {NULL, "--sandbox=require", "--sandbox=off"};
	return options[mode];
}

/* ---- Landlock ---- */

/* Headers of Debian 12 are older than these. */
#define FS_TRUNCATE    (UINT64_C(1) << 14) /* of version 3 */
#define FS_IOCTL_DEV   (UINT64_C(1) << 15) /* 5 */
#define NET_BIND_TCP   (UINT64_C(1) << 0)  /* 4 */
#define NET_CONNECT    (UINT64_C(1) << 1)
#define SCOPE_ABSTRACT (UINT64_C(1) << 0) /* 6 */
#define SCOPE_SIGNAL   (UINT64_C(1) << 1)

#define FS_OF_FILES \
	(LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_WRITE_FILE | \
	    LANDLOCK_ACCESS_FS_READ_FILE | FS_TRUNCATE | FS_IOCTL_DEV)

/* struct landlock_ruleset_attr of version 6. */
struct ruleset {
	uint64_t fs;
	uint64_t net;
	uint64_t scoped;
};

static uint64_t rights_of(enum sandbox_use use)
{
	const uint64_t read = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR;
	const uint64_t write = read | LANDLOCK_ACCESS_FS_WRITE_FILE | FS_TRUNCATE;

	switch (use) {
	case SANDBOX_READ:
		return read;
	case SANDBOX_WRITE:
		return write;
	case SANDBOX_KEEP:
		return write | LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_REMOVE_FILE;
	case SANDBOX_SOCKET:
		return LANDLOCK_ACCESS_FS_MAKE_SOCK | LANDLOCK_ACCESS_FS_REMOVE_FILE;
	case SANDBOX_REMOVE:
		return LANDLOCK_ACCESS_FS_REMOVE_DIR;
	case SANDBOX_RUN:
		return read | LANDLOCK_ACCESS_FS_EXECUTE;
	}
	return 0;
}

void sandbox_path(struct sandbox *s, enum sandbox_use use, const char *path)
{
	struct stat st;
	uint64_t rights = rights_of(use);

	if (s->count == SANDBOX_PATHS_MAX)
		abort();
	int fd = open(path, O_PATH | O_CLOEXEC);
	if (fd < 0)
		return;
	if (fstat(fd, &st) != 0 || !S_ISDIR(st.st_mode))
		rights &= FS_OF_FILES;
	s->paths[s->count].fd = fd;
	s->paths[s->count++].rights = rights;
}

static void around(struct sandbox *s, enum sandbox_use use, const char *path)
{
	char directory[PATH_MAX];
	const char *slash = strrchr(path, '/');

	if (!slash)
		sandbox_path(s, use, ".");
	else if (snprintf(directory, sizeof(directory), "%.*s", (int)(slash - path + 1), path) <
		 (int)sizeof(directory))
		sandbox_path(s, use, directory);
}

void sandbox_around(struct sandbox *s, enum sandbox_use use, const char *path)
{
	char *file = realpath(path, NULL);

	if (file)
		around(s, use, file);
	free(file);
	around(s, use, path);
}

static void paths(struct sandbox *s, enum sandbox_use use, const char *const *list)
{
	for (; *list; list++)
		sandbox_path(s, use, *list);
}

void sandbox_init(struct sandbox *s, enum sandbox_program program)
{
	*s = (struct sandbox){.program = program};
	sandbox_path(s, SANDBOX_WRITE, "/dev/null");
	/* A terminal, or a pipe with a name, that is opened anew: see log.c. */
	sandbox_path(s, SANDBOX_WRITE, "/proc/self/fd/2");
}

void sandbox_names(struct sandbox *s)
{
	/* Services put resolv.conf where a link of /etc leads; modules of nsswitch.conf are libraries. */
	static const char *const places[] = {"/etc", "/lib", "/lib64", "/usr/lib", "/usr/lib64",
	    "/usr/local/lib", "/usr/share/zoneinfo", "/run/systemd/resolve", "/run/resolvconf",
	    "/run/NetworkManager", "/run/connman", "/dev/urandom", NULL};
	char *resolver = realpath("/etc/resolv.conf", NULL);

	paths(s, SANDBOX_READ, places);
	if (resolver)
		sandbox_around(s, SANDBOX_READ, resolver);
	free(resolver);
}

static int find_interpreter(struct dl_phdr_info *info, size_t size, void *arg)
{
	(void)size;
	for (int i = 0; i < info->dlpi_phnum; i++)
		if (info->dlpi_phdr[i].p_type == PT_INTERP)
			*(const char **)arg =
			    (const char *)(uintptr_t)(info->dlpi_addr +
						      info->dlpi_phdr[i].p_vaddr);
	return 1; /* the first is the program */
}

static void around_in_path(struct sandbox *s, const char *name)
{
	char path[PATH_MAX], *copy = strdup(getenv("PATH") ? getenv("PATH") : ""), *rest = copy;

	for (char *directory; copy && (directory = strsep(&rest, ":")) != NULL;) {
		int len =
		    snprintf(path, sizeof(path), "%s/%s", *directory ? directory : ".", name);
		if (len < (int)sizeof(path) && access(path, X_OK) == 0) {
			sandbox_around(s, SANDBOX_RUN, path);
			break;
		}
	}
	free(copy);
}

/*
 * Directories, as a package that is upgraded puts new files in the place of the old ones, and the
 * new program is to run.
 */
void sandbox_program(struct sandbox *s, const char *name)
{
	static const char *const libraries[] = {"/etc/ld.so.cache", "/lib", "/lib64",
	    "/usr/lib", "/usr/lib64", "/usr/local/lib", "/dev/urandom", NULL};
	char path[CHILD_PATH_SIZE];
	const char *loader = NULL;

	child_program(path, name);
	if (strchr(path, '/'))
		sandbox_around(s, SANDBOX_RUN, path);
	else
		around_in_path(s, name);
	paths(s, SANDBOX_READ, libraries);
	dl_iterate_phdr(find_interpreter, &loader);
	if (loader)
		sandbox_around(s, SANDBOX_RUN, loader);
}

static struct ruleset ruleset_of(const struct sandbox *s, int version)
{
	const char *notify = getenv("NOTIFY_SOCKET");
	struct ruleset r = {.fs = (LANDLOCK_ACCESS_FS_MAKE_SYM << 1) - 1};

	if (version >= 2)
		r.fs |= LANDLOCK_ACCESS_FS_REFER;
	if (version >= 3)
		r.fs |= FS_TRUNCATE;
	if (version >= 5)
		r.fs |= FS_IOCTL_DEV;
	if (version >= 4)
		r.net = NET_BIND_TCP;
	if (version >= 4 && (s->program & (SANDBOX_QUEUED | SANDBOX_JOURNAL)))
		r.net |= NET_CONNECT;
	/* Those that have children end them, also children from before. */
	if (version >= 6 && (s->program & (SANDBOX_JOURNAL | SANDBOX_GATED)))
		r.scoped |= SCOPE_SIGNAL;
	/* A supervisor's socket may be abstract. */
	if (version >= 6 && !(notify && notify[0] == '@'))
		r.scoped |= SCOPE_ABSTRACT;
	return r;
}

static int add_paths(const struct sandbox *s, int fd, uint64_t handled)
{
	for (unsigned i = 0; i < s->count; i++) {
		struct landlock_path_beneath_attr rule = {
		    .allowed_access = s->paths[i].rights & handled,
		    .parent_fd = s->paths[i].fd};
		/* Pipes and sockets, as stderr, are of no file system that it knows: EBADFD. */
		if (rule.allowed_access != 0 &&
		    syscall(SYS_landlock_add_rule, fd, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) !=
			0 &&
		    errno != EBADFD)
			return errno;
	}
	return 0;
}

/* The version; negative: -errno. */
static int enter_landlock(const struct sandbox *s)
{
	long version =
	    syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
	if (version < 0)
		return -errno;
	struct ruleset r = ruleset_of(s, (int)version);
	size_t size = version < 4 ? sizeof(r.fs) : version < 6 ? 2 * sizeof(r.fs) : sizeof(r);
	int fd = (int)syscall(SYS_landlock_create_ruleset, &r, size, 0);
	if (fd < 0)
		return -errno;
	int err = add_paths(s, fd, r.fs);
	if (!err && syscall(SYS_landlock_restrict_self, fd, 0) != 0)
		err = errno;
	close(fd);
	return err ? -err : (int)version;
}

/* ---- both ---- */

static void forget_paths(struct sandbox *s)
{
	for (unsigned i = 0; i < s->count; i++)
		close(s->paths[i].fd);
	s->count = 0;
}

#ifdef RMQ_UNCONFINED
#define CONFINED false
#else
#define CONFINED true
#endif

static void add_text(char text[SANDBOX_TEXT_SIZE], const char *what)
{
	size_t len = strlen(text);
	snprintf(text + len, SANDBOX_TEXT_SIZE - len, "%s%s", len > 0 ? ", " : "", what);
}

/* A program that is executed later is dumpable again. */
static void hide_keys(const struct sandbox *s)
{
	if (s->program & (SANDBOX_CLUSTERD | SANDBOX_GATED))
		(void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
}

enum rmq_error sandbox_enter(
    struct sandbox *s, enum sandbox_mode mode, char text[SANDBOX_TEXT_SIZE], struct reason *why)
{
	char landlock[24];
	bool wanted = mode != SANDBOX_OFF && CONFINED;
	int privileges = prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 ? 0 : errno;
	if (wanted)
		hide_keys(s);
	int version = wanted ? enter_landlock(s) : -ENOSYS;
	int calls = wanted ? sandbox_calls_enter(s->program) : ENOSYS;

	forget_paths(s);
	text[0] = '\0';
	s->achieved = (privileges ? 0 : SANDBOX_NO_NEW_PRIVS) | (calls ? 0 : SANDBOX_SECCOMP);
	if (version > 0)
		s->achieved |= (uint64_t)version << SANDBOX_LANDLOCK_FROM;
	if (!privileges)
		add_text(text, "no_new_privs");
	snprintf(landlock, sizeof(landlock), "landlock %d", version);
	if (version > 0)
		add_text(text, landlock);
	if (!calls)
		add_text(text, "seccomp");
	if (text[0] == '\0')
		add_text(text, "none");
	if (mode != SANDBOX_REQUIRE || (!privileges && version > 0 && !calls))
		return RMQ_E_OK;
	if (!CONFINED)
		return reason_set(
		    why, RMQ_E_CONFIG, "--sandbox=require: this build has no sandbox");
	return reason_set(why, RMQ_E_CONFIG, "--sandbox=require: the kernel has no %s: %s",
	    privileges	   ? "no_new_privs"
	    : version <= 0 ? "Landlock"
			   : "seccomp",
	    strerror(privileges	    ? privileges
		     : version <= 0 ? -version
				    : calls));
}
