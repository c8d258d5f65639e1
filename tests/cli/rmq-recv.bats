#!/usr/bin/env bats
# rmq-recv: every promise of rmq-recv(1), and what it does with bad input.

load common

bats_require_minimum_version 1.5.0

# counts QUEUE: ready, leased and delayed.
counts() {
	rmq-queue show "$1" ready leased delayed | paste -sd' '
}

# settles QUEUE COUNTS: that they come to be so.
settles() {
	wait_until 10 eval "[ \"\$(counts $1)\" = '$2' ]"
}

@test "rmq-recv: --drain prints all, settles it and ends with 0" {
	start_queue q
	seq 100000 | rmq-send jobs
	timeout 30 rmq-recv --drain jobs >got
	cmp got <(seq 100000)
	[ "$(counts jobs)" = "0 0 0" ]
	timeout 30 rmq-recv --drain jobs >got
	[ ! -s got ]
}

@test "rmq-recv: through a pipe everything is settled when it was read" {
	start_queue q
	seq 100000 | rmq-send jobs
	timeout 30 rmq-recv --drain jobs | cmp - <(seq 100000)
	[ "$(counts jobs)" = "0 0 0" ]
}

@test "rmq-recv: -n ends after so many and leases no more" {
	start_queue q
	seq 10 | rmq-send jobs
	[ "$(timeout 10 rmq-recv -n 3 jobs | paste -sd' ')" = "1 2 3" ]
	[ "$(timeout 10 rmq-recv -1 jobs)" = 4 ]
	[ "$(counts jobs)" = "6 0 0" ]
	[ "$(rmq-queue show jobs delivered)" = 4 ]
}

@test "rmq-recv: --wait exits 1 when nothing came in time, 0 when something came" {
	start_queue q
	run timeout 10 rmq-recv -1 --wait 0 jobs
	assert_failure 1
	run timeout 10 rmq-recv --wait 200ms jobs
	assert_failure 1
	rmq-send jobs a
	run timeout 10 rmq-recv --wait 200ms jobs
	assert_success
	assert_output a
	run timeout 10 rmq-recv -n 2 --wait 100ms jobs
	assert_failure 1
}

@test "rmq-recv: --drain=all waits for what is leased elsewhere" {
	start_queue q
	rmq-send jobs a b
	receipt=$(timeout 10 rmq-recv -1 --ack manual -o receipt jobs)
	start timeout 20 rmq-recv --drain=all jobs
	local pid=$!
	settles jobs "0 1 0"
	kill -0 $pid
	rmq-ack "$receipt"
	wait $pid
	[ "$(cat out)" = b ]
}

@test "rmq-recv: --drain does not wait for what is leased elsewhere" {
	start_queue q
	rmq-send jobs a b
	timeout 10 rmq-recv -1 --ack manual jobs
	run timeout 10 rmq-recv --drain jobs
	assert_success
	assert_output b
}

@test "rmq-recv: -j prints envelopes" {
	start_queue q
	printf 'a"\\\t\1é\n' | rmq-send jobs
	printf '\377\n' | rmq-send jobs
	timeout 10 rmq-recv -j -n 2 jobs >got
	head -1 got | jq -e '(keys_unsorted | join(" ")) == "id queue seq time attempt failures receipt until priority key headers body"'
	head -1 got | jq -e '.body == "a\"\\\t\u0001é" and .id == "jobs:1" and .seq == 1 and
		.queue == "jobs" and .attempt == 1 and .failures == 0 and .priority == 4 and
		.key == null and .headers == {} and .time < .until and
		(.receipt | startswith("jobs:1:"))'
	tail -1 got | jq -e '.body64 == "/w==" and (has("body") | not)'
}

@test "rmq-recv: -o prints fields, the body last and whole" {
	start_queue q
	printf 'a\tb\n' | rmq-send jobs
	run timeout 10 rmq-recv -1 -o id,attempt,key,body jobs
	assert_output "$(printf 'jobs:1\t1\t-\ta\tb')"
	run rmq-recv -o body,id jobs
	assert_failure 64
	run rmq-recv -o nonsense jobs
	assert_failure 64
}

