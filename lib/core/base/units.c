#include "core/base/units.h"

#include <stdio.h>
#include <string.h>

#define DURATION_MAX ((uint64_t)INT64_MAX)

static const struct unit {
	const char *name;
	uint64_t ms;
} durations[] = {
    {"d", 24 * 3600 * 1000u}, {"h", 3600 * 1000u}, {"m", 60 * 1000u}, {"s", 1000}, {"ms", 1}};

#define DURATIONS (sizeof(durations) / sizeof(durations[0]))

/* Digits at *text, which is moved after them; false: none, or too many. */
static bool digits(const char **text, uint64_t *n)
{
	const char *p = *text;
	uint64_t v = 0;
	for (; *p >= '0' && *p <= '9'; p++) {
		if (v > (UINT64_MAX - 9) / 10)
			return false;
		v = v * 10 + (uint64_t)(*p - '0');
	}
	if (p == *text)
		return false;
	*text = p;
	*n = v;
	return true;
}

/* Thousandths after a decimal point; what is finer is cut off. */
static bool thousandths(const char **text, uint64_t *n)
{
	const char *p = *text;
	uint64_t v = 0, weight = 100;
	for (; *p >= '0' && *p <= '9'; p++, weight /= 10)
		v += (uint64_t)(*p - '0') * weight;
	if (p == *text)
		return false;
	*text = p;
	*n = v;
	return true;
}

bool units_duration(const char *text, uint64_t *ms)
{
	uint64_t whole, part = 0, unit = 0;
	if (strcmp(text, "infinity") == 0) {
		*ms = UNITS_INFINITY;
		return true;
	}
	if (!digits(&text, &whole))
		return false;
	if (*text == '.') {
		text++;
		if (!thousandths(&text, &part))
			return false;
	}
	if (*text == 0)
		unit = 1000;
	for (size_t i = 0; i < DURATIONS; i++)
		if (strcmp(text, durations[i].name) == 0)
			unit = durations[i].ms;
	if (unit == 0 || whole > DURATION_MAX / unit - 1)
		return false;
	*ms = whole * unit + part * unit / 1000;
	return true;
}

bool units_size(const char *text, uint64_t *bytes)
{
	static const char units[] = "KMGT";
	uint64_t n;
	unsigned shift = 0;
	if (!digits(&text, &n))
		return false;
	if (*text) {
		const char *unit = strchr(units, *text);
		if (!unit || text[1])
			return false;
		shift = 10 * (unsigned)(unit - units + 1);
	}
	if (n > DURATION_MAX >> shift)
		return false;
	*bytes = n << shift;
	return true;
}

bool units_count(const char *text, uint64_t min, uint64_t max, uint64_t *n)
{
	uint64_t v;
	if (!digits(&text, &v) || *text || v < min || v > max)
		return false;
	*n = v;
	return true;
}

size_t units_print_duration(char out[UNITS_TEXT_MAX], uint64_t ms)
{
	size_t i = 0;
	if (ms == UNITS_INFINITY)
		return (size_t)snprintf(out, UNITS_TEXT_MAX, "infinity");
	if (ms == 0)
		return (size_t)snprintf(out, UNITS_TEXT_MAX, "0s");
	while (ms % durations[i].ms != 0)
		i++;
	return (size_t)snprintf(out, UNITS_TEXT_MAX, "%llu%s",
	    (unsigned long long)(ms / durations[i].ms), durations[i].name);
}

/* Days since 1970 as a date of the Gregorian calendar, by eras of 400 years from 1 March. */
static void civil(uint64_t days, unsigned *year, unsigned *month, unsigned *day)
{
	uint64_t z = days + 719468, era = z / 146097, doe = z % 146097;
	uint64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
	uint64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100), mp = (5 * doy + 2) / 153;
	*day = (unsigned)(doy - (153 * mp + 2) / 5 + 1);
	*month = (unsigned)(mp < 10 ? mp + 3 : mp - 9);
	*year = (unsigned)(yoe + era * 400 + (*month <= 2));
}

size_t units_print_time(char out[UNITS_TEXT_MAX], struct wall_time t)
{
	unsigned year, month, day;
	uint64_t s = t.ms / 1000 % 86400;
	/* Years of four digits are all that a time can be written with. */
	uint64_t days = t.ms / 86400000 > 2932896 ? 2932896 : t.ms / 86400000;
	civil(days, &year, &month, &day);
	return (size_t)snprintf(out, UNITS_TEXT_MAX, "%04u-%02u-%02uT%02u:%02u:%02u.%03uZ",
	    year, month, day, (unsigned)(s / 3600), (unsigned)(s / 60 % 60), (unsigned)(s % 60),
	    (unsigned)(t.ms % 1000));
}
