#!/usr/bin/env bats
# rmq-recv with COMMAND: every promise of rmq-recv(1) about it, and what it does with bad input.

load common

bats_require_minimum_version 1.5.0

# counts QUEUE: ready, leased and delayed.
counts() {
	rmq-queue show "$1" ready leased delayed | paste -sd' '
}

# becomes QUEUE COUNTS: they come to be so.
becomes() {
	wait_until 10 eval "[ \"\$(counts $1)\" = '$2' ]"
}

# worker ARG…: rmq-recv, which must end in time.
worker() {
	timeout 30 rmq-recv "$@"
}

# What a run does that is to take its time: until the file `go` is there.
UNTIL_GO='until [ -e go ]; do sleep 0.01; done'

# quick_queue NAME [OPTION…]: a queue without back-off.
quick_queue() {
	local name=$1
	shift
	rmq-queue create --backoff 0,0 "$@" "$name"
}

@test "worker: each message is on stdin of its run, exactly" {
	start_queue q
	head -c 300 /dev/urandom >a
	printf '' >b
	head -c 900000 /dev/urandom >c
	for f in a b c; do rmq-send -w jobs <$f; done
	mkdir got
	# shellcheck disable=SC2016
	worker --drain jobs sh -c 'cat >got/${RMQ_MSG_ID##*:}'
	cmp a got/1
	cmp b got/2
	cmp c got/3
	[ "$(counts jobs)" = "0 0 0" ]
}

@test "worker: a run need not read its stdin, and may close it or read it twice" {
	start_queue q
	head -c 900000 /dev/zero | rmq-send -w jobs
	rmq-send jobs b
	worker -n 2 jobs true
	rmq-send jobs c d
	worker -1 jobs sh -c 'exec <&-'
	[ "$(worker -1 jobs sh -c 'cat /dev/stdin /dev/stdin')" = dd ]
	# It has the descriptors that we have, and none of the worker's.
	rmq-send jobs e
	# shellcheck disable=SC2016
	[ "$(worker -1 jobs sh -c 'ls /proc/$$/fd')" = "$(timeout 9 sh -c 'ls /proc/$$/fd')" ]
	[ "$(counts jobs)" = "0 0 0" ]
}

@test "worker: options end at COMMAND" {
	start_queue q
	rmq-send jobs a b
	[ "$(worker jobs -1 printf '%s\n' -n --help | paste -sd' ')" = "-n --help" ]
	[ "$(worker -1 jobs -- echo -1)" = -1 ]
	run worker jobs --
	assert_failure 64
	run worker -P 2 jobs
	assert_failure 64
	assert_output "rmq-recv: -P: no COMMAND given"
}

@test "worker: bad options are 64 and say what they want" {
	local bad
	for bad in '-P 0' '-P x' '-P 4097' '--batch 0' '--batch 2049' '--linger 1s' '--max-time 0' \
		'--max-fails 0' '--on-exit 1' '--on-exit 300=dead' '--batch 2 -I {}' '--batch 2 -l' \
		'--rate 5' '--rate 0/s' '--rate 5/d' '-l -I {}' '-0' '--raw' '--ack write' '-o id' '--batch 2 --linger x'; do
		# shellcheck disable=SC2086
		run worker -S unix:none $bad jobs true
		assert_failure 64
		[ "$(wc -l <<<"$output")" -eq 1 ]
		[[ $output == "rmq-recv: "* ]]
	done
}

@test "worker: 65 and 100 make a dead letter, with the last line of stderr as the reason" {
	start_queue q
	rmq-send jobs a b
	run --separate-stderr worker -1 jobs sh -c 'echo first >&2; printf "no such\tthing" >&2; exit 65'
	assert_failure 65
	[ "$stderr" = "$(printf 'first\nno such\tthing')" ]
	run worker -1 jobs sh -c 'exit 100'
	assert_failure 65
	[ "$(rmq-queue peek -o note jobs.dead)" = "$(printf 'jobs:1 no such?thing\njobs:2 exit status 100')" ]
	[ "$(counts jobs)" = "0 0 0" ]
}

@test "worker: a dead letter that the queue cannot make is a failure" {
	start_queue q
	rmq-queue create --dead-letter none jobs
	rmq-send jobs a
	run worker -1 jobs sh -c 'exit 65'
	assert_failure 75
	assert_output --partial "it has no dead-letter queue"
	[ "$(rmq-queue peek -o failures,body jobs)" = "$(printf '1\ta')" ]
}

@test "worker: 69, 75 and 111 back off, and count no failure" {
	local code
	start_queue q
	rmq-queue create --backoff 20s,30s jobs
	rmq-send jobs a b c
	for code in 69 75 111; do
		run worker -1 jobs sh -c "exit $code"
		assert_failure 75
		assert_output ''
	done
	[ "$(counts jobs)" = "0 0 3" ]
	[ "$(rmq-queue peek -o failures,state jobs | sort -u)" = "$(printf '0\tdelayed')" ]
}

