#!/usr/bin/env bats
# rmq-send: every promise of rmq-send(1), and what it does with bad input.

load common

bats_require_minimum_version 1.5.0

# bodies QUEUE: what is in it, as rmq-queue peek shows it.
bodies() {
	rmq-queue peek -n 100000 "$@"
}

# open_sender ARG…: rmq-send in the background; what is written to descriptor 7 is its input.
open_sender() {
	mkfifo in
	exec 7<>in
	rmq-send "$@" <in >>out 2>>log 3>&- 7>&- &
	SENDER=$!
	STARTED+=("$SENDER")
	# From now on only the sender reads and only the test writes.
	exec 8>in 7>&- 7>&8 8>&-
}

@test "rmq-send: lines, empty ones and a last one without newline are messages" {
	start_queue q
	printf 'one\n\nthree' | rmq-send jobs
	run bodies jobs
	assert_output "$(printf 'one\n\nthree')"
	[ "$(rmq-queue show jobs ready)" = 3 ]
}

@test "rmq-send: arguments are messages; after -- nothing is an option, and none is none" {
	start_queue q
	rmq-send jobs one -q </dev/null
	rmq-send -i jobs -- --null -- two >ids
	rmq-send jobs -- <<<ignored
	run bodies jobs
	assert_output "$(printf '%s\n' one -q --null -- two)"
	run cat ids
	assert_output "$(printf 'jobs:%d\n' 3 4 5)"
}

@test "rmq-send: -0 splits at NUL only, NULs in lines are data" {
	start_queue q
	printf 'a\nb\0c\0' | rmq-send -0 nul
	[ "$(rmq-queue show nul ready)" = 2 ]
	printf 'a\0b\n' | rmq-send lines
	[ "$(rmq-queue peek lines | od -An -c | tr -d ' \n')" = 'a\0b\n' ]
}

@test "rmq-send: -w sends all of stdin as one message, also when empty" {
	start_queue q
	printf 'a\nb\n' | rmq-send -w jobs
	rmq-send -w jobs </dev/null
	[ "$(rmq-queue show jobs ready)" = 2 ]
	run rmq-queue peek -j jobs
	assert_line --index 0 --partial '"body":"a\nb\n"'
	assert_line --index 1 --partial '"body":""'
}

@test "rmq-send: --files sends contents, and --pass gives the names" {
	start_queue q
	printf one >f1
	printf 'two\n' >f2
	head -c 200000 /dev/zero | tr '\0' x >f3
	rmq-send --files jobs f1 f2
	printf '%s\0' f1 f3 f2 | rmq-send -0 --files --pass jobs >passed
	run tr '\0' ' ' <passed
	assert_output "f1 f3 f2 "
	[ "$(rmq-queue show jobs ready)" = 5 ]
	rmq-recv -n 5 --raw jobs >all
	cat f1 f2 f1 f3 f2 | cmp - all
}

@test "rmq-send: a NUL in a file name is bad, and --skip-bad goes on after it" {
	start_queue q
	echo a >f1
	echo b >f2
	run rmq-send --files jobs < <(printf 'f1\nf2\0x\nf2\n')
	assert_failure 65
	assert_output "rmq-send: jobs: file 2: there is a NUL in the file name (-0: names end in NUL): 1 of 3 files stored"
	run rmq-send --skip-bad --files jobs < <(printf 'f1\nf2\0x\nf2\n')
	assert_failure 65
	[ "$(rmq-queue show jobs ready)" = 3 ]
}

@test "rmq-send: --files says what it did not store, and --unsent keeps the bad name" {
	start_queue q
	echo a >f1
	run rmq-send --unsent rest --files jobs f1 "$(printf 'no\nfile')" f1
	assert_failure 65
	assert_output "rmq-send: jobs: file 2: no?file: No such file or directory: 1 of 3 files stored"
	run cat rest
	assert_output "$(printf 'no\nfile\nf1')"
	run rmq-send --unsent rest --files jobs < <(printf 'f1\nnope\nf1\n')
	assert_failure 65
	run cat rest
	assert_output "$(printf 'nope\nf1')"
}

@test "rmq-send: the first bad record is told, also if the daemon finds it after a later one was read" {
	start_queue q
	rmq-queue create --max-message 3 jobs
	echo abcd >large
	echo a >f1
	run rmq-send --files jobs f1 large nope
	assert_failure 65
	assert_output "rmq-send: jobs: file 2: large: message is too large: it has 5 bytes, the queue's --max-message is 3: 1 of 3 files stored"
	run rmq-send --unsent rest --require-newline jobs < <(printf 'a\nabcd\nb')
	assert_failure 65
	assert_output --partial "line 2: message is too large"
	assert_equal "$(cat rest)" "$(printf 'abcd\nb')"
}

@test "rmq-send: a progress bar fits a terminal of 30 columns, and stops no background job" {
	start_queue q
	seq 8000000 >in
	cat >job <<-'END'
		stty cols 30 rows 10 tostop
		rmq-send --progress jobs <in 2>/dev/tty
		set -m
		rmq-send --progress jobs <in 2>/dev/tty &
		wait $!
		echo "status $?"
	END
	# A machine that is busy may let a run pass without a drawing; not each of them.
	for _ in 1 2 3; do
		run timeout 60 script -qec 'bash job' typescript </dev/null
		assert_output --partial "status 0"
		! grep -q 'stored, ' typescript || break
	done
	# No drawing is wider than the terminal.
	run awk 'BEGIN { RS = "[\r\n]" } /stored/ { sub(/\033\[K.*/, ""); if (length($0) > 29) print }' typescript
	assert_output ""
	grep -q 'stored, ' typescript || { cat -v typescript; return 1; }
}

@test "rmq-send: a file that is missing is 65, what was before it is stored" {
	start_queue q
	echo a >f1
	run rmq-send --files jobs f1 nope f1
	assert_failure 65
	assert_output "rmq-send: jobs: file 2: nope: No such file or directory: 1 of 3 files stored"
	run rmq-send --skip-bad --files jobs f1 nope f1
	assert_failure 65
	[ "$(rmq-queue show jobs ready)" = 3 ]
}

@test "rmq-send: messages of every size arrive as they were" {
	start_queue q
	local size
	for size in 0 1 64000 64504 64505 64506 64511 64512 64513 129024 129025 1000000; do
		head -c $size /dev/urandom | tr '\n' x >body
		{ cat body; echo; } | rmq-send jobs
		rmq-recv -1 --raw jobs >got
		cmp body got
	done
}

