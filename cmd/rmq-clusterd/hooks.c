#include "hooks.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "state.h"

#define PATHS "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

bool hooks_wanted(struct cluster *c, const char *config)
{
	char *directory = c->config.hooks;
	bool given = config_given(&c->config, hooks);
	const char *slash = config ? strrchr(config, '/') : NULL;
	struct stat st;

	if (!given && !config)
		return false;
	if (!given &&
	    snprintf(directory, sizeof(c->config.hooks), "%.*shooks.d",
		slash ? (int)(slash - config + 1) : 0, config) >= (int)sizeof(c->config.hooks))
		return false;
	c->hooks_set = stat(directory, &st) == 0;
	if (given && !c->hooks_set)
		log_notice("hooks: %s: %s: no hooks are run", directory, strerror(errno));
	return c->hooks_set;
}

/* ---- the directory ---- */

/* Whoever may write what this node runs has its rights.  NULL: nobody may who has not. */
static const char *unsafe(const struct stat *st)
{
	if (st->st_uid != 0 && st->st_uid != geteuid())
		return "is owned by another user than root and this one: it is not run";
	if (st->st_mode & (S_IWGRP | S_IWOTH))
		return "may be written to by others than its owner: it is not run";
	return NULL;
}

static void path_of(const struct cluster *c, const char *name, char path[PATH_MAX + 64])
{
	snprintf(path, PATH_MAX + 64, "%s/%s", c->config.hooks, name);
}

static void look_at(struct cluster *c, const char *name)
{
	char path[PATH_MAX + 64];
	struct stat st;

	path_of(c, name, path);
	if (!hooks_name_valid(name) || stat(path, &st) != 0 || !S_ISREG(st.st_mode))
		return;
	/* One that is switched off takes no place, and is told nothing of what happens meanwhile. */
	if (access(path, X_OK) != 0) {
		if (!c->hooks.began)
			log_error("hook %s: is not executable: it is not run", path);
		return;
	}
	struct hook *hook = hooks_found(&c->hooks, name);
	if (!hook && !c->hooks_said)
		log_error("hooks: %s: there are more than %d, the rest is not run",
		    c->config.hooks, HOOKS_MAX);
	c->hooks_said |= !hook;
	if (!hook)
		return;
	const char *why = unsafe(&st);
	if (why && !hook->off)
		log_error("hook %s: %s", path, why);
	if (why)
		hook->reader.next = c->events.next;
	hook->off = why != NULL;
	hook->arg = c;
}

static void look(struct cluster *c)
{
	DIR *directory = opendir(c->config.hooks);
	struct dirent *entry;
	struct stat st;
	const char *why = NULL;

	hooks_begin(&c->hooks);
	if (directory && fstat(dirfd(directory), &st) == 0)
		why = unsafe(&st);
	if (why && !c->hooks_said)
		log_error("hooks: %s: %s", c->config.hooks, why);
	c->hooks_said |= why != NULL;
	while (directory && !why && (entry = readdir(directory)))
		look_at(c, entry->d_name);
	if (directory)
		closedir(directory);
	hooks_looked(&c->hooks, &c->events);
}

void hooks_start(struct cluster *c)
{
	if (c->hooks_set)
		look(c);
}

/* ---- runs ---- */

static void on_end(void *arg, const struct runner_result *result)
{
	struct hook *hook = arg;
	struct cluster *c = hook->arg;
	char text[RUNNER_TEXT_SIZE];

	if (result->outcome != RUNNER_ENDED || result->status != 0)
		log_error(
		    "hook %s/%s: %s", c->config.hooks, hook->name, runner_text(text, result));
	hooks_ended(hook);
	cluster_more(c);
}

static void run(struct cluster *c, struct hook *hook, const char *event, const char *node,
    const struct text *line)
{
	char path[PATH_MAX + 64], env_event[64], env_node[RAFT_NAME_MAX + 16],
	    env_by[RAFT_NAME_MAX + 16];
	const char *const argv[] = {path, NULL};
	const char *const env[] = {"PATH=" PATHS, env_event, env_node, env_by, NULL};
	uint64_t limit = c->config.hook_timeout;

	path_of(c, hook->name, path);
	snprintf(env_event, sizeof(env_event), "RMQ_EVENT=%s", event);
	snprintf(env_node, sizeof(env_node), "RMQ_NODE=%s", node);
	snprintf(env_by, sizeof(env_by), "RMQ_BY=%s", c->config.name);
	runner_run(c->runner,
	    &(struct runner_job){.argv = argv,
		.env = env,
		.input = slice_of(line->data, line->len),
		.limit_ms = limit > UINT32_MAX ? UINT32_MAX : (uint32_t)limit},
	    on_end, hook);
}

void hooks_turn(struct cluster *c)
{
	const struct events_event *one;
	uint64_t missed;
	struct hook *hook;
	struct text line = {0};

	if (!c->hooks_set || !hooks_wait(&c->hooks, &c->events))
		return;
	look(c);
	while ((hook = hooks_next(&c->hooks, &c->events, &one, &missed))) {
		line.len = 0;
		if (one)
			events_put(&c->events, &line, one);
		else
			events_put_missed(&line, missed);
		text_put_char(&line, '\n');
		run(c, hook, events_kind_text(one ? one->kind : EVENTS_DROPPED),
		    one ? one->node.name : "", &line);
	}
	text_deinit(&line);
}

bool hooks_over(struct cluster *c)
{
	return !c->hooks_set || hooks_done(&c->hooks, &c->events, cluster_now(c));
}
