#!/usr/bin/env bats
# modes: release
# rmq-queue where there are several cells: what is in any of them, where a queue lives, and moving it.

bats_require_minimum_version 1.5.0
load common

# cells: daemons a and b, and a as contact point.  Names that end in .at.a are at home in a.
cells() {
	LIST="a=unix:$PWD/a.sock;b=unix:$PWD/b.sock"
	start_queue b --cells "$LIST" --cell b
	B_PID=$QUEUE_PID
	start_queue a --cells "$LIST" --cell a
	A_PID=$QUEUE_PID
}

end_b() {
	kill "$B_PID"
	wait "$B_PID"
}

begin_b() {
	start_queue b --cells "$LIST" --cell b
	B_PID=$QUEUE_PID
	export RMQ_SERVERS=unix:$PWD/a.sock
}

# leased QUEUE N: so many messages of it are.
leased() {
	[ "$(rmq-queue show "$1" leased)" = "$2" ]
}

@test "rmq-queue cells: lists them; one that is down is said, 75, after what was found" {
	cells
	rmq-queue create one.at.a
	rmq-queue create two.at.b
	rmq-queue create three.at.b
	run -0 rmq-queue cells
	assert_output "a	up	1	unix:$PWD/a.sock
b	up	2	unix:$PWD/b.sock"
	run -0 rmq-queue cells -o home,cell
	assert_output "yes	a
yes	b"
	end_b
	run -75 --separate-stderr rmq-queue --timeout 300ms cells -j
	assert_equal "$(jq -c '[.cell, .state, .queues]' <<<"$output")" '["a","up",1]
["b","down",null]'
	assert_equal "$stderr" \
		"rmq-queue: cell b: no daemon answers at $PWD/b.sock (No such file or directory)"
}

@test "rmq-queue ls, stat: all cells, in a column; what cannot be asked is said, 75, after what was found" {
	cells
	rmq-send one.at.a x
	rmq-send two.at.b y z
	run -0 rmq-queue ls
	assert_output "one.at.a	1	0	0	2	0	a
two.at.b	2	0	0	4	0	b"
	run -0 rmq-queue ls 't*'
	assert_output "two.at.b	2	0	0	4	0	b"
	run -0 rmq-queue ls -o cell,queue
	assert_output "a	one.at.a
b	two.at.b"
	run -0 rmq-queue stat -j
	assert_equal "$(jq -c '[.queue, .sent, .cell]' <<<"$output")" '["one.at.a",1,"a"]
["two.at.b",2,"b"]'
	# One queue is in one cell.
	run -0 rmq-queue stat two.at.b -o sent,cell
	assert_output "2	b"
	run -66 rmq-queue stat none.at.b
	assert_output "rmq-queue: none.at.b: no such queue"
	end_b
	run -75 --separate-stderr rmq-queue --timeout 300ms ls
	assert_output "one.at.a	1	0	0	2	0	a"
	assert_equal "$stderr" \
		"rmq-queue: cell b: no daemon answers at $PWD/b.sock (No such file or directory)"
	run -0 rmq-queue --timeout 300ms stat one.at.a -o sent
	assert_output 1
}

@test "rmq-queue show, check, peek, count, why, set, purge, rm: go to the queue's cell" {
	cells
	rmq-queue create --lease 7s jobs.at.b
	rmq-send jobs.at.b x y
	run -0 rmq-queue show jobs.at.b ready lease cell
	assert_output "2
7s
b"
	run -0 rmq-queue show jobs.at.b
	assert_line "cell	b"
	run -2 rmq-queue check --format text --max-ready 1 jobs.at.b
	assert_output "jobs.at.b: critical: 2 ready, more than 1"
	run -0 rmq-queue peek jobs.at.b
	assert_output "x
y"
	run -0 rmq-queue count --by key jobs.at.b
	assert_output "-	2"
	run -0 rmq-queue why -o state jobs.at.b:2
	assert_output "state	ready"
	rmq-queue set --lease 9s jobs.at.b
	run -0 rmq-queue show jobs.at.b lease
	assert_output 9s
	rmq-queue purge jobs.at.b
	rmq-queue rm jobs.at.b
	run -66 rmq-queue show jobs.at.b
	assert_output "rmq-queue: jobs.at.b: no such queue"
}

