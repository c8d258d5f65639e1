#!/usr/bin/env bats
# Queues that are spread over cells: rmq-send --spread, rmq-recv --spread, rmq-recv -t in every cell.

load common

bats_require_minimum_version 1.5.0

# cells NAME…: a daemon each, in NAME, and the list of them; PID_NAME is its pid.
cells() {
	local name list=
	for name in "$@"; do
		start_queue "$name"
		declare -g "PID_$name=$QUEUE_PID"
		list+="${list:+;}$name=unix:$name.sock"
	done
	export RMQ_SERVERS=$list
}

# in_cell NAME COMMAND…: as a client that knows no other cell.
in_cell() {
	local servers=unix:$1.sock
	shift
	RMQ_SERVERS=$servers "$@"
}

# ready CELL QUEUE
ready() {
	in_cell "$1" rmq-queue show "$2" ready 2>/dev/null || echo none
}

# total: so many messages the parts of jobs have together.
total() {
	local sum=0 cell n
	for cell in a b c; do
		n=$(ready "$cell" "jobs.at.$cell")
		[ "$n" = none ] || sum=$((sum + n))
	done
	echo $sum
}

@test "spread: each record comes to one part, and all of them come out" {
	cells a b c
	seq 100000 | rmq-send --spread jobs
	[ "$(total)" = 100000 ]
	[ "$(ready a jobs.at.b)$(ready b jobs.at.c)$(ready c jobs.at.a)" = nonenonenone ]
	timeout 30 rmq-recv --spread --drain jobs >got
	sort -n got | cmp - <(seq 100000)
	[ "$(total)" = 0 ]
}

@test "spread: without cells there is one part, as of a list of one" {
	start_queue q
	seq 3 | rmq-send --spread jobs
	[ "$(rmq-queue ls -o queue,ready)" = "$(printf 'jobs.at.1\t3')" ]
	run rmq-recv --spread --drain jobs
	assert_success
	assert_output "$(seq 3)"
	export RMQ_SERVERS="$RMQ_SERVERS;unix:other.sock"
	rmq-send --spread -k one jobs first
	[ -z "$(rmq-queue ls -o queue | grep -v jobs.at.1)" ]
}

@test "spread: a name that is too long with a cell's is a usage error" {
	cells a b
	local name
	name=$(printf 'x%.0s' {1..119})
	run -64 rmq-send --spread "$name" message
	assert_output --partial "$name: its part in cell a would have a name of 124 bytes, and 123 is the most"
	run -64 rmq-recv --spread -1 "$name"
	assert_output --partial "its part in cell a"
	run -64 rmq-send --spread -t topic message
	assert_output "rmq-send: --spread and --topic exclude each other"
	run -64 rmq-send --spread --resume name jobs message
	assert_output "rmq-send: --spread and --resume exclude each other"
	run -64 rmq-recv --spread -t jobs
	assert_output "rmq-recv: --topic and --spread exclude each other"
}

@test "spread: a cell that is away stops nobody" {
	cells a b c
	kill_queue "$PID_b"
	seq 100000 | timeout 20 rmq-send --spread jobs
	[ "$(($(ready a jobs.at.a) + $(ready c jobs.at.c)))" = 100000 ]
	timeout 20 rmq-recv --spread -n 100000 jobs >got
	sort -n got | cmp - <(seq 100000)
}

@test "spread: a part that is full stops nobody, and what it did not take goes to others" {
	cells a b c
	in_cell b rmq-queue create --max-bytes 1 jobs.at.b
	in_cell b rmq-send jobs.at.b 0
	seq 100000 | timeout 20 rmq-send --spread jobs
	[ "$(total)" = 100001 ]
	[ "$(ready b jobs.at.b)" = 1 ]
}

@test "spread: when all parts are full it is 75, at once with --no-wait" {
	cells a b
	in_cell a rmq-queue create --max-bytes 1 jobs.at.a
	in_cell b rmq-queue create --max-bytes 1 jobs.at.b
	in_cell a rmq-send jobs.at.a message
	in_cell b rmq-send jobs.at.b message
	run -75 timeout 20 rmq-send --spread --no-wait --unsent rest jobs more
	assert_output --partial "0 of 1 messages stored"
	[ "$(cat rest)" = more ]
	run -75 timeout 20 rmq-send --spread --timeout 1s --unsent rest jobs more
	assert_output --partial "0 of 1 messages stored"
	[ "$(cat rest)" = more ]
}

