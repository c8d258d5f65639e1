#include "sys/client/client_io.h"

#include <errno.h>
#include <grp.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/base/text.h"
#include "sys/client/remote.h"
#include "sys/process/clock.h"
#include "sys/process/log.h"

#define IN_CAP	       (256u << 10)
#define FINISH_MS      1000  /* for what was written to arrive, at the end */
#define COMMAND_END_MS 200   /* for a command to end that has closed its connection */
#define SHOWN_MAX      60    /* bytes of what is no frame */
#define COMMAND_WAY_MS 27000 /* for one to reach a daemon: it may ask for a password */
#define SILENT_MS      100  /* from one look at whether the other machine is gone to the next */
#define SILENT_LOST_MS 3000 /* before one that was gone is a contact point again */
#define LOST_MS	       60000 /* before it is tried again to go to where it was redirected in vain */

static_assert(
    IN_CAP >= FRAME_HEADER_SIZE + FRAME_PAYLOAD_MAX + CLIENT_LINK_FRAME_MAX + LINK_PLAIN_MAX,
    "a record fits after a part of a frame of each kind");

/* For those who need it: starting up is most of what sending one message costs. */
static enum rmq_error prepare_remote(struct client_io *io, struct reason *why)
{
	bool all;
	if (io->remote || !contacts_far(&io->contacts, &all))
		return RMQ_E_OK;
	io->remote = remote_new(&io->in);
	if (!io->remote)
		return reason_set(why, RMQ_E_LIMIT, "out of memory");
	enum rmq_error err = remote_find_files(io->remote, &io->options, why);
	return all ? err : RMQ_E_OK;
}

/* Differs between processes and in time: all that jitter needs. */
static uint64_t seed(void)
{
	return clock_mono().ms << 24 ^ clock_wall().ms << 8 ^ (uint64_t)getpid();
}

/* The client itself, for contact points that were read. */
static enum rmq_error open_client(struct client_io *io, const struct client_config *config,
    const struct client_host *host, struct reason *why)
{
	struct client_config c = *config;
	c.servers = io->contacts.count > 0 ? io->contacts.count : 1;
	c.seed = seed();
	c.cells = io->contacts.cells;
	io->memory = malloc(CLIENT_LINK_HEAD + IN_CAP);
	io->client = client_new(&c, host);
	if (!io->memory || !io->client)
		return reason_set(why, RMQ_E_LIMIT, "out of memory");
	io->in = (struct client_link_in){io->memory + CLIENT_LINK_HEAD, IN_CAP, 0, 0};
	return RMQ_E_OK;
}

enum rmq_error client_io_open_cell(struct client_io *io, const struct client_options *o,
    const struct client_io_cell *cell, const struct client_config *config,
    const struct client_host *host, struct reason *why)
{
	struct client_config c = *config;
	memset(io, 0, sizeof(*io));
	io->fd = -1;
	io->patience_ms = CLIENT_IO_PATIENCE_MS;
	io->options = *o;
	enum rmq_error err = contacts_init(&io->contacts, o->servers, why);
	if (!err && cell) {
		c.cell = cell->name;
		err =
		    contacts_choose(&io->contacts, cell->name, cell->servers, cell->local, why);
	}
	if (!err)
		err = prepare_remote(io, why);
	if (!err)
		err = open_client(io, &c, host, why);
	if (err)
		client_io_close(io);
	return err;
}

enum rmq_error client_io_open(struct client_io *io, const struct client_options *o,
    const struct client_config *config, const struct client_host *host, struct reason *why)
{
	return client_io_open_cell(io, o, NULL, config, host, why);
}

bool client_io_local(const struct client_io *io)
{
	return io->kind == ADDRESS_UNIX;
}

/* ---- the end of a connection ---- */