@test "worker: another status, and a signal, is a failure, and the last one makes a dead letter" {
	start_queue q
	quick_queue jobs --max-attempts 3
	rmq-send jobs a
	run worker -1 jobs sh -c 'exit 1'
	assert_failure 75
	# shellcheck disable=SC2016
	run worker -1 jobs sh -c 'kill -9 $$'
	assert_failure 75
	[ "$(rmq-queue peek -o failures jobs)" = 2 ]
	run worker -1 jobs sh -c 'exit 255'
	assert_failure 65
	[ "$(rmq-queue peek -o note jobs.dead)" = "jobs:1 too many failures" ]
}

@test "worker: what failed and is settled later is no failure in the end" {
	start_queue q
	quick_queue jobs
	rmq-send jobs a b
	# shellcheck disable=SC2016
	worker --drain=all jobs sh -c '[ "$RMQ_MSG_ATTEMPT" -eq 3 ]'
	[ "$(rmq-queue show jobs failed)" = 4 ]
	[ "$(counts jobs)" = "0 0 0" ]
}

@test "worker: a COMMAND that does not exist is 127 before anything is leased" {
	start_queue q
	rmq-send jobs a
	run -127 worker jobs ./none
	assert_output "rmq-recv: ./none: No such file or directory"
	run -127 worker jobs no-such-program
	[ "$(rmq-queue peek -o attempt,failures,state jobs)" = "$(printf '0\t0\tready')" ]
}

@test "worker: a COMMAND that cannot be run is 126 and eats nothing" {
	start_queue q
	rmq-send jobs a b c
	echo 'not a program' >file
	run worker jobs ./file
	assert_failure 126
	assert_output "rmq-recv: ./file: Permission denied"
	run worker jobs .
	assert_failure 126
	# It seems that it can be run, until it is.
	printf '#!/no/such/interpreter\n' >file
	chmod +x file
	run -127 worker -P 2 jobs ./file
	assert_output "rmq-recv: jobs: ./file: No such file or directory"
	[ "$(rmq-queue peek -o attempt,failures,state jobs | sort -u)" = "$(printf '0\t0\tready')" ]
	[ "$(counts jobs)" = "3 0 0" ]
}

@test "worker: a run that exits with 125, 126 or 127 stops it, and its message goes back uncounted" {
	local code
	start_queue q
	rmq-send jobs a b
	for code in 125 126 127; do
		run -$code worker jobs sh -c "exit $code"
		[ "$(rmq-queue peek -o attempt,failures,state jobs | sort -u)" = "$(printf '0\t0\tready')" ]
	done
}

@test "worker: --on-exit overrides the table" {
	start_queue q
	quick_queue jobs
	rmq-send jobs a b c d
	worker -1 --on-exit 1,2=settle jobs sh -c 'exit 2'
	run worker -1 --on-exit 0=dead jobs true
	assert_failure 65
	run worker -1 --on-exit 3=retry:1h --on-exit 4=stop jobs sh -c 'exit 3'
	assert_failure 75
	[ "$(rmq-queue peek -o failures,state jobs --state delayed)" = "$(printf '0\tdelayed')" ]
	run worker --on-exit 4=stop jobs sh -c 'exit 4'
	assert_failure 4
	run worker -1 --on-exit 75=fail jobs sh -c 'exit 75'
	assert_failure 75
	[ "$(rmq-queue peek -o seq,failures jobs --state ready)" = "$(printf '4\t1')" ]
}

