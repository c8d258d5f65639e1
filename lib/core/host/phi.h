/*
 * The phi accrual failure detector: N. Hayashibara, X. Défago, R. Yared, T. Katayama, "The phi
 * accrual failure detector" (SRDS 2004), with the formulas and defaults of Akka's.
 *
 * Phi says how unlikely it is that a member which still runs has been silent for so long: of 10^phi
 * such silences one would be by chance.  The times between heartbeats that came make a normal
 * distribution, of which phi is the tail; a pause is added to their mean, for what stops a process
 * now and then.  A member is suspected when phi reaches the threshold, so after
 *
 *	mean + pause + y * deviation,	where y is the quantile of the threshold
 *
 * which for the defaults is little more than a heartbeat and the pause: the pause is the real knob.
 *
 * A time that is long enough for a suspicion is no sample, nor is one in which there was no connection: it
 * says nothing of heartbeats.  Nor does a word make a heartbeat that comes
 * sooner than half of the usual time after one: members say more when there is more to say.
 * What has said nothing yet is judged as if it had been heard when it was begun with.
 */
#ifndef RMQ_CORE_HOST_PHI_H
#define RMQ_CORE_HOST_PHI_H

#include <stdbool.h>
#include <stdint.h>

#define PHI_HEARTBEAT_MS 1000 /* MEMBER_TELL_MS; also the first estimate */
#define PHI_SAMPLES	 1000
#define PHI_DEVIATION_MS 100	/* it is never less */
#define PHI_SAMPLE_MAX	 600000 /* ms; what is more counts as that */

#define PHI_THRESHOLD	  8
#define PHI_THRESHOLD_MAX 16 /* beyond, doubles tell nothing */
#define PHI_PAUSE_MS	  3000

struct phi_settings {
	uint32_t threshold;
	uint32_t pause_ms;
};

struct phi {
	uint64_t heard_ms; /* its newest heartbeat */
	bool heard;	   /* it has said something since it was begun with */
	bool parted;	   /* since its newest heartbeat there was no connection */
	double after_ms;   /* a silence that is as long makes it suspected */
	uint64_t sum, squares;
	unsigned count, next; /* of samples; a ring */
	uint32_t samples[PHI_SAMPLES];
};

void phi_begin(struct phi *p, const struct phi_settings *s, uint64_t now_ms);
/* There is no connection with it. */
void phi_part(struct phi *p);
/* It has said something. */
void phi_beat(struct phi *p, const struct phi_settings *s, uint64_t now_ms);

bool phi_suspects(const struct phi *p, uint64_t now_ms);
/* When that begins if it says nothing any more. */
uint64_t phi_due(const struct phi *p);

/* For people: of a silence, and of one of some times between heartbeats, which have the pause in them. */
double phi_of(double silence_ms, double mean_ms, double deviation_ms);
double phi_value(const struct phi *p, const struct phi_settings *s, uint64_t now_ms);
double phi_mean(const struct phi *p);
/* As it is, be it less than PHI_DEVIATION_MS. */
double phi_deviation(const struct phi *p);

#endif
