#include "core/link/gate_flow.h"

/* Credit is told when this part of the window is free. */
#define GRANT_PART 4

void gate_flow_init(struct gate_flow *f)
{
	*f = (struct gate_flow){GATE_WINDOW_FIRST, GATE_WINDOW_FIRST, GATE_WINDOW_FIRST, 0};
}

bool gate_flow_data(struct gate_flow *f, size_t len)
{
	if (len > f->may_come)
		return false;
	f->may_come -= (uint32_t)len;
	if (f->came < GATE_FLOW_MUCH)
		f->came += (uint32_t)len;
	return true;
}

bool gate_flow_credit(struct gate_flow *f, uint32_t bytes)
{
	if (bytes > GATE_WINDOW - f->may_send)
		return false;
	f->may_send += bytes;
	return true;
}

bool gate_flow_busy(const struct gate_flow *f)
{
	return f->window < GATE_WINDOW && f->came >= GATE_FLOW_MUCH;
}

void gate_flow_widen(struct gate_flow *f)
{
	f->window = GATE_WINDOW;
}

uint32_t gate_flow_grant(struct gate_flow *f, size_t waiting)
{
	size_t taken = f->may_come + waiting;
	if (taken >= f->window || f->window - taken < f->window / GRANT_PART)
		return 0;
	uint32_t grant = f->window - (uint32_t)taken;
	f->may_come += grant;
	return grant;
}

bool gate_flow_low(const struct gate_flow *f, size_t waiting)
{
	return f->may_come + waiting <= f->window / 2;
}
