#!/usr/bin/env bats
# modes: release
# contrib/examples/backup.sh does what it says.

load common

bats_require_minimum_version 1.5.0

backup() {
	dash "$BATS_TEST_DIRNAME/../../contrib/examples/backup.sh" "$@"
}

# remember NAME: what is in the queue now, in order, is in want.NAME.
remember() {
	rmq-queue peek -n 100000 jobs >"want.$1"
}

# restored NAME FILE…: of these backups a queue comes that holds what NAME remembers.
restored() {
	local want=want.$1
	shift
	rm -rf new
	cat "$@" | rmq-journal restore new
	rmq-queued -q -d new -- rmq-recv --drain jobs | cmp - "$want"
}

@test "backup.sh: three nights of a queue in use, an increment an hour; each restores what was there" {
	local night hour i=0 set
	start_queue q
	mkdir 'the backups'
	for night in 1 2 3; do
		for hour in 0 1 2 3; do
			i=$((i + 1))
			seq $((i * 1000)) $((i * 1000 + 999)) | rmq-send jobs
			# More and more of it is done: older records die.
			rmq-recv -n $((i * 60)) jobs >/dev/null
			remember "$i"
			if [ "$hour" = 0 ]; then
				backup full q 'the backups' 2
			else
				backup more q 'the backups'
			fi
			set=$(ls 'the backups' | grep -v lock | tail -n 1)
			restored "$i" "the backups/$set"/*.backup
			# What was there is there as it was, but for sets that are too old.
			[ "$night" = 3 ] || [ ! -e sums ] || md5sum --quiet -c sums
			md5sum 'the backups'/*/*.backup >sums
		done
		# Checkpoints, and what they make of dead records, in between.
		stop_queue
		start_queue q
	done
	assert_equal "$(ls 'the backups' | cut -c 1-7 | xargs)" '000002- 000003- lock'
	assert_equal "$(ls 'the backups'/*/* | wc -l)" 8
	# Each hour of the sets that are left, not only the last one.
	i=4
	for set in 'the backups'/0*; do
		for hour in 1 2 3 4; do
			i=$((i + 1))
			ls "$set"/*.backup | head -n "$hour" >files
			mapfile -t files <files
			restored "$i" "${files[@]}"
		done
	done
	assert_equal "$(stat -c %a 'the backups'/0*/* | sort -u)" 600
}

@test "backup.sh: nothing new is no new file; another directory is another set" {
	rmq-journal init q
	mkdir backups
	run -0 backup more q backups
	run -0 backup more q backups
	assert_equal "$(ls backups/*/* | wc -l)" 1
	rmq-journal restore q2 <"$(ls backups/*/*.backup)"
	run -0 backup more q2 backups
	run -0 backup more q2 backups
	assert_equal "$(ls -d backups/00000[12]-*Z-* | wc -l)" 2
	assert_equal "$(ls backups/*/* | wc -l)" 2
}

@test "backup.sh: a directory that was put back to an earlier state begins another set" {
	start_queue q
	seq 10 | rmq-send jobs
	stop_queue
	cp -r q earlier
	start_queue q
	seq 11 20 | rmq-send jobs
	seq 21 30 | rmq-send jobs
	remember late
	mkdir backups
	run -0 backup full q backups
	stop_queue
	rm -r q
	mv earlier q
	run -0 backup more q backups
	start_queue q
	remember early
	stop_queue
	restored late backups/000001-*/*.backup
	restored early backups/000002-*/*.backup
}

@test "backup.sh: what is damaged gets no name, and removes nothing" {
	local set
	start_queue q
	seq 100 | rmq-send jobs
	mkdir backups
	backup full q backups
	set=$(echo backups/0*)
	truncate -s -1 "$set"/*.backup
	echo more | rmq-send jobs
	run -65 backup more q backups
	assert_line --partial "$set: cannot be restored with the new backup"
	assert_equal "$(ls "$set" | wc -l)" 1
	stop_queue
	dd if=/dev/zero of=q/data.mdb bs=4096 seek=1 count=30 conv=notrunc status=none
	run -65 backup full q backups 1
	assert_equal "$(ls backups | wc -l)" 2
}

@test "backup.sh: one at a time, into a directory that is there" {
	rmq-journal init q
	run -66 backup full q backups
	mkdir backups
	exec 8>backups/lock
	flock -n 8
	run -75 backup full q backups 8>&-
	exec 8>&-
	run -0 backup full q backups
	for wrong in 'full q' 'more q backups 3' 'some q backups' 'full q backups 0' 'full q backups x'; do
		# shellcheck disable=SC2086
		run -64 backup $wrong
	done
}
