#include "core/base/units.h"

#include <stdio.h>
#include <string.h>

#define DURATION_MAX	 ((uint64_t)INT64_MAX)
#define TIME_SECONDS_MAX 253402300799 /* the end of year 9999 */

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

bool units_rate(const char *text, uint32_t *number, uint32_t *period_ms)
{
	uint64_t n;
	if (!digits(&text, &n) || n == 0 || n > UINT32_MAX || *text++ != '/')
		return false;
	for (size_t i = 0; i < DURATIONS; i++) {
		if (durations[i].ms > 3600 * 1000u || strcmp(text, durations[i].name) != 0)
			continue;
		*number = (uint32_t)n;
		*period_ms = (uint32_t)durations[i].ms;
		return *period_ms >= 1000;
	}
	return false;
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

size_t units_print_rate(char out[UNITS_TEXT_MAX], uint32_t number, uint32_t period_ms)
{
	char period[UNITS_TEXT_MAX];
	units_print_duration(period, period_ms);
	/* "1s" is written as "s". */
	return (size_t)snprintf(out, UNITS_TEXT_MAX, "%u/%.8s", number,
	    period[0] == '1' && period[1] > '9' ? period + 1 : period);
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

/* The same the other way round. */
static uint64_t days_of(uint64_t year, uint64_t month, uint64_t day)
{
	uint64_t y = year - (month <= 2), era = y / 400, yoe = y % 400;
	uint64_t doy = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;
	return era * 146097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719468;
}

/* Two or four digits, and what must follow them: one of `after`, which is passed over. */
static bool part(const char **text, int width, const char *after, uint64_t *n)
{
	uint64_t v = 0;
	for (int i = 0; i < width; i++, (*text)++) {
		if (**text < '0' || **text > '9')
			return false;
		v = v * 10 + (uint64_t)(**text - '0');
	}
	*n = v;
	if (!*after)
		return true;
	return **text && strchr(after, *(*text)++) != NULL;
}

/* "Z", "+01:00": minutes that the clock which was read is before UTC. */
static bool zone(const char *text, int64_t *minutes)
{
	uint64_t hour, minute;
	bool west = *text == '-';
	*minutes = 0;
	if (*text == 'Z' || *text == 'z')
		return text[1] == 0;
	if (*text != '+' && !west)
		return false;
	text++;
	if (!part(&text, 2, ":", &hour) || !part(&text, 2, "", &minute) || *text || hour > 23 ||
	    minute > 59)
		return false;
	*minutes = (int64_t)(hour * 60 + minute) * (west ? -1 : 1);
	return true;
}

static bool rfc3339(const char *text, int64_t *ms)
{
	uint64_t year, month, day, hour, minute, second, fraction = 0;
	unsigned y, m, d;
	int64_t before;
	if (!part(&text, 4, "-", &year) || !part(&text, 2, "-", &month) ||
	    !part(&text, 2, "Tt ", &day) || !part(&text, 2, ":", &hour) ||
	    !part(&text, 2, ":", &minute) || !part(&text, 2, "", &second) || year < 1970 ||
	    month < 1 || month > 12 || day < 1 || day > 31 || hour > 23 || minute > 59 ||
	    second > 60)
		return false;
	uint64_t days = days_of(year, month, day);
	civil(days, &y, &m, &d);
	if (m != month || d != day)
		return false;
	if (*text == '.') {
		text++;
		if (!thousandths(&text, &fraction))
			return false;
	}
	if (!zone(text, &before))
		return false;
	uint64_t s = ((days * 24 + hour) * 60 + minute) * 60 + second;
	*ms = (int64_t)(s * 1000 + fraction) - before * 60000;
	return true;
}

bool units_time(const char *text, struct wall_time *t)
{
	uint64_t seconds, fraction = 0;
	int64_t ms;
	if (*text != '@') {
		if (!rfc3339(text, &ms))
			return false;
	} else {
		text++;
		if (!digits(&text, &seconds) || seconds > TIME_SECONDS_MAX)
			return false;
		if (*text == '.') {
			text++;
			if (!thousandths(&text, &fraction))
				return false;
		}
		if (*text)
			return false;
		ms = (int64_t)(seconds * 1000 + fraction);
	}
	if (ms < 0)
		return false;
	t->ms = (uint64_t)ms;
	return true;
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

size_t units_print_brief(char out[UNITS_TEXT_MAX], uint64_t n)
{
	static const char *const units[] = {"", "k", "M", "G", "T", "P"};
	unsigned unit = 0;
	for (; n >= 100000; unit++)
		n /= 1000;
	return (size_t)snprintf(
	    out, UNITS_TEXT_MAX, "%llu%s", (unsigned long long)n, units[unit]);
}
