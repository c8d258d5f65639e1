#include "core/host/phi.h"

#include <math.h>

#include "core/base/variant.h"

/* ---- the distribution ---- */

double phi_mean(const struct phi *p)
{
	return (double)p->sum / p->count;
}

/* The numbers are whole: the difference is exact. */
double phi_deviation(const struct phi *p)
{
	return sqrt((double)(p->squares * p->count - p->sum * p->sum)) / p->count;
}

static double width(const struct phi *p)
{
	double is = phi_deviation(p);

	return is < PHI_DEVIATION_MS ? PHI_DEVIATION_MS : is;
}

/*
 * The logarithm of (1 - F) / F, by the logistic approximation of the normal distribution F: e^-odds of
 * Akka's.  Of y, deviations from the mean.
 */
static double odds(double y)
{
	return y * (1.5976 + 0.070566 * y * y);
}

double phi_of(double silence_ms, double mean_ms, double deviation_ms)
{
	double y = (silence_ms - mean_ms) / deviation_ms, e = exp(-odds(y));

	return y > 0 ? -log10(e / (1 + e)) : -log10(1 - 1 / (1 + e));
}

double phi_value(const struct phi *p, const struct phi_settings *s, uint64_t now_ms)
{
	return phi_of((double)(now_ms - p->heard_ms), phi_mean(p) + s->pause_ms, width(p));
}

/* The y at which phi is the threshold: odds() grows with y. */
static double quantile(uint32_t threshold)
{
	double goal = log(pow(10, threshold) - 1), low = 0, high = goal;

	for (int i = 0; i < 60; i++) {
		double y = (low + high) / 2;
		if (odds(y) < goal)
			low = y;
		else
			high = y;
	}
	return high;
}

static void estimate(struct phi *p, const struct phi_settings *s)
{
	p->after_ms = phi_mean(p) + s->pause_ms + width(p) * quantile(s->threshold);
}

/* ---- samples ---- */

static void take(struct phi *p, uint32_t ms)
{
	if (p->count == PHI_SAMPLES) {
		uint64_t old = p->samples[p->next];
		p->sum -= old;
		p->squares -= old * old;
	} else {
		p->count++;
	}
	p->samples[p->next] = ms;
	p->next = (p->next + 1) % PHI_SAMPLES;
	p->sum += ms;
	p->squares += (uint64_t)ms * ms;
}

void phi_begin(struct phi *p, const struct phi_settings *s, uint64_t now_ms)
{
	*p = (struct phi){.heard_ms = now_ms};
	take(p, PHI_HEARTBEAT_MS - PHI_HEARTBEAT_MS / 4);
	take(p, PHI_HEARTBEAT_MS + PHI_HEARTBEAT_MS / 4);
	estimate(p, s);
}

void phi_beat(struct phi *p, const struct phi_settings *s, uint64_t now_ms)
{
	uint64_t ms = now_ms - p->heard_ms;
	bool sample = p->heard && !p->parted && !phi_suspects(p, now_ms);

	if (sample && ms < PHI_HEARTBEAT_MS / 2)
		return;
	if (sample) {
		take(p, ms < PHI_SAMPLE_MAX ? (uint32_t)ms : PHI_SAMPLE_MAX);
		estimate(p, s);
	}
	p->heard = true;
	p->parted = false;
	p->heard_ms = now_ms;
}

void phi_part(struct phi *p)
{
	p->parted = true;
}

bool phi_suspects(const struct phi *p, uint64_t now_ms)
{
	return (double)(now_ms - p->heard_ms) >= p->after_ms && !RMQ_VARIANT(SILENCE_TRUSTED);
}

uint64_t phi_due(const struct phi *p)
{
	return p->heard_ms + (uint64_t)ceil(p->after_ms);
}
