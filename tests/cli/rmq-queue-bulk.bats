#!/usr/bin/env bats
# rmq-queue: what is done with dead letters and with messages in bulk: count, move, redrive.

load common

bats_require_minimum_version 1.5.0

# bury QUEUE WHY: all ready messages of the queue become dead letters.
bury() {
	rmq-recv --drain --ack manual -o receipt "$1" | rmq-ack --dead="$2"
}

@test "rmq-queue count: by reason, key and header, the most frequent first, as table and JSON" {
	start_queue q
	rmq-send -H kind=mail jobs 1 2 3
	rmq-send -H kind=sms jobs 4
	rmq-send jobs 5
	run rmq-queue count --by header:kind jobs
	assert_output "$(printf 'mail\t3\n-\t1\nsms\t1')"
	rmq-ack --dead=odd "$(rmq-recv -1 --ack manual -o receipt jobs)"
	bury jobs broken
	run rmq-queue count --by reason jobs.dead
	assert_output "$(printf 'broken\t4\nodd\t1')"
	run rmq-queue count --by reason -o messages jobs.dead
	assert_output "$(printf '4\n1')"
	run rmq-queue count --by reason -j jobs.dead
	assert_line --index 0 '{"value":"broken","messages":4}'
	run rmq-queue count --by key jobs.dead
	assert_output "$(printf -- '-\t5')"
	run -64 rmq-queue count jobs
	run -64 rmq-queue count --by nonsense jobs
	run -64 rmq-queue count --by key -o nonsense jobs
	run -66 rmq-queue count --by key nope
}

@test "rmq-queue count: more messages than one answer holds, also large ones" {
	start_queue q
	seq 1000 | rmq-send -H a=b jobs
	head -c 200000 /dev/zero | tr '\0' x | rmq-send -w -H a=c jobs
	run rmq-queue count --by header:a jobs
	assert_output "$(printf 'b\t1000\nc\t1')"
}

@test "rmq-queue move: all that is ready goes, in order, and keeps its attributes" {
	start_queue q
	seq 3000 | rmq-send -H kind=mail jobs
	rmq-queue create other
	run rmq-queue move jobs other
	assert_success
	assert_output "rmq-queue: jobs: 3000 messages moved"
	[ "$(rmq-queue show jobs ready)" = 0 ]
	[ "$(rmq-queue show other ready)" = 3000 ]
	# What is too large for it stays, in pieces or in a batch; so does what is leased.
	rmq-send jobs x
	timeout 10 rmq-recv -1 --ack manual jobs
	head -c 200000 /dev/zero | rmq-send -w jobs
	rmq-queue create --max-message 150K no-pieces
	run -65 rmq-queue move jobs no-pieces
	assert_line "rmq-queue: jobs: 0 messages moved"
	assert_line "rmq-queue: jobs: 1 message stays: it is larger than --max-message of no-pieces, 153600 bytes"
	assert_line "rmq-queue: jobs: 1 message stays: it is leased or delayed"
	rmq-queue create --max-message 3 short
	run -65 rmq-queue move other short
	assert_line "rmq-queue: other: 999 messages moved"
	assert_line --partial "2001 messages stay"
	[ "$(rmq-queue peek -n 1 other)" = 1000 ]
	rmq-recv -n 2000 other | cmp - <(seq 1000 2999)
	[ "$(rmq-queue count --by header:kind other)" = "$(printf 'mail\t1')" ]
	kill_queue
	start_queue q
	[ "$(rmq-queue peek other)" = 3000 ]
	[ "$(rmq-queue show jobs ready)" = 1 ]
}

@test "rmq-queue move: what is leased stays, 75; no queue is 66, its own 64, a full one 75" {
	start_queue q
	rmq-send jobs 1 2
	rmq-queue create other
	timeout 10 rmq-recv -1 --ack manual jobs
	run -75 rmq-queue move jobs other
	assert_line "rmq-queue: jobs: 1 message moved"
	assert_line "rmq-queue: jobs: 1 message stays: it is leased or delayed"
	run -66 rmq-queue move jobs nope
	assert_output "rmq-queue: jobs: no such queue to move messages to"
	run -66 rmq-queue move nope other
	run -64 rmq-queue move other other
	run -64 rmq-queue move other a/b
	run -64 rmq-queue move other
	rmq-queue create --max-bytes 1 full
	rmq-send full x
	run -75 rmq-queue move --timeout 200ms other full
	assert_output --partial "is full"
	# It goes on when there is room.
	rmq-queue move other full 3>&- &
	mover=$!
	STARTED+=("$mover")
	rmq-queue purge full
	status_of "$mover"
	assert_success
	[ "$(rmq-queue peek full)" = 2 ]
}

