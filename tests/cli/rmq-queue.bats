#!/usr/bin/env bats
# rmq-queue: every promise of rmq-queue(1), and what it does with bad input.

load common

bats_require_minimum_version 1.5.0

@test "rmq-queue: ls lists queues, by a glob too" {
	start_queue q
	rmq-send a 1 2
	rmq-send ab 1
	rmq-send b 1
	run rmq-queue ls
	assert_output "$(printf 'a\t2\t0\t0\t4\t0\nab\t1\t0\t0\t2\t0\nb\t1\t0\t0\t2\t0')"
	run rmq-queue ls -o queue 'a*'
	assert_output "$(printf 'a\nab')"
	run rmq-queue ls -j b
	assert_output '{"queue":"b","ready":1,"leased":0,"delayed":0,"bytes":2,"receivers":0}'
	run rmq-queue ls -o nonsense
	assert_failure 64
}

@test "rmq-queue: ls lists more queues than one answer holds" {
	start_queue q
	local i
	for i in {100..399}; do
		rmq-queue create "q$i"
	done
	[ "$(rmq-queue ls -o queue)" = "$(printf 'q%d\n' {100..399})" ]
}

@test "rmq-queue: on a terminal ls is aligned under a heading" {
	start_queue q
	rmq-send jobs 1
	run script -qc "rmq-queue ls" /dev/null
	assert_line --index 0 --regexp '^queue  ready  leased'
	assert_line --index 1 --regexp '^jobs       1       0'
}

@test "rmq-queue: create takes settings, show tells them, again is 0, different is 73" {
	start_queue q
	rmq-queue create --lease 5s --max-attempts 3 --backoff 2s,1m --max-bytes 1M \
		--max-message 2K --dead-letter graves jobs
	run rmq-queue show jobs lease max-attempts backoff max-bytes max-message dead-letter
	assert_output "$(printf '%s\n' 5s 3 2s,1m 1048576 2048 graves)"
	rmq-queue create --lease 5s --max-attempts 3 --backoff 2s,1m --max-bytes 1M \
		--max-message 2K --dead-letter graves jobs
	run rmq-queue create --lease 6s jobs
	assert_failure 73
	assert_output "rmq-queue: jobs: exists already, and differs: lease is 5s, not 6s"
	run rmq-queue create --lease 5s --max-attempts 3 --backoff 2s,1m --max-bytes 1M \
		--max-message 2K jobs
	assert_failure 73
	assert_output --partial "differs: dead-letter is graves, not the default"
	run rmq-queue create --lease 5s --max-attempts 3 --backoff 1s,1m jobs
	assert_failure 73
	assert_output --partial "differs: backoff is 2s,1m, not 1s,1m"
	rmq-queue create --dead-letter none other
	[ "$(rmq-queue show other dead-letter)" = none ]
	[ "$(rmq-queue show -j other | jq -r .lease)" = 30s ]
}

@test "rmq-queue: every setting that show prints can be given back" {
	local queue setting value
	start_queue q
	rmq-queue create plain
	rmq-queue create --lease 1500ms --max-attempts 3 --backoff 250ms,1h --max-bytes 3M \
		--max-message 16M --dead-letter plain --expire 1h --dedup none --max-inflight 7 --rate 3/s \
		--dispatch round-robin odd
	rmq-queue create --dead-letter none none
	rmq-queue create plain.dead
	for queue in plain odd none plain.dead; do
		rmq-queue show "$queue" >before
		for setting in $(rmq-queue show "$queue" | cut -f 1 | sed -n '/^lease$/,/^dead-letter$/p; /^expire$/,/^rate$/p; /^dispatch$/p'); do
			value=$(rmq-queue show "$queue" "$setting")
			rmq-queue set "--$setting" "$value" "$queue"
		done
		rmq-queue show "$queue" | diff before -
	done
	rmq-queue set --max-bytes none odd
	run rmq-queue show odd max-bytes
	assert_output none
}

@test "rmq-queue: -j is obeyed with fields, and -j -o of peek is 64" {
	start_queue q
	rmq-send jobs one
	run rmq-queue show -j jobs ready max-bytes max-inflight paused-in paused-out
	assert_success
	run jq -c '[.ready, ."max-bytes", ."max-inflight", ."paused-in", ."paused-out"]' <<<"$output"
	assert_output '[1,null,null,false,false]'
	rmq-queue set --max-bytes 2G --max-inflight 3 jobs
	rmq-queue pause --in jobs
	run rmq-queue show -j jobs max-bytes max-inflight paused-in
	assert_output '{"max-bytes":2147483648,"max-inflight":3,"paused-in":true}'
	run rmq-queue peek -j -o body jobs
	assert_failure 64
}