@test "spread: no cell at all is 75 after the time-out" {
	export RMQ_SERVERS="a=unix:a.sock;b=unix:b.sock"
	run -75 timeout 20 rmq-send --spread --timeout 200ms --unsent rest jobs message
	assert_output --partial "0 of 1 messages stored"
	[ "$(cat rest)" = message ]
	run -69 timeout 20 rmq-recv --spread --timeout 200ms -1 jobs
}

@test "spread: the messages of a key come to one part, in order" {
	cells a b c
	local i
	for i in $(seq 300); do
		echo "{\"key\":\"k$((i % 7))\",\"body\":\"$i\"}"
	done >envelopes
	rmq-send --spread -J jobs <envelopes
	timeout 20 rmq-recv --spread --drain -o queue,key,body jobs >got
	[ "$(wc -l <got)" = 300 ]
	for i in 0 1 2 3 4 5 6; do
		[ "$(awk -v k="k$i" '$2 == k { print $1 }' got | sort -u | wc -l)" = 1 ]
		awk -v k="k$i" '$2 == k { print $3 }' got >key
		cmp key <(seq 300 | awk -v i="$i" '$1 % 7 == i')
	done
	[ "$(cut -f 1 got | sort -u | wc -l)" -gt 1 ]
	rmq-send --spread -k k3 jobs one two
	run timeout 20 rmq-recv --spread --drain -o queue,body jobs
	local part
	part=$(awk '$2 == "k3" { print $1; exit }' got)
	assert_output "$(printf '%s\tone\n%s\ttwo' "$part" "$part")"
}

@test "spread: --id-from stores a record once, whatever else is sent" {
	cells a b c
	seq 1000 | rmq-send --spread --id-from hash jobs
	run rmq-send --spread --id-from hash jobs < <(seq 1100 | shuf)
	assert_success
	assert_output "rmq-send: jobs: 1000 lines had been stored before"
	[ "$(total)" = 1100 ]
}

@test "spread: ids and receipts name the part, and rmq-ack finds it" {
	cells a b c
	seq 30 | rmq-send --spread -i --window 1 jobs >ids
	[ "$(sort -u ids | wc -l)" = 30 ]
	[ "$(grep -Ecv '^jobs\.at\.[abc]:[0-9]+$' ids)" = 0 ]
	timeout 20 rmq-recv --spread -n 30 --ack manual -o receipt jobs >receipts
	rmq-ack <receipts
	[ "$(total)" = 0 ]
	run timeout 20 rmq-recv --spread --drain=all jobs
	assert_success
	assert_output ""
}

@test "spread: rmq-recv -n prints so many, and gives back what else was leased" {
	cells a b c
	seq 300 | rmq-send --spread --window 1 jobs
	timeout 20 rmq-recv --spread -n 100 jobs >got
	[ "$(wc -l <got)" = 100 ]
	[ "$(total)" = 200 ]
	timeout 20 rmq-recv --spread -n 200 jobs >>got
	sort -n got | cmp - <(seq 300)
}

@test "spread: rmq-recv --wait ends when no part had one, 1 when none came at all" {
	cells a b c
	run -1 timeout 20 rmq-recv --spread --wait 200ms jobs
	in_cell b rmq-send jobs.at.b message
	run timeout 20 rmq-recv --spread --wait 200ms jobs
	assert_success
	assert_output message
}

@test "spread: --drain with a cell that does not answer says so, and is no success" {
	cells a b
	rmq-send --spread jobs 1
	kill_queue "$PID_b"
	run -69 timeout 20 rmq-recv --spread --timeout 500ms --drain jobs
	assert_output --partial "b.sock"
}

@test "spread: a receiver takes from a cell again when it is back" {
	cells a b
	start rmq-recv --spread jobs
	local pid=$!
	rmq-send --spread jobs 1
	wait_until 10 test -s out
	kill_queue "$PID_b"
	in_cell a rmq-send jobs.at.a 2
	wait_until 10 grep -qx 2 out
	start_queue b
	in_cell b rmq-send jobs.at.b 3
	wait_until 10 grep -qx 3 out
	kill -TERM "$pid"
	status_of "$pid"
	assert_success
}

