/*
 * A request over HTTP, as whoever reaches the socket sends it.  What is read of it is bounded, in
 * whatever pieces it comes the same is understood, and its strings end.
 */
#include "fuzz.h"

#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "sys/stream/http.h"

/* More is never read. */
#define REQUEST_MAX (8192 + HTTP_BODY_MAX)
#define INPUT_MAX   (64u << 10)
/* That is sent byte by byte; more would not be kept on the way. */
#define PIECES_MAX 200

static struct http_request whole(const uint8_t *data, size_t size)
{
	int fd = memfd_create("request", MFD_CLOEXEC);
	assert(
	    fd >= 0 && write(fd, data, size) == (ssize_t)size && lseek(fd, 0, SEEK_SET) == 0);
	struct http_request r = http_read(fd, UINT64_MAX);
	off_t at = lseek(fd, 0, SEEK_CUR);
	assert(at <= REQUEST_MAX);
	(void)at;
	close(fd);
	return r;
}

static struct http_request in_pieces(const uint8_t *data, size_t size)
{
	int fds[2], made = socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds);
	assert(made == 0);
	(void)made;
	for (size_t i = 0; i < size; i++) {
		ssize_t n = send(fds[0], data + i, 1, MSG_DONTWAIT);
		assert(n == 1);
		(void)n;
	}
	close(fds[0]);
	struct http_request r = http_read(fds[1], UINT64_MAX);
	close(fds[1]);
	return r;
}

static void same(const struct http_request *a, const struct http_request *b)
{
	assert(a->status == b->status && a->method == b->method && a->head == b->head);
	assert(a->forwarded == b->forwarded);
	assert(a->origin == b->origin && a->html == b->html && a->last_event == b->last_event);
	assert(strcmp(a->path, b->path) == 0 && strcmp(a->host, b->host) == 0);
	assert(strcmp(a->body, b->body) == 0);
}

static void check(const struct http_request *r)
{
	static const int statuses[] = {0, 200, 400, 404, 411, 413, 431};
	char value[16];
	bool known = false;

	for (size_t i = 0; i < sizeof(statuses) / sizeof(statuses[0]); i++)
		known |= r->status == statuses[i];
	assert(known);
	assert(memchr(r->path, 0, sizeof(r->path)) && memchr(r->host, 0, sizeof(r->host)));
	assert(memchr(r->body, 0, sizeof(r->body)) && r->method <= HTTP_OTHER);
	assert(r->status != 200 || http_is(r, r->path));
	assert(r->status != 200 || r->path[0] == '/');
	http_form(r, "operation", value, sizeof(value));
	assert(memchr(value, 0, sizeof(value)) && strlen(value) <= strlen(r->body));
	(void)http_host_is_ours(r);
}

/* An answer is one header, and a body of the length that it says. */
static void check_answer(const struct http_request *r)
{
	struct text out = {0};
	http_put(&out, r->status, "text/plain", "", slice_str(r->path), r->head);
	assert(!out.failed);
	text_put_char(&out, '\0');
	const char *body = strstr(out.data, "\r\n\r\n");
	assert(body && (!r->head || body[4] == '\0'));
	assert(r->head || !*r->path || strcmp(body + 4, r->path) == 0);
	text_deinit(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size > INPUT_MAX)
		return 0;
	struct http_request r = whole(data, size);
	check(&r);
	check_answer(&r);
	if (size <= PIECES_MAX) {
		struct http_request again = in_pieces(data, size);
		same(&r, &again);
	}
	return 0;
}

void fuzz_seeds(fuzz_add *add)
{
	static const char *const seeds[] = {"GET / HTTP/1.1\r\n\r\n",
	    "HEAD /status HTTP/1.0\nAccept: text/html,*/*\n\n",
	    "GET /events?x=1 HTTP/1.1\r\nHost: [::1]:8080\r\nLast-Event-ID: 1700000000001\r\n\r\n",
	    "PUT /members/n2 HTTP/1.1\r\nHost: localhost\r\nContent-Length: 15\r\n\r\n"
	    "operation=leave",
	    "PUT /members/n2 HTTP/1.1\r\nVia: x\r\nOrigin: http://x\r\nSec-Fetch-Site: none\r\n"
	    "Content-Length: 22\r\n\r\na=b&operation=down\r\n&&",
	    "DELETE /members/n2 HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
	    "PUT /members/n2 HTTP/1.1\r\nContent-Length: 1024\r\n\r\n"};
	char longest[REQUEST_MAX + 2];

	for (size_t i = 0; i < sizeof(seeds) / sizeof(seeds[0]); i++)
		add(seeds[i], strlen(seeds[i]));
	memset(longest, 'x', sizeof(longest));
	memcpy(longest, "GET /", 5);
	add(longest, sizeof(longest));
	/* As long as it may be, with a body as long as it may be. */
	memcpy(longest, "PUT /x HTTP/1.1\nContent-Length:1023\nX:", 38);
	memcpy(longest + 8190, "\n\n", 2);
	add(longest, REQUEST_MAX);
	/* Longer than that by one. */
	static const char head[] = "PUT /x HTTP/1.1\nContent-Length:1024\n\n";
	memcpy(longest, head, sizeof(head) - 1);
	add(longest, sizeof(head) - 1 + HTTP_BODY_MAX + 1);
}
