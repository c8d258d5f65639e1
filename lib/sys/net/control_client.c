#include "sys/net/control_client.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define IN_CAP (FRAME_HEADER_SIZE + FRAME_PAYLOAD_MAX)

enum rmq_error control_client_address(
    struct socket_address *a, const char *text, struct reason *why)
{
	const char *list = text, *what = "";
	enum rmq_error err = text ? socket_address_parse(a, &list, &what)
				  : socket_address_runtime(a, CONTROL_SOCKET, &what);
	if (!err && text && list) {
		err = RMQ_E_USAGE;
		what = "only one address can be given";
	}
	return err ? reason_set(why, err, "%s: %s", text ? text : CONTROL_SOCKET, what) : err;
}

static struct writer out_writer(struct control_client *c)
{
	struct writer w = writer_of(c->out, sizeof(c->out));
	w.len = c->out_len;
	return w;
}

/* What the caller asks for fits: requests are bounded, in size and number. */
static uint32_t put_end(struct control_client *c, const struct writer *w)
{
	assert(!w->full);
	c->out_len = w->len;
	return c->req;
}

static enum rmq_error connect_to(struct control_client *c, struct reason *why)
{
	enum rmq_error err = socket_connect(&c->address, &c->fd);

	return err ? reason_set(why, err, "%s at %s (%s)", error_text(err), c->address.path,
			 strerror(errno))
		   : RMQ_E_OK;
}

enum rmq_error control_client_open(struct control_client *c, const struct socket_address *a,
    const struct control_client_host *host, struct reason *why)
{
	memset(c, 0, sizeof(*c));
	c->fd = -1;
	c->host = *host;
	c->address = *a;
	c->version = host->version ? host->version : CONTROL_VERSION;
	enum rmq_error err = connect_to(c, why);
	if (err)
		return err;
	c->in = malloc(IN_CAP);
	c->views = calloc(1, sizeof(*c->views));
	if (!c->in || !c->views) {
		control_client_close(c);
		return reason_set(why, RMQ_E_LIMIT, "out of memory");
	}
	struct writer w = out_writer(c);
	control_put_hello(&w, &(struct control_hello){CONTROL_MAGIC, (uint16_t)c->version});
	put_end(c, &w);
	c->views->untagged = c->version == 1;
	return RMQ_E_OK;
}

void control_client_close(struct control_client *c)
{
	if (c->fd >= 0)
		close(c->fd);
	c->fd = -1;
	free(c->in);
	free(c->views);
	c->in = NULL;
	c->views = NULL;
}

short control_client_events(const struct control_client *c)
{
	return (short)(POLLIN | (c->out_len > c->sent ? POLLOUT : 0));
}

