#include "sys/net/fast_cipher.h"

#include <dlfcn.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <sodium.h>
#include <string.h>

#define TEXT(x)	 #x
#define VALUE(x) TEXT(x)
/* The one whose header this is compiled with. */
#define LIBRARY "libcrypto.so." VALUE(OPENSSL_SHLIB_VERSION)

#define FUNCTIONS(X) \
	X(OPENSSL_init_crypto) \
	X(EVP_CIPHER_fetch) \
	X(EVP_CIPHER_CTX_new) \
	X(EVP_CIPHER_CTX_free) \
	X(EVP_CIPHER_CTX_ctrl) \
	X(EVP_EncryptInit_ex2) \
	X(EVP_EncryptUpdate) \
	X(EVP_EncryptFinal_ex) \
	X(EVP_DecryptInit_ex2) \
	X(EVP_DecryptUpdate) \
	X(EVP_DecryptFinal_ex)

static struct {
#define X(name) __typeof__(name) *name;
	FUNCTIONS(X)
#undef X
} lib;
static EVP_CIPHER *cipher;

/* What is freed is wiped by the library. */
static bool seal(const uint8_t key[KEY_SIZE], const uint8_t nonce[NOISE_NONCE_SIZE],
    const struct slice *pieces, size_t count, uint8_t *record)
{
	int len;
	EVP_CIPHER_CTX *ctx = lib.EVP_CIPHER_CTX_new();
	bool ok = ctx && lib.EVP_EncryptInit_ex2(ctx, cipher, key, nonce, NULL) == 1;
	for (size_t i = 0; ok && i < count; i++) {
		ok = pieces[i].len == 0 || lib.EVP_EncryptUpdate(ctx, record, &len,
					       pieces[i].data, (int)pieces[i].len) == 1;
		record += pieces[i].len;
	}
	ok = ok && lib.EVP_EncryptFinal_ex(ctx, record, &len) == 1 &&
	     lib.EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, NOISE_TAG_SIZE, record) == 1;
	lib.EVP_CIPHER_CTX_free(ctx);
	return ok;
}

static bool open_(const uint8_t key[KEY_SIZE], const uint8_t nonce[NOISE_NONCE_SIZE],
    struct slice record, uint8_t *plain)
{
	int len, size = (int)record.len - NOISE_TAG_SIZE;
	uint8_t tag[NOISE_TAG_SIZE];
	memcpy(tag, record.data + size, sizeof(tag));
	EVP_CIPHER_CTX *ctx = lib.EVP_CIPHER_CTX_new();
	bool ok = ctx && lib.EVP_DecryptInit_ex2(ctx, cipher, key, nonce, NULL) == 1 &&
		  lib.EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, sizeof(tag), tag) == 1 &&
		  lib.EVP_DecryptUpdate(ctx, plain, &len, record.data, size) == 1 &&
		  lib.EVP_DecryptFinal_ex(ctx, plain + size, &len) == 1;
	lib.EVP_CIPHER_CTX_free(ctx);
	return ok;
}

/* The same bytes as of libsodium, and a bad tag is one: which also has it make ready all that it needs. */
static bool agrees(void)
{
	static const uint8_t key[KEY_SIZE] = {1}, nonce[NOISE_NONCE_SIZE] = {2};
	uint8_t plain[2048], record[sizeof(plain) + NOISE_TAG_SIZE], same[sizeof(record)];
	const struct slice pieces[] = {{plain, 7}, {plain + 7, sizeof(plain) - 7}};
	for (size_t i = 0; i < sizeof(plain); i++)
		plain[i] = (uint8_t)i;
	crypto_aead_chacha20poly1305_ietf_encrypt(
	    same, NULL, plain, sizeof(plain), NULL, 0, NULL, nonce, key);
	if (!seal(key, nonce, pieces, 2, record) || memcmp(record, same, sizeof(same)) != 0 ||
	    !open_(key, nonce, slice_of(record, sizeof(record)), same) ||
	    memcmp(same, plain, sizeof(plain)) != 0)
		return false;
	record[sizeof(record) - 1] ^= 1;
	return !open_(key, nonce, slice_of(record, sizeof(record)), same);
}

static bool load(void)
{
	void *library = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);
	if (!library)
		return false;
#define X(name) \
	*(void **)&lib.name = dlsym(library, #name); \
	if (!lib.name) \
		return false;
	FUNCTIONS(X)
#undef X
	/* Its configuration is not ours, and our exit is not its business. */
	if (lib.OPENSSL_init_crypto(
		OPENSSL_INIT_NO_LOAD_CONFIG | OPENSSL_INIT_NO_ATEXIT, NULL) != 1)
		return false;
	cipher = lib.EVP_CIPHER_fetch(NULL, "ChaCha20-Poly1305", NULL);
	return cipher && agrees();
}

const struct noise_fast *fast_cipher(void)
{
	static const struct noise_fast fast = {seal, open_};
	static bool tried, loaded;
	if (!tried)
		loaded = load();
	tried = true;
	return loaded ? &fast : NULL;
}
