/*
 * images SEED COUNT COMMAND...: what a power failure may leave of a data file.
 *
 * kill -9 keeps the page cache; a power failure does not.  From ./base/data.mdb, which was
 * durable, and ./writes, which recorder.so made of all that was then done to ./q/data.mdb, this
 * builds ./image/data.mdb as it may be on disk after one of the entries: with any of the 4096
 * byte pages that were written and not yet synced, as they were after any of the writes to
 * them.  For COUNT such moments, and others (below), it runs COMMAND with three more
 * arguments: up to where the journal had said by then that all is stored, and the sizes of the
 * senders' and the receivers' output.  It ends with 1 when COMMAND says that the image is bad,
 * and with 2 when the record is no good.
 *
 * What makes all images good: LMDB (in its default mode) writes a commit's pages, which are
 * none of those that the newest or a running older transaction can see; fdatasync()s the file;
 * writes one of two meta pages by a descriptor with O_DSYNC; and only then does the journal say
 * that it is stored.  So what was said while anything is not synced is suspected: such moments
 * are taken first, SUSPECTED times each.  There are none if nothing is wrong.
 */
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "recorder.h"

#define PAGE_BYTES 4096u
#define FILE_MAX   (16u << 20)
#define SUSPECTED  4

/* What was written and not yet synced, in order; none goes beyond its page. */
struct piece {
	uint64_t at;
	uint32_t len;
	const uint8_t *data;
};

static uint8_t *events; /* ./writes */
static size_t events_len;

static uint8_t durable[FILE_MAX], image[FILE_MAX];
static size_t durable_len;
static struct piece pending[FILE_MAX / PAGE_BYTES];
static size_t pending_count;
static struct entry newest;
static uint64_t said;

/* Of each page: its pending pieces, how many of them are in the image, and are by now. */
static uint32_t pieces[FILE_MAX / PAGE_BYTES];
static uint32_t kept[FILE_MAX / PAGE_BYTES];
static uint32_t seen[FILE_MAX / PAGE_BYTES];

static size_t images, lost;

_Noreturn static void fail(const char *what)
{
	fprintf(stderr, "images: %s\n", what);
	exit(2);
}

static uint64_t random_state;
static uint64_t below(uint64_t n)
{
	random_state = random_state * 6364136223846793005u + 1442695040888963407u;
	return (random_state >> 33) % n;
}

static size_t read_file(const char *name, uint8_t **bytes)
{
	struct stat st;
	int fd = open(name, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) != 0)
		fail(name);
	size_t len = (size_t)st.st_size;
	*bytes = malloc(len + 1);
	if (!*bytes || read(fd, *bytes, len) != (ssize_t)len)
		fail(name);
	close(fd);
	return len;
}

/* ---- the disk ---- */

static void apply(uint8_t *bytes, size_t *len, const struct piece *p)
{
	memcpy(bytes + p->at, p->data, p->len);
	if (*len < p->at + p->len)
		*len = p->at + p->len;
}

static void write_down(const struct entry *e, const uint8_t *data)
{
	if (e->at > FILE_MAX || e->len > FILE_MAX - e->at)
		fail("the data file is too large");
	for (uint64_t at = e->at, end = e->at + e->len; at < end;) {
		uint64_t room = PAGE_BYTES - at % PAGE_BYTES;
		uint32_t len = (uint32_t)(end - at < room ? end - at : room);
		if (pending_count == sizeof(pending) / sizeof(pending[0]))
			fail("too much is not synced");
		pending[pending_count++] = (struct piece){at, len, data + (at - e->at)};
		at += len;
	}
}

/* Pages from `first` to `last` are durable as they are now. */
static void sync_pages(uint64_t first, uint64_t last)
{
	size_t left = 0;
	for (size_t i = 0; i < pending_count; i++) {
		uint64_t page = pending[i].at / PAGE_BYTES;
		if (page >= first && page <= last)
			apply(durable, &durable_len, &pending[i]);
		else
			pending[left++] = pending[i];
	}
	pending_count = left;
}

/* Does what the entry at *at says, and moves *at after it. */
static void take_entry(size_t *at)
{
	if (events_len - *at < sizeof(newest))
		fail("the record is cut");
	memcpy(&newest, events + *at, sizeof(newest));
	*at += sizeof(newest);
	switch (newest.kind) {
	case ENTRY_WRITE:
		if (events_len - *at < newest.len)
			fail("the record is cut");
		write_down(&newest, events + *at);
		*at += newest.len;
		break;
	case ENTRY_WRITTEN:
		sync_pages(newest.at / PAGE_BYTES, (newest.at + newest.len - 1) / PAGE_BYTES);
		break;
	case ENTRY_SYNCED:
		sync_pages(0, UINT64_MAX);
		break;
	case ENTRY_SAID:
		said = newest.at > said ? newest.at : said;
		break;
	default:
		fail("the record is garbled");
	}
}

