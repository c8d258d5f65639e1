/*
 * Fuzz targets: each decodes bytes that nobody can trust with the code that does so in
 * the programs, and checks what must hold of the result.  A target is linked with
 * libFuzzer, or with driver.c, which needs no special compiler.
 */
#ifndef RMQ_FUZZ_H
#define RMQ_FUZZ_H

#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/codec.h"
#include "core/base/tags.h"

/* Decodes `data`; ends the process if an invariant does not hold. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Gives well-formed inputs to begin with to `add`, which copies them. */
typedef void fuzz_add(const void *data, size_t size);
void fuzz_seeds(fuzz_add *add);

/* Puts a plausible value of each kind of field: for seeds made from a table of fields. */
#define FUZZ_PUT(kind, name) fuzz_put_##kind(w, #name);
static inline void fuzz_put_u8(struct writer *w, const char *name)
{
	put_u8(w, (uint8_t)strlen(name));
}
static inline void fuzz_put_u16(struct writer *w, const char *name)
{
	put_u16(w, (uint16_t)strlen(name));
}
static inline void fuzz_put_u32(struct writer *w, const char *name)
{
	put_u32(w, (uint32_t)strlen(name));
}
static inline void fuzz_put_u64(struct writer *w, const char *name)
{
	put_u64(w, strlen(name) << 32 | 1);
}
static inline void fuzz_put_str(struct writer *w, const char *name)
{
	put_str(w, slice_str(name));
}
static inline void fuzz_put_tags(struct writer *w, const char *name)
{
	uint8_t bytes[32];
	struct writer list = writer_of(bytes, sizeof(bytes));
	tags_put(&list, 1, slice_str(name));
	tags_put(&list, 7, slice_str(""));
	put_tags(w, slice_of(bytes, list.len));
}
static inline void fuzz_put_rest(struct writer *w, const char *name)
{
	put_rest(w, slice_str(name));
}

#endif
