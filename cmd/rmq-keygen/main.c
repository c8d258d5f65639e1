/* rmq-keygen: makes and shows keys.  See rmq-keygen(1). */
#include <errno.h>
#include <getopt.h>
#include <sodium.h>
#include <stdio.h>

#include "sys/net/keyfile.h"
#include "sys/process/log.h"
#include "sys/process/startup.h"

static const struct option longs[] = {{"public", no_argument, NULL, 'y'},
    {"fingerprint", no_argument, NULL, 'l'}, {"quiet", no_argument, NULL, 'q'},
    {"verbose", no_argument, NULL, 'v'}, {"help", no_argument, NULL, 'h'},
    {"version", no_argument, NULL, 'V'}, {NULL, 0, NULL, 0}};

static const char usage_text[] =
    "usage: rmq-keygen [-y | -l] FILE\n"
    "Makes a secret key in FILE, which must not exist, and prints its public key.\n"
    "\n"
    "  -y, --public          print the public key of FILE\n"
    "  -l, --fingerprint     print its fingerprint\n"
    "  -q, --quiet  -v, --verbose  -h, --help  -V, --version";

static int usage(void)
{
	fputs("usage: rmq-keygen [-y | -l] FILE (see rmq-keygen --help)\n", stderr);
	return error_exit(RMQ_E_USAGE);
}

static int print(const char *line)
{
	if (puts(line) >= 0 && fflush(stdout) == 0)
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
	return print(text);
}

int main(int argc, char **argv)
{
	int option, letter = 0;
	startup();
	log_init("rmq-keygen", 0);
	while ((option = getopt_long(argc, argv, "ylqvhV", longs, NULL)) != -1) {
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
			return print(usage_text);
		case 'V':
			return print("rmq-keygen " RMQ_VERSION);
		default:
			return usage();
		}
	}
	if (argc - optind != 1 || sodium_init() < 0)
		return usage();
	return run(argv[optind], letter);
}
