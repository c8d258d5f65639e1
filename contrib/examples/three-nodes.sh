#!/bin/sh
# usage: sh contrib/examples/three-nodes.sh [LINES]
#
# Starts a cluster of three nodes on this machine, in a temporary directory, sends LINES (20000)
# through it while the leading node is killed with kill -9, starts that node again, and counts
# the lines that arrived.  Exits 0 if no line is lost.  Leaves nothing but build/.
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
port=$((20000 + $$ % 12000))
groups=
receiver=
sender=

clean_up() {
	status=$?
	trap - EXIT INT TERM
	for process in $groups $receiver $sender; do
		kill -9 "$process" 2>/dev/null || :
	done
	wait 2>/dev/null || :
	[ "$status" -eq 0 ] || tail -n 5 n?/log >&2 || :
	rm -rf "$work"
	exit "$status"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

milliseconds() {
	echo $(($(date +%s%N) / 1000000))
}

# within SECONDS COMMAND...: repeats it until it succeeds; its output is dropped.
within() {
	end=$(($(milliseconds) + $1 * 1000))
	shift
	until "$@" >/dev/null 2>&1; do
		if [ "$(milliseconds)" -gt "$end" ]; then
			echo "three-nodes.sh: not in time: $*" >&2
			exit 75
		fi
		sleep 0.01
	done
}

# A node is a key, settings, a data directory and two daemons.
make_node() {
	mkdir "n$1"
	echo "$(rmq-keygen "n$1/key") n$1" >>known-nodes
	cat >"n$1/rmq.conf" <<-END
		name = n$1
		key = n$1/key
		listen = 127.0.0.1:$((port + $1))
		gate-listen = 127.0.0.1:$((port + 10 + $1))
		control = n$1/cluster.sock
		queue-socket = n$1/queue.sock
		socket = n$1/rmq.sock
		known-nodes = known-nodes
		seeds = n1@127.0.0.1:$((port + 1))
	END
	[ "$1" -ne 1 ] || sed -i '/^seeds/d' n1/rmq.conf
}

# Both daemons in one process group: one kill(1) ends the whole node.
start_node() {
	setsid sh -c "rmq-clusterd -d n$1/data --init -c n$1/rmq.conf &
		exec rmq-gated -c n$1/rmq.conf" >>"n$1/log" 2>&1 </dev/null &
	eval "group$1=$!"
	groups="$groups -$!"
	within 30 cluster "$1" status
}

# cluster I COMMAND...: asks node I.
cluster() {
	node=$1
	shift
	rmq-cluster "$@" -S "unix:n$node/cluster.sock"
}

find_leader() {
	for i in 1 2 3; do
		! cluster "$i" is-leader 2>/dev/null || echo "$i"
	done
}

# A few lines at a time, for about five seconds.
produce() {
	awk -v n="$lines" 'BEGIN {
		for (i = 1; i <= n; i++) {
			print "line " i
			if (i % int(n / 100 + 1) == 0) {
				fflush()
				system("sleep 0.05")
			}
		}
	}'
}

received_at_least() {
	[ "$(wc -l <received)" -ge "$1" ]
}

different_lines() {
	sort -u received | wc -l
}

all_is_there() {
	[ "$(different_lines)" -ge "$lines" ]
}

echo "# 1. three nodes; the first makes a cluster, the others are admitted by their keys and join"
for i in 1 2 3; do
	make_node "$i"
	start_node "$i"
	if [ "$i" -eq 1 ]; then
		cluster 1 init
	else
		cluster 1 admit "n$i" "$(rmq-keygen -y "n$i/key")"
	fi
	cluster "$i" wait self-up
done
cluster 1 wait up=3
cluster 1 wait available
cluster 1 members -o name,role,address

echo "# 2. $lines lines are sent and received; all three nodes are contact points"
RMQ_SERVERS=unix:n1/rmq.sock,unix:n2/rmq.sock,unix:n3/rmq.sock
export RMQ_SERVERS
: >received
rmq-recv lines >received &
receiver=$!
produce | rmq-send lines &
sender=$!

within 60 received_at_least $((lines / 3))
leader=$(find_leader)
group=
eval "group=\$group$leader"
echo "# 3. n$leader leads: kill -9 of all its processes"
killed=$(milliseconds)
kill -9 "-$group"
# Lines on their way still come; the next one after them comes from the new leader.
survivor=$((leader % 3 + 1))
new_leader() {
	next=$(find_leader)
	[ -n "$next" ] && [ "$next" != "$leader" ] && cluster "$next" is-available
}
within 30 new_leader
echo "   n$next leads after $(($(milliseconds) - killed)) ms"
stood=$(wc -l <received)
within 30 received_at_least $((stood + 1))
echo "   lines come again after $(($(milliseconds) - killed)) ms"

echo "# 4. n$leader is started again, and catches up"
start_node "$leader"
cluster "$survivor" wait up=3
wait "$sender"
sender=
within 60 all_is_there
kill "$receiver"
wait "$receiver"
receiver=

arrived=$(different_lines)
echo "sent $lines  received $arrived  lost $((lines - arrived)) " \
	"twice $(($(wc -l <received) - arrived))"
[ "$arrived" -eq "$lines" ]
