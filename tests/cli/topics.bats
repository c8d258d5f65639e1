#!/usr/bin/env bats
# Topics: rmq-queue bind, rmq-send -t, rmq-recv -t.

load common

bats_require_minimum_version 1.5.0

holds() {
	[ "$(rmq-queue ls -o queue,ready)" = "$1" ]
}

@test "topics: each queue that is bound gets a message once, and no other one does" {
	start_queue q
	rmq-queue create mail
	rmq-queue create web
	rmq-queue create none
	rmq-queue bind mail 'news.#'
	rmq-queue bind mail 'news.*'
	rmq-queue bind web 'news.eu'
	rmq-queue bind none 'sport.#'
	run rmq-queue bindings
	assert_output "$(printf 'mail\tnews.#\nmail\tnews.*\nnone\tsport.#\nweb\tnews.eu')"
	rmq-send -t news.eu one two
	printf 'three\n' | rmq-send --topic news.us
	holds "$(printf 'mail\t3\nnone\t0\nweb\t2')"
	run rmq-recv --drain mail
	assert_output "$(printf 'one\ntwo\nthree')"
	run rmq-recv --drain web
	assert_output "$(printf 'one\ntwo')"
	rmq-queue unbind mail 'news.*'
	run rmq-queue bindings -j mail
	assert_output '{"queue":"mail","pattern":"news.#"}'
	rmq-queue unbind mail 'news.#'
	rmq-send -t news.eu four
	holds "$(printf 'mail\t0\nnone\t0\nweb\t1')"
}

@test "topics: messages whose attributes differ come to many queues in the order of their lines" {
	start_queue q
	for i in 1 2 3 4 5 6 7 8 9; do
		rmq-queue create "q$i"
		rmq-queue bind "q$i" 'news.#'
	done
	seq 5000 >lines
	awk '{ printf "{\"body\":\"%s\",\"key\":\"k%s\"}\n", $1, $1 }' lines >input
	run rmq-send -J -t news.eu <input
	assert_success
	holds "$(for i in 1 2 3 4 5 6 7 8 9; do printf 'q%s\t5000\n' $i; done)"
	rmq-recv --drain q1 >got
	cmp got lines
	rmq-recv --drain q9 >got
	cmp got lines
}

@test "topics: bindings survive the daemon, and go with their queue" {
	start_queue q
	rmq-queue create a
	rmq-queue bind a 'x.#'
	stop_queue
	start_queue q
	rmq-send -t x.y one
	run rmq-recv --drain a
	assert_output one
	rmq-queue rm a
	run rmq-queue bindings
	assert_output ""
	run rmq-send -t x.y two
	assert_failure 66
}

@test "topics: 66 where no queue is bound, unless it may be" {
	start_queue q
	run rmq-send -t news.eu one two
	assert_failure 66
	assert_output "rmq-send: news.eu: no queue is bound to the topic: 0 of 2 messages stored"
	run rmq-send -t --allow-unrouted news.eu one two
	assert_success
	assert_output ""
	head -c 200000 /dev/zero | rmq-send -w -t --allow-unrouted news.eu
	run rmq-queue ls
	assert_output ""
}

@test "topics: what is no pattern, no topic or no binding is said so" {
	start_queue q
	rmq-queue create q
	run rmq-queue bind q 'a.#.b'
	assert_failure 64
	assert_output "rmq-queue: 'a.#.b' is not a pattern: '#' may only be its last word"
	run rmq-queue bind q 'a..b'
	assert_failure 64
	assert_output "rmq-queue: 'a..b' is not a pattern: it has an empty word"
	run rmq-queue bind q 'a*'
	assert_failure 64
	run rmq-queue bind q 1.2.3.4.5.6.7.8.9.10.11.12.13
	assert_failure 64
	run rmq-queue bind q ''
	assert_failure 64
	run rmq-queue bind other a
	assert_failure 66
	run rmq-queue unbind q a
	assert_failure 66
	assert_output "rmq-queue: q: queue is not bound to the pattern"
	run rmq-queue bindings other
	assert_failure 66
	run rmq-send -t 'a.*' x
	assert_failure 64
	assert_output "rmq-send: 'a.*' is not a topic: its words may be of A-Z a-z 0-9 _ -"
	run rmq-send --allow-unrouted q x
	assert_failure 64
	run rmq-send -t -i a x
	assert_failure 64
	run rmq-recv -t 'a.**'
	assert_failure 64
	run rmq-recv --as x q
	assert_failure 64
}

