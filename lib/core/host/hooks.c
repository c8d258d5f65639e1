#include "core/host/hooks.h"

bool hooks_name_valid(const char *name)
{
	size_t len = strlen(name);

	for (size_t i = 0; i < len; i++) {
		char c = name[i];
		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
			(c >= '0' && c <= '9') || c == '_' || c == '-' || c == '.'))
			return false;
	}
	return len > 0 && len <= HOOKS_NAME_MAX && name[0] != '.' && !strstr(name, ".dpkg-") &&
	       !strstr(name, ".rpm");
}

/* ---- the directory ---- */

void hooks_begin(struct hooks *h)
{
	for (unsigned i = 0; i < HOOKS_MAX; i++)
		h->list[i].there = false;
}

struct hook *hooks_found(struct hooks *h, const char *name)
{
	struct hook *place = NULL;

	for (unsigned i = 0; i < HOOKS_MAX; i++) {
		struct hook *hook = &h->list[i];
		if (strcmp(hook->name, name) == 0) {
			hook->there = true;
			return hook;
		}
		if (!hook->name[0] && !place)
			place = hook;
	}
	if (!place)
		return NULL;
	*place = (struct hook){.there = true, .reader = {.next = h->from}};
	memcpy(place->name, name, strlen(name));
	return place;
}

void hooks_looked(struct hooks *h, const struct events *e)
{
	for (unsigned i = 0; i < HOOKS_MAX; i++) {
		struct hook *hook = &h->list[i];
		if (!hook->there && !hook->runs)
			hook->name[0] = '\0';
		/* What was before the first look is not news. */
		if (!h->began)
			hook->reader.next = e->next;
	}
	h->began = true;
	h->from = e->next;
}

/* ---- runs ---- */

static bool waits(const struct hook *hook, const struct events *e)
{
	return hook->name[0] && hook->there && !hook->off && !hook->runs &&
	       hook->reader.next < e->next;
}

bool hooks_wait(const struct hooks *h, const struct events *e)
{
	/* One that is new has all of these. */
	bool any = h->from < e->next;

	for (unsigned i = 0; i < HOOKS_MAX; i++)
		any |= waits(&h->list[i], e);
	return any;
}

struct hook *hooks_next(
    struct hooks *h, const struct events *e, const struct events_event **one, uint64_t *missed)
{
	struct hook *next = NULL;

	for (unsigned i = 0; i < HOOKS_MAX; i++) {
		struct hook *hook = &h->list[i];
		if (waits(hook, e) && (!next || strcmp(hook->name, next->name) < 0))
			next = hook;
	}
	if (!next)
		return NULL;
	*one = NULL;
	(void)events_read(e, &next->reader, one, missed);
	next->runs = true;
	return next;
}

void hooks_ended(struct hook *hook)
{
	hook->runs = false;
}

bool hooks_done(struct hooks *h, const struct events *e, uint64_t now_ms)
{
	bool busy = false;

	if (h->end_ms == 0)
		h->end_ms = now_ms + HOOKS_END_MS;
	for (unsigned i = 0; i < HOOKS_MAX; i++)
		busy |= h->list[i].runs || waits(&h->list[i], e);
	return !busy || now_ms >= h->end_ms;
}

uint64_t hooks_due(const struct hooks *h)
{
	return h->end_ms == 0 ? UINT64_MAX : h->end_ms;
}
