/*
 * What is in hand: runs of messages under one lease with the bytes that are printed for
 * them, in the order of printing.  Front to back: printed and not settled, then printed
 * in part, then not printed.
 */
#ifndef RMQ_RECV_SEGMENT_H
#define RMQ_RECV_SEGMENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct segment {
	struct segment *next;
	uint64_t lease;
	uint64_t first;
	uint32_t count;
	uint32_t settled; /* so many from the front on are settled */
	uint32_t started; /* so many may have reached the reader, as the daemon was told */
	uint64_t batch;	  /* number of the command that goes before printing; 0: not sent yet */
	uint64_t at;	  /* where its first byte went in the stream, once printing began */
	size_t size;	  /* bytes to be printed */
	size_t printed;
	char *bytes;	   /* not printed yet, from `printed` on; NULL: all is printed */
	size_t bytes_from; /* which byte of it bytes[0] is */
	uint32_t ends[];   /* of each message */
};

struct segments {
	struct segment *head;
	struct segment *tail;
	struct segment *printing; /* the first that is not printed to its end */
	uint64_t messages;	  /* that are not settled */
	uint64_t bytes;
};

/* At the tail, with ends to be filled in; NULL when out of memory. */
struct segment *segments_add(
    struct segments *l, uint64_t lease, uint64_t first, uint32_t count, size_t size);

/* Keeps a copy of what is left to be printed of the segment's bytes. */
bool segment_keep(struct segment *s, const void *bytes) __attribute__((warn_unused_result));

/* How many messages end before byte `consumed` of the stream. */
uint32_t segment_taken(const struct segment *s, uint64_t consumed);
/* How many messages are printed to their ends, and how many bytes of one in part. */
uint32_t segment_whole(const struct segment *s);
size_t segment_torn(const struct segment *s);

/* So many more bytes were printed.  It is gone if it was settled and is at its end. */
void segments_printed(struct segments *l, struct segment *s, size_t bytes);

/* The segment's first `upto` messages are settled.  It is gone if all of it is printed too. */
void segments_settled(struct segments *l, struct segment *s, uint32_t upto);

/*
 * Takes messages [first, first + count) under `lease` out, as far as their printing has not
 * begun; the number of them, UINT32_MAX: no memory.
 */
uint32_t segments_cut(struct segments *l, uint64_t lease, uint64_t first, uint32_t count);

void segments_deinit(struct segments *l);

#endif
