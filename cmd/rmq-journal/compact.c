#include <stdlib.h>

#include "journal.h"
#include "sys/store/store.h"
#include "verify.h"

const struct option_row compact_rows[] = {{0}};

int command_compact(int argc, char **argv)
{
	struct findings found = {0};
	struct reason why = {""};
	int status;
	char **words = command_words(argc, argv, "compact", NULL, NULL, 1, &status);
	if (!words)
		return status;
	/* LMDB copies what it finds, and what is damaged may make it write anywhere. */
	enum rmq_error err = verify(words[0], &found, &why);
	free(found.bad);
	if (!err && (found.count > 0 || found.structure))
		err = reason_set(&why, RMQ_E_CORRUPT, "not compacted");
	if (!err) {
		guard_directory(words[0]);
		err = store_compact(words[0], &why);
	}
	return err ? report(words[0], err, &why) : 0;
}
