/*
 * Measures processes from outside:
 *
 *	watch run [-p PID] OUT COMMAND [ARG…]	runs it; writes to OUT a line: seconds, the
 *						highest anonymous memory of COMMAND and of PID
 *						(KiB), exit status
 *	watch times COUNT COMMAND [ARG…]	median ms from start to exit of COMMAND
 *
 * Memory is RssAnon of /proc/PID/status, read every 5 ms.
 */
#include <err.h>
#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define SAMPLE_MS 5

extern char **environ;

static double now_ms(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static long anon_kib(pid_t pid)
{
	char path[64];
	char text[4096];
	snprintf(path, sizeof path, "/proc/%ld/status", (long)pid);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return 0;
	ssize_t n = read(fd, text, sizeof text - 1);
	close(fd);
	text[n > 0 ? n : 0] = '\0';
	const char *p = strstr(text, "RssAnon:");
	return p ? strtol(p + strlen("RssAnon:"), NULL, 10) : 0;
}

static void highest(long *kib, pid_t pid)
{
	long now = pid > 0 ? anon_kib(pid) : 0;
	if (now > *kib)
		*kib = now;
}

static pid_t start(char **command)
{
	pid_t pid;
	int rc = posix_spawnp(&pid, command[0], NULL, NULL, command, environ);
	if (rc != 0)
		errx(127, "%s: %s", command[0], strerror(rc));
	return pid;
}

static int run(pid_t other, const char *out, char **command)
{
	int status;
	long own_kib = 0;
	long other_kib = 0;
	double begin = now_ms();
	pid_t pid = start(command);
	struct pollfd end = {(int)syscall(SYS_pidfd_open, pid, 0), POLLIN, 0};
	if (end.fd < 0)
		err(74, "pidfd_open");
	do {
		highest(&own_kib, pid);
		highest(&other_kib, other);
	} while (poll(&end, 1, SAMPLE_MS) == 0);
	double ms = now_ms() - begin;
	highest(&other_kib, other);
	if (waitpid(pid, &status, 0) < 0)
		err(74, "waitpid");
	FILE *f = fopen(out, "w");
	if (f == NULL)
		err(74, "%s", out);
	int code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
	fprintf(f, "%.3f %ld %ld %d\n", ms / 1e3, own_kib, other_kib, code);
	if (fclose(f) != 0)
		err(74, "%s", out);
	return code;
}

static int compare(const void *a, const void *b)
{
	double x, y;
	memcpy(&x, a, sizeof x);
	memcpy(&y, b, sizeof y);
	return (x > y) - (x < y);
}

static int times(size_t count, char **command)
{
	double *ms = calloc(count, sizeof *ms);
	if (ms == NULL || count == 0)
		errx(64, "COUNT is 1 or more");
	for (size_t i = 0; i < count; i++) {
		int status;
		double begin = now_ms();
		pid_t pid = start(command);
		if (waitpid(pid, &status, 0) < 0)
			err(74, "waitpid");
		ms[i] = now_ms() - begin;
		if (status != 0)
			errx(74, "%s failed", command[0]);
	}
	qsort(ms, count, sizeof *ms, compare);
	printf("%.3f\n", ms[count / 2]);
	free(ms);
	return 0;
}

int main(int argc, char **argv)
{
	if (argc >= 4 && strcmp(argv[1], "times") == 0)
		return times(strtoull(argv[2], NULL, 10), argv + 3);
	if (argc >= 6 && strcmp(argv[1], "run") == 0 && strcmp(argv[2], "-p") == 0)
		return run((pid_t)strtol(argv[3], NULL, 10), argv[4], argv + 5);
	if (argc >= 4 && strcmp(argv[1], "run") == 0)
		return run(0, argv[2], argv + 3);
	fprintf(stderr, "usage: watch run [-p PID] OUT COMMAND [ARG...]\n"
			"       watch times COUNT COMMAND [ARG...]\n");
	return 64;
}
