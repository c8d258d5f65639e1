/* Which nodes make a cluster of themselves. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/host/founding.h"

static const uint8_t low[RAFT_KEY_SIZE] = {1}, high[RAFT_KEY_SIZE] = {2};
static struct founding a, b;
static char text[TEXT_MAX + 1];
static const char *says;

/* A claim, at 100 ms, that asks two seeds. */
static void claim(struct founding *f)
{
	founding_begin(f, 100);
	assert_int_equal(founding_ask(f, "n2"), 0);
	assert_int_equal(founding_ask(f, "n3"), 1);
}

static void hear(struct founding *f, unsigned at, enum rmq_error code)
{
	founding_heard(f, at, code, slice_str("it says so"));
}

static void a_cluster_is_made_once_all_seeds_say_that_they_know_none(void **state)
{
	(void)state;
	claim(&a);
	assert_int_equal(founding_look(&a, false, 100, text), COMMANDS_HOLD);
	hear(&a, 0, RMQ_E_NOTHING);
	assert_int_equal(founding_look(&a, false, 99 + FOUNDING_MS, text), COMMANDS_HOLD);
	hear(&a, 1, RMQ_E_NOTHING);
	assert_int_equal(founding_look(&a, false, 99 + FOUNDING_MS, text), COMMANDS_MAY);
	/* There is nobody to ask. */
	founding_begin(&b, 100);
	assert_int_equal(founding_look(&b, false, 100, text), COMMANDS_MAY);
}

/* Who is silent has lost its directory, or does not lead, as the database knows. */
static void a_log_is_adopted_unless_a_seed_is_a_member(void **state)
{
	(void)state;
	claim(&a);
	assert_int_equal(founding_look(&a, true, 100, text), COMMANDS_HOLD);
	hear(&a, 0, RMQ_E_BUSY);
	assert_int_equal(founding_look(&a, true, 99 + FOUNDING_MS, text), COMMANDS_HOLD);
	assert_int_equal(founding_look(&a, true, 100 + FOUNDING_MS, text), COMMANDS_MAY);
	hear(&a, 1, RMQ_E_EXISTS);
	assert_int_equal(founding_look(&a, true, 100 + FOUNDING_MS, text), COMMANDS_STOP);
	assert_string_equal(text, "n3: it says so; join that one, or stop it for good");
}

static void a_seed_that_does_not_answer_may_know_a_cluster(void **state)
{
	(void)state;
	claim(&a);
	hear(&a, 0, RMQ_E_NOTHING);
	assert_int_equal(founding_look(&a, false, 100 + FOUNDING_MS, text), COMMANDS_STOP);
	assert_string_equal(text, "seeds do not answer whether there is a cluster already: n3; "
				  "start them, or, if there is none: rmq-cluster init --new");
}

static void a_seed_that_knows_a_cluster_forbids_another_one(void **state)
{
	(void)state;
	claim(&a);
	hear(&a, 1, RMQ_E_EXISTS);
	assert_int_equal(founding_look(&a, false, 100, text), COMMANDS_STOP);
	assert_string_equal(
	    text, "n3: it says so; join that one (only if it is lost for good: init --new)");
	/* Nor is there anything to be made beside a node of which nothing is known. */
	claim(&a);
	hear(&a, 0, RMQ_E_NOTHING);
	hear(&a, 1, RMQ_E_DENIED);
	assert_int_equal(founding_look(&a, false, 100, text), COMMANDS_STOP);
}

static void of_two_that_claim_at_the_same_time_the_lower_key_goes_on(void **state)
{
	(void)state;
	claim(&a);
	claim(&b);
	assert_int_equal(founding_asked(&a, false, low, high, &says), RMQ_E_BUSY);
	assert_string_equal(says, "it is making a cluster itself");
	assert_int_equal(founding_asked(&b, false, high, low, &says), RMQ_E_NOTHING);
	hear(&a, 0, RMQ_E_NOTHING);
	hear(&a, 1, RMQ_E_NOTHING);
	assert_int_equal(founding_look(&a, false, 200, text), COMMANDS_MAY);
	hear(&b, 0, RMQ_E_NOTHING);
	hear(&b, 1, RMQ_E_NOTHING);
	assert_int_equal(founding_look(&b, false, 200, text), COMMANDS_STOP);
	assert_string_equal(text, "another node is making a cluster, too: make it on one node, "
				  "and admit the others there");
	/* A third one may, for all that this one does. */
	assert_int_equal(founding_asked(&b, false, low, high, &says), RMQ_E_NOTHING);
}

static void who_claims_is_named_and_not_to_be_overridden(void **state)
{
	(void)state;
	claim(&b);
	hear(&b, 0, RMQ_E_BUSY);
	hear(&b, 1, RMQ_E_NOTHING);
	assert_int_equal(founding_look(&b, false, 200, text), COMMANDS_STOP);
	assert_string_equal(text,
	    "n2 is making a cluster, too: make it on one node, and admit the "
	    "others there");
}

static void a_seed_that_is_silent_is_named_though_another_node_claims(void **state)
{
	(void)state;
	claim(&b);
	assert_int_equal(founding_asked(&b, false, high, low, &says), RMQ_E_NOTHING);
	hear(&b, 0, RMQ_E_BUSY);
	assert_int_equal(founding_look(&b, false, 200, text), COMMANDS_HOLD);
	assert_int_equal(founding_look(&b, false, 100 + FOUNDING_MS, text), COMMANDS_STOP);
	assert_non_null(strstr(text, "seeds do not answer"));
	assert_non_null(strstr(text, ": n3; "));
}

static void a_claim_and_its_answers_end_with_their_command(void **state)
{
	(void)state;
	claim(&a);
	hear(&a, 0, RMQ_E_NOTHING);
	hear(&a, 1, RMQ_E_NOTHING);
	founding_end(&a);
	assert_int_equal(founding_asked(&a, false, low, high, &says), RMQ_E_NOTHING);
	claim(&a);
	assert_int_equal(founding_look(&a, false, 100, text), COMMANDS_HOLD);
}

static void who_has_decided_says_so_until_its_cluster_is_stored(void **state)
{
	(void)state;
	assert_int_equal(founding_asked(&a, true, high, low, &says), RMQ_E_BUSY);
}

/* Meanwhile somebody may have made one who did not hear of this one. */
static void answers_that_are_old_do_not_count(void **state)
{
	(void)state;
	claim(&a);
	hear(&a, 0, RMQ_E_NOTHING);
	hear(&a, 1, RMQ_E_NOTHING);
	assert_int_equal(founding_look(&a, false, 100 + FOUNDING_MS, text), COMMANDS_STOP);
	assert_string_equal(text,
	    "this node stood still after its seeds had answered that there is "
	    "no cluster: repeat the command");
}

static int setup(void **state)
{
	(void)state;
	a = b = (struct founding){0};
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup(name, setup)
	    T(a_cluster_is_made_once_all_seeds_say_that_they_know_none),
	    T(a_seed_that_does_not_answer_may_know_a_cluster),
	    T(a_seed_that_knows_a_cluster_forbids_another_one),
	    T(of_two_that_claim_at_the_same_time_the_lower_key_goes_on),
	    T(who_claims_is_named_and_not_to_be_overridden),
	    T(a_seed_that_is_silent_is_named_though_another_node_claims),
	    T(a_claim_and_its_answers_end_with_their_command),
	    T(who_has_decided_says_so_until_its_cluster_is_stored),
	    T(answers_that_are_old_do_not_count),
#undef T
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
