/*
 * with_journal DIR COMMAND [ARG…]: runs COMMAND with a socket as descriptor 3, at whose
 * other end `rmq-journal serve DIR` is, as a child of this process.
 */
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

static int journal_at(int fd, char *dir)
{
	pid_t pid = fork();
	if (pid == 0) {
		dup2(fd, STDIN_FILENO);
		execlp("rmq-journal", "rmq-journal", "serve", dir, (char *)NULL);
		_exit(127);
	}
	return pid < 0 ? -1 : 0;
}

int main(int argc, char **argv)
{
	int pair[2];
	if (argc < 3 || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0 ||
	    journal_at(pair[0], argv[1]) != 0) {
		fprintf(stderr, "usage: with_journal DIR COMMAND [ARG...]\n");
		return 1;
	}
	/* Without CLOEXEC, unless it is 3 already. */
	if (pair[1] == 3)
		pair[1] = dup(3);
	dup2(pair[1], 3);
	execvp(argv[2], argv + 2);
	return 127;
}
