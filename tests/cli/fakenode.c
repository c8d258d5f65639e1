/*
 * usage: fakenode SOCKET
 *
 * The control socket of rmq-clusterd, as it is, on a node that is made up: lines on stdin say
 * what the node knows and how it answers; each command that it is given is a line on stdout, and
 * so is each time that its gate begins, or ceases, to reach that of the leading node.
 *
 *	me NAME                 member NAME [joined] [voter] [up] [suspected] [unreachable]
 *	remove NAME
 *	key NAME rmq1:KEY       gate NAME HOST:PORT       of a member, or of this node
 *	role follower|candidate|leader|gone|joining
 *	leader NAME|-           caught-up
 *	serve PATH|-            problem TEXT
 *	answer CODE TEXT        for the commands that come (0: done)
 *	hold, release           they are not answered, until
 *
 * Members have addresses NAME.example:7401, :7402, keys and incarnations made of their names.
 * What happens has the number of its line on stdin as its index.  It says READY when it listens and ends with stdin.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../../cmd/rmq-clusterd/cluster.h"
#include "../../cmd/rmq-clusterd/control.h"
#include "core/host/events.h"
#include "core/link/key.h"
#include "sys/process/log.h"

#define HELD_MAX 64

struct held {
	cluster_answer *answer;
	void *arg;
};

struct cluster {
	uv_loop_t loop;
	uv_pipe_t in;
	struct control *control;
	char line[4096];
	size_t line_len;
	void (*changed)(void *arg);
	void *changed_arg;
	struct cluster_status status;
	struct raft_config config;
	char me[RAFT_NAME_MAX + 1];
	char leader[RAFT_NAME_MAX + 1];
	char socket[256];
	char problem[256];
	uint8_t key[RAFT_KEY_SIZE];
	bool up[RAFT_MEMBERS_MAX], suspected[RAFT_MEMBERS_MAX], unreachable[RAFT_MEMBERS_MAX];
	enum rmq_error code;
	char text[256];
	bool hold;
	bool gate;			    /* it has reported */
	enum control_gate_state gate_state; /* as it did last */
	struct events events;
	uint64_t lines;
	struct held held[HELD_MAX];
	unsigned held_count;
};

/* ---- what control.c is linked with ---- */

void cluster_status(const struct cluster *c, struct cluster_status *s)
{
	*s = c->status;
	s->name = c->me;
	s->key = c->key;
	s->config = c->config.count > 0 ? &c->config : NULL;
	s->queue_ready = c->socket[0] != 0;
	s->queue_socket = c->socket;
	s->problem = c->problem[0] ? c->problem : NULL;
	for (unsigned i = 0; i < c->config.count; i++)
		if (c->leader[0] && strcmp(c->config.members[i].name, c->leader) == 0)
			s->leader = &c->config.members[i];
	/* Another node that leads is said to be ready. */
	s->available =
	    s->leader && (s->queue_ready || !raft_id_eq(s->leader->id, c->status.id));
}

/* Its heartbeats came in time. */
static const struct phi watched = {
    .after_ms = 4522, .count = 2, .sum = 2000, .squares = 2001800};
/* One does not tell all. */
static const struct metrics metrics = {.version = "1.2.3",
    .known = 1u << METRIC_LOAD | 1u << METRIC_LAG | 1u << METRIC_LATENCY,
    .value = {[METRIC_LOAD] = 150, [METRIC_LATENCY] = UINT64_C(20500) << 32 | 2500}};

void cluster_peer(const struct cluster *c, struct raft_id id, struct cluster_peer *p)
{
	for (unsigned i = 0; i < c->config.count; i++)
		if (raft_id_eq(c->config.members[i].id, id))
			*p = (struct cluster_peer){.reachable = c->up[i],
			    .match =
				c->status.role == RAFT_LEADER && c->up[i] ? c->status.last : 0,
			    .suspected = c->suspected[i],
			    .unreachable = c->unreachable[i],
			    .watched = c->suspected[i] ? &watched : NULL,
			    .phi = 8.5,
			    .silent_ms = 4600,
			    .round_trip_us = c->suspected[i] ? 250 : 0,
			    .metrics = metrics};
}

const struct events *cluster_events(const struct cluster *c)
{
	return &c->events;
}

void cluster_why(const struct cluster *c, struct why *w)
{
	w->count = 1;
	w->lines[0].reason = c->problem[0] ? CONTROL_REASON_REFUSED : CONTROL_REASON_WELL;
	snprintf(w->lines[0].text, sizeof(w->lines[0].text), "%s",
	    c->problem[0] ? c->problem : "all is well");
}

void cluster_watch(struct cluster *c, void (*changed)(void *arg), void *arg)
{
	c->changed = changed;
	c->changed_arg = arg;
}