@test "rmq-recv: a body that holds the separator is 65 and a failure, but for -0, -j and --raw" {
	start_queue q
	rmq-queue create --backoff 0,0 jobs
	rmq-send jobs one $'two\nlines' three
	run timeout 10 rmq-recv --drain jobs
	assert_failure 65
	assert_line --index 0 one
	assert_line --partial "rmq-recv: jobs: message 2 holds the separator"
	[ "$(rmq-queue peek -o seq,failures jobs | paste -sd' ')" = "$(printf '2\t1 3\t0')" ]
	[ "$(timeout 10 rmq-recv -0 -1 jobs | tr '\0' '|')" = $'two\nlines|' ]
}

@test "rmq-recv: --skip-bad makes a dead letter of it, goes on, and 65 at the end" {
	start_queue q
	rmq-send jobs one $'two\nlines' three
	run --separate-stderr timeout 10 rmq-recv --skip-bad --drain jobs
	assert_failure 65
	assert_output "$(printf 'one\nthree')"
	[ "$(rmq-queue show jobs.dead ready)" = 1 ]
	run rmq-queue peek -j jobs.dead
	assert_output --partial "body holds the separator"
}

@test "rmq-recv: --raw prints bodies and nothing else" {
	start_queue q
	rmq-send jobs one $'two\n' three
	[ "$(timeout 10 rmq-recv --raw --drain jobs)" = $'onetwo\nthree' ]
}

@test "rmq-recv: a closed stdout releases what was not read, uncounted, and ends it by SIGPIPE" {
	start_queue q
	seq 1000 | rmq-send jobs
	bash -c 'timeout 20 rmq-recv --prefetch 500 jobs; echo $? >status' | head -1
	wait_until 10 [ -s status ]
	[ "$(cat status)" = 141 ]
	settles jobs "$(rmq-queue show jobs ready) 0 0"
	[ "$(rmq-queue show jobs ready)" -lt 1000 ]
	[ "$(rmq-queue show jobs failed)" = 0 ]
	# What head had read is gone, and nothing else.
	timeout 10 rmq-recv --drain jobs >rest
	tail -n "$(wc -l <rest)" <(seq 1000) | cmp - rest
}

@test "rmq-recv: a reader that does not read keeps the lease, and no one else gets it" {
	start_queue q
	rmq-queue create --lease 500ms jobs
	seq 100 | rmq-send jobs
	mkfifo pipe
	exec 6<>pipe
	rmq-recv --prefetch 100 jobs >pipe 2>>log 3>&- 6>&- &
	STARTED+=($!)
	settles jobs "0 100 0"
	run timeout 10 rmq-recv --wait 1500ms jobs
	assert_failure 1
	[ "$(rmq-queue show jobs failed)" = 0 ]
	# Once it reads, they are settled.
	head -n 100 <&6 >got
	cmp got <(seq 100)
	settles jobs "0 0 0"
	exec 6>&-
}

@test "rmq-recv: little is leased ahead for a reader that has taken nothing yet" {
	start_queue q
	seq 10000 | rmq-send jobs
	mkfifo pipe
	exec 6<>pipe
	rmq-recv jobs >pipe 2>>log 3>&- 6>&- &
	STARTED+=($!)
	wait_until 10 eval '[ "$(rmq-queue show jobs leased)" -gt 0 ]'
	# A second one is answered after what the first one may have asked for.
	timeout 10 rmq-recv -n 9900 jobs | wc -l >rest
	[ "$(cat rest)" = 9900 ]
	[ "$(rmq-queue show jobs leased)" -le 100 ]
	exec 6>&-
}

@test "rmq-recv: two readers of a small backlog share it" {
	start_queue q
	rmq-queue create jobs
	rmq-recv --prefetch 256 -n 50 jobs >one 2>>log 3>&- &
	STARTED+=($!)
	rmq-recv --prefetch 256 -n 50 jobs >two 2>>log 3>&- &
	STARTED+=($!)
	wait_until 10 eval '[ "$(rmq-queue show jobs receivers)" = 2 ]'
	seq 100 | rmq-send jobs
	wait_until 10 eval '[ "$(cat one two | wc -l)" = 100 ]'
	[ "$(wc -l <one)" = 50 ]
}

@test "rmq-recv: what the reader has not taken is not settled" {
	start_queue q
	seq 10 | rmq-send jobs
	mkfifo pipe
	exec 6<>pipe
	rmq-recv --prefetch 100 jobs >pipe 2>>log 3>&- 6>&- &
	STARTED+=($!)
	local line
	read -r line <&6
	[ "$line" = 1 ]
	# A shell takes a line from a pipe byte by byte.
	settles jobs "0 9 0"
	exec 6>&-
}

