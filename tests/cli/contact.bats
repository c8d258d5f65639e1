#!/usr/bin/env bats
# modes: release
# How clients find the queue daemon: contact points, redirects, NOT_YET.

bats_require_minimum_version 1.5.0
load common

# gate PATH ANSWER…: who answers clients so; its answers are in ./out.
gate() {
	start "$RAWCLIENT" --serve "$@"
	wait_until 20 test -S "$1"
}

answers() {
	grep -c "${1:-}" out
}

answered() {
	[ "$(answers "$1")" -ge "$2" ]
}

bodies() {
	rmq-recv -S "unix:${2:-q.sock}" --drain "$1"
}

@test "clients: a contact point that is not there is passed over" {
	start_queue q
	run rmq-send -S unix:absent.sock,unix:q.sock jobs hello
	assert_success
	RMQ_SERVERS=unix:absent.sock,unix:q.sock run rmq-recv -1 jobs
	assert_success
	assert_output hello
}

@test "clients: a redirect is followed" {
	start_queue q
	gate gate.sock redirect unix:q.sock
	run rmq-send -S unix:gate.sock jobs hello
	assert_success
	[ "$(answers redirect)" = 1 ]
	run bodies jobs
	assert_output hello
}

@test "clients: who is told NOT_YET comes back, and asks the other contact point too" {
	start_queue q
	gate gate.sock not_yet 20 not_yet 60000 not_yet 20 redirect unix:q.sock
	gate other.sock not_yet 20
	run timeout 20 rmq-send -S unix:gate.sock,unix:other.sock jobs hello
	assert_success
	[ "$(answers not_yet)" = 6 ]
	run bodies jobs
	assert_output hello
}

@test "clients: no leader in time is 69, and 75 of rmq-send" {
	gate gate.sock not_yet 50
	run rmq-send -S unix:gate.sock --timeout 500ms jobs hello
	assert_failure 75
	assert_output --partial "no daemon answers at gate.sock"
	run rmq-recv -S unix:gate.sock --timeout 500ms jobs
	assert_failure 69
	run rmq-queue ls -S unix:gate.sock --timeout 500ms
	assert_failure 69
	run rmq-ack -S unix:gate.sock --timeout 500ms jobs:1:1
	assert_failure 69
}

@test "clients: redirects in a circle end, are tried again later, and are 69 at last" {
	gate gate.sock redirect unix:gate.sock
	run rmq-recv -S unix:gate.sock --timeout 1 -1 jobs
	assert_failure 69
	[ "$(answers)" -ge 18 ]
	[ "$(answers)" -le 100 ]
}

@test "clients: a redirect to what is no address is 69 in the end" {
	gate gate.sock redirect nonsense redirect tcp:localhost:1
	run rmq-recv -S unix:gate.sock --timeout 500ms -1 jobs
	assert_failure 69
}

@test "clients: a receiver goes on with its leases after the daemon has moved" {
	start_queue q
	printf 'one\ntwo\n' | rmq-send jobs
	gate gate.sock redirect unix:q.sock redirect unix:moved.sock
	mkfifo pipe
	rmq-recv -S unix:gate.sock -n 2 jobs >pipe 2>log 3>&- &
	local receiver=$! one two
	STARTED+=($receiver)
	exec 8<pipe
	IFS= read -r -t 20 -u 8 one
	kill_queue
	mv q moved
	start_queue moved
	wait_until 20 answered moved.sock 1
	IFS= read -r -t 20 -u 8 two
	status_of "$receiver"
	assert_success
	[ "$one $two" = "one two" ]
	run rmq-queue show jobs ready leased delayed
	assert_output $'0\n0\n0'
	exec 8<&-
}

@test "clients: a sender's lines are there once and in order after the daemon has moved" {
	start_queue q
	gate gate.sock redirect unix:q.sock redirect unix:moved.sock
	mkfifo lines
	rmq-send -S unix:gate.sock jobs <lines 2>log 3>&- &
	local sender=$!
	STARTED+=($sender)
	exec 8>lines
	seq 1 20000 >&8
	wait_until 20 answered q.sock 1
	kill_queue
	mv q moved
	start_queue moved 8>&-
	seq 20001 40000 >&8
	exec 8>&-
	status_of "$sender"
	assert_success
	bodies jobs moved.sock >received
	seq 1 40000 | cmp - received
}

