/*
 * dump: one record after the other, each in a read transaction of its own, which is over
 * before anything is written: a slow reader of our output must not keep pages from being
 * used again.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "journal.h"
#include "record_json.h"
#include "sys/process/signals.h"
#include "sys/store/store.h"

/* Looks for itself now and then, should the kernel not tell about changes (network file
 * systems). */
#define FOLLOW_MS 1000

enum { FROM = OPTION_LONG, FOLLOW };

struct dump_options {
	uint64_t from;
	bool follow;
};

/* The line of the first record at *next or after it; moves *next after that. */
static enum rmq_error render(
    struct store_reader *r, uint64_t *next, char **line, struct reason *why)
{
	struct record_header h;
	struct slice payload;
	enum rmq_error bad = RMQ_E_OK;
	json_t *o = NULL;
	enum rmq_error err = store_reader_begin(r);
	if (err)
		return reason_set(why, err, "cannot be read: %s", error_text(err));
	err = store_reader_next(r, *next, &h, &payload);
	if (!err)
		o = record_json(&h, payload, &bad);
	else if (h.index != 0)
		o = json_pack(
		    "{s:I, s:s}", "index", (json_int_t)h.index, "error", error_text(err));
	store_reader_end(r);
	if (err == RMQ_E_NOTHING)
		return err;
	if (err && h.index == 0)
		return name_record(why, err, *next);
	*next = h.index + 1;
	*line = o ? json_dumps(o, JSON_COMPACT) : NULL;
	json_decref(o);
	return err ? err : bad;
}

static int watch(const char *dir)
{
	char path[4096];
	int fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	if (fd >= 0 && snprintf(path, sizeof(path), "%s/data.mdb", dir) < (int)sizeof(path) &&
	    inotify_add_watch(fd, path, IN_MODIFY) >= 0)
		return fd;
	if (fd >= 0)
		close(fd);
	return -1;
}

/* False: whoever read our output is gone. */
static bool wait_for_change(int watch_fd)
{
	char events[4096];
	struct pollfd p[] = {
	    {watch_fd, POLLIN, 0}, {STDOUT_FILENO, 0, 0}, {signals_fd(), POLLIN, 0}};
	if (poll(p, 3, FOLLOW_MS) <= 0)
		return true;
	while (p[0].revents && read(watch_fd, events, sizeof(events)) > 0)
		;
	return !(p[1].revents & (POLLERR | POLLHUP));
}

/* The exit status: 0, or that of the first bad record. */
static int dump(struct store_reader *r, const char *dir, const struct dump_options *o)
{
	uint64_t next = o->from;
	int watch_fd = o->follow ? watch(dir) : -1;
	int status = 0;
	while (!ferror(stdout) && !signals_caught()) {
		char *line = NULL;
		struct reason why = {""};
		enum rmq_error err = render(r, &next, &line, &why);
		if (err == RMQ_E_NOTHING && !o->follow)
			break;
		if (err == RMQ_E_NOTHING) {
			if (fflush(stdout) != 0 || !wait_for_change(watch_fd))
				break;
			continue;
		}
		if (!line) {
			status = report(dir, err ? err : RMQ_E_BUG, &why);
			break;
		}
		if (err && status == 0)
			status = error_exit(err);
		fputs(line, stdout);
		putchar('\n');
		free(line);
	}
	if (watch_fd >= 0)
		close(watch_fd);
	status = finish_stdout(status);
	if (signals_caught())
		signals_die(signals_caught());
	return status;
}

static bool set_option(int letter, const char *value, void *state)
{
	struct dump_options *o = state;
	if (letter == FROM)
		return parse_index(value, &o->from);
	o->follow = true;
	return true;
}

const struct option_row dump_rows[] = {{FROM, "from", "N", NULL, NULL, "from record N on"},
    {FOLLOW, "follow", NULL, NULL, NULL, "go on with records as they are stored"}, {0}};

int command_dump(int argc, char **argv)
{
	struct dump_options o = {.from = 1};
	struct store_reader *r;
	struct reason why = {""};
	int status;
	char **words = command_words(argc, argv, "dump", set_option, &o, 1, &status);
	if (!words)
		return status;
	guard_directory(words[0]);
	/* The kernel drops what the first process of a container does not handle. */
	if (!signals_init())
		return report(
		    "signals", reason_set(&why, RMQ_E_IO, "%s", strerror(errno)), &why);
	enum rmq_error err = store_reader_open(words[0], &r, &why);
	if (err)
		return report(words[0], err, &why);
	status = dump(r, words[0], &o);
	store_reader_close(r);
	return status;
}
