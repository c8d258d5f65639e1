#include "results.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "core/wire/receipt.h"
#include "sys/stream/io.h"
#include "verdict.h"

enum rmq_error results_init(struct results *s, const struct work_options *o, struct reason *why)
{
	s->log = s->dir = -1;
	if (o->joblog)
		s->log = open(o->joblog, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0666);
	if (o->joblog && s->log < 0)
		return reason_set(why, RMQ_E_IO, "%s: %s", o->joblog, strerror(errno));
	if (o->results)
		s->dir = open(o->results, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (o->results && s->dir < 0)
		return reason_set(why, RMQ_E_IO, "%s: %s", o->results, strerror(errno));
	return RMQ_E_OK;
}

void results_deinit(struct results *s)
{
	if (s->log >= 0)
		close(s->log);
	if (s->dir >= 0)
		close(s->dir);
	text_deinit(&s->line);
}

/* ---- files ---- */

static int open_file(const struct results *s, const struct job *job, const char *suffix)
{
	char name[RECEIPT_MAX + 8];
	size_t len = receipt_print_id(name, job->envelope.queue, job->envelope.seq);
	snprintf(name + len, sizeof(name) - len, ".%s", suffix);
	return openat(s->dir, name, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
}

bool results_open(struct results *s, struct run_files *files, const struct job *first)
{
	if (s->dir < 0)
		return true;
	files->err = open_file(s, first, "err");
	if (files->err < 0 || files->keeps_output)
		return files->err >= 0;
	files->out = open_file(s, first, "out");
	if (files->out >= 0)
		return true;
	int error = errno;
	close(files->err);
	files->err = -1;
	errno = error;
	return false;
}

bool results_keep(struct results *s, const struct run *r, const struct job *first)
{
	if (s->dir < 0 || !r->keeps_output)
		return true;
	int fd = open_file(s, first, "out");
	if (fd < 0)
		return false;
	int error = io_write(fd, r->output.data, r->output.len);
	close(fd);
	errno = error;
	return error == 0;
}

/* ---- the log ---- */

static void put_seconds(struct text *t, uint64_t ms)
{
	char text[32];
	snprintf(text, sizeof(text), "%llu.%03u", (unsigned long long)(ms / 1000),
	    (unsigned)(ms % 1000));
	text_put_str(t, text);
}

static void put_line(struct text *t, const struct outcome *o, const struct envelope *e)
{
	char id[RECEIPT_MAX], numbers[64];
	receipt_print_id(id, e->queue, e->seq);
	text_put_str(t, id);
	snprintf(numbers, sizeof(numbers), "\t%u\t", e->attempt);
	text_put_str(t, numbers);
	put_seconds(t, o->began.ms);
	text_put_char(t, '\t');
	put_seconds(t, o->took_ms);
	snprintf(numbers, sizeof(numbers), "\t%d\t%d\t", o->code, o->signal);
	text_put_str(t, numbers);
	text_put_str(t, work_verdict_name(o->verdict));
	text_put_char(t, '\n');
}

bool results_log(struct results *s, const struct outcome *o)
{
	if (s->log < 0)
		return true;
	s->line.len = 0;
	for (const struct job *j = o->jobs.head; j; j = j->next)
		put_line(&s->line, o, &j->envelope);
	errno = s->line.failed ? ENOMEM : io_write(s->log, s->line.data, s->line.len);
	return errno == 0;
}
