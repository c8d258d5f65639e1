/* A public key's text: one that is accepted is the only text of its key. */
#include "fuzz.h"

#include "core/link/key.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t key[KEY_SIZE];
	char text[KEY_TEXT_SIZE];
	if (key_parse(slice_of(data, size), key)) {
		key_print(key, text);
		assert(size == strlen(text) && memcmp(data, text, size) == 0);
	}
	return 0;
}

void fuzz_seeds(fuzz_add *add)
{
	static const uint8_t secret[KEY_SIZE] = {0, 1};
	uint8_t key[KEY_SIZE];
	char text[KEY_TEXT_SIZE];
	bool made = key_public(secret, key);
	assert(made);
	(void)made;
	key_print(key, text);
	add(text, strlen(text));
}
