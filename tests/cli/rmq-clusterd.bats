#!/usr/bin/env bats
# modes: release
# rmq-clusterd by itself: options, what it needs, its sockets and its children.  Clusters of
# several nodes are in tests/cluster.

bats_require_minimum_version 1.5.0
load common
load clusterd

logged() {
	grep -qF -- "$1" log
}

@test "clusterd: --help names every option and setting, on stdout" {
	run -0 --separate-stderr rmq-clusterd --help
	for word in --dir --init --config --ready-fd --quiet --verbose --name --key --listen \
		--advertise --seeds --known-nodes --join-timeout --roles --election-timeout \
		--heartbeat --phi-threshold --phi-pause --control --queue-socket; do
		assert_output --partial "$word"
	done
	[ -z "$stderr" ]
}

@test "clusterd: --version" {
	run -0 rmq-clusterd --version
	assert_output --regexp '^rmq-clusterd [0-9.]+$'
}

@test "clusterd: usage errors are 64 and say what is wrong" {
	run -64 rmq-clusterd
	assert_line --partial "no data directory"
	run -64 rmq-clusterd -d n1 --colour blue
	run -64 rmq-clusterd -d n1 word
	run -64 rmq-clusterd -d n1 --heartbeat soon
	assert_line --partial "--heartbeat"
	run -64 rmq-clusterd -d n1 --ready-fd 77
	assert_line --partial "--ready-fd"
}

@test "clusterd: what is missing in the settings is named, 78" {
	settings
	sed -i /name/d n1.conf
	run -78 rmq-clusterd -c n1.conf -d n1 --init
	assert_line --partial "name"
	settings_without_key=$(sed 's/^key.*//' n1.conf)
	echo "$settings_without_key" >n2.conf
	run -78 rmq-clusterd -c n2.conf --name n1 -d n1 --init
	assert_line --partial "key"
	for listen in listen gate-listen; do
		sed "s/^\(\s*$listen\) = .*:/\1 = 0.0.0.0:/" n1.conf >n2.conf
		run -78 rmq-clusterd -c n2.conf --name n1 -d n1 --init
		assert_line --partial "${listen%listen}advertise: is missing, and the address to listen on is not one address"
	done
	[ ! -e n1 ]
}

@test "clusterd: each bad line of the settings is named by file and line, 78" {
	settings
	local line
	for line in "name = n2" "heartbeat = 1ms" "seeds = n2" "colour = blue" "[section]" "name" \
		"election-timeout = soon" "roles = a/b" "advertise = nowhere"; do
		{ cat n1.conf && echo "$line"; } >bad.conf
		run -78 rmq-clusterd -c bad.conf -d n1 --init
		assert_line --index 0 --partial "rmq-clusterd: bad.conf:7: "
		[ "${#lines[@]}" -eq 1 ]
	done
	run -78 rmq-clusterd -c n1.conf -d n1 --init --heartbeat 400ms
	assert_line --partial "election-timeout: is less than two heartbeats"
	[ ! -e n1 ]
}

@test "clusterd: a key that others may read is not used, 77" {
	settings
	chmod 644 n1.key
	run -77 rmq-clusterd -c n1.conf -d n1 --init
	assert_line --partial "n1.key"
}

@test "clusterd: without --init a directory that is not there is an error, 78" {
	settings
	run -78 rmq-clusterd -c n1.conf -d n1
	[ ! -e n1 ]
}

@test "clusterd: a limit of open files that is too low is named at the start: 78" {
	settings
	local limit
	for limit in 20 255; do
		run -78 bash -c "ulimit -n $limit; exec rmq-clusterd -c n1.conf -d n1 --init" 3>&-
		assert_output "rmq-clusterd: the limit of open files is $limit: raise it to 256 at least \
(ulimit -n, LimitNOFILE=)"
	done
	[ ! -e n1 ]
	ulimit -n 256
	node
	asks init
	wait_until 20 asks is-available --timeout 1s
}

