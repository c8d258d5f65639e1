#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "core/host/commands.h"
#include "core/host/recovery.h"
#include "journal.h"
#include "sys/process/clock.h"
#include "sys/process/log.h"
#include "sys/store/replica_log.h"
#include "sys/stream/io.h"

/* What is in the directory, and what becomes of it. */
struct recovering {
	const char *dir;
	bool yes; /* nobody is asked */
	struct raft_begin begin;
	bool ended; /* the node was told that it is no member any more: */
	enum raft_how how;
	struct recovery plan;
	struct reason *why;
};

/* ---- what is there ---- */

static enum rmq_error plan_it(struct recovering *r, bool replicated)
{
	struct identity made;
	struct raft_id cluster;
	char why[TEXT_MAX + 1];
	struct recovery_log log = {.replica = replicated, .ended = r->ended, .how = r->how};

	recovery_look(&r->begin, &log);
	if (identity_make(&made))
		return reason_set(r->why, RMQ_E_IO, "no random numbers");
	memcpy(cluster.bytes, made.incarnation, RAFT_ID_SIZE);
	enum rmq_error err = recovery_plan(&log, cluster, clock_wall(), &r->plan, why);
	return err ? reason_set(r->why, err, "%s", why) : RMQ_E_OK;
}

static enum rmq_error look(struct recovering *r, struct store_reader *reader)
{
	bool replicated;
	uint64_t bad = 0;
	enum rmq_error err = store_reader_begin(reader);

	if (!err)
		err = replica_log_begin(reader, &r->begin, &replicated, &bad);
	if (err)
		return bad ? name_record(r->why, err, bad) : err;
	err = store_reader_ended(reader, &r->how);
	if (err && err != RMQ_E_NOTHING)
		return err;
	r->ended = !err;
	return plan_it(r, replicated);
}

/* r->begin is to be freed if there is no error, or RMQ_E_NOTHING. */
static enum rmq_error read_directory(struct recovering *r)
{
	struct store *s;
	struct store_reader *reader;
	enum rmq_error err = store_open(r->dir, &s, r->why);

	/* While it runs nobody is asked. */
	if (err)
		return err;
	store_close(s);
	err = store_reader_open(r->dir, &reader, r->why);
	if (err)
		return err;
	err = look(r, reader);
	store_reader_close(reader);
	return err;
}

/* ---- what it means ---- */

/* Of those who are lost, who vote or do not. */
static void print_lost(const struct recovering *r, bool voters)
{
	const struct raft_begin *b = &r->begin;
	const struct raft_config *newest = b->configs[b->config_count - 1].config;
	char names[TEXT_MAX + 1] = "";

	for (unsigned i = 0; i < newest->count; i++) {
		const struct raft_member *m = &newest->members[i];
		if (!raft_id_eq(m->id, b->id) && ((m->flags & RAFT_VOTER) != 0) == voters)
			commands_add_name(names, m->name);
	}
	if (*names)
		log_notice(
		    "%s: %s without: %s", r->dir, voters ? "voters" : "other members", names);
}

static void print_meaning(const struct recovering *r)
{
	const struct recovery *p = &r->plan;

	log_notice("%s: %s goes on alone, as the only voter of a new cluster", r->dir,
	    p->config.members[0].name);
	print_lost(r, true);
	print_lost(r, false);
	log_notice("%s: its log ends at record %" PRIu64
		   ", of which it knows that all up to %" PRIu64
		   " are committed: what only the others have is lost, confirmed messages too",
	    r->dir, r->begin.last, r->begin.commit);
	if (p->learner)
		log_notice(
		    "%s: it was a learner: a voter's log has more, if one is left", r->dir);
	log_notice(
	    "%s: the directories of the others never come back into the new cluster: they "
	    "join it with new ones; if a majority of them still runs, there are two "
	    "clusters from now on",
	    r->dir);
}

static bool said_yes(int tty)
{
	static const char question[] = "Go on alone (yes/no)? ";
	char answer[8];
	ssize_t n = 0;

	if (io_write(tty, question, sizeof(question) - 1) == 0)
		n = io_read(tty, answer, sizeof(answer));
	return n == 4 && memcmp(answer, "yes\n", 4) == 0;
}

