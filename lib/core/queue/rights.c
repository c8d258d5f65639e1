#include "core/queue/rights.h"

#include "core/base/name.h"

const char *rights_glob_fault(struct slice glob)
{
	if (glob.len == 0)
		return "it is empty";
	if (glob.len > RIGHTS_GLOB_MAX)
		return "it is longer than a name may be";
	for (size_t i = 0; i < glob.len; i++) {
		uint8_t c = glob.data[i];
		bool word =
		    (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
		if (!word && (c == '\0' || !strchr("_.-*?", c)))
			return "it has characters that are neither of names nor * or ?";
	}
	return NULL;
}

/* Takes the next entry of a list; false: there is none, or r->bad. */
static bool next(struct reader *r, struct rights_entry *e)
{
	if (reader_left(r) == 0)
		return false;
	rights_entry_get(r, e);
	return !r->bad;
}

bool rights_valid(struct slice list)
{
	struct reader r = reader_of(list);
	struct rights_entry e;
	if (list.len > RIGHTS_MAX)
		return false;
	while (next(&r, &e))
		if (e.of <= RIGHTS_KV && (e.verbs == 0 || rights_glob_fault(e.glob)))
			return false;
	return !r.bad;
}

struct slice rights_without_kv(struct slice list, uint8_t bytes[RIGHTS_MAX])
{
	struct writer w = writer_of(bytes, RIGHTS_MAX);
	struct reader r = reader_of(list);
	struct rights_entry e;
	if (!list.data)
		return list;
	while (next(&r, &e))
		if (e.of != RIGHTS_KV)
			rights_entry_encode(&w, &e);
	return slice_of(bytes, w.len);
}

typedef bool matcher(struct slice name, struct slice glob);

static bool grant(
    struct slice list, enum rights_of of, unsigned verbs, struct slice name, matcher *matches)
{
	struct reader r = reader_of(list);
	struct rights_entry e;
	if (!list.data)
		return true;
	while (next(&r, &e))
		if (e.of == of && (e.verbs & (verbs | RIGHT_ADMIN)) && matches(name, e.glob))
			return true;
	return false;
}

bool rights_grant(struct slice list, enum rights_of of, unsigned verbs, struct slice name)
{
	return grant(list, of, verbs, name, name_matches);
}

bool rights_grant_all(struct slice list, enum rights_of of, unsigned verbs)
{
	return grant(list, of, verbs, slice_str("#"), name_pattern_within);
}

bool rights_grant_pattern(struct slice list, unsigned verbs, struct slice pattern)
{
	return grant(list, RIGHTS_TOPIC, verbs, pattern, name_pattern_within);
}
