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

# other COMMAND…: as somebody else, in the queue of $PUBLIC.
other() {
	"${OTHER[@]}" env RMQ_SERVERS="unix:$PUBLIC/q.sock" "$PUBLIC/$1" "${@:2}"
}

# grants LINE…: the file of rights, whole at any time.
grants() {
	printf '%s\n' "$@" >rights.new
	mv rights.new rights
}

@test "rights: users of this machine may do what the file says, as it says at the newest SIGHUP" {
	public_dir rmq-send rmq-recv rmq-queue
	grants 'send queue="out" user:65534' 'recv queue="in,secret" group:65534'
	start_queue q --rights rights -l "$PUBLIC/q.sock"
	chmod 666 "$PUBLIC/q.sock"
	RMQ_SERVERS=unix:$PUBLIC/q.sock
	# Our own user may do all.
	rmq-send secret one
	other rmq-send out two
	run other rmq-send secret three
	assert_failure 77
	assert_output --partial 'right "send" on queue secret is missing'
	run other rmq-queue ls -o queue
	assert_output "$(printf 'out\nsecret')"
	# It waits for messages, and may do so no more; a bad file changes nothing.
	other rmq-recv in >in 2>in.err 3>&- &
	local waits=$!
	STARTED+=("$waits")
	receives() { [ "$(rmq-queue ls -o queue,receivers "$1")" = "$1"$'\t1' ]; }
	wait_until 20 receives in
	grants 'send queue="out" user:65534' 'recv queue="in'
	kill -HUP "$QUEUE_PID"
	wait_until 20 grep -q "rights:2: " q.log
	: >rights
	kill -HUP "$QUEUE_PID"
	wait_until 20 grep -q "rights: it grants nothing: if this is meant, add the line: none; the rights stay" q.log
	other rmq-send out two
	grants 'send queue="out" user:65534' "recv queue=\"secret\" expires=\"$(date -u -d '+1 second' +%FT%TZ)\" user:65534"
	kill -HUP "$QUEUE_PID"
	local status=0
	wait "$waits" || status=$?
	assert_equal "$status" 77
	run cat in.err
	assert_output --partial 'right "recv" on queue in is missing'
	# This right ends by itself.
	run other rmq-recv secret
	assert_failure 77
	assert_output --partial 'right "recv" on queue secret is missing'
	# Nor does a file that is wrong let anything begin.
	run rmq-queued -d p --init --rights none -- true
	assert_failure 78
	assert_output --partial "rmq-queued: none: "
}
