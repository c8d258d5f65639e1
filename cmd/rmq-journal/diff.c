/* diff: what two journals do not have in common, record by record. */
#include <inttypes.h>
#include <stdio.h>

#include "journal.h"
#include "sys/store/store.h"

struct side {
	struct store_reader *reader;
	const char *dir;
	uint64_t index; /* of the record it is at; UINT64_MAX: after the last */
	struct slice value;
};

static enum rmq_error seek(struct side *s, uint64_t from)
{
	enum rmq_error err = store_reader_raw(s->reader, from, &s->index, &s->value);
	if (err == RMQ_E_NOTHING)
		s->index = UINT64_MAX;
	return err == RMQ_E_NOTHING ? RMQ_E_OK : err;
}

/* Prints the differences up to the next index; *next: where to go on, UINT64_MAX: nowhere. */
static enum rmq_error compare(struct side *a, struct side *b, uint64_t *next, bool *differ)
{
	const char *what = NULL;
	enum rmq_error err = store_reader_begin(a->reader);
	if (!err)
		err = store_reader_begin(b->reader);
	if (!err)
		err = seek(a, *next);
	if (!err)
		err = seek(b, *next);
	if (err)
		return err;
	uint64_t index = a->index < b->index ? a->index : b->index;
	if (a->index < b->index)
		what = a->dir;
	else if (b->index < a->index)
		what = b->dir;
	bool same = index == UINT64_MAX || (!what && slice_eq(a->value, b->value));
	store_reader_end(a->reader);
	store_reader_end(b->reader);
	if (!same) {
		*differ = true;
		if (what)
			printf("%" PRIu64 "\tonly in\t%s\n", index, what);
		else
			printf("%" PRIu64 "\tdiffer\n", index);
	}
	*next = index == UINT64_MAX ? index : index + 1;
	return RMQ_E_OK;
}

const struct option_row diff_rows[] = {{0}};

int command_diff(int argc, char **argv)
{
	struct side side[2];
	struct reason why = {""};
	uint64_t next = 1;
	bool differ = false;
	int status;
	enum rmq_error err = RMQ_E_OK;
	char **words = command_words(argc, argv, "diff", NULL, NULL, 2, &status);
	if (!words)
		return status;
	for (int i = 0; i < 2; i++) {
		guard_directory(words[i]);
		side[i] = (struct side){.dir = words[i]};
		err = store_reader_open(words[i], &side[i].reader, &why);
		if (err)
			return report(words[i], err, &why);
	}
	while (!err && next != UINT64_MAX && !ferror(stdout))
		err = compare(&side[0], &side[1], &next, &differ);
	store_reader_close(side[0].reader);
	store_reader_close(side[1].reader);
	if (err)
		return report(words[0], err, NULL);
	return finish_stdout(differ ? 1 : 0);
}
