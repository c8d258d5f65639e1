/*
 * Where the messages of rmq-send come from: the records of stdin, all of it, words of the
 * command line, files that records or words name, or envelopes that these are.  Gives them in
 * parcels, each what one SEND holds.
 */
#ifndef RMQ_SEND_INPUT_H
#define RMQ_SEND_INPUT_H

#include "core/base/text.h"
#include "core/client/labels.h"
#include "core/client/splitter.h"
#include "record_id.h"
#include "sys/client/spread.h"

#define INPUT_WHY_MAX  512
#define INPUT_ANY_PART UINT32_MAX

enum input_kind { INPUT_RECORDS, INPUT_WHOLE };

struct input {
	enum input_kind kind;
	bool files;		     /* what is given are names of files with the messages */
	bool envelopes;		     /* … lines as rmq-recv -j prints them */
	const struct labels *labels; /* of all messages */
	struct record_id id;	     /* how each gets one */
	const struct spread *cells;  /* the queue has parts in them; NULL: it has none */
	bool require_newline;
	bool topic; /* parcels are for a topic: TOPIC_DATA_MAX of data at most */
	char separator;
	char **words;	   /* NULL: stdin; else up to a NULL */
	bool ended;	   /* nothing more is to be read from stdin */
	bool eof;	   /* … because it is at its end */
	bool done;	   /* and nothing is left here */
	bool cut;	   /* a record that is not whole is not taken (any more) */
	bool unterminated; /* it was taken: the input's last byte was not a separator */
	bool skip_record;  /* the splitter is inside of a record that is too large */
	bool skip_name;	   /* the next name is the bad one */
	const char *bad;   /* a name; reported after what is put together */
	char why[INPUT_WHY_MAX];
	struct splitter splitter;
	uint32_t reserve; /* bytes for the attributes of the next message */
	/* Named (input_is_named()): records that were not looked at, and what is put together. */
	struct sendbuf *names;
	uint32_t name;
	struct sendbuf *content;
	struct attribute_table table; /* of its messages */
	struct text content_names;
	uint32_t content_part; /* that its messages are for */
	uint32_t file_part;
	struct sendbuf *file; /* read, and not part of a parcel yet */
	struct labels own;    /* … what it says of itself, and the labels of all */
	struct text record;   /* that named it, without separator, and a NUL */
	struct text dropped;  /* of a record that was too large and is skipped */
};

/* Whether the records are not the messages, but stand for them: names of files, or envelopes. */
static inline bool input_is_named(const struct input *in)
{
	return in->files || in->envelopes;
}

/* What ends each in a list of them: words may hold the separator. */
static inline char input_name_end(const struct input *in)
{
	return in->words ? '\0' : in->separator;
}
/* Some of such a list, each with the separator after it. */
void input_put_names(const struct input *in, struct text *out, struct slice names);

/* Whether each record is looked at, not only where it ends. */
static inline bool input_is_read(const struct input *in)
{
	return input_is_named(in) || in->id.used;
}

/*
 * Its holder owns buf (a batch or pieces), and if they are named the records that stand for them.  part: of
 * a spread queue, the cell whose part it is for, as a key or ids in it say, or INPUT_ANY_PART.
 */
struct parcel {
	struct sendbuf *buf;
	struct text names;
	uint32_t part;
};

enum input_result {
	INPUT_PARCEL,
	INPUT_MORE, /* stdin has to be read first */
	INPUT_END,
	INPUT_BAD, /* a bad record: *why.  input_skip() goes on after it. */
	INPUT_NO_MEMORY
};

/* The other fields are the caller's to fill in first. */
void input_init(struct input *in);
void input_deinit(struct input *in);

/* "NAME: WHAT" of a file, on one line, whatever is in its name. */
void input_about_file(char out[INPUT_WHY_MAX], struct slice name, const char *what);

/* Whether there is room to read to. */
bool input_wants(const struct input *in);
/* Reads once from stdin; 0, or errno. */
int input_read(struct input *in);
/* Nothing more is read; a record that is not whole is not taken. */
void input_stop(struct input *in);

/* flush: also a parcel that is not full. */
enum input_result input_next(
    struct input *in, bool flush, struct parcel *out, const char **why);
void input_skip(struct input *in);
/* Before it is skipped, the bad record, ended if it is not all of the input; of one that is in `dropped` or stays nothing. */
void input_bad(const struct input *in, struct text *out);

/* Records that are at hand, whole, and in no parcel; words and names of files, bad ones too. */
uint64_t input_waiting(const struct input *in);

/* All bytes that were read and are in no parcel, as the input had them. */
void input_rest(const struct input *in, struct text *out);

#endif