/* What a command is still to read has to get there before it is ended. */
static void let_command_end(struct client_io *io)
{
	uint64_t until_ms = clock_mono().ms + FINISH_MS, now_ms;
	(void)shutdown(io->fd, SHUT_WR);
	while ((now_ms = clock_mono().ms) < until_ms) {
		struct pollfd p = {io->fd, POLLIN, 0};
		if (poll(&p, 1, (int)(until_ms - now_ms)) < 0)
			return;
		ssize_t n = recv(io->fd, io->in.bytes, io->in.cap, MSG_DONTWAIT);
		if (n == 0 || (n < 0 && errno != EAGAIN))
			return;
	}
}

/* A command that has ended by itself may say why. */
static void end_command(struct client_io *io, uint64_t most_ms)
{
	int status = command_end(&io->command, most_ms);
	if (client_welcomed(io->client) || status < 0)
		return;
	io->error = RMQ_E_NO_DAEMON;
	io->error_number = 0;
	if (WIFSIGNALED(status))
		snprintf(
		    io->text, sizeof(io->text), "it was ended by signal %d", WTERMSIG(status));
	else
		snprintf(
		    io->text, sizeof(io->text), "it ended with status %d", WEXITSTATUS(status));
}

static bool connected(const struct client_io *io)
{
	return io->fd >= 0 || (io->remote && remote_state(io->remote) == REMOTE_UP);
}

void client_io_close(struct client_io *io)
{
	/* What was refused or gave up leaves nothing that has to arrive. */
	bool orderly = io->client && client_welcomed(io->client) && !client_dead(io->client) &&
		       !client_hangs_up(io->client);
	if (io->remote && orderly)
		remote_finish(io->remote, FINISH_MS);
	remote_free(io->remote);
	if (io->command.pid && io->fd >= 0 && orderly)
		let_command_end(io);
	if (io->fd >= 0)
		close(io->fd);
	(void)command_end(&io->command, orderly ? FINISH_MS : 0);
	io->fd = -1;
	client_free(io->client);
	free(io->memory);
	contacts_deinit(&io->contacts);
	io->client = NULL;
	io->remote = NULL;
	io->memory = NULL;
}

/* alive: something has come just now, which is the cause: then a gate's link is kept. */
static void disconnect(struct client_io *io, bool alive)
{
	bool kept = io->fd < 0 && alive && remote_leave(io->remote);
	io->dialling = false;
	if (client_welcomed(io->client))
		io->refusal[0] = '\0';
	if (io->fd >= 0)
		close(io->fd);
	io->fd = -1;
	if (!kept && io->remote)
		remote_end(io->remote);
	if (io->command.pid)
		end_command(io, client_hangs_up(io->client) ? 0 : COMMAND_END_MS);
	if (kept) {
		client_stream_ended(io->client, clock_mono());
	} else {
		io->in.data = io->in.end = 0;
		client_disconnected(io->client, clock_mono());
	}
}

/* ---- connecting ---- */

/* Says whom the socket is for: its group is what a user has to be put into. */
static void fail_denied_unix(struct client_io *io, const char *path)
{
	char text[TEXT_MAX + 1];
	struct stat st;
	const struct group *group = stat(path, &st) == 0 ? getgrgid(st.st_gid) : NULL;
	int len = group ? snprintf(text, sizeof(text),
			      "not allowed: unix:%.120s is for members of group %.60s", path,
			      group->gr_name)
			: snprintf(text, sizeof(text), "not allowed: unix:%.120s", path);
	client_fail(io->client, RMQ_E_DENIED, slice_of(text, (size_t)len));
}

/* Says with whom we will not come to terms. */
static void note_refusal(struct client_io *io, bool ours)
{
	if (ours)
		snprintf(io->refusal, sizeof(io->refusal), "%s", io->text);
	else
		snprintf(io->refusal, sizeof(io->refusal), "%s: %.*s", io->target,
		    (int)(sizeof(io->refusal) - sizeof(io->target) - 2), io->text);
}

/* One of several may want us, a single one will not begin to. */
static bool all_deny(struct client_io *io)
{
	return ++io->denied >= io->contacts.count;
}