void cluster_ask(
    struct cluster *c, const struct cluster_command *cmd, cluster_answer *answer, void *arg)
{
	static const char *const names[] = {
#define X(name) [CLUSTER_##name] = #name,
	    CLUSTER_COMMANDS(X)
#undef X
	};
	char key[KEY_TEXT_SIZE];

	printf("%s", names[cmd->type]);
	key_print(cmd->key, key);
	if (cmd->type == CLUSTER_ADMIT || cmd->type == CLUSTER_REPLACE)
		printf(" %s %s", cmd->name, key);
	else if (cmd->name[0] || cmd->address[0])
		printf(" %s%s", cmd->name, cmd->address);
	putchar('\n');
	fflush(stdout);
	if (c->hold && c->held_count < HELD_MAX)
		c->held[c->held_count++] = (struct held){answer, arg};
	else
		answer(arg, c->code, c->text);
}

void cluster_gate(struct cluster *c, bool begins, enum control_gate_state state)
{
	static const char *const says[] = {"reaches nobody", "reaches", "ends"};

	(void)begins;
	if (c->gate && c->gate_state == state)
		return;
	c->gate = true;
	c->gate_state = state;
	printf("GATE %s\n", says[state]);
	fflush(stdout);
}

void cluster_forget(struct cluster *c, void *arg)
{
	for (unsigned i = 0; i < c->held_count; i++)
		if (c->held[i].arg == arg) {
			c->held[i] = c->held[--c->held_count];
			puts("FORGET");
			fflush(stdout);
			return;
		}
}

/* ---- the script ---- */

static void take_name(char out[RAFT_NAME_MAX + 1], const char *name)
{
	snprintf(out, RAFT_NAME_MAX + 1, "%s", strcmp(name, "-") == 0 ? "" : name);
}

static struct raft_id id_of(const char *name)
{
	struct raft_id id = {{0}};
	memcpy(id.bytes, name, strnlen(name, RAFT_ID_SIZE));
	return id;
}

static void take_member(struct cluster *c, char *words)
{
	const char *name = strtok(words, " "), *word;
	unsigned i = 0;

	while (i < c->config.count && strcmp(c->config.members[i].name, name) != 0)
		i++;
	if (i == c->config.count && c->config.count++ == RAFT_MEMBERS_MAX)
		abort();
	struct raft_member *m = &c->config.members[i];
	memset(m, 0, sizeof(*m));
	take_name(m->name, name);
	memcpy(m->key, name, strnlen(name, RAFT_KEY_SIZE));
	m->flags = RAFT_BROKER;
	c->up[i] = c->suspected[i] = c->unreachable[i] = false;
	c->config.cluster = id_of("a cluster");
	while ((word = strtok(NULL, " "))) {
		if (strcmp(word, "joined") == 0) {
			m->id = id_of(name);
			snprintf(m->address, sizeof(m->address), "%s.example:7401", name);
			snprintf(m->gate, sizeof(m->gate), "%s.example:7402", name);
		} else if (strcmp(word, "voter") == 0) {
			m->flags |= RAFT_VOTER;
		} else if (strcmp(word, "up") == 0) {
			c->up[i] = true;
		} else if (strcmp(word, "suspected") == 0) {
			c->suspected[i] = true;
		} else if (strcmp(word, "unreachable") == 0) {
			c->unreachable[i] = true;
		} else {
			abort();
		}
	}
}

/* A key, or the address of a gate, of a member, in place of the made-up ones. */
static void take_property(struct cluster *c, const char *what, char *words)
{
	const char *name = strtok(words, " "), *value = strtok(NULL, " ");
	uint8_t key[KEY_SIZE];
	bool is_key = strcmp(what, "key") == 0;

	if (!value || (is_key && !key_parse(slice_str(value), key)))
		abort();
	if (is_key && strcmp(name, c->me) == 0)
		memcpy(c->key, key, sizeof(c->key));
	for (unsigned i = 0; i < c->config.count; i++) {
		struct raft_member *m = &c->config.members[i];
		if (strcmp(m->name, name) != 0)
			continue;
		if (is_key)
			memcpy(m->key, key, sizeof(m->key));
		else
			snprintf(m->gate, sizeof(m->gate), "%s", value);
	}
}

static void take_remove(struct cluster *c, const char *name)
{
	for (unsigned i = 0; i < c->config.count; i++)
		if (strcmp(c->config.members[i].name, name) == 0) {
			c->config.members[i] = c->config.members[--c->config.count];
			c->up[i] = c->up[c->config.count];
			return;
		}
}

static void take_role(struct cluster *c, const char *role)
{
	c->status.gone = strcmp(role, "gone") == 0;
	c->status.joining = strcmp(role, "joining") == 0;
	c->status.role = strcmp(role, "leader") == 0	  ? RAFT_LEADER
			 : strcmp(role, "candidate") == 0 ? RAFT_CANDIDATE
							  : RAFT_FOLLOWER;
	c->status.term++;
	c->status.commit = c->status.last = c->status.term * 100;
}

