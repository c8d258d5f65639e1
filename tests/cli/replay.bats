#!/usr/bin/env bats
# modes: release
# rmq-journal replay: a queue as it was at a time.

load common

bats_require_minimum_version 1.5.0

# moment NAME: $NAME is a time; what was done before it is as old, and what comes is younger.
moment() {
	local now
	now=$(date +%s%3N)
	until [ "$(date +%s%3N)" -gt $((now + 1)) ]; do
		:
	done
	printf -v "$1" '@%s.%s' "${now%???}" "${now: -3}"
	until [ "$(date +%s%3N)" -gt $((now + 3)) ]; do
		:
	done
}

# holds DIR: the messages of queue jobs, in order.
holds() {
	rmq-queued -q -d "$1" -- rmq-recv --drain jobs | xargs
}

@test "replay: makes a queue as it was before a purge, and at each other time" {
	local empty some taken all
	start_queue q
	rmq-journal backup q >old
	rmq-queue create jobs
	moment empty
	seq 5 | rmq-send jobs
	moment some
	rmq-recv -n 2 jobs >/dev/null
	moment taken
	seq 6 9 | rmq-send jobs
	moment all
	rmq-queue purge jobs
	echo 10 | rmq-send jobs
	rmq-journal backup q >backup
	rmq-journal backup --since "$(rmq-journal stat q | awk '$1 == "last" { print $2 - 2 }')" q >more
	for files in backup 'backup more'; do
		for want in 'empty:' 'some:1 2 3 4 5' 'taken:3 4 5' 'all:3 4 5 6 7 8 9'; do
			at=${want%%:*}
			# shellcheck disable=SC2086
			cat $files | rmq-journal replay --until "${!at}" "new.$at"
			rmq-journal verify "new.$at"
			assert_equal "$at:$(holds "new.$at")" "$want"
			rm -r "new.$at"
		done
	done
	run -0 --separate-stderr rmq-journal replay --until 2100-01-01T00:00:00Z now <backup
	[[ "$stderr" = "rmq-journal: now: as of 20"*Z ]]
	assert_equal "$(holds now)" 10
	run -65 --separate-stderr rmq-journal replay --until 2000-01-01T00:00:00Z never <backup
	assert_equal "$stderr" \
		'rmq-journal: never: there is nothing of that time in the backup: take an older one'
	[ ! -e never ]
	run -64 rmq-journal replay --until yesterday never <backup
	assert_line --index 0 \
		"rmq-journal: replay: --until: 'yesterday' is not a time: @SECONDS, or as 2026-11-23T13:18:16Z"
}

@test "replay: what is gone since that time is not made up: 65, and with --force it is told" {
	local before between later
	start_queue q
	seq -f 'first %g' 100 | rmq-send jobs
	since=$(rmq-journal stat q | awk '$1 == "last" { print $2 }')
	rmq-journal backup q >full
	moment before
	seq -f 'second %g' 100 | rmq-send jobs
	moment between
	rmq-recv -n 200 jobs >/dev/null
	seq -f 'third %g' 50 | rmq-send jobs
	stop_queue # a checkpoint, and holes
	start_queue q
	moment later
	echo more | rmq-send jobs
	rmq-journal backup q >full2
	rmq-journal backup --since "$since" q >more

	# At the full backup all is there, and after the checkpoint.
	rmq-journal replay --until "$before" new <full
	assert_equal "$(holds new | wc -w)" 200
	rmq-journal replay --until "$later" new2 <full2
	assert_equal "$(holds new2 | wc -w)" 100
	# Between, messages and what became of them are gone with their records.
	run -65 rmq-journal replay --until "$between" new3 <full2
	run -65 --separate-stderr rmq-journal replay --until "$between" new3 < <(cat full more)
	assert_equal "${stderr%%, as it*}" \
		'rmq-journal: new3: the backup does not have all that counted at that time'
	[ ! -e new3 ]
	run -0 --separate-stderr rmq-journal replay --force --until "$between" new3 < <(cat full more)
	assert_output --partial 'events are lost: messages may be handed out again, sessions end'
	assert_equal "$(holds new3)" "$(seq -f 'first %g' 100 | xargs)"
}

@test "replay: needs a time" {
	rmq-journal init q
	rmq-journal backup q >backup
	run -64 --separate-stderr rmq-journal replay new <backup
	assert_equal "$stderr" 'rmq-journal: replay: --until TIME is missing: restore makes all of a backup'
	for wrong in yesterday -5 '' infinity; do
		run -64 rmq-journal replay --until "$wrong" new <backup
	done
	[ ! -e new ]
}
