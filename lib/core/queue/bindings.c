#include "core/queue/bindings.h"

#include <assert.h>
#include <stdlib.h>

#include "core/base/memory.h"
#include "core/base/topic.h"
#include "core/queue/queue.h"

/* What a binding takes in a checkpoint, but for its pattern: header, queue, lengths. */
#define BINDING_PART_MAX (4 + 4 + 1 + 2)

RB_HEAD(word_tree, pattern_node);

struct pattern_node {
	RB_ENTRY(pattern_node) by_word; /* among those that follow its parent's words */
	struct pattern_node *parent;
	struct word_tree words;
	LIST_HEAD(, binding) here; /* patterns that end with its word */
	LIST_HEAD(, binding) rest; /* … or with "#" after it */
	uint8_t len;
	char word[];
};

static struct slice node_word(const struct pattern_node *n)
{
	return slice_of(n->word, n->len);
}

static int node_compare(const struct pattern_node *a, const struct pattern_node *b)
{
	return slice_cmp(node_word(a), node_word(b));
}

static int binding_compare(const struct binding *a, const struct binding *b)
{
	return slice_cmp(binding_pattern(a), binding_pattern(b));
}

RB_PROTOTYPE(word_tree, pattern_node, by_word, node_compare)
RB_GENERATE(word_tree, pattern_node, by_word, node_compare)
RB_GENERATE(binding_tree, binding, of_queue, binding_compare)

/* ---- the tree ---- */

static struct pattern_node *node_new(struct pattern_node *parent, struct slice word)
{
	struct pattern_node *n = memory_new(sizeof(*n) + word.len);
	n->parent = parent;
	n->len = (uint8_t)word.len;
	memcpy(n->word, word.data, word.len);
	if (parent)
		RB_INSERT(word_tree, &parent->words, n);
	return n;
}

static struct pattern_node *node_after(const struct pattern_node *n, struct slice word)
{
	struct pattern_node *at = RB_ROOT(&n->words);
	int order;
	while (at && (order = slice_cmp(word, node_word(at))) != 0)
		at = order < 0 ? RB_LEFT(at, by_word) : RB_RIGHT(at, by_word);
	return at;
}

/* Frees it, and those above it, as far as nothing is there. */
static void node_tidy(struct bindings *s, struct pattern_node *n)
{
	while (n && RB_EMPTY(&n->words) && LIST_EMPTY(&n->here) && LIST_EMPTY(&n->rest)) {
		struct pattern_node *parent = n->parent;
		if (parent)
			RB_REMOVE(word_tree, &parent->words, n);
		else
			s->root = NULL;
		free(n);
		n = parent;
	}
}

void bindings_deinit(struct bindings *s)
{
	assert(!s->root && s->count == 0);
}

struct binding *bindings_add(struct bindings *s, struct queue *q, struct slice pattern)
{
	struct slice rest = pattern, word;
	struct binding *b = memory_new(sizeof(*b) + pattern.len);
	bool is_rest = false;
	if (!s->root)
		s->root = node_new(NULL, slice_of("", 0));
	b->node = s->root;
	while (topic_word(&rest, &word)) {
		is_rest = slice_eq(word, slice_str(PATTERN_REST));
		if (is_rest)
			break;
		struct pattern_node *next = node_after(b->node, word);
		b->node = next ? next : node_new(b->node, word);
	}
	b->queue = q;
	b->len = (uint8_t)pattern.len;
	memcpy(b->pattern, pattern.data, pattern.len);
	if (is_rest)
		LIST_INSERT_HEAD(&b->node->rest, b, at_node);
	else
		LIST_INSERT_HEAD(&b->node->here, b, at_node);
	RB_INSERT(binding_tree, &q->bindings, b);
	q->bindings_count++;
	s->count++;
	return b;
}

void bindings_remove(struct bindings *s, struct binding *b)
{
	RB_REMOVE(binding_tree, &b->queue->bindings, b);
	b->queue->bindings_count--;
	s->count--;
	LIST_REMOVE(b, at_node);
	node_tidy(s, b->node);
	free(b);
}

void bindings_remove_queue(struct bindings *s, struct queue *q)
{
	struct binding *b;
	while ((b = RB_ROOT(&q->bindings)))
		bindings_remove(s, b);
}

/* ---- of one queue ---- */

struct slice binding_pattern(const struct binding *b)
{
	return slice_of(b->pattern, b->len);
}

struct binding *binding_after(const struct queue *q, struct slice pattern)
{
	struct binding *b = RB_ROOT(&q->bindings), *found = NULL;
	while (b) {
		bool before = slice_cmp(binding_pattern(b), pattern) <= 0;
		if (!before)
			found = b;
		b = before ? RB_RIGHT(b, of_queue) : RB_LEFT(b, of_queue);
	}
	return found;
}

struct binding *binding_find(const struct queue *q, struct slice pattern)
{
	struct binding *b = RB_ROOT(&q->bindings);
	int order;
	while (b && (order = slice_cmp(pattern, binding_pattern(b))) != 0)
		b = order < 0 ? RB_LEFT(b, of_queue) : RB_RIGHT(b, of_queue);
	return b;
}

struct binding *binding_next(struct binding *b)
{
	return RB_NEXT(binding_tree, &b->queue->bindings, b);
}

uint64_t bindings_part_bytes(const struct queue *q)
{
	struct binding *b;
	uint64_t bytes = 0;
	for (b = binding_after(q, slice_of("", 0)); b; b = binding_next(b))
		bytes += BINDING_PART_MAX + b->len;
	return bytes;
}

/* ---- matching ---- */

/* What is looked for. */
struct match {
	uint64_t number;
	bindings_hears *hears;
	const void *arg;
	struct matched *m;
};

static bool is_full(const struct matched *m)
{
	return m->count > TOPIC_QUEUES_MAX || matched_too_many(m);
}

static void take(const struct match *a, const struct binding *b)
{
	struct matched *m = a->m;
	for (; b && !is_full(m); b = LIST_NEXT(b, at_node)) {
		m->steps++;
		if (a->hears && !a->hears(a->arg, b->queue)) {
			m->deaf++;
			continue;
		}
		m->bindings++;
		if (b->queue->matched == a->number)
			continue;
		b->queue->matched = a->number;
		m->queue[m->count++] = b->queue;
	}
}

static void walk(const struct match *a, const struct pattern_node *n, struct slice rest)
{
	struct slice word;
	if (!n || is_full(a->m))
		return;
	a->m->steps++;
	take(a, LIST_FIRST(&n->rest));
	if (!topic_word(&rest, &word)) {
		take(a, LIST_FIRST(&n->here));
		return;
	}
	walk(a, node_after(n, word), rest);
	walk(a, node_after(n, slice_str(PATTERN_ANY)), rest);
}

static int queue_compare(const void *x, const void *y)
{
	const struct queue *const *a = x, *const *b = y;
	return (*a)->id < (*b)->id ? -1 : (*a)->id > (*b)->id;
}

void bindings_match(struct bindings *s, struct slice topic, bindings_hears *hears,
    const void *arg, struct matched *m)
{
	struct match a = {++s->matches, hears, arg, m};
	m->steps = m->bindings = m->deaf = m->count = 0;
	walk(&a, s->root, topic);
	if (m->count > 1)
		qsort(m->queue, m->count, sizeof(m->queue[0]), queue_compare);
}
