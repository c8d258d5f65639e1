#include "sys/store/store_watch.h"

#include <sys/inotify.h>
#include <unistd.h>

#include "sys/store/guard.h"

int store_watch_open(const char *dir)
{
	int fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	if (fd >= 0 && inotify_add_watch(fd, dir, IN_MOVED_TO | IN_ONLYDIR) < 0) {
		close(fd);
		return -1;
	}
	return fd;
}

bool store_watch_take(int fd)
{
	char events[4096];
	bool any = false;
	while (fd >= 0 && read(fd, events, sizeof(events)) > 0)
		any = true;
	return any;
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
	struct store_watch *w = poll->data;
	(void)status, (void)events;
	if (!store_watch_take(w->fd))
		return;
	guard_on();
	/* What is wrong is found, and told, by the next read. */
	enum rmq_error err = store_reader_follow(w->reader);
	(void)err;
	guard_off();
}

void store_watch_start(
    struct store_watch *w, uv_loop_t *loop, const char *dir, struct store_reader *r)
{
	*w = (struct store_watch){.fd = store_watch_open(dir), .reader = r};
	if (w->fd < 0)
		return;
	if (uv_poll_init(loop, &w->poll, w->fd) != 0) {
		close(w->fd);
		w->fd = -1;
		return;
	}
	w->poll.data = w;
	uv_poll_start(&w->poll, UV_READABLE, on_poll);
	uv_unref((uv_handle_t *)&w->poll);
}
