#include "core/host/joining.h"

static uint64_t after(uint64_t now_ms, uint64_t ms)
{
	return ms > UINT64_MAX - now_ms ? UINT64_MAX : now_ms + ms;
}

void joining_begin(struct joining *j, uint64_t timeout_ms, uint64_t now_ms)
{
	j->timeout_ms = timeout_ms;
	j->until_ms = after(now_ms, timeout_ms);
}

/* Until all seeds may have been asked once more. */
static void go_on(struct joining *j, unsigned seeds, uint64_t now_ms)
{
	j->until_ms =
	    after(after(now_ms, (uint64_t)(seeds + 1) * JOINING_TRY_MS), j->timeout_ms);
}

bool joining_let_in(struct joining *j, unsigned seeds, uint64_t now_ms)
{
	bool news = !j->let_in;

	j->let_in = true;
	go_on(j, seeds, now_ms);
	return news;
}

bool joining_asks(struct joining *j, bool led, uint64_t now_ms)
{
	if (!j->let_in || !led)
		return true;
	go_on(j, 1, now_ms);
	return false;
}

bool joining_is_over(const struct joining *j, uint64_t now_ms)
{
	return now_ms >= j->until_ms;
}
