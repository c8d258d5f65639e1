/* Bitmaps in memory of the caller, 64 bits a word. */
#ifndef RMQ_CORE_BASE_BITS_H
#define RMQ_CORE_BASE_BITS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

static inline size_t bits_words(uint32_t count)
{
	return ((size_t)count + 63) / 64;
}

static inline bool bits_get(const uint64_t *bits, uint32_t i)
{
	return bits[i / 64] >> (i % 64) & 1;
}

/* The bits of word `word` that lie within [from, to). */
static inline uint64_t bits_mask(uint32_t word, uint32_t from, uint32_t to)
{
	uint32_t base = word * 64;
	uint64_t mask = UINT64_MAX;
	if (from > base)
		mask &= UINT64_MAX << (from - base);
	if (to < base + 64)
		mask &= UINT64_MAX >> (base + 64 - to);
	return mask;
}

static inline void bits_set(uint64_t *bits, uint32_t from, uint32_t to)
{
	for (uint32_t w = from / 64; from < to && w <= (to - 1) / 64; w++)
		bits[w] |= bits_mask(w, from, to);
}

static inline void bits_clear(uint64_t *bits, uint32_t from, uint32_t to)
{
	for (uint32_t w = from / 64; from < to && w <= (to - 1) / 64; w++)
		bits[w] &= ~bits_mask(w, from, to);
}

static inline uint32_t bits_count(const uint64_t *bits, uint32_t from, uint32_t to)
{
	uint32_t n = 0;
	for (uint32_t w = from / 64; from < to && w <= (to - 1) / 64; w++)
		n += (uint32_t)__builtin_popcountll(bits[w] & bits_mask(w, from, to));
	return n;
}

/* The first bit in [from, to) that is `value`, or `to`. */
static inline uint32_t bits_find(const uint64_t *bits, uint32_t from, uint32_t to, bool value)
{
	for (uint32_t w = from / 64; from < to && w <= (to - 1) / 64; w++) {
		uint64_t word = (value ? bits[w] : ~bits[w]) & bits_mask(w, from, to);
		if (word)
			return w * 64 + (uint32_t)__builtin_ctzll(word);
	}
	return to;
}

#endif
