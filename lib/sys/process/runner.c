#include "sys/process/runner.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sys/process/clock.h"
#include "sys/process/log.h"

/* A question: head, words, environment, stdin.  An answer: head, stdout. */
struct ask_head {
	uint32_t id;
	uint32_t limit_ms;
	uint32_t words;
	uint32_t env;
	uint32_t input;
	uint8_t outlives;
	uint8_t own_env; /* `env` is all that it has */
};

struct answer_head {
	uint32_t id;
	uint32_t outcome;
	int32_t status;
};

struct waiting {
	LIST_ENTRY(waiting) entry;
	uint32_t id;
	runner_answer *answer;
	void *arg;
};

struct runner {
	int fd; /* -1: its process has ended */
	uv_poll_t poll;
	uv_idle_t failing; /* some of `waiting` are answered without it */
	void (*ended)(void *arg);
	void *arg;
	uint32_t next;
	LIST_HEAD(waiting_head, waiting) waiting, failed;
	int error; /* of those in `failed` */
};

/* ---- the program's keeper: a process for each ---- */

struct keeper {
	int socket;
	struct ask_head head;
	char *argv[RUNNER_WORDS_MAX + 1];
	char *env[RUNNER_WORDS_MAX + 1];
	const char *input;
	const sigset_t *mask;
	const struct rlimit *nofile;
	pid_t pid;
	int to, from, errors; /* its stdin, stdout and stderr; -1: closed */
	size_t written, len, told;
	char line[512]; /* of stderr, whose end has not come */
	size_t line_len;
	uint8_t out[sizeof(struct answer_head) + RUNNER_BYTES_MAX];
};

static void on_child(int signo)
{
	(void)signo;
}

static void say(struct keeper *k, enum runner_outcome outcome, int status)
{
	struct answer_head head = {k->head.id, outcome, status};

	memcpy(k->out, &head, sizeof(head));
	ssize_t n = send(k->socket, k->out, sizeof(head) + k->len, MSG_NOSIGNAL);
	if (n < 0)
		_exit(1);
}

static _Noreturn void has_not_run(struct keeper *k, int error)
{
	say(k, RUNNER_FAILED, error);
	_exit(0);
}

/* In the program's process; returns on failure. */
static void become(struct keeper *k, int in, int out, int errors)
{
	static const char *const ours[] = {"NOTIFY_SOCKET", "LISTEN_FDS", "LISTEN_PID",
	    "LISTEN_FDNAMES", "WATCHDOG_USEC", "WATCHDOG_PID", "JOURNAL_STREAM"};
	static const int signals[] = {
	    SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGPIPE, SIGCHLD, SIGXFSZ};

	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		signal(signals[i], SIG_DFL);
	if (!k->head.outlives && prctl(PR_SET_PDEATHSIG, SIGKILL) != 0)
		return;
	if (setpgid(0, 0) != 0 || dup2(in, STDIN_FILENO) < 0 || dup2(out, STDOUT_FILENO) < 0 ||
	    dup2(errors, STDERR_FILENO) < 0 || setrlimit(RLIMIT_NOFILE, k->nofile) != 0)
		return;
	for (size_t i = 0; i < sizeof(ours) / sizeof(ours[0]); i++)
		unsetenv(ours[i]);
	sigprocmask(SIG_SETMASK, k->mask, NULL);
	if (k->head.own_env)
		execvpe(k->argv[0], k->argv, k->env);
	else
		execvp(k->argv[0], k->argv);
}

/* 0, or the errno of what failed. */
static int spawn(struct keeper *k)
{
	int in[2], out[2], errors[2], report[2], failed = 0;

	if (pipe2(in, O_CLOEXEC) != 0 || pipe2(out, O_CLOEXEC) != 0 ||
	    pipe2(errors, O_CLOEXEC) != 0 || pipe2(report, O_CLOEXEC) != 0)
		return errno;
	k->pid = fork();
	if (k->pid < 0)
		return errno;
	if (k->pid == 0) {
		become(k, in[0], out[1], errors[1]);
		failed = errno;
		ssize_t n = write(report[1], &failed, sizeof(failed));
		_exit(n < 0 ? 126 : 127);
	}
	close(in[0]);
	close(out[1]);
	close(errors[1]);
	close(report[1]);
	k->to = in[1];
	k->from = out[0];
	k->errors = errors[0];
	fcntl(k->errors, F_SETFL, O_NONBLOCK);
	fcntl(k->to, F_SETFL, O_NONBLOCK);
	fcntl(k->from, F_SETFL, O_NONBLOCK);
	if (read(report[0], &failed, sizeof(failed)) != sizeof(failed))
		failed = 0;
	close(report[0]);
	return failed;
}

