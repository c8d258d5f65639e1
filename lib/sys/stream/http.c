#include "sys/stream/http.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "core/base/units.h"
#include "sys/process/clock.h"

#define REQUEST_MAX 8192

/* The length of the header, an empty line and all; 0: it is not whole. */
static size_t header_len(const char *bytes, size_t len)
{
	const char *crlf = memmem(bytes, len, "\r\n\r\n", 4);
	const char *lf = memmem(bytes, len, "\n\n", 2);

	if (crlf && (!lf || crlf < lf))
		return (size_t)(crlf - bytes) + 4;
	return lf ? (size_t)(lf - bytes) + 2 : 0;
}

static enum http_method method_of(const char *word)
{
	static const char *const names[] = {[HTTP_GET] = "GET",
	    [HTTP_HEAD] = "HEAD",
	    [HTTP_PUT] = "PUT",
	    [HTTP_DELETE] = "DELETE"};

	for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (strcmp(word, names[i]) == 0)
			return (enum http_method)i;
	return HTTP_OTHER;
}

/* "GET /metrics HTTP/1.1" */
static void take_first(struct http_request *r, char *line)
{
	char *save = NULL;
	const char *method = strtok_r(line, " ", &save), *path = strtok_r(NULL, " ", &save);
	const char *version = strtok_r(NULL, " \r", &save);

	if (!method || !path || !version || strncmp(version, "HTTP/1.", 7) != 0 ||
	    path[0] != '/') {
		r->status = 400;
		return;
	}
	r->method = method_of(method);
	r->head = r->method == HTTP_HEAD;
	size_t len = strcspn(path, "?");
	if (len > HTTP_PATH_MAX)
		r->status = 404;
	else
		memcpy(r->path, path, len);
}

/* "name:8080", "[::1]:8080" */
static void take_host(struct http_request *r, const char *value)
{
	size_t begin = value[0] == '[', len = strcspn(value + begin, begin ? "]" : ":");

	if (len <= HTTP_HOST_MAX)
		memcpy(r->host, value + begin, len);
}

static void take_field(
    struct http_request *r, const char *name, const char *value, uint64_t *body)
{
	if (strcasecmp(name, "Host") == 0)
		take_host(r, value);
	else if (strcasecmp(name, "Origin") == 0 || strcasecmp(name, "Sec-Fetch-Site") == 0)
		r->origin |= strcasecmp(name, "Origin") == 0 || strcasecmp(value, "none") != 0;
	else if (strcasecmp(name, "Forwarded") == 0 ||
		 strcasecmp(name, "X-Forwarded-For") == 0 || strcasecmp(name, "Via") == 0)
		r->forwarded = true;
	else if (strcasecmp(name, "Accept") == 0)
		r->html = strstr(value, "text/html");
	else if (strcasecmp(name, "Last-Event-ID") == 0)
		(void)!units_count(value, 0, UINT64_MAX, &r->last_event);
	else if (strcasecmp(name, "Transfer-Encoding") == 0)
		r->status = 411;
	else if (strcasecmp(name, "Content-Length") == 0 &&
		 !units_count(value, 0, UINT64_MAX, body))
		r->status = 400;
}

/* The lines of the header; *body: how long the body is. */
static void take_header(struct http_request *r, char *bytes, uint64_t *body)
{
	char *save = NULL, *line = strtok_r(bytes, "\n", &save);

	*body = 0;
	if (!line) {
		r->status = 400;
		return;
	}
	take_first(r, line);
	while (r->status == 200 && (line = strtok_r(NULL, "\n", &save))) {
		char *value = strchr(line, ':');
		if (!value)
			continue;
		*value++ = '\0';
		value += strspn(value, " \t");
		value[strcspn(value, "\r")] = '\0';
		take_field(r, line, value, body);
	}
	if (r->status == 200 && *body > HTTP_BODY_MAX)
		r->status = 413;
}

/* More of it, until then.  True: some has come; else *status says how it ends. */
static bool more(int fd, char *bytes, size_t *len, size_t cap, uint64_t until_ms, int *status)
{
	for (;;) {
		uint64_t now = clock_mono().ms, left = until_ms > now ? until_ms - now : 0;
		struct pollfd p = {fd, POLLIN, 0};
		*status = *len > 0 ? 408 : 0;
		if (left == 0)
			return false;
		if (poll(&p, 1, left < 1000000 ? (int)left : 1000000) <= 0)
			continue;
		ssize_t n = read(fd, bytes + *len, cap - *len);
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			continue;
		*status = *len > 0 ? 400 : 0;
		if (n <= 0)
			return false;
		*len += (size_t)n;
		return true;
	}
}