@test "rmq-queue metrics: each sample has its cell, and a cell that is down is 0, also by HTTP" {
	cells
	rmq-send one.at.a x
	rmq-send two.at.b y z
	run -0 rmq-queue metrics
	assert_line 'rmq_queue_messages{cell="a",queue="one.at.a",state="ready"} 1'
	assert_line 'rmq_queue_messages{cell="b",queue="two.at.b",state="ready"} 2'
	assert_line 'rmq_cell_up{cell="a"} 1'
	assert_line 'rmq_cell_up{cell="b"} 1'
	assert_line 'rmq_sandbox{cell="b",part="no_new_privs"} 1'
	assert_equal "$(tail -n 1 <<<"$output")" "# EOF"
	end_b
	run -75 rmq-queue --timeout 300ms metrics
	assert_line 'rmq_queue_messages{cell="a",queue="one.at.a",state="ready"} 1'
	assert_line 'rmq_cell_up{cell="b"} 0'
	printf 'GET /metrics HTTP/1.0\r\n\r\n' >request
	# Prometheus waits 10 s.
	run -0 timeout 9 sh -c 'rmq-queue metrics --http <request'
	assert_output --partial "HTTP/1.1 200 OK"
	assert_line 'rmq_cell_up{cell="b"} 0'
}

@test "rmq-queue top: queues of all cells, and which cell does not answer" {
	local pid screen
	cells
	rmq-send one.at.a x
	rmq-send two.at.b y z
	LANG=C.UTF-8 LC_ALL= on_terminal rmq-queue top --watch 50ms
	wait_until 10 grep -aq "b *two.at.b  *2" screen
	grep -aq "a *one.at.a  *1" screen
	end_b
	wait_until 20 grep -aq "cell b: no answer" screen
}

@test "rmq-queue without cells: no column, and cells, cell and move-cell say so" {
	start_queue q
	rmq-send jobs x
	run -0 rmq-queue ls
	assert_output "jobs	1	0	0	2	0"
	run -0 rmq-queue ls -o queue,cell
	assert_output "jobs	-"
	run -0 rmq-queue show jobs
	refute_line --regexp "^cell"
	for command in cells "cell jobs" "move-cell jobs b"; do
		run -78 rmq-queue $command
		assert_output "rmq-queue: the daemon knows of no cells"
	done
}

@test "rmq-queue cell: where a queue lives, or would be made" {
	cells
	rmq-queue create jobs.at.b
	run -0 rmq-queue cell jobs.at.b
	assert_output b
	run -0 rmq-queue cell jobs.at.b.dead
	assert_output b
	run -0 rmq-queue cell new.at.a
	assert_output a
	rmq-queue -q move-cell new.at.a b
	run -0 rmq-queue cell new.at.a
	assert_output b
	rmq-send new.at.a x
	run -0 rmq-queue ls -o queue,cell new.at.a
	assert_output "new.at.a	b"
}

@test "rmq-queue move-cell: messages, dead letters, settings and counters go with the queue, to and fro" {
	cells
	rmq-queue create --lease 7s --max-attempts 1 jobs.at.a
	rmq-send jobs.at.a bad one
	rmq-send -k k -p 7 --delay 1h jobs.at.a later
	rmq-ack --dead=why "$(rmq-recv -1 --ack manual -o receipt jobs.at.a)"
	run -0 rmq-queue move-cell jobs.at.a b
	assert_output "rmq-queue: jobs.at.a: moved from cell a to cell b, 3 messages"
	run -0 rmq-queue ls -o queue,ready,delayed,cell
	assert_output "jobs.at.a	1	1	b
jobs.at.a.dead	1	0	b"
	run -0 rmq-queue show jobs.at.a lease max-attempts sent dead next-seq
	assert_output "7s
1
3
1
4"
	run -0 rmq-queue peek -o id,key,priority,body jobs.at.a
	assert_output "jobs.at.a:2	-	4	one
jobs.at.a:3	k	7	later"
	run -0 rmq-queue peek -o id,note jobs.at.a.dead
	assert_output "jobs.at.a.dead:1	jobs.at.a:1 why"
	run -0 rmq-queue move-cell jobs.at.a b
	assert_output "rmq-queue: jobs.at.a: lives in cell b"
	rmq-queue -q move-cell jobs.at.a a
	rmq-queue redrive -q jobs.at.a
	run -0 rmq-recv --drain jobs.at.a
	assert_output "one
bad"
	run -0 rmq-queue ls -o queue,ready,cell
	assert_output "jobs.at.a	0	a
jobs.at.a.dead	0	a"
}

