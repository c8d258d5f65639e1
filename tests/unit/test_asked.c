/* A member that asks for more than it can be given. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/base/limits.h"
#include "core/host/asked.h"

static void a_thousand_questions_in_a_turn_make_one_answer(void **state)
{
	struct asked a = {0}, now;
	unsigned answers = 0;
	(void)state;
	for (uint64_t i = 1; i <= 1000; i++)
		asked_for(&a, i, 3);
	for (unsigned i = 0; i < 1000; i++)
		answers += asked_turn(&a, 0, &now);
	assert_int_equal(now.index, 1000);
	assert_int_equal(now.term, 3);
	assert_int_equal(answers, 1);
}

static void answers_do_not_pile_up(void **state)
{
	struct asked a = {0}, now;
	(void)state;
	asked_for(&a, 7, 3);
	assert_false(asked_turn(&a, RECORD_MAX, &now));
	/* Beside other records that are on their way it is answered. */
	assert_true(asked_turn(&a, RECORD_MAX - 1, &now));
	assert_int_equal(now.index, 7);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_thousand_questions_in_a_turn_make_one_answer),
	    cmocka_unit_test(answers_do_not_pile_up),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