@test "spread: large records of all parts come out whole through a slow pipe" {
	cells a b c
	local i
	for i in $(seq 60); do
		head -c $((i * 3000)) /dev/zero | tr '\0' "$(printf "\\$(printf %o $((64 + i)))")"
		echo
	done | tr -d '\\' >lines
	rmq-send --spread --window 1 jobs <lines
	timeout 60 rmq-recv --spread --drain jobs | (while IFS= read -r line; do echo "$line"; done) >got
	sort lines >sorted
	sort got | cmp - sorted
	[ "$(total)" = 0 ]
}

@test "spread: workers take from all parts, and failures count for their own message" {
	cells a b c
	local cell n
	for cell in a b c; do
		in_cell "$cell" rmq-queue create --backoff 10ms,10ms "jobs.at.$cell"
	done
	# The same numbers in all parts, which are told apart nevertheless.
	for n in $(seq 1 3 60); do
		in_cell a rmq-send jobs.at.a $n
		in_cell b rmq-send jobs.at.b $((n + 1))
		in_cell c rmq-send jobs.at.c $((n + 2))
	done
	timeout 60 rmq-recv --spread --drain=all -P 4 -l jobs sh -c '
		read -r n
		[ $((n % 5)) != 0 ] || [ "$RMQ_MSG_ATTEMPT" -gt 1 ] || exit 1
		echo "$RMQ_MSG_QUEUE $n"' >got
	cut -d " " -f 2 got | sort -n | cmp - <(seq 60)
	[ "$(total)" = 0 ]
	seq 100 | rmq-send --spread --window 1 jobs
	timeout 60 rmq-recv --spread --drain --batch 8 -P 2 jobs cat >got
	sort -n got | cmp - <(seq 100)
}

@test "spread: --wait stays until each part has settled its messages, and names dead letters" {
	cells a b c
	start rmq-recv --spread -l jobs sh -c 'read -r n; [ $n != 7 ] || exit 65'
	seq 20 >lines
	run -65 timeout 60 rmq-send --spread --wait --window 1 jobs <lines
	assert_output --regexp 'jobs\.at\.[abc]:[0-9]+: is a dead letter'
	[ "$(total)" = 0 ]
}

@test "spread: what the daemons refuse as too large is skipped, and kept in its order" {
	cells a b c
	local cell
	for cell in a b c; do
		in_cell "$cell" rmq-queue create --max-message 4 "jobs.at.$cell"
	done
	seq 9990 10010 | paste -sd '\n' >lines
	run -65 rmq-send --spread --skip-bad --unsent bad jobs <lines
	cmp bad <(seq 10000 10010)
	[ "$(total)" = 10 ]
	run -65 rmq-send --spread jobs 1 two 12345
	assert_output --partial "message 3"
}

@test "spread: --into names files after the part" {
	cells a b c
	mkdir dir
	seq 9 | rmq-send --spread --window 1 jobs
	timeout 20 rmq-recv --spread --drain --into dir jobs >paths
	[ "$(wc -l <paths)" = 9 ]
	[ "$(grep -Ecv '^dir/jobs\.at\.[abc]:[0-9]+$' paths)" = 0 ]
	xargs -n 1 awk 1 <paths | sort -n | cmp - <(seq 9)
}

@test "spread: a signal gives back what is in hand of all parts" {
	cells a b c
	seq 9000 | rmq-send --spread --window 1 jobs
	mkfifo pipe
	sleep 60 <pipe &
	STARTED+=($!)
	start sh -c 'exec rmq-recv --spread jobs >pipe'
	local pid=$!
	wait_until 10 eval '[ "$(total)" -lt 9000 ]'
	kill -TERM "$pid"
	status_of "$pid"
	assert_success
	wait_until 10 eval '[ "$(total)" -gt 0 ]'
	[ "$(in_cell a rmq-queue show jobs.at.a leased)" = 0 ]
	[ "$(in_cell b rmq-queue show jobs.at.b leased)" = 0 ]
	[ "$(in_cell c rmq-queue show jobs.at.c leased)" = 0 ]
}

@test "spread: an ephemeral subscription is made in every cell" {
	cells a b c
	start rmq-recv -t 'news.#'
	local cell
	for cell in a b c; do
		wait_until 10 eval "in_cell $cell rmq-queue ls -o queue | grep -q '^sub-'"
	done
	for cell in a b c; do
		in_cell "$cell" rmq-send -t news.eu "from $cell"
	done
	wait_until 10 eval '[ "$(wc -l <out)" = 3 ]'
	sort out | cmp - <(printf 'from %s\n' a b c)
	rmq-send -t news.uk one
	rmq-send -t news.us two
	wait_until 10 eval '[ "$(wc -l <out)" = 5 ]'
}

