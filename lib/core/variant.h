/*
 * Known-bad variants: places where the simulator (tests/sim) breaks a rule on purpose
 * to prove that its checks notice.  RMQ_VARIANT(NAME) is the constant 0 everywhere but
 * in the copy of lib/core that the simulator builds for itself.
 */
#ifndef RMQ_CORE_VARIANT_H
#define RMQ_CORE_VARIANT_H

/*      name              what is broken */
#define RMQ_VARIANTS_LIST(X) \
	X(EFFECT_EARLY,    "an effect leaves before its event is durable") \
	X(DUPLICATE_EARLY, "a repeated command is answered before it is durable") \
	X(GAP,             "a gap in the numbers of a session is accepted") \
	X(END_KILLS_LIVE,  "END declares records dead that hold live bodies") \
	X(PARTS_AT_END,    "recovery takes parts as if they were made at END") \
	X(LEASE_REUSED,    "lease numbers begin anew after a recovery") \
	X(STALE_SETTLES,   "a receipt of an old lease settles")

#ifdef RMQ_VARIANTS
enum rmq_variant {
	RMQ_VARIANT_NONE,
#define X(name, text) RMQ_VARIANT_##name,
	RMQ_VARIANTS_LIST(X)
#undef X
};
extern enum rmq_variant rmq_variant;
#define RMQ_VARIANT(name) (rmq_variant == RMQ_VARIANT_##name)
#else
#define RMQ_VARIANT(name) 0
#endif

#endif
