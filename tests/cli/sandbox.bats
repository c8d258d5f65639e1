#!/usr/bin/env bats
# modes: release
# What the daemons may still do while they serve; trespass.c, in them, tries the rest.

bats_require_minimum_version 1.5.0
load common

# Where nothing is that a daemon needs: not even below a directory of its own.
outside() {
	mkdir outside work
	echo secret >outside/file
	printf '#!/bin/sh\ntouch "%s"\n' "$PWD/outside/ran" >outside/run
	chmod +x outside/run
	export TRESPASS=$PWD/outside/log TRESPASS_READ=$PWD/outside/file TRESPASS_RUN=$PWD/outside/run
	export TRESPASS_WRITE=$PWD/work/q/data.mdb
	PRELOAD=${RAWCLIENT%/*}/trespass.so
	cd work
}

# trespasses PID: tries everything in it; what came of it is in lines.
trespasses() {
	kill -USR1 "$1"
	wait_until 10 grep -qx end "../outside/log.$1"
	mapfile -t lines <"../outside/log.$1"
	[ "$(cat ../outside/file)" = secret ]
	[ ! -e ../outside/file.new ]
	[ ! -e ../outside/ran ]
}

# confined PID: the kernel says so.
confined() {
	grep -qx 'NoNewPrivs:	1' "/proc/$1/status"
	grep -qx 'Seccomp:	2' "/proc/$1/status"
}

# tells LINE…: these are in lines.
tells() {
	local line
	for line; do
		assert_line "$line"
	done
}

everything=("read EACCES" "make EACCES" "link ENOSYS" "chdir ENOSYS" "packet ENOSYS" "netlink ENOSYS"
	"trace ENOSYS" "unshare ENOSYS" "code ENOSYS")

works() {
	seq 300 | rmq-send jobs
	run -0 rmq-recv --drain=all jobs
	[ "${#lines[@]}" -eq 300 ]
}

@test "sandbox: queue daemon and journal work in it, reach no other file, and have no network" {
	outside
	rmq-journal init q
	LD_PRELOAD=$PRELOAD start_queue q -v --sandbox=require
	wait_until 10 grep -qE '^rmq-queued: sandbox: no_new_privs, landlock [0-9]+, seccomp$' q.log
	local journal
	journal=$(journal_pid)
	confined "$QUEUE_PID"
	confined "$journal"
	trespasses "$QUEUE_PID"
	tells "${everything[@]}" "write EACCES" "remove EACCES" "tcp ENOSYS" "run ENOSYS"
	trespasses "$journal"
	tells "${everything[@]}" "write ok" "remove EACCES" "tcp ENOSYS" "run ENOSYS" "signal ENOSYS"
	works
	# Another data file, and another socket, in the place of the old ones.
	rmq-journal compact q
	rm q.sock
	wait_until 10 test -S q.sock
	works
	stop_queue
	[ ! -e q.sock ]
}

@test "sandbox: COMMAND is in none, and its daemon is" {
	outside
	rmq-journal init q
	run -0 rmq-queued --sandbox=require -d q -- sh -c 'grep -E "NoNewPrivs|Seccomp:" /proc/$$/status
		rmq-send jobs line && grep -E "NoNewPrivs|Seccomp:" "/proc/$PPID/status"; cat ../outside/file'
	assert_output "$(printf '%s\n' "NoNewPrivs:	0" "Seccomp:	0" "NoNewPrivs:	1" "Seccomp:	2" secret)"
	# Its private directory is gone as well.
	run -1 compgen -G "${TMPDIR:-/tmp}/rmq-private.*/rmq.sock"
}

@test "sandbox: a cluster's daemons work in it" {
	outside
	rmq-keygen n1.key >/dev/null
	local queue gate node line
	free_port
	cat >n1.conf <<-END
		name = n1
		key = n1.key
		listen = 127.0.0.1:$PORT
		gate-listen = 127.0.0.1:$((PORT + 1))
		gate-advertise = localhost:$((PORT + 1))
		control = cluster.sock
		queue-socket = queue.sock
		socket = rmq.sock
	END
	mkfifo ready
	LD_PRELOAD=$PRELOAD rmq-clusterd -v -c n1.conf -d q --init --sandbox=require --ready-fd 9 \
		>log 2>&1 3>&- 9>ready &
	node=$!
	STARTED+=("$node")
	read -r -t 20 line <ready
	LD_PRELOAD=$PRELOAD rmq-gated -v -c n1.conf --sandbox=require --ready-fd 9 >gate 2>&1 3>&- 9>ready &
	gate=$!
	STARTED+=("$gate")
	read -r -t 20 line <ready
	rmq-cluster init -S unix:cluster.sock
	wait_until 20 rmq-cluster is-available -S unix:cluster.sock --timeout 1s
	export RMQ_SERVERS=unix:rmq.sock
	works
	queue=$(pgrep -P "$node" -x rmq-queued)
	confined "$queue"
	confined "$node"
	confined "$gate"
	confined "$(journal_pid "$node")"
	trespasses "$node"
	tells "${everything[@]}" "write EACCES" "remove EACCES" "tcp ok" "bind EACCES" "run EACCES"
	trespasses "$gate"
	tells "${everything[@]}" "write EACCES" "remove EACCES" "tcp ok" "bind EACCES" "run ENOSYS" \
		"signal ENOSYS"
	# Its queue daemon is started again.
	kill -KILL "$queue"
	works
	kill "$gate" "$node"
	wait "$gate" "$node"
	[ ! -e rmq.sock ] && [ ! -e cluster.sock ] && [ ! -e queue.sock ]
}

# As its user, who is root here perhaps, without what root may do.
@test "sandbox: nobody reads the memory of who holds keys, nor is it dumped, but without a sandbox" {
	local -a plain=(setpriv --bounding-set=-all --inh-caps=-all)
	local mode node line
	"${plain[@]}" true 2>/dev/null || plain=()
	rmq-keygen n1.key >/dev/null
	free_port
	printf '%s\n' "name = n1" "key = n1.key" "listen = 127.0.0.1:$PORT" \
		"gate-listen = 127.0.0.1:$((PORT + 1))" "gate-advertise = localhost:$((PORT + 1))" \
		"control = cluster.sock" "queue-socket = queue.sock" >n1.conf
	mkfifo ready
	for mode in require off; do
		"${plain[@]}" rmq-clusterd -c n1.conf -d "$mode" --init "--sandbox=$mode" --ready-fd 9 >log 2>&1 3>&- 9>ready &
		node=$!
		STARTED+=("$node")
		read -r -t 20 line <ready
		run "${plain[@]}" cat "/proc/$node/environ"
		[ "$status" -eq "$([ "$mode" = off ] && echo 0 || echo 1)" ]
		kill "$node"
		wait "$node"
	done
}

# without CALL COMMAND…: on a kernel that lacks it.
without() {
	strace -D -qq -o /dev/null -e "inject=$1:error=ENOSYS" "${@:2}"
}

@test "sandbox: what the kernel lacks is 78 if it is required, and is said if not" {
	without getppid true || skip "cannot trace"
	rmq-journal init q
	run -78 without landlock_create_ruleset rmq-queued -d q -l sock --sandbox=require
	assert_line --regexp 'rmq-queued: --sandbox=require: the kernel has no Landlock: Function not implemented$'
	run -78 without landlock_restrict_self rmq-queued -d q -l sock --sandbox=require
	run -78 without seccomp rmq-queued -d q -l sock --sandbox=require
	assert_line --partial "the kernel has no seccomp"
	run -0 without landlock_create_ruleset rmq-queued -v -d q -l sock -- true
	assert_line "rmq-queued: sandbox: no_new_privs, seccomp"
	run -0 without seccomp rmq-queued -v -d q -l sock -- true
	assert_line --regexp '^rmq-queued: sandbox: no_new_privs, landlock [0-9]+$'
	run -0 rmq-queued -v --sandbox=off -d q -l sock -- true
	assert_line "rmq-queued: sandbox: no_new_privs"
	run -64 rmq-queued --sandbox=maybe -d q -l sock
	assert_line "rmq-queued: --sandbox: 'maybe' is none of auto, require, off"
	run -64 rmq-journal serve --sandbox=maybe q
}