@test "rmq-send: exit 0 means that all lines are stored, in order" {
	start_queue q
	seq 300000 >in
	rmq-send jobs <in
	[ "$(rmq-queue show jobs ready)" = 300000 ]
	kill_queue
	start_queue q
	rmq-recv --drain jobs | cmp - in
}

@test "rmq-send: a line typed by hand does not wait for more" {
	start_queue q
	open_sender jobs
	echo one >&7
	[ "$(rmq-recv -1 --wait 10s jobs)" = one ]
	echo two >&7
	[ "$(rmq-recv -1 --wait 10s jobs)" = two ]
	exec 7>&-
	wait $SENDER
}

@test "rmq-send: empty input is success, and needs no daemon" {
	RMQ_SERVERS=unix:none run rmq-send jobs </dev/null
	assert_success
	assert_output ""
}

@test "rmq-send: no daemon is 75 after the time-out" {
	run rmq-send -S unix:none --timeout 300ms jobs hello
	assert_failure 75
	assert_output "rmq-send: jobs: no daemon answers at none (No such file or directory): 0 of 1 messages stored"
	RMQ_TIMEOUT=0 RMQ_SERVERS=unix:none run rmq-send jobs hello
	assert_failure 75
}

@test "rmq-send: a daemon that comes later is waited for" {
	start_queue q
	kill_queue
	start rmq-send jobs hello
	local sender=$!
	start_queue q
	wait $sender
	[ "$(bodies jobs)" = hello ]
}

@test "rmq-send: a daemon that dies and comes back costs no line and doubles none" {
	start_queue q
	open_sender jobs
	seq 1 5000 >&7
	wait_until 10 eval '[ "$(rmq-queue show jobs ready)" = 5000 ]'
	kill_queue
	seq 5001 10000 >&7
	start_queue q 7>&-
	seq 10001 15000 >&7
	exec 7>&-
	wait $SENDER
	rmq-recv --drain jobs | cmp - <(seq 15000)
}

@test "rmq-send: a full queue is waited for; 75 with an account when it stays full" {
	start_queue q
	rmq-queue create --max-bytes 64K jobs
	seq 50000 >in
	run rmq-send --timeout 500ms --unsent rest jobs <in
	assert_failure 75
	assert_output --regexp '^rmq-send: jobs: queue is full: [1-9][0-9]* of [0-9]+ lines stored$'
	rmq-recv --drain jobs >got
	cat got rest | cmp - in
	run rmq-send --no-wait jobs <in
	assert_failure 75
	rmq-recv --drain jobs >/dev/null
	rmq-send jobs <in >>out 2>>log 3>&- &
	STARTED+=($!)
	timeout 30 rmq-recv -n 50000 jobs | cmp - in
	wait ${STARTED[-1]}
}

@test "rmq-send: a record over the limit is 65, all before it are stored" {
	start_queue q
	rmq-queue create --max-message 10 jobs
	printf '%s\n' one 12345678901 three >in
	run rmq-send --unsent rest jobs <in
	assert_failure 65
	assert_output "rmq-send: jobs: line 2: message is too large: it has 11 bytes, the queue's --max-message is 10: 1 of 3 lines stored"
	[ "$(bodies jobs)" = one ]
	[ "$(cat rest)" = "$(sed 1d in)" ]
	run rmq-send --skip-bad jobs <in
	assert_failure 65
	assert_line --index 0 --partial "line 2:"
	run bodies jobs
	assert_output "$(printf '%s\n' one one three)"
}

@test "rmq-send: a record of more than 16 MiB is 65" {
	start_queue q
	rmq-queue create --max-message 16M jobs
	{ echo one; head -c 17000000 /dev/zero; echo; echo three; } >in
	run rmq-send jobs <in
	assert_failure 65
	assert_output --partial "line 2: message is larger than 16 MiB, the most that any queue takes: 1 of "
	run rmq-send --skip-bad jobs <in
	assert_failure 65
	run bodies jobs
	assert_output "$(printf '%s\n' one one three)"
}

@test "rmq-send: --require-newline makes a cut last line bad" {
	start_queue q
	run rmq-send --require-newline jobs < <(printf 'a\nb')
	assert_failure 65
	assert_output "rmq-send: jobs: line 2: the last record is incomplete: 1 of 2 lines stored"
	[ "$(bodies jobs)" = a ]
	printf 'a\nb\n' | rmq-send --require-newline jobs
}

@test "rmq-send: --unsent gives back what is not stored, byte for byte, else there is no file" {
	printf 'a\nb' >in
	run rmq-send -S unix:none --timeout 0 --unsent rest jobs <in
	assert_failure 75
	cmp in rest
	run rmq-send -S unix:none --timeout 0 --unsent rest -0 jobs < <(printf 'a\0b\0')
	assert_failure 75
	printf 'a\0b\0' | cmp - rest
	run rmq-send -S unix:none --timeout 0 --unsent rest -w jobs <in
	assert_failure 75
	cmp in rest
	start_queue q
	rmq-send --unsent rest jobs <in
	[ ! -e rest ]
}

@test "rmq-send: --unsent has the bad records that --skip-bad passed over, in their places" {
	start_queue q
	rmq-queue create --max-message 3 jobs
	# All else is stored; the last one has no newline.
	run -65 rmq-send -q --skip-bad --unsent rest jobs < <(printf 'a\nlong1\nb\nlong2\nlong3')
	printf 'long1\nlong2\nlong3' | cmp - rest
	run -65 rmq-send -q --skip-bad --unsent rest jobs < <(printf 'long1\nlong2\nb')
	printf 'long1\nlong2\n' | cmp - rest
	run -65 rmq-send -q --skip-bad --require-newline --unsent rest jobs < <(printf 'long1\nb\nc')
	printf 'long1\nc' | cmp - rest
	echo a >f1
	echo long >big
	run -65 rmq-send -q --skip-bad --unsent rest --files jobs none f1 "$(printf 'no\nfile')"
	printf 'none\nno\nfile\n' | cmp - rest
	run -65 rmq-send -q -J --skip-bad --unsent rest jobs < <(printf '{"body":"x"}\n{}\n{"body":"y"}\n[]')
	printf '{}\n[]' | cmp - rest
	run -65 rmq-send -q -w --id-from json:.a --skip-bad --unsent rest jobs < <(printf 'x\n')
	printf 'x\n' | cmp - rest
	run -65 rmq-send -q -w --id-from json:.a --unsent rest jobs < <(printf 'x\n')
	printf 'x\n' | cmp - rest
	# The daemon refuses some after later ones were found bad here.
	run -65 rmq-send -q --files --skip-bad --unsent rest jobs big missing f1
	printf 'big\nmissing\n' | cmp - rest
	run -65 rmq-send -q -J --skip-bad --unsent rest jobs \
		'{"body":"long1"}' '{}' '{"body":"long2"}' '[]' '{"body":"x"}'
	printf '%s\n' '{"body":"long1"}' '{}' '{"body":"long2"}' '[]' | cmp - rest
	# All of the input has nothing after it.
	for n in 4 70000; do
		head -c $n /dev/zero >in
		run -65 rmq-send -q -w --skip-bad --unsent rest jobs <in
		cmp in rest
	done
	# Also those that are larger than what is read at a time, and than any message.
	{ head -c 17000000 /dev/zero | tr '\0' x; printf '\na\n'; head -c 17000000 /dev/zero; } >in
	run -65 rmq-send -q --skip-bad --unsent rest jobs <in
	grep -avx a in | head -c 34000001 | cmp - rest
	# And more of them than are kept in memory.
	# shellcheck disable=SC2046
	run -65 timeout 20 rmq-send -q --files --skip-bad --unsent rest jobs $(seq -f %0120.0f 10000)
	seq -f %0120.0f 10000 | cmp - rest
}