static void release(struct cluster *c)
{
	c->hold = false;
	while (c->held_count > 0) {
		struct held h = c->held[--c->held_count];
		h.answer(h.arg, c->code, c->text);
	}
}

static void take_line(struct cluster *c, char *line)
{
	char *rest = strchr(line, ' ');

	if (rest)
		*rest++ = 0;
	else
		rest = line + strlen(line);
	if (strcmp(line, "me") == 0) {
		take_name(c->me, rest);
		c->status.id = id_of(rest);
		memcpy(c->key, rest, strnlen(rest, RAFT_KEY_SIZE));
	} else if (strcmp(line, "member") == 0) {
		take_member(c, rest);
	} else if (strcmp(line, "key") == 0 || strcmp(line, "gate") == 0) {
		take_property(c, line, rest);
	} else if (strcmp(line, "remove") == 0) {
		take_remove(c, rest);
	} else if (strcmp(line, "role") == 0) {
		take_role(c, rest);
	} else if (strcmp(line, "leader") == 0) {
		take_name(c->leader, rest);
	} else if (strcmp(line, "caught-up") == 0) {
		c->status.caught_up = true;
	} else if (strcmp(line, "serve") == 0) {
		snprintf(c->socket, sizeof(c->socket), "%s", strcmp(rest, "-") ? rest : "");
	} else if (strcmp(line, "problem") == 0) {
		snprintf(c->problem, sizeof(c->problem), "%s", rest);
	} else if (strcmp(line, "answer") == 0) {
		c->code = (enum rmq_error)strtol(rest, &rest, 10);
		snprintf(c->text, sizeof(c->text), "%s", *rest ? rest + 1 : "");
	} else if (strcmp(line, "hold") == 0) {
		c->hold = true;
	} else if (strcmp(line, "release") == 0) {
		release(c);
	} else {
		abort();
	}
}

/* One that was never up is not missed. */
static void look(struct cluster *c)
{
	struct events_seen seen = {.config = &c->config,
	    .index = ++c->lines,
	    .commit = c->lines,
	    .gone = c->status.gone,
	    .queue = c->socket[0] ? c->status.id : (struct raft_id){{0}}};
	static bool was_up[RAFT_MEMBERS_MAX];

	for (unsigned i = 0; i < c->config.count; i++) {
		const struct raft_member *m = &c->config.members[i];
		if (strcmp(m->name, c->leader) == 0)
			seen.leader = m->id;
		if (was_up[i] && !c->up[i])
			seen.unreachable |= UINT32_C(1) << i;
		was_up[i] |= c->up[i];
	}
	memcpy(c->events.self.name, c->me, sizeof(c->me));
	c->events.self.id = c->status.id;
	(void)events_look(&c->events, &seen, (struct wall_time){1000000 + c->lines});
}

static void on_room(uv_handle_t *handle, size_t size, uv_buf_t *buf)
{
	struct cluster *c = handle->data;
	(void)size;
	*buf = uv_buf_init(c->line + c->line_len, (unsigned)(sizeof(c->line) - c->line_len));
}

static void on_input(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
	struct cluster *c = stream->data;
	char *newline;

	(void)buf;
	if (n < 0) {
		control_close(c->control);
		uv_close((uv_handle_t *)stream, NULL);
		return;
	}
	c->line_len += (size_t)n;
	while ((newline = memchr(c->line, '\n', c->line_len))) {
		*newline = 0;
		take_line(c, c->line);
		look(c);
		c->line_len -= (size_t)(newline + 1 - c->line);
		memmove(c->line, newline + 1, c->line_len);
	}
	if (c->changed)
		c->changed(c->changed_arg);
}

/* It leaves its socket behind, as a node that was killed. */
static void end(int signo)
{
	_exit(128 + signo);
}

int main(int argc, char **argv)
{
	static struct cluster c;
	struct reason why;

	if (argc != 2)
		return error_exit(RMQ_E_USAGE);
	signal(SIGTERM, end);
	signal(SIGINT, end);
	signal(SIGHUP, end);
	log_init("fakenode", 2);
	uv_loop_init(&c.loop);
	uv_pipe_init(&c.loop, &c.in, 0);
	uv_pipe_open(&c.in, 0);
	c.in.data = &c;
	events_init(&c.events, &(struct events_node){.name = ""}, (struct wall_time){1000});
	if (control_open(&c.control, &c.loop, &c, argv[1], &why)) {
		log_error("%s", why.text);
		return error_exit(RMQ_E_IO);
	}
	uv_read_start((uv_stream_t *)&c.in, on_room, on_input);
	puts("READY");
	fflush(stdout);
	uv_run(&c.loop, UV_RUN_DEFAULT);
	uv_loop_close(&c.loop);
	return 0;
}
