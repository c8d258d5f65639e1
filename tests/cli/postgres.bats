#!/usr/bin/env bats
# modes: release
# contrib/examples/postgres.sh does what it says.

load common

bats_require_minimum_version 1.5.0

# The way to the servers' directory has to be open to their user.
setup_file() {
	chmod a+x "$BATS_RUN_TMPDIR" "$BATS_FILE_TMPDIR"
}

@test "postgres.sh: no line is lost when the leading node and then the primary are killed, and nothing is left behind" {
	chmod a+x .
	mkdir tmp
	TMPDIR=$PWD/tmp run timeout 120 sh "$BATS_TEST_DIRNAME/../../contrib/examples/postgres.sh" 4000
	assert_success
	assert_line --regexp '^sent 4000  received 4000  lost 0  twice [0-9]+$'
	[ "$(grep -c '^n[123]	' <<<"$output")" = 3 ]
	assert_line --regexp '^   pg[23] is the primary after [0-9]+ ms$'
	[ -z "$(ls tmp)" ]
	run pgrep -f "$PWD/tmp"
	assert_failure
}

@test "postgres.sh: a signal ends all of it" {
	chmod a+x .
	mkdir tmp
	TMPDIR=$PWD/tmp setsid sh "$BATS_TEST_DIRNAME/../../contrib/examples/postgres.sh" 100000 \
		>out 2>&1 3>&- &
	STARTED+=($!)
	wait_until 60 grep -q "^# 3" out
	kill -TERM "${STARTED[0]}"
	status_of "${STARTED[0]}"
	assert_failure 143
	[ -z "$(ls tmp)" ]
	run pgrep -f "$PWD/tmp"
	assert_failure
}
