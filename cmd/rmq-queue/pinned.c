#include "pinned.h"

#include "sys/process/signals.h"

enum rmq_error pinned_open(
    struct pinned *p, struct cells_asked *c, uint32_t i, const struct client_host *host)
{
	struct reason why;
	struct admin *a = c->main;
	struct client_io_cell at = cells_at(c, i);
	struct client_config config = {.window = CLIENT_WINDOW,
	    .timeout_ms = a->common.timeout_ms,
	    .no_wait = true,
	    .pinned = true};
	enum rmq_error err = client_io_open_cell(&p->io, &a->common, &at, &config, host, &why);
	p->opened = !err;
	return err ? admin_fail(a, err, "cell %.*s: %s", (int)at.name.len,
			 (const char *)at.name.data, why.text)
		   : RMQ_E_OK;
}

void pinned_close(struct pinned *p)
{
	int timeout_ms;
	if (!p->opened)
		return;
	client_bye(p->io.client);
	if (!client_dead(p->io.client))
		(void)client_io_prepare(&p->io, &timeout_ms);
	client_io_close(&p->io);
	p->opened = false;
}

int pinned_prepare(struct pinned *p, uint32_t count, struct pollfd *fds)
{
	int timeout_ms = -1, due_ms;
	fds[count] = (struct pollfd){signals_fd(), POLLIN, 0};
	for (uint32_t i = 0; i < count; i++) {
		fds[i] = (struct pollfd){.fd = -1};
		if (!p[i].opened)
			continue;
		fds[i] = client_io_prepare(&p[i].io, &due_ms);
		if (due_ms >= 0)
			timeout_ms = client_io_sooner(timeout_ms, (uint64_t)due_ms);
	}
	return timeout_ms;
}

void pinned_poll(
    struct admin *a, struct pinned *p, uint32_t count, struct pollfd *fds, int timeout_ms)
{
	if (poll(fds, count + 1, timeout_ms) > 0)
		for (uint32_t i = 0; i < count; i++)
			if (p[i].opened)
				client_io_turn(&p[i].io, fds[i].revents);
	if (signals_caught())
		admin_die(a);
}

struct slice pinned_why(
    struct pinned *p, enum rmq_error code, struct slice text, char why[CLIENT_IO_WHY_MAX])
{
	return client_dead(p->io.client) ? client_io_why(&p->io, code, text, why) : text;
}