@test "rmq-recv: SIGTERM releases uncounted and ends a receiver without an end with 0" {
	start_queue q
	seq 100000 | rmq-send jobs
	mkfifo pipe
	exec 6<>pipe
	rmq-recv jobs >pipe 2>>log 3>&- 6>&- &
	local pid=$!
	STARTED+=($pid)
	wait_until 10 eval '[ "$(rmq-queue show jobs leased)" -gt 0 ]'
	kill -TERM $pid
	wait $pid
	[ "$(counts jobs)" = "100000 0 0" ]
	[ "$(rmq-queue show jobs failed)" = 0 ]
	exec 6>&-
}

@test "rmq-recv: killed, only what may have reached its reader has failed" {
	start_queue q
	# Each is larger than a pipe.
	for i in 1 2 3 4; do
		head -c 100000 /dev/zero | tr '\0' "$i"
		echo
	done | rmq-send jobs
	mkfifo pipe
	exec 6<>pipe
	rmq-recv jobs >pipe 2>>log 3>&- 6>&- &
	local pid=$!
	STARTED+=($pid)
	[ "$(head -c 1 <&6)" = 1 ]
	wait_until 10 eval '[ "$(rmq-queue show jobs leased)" = 4 ]'
	kill -KILL $pid
	wait_until 10 eval '[ "$(rmq-queue show jobs leased)" = 0 ]'
	[ "$(rmq-queue peek -o seq,failures jobs | paste -sd' ')" = "$(printf '1\t1 2\t0 3\t0 4\t0')" ]
	exec 6>&-
}

# receiver_of_large_ones OPTION…: four messages, each larger than a pipe, and a receiver that has begun to print one.
receiver_of_large_ones() {
	for i in 1 2 3 4; do
		head -c 100000 /dev/zero | tr '\0' "$i"
		echo
	done | rmq-send jobs
	mkfifo pipe
	exec 6<>pipe
	rmq-recv --lease 1h "$@" jobs >pipe 2>>log 3>&- 6>&- &
	STARTED+=($!)
	[ "$(head -c 1 <&6)" = 1 ]
}

@test "rmq-recv: killed with --ack write, what was begun has failed, and nothing else" {
	start_queue q
	receiver_of_large_ones --ack write
	wait_until 10 eval '[ "$(rmq-queue show jobs leased)" = 4 ]'
	kill -KILL "${STARTED[-1]}"
	wait_until 10 eval '[ "$(rmq-queue show jobs leased)" = 0 ]'
	[ "$(rmq-queue peek -o seq,failures jobs | paste -sd' ')" = "$(printf '1\t1 2\t0 3\t0 4\t0')" ]
	exec 6>&-
}

@test "rmq-recv: killed with --ack none, what was settled is gone and nothing has failed" {
	start_queue q
	receiver_of_large_ones --ack none
	kill -KILL "${STARTED[-1]}"
	wait_until 10 eval '[ "$(rmq-queue show jobs leased)" = 0 ]'
	[ "$(rmq-queue show jobs failed)" = 0 ]
	rmq-queue peek -o seq jobs >left
	run grep -x 1 left
	assert_failure 1
	exec 6>&-
}

@test "rmq-recv: killed with --ack manual, what its reader has a receipt of stays leased" {
	start_queue q
	receiver_of_large_ones --ack manual
	kill -KILL "${STARTED[-1]}"
	wait_until 10 eval '[ "$(rmq-queue show jobs receivers)" = 0 ]'
	[ "$(rmq-queue show jobs failed)" = 0 ]
	[ "$(rmq-queue peek --state leased -o seq,failures jobs | head -1)" = "$(printf '1\t0')" ]
	exec 6>&-
}

@test "rmq-recv: SIGHUP, and SIGTERM with an end, end it by the signal" {
	start_queue q
	rmq-recv jobs >out 2>>log 3>&- &
	STARTED+=($!)
	wait_until 10 eval '[ "$(rmq-queue show jobs receivers)" = 1 ]'
	kill -HUP "${STARTED[-1]}"
	local status=0
	wait "${STARTED[-1]}" || status=$?
	[ $status = 129 ]
	rmq-recv -n 5 jobs >out 2>>log 3>&- &
	STARTED+=($!)
	wait_until 10 eval '[ "$(rmq-queue show jobs receivers)" = 1 ]'
	kill -TERM "${STARTED[-1]}"
	status=0
	wait "${STARTED[-1]}" || status=$?
	[ $status = 143 ]
}

