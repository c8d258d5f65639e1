/* rmq-keygen: makes and shows keys.  See rmq-keygen(1). */
#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <unistd.h>

#include "sys/net/keyfile.h"
#include "sys/process/log.h"
#include "sys/process/options.h"
#include "sys/process/startup.h"
#include "sys/process/user_file.h"

static const struct option_row rows[] = {
    {'y', "public", NULL, NULL, NULL, "print the public key of FILE"},
    {'l', "fingerprint", NULL, NULL, NULL, "print its fingerprint"}, {0}};

static const struct option_table program = {"rmq-keygen", "[-y | -l]", "[FILE]",
    "Makes a secret key in FILE, which must not exist, and prints its public key.\n"
    "Without FILE it is the key of your clients: $RMQ_KEYFILE, or ~/.config/rmq/key.\n",
    {rows, options_of_all, NULL}, NULL};

static int usage(void)
{
	fputs("usage: rmq-keygen [-y | -l] [FILE] (see rmq-keygen --help)\n", stderr);
	return error_exit(RMQ_E_USAGE);
}

/* The exit status, after stdout was written to. */
static int finish(bool done)
{
	if (done)
		return 0;
	log_error("standard output: %s", strerror(errno));
	return error_exit(RMQ_E_IO);
}

/* What is to be done with the key of a client. */
static void say_next(const char *path, const char *key)
{
	fprintf(stderr,
	    "rmq-keygen: the secret key is in %s and stays there. Give the administrator of the\n"
	    "queues the public key. A line for it in the file of rights (rmq-rights(5)) may be:\n"
	    "send,recv queue=\"jobs.*\" %s NAME\n",
	    path, key);
}

static enum rmq_error make(
    const char *path, bool ours, struct keypair *pair, struct reason *why)
{
	enum rmq_error err = ours ? user_file_folders(path, why) : RMQ_E_OK;
	keypair_make(pair);
	return err ? err : keyfile_create(path, pair, why);
}

/* `ours`: nobody has named the file. */
static int run(const char *path, bool ours, int letter, bool quiet)
{
	struct keypair pair;
	struct reason why = {""};
	char text[KEY_TEXT_SIZE];
	enum rmq_error err =
	    letter ? keyfile_read(path, &pair, &why) : make(path, ours, &pair, &why);
	if (err) {
		log_error("%s: %s%s", path, reason_text(&why, err),
		    letter && ours && err == RMQ_E_CONFIG ? "; rmq-keygen makes it" : "");
		keypair_wipe(&pair);
		return error_exit(err);
	}
	if (letter == 'l')
		key_fingerprint(pair.key, text);
	else
		key_print(pair.key, text);
	keypair_wipe(&pair);
	bool done = puts(text) >= 0 && fflush(stdout) == 0;
	int status = finish(done);
	if (done && !letter && ours && !quiet && isatty(STDERR_FILENO))
		say_next(path, text);
	return status;
}

static int find_and_run(int letter, bool quiet)
{
	char path[PATH_MAX];
	struct reason why = {""};
	enum rmq_error err = user_file_find(path, KEYFILE_VARIABLE, KEYFILE_NAME, &why);
	if (!err)
		return run(path, true, letter, quiet);
	log_error("%s: %s; name a FILE", error_text(err), why.text);
	return error_exit(err);
}

int main(int argc, char **argv)
{
	struct option_parser parser;
	int option, letter = 0;
	bool quiet = false;
	if (!startup(&program, argc, argv))
		return 0;
	log_init("rmq-keygen", 0);
	options_parser(&parser, &program, false);
	while ((option = getopt_long(argc, argv, parser.letters, parser.longs, NULL)) != -1) {
		switch (option) {
		case 'y':
		case 'l':
			if (letter && letter != option)
				return usage();
			letter = option;
			break;
		case 'q':
			quiet = true;
			break;
		case 'v':
			break;
		case 'h':
		case 'V':
			return finish(!options_print(&program, NULL, option == 'h'));
		default:
			return usage();
		}
	}
	if (argc - optind > 1 || sodium_init() < 0)
		return usage();
	return optind == argc ? find_and_run(letter, quiet)
			      : run(argv[optind], false, letter, quiet);
}
