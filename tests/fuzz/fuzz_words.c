/*
 * What people and scripts write: durations, sizes, counts, receipts, lists of fields.
 * What is printed of a result reads as the same again.
 */
#include "fuzz.h"

#include "core/base/units.h"
#include "core/client/envelope.h"
#include "core/wire/receipt.h"

static void check_receipt(struct slice text)
{
	char printed[RECEIPT_MAX];
	struct receipt r, again;

	if (!receipt_parse(text, &r))
		return;
	assert(r.queue.len > 0 && r.queue.len <= NAME_FULL_MAX);
	size_t len = receipt_print(printed, &r);
	assert(len < sizeof(printed));
	assert(receipt_parse(slice_of(printed, len), &again));
	assert(slice_eq(again.queue, r.queue) && again.seq == r.seq && again.lease == r.lease);
}

static void check_units(const char *text)
{
	char printed[UNITS_TEXT_MAX];
	uint64_t n, again;

	if (units_duration(text, &n)) {
		size_t len = units_print_duration(printed, n);
		assert(len < sizeof(printed) && strlen(printed) == len);
		assert(units_duration(printed, &again) && again == n);
	}
	if (units_size(text, &n))
		assert(text[0] >= '0' && text[0] <= '9');
	if (units_count(text, 3, 1000, &n))
		assert(n >= 3 && n <= 1000);
}

/* Any bytes at all become a line of JSON, or fields: one line, no control characters. */
static void check_envelope(const char *text, struct slice body)
{
	struct text out = {0};
	struct envelope_fields fields;
	struct envelope e = {.queue = slice_str("jobs"),
	    .seq = 42,
	    .lease = 7,
	    .time = {body.len * 1000003},
	    .attempt = 1,
	    .note = body,
	    .body = body};

	envelope_put_json(&out, &e);
	assert(!out.failed && out.data[0] == '{' && out.data[out.len - 1] == '}');
	for (size_t i = 0; i < out.len; i++)
		assert((unsigned char)out.data[i] >= ' ');
	text_deinit(&out);
	if (!envelope_fields_parse(&fields, text))
		return;
	assert(fields.count > 0 && fields.count <= ENVELOPE_FIELDS_MAX);
	out = (struct text){0};
	envelope_put_fields(&out, &e, &fields);
	assert(!out.failed);
	text_deinit(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char text[256];
	size_t len = size < sizeof(text) - 1 ? size : sizeof(text) - 1;

	if (len > 0)
		memcpy(text, data, len);
	text[len] = '\0';
	check_receipt(slice_of(data, size));
	check_units(text);
	check_envelope(text, slice_of(data, size));
	return 0;
}

void fuzz_seeds(fuzz_add *add)
{
	static const char *const seeds[] = {"250ms", "0.5s", "30s", "5m", "2h", "7d", "0",
	    "infinity", "64K", "1M", "2G", "999", "18446744073709551615", "jobs:42:7",
	    "jobs.dead:1:18446744073709551615", "receipt,body", "id,seq,time,attempt,body",
	    "gr\303\274n \360\237\230\200 \355\240\200 \377", "a\tb\nc\"d\\e"};
	for (size_t i = 0; i < sizeof(seeds) / sizeof(seeds[0]); i++)
		add(seeds[i], strlen(seeds[i]));
}