static enum rmq_error ask(const struct recovering *r)
{
	if (r->yes)
		return RMQ_E_OK;
	int tty = open("/dev/tty", O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (tty < 0)
		return reason_set(r->why, RMQ_E_USAGE,
		    "nothing was changed: there is no terminal to ask on, and no --yes");
	bool yes = said_yes(tty);
	close(tty);
	return yes ? RMQ_E_OK : reason_set(r->why, RMQ_E_REFUSED, "nothing was changed");
}

/* ---- how it is done ---- */

static enum rmq_error append(
    struct store *s, uint64_t term, uint64_t index, enum record_kind kind, struct slice payload)
{
	uint8_t *to;
	enum rmq_error err =
	    store_reserve(s, &(struct record_header){kind, index, term}, payload.len, &to);

	if (err)
		return err;
	memcpy(to, payload.data, payload.len);
	return store_seal(s);
}

/* As it was when it was looked at. */
static bool unchanged(const struct recovering *r, const struct store *s)
{
	const struct store_state *state = store_state(s);
	const struct store_replica *replica = store_replica(s);

	return state->next - 1 == r->begin.last && state->term == r->begin.term &&
	       replica->commit == r->begin.commit && raft_id_eq(replica->vote, r->begin.vote);
}

static enum rmq_error change(const struct recovering *r, struct store *s)
{
	static uint8_t bytes[RAFT_CONFIG_SIZE_MAX];
	struct writer config = writer_of(bytes, sizeof(bytes));
	const struct recovery *p = &r->plan;
	struct store_replica replica = *store_replica(s);
	enum rmq_error err = store_begin(s);

	raft_config_encode(&config, &p->config);
	if (!err)
		err = store_delete_configs(s);
	if (!err)
		err = append(s, p->term, p->restored_index, RECORD_RESTORED,
		    slice_of(p->restored, sizeof(p->restored)));
	if (!err)
		err = append(
		    s, p->term, p->config_index, RECORD_CONFIG, slice_of(bytes, config.len));
	if (err)
		return err;
	replica.vote = (struct raft_id){{0}};
	replica.commit = p->config_index;
	store_set_replica(s, &replica);
	return store_commit(s);
}

static enum rmq_error write_directory(struct recovering *r)
{
	struct store *s;
	enum rmq_error err = store_open(r->dir, &s, r->why);

	if (err)
		return err;
	if (!unchanged(r, s)) {
		err = reason_set(r->why, RMQ_E_BUSY, "was used meanwhile: nothing was changed");
	} else {
		err = change(r, s);
		if (err)
			*r->why = *store_reason(s);
	}
	store_close(s);
	return err;
}

static enum rmq_error recover(struct recovering *r)
{
	enum rmq_error err = read_directory(r);

	if (err)
		return err;
	print_meaning(r);
	err = ask(r);
	if (!err)
		err = write_directory(r);
	if (!err)
		log_notice(
		    "%s: done: start rmq-clusterd, then admit other nodes, with new directories",
		    r->dir);
	return err;
}

enum { OPTION_YES = OPTION_LONG };

static bool set_option(int letter, const char *value, void *state)
{
	struct recovering *r = state;
	(void)letter, (void)value;
	return r->yes = true;
}

const struct option_row recover_rows[] = {
    {OPTION_YES, "yes", NULL, NULL, NULL, "do not ask on the terminal"}, {0}};

int command_recover(int argc, char **argv)
{
	static struct recovering r;
	struct reason why = {""};
	int status;
	char **words = command_words(argc, argv, "recover", set_option, &r, 1, &status);

	if (!words)
		return status;
	r.dir = words[0];
	r.why = &why;
	guard_directory(r.dir);
	enum rmq_error err = recover(&r);
	replica_log_begin_free(&r.begin);
	/* It is done, as it may be by an attempt that was killed. */
	if (err == RMQ_E_NOTHING) {
		log_notice("%s: %s", r.dir, why.text);
		return 0;
	}
	return err ? report(r.dir, err, &why) : 0;
}