# losing TYPE COMMAND…: by a connection that loses the first frame of this type.
losing() {
	local type=$1
	shift
	rm -f lost.sock
	loser lost.sock "${RMQ_SERVERS#unix:}" "$type" >loser.log 2>&1 3>&- &
	STARTED+=($!)
	wait_until 5 test -S lost.sock
	status=0
	RMQ_SERVERS=unix:lost.sock "$@" >told 2>&1 || status=$?
	output=$(cat told)
}

@test "rmq-queue redrive, move: when an answer is lost, no more go than are wanted, and it is said so" {
	local transferred=94
	start_queue q
	seq 600 | rmq-send -q jobs
	bury jobs broken
	losing "$transferred" rmq-queue redrive -n 10 jobs
	assert_success
	assert_output "rmq-queue: jobs.dead: at least 0 messages redriven, more if the daemon did so before the connection was lost"
	[ "$(rmq-queue show jobs ready)" = 10 ]
	rmq-queue create other
	losing "$transferred" rmq-queue move jobs other
	assert_success
	assert_output --partial "jobs: at least 0 messages moved, more if"
	[ "$(rmq-queue show other ready)" = 10 ]
}

@test "rmq-queue redrive: dead letters go back where they came from, and only so often" {
	start_queue q
	rmq-send jobs 1 2 3
	bury jobs broken
	run rmq-queue redrive jobs
	assert_output "rmq-queue: jobs.dead: 3 messages redriven"
	run rmq-queue peek -j -n 1 jobs
	[ "$(jq -r '[.body, .failures, .note] | join(",")' <<<"$output")" = "1,0,redriven 1 time" ]
	bury jobs again
	rmq-queue redrive -q --max-redrives 2 jobs
	bury jobs again
	run rmq-queue redrive --max-redrives 2 jobs
	assert_output "rmq-queue: jobs.dead: 0 messages redriven, 3 stay: redriven 2 times already, or their queue is gone"
	kill_queue
	start_queue q
	# Once more by default, and with that no more.
	rmq-queue redrive -q jobs
	[ "$(rmq-queue show jobs ready)" = 3 ]
	bury jobs again
	rmq-queue redrive -q jobs
	[ "$(rmq-queue show jobs.dead ready)" = 3 ]
}

@test "rmq-queue redrive: from a shared dead-letter queue only its own, or each to its own" {
	start_queue q
	rmq-queue create --dead-letter graves.dead a
	rmq-queue create --dead-letter graves.dead b
	rmq-send a 1 2
	rmq-send b 3
	bury a x
	bury b x
	run rmq-queue redrive --dry-run graves.dead
	assert_output "$(printf 'graves.dead:1\ta\ngraves.dead:2\ta\ngraves.dead:3\tb')"
	rmq-queue redrive -q a
	[ "$(rmq-queue show a ready) $(rmq-queue show b ready)" = "2 0" ]
	bury a x
	rmq-queue redrive -q graves.dead
	[ "$(rmq-queue show a ready) $(rmq-queue show b ready)" = "2 1" ]
	bury b x
	rmq-queue rm b
	run rmq-queue redrive graves.dead
	assert_output --partial "0 messages redriven, 1 stays: redriven"
	run -66 rmq-queue redrive b
	rmq-queue create --dead-letter none none
	run -66 rmq-queue redrive none
	assert_output "rmq-queue: none: has no dead-letter queue"
	rmq-queue create fresh
	rmq-queue redrive -q fresh
}

@test "rmq-queue redrive: --match, -n and --rate choose, --dry-run only says" {
	start_queue q
	rmq-send -H kind=mail jobs 1
	rmq-send -H kind=sms jobs 2
	rmq-send -H kind=mail jobs 3 4
	bury jobs x
	run rmq-queue redrive --dry-run --match kind=mail -n 2 jobs
	assert_output "$(printf 'jobs.dead:1\tjobs\njobs.dead:3\tjobs')"
	[ "$(rmq-queue show jobs ready)" = 0 ]
	rmq-queue redrive -q --match kind=mail -n 2 jobs
	[ "$(rmq-queue peek jobs | paste -sd,)" = "1,3" ]
	begin=${EPOCHREALTIME/[.,]/}
	rmq-queue redrive -q --rate 10/s jobs
	[ "$(rmq-queue peek jobs | paste -sd,)" = "1,3,2,4" ]
	((${EPOCHREALTIME/[.,]/} - begin >= 100000))
	for bad in "--match kind" "--match =x" "-n 0" "--rate 5" "--rate 0/s" "--max-redrives 0"; do
		run -64 rmq-queue redrive $bad jobs
	done
}

