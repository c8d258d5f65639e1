/*
 * One line of a file of rights, see rmq-rights(5):
 *
 *	VERB[,VERB]... CONDITION... WHO [NAME]
 */
#ifndef RMQ_SYS_NET_RIGHTS_LINE_H
#define RMQ_SYS_NET_RIGHTS_LINE_H

#include "core/base/time.h"
#include "core/link/key.h"
#include "core/queue/rights.h"
#include "core/wire/wire.h"
#include "sys/process/reason.h"

/* A network: an address is of it whose first `bits` bits are the same. */
#define RIGHTS_ADDRESS_MAX 16
struct rights_network {
	uint8_t address[RIGHTS_ADDRESS_MAX];
	uint8_t len; /* of the address: 4 or 16 */
	uint8_t bits;
};

enum rights_who { RIGHTS_KEY, RIGHTS_USER, RIGHTS_GROUP };

#define RIGHTS_NETWORKS_MAX 64
struct rights_line {
	enum rights_who who;
	uint8_t key[KEY_SIZE];		/* of RIGHTS_KEY, else zeros */
	uint32_t id;			/* of RIGHTS_USER, RIGHTS_GROUP, else 0 */
	char name[BEHALF_NAME_MAX + 1]; /* of RIGHTS_KEY, else "" */
	struct wall_time until;		/* UINT64_MAX: for ever */
	unsigned networks_count;	/* 0: from anywhere */
	struct rights_network networks[RIGHTS_NETWORKS_MAX];
	size_t len;
	uint8_t entries[RIGHTS_MAX]; /* a list of rights (core/queue/rights.h) */
};

/*
 * Takes it apart, and changes the text.  RMQ_E_CONFIG: *what says what is wrong.  Names of users and
 * groups are looked up.
 */
enum rmq_error rights_line_parse(struct rights_line *l, char *text, struct reason *what)
    __attribute__((warn_unused_result));

/* Whether the address is of one of the networks; what is neither IPv4 nor IPv6 is of none. */
struct sockaddr;
bool rights_line_from(
    const struct rights_network *networks, size_t count, const struct sockaddr *address);

#endif
