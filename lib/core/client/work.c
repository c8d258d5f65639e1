#include "core/client/work.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/error.h"
#include "core/base/units.h"

/* What a shell exits with when SIGHUP, SIGINT or SIGTERM has ended its own child. */
enum { EXIT_HUP = 129, EXIT_INT = 130, EXIT_TERM = 143 };

#define AVERAGE_OF  8 /* runs, about */
#define SHORTEST_US 200

/* ---- the table ---- */

static const struct {
	const char *name;
	enum work_verdict verdict;
} verdicts[] = {{"settle", WORK_SETTLE}, {"dead", WORK_DEAD}, {"retry", WORK_RETRY},
    {"fail", WORK_FAIL}, {"stop", WORK_STOP}, {"release", WORK_RELEASE},
    {"discard", WORK_DISCARD}};

const char *work_verdict_name(enum work_verdict verdict)
{
	return verdicts[verdict].name;
}

void work_rules_init(struct work_rules *r)
{
	static const struct {
		uint8_t code;
		uint8_t verdict;
	} others[] = {{0, WORK_SETTLE}, {65, WORK_DEAD}, {100, WORK_DEAD}, {69, WORK_RETRY},
	    {75, WORK_RETRY}, {111, WORK_RETRY}, {125, WORK_STOP}, {126, WORK_STOP},
	    {127, WORK_STOP}};
	for (size_t i = 0; i < 256; i++) {
		r->of[i].verdict = WORK_FAIL;
		r->of[i].delay_ms = WORK_BACKOFF;
	}
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		r->of[others[i].code].verdict = others[i].verdict;
}

/* Takes a code off the front of *text; -1: there is none. */
static int parse_code(const char **text)
{
	const char *begin = *text;
	int code = 0;
	for (; **text >= '0' && **text <= '9' && code <= 255; (*text)++)
		code = code * 10 + (**text - '0');
	return *text > begin && code <= 255 ? code : -1;
}

static bool parse_verdict(const char *text, enum work_verdict *verdict, uint64_t *delay_ms)
{
	size_t len = strcspn(text, ":"), i = 0;
	while (strlen(verdicts[i].name) != len || strncmp(verdicts[i].name, text, len) != 0)
		if (verdicts[i++].verdict == WORK_STOP)
			return false;
	*verdict = verdicts[i].verdict;
	*delay_ms = WORK_BACKOFF;
	if (!text[len])
		return true;
	return *verdict == WORK_RETRY && units_duration(text + len + 1, delay_ms) &&
	       *delay_ms <= DELAY_MS_MAX;
}

bool work_rules_parse(struct work_rules *r, const char *text)
{
	bool named[256] = {false};
	enum work_verdict verdict;
	uint64_t delay_ms;
	do {
		int code = parse_code(&text);
		if (code < 0)
			return false;
		named[code] = true;
	} while (*text == ',' && text++);
	if (*text != '=' || !parse_verdict(text + 1, &verdict, &delay_ms))
		return false;
	for (size_t i = 0; i < 256; i++) {
		if (!named[i])
			continue;
		r->of[i].verdict = (uint8_t)verdict;
		r->of[i].delay_ms = delay_ms;
	}
	return true;
}

/* ---- life ---- */

bool work_init(struct work *w, const struct work_config *config)
{
	assert(config->parallel > 0 && config->parallel <= WORK_PARALLEL_MAX);
	*w =
	    (struct work){.config = *config, .most = config->batch, .random = config->seed | 1};
	w->average_us = WORK_QUICK_MS * 1000;
	work_settings(w, BACKOFF_MIN_MS_DEFAULT, BACKOFF_MAX_MS_DEFAULT, MAX_ATTEMPTS_DEFAULT);
	w->since = calloc(config->parallel, sizeof(*w->since));
	return w->since != NULL;
}

void work_deinit(struct work *w)
{
	free(w->since);
}

void work_settings(
    struct work *w, uint64_t backoff_min_ms, uint64_t backoff_max_ms, uint32_t max_attempts)
{
	w->backoff_min_ms = backoff_min_ms;
	w->backoff_max_ms = backoff_max_ms;
	w->max_attempts = max_attempts;
}

/* ---- when runs start ---- */