@test "topics: the sender waits for the one queue that is full" {
	start_queue q
	rmq-queue create --max-bytes 1 small
	rmq-queue create large
	rmq-queue bind small '#'
	rmq-queue bind large '#'
	rmq-send -t a one
	run rmq-send -t --no-wait a two
	assert_failure 75
	assert_output --partial "queue is full: small"
	holds "$(printf 'large\t1\nsmall\t1')"
	rmq-send -t a two &
	STARTED+=($!)
	rmq-recv -1 small
	wait $!
	holds "$(printf 'large\t2\nsmall\t1')"
}

@test "topics: a large message, and a batch of many, come whole to all" {
	start_queue q
	rmq-queue create a
	rmq-queue create b
	rmq-queue bind a 't.#'
	rmq-queue bind b 't.#'
	seq 30000 >lines
	rmq-send -t t.x <lines
	rmq-recv --drain a | cmp - lines
	rmq-recv --drain b | cmp - lines
	seq 30000 | rmq-send -w -t t.x
	rmq-recv -1 --raw a | cmp - lines
	rmq-recv -1 --raw b | cmp - lines
}

@test "topics: a thousand bindings that match one message" {
	start_queue q
	local i
	rmq-queue create many
	for i in {1..60}; do
		rmq-queue create "q$i"
		rmq-queue bind "q$i" 'all.#'
		rmq-queue bind many "all.*.$i"
	done
	rmq-queue bind many 'all.#'
	rmq-send -t all.x.7 one
	[ "$(rmq-queue ls -o ready 'q*' | sort | uniq -c | tr -d ' ')" = 601 ]
	[ "$(rmq-queue show many ready)" = 1 ]
}

# listen: $LISTENER has an ephemeral subscription to news.#, and has received a message.
listen() {
	rmq-recv -t 'news.#' >out 2>err 3>&- &
	LISTENER=$!
	STARTED+=("$LISTENER")
	wait_until 10 subscribed
	rmq-send -t news.eu one
	wait_until 10 grep -qx one out
}

@test "topics: an ephemeral subscription gets what comes while it runs, and ends with it" {
	start_queue q
	listen
	kill -TERM "$LISTENER"
	wait "$LISTENER"
	wait_until 10 holds ""
	run rmq-send -t news.eu two
	assert_failure 66
}

@test "topics: … also when it is killed" {
	start_queue q
	listen
	kill -KILL "$LISTENER"
	wait_until 10 holds ""
}

@test "topics: a durable subscription is a queue, and gets what comes while nobody receives" {
	start_queue q
	rmq-recv -t 'news.#' --as mine --wait 0 || [ $? -eq 1 ]
	rmq-send -t news.eu one
	run rmq-recv -t 'news.#' --as mine -1
	assert_output one
	run rmq-queue bindings
	assert_output "$(printf 'mine\tnews.#')"
	run rmq-recv -t 'x' --as other --no-create --wait 0
	assert_failure 66
}

@test "topics: two receivers of a queue share, two queues are a broadcast" {
	start_queue q
	rmq-recv -t 'n.#' >one 3>&- &
	STARTED+=($!)
	rmq-recv -t 'n.*' >two 3>&- &
	STARTED+=($!)
	wait_until 10 both
	seq 100 | rmq-send -t n.x
	wait_until 10 grep -qx 100 one
	wait_until 10 grep -qx 100 two
	seq 100 | cmp - one
	seq 100 | cmp - two
}

@test "topics: a receiver of a durable subscription that is removed meanwhile ends, and does not wait for ever" {
	start_queue q
	rmq-recv -t 'news.#' --as mine >one 2>err 3>&- &
	local receiver=$!
	STARTED+=("$receiver")
	wait_until 10 subscribed
	rmq-send -t news.eu one
	wait_until 10 grep -qx one one
	kill -STOP "$receiver"
	kill_queue
	start_queue q
	rmq-queue rm --force mine
	kill -CONT "$receiver"
	status_of "$receiver"
	assert_failure 66
	grep -q "mine: no such queue" err
	run rmq-queue ls
	assert_output ""
}

@test "topics: nobody takes the name of an ephemeral subscription" {
	start_queue q
	run rmq-queue create sub-1-0
	assert_failure 64
	assert_output "rmq-queue: sub-1-0: name is for ephemeral subscriptions"
	run rmq-send sub-1-0 x
	assert_failure 64
	run rmq-recv --wait 0 sub-1-0
	assert_failure 64
}

subscribed() {
	rmq-queue bindings -o pattern | grep -qx 'news.#'
}

both() {
	[ "$(rmq-queue bindings | wc -l)" -eq 2 ]
}

@test "topics: a worker takes what comes to a pattern" {
	start_queue q
	rmq-queue create mine
	rmq-queue bind mine 'news.#'
	rmq-send -t news.eu one
	rmq-recv -t 'news.#' --as mine -1 sh -c 'cat; echo " $RMQ_MSG_QUEUE"' >out
	[ "$(cat out)" = "one mine" ]
}