@test "rmq-queue: a bad value is told what are good ones" {
	run rmq-queue set --lease 1ms jobs
	assert_failure 64
	assert_output "rmq-queue: set: '1ms' is not a valid value for --lease, which takes a duration from 100ms to 7d"
	run rmq-queue create --backoff 2s,1s jobs
	assert_failure 64
	assert_output --partial "MIN,MAX"
	run rmq-queue create --max-bytes 0 jobs
	assert_failure 64
	assert_output --partial "for --max-bytes, which takes a size of at least 1, such as 4096, 64K, 10M or 2G, or none"
}

@test "rmq-queue: set changes what is given and nothing else" {
	start_queue q
	rmq-queue create --lease 5s --max-attempts 3 jobs
	rmq-queue set --lease 7s jobs
	[ "$(rmq-queue show jobs lease max-attempts | paste -sd' ')" = "7s 3" ]
	run rmq-queue set --lease 7s nope
	assert_failure 66
	run rmq-queue set jobs
	assert_failure 64
}

@test "rmq-queue: rm refuses a queue that holds messages with 1, --force does not" {
	start_queue q
	rmq-send jobs 1
	run rmq-queue rm jobs
	assert_failure 1
	assert_output "rmq-queue: jobs: queue holds messages"
	rmq-queue rm --force jobs
	run rmq-queue rm jobs
	assert_failure 66
	rmq-queue create empty
	rmq-queue rm empty
	[ -z "$(rmq-queue ls)" ]
}

@test "rmq-queue: purge deletes all messages and keeps the queue" {
	start_queue q
	seq 1000 | rmq-send jobs
	rmq-queue purge jobs
	[ "$(rmq-queue show jobs ready)" = 0 ]
	run timeout 10 rmq-recv -1 --wait 0 jobs
	assert_failure 1
}

@test "rmq-queue: peek shows messages and leases none" {
	start_queue q
	seq 5000 | rmq-send jobs
	run rmq-queue peek jobs
	assert_output "$(seq 10)"
	rmq-queue peek -n 5000 jobs | cmp - <(seq 5000)
	run rmq-queue peek -n 2 --from 4999 -o id,state,receipt,body jobs
	assert_output "$(printf 'jobs:4999\tready\t-\t4999\njobs:5000\tready\t-\t5000')"
	[ "$(rmq-queue peek -0 -n 2 jobs | tr '\0' '|')" = "1|2|" ]
	timeout 10 rmq-recv -1 --ack manual jobs
	[ "$(rmq-queue peek --state leased jobs)" = 1 ]
	[ "$(rmq-queue peek --state ready -n 1 jobs)" = 2 ]
	[ "$(rmq-queue show jobs delivered)" = 1 ]
	run rmq-queue peek nope
	assert_failure 66
	run rmq-queue peek --state odd jobs
	assert_failure 64
}

@test "rmq-queue: peek shows large messages whole" {
	start_queue q
	head -c 300000 /dev/urandom | base64 -w0 >body
	rmq-send -w jobs <body
	rmq-send jobs small
	rmq-queue peek jobs | cmp - <(cat body; echo; echo small)
}

@test "rmq-queue: stat counts what went through" {
	start_queue q
	seq 10 | rmq-send jobs
	timeout 10 rmq-recv -n 4 jobs
	[ "$(rmq-queue stat jobs)" = "$(printf 'jobs\t10\t4\t4\t0\t0\t0\t0\t0\t0\t0')" ]
	run rmq-queue stat nope
	assert_failure 66
}

@test "rmq-queue: stat --watch goes on, each row as it comes, until a signal" {
	start_queue q
	seq 10 | rmq-send jobs
	mkfifo rows
	rmq-queue stat --watch 50ms -o sent jobs >rows 3>&- &
	watcher=$!
	exec 4<rows
	read -r -t 10 first <&4
	rmq-send jobs more
	until [ "$first" = 11 ]; do
		[ "$first" = 10 ]
		read -r -t 10 first <&4
	done
	kill "$watcher"
	status_of "$watcher"
	assert_failure 143
	for bad in 0 -1 x; do
		run rmq-queue stat --watch "$bad" jobs
		assert_failure 64
	done
}

# waiting_for QUEUE CONDITION: in the background, its pid in WAITER, and the daemon knows.
waiting_for() {
	rmq-queue wait --timeout 20s "$@" 2>log 3>&- &
	WAITER=$!
	STARTED+=("$WAITER")
}

