#!/bin/sh
# usage: nightly.sh QUEUE COMMAND [ARG...]
#
# A nightly batch: COMMAND is run for each message that was sent to QUEUE by day, and once more for
# what failed in earlier nights: it comes back from QUEUE.dead, each message three times at most.
# Once, by day, and from crontab(5), which mails what this prints:
#
#	rmq-queue create --max-attempts 3 --backoff 10s,5m invoices
#	rmq-send invoices 4711
#	0 1 * * *	nightly.sh invoices /usr/local/bin/make-invoice
#
# COMMAND has the message on stdin, and exits with 75 for another try in a moment, with 65 if none
# will help, and the reason on stderr.  After six hours no further run is started: the rest waits for
# the next night.  In the end, if there are dead letters, it prints why, the most frequent reason
# first: a reason and a number.
#
# Exits 0 if all is done, 65 if there are dead letters, 75 if something is left; else as rmq-recv(1).
set -eu

[ $# -ge 2 ] || { echo "usage: nightly.sh QUEUE COMMAND [ARG...]" >&2; exit 64; }
queue=$1
shift

rmq-queue redrive -q --max-redrives 3 "$queue"
status=0
# In the foreground, so that Ctrl-C reaches rmq-recv; what it runs is not for timeout to end.
timeout --foreground 6h rmq-recv -P "$(nproc)" --drain=all --max-time 30m "$queue" "$@" || status=$?
[ $status -ne 124 ] || status=75
[ $status -ne 65 ] || rmq-queue count --by reason "$queue.dead"
exit $status
