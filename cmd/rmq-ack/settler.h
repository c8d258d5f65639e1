/* Settles messages by receipts from stdin or words, and prints the lines of those that are. */
#ifndef RMQ_ACK_SETTLER_H
#define RMQ_ACK_SETTLER_H

#include "core/client/splitter.h"
#include "sys/client/client_io.h"
#include "sys/client/client_options.h"
#include "sys/stream/printer.h"

struct ack_options {
	struct client_settlement how; /* but for queue and tag */
	bool pass;
	bool skip_bad;
	char **words; /* receipts as arguments, NULL: stdin */
	struct client_options common;
};

struct settler {
	const struct ack_options *o;
	struct client_io io;
	struct splitter splitter;
	struct load *load; /* receipts that are put together; NULL: none */
	struct printer printer;
	bool ended; /* nothing more is read */
	uint64_t record;
	uint64_t stale;
	uint64_t bad;
	enum rmq_error code;
	bool lost; /* what came before a bad line may not be settled */
	bool dead; /* nothing more can be settled or told */
};

/* All zeros before; borrows the options.  *why says what failed. */
enum rmq_error settler_open(struct settler *a, const struct ack_options *o, struct reason *why)
    __attribute__((warn_unused_result));

/* Runs until all is settled, or it cannot be; what failed was printed. */
void settler_run(struct settler *a);

/* The exit status of the program. */
int settler_status(const struct settler *a);

void settler_close(struct settler *a);

#endif
