#include "core/base/name.h"

#include <stdio.h>

#include "core/base/limits.h"

static bool word_char(uint8_t c)
{
	return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
	       c == '_';
}

static bool ends_in(struct slice name, const char *end)
{
	size_t len = strlen(end);
	return name.len > len && memcmp(name.data + name.len - len, end, len) == 0;
}

bool name_is_dead(struct slice name)
{
	return ends_in(name, NAME_DEAD_SUFFIX);
}

static bool is_word(struct slice name, size_t max)
{
	if (name.len == 0 || name.len > max || !word_char(name.data[0]))
		return false;
	for (size_t i = 1; i < name.len; i++)
		if (!word_char(name.data[i]) && name.data[i] != '.' && name.data[i] != '-')
			return false;
	return true;
}

bool name_valid(struct slice name)
{
	bool longer = ends_in(name, NAME_DEAD_SUFFIX) || ends_in(name, NAME_AWAY_SUFFIX);
	return is_word(name, longer ? NAME_FULL_MAX : NAME_MAX_LEN);
}

bool name_valid_node(struct slice name)
{
	return is_word(name, RAFT_NAME_MAX);
}

/* The first digits; `name` begins after them then. */
static bool skip_digits(struct slice *name)
{
	size_t n = 0;
	while (n < name->len && name->data[n] >= '0' && name->data[n] <= '9')
		n++;
	*name = slice_of(name->data + n, name->len - n);
	return n > 0;
}

bool name_is_ephemeral(struct slice name)
{
	if (name.len < 4 || memcmp(name.data, "sub-", 4) != 0)
		return false;
	name = slice_of(name.data + 4, name.len - 4);
	if (!skip_digits(&name) || name.len == 0 || name.data[0] != '-')
		return false;
	name = slice_of(name.data + 1, name.len - 1);
	return skip_digits(&name) && name.len == 0;
}

struct slice name_of_ephemeral(char name[NAME_EPHEMERAL_MAX], uint64_t session, uint32_t sub)
{
	int len =
	    snprintf(name, NAME_EPHEMERAL_MAX, "sub-%llu-%u", (unsigned long long)session, sub);
	return slice_of(name, (size_t)len);
}

static bool one_matches(uint8_t c, uint8_t g, bool wild)
{
	return g == c || (g == '?' && !(wild && (c == '*' || c == '#')));
}

/* With `wild`, `?` of the glob stands for no wildcard of a pattern. */
static bool matches(struct slice name, struct slice glob, bool wild)
{
	size_t n = 0, g = 0, star = SIZE_MAX, mark = 0;

	while (n < name.len) {
		if (g < glob.len && glob.data[g] == '*') {
			star = g++;
			mark = n;
		} else if (g < glob.len && one_matches(name.data[n], glob.data[g], wild)) {
			g++;
			n++;
		} else if (star != SIZE_MAX) {
			g = star + 1;
			n = ++mark;
		} else {
			return false;
		}
	}
	while (g < glob.len && glob.data[g] == '*')
		g++;
	return g == glob.len;
}

bool name_matches(struct slice name, struct slice glob)
{
	return matches(name, glob, false);
}

bool name_pattern_within(struct slice pattern, struct slice glob)
{
	/* What stands for the rest of a topic may stand for nothing, and then has no dot before it. */
	struct slice least = pattern;
	if (least.len > 2 && memcmp(least.data + least.len - 2, ".#", 2) == 0)
		least.len -= 2;
	return matches(pattern, glob, true) && matches(least, glob, true);
}
