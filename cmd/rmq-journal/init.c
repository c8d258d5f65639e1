#include "journal.h"
#include "sys/store/store.h"

const struct option_row init_rows[] = {{0}};

int command_init(int argc, char **argv)
{
	struct reason why = {""};
	int status;
	char **words = command_words(argc, argv, "init", NULL, NULL, 1, &status);
	if (!words)
		return status;
	enum rmq_error err = store_create(words[0], &why);
	return err ? report(words[0], err, &why) : 0;
}
