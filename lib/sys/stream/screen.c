#include "sys/stream/screen.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include "sys/stream/io.h"

/* The other screen, without a cursor; and back. */
#define ENTER "\033[?1049h\033[?25l"
#define LEAVE "\033[?25h\033[?1049l"

static struct termios kept;
static volatile sig_atomic_t changed; /* `kept` is how the terminal was */
static volatile sig_atomic_t entered;

void screen_leave(void)
{
	/* There is nobody to tell of an error. */
	ssize_t n = entered ? write(STDOUT_FILENO, LEAVE, sizeof(LEAVE) - 1) : 0;
	(void)n;
	entered = 0;
	if (changed)
		tcsetattr(STDOUT_FILENO, TCSANOW, &kept);
}

/* ^Z: the shell finds the terminal as it was; when we go on, all is drawn anew. */
static void on_stop(int signal)
{
	int number = errno;
	(void)signal;
	screen_leave();
	raise(SIGSTOP);
	errno = number;
}

static bool is_utf8(void)
{
	static const char *const names[] = {"LC_ALL", "LC_CTYPE", "LANG"};
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		const char *value = getenv(names[i]);
		if (value && *value)
			return strcasestr(value, "utf-8") || strcasestr(value, "utf8");
	}
	return false;
}

bool screen_open(struct screen *s)
{
	struct sigaction stop = {.sa_handler = on_stop};
	if (!isatty(STDOUT_FILENO))
		return false;
	s->utf8 = is_utf8();
	changed = tcgetattr(STDOUT_FILENO, &kept) == 0;
	sigaction(SIGTSTP, &stop, NULL);
	return true;
}

void screen_deinit(struct screen *s)
{
	text_deinit(&s->out);
}

static void enter(struct text *out)
{
	struct termios quiet = kept;
	if (entered)
		return;
	quiet.c_lflag &= ~(tcflag_t)ECHO;
	if (changed)
		tcsetattr(STDOUT_FILENO, TCSANOW, &quiet);
	text_put_str(out, ENTER);
	entered = 1;
}

void screen_begin(struct screen *s)
{
	struct winsize size = {0};
	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_row == 0 ||
	    size.ws_col == 0) {
		size.ws_row = 24;
		size.ws_col = 80;
	}
	s->rows = size.ws_row;
	s->columns = size.ws_col;
	s->used = 0;
	s->out.len = 0;
	enter(&s->out);
	text_put_str(&s->out, "\033[H");
}

int screen_show(struct screen *s)
{
	text_put_str(&s->out, "\033[J");
	return s->out.failed ? ENOMEM : io_write(STDOUT_FILENO, s->out.data, s->out.len);
}

/* How many bytes so many characters of UTF-8 take. */
static size_t fitting(struct slice line, unsigned columns)
{
	size_t len = 0;
	for (; len < line.len; len++)
		if ((line.data[len] & 0xc0) != 0x80 && columns-- == 0)
			break;
	return len;
}

/* The last row ends without a newline, which would move all others up. */
static size_t put(struct screen *s, const char *before, struct slice line, const char *after)
{
	size_t len = fitting(line, s->columns);
	if (s->used >= s->rows)
		return len;
	text_put_str(&s->out, s->used++ > 0 ? "\n" : "");
	text_put_str(&s->out, before);
	text_put_slice(&s->out, slice_of(line.data, len));
	text_put_str(&s->out, after);
	text_put_str(&s->out, "\033[K");
	return len;
}

size_t screen_put_line(struct screen *s, struct slice line)
{
	return put(s, "", line, "");
}

void screen_put_heading(struct screen *s, struct slice line)
{
	(void)put(s, "\033[7m", line, "\033[0m");
}
