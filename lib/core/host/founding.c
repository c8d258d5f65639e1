#include "core/host/founding.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "core/base/variant.h"

void founding_begin(struct founding *f, uint64_t now_ms)
{
	if (RMQ_VARIANT(CLAIM_OUTLIVES) && f->claims) {
		f->asked = 0;
		return;
	}
	if (!RMQ_VARIANT(ANSWERS_OUTLIVE))
		*f = (struct founding){.asked = 0};
	f->claims = true;
	f->yields = false;
	f->asked = 0;
	f->begun_ms = now_ms;
}

unsigned founding_ask(struct founding *f, const char *name)
{
	unsigned at = f->asked++;

	assert(at < RAFT_MEMBERS_MAX);
	snprintf(f->seeds[at].name, sizeof(f->seeds[at].name), "%s", name);
	return at;
}

void founding_heard(struct founding *f, unsigned at, enum rmq_error code, struct slice says)
{
	f->seeds[at].word = code == RMQ_E_NOTHING ? FOUNDING_NO_CLUSTER
			    : code == RMQ_E_BUSY  ? FOUNDING_CLAIMS
						  : FOUNDING_CLUSTER;
	snprintf(f->seeds[at].says, sizeof(f->seeds[at].says), "%.*s", (int)says.len,
	    (const char *)says.data);
}

/* Whether a seed has answered so, and the names of those that have. */
static bool names(const struct founding *f, enum founding_word word, char text[TEXT_MAX + 1])
{
	bool any = false;

	text[0] = '\0';
	for (unsigned i = 0; i < f->asked; i++) {
		if (f->seeds[i].word != word)
			continue;
		commands_add_name(text, f->seeds[i].name);
		any = true;
	}
	return any;
}

/* Whether a seed forbids it. */
static bool known(const struct founding *f, bool adopts, char *text)
{
	const char *else_do = adopts
				  ? "join that one, or stop it for good"
				  : "join that one (only if it is lost for good: init --new)";

	for (unsigned i = 0; i < f->asked; i++) {
		if (f->seeds[i].word != FOUNDING_CLUSTER)
			continue;
		snprintf(text, TEXT_MAX + 1, "%.63s: %.120s; %s", f->seeds[i].name,
		    f->seeds[i].says, else_do);
		return true;
	}
	return false;
}

enum commands_verdict founding_look(
    const struct founding *f, bool adopts, uint64_t now_ms, char *text)
{
	char silent[TEXT_MAX + 1], others[TEXT_MAX + 1];
	bool late = now_ms - f->begun_ms >= FOUNDING_MS;

	if (known(f, adopts, text))
		return COMMANDS_STOP;
	bool waits = names(f, FOUNDING_SILENCE, silent) && !RMQ_VARIANT(FOUND_EARLY);
	bool claimed = names(f, FOUNDING_CLAIMS, others);
	/* Also one that yields waits for them: who is not there is in the way of all. */
	if (waits && !late)
		return COMMANDS_HOLD;
	if (adopts)
		return COMMANDS_MAY;
	if (waits)
		snprintf(text, TEXT_MAX + 1,
		    "seeds do not answer whether there is a cluster already: %.100s; start "
		    "them, or, if there is none: rmq-cluster init --new",
		    silent);
	else if (claimed || f->yields)
		snprintf(text, TEXT_MAX + 1,
		    "%.100s is making a cluster, too: make it on one node, and admit the "
		    "others there",
		    claimed ? others : "another node");
	else if (late && !RMQ_VARIANT(ANSWERS_OLD))
		snprintf(text, TEXT_MAX + 1,
		    "this node stood still after its seeds had answered that there is no "
		    "cluster: repeat the command");
	else
		return COMMANDS_MAY;
	return COMMANDS_STOP;
}

enum rmq_error founding_asked(struct founding *f, bool makes, const uint8_t own[RAFT_KEY_SIZE],
    const uint8_t other[RAFT_KEY_SIZE], const char **text)
{
	if (f->claims && memcmp(other, own, RAFT_KEY_SIZE) < 0)
		f->yields = true;
	if ((makes || (f->claims && !f->yields)) && !RMQ_VARIANT(CLAIM_UNSAID)) {
		*text = "it is making a cluster itself";
		return RMQ_E_BUSY;
	}
	*text = "it is not a member of a cluster";
	return RMQ_E_NOTHING;
}

void founding_end(struct founding *f)
{
	if (!RMQ_VARIANT(CLAIM_OUTLIVES))
		f->claims = false;
}