/* Connecting to a Unix socket takes no time: it works or fails at once. */
static void connect_unix(
    struct client_io *io, const struct socket_address *a, struct mono_time now)
{
	io->unix_path = true;
	io->error = socket_connect(a, &io->fd);
	io->error_number = errno;
	if (!io->error) {
		io->denied = 0;
		client_connected(io->client, now, 0);
		return;
	}
	client_disconnected(io->client, now);
	if (io->error != RMQ_E_DENIED)
		io->denied = 0;
	else if (all_deny(io))
		fail_denied_unix(io, a->path);
}

static void connect_command(struct client_io *io, const char *text, struct mono_time now)
{
	io->error_number = command_start(&io->command, text, &io->fd);
	io->error = io->error_number ? RMQ_E_NO_DAEMON : RMQ_E_OK;
	io->denied = 0;
	if (io->error) {
		client_disconnected(io->client, now);
		return;
	}
	client_way_takes(io->client, COMMAND_WAY_MS);
	client_connected(io->client, now, HELLO_FAR);
}

static struct lost *find_lost(struct client_io *io, const struct socket_host *host)
{
	for (unsigned i = 0; i < RAFT_MEMBERS_MAX; i++)
		if (socket_host_same(&io->lost[i].host, host))
			return &io->lost[i];
	return NULL;
}

static void note_lost(
    struct client_io *io, const struct socket_host *host, struct mono_time now)
{
	struct lost *l = find_lost(io, host);
	if (!l)
		l = &io->lost[io->lost_next++ % RAFT_MEMBERS_MAX];
	l->host = *host;
	l->until.ms = now.ms + LOST_MS;
}

static bool is_lost(const struct lost *l, const struct socket_host *host, struct mono_time now)
{
	return l && socket_host_same(&l->host, host) && now.ms < l->until.ms;
}

/* The machine at the other end is gone: others are asked, who may take its place. */
static void note_silent(struct client_io *io, struct mono_time now)
{
	const char *why;
	client_silent(io->client);
	if (client_hangs_up(io->client) &&
	    socket_host_parse(&io->silent.host, io->target, &why) == RMQ_E_OK)
		io->silent.until.ms = now.ms + SILENT_LOST_MS;
}

/* What was told of the cluster's gates are contact points after those that were given. */
static void take_told(struct client_io *io)
{
	unsigned changes;
	const struct pins *told = remote_told(io->remote, &changes);
	if (changes == io->changes)
		return;
	io->changes = changes;
	io->contacts.count = io->contacts.given;
	for (size_t i = 0; i < told->count && io->contacts.count < CONTACTS_MAX; i++) {
		bool known = false;
		for (uint32_t k = 0; k < io->contacts.given; k++)
			known |= io->contacts.servers[k].kind == ADDRESS_HOST &&
				 socket_host_same(
				     &io->contacts.servers[k].host, &told->pins[i].address);
		if (!known)
			io->contacts.servers[io->contacts.count++] = (struct client_address){
			    .kind = ADDRESS_HOST, .host = told->pins[i].address};
	}
	client_contacts(io->client, io->contacts.count);
}

/* Only one of the gates that the contact point's cluster has told may be gone to. */
static bool find_told(struct client_io *io, const char *text, struct socket_host *host)
{
	unsigned changes;
	const char *why;
	return socket_host_parse(host, text, &why) == RMQ_E_OK &&
	       pins_find(remote_told(io->remote, &changes), host) != NULL;
}

static void begin_remote(
    struct client_io *io, const struct socket_host *host, bool led, struct mono_time now)
{
	char target[SOCKET_HOST_TEXT_SIZE];
	socket_host_print(host, target);
	/* Why another one failed is not why this one is waited for. */
	if (strcmp(target, io->target) != 0)
		io->error = RMQ_E_OK;
	snprintf(io->target, sizeof(io->target), "%s", target);
	io->dialling = true;
	io->led = led;
	remote_begin(io->remote, host, led, now);
}

