#!/bin/sh
# usage: sh contrib/examples/cells.sh [LINES]
#
# Three cells on this machine, in a temporary directory, a queue daemon each: queues find their cells by
# themselves, LINES (20000) go through a queue that moves to another cell meanwhile, a topic has queues in
# two cells, one queue is spread over all, and a cell is killed.  Exits 0 if no line is lost.  Leaves nothing but build/.
set -eu

lines=${1:-20000}
mode=${MODE:-release}
cd "$(dirname "$0")/../.."
unset RMQ_SERVERS RMQ_TIMEOUT
build=${RMQ_BUILD:-$PWD/build/$mode}
make -s MODE="$mode" B="$build" all
PATH=$build/bin:$PATH
export PATH
work=$(mktemp -d)
cd "$work"
daemons=
receiver=
sender=

clean_up() {
	status=$?
	trap - EXIT INT TERM
	for process in $receiver $sender $daemons; do
		kill -9 "$process" 2>/dev/null || :
	done
	wait 2>/dev/null || :
	[ "$status" -eq 0 ] || tail -n 5 ./*.log >&2 || :
	rm -rf "$work"
	exit "$status"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# within SECONDS COMMAND...: repeats it until it succeeds; its output is dropped.
within() {
	end=$(($(date +%s) + $1))
	shift
	until "$@" >/dev/null 2>&1; do
		if [ "$(date +%s)" -gt "$end" ]; then
			echo "cells.sh: not in time: $*" >&2
			exit 75
		fi
		sleep 0.01
	done
}

# start_cell NAME: its queue daemon, and what takes messages from it to queues of other cells.
start_cell() {
	mkfifo "$1.ready"
	rmq-queued -d "$1" --init -l "$1.sock" --cells "$cells" --cell "$1" \
		--ready-fd 3 3>"$1.ready" 2>>"$1.log" &
	eval "daemon_$1=$!"
	daemons="$daemons $!"
	read -r _ <"$1.ready"
	rm "$1.ready"
	rmq-queue forward -S "unix:$1.sock" 2>>"$1.log" &
	daemons="$daemons $!"
}

# A few lines at a time, for about three seconds.
produce() {
	awk -v n="$lines" 'BEGIN {
		for (i = 1; i <= n; i++) {
			print "line " i
			if (i % int(n / 60 + 1) == 0) {
				fflush()
				system("sleep 0.05")
			}
		}
	}'
}

received_at_least() {
	[ "$(wc -l <received)" -ge "$1" ]
}

echo "# 1. three cells; nothing is at home in c, as one that was added"
cells="a=unix:$work/a.sock;b=unix:$work/b.sock;c+=unix:$work/c.sock"
for name in a b c; do
	start_cell "$name"
done

echo "# 2. twelve queues; their senders know one cell only"
export RMQ_SERVERS="unix:$work/a.sock"
for i in 1 2 3 4 5 6 7 8 9 10 11 12; do
	rmq-send "queue$i" "hello $i"
done
rmq-queue cells -o cell,queues

echo "# 3. $lines lines are sent and received; their queue moves to c meanwhile"
: >received
rmq-recv lines >received &
receiver=$!
produce | rmq-send lines &
sender=$!
within 60 received_at_least $((lines / 4))
echo "   lines lives in $(rmq-queue cell lines)"
rmq-queue move-cell lines c
echo "   lines lives in $(rmq-queue cell lines)"
wait "$sender"
sender=
within 60 received_at_least "$lines"
kill "$receiver"
wait "$receiver"
receiver=
arrived=$(sort -u received | wc -l)
echo "   sent $lines  received $arrived  lost $((lines - arrived)) " \
	"twice $(($(wc -l <received) - arrived))"
[ "$arrived" -eq "$lines" ]

echo "# 4. a topic leads to a queue in a and to one in b"
for name in a b; do
	rmq-queue create "news.at.$name"
	rmq-queue bind "news.at.$name" news
done
rmq-send -t news "something has happened"
for name in a b; do
	echo "   $name: $(rmq-recv -1 "news.at.$name")"
done

echo "# 5. one queue for more than one cell can take: a part in each"
seq 200000 | rmq-send --spread logs
rmq-queue ls -o queue,ready 'logs.*'
[ "$(rmq-recv --drain --spread logs | sort -u | wc -l)" -eq 200000 ]

echo "# 6. b is killed with kill -9: its queues wait for it, the others go on"
# shellcheck disable=SC2154
kill -9 "$daemon_b"
rmq-send jobs.at.a hello
rmq-send --timeout 300ms jobs.at.b hello || echo "   exit status $?"
start_cell b
rmq-send jobs.at.b "hello again"
rmq-recv --drain jobs.at.b
