/* Names and globs: a valid name is made of what it may be, and a glob means what it says. */
#include "fuzz.h"

#include "core/base/limits.h"
#include "core/base/name.h"

/* What a glob means, the slow way. */
static bool matches(struct slice name, struct slice glob)
{
	if (glob.len == 0)
		return name.len == 0;
	struct slice rest = slice_of(glob.data + 1, glob.len - 1);
	if (glob.data[0] == '*') {
		for (size_t i = 0; i <= name.len; i++)
			if (matches(slice_of(name.data + i, name.len - i), rest))
				return true;
		return false;
	}
	return name.len > 0 && (glob.data[0] == '?' || glob.data[0] == name.data[0]) &&
	       matches(slice_of(name.data + 1, name.len - 1), rest);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size == 0)
		return 0;
	struct slice whole = slice_of(data, size);
	if (name_valid(whole)) {
		assert(size <= NAME_FULL_MAX && data[0] != '.' && data[0] != '-');
		for (size_t i = 0; i < size; i++)
			assert(data[i] > ' ' && data[i] < 0x7f && data[i] != '/' &&
			       data[i] != '*');
		assert(name_matches(whole, whole) && name_matches(whole, slice_str("*")));
	}
	size_t cut = data[0] % size;
	struct slice name = slice_of(data, cut), glob = slice_of(data + cut, size - cut);
	if (name.len <= 12 && glob.len <= 8)
		assert(name_matches(name, glob) == matches(name, glob));
	return 0;
}

void fuzz_seeds(fuzz_add *add)
{
	static const char *const seeds[] = {"jobs", "a.b-c_D9.dead", "_", "\5aaab*a?*",
	    "\6abcabc*abc", "\3ab?b", ".dead", "-x"};
	for (size_t i = 0; i < sizeof(seeds) / sizeof(seeds[0]); i++)
		add(seeds[i], strlen(seeds[i]));
	char longest[NAME_FULL_MAX + 1];
	memset(longest, 'q', sizeof(longest));
	add(longest, NAME_MAX_LEN);
	memcpy(longest + NAME_MAX_LEN, NAME_DEAD_SUFFIX, strlen(NAME_DEAD_SUFFIX));
	add(longest, NAME_FULL_MAX);
}
