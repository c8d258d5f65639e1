#include "progress.h"

#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sys/process/clock.h"

#define BAR_WIDTH	 30
#define LINE_MAX_COLUMNS 255
#define REDRAW_MS	 100

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

static bool in_foreground(void)
{
	return tcgetpgrp(STDERR_FILENO) == getpgrp();
}

/* Overwrites the line; the terminal's last column stays free, or it would wrap. */
static void draw(const char *line, int len)
{
	struct winsize size;
	bool known = ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0;
	int columns = known ? size.ws_col : 80;
	fprintf(stderr, "\r%.*s\033[K", len < columns ? len : columns - 1, line);
	bar.drawn = true;
}

void progress_show(const struct sender *s)
{
	char line[BAR_WIDTH + 1] = "", text[LINE_MAX_COLUMNS + 1];
	struct mono_time now = clock_mono();
	if (now.ms - bar.last.ms < REDRAW_MS || !sender_has_daemon(s) || !in_foreground())
		return;
	double rate = (double)(s->stored - bar.stored) / (double)(now.ms - bar.last.ms) * 1000;
	off_t at = bar.size > 0 ? lseek(STDIN_FILENO, 0, SEEK_CUR) : 0;
	double part = bar.size > 0 && at >= 0 ? (double)at / (double)bar.size : 0;
	if (part > 1)
		part = 1;
	for (int i = 0; i < BAR_WIDTH; i++)
		line[i] = i < (int)(part * BAR_WIDTH) ? '#' : '.';
	if (bar.size > 0)
		draw(text, snprintf(text, sizeof(text), "%3d%% %llu stored, %.0f/s [%s] %s",
			       (int)(part * 100), (unsigned long long)s->stored, rate, line,
			       s->o->queue));
	else
		draw(text, snprintf(text, sizeof(text), "%llu stored, %.0f/s %s",
			       (unsigned long long)s->stored, rate, s->o->queue));
	bar.last = now;
	bar.stored = s->stored;
}

void progress_clear(void)
{
	if (bar.drawn && in_foreground())
		fputs("\r\033[K", stderr);
	bar.drawn = false;
}
