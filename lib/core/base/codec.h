/*
 * Encoding and decoding of fields, and the macros that make a struct, its encoder,
 * its decoder and its walker from one table of fields.
 *
 * Integers are little-endian.  Kinds of fields:
 *
 *	u8 u16 u32 u64	an integer
 *	str		u8 length, then that many bytes: names and texts
 *	tags		u16 length, then a list of tagged fields (tags.h); after all fields but
 *			`rest`, and at most one
 *	rest		all bytes up to the end; only as the last field
 *
 * A decoder never reads outside its input, accepts no left-over bytes, and its
 * results borrow from the input.
 */
#ifndef RMQ_CORE_BASE_CODEC_H
#define RMQ_CORE_BASE_CODEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Borrowed bytes.  Not terminated by NUL. */
struct slice {
	const uint8_t *data;
	size_t len;
};

static inline struct slice slice_of(const void *data, size_t len)
{
	return (struct slice){data, len};
}

static inline struct slice slice_str(const char *s)
{
	return (struct slice){(const uint8_t *)s, strlen(s)};
}

static inline bool slice_eq(struct slice a, struct slice b)
{
	return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

static inline int slice_cmp(struct slice a, struct slice b)
{
	size_t len = a.len < b.len ? a.len : b.len;
	int order = len > 0 ? memcmp(a.data, b.data, len) : 0;
	return order ? order : (a.len > b.len) - (a.len < b.len);
}

/* Reads fields one after the other; after the first bad one, `bad` stays set. */
struct reader {
	const uint8_t *p;
	const uint8_t *end;
	bool bad;
};

/* Writes fields into memory of the caller; `full` stays set once one did not fit. */
struct writer {
	uint8_t *p;
	size_t len;
	size_t cap;
	bool full;
};

static inline struct reader reader_of(struct slice s)
{
	return (struct reader){s.data, s.len > 0 ? s.data + s.len : s.data, false};
}

static inline struct writer writer_of(void *p, size_t cap)
{
	return (struct writer){p, 0, cap, false};
}

static inline size_t reader_left(const struct reader *r)
{
	return r->bad ? 0 : (size_t)(r->end - r->p);
}

/* Whether all input was read and none was bad. */
static inline bool reader_done(const struct reader *r)
{
	return !r->bad && r->p == r->end;
}

static inline uint16_t load_u16(const uint8_t *p)
{
	return (uint16_t)(p[0] | p[1] << 8);
}

static inline uint32_t load_u32(const uint8_t *p)
{
	return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 |
	       (uint32_t)p[3] << 24;
}

static inline uint64_t load_u64(const uint8_t *p)
{
	return (uint64_t)load_u32(p) | (uint64_t)load_u32(p + 4) << 32;
}

static inline void store_u16(uint8_t *p, uint16_t v)
{
	p[0] = (uint8_t)v;
	p[1] = (uint8_t)(v >> 8);
}

static inline void store_u32(uint8_t *p, uint32_t v)
{
	store_u16(p, (uint16_t)v);
	store_u16(p + 2, (uint16_t)(v >> 16));
}

static inline void store_u64(uint8_t *p, uint64_t v)
{
	store_u32(p, (uint32_t)v);
	store_u32(p + 4, (uint32_t)(v >> 32));
}

static inline const uint8_t *reader_take(struct reader *r, size_t n)
{
	if (r->bad || (size_t)(r->end - r->p) < n) {
		r->bad = true;
		return NULL;
	}
	r->p += n;
	return r->p - n;
}

static inline uint8_t *writer_take(struct writer *w, size_t n)
{
	if (w->full || w->cap - w->len < n) {
		w->full = true;
		return NULL;
	}
	w->len += n;
	return w->p + w->len - n;
}

#define CODEC_INT_(kind, type, size) \
	static inline type get_##kind(struct reader *r) \
	{ \
		const uint8_t *p = reader_take(r, size); \
		return p ? load_##kind(p) : 0; \
	} \
	static inline void put_##kind(struct writer *w, type v) \
	{ \
		uint8_t *p = writer_take(w, size); \
		if (p) \
			store_##kind(p, v); \
	}

static inline uint8_t load_u8(const uint8_t *p)
{
	return *p;
}

static inline void store_u8(uint8_t *p, uint8_t v)
{
	*p = v;
}

CODEC_INT_(u8, uint8_t, 1)
CODEC_INT_(u16, uint16_t, 2)
CODEC_INT_(u32, uint32_t, 4)
CODEC_INT_(u64, uint64_t, 8)

static inline struct slice get_rest(struct reader *r)
{
	size_t len = reader_left(r);
	return slice_of(reader_take(r, len), len);
}

static inline void put_rest(struct writer *w, struct slice s)
{
	uint8_t *p = writer_take(w, s.len);
	if (p && s.len > 0)
		memcpy(p, s.data, s.len);
}

static inline struct slice get_str(struct reader *r)
{
	size_t len = get_u8(r);
	const uint8_t *p = reader_take(r, len);
	return slice_of(p, p ? len : 0);
}

static inline void put_str(struct writer *w, struct slice s)
{
	if (s.len > UINT8_MAX) {
		w->full = true;
		return;
	}
	put_u8(w, (uint8_t)s.len);
	put_rest(w, s);
}

static inline struct slice get_tags(struct reader *r)
{
	size_t len = get_u16(r);
	const uint8_t *p = reader_take(r, len);
	return slice_of(p, p ? len : 0);
}

static inline void put_tags(struct writer *w, struct slice s)
{
	if (s.len > UINT16_MAX) {
		w->full = true;
		return;
	}
	put_u16(w, (uint16_t)s.len);
	put_rest(w, s);
}

#define CODEC_TYPE_u8	uint8_t
#define CODEC_TYPE_u16	uint16_t
#define CODEC_TYPE_u32	uint32_t
#define CODEC_TYPE_u64	uint64_t
#define CODEC_TYPE_str	struct slice
#define CODEC_TYPE_tags struct slice
#define CODEC_TYPE_rest struct slice

#define CODEC_MEMBER_(kind, name) CODEC_TYPE_##kind name;
#define CODEC_PUT_(kind, name)	  put_##kind(w, m->name);
#define CODEC_GET_(kind, name)	  m->name = get_##kind(r);
#define CODEC_VISIT_(kind, name)  v->kind(v, #name, m->name);

#define CODEC_TAGS_u8(name)
#define CODEC_TAGS_u16(name)
#define CODEC_TAGS_u32(name)
#define CODEC_TAGS_u64(name)
#define CODEC_TAGS_str(name)
#define CODEC_TAGS_rest(name)
#define CODEC_TAGS_tags(name)	tags = m->name;
#define CODEC_TAGS_(kind, name) CODEC_TAGS_##kind(name)

/* Is told each field of a message in turn; for dumps.  Callbacks borrow. */
struct codec_visitor {
	void (*u8)(struct codec_visitor *, const char *name, uint8_t v);
	void (*u16)(struct codec_visitor *, const char *name, uint16_t v);
	void (*u32)(struct codec_visitor *, const char *name, uint32_t v);
	void (*u64)(struct codec_visitor *, const char *name, uint64_t v);
	void (*str)(struct codec_visitor *, const char *name, struct slice v);
	void (*rest)(struct codec_visitor *, const char *name, struct slice v);
	void (*tags)(struct codec_visitor *, const char *name, struct slice v);
};

/*
 * struct PREFIX_NAME, PREFIX_NAME_encode() (sets w->full if there is no room),
 * PREFIX_NAME_decode() (false: truncated, or left-over bytes), PREFIX_NAME_get() (one of several that
 * follow each other; sets r->bad if it is truncated), PREFIX_NAME_visit() and PREFIX_NAME_tagged() (its
 * list of tagged fields, empty if it has no such field; not checked yet).
 */
#define CODEC_MESSAGE(prefix, name, FIELDS) \
	struct prefix##_##name { \
		FIELDS(CODEC_MEMBER_) \
	}; \
	static inline void prefix##_##name##_encode( \
	    struct writer *w, const struct prefix##_##name *m) \
	{ \
		(void)w, (void)m; \
		FIELDS(CODEC_PUT_) \
	} \
	static inline void prefix##_##name##_get(struct reader *r, struct prefix##_##name *m) \
	{ \
		(void)r, (void)m; \
		FIELDS(CODEC_GET_) \
	} \
	static inline bool prefix##_##name##_decode(struct slice s, struct prefix##_##name *m) \
	{ \
		struct reader r = reader_of(s); \
		prefix##_##name##_get(&r, m); \
		return reader_done(&r); \
	} \
	static inline void prefix##_##name##_visit( \
	    struct codec_visitor *v, const struct prefix##_##name *m) \
	{ \
		(void)v, (void)m; \
		FIELDS(CODEC_VISIT_) \
	} \
	static inline struct slice prefix##_##name##_tagged(const struct prefix##_##name *m) \
	{ \
		struct slice tags = {0}; \
		(void)m; \
		FIELDS(CODEC_TAGS_) \
		return tags; \
	}

#endif
