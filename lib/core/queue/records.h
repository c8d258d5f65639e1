/*
 * Records in the order of their indexes, for the ledger: sorted blocks of pointers, as the leaves
 * of a B+ tree (Comer, "The Ubiquitous B-Tree", 1979) with one level above them.  A record costs
 * about a pointer here, where a node of a binary tree costs four: a backlog has one for each
 * 64 KiB.  Looking up is O(log n); coming and going moves RECORDS_BLOCK pointers at most, and
 * seldom those to all blocks.
 */
#ifndef RMQ_CORE_QUEUE_RECORDS_H
#define RMQ_CORE_QUEUE_RECORDS_H

#include <stddef.h>
#include <stdint.h>

#define RECORDS_BLOCK 512

struct record;

struct records {
	struct records_block **blocks; /* none is empty */
	size_t count, cap;	       /* of blocks */
};

/* Frees what it allocated, not the records.  All zeros is an empty one. */
void records_deinit(struct records *s);

/* The first record at `index` or after it, NULL: none. */
struct record *records_from(const struct records *s, uint64_t index);
/* The record at `index`, NULL: none. */
struct record *records_at(const struct records *s, uint64_t index);

/* Its index is not there yet.  Borrows r until it is removed. */
void records_insert(struct records *s, struct record *r);
/* It is there. */
void records_remove(struct records *s, struct record *r);

#endif
