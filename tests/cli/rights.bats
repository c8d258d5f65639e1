#!/usr/bin/env bats
# What clients do that may not do all: they end with 77, and name the queue and the right.
# modes: release

load common

bats_require_minimum_version 1.5.0

# start_granted RIGHTS: q.sock is a daemon in which all is allowed, g.sock one in which RIGHTS are.
start_granted() {
	start_queue q
	"$RAWCLIENT" --grant g.sock q.sock "$1" >/dev/null 3>&- &
	STARTED+=($!)
	wait_until 20 test -S g.sock
}

# denied NAME RIGHT OBJECT COMMAND…
denied() {
	run "${@:4}"
	assert_failure 77
	assert_output --partial "$4: $1: right $2 on $3 is missing"
}

@test "rights: each command that is refused ends with 77, and its message names queue and right" {
	start_granted send:queue:out,recv:queue:in,recv:topic:a.*,admin:queue:mine
	rmq-send in one
	rmq-send secret x
	RMQ_SERVERS=unix:g.sock
	local q
	for q in secret absent; do
		denied $q '"send"' "queue $q" rmq-send $q x
		denied $q '"recv"' "queue $q" rmq-recv -n 1 $q
		denied $q '"recv"' "queue $q" rmq-recv $q -- cat
		denied $q '"recv"' "queue $q" rmq-ack $q:1:1
		denied $q '"admin"' "queue $q" rmq-queue create $q
		denied mine '"send"' "queue $q" rmq-queue create mine --dead-letter $q
		denied $q '"admin"' "queue $q" rmq-queue pause $q
		denied $q '"admin"' "queue $q" rmq-queue cancel $q:1
		denied $q '"recv"' "queue $q" rmq-queue peek $q
		denied $q '"recv"' "queue $q" rmq-queue why $q:1
		denied $q '"send" or "recv"' "queue $q" rmq-queue wait $q empty
		run rmq-queue show $q
		assert_failure 66
		assert_output "rmq-queue: $q: no such queue"
	done
	denied a.b '"send"' "topic a.b" rmq-send -t a.b x
	denied b.# '"recv"' "topic b.#" rmq-recv -n 1 -t 'b.#'
	denied in '"admin"' "queue in" rmq-queue move in out
	# What is allowed goes, and what was refused changed nothing.
	run rmq-recv -n 1 in
	assert_output one
	rmq-queue create mine
	rmq-send out x
	run rmq-queue ls -o queue,ready
	assert_output "$(printf 'in\t0\nmine\t0\nout\t1')"
	RMQ_SERVERS=unix:q.sock
	run rmq-queue ls -o queue,ready
	assert_output "$(printf 'in\t0\nmine\t0\nout\t1\nsecret\t1')"
}
