#include "core/link/key.h"

#include <assert.h>
#include <sodium/crypto_generichash.h>
#include <sodium/crypto_scalarmult.h>
#include <sodium/utils.h>

#include "core/base/base64.h"

#define PREFIX_LEN	  (sizeof(KEY_PREFIX) - 1)
#define FINGERPRINT_BYTES 16

static_assert(KEY_SIZE == crypto_scalarmult_BYTES, "a point");
static_assert(KEY_SIZE == crypto_scalarmult_SCALARBYTES, "a scalar");
static_assert(KEY_TEXT_SIZE == PREFIX_LEN + (KEY_SIZE + 2) / 3 * 4 + 1, "a key's text");
static_assert(KEY_FINGERPRINT_SIZE == FINGERPRINT_BYTES / 2 * 5, "groups of four");

bool key_public(const uint8_t secret[KEY_SIZE], uint8_t key[KEY_SIZE])
{
	static const uint8_t zeros[KEY_SIZE];
	return sodium_memcmp(secret, zeros, KEY_SIZE) != 0 &&
	       crypto_scalarmult_base(key, secret) == 0;
}

bool key_shared(
    const uint8_t secret[KEY_SIZE], const uint8_t key[KEY_SIZE], uint8_t shared[KEY_SIZE])
{
	if (crypto_scalarmult(shared, secret, key) == 0)
		return true;
	sodium_memzero(shared, KEY_SIZE);
	return false;
}

void key_print(const uint8_t key[KEY_SIZE], char text[KEY_TEXT_SIZE])
{
	memcpy(text, KEY_PREFIX, PREFIX_LEN);
	base64_encode(slice_of(key, KEY_SIZE), text + PREFIX_LEN);
	text[KEY_TEXT_SIZE - 1] = '\0';
}

bool key_parse(struct slice text, uint8_t key[KEY_SIZE])
{
	static const uint8_t any[KEY_SIZE] = {8};
	uint8_t found[KEY_SIZE], shared[KEY_SIZE];
	if (text.len != KEY_TEXT_SIZE - 1 || memcmp(text.data, KEY_PREFIX, PREFIX_LEN) != 0)
		return false;
	text = slice_of(text.data + PREFIX_LEN, text.len - PREFIX_LEN);
	if (!base64_decode(text, found, KEY_SIZE) || !key_shared(any, found, shared))
		return false;
	memcpy(key, found, KEY_SIZE);
	return true;
}

void key_fingerprint(const uint8_t key[KEY_SIZE], char text[KEY_FINGERPRINT_SIZE])
{
	static const char digits[] = "0123456789abcdef";
	char line[KEY_TEXT_SIZE];
	uint8_t hash[FINGERPRINT_BYTES];
	key_print(key, line);
	int err = crypto_generichash(
	    hash, sizeof(hash), (const uint8_t *)line, KEY_TEXT_SIZE - 1, NULL, 0);
	assert(err == 0);
	(void)err;
	for (size_t i = 0; i < FINGERPRINT_BYTES; i++) {
		*text++ = digits[hash[i] >> 4];
		*text++ = digits[hash[i] & 15];
		if (i % 2)
			*text++ = '-';
	}
	text[-1] = '\0';
}
