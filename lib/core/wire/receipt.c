#include "core/wire/receipt.h"

#include "core/base/name.h"

/* Takes ":" and digits from the end of the text. */
static bool take_number(struct slice *text, uint64_t *n)
{
	size_t at = text->len;
	uint64_t v = 0;
	while (at > 0 && text->data[at - 1] >= '0' && text->data[at - 1] <= '9')
		at--;
	if (at == 0 || text->data[at - 1] != ':' || at == text->len || text->len - at > 20)
		return false;
	for (size_t i = at; i < text->len; i++) {
		uint64_t digit = (uint64_t)(text->data[i] - '0');
		if (v > (UINT64_MAX - digit) / 10)
			return false;
		v = v * 10 + digit;
	}
	text->len = at - 1;
	*n = v;
	return true;
}

bool receipt_parse_id(struct slice text, struct slice *queue, uint64_t *seq)
{
	uint64_t n;
	if (!take_number(&text, &n) || n == 0 || n > SEQ_MAX || !name_valid(text))
		return false;
	*queue = text;
	*seq = n;
	return true;
}

bool receipt_parse(struct slice text, struct receipt *r)
{
	struct receipt out;
	if (!take_number(&text, &out.lease) || !receipt_parse_id(text, &out.queue, &out.seq))
		return false;
	*r = out;
	return true;
}

static size_t put_number(char *out, uint64_t n)
{
	char digits[20];
	size_t len = 0;
	do
		digits[len++] = (char)('0' + n % 10);
	while (n /= 10);
	out[0] = ':';
	for (size_t i = 0; i < len; i++)
		out[1 + i] = digits[len - 1 - i];
	return len + 1;
}

size_t receipt_print_id(char out[RECEIPT_MAX], struct slice queue, uint64_t seq)
{
	memcpy(out, queue.data, queue.len);
	size_t len = queue.len + put_number(out + queue.len, seq);
	out[len] = 0;
	return len;
}

size_t receipt_print(char out[RECEIPT_MAX], const struct receipt *r)
{
	size_t len = receipt_print_id(out, r->queue, r->seq);
	len += put_number(out + len, r->lease);
	out[len] = 0;
	return len;
}