@test "rmq-queue why: says where a message is, or that it is dead or gone" {
	start_queue q
	rmq-queue create --backoff 1h,1h jobs
	rmq-send jobs 1 2 3
	run rmq-queue why jobs:2
	assert_line "$(printf 'state\tready')"
	assert_line "$(printf 'attempt\t0')"
	assert_line "$(printf 'receipt\t-')"
	receipt=$(timeout 10 rmq-recv -1 --ack manual -o receipt jobs)
	run rmq-queue why -o state,receipt jobs:1
	assert_output "$(printf 'state\tleased\nreceipt\t%s' "$receipt")"
	rmq-ack --dead=odd "$receipt"
	run rmq-queue why -o state,dead-letter,note jobs:1
	assert_output "$(printf 'state\tdead\ndead-letter\tjobs.dead:1\nnote\tjobs:1 odd')"
	rmq-ack --fail "$(rmq-recv -1 --ack manual -o receipt jobs)"
	run rmq-queue why -j jobs:2
	[ "$(jq -c '[.state, .failures, (.until | length)]' <<<"$output")" = '["delayed",1,24]' ]
	timeout 10 rmq-recv -1 jobs
	run rmq-queue why jobs:3
	assert_line "$(printf 'state\tgone')"
	assert_line "$(printf 'time\t-')"
	run -66 rmq-queue why jobs:4
	assert_output "rmq-queue: jobs:4: no such message: no message has had this number yet"
	run -66 rmq-queue why nope:1
	for bad in jobs jobs: jobs:x jobs:0 :1 a/b:1; do
		run -64 rmq-queue why "$bad"
	done
}

@test "rmq-queue why: says what a message waits for" {
	start_queue q
	rmq-send -k a jobs 1 2
	rmq-send -d 1h jobs 3
	rmq-send jobs 4
	[ "$(rmq-queue why -o waits jobs:1)" = "$(printf 'waits\treceiver: there is none')" ]
	receipt=$(timeout 10 rmq-recv -1 --ack manual -o receipt jobs)
	run rmq-queue why jobs:2
	assert_line "$(printf 'waits\tkey: jobs:1 is leased, receipt %s' "$receipt")"
	[ "$(rmq-queue why -j jobs:1 | jq .waits)" = null ]
	[ "$(rmq-queue why -j jobs:3 | jq -r .waits)" = "delay: it was sent with one" ]
	rmq-queue set --max-inflight 1 --rate 1/h jobs
	[ "$(rmq-queue why -j jobs:4 | jq -r .waits)" = "max-inflight: the limit is reached, 1" ]
	rmq-ack --release --delay 1h "$receipt"
	[ "$(rmq-queue why -j jobs:2 | jq -r .waits)" = "key: jobs:1 is delayed" ]
	[ "$(rmq-queue why -j jobs:1 | jq -r .waits)" = "back-off: it was given back, or failed" ]
	timeout 10 rmq-recv -1 jobs
	rmq-send jobs 5
	run rmq-queue why -o waits jobs:5
	assert_output --regexp "rate: that of the queue, until 20.*Z"
	rmq-queue pause jobs
	[ "$(rmq-queue why -j jobs:5 | jq -r .waits)" = "paused: the queue is, or it moves to another cell" ]
}

# life ID: what happened to it, word by word
life() {
	rmq-queue why -j "$1" | jq -r '[.history[] | .what + (if .failures > 0 then (.failures | tostring) else "" end)] | join(" ")'
}