@test "rmq-send: --unsent has bad records that were skipped among those that are not confirmed" {
	printf '%s\n' '{"body":"a"}' '{}' '{"body":"b"}' '[]' >lines
	run rmq-send -q -S unix:none --timeout 0 -J --skip-bad --unsent rest jobs <lines
	assert_failure 75
	cmp lines rest
	start_queue q
	rmq-queue create --max-message 3 jobs
	loser lost.sock "${RMQ_SERVERS#unix:}" 67 >loser.log 2>&1 3>&- &
	STARTED+=($!)
	wait_until 10 [ -S lost.sock ]
	open_sender -S unix:lost.sock --timeout 0 --skip-bad --unsent rest jobs
	echo long0 >&7
	wait_until 10 grep -q 'line 1' log
	# The daemon has refused the bad ones of the batch, and then its answer is lost.
	rm lost.sock
	printf '%s\n' long1 a b long2 long3 c long4 >&7
	exec 7>&-
	status_of "$SENDER"
	assert_failure 75
	printf '%s\n' long0 long1 a b long2 long3 c long4 | cmp - rest
	# The same where some were known by their ids.
	rmq-send --id-from hash jobs a b
	loser lost.sock "${RMQ_SERVERS#unix:}" 67 >loser.log 2>&1 3>&- &
	STARTED+=($!)
	wait_until 10 [ -S lost.sock ]
	rm in
	printf '%s\n' a b long1 c b long2 d >lines
	open_sender -S unix:lost.sock --timeout 0 --id-from hash --skip-bad --unsent rest jobs
	echo longer >&7
	wait_until 10 grep -q 'line 1: .* 6 bytes' log
	rm lost.sock
	cat lines >&7
	exec 7>&-
	status_of "$SENDER"
	assert_failure 75
	printf '%s\n' longer long1 c long2 d | cmp - rest
}

@test "rmq-send: a record that is bad is skipped once, whatever the last one has to end in" {
	start_queue q
	run -65 timeout 10 rmq-send -q --files --skip-bad --require-newline jobs none
	run -65 timeout 10 rmq-send -q --files --skip-bad --require-newline jobs < <(printf 'none\n')
}

@test "rmq-send: --pass gives each record once it is stored, -i its id" {
	start_queue q
	[ "$(printf 'a\nb\n' | rmq-send --pass jobs)" = "$(printf 'a\nb')" ]
	[ "$(printf 'a\0b' | rmq-send -0 --pass jobs | tr '\0' '|')" = 'a|b|' ]
	[ "$(printf 'a\nb\n' | rmq-send -i jobs)" = "$(printf 'jobs:5\njobs:6')" ]
}

@test "rmq-send: --no-create is 66 and makes nothing" {
	start_queue q
	run rmq-send --no-create jobs hello
	assert_failure 66
	assert_output "rmq-send: jobs: no such queue: 0 of 1 messages stored"
	[ -z "$(rmq-queue ls)" ]
}

@test "rmq-send: names outside the set, and options it does not have, are 64" {
	local name
	for name in a/b .a -- 'a b' '' "$(printf 'x%.0s' {1..124})"; do
		run rmq-send -- "$name" hello
		assert_failure 64
	done
	for name in --delay=x --priority=10 --id-from=x --replace --window=0 --window=257 --timeout=x; do
		run rmq-send "$name" jobs hello
		assert_failure 64
	done
	run rmq-send
	assert_failure 64
	run rmq-send -w jobs hello
	assert_failure 64
	run rmq-send -S tcp:nonsense jobs hello
	assert_failure 64
}

@test "rmq-send: a directory or nothing as stdin is 74" {
	start_queue q
	run timeout 10 bash -c 'rmq-send jobs <.'
	assert_failure 74
	assert_output "rmq-send: jobs: standard input: Is a directory: 0 of 0 lines stored"
	run timeout 10 bash -c 'rmq-send jobs <&-'
	assert_failure 74
}

@test "rmq-send: /dev/full as stdout is 74" {
	start_queue q
	run bash -c 'rmq-send -i jobs a >/dev/full'
	assert_failure 74
	assert_output --partial "No space left on device"
}

@test "rmq-send: a daemon that never answers is 75 after the time-out" {
	start rawclient --listen dumb sleep 600
	wait_until 10 [ -S dumb ]
	run rmq-send -S unix:dumb --timeout 300ms jobs hello
	assert_failure 75
	assert_output --partial "no daemon answers at dumb in time"
}

@test "rmq-send: a socket that nobody listens on is 75, one that is not ours 77" {
	start_queue q
	kill_queue
	run rmq-send -S unix:q.sock --timeout 0 jobs hello
	assert_failure 75
	assert_output --partial "Connection refused"
	public_dir rmq-send
	start_queue q
	chmod 600 q.sock
	ln q.sock "$PUBLIC/sock"
	run "${OTHER[@]}" "$PUBLIC/rmq-send" -S "unix:$PUBLIC/sock" jobs hello
	assert_failure 77
}

@test "rmq-send: SIGTERM confirms what was read, drops a cut record and dies by the signal" {
	start_queue q
	open_sender jobs
	printf 'one\ntwo\ncut' >&7
	wait_until 10 eval '[ "$(rmq-queue show jobs ready)" = 2 ]'
	kill -TERM $SENDER
	local status=0
	wait $SENDER || status=$?
	[ $status = 143 ]
	exec 7>&-
	run bodies jobs
	assert_output "$(printf 'one\ntwo')"
}

