#include "http.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "columns.h"
#include "core/base/name.h"
#include "core/client/openmetrics.h"
#include "core/host/events.h"
#include "metrics.h"
#include "page.h"
#include "sys/stream/http.h"

/* For the whole of a request, and for the whole of its answer. */
#define REQUEST_MS 10000
#define IDLE_MS	   15000
#define JSON_TYPE  "application/json"
#define MEMBERS	   "/members/"

struct serve {
	struct ask *ask;
	struct http_request request;
	const char *servers;
	const char *node, *member; /* fields */
	enum http_peer peer;
	struct control_view view;
	struct text why;
	bool streams; /* the header of its events was sent */
};

/* ---- answers ---- */

static enum rmq_error send_all(struct serve *s, struct text *answer)
{
	bool sent = http_send(STDOUT_FILENO, slice_of(answer->data, answer->len), REQUEST_MS);
	int error = errno;

	(void)s;
	text_deinit(answer);
	return sent ? RMQ_E_OK : ask_fail(RMQ_E_IO, "standard output: %s", strerror(error));
}

static enum rmq_error reply(
    struct serve *s, int status, const char *type, const char *more, struct text *body)
{
	struct text answer = {0};

	http_put(&answer, status, type, more, slice_of(body->data, body->len), s->request.head);
	text_deinit(body);
	return send_all(s, &answer);
}

static void put_string(struct text *out, const char *text)
{
	text_put_char(out, '"');
	for (; *text; text++) {
		if (*text == '"' || *text == '\\')
			text_put_char(out, '\\');
		text_put_char(out, *text);
	}
	text_put_char(out, '"');
}

static enum rmq_error refuse(struct serve *s, int status, const char *more, const char *text)
{
	struct text body = {0};

	text_put_str(&body, "{\"error\":");
	put_string(&body, text);
	text_put_str(&body, "}\n");
	return reply(s, status, JSON_TYPE, more, &body);
}

static int status_of(enum rmq_error err)
{
	switch (err) {
	case RMQ_E_OK:
		return 200;
	case RMQ_E_USAGE:
		return 400;
	case RMQ_E_NOTHING:
		return 404;
	case RMQ_E_DENIED:
		return 403;
	case RMQ_E_EXISTS:
	case RMQ_E_REFUSED:
	case RMQ_E_BUSY:
		return 409;
	case RMQ_E_NO_DAEMON:
	case RMQ_E_LIMIT:
		return 503;
	case RMQ_E_TIMEOUT:
		return 504;
	default:
		return 500;
	}
}

static enum rmq_error failed(struct serve *s, enum rmq_error err)
{
	return refuse(s, status_of(err), "", ask_failure());
}

/* ---- what is asked ---- */

static bool keep_view(void *arg, const struct control_view *v)
{
	struct serve *s = arg;
	s->view = *v;
	return true;
}

static void keep_why(void *arg, enum control_reason reason, const char *text)
{
	struct serve *s = arg;
	(void)reason;
	text_put_str(&s->why, text);
	text_put_char(&s->why, '\n');
}

static void put_row(
    struct text *out, const struct table_columns *from, const char *fields, const void *row)
{
	static struct table t;

	if (!table_init(&t, from, fields))
		abort();
	t.json = true;
	table_row(&t, out, row);
}

static enum rmq_error get_members(struct serve *s)
{
	struct text body = {0};

	text_put_char(&body, '[');
	for (unsigned i = 0; i < s->view.count; i++) {
		if (i > 0)
			body.data[body.len - 1] = ','; /* the newline of the row before */
		put_row(&body, &columns_of_member, s->member,
		    &(struct member_row){&s->view, &s->view.members[i]});
	}
	if (s->view.count > 0)
		body.len--;
	text_put_str(&body, "]\n");
	return reply(s, 200, JSON_TYPE, "", &body);
}

static const char *name_of(const struct serve *s)
{
	return s->request.path + strlen(MEMBERS);
}

