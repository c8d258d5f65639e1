#include "run.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define READ_BYTES (64u << 10)
#define LINE_BYTES 4096 /* a longer one of stderr is passed on in parts */

static const struct mono_time never = {UINT64_MAX};

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

/* A pipe whose reading end does not wait. */
static int open_pipe(int *reader, int *writer)
{
	int fds[2];
	if (pipe2(fds, O_CLOEXEC) != 0)
		return errno;
	(void)fcntl(fds[0], F_SETFL, O_NONBLOCK);
	*reader = fds[0];
	*writer = fds[1];
	return 0;
}

int run_start(struct run *r, struct spawn *s, int input, const struct run_files *files)
{
	int out = -1, err = -1, error = 0;
	r->out = r->err = -1;
	r->errors = files->err;
	r->keeps_output = files->keeps_output;
	if (files->keeps_output)
		error = open_pipe(&r->out, &out);
	if (!error && files->err < 0)
		error = open_pipe(&r->err, &err);
	s->fds[0] = input;
	s->fds[1] = files->keeps_output ? out : files->out;
	s->fds[2] = files->err < 0 ? err : files->err;
	if (!error)
		error = spawn(s, &r->pid);
	close_fd(&out);
	close_fd(&err);
	if (error) {
		r->pid = 0;
		close_fd(&r->out);
		close_fd(&r->err);
		close_fd(&r->errors);
		return error;
	}
	r->term_at = r->kill_at = never;
	r->output.len = r->line_len = 0;
	r->last[0] = '\0';
	r->reaped = r->lost = r->late = r->too_much = false;
	return 0;
}

size_t run_poll(const struct run *r, struct pollfd *p, bool read_errors)
{
	size_t n = 0;
	if (r->out >= 0)
		p[n++] = (struct pollfd){r->out, POLLIN, 0};
	if (r->err >= 0 && read_errors)
		p[n++] = (struct pollfd){r->err, POLLIN, 0};
	return n;
}

/* ---- what it prints ---- */

static void end_line(struct run *r)
{
	if (r->line_len > 0) {
		memcpy(r->last, r->line, r->line_len);
		r->last[r->line_len] = '\0';
		text_tame(r->last, r->line_len);
	}
	r->line_len = 0;
}

static void note_lines(struct run *r, const char *bytes, size_t len)
{
	while (len > 0) {
		const char *end = memchr(bytes, '\n', len);
		size_t part = end ? (size_t)(end - bytes) : len, left = TEXT_MAX - r->line_len;
		memcpy(r->line + r->line_len, bytes, part < left ? part : left);
		r->line_len += part < left ? part : left;
		if (!end)
			return;
		end_line(r);
		bytes = end + 1;
		len -= part + 1;
	}
}

const char *run_reason(const struct run *r)
{
	return r->last;
}

/* One read.  False: nothing more is there now. */
static bool read_some(int *fd, char *bytes, size_t *len)
{
	ssize_t n = read(*fd, bytes, READ_BYTES);
	*len = n > 0 ? (size_t)n : 0;
	if (n > 0 || (n < 0 && errno == EINTR))
		return true;
	if (n == 0 || errno != EAGAIN)
		close_fd(fd);
	return false;
}

static void read_output(struct run *r)
{
	char bytes[READ_BYTES];
	size_t len;
	while (r->out >= 0 && !r->too_much && read_some(&r->out, bytes, &len)) {
		text_put(&r->output, bytes, len);
		r->too_much = r->output.len > r->output_most || r->output.failed;
	}
}

/* Passes on whole lines, so that those of several runs do not mix; `all`: and what is left. */
static void pass_lines(struct run *r, struct text *errors, bool all)
{
	if (r->errors_part.len == 0)
		return;
	const char *end = memrchr(r->errors_part.data, '\n', r->errors_part.len);
	size_t len = end ? (size_t)(end - r->errors_part.data) + 1 : 0;
	if (all || r->errors_part.len - len > LINE_BYTES)
		len = r->errors_part.len;
	if (len == 0)
		return;
	text_put(errors, r->errors_part.data, len);
	text_shift(&r->errors_part, len);
}

/* At most so much as a pipe holds, so that one that prints without end holds up nobody. */
static void read_errors(struct run *r, struct text *errors)
{
	char bytes[READ_BYTES];
	size_t len, all = 0;
	while (r->err >= 0 && all < READ_BYTES && read_some(&r->err, bytes, &len)) {
		text_put(&r->errors_part, bytes, len);
		pass_lines(r, errors, false);
		note_lines(r, bytes, len);
		all += len;
	}
}

void run_read(struct run *r, struct text *errors)
{
	read_output(r);
	if (errors)
		read_errors(r, errors);
}

/* The end of the file that its stderr was. */
static void read_file(struct run *r)
{
	char bytes[4 * TEXT_MAX];
	off_t size = lseek(r->errors, 0, SEEK_END);
	off_t from = size > (off_t)sizeof(bytes) ? size - (off_t)sizeof(bytes) : 0;
	ssize_t n = pread(r->errors, bytes, sizeof(bytes), from);
	if (n > 0)
		note_lines(r, bytes, (size_t)n);
}

void run_reaped(struct run *r, int status, struct text *errors)
{
	r->reaped = true;
	r->status = status;
	run_read(r, errors);
	pass_lines(r, errors, true);
	if (r->errors >= 0)
		read_file(r);
	end_line(r);
	close_fd(&r->out);
	close_fd(&r->err);
	close_fd(&r->errors);
}

/* ---- its end ---- */

void run_terminate(struct run *r, struct mono_time now)
{
	if (r->pid <= 0 || r->reaped || r->kill_at.ms != never.ms)
		return;
	kill(-r->pid, SIGTERM);
	/* One that is stopped cannot end. */
	kill(-r->pid, SIGCONT);
	r->kill_at.ms = now.ms + RUN_KILL_MS;
}

struct mono_time run_tick(struct run *r, struct mono_time now)
{
	if (r->pid <= 0 || r->reaped)
		return never;
	if (r->too_much || now.ms >= r->term_at.ms) {
		r->late |= now.ms >= r->term_at.ms;
		r->term_at = never;
		run_terminate(r, now);
	}
	if (now.ms >= r->kill_at.ms) {
		kill(-r->pid, SIGKILL);
		r->kill_at.ms = now.ms + RUN_KILL_MS;
	}
	return r->term_at.ms < r->kill_at.ms ? r->term_at : r->kill_at;
}

void run_deinit(struct run *r)
{
	jobs_free(&r->jobs);
	text_deinit(&r->output);
	text_deinit(&r->errors_part);
	close_fd(&r->out);
	close_fd(&r->err);
	close_fd(&r->errors);
}