# Its own limit is lowered while it runs.
@test "clusterd: a queue daemon that cannot be started for lack of descriptors is told with the limit" {
	settings
	node
	local open=("/proc/$NODE/fd"/*) limits limit
	limits=$(prlimit --pid "$NODE" --nofile -o SOFT,HARD --noheadings | tr -s ' ' :)
	# Enough for who asks, and not for the queue daemon's socket.
	limit=$((${#open[@]} + 2))
	prlimit --pid "$NODE" --nofile="$limit:"
	asks init
	wait_until 20 logged "rmq-queued could not be started: Too many open files: the limit is $limit: raise it (ulimit -n, LimitNOFILE=)"
	run asks status -o problem
	assert_output --partial "it could not be started: Too many open files: the limit is $limit: raise it"
	prlimit --pid "$NODE" --nofile="${limits#:}"
	wait_until 30 asks is-available --timeout 1s
}

@test "clusterd: the seeds' keys must be known, 78" {
	settings
	run -78 rmq-clusterd -c n1.conf -d n1 --init --seeds n2@127.0.0.1:7401
	assert_line --partial "n2"
}

@test "clusterd: a control socket in use is an error, 75; a stale one is replaced" {
	settings
	node
	run -75 rmq-clusterd -c n1.conf -d n2 --init --listen "127.0.0.1:$((PORT + 1))"
	assert_line --partial "cluster.sock"
	kill -9 "$NODE"
	status_of "$NODE"
	node
	asks status
}

@test "clusterd: a socket that is removed is made anew, as often as need be" {
	settings
	node
	asks init
	wait_until 20 asks is-available --timeout 1s
	for i in 1 2; do
		rm cluster.sock queue.sock
		wait_until 20 test -S cluster.sock
		wait_until 20 test -S queue.sock
		assert_equal "$(stat -c %a cluster.sock)" 660
		run -0 asks is-available --timeout 1s
		rmq-send -S unix:queue.sock jobs "after $i"
	done
	assert_equal "$(grep -c 'cluster.sock: the socket was removed, and is made anew' log)" 2
	kill "$NODE"
	status_of "$NODE"
	assert_success
	[ ! -e cluster.sock ]
}

@test "clusterd: SIGTERM ends it with 0, and its sockets are gone" {
	settings
	node
	asks init
	wait_until 20 test -S queue.sock
	kill "$NODE"
	status_of "$NODE"
	assert_success
	[ ! -e cluster.sock ]
	[ ! -e queue.sock ]
}

# why_says TEXT
why_says() {
	asks why | grep -qF -- "$1"
}

@test "clusterd: who asks to be let in under another name than its key was admitted is told alike on both sides" {
	settings
	node
	asks init
	rmq-keygen n2.key >n2.pub
	asks admit n2 "$(cut -d' ' -f1 n2.pub)"
	asks admit n3 "$(rmq-keygen n3.key | cut -d' ' -f1)"
	echo "$(rmq-keygen -y n1.key | cut -d' ' -f1) n1" >known
	rmq-clusterd -c n1.conf --name n3 --key n2.key -d n3 --init --listen "127.0.0.1:$((PORT + 1))" \
		--seeds "n1@127.0.0.1:$PORT" --known-nodes known --control joiner.sock >>joiner 2>&1 3>&- </dev/null &
	STARTED+=($!)
	local advice="the key was admitted as n2: rmq-cluster leave n2, and then admit it as n3"
	wait_until 20 why_says "asks to be let in as n3: $advice"
	rmq-cluster why -S unix:joiner.sock | grep -F "leave n2, and then admit it as n3"
}

# signalled SIGNAL COMMAND…: it comes as the daemon has made the file of its socket, and before anybody can
# connect there.
signalled() {
	strace -D -qq -o calls -e trace=bind,chmod,fchmodat \
		-e "inject=?chmod,?fchmodat:signal=$1:when=1" "${@:2}"
}

@test "daemons: a signal that comes as they make their sockets ends them in order, and the sockets are gone" {
	strace -D -qq -o calls true || skip "strace is missing or may not trace"
	settings
	local signal
	for signal in TERM INT HUP; do
		run -0 signalled "$signal" rmq-queued -d q --init -l socket
		grep -q 'chmod.*socket"' calls
		[ ! -e socket ]
	done
	for signal in TERM INT; do
		run -0 signalled "$signal" rmq-gated -c n1.conf --socket socket
		grep -q 'chmod.*socket"' calls
		[ ! -e socket ]
		run -0 signalled "$signal" rmq-clusterd -c n1.conf --control socket -d n1 --init
		grep -q 'chmod.*socket"' calls
		[ ! -e socket ]
	done
}

@test "clusterd: a user of this node has one session, whether relayed or not; rights are passed on" {
	settings
	# A file that is wrong keeps nobody but users of this node from the queue, and not its own.
	echo 'send queue="jobs" nobody' >rights
	node --rights rights
	asks init
	wait_until 20 asks is-available --timeout 1s
	grep -q "^rmq-queued: rights:1: .*: until SIGHUP finds it right, users of this machine may do nothing" log
	rmq-send -S unix:queue.sock other x
	echo 'send queue="jobs" user:65534' >rights
	local session
	session=$("$RAWCLIENT" queue.sock hello 0 send 1 jobs x expect SENT close |
		sed -n 's/^WELCOME .*session=\([0-9]*\).* token=\([0-9a-f]*\).*/\1:\2/p')
	run "$RAWCLIENT" queue.sock behalf n2 "$(($(id -u) + 1))" hello "$session" eof
	assert_line --partial "ERROR code=18"
	run "$RAWCLIENT" queue.sock behalf n1 "$(id -u)" hello "$session" expect WELCOME
	assert_line --regexp "^WELCOME .*session=${session%:*} .*last=1"
	kill -HUP "$NODE"
	wait_until 20 logged "rmq-queued: rights: read again"
	asks is-available --timeout 1s
	# A wrong file ends nobody, and is seen.
	says() { [ "$(asks status -o problem)" = "$1" ]; }
	wait_until 20 says -
	: >rights
	kill -HUP "$NODE"
	wait_until 20 says "rights: it grants nothing: if this is meant, add the line: none: users of this node have the rights from before, or none: mend it, and send SIGHUP"
	wait_until 20 logged "the rights stay as they were"
	echo none >rights
	kill -HUP "$NODE"
	wait_until 20 says -
}

@test "clusterd: a queue daemon that says nonsense is ended, and started again" {
	settings
	mkdir bin
	cp "$(command -v rmq-clusterd)" "$(command -v rmq-journal)" bin/
	printf '#!/bin/sh\nprintf "nonsense, and more than a header of it" >&0\nexec sleep 60\n' \
		>bin/rmq-queued
	chmod +x bin/rmq-queued
	BIN=./bin node --sandbox=off
	asks init
	wait_until 20 logged "rmq-queued was ended: it sent a malformed frame"
	ln -sf "$(command -v rmq-queued)" bin/rmq-queued
	wait_until 20 asks is-available --timeout 1s
	# SIGHUP is about the file of rights, and without one about nothing.
	kill -HUP "$NODE"
	wait_until 20 logged "no file of rights is set: nothing is read again"
	asks is-available --timeout 1s
}

@test "clusterd: a queue daemon that cannot be run is named, and tried again" {
	settings
	mkdir bin
	cp "$(command -v rmq-clusterd)" "$(command -v rmq-journal)" bin/
	ln -s /bin/false bin/rmq-queued
	BIN=./bin node --sandbox=off
	asks init
	wait_until 20 logged "rmq-queued ended with status 1"
	run -1 asks is-available
	ln -sf "$(command -v rmq-queued)" bin/rmq-queued
	wait_until 20 asks is-available --timeout 1s
	RMQ_SERVERS=unix:queue.sock rmq-send jobs line
}