static enum rmq_error get_member(struct serve *s)
{
	struct text body = {0};
	const struct control_view_member *m = control_view_find(&s->view, name_of(s));

	if (!m)
		return refuse(s, 404, "", "no such member");
	put_row(&body, &columns_of_member, s->member, &(struct member_row){&s->view, m});
	return reply(s, 200, JSON_TYPE, "", &body);
}

static enum rmq_error get_page(struct serve *s)
{
	static struct queues queues = {.put = page_put_queue};
	struct text body = {0};

	s->ask->reason = keep_why;
	enum rmq_error err = ask_why(s->ask);
	if (err)
		return failed(s, err);
	queues_ask(&queues, s->servers);
	page_put(&body, &s->view, slice_of(s->why.data, s->why.len), &queues);
	queues_deinit(&queues);
	return reply(s, 200, PAGE_TYPE, PAGE_FIELDS "Vary: Accept\r\n", &body);
}

static enum rmq_error get_status(struct serve *s)
{
	struct text body = {0};

	if (s->request.html)
		return get_page(s);
	put_row(&body, &columns_of_node, s->node, &s->view);
	return reply(s, 200, JSON_TYPE, "Vary: Accept\r\n", &body);
}

static enum rmq_error get_leader(struct serve *s)
{
	struct text body = {0};

	if (!*s->view.leader)
		return refuse(s, 503, "", "no leader is known");
	text_put_str(&body, "{\"leader\":");
	put_string(&body, s->view.leader);
	text_put_str(&body, "}\n");
	return reply(s, 200, JSON_TYPE, "", &body);
}

/* For what watches only whether it is answered with 200. */
static enum rmq_error get_available(struct serve *s)
{
	struct text body = {0};

	if (!(s->view.flags & CONTROL_AVAILABLE))
		return refuse(s, 503, "", "the cluster takes no messages");
	text_put_str(&body, "{\"available\":true}\n");
	return reply(s, 200, JSON_TYPE, "", &body);
}

static enum rmq_error get_metrics(struct serve *s)
{
	struct text body = {0};

	metrics_put(&body, &s->view);
	return reply(s, 200, OPENMETRICS_TYPE, "", &body);
}

/* ---- events ---- */

static enum rmq_error begin_stream(struct serve *s)
{
	struct text answer = {0};

	s->streams = true;
	http_put_stream(&answer, "text/event-stream");
	return send_all(s, &answer);
}

/* Before the first one, which is the state, nobody has said that there will be any. */
static void print_event(void *arg, struct slice kind, struct slice line)
{
	struct serve *s = arg;

	(void)kind;
	if (!s->streams && begin_stream(s))
		return;
	fputs("data: ", stdout);
	fwrite(line.data, 1, line.len, stdout);
	fputs("\n\n", stdout);
}

/* A comment.  That a client is gone is noticed when something is written to it. */
static void print_comment(void *arg)
{
	if (((struct serve *)arg)->streams)
		fputs(":\n\n", stdout);
}

/* The state first, then each event; until either side ends it. */
static enum rmq_error get_events(struct serve *s)
{
	enum rmq_error err;

	if (s->request.head) {
		err = ask_status(s->ask);
		return err ? failed(s, err) : begin_stream(s);
	}
	s->ask->event = print_event;
	s->ask->hangs_up = true;
	s->ask->idle = print_comment;
	s->ask->idle_ms = IDLE_MS;
	err = ask_events(s->ask, EVENTS_WITH_SNAPSHOT | EVENTS_FOR_OTHERS, 0);
	/* An older daemon does not know of others. */
	if (err == RMQ_E_USAGE && !s->streams)
		err = ask_events(s->ask, EVENTS_WITH_SNAPSHOT, 0);
	return s->streams ? err : failed(s, err);
}

/* ---- changes ---- */

static enum rmq_error done(struct serve *s, const char *operation, enum rmq_error err)
{
	struct text body = {0};

	if (err)
		return failed(s, err);
	text_put_str(&body, "{\"name\":");
	put_string(&body, name_of(s));
	text_put_str(&body, ",\"operation\":");
	put_string(&body, operation);
	text_put_str(&body, "}\n");
	return reply(s, 200, JSON_TYPE, "", &body);
}

