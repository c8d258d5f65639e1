# A cluster of real processes.  To be sourced by bash, with $bin (the programs) and $work (a
# directory of ours) set.  Node I is named nI, has the directory $work/nI, and two daemons,
# rmq-clusterd and rmq-gated, in a process group each, so that they can be killed with all
# that they have started.  What is started is ended by nodes_down.
#
# With nodes_net=yes each node has a network namespace of its own, see net.sh, and with nodes_hosts=N there are N
# of these; otherwise they share the loopback interface, on ports from $nodes_port on.  With nodes_disk_mib=N each has a
# disk of that size (a tmpfs; this needs a mount namespace of ours), that can be filled.  With
# nodes_engine=postgresql their engine is that, and the function nodes_dsn prints where it is.  What
# daemons say goes to $work/nI/log, or to $node_log.

. "$(dirname "${BASH_SOURCE[0]}")/net.sh"
nodes_net=${nodes_net:-}
nodes_hosts=${nodes_hosts:-}
nodes_disk_mib=${nodes_disk_mib:-}
nodes_engine=${nodes_engine:-}
nodes_port=${nodes_port:-$((20000 + $$ % 20000))}

# wait_until SECONDS COMMAND...: until COMMAND succeeds; fails when it does not in time.
wait_until() {
	local deadline=$((${EPOCHREALTIME/[.,]/} + $1 * 1000000))
	shift
	until "$@"; do
		((${EPOCHREALTIME/[.,]/} < deadline)) || return 1
		sleep 0.02
	done
}

node_host() {
	if [ -n "$nodes_net" ]; then
		net_address "$1"
	else
		echo 127.0.0.1
	fi
}

node_port() {
	if [ -n "$nodes_net" ]; then
		echo "740$2"
	else
		echo $((nodes_port + 2 * $1 + $2))
	fi
}

# nodes_make N: keys and settings of N nodes.
nodes_make() {
	nodes=$1
	local i seeds=
	mkdir -p "$work"
	[ -z "$nodes_net" ] || net_up "${nodes_hosts:-$nodes}" "$work" || return 1
	: >"$work/known"
	for i in $(seq "$nodes"); do
		mkdir -p "$work/n$i/disk"
		[ -z "$nodes_disk_mib" ] ||
			mount -t tmpfs -o "size=${nodes_disk_mib}m" rmq "$work/n$i/disk" || return 1
		"$bin/rmq-keygen" "$work/n$i/key" >"$work/n$i/key.pub" || return 1
		echo "$(cut -d ' ' -f 1 "$work/n$i/key.pub") n$i" >>"$work/known"
		seeds=$seeds${seeds:+,}n$i@$(node_host "$i"):$(node_port "$i" 1)
	done
	for i in $(seq "$nodes"); do
		node_settings "$i" "$seeds" >"$work/n$i/rmq.conf"
	done
}

node_settings() {
	cat <<-END
		name = n$1
		key = $work/n$1/key
		known-nodes = $work/known
		listen = $(node_host "$1"):$(node_port "$1" 1)
		advertise = $(node_host "$1"):$(node_port "$1" 1)
		gate-listen = $(node_host "$1"):$(node_port "$1" 2)
		gate-advertise = $(node_host "$1"):$(node_port "$1" 2)
		seeds = $2
		retry-join = 300ms
		control = $work/n$1/cluster.sock
		queue-socket = $work/n$1/queue.sock
		socket = $work/n$1/rmq.sock
	END
	[ -z "$nodes_engine" ] || printf '%s\n' "engine = $nodes_engine" "dsn = $(nodes_dsn)"
}

# node_run I PROGRAM OPTION...: in the background, in its own process group, until it is ready.
# Programs of $node_bin may be scripts, which need more than a sandbox leaves.
node_run() {
	local i=$1 program=$2 ready=$work/n$1/ready.$2 line= inside=()
	shift 2
	[ -z "${node_bin:-}" ] || set -- --sandbox=off "$@"
	[ -z "$nodes_net" ] || inside=(nsenter -t "$(net_pid "$i")" -n --)
	rm -f "$ready"
	mkfifo "$ready"
	"${inside[@]}" setsid "${node_bin:-$bin}/$program" -c "$work/n$i/rmq.conf" --ready-fd 9 "$@" \
		>>"${node_log:-$work/n$i/log}" 2>&1 3>&- 9>"$ready" </dev/null &
	eval "node_pid_${program#rmq-}_$i=$!"
	IFS= read -r -t 30 line <"$ready" ||
		{ echo "n$i: $program is not ready: $(tail -n 1 "$work/n$i/log")" >&2 && return 1; }
}