static uint64_t us(struct mono_time t)
{
	return t.ms * 1000;
}

static uint64_t interval_us(const struct work *w)
{
	return w->config.rate ? w->config.rate_ms * 1000ull / w->config.rate : 0;
}

/* So many runs may start up to WORK_AHEAD_MS from now. */
static uint64_t starts_soon(const struct work *w, struct mono_time now)
{
	uint64_t until = us(now) + WORK_AHEAD_MS * 1000, each = interval_us(w);
	if (w->next_us > until)
		return 0;
	return each ? 1 + (until - w->next_us) / each : UINT64_MAX;
}

/* Messages to be leased ahead: as many as the runs that end soon take. */
static uint64_t ahead(const struct work *w, struct mono_time now)
{
	uint64_t quick = 0;
	if (w->config.prefetch != WORK_PREFETCH_ADAPTS)
		return w->config.prefetch;
	if (w->average_us >= WORK_QUICK_MS * 1000)
		return 0;
	for (uint32_t i = 0; i < w->config.parallel; i++)
		quick += !w->since[i].ms || now.ms - w->since[i].ms < WORK_QUICK_MS;
	uint64_t each_us = w->average_us > SHORTEST_US ? w->average_us : SHORTEST_US;
	uint64_t n = quick * w->config.batch * (WORK_AHEAD_MS * 1000 / each_us);
	return n < WORK_AHEAD_MAX ? n : WORK_AHEAD_MAX;
}

uint32_t work_wanted(const struct work *w, struct mono_time now)
{
	uint64_t batch = w->most, soon = starts_soon(w, now);
	uint64_t want = (w->config.parallel - w->running) * batch + ahead(w, now);
	if (w->stopped)
		return 0;
	if (soon < UINT64_MAX / batch && want > soon * batch)
		want = soon * batch;
	return want < UINT32_MAX ? (uint32_t)want : UINT32_MAX;
}

/* Whether a further failure makes a dead letter of a message. */
static bool is_last(const struct work *w, uint32_t failures)
{
	return w->max_attempts > 0 && failures + 1 >= w->max_attempts;
}

bool work_joins(const struct work *w, uint32_t count, uint32_t *most, uint32_t failures)
{
	uint32_t own = w->config.batch;
	if (w->max_attempts > 0 && failures > 0)
		own = failures < 32 && !is_last(w, failures) ? own >> failures : 1;
	if (own == 0)
		own = 1;
	if (count >= *most || count >= own)
		return false;
	if (own < *most)
		*most = own;
	return true;
}

uint32_t work_takes(struct work *w, struct mono_time now, uint32_t waiting, uint32_t most,
    struct mono_time since, bool more)
{
	w->most = most;
	if (w->stopped || w->running == w->config.parallel || us(now) < w->next_us)
		return 0;
	if (waiting >= most)
		return most;
	if (more && now.ms - since.ms < w->config.linger_ms)
		return 0;
	return waiting;
}

bool work_is_stale(const struct work *w, struct mono_time now, struct mono_time since)
{
	return w->config.prefetch == WORK_PREFETCH_ADAPTS && w->running == w->config.parallel &&
	       now.ms - since.ms >= WORK_STALE_MS;
}

