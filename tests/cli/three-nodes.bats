#!/usr/bin/env bats
# modes: release
# contrib/examples/three-nodes.sh does what it says.

load common

bats_require_minimum_version 1.5.0

@test "three-nodes.sh: no line is lost when the leader is killed, and nothing is left behind" {
	mkdir tmp
	TMPDIR=$PWD/tmp run timeout 120 sh "$BATS_TEST_DIRNAME/../../contrib/examples/three-nodes.sh" 4000
	assert_success
	assert_line --regexp '^sent 4000  received 4000  lost 0  twice [0-9]+$'
	[ "$(grep -c '^n[123]	' <<<"$output")" = 3 ]
	[ -z "$(ls tmp)" ]
	run pgrep -f "$PWD/tmp"
	assert_failure
}

@test "three-nodes.sh: a signal ends all of it" {
	mkdir tmp
	TMPDIR=$PWD/tmp setsid sh "$BATS_TEST_DIRNAME/../../contrib/examples/three-nodes.sh" 100000 \
		>out 2>&1 3>&- &
	STARTED+=($!)
	wait_until 60 grep -q "^# 2" out
	kill -TERM "${STARTED[0]}"
	status_of "${STARTED[0]}"
	assert_failure 143
	[ -z "$(ls tmp)" ]
}
