#!/usr/bin/env bats
# modes: release
# rmq-journal verify --quarantine: bad records are set aside, and a daemon starts on what is left.

load common

bats_require_minimum_version 1.5.0

# garble DIR TEXT: one byte of each copy of TEXT in the data file.
garble() {
	local at
	for at in $(grep -abo -- "$2" "$1/data.mdb" | cut -d : -f 1); do
		printf X | dd of="$1/data.mdb" bs=1 seek="$at" conv=notrunc status=none
	done
}

# overwrite DIR AT BYTES INDEX…: these bytes of the records, which are found by their headers.
overwrite() {
	local dir=$1 where=$2 bytes=$3 index header at
	shift 3
	rmq-journal compact "$dir" # one copy of each
	for index; do
		header=$(printf '020[1-6]0000......00%02x00000000000000' "$index")
		for at in $(od -An -v -tx1 "$dir/data.mdb" | tr -d ' \n' | grep -bo "$header" | cut -d : -f 1); do
			[ $((at % 2)) -ne 0 ] ||
				printf "$bytes" |
				dd of="$dir/data.mdb" bs=1 seek=$((at / 2 + where)) conv=notrunc status=none
		done
	done
}

# garble_records DIR INDEX…: their checksums.
garble_records() {
	local dir=$1
	shift
	overwrite "$dir" 24 'GARBAGE!' "$@"
}

# newest DIR PATTERN: the index of the newest record whose line of dump has PATTERN.
newest() {
	rmq-journal dump "$1" | grep -- "$2" | tail -n 1 | sed 's/^{"index":\([0-9]*\).*/\1/'
}

# marked FIRST LAST WORD: lines that are found in the data file, and their order.
marked() {
	seq -f "$3 %g" "$1" "$2"
}

# quarantined [DIR]: what it prints, but for the findings of verify.
quarantined() {
	rmq-journal verify --quarantine "${1:-q}" | grep -v 'journal is corrupt$' | cut -f 2
}

@test "quarantine: a record before the checkpoint costs its messages, told with their numbers" {
	start_queue q
	marked 1 100 one | rmq-send jobs
	marked 1 100 two | rmq-send jobs
	marked 1 100 three | rmq-send jobs
	rmq-recv --ack manual -n 10 -o receipt jobs >receipts
	stop_queue
	garble q 'two 55'
	run -65 rmq-journal verify q
	run -0 quarantined
	assert_output 'queue jobs: 101..200 lost (100 messages)'
	run -0 rmq-journal verify --quarantine q
	assert_output ''
	start_queue q
	# Nothing else is different: who has a receipt settles by it.
	run -0 rmq-ack <receipts
	assert_equal "$(rmq-queue show jobs ready leased lost settled | xargs)" '190 0 100 10'
	rmq-recv --drain jobs | cmp - <(marked 11 100 one && marked 1 100 three)
	stop_queue
	run -0 rmq-journal verify q
	grep -aq 'Xwo 55' q/quarantine-*
	assert_equal "$(stat -c %a q/quarantine-*)" 600
	assert_equal "$(grep -c lost q.log)" 0
}

# killed_with_two: "two" is in a record after the checkpoint, with its events.
killed_with_two() {
	start_queue q
	marked 1 100 one | rmq-send jobs
	marked 1 100 two | rmq-send jobs
	marked 1 100 three | rmq-send jobs
	kill_queue
}

@test "quarantine: a record after the checkpoint costs its messages, and its events are made up for" {
	killed_with_two
	garble q 'two 55'
	run -65 rmq-queued -d q -l q.sock
	assert_line 'rmq-queued: q: journal is corrupt: record 3: its checksum is wrong: rmq-journal verify --quarantine says what is lost, and sets it aside'
	run -0 rmq-journal verify --quarantine q
	assert_line --regexp '^[0-9]+	queue jobs: 101..200 lost \(100 messages\)$'
	assert_line --regexp '^[0-9]+	events are lost: messages may be handed out again, sessions end$'
	start_queue q
	assert_equal "$(rmq-queue show jobs ready lost sent | xargs)" '200 100 300'
	rmq-recv --drain jobs | cmp - <(marked 1 100 one && marked 1 100 three)
	run -0 rmq-send -i jobs <<<four
	assert_output jobs:301
	stop_queue
	run -0 rmq-journal verify q
}

@test "quarantine: of neighbours, and of the newest record, all else is there" {
	killed_with_two
	garble q 'two 55'
	garble q 'three 55'
	run -0 quarantined
	start_queue q
	rmq-recv --drain jobs | cmp - <(marked 1 100 one)
	assert_equal "$(rmq-queue ls | cut -f 1)" jobs
	marked 1 100 two | rmq-send jobs
	rmq-recv --drain jobs | cmp - <(marked 1 100 two)
}

@test "quarantine: of a queue whose name is lost, the messages are in one called lost-NUMBER" {
	start_queue q
	seq 10 | rmq-send other
	marked 1 100 one | rmq-send jobs
	marked 1 100 two | rmq-send jobs
	kill_queue
	garble q 'one 55'
	run -0 quarantined
	assert_line 'queue lost-2: 1..100 lost (100 messages)'
	start_queue q
	rmq-recv --drain lost-2 | cmp - <(marked 1 100 two)
	rmq-recv --drain other | cmp - <(seq 10)
	stop_queue
}

