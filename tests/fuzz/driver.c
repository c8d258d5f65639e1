/*
 * Runs a fuzz target without libFuzzer: its own seeds, and mutations of them by a random
 * number generator with a fixed seed, so that a run can be repeated.
 *
 *	fuzz_x [-n RUNS] [-s SEED] [-t SECONDS]	mutations, no more than in that time
 *	fuzz_x FILE...			these inputs, once each
 *	fuzz_x -w DIR			writes the seeds, as a corpus for libFuzzer
 *
 * An input that ends the process is left in crash.bin.
 */
#include "fuzz.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define INPUT_MAX (256u << 10)
#define SEEDS_MAX 256

static struct slice seeds[SEEDS_MAX];
static size_t seed_count;
static uint64_t state;
static uint8_t input[INPUT_MAX];
static size_t input_len;

static uint64_t random_below(uint64_t n)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return n ? (state >> 11) % n : 0;
}

static void keep_seed(const void *data, size_t size)
{
	if (seed_count == SEEDS_MAX || size > INPUT_MAX)
		return;
	uint8_t *copy = malloc(size + 1);
	assert(copy);
	memcpy(copy, data, size);
	seeds[seed_count++] = slice_of(copy, size);
}

static void write_file(const char *path, struct slice s)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
	if (fd < 0 || write(fd, s.data, s.len) != (ssize_t)s.len)
		_exit(74);
	close(fd);
}

static void leave_input(void)
{
	write_file("crash.bin", slice_of(input, input_len));
}

static void on_abort(int signo)
{
	leave_input();
	signal(signo, SIG_DFL);
	raise(signo);
}

/* Called before a sanitizer ends the process, where there is one. */
void __sanitizer_set_death_callback(void (*callback)(void)) __attribute__((weak));

static void remove_bytes(size_t at, size_t n)
{
	if (n > input_len - at)
		n = input_len - at;
	memmove(input + at, input + at + n, input_len - at - n);
	input_len -= n;
}

static void insert_bytes(size_t at, const uint8_t *bytes, size_t n)
{
	if (n > INPUT_MAX - input_len)
		return;
	memmove(input + at + n, input + at, input_len - at);
	if (bytes)
		memcpy(input + at, bytes, n);
	else
		memset(input + at, (int)random_below(256), n);
	input_len += n;
}

static void store_interesting(size_t at)
{
	static const uint64_t values[] = {0, 1, 2, 0x7f, 0x80, 0xff, 0x100, 0x7fff, 0x8000,
	    0xffff, 0x10000, 0x7fffffff, 0x80000000, 0xffffffff, 0x100000000, UINT64_MAX,
	    UINT64_MAX / 2};
	uint64_t v = values[random_below(sizeof(values) / sizeof(values[0]))];
	size_t left = input_len - at;
	switch (random_below(4)) {
	case 0:
		input[at] = (uint8_t)v;
		break;
	case 1:
		if (left >= 2)
			store_u16(input + at, (uint16_t)v);
		break;
	case 2:
		if (left >= 4)
			store_u32(input + at, (uint32_t)v);
		break;
	default:
		if (left >= 8)
			store_u64(input + at, v);
	}
}

static void mutate(void)
{
	size_t at = random_below(input_len);
	struct slice other = seeds[random_below(seed_count)];
	size_t from = random_below(other.len);
	if (input_len == 0) {
		insert_bytes(0, NULL, 1 + random_below(16));
		return;
	}
	switch (random_below(8)) {
	case 0:
		input[at] ^= (uint8_t)(1u << random_below(8));
		break;
	case 1:
		input[at] = (uint8_t)random_below(256);
		break;
	case 2:
		input[at] = (uint8_t)(input[at] + random_below(9) - 4);
		break;
	case 3:
	case 4:
		store_interesting(at);
		break;
	case 5:
		remove_bytes(at, 1 + random_below(random_below(4) ? 8 : input_len - at));
		break;
	case 6:
		insert_bytes(at, NULL, 1 + random_below(random_below(4) ? 8 : 4096));
		break;
	default:
		insert_bytes(at, other.data + from, random_below(other.len - from));
	}
}

static void run_input(void)
{
	/* A copy of exactly its size: reading after it is noticed. */
	uint8_t *copy = malloc(input_len ? input_len : 1);
	assert(copy);
	memcpy(copy, input, input_len);
	LLVMFuzzerTestOneInput(copy, input_len);
	free(copy);
}

static int run_files(char **paths)
{
	for (; *paths; paths++) {
		FILE *f = fopen(*paths, "rb");
		if (!f) {
			perror(*paths);
			return 74;
		}
		input_len = fread(input, 1, sizeof(input), f);
		fclose(f);
		run_input();
	}
	return 0;
}

static int write_seeds(const char *dir)
{
	for (size_t i = 0; i < seed_count; i++) {
		char path[4096];
		snprintf(path, sizeof(path), "%s/seed-%zu", dir, i);
		write_file(path, seeds[i]);
	}
	return 0;
}

static void run_mutations(unsigned long runs, time_t end)
{
	unsigned long i;
	for (i = 0; i < seed_count + runs && (i < seed_count || time(NULL) < end); i++) {
		struct slice seed = seeds[i < seed_count ? i : random_below(seed_count)];
		memcpy(input, seed.data, seed.len);
		input_len = seed.len;
		for (uint64_t n = i < seed_count ? 0 : 1 + random_below(6); n > 0; n--)
			mutate();
		run_input();
	}
	printf("%lu inputs from %zu seeds\n", i, seed_count);
}

int main(int argc, char **argv)
{
	unsigned long runs = 10000;
	long seconds = 1000000;
	int option;

	state = 1;
	fuzz_seeds(keep_seed);
	assert(seed_count > 0);
	while ((option = getopt(argc, argv, "n:s:t:w:")) != -1) {
		if (option == 'n')
			runs = strtoul(optarg, NULL, 10);
		else if (option == 's')
			state = strtoul(optarg, NULL, 10) * 2 + 1;
		else if (option == 't')
			seconds = strtol(optarg, NULL, 10);
		else if (option == 'w')
			return write_seeds(optarg);
		else
			return 64;
	}
	signal(SIGABRT, on_abort);
	if (__sanitizer_set_death_callback)
		__sanitizer_set_death_callback(leave_input);
	if (optind < argc)
		return run_files(argv + optind);
	run_mutations(runs, time(NULL) + seconds);
	for (size_t i = 0; i < seed_count; i++)
		free((void *)(uintptr_t)seeds[i].data);
	return 0;
}