static uint64_t sooner(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

uint64_t work_due_ms(
    const struct work *w, struct mono_time now, uint64_t waiting, struct mono_time since)
{
	uint64_t due = UINT64_MAX, waited = now.ms - since.ms;
	if (w->stopped)
		return due;
	if (w->next_us > us(now))
		due = (w->next_us - us(now) + 999) / 1000;
	if (due < UINT64_MAX && due > WORK_AHEAD_MS)
		due -= WORK_AHEAD_MS;
	if (waiting > 0 && waited < w->config.linger_ms)
		due = sooner(due, w->config.linger_ms - waited);
	if (waiting > 0 && waited < WORK_STALE_MS)
		due = sooner(due, WORK_STALE_MS - waited);
	return due;
}

uint32_t work_start(struct work *w, struct mono_time now)
{
	uint32_t slot = 0;
	/* What was late may be made good, but no burst comes of it. */
	uint64_t earliest = us(now) - sooner(us(now), WORK_AHEAD_MS * 1000);
	while (w->since[slot].ms)
		assert(++slot < w->config.parallel);
	w->since[slot].ms = now.ms ? now.ms : 1;
	w->running++;
	if (w->config.rate)
		w->next_us = (w->next_us > earliest ? w->next_us : earliest) + interval_us(w);
	return slot;
}

void work_end(struct work *w, uint32_t slot, struct mono_time now)
{
	uint64_t took_us = us(now) - us(w->since[slot]);
	if (took_us > UINT32_MAX / AVERAGE_OF)
		took_us = UINT32_MAX / AVERAGE_OF;
	w->average_us =
	    (uint32_t)((w->average_us * (uint64_t)(AVERAGE_OF - 1) + took_us) / AVERAGE_OF);
	w->since[slot].ms = 0;
	w->running--;
}

/* ---- verdicts ---- */

enum work_verdict work_verdict(const struct work *w, const struct work_ended *e)
{
	bool passed_on = e->code == EXIT_HUP || e->code == EXIT_INT || e->code == EXIT_TERM;
	if (e->lost)
		return WORK_DISCARD;
	if (e->unstartable)
		return WORK_STOP;
	if (e->late || e->too_much)
		return WORK_FAIL;
	if (e->asked && (e->signal || passed_on))
		return WORK_RELEASE;
	if (e->signal)
		return WORK_FAIL;
	return (enum work_verdict)w->config.rules.of[e->code & 255].verdict;
}

enum work_verdict work_judge(struct work *w, const struct work_ended *e)
{
	enum work_verdict verdict = work_verdict(w, e);
	if (verdict == WORK_FAIL)
		w->fails++;
	else if (verdict == WORK_SETTLE || verdict == WORK_DEAD)
		w->fails = 0;
	if (verdict == WORK_STOP && !w->stopped) {
		w->stopped = true;
		w->stop_code = e->code;
	}
	if (w->config.max_fails && w->fails >= w->config.max_fails && !w->stopped) {
		w->stopped = w->worn = true;
		w->stop_code = error_exit(RMQ_E_TIMEOUT);
	}
	return verdict;
}

static uint64_t random_below(struct work *w, uint64_t n)
{
	w->random ^= w->random << 13;
	w->random ^= w->random >> 7;
	w->random ^= w->random << 17;
	return n ? w->random % n : 0;
}

static struct work_note *note_of(struct work *w, uint64_t seq)
{
	return &w->notes[seq % WORK_NOTES];
}

/* Longer each time, and never the same: those that failed together come apart. */
static uint64_t backoff_ms(struct work *w, uint32_t retries)
{
	uint64_t ms = w->backoff_min_ms;
	for (uint32_t i = 1; i < retries && ms < w->backoff_max_ms; i++)
		ms *= 2;
	if (ms > w->backoff_max_ms)
		ms = w->backoff_max_ms;
	return ms - ms / 4 + random_below(w, ms / 2 + 1);
}

uint64_t work_note(
    struct work *w, enum work_verdict verdict, int code, uint64_t seq, uint32_t failures)
{
	struct work_note *n = note_of(w, seq);
	bool known = n->seq == seq, last = is_last(w, failures);
	if (verdict == WORK_DEAD || (verdict == WORK_FAIL && last))
		w->dead++;
	if (verdict == WORK_RETRY || (verdict == WORK_FAIL && !last)) {
		w->left += !known;
		if (!known)
			*n = (struct work_note){.seq = seq};
		n->retries += verdict == WORK_RETRY;
	} else if (known && verdict != WORK_RELEASE && verdict != WORK_STOP) {
		w->left--;
		n->seq = 0;
	}
	if (verdict != WORK_RETRY)
		return 0;
	uint64_t delay_ms = w->config.rules.of[code & 255].delay_ms;
	return delay_ms == WORK_BACKOFF ? backoff_ms(w, n->retries) : delay_ms;
}

int work_exit(const struct work *w, bool drained)
{
	if (w->stop_code)
		return w->stop_code;
	if (w->dead > 0)
		return error_exit(RMQ_E_BAD_DATA);
	return w->left > 0 && !drained ? error_exit(RMQ_E_TIMEOUT) : 0;
}