@test "rmq-queue move-cell: waits for who holds a message, and says so; in vain it is 75, and all is as before" {
	cells
	rmq-send jobs.at.a x y
	receipt=$(rmq-recv -1 --ack manual -o receipt jobs.at.a)
	run -75 rmq-queue --timeout 1200ms move-cell jobs.at.a b
	assert_output "rmq-queue: jobs.at.a: waits until 1 message of cell a is not leased any more
rmq-queue: jobs.at.a: cell a: 1 message is leased, and none was settled or given back within 1200ms (--timeout)"
	run -0 rmq-recv -1 --ack manual jobs.at.a
	assert_output y
	run -0 rmq-queue cell jobs.at.a
	assert_output a
	start rmq-queue move-cell jobs.at.a b
	mover=$!
	wait_until 10 grep -q "waits until 2 messages of cell a are not leased any more" log
	# Others may send meanwhile, and nothing is handed out.
	rmq-send jobs.at.a z
	run -1 rmq-recv -1 --wait 200ms jobs.at.a
	rmq-ack "$receipt"
	rmq-ack --release "$(rmq-queue why jobs.at.a:2 -o receipt | cut -f 2)"
	status_of "$mover"
	assert_success
	run -0 rmq-recv --drain jobs.at.a
	assert_output "y
z"
	run -0 rmq-queue cell jobs.at.a
	assert_output b
}

@test "rmq-queue move-cell: killed at any moment and run again, it moves all" {
	local i to
	cells
	seq 30000 | rmq-send jobs.at.a
	for i in {1..12}; do
		to=$([ "$(rmq-queue cell jobs.at.a)" = a ] && echo b || echo a)
		start rmq-queue move-cell jobs.at.a "$to"
		# Any moment: what it has said by then is nothing that could be waited for.
		sleep "0.0$((i * 7 % 90))"
		kill -9 $! || :
		wait $! || :
	done
	rmq-queue -q move-cell jobs.at.a a
	rmq-queue -q move-cell jobs.at.a b
	run -0 rmq-queue ls -o queue,ready,cell
	assert_output "jobs.at.a	30000	b"
	rmq-recv --drain jobs.at.a >got
	seq 30000 | cmp - got
}

@test "rmq-queue move-cell: two at once are one after the other" {
	cells
	seq 1000 | rmq-send jobs.at.a
	start rmq-queue move-cell jobs.at.a b
	one=$!
	start rmq-queue move-cell jobs.at.a b
	status_of $!
	assert_success
	status_of "$one"
	assert_success
	run -0 rmq-queue ls -o queue,ready,cell
	assert_output "jobs.at.a	1000	b"
}

@test "rmq-queue move-cell: through a crash of either daemon it goes on, or can be run again" {
	local dir
	cells
	seq 20000 | rmq-send jobs.at.a
	for dir in a b; do
		start rmq-queue move-cell jobs.at.a b
		mover=$!
		if [ "$dir" = b ]; then
			kill -9 "$B_PID"
			begin_b
		else
			kill -9 "$A_PID"
			start_queue a --cells "$LIST" --cell a
			A_PID=$QUEUE_PID
		fi
		status_of "$mover"
		rmq-queue -q move-cell jobs.at.a b
		run -0 rmq-queue ls -o queue,ready,cell
		assert_output "jobs.at.a	20000	b"
		rmq-queue -q move-cell jobs.at.a a
	done
	rmq-recv --drain jobs.at.a >got
	seq 20000 | cmp - got
}

@test "rmq-queue move-cell: a cell that is down is 69, and the queue stays and goes on" {
	cells
	rmq-send jobs.at.a x
	end_b
	run -69 rmq-queue --timeout 300ms move-cell jobs.at.a b
	assert_output --regexp "^rmq-queue: jobs.at.a: cell b: no daemon answers at $PWD/b.sock "
	run -0 rmq-recv -1 jobs.at.a
	assert_output x
}