@test "rmq-send: a signal that comes twice at once, as from timeout, is one: --unsent has the rest" {
	start_queue q
	for i in $(seq 20); do
		rm -f in rest out
		mkfifo in
		rmq-send --unsent rest --pass jobs <in >out 2>err 3>&- &
		STARTED+=($!)
		exec 7>in
		echo one >&7
		wait_until 10 test -s out
		kill -TERM "${STARTED[-1]}" "${STARTED[-1]}"
		echo two >&7
		exec 7>&-
		status=0
		wait "${STARTED[-1]}" || status=$?
		[ "$status" = 143 ]
		# It may have read the second line before it saw the signal.
		run -0 cat out rest
		assert_output "$(printf 'one\ntwo')"
	done
}

@test "rmq-send: a second signal ends it now" {
	start_queue q
	mkfifo in
	rmq-send --unsent rest -i jobs <in >out 2>err 3>&- &
	STARTED+=($!)
	exec 7>in
	echo one >&7
	wait_until 10 test -s out
	# The rest of its input does not end: only another signal ends it.
	wait_until 10 eval 'kill -TERM "${STARTED[-1]}" 2>/dev/null; has_ended "${STARTED[-1]}"'
	exec 7>&-
	[ ! -e rest ]
}

@test "rmq-send: --unsent leaves alone what is not a regular file, and follows links" {
	printf 'a\nb' >in
	mkfifo fifo
	cat fifo >got &
	STARTED+=($!)
	run rmq-send -S unix:none --timeout 0 --unsent fifo jobs <in
	assert_failure 75
	status_of "${STARTED[-1]}"
	[ -p fifo ]
	cmp in got
	mkdir dir
	ln -s dir/target link
	run rmq-send -S unix:none --timeout 0 --unsent link jobs <in
	assert_failure 75
	[ -L link ]
	cmp in dir/target
	ls dir >names
	[ "$(cat names)" = target ]
	start_queue q
	rmq-send --unsent link jobs <in
	[ ! -e dir/target ]
	rmq-send --unsent /dev/null jobs <in
	[ -c /dev/null ]
}

@test "rmq-send: --unsent by root leaves a file its owner and mode" {
	[ "$(id -u)" -eq 0 ] || skip "only root can give a file away"
	printf 'a\nb' >in
	: >kept
	chown 65534:65533 kept
	chmod 640 kept
	run rmq-send -S unix:none --timeout 0 --unsent kept jobs <in
	assert_failure 75
	cmp in kept
	assert_equal "$(stat -c %u:%g:%a kept)" 65534:65533:640
}

@test "rmq-send: --unsent to an open descriptor adds to what it leads to, and never removes it" {
	start_queue q
	echo before >log
	rmq-send --unsent /dev/stderr jobs one 2>>log
	ln -s /dev/fd/9 link
	rmq-send --unsent link jobs two 9>>log
	[ "$(cat log)" = before ]
	printf 'a\nb\n' >in
	run sh -c 'rmq-send -q -S unix:none --timeout 0 --unsent /dev/stderr jobs <in 2>>log'
	assert_failure 75
	assert_equal "$(sed 2d log)" "$(printf 'before\na\nb')"
	run rmq-send --unsent /dev/stdin jobs <in
	assert_failure 74
	assert_output "rmq-send: /dev/stdin: Bad file descriptor"
	[ "$(cat in)" = "$(printf 'a\nb')" ]
}

@test "rmq-send: --unsent that cannot be written is found before anything is sent" {
	start_queue q
	run rmq-send --unsent nowhere/rest jobs one
	assert_failure 74
	assert_output "rmq-send: nowhere/rest: No such file or directory"
	run rmq-send --unsent . jobs one
	assert_failure 74
	[ -z "$(rmq-queue ls)" ]
}

@test "rmq-send: --unsent has all of a non-blocking stdin" {
	seq 100000 >lines
	mkfifo in
	startas -n 0 rmq-send -S unix:none --timeout 0 --unsent rest jobs <in 2>err 3>&- &
	STARTED+=($!)
	dd bs=512 status=none <lines >in
	status_of "${STARTED[-1]}"
	assert_failure 75
	cmp lines rest
}

@test "rmq-send: a bad record is 65 only if all before it are stored, else 75" {
	printf 'a\nb' >in
	run rmq-send -S unix:none --timeout 300ms --require-newline jobs <in
	assert_failure 75
	start_queue q
	run rmq-send --require-newline jobs <in
	assert_failure 65
	[ "$(rmq-queue show jobs ready)" = 1 ]
}

@test "rmq-send: what looks like an option after QUEUE does not vanish as a message" {
	start_queue q
	run rmq-send jobs -0 </dev/null
	assert_failure 64
	assert_output --partial "put '--' before"
	rmq-send jobs -- -0 </dev/null
	[ "$(rmq-recv -1 jobs)" = -0 ]
	printf 'x\0y\0' | rmq-send jobs -0
	[ "$(rmq-queue show jobs ready)" = 2 ]
}

@test "rmq-send: --pass gives whole records, whatever ends it, and waits for a slow reader" {
	start_queue q
	seq 1000000 1199999 >lines
	mkfifo out.fifo
	start sh -c 'RMQ_TIMEOUT=300ms exec rmq-send --pass jobs <lines >out.fifo'
	exec 8<out.fifo
	read -r first <&8
	wait_until 20 sh -c '[ "$(rmq-queue show jobs ready)" -gt 20000 ]'
	kill "${STARTED[-1]}"
	{ echo "$first"; cat <&8; } >passed
	exec 8<&-
	status_of "${STARTED[-1]}"
	assert_failure 143
	cmp -n "$(stat -c %s passed)" lines passed
	[ "$(tail -c 1 passed | od -An -c | tr -d ' ')" = '\n' ]
	start sh -c 'RMQ_TIMEOUT=300ms exec rmq-send --pass other <lines >out.fifo'
	exec 8<out.fifo
	read -r first <&8
	wait_until 20 sh -c '[ "$(cut -d. -f1 /proc/uptime)" -gt '"$(($(cut -d. -f1 /proc/uptime) + 1))"' ]'
	{ echo "$first"; cat <&8; } >passed
	exec 8<&-
	status_of "${STARTED[-1]}"
	assert_success
	cmp lines passed
}

