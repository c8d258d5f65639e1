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
	       (dead.len == 0 || strcmp(s->dead_letter, "-") == 0 || name_valid(dead));
}

/* Setting i as rmq-queue shows it; false: there are no more. */
static bool print_setting(
    char out[NAME_FULL_MAX + 1], size_t i, const struct queue_settings *s, const char **name)
{
	static const char *const names[] = {
#define X(NAME, word, member) word,
	    SETTING_WORDS(X)
#undef X
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
	default:
		dead = strcmp(dead, "-") == 0 ? "none" : dead;
		snprintf(out, NAME_FULL_MAX + 1, "%s", *dead ? dead : "the default");
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
