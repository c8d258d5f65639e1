#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "journal.h"
#include "sys/journal/journal_server.h"
#include "sys/process/log.h"
#include "sys/process/sandbox.h"

/*
 * The opener says when it is over, by closing its end: a signal to the whole process group or
 * service must not take the journal away from a daemon that still drains.
 */
static void outlive_signals(void)
{
	static const int ignored[] = {SIGINT, SIGTERM, SIGHUP, SIGPIPE};
	for (size_t i = 0; i < sizeof(ignored) / sizeof(ignored[0]); i++)
		signal(ignored[i], SIG_IGN);
	/* If its end of the socket leaked into some other process. */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
}

static void tell_wait(const char *dir, bool begins)
{
	log_notice("%s: %s", dir,
	    begins ? "disk is full: records wait for space on its file system"
		   : "there is space again");
}

/* Said before the opener is told: it ends then, and us with it. */
static int fail(const char *dir, enum rmq_error err, const struct reason *why)
{
	int status = report(dir, err, why);
	journal_refuse(STDIN_FILENO, err, reason_text(why, err));
	return status;
}

static enum rmq_error confine(const char *dir, enum sandbox_mode mode, struct reason *why)
{
	struct sandbox box;
	char achieved[SANDBOX_TEXT_SIZE];

	sandbox_init(&box, SANDBOX_JOURNAL);
	sandbox_path(&box, SANDBOX_KEEP, dir);
	enum rmq_error err = sandbox_enter(&box, mode, achieved, why);
	if (!err)
		log_info("%s: sandbox: %s", dir, achieved);
	return err;
}

static int serve(const char *dir, enum sandbox_mode mode)
{
	struct store *s;
	struct reason why = {""};
	enum rmq_error err = store_open(dir, &s, &why);
	if (err)
		return fail(dir, err, &why);
	char *path = realpath(dir, NULL);
	err = confine(dir, mode, &why);
	if (!err)
		err = journal_serve(STDIN_FILENO, s, path ? path : dir, tell_wait, &why);
	free(path);
	int ended = err ? fail(dir, err, &why) : 0;
	store_close(s);
	return ended;
}

enum { OPTION_SANDBOX = 900 };

const struct option_row serve_rows[] = {
    {OPTION_SANDBOX, "sandbox", "auto|require|off", NULL, "auto", "as of rmq-queued"}, {0}};

static bool set_option(int letter, const char *value, void *mode)
{
	(void)letter;
	return sandbox_mode_parse(value, mode);
}

int command_serve(int argc, char **argv)
{
	struct stat st;
	int status;
	enum sandbox_mode mode = SANDBOX_AUTO;
	char **words = command_words(argc, argv, "serve", set_option, &mode, 1, &status);
	if (!words)
		return status;
	if (fstat(STDIN_FILENO, &st) != 0 || !S_ISSOCK(st.st_mode)) {
		log_error("serve: standard input is not a socket");
		return error_exit(RMQ_E_USAGE);
	}
	outlive_signals();
	guard_directory(words[0]);
	return serve(words[0], mode);
}
