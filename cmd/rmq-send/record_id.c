#include "record_id.h"

#include <jansson.h>
#include <sodium/crypto_generichash.h>
#include <stdlib.h>
#include <string.h>

#define STEP_MAX 256

/* One step of a path: ".name" or "[7]"; *path is moved after it.  False: it is none. */
static bool step(const char **path, char name[STEP_MAX], long *index)
{
	const char *p = *path;
	size_t len;
	char *end;
	*index = -1;
	if (*p == '.') {
		len = strcspn(++p, ".[");
		if (len == 0 || len >= STEP_MAX)
			return false;
		memcpy(name, p, len);
		name[len] = '\0';
		*path = p + len;
		return true;
	}
	if (*p != '[' || p[1] < '0' || p[1] > '9')
		return false;
	*index = strtol(p + 1, &end, 10);
	*path = end + 1;
	return *end == ']';
}

bool record_id_parse(const char *text, struct record_id *r)
{
	char name[STEP_MAX];
	long index;
	*r = (struct record_id){.used = true};
	if (strcmp(text, "hash") == 0)
		return true;
	if (strncmp(text, "json:", 5) != 0)
		return false;
	const char *path = r->path = text + 5;
	if (!*path)
		return false;
	while (*path)
		if (!step(&path, name, &index))
			return false;
	return true;
}

static void hash(struct slice s, uint8_t id[RECORD_ID_SIZE])
{
	crypto_generichash(id, RECORD_ID_SIZE, s.data, s.len, NULL, 0);
}

static const char *hash_value(const json_t *value, uint8_t id[RECORD_ID_SIZE])
{
	if (json_is_string(value)) {
		hash(slice_of(json_string_value(value), json_string_length(value)), id);
		return NULL;
	}
	if (!value || json_is_null(value))
		return "there is nothing at the path of --id-from";
	char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT | JSON_SORT_KEYS);
	if (!text)
		return "out of memory";
	hash(slice_str(text), id);
	free(text);
	return NULL;
}

const char *record_id(const struct record_id *r, struct slice body, uint8_t id[RECORD_ID_SIZE])
{
	char name[STEP_MAX];
	long index;
	if (!r->path) {
		hash(body, id);
		return NULL;
	}
	json_t *root = json_loadb(
	    (const char *)body.data, body.len, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
	if (!root)
		return "it is not JSON, which --id-from reads";
	const json_t *at = root;
	for (const char *path = r->path; *path && step(&path, name, &index);)
		at = index < 0 ? json_object_get(at, name) : json_array_get(at, (size_t)index);
	const char *why = hash_value(at, id);
	json_decref(root);
	return why;
}
