/* Base 64: the examples of RFC 4648. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "core/base/base64.h"

static void the_examples_of_rfc_4648_are_encoded_so(void **state)
{
	static const char *const examples[][2] = {{"", ""}, {"f", "Zg=="}, {"fo", "Zm8="},
	    {"foo", "Zm9v"}, {"foob", "Zm9vYg=="}, {"fooba", "Zm9vYmE="},
	    {"foobar", "Zm9vYmFy"}};
	(void)state;
	for (size_t i = 0; i < sizeof(examples) / sizeof(examples[0]); i++) {
		char out[16] = "";
		struct slice in = slice_str(examples[i][0]);
		assert_int_equal(base64_size(in.len), strlen(examples[i][1]));
		base64_encode(in, out);
		assert_string_equal(out, examples[i][1]);
	}
}

static void all_bits_are_carried(void **state)
{
	static const uint8_t bytes[] = {0xfb, 0xff, 0xbf, 0x00, 0x10, 0x83};
	char out[9] = "";
	(void)state;
	base64_encode(slice_of(bytes, sizeof(bytes)), out);
	assert_string_equal(out, "+/+/ABCD");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(the_examples_of_rfc_4648_are_encoded_so),
	    cmocka_unit_test(all_bits_are_carried),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