/* Goes where a REDIRECT leads, if that is of the contact point's kind. */
static void follow(
    struct client_io *io, const struct client_target *target, struct mono_time now)
{
	char text[UINT8_MAX + 1];
	const char *list = text, *why;
	struct socket_address path;
	struct socket_host host;
	memcpy(text, target->address.data, target->address.len);
	text[target->address.len] = '\0';
	if (io->kind == ADDRESS_UNIX) {
		io->error = socket_address_parse(&path, &list, &why);
		if (io->error) {
			client_disconnected(io->client, now);
			return;
		}
		snprintf(io->target, sizeof(io->target), "%s", path.path);
		connect_unix(io, &path, now);
		return;
	}
	bool may = io->kind == ADDRESS_HOST && find_told(io, text, &host);
	if (may && !is_lost(find_lost(io, &host), &host, now) &&
	    !is_lost(&io->silent, &host, now))
		begin_remote(io, &host, true, now);
	else
		client_unreachable(io->client, now);
}

/* The client goes on in another cell: false: the way there is not known. */
static bool enter_cell(
    struct client_io *io, const struct client_target *target, struct mono_time now)
{
	struct reason why;
	if (slice_eq(target->cell, slice_str(io->contacts.cell)))
		return true;
	enum rmq_error err = contacts_choose(
	    &io->contacts, target->cell, target->servers, client_io_local(io), &why);
	if (!err)
		err = prepare_remote(io, &why);
	if (err) {
		client_disconnected(io->client, now);
		client_fail(io->client, err, slice_str(reason_text(&why, err)));
		return false;
	}
	if (io->remote)
		remote_elsewhere(io->remote);
	io->denied = 0;
	io->refusal[0] = '\0';
	client_contacts(io->client, io->contacts.count);
	return true;
}

static void connect_to(
    struct client_io *io, const struct client_target *target, struct mono_time now)
{
	if (!enter_cell(io, target, now))
		return;
	const struct client_address *a = &io->contacts.servers[target->server];
	io->unix_path = false;
	if (io->remote && a->kind != ADDRESS_HOST)
		remote_end(io->remote);
	if (target->address.len > 0) {
		follow(io, target, now);
		return;
	}
	io->kind = a->kind;
	switch (a->kind) {
	case ADDRESS_UNIX:
		snprintf(io->target, sizeof(io->target), "%s", a->path.path);
		connect_unix(io, &a->path, now);
		break;
	case ADDRESS_EXEC:
		client_address_print(a, io->target);
		connect_command(io, a->command, now);
		break;
	case ADDRESS_HOST:
		if (is_lost(&io->silent, &a->host, now))
			client_disconnected(io->client, now);
		else
			begin_remote(io, &a->host, false, now);
		break;
	}
}

/* A connection of `remote` could not be made, or is lost. */
static void remote_failed(struct client_io *io, struct mono_time now)
{
	const char *text;
	bool ours, dialling = io->dialling;
	struct socket_host host;
	const char *why;
	io->error = remote_error(io->remote, &text, &ours);
	io->error_number = 0;
	snprintf(io->text, sizeof(io->text), "%s", text);
	bool refused = io->error != RMQ_E_NO_DAEMON;
	if (client_welcomed(io->client))
		io->refusal[0] = '\0';
	if (!refused || client_welcomed(io->client))
		io->denied = 0;
	io->dialling = false;
	bool kept = remote_leave(io->remote);
	if (dialling && io->led) {
		if (socket_host_parse(&host, io->target, &why) == RMQ_E_OK)
			note_lost(io, &host, now);
		client_unreachable(io->client, now);
		return;
	}
	if (kept)
		client_stream_ended(io->client, now);
	else
		client_disconnected(io->client, now);
	if (refused)
		note_refusal(io, ours);
	if (refused && all_deny(io))
		client_fail(io->client, io->error, slice_str(io->refusal));
}