/* A daemon that has gone is found out by reading: what it said last comes first. */
static void write_out(struct control_client *c)
{
	size_t left = c->out_len - c->sent;

	if (left > 0) {
		ssize_t n = send(c->fd, c->out + c->sent, left, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		c->sent += n < 0 ? left : (size_t)n;
	}
	if (c->host.again && !c->greeted)
		return;
	c->out_len -= c->sent;
	memmove(c->out, c->out + c->sent, c->out_len);
	c->sent = 0;
}

/* It has refused to speak, and done nothing of what it was asked: all of it once more. */
static enum rmq_error ask_older(struct control_client *c, struct reason *why)
{
	close(c->fd);
	c->fd = -1;
	c->version = CONTROL_OLDEST;
	c->views->untagged = true;
	c->sent = c->in_len = 0;
	/* HELLO comes first. */
	store_u16(c->out + FRAME_HEADER_SIZE + 4, (uint16_t)c->version);
	return connect_to(c, why);
}

static enum rmq_error wire_error(uint8_t code)
{
	return error_known(code) ? (enum rmq_error)code : RMQ_E_BUG;
}

/* A text of the wire, or the code's own, as a string. */
static void copy_text(char out[TEXT_MAX + 1], struct slice text, enum rmq_error code)
{
	struct slice t = text.len > 0 ? text : slice_str(error_text(code));
	memcpy(out, t.data, t.len);
	out[t.len] = 0;
}

static enum rmq_error bad_answer(struct reason *why)
{
	return reason_set(why, RMQ_E_PROTOCOL, "the program there is not rmq-clusterd");
}

static enum rmq_error take_result(
    struct control_client *c, const struct frame *f, struct reason *why)
{
	struct control_result result;
	char text[TEXT_MAX + 1];

	if (!control_result_decode(f->payload, &result))
		return bad_answer(why);
	enum rmq_error code = wire_error(result.code);
	copy_text(text, result.text, code);
	c->host.result(c->host.arg, result.req, code, text);
	return RMQ_E_OK;
}

static enum rmq_error take_error(
    const struct control_client *c, const struct frame *f, struct reason *why)
{
	struct control_error error;
	char text[TEXT_MAX + 1];

	if (!control_error_decode(f->payload, &error) || error.code == RMQ_E_OK)
		return bad_answer(why);
	if (error.code == RMQ_E_PROTOCOL && c->greeted && c->version < CONTROL_VERSION)
		return reason_set(why, RMQ_E_VERSION,
		    "this rmq-clusterd is of an older version, which cannot do that: restart it, "
		    "see rmq-cluster(7)");
	copy_text(text, error.text, wire_error(error.code));
	return reason_set(why, wire_error(error.code), "%s", text);
}

static enum rmq_error take_event(
    struct control_client *c, const struct frame *f, struct reason *why)
{
	struct control_event event;
	struct control_dropped dropped;

	if (!c->host.event)
		return bad_answer(why);
	if (f->type == CONTROL_TYPE_DROPPED) {
		if (!control_dropped_decode(f->payload, &dropped))
			return bad_answer(why);
		c->host.dropped(c->host.arg, dropped.count);
		return RMQ_E_OK;
	}
	if (!control_event_decode(f->payload, &event))
		return bad_answer(why);
	c->host.event(c->host.arg, event.event, event.line);
	return RMQ_E_OK;
}

static enum rmq_error take_reason(
    struct control_client *c, const struct frame *f, struct reason *why)
{
	struct control_reason_line line;
	char text[TEXT_MAX + 1];

	if (!control_reason_line_decode(f->payload, &line) || !c->host.reason)
		return bad_answer(why);
	copy_text(text, line.text, RMQ_E_OK);
	c->host.reason(c->host.arg, line.req, (enum control_reason)line.reason, text);
	return RMQ_E_OK;
}

static enum rmq_error take_frame(
    struct control_client *c, const struct frame *f, struct reason *why)
{
	struct control_welcome welcome;

	switch (f->type) {
	case CONTROL_TYPE_WELCOME:
		c->greeted = control_welcome_decode(f->payload, &welcome);
		return c->greeted ? RMQ_E_OK : bad_answer(why);
	case CONTROL_TYPE_RESULT:
		return take_result(c, f, why);
	case CONTROL_TYPE_ERROR:
		return take_error(c, f, why);
	case CONTROL_TYPE_EVENT:
	case CONTROL_TYPE_DROPPED:
		return take_event(c, f, why);
	case CONTROL_TYPE_REASON:
		return take_reason(c, f, why);
	}
	enum rmq_error err = control_collect(c->views, f);
	if (err == RMQ_E_OK)
		c->host.view(c->host.arg, c->views->req, &c->views->view);
	return err == RMQ_E_PROTOCOL ? bad_answer(why) : RMQ_E_OK;
}

static enum rmq_error take_input(struct control_client *c, struct reason *why)
{
	size_t at = 0, used = 0;
	struct frame f;
	enum rmq_error err = RMQ_E_OK;

	for (;;) {
		if (frame_parse(slice_of(c->in + at, c->in_len - at), &f, &used))
			return bad_answer(why);
		if (used == 0)
			break;
		err = take_frame(c, &f, why);
		if (err)
			return err;
		at += used;
	}
	c->in_len -= at;
	memmove(c->in, c->in + at, c->in_len);
	return RMQ_E_OK;
}

enum rmq_error control_client_turn(struct control_client *c, struct reason *why)
{
	write_out(c);
	ssize_t n = recv(c->fd, c->in + c->in_len, IN_CAP - c->in_len, MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return RMQ_E_OK;
	if (n <= 0)
		return reason_set(why, RMQ_E_NO_DAEMON, "rmq-clusterd has hung up");
	c->in_len += (size_t)n;
	enum rmq_error err = take_input(c, why);
	if (err == RMQ_E_VERSION && c->host.again && !c->greeted && c->version > CONTROL_OLDEST)
		return ask_older(c, why);
	if (!err)
		write_out(c);
	return err;
}

/* ---- requests ---- */

uint32_t control_client_init(struct control_client *c, bool new)
{
	struct writer w = out_writer(c);
	if (new)
		control_put_init_new(&w, &(struct control_init_new){++c->req});
	else
		control_put_init(&w, &(struct control_init){++c->req});
	return put_end(c, &w);
}

uint32_t control_client_adopt(struct control_client *c)
{
	struct writer w = out_writer(c);
	control_put_init_adopt(&w, &(struct control_init_adopt){++c->req});
	return put_end(c, &w);
}

uint32_t control_client_admit(
    struct control_client *c, const char *name, const uint8_t key[RAFT_KEY_SIZE])
{
	struct writer w = out_writer(c);
	control_put_admit(&w,
	    &(struct control_admit){++c->req, slice_str(name), slice_of(key, RAFT_KEY_SIZE)});
	return put_end(c, &w);
}

uint32_t control_client_join(struct control_client *c, const char *address)
{
	struct writer w = out_writer(c);
	control_put_join(&w, &(struct control_join){++c->req, slice_str(address)});
	return put_end(c, &w);
}

uint32_t control_client_leave(struct control_client *c, const char *name, bool force)
{
	struct writer w = out_writer(c);
	if (force)
		control_put_leave_forced(
		    &w, &(struct control_leave_forced){++c->req, slice_str(name)});
	else
		control_put_leave(&w, &(struct control_leave){++c->req, slice_str(name)});
	return put_end(c, &w);
}

uint32_t control_client_down(struct control_client *c, const char *name)
{
	struct writer w = out_writer(c);
	control_put_down(&w, &(struct control_down){++c->req, slice_str(name)});
	return put_end(c, &w);
}

uint32_t control_client_replace(
    struct control_client *c, const char *name, const uint8_t key[RAFT_KEY_SIZE])
{
	struct writer w = out_writer(c);
	control_put_replace(&w,
	    &(struct control_replace){++c->req, slice_str(name), slice_of(key, RAFT_KEY_SIZE)});
	return put_end(c, &w);
}

uint32_t control_client_transfer(struct control_client *c, const char *name)
{
	struct writer w = out_writer(c);
	control_put_transfer(&w, &(struct control_transfer){++c->req, slice_str(name)});
	return put_end(c, &w);
}

uint32_t control_client_status(struct control_client *c)
{
	struct writer w = out_writer(c);
	control_put_status(&w, &(struct control_status){++c->req});
	return put_end(c, &w);
}

uint32_t control_client_watch(struct control_client *c)
{
	struct writer w = out_writer(c);
	control_put_watch(&w, &(struct control_watch){++c->req});
	return put_end(c, &w);
}

uint32_t control_client_hear(struct control_client *c, uint8_t flags, uint64_t since)
{
	struct writer w = out_writer(c);
	control_put_events(&w, &(struct control_events){++c->req, flags, since});
	return put_end(c, &w);
}

uint32_t control_client_why(struct control_client *c)
{
	struct writer w = out_writer(c);
	control_put_why(&w, &(struct control_why){++c->req});
	return put_end(c, &w);
}

uint32_t control_client_log(struct control_client *c, enum control_log level)
{
	struct writer w = out_writer(c);
	control_put_log_level(&w, &(struct control_log_level){++c->req, (uint8_t)level});
	return put_end(c, &w);
}

void control_client_gate(struct control_client *c, enum control_gate_state state)
{
	write_out(c);
	if (c->out_len > c->sent)
		return;
	struct writer w = out_writer(c);
	control_put_gate(&w, &(struct control_gate){++c->req, (uint8_t)state});
	put_end(c, &w);
	write_out(c);
}
