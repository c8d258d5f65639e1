#include "journal.h"
#include "sys/store.h"

int command_compact(int argc, char **argv)
{
	struct store *s;
	struct reason why = {""};
	int status;
	char **words = command_words(argc, argv, "compact", NULL, NULL, NULL, 1, &status);
	if (!words)
		return status;
	guard_begin(words[0]);
	enum rmq_error err = store_open(words[0], &s, &why);
	if (err)
		return report(words[0], err, &why);
	err = store_compact(s);
	status = err ? report(words[0], err, store_reason(s)) : 0;
	store_close(s);
	return status;
}
