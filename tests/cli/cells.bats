#!/usr/bin/env bats
# Several daemons as cells: whichever a client asks first, it comes to the one where its queue lives.

bats_require_minimum_version 1.5.0
load common

# cells NAME…: a daemon each, with the list $CELLS, which is made of these names unless it is set; NAME+ is
# one that does not hash.  The last one that was started is not where RMQ_SERVERS points: that is the first one.
cells() {
	local name
	for name in "$@"; do
		LIST=${LIST:-}${LIST:+;}${name%+}${name#"${name%+}"}=unix:$PWD/${name%+}.sock
	done
	CELLS=${CELLS:-$LIST}
	for name in "$@"; do
		cell "${name%+}"
	done
	at "${1%+}"
}

# cell NAME [LIST]: its daemon, with another list than $CELLS; its pid is in PID[NAME].
declare -gA PID
cell() {
	start_queue "$1" --cells "${2:-$CELLS}" --cell "$1"
	PID[$1]=$QUEUE_PID
}

# at NAME: the only contact point from now on.
at() {
	export RMQ_SERVERS=unix:$PWD/$1.sock
}

# in_cell NAME: its queues, whatever the other cells have; a word each, in order.
in_cell() {
	rmq-journal stat --queues "$1" | cut -f 1 | grep -v '\.away$' | sort | paste -sd' '
}

@test "cells: a queue lives at its home, whichever daemon is asked; each cell has some" {
	local n name count=0
	cells a b c
	for n in {1..30}; do
		rmq-send "q$n" "$n"
	done
	for name in a b c; do
		set -- $(in_cell "$name")
		[ $# -ge 3 ]
		count=$((count + $#))
	done
	assert_equal "$count" 30
	at b
	for n in {1..30}; do
		run -0 rmq-recv -1 "q$n"
		assert_output "$n"
	done
	# A list of their own says the same.
	export RMQ_SERVERS=$CELLS
	for n in {1..30}; do
		run -0 rmq-send "q$n" again
	done
	count=$(for name in a b c; do in_cell "$name"; done | wc -w)
	assert_equal "$count" 30
}

@test "cells: commands and requests of all kinds come to the queue's cell" {
	cells a b
	seq 1 5 | rmq-send jobs.at.b
	assert_equal "$(in_cell b)" jobs.at.b
	assert_equal "$(in_cell a)" ""
	run -0 rmq-queue show jobs.at.b ready
	assert_output 5
	run -0 rmq-queue peek jobs.at.b
	assert_line --index 0 --partial 1
	run -0 rmq-recv --ack manual -o receipt -n 2 jobs.at.b
	printf '%s\n' "${lines[@]}" | rmq-ack
	run -0 rmq-queue show jobs.at.b ready leased
	assert_output $'3\n0'
	rmq-queue set --lease 7s jobs.at.b
	run -0 rmq-queue show jobs.at.b lease
	assert_output 7s
	run -0 rmq-queue cancel jobs.at.b:3
	run -0 rmq-queue purge jobs.at.b
	run -0 rmq-queue check jobs.at.b --max-ready 1
	run -0 rmq-queue rm jobs.at.b
	assert_equal "$(in_cell b)" ""
	run -66 rmq-recv --no-create -1 jobs.at.b
	rmq-queue create jobs.at.b
	assert_equal "$(in_cell b)" jobs.at.b
}

@test "cells: receipts of several cells are settled in one run" {
	cells a b
	for name in a b; do
		seq 1 3 | rmq-send "jobs.at.$name"
		rmq-recv --ack manual -o receipt -n 3 "jobs.at.$name" >>receipts
	done
	# In turns.
	sort -t: -k2,2n receipts | rmq-ack
	for name in a b; do
		run -0 rmq-queue show "jobs.at.$name" ready leased
		assert_output $'0\n0'
	done
}

@test "cells: a queue moves while lines run through it, and none is lost or comes twice" {
	cells a b
	rmq-queue create lines.at.a
	rmq-recv -n 60000 lines.at.a >received 3>&- &
	STARTED+=($!)
	seq 1 60000 | while IFS= read -r n; do
		echo "$n"
	done | rmq-send lines.at.a 3>&- &
	local sender=$!
	STARTED+=("$sender")
	some() { [ -s received ]; }
	wait_until 20 some
	rmq-queue move-cell lines.at.a b
	wait "$sender"
	wait "${STARTED[-2]}"
	cmp received <(seq 1 60000)
	assert_equal "$(in_cell a)" ""
	assert_equal "$(in_cell b)" lines.at.a
	# It stays there through restarts of both, and can come back.
	kill_queue "${PID[a]}"
	kill_queue "${PID[b]}"
	cell a
	cell b
	at a
	rmq-send lines.at.a one
	assert_equal "$(in_cell b)" lines.at.a
	rmq-queue move-cell lines.at.a a
	assert_equal "$(in_cell a)" lines.at.a
	assert_equal "$(in_cell b)" ""
	at b
	run -0 rmq-recv --drain lines.at.a
	assert_output one
}

@test "cells: while a cell is down its queues wait, and the others go on" {
	cells a b
	rmq-send jobs.at.b one
	rmq-send jobs.at.a one
	kill_queue "${PID[b]}"
	run -0 rmq-send jobs.at.a two
	run -75 rmq-send --timeout 500ms jobs.at.b two
	assert_output --partial "$PWD/b.sock"
	run -75 rmq-queue ls -o queue
	assert_line jobs.at.a
	# Who has waited goes on when it is back.
	rmq-send jobs.at.b two 2>err 3>&- &
	STARTED+=($!)
	cell b
	status_of "${STARTED[-2]}"
	at a
	run -0 rmq-recv -n 2 jobs.at.b
	assert_output $'one\ntwo'
}

@test "cells: with a list a client comes to a queue though another cell is down" {
	cells a b
	export RMQ_SERVERS=$CELLS
	rmq-send jobs.at.b one
	kill_queue "${PID[a]}"
	run -0 rmq-recv -1 jobs.at.b
	assert_output one
	run -75 rmq-send --timeout 500ms jobs.at.a one
}

@test "cells: what a daemon cannot go by is refused when it starts" {
	run -64 rmq-queued -d q --init -l q.sock --cells 'a=h1;b=h2'
	assert_line --partial "--cells and --cell go together"
	run -64 rmq-queued -d q --init -l q.sock --cell a
	run -64 rmq-queued -d q --init -l q.sock --cells 'a=h1;b=h2' --cell c
	assert_line "rmq-queued: --cells: the list has no cell of the name c, which this one is to be"
	run -64 rmq-queued -d q --init -l q.sock --cells 'a=h1;a=h2' --cell a
	run -64 rmq-queued -d q --init -l q.sock --cells 'a=h1;b=exec:ssh h2' --cell a
	assert_line "rmq-queued: --cells: cell b: exec:ssh h2: no client runs a command that a daemon tells it; set it in RMQ_SERVERS"
	run -64 rmq-queued -d q --init -l q.sock --cells 'a=h1;b=unix:q.sock' --cell a
	assert_line "rmq-queued: --cells: cell b: unix:q.sock: clients start in other directories: a path begins with /"
	[ ! -e q ]
	run -64 rmq-send -S 'a=unix:a;a=unix:b' jobs one
	run -64 rmq-send -S 'a=unix:a;b=' jobs one
}

# in_a_circle: daemons a and b that send each other all that is at home in a cell x; it_is_b mends that.
in_a_circle() {
	cell a "a=unix:$PWD/a.sock;x=unix:$PWD/b.sock"
	cell b "b=unix:$PWD/b.sock;x=unix:$PWD/a.sock"
	at a
}

it_is_b() {
	stop_queue "${PID[b]}"
	start_queue b --cells "a=unix:$PWD/a.sock;x=unix:$PWD/b.sock" --cell x
	at a
}

@test "cells: daemons that send a client in a circle are named, and nothing is taken" {
	in_a_circle
	run -75 rmq-send --timeout 2s jobs.at.x one
	assert_line --index 0 --partial "waiting: cells send it from one to the other for queue jobs.at.x, now from "
	assert_line --index 1 --partial "rmq-send: jobs.at.x: cells send it from one to the other"
	run -75 --separate-stderr rmq-send -q --no-wait jobs.at.x one
	[ "$(wc -l <<<"$stderr")" = 1 ]
	[[ $stderr = *"cells send it from one to the other"* ]]
	run -75 rmq-recv -1 --timeout 1s jobs.at.x
	assert_line --partial "cells send it from one to the other for queue jobs.at.x"
	run -75 rmq-queue create --timeout 1s jobs.at.x
	assert_line --partial "cells send it from one to the other for queue jobs.at.x"
	assert_equal "$(in_cell a)$(in_cell b)" ""
}

@test "cells: clients that are sent in a circle wait until lists do not contradict each other any more" {
	in_a_circle
	rmq-send jobs.at.x one 2>send.err 3>&- &
	STARTED+=($!)
	rmq-recv jobs.at.x >recv.out 2>recv.err 3>&- &
	STARTED+=($!)
	rmq-queue create --timeout 1m more.at.x 2>create.err 3>&- &
	STARTED+=($!)
	for name in send recv create; do
		wait_until 20 grep -q "waiting: cells send it from one to the other" $name.err
	done
	it_is_b
	wait "${STARTED[-4]}"
	wait "${STARTED[-2]}"
	wait_until 20 grep -qx one recv.out
	for name in send recv create; do
		assert_equal "$(grep -c waiting: $name.err)" 1
	done
	# The other one where b took so long to start that it was waited for.
	wait_until 20 grep -Eq "going on: a cell has the queue|the daemon at .*sock answers" recv.err
}

@test "cells: a forwarder brings other queues what is theirs while cells contradict each other about one" {
	in_a_circle
	rmq-send jobs.at.x.away one
	rmq-send more.away two
	rmq-queue forward 2>forward.err 3>&- &
	STARTED+=($!)
	wait_until 20 grep -q "^rmq-queue: jobs.at.x: cells send it.* waits, and is tried again" forward.err
	assert_equal "$(rmq-recv -1 more)" two
	rmq-send late.at.x.away three
	rmq-send third.away four
	assert_equal "$(rmq-recv -1 third)" four
	it_is_b
	assert_equal "$(rmq-recv -1 jobs.at.x)" one
	assert_equal "$(rmq-recv -1 late.at.x)" three
	kill -0 "${STARTED[-2]}"
}

@test "cells: a list that changes moves nothing, and is safe while daemons have different ones" {
	local new n
	CELLS="a=unix:$PWD/a.sock;c+=unix:$PWD/c.sock"
	cells a c
	for n in {1..20}; do
		rmq-send "q$n" "$n"
	done
	assert_equal "$(in_cell c)" ""
	new="a=unix:$PWD/a.sock;c=unix:$PWD/c.sock"
	rmq-queue cells --homes "$new" >homes
	[ "$(wc -l <homes)" -ge 3 ]
	xargs -n 2 rmq-queue move-cell <homes
	assert_equal "$(in_cell c | wc -w)" "$(wc -l <homes)"
	# The one that loses names has the new list first: new names wait until the other one has it.
	stop_queue "${PID[a]}"
	cell a "$new"
	at a
	for n in {21..30}; do
		rmq-send "q$n" "$n" 2>>err 3>&- &
		STARTED+=($!)
	done
	[ -z "$(rmq-queue cells --homes "$new")" ]
	stop_queue "${PID[c]}"
	cell c "$new"
	for i in "${STARTED[@]: -11:10}"; do
		wait "$i"
	done
	assert_equal "$( (in_cell a && in_cell c) | wc -w)" 30
	for n in {1..30}; do
		at a
		run -0 rmq-recv -1 "q$n"
		assert_output "$n"
		at c
		run -1 rmq-recv --no-create -1 --wait 0 "q$n"
	done
}

@test "cells: a queue that exists stays where it is, whatever the list says" {
	start_queue a
	rmq-send jobs.at.b one
	stop_queue
	cells a b
	run -0 rmq-recv -1 jobs.at.b
	assert_output one
	assert_equal "$(in_cell b)" ""
	grep -q "jobs.at.b" a.log
}

@test "cells: clients that do not know of cells are refused, and told why" {
	cells a b
	run raw hello 0 send 1 jobs.at.b one expect FAILED
	assert_output --partial "queue is in another cell"
	assert_equal "$(in_cell a)" ""
}

# gated NAME…: a gate in front of each of these daemons, at GATE[NAME], and a key for clients; no gate is known.
declare -gA GATE
gated() {
	local name port line
	export XDG_CONFIG_HOME=$PWD/config HOME=$PWD/home
	unset RMQ_KEYFILE RMQ_KNOWN_NODES
	mkdir -p config/rmq
	rmq-keygen config/rmq/key >me.pub
	printf 'admin queue="*" %s me\n' "$(cat me.pub)" >rights
	for name in "$@"; do
		rmq-keygen "$name.key" >"$name.pub"
		port=${GATE[$name]#*:}
		mkfifo "$name.gate"
		rmq-gated --name "$name" --key "$name.key" --control none --queue-socket "$name.sock" \
			--rights rights --gate-listen "127.0.0.1:$port" --ready-fd 9 \
			>>"$name.log" 2>&1 3>&- 9>"$name.gate" </dev/null &
		STARTED+=($!)
		IFS= read -r -t 30 line <"$name.gate"
	done
}

# known NAME…: these gates are.
known() {
	local name
	for name in "$@"; do
		echo "${GATE[$name]} $(cat "$name.pub") $name -"
	done >config/rmq/known_nodes
	chmod 600 config/rmq/known_nodes
}

@test "cells: by a socket of its machine rmq-queue tells of the own cell, and of others without a key nothing" {
	free_port
	GATE[a]=127.0.0.1:$PORT
	GATE[b]=127.0.0.1:$((PORT + 1))
	CELLS="a=${GATE[a]};b=${GATE[b]}"
	cells a b
	export XDG_CONFIG_HOME=$PWD/none HOME=$PWD/none RMQ_SERVERS=unix:$PWD/a.sock
	unset RMQ_KEYFILE RMQ_KNOWN_NODES
	rmq-send jobs.at.a one
	run -75 --separate-stderr rmq-queue metrics
	assert_line 'rmq_queue_messages{cell="a",queue="jobs.at.a",state="ready"} 1'
	assert_line 'rmq_cell_up{cell="a"} 1'
	refute_line --partial 'rmq_cell_up{cell="b"}'
	assert_equal "$(wc -l <<<"$stderr")" 1
	run -75 --separate-stderr rmq-queue cells
	assert_output "a	up	1	${GATE[a]}
b	unknown	-	${GATE[b]}"
	run -75 --separate-stderr rmq-queue ls -o queue,cell
	assert_output "jobs.at.a	a"
}

@test "cells: a client of another machine that has one gate as contact point reaches all cells whose gates it knows" {
	free_port
	GATE[a]=127.0.0.1:$PORT
	GATE[b]=127.0.0.1:$((PORT + 1))
	CELLS="a=${GATE[a]},unix:$PWD/a.sock;b=unix:$PWD/b.sock,${GATE[b]}"
	cells a b
	gated a b
	known a
	export RMQ_SERVERS=${GATE[a]}
	rmq-send jobs.at.a one
	run -77 setsid -w rmq-send jobs.at.b one
	assert_output --partial "${GATE[b]}: its key is not known"
	assert_line "rmq-send: a line for $PWD/config/rmq/known_nodes would be: ${GATE[b]} $(cat b.pub) b -"
	known a b
	seq 1 1000 | rmq-send jobs.at.b
	rmq-recv --drain jobs.at.b | cmp - <(seq 1 1000)
	rmq-send jobs.at.b late
	rmq-queue move-cell jobs.at.b a
	assert_equal "$(in_cell a)" "jobs.at.a jobs.at.b"
	export RMQ_SERVERS=${GATE[b]}
	run -0 rmq-recv -1 jobs.at.b
	assert_output late
	run -0 rmq-queue ls -o queue
	assert_line jobs.at.a
	# Sockets are told only to those who came by one.
	CELLS="a=${GATE[a]};b=unix:$PWD/b.sock"
	stop_queue "${PID[a]}"
	cell a
	export RMQ_SERVERS=${GATE[a]}
	run -78 rmq-send --timeout 1s other.at.b no
	assert_output --partial "cell b has no address that can be reached from here: name it in RMQ_SERVERS"
	at a
	rmq-send other.at.b yes
}
