#include "core/queue/policy.h"

#include <stdio.h>
#include <string.h>

#include "core/base/name.h"
#include "core/base/units.h"
#include "core/wire/wire.h"

uint64_t policy_backoff_ms(const struct queue_settings *s, uint32_t failures)
{
	uint64_t ms = s->backoff_min_ms;
	for (uint32_t i = 1; i < failures && ms < s->backoff_max_ms; i++)
		ms *= 2;
	return ms < s->backoff_max_ms ? ms : s->backoff_max_ms;
}

bool policy_valid(const struct queue_settings *s)
{
	struct slice dead = slice_str(s->dead_letter);
	return s->lease_ms >= LEASE_MS_MIN && s->lease_ms <= LEASE_MS_MAX &&
	       s->max_attempts > 0 && s->backoff_min_ms <= s->backoff_max_ms &&
	       s->backoff_max_ms <= DELAY_MS_MAX && s->max_message <= MESSAGE_MAX &&
	       more_settings_valid(&s->more) &&
	       (dead.len == 0 || strcmp(s->dead_letter, "-") == 0 || name_valid(dead));
}

bool policy_same(const struct queue_settings *a, const struct queue_settings *b)
{
#define Y(NAME, tag, bit, standard, word, member) &&a->more.member == b->more.member
	return a->lease_ms == b->lease_ms && a->max_attempts == b->max_attempts &&
	       a->backoff_min_ms == b->backoff_min_ms &&
	       a->backoff_max_ms == b->backoff_max_ms && a->max_bytes == b->max_bytes &&
	       a->max_message == b->max_message &&
	       strcmp(a->dead_letter, b->dead_letter) == 0 MORE_SETTINGS(Y);
#undef Y
}

/* Of a second's rate the burst is what a turn that comes late by so much has to hand out. */
#define RATE_LATE_MS 20

struct bucket {
	uint64_t burst;
	uint64_t each;
};

static struct bucket bucket_of(const struct queue_settings *s)
{
	uint64_t number = s->more.rate >> 32, period_ms = (uint32_t)s->more.rate;
	uint64_t burst = number * RATE_LATE_MS / period_ms, half = (number + 1) / 2;
	if (burst > half)
		burst = half;
	if (burst == 0)
		burst = 1;
	uint64_t others = number - burst + 1;
	return (struct bucket){burst, ((period_ms << RATE_SHIFT) + others - 1) / others};
}

static uint64_t later(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

uint64_t policy_rate_allows(
    const struct queue_settings *s, uint64_t full, struct lease_time now)
{
	struct bucket b = bucket_of(s);
	uint64_t t = now.ms << RATE_SHIFT, end = t + b.burst * b.each;
	full = later(full, t);
	return full < end ? (end - full) / b.each : 0;
}

uint64_t policy_rate_after(
    const struct queue_settings *s, uint64_t full, struct lease_time now, uint64_t messages)
{
	struct bucket b = bucket_of(s);
	uint64_t most = b.burst + 1;
	return later(full, now.ms << RATE_SHIFT) + (messages < most ? messages : most) * b.each;
}

struct lease_time policy_rate_due(const struct queue_settings *s, uint64_t full)
{
	struct bucket b = bucket_of(s);
	uint64_t before = (b.burst - 1) * b.each;
	uint64_t due = full > before ? full - before : 0;
	return (struct lease_time){(due + (1u << RATE_SHIFT) - 1) >> RATE_SHIFT};
}

uint64_t policy_rate_changed(
    const struct queue_settings *s, uint64_t full, struct lease_time now)
{
	if (s->more.rate == 0)
		return 0;
	struct bucket b = bucket_of(s);
	uint64_t empty = (now.ms << RATE_SHIFT) + b.burst * b.each;
	return full < empty ? full : empty;
}

/* Setting i as rmq-queue shows it; false: there are no more. */
static bool print_setting(
    char out[NAME_FULL_MAX + 1], size_t i, const struct queue_settings *s, const char **name)
{
	static const char *const names[] = {
#define X(NAME, word, member)			  word,
#define Y(NAME, tag, bit, standard, word, member) word,
	    SETTING_WORDS(X) MORE_SETTINGS(Y)
#undef X
#undef Y
	};
	char min[UNITS_TEXT_MAX], max[UNITS_TEXT_MAX];
	const char *dead = s->dead_letter;
	if (i == sizeof(names) / sizeof(names[0]))
		return false;
	*name = names[i];
	switch (i) {
	case 0:
		units_print_duration(out, s->lease_ms);
		break;
	case 1:
		snprintf(out, NAME_FULL_MAX, "%u", s->max_attempts);
		break;
	case 2:
		units_print_duration(min, s->backoff_min_ms);
		units_print_duration(max, s->backoff_max_ms);
		snprintf(out, NAME_FULL_MAX, "%s,%s", min, max);
		break;
	case 3:
		snprintf(out, NAME_FULL_MAX, "%llu", (unsigned long long)s->max_bytes);
		if (s->max_bytes == 0)
			snprintf(out, NAME_FULL_MAX, "none");
		break;
	case 4:
		snprintf(out, NAME_FULL_MAX, "%u", s->max_message);
		break;
	case 5:
		dead = strcmp(dead, "-") == 0 ? "none" : dead;
		snprintf(out, NAME_FULL_MAX + 1, "%s", *dead ? dead : "the default");
		break;
	default:
		more_settings_print(out, SETTING_EXPIRE << (i - 6), &s->more);
	}
	return true;
}

void policy_difference(char out[POLICY_DIFFERENCE_MAX], const struct queue_settings *is,
    const struct queue_settings *wanted)
{
	char a[NAME_FULL_MAX + 1], b[NAME_FULL_MAX + 1];
	const char *name = "";
	out[0] = 0;
	for (size_t i = 0; print_setting(a, i, is, &name); i++) {
		(void)print_setting(b, i, wanted, &name);
		if (strcmp(a, b) == 0)
			continue;
		snprintf(out, POLICY_DIFFERENCE_MAX, "%s is %.95s, not %.95s", name, a, b);
		return;
	}
}