# A limit of file size is what a full disk is: a write is cut short, the next one fails.
@test "rmq-send: --pass and -i into a file on a full disk leave no torn line in it" {
	local how
	start_queue q
	seq -f 'line %g of two thousand' 2000 >lines
	for how in --pass "-i --pass" -0; do
		printf 'first\n' >all
		if [ "$how" = -0 ]; then
			run bash -c 'ulimit -f 1; tr "\n" "\0" <lines | rmq-send -0 --pass jobs >>all'
			tr '\0' '\n' <all | sed 1d >passed
		else
			run bash -c "ulimit -f 1; exec rmq-send $how jobs <lines >>all"
			sed -e 1d -e 's/^.*\t//' all >passed
		fi
		assert_failure 74
		assert_output --partial "standard output: File too large"
		refute_output --partial "a part of a record"
		[ -s passed ]
		cmp -n "$(stat -c %s passed)" lines passed
		[ "$(tail -c 1 passed | od -An -c | tr -d ' ')" = '\n' ]
	done
	# Others have written after it: the torn line stays, and is ended.
	printf 'y%.0s' {1..1500} >all
	run bash -c 'printf "x%.0s" {1..5000} | (ulimit -f 1; exec rmq-send --pass jobs 1<>all)'
	assert_failure 74
	assert_output --partial "; it ends with a part of a record"
	[ "$(stat -c %s all)" = 1500 ]
}

@test "rmq-send: a signal in a bulk send has its count" {
	start_queue q
	mkfifo in
	rmq-send jobs <in 2>err 3>&- &
	STARTED+=($!)
	exec 8>in
	seq 100 >&8
	wait_until 20 sh -c '[ "$(rmq-queue show jobs ready 2>/dev/null)" = 100 ]'
	kill "${STARTED[-1]}"
	status_of "${STARTED[-1]}"
	exec 8>&-
	grep -q "interrupted: 100 of 100 lines stored" err
}

@test "rmq-send: SIGTERM while nobody answers ends it at once, --unsent has all" {
	seq 10 >in
	rmq-send -S unix:none --unsent rest jobs <in 2>err 3>&- &
	STARTED+=($!)
	wait_until 10 grep -q "^pos:.[1-9]" "/proc/${STARTED[-1]}/fdinfo/0"
	kill -TERM "${STARTED[-1]}"
	local status=0
	wait "${STARTED[-1]}" || status=$?
	[ $status = 143 ]
	cmp in rest
	grep -q "interrupted: 0 of 10 lines stored" err
}

@test "rmq-send: --unsent without a name is refused before anything is sent, 64" {
	start_queue q
	run -64 rmq-send --unsent '' jobs hello
	assert_output "rmq-send: --unsent: '' is not a file's name"
	run -66 rmq-queue show jobs
}

@test "rmq-send: --help and --version" {
	run rmq-send --help
	assert_success
	assert_line --index 0 --partial "usage: rmq-send"
	run rmq-send --version
	assert_success
	assert_output --regexp '^rmq-send [0-9]'
}

@test "rmq-send: a file goes out in full batches" {
	start_queue q
	seq 1000000 1199999 | sed 's/.*/&0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890/' >lines
	rmq-send -q q <lines
	# 97 bytes, a separator and an end of 2 bytes each: 645 fit into a batch.
	run -0 sh -c 'rmq-journal stat q | sed -n "s/^records[[:space:]]*//p"'
	[ "$output" -le 316 ] || fail "$output records"
}

# headers QUEUE: what rmq-recv would show of each message.
headers() {
	rmq-queue peek -o headers,body "$@"
}

@test "rmq-send: -H gives each message headers, the last of a name counts" {
	start_queue q
	printf 'one\ntwo\n' | rmq-send -H from=shell -H "to=you und ich" -H from=me=you lines
	run headers lines
	assert_output "$(printf '{"from":"me=you","to":"you und ich"}\t%s\n' one two)"
	rmq-send -H a=1 words one two
	run headers words
	assert_output "$(printf '{"a":"1"}\t%s\n' one two)"
	head -c 150000 /dev/zero | tr '\0' x >large
	rmq-send -H a=2 -w words <large
	echo large | rmq-send -H a=3 --files words
	run rmq-recv --drain -j words
	assert_line --index 2 --partial '"headers":{"a":"2"}'
	assert_line --index 3 --partial '"headers":{"a":"3"}'
}

@test "rmq-send: headers that are none are a usage error" {
	start_queue q
	run -64 rmq-send -H novalue q x
	assert_output "rmq-send: --header: 'novalue' is not NAME=VALUE"
	run -64 rmq-send -H =x q x
	assert_output "rmq-send: --header: a header's name has 1 to 255 bytes"
	run -64 rmq-send -H "a=$(printf 'b\nc')" q x
	assert_output "rmq-send: --header: a header is UTF-8 without control characters"
	run -64 rmq-send -H $'a=\xff' q x
	assert_output "rmq-send: --header: a header is UTF-8 without control characters"
	run -64 rmq-send -H "a=$(printf '%4096d' 0)" q x
	assert_output --partial "more than 4096 bytes"
	run -66 rmq-queue show q
}

@test "rmq-send: priorities, keys and times that are none are a usage error" {
	start_queue q
	run -64 rmq-send -p 11 q x
	assert_output "rmq-send: --priority: '11' is not from 0 to 9"
	run -64 rmq-send -p -1 q x
	run -64 rmq-send -d -1 q x
	assert_output "rmq-send: --delay: '-1' is not a duration (90s, 2h; 10 years at most) or a time (@EPOCH, RFC 3339)"
	run -64 rmq-send -d infinity q x
	run -64 rmq-send -e 2026-13-01T00:00:00Z q x
	run -64 rmq-send -k '' q x
	run -64 rmq-send -k "$(printf '%256d' 0)" q x
	assert_output "rmq-send: --key: a key is 1 to 255 bytes of UTF-8 without control characters"
	run -66 rmq-queue show q
}

@test "rmq-send: -J sends what rmq-recv -j prints, and the same comes out" {
	start_queue q
	printf 'plain\n\n"quoted\\"\ttab\nnot \xff utf-8\n' | rmq-send from
	rmq-send -H a=1 -H 'b=\"x' from with
	rmq-send -H a=1 from same
	printf 'two\nlines\0and a NUL' | rmq-send -w from
	rmq-queue create to --max-message 16M
	rmq-queue create from2 --max-message 16M
	head -c 300000 /dev/urandom | rmq-send -H c=3 -w from2
	rmq-queue peek -j from >lines
	rmq-queue peek -j from2 >>lines
	rmq-send -J to <lines
	rmq-queue peek -j to | sed 's/.*"priority"/"priority"/' >got
	sed 's/.*"priority"/"priority"/' lines | cmp - got
	# Options count more, and what is not there is as for any message.
	rmq-send -J -H a=2 other '{"body":"x","headers":{"a":"1","c":"3"},"more":[1]}' '{"body":"y"}' \
		'{"priority":null,"key":null,"headers":null,"body64":"eg=="}'
	run headers other
	assert_output "$(printf '{"a":"2","c":"3"}\tx\n{"a":"2"}\ty\n{"a":"2"}\tz')"
}