struct http_request http_read(int fd, uint64_t timeout_ms)
{
	struct http_request r = {.status = 200};
	char bytes[REQUEST_MAX + HTTP_BODY_MAX + 1];
	uint64_t now = clock_mono().ms, body = 0;
	uint64_t until = timeout_ms > UINT64_MAX - now ? UINT64_MAX : now + timeout_ms;
	size_t len = 0, header;

	while (!(header = header_len(bytes, len))) {
		if (len >= REQUEST_MAX)
			return (struct http_request){.status = 431};
		if (!more(fd, bytes, &len, REQUEST_MAX, until, &r.status))
			return r;
		r.status = 200;
	}
	/* Its empty line is nobody's. */
	bytes[header - 1] = '\0';
	if (memchr(bytes, '\0', header - 1))
		r.status = 400;
	else
		take_header(&r, bytes, &body);
	while (r.status == 200 && len < header + body) {
		int status;
		if (!more(fd, bytes, &len, header + (size_t)body, until, &status))
			r.status = status;
	}
	if (r.status == 200)
		memcpy(r.body, bytes + header, (size_t)body);
	return r;
}

bool http_is(const struct http_request *r, const char *path)
{
	return strcmp(r->path, path) == 0;
}

void http_form(const struct http_request *r, const char *name, char *value, size_t size)
{
	size_t name_len = strlen(name);

	value[0] = '\0';
	for (const char *at = r->body; *at; at += *at == '&') {
		size_t len = strcspn(at, "&\r\n");
		if (len > name_len && strncmp(at, name, name_len) == 0 && at[name_len] == '=' &&
		    len - name_len <= size) {
			memcpy(value, at + name_len + 1, len - name_len - 1);
			value[len - name_len - 1] = '\0';
			return;
		}
		at += len;
		at += strspn(at, "\r\n");
	}
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
	static const struct {
		int status;
		const char *text;
	} reasons[] = {{200, "OK"}, {400, "Bad Request"}, {403, "Forbidden"},
	    {404, "Not Found"}, {405, "Method Not Allowed"}, {408, "Request Timeout"},
	    {409, "Conflict"}, {411, "Length Required"}, {413, "Content Too Large"},
	    {421, "Misdirected Request"}, {431, "Request Header Fields Too Large"},
	    {500, "Internal Server Error"}, {504, "Gateway Timeout"}};

	for (size_t i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++)
		if (reasons[i].status == status)
			return reasons[i].text;
	return "Service Unavailable";
}

static void put_line(struct text *out, const char *name, const char *value)
{
	text_put_str(out, name);
	text_put_str(out, ": ");
	text_put_str(out, value);
	text_put_str(out, "\r\n");
}

static void put_head(struct text *out, int status, const char *type)
{
	text_put_str(out, "HTTP/1.1 ");
	text_put_u64(out, (uint64_t)status);
	text_put_char(out, ' ');
	text_put_str(out, reason_of(status));
	text_put_str(out, "\r\n");
	put_line(out, "Content-Type", type);
	/* What it says is of now, and is what it says that it is. */
	put_line(out, "Cache-Control", "no-store");
	put_line(out, "X-Content-Type-Options", "nosniff");
	put_line(out, "Connection", "close");
}

void http_put(struct text *out, int status, const char *type, const char *more,
    struct slice body, bool head)
{
	char line[64];
	int line_len = snprintf(line, sizeof(line), "%s\n", reason_of(status));

	if (body.len == 0)
		body = slice_of(line, (size_t)line_len);
	put_head(out, status, type);
	text_put_str(out, "Content-Length: ");
	text_put_u64(out, body.len);
	text_put_str(out, "\r\n");
	text_put_str(out, more);
	text_put_str(out, "\r\n");
	if (!head)
		text_put_slice(out, body);
}

void http_put_stream(struct text *out, const char *type)
{
	put_head(out, 200, type);
	text_put_str(out, "\r\n");
}

enum http_peer http_peer(int fd)
{
	struct sockaddr_storage address;
	socklen_t len = sizeof(address);
	struct ucred peer;

	if (getsockname(fd, (struct sockaddr *)&address, &len) != 0 ||
	    address.ss_family != AF_UNIX || len <= offsetof(struct sockaddr_un, sun_path))
		return HTTP_PEER_REMOTE;
	len = sizeof(peer);
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) != 0)
		return HTTP_PEER_LOCAL;
	return peer.uid == 0 || peer.uid == geteuid() ? HTTP_PEER_TRUSTED : HTTP_PEER_LOCAL;
}

bool http_host_is_ours(const struct http_request *r)
{
	char name[HTTP_HOST_MAX + 1] = "";
	uint8_t address[16];

	if (!*r->host || strcasecmp(r->host, "localhost") == 0 ||
	    inet_pton(AF_INET, r->host, address) == 1 ||
	    inet_pton(AF_INET6, r->host, address) == 1)
		return true;
	return gethostname(name, sizeof(name) - 1) == 0 && strcasecmp(r->host, name) == 0;
}
