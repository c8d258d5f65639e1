/*
 * How long nothing was confirmed: reads lines from standard input as they come.
 *
 *	gaps OUT	for each read(2) that brought something a line to OUT: milliseconds of the
 *			wall clock, and how many lines there were so far
 *
 * Lines that come within the same millisecond are one entry.
 */
#include <err.h>
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

static uint64_t now_ms(void)
{
	struct timespec t;
	clock_gettime(CLOCK_REALTIME, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

int main(int argc, char **argv)
{
	static char buffer[65536];
	uint64_t lines = 0, last_ms = 0;
	ssize_t n;

	if (argc != 2)
		errx(64, "usage: gaps OUT");
	FILE *out = fopen(argv[1], "we");
	if (!out)
		err(74, "%s", argv[1]);
	setvbuf(out, NULL, _IOLBF, 0);
	while ((n = read(STDIN_FILENO, buffer, sizeof buffer)) > 0) {
		for (ssize_t i = 0; i < n; i++)
			lines += buffer[i] == '\n';
		uint64_t ms = now_ms();
		if (ms != last_ms)
			fprintf(out, "%" PRIu64 " %" PRIu64 "\n", ms, lines);
		last_ms = ms;
	}
	if (n < 0 || fclose(out) != 0)
		err(74, "gaps");
	return 0;
}
