#include "sys/process/reason.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "core/base/text.h"

enum rmq_error reason_set(struct reason *why, enum rmq_error code, const char *format, ...)
{
	if (why) {
		va_list args;
		va_start(args, format);
		vsnprintf(why->text, sizeof(why->text), format, args);
		va_end(args);
		text_tame(why->text, strlen(why->text));
	}
	return code;
}
