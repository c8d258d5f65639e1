#include "figures.h"

#include <stdio.h>
#include <unistd.h>

#include "state.h"
#include "sys/process/figures.h"
#include "sys/store/store_env.h"

/* The map of the data file, which all of them have, is the kernel's to keep or to drop. */
static uint64_t memory(const struct cluster *c)
{
	const pid_t children[] = {c->disk.link.pid, c->supervisor.pid};
	uint64_t sum = figures_memory(getpid());

	for (size_t i = 0; i < sizeof(children) / sizeof(children[0]); i++)
		sum += children[i] > 0 ? figures_memory(children[i]) : 0;
	return sum;
}

void figures_take(const struct cluster *c, struct metrics *m)
{
	uint64_t value, commit = c->status.commit;
	uint32_t median, p99;

	if (figures_load(&value))
		metrics_set(m, METRIC_LOAD, value);
	metrics_set(m, METRIC_MEMORY, memory(c));
	metrics_set(m, METRIC_DISK_FREE, c->disk.room.bytes);
	if (figures_file(c->disk.directory, STORE_DATA_FILE, &value))
		metrics_set(m, METRIC_JOURNAL_SIZE, value);
	metrics_set(m, METRIC_LAG, commit > c->disk.stored ? commit - c->disk.stored : 0);
	if (store_times_get(&c->disk.times, &median, &p99))
		metrics_set(m, METRIC_LATENCY, (uint64_t)p99 << 32 | median);
	metrics_set(m, METRIC_UPTIME, cluster_now(c) - c->started_ms);
	snprintf(m->version, sizeof(m->version), "%s", RMQ_VERSION);
}
