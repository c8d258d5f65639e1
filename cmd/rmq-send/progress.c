#include "progress.h"

#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sys/clock.h"

#define BAR_WIDTH 30
#define REDRAW_MS 100

static struct {
	bool drawn;
	struct mono_time begun;
	struct mono_time last;
	off_t size; /* of stdin, 0: unknown */
	uint64_t stored;
} bar;

bool progress_wanted(const struct send_options *o, bool asked)
{
	struct stat st;
	if (o->common.quiet || !isatty(STDERR_FILENO))
		return false;
	if (fstat(STDIN_FILENO, &st) == 0 && S_ISREG(st.st_mode))
		bar.size = st.st_size;
	bar.begun = bar.last = clock_mono();
	return asked || bar.size > 0;
}

void progress_show(const struct sender *s)
{
	char line[BAR_WIDTH + 1] = "";
	struct mono_time now = clock_mono();
	if (now.ms - bar.last.ms < REDRAW_MS)
		return;
	double rate = (double)(s->stored - bar.stored) / (double)(now.ms - bar.last.ms) * 1000;
	off_t at = bar.size > 0 ? lseek(STDIN_FILENO, 0, SEEK_CUR) : 0;
	double part = bar.size > 0 && at >= 0 ? (double)at / (double)bar.size : 0;
	if (part > 1)
		part = 1;
	for (int i = 0; i < BAR_WIDTH; i++)
		line[i] = i < (int)(part * BAR_WIDTH) ? '#' : '.';
	if (bar.size > 0)
		fprintf(stderr, "\r%s [%s] %3d%% %llu stored, %.0f/s\033[K", s->o->queue, line,
		    (int)(part * 100), (unsigned long long)s->stored, rate);
	else
		fprintf(stderr, "\r%s %llu stored, %.0f/s\033[K", s->o->queue,
		    (unsigned long long)s->stored, rate);
	bar.drawn = true;
	bar.last = now;
	bar.stored = s->stored;
}

void progress_clear(void)
{
	if (bar.drawn)
		fputs("\r\033[K", stderr);
	bar.drawn = false;
}