static void start(void)
{
	uint8_t *base;
	durable_len = read_file("base/data.mdb", &base);
	if (durable_len > FILE_MAX)
		fail("the data file is too large");
	memset(durable, 0, sizeof(durable));
	memcpy(durable, base, durable_len);
	free(base);
	pending_count = 0;
	said = 0;
}

/* ---- an image ---- */

/* How much of each page's pieces has come to disk: by chance, and in some images most or none.
 */
static void draw(void)
{
	static const unsigned eighths[] = {0, 1, 4, 7};
	unsigned often = eighths[below(sizeof(eighths) / sizeof(eighths[0]))];
	memset(pieces, 0, sizeof(pieces));
	memset(seen, 0, sizeof(seen));
	for (size_t i = 0; i < pending_count; i++)
		pieces[pending[i].at / PAGE_BYTES]++;
	for (size_t i = 0; i < pending_count; i++) {
		size_t page = pending[i].at / PAGE_BYTES;
		kept[page] = below(8) < often ? 1 + (uint32_t)below(pieces[page]) : 0;
	}
}

static void build(void)
{
	size_t len = durable_len;
	memcpy(image, durable, durable_len);
	memset(image + durable_len, 0, sizeof(image) - durable_len);
	draw();
	for (size_t i = 0; i < pending_count; i++) {
		size_t page = pending[i].at / PAGE_BYTES;
		if (seen[page]++ < kept[page])
			apply(image, &len, &pending[i]);
		else
			lost++;
	}
	int fd = open("image/data.mdb", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0 || write(fd, image, len) != (ssize_t)len)
		fail("image/data.mdb");
	close(fd);
}

static bool is_good(char **command, int words)
{
	char number[3][24];
	char *argv[32];
	int status;
	uint64_t values[] = {said, newest.confirmed, newest.taken};
	if (words > 28)
		fail("the command is too long");
	for (int i = 0; i < words; i++)
		argv[i] = command[i];
	for (int i = 0; i < 3; i++) {
		snprintf(number[i], sizeof(number[i]), "%llu", (unsigned long long)values[i]);
		argv[words + i] = number[i];
	}
	argv[words + 3] = NULL;
	pid_t pid = fork();
	if (pid == 0) {
		execvp(argv[0], argv);
		_exit(127);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		fail("the command cannot be run");
	return status == 0;
}

static void try_images(size_t at, unsigned count, char **command, int words)
{
	for (unsigned i = 0; i < count; i++) {
		build();
		images++;
		if (is_good(command, words))
			continue;
		printf("image %zu is bad: behind byte %zu of the record, with %zu writes not "
		       "synced, and all up to %llu said to be stored\n",
		    images, at, pending_count, (unsigned long long)said);
		exit(1);
	}
}

/* ---- all of them ---- */

static bool is_suspected(void)
{
	return newest.kind == ENTRY_SAID && pending_count > 0;
}

/* How many moments there are at which something is not synced. */
static size_t count_moments(void)
{
	size_t moments = 0, says = 0;
	start();
	for (size_t at = 0; at < events_len;) {
		take_entry(&at);
		moments += pending_count > 0;
		says += newest.kind == ENTRY_SAID;
	}
	if (says == 0)
		fail("nothing was said to be stored");
	return moments;
}

/* The record adds up to the file that there is now. */
static void check_end(void)
{
	uint8_t *file;
	size_t len = read_file("q/data.mdb", &file);
	sync_pages(0, UINT64_MAX);
	if (len != durable_len || memcmp(file, durable, len) != 0)
		fail("the data file holds something else than was recorded");
	free(file);
}

int main(int argc, char **argv)
{
	if (argc < 4)
		return 2;
	random_state = strtoull(argv[1], NULL, 10);
	size_t wanted = strtoull(argv[2], NULL, 10);
	events_len = read_file("writes", &events);
	size_t moments = count_moments();
	check_end();
	size_t suspected = 0;
	start();
	for (size_t at = 0; at < events_len;) {
		take_entry(&at);
		if (is_suspected() && suspected++ < wanted)
			try_images(at, SUSPECTED, argv + 3, argc - 3);
	}
	start();
	for (size_t at = 0; at < events_len && wanted > 0;) {
		take_entry(&at);
		if (pending_count == 0)
			continue;
		/* Each of the moments that are left has the same chance. */
		if (below(moments--) >= wanted)
			continue;
		wanted--;
		try_images(at, 1, argv + 3, argc - 3);
	}
	printf("%zu images, %zu suspected; %zu writes to pages are lost in them\n", images,
	    suspected, lost);
	return 0;
}
