#include "sys/stream/printer.h"

#include <errno.h>
#include <string.h>

#include "sys/process/signals.h"

int printer_open(struct printer *p, int fd, int separator)
{
	*p = (struct printer){.separator = separator};
	return output_open(&p->out, fd);
}

void printer_deinit(struct printer *p)
{
	text_deinit(&p->records);
}

struct text *printer_text(struct printer *p)
{
	return &p->records;
}

static size_t waiting(const struct printer *p)
{
	return p->records.len - p->at;
}

int printer_write(struct printer *p)
{
	int error = 0;
	if (p->records.failed)
		return ENOMEM;
	if (waiting(p) == 0)
		return 0;
	const char *from = p->records.data + p->at;
	size_t n = output_write(&p->out, from, waiting(p), &error);
	const char *end = p->separator >= 0 ? memrchr(from, p->separator, n) : NULL;
	p->torn = end ? (size_t)(from + n - end - 1) : p->torn + n;
	p->at += n;
	/* What was written makes place at last when it is most of it. */
	if (p->at > p->records.len / 2) {
		text_shift(&p->records, p->at);
		p->at = 0;
	}
	if (error == EAGAIN)
		return 0;
	if (error)
		p->left_torn = output_leaves_torn(&p->out, p->torn, p->separator);
	return error;
}

const char *printer_says(const struct printer *p)
{
	return p->left_torn ? "; it ends with a part of a record" : "";
}

bool printer_waits(const struct printer *p)
{
	return waiting(p) > 0;
}

bool printer_is_behind(const struct printer *p)
{
	return waiting(p) >= PRINTER_ENOUGH_BYTES;
}

struct pollfd printer_poll(const struct printer *p)
{
	return (struct pollfd){waiting(p) > 0 ? p->out.fd : -1, POLLOUT, 0};
}

/* Forgets what waits, but for the rest of a record that was written in part. */
static void cut(struct printer *p)
{
	const char *from = p->records.data + p->at;
	const char *end = p->torn > 0 && p->separator >= 0 && waiting(p) > 0
			      ? memchr(from, p->separator, waiting(p))
			      : NULL;
	if (p->torn == 0)
		p->records.len = p->at;
	else if (end)
		p->records.len = p->at + (size_t)(end - from) + 1;
}

int printer_finish(struct printer *p)
{
	int error = printer_write(p);
	while (!error && waiting(p) > 0) {
		struct pollfd ready[2] = {
		    printer_poll(p), {signals_caught() ? -1 : signals_fd(), POLLIN, 0}};
		if (signals_caught())
			cut(p);
		if (waiting(p) > 0)
			(void)poll(ready, 2, -1);
		error = printer_write(p);
	}
	return error;
}