@test "quarantine: what was settled in a record that is lost is there again, to be settled by its receipt" {
	start_queue q
	marked 1 100 one | rmq-send jobs
	rmq-recv --ack manual -n 10 -o receipt jobs >receipts
	head -n 5 receipts | rmq-ack
	marked 1 3 two | rmq-send other
	kill_queue
	garble_records q "$(newest q '"event":"settle"')"
	run -0 quarantined
	assert_output 'events are lost: messages may be handed out again, sessions end'
	start_queue q
	assert_equal "$(rmq-queue show jobs ready leased lost | xargs)" '90 10 0'
	rmq-ack <receipts
	rmq-recv --drain jobs | cmp - <(marked 11 100 one)
	rmq-recv --drain other | cmp - <(marked 1 3 two)
	stop_queue
}

@test "quarantine: a lease that is lost is over, and no other has its number" {
	start_queue q
	marked 1 100 one | rmq-send jobs
	rmq-recv --ack manual -n 10 -o receipt jobs >receipts
	kill_queue
	cp -r q known
	garble_records known "$(newest q '"event":"lease"')"
	garble_records q "$(newest q '"event":"lease"')" "$(newest q '"event":"touch"')"
	# What is touched under a lease was leased.
	run -0 quarantined known
	start_queue known
	rmq-ack <receipts
	stop_queue
	run -0 quarantined
	start_queue q
	run -1 rmq-ack <receipts
	rmq-recv --ack manual -n 100 -o receipt,body jobs >again
	cut -f 2 again | cmp - <(marked 1 100 one)
	run -1 rmq-ack <receipts
	[ "$(cut -f 1 again | head -n 1 | cut -d : -f 3)" -gt 1000000 ]
	stop_queue
}

@test "quarantine: without the newest checkpoint nothing is changed, 65" {
	start_queue q
	marked 1 100 one | rmq-send jobs
	stop_queue
	for kind in end part; do
		cp -r q copy
		index=$(newest q "\"kind\":\"$kind\"")
		garble_records copy "$index"
		cp copy/data.mdb before.mdb
		run -65 --separate-stderr rmq-journal verify --quarantine copy
		assert_output "$(printf '%s\tjournal is corrupt' "$index")"
		assert_equal "$stderr" "rmq-journal: copy: journal is corrupt: record $index is of the newest checkpoint: restore a backup"
		cmp before.mdb copy/data.mdb
		run ls copy
		refute_output --partial quarantine
		rm -r copy
	done
}

@test "quarantine: done by root, it leaves a directory that its owner can use" {
	[ "$(id -u)" -eq 0 ] || skip 'only root can give files away'
	killed_with_two
	garble q 'two 55'
	chown -R 65534:65534 q
	rm q/lock.mdb
	run -0 rmq-journal verify --quarantine q
	run -0 stat -c '%u:%g' q/*
	assert_equal "$(sort -u <<<"$output")" 65534:65534
}

@test "quarantine: a copy that an attempt left unfinished is made anew, and a second run finds nothing" {
	killed_with_two
	garble q 'two 55'
	echo unfinished >q/quarantine-3
	run -0 rmq-journal verify --quarantine q
	assert_line --regexp '^3	'
	grep -aq 'Xwo 55' q/quarantine-3
	cp q/data.mdb once.mdb
	run -0 rmq-journal verify --quarantine q
	assert_output ''
	cmp once.mdb q/data.mdb
}

@test "quarantine: beside a daemon it is refused, 75, and changes nothing" {
	start_queue q
	seq 10 | rmq-send jobs
	run -75 rmq-journal verify --quarantine q
	stop_queue
}

@test "quarantine: a member of a cluster is refused, 78: the others have what it lost" {
	rmq-journal init q
	replica_feed q 20
	garble_records q "$(newest q '"kind":"events"')"
	cp q/data.mdb before.mdb
	run -78 --separate-stderr rmq-journal verify --quarantine q
	assert_output --regexp '^[0-9]+	journal is corrupt$'
	assert_regex "$stderr" '^rmq-journal: q: belongs to a cluster, whose other members have'
	# As rmq-cluster knows it.
	assert_regex "$stderr" 'rmq-cluster down NODE'
	rmq-cluster --help | grep -q '^ *down '
	cmp before.mdb q/data.mdb
}

@test "quarantine: a record of a version that is not known may be good, and stays, 76" {
	start_queue q
	seq 10 | rmq-send jobs
	kill_queue
	index=$(newest q '"kind":"events"')
	overwrite q 0 '\003' "$index"
	cp q/data.mdb before.mdb
	run -76 --separate-stderr rmq-journal verify --quarantine q
	assert_equal "$stderr" \
		"rmq-journal: q: record $index is of a version that this program does not know, and may be good for a newer one"
	cmp before.mdb q/data.mdb
}

@test "quarantine: a queue for dead letters whose name is lost has it again by those that came later" {
	start_queue q
	marked 1 10 one | rmq-send jobs
	rmq-recv --ack manual -n 3 -o receipt jobs >receipts
	head -n 1 receipts | rmq-ack --dead
	garbled=$(newest q '"name":"jobs.dead"')
	sed -n 2,3p receipts | rmq-ack --dead
	kill_queue
	garble_records q "$garbled"
	run -0 quarantined
	assert_line 'queue jobs.dead: 1..1 lost (1 message)'
	start_queue q
	rmq-recv --drain jobs.dead | cmp - <(marked 2 3 one)
	head -n 1 receipts | rmq-ack
	rmq-recv --drain jobs | cmp - <(marked 4 10 one)
	stop_queue
}
