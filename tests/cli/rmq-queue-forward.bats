#!/usr/bin/env bats
# rmq-queue forward: every promise of rmq-queue(1) about it, in one cell.

load common

bats_require_minimum_version 1.5.0

# start_forwarder [OPTION…]: FORWARDER is its pid; forward.log has what it says.
start_forwarder() {
	rmq-queue forward -v "$@" 2>forward.log 3>&- &
	FORWARDER=$!
	STARTED+=("$FORWARDER")
	wait_until 20 grep -q ready forward.log
}

# is_empty QUEUE: it holds nothing.
is_empty() {
	[ "$(rmq-queue ls -o ready,leased,delayed "$1")" = "$(printf '0\t0\t0')" ]
}

# holds QUEUE N: so many messages are ready in it.
holds() {
	[ "$(rmq-queue ls -o ready "$1")" = "$2" ]
}

@test "rmq-queue forward: that none runs is said in the daemon's log, by ls and by cells, and no longer once one does" {
	start_queue q --cells "a=unix:$PWD/q.sock;b=unix:$PWD/none.sock" --cell a
	rmq-send jobs.at.a.away one two
	wait_until 40 grep -q "1 queue with messages for queues of other cells, as jobs.at.a.away, and nobody takes them" q.log
	run rmq-queue ls --timeout 1s
	assert_output --partial "rmq-queue: cell a: 2 messages for queues of other cells wait here, as in jobs.at.a.away, and nobody takes them there: rmq-queue forward (rmq-forward.service) has to run in each cell"
	run rmq-queue cells --timeout 1s -o cell,untaken
	assert_line --partial "cell a: 2 messages for queues of other cells wait here"
	assert_line "a$(printf '\t')2"
	start_forwarder
	assert_equal "$(rmq-recv -n 2 jobs.at.a)" $'one\ntwo'
	run rmq-queue ls --timeout 1s
	refute_output --partial "nobody takes"
	assert_equal "$(grep -c "nobody takes" q.log)" 1
}

@test "rmq-queue forward: --once ends when all is forwarded, in order, and settled" {
	start_queue q
	local name
	seq 1 20000 | rmq-send many.away
	for name in {100..399}; do
		rmq-send "q$name.away" "$name"
	done
	rmq-queue forward --once
	[ "$(rmq-recv --drain many)" = "$(seq 1 20000)" ]
	for name in {100..399}; do
		holds "q$name" 1
	done
	is_empty many.away
	[ -z "$(rmq-queue ls -o queue,ready,leased '*.away' | grep -v "$(printf '\t0\t0$')")" ]
	rmq-queue forward --once
}

@test "rmq-queue forward: key, priority, headers, id, expiry and a large body go along" {
	start_queue q
	local before after field
	head -c 300000 /dev/zero | tr '\0' z >large
	rmq-send --files --header of=large large.away large
	rmq-send --key k --priority 7 --header a=b --header c=d --expire 1h --id-from hash jobs.away one
	rmq-send --priority 2 jobs.away two
	before=$(rmq-queue peek -j jobs.away)
	rmq-queue forward --once
	after=$(rmq-queue peek -j jobs)
	for field in .body .key .priority .headers .expires; do
		[ "$(jq -c "$field" <<<"$before")" = "$(jq -c "$field" <<<"$after")" ]
	done
	[ "$(jq -c '[.body, .key, .priority, .headers.a]' <<<"$after" | head -n 1)" = '["one","k",7,"b"]' ]
	rmq-send --id-from hash jobs one
	holds jobs 2
	[ "$(rmq-queue peek -j large | jq -r .headers.of)" = large ]
	rmq-recv --drain large | cmp - <(cat large; echo)
}

@test "rmq-queue forward: what is refused for good is a dead letter with the reason, and holds up nothing" {
	start_queue q
	rmq-queue create --max-message 10 small
	printf 'ok\nmuch too long for it\nok2\n' | rmq-send small.away
	rmq-send large.away fine
	run --separate-stderr rmq-queue forward --once
	assert_success
	[[ $stderr = *"small: message is too large"*"dead letters of small.away"* ]]
	[ "$(rmq-recv --drain small)" = "$(printf 'ok\nok2')" ]
	holds large 1
	run rmq-queue peek -j small.away.dead
	assert_output --partial 'forward: message is too large'
	rmq-queue set --max-message 100 small
	rmq-queue redrive small.away
	rmq-queue forward --once
	[ "$(rmq-recv --drain small)" = 'much too long for it' ]
}