@test "rmq-recv: SIGTERM ends it also when the daemon is gone" {
	start_queue q
	rmq-recv jobs >out 2>>log 3>&- &
	STARTED+=($!)
	local pid=$!
	wait_until 10 eval '[ "$(rmq-queue show jobs receivers)" = 1 ]'
	kill_queue
	kill -TERM $pid
	wait $pid
}

@test "rmq-recv: a daemon that comes back is received from, and nothing comes twice" {
	start_queue q
	rmq-recv jobs >got 2>>log 3>&- &
	STARTED+=($!)
	seq 5000 | rmq-send jobs
	wait_until 10 eval '[ "$(wc -l <got)" = 5000 ]'
	kill_queue
	start_queue q
	seq 5001 10000 | rmq-send jobs
	wait_until 20 eval '[ "$(wc -l <got)" -ge 10000 ]'
	settles jobs "0 0 0"
	cmp got <(seq 10000)
}

@test "rmq-recv: --wait ends --ack manual also when all of --prefetch is unsettled" {
	start_queue q
	seq 10 | rmq-send jobs
	run timeout 10 rmq-recv --ack manual --prefetch 3 --wait 200ms jobs
	assert_success
	assert_output "$(seq 3)"
}

@test "rmq-recv: --ack manual leaves messages to rmq-ack, at most --prefetch at a time" {
	start_queue q
	seq 10 | rmq-send jobs
	rmq-recv --ack manual --prefetch 3 -o receipt jobs >receipts 2>>log 3>&- &
	STARTED+=($!)
	settles jobs "7 3 0"
	wait_until 10 eval '[ "$(wc -l <receipts)" = 3 ]'
	rmq-ack <receipts
	settles jobs "4 3 0"
	wait_until 10 eval '[ "$(wc -l <receipts)" = 6 ]'
	kill -TERM "${STARTED[-1]}"
	wait "${STARTED[-1]}"
	# The leases outlive it.
	[ "$(counts jobs)" = "4 3 0" ]
}

@test "rmq-recv: --ack manual holds what its reader has not taken out of the pipe" {
	start_queue q
	rmq-queue create --lease 2s --backoff 0,0 jobs
	rmq-queue create --lease 2s --backoff 0,0 other
	seq 20 | rmq-send jobs
	rmq-send other x
	mkfifo fifo
	rmq-recv --ack manual -n 20 -o receipt,body jobs >fifo 2>>log 3>&- &
	STARTED+=($!)
	exec 6<fifo
	read -r receipt body <&6
	rmq-ack "$receipt"
	# Leases as long as theirs end meanwhile.
	timeout 10 rmq-recv -1 --ack manual other
	timeout 10 rmq-recv -1 --ack manual other
	run timeout 10 rmq-recv -1 -o failures other
	assert_output 2
	run rmq-ack < <(cat <&6)
	assert_success
	exec 6<&-
	status_of "${STARTED[-1]}"
	assert_success
	[ "$(rmq-queue show jobs ready leased failed | xargs)" = "0 0 0" ]
}

@test "rmq-recv: --ack manual gives back what a reader that goes has not taken" {
	start_queue q
	seq 20 | rmq-send jobs
	mkfifo fifo
	rmq-recv --ack manual -o body jobs >fifo 2>>log 3>&- &
	STARTED+=($!)
	exec 6<fifo
	wait_until 10 eval '[ "$(rmq-queue show jobs leased)" = 20 ]'
	read -r body <&6
	exec 6<&-
	settles jobs "19 1 0"
	[ "$(rmq-queue show jobs failed)" = 0 ]
}

@test "rmq-recv: --ack manual says that leases end before their messages are settled" {
	start_queue q
	rmq-queue create --backoff 0,0 jobs
	rmq-send jobs x
	rmq-recv --ack manual --lease 100ms jobs >out 2>>log 3>&- &
	STARTED+=($!)
	wait_until 10 eval '[ "$(wc -l <out)" -ge 3 ]'
	[ "$(grep -c "leases end before their messages are settled" log)" = 1 ]
}

@test "rmq-recv: a lease that is not settled in time ends, and counts as a failure" {
	start_queue q
	rmq-queue create --backoff 0,0 jobs
	rmq-send jobs a
	timeout 10 rmq-recv --ack manual --lease 300ms -1 jobs
	run timeout 10 rmq-recv -1 -o failures,attempt,body jobs
	assert_output "$(printf '1\t2\ta')"
}