@test "clients: one line says that a daemon is waited for, and why; one says that it came" {
	export RMQ_SERVERS=unix:q.sock
	rmq-recv -1 jobs >got 2>recv.log 3>&- &
	local receiver=$!
	STARTED+=("$receiver")
	rmq-send jobs hello 2>send.log 3>&- </dev/null &
	local sender=$!
	STARTED+=("$sender")
	wait_until 20 grep -q waiting recv.log
	wait_until 20 grep -q waiting send.log
	start_queue q
	wait "$sender"
	wait "$receiver"
	run cat got
	assert_output hello
	run cat recv.log
	assert_output "rmq-recv: waiting for the daemon at unix:q.sock: no such file
rmq-recv: the daemon at unix:q.sock answers"
	run cat send.log
	assert_output "rmq-send: waiting for the daemon at unix:q.sock: no such file
rmq-send: the daemon at unix:q.sock answers"
}

@test "clients: one line says that the queue is full, and its limit; one says that there is room" {
	start_queue q
	export RMQ_SERVERS=unix:q.sock
	rmq-queue create jobs --max-bytes 10
	rmq-send jobs 0123456789
	rmq-send jobs more 2>send.log 3>&- </dev/null &
	local sender=$!
	STARTED+=("$sender")
	wait_until 20 grep -q waiting send.log
	rmq-recv -1 jobs
	wait "$sender"
	run cat send.log
	assert_output "rmq-send: waiting: jobs: queue is full (max-bytes 10)
rmq-send: going on: there is room"
	rmq-send jobs 0123456789
	run rmq-send -q --timeout 1500ms jobs more
	assert_failure 75
	refute_output --partial waiting
}

@test "clients: one line says that a daemon does not answer who is connected; one that it does" {
	start_queue q
	export RMQ_SERVERS=unix:q.sock
	mkfifo in
	rmq-send jobs <in 2>send.log 3>&- &
	local sender=$!
	STARTED+=("$sender")
	exec 5>in
	echo one >&5
	wait_until 20 sh -c '[ "$(rmq-queue ls -o ready jobs)" = 1 ]'
	kill -STOP "$QUEUE_PID"
	echo two >&5
	wait_until 20 grep -q waiting send.log
	kill -CONT "$QUEUE_PID"
	exec 5>&-
	wait "$sender"
	run cat send.log
	assert_output "rmq-send: waiting for the daemon at unix:q.sock: no answer
rmq-send: the daemon at unix:q.sock answers"
	run bodies jobs
	assert_output "one
two"
}

@test "clients: a receiver that only waits says that its daemon stands still, and that it answers" {
	start_queue q
	RMQ_SERVERS=unix:q.sock rmq-recv jobs >out 2>recv.log 3>&- &
	local receiver=$!
	STARTED+=("$receiver")
	RMQ_SERVERS=unix:q.sock rmq-send jobs one
	wait_until 20 grep -qx one out
	kill -STOP "$QUEUE_PID"
	wait_until 20 grep -q waiting recv.log
	kill -CONT "$QUEUE_PID"
	wait_until 20 grep -q answers recv.log
	RMQ_SERVERS=unix:q.sock rmq-send jobs two
	wait_until 20 grep -qx two out
	kill "$receiver"
	wait "$receiver"
	run cat recv.log
	assert_output "rmq-recv: waiting for the daemon at unix:q.sock: no answer
rmq-recv: the daemon at unix:q.sock answers"
}

@test "clients: -q silences the line about waiting, and a daemon that comes soon is not told" {
	start_queue q
	kill_queue
	run rmq-queue ls --timeout 1500ms
	assert_failure 69
	assert_line --index 0 "rmq-queue: waiting for the daemon at unix:q.sock: connection refused"
	run rmq-queue ls -q --timeout 1500ms
	assert_failure 69
	refute_output --partial waiting
	run rmq-queue ls --timeout 200ms
	assert_failure 69
	refute_output --partial waiting
}

@test "clients: who may not connect is told which socket, and whose group may" {
	public_dir rmq-send rmq-recv rmq-ack rmq-queue
	start_queue q
	chgrp 1 q.sock
	ln q.sock "$PUBLIC/q.sock"
	cd "$PUBLIC"
	local program
	for program in 'send jobs one' 'recv -n 1 jobs' 'ack jobs:1:1' 'queue ls'; do
		# shellcheck disable=SC2086
		run timeout 20 "${OTHER[@]}" ./rmq-$program
		assert_failure 77
		assert_output --partial "not allowed: unix:q.sock is for members of group $(getent group 1 | cut -d : -f 1)"
		assert_equal "${#lines[@]}" 1
	done
}