static void try_connect(struct client_io *io, struct mono_time now)
{
	struct client_target target;
	for (;;) {
		enum remote_state state = io->remote ? remote_state(io->remote) : REMOTE_IDLE;
		if (state == REMOTE_OVER) {
			remote_failed(io, now);
		} else if (state == REMOTE_UP && io->dialling) {
			io->dialling = false;
			io->error = RMQ_E_OK;
			client_connected(io->client, now, HELLO_FAR);
			return;
		} else if (state != REMOTE_IDLE || io->fd >= 0 ||
			   !client_connect(io->client, now, &target)) {
			return;
		} else {
			connect_to(io, &target, now);
		}
	}
}

/* Writes until nothing is left or the socket is full; true: it is full. */
static bool write_out(struct client_io *io, struct mono_time now)
{
	struct slice pieces[CLIENT_PIECES];
	struct iovec iov[CLIENT_PIECES];
	if (io->remote && remote_state(io->remote) == REMOTE_UP)
		return remote_write(io->remote, io->client, now);
	while (io->fd >= 0) {
		size_t count = client_output(io->client, now, pieces, CLIENT_PIECES);
		if (count == 0)
			return false;
		for (size_t i = 0; i < count; i++) {
			iov[i].iov_base = (void *)(uintptr_t)pieces[i].data;
			iov[i].iov_len = pieces[i].len;
		}
		struct msghdr msg = {.msg_iov = iov, .msg_iovlen = count};
		ssize_t n = sendmsg(io->fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n >= 0) {
			client_wrote(io->client, (size_t)n);
			continue;
		}
		client_wrote(io->client, 0);
		if (errno == EAGAIN)
			return true;
		/* What the daemon wrote before it closed may say why: that is read first. */
		if (errno != EINTR)
			return false;
	}
	return false;
}

struct slice client_io_why(const struct client_io *io, enum rmq_error code, struct slice text,
    char out[CLIENT_IO_WHY_MAX])
{
	const char *what = error_text(code);
	int len;
	if (code == RMQ_E_PROTOCOL && io->command.pid && !client_welcomed(io->client)) {
		size_t most = 0;
		while (most < io->in.data && most < SHOWN_MAX && io->in.bytes[most] != '\n')
			most++;
		len = snprintf(out, CLIENT_IO_WHY_MAX,
		    "%s: what comes there is not of rmq, as when a login script prints: %.*s",
		    io->target, (int)most, (const char *)io->in.bytes);
		text_tame(out, (size_t)len);
		return slice_str(out);
	}
	if (code != RMQ_E_NO_DAEMON)
		return text;
	if (io->error)
		len = snprintf(out, CLIENT_IO_WHY_MAX, "%s at %s (%s)", what, io->target,
		    io->error_number ? strerror(io->error_number) : io->text);
	else
		len = snprintf(out, CLIENT_IO_WHY_MAX, "%s at %s in time", what, io->target);
	if (io->refusal[0] && (!io->error || io->error == RMQ_E_NO_DAEMON))
		snprintf(out + len, CLIENT_IO_WHY_MAX - (size_t)len, "; %s", io->refusal);
	/* A daemon may have sent us there. */
	text_tame(out, strlen(out));
	return slice_str(out);
}

int client_io_sooner(int a_ms, uint64_t b_ms)
{
	int b = b_ms > INT_MAX ? INT_MAX : (int)b_ms;
	if (b_ms == CLIENT_FOREVER)
		return a_ms;
	return a_ms < 0 || b < a_ms ? b : a_ms;
}

/* Why no daemon has answered yet, as a user would say it. */
static const char *waiting_reason(const struct client_io *io, const char *why)
{
	if (!io->error)
		return why[0] ? why : io->dialling ? "no connection yet" : "it is not ready";
	switch (io->error_number) {
	case 0:
		return io->text;
	case ENOENT:
		return "no such file";
	case ECONNREFUSED:
		return "connection refused";
	case EACCES:
	case EPERM:
		return "permission denied";
	}
	return strerror(io->error_number);
}

/* A path stands without it where it is said to be no daemon's. */
static const char *scheme(const struct client_io *io)
{
	return io->unix_path ? "unix:" : "";
}

