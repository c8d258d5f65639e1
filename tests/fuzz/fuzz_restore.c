/*
 * rmq-journal restore: a backup that is anything makes a directory that verifies, or none.
 * If the first byte is odd, checksums are made right first, so that what is after them is
 * reached.
 */
#include "fuzz.h"
#include "fuzz_dir.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

int rmq_journal_main(int argc, char **argv);
#define main rmq_journal_main
#include "../../cmd/rmq-journal/main.c"
#undef main

#include "../../cmd/rmq-journal/backup_format.h"
#include "core/wire/event.h"
#include "core/wire/journal_wire.h"
#include "core/wire/record.h"

#define INPUT_MAX 65536

static uint8_t backup[INPUT_MAX];

/* Seals each record, and each backup by its END. */
static void mend(size_t size)
{
	struct slice in = slice_of(backup, size);
	struct frame f;
	struct record_header h;
	struct slice payload;
	size_t used, begin = 0;

	while (frame_parse(in, &f, &used) == RMQ_E_OK && used > 0) {
		uint8_t *at = backup + (size - in.len);
		uint8_t *body = at + FRAME_HEADER_SIZE;
		in = slice_of(in.data + used, in.len - used);
		if (f.type == BACKUP_TYPE_RECORD && f.payload.len >= RECORD_HEADER_SIZE &&
		    record_peek(f.payload, load_u64(body + 8), &h, &payload) == RMQ_E_OK)
			record_seal(body, &h, payload.len);
		if (f.type != BACKUP_TYPE_END || f.payload.len < 8)
			continue;
		size_t here = (size_t)(at - backup);
		store_u64(body + f.payload.len - 8, XXH3_64bits(backup + begin, here - begin));
		begin = here + used;
	}
}

/* Runs a sub-command of rmq-journal that says nothing. */
static int run(int (*command)(int, char **), const char *name, const char *dir, int in)
{
	char *argv[] = {(char *)(uintptr_t)name, (char *)(uintptr_t)dir, NULL};
	int null = open("/dev/null", O_RDWR), err = dup(STDERR_FILENO),
	    out = dup(STDOUT_FILENO);

	assert(null >= 0 && err >= 0 && out >= 0);
	dup2(in < 0 ? null : in, STDIN_FILENO);
	dup2(null, STDOUT_FILENO);
	dup2(null, STDERR_FILENO);
	optind = 0;
	int status = command(2, argv);
	fflush(stdout);
	dup2(out, STDOUT_FILENO);
	dup2(err, STDERR_FILENO);
	close(null);
	close(err);
	close(out);
	return status;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char dir[64];

	if (size == 0 || size > INPUT_MAX)
		return 0;
	memcpy(backup, data + 1, size - 1);
	if (data[0] & 1)
		mend(size - 1);
	int in = memfd_create("backup", 0);
	assert(in >= 0 && write(in, backup, size - 1) == (ssize_t)(size - 1));
	assert(lseek(in, 0, SEEK_SET) == 0);
	/* In memory where that is possible: nothing here is about the disk. */
	snprintf(dir, sizeof(dir), "%s/fuzz_restore.%d",
	    access("/dev/shm", W_OK) == 0 ? "/dev/shm" : ".", (int)getpid());
	int status = run(command_restore, "restore", dir, in);
	close(in);
	assert(status == 0 || status == 65 || status == 76);
	assert((access(dir, F_OK) == 0) == (status == 0));
	if (status == 0)
		assert(run(command_verify, "verify", dir, -1) == 0);
	fuzz_dir_remove(dir);
	return 0;
}

static void put_record(
    struct writer *w, enum record_kind kind, uint64_t index, struct slice payload)
{
	uint8_t record[RECORD_HEADER_SIZE + 256];
	assert(payload.len <= 256);
	memcpy(record + RECORD_HEADER_SIZE, payload.data, payload.len);
	record_seal(record, &(struct record_header){kind, index, 1}, payload.len);
	backup_put_record(
	    w, &(struct backup_record){slice_of(record, RECORD_HEADER_SIZE + payload.len)});
}

/* Three records, and an END that says the first one is dead. */
static void put_backup(struct writer *w, uint64_t since)
{
	uint8_t events[256], range[HOLE_RANGE_SIZE];
	struct writer e = writer_of(events, sizeof(events)),
		      h = writer_of(range, sizeof(range));

	backup_put_header(w, &(struct backup_header){BACKUP_MAGIC, JOURNAL_VERSION, since,
				 slice_str("0123456789abcdef")});
	backup_put_term(w, &(struct backup_term){since + 1, 1});
	put_u64(&e, 1);
	put_u64(&e, 2);
	event_put_taken(&e, &(struct event_taken){7, 1});
	put_record(w, RECORD_EVENTS, since + 1, slice_of(events, e.len));
	put_record(w, RECORD_EVENTS, since + 2, slice_of(events, e.len));
	hole_range_put(&h, &(struct hole_range){since + 1, 1});
	event_put_end_dead(&e, &(struct event_end_dead){slice_of(range, h.len)});
	put_record(w, RECORD_END, since + 3, slice_of(events, e.len));
	backup_put_end(w, &(struct backup_end){3, since + 4, 1, 0});
}

void fuzz_seeds(fuzz_add *add)
{
	uint8_t bytes[4096] = {1};
	struct writer w = writer_of(bytes, sizeof(bytes));
	put_u8(&w, 1);
	put_backup(&w, 0);
	add(w.p, w.len);
	put_backup(&w, 3);
	add(w.p, w.len);
	put_backup(&w, 5);
	assert(!w.full);
	add(w.p, w.len);
	memcpy(backup, bytes + 1, w.len - 1);
	mend(w.len - 1);
	memcpy(bytes + 1, backup, w.len - 1);
	bytes[0] = 0;
	add(bytes, w.len);
}
