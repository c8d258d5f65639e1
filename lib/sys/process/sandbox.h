/*
 * What a daemon takes from itself once it has opened what it needs, and before it reads the first
 * byte of a stranger: who takes it over then has little in hand.
 *
 *  - no_new_privs: no program that it starts gains privileges.
 *  - Landlock: of the file system it has the paths below that it names, with the rights named; it
 *    binds no TCP port, and connects to none unless its work is to.  What is open stays as it is.
 *  - seccomp: system calls that its work does not need do not exist for it: they fail with ENOSYS.
 *    To that a library has an answer when a new version of it tries a new call; killing the process
 *    would make an outage of that.
 *
 * Who holds keys or passwords is not dumpable either (prctl(2)): no core file has them, whoever it is handed
 * to, and no process of the same user reads its memory.
 *
 * Children and new threads have the same, and cannot leave it; threads that are there already lack
 * Landlock: so there is none yet.  Builds for sanitizers and coverage (RMQ_UNCONFINED) have neither
 * Landlock nor seccomp, and are dumpable: what these do in a process needs other calls and files.
 */
#ifndef RMQ_SYS_PROCESS_SANDBOX_H
#define RMQ_SYS_PROCESS_SANDBOX_H

#include <stdbool.h>
#include <stdint.h>

#include "sys/process/reason.h"

/* Whose system calls are allowed. */
enum sandbox_program {
	SANDBOX_QUEUED = 1,
	SANDBOX_JOURNAL = 2,
	SANDBOX_CLUSTERD = 4, /* and rmq-queued, which it starts */
	SANDBOX_GATED = 8,
};

/* --sandbox */
enum sandbox_mode {
	SANDBOX_AUTO, /* what the kernel has */
	SANDBOX_REQUIRE,
	SANDBOX_OFF, /* no_new_privs alone; for whoever needs a core file */
};

/* What is done at a path, and with all that is below it. */
enum sandbox_use {
	SANDBOX_READ,
	SANDBOX_WRITE, /* also: into files that are there */
	SANDBOX_KEEP,  /* also: files are made, renamed within it and removed */
	SANDBOX_SOCKET, /* nothing but: sockets are made, and files removed: Landlock knows no less */
	SANDBOX_REMOVE, /* nothing but: an empty directory below it is removed */
	SANDBOX_RUN,	/* read, and programs are run */
};

#define SANDBOX_PATHS_MAX 80

struct sandbox {
	unsigned program;
	uint64_t achieved; /* once it is entered: as WELCOME_TAG_SANDBOX */
	unsigned count;
	struct {
		int fd;
		uint64_t rights;
	} paths[SANDBOX_PATHS_MAX];
};

#define SANDBOX_TEXT_SIZE 64

/* False: text is none of the words auto, require, off. */
bool sandbox_mode_parse(const char *text, enum sandbox_mode *mode);
/* The option for a daemon that is started with the same mode; NULL: none. */
const char *sandbox_option(enum sandbox_mode mode);

/* The program may log, and use /dev/null; nothing else yet. */
void sandbox_init(struct sandbox *s, enum sandbox_program program);

/* What is not there is passed over.  A relative path is from the present working directory. */
void sandbox_path(struct sandbox *s, enum sandbox_use use, const char *path);
/* The directory that the path is in, and the one that it leads to if it is a symbolic link: whatever file has that name later, also a new one. */
void sandbox_around(struct sandbox *s, enum sandbox_use use, const char *path);
/* What the C library reads to look up names of hosts, users and groups. */
void sandbox_names(struct sandbox *s);
/* A program beside our own or in PATH, and what runs it. */
void sandbox_program(struct sandbox *s, const char *name);

/*
 * Enters it, for good, and frees the list of paths.  `text` says what was achieved: "no_new_privs,
 * landlock 6, seccomp".  RMQ_E_CONFIG: mode is SANDBOX_REQUIRE and something is missing; *why says
 * what.
 */
enum rmq_error sandbox_enter(struct sandbox *s, enum sandbox_mode mode,
    char text[SANDBOX_TEXT_SIZE], struct reason *why) __attribute__((warn_unused_result));

#endif
