/*
 * X25519 keys of nodes and clients, and how people see them: a public key is a word,
 * rmq1:BASE64, its fingerprint is short enough to be read out.
 */
#ifndef RMQ_CORE_LINK_KEY_H
#define RMQ_CORE_LINK_KEY_H

#include "core/base/codec.h"

#define KEY_SIZE 32

struct keypair {
	uint8_t secret[KEY_SIZE];
	uint8_t key[KEY_SIZE]; /* the public one */
};

/* Sizes of texts, the NUL after them included. */
#define KEY_PREFIX	     "rmq1:"
#define KEY_BASE64_SIZE	     45
#define KEY_TEXT_SIZE	     50
#define KEY_FINGERPRINT_SIZE 40

/* The public key of a secret one; false if that is all zeros (no random numbers). */
bool key_public(const uint8_t secret[KEY_SIZE], uint8_t key[KEY_SIZE])
    __attribute__((warn_unused_result));

/*
 * Diffie-Hellman.  False, and zeros, if `key` is a point of low order: the secret would not
 * be one.
 */
bool key_shared(const uint8_t secret[KEY_SIZE], const uint8_t key[KEY_SIZE],
    uint8_t shared[KEY_SIZE]) __attribute__((warn_unused_result));

/* A key's bytes as base64 (RFC 4648, with padding). */
void key_encode(const uint8_t bytes[KEY_SIZE], char text[KEY_BASE64_SIZE]);

/* The other way; false if key_encode() would not have written this. */
bool key_decode(struct slice text, uint8_t bytes[KEY_SIZE]) __attribute__((warn_unused_result));

/* A public key as text. */
void key_print(const uint8_t key[KEY_SIZE], char text[KEY_TEXT_SIZE]);

/* The other way; false if it is nothing that key_print() writes, or of low order. */
bool key_parse(struct slice text, uint8_t key[KEY_SIZE]) __attribute__((warn_unused_result));

/* Eight groups of four hexadecimal digits: BLAKE2b, cut to 128 bits, of the text. */
void key_fingerprint(const uint8_t key[KEY_SIZE], char text[KEY_FINGERPRINT_SIZE]);

#endif