@test "rmq-queue move-cell: what cannot be moved is 64, with the reason" {
	cells
	run -64 rmq-queue move-cell jobs c
	assert_output "rmq-queue: there is no cell 'c': rmq-queue cells lists them"
	run -64 rmq-queue move-cell jobs.dead b
	assert_output "rmq-queue: 'jobs.dead' goes with its queue: move jobs"
	run -64 rmq-queue move-cell jobs.away b
	assert_output "rmq-queue: 'jobs.away' goes with its queue: move jobs"
	run -64 rmq-queue move-cell sub-1-0 b
	assert_output "rmq-queue: 'sub-1-0' is of an ephemeral subscription, which stays where it is"
	run -64 rmq-queue move-cell jobs 'b b'
	assert_output "rmq-queue: 'b b' is not the name of a cell"
	run -64 rmq-queue move-cell jobs
}

# three_cells: a, b and c; a is the contact point.
three_cells() {
	LIST="a=unix:$PWD/a.sock;b=unix:$PWD/b.sock;c=unix:$PWD/c.sock"
	start_queue b --cells "$LIST" --cell b
	B_PID=$QUEUE_PID
	start_queue c --cells "$LIST" --cell c
	C_PID=$QUEUE_PID
	start_queue a --cells "$LIST" --cell a
	A_PID=$QUEUE_PID
}

# without_b: b is stopped for good, and off the lists of the others.
without_b() {
	end_b
	LIST="a=unix:$PWD/a.sock;c=unix:$PWD/c.sock"
	kill "$A_PID" "$C_PID"
	wait "$A_PID" "$C_PID"
	start_queue c --cells "$LIST" --cell c
	start_queue a --cells "$LIST" --cell a
}

@test "rmq-queue move-cell: home leads straight to the cell, so that one on the way can be taken away" {
	three_cells
	rmq-send jobs.at.a x
	rmq-queue -q move-cell jobs.at.a b
	run -0 rmq-queue cells --ways
	assert_output "jobs.at.a	a	b"
	rmq-queue -q move-cell jobs.at.a c
	run -0 rmq-queue cells --ways
	assert_output "jobs.at.a	a	c
jobs.at.a	b	c"
	run -0 rmq-queue cells --ways -j
	assert_line '{"queue":"jobs.at.a","cell":"a","to":"c"}'
	run -64 rmq-queue cells --ways --moved
	assert_output "rmq-queue: --moved, --ways, --copies, --lost and --homes exclude each other"
	without_b
	run -0 rmq-queue cell jobs.at.a
	assert_output c
	rmq-send --no-create jobs.at.a y
	run -0 rmq-recv -n 2 jobs.at.a
	assert_output "x
y"
}

@test "rmq-queue move-cell: a home that was down leads by another cell until it is run again, also without that" {
	three_cells
	rmq-send jobs.at.a x
	rmq-queue -q move-cell jobs.at.a b
	kill "$A_PID"
	wait "$A_PID"
	RMQ_SERVERS=unix:$PWD/b.sock run -75 rmq-queue --timeout 300ms move-cell jobs.at.a c
	assert_output "rmq-queue: jobs.at.a: moved from cell b to cell c, 1 message
rmq-queue: jobs.at.a: cell a: no daemon answers at $PWD/a.sock (No such file or directory); it may lead there by other cells: run it again"
	start_queue a --cells "$LIST" --cell a
	A_PID=$QUEUE_PID
	run -0 rmq-queue cells --ways
	assert_output "jobs.at.a	a	b
jobs.at.a	b	c"
	without_b
	run -78 rmq-send --timeout 300ms jobs.at.a y
	# Said where it lives, it is found.
	run -78 rmq-queue --timeout 300ms move-cell jobs.at.a a
	run -0 rmq-queue move-cell jobs.at.a c
	assert_output "rmq-queue: jobs.at.a: lives in cell c"
	run -0 rmq-queue cells --ways
	assert_output "jobs.at.a	a	c"
	run -0 rmq-recv -n 1 jobs.at.a
	assert_output x
}

