#include "core/client/openmetrics.h"

static void put_line(struct text *out, const char *what, const char *name, const char *text)
{
	text_put_str(out, what);
	text_put_str(out, name);
	text_put_char(out, ' ');
	text_put_str(out, text);
	text_put_char(out, '\n');
}

void openmetrics_family(
    struct text *out, const char *name, const char *type, const char *unit, const char *help)
{
	put_line(out, "# TYPE ", name, type);
	if (unit[0])
		put_line(out, "# UNIT ", name, unit);
	put_line(out, "# HELP ", name, help);
}

void openmetrics_end(struct text *out)
{
	text_put_str(out, "# EOF\n");
}