static void close_one(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static void feed(struct keeper *k)
{
	ssize_t n = 0;

	if (k->written < k->head.input)
		n = write(k->to, k->input + k->written, k->head.input - k->written);
	if (n > 0)
		k->written += (size_t)n;
	if (k->written == k->head.input || (n < 0 && errno != EAGAIN && errno != EINTR))
		close_one(&k->to);
}

/* What is there to be read; more than is kept is dropped.  False: nothing. */
static bool drain(struct keeper *k)
{
	uint8_t dropped[4096];
	size_t room = RUNNER_BYTES_MAX - k->len;
	uint8_t *to = room ? k->out + sizeof(struct answer_head) + k->len : dropped;

	ssize_t n = k->from < 0 ? -1 : read(k->from, to, room ? room : sizeof(dropped));
	if (n > 0 && room)
		k->len += (size_t)n;
	if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
		close_one(&k->from);
	return n > 0;
}

/* A line of its stderr goes to the log, after its name; of too many the first ones do. */
static void tell_line(struct keeper *k)
{
	const char *slash = strrchr(k->argv[0], '/');
	const char *name = slash ? slash + 1 : k->argv[0];
	/* What the log adds counts as well: a line may be short. */
	size_t before = k->told, size = k->line_len + strlen(name) + 32;

	k->told += size;
	if (before < RUNNER_ERRORS_MAX)
		log_error("%s: %.*s", name, (int)k->line_len, k->line);
	if (before < RUNNER_ERRORS_MAX && k->told >= RUNNER_ERRORS_MAX)
		log_error("%s: what else it prints to stderr is dropped", name);
	k->line_len = 0;
}

/* What is there to be read of its stderr.  False: nothing. */
static bool hear(struct keeper *k)
{
	char bytes[4096];
	ssize_t n = k->errors < 0 ? -1 : read(k->errors, bytes, sizeof(bytes));

	for (ssize_t i = 0; i < n && k->told < RUNNER_ERRORS_MAX; i++) {
		if (bytes[i] != '\n')
			k->line[k->line_len++] = bytes[i];
		if (bytes[i] == '\n' || k->line_len == sizeof(k->line))
			tell_line(k);
	}
	if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
		close_one(&k->errors);
	return n > 0;
}

static _Noreturn void over(struct keeper *k, enum runner_outcome outcome, int status)
{
	while (k->told < RUNNER_ERRORS_MAX && hear(k)) {
	}
	if (k->line_len > 0)
		tell_line(k);
	while (outcome == RUNNER_ENDED && k->len < RUNNER_BYTES_MAX && drain(k)) {
	}
	say(k, outcome, WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status));
	/* Who goes on may have this stderr, and is not to die of it: that is read, and dropped. */
	close(k->socket);
	close_one(&k->to);
	close_one(&k->from);
	prctl(PR_SET_PDEATHSIG, 0);
	signal(SIGTERM, SIG_DFL);
	if (k->errors >= 0)
		fcntl(k->errors, F_SETFL, 0);
	for (ssize_t n = 1; k->errors >= 0 && (n > 0 || (n < 0 && errno == EINTR));)
		n = read(k->errors, k->line, sizeof(k->line));
	_exit(0);
}

/* Until the program has ended, or its time has; who it has started may go on. */
static _Noreturn void keep(struct keeper *k)
{
	uint64_t until = clock_mono().ms + k->head.limit_ms;
	sigset_t child, none;
	int status;

	sigemptyset(&none);
	sigemptyset(&child);
	sigaddset(&child, SIGCHLD);
	sigprocmask(SIG_SETMASK, &child, NULL);
	for (;;) {
		if (waitpid(k->pid, &status, WNOHANG) == k->pid)
			over(k, RUNNER_ENDED, status);
		uint64_t now = clock_mono().ms;
		if (now >= until) {
			/* One that hangs in the kernel ends later, and is waited for by nobody. */
			kill(-k->pid, SIGKILL);
			over(k, RUNNER_LATE, 0);
		}
		struct timespec left = {
		    (time_t)((until - now) / 1000), (long)((until - now) % 1000) * 1000000};
		struct pollfd p[] = {
		    {k->to, POLLOUT, 0}, {k->from, POLLIN, 0}, {k->errors, POLLIN, 0}};
		if (ppoll(p, 3, &left, &none) <= 0)
			continue;
		if (p[0].revents)
			feed(k);
		if (p[1].revents)
			(void)drain(k);
		if (p[2].revents)
			(void)hear(k);
	}
}