@test "rmq-queue move-cell: run again, it makes every way straight" {
	three_cells
	rmq-send jobs.at.a x
	rmq-queue -q move-cell jobs.at.a b
	rmq-queue -q move-cell jobs.at.a c
	rmq-queue -q move-cell jobs.at.a a
	rmq-queue -q move-cell jobs.at.a b
	run -0 rmq-queue cells --ways
	assert_output "jobs.at.a	a	b
jobs.at.a	c	a"
	run -0 rmq-queue move-cell jobs.at.a b
	assert_output "rmq-queue: jobs.at.a: lives in cell b"
	run -0 rmq-queue cells --ways
	assert_output "jobs.at.a	a	b
jobs.at.a	c	b"
	run -0 rmq-recv -n 1 jobs.at.a
	assert_output x
}

@test "rmq-queue cells --moved, --homes: what does not live at home, for move-cell" {
	cells
	rmq-send one.at.a x
	rmq-send two.at.b y
	rmq-send --no-create two.at.b y
	run -0 rmq-queue cells --moved
	assert_output ""
	run -0 rmq-queue cells --homes
	assert_output ""
	rmq-queue -q move-cell one.at.a b
	run -0 rmq-queue cells --moved
	assert_output "one.at.a	b	a"
	run -0 rmq-queue cells --homes
	assert_output "one.at.a	a"
	run -0 rmq-queue cells --homes "a=unix:$PWD/a.sock"
	assert_output "one.at.a	a
two.at.b	a"
	run -64 rmq-queue cells --homes "a=x;a=y"
	assert_output --partial "'a=x;a=y' is not a list of cells: "
	rmq-queue cells --homes | xargs -n 2 rmq-queue -q move-cell
	run -0 rmq-queue cells --moved
	assert_output ""
	run -0 rmq-queue ls -o queue,cell
	assert_output "one.at.a	a
two.at.b	b"
	run -64 rmq-queue cells x
	assert_output "rmq-queue: LIST goes with --homes"
}

# hex TEXT, str TEXT: as the action hex of rawclient has it.
hex() {
	printf %s "$1" | od -An -v -tx1 | tr -d ' \n'
}

