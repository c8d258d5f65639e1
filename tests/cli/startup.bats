#!/usr/bin/env bats
# modes: release
# What all programs do the same, whoever starts them: descriptors that are closed or
# non-blocking, signals that are ignored or blocked.

load common

bats_require_minimum_version 1.5.0

programs() {
	(cd "$BATS_TEST_DIRNAME/../../cmd" && ls)
}

# closings: the options of startas for all combinations of closed descriptors.
closings() {
	local i
	for i in 1 2 3 4 5 6 7; do
		echo "$( ((i & 1)) && echo -n "-c 0 ")$( ((i & 2)) && echo -n "-c 1 ")$( ((i & 4)) && echo -n "-c 2")"
	done
}

@test "startup: each program ends by itself with any of 0, 1 and 2 closed" {
	local program how
	for program in $(programs); do
		while read -r how; do
			# 0 where stdout is there; nothing but EBADF, 74, is in the way.
			run timeout 10 startas $how "$program" --version
			case " $how" in
			*"-c 1"*) [ "$status" -eq 74 ] ;;
			*) [ "$status" -eq 0 ] ;;
			esac || { echo "$program: $how: status $status"; return 1; }
		done < <(closings)
	done
}

@test "startup: rmq-queued serves with any of 0, 1 and 2 closed, and logs into nothing else" {
	local how n=0
	while read -r how; do
		n=$((n + 1))
		rm -f ready
		mkfifo ready
		startas $how rmq-queued -v -v -d "q$n" --init -l "s$n" --ready-fd 9 9>ready 3>&- \
			</dev/null >out 2>log &
		STARTED+=($!)
		read -t 10 -r _ <ready
		export RMQ_SERVERS=unix:s$n
		seq 100 | startas $how -c 1 rmq-send -q jobs arg
		[ "$(timeout 10 rmq-recv --drain jobs)" = arg ]
		kill "${STARTED[-1]}"
		status_of "${STARTED[-1]}"
		assert_success
		rmq-journal verify "q$n"
	done < <(closings)
}

@test "startup: a queue for a command ends with it, with SIGCHLD ignored or blocked before" {
	run timeout 20 startas -i 17 rmq-queued -d a --init -- sh -c 'echo x | rmq-send q && rmq-recv -1 q'
	assert_success
	assert_output x
	run timeout 20 startas -b 17 rmq-queued -d b --init -- sh -c 'exit 3'
	assert_failure 3
	# SIGPIPE, SIGXFSZ, and SIGCHLD in COMMAND are as usual.
	run timeout 20 startas -i 13 -i 17 -i 25 -b 10 rmq-queued -d c --init -- \
		grep -E '^Sig(Blk|Ign)' /proc/self/status
	assert_line --regexp 'SigBlk:.0000000000000000'
	assert_line --regexp 'SigIgn:.0000000000000000'
}

@test "startup: SIGTERM that was blocked ends a receiver; SIGHUP that was ignored does not" {
	start_queue q
	start startas -b 15 rmq-recv jobs
	wait_until 10 [ "$(rmq-queue show jobs receivers 2>/dev/null || :)" = 1 ] || wait_until 10 sh -c '[ "$(rmq-queue show jobs receivers)" = 1 ]'
	kill "${STARTED[-1]}"
	status_of "${STARTED[-1]}"
	assert_success
	start startas -i 1 rmq-recv -1 jobs
	wait_until 10 sh -c '[ "$(rmq-queue show jobs receivers)" = 1 ]'
	kill -HUP "${STARTED[-1]}"
	rmq-send jobs hello
	status_of "${STARTED[-1]}"
	assert_success
	[ "$(tail -1 out)" = hello ]
}

# slowly COMMAND…: its non-blocking stdout is a pipe that is mostly full; to ./got.
slowly() {
	rm -f slow
	mkfifo slow
	startas -n 1 "$@" <&0 >slow &
	STARTED+=($!)
	dd bs=512 status=none <slow >got
	status_of "${STARTED[-1]}"
}

@test "startup: a non-blocking stdout gets all of what is printed" {
	start_queue q
	seq 200000 >lines
	rmq-send jobs <lines
	slowly rmq-queue peek -n 200000 jobs
	assert_success
	cmp lines got
	slowly rmq-send -i other <lines
	assert_success
	[ "$(wc -l <got)" -eq 200000 ]
	[ "$(tail -1 got)" = other:200000 ]
	slowly rmq-send --pass other <lines
	assert_success
	cmp lines got
	slowly rmq-recv --drain jobs
	assert_success
	cmp lines got
	slowly rmq-journal dump q
	assert_success
	[ "$(wc -l <got)" -gt 10 ]
	jq -e . <got >parsed
	timeout 20 rmq-recv --ack manual --prefetch 50000 -n 50000 -o receipt,body other >receipts
	slowly rmq-ack --pass <receipts
	assert_success
	cmp receipts got
}

@test "startup: a non-blocking stdin is waited for" {
	start_queue q
	mkfifo in
	startas -n 0 rmq-send jobs <in &
	STARTED+=($!)
	exec 8>in
	echo one >&8
	wait_until 10 sh -c '[ "$(rmq-queue show jobs ready 2>/dev/null)" = 1 ]'
	echo two >&8
	exec 8>&-
	status_of "${STARTED[-1]}"
	assert_success
	[ "$(rmq-queue show jobs ready)" = 2 ]
}