static void say_waits(const struct client_io *io, const struct client_waiting *w)
{
	switch (w->what) {
	case CLIENT_WAITS_NOT:
		break;
	case CLIENT_WAITS_DAEMON:
		log_notice("waiting for the daemon at %s%s: %s", scheme(io), io->target,
		    waiting_reason(io, w->why));
		break;
	case CLIENT_WAITS_ANSWER:
		log_notice("waiting for the daemon at %s%s: no answer", scheme(io), io->target);
		break;
	case CLIENT_WAITS_ROOM:
		log_notice("waiting: %.*s: %s", (int)w->queue.len, (const char *)w->queue.data,
		    w->why);
		break;
	case CLIENT_WAITS_CELLS:
		log_notice("waiting: %s", w->why);
		break;
	}
}

/* What was said to be waited for has come. */
static void say_goes_on(const struct client_io *io)
{
	if (io->said == CLIENT_WAITS_ROOM)
		log_notice("going on: there is room");
	else if (io->said == CLIENT_WAITS_CELLS)
		log_notice("going on: a cell has the queue");
	else
		log_notice("the daemon at %s%s answers", scheme(io), io->target);
}

void client_io_wait_no_more(struct client_io *io)
{
	client_wait_no_more(io->client);
	if (io->said == CLIENT_WAITS_ROOM)
		io->said = CLIENT_WAITS_NOT;
}

/* Says what is waited for, and that it came.  How long until it has to be said. */
static uint64_t tell_waiting(struct client_io *io, struct mono_time now)
{
	struct client_waiting w = client_waiting(io->client);
	bool same = io->said == w.what && io->said_since.ms == w.since.ms;
	if (io->said && same)
		return CLIENT_FOREVER;
	/* One that is lost, given up, or waited for still, has not come. */
	bool given_up = client_dead(io->client) ||
			(io->said == CLIENT_WAITS_ROOM && client_lacks_room(io->client));
	if (io->said && io->said != w.what && client_welcomed(io->client) && !given_up)
		say_goes_on(io);
	/* A daemon that is away for a moment is not the end of a circle. */
	if (io->said != CLIENT_WAITS_CELLS || w.what != CLIENT_WAITS_DAEMON)
		io->said = CLIENT_WAITS_NOT;
	if (!w.what)
		return CLIENT_FOREVER;
	if (now.ms - w.since.ms < io->patience_ms)
		return w.since.ms + io->patience_ms - now.ms;
	say_waits(io, &w);
	io->said = w.what;
	io->said_since = w.since;
	/* Who is slow again and again is not worth a line each time. */
	io->patience_ms *= 2;
	return CLIENT_FOREVER;
}

struct pollfd client_io_prepare(struct client_io *io, int *timeout_ms)
{
	struct mono_time now = clock_mono();
	client_tick(io->client, now);
	if (io->remote)
		remote_turn(io->remote, 0, now);
	if (io->remote && client_pinging(io->client) && remote_silent(io->remote))
		note_silent(io, now);
	if (client_hangs_up(io->client) && connected(io))
		disconnect(io, false);
	else if (client_hangs_up(io->client) && io->dialling)
		remote_late(io->remote);
	try_connect(io, now);
	/* A connection that failed may have been the last one to try. */
	client_tick(io->client, now);
	bool full = write_out(io, now);
	uint64_t told_ms = tell_waiting(io, now), due_ms = client_due_ms(io->client, now);
	if (told_ms < due_ms)
		due_ms = told_ms;
	struct pollfd p = {io->fd, (short)(POLLIN | (full ? POLLOUT : 0)), 0};
	if (io->remote && io->fd < 0) {
		uint64_t remote_ms = remote_due_ms(io->remote, now);
		if (client_pinging(io->client) && remote_ms > SILENT_MS)
			remote_ms = SILENT_MS;
		if (remote_ms < due_ms)
			due_ms = remote_ms;
		p = remote_poll(io->remote);
	}
	/* A program that was told so just now has to look at it, not to wait. */
	*timeout_ms = client_dead(io->client) ? 0 : client_io_sooner(-1, due_ms);
	return p;
}