# node_pid I clusterd|gated
node_pid() {
	eval "echo \"\${node_pid_$2_$1:-}\""
}

# node_child I NAME: pid of rmq-clusterd's child rmq-NAME.
node_child() {
	pgrep -P "$(node_pid "$1" clusterd)" -x "rmq-$2"
}

node_start() {
	node_run "$1" rmq-clusterd -d "$work/n$1/disk/data" --init && node_run "$1" rmq-gated
}

# node_start_traced I INJECT [PROGRAM]: the same, but what INJECT says is done to its journal's
# system calls, or to those of another program (strace(1), -e inject=).
node_start_traced() {
	local node_bin=$work/traced program=${3:-rmq-journal}
	rm -rf "$node_bin"
	mkdir -p "$node_bin"
	cp "$bin"/rmq-* "$node_bin"
	cat >"$node_bin/$program" <<-END
		#!/bin/sh
		exec strace -D -qq -o "$work/n$1/trace" -e trace="${2%%:*}" -e inject="$2" \
			"$bin/$program" "\$@"
	END
	node_start "$1"
}

# node_signal I SIGNAL: to all that the node consists of.
node_signal() {
	local daemon pid
	for daemon in clusterd gated; do
		pid=$(node_pid "$1" "$daemon")
		[ -z "$pid" ] || kill -s "$2" -- "-$pid" 2>/dev/null
	done
}

node_kill() {
	node_signal "$1" KILL
	node_reap "$1"
}

# node_reap I: waits for the ends of its daemons; of rmq-clusterd's the status.
node_reap() {
	local pid status
	pid=$(node_pid "$1" gated)
	[ -z "$pid" ] || wait "$pid" 2>/dev/null
	pid=$(node_pid "$1" clusterd)
	[ -z "$pid" ] || wait "$pid" 2>/dev/null
	status=$?
	eval "node_pid_gated_$1= node_pid_clusterd_$1="
	return "$status"
}

# node_stop I: SIGTERM, as a service manager sends it: the gate is asked first.
node_stop() {
	kill -s TERM "$(node_pid "$1" gated)" "$(node_pid "$1" clusterd)" 2>/dev/null
	node_reap "$1"
}

# cluster I COMMAND...: rmq-cluster, asking node I.
cluster() {
	"$bin/rmq-cluster" "$2" -S "unix:$work/n$1/cluster.sock" "${@:3}"
}

# on I COMMAND...: a client's command, as a user of node I types it.
on() {
	RMQ_SERVERS=unix:$work/n$1/rmq.sock "${@:2}"
}

# node_leads I: whether it leads, and its queue can be used.
node_leads() {
	cluster "$1" is-leader --timeout 1s 2>/dev/null &&
		cluster "$1" is-available --timeout 1s 2>/dev/null
}

# leader [BUT]: the number of the node that leads, which is not BUT.
leader() {
	local i
	for i in $(seq "$nodes"); do
		if [ "$i" != "${1:-}" ] && [ -n "$(node_pid "$i" clusterd)" ] && node_leads "$i"; then
			echo "$i"
			return
		fi
	done
	return 1
}

# some_leader [BUT]: waits for one.
some_leader() {
	wait_until 30 leader "${1:-}" >"$work/leader" && tail -n 1 "$work/leader"
}

node_is_voter() {
	cluster "$1" members -o name,role 2>/dev/null | grep -qE "^n$2	(leader|voter)$"
}

# nodes_up: starts all, and makes one cluster of them, with node 1 as the first member.  There is
# no other one: seeds that are not started yet are not asked.
nodes_up() {
	local i
	node_start 1 && cluster 1 init --new || return 1
	for i in $(seq 2 "$nodes"); do
		cluster 1 admit "n$i" "$(cut -d ' ' -f 1 "$work/n$i/key.pub")" || return 1
		node_start "$i" || return 1
	done
	for i in $(seq 2 "$nodes"); do
		wait_until 30 node_is_voter 1 "$i" || return 1
	done
}

# Of all that were started: a case that fails may have more of them than $nodes.
nodes_down() {
	local name i
	for name in "${!node_pid_clusterd_@}"; do
		i=${name##*_}
		node_signal "$i" CONT
		node_kill "$i"
	done
	[ -z "$nodes_net" ] || net_down
}
