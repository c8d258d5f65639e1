/* rmq-keygen: makes and shows keys.  See rmq-keygen(1). */
#include <errno.h>
#include <sodium.h>
#include <stdio.h>

#include "sys/net/keyfile.h"
#include "sys/process/log.h"
#include "sys/process/options.h"
#include "sys/process/startup.h"

static const struct option_row rows[] = {
    {'y', "public", NULL, NULL, NULL, "print the public key of FILE"},
    {'l', "fingerprint", NULL, NULL, NULL, "print its fingerprint"}, {0}};

static const struct option_table program = {"rmq-keygen", "[-y | -l]", "FILE",
    "Makes a secret key in FILE, which must not exist, and prints its public key.\n",
    {rows, options_of_all, NULL}, NULL};

static int usage(void)
{
	fputs("usage: rmq-keygen [-y | -l] FILE (see rmq-keygen --help)\n", stderr);
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

static int run(const char *path, int letter)
{
	struct keypair pair;
	struct reason why = {""};
	enum rmq_error err;
	char text[KEY_TEXT_SIZE];
	if (letter) {
		err = keyfile_read(path, &pair, &why);
	} else {
		keypair_make(&pair);
		err = keyfile_create(path, &pair, &why);
	}
	if (err) {
		log_error("%s: %s: %s", path, error_text(err), why.text);
		keypair_wipe(&pair);
		return error_exit(err);
	}
	if (letter == 'l')
		key_fingerprint(pair.key, text);
	else
		key_print(pair.key, text);
	keypair_wipe(&pair);
	return finish(puts(text) >= 0 && fflush(stdout) == 0);
}

int main(int argc, char **argv)
{
	struct option_parser parser;
	int option, letter = 0;
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
		case 'v':
			break;
		case 'h':
		case 'V':
			return finish(!options_print(&program, NULL, option == 'h'));
		default:
			return usage();
		}
	}
	if (argc - optind != 1 || sodium_init() < 0)
		return usage();
	return run(argv[optind], letter);
}
