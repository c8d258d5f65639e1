/* rmq-queue metrics --http: one request on stdin is answered on stdout. */
#ifndef RMQ_QUEUE_HTTP_H
#define RMQ_QUEUE_HTTP_H

#include "core/base/text.h"

/* What is asked for, as a status: 200: the metrics; others have to be refused so. */
struct http_request {
	int status;
	bool head; /* only the header is wanted */
};

/*
 * Reads a request's line and header from `fd`, for so many milliseconds; status 0: nothing came, or
 * the other side is gone, and there is nobody to be answered.
 */
struct http_request http_read(int fd, uint64_t timeout_ms);

/* Puts an answer, after which the connection ends. */
/*
 * Writes the answer, or 0 and errno: ETIMEDOUT if the reader has not taken all in that time.
 * Only a socket has that limit.
 */
bool http_send(int fd, struct slice answer, uint64_t timeout_ms)
    __attribute__((warn_unused_result));

void http_put(struct text *out, int status, const char *type, struct slice body, bool head);

#endif