@test "rmq-recv: --ack none settles before it prints, write and sync after" {
	start_queue q
	local mode
	for mode in none write sync; do
		seq 1000 | rmq-send jobs
		timeout 10 rmq-recv --drain --ack $mode jobs >got
		cmp got <(seq 1000)
		[ "$(counts jobs)" = "0 0 0" ]
	done
	run bash -c 'rmq-recv --ack read jobs >file'
	assert_failure 64
	run bash -c 'rmq-recv --ack sync jobs | cat; exit ${PIPESTATUS[0]}'
	assert_failure 64
}

@test "rmq-recv: /dev/full as stdout is 74, and the message goes back uncounted" {
	start_queue q
	rmq-send jobs a
	run timeout 10 bash -c 'rmq-recv -1 jobs >/dev/full'
	assert_failure 74
	assert_output "rmq-recv: jobs: standard output: No space left on device"
	[ "$(counts jobs)" = "1 0 0" ]
	[ "$(rmq-queue show jobs failed)" = 0 ]
	run timeout 10 bash -c 'rmq-recv -1 jobs >&-'
	assert_failure 74
}

# A limit of file size is what a full disk is: a write is cut short, the next one fails.
@test "rmq-recv: a file on a full disk ends with a whole message, and no torn one is settled" {
	local format next
	start_queue q
	for format in "" -0 -j "-o id,body" --raw "--ack none"; do
		rmq-send jobs first
		seq 1 2000 | sed 's/$/ of two thousand/' | rmq-send jobs
		: >all
		rmq-recv -1 $format jobs >all
		run bash -c "ulimit -f 1; exec rmq-recv --drain $format jobs >>all"
		assert_failure 74
		assert_output "rmq-recv: jobs: standard output: File too large"
		[ "$(stat -c %s all)" -le 1024 ]
		[ -s all ]
		rmq-recv --drain $format jobs >>all
		case $format in
		--raw) run grep -o '[0-9]* of two thousand' all ;;
		-j) run jq -r .body all ;;
		-0) run tr '\0' '\n' <all ;;
		*) run cut -f 2 all ;;
		esac
		# What was settled before it was printed cannot be given back.
		[ "$format" = "--ack none" ] || [ "$(grep -c 'of two thousand$' <<<"$output")" = 2000 ]
		run ! grep -v '^first$\|^[0-9]* of two thousand$' <<<"$output"
		rmq-queue purge jobs
	done
}

@test "rmq-recv: what was written after it stays when the disk is full; the torn line is ended" {
	start_queue q
	printf 'x%.0s' {1..5000} | rmq-send jobs
	printf 'y%.0s' {1..1500} >all
	# Not at the file's end: nothing is cut off.
	run bash -c 'ulimit -f 1; exec rmq-recv -1 jobs 1<>all'
	assert_failure 74
	assert_output --partial "it ends with a part of a message"
	[ "$(stat -c %s all)" = 1500 ]
	run rmq-queue show jobs ready failed
	assert_output $'1\n0'
}

@test "rmq-recv: options that exclude each other, and --prefetch 0, are 64" {
	local options
	for options in "--raw -j" "-j -o body" "-o body --raw" "-0 --raw" "--prefetch 0"; do
		run rmq-recv $options jobs
		assert_failure 64
	done
}

@test "rmq-recv: no daemon is 69 after the time-out, with an end" {
	run timeout 10 rmq-recv -S unix:none --timeout 300ms jobs
	assert_failure 69
	assert_output --partial "rmq-recv: jobs: no daemon answers at none"
}

@test "rmq-recv: --no-create is 66, names and options that are none are 64" {
	start_queue q
	run timeout 10 rmq-recv --no-create -1 jobs
	assert_failure 66
	[ -z "$(rmq-queue ls)" ]
	local option
	for option in --parallel=2 --ack=never --count=0 --lease=1ms --drain=some; do
		run timeout 10 rmq-recv "$option" jobs
		assert_failure 64
	done
	run rmq-recv a/b
	assert_failure 64
	run timeout 10 rmq-recv --batch=2 jobs
	assert_failure 64
	run rmq-recv
	assert_failure 64
}

