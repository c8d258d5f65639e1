/* Keys as people write them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/link/key.h"

/* One text for each value: no spaces, other alphabets, missing padding or stray bits. */
static void a_value_has_one_text(void **state)
{
	static const char good[] = "hSDwCYkwp1R0i33ctD73Wg2/Og0mOBr066SpjqqbTmo=";
	static const struct {
		size_t at;
		char c;
	} bad[] = {{42, 'p'}, {43, 'A'}, {43, '\n'}, {43, '\0'}, {0, ' '}, {0, '='}, {27, '_'}};
	uint8_t bytes[KEY_SIZE];
	char text[KEY_BASE64_SIZE];
	(void)state;
	assert_true(key_decode(slice_str(good), bytes));
	key_encode(bytes, text);
	assert_string_equal(text, good);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		memcpy(text, good, sizeof(good));
		text[bad[i].at] = bad[i].c;
		assert_false(key_decode(slice_of(text, sizeof(good) - 1), bytes));
	}
	assert_false(key_decode(slice_of(good, sizeof(good) - 2), bytes));
	assert_false(key_decode(slice_of(good, sizeof(good)), bytes));
	assert_false(key_decode(slice_of(good, sizeof(good) - 5), bytes));
	assert_false(key_decode(slice_str(""), bytes));
}

/* RFC 7748, section 6.1; the fingerprint is what b2sum -l 128 says of the text. */
static void a_key_is_a_word_and_has_a_fingerprint(void **state)
{
	static const uint8_t alice[KEY_SIZE] = {0x77, 0x07, 0x6d, 0x0a, 0x73, 0x18, 0xa5, 0x7d,
	    0x3c, 0x16, 0xc1, 0x72, 0x51, 0xb2, 0x66, 0x45, 0xdf, 0x4c, 0x2f, 0x87, 0xeb, 0xc0,
	    0x99, 0x2a, 0xb1, 0x77, 0xfb, 0xa5, 0x1d, 0xb9, 0x2c, 0x2a};
	uint8_t key[KEY_SIZE], again[KEY_SIZE];
	char text[KEY_TEXT_SIZE], fingerprint[KEY_FINGERPRINT_SIZE];
	(void)state;
	assert_true(key_public(alice, key));
	key_print(key, text);
	assert_string_equal(text, "rmq1:hSDwCYkwp1R0i33ctD73Wg2/Og0mOBr066SpjqqbTmo=");
	assert_true(key_parse(slice_str(text), again));
	assert_memory_equal(again, key, KEY_SIZE);
	key_fingerprint(key, fingerprint);
	assert_string_equal(fingerprint, "ef91-b117-b075-7f7c-4a7d-b391-8e3f-2128");
}

static void what_is_no_key_is_refused(void **state)
{
	static const char *const bad[] = {"",
	    "rmq1:", "rmq2:hSDwCYkwp1R0i33ctD73Wg2/Og0mOBr066SpjqqbTmo=",
	    "rmq1:hSDwCYkwp1R0i33ctD73Wg2/Og0mOBr066SpjqqbTmo",
	    "rmq1:hSDwCYkwp1R0i33ctD73Wg2/Og0mOBr066SpjqqbTmo= ",
	    "rmq1:hSDwCYkwp1R0i33ctD73Wg2/Og0mOBr066SpjqqbTmp=",
	    "rmq1:hSDwCYkwp1R0i33ctD73Wg2_Og0mOBr066SpjqqbTmo=",
	    "hSDwCYkwp1R0i33ctD73Wg2/Og0mOBr066SpjqqbTmo=",
	    /* zeros, and one: points of low order */
	    "rmq1:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
	    "rmq1:AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="};
	uint8_t key[KEY_SIZE] = "untouched";
	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(key_parse(slice_str(bad[i]), key));
	for (size_t at = sizeof(KEY_PREFIX) - 1; at < KEY_TEXT_SIZE - 1; at++)
		for (unsigned byte = 128; byte < 256; byte++) {
			char text[] = "rmq1:hSDwCYkwp1R0i33ctD73Wg2/Og0mOBr066SpjqqbTmo=";
			text[at] = (char)byte;
			assert_false(key_parse(slice_str(text), key));
		}
	assert_string_equal((char *)key, "untouched");
}

static void both_compute_the_same_secret_or_none(void **state)
{
	static const uint8_t a[KEY_SIZE] = {0, 1}, b[KEY_SIZE] = {0, 2}, zeros[KEY_SIZE];
	uint8_t key_a[KEY_SIZE], key_b[KEY_SIZE], shared[KEY_SIZE], again[KEY_SIZE];
	(void)state;
	assert_true(key_public(a, key_a) && key_public(b, key_b));
	assert_true(key_shared(a, key_b, shared) && key_shared(b, key_a, again));
	assert_memory_equal(shared, again, KEY_SIZE);
	assert_false(key_shared(a, zeros, shared));
	assert_memory_equal(shared, zeros, KEY_SIZE);
	assert_false(key_public(zeros, key_a));
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(a_value_has_one_text),
	    cmocka_unit_test(a_key_is_a_word_and_has_a_fingerprint),
	    cmocka_unit_test(what_is_no_key_is_refused),
	    cmocka_unit_test(both_compute_the_same_secret_or_none)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
