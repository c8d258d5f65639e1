#!/usr/bin/env bats
# The queue daemon: every promise of rmq-queued(1), and what it does with bad input.

load common

hello() {
	raw hello 0 expect WELCOME "$@"
}

@test "rmq-queued: --init makes the directory, ready says so, SIGTERM drains and exits 0" {
	start_queue q
	[ -f q/data.mdb ]
	hello send 1 jobs one expect SENT bye eof
	stop_queue
	[ ! -e q.sock ]
}

@test "rmq-queued: kill -9 and a restart keep what was answered" {
	start_queue q
	hello send 1 jobs one expect SENT
	kill_queue
	start_queue q
	run hello subscribe 1 jobs credit 1 1 expect DELIVER
	assert_success
	assert_line --partial "DELIVER sub=1"
}
