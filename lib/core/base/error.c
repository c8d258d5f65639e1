#include "core/base/error.h"

static const struct {
	int exit;
	const char *text;
} errors[] = {
#define X(name, wire, exit, text) [wire] = {exit, text},
    RMQ_ERRORS(X)
#undef X
};

#define ERRORS_COUNT (sizeof(errors) / sizeof(errors[0]))

int error_known(uint8_t code)
{
	return code < ERRORS_COUNT && errors[code].text;
}

int error_exit(enum rmq_error code)
{
	return error_known((uint8_t)code) ? errors[code].exit : 70;
}

const char *error_text(enum rmq_error code)
{
	return error_known((uint8_t)code) ? errors[code].text : "unknown error";
}