static char *take_words(char *p, const char *end, char **words, uint32_t count)
{
	if (count > RUNNER_WORDS_MAX)
		return NULL;
	for (uint32_t i = 0; i < count; i++) {
		char *nul = memchr(p, 0, (size_t)(end - p));
		if (!nul)
			return NULL;
		words[i] = p;
		p = nul + 1;
	}
	words[count] = NULL;
	return p;
}

static _Noreturn void run(struct keeper *k, char *bytes, size_t len)
{
	const char *end = bytes + len;

	signal(SIGCHLD, on_child);
	signal(SIGPIPE, SIG_IGN);
	if (!k->head.outlives)
		prctl(PR_SET_PDEATHSIG, SIGKILL);
	char *p = take_words(bytes, end, k->argv, k->head.words);
	p = p ? take_words(p, end, k->env, k->head.env) : NULL;
	if (!p || (size_t)(end - p) != k->head.input || k->head.words == 0)
		has_not_run(k, EINVAL);
	k->input = p;
	int failed = spawn(k);
	if (failed)
		has_not_run(k, failed);
	feed(k);
	keep(k);
}

/* ---- the process between ---- */

static _Noreturn void serve(int socket, const sigset_t *mask, const struct rlimit *nofile)
{
	static struct keeper k;
	static char bytes[sizeof(struct ask_head) + RUNNER_BYTES_MAX];
	static const int held[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};

	/* It goes when the daemon does, whoever tells the whole group to. */
	for (size_t i = 0; i < sizeof(held) / sizeof(held[0]); i++)
		signal(held[i], SIG_IGN);
	/* What programs leave behind is no zombie of a daemon that is process 1 of a container. */
	signal(SIGCHLD, SIG_IGN);
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	prctl(PR_SET_NAME, "rmq-runner");
	for (;;) {
		ssize_t n = recv(socket, bytes, sizeof(bytes), 0);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < (ssize_t)sizeof(struct ask_head))
			_exit(0);
		k = (struct keeper){.socket = socket,
		    .mask = mask,
		    .nofile = nofile,
		    .to = -1,
		    .from = -1,
		    .errors = -1};
		memcpy(&k.head, bytes, sizeof(k.head));
		pid_t pid = fork();
		if (pid == 0)
			run(&k, bytes + sizeof(k.head), (size_t)n - sizeof(k.head));
		if (pid < 0) {
			struct answer_head failed = {k.head.id, RUNNER_FAILED, errno};
			(void)!send(socket, &failed, sizeof(failed), MSG_NOSIGNAL);
		}
	}
}

/* ---- the daemon ---- */

struct runner *runner_open(const sigset_t *mask, const struct rlimit *nofile, int *error)
{
	struct runner *r = calloc(1, sizeof(*r));
	int pair[2], size = 2 * (int)(sizeof(struct ask_head) + RUNNER_BYTES_MAX);

	if (!r)
		abort();
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0) {
		*error = errno;
		free(r);
		return NULL;
	}
	for (int i = 0; i < 2; i++)
		(void)setsockopt(pair[i], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	pid_t pid = fork();
	if (pid == 0) {
		/* All else is the daemon's: as if it were closed at its end. */
		if (dup2(pair[1], 3) == 3 && close_range(4, ~0u, 0) == 0 &&
		    fcntl(3, F_SETFD, FD_CLOEXEC) == 0)
			serve(3, mask, nofile);
		_exit(1);
	}
	close(pair[1]);
	if (pid < 0) {
		*error = errno;
		close(pair[0]);
		free(r);
		return NULL;
	}
	r->fd = pair[0];
	fcntl(r->fd, F_SETFL, O_NONBLOCK);
	LIST_INIT(&r->waiting);
	LIST_INIT(&r->failed);
	return r;
}

static void tell(struct waiting *w, const struct runner_result *result)
{
	LIST_REMOVE(w, entry);
	if (w->answer)
		w->answer(w->arg, result);
	free(w);
}

static void on_failing(uv_idle_t *idle)
{
	struct runner *r = idle->data;
	struct runner_result result = {.outcome = RUNNER_FAILED, .status = r->error};
	struct waiting *w;

	while ((w = LIST_FIRST(&r->failed)))
		tell(w, &result);
	uv_idle_stop(idle);
}

static void fail(struct runner *r, struct waiting *w, int error)
{
	r->error = error;
	LIST_REMOVE(w, entry);
	LIST_INSERT_HEAD(&r->failed, w, entry);
	uv_idle_start(&r->failing, on_failing);
}

