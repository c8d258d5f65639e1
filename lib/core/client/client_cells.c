/*
 * A client of several cells: it goes where the queue lives that its oldest request names.
 */
#include "core/client/client_state.h"

void client_on_moved(struct client *c, struct mono_time now, const struct wire_moved *m)
{
	(void)c, (void)now, (void)m;
}

void client_on_exported(struct client *c, struct mono_time now, const struct wire_exported *m)
{
	(void)c, (void)now, (void)m;
}

void client_on_cells_are(struct client *c, struct mono_time now, const struct wire_cells_are *m)
{
	(void)c, (void)now, (void)m;
}

void client_on_place_is(struct client *c, struct mono_time now, const struct wire_place_is *m)
{
	(void)c, (void)now, (void)m;
}

void client_on_places_end(
    struct client *c, struct mono_time now, const struct wire_places_end *m)
{
	(void)c, (void)now, (void)m;
}
