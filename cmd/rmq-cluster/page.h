/* The cluster as a page for people, of HTML alone. */
#ifndef RMQ_CLUSTER_PAGE_H
#define RMQ_CLUSTER_PAGE_H

#include "core/base/text.h"
#include "core/host/control.h"
#include "queues.h"

/* With the header fields that keep a browser from loading anything for it. */
#define PAGE_TYPE "text/html; charset=utf-8"
#define PAGE_FIELDS \
	"Content-Security-Policy: default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; " \
	"form-action 'none'; frame-ancestors 'none'\r\nReferrer-Policy: no-referrer\r\n"

/* why: what is wrong, a sentence a line. */
void page_put(struct text *out, const struct control_view *v, struct slice why,
    const struct queues *queues);
/* A row of queues->rows. */
void page_put_queue(struct text *out, const struct wire_listed *row);

#endif
