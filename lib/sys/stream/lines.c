#include "sys/stream/lines.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

static struct slice trim(struct slice s)
{
	static const char blanks[] = " \t\r";
	while (s.len > 0 && memchr(blanks, s.data[0], sizeof(blanks) - 1))
		s = slice_of(s.data + 1, s.len - 1);
	while (s.len > 0 && memchr(blanks, s.data[s.len - 1], sizeof(blanks) - 1))
		s.len--;
	return s;
}

static bool take_line(struct slice s, lines_take *take, void *context, struct reason *what)
{
	char line[LINES_LINE_MAX + 1];
	const char *wrong = s.len > LINES_LINE_MAX	  ? "the line is too long"
			    : memchr(s.data, '\0', s.len) ? "it contains a NUL"
							  : NULL;
	if (wrong) {
		(void)reason_set(what, RMQ_E_CONFIG, "%s", wrong);
		return false;
	}
	memcpy(line, s.data, s.len);
	line[s.len] = '\0';
	return take(context, line, what);
}

enum rmq_error lines_parse(
    struct slice bytes, const char *path, lines_take *take, void *context, struct reason *why)
{
	struct reason what = {""};
	for (unsigned number = 1; bytes.len > 0; number++) {
		const uint8_t *end = memchr(bytes.data, '\n', bytes.len);
		size_t len = end ? (size_t)(end - bytes.data) : bytes.len;
		struct slice line = trim(slice_of(bytes.data, len));
		size_t used = end ? len + 1 : len;
		bytes = slice_of(bytes.data + used, bytes.len - used);
		if (line.len == 0 || line.data[0] == '#' || line.data[0] == ';')
			continue;
		if (!take_line(line, take, context, &what))
			return reason_set(
			    why, RMQ_E_CONFIG, "%s:%u: %s", path, number, what.text);
	}
	return RMQ_E_OK;
}

/* All of a file. */
static enum rmq_error read_all(int fd, struct text *all)
{
	for (;;) {
		char *p = text_reserve(all, LINES_FILE_MAX / 16);
		ssize_t n = p ? read(fd, p, LINES_FILE_MAX / 16) : -1;
		if (!p)
			return RMQ_E_LIMIT;
		if (n < 0)
			return RMQ_E_IO;
		if (n == 0)
			return RMQ_E_OK;
		all->len += (size_t)n;
		if (all->len > LINES_FILE_MAX)
			return RMQ_E_CONFIG;
	}
}

enum rmq_error lines_load(struct text *all, int fd, const char *path, struct reason *why)
{
	enum rmq_error err = read_all(fd, all);
	if (err)
		(void)reason_set(why, err, "%s: %s", path,
		    err == RMQ_E_IO	 ? strerror(errno)
		    : err == RMQ_E_LIMIT ? "out of memory"
					 : "the file is too large");
	return err;
}

enum rmq_error lines_failed(const char *path, struct reason *why)
{
	return reason_set(why,
	    errno == EACCES || errno == EPERM	  ? RMQ_E_DENIED
	    : errno == ENOENT || errno == ENOTDIR ? RMQ_E_CONFIG
						  : RMQ_E_IO,
	    "%s: %s", path, strerror(errno));
}

enum rmq_error lines_read(const char *path, lines_take *take, void *context, struct reason *why)
{
	struct text all = {0};
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return lines_failed(path, why);
	enum rmq_error err = lines_load(&all, fd, path, why);
	close(fd);
	if (!err)
		err = lines_parse(slice_of(all.data, all.len), path, take, context, why);
	text_deinit(&all);
	return err;
}