@test "rmq-queue why: tells the life of a message that fails twice and is a dead letter then" {
	start_queue q
	rmq-queue create jobs --max-attempts 2 --backoff 1ms,1ms
	rmq-send jobs one
	for _ in 1 2; do
		rmq-ack --fail "$(timeout 10 rmq-recv -1 --ack manual -o receipt jobs)"
	done
	[ "$(life jobs:1)" = "sent leased extended failed1 delay-over1 leased1 extended1 dead-lettered1" ]
	[ "$(rmq-queue why -j jobs:1 | jq -r '.history[-1] | .message + " " + .note + " " + .state')" = "jobs.dead:1 too many failures gone" ]
	[ "$(rmq-queue why -j jobs:1 | jq -r '[.history[].time] | . == sort')" = true ]
	[ "$(life jobs.dead:1)" = "arrived2" ]
	rmq-queue redrive -q jobs
	[ "$(rmq-queue why jobs.dead:1 | tail -n 1 | cut -f 2,3)" = "$(printf 'moved\tto jobs:2, redriven 1 time')" ]
	run rmq-queue why jobs:2
	assert_line --regexp "^[0-9TZ:.-]+	arrived	from jobs\.dead:1, redriven 1 time$"
	assert_line "$(printf 'state\tready')"
}

@test "rmq-queue why: tells how a message ended, also that of a queue that is gone" {
	start_queue q
	rmq-send jobs settled
	rmq-send -e 1ms jobs expired
	rmq-send -k k jobs replaced
	rmq-send -k k --replace -d 1h jobs cancelled
	timeout 10 rmq-recv -1 jobs
	[ "$(life jobs:1)" = "sent leased settled" ]
	rmq-queue wait jobs below=2
	[ "$(life jobs:2)" = "sent expired" ]
	[ "$(life jobs:3)" = "sent replaced" ]
	rmq-queue cancel jobs:4
	[ "$(rmq-queue why jobs:4 | tail -n 2 | cut -f 2)" = "$(printf 'sent\ncancelled')" ]
	[ "$(rmq-queue why -o state jobs:4)" = "$(printf 'state\tgone')" ]
	[ "$(rmq-queue why -j -o state jobs:4)" = '{"state":"gone"}' ]
	run rmq-queue stat -j jobs
	[ "$(jq -c '[.sent, .settled, .expired, .replaced, .cancelled, .moved]' <<<"$output")" = "[4,1,1,1,1,0]" ]
	[ "$(rmq-queue show jobs expired moved | paste -sd ' ')" = "1 0" ]
	rmq-send jobs removed
	rmq-queue rm --force jobs
	[ "$(life jobs:5)" = "sent queue-removed" ]
	run -66 rmq-queue why nope:1
	assert_output "rmq-queue: nope: no such queue"
}

@test "rmq-queue why: a life begins with the newest checkpoint" {
	start_queue q
	rmq-send jobs one two
	receipt=$(timeout 10 rmq-recv -1 --ack manual --lease 1h -o receipt jobs)
	stop_queue
	start_queue q
	[ "$(rmq-queue why jobs:1 | tail -n 1 | cut -f 2,3 | cut -d , -f 1-3)" = "$(printf 'checkpoint\tleased, lease 1, attempt 1')" ]
	rmq-ack "$receipt"
	[ "$(life jobs:1)" = "checkpoint settled" ]
	[ "$(life jobs:2)" = "checkpoint" ]
}

@test "rmq-queue cancel: messages are gone, also leased ones; others are named, 66" {
	start_queue q
	rmq-send jobs 1 2 3 4
	rmq-send other 1
	receipt=$(timeout 10 rmq-recv -1 --ack manual -o receipt jobs)
	rmq-queue cancel jobs:3 other:1 jobs:1 jobs:3
	[ "$(rmq-queue peek jobs | paste -sd,)" = "2,4" ]
	[ "$(rmq-queue show other ready)" = 0 ]
	run -1 rmq-ack "$receipt"
	run -66 rmq-queue cancel jobs:3 jobs:4 jobs:9
	assert_line "rmq-queue: jobs:3: no such message"
	assert_line "rmq-queue: jobs:9: no such message"
	[ "$(rmq-queue peek jobs)" = 2 ]
	run -66 rmq-queue cancel nope:1
	# What is missing holds up no other.
	rmq-send zzz a
	run -66 rmq-queue cancel nope:1 zzz:1
	assert_output "rmq-queue: nope: no such queue"
	[ "$(rmq-queue show zzz ready)" = 0 ]
	for bad in jobs jobs:x :1 "jobs:2 jobs"; do
		run -64 rmq-queue cancel $bad
	done
	[ "$(rmq-queue peek jobs)" = 2 ]
	run -64 rmq-queue cancel
}