@test "worker: -P runs so many at a time, and no more" {
	start_queue q
	rmq-send jobs a b c d e
	mkdir on
	# Each waits until it has seen three, and none sees four.
	# shellcheck disable=SC2016
	worker -n 3 -P 3 jobs sh -c '>on/$$; until [ "$(ls on | wc -l)" -eq 3 ]; do sleep 0.01; done; cp -r on seen.$$'
	rm -rf on/*
	# shellcheck disable=SC2016
	worker --drain -P 1 jobs sh -c '>on/$$; [ "$(ls on | wc -l)" -eq 1 ]; s=$?; rm on/$$; exit $s'
	[ "$(counts jobs)" = "0 0 0" ]
}

@test "worker: nothing is leased ahead while a run takes its time" {
	start_queue q
	rmq-send jobs a b c
	start worker -P 1 --drain jobs sh -c "$UNTIL_GO"
	local pid=$!
	becomes jobs "2 1 0"
	# With --prefetch it is.
	start worker --prefetch 1 -n 2 jobs sh -c "$UNTIL_GO"
	local other=$!
	becomes jobs "0 3 0"
	touch go
	wait $pid
	wait $other
}

@test "worker: what was leased ahead is given back when a run takes long after all" {
	start_queue q
	quick_queue jobs
	seq 400 | rmq-send jobs
	start worker --drain jobs sh -c "[ \$RMQ_MSG_ID != jobs:200 ] || $UNTIL_GO"
	local pid=$!
	becomes jobs "200 1 0"
	[ "$(rmq-queue peek -n 300 -o attempt --state ready jobs | sort -u)" = 0 ]
	touch go
	wait $pid
	[ "$(counts jobs)" = "0 0 0" ]
	[ "$(rmq-queue show jobs settled)" = 400 ]
}

@test "worker: -n runs so many and leases no more; --wait 0 polls" {
	start_queue q
	seq 10 | rmq-send jobs
	[ "$(worker -n 3 -P 2 jobs cat | tr -d '\n')" = 123 ] || [ "$(counts jobs)" = "7 0 0" ]
	[ "$(rmq-queue show jobs delivered)" = 3 ]
	[ "$(counts jobs)" = "7 0 0" ]
	run worker -1 --wait 0 none true
	assert_failure 1
	run worker --no-create --drain other true
	assert_failure 66
}

@test "worker: -l ends the body with a newline, -j is the envelope" {
	start_queue q
	rmq-send jobs 'a  b' c
	[ "$(worker -1 -l jobs sh -c 'IFS= read -r x && echo "<$x>"')" = '<a  b>' ]
	worker -1 -j jobs sh -c 'cat >envelope'
	jq -e '.body == "c" and .receipt == "jobs:2:2" and .attempt == 1 and .until > .time' envelope
	[ "$(wc -l <envelope)" -eq 1 ]
}

@test "worker: -I puts the body into the arguments, stdin is /dev/null" {
	start_queue q
	rmq-send jobs 'a b' '*' '' $'x\ny' '{}'
	worker -n 5 -I {} jobs sh -c 'printf "<%s>" "$@"; cat' sh {} '{}-{}' x >out
	printf '<a b><a b-a b><x><*><*-*><x><><-><x><x\ny><x\ny-x\ny><x><{}><{}-{}><x>' >want
	cmp out want
}

@test "worker: what cannot be an argument is 65 and a failure, with --skip-bad a dead letter" {
	start_queue q
	quick_queue jobs
	printf 'a\0b' | rmq-send -w jobs
	run worker --drain -I {} jobs echo {}
	assert_failure 65
	assert_output "rmq-recv: jobs: message 1 holds a NUL, which no argument can"
	[ "$(rmq-queue peek -o failures jobs)" = 1 ]
	head -c 200000 /dev/zero | tr '\0' x | rmq-send -w jobs
	rmq-send jobs good
	run worker --drain --skip-bad -I {} jobs echo {}
	assert_failure 65
	assert_line good
	assert_line "rmq-recv: jobs: message 1 holds a NUL, which no argument can"
	assert_line "rmq-recv: jobs: message 2 is too long for an argument"
	[ "$(counts jobs.dead)" = "2 0 0" ]
	[ "$(counts jobs)" = "0 0 0" ]
}

@test "worker: the environment says what message it is, and inherited values are gone" {
	start_queue q
	rmq-send jobs a
	RMQ_MSG_ID=old RMQ_MSG_DEADLINE=old RMQ_HEADER_X=old RMQ_OTHER=kept worker -1 jobs env >got
	grep -qx 'RMQ_MSG_ID=jobs:1' got
	grep -qx 'RMQ_MSG_QUEUE=jobs' got
	grep -qx 'RMQ_MSG_RECEIPT=jobs:1:1' got
	grep -qx 'RMQ_MSG_ATTEMPT=1' got
	grep -qx 'RMQ_MSG_KEY=' got
	grep -qx 'RMQ_MSG_PRIORITY=4' got
	grep -qxE 'RMQ_MSG_TIME=20[0-9-]+T[0-9:.]+Z' got
	grep -qx 'RMQ_OTHER=kept' got
	run ! grep '=old$' got
	run ! grep DEADLINE got
	# Names that have become the same are one variable, that of the last in byte order.
	rmq-send -H a-b=1 -H A_b=2 -H ab=3 jobs a
	[ "$(worker -1 jobs env | grep '^RMQ_HEADER' | sort | paste -sd' ')" = 'RMQ_HEADER_AB=3 RMQ_HEADER_A_B=1' ]
}

@test "worker: -S is what COMMAND finds in RMQ_SERVERS, and so are the files of keys" {
	start_queue q
	rmq-send jobs a
	local servers=$RMQ_SERVERS
	unset RMQ_SERVERS
	# shellcheck disable=SC2016
	worker -S "$servers" -1 jobs sh -c 'rmq-ack "$RMQ_MSG_RECEIPT" && exit 1'
	[ "$(RMQ_SERVERS=$servers counts jobs)" = "0 0 0" ]
	RMQ_SERVERS=$servers rmq-send jobs b
	RMQ_KNOWN_NODES=inherited worker -S "$servers" --keyfile a/key -1 jobs env >env
	[ "$(grep -E '^RMQ_(KEYFILE|KNOWN_NODES)=' env | sort | paste -sd' ')" = 'RMQ_KEYFILE=a/key RMQ_KNOWN_NODES=inherited' ]
}

@test "worker: what a run does itself with rmq-ack counts" {
	start_queue q
	rmq-queue create --backoff 1h,1h jobs
	rmq-send jobs a b c
	# shellcheck disable=SC2016
	worker -1 jobs sh -c 'rmq-ack "$RMQ_MSG_RECEIPT"; exit 65'
	# shellcheck disable=SC2016
	run worker -1 jobs sh -c 'rmq-ack --fail "$RMQ_MSG_RECEIPT"'
	assert_failure 75
	# shellcheck disable=SC2016
	run worker -1 jobs sh -c 'rmq-ack --dead=why "$RMQ_MSG_RECEIPT"; exit 3'
	assert_failure 65
	[ "$(rmq-queue peek -o seq,failures jobs)" = "$(printf '2\t1')" ]
	[ "$(rmq-queue peek -o note jobs.dead)" = "jobs:3 why" ]
}

@test "worker: leases are extended while a run takes its time" {
	start_queue q
	rmq-queue create --lease 300ms jobs
	rmq-send jobs a
	start worker -1 jobs sh -c "$UNTIL_GO"
	local pid=$!
	becomes jobs "0 1 0"
	run timeout 10 rmq-recv -1 --wait 1s jobs
	assert_failure 1
	touch go
	wait $pid
	[ "$(counts jobs)" = "0 0 0" ]
}

@test "worker: a lost lease ends the run, and its result is discarded" {
	start_queue q
	rmq-send jobs a
	# shellcheck disable=SC2016
	start timeout 30 rmq-recv jobs sh -c 'trap "echo told >told; exit 0" TERM; echo "$$" >run; while :; do sleep 0.02; done'
	local pid=$!
	wait_until 10 test -s run
	rmq-queue purge jobs
	wait_until 10 test -s told
	wait_until 10 has_ended "$(cat run)"
	kill -TERM $pid
	wait $pid
	grep -q 'rmq-recv: jobs:1: its lease has ended' log
}

@test "worker: --max-time ends a run, which is a failure even if it exits with 0" {
	start_queue q
	quick_queue jobs
	rmq-send jobs a
	local began=$EPOCHSECONDS
	# shellcheck disable=SC2016
	run worker -1 --max-time 300ms jobs sh -c 'trap "exit 0" TERM; echo $RMQ_MSG_DEADLINE >deadline; while :; do sleep 0.02; done'
	assert_failure 75
	[ "$(rmq-queue peek -o failures jobs)" = 1 ]
	(($(cat deadline) >= began && $(cat deadline) <= EPOCHSECONDS))
	# All of its process group.
	run worker -1 --max-time 300ms jobs sh -c 'sleep 100 & echo $! >pid; wait'
	wait_until 10 has_ended "$(cat pid)"
}

@test "worker: --max-fails ends it with 75" {
	start_queue q
	seq 9 | rmq-send jobs
	run worker --drain --max-fails 3 jobs false
	assert_failure 75
	assert_output "rmq-recv: jobs: 3 runs of false have failed in a row"
	[ "$(counts jobs)" = "6 0 3" ]
	run worker --drain --max-fails 1 jobs false
	assert_output "rmq-recv: jobs: a run of false has failed"
}

@test "worker: --batch passes up to so many messages as lines, with one verdict for all" {
	start_queue q
	quick_queue jobs
	seq 25 | rmq-send jobs
	worker --drain --batch 10 jobs paste -sd' ' >out
	[ "$(cat out)" = "$(seq 25 | paste -sd'         \n' | tr -s ' ')" ] ||
		[ "$(tr ' ' '\n' <out)" = "$(seq 25)" ]
	[ "$(rmq-queue show jobs settled)" = 25 ]
	seq 3 | rmq-send jobs
	run worker -n 3 --batch 3 jobs sh -c 'cat >/dev/null; exit 9'
	assert_failure 75
	[ "$(rmq-queue peek -o failures jobs | paste -sd' ')" = "1 1 1" ]
	run worker -n 3 --batch 3 jobs sh -c 'echo all >&2; exit 65'
	assert_failure 65
	[ "$(rmq-queue peek -o note,body jobs.dead)" = "$(printf 'jobs:%s all\t%s\n' 26 1 27 2 28 3)" ]
}

@test "worker: --batch with -0, with -j, and with a body that holds the separator" {
	start_queue q
	quick_queue jobs
	rmq-send jobs $'b\nc'
	run worker -n 2 --batch 2 jobs cat
	assert_failure 65
	assert_output --partial "message 1 holds the separator (use -0 or -j)"
	becomes jobs "1 0 0"
	rmq-send jobs d
	[ "$(worker -n 2 --batch 2 -0 jobs sh -c 'tr "\0" "|"')" = $'b\nc|d|' ]
	rmq-send jobs e $'f\ng'
	[ "$(worker -n 2 --batch 2 -j jobs jq -c .body | paste -sd' ')" = '"e" "f\ng"' ]
	[ "$(counts jobs)" = "0 0 0" ]
}

@test "worker: a message that spoils its batch becomes a dead letter alone" {
	start_queue q
	quick_queue jobs --max-attempts 3
	{ seq 9; echo bad; seq 11 20; } | rmq-send jobs
	run worker --drain=all --batch 20 jobs sh -c '! grep -q bad'
	assert_failure 65
	[ "$(timeout 10 rmq-recv --wait 0 jobs.dead)" = bad ]
	[ "$(counts jobs)" = "0 0 0" ]
	# No more are leased than a run may have.
	quick_queue tired --max-attempts 2
	seq 5 | rmq-send tired
	run worker --drain=all --batch 5 tired sh -c 'sleep 0.21; false'
	[ "$(rmq-queue show tired delivered)" -le 15 ]
	# There nothing is a last try.
	seq 20 | rmq-send jobs
	rmq-queue purge jobs.dead
	run worker --drain --batch 20 jobs sh -c 'exit 65'
	run worker --drain --batch 20 jobs.dead sh -c 'wc -l >n'
	assert_success
	[ "$(cat n)" = 20 ]
}

@test "worker: --linger waits to fill a batch, and not longer" {
	start_queue q
	start worker -n 5 --batch 3 --linger 20s jobs paste -sd' '
	local pid=$!
	rmq-send jobs a
	becomes jobs "0 1 0"
	rmq-send jobs b
	becomes jobs "0 2 0"
	[ ! -s out ]
	rmq-send jobs c d
	wait_until 10 grep -qx 'a b c' out
	# No more than five are to come: that is a full one.
	rmq-send jobs e
	wait $pid
	[ "$(tail -1 out)" = 'd e' ]
	rmq-send jobs f
	[ "$(worker -n 2 --wait 0 --batch 3 --linger 100ms jobs cat)" = f ]
}

@test "worker: SIGTERM lets the runs end, and settles them; a worker for ever exits with 0" {
	start_queue q
	rmq-send jobs a b c
	start timeout 30 rmq-recv --prefetch 2 jobs sh -c "$UNTIL_GO; echo done"
	local pid=$!
	becomes jobs "0 3 0"
	kill -TERM "$(pgrep -P $pid -x rmq-recv)"
	becomes jobs "2 1 0"
	# It is still told what it holds.
	kill_queue
	start_queue q
	wait_until 10 eval '[ "$(rmq-queue show jobs receivers)" = 1 ]'
	[ "$(counts jobs)" = "2 1 0" ]
	kill -0 $pid
	touch go
	wait $pid
	[ "$(cat out)" = done ]
	[ "$(rmq-queue peek -o attempt,failures,state jobs)" = "$(printf '0\t0\tready\n0\t0\tready')" ]
}

@test "worker: what a signal ends with it goes back uncounted, and it dies by its signal" {
	start_queue q
	rmq-send jobs a b
	start timeout 30 rmq-recv -n 2 --prefetch 1 jobs sleep 100
	local pid=$!
	becomes jobs "0 2 0"
	local recv run
	recv=$(pgrep -P $pid -x rmq-recv)
	wait_until 10 pgrep -P "$recv" -x sleep
	run=$(pgrep -P "$recv" -x sleep)
	kill -INT "$recv"
	becomes jobs "1 1 0"
	kill -0 "$run"
	kill -INT "$run"
	status_of $pid
	assert_failure 130
	[ "$(rmq-queue peek -o attempt,failures,state jobs | sort -u)" = "$(printf '0\t0\tready')" ]
}

@test "worker: a second signal ends the runs as well" {
	start_queue q
	quick_queue jobs
	rmq-send jobs a
	start timeout 30 rmq-recv jobs sh -c 'trap "" TERM; echo $$ >run; while :; do sleep 0.05; done'
	local pid=$! recv
	wait_until 10 test -s run
	recv=$(pgrep -P $pid -x rmq-recv)
	kill -TERM "$recv"
	# A signal so soon after the first is the same one.
	wait_until 10 eval 'kill -TERM '"$recv"' 2>/dev/null; has_ended '"$recv"
	wait_until 10 has_ended "$(cat run)"
	becomes jobs "1 0 0"
	[ "$(rmq-queue peek -o failures jobs)" = 1 ]
}

@test "worker: a killed worker's runs end with it, and its messages come back at once, counted" {
	start_queue q
	quick_queue jobs
	rmq-send jobs a b c
	start rmq-recv --prefetch 1 -P 2 jobs sh -c 'echo >>runs; exec sleep 100'
	local pid=$! runs
	becomes jobs "0 3 0"
	wait_until 10 eval '[ "$(wc -l <runs)" -eq 2 ]'
	runs=$(pgrep -P $pid)
	kill -9 $pid
	becomes jobs "3 0 0"
	[ "$(rmq-queue peek -o seq,failures jobs | paste -sd' ')" = "$(printf '1\t1 2\t1 3\t0')" ]
	for pid in $runs; do wait_until 10 has_ended "$pid"; done
}

@test "worker: a run that is killed is a failure, and others go on" {
	start_queue q
	quick_queue jobs
	rmq-send jobs a b
	# shellcheck disable=SC2016
	run worker --drain jobs sh -c '[ "$RMQ_MSG_ATTEMPT" -gt 1 ] || kill -9 $$'
	[ "$(rmq-queue show jobs settled failed | paste -sd' ')" = "2 2" ]
}

@test "worker: when stdout has no reader any more it ends by SIGPIPE, and nothing fails" {
	start_queue q
	quick_queue jobs
	seq 100 | rmq-send jobs
	set +o pipefail
	{ worker jobs cat || echo "status $?" >&2; } 2>log | head -c 1 >/dev/null
	grep -qx 'status 141' log
	[ "$(rmq-queue show jobs failed)" = 0 ]
	[ "$(rmq-queue show jobs ready leased delayed | paste -sd+ | bc)" -gt 0 ]
}

@test "worker: a run that leaves a process behind holds nothing up" {
	start_queue q
	rmq-send jobs a b
	timeout 10 rmq-recv --drain jobs sh -c 'sleep 100 & echo $! >>left'
	[ "$(counts jobs)" = "0 0 0" ]
	while read -r pid; do kill "$pid"; done <left
}

@test "worker: much on stderr of many runs is passed on whole" {
	start_queue q
	seq 4 | rmq-send jobs
	# shellcheck disable=SC2016
	worker --drain -P 4 jobs sh -c 'seq 30000 >&2' 2>err
	[ "$(wc -l <err)" -eq 120000 ]
	[ "$(sort -n err | uniq -c | awk '$1 != 4' | wc -l)" -eq 0 ]
}

@test "worker: the daemon may restart meanwhile" {
	start_queue q
	rmq-send jobs a b
	start worker -n 2 jobs sh -c "$UNTIL_GO; cat"
	local pid=$!
	becomes jobs "1 1 0"
	kill_queue
	start_queue q
	touch go
	wait $pid
	[ "$(cat out)" = ab ]
	[ "$(counts jobs)" = "0 0 0" ]
}

@test "worker: --to sends each line that a run prints, as its message is settled" {
	start_queue q
	rmq-send jobs a b c
	# shellcheck disable=SC2016
	worker --drain --to out jobs sh -c 'x=$(cat); [ $x = b ] || printf "%s1\n\n%s2" $x $x'
	[ "$(timeout 10 rmq-recv --drain out | paste -sd' ')" = "a1  a2 c1  c2" ]
	[ "$(counts jobs)" = "0 0 0" ]
	# Both in one record.
	rmq-journal dump q | jq -e -s 'any([.events[]?.event] | index("send") and index("settle"))'
}

@test "worker: --to its own queue is more work for it" {
	start_queue q
	rmq-send jobs 4
	worker --drain=all -P 2 -l --to jobs jobs awk '{ while ($1-- > 1) print $1 }'
	[ "$(rmq-queue stat -o sent,settled,failed jobs)" = "$(printf '8\t8\t0')" ]
}

@test "worker: --to with -w is one message, also an empty one, and with -0 ends at NUL" {
	start_queue q
	rmq-send jobs a
	worker -1 --to out -w jobs printf 'x\ny\n'
	rmq-send jobs a
	worker -1 --to out -w jobs true
	rmq-send jobs a
	worker -1 --to out -0 jobs printf 'p\nq\0r'
	timeout 10 rmq-recv --drain -0 out >got
	printf 'x\ny\n\0\0p\nq\0r\0' >want
	cmp got want
}

@test "worker: --to sends nothing of a run that fails" {
	start_queue q
	quick_queue jobs
	rmq-send jobs a
	# shellcheck disable=SC2016
	worker --drain=all --to out jobs sh -c 'echo try $RMQ_MSG_ATTEMPT; [ $RMQ_MSG_ATTEMPT -eq 3 ]'
	[ "$(timeout 10 rmq-recv --drain out)" = "try 3" ]
	rmq-send jobs b
	run worker -1 --to out jobs sh -c 'echo no; exit 65'
	assert_failure 65
	[ "$(counts out)" = "0 0 0" ]
}

# It waits 2 s for room.
@test "worker: told to end while --to finds no room, it gives its messages back, and none has failed" {
	start_queue q
	rmq-queue create out
	rmq-queue pause --in out
	rmq-send jobs a b c
	rmq-recv --to out jobs sh -c 'cat; echo >>ran' 2>log 3>&- &
	local worker=$!
	STARTED+=("$worker")
	wait_until 10 test -s ran
	kill -TERM "$worker"
	wait "$worker"
	[ "$(rmq-queue show jobs ready failed | paste -sd' ')" = "3 0" ]
	run cat log
	assert_output --partial "out: the output is not sent, its message goes back: "
	refute_output --partial "there is room"
	[ "$(counts out)" = "0 0 0" ]
}

@test "worker: -I: a body that is too long for all arguments together is the message's fault" {
	start_queue q
	head -c 100000 /dev/zero | tr '\0' x | rmq-send -w jobs
	rmq-send jobs small
	run -65 bash -c 'ulimit -s 1024; timeout 30 rmq-recv --drain --skip-bad -I {} jobs echo {} {} {}'
	assert_line "rmq-recv: jobs: message 1 is too long for all arguments together"
	assert_line "small small small"
	[ "$(rmq-queue show jobs.dead ready)" = 1 ]
	# COMMAND itself is too long: nothing is eaten.
	rmq-send jobs x
	run -126 bash -c 'ulimit -s 1024; timeout 30 rmq-recv --drain --skip-bad -I {} jobs echo {} $(head -c 300000 /dev/zero | tr "\0" "x" | fold -w 100000)'
	[ "$(counts jobs)" = "1 0 0" ]
}

@test "worker: more output than --to can send at once is a failure that says so" {
	start_queue q
	quick_queue jobs
	local what
	rmq-send jobs a
	for what in 'seq 4097' 'head -c 64512 /dev/zero' 'cat /dev/zero'; do
		# shellcheck disable=SC2086
		run worker -1 --to out jobs $what
		assert_failure 75
		assert_output --partial "rmq-recv: jobs:1: its output is more than --to can send at once: 64512 bytes, 4096 lines"
	done
	[ "$(rmq-queue peek -o failures jobs)" = 3 ]
	# All of that is allowed.
	worker -1 --to out jobs seq 4096
	[ "$(counts out)" = "4096 0 0" ]
	# What the queue does not take is a failure as well.
	rmq-queue create --max-message 3 small
	rmq-send jobs b
	run worker -1 --to small jobs echo four
	assert_failure 75
	assert_output --partial "the queue's --max-message is 3"
}

@test "worker: --to a queue that is full waits, to one that may not be made is 66" {
	start_queue q
	rmq-send jobs a
	run worker -1 --no-create --to none jobs echo x
	assert_failure 66
	assert_output --partial "rmq-recv: none: no such queue"
	[ "$(rmq-queue peek -o failures,state jobs)" = "$(printf '0\tready')" ]
	rmq-queue create --max-bytes 5 full
	rmq-send full 12345
	start worker -1 --to full jobs echo x
	local pid=$!
	wait_until 10 grep -q 'queue is full: full' log
	[ "$(timeout 10 rmq-recv -1 full)" = 12345 ]
	wait $pid
	[ "$(timeout 10 rmq-recv -1 full)" = x ]
	run worker -S unix:none --to . jobs true
	assert_failure 64
	run worker -S unix:none -w jobs true
	assert_failure 64
}

@test "worker: the output of a run whose lease is over is discarded" {
	start_queue q
	rmq-send jobs a b
	# shellcheck disable=SC2016
	worker -n 2 --batch 2 --to out jobs sh -c 'cat; until [ -e go ]; do sleep 0.01; done' 3>&- 2>log &
	local pid=$!
	STARTED+=($pid)
	becomes jobs "0 2 0"
	rmq-ack --release --delay 1h "$(rmq-queue peek -j jobs | jq -r 'select(.body == "a").receipt')"
	becomes jobs "0 1 1"
	touch go
	wait $pid || :
	[ "$(rmq-queue ls out | wc -l)" -eq 0 ]
	[ "$(counts jobs)" = "1 0 1" ]
	[ "$(rmq-queue peek -o failures jobs | sort -u)" = 0 ]
}

@test "worker: --joblog has a line for each message that a run had" {
	start_queue q
	quick_queue jobs
	rmq-send jobs $'a\n' b c d
	run worker -n 2 --joblog log.tsv jobs sh -c 'read -r x; [ "$x" = a ] || kill -9 $$'
	worker -1 --on-exit 9=settle --joblog log.tsv jobs sh -c 'exit 9'
	worker -n 2 --batch 2 --to out --joblog log.tsv jobs cat
	[ "$(cut -f 1,2,5- log.tsv)" = "$(printf '%s\n' $'jobs:1\t1\t0\t0\tsettle' $'jobs:2\t1\t0\t9\tfail' \
		$'jobs:2\t2\t9\t0\tsettle' $'jobs:3\t1\t0\t0\tsettle' $'jobs:4\t1\t0\t0\tsettle')" ]
	awk -F '\t' 'NF != 7 || ($3 " " $4) !~ /^[0-9]+\.[0-9][0-9][0-9] [0-9]+\.[0-9][0-9][0-9]$/ { exit 1 }' log.tsv
	rmq-send jobs e
	run worker -1 --joblog none/log jobs true
	assert_failure 74
	[ "$(counts jobs)" = "1 0 0" ]
}

@test "worker: --results keeps what each run prints, and the reason of dead letters" {
	start_queue q
	rmq-send jobs a b
	mkdir results
	run worker -1 --results results jobs sh -c 'cat; echo oops >&2; exit 65'
	assert_failure 65
	assert_output ''
	[ "$(cat results/jobs:1.out)" = a ]
	[ "$(cat results/jobs:1.err)" = oops ]
	[ "$(rmq-queue peek -o note jobs.dead)" = "jobs:1 oops" ]
	worker -1 --to out --results results jobs cat
	[ "$(cat results/jobs:2.out)" = b ]
	[ ! -s results/jobs:2.err ]
	[ "$(timeout 10 rmq-recv --drain out)" = b ]
	run worker -1 --results none jobs true
	assert_failure 74
}

@test "worker: --rate starts so many runs, and leases no more than they take" {
	start_queue q
	seq 20 | rmq-send jobs
	local began=${EPOCHREALTIME/[.,]/} took
	worker -n 11 -P 4 --rate 10/s jobs true
	took=$((${EPOCHREALTIME/[.,]/} - began))
	# Ten distances of 100 ms.
	((took >= 950000))
	start rmq-recv --rate 1/h jobs true
	becomes jobs "8 0 0"
	kill -TERM $!
	status_of $!
	assert_success
	[ "$(rmq-queue show jobs delivered)" = 12 ]
}

@test "worker: one for ever exits with 0 on SIGTERM, whatever became of messages" {
	start_queue q
	rmq-send jobs a
	start rmq-recv jobs sh -c 'exit 65'
	local pid=$!
	wait_until 10 eval '[ "$(rmq-queue show jobs dead)" = 1 ]'
	kill -TERM $pid
	status_of $pid
	assert_success
}

@test "worker: stderr that nobody reads holds up the runs that write to it, and no others" {
	start_queue q
	rmq-send jobs loud quiet quiet
	mkfifo err
	sleep 100 <err 3>&- &
	STARTED+=($!)
	# shellcheck disable=SC2016
	timeout 30 rmq-recv --drain -P 2 -l --to out jobs sh -c 'read -r x; [ $x = quiet ] || seq 200000 >&2; echo $x' 2>err 3>&- &
	local pid=$!
	STARTED+=($pid)
	becomes out "2 0 0"
	[ "$(counts jobs)" = "0 1 0" ]
	timeout 20 cat err >all &
	STARTED+=($!)
	status_of $pid
	assert_success
	[ "$(timeout 10 rmq-recv --drain out | tail -1)" = loud ]
}

# This takes the ten seconds in which a daemon may come back.
@test "worker: one that is told to end does so though no daemon can be reached any more" {
	start_queue q
	rmq-send jobs a b
	start rmq-recv --prefetch 1 jobs sh -c "$UNTIL_GO"
	local pid=$!
	becomes jobs "0 2 0"
	kill_queue
	kill -TERM $pid
	touch go
	wait_until 20 has_ended $pid
	status_of $pid
	assert_success
}

@test "worker: one that has nothing to do ends when its time for the daemon or for room is over" {
	start_queue q
	rmq-queue create full
	rmq-queue pause --in full
	seq 30 | rmq-send jobs
	run timeout 20 rmq-recv --drain --timeout 500ms --to full jobs sh -c 'echo x | tee -a ran'
	assert_failure 75
	assert_line "rmq-recv: full: queue is paused"
	# No run was begun in vain, nothing was at fault, and nothing is left to a lease.
	[ "$(wc -l <ran)" -le 6 ]
	[ "$(rmq-queue peek -n 30 -o failures,state jobs | sort | uniq -c)" = "$(printf '%7d 0\tready' 30)" ]
	rmq-queue create idle
	start rmq-recv --timeout 500ms idle true
	local pid=$!
	wait_until 10 eval '[ "$(rmq-queue show idle receivers)" -ge 1 ]'
	kill_queue
	wait_until 10 has_ended $pid
	status_of $pid
	assert_failure 69
}

@test "worker: a run has no terminal, so that what asks there fails and does not wait" {
	start_queue q
	quick_queue jobs --max-attempts 1
	rmq-send jobs a
	run timeout 20 script -qec "rmq-recv -1 jobs sh -c 'read -r x </dev/tty'" /dev/null </dev/null
	assert_failure 65
	assert_output --partial "/dev/tty"
	[ "$(counts jobs.dead)" = "1 0 0" ]
	# Nor does it get one that it opens, as that of a serial line.
	cat >work <<-'END'
		#!/usr/bin/perl
		my ($unlock, $number) = (pack("i", 0), pack("i", 0));
		open(my $line, "+<", "/dev/ptmx") or die "/dev/ptmx: $!";
		ioctl($line, 0x40045431, $unlock) && ioctl($line, 0x80045430, $number) or die "pty: $!";
		open(my $device, "+<", "/dev/pts/" . unpack("i", $number)) or die "pts: $!";
		exit(open(my $terminal, "<", "/dev/tty") ? 65 : 0);
	END
	chmod 755 work
	rmq-send jobs a a
	timeout 20 script -qec "rmq-recv -1 jobs ./work" /dev/null </dev/null
	timeout 20 setsid -w rmq-recv -1 jobs ./work
	# One that goes away at that moment is left, too.
	if strace -D -qq -o probe true; then
		cat >hung-up <<-'END'
			exec strace -f -qq -o calls -e trace=ioctl -e inject=ioctl:error=EIO rmq-recv -1 jobs true
		END
		rmq-send jobs a
		ASAN_OPTIONS=detect_leaks=0 timeout 20 script -qec "sh hung-up" /dev/null </dev/null
		grep -q TIOCNOTTY calls
	fi
}