str() {
	printf '%02x' ${#1}
	hex "$1"
}

# step TYPE N STEP QUEUE [CELL]: a frame MOVE_OUT (35; with a cell) or MOVE_IN (36), with a token.
step() {
	local payload
	payload=$(printf '%02x00000000000000' "$2" "$(($2 - 1))")
	payload+=$(printf %02x "$3")$(str "$4")
	[ "$1" = 36 ] || payload+=$(str "${5-}")
	payload+=$(str 0123456789abcdef)0000
	printf '%02x000000%02x000000%s' $((${#payload} / 2)) "$1" "$payload"
}

# leave QUEUE: a copy of it begins in b, and stands.
leave() {
	"$RAWCLIENT" b.sock hello 0 hex "$(step 36 1 1 "$1")" expect DONE close >/dev/null
}

@test "rmq-queue cells --copies, drop-copy: what a move that was broken off has left is shown, and dropped" {
	cells
	rmq-send jobs.at.a x
	leave jobs.at.a
	leave new.at.a
	run -0 rmq-queue cells --copies -o queue,cell,messages,bytes
	assert_output "jobs.at.a	b	0	0
new.at.a	b	0	0"
	run -0 rmq-queue cells --copies -j
	assert_equal "$(jq -r '.since' <<<"$output" | head -n 1 | cut -c 1-10)" "$(date +%F)"
	run -0 rmq-queue metrics
	assert_line 'rmq_copies{cell="a"} 0'
	assert_line 'rmq_copies{cell="b"} 2'
	assert_line 'rmq_copies_bytes{cell="b"} 0'
	run -0 rmq-queue drop-copy jobs.at.a b
	assert_output "rmq-queue: jobs.at.a: 1 copy dropped in cell b"
	run -66 rmq-queue drop-copy jobs.at.a b
	assert_output "rmq-queue: jobs.at.a: no copy of it arrives in cell b"
	run -0 rmq-queue cells --copies -o queue
	assert_output new.at.a
	run -64 rmq-queue drop-copy new.at.a c
	assert_output "rmq-queue: new.at.a: there is no cell 'c': rmq-queue cells lists them"
	run -64 rmq-queue cells --copies --ways
	assert_output "rmq-queue: --moved, --ways, --copies, --lost and --homes exclude each other"
	run -0 rmq-recv -1 jobs.at.a
	assert_output x
}

@test "rmq-queue drop-copy: a copy that is all that there is of the queue is opened, and none is dropped unasked" {
	cells
	rmq-send jobs.at.a x
	leave jobs.at.a
	kill "$A_PID"
	wait "$A_PID"
	RMQ_SERVERS=$LIST run -69 rmq-queue --timeout 300ms drop-copy jobs.at.a b
	assert_output --partial "rmq-queue: jobs.at.a: cell a: "
	assert_output --partial "; nothing is dropped, as the copy may be all that there is of the queue"
	start_queue a --cells "$LIST" --cell a
	# Its mover dies after GONE.
	"$RAWCLIENT" a.sock hello 0 hex "$(step 35 1 1 jobs.at.a)$(step 35 2 2 jobs.at.a)$(
		step 35 3 4 jobs.at.a b
	)" expect DONE expect DONE expect DONE close >/dev/null
	run -0 rmq-queue drop-copy jobs.at.a b
	assert_output "rmq-queue: jobs.at.a: has moved to cell b, and lives there: its copy is open"
	run -0 rmq-queue cell jobs.at.a
	assert_output b
	run -0 rmq-queue cells --copies
	assert_output ""
}

@test "rmq-queue drop-copy: where a copy keeps its queue from being made, that is said, and it ends" {
	cells
	leave jobs.at.b
	run -75 rmq-send --timeout 300ms jobs.at.b x
	run -75 rmq-queue --timeout 300ms move-cell jobs.at.b a
	assert_output "rmq-queue: jobs.at.b: a copy of it comes from another cell: rmq-queue cells --copies"
	run -0 rmq-queue drop-copy jobs.at.b b
	rmq-send jobs.at.b x
	run -0 rmq-queue cell jobs.at.b
	assert_output b
}

@test "rmq-queue bind, unbind: in every cell; one that is down is 75, and done again they mend" {
	cells
	rmq-queue create jobs.at.b
	rmq-queue bind jobs.at.b 'news.*'
	run -0 rmq-queue bindings
	assert_output "jobs.at.b.away	news.*	a
jobs.at.b	news.*	b"
	run -0 rmq-queue bindings jobs.at.b
	assert_output "jobs.at.b	news.*"
	# They go with the queue.
	rmq-queue -q move-cell jobs.at.b a
	run -0 rmq-queue bindings
	assert_output "jobs.at.b	news.*	a
jobs.at.b.away	news.*	b"
	end_b
	run -75 rmq-queue --timeout 300ms bind jobs.at.b 'mail.*'
	assert_output --regexp "^rmq-queue: cell b: no daemon answers at $PWD/b.sock "
	run -75 rmq-queue --timeout 300ms unbind jobs.at.b 'news.*'
	run -0 rmq-queue bindings jobs.at.b
	assert_output ""
	begin_b
	rmq-queue bind jobs.at.b 'mail.*'
	run -66 rmq-queue unbind jobs.at.b 'news.*'
	run -0 rmq-queue bindings
	assert_output "jobs.at.b	mail.*	a
jobs.at.b.away	mail.*	b"
	run -66 rmq-queue bind none.at.a 'mail.*'
	assert_output "rmq-queue: none.at.a: no such queue"
}

@test "rmq-queue move-cell: a cell that came later hears all that the queue is bound to" {
	start_queue a
	rmq-queue create jobs.at.a
	rmq-queue bind jobs.at.a 'news.#'
	rmq-queue bind jobs.at.a 'mail.*'
	stop_queue
	LIST="a=unix:$PWD/a.sock;b+=unix:$PWD/b.sock"
	start_queue b --cells "$LIST" --cell b --create explicit
	start_queue a --cells "$LIST" --cell a
	rmq-queue -q move-cell jobs.at.a b
	run -0 rmq-queue bindings
	assert_output "jobs.at.a.away	mail.*	a
jobs.at.a.away	news.#	a
jobs.at.a	mail.*	b
jobs.at.a	news.#	b"
	rmq-send -S "unix:$PWD/b.sock" -t news.x hello
	run -0 rmq-recv -1 jobs.at.a
	assert_output hello
}

@test "rmq-queue bind: in a cell with explicit creation, too" {
	LIST="a=unix:$PWD/a.sock;b=unix:$PWD/b.sock"
	start_queue b --cells "$LIST" --cell b --create explicit
	start_queue a --cells "$LIST" --cell a
	rmq-queue create jobs.at.a
	rmq-queue bind jobs.at.a 'news.#'
	run -0 rmq-queue bindings
	assert_output "jobs.at.a	news.#	a
jobs.at.a.away	news.#	b"
	run -66 rmq-queue bind jobs.at.b 'news.#'
}

# lost QUEUE...: they have moved from a to b, which has lost its disk since.
lost() {
	local queue
	for queue in "$@"; do
		rmq-queue create "$queue"
		rmq-queue -q move-cell "$queue" b
	done
	end_b
	rm -rf b
	begin_b
}

@test "rmq-queue place-cell: a queue whose cell was wiped lives where it is said, and is made there anew" {
	cells
	rmq-queue create one.at.a
	rmq-queue bind one.at.a 'news.#'
	lost two.at.a
	rmq-queue -q move-cell one.at.a b
	end_b
	rm -rf b
	begin_b
	run -75 rmq-queue cell one.at.a
	assert_output --partial "cell b, where queue one.at.a has gone, does not know it, as it was wiped or restored: rmq-queue place-cell"
	run -0 rmq-queue place-cell one.at.a b
	assert_output "rmq-queue: one.at.a: lives in cell b from now on"
	rmq-queue create one.at.a
	rmq-queue bindings -o queue,pattern | awk '$1 == "one.at.a.away" { print "one.at.a", $2 }' |
		sort -u | xargs -r -n 2 rmq-queue bind
	rmq-send -S "unix:$PWD/b.sock" -t news.x hello
	run -0 rmq-recv -1 one.at.a
	assert_output hello
	run -0 rmq-queue cell one.at.a
	assert_output b
	rmq-queue -q place-cell two.at.a a
	rmq-send two.at.a x
	run -0 rmq-queue ls 'two*'
	assert_output "two.at.a	1	0	0	2	0	a"
	rmq-queue -q move-cell two.at.a b
	run -0 rmq-queue cell two.at.a
	assert_output b
}

@test "rmq-queue place-cell: a home that was restored and its queue, which went on elsewhere, are brought together" {
	cells
	rmq-send one.at.a old
	kill "$A_PID"
	wait "$A_PID"
	cp -r a backup
	start_queue a --cells "$LIST" --cell a
	A_PID=$QUEUE_PID
	rmq-queue -q move-cell one.at.a b
	rmq-send one.at.a new
	kill "$A_PID"
	wait "$A_PID"
	rm -rf a
	cp -r backup a
	start_queue a --cells "$LIST" --cell a
	run -73 rmq-queue place-cell one.at.a b
	assert_output "rmq-queue: one.at.a: cell a has such a queue: see Cells in rmq(7)"
	local A=unix:$PWD/a.sock
	rmq-queue create one.old.at.a
	rmq-queue move -S "$A" one.at.a one.old.at.a
	rmq-queue rm -S "$A" one.at.a
	rmq-queue -q place-cell one.at.a b
	rmq-queue -q move-cell one.old.at.a b
	rmq-queue move one.old.at.a one.at.a
	rmq-queue rm one.old.at.a
	run -0 rmq-queue ls
	assert_output "one.at.a	3	0	0	12	0	b"
	run -0 rmq-recv -n 3 one.at.a
	assert_output "old
new
old"
}

@test "rmq-queue cells --lost: what nobody finds, for place-cell; a home that was wiped is mended, too" {
	cells
	rmq-send stays.at.a x
	rmq-send moved.at.b x
	rmq-queue -q move-cell moved.at.b a
	run -0 rmq-queue cells --lost
	assert_output ""
	lost one.at.a two.at.a
	run -0 rmq-queue cells --lost
	assert_output "moved.at.b	a
one.at.a	b
two.at.a	b"
	rmq-queue cells --lost | xargs -r -n 2 rmq-queue -q place-cell
	run -0 rmq-queue cells --lost
	assert_output ""
	run -0 rmq-queue cell one.at.a
	assert_output b
	run -0 rmq-recv -1 moved.at.b
	assert_output x
	end_b
	run -75 --separate-stderr rmq-queue --timeout 300ms cells --lost
	assert_output ""
	run -64 rmq-queue cells --lost --moved
}

@test "rmq-queue cells --homes: names that have moved and have no queue, too" {
	cells
	rmq-queue -q move-cell not.yet.at.a b
	rmq-queue create gone.at.a
	rmq-queue -q move-cell gone.at.a b
	rmq-queue rm gone.at.a
	rmq-queue create there.at.a
	rmq-queue -q move-cell there.at.a b
	run -0 rmq-queue cells --homes "c=-"
	assert_output "there.at.a	c
gone.at.a	c
not.yet.at.a	c"
	run -0 rmq-queue cells --homes
	assert_output "there.at.a	a"
}

@test "rmq-queue place-cell: a cell that does not answer keeps it from being done, unless it is said to be lost" {
	cells
	lost one.at.a
	LIST="$LIST;c=unix:$PWD/c.sock"
	export RMQ_SERVERS=$LIST
	run -69 rmq-queue --timeout 300ms place-cell one.at.a b
	assert_output --partial "rmq-queue: one.at.a: cell c: no daemon answers at $PWD/c.sock"
	assert_output --partial "; if its data is lost for good: --lost and its name"
	run -64 rmq-queue place-cell --lost b one.at.a b
	assert_output "rmq-queue: one.at.a: cell b is lost, and the queue cannot live there"
	run -64 rmq-queue place-cell --lost a one.at.a b
	assert_output --partial "rmq-queue: one.at.a: it is at home in cell a"
	run -64 rmq-queue place-cell --lost d one.at.a b
	assert_output --partial "there is no cell 'd'"
	run -64 rmq-queue place-cell one.at.a d
	run -0 rmq-queue -q place-cell --lost c one.at.a b
	run -0 rmq-queue cell one.at.a
	assert_output b
}

@test "rmq-journal: dump shows no token that opens a copy of a queue" {
	cells
	rmq-send one.at.a x
	rmq-queue move-cell one.at.a b
	run -0 bash -c 'rmq-journal dump a | jq -c ".events[]? | select(.event == \"placed\") | [.state, .cell, .token]"'
	assert_output '[2,"b",null]'
	run -0 bash -c 'rmq-journal dump b | jq -c ".events[]? | select(.event == \"create\") | [.name, (.tags | has(\"arriving\")), .tags.arriving]"'
	assert_output '["one.at.a",true,null]'
}

@test "rmq-queue rm: what other cells have bound for the queue ends with it; done again it mends that" {
	cells
	rmq-queue create jobs.at.b
	rmq-queue bind jobs.at.b 'news.*'
	rmq-queue bind jobs.at.b 'mail.*'
	rmq-send jobs.at.b x
	run -1 rmq-queue rm jobs.at.b
	run -0 rmq-queue bindings -o cell,pattern
	assert_output "a	mail.*
a	news.*
b	mail.*
b	news.*"
	rmq-queue rm --force jobs.at.b
	run -0 rmq-queue bindings
	assert_output ""
	rmq-queue create jobs.at.a
	rmq-queue bind jobs.at.a 'news.*'
	end_b
	run -75 rmq-queue --timeout 300ms rm jobs.at.a
	assert_output --regexp "^rmq-queue: cell b: no daemon answers at $PWD/b.sock "
	begin_b
	run -0 rmq-queue bindings
	assert_output "jobs.at.a.away	news.*	b"
	run -66 rmq-queue rm jobs.at.a
	assert_output "rmq-queue: jobs.at.a: no such queue"
	run -0 rmq-queue bindings
	assert_output ""
}

@test "rmq-queue move-cell: a queue that both cells have, from before they were cells, is 73, and both stay" {
	local name
	for name in a b; do
		rmq-queued -d "$name" --init -l "$name.sock" -- rmq-send jobs.at.a "of $name"
	done
	cells
	run -73 rmq-queue move-cell jobs.at.a b
	assert_output "rmq-queue: jobs.at.a: cell b: there is such a queue in this cell, too"
	run -0 rmq-queue ls -o queue,ready,cell
	assert_output "jobs.at.a	1	a
jobs.at.a	1	b"
	run -0 rmq-recv -1 jobs.at.a
	assert_output "of a"
}
