/*
 * Starts a program as careless parents do:
 *
 *	startas [-c FD] [-n FD] [-i SIGNAL] [-b SIGNAL] COMMAND [ARG...]
 *
 * with FD closed (-c) or non-blocking (-n), with a signal (its number) ignored (-i) or
 * blocked (-b); each may be repeated.
 */
#include <err.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

static void prepare(int option, int number)
{
	sigset_t set;
	switch (option) {
	case 'c':
		close(number);
		break;
	case 'n':
		if (fcntl(number, F_SETFL, fcntl(number, F_GETFL) | O_NONBLOCK) != 0)
			err(70, "fcntl");
		break;
	case 'i':
		signal(number, SIG_IGN);
		break;
	case 'b':
		sigemptyset(&set);
		sigaddset(&set, number);
		sigprocmask(SIG_BLOCK, &set, NULL);
		break;
	default:
		errx(64,
		    "usage: startas [-c FD] [-n FD] [-i SIGNAL] [-b SIGNAL] COMMAND [ARG...]");
	}
}

int main(int argc, char **argv)
{
	int option;
	while ((option = getopt(argc, argv, "+c:n:i:b:")) != -1)
		prepare(option, option == '?' ? 0 : atoi(optarg));
	if (optind == argc)
		prepare('?', 0);
	execvp(argv[optind], argv + optind);
	err(127, "%s", argv[optind]);
}
