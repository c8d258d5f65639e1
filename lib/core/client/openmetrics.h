/* The text format of OpenMetrics 1.0. */
#ifndef RMQ_CORE_CLIENT_OPENMETRICS_H
#define RMQ_CORE_CLIENT_OPENMETRICS_H

#include "core/base/text.h"

#define OPENMETRICS_TYPE "application/openmetrics-text; version=1.0.0; charset=utf-8"

/* The lines before the samples of a family.  unit: "", or what the name ends in. */
void openmetrics_family(
    struct text *out, const char *name, const char *type, const char *unit, const char *help);
/* The last line. */
void openmetrics_end(struct text *out);

#endif