@test "rmq-queue: wait ends when the queue holds no message, leased ones too" {
	start_queue q
	seq 3 | rmq-send jobs
	run rmq-recv -n 2 --ack manual -o receipt,body jobs
	receipts=$output
	waiting_for jobs empty
	run rmq-queue wait --timeout 100ms jobs empty
	assert_failure 1
	assert_output "rmq-queue: jobs: not empty within 100ms (--timeout)"
	[ "$(timeout 10 rmq-recv -1 jobs)" = 3 ]
	run rmq-queue wait --timeout 100ms jobs below=2
	assert_failure 1
	kill -0 "$WAITER"
	rmq-ack <<<"$receipts"
	status_of "$WAITER"
	assert_success
	rmq-queue wait jobs empty
}

@test "rmq-queue: wait below and above count all messages, through a restart of the daemon" {
	start_queue q
	rmq-send jobs 1 2 3
	rmq-queue wait jobs above=2
	rmq-queue wait jobs below=4
	waiting_for jobs above=3
	stop_queue
	start_queue q
	rmq-send jobs 4
	status_of "$WAITER"
	assert_success
}

@test "rmq-queue: wait for no queue is 66, for a bad condition 64, without a daemon 69" {
	local condition
	start_queue q
	run rmq-queue wait jobs empty
	assert_failure 66
	assert_output "rmq-queue: jobs: no such queue"
	for condition in full below=0 below= above=x empty=1; do
		run rmq-queue wait jobs "$condition"
		assert_failure 64
	done
	rmq-send jobs 1
	waiting_for jobs empty
	rmq-queue rm --force jobs
	status_of "$WAITER"
	assert_failure 66
	run rmq-queue wait -S unix:none --timeout 100ms jobs empty
	assert_failure 69
}

@test "rmq-queue: top shows queues on a terminal, with what was before, and restores it" {
	start_queue q
	seq 7 | rmq-send jobs
	rmq-queue create empty
	LANG=C.UTF-8 LC_ALL= on_terminal rmq-queue top --watch 50ms
	wait_until 10 grep -q $'jobs  *7 .*\u2588\u2588' screen
	grep -q $'empty  *0' screen
	# With most ready messages first.
	[ "$(grep -n -m 1 jobs screen | cut -d: -f 1)" -lt "$(grep -n -m 1 empty screen | cut -d: -f 1)" ]
	rmq-recv -n 7 jobs
	wait_until 10 grep -q $'jobs  *0 .*\u2588\u2581' screen
	grep -qF $'\e[?1049h\e[?25l' screen
	run ! grep -qF $'\e[?1049l' screen
	kill "$TOP"
	wait_until 10 grep -qF $'\e[?25h\e[?1049l' screen
	LC_ALL=C on_terminal "rmq-queue top 'j*'"
	wait_until 10 grep -q 'jobs  *0 ' screen
	run ! grep -q empty screen
	stop_queue
	kill -HUP "$TOP"
	wait_until 10 has_ended "$TOP"
}

@test "rmq-queue: top without a terminal is 64, and says what to use" {
	start_queue q
	run -64 rmq-queue top
	assert_output "rmq-queue: top: standard output is no terminal: use rmq-queue stat --watch, or metrics"
}

@test "rmq-queue: show of no queue is 66, of no field 64" {
	start_queue q
	run rmq-queue show jobs
	assert_failure 66
	assert_output "rmq-queue: jobs: no such queue"
	rmq-queue create jobs
	run rmq-queue show jobs nonsense
	assert_failure 64
	[ "$(rmq-queue show jobs | head -1)" = "$(printf 'queue\tjobs')" ]
	run rmq-queue show -o ready jobs leased
	assert_failure 64
}

@test "rmq-queue: what the page says of default fields is so" {
	start_queue q
	rmq-queue create jobs
	local command page="$BATS_TEST_DIRNAME/../../man/rmq-queue.1"
	for command in ls stat; do
		run sed -n "/^the fields are:/,/^.El/{/^.It Cm $command/{n;s/ //g;p}}" "$page"
		assert_equal "$(rmq-queue $command)" "$(rmq-queue $command -o "$output")"
	done
	# All that have a paragraph there, and in its order; the cell where there are some.
	sed -n '/^.Ss Fields/,/^.Ss/s/^.It Cm //p' "$page" | sed 's/ , /\n/g' | grep -vx cell >fields
	assert_equal "$(rmq-queue show jobs | cut -f 1)" "$(cat fields)"
	run rmq-queue show -o ready,lease jobs
	assert_output "$(printf 'ready\t0\nlease\t30s')"
}

