#include "core/base/topic.h"

#include "core/base/limits.h"

static_assert(TOPIC_MAX <= UINT8_MAX, "a topic and a pattern fit into a str");

static bool word_char(uint8_t c)
{
	return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
	       c == '_' || c == '-';
}

bool topic_word(struct slice *rest, struct slice *word)
{
	if (rest->len == 0)
		return false;
	const uint8_t *dot = memchr(rest->data, '.', rest->len);
	size_t len = dot ? (size_t)(dot - rest->data) : rest->len;
	*word = slice_of(rest->data, len);
	*rest = dot ? slice_of(dot + 1, rest->len - len - 1) : slice_of(NULL, 0);
	return true;
}

static bool is(struct slice word, const char *text)
{
	return slice_eq(word, slice_str(text));
}

static const char *word_fault(struct slice word, bool last, bool is_pattern)
{
	if (word.len == 0)
		return "it has an empty word";
	if (is_pattern && is(word, PATTERN_ANY))
		return NULL;
	if (is_pattern && is(word, PATTERN_REST))
		return last ? NULL : "'#' may only be its last word";
	for (size_t i = 0; i < word.len; i++) {
		if (word_char(word.data[i]))
			continue;
		if (is_pattern && (word.data[i] == '*' || word.data[i] == '#'))
			return "'*' and '#' stand for whole words";
		return is_pattern ? "its words may be of A-Z a-z 0-9 _ -, or '*' or '#'"
				  : "its words may be of A-Z a-z 0-9 _ -";
	}
	return NULL;
}

static const char *fault(struct slice text, bool is_pattern)
{
	struct slice rest = text, word;
	const char *why = NULL;
	if (text.len == 0)
		return "it is empty";
	if (text.len > TOPIC_MAX)
		return "it has more than 128 bytes";
	if (text.data[0] == '-')
		return "it begins with '-'";
	if (text.data[text.len - 1] == '.')
		return "it has an empty word";
	for (int words = 0; !why && topic_word(&rest, &word); words++)
		why = words < TOPIC_WORDS_MAX ? word_fault(word, rest.len == 0, is_pattern)
					      : "it has more than 12 words";
	return why;
}

const char *topic_fault(struct slice topic)
{
	return fault(topic, false);
}

const char *pattern_fault(struct slice pattern)
{
	return fault(pattern, true);
}