void client_io_flush(struct client_io *io)
{
	(void)write_out(io, clock_mono());
}

/* Gives the client what has come.  False: it hangs up, and the connection is gone. */
static bool take_in(struct client_io *io)
{
	struct client_link_in *in = &io->in;
	size_t used;
	client_input(io->client, clock_mono(), slice_of(in->bytes, in->data), &used);
	in->data -= used;
	in->end -= used;
	if (in->end > 0 && used > 0)
		memmove(in->bytes, in->bytes + used, in->end);
	if (io->command.pid && client_welcomed(io->client))
		command_arrived(&io->command);
	if (!client_hangs_up(io->client))
		return true;
	disconnect(io, true);
	return false;
}

static void turn_remote(struct client_io *io, short revents)
{
	struct mono_time now = clock_mono();
	remote_turn(io->remote, revents, now);
	if (remote_asked(io->remote)) {
		now = clock_mono();
		client_user_asked(io->client, now);
	}
	if (io->dialling && remote_state(io->remote) != REMOTE_COMING)
		try_connect(io, now);
	while (remote_state(io->remote) == REMOTE_UP && remote_take(io->remote)) {
		take_told(io);
		if (!take_in(io))
			return;
	}
	if (!io->dialling && remote_state(io->remote) == REMOTE_OVER)
		remote_failed(io, now);
}

void client_io_turn(struct client_io *io, short revents)
{
	struct client_link_in *in = &io->in;
	if (io->remote && io->fd < 0) {
		turn_remote(io, revents);
		return;
	}
	if (io->fd < 0 || !(revents & (POLLIN | POLLHUP | POLLERR)))
		return;
	ssize_t n = recv(io->fd, in->bytes + in->data, in->cap - in->data, MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		disconnect(io, false);
		return;
	}
	in->data += (size_t)n;
	in->end = in->data;
	(void)take_in(io);
}

void client_io_wait(struct client_io *io, int extra_fd, uint64_t most_ms)
{
	int timeout_ms;
	struct pollfd p[2] = {client_io_prepare(io, &timeout_ms), {extra_fd, POLLIN, 0}};
	if (poll(p, 2, client_io_sooner(timeout_ms, most_ms)) > 0)
		client_io_turn(io, p[0].revents);
}

/* Of those that have not ended: what to wait for; true: there are none. */
static bool prepare_all(
    struct client_io *const *ios, uint32_t count, struct pollfd *p, int *timeout_ms)
{
	bool ended = true;
	*timeout_ms = -1;
	for (uint32_t i = 0; i < count; i++) {
		int own_ms = -1;
		p[i] = (struct pollfd){-1, 0, 0};
		if (client_ended(ios[i]->client))
			continue;
		p[i] = client_io_prepare(ios[i], &own_ms);
		if (own_ms >= 0)
			*timeout_ms = client_io_sooner(*timeout_ms, (uint64_t)own_ms);
		ended &= client_ended(ios[i]->client);
	}
	return ended;
}

bool client_io_bye_all(
    struct client_io *const *ios, uint32_t count, int extra_fd, uint64_t most_ms)
{
	uint64_t until_ms = clock_mono().ms + most_ms;
	struct pollfd p[1 + CELLS_MAX];
	int timeout_ms;
	for (uint32_t i = 0; i < count; i++)
		client_bye(ios[i]->client);
	while (!prepare_all(ios, count, p + 1, &timeout_ms) && clock_mono().ms < until_ms) {
		p[0] = (struct pollfd){extra_fd, POLLIN, 0};
		if (poll(p, 1 + count, client_io_sooner(timeout_ms, most_ms / 10)) < 0)
			continue;
		if (p[0].revents)
			return false;
		for (uint32_t i = 0; i < count; i++)
			client_io_turn(ios[i], p[1 + i].revents);
	}
	return true;
}

bool client_io_bye(struct client_io *io, int extra_fd, uint64_t most_ms)
{
	return client_io_bye_all(&io, 1, extra_fd, most_ms);
}