static struct waiting *find(struct runner *r, uint32_t id)
{
	struct waiting *w;

	LIST_FOREACH (w, &r->waiting, entry) {
		if (w->id == id)
			break;
	}
	return w;
}

static void take(struct runner *r, const uint8_t *bytes, size_t len)
{
	struct answer_head head;

	memcpy(&head, bytes, sizeof(head));
	struct waiting *w = find(r, head.id);
	struct runner_result result = {.outcome = (enum runner_outcome)head.outcome,
	    .status = head.status,
	    .output = slice_of(bytes + sizeof(head), len - sizeof(head))};
	if (w)
		tell(w, &result);
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
	static uint8_t bytes[sizeof(struct answer_head) + RUNNER_BYTES_MAX];
	struct runner *r = poll->data;
	struct waiting *w;

	(void)status, (void)events;
	ssize_t n = recv(r->fd, bytes, sizeof(bytes), MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n >= (ssize_t)sizeof(struct answer_head)) {
		take(r, bytes, (size_t)n);
		return;
	}
	uv_poll_stop(&r->poll);
	close(r->fd);
	r->fd = -1;
	while ((w = LIST_FIRST(&r->waiting)))
		fail(r, w, EPIPE);
	r->ended(r->arg);
}

void runner_start(struct runner *r, uv_loop_t *loop, void (*ended)(void *arg), void *arg)
{
	r->ended = ended;
	r->arg = arg;
	if (uv_poll_init(loop, &r->poll, r->fd) != 0 || uv_idle_init(loop, &r->failing) != 0)
		abort();
	r->poll.data = r;
	r->failing.data = r;
	uv_poll_start(&r->poll, UV_READABLE, on_poll);
}

static uint32_t put_words(uint8_t *bytes, size_t cap, size_t *len, const char *const *words)
{
	uint32_t count = 0;

	for (; words && words[count]; count++) {
		size_t n = strlen(words[count]) + 1;
		if (count == RUNNER_WORDS_MAX || n > cap - *len)
			return UINT32_MAX;
		memcpy(bytes + *len, words[count], n);
		*len += n;
	}
	return count;
}

/* 0, or the errno of what failed. */
static int send_job(struct runner *r, uint32_t id, const struct runner_job *job)
{
	static uint8_t bytes[sizeof(struct ask_head) + RUNNER_BYTES_MAX];
	struct ask_head head = {.id = id,
	    .limit_ms = job->limit_ms,
	    .input = (uint32_t)job->input.len,
	    .outlives = job->outlives,
	    .own_env = job->env != NULL};
	size_t len = sizeof(head);

	head.words = put_words(bytes, sizeof(bytes), &len, job->argv);
	head.env = put_words(bytes, sizeof(bytes), &len, job->env);
	if (head.words == UINT32_MAX || head.env == UINT32_MAX ||
	    job->input.len > sizeof(bytes) - len)
		return E2BIG;
	memcpy(bytes, &head, sizeof(head));
	if (job->input.len > 0)
		memcpy(bytes + len, job->input.data, job->input.len);
	len += job->input.len;
	if (r->fd < 0)
		return EPIPE;
	return send(r->fd, bytes, len, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 ? errno : 0;
}

void runner_run(
    struct runner *r, const struct runner_job *job, runner_answer *answer, void *arg)
{
	struct waiting *w = calloc(1, sizeof(*w));

	if (!w)
		abort();
	*w = (struct waiting){.id = ++r->next, .answer = answer, .arg = arg};
	LIST_INSERT_HEAD(&r->waiting, w, entry);
	int error = send_job(r, w->id, job);
	if (error)
		fail(r, w, error);
}

void runner_forget(struct runner *r, const void *arg)
{
	struct waiting *w;

	LIST_FOREACH (w, &r->waiting, entry) {
		if (w->arg == arg)
			w->answer = NULL;
	}
	LIST_FOREACH (w, &r->failed, entry) {
		if (w->arg == arg)
			w->answer = NULL;
	}
}

const char *runner_text(char text[RUNNER_TEXT_SIZE], const struct runner_result *result)
{
	if (result->outcome == RUNNER_LATE)
		snprintf(text, RUNNER_TEXT_SIZE, "did not end within its time");
	else if (result->outcome == RUNNER_FAILED)
		snprintf(text, RUNNER_TEXT_SIZE, "%.90s", strerror(result->status));
	else if (result->status > 128)
		snprintf(text, RUNNER_TEXT_SIZE, "killed by signal %d", result->status - 128);
	else
		snprintf(text, RUNNER_TEXT_SIZE, "exit status %d", result->status);
	return text;
}
