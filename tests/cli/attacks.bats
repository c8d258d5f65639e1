#!/usr/bin/env bats
# A gate and those whom it has no reason to trust, by another implementation of Noise.

bats_require_minimum_version 1.5.0
load common

# gate_alone: a gate in front of a queue daemon, on $PORT, for the keys `web` and `other`.
gate_alone() {
	local name line
	start_queue q
	for name in node web other; do rmq-keygen "$name.key" >"$name.pub"; done
	printf '%s %s\n' 'send queue="mine*"' "$(<web.pub) web" 'send queue="other"' "$(<other.pub) other" >rights
	mkfifo ready
	free_port
	rmq-gated --name gate --key node.key --rights rights --control none --queue-socket "$PWD/q.sock" \
		--gate-listen "127.0.0.1:$PORT" --ready-fd 9 2>gate.log 3>&- 9>ready </dev/null &
	STARTED+=($!)
	if ! IFS= read -r -t 30 line <ready; then
		cat gate.log >&2
		return 1
	fi
}

@test "rmq-gated: a client made of the pages, with another implementation of Noise, sends a line" {
	gate_alone
	run -0 /usr/bin/python3 "$BATS_TEST_DIRNAME/stranger.py" "127.0.0.1:$PORT" web.key mine hello
	assert_output 1
	run -0 rmq-recv --drain mine
	assert_output hello
}

@test "rmq-gated: whoever changes, repeats or makes up bytes gets nothing, and changes nothing" {
	gate_alone
	run /usr/bin/python3 "$BATS_TEST_DIRNAME/attacks.py" "127.0.0.1:$PORT" web.key other.key node.key
	assert_success
	[ "${#lines[@]}" -eq 32 ]
	# What was sent as it must, and nothing else.
	run -0 rmq-queue ls -o queue,sent
	assert_output $'mine.captured\t2\nother\t1'
}
