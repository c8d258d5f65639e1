/*
 * Envelopes for rmq-send -J.  One that is taken as it stands comes to the same as by the parser
 * of JSON.
 */
#include "fuzz.h"

#include "../../cmd/rmq-send/envelope_line.h"

static bool same_text(const struct text *a, const struct text *b)
{
	return slice_eq(slice_of(a->data, a->len), slice_of(b->data, b->len));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct labels simple = {0}, any = {0};
	struct text body = {0}, again = {0};
	struct slice line = slice_of(data, size);
	char why[ENVELOPE_WHY_MAX];

	bool taken = envelope_read_simple(line, &simple, &body);
	const char *wrong = envelope_read_any(line, &any, &again, why);
	if (taken) {
		assert(!wrong);
		assert(same_text(&body, &again));
		assert(same_text(&simple.key, &any.key) && any.headers.len == 0);
		assert(
		    simple.has_priority == any.has_priority && simple.priority == any.priority);
	} else {
		assert(body.len == 0 && simple.key.len == 0 && !simple.has_priority);
	}
	labels_deinit(&simple);
	labels_deinit(&any);
	text_deinit(&body);
	text_deinit(&again);
	return 0;
}

void fuzz_seeds(fuzz_add *add)
{
	static const char *const lines[] = {
	    "{\"id\":\"jobs:42\",\"queue\":\"jobs\",\"seq\":42,\"time\":\"2026-11-29T12:00:00Z\","
	    "\"attempt\":1,\"failures\":0,\"receipt\":\"jobs:42:7\",\"until\":null,\"priority\":4,"
	    "\"key\":null,\"headers\":{},\"body\":\"hello\"}",
	    "{\"key\":\"customer-7\",\"body\":\"x\"}", " { \"body\" : \"\" } ",
	    "{\"priority\":9,\"key\":\"\xc3\xa4\",\"body\":\"\xe2\x82\xac \xf0\x9f\x98\x80\"}",
	    "{\"body\":\"a\",\"body\":\"b\"}", "{\"body\":\"a\\n\"}", "{\"body64\":\"eA==\"}",
	    "{\"body\":\"a\",\"headers\":{\"x\":\"y\"}}", "{\"body\":\"a\",\"priority\":10}",
	    "{\"body\":\"a\",\"seq\":007}", "{\"body\":\"a\",\"seq\":-0}", "{\"body\":\"a\",}",
	    "{\"body\":\"a\"}{}", "{\"body\":\"a\",\"state\":{}}", "[]", "{}"};
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
		add(lines[i], strlen(lines[i]));
}