@test "rmq-queue forward: what finds no room stays, in order, and is forwarded when there is some" {
	start_queue q
	rmq-queue create --max-bytes 4 full
	rmq-send full taken
	rmq-queue create paused
	rmq-queue pause --in paused
	seq 1 2000 | rmq-send full.away
	rmq-send paused.away later
	rmq-send other.away now
	start_forwarder
	wait_until 20 holds other 1
	kill "$FORWARDER"
	wait "$FORWARDER"
	run rmq-queue forward --once --timeout 1s
	assert_failure 75
	assert_output --partial "nothing was forwarded within 1s"
	holds full 1
	start_forwarder
	rmq-queue set --max-bytes none full
	rmq-queue resume paused
	[ "$(rmq-recv -n 2001 full)" = "$(echo taken; seq 1 2000)" ]
	[ "$(rmq-recv -n 1 paused)" = later ]
}

@test "rmq-queue forward: a queue that comes later, and a daemon that begins anew, are found" {
	start_queue q
	start_forwarder
	rmq-send first.away 1
	[ "$(rmq-recv -n 1 first)" = 1 ]
	kill_queue
	start_queue q
	rmq-send second.away 2
	[ "$(rmq-recv -n 1 second)" = 2 ]
	rmq-send first.away 3
	[ "$(rmq-recv -n 1 first)" = 3 ]
}

@test "rmq-queue forward: more sources than a session may subscribe to get their turn while one is busy" {
	start_queue q
	local i
	seq 1 300000 | rmq-send busy.away
	start_forwarder
	for i in {100..159}; do
		rmq-send "q$i.away" "$i"
	done
	for i in {100..159}; do
		[ "$(rmq-recv -n 1 "q$i")" = "$i" ]
	done
	[ "$(rmq-recv -n 300000 busy | md5sum)" = "$(seq 1 300000 | md5sum)" ]
}

@test "rmq-queue forward: SIGTERM ends it in order, nothing stays leased, and 0" {
	start_queue q
	seq 1 50000 | rmq-send jobs.away
	start_forwarder
	kill "$FORWARDER"
	wait "$FORWARDER"
	[ "$(rmq-queue ls -o leased jobs.away)" = 0 ]
	rmq-queue forward --once
	[ "$(rmq-recv --drain jobs)" = "$(seq 1 50000)" ]
}

@test "rmq-queue forward: it tells systemd that it is ready" {
	start_queue q
	"$RAWCLIENT" --notify first >ready 3>&- &
	local teller=$!
	STARTED+=("$teller")
	wait_until 20 test -S first
	NOTIFY_SOCKET=$PWD/first start_forwarder
	wait "$teller"
	[ "$(head -n 1 ready)" = READY=1 ]
}

@test "rmq-queue forward: a list of cells wants --cell, and --cell one" {
	run rmq-queue forward --once --server 'a=unix:sock;b=unix:other'
	assert_failure 64
	assert_output --partial "say by --cell NAME which is this one"
	run rmq-queue forward --once --cell a --server unix:sock
	assert_failure 64
	assert_output --partial "--cell is for a list of cells"
	run rmq-queue forward --once --cell '-' --server unix:sock
	assert_failure 64
	assert_output --partial "a cell's name"
}

@test "rmq-queue forward: with no daemon --once ends with 69" {
	run rmq-queue forward --once --timeout 100ms --server unix:nowhere
	assert_failure 69
	assert_output --partial "no daemon answers at nowhere"
}

# ---- several cells ----