@test "rmq-send: -J: an envelope that does not parse is 65 with its line number, --skip-bad goes on" {
	start_queue q
	printf '%s\n' '{"body":"a"}' '{"body"' '{"body":"c"}' >in
	run -65 rmq-send -J --unsent rest jobs <in
	assert_output "rmq-send: jobs: line 2: not an envelope: ':' expected near end of file: 1 of 3 lines stored"
	[ "$(cat rest)" = "$(tail -n +2 in)" ]
	local bad=('' '[]' '7' '{}' '{"body":1}' '{"body":"a","body64":"YQ=="}' '{"body64":"*"}'
		'{"body":"a","body":"b"}' '{"body":"a","key":""}' '{"body":"a","key":7}'
		'{"body":"a","priority":11}' '{"body":"a","priority":"4"}' '{"body":"a","headers":[]}'
		'{"body":"a","headers":{"x":1}}' '{"body":"a","headers":{"x":"\n"}}' '{"body":"a"}{}'
		'{"body":"\ud800"}')
	printf '%s\n' "${bad[@]}" '{"body":"last"}' >in
	run -65 rmq-send -J --skip-bad some <in
	[ "$(grep -c '^rmq-send: some: line [0-9]*: ' <<<"$output")" = ${#bad[@]} ]
	run bodies some
	assert_output last
	run -64 rmq-send -J -w q </dev/null
	run -64 rmq-send -J --files q </dev/null
}

# holds QUEUE FIELD N
holds() {
	[ "$(rmq-queue show "$1" "$2" 2>/dev/null)" = "$3" ]
}

@test "rmq-send: --wait stays until each message is settled, through a crash of the daemon" {
	start_queue q
	start rmq-send --wait jobs one two three
	local sender=$!
	wait_until 20 holds jobs ready 3
	run rmq-recv -n 2 jobs
	assert_output "$(printf 'one\ntwo')"
	kill_queue
	start_queue q
	kill -0 "$sender"
	run rmq-recv -1 jobs
	assert_output three
	status_of "$sender"
	assert_success
	[ ! -s log ]
}

@test "rmq-send: --wait, --expire and --delay that cannot go together are refused" {
	run rmq-send --wait --no-wait jobs one
	assert_failure 64
	assert_output "rmq-send: --wait and --no-wait exclude each other"
	run rmq-send -e 5 -d 10 jobs one
	assert_failure 64
	assert_output "rmq-send: the messages would expire before they are due: --expire must be after --delay"
	run rmq-send -e 1h -d @4000000000 jobs one
	assert_failure 64
}

@test "rmq-send: --wait is 65 if some are dead letters, and names them; others' do not count" {
	start_queue q
	rmq-send jobs before
	start rmq-send --wait jobs one two three
	local sender=$!
	wait_until 20 holds jobs ready 4
	rmq-send jobs after
	rmq-recv --ack manual -n 5 -o receipt jobs >receipts
	sed -n '1p;3p;5p' receipts | rmq-ack --dead=bad
	# What is given back is not settled.
	sed -n 4p receipts | rmq-ack --release
	kill -0 "$sender"
	sed -n 2p receipts | rmq-ack
	run rmq-recv -1 jobs
	assert_output three
	status_of "$sender"
	assert_failure 65
	run cat log
	assert_output "rmq-send: jobs:3: is a dead letter"
}

@test "rmq-send: --wait: what an earlier run stored under the same name, or by its id, is waited for too" {
	start_queue q
	printf '%s\n' one two | rmq-send --resume in jobs
	rmq-send jobs other
	start rmq-send --wait --resume in jobs one two three
	local resumed=$!
	rmq-send --id-from hash ids a b c
	start rmq-send --wait --id-from hash ids b b d
	local known=$!
	wait_until 20 holds jobs ready 4
	wait_until 20 holds ids ready 4
	run rmq-recv -n 1 jobs
	assert_output one
	run -0 rmq-recv -n 2 jobs
	rmq-recv -n 1 --ack manual -o receipt jobs | rmq-ack
	rmq-recv -n 4 --ack manual -o receipt ids >receipts
	sed -n '1p;3p;4p' receipts | rmq-ack
	kill -0 "$known"
	sed -n 2p receipts | rmq-ack --dead
	status_of "$resumed"
	assert_success
	status_of "$known"
	assert_failure 65
	run cat log
	assert_line "rmq-send: ids:2: is a dead letter"
	# All is gone, so nothing is waited for, but the dead letter is one still.
	run -0 rmq-send --wait --resume in jobs one two three
	assert_output ""
	run -65 rmq-send --wait -q --id-from hash ids b
	assert_output "rmq-send: ids:2: is a dead letter"
}

@test "rmq-send: --wait ends by a signal, when the queue goes, and when its daemon stays away" {
	start_queue q
	start rmq-send --wait --unsent rest jobs one
	local sender=$!
	wait_until 20 holds jobs ready 1
	# With its time-out it waits for a daemon only.
	RMQ_TIMEOUT=0.3 start rmq-send --wait jobs two
	local other=$!
	wait_until 20 holds jobs ready 2
	kill -TERM "$sender"
	status_of "$sender"
	assert_failure 143
	[ ! -e rest ]
	rmq-send jobs </dev/null
	kill -0 "$other"
	start rmq-send --wait gone one
	sender=$!
	wait_until 20 holds gone ready 1
	rmq-queue rm --force gone
	status_of "$sender"
	assert_failure 66
	kill_queue
	status_of "$other"
	assert_failure 75
}

@test "rmq-send: --resume passes over what its name has stored here, whatever ended the run before" {
	start_queue q
	seq 1 20000 >in
	# A signal in the middle, then a crash of the daemon, then the end.
	head -n 5000 in | rmq-send --resume import jobs
	mkfifo slow
	exec 7<>slow
	rmq-send --resume import --pass jobs <slow >passed 2>log 3>&- 7>&- &
	local sender=$!
	STARTED+=("$sender")
	head -n 7000 in >&7
	wait_until 20 eval '[ "$(wc -l <passed)" = 7000 ]'
	kill -KILL "$sender"
	wait "$sender" || :
	exec 7>&-
	kill_queue
	start_queue q
	rmq-send --resume import --pass jobs <in >passed
	cmp in passed
	rmq-send --resume import jobs <in
	rmq-recv --drain jobs | cmp - in
	# Another name, or another queue, is another input.
	head -n 3 in | rmq-send --resume other jobs
	head -n 3 in | rmq-send --resume import jobs2
	[ "$(rmq-queue show jobs ready)" = 3 ]
	[ "$(rmq-queue show jobs2 ready)" = 3 ]
	run -64 rmq-send --resume a/b jobs x
}

@test "rmq-send: --resume counts records, bad ones too; words, files, envelopes and large ones" {
	start_queue q
	rmq-queue create jobs --max-message 100
	local long
	long=$(printf '%200d' 0)
	run -65 rmq-send --resume a --skip-bad jobs one "$long" three
	run -65 rmq-send --resume a --skip-bad jobs one "$long" three "$long" five
	refute_output --partial "message 2"
	run bodies jobs
	assert_output "$(printf '%s\n' one three five)"
	printf '%s\n' '{"body":"a"}' '{' '{"body":"c","priority":7}' >in
	run -65 rmq-send -J --skip-bad --resume a js <in
	echo '{"body":"d","headers":{"x":"1"}}' >>in
	run -65 rmq-send -J --skip-bad --resume a js <in
	run rmq-queue peek -o priority,headers,body js
	assert_output "$(printf '4\t-\ta\n7\t-\tc\n4\t{"x":"1"}\td')"
	head -c 300000 /dev/zero | tr '\0' x >one
	echo two >two
	run -66 rmq-send --files --resume f --no-create fs one
	rmq-send --files --resume f fs one
	run rmq-send --files --resume f -i --pass fs one two
	assert_output "$(printf -- '-\tone\nfs:2\ttwo')"
	printf large | cat one - | rmq-send -w --resume w ws
	printf large | cat one - | rmq-send -w --resume w ws
	[ "$(rmq-queue show ws ready)" = 1 ]
}

@test "rmq-send: --pass keeps the order of the input while another run stores the same ids" {
	start_queue q
	# Most rounds have a batch some of which are known at first, and more of it when it is sent again.
	for i in {1..8}; do
		seq $((i * 10000)) $((i * 10000 + 3000)) >in
		awk 'NR % 50 == 7' in | rmq-send -q --id-from hash jobs
		awk 'NR % 3 == 0 { a[n++] = $0 } END { for (i = n - 1; i >= 0; i--) print a[i] }' in >other
		rmq-send -q --id-from hash jobs <other 3>&- &
		rmq-send -q --id-from hash --pass jobs <in >passed
		wait $!
		cmp in passed
	done
}

@test "rmq-send: -i and --pass print a record that holds the separator whole, with its own id" {
	start_queue q
	run -0 rmq-send -i --pass jobs -- $'a\nb' c
	[ "$output" = $'jobs:1\ta\nb\njobs:2\tc' ]
	printf 'x\ny\nz\n' >whole
	[ "$(rmq-send -w -i --pass jobs <whole)" = $'jobs:3\tx\ny\nz' ]
	# What is known, or was stored by an earlier run, too.
	for i in 1 2; do
		rmq-send -qw --id-from hash --pass ids <whole | cmp - whole
		rmq-send -w --resume r --pass jobs <whole | cmp - whole
		run -0 rmq-send -q --id-from hash --pass ids -- $'a\nb' c
		[ "$output" = $'a\nb\nc' ]
	done
	touch $'f\nx' g
	run -0 rmq-send --files -i --pass files -- $'f\nx' g
	[ "$output" = $'files:1\tf\nx\nfiles:2\tg' ]
	# Which name is a bad record's is known as well.
	rmq-queue create --max-message 5 few
	echo long enough >g
	run -65 --separate-stderr rmq-send --files --pass --skip-bad --unsent rest few -- $'f\nx' g $'f\nx'
	[ "$output" = $'f\nx\nf\nx' ]
	[ "$(cat rest)" = g ]
}

@test "rmq-send: --resume --pass prints nothing of what may have been skipped as bad, so that it can be removed" {
	start_queue q
	rmq-queue create --max-message 10 jobs
	echo one >one
	printf 'x%.0s' {1..20} >big
	echo two >two
	echo three >three
	echo four >four
	# The first run is killed before anybody has read what it prints.
	printf '%s\0' one big missing two | rmq-send -0 --files --resume a --skip-bad jobs || [ $? -eq 65 ]
	printf '%s\0' one big missing two three | rmq-send -0 --files --resume a jobs || [ $? -eq 65 ]
	# What could not be read can be now.
	echo late >missing
	printf '%s\0' one big missing two three four |
		{ rmq-send -0 --files --resume a --skip-bad --pass -i jobs || [ $? -eq 65 ]; } |
		tr '\0\t' '|=' >passed
	[ "$(cat passed)" = '-=two|-=three|jobs:4=four|' ]
	printf '%s\0' one big missing two three four |
		{ rmq-send -0 --files --resume a --pass jobs || [ $? -eq 65 ]; } | xargs -0r rm --
	assert_equal "$(find big missing one two three four 2>/dev/null | paste -sd' ')" "big missing one"
	# What was known by its id is stored.
	run -0 rmq-send -q --id-from hash --resume b -i --pass ids a b a c
	run -0 rmq-send -q --id-from hash --resume b -i --pass ids a b a c
	[ "$output" = $'-\ta\n-\tb\n-\ta\n-\tc' ]
}

@test "rmq-send: --resume --skip-bad --unsent: FILE has the bad records of all runs, and 65 tells of them" {
	start_queue q
	rmq-queue create --max-message 5 jobs
	rmq-queue create --max-bytes 1 full
	printf '%s\n' a longer1 b >in
	local tries=0
	until rmq-send --resume in --skip-bad --unsent bad jobs <in || [ $? -eq 65 ]; do ((tries++ < 9)); done
	for more in --skip-bad --window=1; do
		run -65 rmq-send --resume in --unsent bad "$more" jobs <in
		assert_output "rmq-send: jobs: some of the first 3 lines are not stored: earlier runs skipped them as bad"
		echo longer1 | cmp - bad
	done
	# Those of a later run come after them, and one that stores nothing takes nothing away.
	printf '%s\n' longer2 c d >>in
	run -75 rmq-send -q -S unix:none --timeout 0 --resume in --skip-bad --unsent bad jobs <in
	echo longer1 | cmp - bad
	run -65 rmq-send --resume in --skip-bad --unsent bad jobs <in
	printf '%s\n' longer1 longer2 | cmp - bad
	# Nor does a run without --skip-bad, or one that is given no address.
	rmq-queue pause --in jobs
	run -75 rmq-send -q --no-wait --resume in --unsent bad jobs < <(cat in; seq 2)
	rmq-queue resume jobs
	run -64 rmq-send -S nonsense://x --resume in --skip-bad --unsent bad jobs <in
	printf '%s\n' longer1 longer2 | cmp - bad
	# What is not stored is for a later run; so is a line that is not complete yet.
	run -65 rmq-send -q --resume cut --require-newline --skip-bad --unsent rest jobs < <(printf 'a\nb')
	[ ! -e rest ]
	run -75 rmq-send -q --no-wait -J --resume full --skip-bad --unsent bad2 full '{"body":"a"}' '{}' '{"body":"b"}'
	[ "$(cat bad2)" = '{}' ]
	run -0 rmq-send --resume cut --skip-bad --unsent rest jobs < <(printf 'a\nbc\n')
	[ ! -e rest ]
}

@test "rmq-send: --resume goes on at a bad line, and not after what was cut off with it" {
	start_queue q
	rmq-queue create jobs --max-message 10
	printf '%s\n' one two longer-than-it-may-be three four five >in
	run -65 rmq-send --resume import jobs <in
	assert_output --partial "2 of 6 lines stored"
	rmq-queue set jobs --max-message 100
	rmq-send --resume import jobs <in
	rmq-recv --drain jobs | cmp - in
}

@test "rmq-send: --resume with --id-from passes over what another input had stored, at its end too" {
	start_queue q
	printf '%s\n' a b c d >in
	head -n 3 in | rmq-send --id-from hash jobs
	run -0 rmq-send --resume first --id-from hash jobs < <(head -n 2 in)
	assert_output --partial "2 lines had been stored before"
	# The time of the ids is over: only the position tells.
	rmq-queue set jobs --dedup 0
	rmq-send --resume first --id-from hash jobs <in
	run bodies jobs
	assert_output "$(printf '%s\n' a b c c d)"
}

@test "rmq-send: --resume: a last line that was not complete is sent whole by a later run" {
	start_queue q
	run rmq-send --resume n --require-newline --skip-bad jobs < <(printf 'a\nb')
	assert_failure 65
	printf 'a\nbc\n' | rmq-send --resume n --require-newline --skip-bad jobs
	[ "$(rmq-recv --drain jobs | paste -sd' ')" = "a bc" ]
}

@test "rmq-send: --resume: two runs at once store each record once" {
	start_queue q
	seq 1 30000 >in
	rmq-send --resume a jobs <in 2>>log 3>&- &
	STARTED+=($!)
	local one=$! first second=0
	rmq-send --resume a jobs <in || second=$?
	status_of "$one"
	first=$status
	[[ $first = 0 || $first = 75 ]]
	[[ $second = 0 || $second = 75 ]]
	rmq-send --resume a jobs <in
	rmq-recv --drain jobs | cmp - in
}

@test "rmq-send: --id-from hash: what was stored lately is not stored again, and is counted" {
	start_queue q
	run -0 --separate-stderr rmq-send --id-from hash -i --pass jobs <<<$'one\ntwo\none'
	[ "$stderr" = "rmq-send: jobs: 1 lines had been stored before" ]
	assert_output "$(printf -- 'jobs:1\tone\njobs:2\ttwo\n-\tone')"
	assert_equal "$(rmq-queue show jobs ids ids-early | xargs)" "2 0"
	kill_queue
	start_queue q
	run -0 rmq-send -q --id-from hash --pass jobs <<<$'two\nthree\none'
	assert_output "$(printf 'two\nthree\none')"
	# Long inputs too: each line has its own answer.
	seq 1 3000 | sed 'n;n;s/.*/same/' >mixed
	rmq-send -q --id-from hash -i --pass mixed <mixed >answers
	cut -f 2 answers | cmp - mixed
	[ "$(grep -c '^-' answers)" = 999 ]
	run bodies jobs
	assert_output "$(printf 'one\ntwo\nthree')"
	# Files, large ones, words, all of stdin.
	head -c 300000 /dev/zero >large
	rmq-send -q --id-from hash --files files large large
	rmq-send -q --id-from hash -w files <large
	[ "$(rmq-queue show files ready)" = 1 ]
	rmq-send -q --id-from hash words a b a
	run bodies words
	assert_output "$(printf 'a\nb')"
	# Without the setting, none is remembered; and only for as long as it says.
	rmq-queue create none --dedup none
	rmq-send --id-from hash none a a
	[ "$(rmq-queue show none ready)" = 2 ]
	rmq-queue create short --dedup 1ms
	rmq-send --id-from hash short a
	again() {
		rmq-send -q --id-from hash short a
		holds short ready 2
	}
	wait_until 20 again
}

@test "rmq-send: --id-from json: a path, 65 with the line number where there is nothing" {
	start_queue q
	printf '%s\n' '{"a":{"b":[1,"x"]},"c":1}' '{"a":{"b":[2,"x"]}}' '{"a":{"b":[2,"y"]}}' >in
	rmq-send -q --id-from 'json:.a.b[1]' jobs <in
	run bodies jobs
	assert_output "$(sed -n '1p;3p' in)"
	echo '{"a":7}' >>in
	run -65 rmq-send --id-from 'json:.a.b[1]' jobs2 <in
	assert_line "rmq-send: jobs2: line 4: there is nothing at the path of --id-from: 3 of 4 lines stored"
	echo 'no json' >in
	run -65 rmq-send --id-from json:.a jobs <in
	assert_output --partial "line 1: it is not JSON"
	printf '%s\n' '{"body":"{\"k\":1}","priority":7}' '{"body":"{\"k\":1,\"m\":2}"}' >in
	rmq-send -qJ --id-from json:.k js <in
	run rmq-queue peek -o priority,body js
	assert_output "$(printf '7\t{"k":1}')"
	local bad
	for bad in json: json:a json:.a. json:.a[ json:.a[x] md5 ''; do
		run -64 rmq-send --id-from "$bad" jobs x
	done
}

@test "rmq-send: -p is handed out first, and -d not before its time" {
	start_queue q
	rmq-send jobs plain
	rmq-send -p 9 jobs first
	rmq-send -p 0 jobs last
	rmq-send -d 1h jobs later
	rmq-send -d @1000000000 jobs past
	[ "$(rmq-queue show jobs delayed)" = 1 ]
	run rmq-recv --drain -o priority,body jobs
	assert_output "$(printf '9\tfirst\n4\tplain\n4\tpast\n0\tlast')"
	local until
	until=$(rmq-queue peek --state delayed -o until jobs)
	((($(date -d "$until" +%s) - $(date +%s)) > 3500))
	local from=${EPOCHREALTIME/[.,]/}
	rmq-send -d 200ms soon x
	run rmq-recv -1 soon
	assert_output x
	((${EPOCHREALTIME/[.,]/} - from >= 200000))
}
