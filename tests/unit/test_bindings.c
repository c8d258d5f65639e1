/* Topics and patterns, and the tree that finds the queues bound to a topic. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "core/base/topic.h"
#include "core/queue/bindings.h"
#include "core/queue/queue.h"

static void topics_are_words_between_dots(void **state)
{
	static const char *const good[] = {
	    "a", "news.eu", "A-1._x.9", "1.2.3.4.5.6.7.8.9.a.b.c"};
	static const char *const bad[] = {"", ".", "a.", ".a", "a..b", "-a", "a b", "a.*",
	    "a.#", "a/b", "\xc3\xa4", "1.2.3.4.5.6.7.8.9.a.b.c.d"};
	char long_one[TOPIC_MAX + 2];
	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++) {
		assert_null(topic_fault(slice_str(good[i])));
		assert_null(pattern_fault(slice_str(good[i])));
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		assert_non_null(topic_fault(slice_str(bad[i])));
	memset(long_one, 'a', sizeof(long_one));
	assert_null(topic_fault(slice_of(long_one, TOPIC_MAX)));
	assert_non_null(topic_fault(slice_of(long_one, TOPIC_MAX + 1)));
	assert_non_null(topic_fault(slice_of("a\0b", 3)));
}

static void patterns_have_any_for_a_word_and_rest_at_the_end(void **state)
{
	static const char *const good[] = {
	    "*", "#", "*.#", "a.*.b", "a.#", "*.*.*.*.*.*.*.*.*.*.*.#"};
	static const char *const bad[] = {"#.a", "a*", "*a", "a.b#", "##", "a.#.#", "#.",
	    "a.**", "-", "*.*.*.*.*.*.*.*.*.*.*.*.#"};
	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++)
		assert_null(pattern_fault(slice_str(good[i])));
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		assert_non_null(pattern_fault(slice_str(bad[i])));
}

/* What a pattern is, word by word. */
static bool matches(struct slice pattern, struct slice topic)
{
	struct slice p, t;
	bool more = topic_word(&pattern, &p);
	if (more && slice_eq(p, slice_str("#")))
		return true;
	if (!topic_word(&topic, &t))
		return !more;
	return more && (slice_eq(p, slice_str("*")) || slice_eq(p, t)) &&
	       matches(pattern, topic);
}

static void the_naive_matcher_is_right(void **state)
{
	static const struct {
		const char *pattern, *topic;
		bool matches;
	} all[] = {{"news.#", "news", true}, {"news.#", "news.eu.sport", true},
	    {"news.*", "news.eu", true}, {"news.*", "news", false},
	    {"news.*", "news.eu.sport", false}, {"#", "a", true}, {"*", "a.b", false},
	    {"a", "a", true}, {"a", "ab", false}, {"*.b", "a.b", true}};
	(void)state;
	for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++)
		assert_int_equal(matches(slice_str(all[i].pattern), slice_str(all[i].topic)),
		    all[i].matches);
}

static uint32_t random_state;

static uint32_t draw(uint32_t below)
{
	random_state = random_state * 1664525u + 1013904223u;
	return (random_state >> 8) % below;
}

/* Of few words, so that much matches. */
static struct slice words(char out[TOPIC_MAX], bool pattern)
{
	uint32_t count = 1 + draw(4), len = 0;
	for (uint32_t i = 0; i < count; i++) {
		const char *word = (const char *const[]){"a", "b", "ab", "c"}[draw(4)];
		if (pattern && draw(3) == 0)
			word = i + 1 == count && draw(2) ? "#" : "*";
		len +=
		    (uint32_t)snprintf(out + len, TOPIC_MAX - len, "%s%s", i ? "." : "", word);
	}
	return slice_of(out, len);
}

#define QUEUES 12
static struct timers timers;
static struct ledger ledger;
static struct queue *queues[QUEUES];
static struct bindings set;

static void make(void)
{
	timers_init(&timers);
	ledger_init(&ledger);
	set = (struct bindings){0};
	for (uint32_t i = 0; i < QUEUES; i++)
		queues[i] = queue_new(i + 1, slice_str("q"), &timers, &ledger);
}

static void unmake(void)
{
	for (uint32_t i = 0; i < QUEUES; i++) {
		bindings_remove_queue(&set, queues[i]);
		queue_free(queues[i]);
	}
	bindings_deinit(&set);
	ledger_deinit(&ledger);
}

static bool bound_naively(const struct queue *q, struct slice topic)
{
	struct binding *b = binding_after(q, slice_str(""));
	while (b && !matches(binding_pattern(b), topic))
		b = binding_next(b);
	return b != NULL;
}

static void compare(struct slice topic)
{
	static struct matched m;
	uint32_t at = 0;
	bindings_match(&set, topic, NULL, NULL, &m);
	for (uint32_t i = 0; i < QUEUES; i++) {
		bool is = at < m.count && m.queue[at] == queues[i];
		assert_int_equal(is, bound_naively(queues[i], topic));
		at += is;
	}
	assert_int_equal(at, m.count);
}

static void random_patterns_match_as_the_naive_matcher_says(void **state)
{
	char text[TOPIC_MAX];
	(void)state;
	for (uint32_t seed = 1; seed <= 60; seed++) {
		random_state = seed;
		make();
		for (int step = 0; step < 200; step++) {
			struct queue *q = queues[draw(QUEUES)];
			struct slice pattern = words(text, true);
			struct binding *b = binding_find(q, pattern);
			if (draw(3) > 0 && !b)
				bindings_add(&set, q, pattern);
			else if (b)
				bindings_remove(&set, b);
			compare(words(text, false));
		}
		unmake();
	}
}

static void a_match_is_bounded_whatever_is_bound(void **state)
{
	static struct matched m;
	char pattern[TOPIC_MAX];
	(void)state;
	make();
	/* Each word of the topic in both ways. */
	for (uint32_t bits = 0; bits < 1u << TOPIC_WORDS_MAX; bits++) {
		for (uint32_t i = 0; i < TOPIC_WORDS_MAX; i++) {
			pattern[2 * i] = bits >> i & 1 ? '*' : 'a';
			pattern[2 * i + 1] = '.';
		}
		bindings_add(
		    &set, queues[bits % QUEUES], slice_of(pattern, 2 * TOPIC_WORDS_MAX - 1));
	}
	bindings_match(&set, slice_str("a.a.a.a.a.a.a.a.a.a.a.a"), NULL, NULL, &m);
	assert_int_equal(m.count, QUEUES);
	assert_int_equal(m.steps, (2u << TOPIC_WORDS_MAX) - 1 + (1u << TOPIC_WORDS_MAX));
	/* One more binding than may match, and it is not looked at to the end. */
	bindings_add(&set, queues[0], slice_str("#"));
	bindings_match(&set, slice_str("a.a.a.a.a.a.a.a.a.a.a.a"), NULL, NULL, &m);
	assert_int_equal(m.bindings, TOPIC_BINDINGS_MAX + 1);
	bindings_remove(&set, binding_find(queues[0], slice_str("#")));
	/* What does not go on costs nothing more. */
	bindings_match(&set, slice_str("b.b.b.b.b.b.b.b.b.b.b.a"), NULL, NULL, &m);
	assert_true(m.steps < 40);
	unmake();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(topics_are_words_between_dots),
	    cmocka_unit_test(patterns_have_any_for_a_word_and_rest_at_the_end),
	    cmocka_unit_test(the_naive_matcher_is_right),
	    cmocka_unit_test(random_patterns_match_as_the_naive_matcher_says),
	    cmocka_unit_test(a_match_is_bounded_whatever_is_bound),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