@test "spread: a durable subscription is bound in every cell, in all but its own to NAME.away" {
	cells a b c
	local cell
	timeout 20 rmq-recv -t 'news.#' --as mail --wait 0 || [ $? -eq 1 ]
	for cell in a b c; do
		in_cell "$cell" rmq-queue bindings -o queue,pattern
	done | sort | cmp - <(printf '%s\tnews.#\n' mail mail.away mail.away)
	kill_queue "$PID_b"
	run timeout 20 rmq-recv -t 'news.#' --as mail --timeout 300ms --wait 0
	assert_failure 69
	assert_output --partial "b.sock"
}

# told NAME…: the same cells, as daemons that know the list; the first one is the only contact point.
told() {
	local name list=
	for name in "$@"; do
		list+="${list:+;}$name=unix:$PWD/$name.sock"
	done
	for name in "$@"; do
		start_queue "$name" --cells "$list" --cell "$name"
	done
	export RMQ_SERVERS=unix:$1.sock
}

@test "spread: a client without a list asks its daemon for it" {
	told a b c
	seq 30 | rmq-send --spread --window 1 jobs
	rmq-send jobs.at.a 31
	rmq-send jobs.at.b 32
	rmq-send jobs.at.c 33
	timeout 20 rmq-recv --spread --drain jobs | sort -n | cmp - <(seq 33)
	start rmq-recv -t 'news.#'
	wait_until 10 eval '[ "$(rmq-queue ls -o queue | grep -c "^sub-")" = 3 ]'
	seq 9 | xargs -n 1 sh -c 'rmq-send -t news.$1 $1' sh
	wait_until 10 eval '[ "$(wc -l <out)" = 9 ]'
	sort out | cmp - <(seq 9)
}

@test "spread: a part that is moved to another cell goes on there" {
	told a b
	start timeout 60 rmq-recv --spread -n 50000 jobs
	local pid=$!
	seq 50000 | timeout 60 rmq-send --spread --window 2 jobs &
	local sender=$!
	rmq-queue move-cell jobs.at.a b
	rmq-queue move-cell jobs.at.a a
	rmq-queue move-cell jobs.at.b a
	wait $sender
	status_of "$pid"
	assert_success
	sort -n out | cmp - <(seq 50000)
}

@test "spread: batches that a part may have taken when its cell died are unknown, all others are stored" {
	cells a b
	mkfifo pipe
	timeout 60 rmq-send --spread --timeout 2s --window 1 --unsent rest jobs <pipe >send.log 2>&1 3>&- &
	local sender=$!
	exec 8>pipe
	in_cell a rmq-send jobs.at.a warm
	echo 1 >&8
	wait_until 10 eval '[ "$(($(ready a jobs.at.a) + $(in_cell b rmq-queue show jobs.at.b ready 2>/dev/null || echo 0)))" = 2 ]'
	kill -STOP "$PID_b"
	seq 2 20000 >&8
	exec 8>&-
	status_of "$sender"
	kill -CONT "$PID_b"
	[ "$status" = 75 ] || [ "$status" = 0 ]
	if [ "$status" = 75 ]; then
		grep -q 'unknown' send.log
		[ -s rest ]
	fi
	in_cell a rmq-recv --drain jobs.at.a >got
	in_cell b rmq-recv --drain --no-create jobs.at.b >>got || :
	if [ -f rest ]; then
		cat rest >>got
	fi
	grep -v warm got | sort -nu | cmp - <(seq 20000)
}

@test "spread: keys whose part is away end it after the time-out, and are kept with all behind them" {
	cells a b
	kill_queue "$PID_b"
	seq 1000 | sed 's/.*/{"key":"k&","body":"&"}/' >envelopes
	run timeout 20 rmq-send --spread -J --timeout 500ms --window 2 --unsent rest jobs <envelopes
	assert_failure 75
	assert_output --partial "jobs.at.b: no daemon answers"
	in_cell a rmq-recv --drain -o key,body jobs.at.a | sed 's/\(.*\)\t\(.*\)/{"key":"\1","body":"\2"}/' >got
	[ -s got ]
	sort got rest | cmp - <(sort envelopes)
}
