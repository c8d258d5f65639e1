#include "core/wire/more_settings.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "core/base/limits.h"

struct more_settings more_settings_default(void)
{
	return (struct more_settings){
#define X(NAME, tag, bit, standard, word, member) .member = (standard),
	    MORE_SETTINGS(X)
#undef X
	};
}

static void put(struct writer *w, uint16_t tag, uint64_t value, uint64_t standard)
{
	uint8_t field[8];
	store_u64(field, value);
	if (value != standard)
		tags_put(w, tag, slice_of(field, sizeof(field)));
}

void more_settings_put(
    struct writer *w, uint16_t tag, const struct more_settings *s, uint32_t mask)
{
	uint8_t bytes[MORE_SETTINGS_BYTES];
	struct writer list = writer_of(bytes, sizeof(bytes));
#define X(NAME, number, bit, standard, word, member) \
	if (mask & (bit)) \
		put(&list, number, s->member, standard);
	MORE_SETTINGS(X)
#undef X
	assert(!list.full);
	if (list.len > 0)
		tags_put(w, tag, slice_of(list.p, list.len));
}

static const char *name_of(unsigned type, unsigned tag)
{
	(void)type;
	switch (tag) {
#define X(NAME, number, bit, standard, word, member) \
	case number: \
		return word;
		MORE_SETTINGS(X)
#undef X
	}
	return NULL;
}

enum rmq_error more_settings_find(struct slice tags, uint16_t tag, struct more_settings *s)
{
	struct slice list = NO_TAGS, value;
	uint16_t unknown;
	*s = more_settings_default();
	(void)tags_find(tags, tag, &list);
	enum rmq_error err = tags_check(list, 0, name_of, &unknown);
	if (err)
		return err;
#define X(NAME, number, bit, standard, word, member) \
	if (tags_find(list, number, &value)) { \
		if (value.len != 8) \
			return RMQ_E_PROTOCOL; \
		s->member = load_u64(value.data); \
	}
	MORE_SETTINGS(X)
#undef X
	return RMQ_E_OK;
}

static const char *const dispatches[DISPATCHES] = {"fair", "round-robin", "key"};

static void print_or_none(
    char out[UNITS_TEXT_MAX], uint64_t value, size_t (*print)(char[UNITS_TEXT_MAX], uint64_t))
{
	if (value == 0)
		snprintf(out, UNITS_TEXT_MAX, "none");
	else
		print(out, value);
}

static size_t print_number(char out[UNITS_TEXT_MAX], uint64_t n)
{
	return (size_t)snprintf(out, UNITS_TEXT_MAX, "%llu", (unsigned long long)n);
}

static size_t print_rate(char out[UNITS_TEXT_MAX], uint64_t rate)
{
	return units_print_rate(out, (uint32_t)(rate >> 32), (uint32_t)rate);
}

void more_settings_print(char out[UNITS_TEXT_MAX], uint32_t bit, const struct more_settings *s)
{
	switch (bit) {
	case SETTING_EXPIRE:
		print_or_none(out, s->expire_ms, units_print_duration);
		return;
	case SETTING_DEDUP:
		print_or_none(out, s->dedup_ms, units_print_duration);
		return;
	case SETTING_MAX_INFLIGHT:
		print_or_none(out, s->max_inflight, print_number);
		return;
	case SETTING_RATE:
		print_or_none(out, s->rate, print_rate);
		return;
	case SETTING_DISPATCH:
		snprintf(out, UNITS_TEXT_MAX, "%s", dispatches[s->dispatch % DISPATCHES]);
		return;
	}
	bool yes = bit == SETTING_PAUSED_IN ? s->paused_in : s->paused_out;
	snprintf(out, UNITS_TEXT_MAX, "%s", yes ? "yes" : "no");
}

static bool parse_dispatch(const char *text, uint64_t *value)
{
	for (*value = 0; *value < DISPATCHES; ++*value)
		if (strcmp(text, dispatches[*value]) == 0)
			return true;
	return false;
}

static bool parse_rate(const char *text, uint64_t *rate)
{
	uint32_t number, period_ms;
	if (!units_rate(text, &number, &period_ms))
		return false;
	*rate = rate_of(number, period_ms);
	return true;
}

bool more_settings_parse(const char *text, uint32_t bit, struct more_settings *s)
{
	bool none = strcmp(text, "none") == 0;
	switch (bit) {
	case SETTING_EXPIRE:
		s->expire_ms = 0;
		return none || (units_duration(text, &s->expire_ms) && s->expire_ms > 0 &&
				   more_settings_valid(s));
	case SETTING_DEDUP:
		s->dedup_ms = 0;
		return none || (units_duration(text, &s->dedup_ms) && more_settings_valid(s));
	case SETTING_MAX_INFLIGHT:
		s->max_inflight = 0;
		return none || units_count(text, 1, UINT32_MAX, &s->max_inflight);
	case SETTING_RATE:
		s->rate = 0;
		return none || (parse_rate(text, &s->rate) && more_settings_valid(s));
	case SETTING_DISPATCH:
		return parse_dispatch(text, &s->dispatch);
	}
	return false;
}

bool more_settings_valid(const struct more_settings *s)
{
	uint32_t number = (uint32_t)(s->rate >> 32), period_ms = (uint32_t)s->rate;
	bool rate = s->rate == 0 || (number > 0 && number <= RATE_MAX && period_ms > 0 &&
					period_ms <= RATE_PERIOD_MS_MAX);
	return rate && s->expire_ms <= DELAY_MS_MAX && s->dedup_ms <= DELAY_MS_MAX &&
	       s->max_inflight <= UINT32_MAX && s->paused_in <= 1 && s->paused_out <= 1 &&
	       s->dispatch < DISPATCHES;
}