# cells NAME…: a daemon each, and a forwarder, whose pid is in FORWARDERS[NAME]; RMQ_SERVERS is the first one.
declare -gA FORWARDERS
cells() {
	local name list=
	for name in "$@"; do
		list=$list${list:+;}$name=unix:$PWD/$name.sock
	done
	for name in "$@"; do
		start_queue "$name" --cells "$list" --cell "$name"
		RMQ_SERVERS=unix:$PWD/$name.sock
		rm -f forward.log
		start_forwarder
		FORWARDERS[$name]=$FORWARDER
	done
	export RMQ_SERVERS=unix:$PWD/$1.sock
}

# arrives QUEUE TEXT: within a while it is handed out, exactly once.
arrives() {
	[ "$(rmq-recv -n 1 "$1")" = "$2" ]
	[ -z "$(rmq-recv --drain "$1")" ]
}

@test "rmq-queue forward: further targets, dead letters and topics come to queues of other cells" {
	cells a b
	rmq-send jobs.at.a m
	rmq-recv -n 1 --to out.at.b jobs.at.a cat
	arrives out.at.b m
	rmq-queue create --dead-letter graves.at.b --max-attempts 1 bad.at.a
	rmq-send bad.at.a dead
	run rmq-recv -n 1 bad.at.a false
	arrives graves.at.b dead
	rmq-queue create here.at.a
	rmq-queue create there.at.b
	rmq-queue bind here.at.a 'ev.#'
	rmq-queue bind there.at.b 'ev.#'
	seq 1 5000 | rmq-send -t ev.some
	[ "$(rmq-recv -n 5000 here.at.a)" = "$(seq 1 5000)" ]
	[ "$(rmq-recv -n 5000 there.at.b)" = "$(seq 1 5000)" ]
	head -c 200000 /dev/zero | tr '\0' l >large
	rmq-send -t ev.large --whole <large
	rmq-recv -n 1 there.at.b | cmp - <(cat large; echo)
}

@test "rmq-queue forward: a cell that is down holds up no other, and gets its own when it is back" {
	local i list
	cells a b c
	list="a=unix:$PWD/a.sock;b=unix:$PWD/b.sock;c=unix:$PWD/c.sock"
	kill_queue
	for i in {1..40}; do
		rmq-send "q$i.at.c.away" "$i"
	done
	for i in {1..40}; do
		rmq-send "q$i.at.b.away" "$i"
	done
	for i in {1..40}; do
		arrives "q$i.at.b" "$i"
	done
	start_queue c --cells "$list" --cell c
	RMQ_SERVERS=unix:$PWD/a.sock
	for i in {1..40}; do
		arrives "q$i.at.c" "$i"
	done
}

@test "rmq-queue forward: it follows a queue that moves, and ends with 75 when the list changes" {
	local i status=0
	cells a b
	rmq-queue create q.at.b
	rmq-queue bind q.at.b 'ev.#'
	for i in {1..10}; do
		seq "$((i * 100))" "$((i * 100 + 99))" | rmq-send -t ev.x
		rmq-queue move-cell -q q.at.b "$([ "$(rmq-queue cell q.at.b)" = a ] && echo b || echo a)"
	done
	[ "$(rmq-recv -n 1000 q.at.b | sort -n)" = "$(seq 100 1099)" ]
	[ -z "$(rmq-recv --drain q.at.b)" ]
	stop_queue
	start_queue b --cells "b=unix:$PWD/b.sock" --cell b
	rmq-send none.away x
	wait "${FORWARDERS[b]}" || status=$?
	[ "$status" -eq 75 ]
}

@test "rmq-queue forward: what is bound again is bound in a cell that was added" {
	local list
	list="a=unix:$PWD/a.sock;b+=unix:$PWD/b.sock"
	start_queue a
	rmq-queue create q
	rmq-queue bind q 'ev.#'
	stop_queue
	start_queue a --cells "$list" --cell a
	start_queue b --cells "$list" --cell b
	start_forwarder
	run rmq-send -t ev.at.b 1
	assert_failure 66
	RMQ_SERVERS=unix:$PWD/a.sock
	rmq-queue bindings -o queue,pattern | grep -v '\.away' | xargs -n 2 rmq-queue bind
	rmq-send -t ev.at.b 2
	arrives q 2
}
