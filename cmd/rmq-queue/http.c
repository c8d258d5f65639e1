#include "http.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "sys/process/clock.h"

#define REQUEST_MAX 8192

/* Whether the header is whole: an empty line ends it. */
static bool is_whole(const char *bytes, size_t len)
{
	return memmem(bytes, len, "\r\n\r\n", 4) || memmem(bytes, len, "\n\n", 2);
}

/* "GET /metrics HTTP/1.1" */
static struct http_request judge(char *line)
{
	struct http_request r = {.status = 200};
	char *save = NULL;
	const char *method = strtok_r(line, " ", &save), *path = strtok_r(NULL, " ", &save);
	const char *version = strtok_r(NULL, " \r", &save);
	if (!method || !path || !version || strncmp(version, "HTTP/1.", 7) != 0) {
		r.status = 400;
		return r;
	}
	r.head = strcmp(method, "HEAD") == 0;
	size_t len = strcspn(path, "?");
	bool known =
	    (len == 1 && path[0] == '/') || (len == 8 && strncmp(path, "/metrics", len) == 0);
	if (!r.head && strcmp(method, "GET") != 0)
		r.status = 405;
	else if (!known)
		r.status = 404;
	return r;
}

struct http_request http_read(int fd, uint64_t timeout_ms)
{
	char bytes[REQUEST_MAX + 1];
	size_t len = 0;
	uint64_t begin = clock_mono().ms, spent;
	while (!is_whole(bytes, len)) {
		struct pollfd p = {fd, POLLIN, 0};
		if (len == REQUEST_MAX)
			return (struct http_request){.status = 431};
		spent = clock_mono().ms - begin;
		if (spent >= timeout_ms)
			return (struct http_request){.status = len > 0 ? 408 : 0};
		uint64_t left = timeout_ms - spent;
		if (poll(&p, 1, left < 1000000 ? (int)left : 1000000) <= 0)
			continue;
		ssize_t n = read(fd, bytes + len, REQUEST_MAX - len);
		if (n <= 0)
			return (struct http_request){.status = len > 0 ? 400 : 0};
		len += (size_t)n;
	}
	bytes[len] = '\0';
	*(char *)memchr(bytes, '\n', len) = '\0';
	return judge(bytes);
}

static ssize_t send_some(int fd, struct slice bytes)
{
	ssize_t n = send(fd, bytes.data, bytes.len, MSG_DONTWAIT);
	return n < 0 && errno == ENOTSOCK ? write(fd, bytes.data, bytes.len) : n;
}

bool http_send(int fd, struct slice answer, uint64_t timeout_ms)
{
	uint64_t until_ms = clock_mono().ms + timeout_ms;
	while (answer.len > 0) {
		uint64_t now_ms = clock_mono().ms;
		struct pollfd p = {fd, POLLOUT, 0};
		errno = ETIMEDOUT;
		if (now_ms >= until_ms)
			return false;
		if (poll(&p, 1, (int)(until_ms - now_ms)) <= 0)
			continue;
		ssize_t n = send_some(fd, answer);
		if (n > 0)
			answer = slice_of(answer.data + n, answer.len - (size_t)n);
		else if (n < 0 && errno != EAGAIN && errno != EINTR)
			return false;
	}
	return true;
}

static const char *reason_of(int status)
{
	switch (status) {
	case 200:
		return "OK";
	case 400:
		return "Bad Request";
	case 404:
		return "Not Found";
	case 405:
		return "Method Not Allowed";
	case 408:
		return "Request Timeout";
	case 431:
		return "Request Header Fields Too Large";
	}
	return "Service Unavailable";
}

void http_put(struct text *out, int status, const char *type, struct slice body, bool head)
{
	char header[512], line[64];
	int line_len = snprintf(line, sizeof(line), "%s\n", reason_of(status));
	if (body.len == 0)
		body = slice_of(line, (size_t)line_len);
	int len = snprintf(header, sizeof(header),
	    "HTTP/1.1 %d %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\n%sConnection: close\r\n\r\n",
	    status, reason_of(status), type, body.len,
	    status == 405 ? "Allow: GET, HEAD\r\n" : "");
	text_put(out, header, (size_t)len);
	if (!head)
		text_put_slice(out, body);
}
