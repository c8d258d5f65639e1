/*
 * One HTTP request, read and answered, as a socket unit with Accept=yes runs a program: whatever is sent,
 * time and memory are bounded, and the connection ends after the answer.
 */
#ifndef RMQ_SYS_STREAM_HTTP_H
#define RMQ_SYS_STREAM_HTTP_H

#include "core/base/text.h"

#define HTTP_PATH_MAX 255
#define HTTP_BODY_MAX 1023
#define HTTP_HOST_MAX 255

enum http_method { HTTP_GET, HTTP_HEAD, HTTP_PUT, HTTP_DELETE, HTTP_OTHER };

struct http_request {
	int status; /* 200: it was read; 0: there is nobody to be answered; others: it is refused so */
	enum http_method method;
	bool head;		      /* only the header is wanted */
	char path[HTTP_PATH_MAX + 1]; /* without what follows `?`; not decoded */
	char host[HTTP_HOST_MAX + 1]; /* of Host, without its port; "": none */
	bool origin;		      /* a page in a browser has made it, of whatever site */
	bool forwarded;		      /* it comes through a proxy, for somebody else */
	bool html;		      /* Accept names text/html */
	uint64_t last_event;	      /* Last-Event-ID; 0: none */
	char body[HTTP_BODY_MAX + 1]; /* of PUT */
};

/*
 * Reads a request from `fd`, for so many milliseconds; status 0: nothing came, or the other side is gone.
 */
struct http_request http_read(int fd, uint64_t timeout_ms);

/* Whether the path is this one. */
bool http_is(const struct http_request *r, const char *path);
/* The value of NAME in a body that is a form; "": it has none, or none of so few characters. */
void http_form(const struct http_request *r, const char *name, char *value, size_t size);

/* Puts an answer, after which the connection ends.  more: lines of the header, ended by CR LF. */
void http_put(struct text *out, int status, const char *type, const char *more,
    struct slice body, bool head);
/* A header whose body is written meanwhile, until the connection ends. */
void http_put_stream(struct text *out, const char *type);

/*
 * Writes the answer, or 0 and errno: ETIMEDOUT if the reader has not taken all in that time.
 * Only a socket has that limit.
 */
bool http_send(int fd, struct slice answer, uint64_t timeout_ms)
    __attribute__((warn_unused_result));

/* Who has sent it: see http_peer(). */
enum http_peer {
	HTTP_PEER_TRUSTED, /* root, or the user that we run as, on a Unix socket with a name */
	HTTP_PEER_LOCAL,   /* another user, on such a one */
	/* Over TCP: whoever reaches the port.  So may be who comes by a pipe, or by a socket without a name,
	 * of a program that listens for us. */
	HTTP_PEER_REMOTE,
};
enum http_peer http_peer(int fd);

/*
 * Whether a request that came over TCP names this machine, by an address, as localhost or by its own
 * name: a page of another site may have a browser ask here by a name of its own.
 */
bool http_host_is_ours(const struct http_request *r);

#endif