@test "rmq-recv: the page's worker keeps tabs, quotes and blanks, in dash and in bash" {
	start_queue q
	# The example as the page has it; what is to be done is written to ./done.
	sed -n '/^\$ tab=/,/rmq-ack$/p' "$BATS_TEST_DIRNAME/../../man/rmq-recv.1" |
		sed 's/^\$ //; s/\\e/\\/g' >example
	grep -q rmq-ack example
	{
		echo 'work() { printf "%s\n" "$1" >>done; }'
		cat example
	} >worker
	mkdir bin
	printf '#!/bin/sh\nexec "%s" --drain "$@"\n' "$(command -v rmq-recv)" >bin/rmq-recv
	chmod +x bin/rmq-recv
	printf '%s\n' "it's" '	a	tab	' '  blanks  ' 'a"quote' 'back\tslash\' '' 't' >bodies
	local shell
	for shell in dash bash; do
		rm -f done
		rmq-send jobs <bodies
		PATH=$PWD/bin:$PATH "$shell" worker
		cmp bodies done
		[ "$(rmq-queue show jobs ready)" = 0 ]
		[ "$(rmq-queue show jobs leased)" = 0 ]
	done
}

@test "rmq-recv: headers come with their message, in JSON, as a field, and in what is looked at" {
	start_queue q
	raw hello 0 expect WELCOME header 1 jobs trace x1 one send 2 jobs two \
		header 3 jobs trace x3 three expect SENT expect SENT expect SENT bye eof
	run rmq-queue peek -j jobs
	assert_success
	assert_line --index 0 --partial '"headers":{"trace":"x1"},"state":"ready","body":"one"'
	run timeout 10 rmq-recv -j --count=2 jobs
	assert_success
	assert_line --index 0 --partial '"headers":{"trace":"x1"},"body":"one"'
	assert_line --index 1 --partial '"headers":{},"body":"two"'
	run timeout 10 rmq-recv -o headers,body --drain jobs
	assert_success
	assert_output "$(printf '{"trace":"x3"}\tthree')"
	run rmq-journal dump q
	assert_success
	assert_output --partial '"attributes":{"headers":'
}

@test "rmq-recv: a large message has its headers, too, also as a dead letter and after a restart" {
	start_queue q
	raw hello 0 expect WELCOME large 1 jobs trace x1 200000 expect SENT bye eof
	kill -KILL "$QUEUE_PID"
	wait "$QUEUE_PID" || true
	start_queue q
	run rmq-queue peek -o headers,id jobs
	assert_success
	assert_output "$(printf '{"trace":"x1"}\tjobs:1')"
	timeout 10 rmq-recv -1 -j --ack manual jobs | rmq-ack --dead=bad
	run timeout 10 rmq-recv -1 -o headers,queue jobs.dead
	assert_success
	assert_output "$(printf '{"trace":"x1"}\tjobs.dead')"
	run sh -c 'rmq-journal dump q | grep -c "\"tags\":{\"attributes\":{\"headers\":"'
	assert_output 1
}

@test "rmq-recv: headers on one message after many without, written together" {
	start_queue q
	local sends=() n
	for n in {1..31}; do
		sends+=(send "$n" jobs "m$n" expect SENT)
	done
	raw hello 0 expect WELCOME "${sends[@]}" header 32 jobs trace x last expect SENT bye eof
	run timeout 10 rmq-recv --drain --prefetch 256 jobs
	assert_success
	assert_line --index 31 last
	[ "${#lines[@]}" -eq 32 ]
}

@test "rmq-recv: ended by a signal while the daemon is away, it comes back to give back what it has" {
	start_queue q
	seq 5 | rmq-send jobs
	mkfifo out.fifo
	start sh -c 'exec rmq-recv --lease 1h jobs >out.fifo'
	pid=${STARTED[-1]}
	exec 8<out.fifo
	wait_until 10 sh -c '[ "$(rmq-queue show jobs leased)" = 5 ]'
	# What it prints is not read, and what it says to the daemon neither.
	kill -STOP "$QUEUE_PID"
	kill -TERM "$pid"
	kill -KILL "$QUEUE_PID"
	wait "$QUEUE_PID" || true
	start_queue q
	status_of "$pid"
	exec 8<&-
	[ "$(rmq-queue show jobs leased failed | paste -sd' ')" = "0 0" ]
}