@test "rmq-queue: bad names, values and commands are 64; no daemon is 69" {
	local args
	for args in "" "nonsense" "create" "create a/b" "create --lease x a" "create --expire 0 a" \
		"create --backoff 2s,1s a" "create --max-message 17M a" "rm a b" "bind a" "bind a b.#.c"; do
		run rmq-queue $args
		assert_failure 64
	done
	run timeout 10 rmq-queue ls -S unix:none --timeout 300ms
	assert_failure 69
	assert_output "rmq-queue: no daemon answers at none (No such file or directory)"
}

@test "rmq-queue: a file on a full disk has whole lines only" {
	start_queue q
	seq -f 'line %g of two hundred' 200 | rmq-send jobs
	run bash -c 'ulimit -f 1; exec rmq-queue peek -n 200 jobs >peeked'
	assert_failure 74
	assert_output --partial "standard output: File too large"
	[ -s peeked ]
	[ "$(tail -c 1 peeked | od -An -c | tr -d ' ')" = '\n' ]
	run bash -c 'ulimit -f 1; exec timeout 20 rmq-queue stat --watch 1ms jobs >watched'
	assert_failure 74
	[ -s watched ]
	[ "$(tail -c 1 watched | od -An -c | tr -d ' ')" = '\n' ]
}

@test "rmq-queue: peek -0: a file on a full disk has whole records only, of several lines each" {
	start_queue q
	for _ in $(seq 200); do printf 'a\nb\nc\n\0'; done | rmq-send -0 jobs
	run bash -c 'ulimit -f 1; exec rmq-queue peek -0 -n 200 jobs >peeked'
	assert_failure 74
	[ "$(tail -c 7 peeked | od -An -c | tr -d ' ')" = 'a\nb\nc\n\0' ]
}

# has_filled_a_pipe PID: what it writes next waits for a reader.
has_filled_a_pipe() {
	awk '/^wchar/ { exit $2 < 65536 }' "/proc/$1/io"
}

# ended_by_a_signal COMMAND…: its whole output is in `read`; nobody reads before the signal.
ended_by_a_signal() {
	local writer reader
	exec 8<>rows
	"$@" >rows 3>&- 8>&- &
	writer=$!
	STARTED+=("$writer")
	wait_until 20 has_filled_a_pipe "$writer"
	kill "$writer"
	cat <rows >read 3>&- 8>&- &
	reader=$!
	STARTED+=("$reader")
	exec 8>&-
	status_of "$writer"
	wait "$reader"
}

@test "rmq-queue: peek that a signal ends has written whole lines, with -0 whole records" {
	start_queue q
	mkfifo rows
	seq 100000 130000 | rmq-send lines
	seq 10000 40000 | tr '\n' '\0' | sed -z 's/^../&\n/' | rmq-send -0 records
	ended_by_a_signal rmq-queue peek -n 40000 lines
	assert_failure 143
	[ "$(tail -c 1 read | od -An -c | tr -d ' ')" = '\n' ]
	ended_by_a_signal rmq-queue peek -0 -n 40000 records
	assert_failure 143
	[ "$(tail -c 1 read | od -An -c | tr -d ' ')" = '\0' ]
}

@test "rmq-queue: /dev/full as stdout is 74" {
	start_queue q
	rmq-queue create jobs
	run timeout 10 bash -c 'rmq-queue ls >/dev/full'
	assert_failure 74
}

@test "rmq-queue, rmq-send, rmq-recv: a message is one line, whatever word it repeats" {
	word=$(printf 'a\nb\033[31m')
	for command in "rmq-queue create" "rmq-queue" rmq-send "rmq-recv" "rmq-queue set jobs --lease" \
		"rmq-recv jobs --lease"; do
		run -64 $command "$word"
		assert_equal "${#lines[@]}" 1
		assert_output --partial "'a?b?[31m'"
	done
}

@test "rmq-queue: COMMAND --help is that command's usage and options, --help the commands" {
	run -0 rmq-queue peek --help
	assert_line --index 0 "usage: rmq-queue peek [OPTION]... QUEUE"
	assert_line --regexp '^ +--state STATE,'
	refute_line --partial "--max-attempts"
	run -0 rmq-queue --help
	assert_line --regexp '^  peek QUEUE '
	refute_line --partial "--state"
	run -64 rmq-queue peek a b
	assert_output "rmq-queue: usage: rmq-queue peek [OPTION]... QUEUE"
}