static enum rmq_error leave(struct serve *s)
{
	return done(s, "leave", ask_leave(s->ask, name_of(s), false));
}

static enum rmq_error put_member(struct serve *s)
{
	char operation[16];

	http_form(&s->request, "operation", operation, sizeof(operation));
	if (strcmp(operation, "leave") == 0)
		return leave(s);
	if (strcmp(operation, "down") == 0)
		return done(s, operation, ask_down(s->ask, name_of(s)));
	return refuse(s, 400, "", "the body must be operation=leave or operation=down");
}

/* ---- who may ask what ---- */

static const struct route {
	const char *path; /* with a slash at its end if a name follows */
	enum http_method method;
	bool viewed; /* it needs what the node knows */
	enum rmq_error (*run)(struct serve *s);
} routes[] = {
    {"/", HTTP_GET, true, get_page},
    {"/members", HTTP_GET, true, get_members},
    {MEMBERS, HTTP_GET, true, get_member},
    {MEMBERS, HTTP_PUT, false, put_member},
    {MEMBERS, HTTP_DELETE, false, leave},
    {"/status", HTTP_GET, true, get_status},
    {"/leader", HTTP_GET, true, get_leader},
    {"/available", HTTP_GET, true, get_available},
    {"/metrics", HTTP_GET, true, get_metrics},
    {"/events", HTTP_GET, false, get_events},
};

static bool is_at(const struct serve *s, const struct route *r)
{
	size_t len = strlen(r->path);

	if (strcmp(r->path, MEMBERS) != 0)
		return http_is(&s->request, r->path);
	return strncmp(s->request.path, MEMBERS, len) == 0 &&
	       name_valid_node(slice_str(s->request.path + len));
}

static enum rmq_error go(struct serve *s, const struct route *r)
{
	enum rmq_error err = RMQ_E_OK;

	if (s->peer == HTTP_PEER_REMOTE && !http_host_is_ours(&s->request))
		return refuse(s, 421, "",
		    "Host must be an address, localhost, or the name of this machine");
	if (r->method != HTTP_GET && s->request.origin)
		return refuse(s, 403, "", "a page in a browser may change nothing");
	if (r->method != HTTP_GET && (s->peer != HTTP_PEER_TRUSTED || s->request.forwarded))
		return refuse(s, 403, "",
		    "only root and the user of this service may change something, on a Unix socket, through no proxy");
	if (r->viewed)
		err = ask_status(s->ask);
	return err ? failed(s, err) : r->run(s);
}

static enum rmq_error route(struct serve *s)
{
	enum http_method method = s->request.method == HTTP_HEAD ? HTTP_GET : s->request.method;
	const struct route *at = NULL;

	for (size_t i = 0; i < sizeof(routes) / sizeof(routes[0]); i++) {
		if (!is_at(s, &routes[i]))
			continue;
		if (routes[i].method == method)
			return go(s, &routes[i]);
		at = &routes[i];
	}
	if (!at)
		return refuse(s, 404, "", "there is nothing at this path");
	return refuse(s, 405,
	    strcmp(at->path, MEMBERS) == 0 ? "Allow: GET, HEAD, PUT, DELETE\r\n"
					   : "Allow: GET, HEAD\r\n",
	    "not a method of this path");
}

enum rmq_error http_run(
    struct ask *a, const char *servers, const char *node, const char *member)
{
	struct serve s = {.ask = a, .servers = servers, .node = node, .member = member};

	s.request = http_read(STDIN_FILENO, REQUEST_MS);
	if (s.request.status == 0)
		return RMQ_E_OK;
	s.peer = http_peer(STDIN_FILENO);
	a->arg = &s;
	a->view = keep_view;
	enum rmq_error err = s.request.status == 200 ? route(&s)
						     : refuse(&s, s.request.status, "",
							   "not a request that is taken");
	text_deinit(&s.why);
	return err;
}