@test "rmq-recv: --into makes a file of each message, settles it and prints its path" {
	start_queue q
	seq 300 | rmq-send jobs
	head -c 900000 /dev/urandom >large
	rmq-send -w jobs <large
	rmq-send jobs '' $'two\nlines'
	mkdir dir
	timeout 30 rmq-recv --drain --into dir jobs >paths
	[ "$(counts jobs)" = "0 0 0" ]
	cmp paths <(seq -f 'dir/jobs:%g' 303)
	[ "$(ls -A dir | wc -l)" -eq 303 ]
	cmp large dir/jobs:301
	[ ! -s dir/jobs:302 ]
	[ "$(cat dir/jobs:303)" = $'two\nlines' ]
	[ "$(cat dir/jobs:7)" = 7 ]
	rmq-send jobs x
	[ "$(timeout 10 rmq-recv -1 -0 --into dir jobs | tr '\0' '|')" = 'dir/jobs:304|' ]
	run timeout 10 rmq-recv -1 --into none jobs
	assert_failure 74
	assert_output "rmq-recv: none: No such file or directory"
	run rmq-recv -S unix:none --into dir --ack read jobs
	assert_failure 64
	run rmq-recv -S unix:none --into dir jobs true
	assert_failure 64
}

@test "rmq-recv: --into overwrites no file of another message" {
	start_queue q
	mkdir dir
	rmq-send jobs first same
	rmq-recv --drain --into dir jobs >/dev/null
	rmq-queue rm jobs
	rmq-send jobs second same
	run timeout 10 rmq-recv --drain --into dir jobs
	assert_failure 73
	assert_output "rmq-recv: jobs: dir/jobs:1: exists already, and differs: move that file away"
	[ "$(cat dir/jobs:1)" = first ]
	[ "$(ls -A dir | paste -sd' ')" = "jobs:1 jobs:2" ]
	[ "$(rmq-queue show jobs ready failed | paste -sd' ')" = "2 0" ]
	mv dir/jobs:1 .
	timeout 10 rmq-recv --drain --into dir jobs | cmp - <(printf '%s\n' dir/jobs:1 dir/jobs:2)
	[ "$(cat dir/jobs:1)" = second ]
	# Nor what is no file.
	mkdir dir/jobs:3
	ln -s second dir/jobs:4
	rmq-send jobs third
	run timeout 10 rmq-recv --drain --into dir jobs
	assert_failure 73
	assert_output --partial "dir/jobs:3: exists already"
	rmdir dir/jobs:3
	rmq-send jobs fourth
	run timeout 10 rmq-recv --drain --into dir jobs
	assert_failure 73
	assert_output --partial "dir/jobs:4: exists already"
}

@test "rmq-recv: --into syncs each file and then the directory before a message is settled" {
	strace -D -qq -o probe true || skip "strace is missing or may not trace"
	start_queue q
	rmq-send jobs a b
	mkdir dir
	ASAN_OPTIONS=detect_leaks=0 timeout 30 strace -f -o calls -e trace=fsync,renameat2,sendmsg,write,pwritev2 \
		rmq-recv -n 2 --into dir jobs
	# The first settlement comes after the sync of the directory.
	[ "$(grep -n 'fsync' calls | tail -1 | cut -d: -f1)" -lt "$(grep -n 'dir/jobs:' calls | head -1 | cut -d: -f1)" ]
	[ "$(grep -c 'fsync(.* = 0' calls)" -ge 3 ]
}

@test "rmq-recv: --into on a full disk gives back what is not stored" {
	small_disk small 40k
	start_queue q
	head -c 100000 /dev/zero | rmq-send -w jobs
	run timeout 10 rmq-recv --drain --into small jobs
	assert_failure 74
	assert_output "rmq-recv: jobs: small: No space left on device"
	[ "$(rmq-queue peek -o failures,state jobs)" = "$(printf '0\tready')" ]
	[ -z "$(ls -A small)" ]
}

# It says so after a second.
@test "rmq-recv --drain says that it waits for a queue that is paused" {
	start_queue q
	rmq-send jobs a
	rmq-queue pause --out jobs
	start timeout 20 rmq-recv --drain jobs
	local printing=$!
	start timeout 20 rmq-recv --drain jobs cat
	local worker=$!
	wait_until 10 eval '[ "$(grep -c "waiting: jobs: its messages are not handed out: it is paused (rmq-queue resume)" log)" -eq 2 ]'
	rmq-queue resume jobs
	status_of $printing
	assert_success
	status_of $worker
	assert_success
	[ "$(cat out)" = a ]
}
