/* What a client holds: which of it an echo covers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "core/client/held.h"

static void only_what_is_named_again_is_confirmed(void **state)
{
	struct held h;
	struct held_range r = {.lease = 7,
	    .first = 1,
	    .end = 11,
	    .lease_ms = 1000,
	    .confirmed = true,
	    .stamp = {5000}};
	(void)state;
	held_init(&h);
	assert_int_equal(held_add(&h, &r), RMQ_E_OK);
	held_disconnect(&h);
	assert_int_equal(held_confirm(&h, 7, 4, 6), RMQ_E_OK);
	held_echo(&h, (struct mono_time){9000});
	assert_int_equal(held_until(&h, held_find(&h, 7, 3)).ms, 6000);
	assert_int_equal(held_until(&h, held_find(&h, 7, 4)).ms, 10000);
	assert_int_equal(held_until(&h, held_find(&h, 7, 5)).ms, 10000);
	assert_int_equal(held_until(&h, held_find(&h, 7, 6)).ms, 6000);
	assert_int_equal(h.messages, 10);
	held_deinit(&h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(only_what_is_named_again_is_confirmed),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
