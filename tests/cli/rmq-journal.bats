#!/usr/bin/env bats
# modes: release
# rmq-journal as its users meet it: people, and the queue daemon (journal_feed plays it).

load common

setup() {
	bats_require_minimum_version 1.5.0
	cd "$BATS_TEST_TMPDIR"
	FEED=
	MOUNTED=
	rmq-journal init q
}

teardown() {
	if [ -n "$FEED" ]; then
		kill "$FEED" 2>/dev/null || true
	fi
	if [ -n "$dump" ]; then
		# shellcheck disable=SC2086
		kill -9 $dump 2>/dev/null || true
	fi
	if [ -n "$MOUNTED" ]; then
		umount "$MOUNTED"
	fi
}

# feed LINE...: does them in q, in one session.
feed() {
	printf '%s\n' "$@" | journal_feed q >feed.out
}

# feed_start: a session that stays open; feed_say LINE does one thing in it.
feed_start() {
	mkfifo feed.in
	journal_feed q <feed.in >feed.log 2>feed.err 3>&- &
	FEED=$!
	exec 9>feed.in
	wait_for 'grep -q ^opened feed.log'
}

feed_say() {
	local before
	before=$(wc -l <feed.log)
	echo "$*" >&9
	wait_for "[ \$(wc -l <feed.log) -gt $before ]"
}

feed_stop() {
	exec 9>&-
	wait "$FEED"
	FEED=
}

wait_for() {
	local tries=0
	until eval "$1"; do
		tries=$((tries + 1))
		if [ $tries -gt 500 ]; then
			echo "in vain: $1"
			return 1
		fi
		sleep 0.02
	done
}

stat_of() {
	rmq-journal stat "$1" | awk -v name="$2" '$1 == name { print $2 }'
}

# overwrite FILE OFFSET: eight bytes of garbage.
overwrite() {
	printf 'GARBAGE!' | dd of="$1" bs=1 seek="$2" conv=notrunc status=none
}

# Where the text is in the data file.
offset_of() {
	rmq-journal compact q # one copy of it
	grep -abo "$1" q/data.mdb | head -n 1 | cut -d : -f 1
}

# ---- words ----

@test "journal: --help lists every command" {
	run -0 rmq-journal --help
	for command in init serve stat dump verify backup restore replay compact diff; do
		assert_line --regexp "^  $command "
	done
	run -0 rmq-journal --version
	assert_output --regexp '^rmq-journal [0-9]'
}

@test "journal: COMMAND --help is that command's usage and options" {
	run -0 rmq-journal dump --help
	assert_line --index 0 "usage: rmq-journal dump [OPTION]... DIR"
	assert_line --regexp '^ +--from N '
	refute_line --partial "--since"
	run -64 --separate-stderr rmq-journal dump
	assert_equal "$stderr" "usage: rmq-journal dump [OPTION]... DIR (see rmq-journal dump --help)"
}

@test "journal: no command, an unknown one, or a wrong number of words is 64" {
	run -64 rmq-journal
	run -64 rmq-journal frobnicate q
	run -64 rmq-journal stat
	run -64 rmq-journal backup q q
	run -64 rmq-journal stat --frobnicate q
	run -64 rmq-journal dump --from x q
	run -64 rmq-journal dump --from -1 q
	run -64 rmq-journal diff q
}

@test "journal: a directory that is none, or is not there, is 78 in one line" {
	mkdir empty
	for dir in empty absent; do
		for command in stat dump verify backup compact; do
			run -78 --separate-stderr rmq-journal $command $dir
			assert_equal "${#stderr_lines[@]}" 1
			assert_regex "$stderr" "^rmq-journal: $dir: "
		done
	done
}

# ---- init ----

@test "journal init: makes a directory once, and none of one that holds something" {
	run -73 --separate-stderr rmq-journal init q
	assert_equal "$stderr" 'rmq-journal: q: is a data directory already'
	mkdir mine
	touch mine/file
	run -73 --separate-stderr rmq-journal init mine
	assert_equal "$stderr" 'rmq-journal: mine: is not empty: it holds file'
	assert_equal "$(ls mine)" file
	mkdir empty
	run -0 rmq-journal init empty
	run -0 rmq-journal stat empty
}

@test "journal init: one that fails takes away what it made, and nothing else" {
	mkdir empty empty/lost+found unfinished
	: >unfinished/identity.new
	for dir in new empty unfinished; do
		# shellcheck disable=SC2016
		run -74 --separate-stderr bash -c 'ulimit -f 4; exec rmq-journal init "$1"' - $dir
		assert_regex "$stderr" "^rmq-journal: $dir: .*File too large"
	done
	[ ! -e new ]
	assert_equal "$(ls empty unfinished | xargs)" 'empty: lost+found unfinished: identity.new'
	for dir in new empty unfinished; do
		run -0 rmq-journal init $dir
		run -0 rmq-journal verify $dir
	done
}

@test "journal init: needs the parent directory" {
	run -74 rmq-journal init a/b/c
}

# ---- serve ----

@test "journal serve: standard input has to be a socket" {
	run -64 --separate-stderr rmq-journal serve q </dev/null
	assert_equal "$stderr" 'rmq-journal: serve: standard input is not a socket'
}

@test "journal serve: what is stored is there for the next one, in a new term" {
	run -0 feed 'text one' 'text two'
	run -0 feed 'text three'
	assert_equal "$(head -n 1 feed.out)" 'opened 2 1 2 0'
	assert_equal "$(rmq-journal dump q | jq -r '.events[].batch[]' | xargs)" 'one two three'
}

@test "journal serve: a second owner is 75, also when LMDB's lock file is removed" {
	feed_start
	run -75 --separate-stderr feed 'text no'
	assert_equal "$stderr" 'rmq-journal: q: is in use by another process'
	rm q/lock.mdb
	run -75 feed 'text no'
	run -75 rmq-journal verify --quarantine q
	run -0 rmq-journal compact q
	feed_say text yes
	feed_stop
	assert_equal "$(rmq-journal dump q | jq -r '.events[].batch[]')" yes
}

@test "journal serve: ignores the signals that a terminal or a service manager sends to all" {
	feed_start
	serve=$(pgrep -P "$FEED")
	kill -INT "$serve"
	kill -TERM "$serve"
	kill -HUP "$serve"
	feed_say text still
	feed_stop
	assert_equal "$(stat_of q records)" 1
}

@test "journal serve: dies with its opener" {
	feed_start
	serve=$(pgrep -P "$FEED")
	kill -KILL "$FEED"
	wait "$FEED" || true
	FEED=
	# Also when nobody waits for it: not every first process of a container does.
	wait_for "! grep -q '^State:[[:space:]]*[^ZX[:space:]]' /proc/$serve/status 2>/dev/null"
	run -0 feed 'text after'
}

# ---- damage: each has one line and its exit status, for each command that opens it ----

each_command_says() {
	local status=$1 text=$2
	run "-$status" --separate-stderr feed 'text no'
	assert_equal "${#stderr_lines[@]}" 1
	assert_regex "$stderr" "^rmq-journal: q: $text"
	for command in stat dump verify backup compact; do
		run "-$status" --separate-stderr rmq-journal $command q
		assert_equal "${#stderr_lines[@]}" 1
		assert_regex "$stderr" "^rmq-journal: q: $text"
	done
}

@test "journal: an empty data file is 65, not a new queue" {
	: >q/data.mdb
	each_command_says 65 'journal is corrupt: data.mdb is empty$'
	[ ! -s q/data.mdb ]
}

@test "journal: a missing data file is 65, not a new queue" {
	rm q/data.mdb
	each_command_says 65 'journal is corrupt: data.mdb is missing$'
	[ ! -e q/data.mdb ]
}

@test "journal: a cut data file is 65" {
	feed 'events 100 60000'
	truncate -s 1M q/data.mdb
	each_command_says 65 'journal is corrupt: data.mdb is truncated: it has 1048576 bytes of '
	truncate -s 5000 q/data.mdb
	each_command_says 65 'journal is corrupt: data.mdb'
}

@test "journal: a data file that is something else is 65" {
	head -c 1000000 /dev/urandom >q/data.mdb
	each_command_says 65 'journal is corrupt: data.mdb'
}

@test "journal: a data file of another directory is 65" {
	rmq-journal init other
	cp other/data.mdb q/data.mdb
	each_command_says 65 'journal is corrupt: data.mdb is of another directory than identity$'
}

@test "journal: an identity of another version is 76" {
	sed -i 's/^format 2$/format 3/' q/identity
	each_command_says 76 'is of format 3, this program knows 2$'
}

@test "journal: data without its identity is 65, and is not made anew" {
	rm q/identity
	each_command_says 65 'journal is corrupt: holds data.mdb, but no identity$'
	run -73 rmq-journal init q
}

@test "journal: a garbled or empty identity is 65" {
	echo rubbish >q/identity
	each_command_says 65 'journal is corrupt: identity is garbled$'
	: >q/identity
	each_command_says 65 'journal is corrupt: identity is empty$'
}

# ---- stat ----

@test "journal stat: says what is there, with tabs in a pipe, as JSON with -j" {
	feed 'events 10 60000' 'end 1 4' 'hole 1 4'
	rmq-journal stat q >out
	assert_equal "$(cut -f 1 out | xargs)" 'format incarnation first last last_term records holes record_bytes checkpoint term page_size pages_used pages_free bytes_used file_bytes'
	assert_equal "$(awk -F '\t' 'NF != 2' out)" ''
	assert_equal "$(rmq-journal stat -j q | jq -c '[.first, .last, .records, .holes, .checkpoint, .term]')" \
		'[5,11,7,4,11,1]'
	assert_equal "$(rmq-journal stat --json q | jq '.bytes_used == .pages_used * .page_size')" true
	assert_equal "$(rmq-journal stat -j q | jq -r .incarnation)" \
		"$(awk '$1 == "incarnation" { print $2 }' q/identity)"
}

# ---- dump ----

@test "journal dump: a JSON object a line, from an index on" {
	feed 'text a' 'text b' 'end 1 1'
	rmq-journal dump q >out
	assert_equal "$(jq -c '[.index, .term, .kind]' out | xargs)" '[1,1,events] [2,1,events] [3,1,end]'
	assert_equal "$(jq -c 'select(.kind == "end").events' out)" \
		'[{"event":"end_dead","ranges":[{"first":1,"count":1}]}]'
	assert_equal "$(rmq-journal dump --from 2 q | jq .index | xargs)" '2 3'
	assert_equal "$(rmq-journal dump --from 9 q)" ''
}

@test "journal dump: a body that is no text is in base 64" {
	feed "$(printf 'text \377\001')"
	assert_equal "$(rmq-journal dump q | jq -c '.events[0].batch')" '[{"base64":"/wE="}]'
}

@test "journal dump: --follow shows what comes, each line as it comes" {
	feed_start
	feed_say text first
	rmq-journal dump --follow q >dump.out 2>dump.err 3>&- &
	dump=$!
	wait_for '[ $(wc -l <dump.out) -eq 1 ]'
	feed_say text second
	wait_for '[ $(wc -l <dump.out) -eq 2 ]'
	kill "$dump"
	feed_stop
}

@test "journal dump: a full standard output is 74, a closed one ends it quietly" {
	feed 'events 50 60000'
	run -74 --separate-stderr bash -c 'rmq-journal dump q >/dev/full'
	assert_equal "$stderr" 'rmq-journal: standard output: No space left on device'
	run -0 --separate-stderr bash -c 'rmq-journal dump q | head -c 1 >/dev/null'
	assert_equal "$stderr" ''
}

@test "journal dump: a file on a full disk has whole lines only" {
	feed 'events 50 600'
	run -74 --separate-stderr bash -c 'ulimit -f 2; rmq-journal dump q >dumped'
	assert_equal "$stderr" 'rmq-journal: standard output: File too large'
	[ -s dumped ]
	cmp -n "$(stat -c %s dumped)" dumped <(rmq-journal dump q)
	[ "$(tail -c 1 dumped | od -An -c | tr -d ' ')" = '\n' ]
}

@test "journal backup: --since beyond the newest record is refused, with the numbers" {
	feed 'events 5 100'
	local last
	last=$(rmq-journal stat -j q | jq .last)
	run -0 --separate-stderr bash -c "rmq-journal backup --since $last q >more"
	run -64 --separate-stderr bash -c "rmq-journal backup --since $((last + 1)) q >none"
	assert_equal "$stderr" "rmq-journal: q: --since $((last + 1)) is beyond the newest record, $last: the previous backup is of another directory, or of a later state of this one"
	[ ! -s none ]
}

@test "journal dump: --follow ends when its reader is gone, though nothing comes" {
	feed 'text aaaa'
	mkfifo pipe
	rmq-journal dump --follow q >pipe 2>dump.err 3>&- &
	dump=$!
	head -n 1 pipe
	wait_for "! kill -0 $dump 2>/dev/null"
	run ! grep . dump.err
}

@test "journal dump: --follow ends by SIGTERM, also as the first process of a container" {
	local ended=0
	feed 'text aaaa'
	rmq-journal dump --follow q >dump.out 2>dump.err 3>&- &
	dump=$!
	wait_for '[ -s dump.out ]'
	kill "$dump"
	wait "$dump" || ended=$?
	[ "$ended" -eq 143 ]
	local flags=(-p -f)
	[ "$(id -u)" = 0 ] || flags=(-U -r -p -f)
	unshare "${flags[@]}" true 2>/dev/null || skip "no process namespaces here"
	unshare "${flags[@]}" --kill-child rmq-journal dump --follow q >first.out 2>dump.err 3>&- &
	dump=$!
	wait_for '[ -s first.out ]'
	kill "$(pgrep -P "$dump" -x rmq-journal)"
	wait_for "! kill -0 $dump 2>/dev/null"
	diff dump.out first.out
}

# ---- verify ----

@test "journal verify: is silent about a good directory, also one in use" {
	feed_start
	feed_say events 20 60000
	run -0 rmq-journal verify q
	assert_output ''
	feed_stop
}

@test "journal verify: a changed byte is a finding with its index, 65; dump goes on after it" {
	feed 'text aaaa' 'text MARKER-MARKER' 'text cccc'
	overwrite q/data.mdb "$(offset_of MARKER-MARKER)"
	run -65 --separate-stderr rmq-journal verify q
	assert_output "$(printf '2\tjournal is corrupt')"
	assert_equal "$stderr" 'rmq-journal: q: journal is corrupt: 1 bad of 3 records'
	run -65 rmq-journal dump q
	assert_line --index 1 '{"index":2,"error":"journal is corrupt"}'
	assert_line --index 2 --partial cccc
	run -65 --separate-stderr rmq-journal backup q
	assert_equal "$stderr" 'rmq-journal: q: journal is corrupt: record 2'
}

@test "journal verify: --quarantine changes nothing where no queue daemon has written" {
	feed 'text aaaa' 'text MARKER-MARKER' 'text cccc'
	overwrite q/data.mdb "$(offset_of MARKER-MARKER)"
	cp q/data.mdb before.mdb
	run -65 --separate-stderr rmq-journal verify --quarantine q
	assert_output "$(printf '2\tjournal is corrupt')"
	assert_equal "$stderr" \
		'rmq-journal: q: journal is corrupt: record 1 does not hold what it should: restore a backup'
	cmp before.mdb q/data.mdb
	[ ! -e q/quarantine-2 ]
}

@test "journal verify: whose reading process is killed knows nothing of the record it was at, 74" {
	strace -D -qq -o probe true || skip "strace is missing or may not trace"
	feed 'events 50 10'
	cp q/data.mdb before.mdb
	# It says of each record that it is at it; the other process does not write so often.
	ASAN_OPTIONS=detect_leaks=0 run -74 --separate-stderr strace -f -qq -o trace -e trace=write \
		-e inject=write:signal=KILL:when=20 rmq-journal verify --quarantine q
	assert_output ''
	assert_equal "$stderr" 'rmq-journal: q: the process that reads it was ended (status 137), as when memory is short: nothing is changed, run it again'
	assert_equal "$(ls q)" "$(printf '%s\n' data.mdb identity lock.mdb)"
	cmp before.mdb q/data.mdb
	run -0 rmq-journal verify q
}

@test "journal verify: damaged pages of the tree are findings, whatever they do to LMDB" {
	feed 'settle 3000'
	local pages page
	pages=$(($(stat_of q pages_used)))
	cp q/data.mdb good.mdb
	for ((page = 2; page < pages; page += 7)); do
		cp good.mdb q/data.mdb
		head -c 4096 /dev/urandom |
			dd of=q/data.mdb bs=4096 seek=$page conv=notrunc status=none
		run --separate-stderr timeout 20 rmq-journal verify q
		[ "$status" -eq 65 ] || [ "$status" -eq 0 ]
		[ "$status" -eq 0 ] || assert_regex "$stderr" '^rmq-journal: q: journal is corrupt'
		[ "${#stderr_lines[@]}" -le 1 ]
	done
}

@test "journal: commands that run into damaged pages say so in one line, 65" {
	feed 'settle 3000'
	local page at
	cp q/data.mdb good.mdb
	for ((page = 2; page < 60; page += 9)); do
		cp good.mdb q/data.mdb
		head -c 4096 /dev/urandom |
			dd of=q/data.mdb bs=4096 seek=$page conv=notrunc status=none
		for command in stat dump backup compact; do
			run --separate-stderr timeout 20 rmq-journal $command q
			[[ $status =~ ^(0|65|76)$ ]] || { echo "$command, page $page: status $status: $stderr"; return 1; }
			[ "${#stderr_lines[@]}" -le 1 ]
		done
	done
}

# ---- backup, restore ----

@test "journal backup, restore: the same records, another incarnation, and a record that says so" {
	feed 'events 100 60000' 'text last' 'end 1 90' 'hole 1 90'
	rmq-journal backup q >b
	run -0 rmq-journal restore copy <b
	run -0 rmq-journal verify copy
	run -1 rmq-journal diff q copy
	assert_output "$(printf '103\tonly in\tcopy')"
	assert_equal "$(rmq-journal dump --from 103 copy | jq -r .kind)" restored
	assert_not_equal "$(stat_of q incarnation)" "$(stat_of copy incarnation)"
	assert_equal "$(stat_of copy checkpoint)" 102
	[ ! -e copy.restoring ]
}

@test "journal backup, restore: of a directory that was never used; what comes of it is sound" {
	rmq-journal backup q >empty
	run -0 rmq-journal restore new <empty
	run -0 rmq-journal verify new
	assert_output ''
}

@test "journal backup: to a terminal is 64" {
	run -64 script -qec 'rmq-journal backup q' /dev/null
	assert_output --partial 'standard output is a terminal'
}

@test "journal backup: works while records come and go" {
	feed_start
	feed_say events 200 60000
	(
		for i in 1 2 3 4 5 6; do
			rmq-journal backup q >"b$i" || exit 1
		done
		: >done
	) 3>&- &
	local n=0
	while [ ! -e done ] && [ $n -lt 100 ]; do
		feed_say events 20 60000
		feed_say end 1 $((20 * n + 1))
		feed_say hole 1 $((20 * n + 1))
		n=$((n + 1))
	done
	wait_for '[ -e done ]'
	for i in 1 2 3 4 5 6; do
		rmq-journal restore "copy$i" <"b$i"
		run -0 rmq-journal verify "copy$i"
	done
	feed_stop
}

@test "journal restore: a cut, garbled, empty or foreign backup is 65 and leaves nothing" {
	feed 'events 10 60000'
	rmq-journal backup q >b
	size=$(stat -c %s b)
	for cut in 1 8 20 30 5000 $((size / 2)) $((size - 1)) $((size - 40)); do
		head -c "$cut" b >bad
		run -65 rmq-journal restore copy <bad
		[ ! -e copy ]
		[ ! -e copy.restoring ]
	done
	cp b bad
	overwrite bad $((size / 2))
	run -65 rmq-journal restore copy <bad
	: >bad
	run -65 --separate-stderr rmq-journal restore copy <bad
	assert_equal "$stderr" 'rmq-journal: copy: backup is empty'
	run -65 --separate-stderr rmq-journal restore copy </etc/passwd
	assert_equal "$stderr" 'rmq-journal: copy: is not a backup'
	[ ! -e copy ]
}

@test "journal restore, replay: with a clock that is before 2024 nothing is made: 1" {
	start_queue q
	seq 3 | rmq-send jobs
	stop_queue
	rmq-journal backup q >backup
	local command
	for command in "restore r" "replay --until @2000000000 r"; do
		# shellcheck disable=SC2086
		run -1 env LD_PRELOAD="${RAWCLIENT%/*}/wrong_clock.so" WALL_CLOCK=1700000000 \
			rmq-journal $command <backup
		assert_output "rmq-journal: r: the clock of this machine is before 2024: set it first, as numbers \
of leases and versions go on from the time, and would be given out twice"
		[ ! -e r ]
		[ ! -e r.restoring ]
	done
}

@test "journal restore: never over a directory that holds something" {
	rmq-journal backup q >b
	run -73 rmq-journal restore q <b
	mkdir mine
	touch mine/file
	run -73 rmq-journal restore mine <b
	mkdir empty
	run -0 rmq-journal restore empty <b
	run -0 rmq-journal stat empty
}

@test "journal restore: an empty directory stays what it is: a mount point, with lost+found, of its owner" {
	small_disk small 24m
	feed 'text one'
	rmq-journal backup q >b
	mkdir small/lost+found small/restoring # the one of an attempt that was killed
	: >small/data.mdb
	chown 65534:65534 small
	run -0 rmq-journal restore small <b
	assert_equal "$(ls small | xargs)" 'data.mdb identity lost+found'
	assert_equal "$(stat -c %u:%g:%a small/data.mdb small/identity | xargs)" '65534:65534:600 65534:65534:600'
	run -0 rmq-journal compact small
	assert_equal "$(stat -c %u:%g:%a small/data.mdb)" 65534:65534:600
	run -0 rmq-journal verify small
	run -73 rmq-journal restore small <b
}

@test "journal restore: a disk that is full is named as that, 74" {
	small_disk small 1m
	feed 'events 30 60000'
	rmq-journal backup q >b
	[ "$(stat -c %s b)" -gt 1500000 ]
	run -74 rmq-journal restore small <b
	assert_output --partial 'No space left on device'
}

@test "journal restore: incremental backups, one after the other, with what died between" {
	feed 'text one' 'text two'
	rmq-journal backup q >full
	last=$(stat_of q last)
	feed 'text three' 'end 1 1' 'hole 1 1'
	rmq-journal backup --since "$last" q >more
	last2=$(stat_of q last)
	feed 'text four'
	rmq-journal backup --since "$last2" q >more2
	run -0 rmq-journal restore copy < <(cat full more more2)
	assert_equal "$(rmq-journal dump copy | jq -r '.events[]?.batch[]?' | xargs)" 'two three four'
	run -0 rmq-journal restore overlap < <(rmq-journal backup --since 1 q | cat full more -)
	run -65 --separate-stderr rmq-journal restore gap < <(cat full more2)
	assert_equal "$stderr" 'rmq-journal: gap: a backup is missing before this one'
	run -65 rmq-journal restore gap <more
	run -65 rmq-journal restore gap < <(head -c 100 full; cat more)
	rmq-journal init other
	run -65 rmq-journal restore gap < <(cat full; rmq-journal backup other)
	[ ! -e gap ]
}

@test "journal stat --queues: what each queue takes of the disk, beside a daemon or without" {
	cat >use <<-'END'
	seq -f %099.0f 50000 | rmq-send many
	rmq-recv -n 30000 many >/dev/null
	head -c 900000 /dev/zero | rmq-send -w large
	rmq-queue create nothing
	rmq-queue ls -o queue,ready,bytes
	rmq-journal stat --queues q
	END
	run -0 rmq-queued -d q -- sh use
	assert_line --index 0 --regexp $'^large\t1\t900000$'
	assert_line --index 3 --regexp $'^large\t1\t900000\t90[0-9]{4}$'
	assert_line --index 4 --regexp $'^many\t20000\t20[0-9]{5}\t2[0-9]{6}$'
	assert_line --index 5 $'nothing\t0\t0\t0'
	# A record counts once, and those that hold no message for nobody.
	run -0 --separate-stderr rmq-journal stat -j --queues q
	sum=$(jq -s 'map(.disk) | add' <<<"$output")
	bytes=$(stat_of q record_bytes)
	[ "$sum" -le "$bytes" ]
	[ "$sum" -ge $((bytes - bytes / 20)) ]
	run -64 rmq-journal stat --queues q q
	run -78 rmq-journal stat --queues .
}

# ---- compact, diff ----

@test "journal compact: gives free pages back and changes no record" {
	feed 'events 200 60000' 'end 1 190' 'hole 1 190' 'settle 2'
	cp -r q before
	size=$(stat -c %s q/data.mdb)
	run -0 rmq-journal compact q
	[ "$(stat -c %s q/data.mdb)" -lt $((size / 8)) ]
	run -0 rmq-journal diff before q
	run -0 rmq-journal verify q
	run -0 feed 'text more'
}

@test "journal compact: beside a daemon in use, which loses nothing and goes on in the new file" {
	cat >use <<-'END'
	pids="$PPID $(pgrep -P "$PPID" rmq-journal)"
	awk 'BEGIN { for (i = 0; i < 20000; i++) printf "%d %01000d\n", i, i }' >lines
	rmq-send first <lines
	rmq-recv -n 19000 first >taken
	(rmq-send --window 1 --pass second <lines >sent; echo $? >status) &
	rmq-recv -n 20000 second >received &
	until [ -s status ]; do
		rmq-journal compact q || exit
		echo >>times
	done
	wait
	rmq-recv --drain=all first >>taken
	rmq-journal compact q || exit
	# Nobody has an old file open, though nothing is done any more.
	for i in $(seq 200); do
		# shellcheck disable=SC2046
		held=$(readlink $(printf '/proc/%s/fd/* ' $pids) | grep -c 'data.mdb.*deleted')
		[ "$held" -gt 0 ] || break
		sleep 0.02
	done
	echo "held $held"
	END
	run -0 rmq-queued -d q -- sh use
	assert_output 'held 0'
	[ "$(wc -l <times)" -gt 0 ]
	cmp lines taken
	cmp lines sent
	cmp lines received
	run -0 rmq-journal verify q
}

@test "journal compact: without space for a copy it says so and changes nothing" {
	small_disk small 24m
	rmq-journal init small/q
	journal_feed small/q <<<'events 200 60000'
	rmq-journal dump small/q | md5sum >before
	run -74 --separate-stderr rmq-journal compact small/q
	assert_equal "${stderr%% it needs*}" 'rmq-journal: small/q: no space for a copy:'
	[ ! -e small/q/data.mdb.compact ]
	rmq-journal dump small/q | md5sum | diff before -
}

@test "journal diff: names what is in one only, or differs" {
	feed 'text one'
	cp -r q other
	run -0 rmq-journal diff q other
	assert_output ''
	feed 'text two'
	run -1 rmq-journal diff q other
	assert_output "$(printf '2\tonly in\tq')"
}

# ---- space ----

@test "journal: the data file stays at its high-water mark" {
	local round last high=
	for round in 1 2 3 4 5 6; do
		last=$(stat_of q last)
		feed 'events 150 60000' "end $((last + 1)) 150" "hole $((last + 1)) 150" 'settle 1'
		# The second start writes the reserve once more, after what the first one used.
		[ "$round" -ne 2 ] || high=$(stat_of q file_bytes)
	done
	[ "$(stat_of q file_bytes)" -le $((high + high / 10)) ]
}

@test "journal: on a full disk there is no room for messages, but for draining, and then there is" {
	small_disk small 24m
	rmq-journal init small/q
	printf '%s\n' 'fill 60000' 'settle 500' 'fill 60000' >lines
	run -0 journal_feed small/q <lines
	count=$(awk '$2 == "fill" { print $1; exit }' <<<"$output")
	[ "$count" -gt 200 ]
	assert_line '0 fill'
	assert_line settle
	last=$(stat_of small/q last)
	printf '%s\n' "end 1 $last" "hole 1 $last" 'fill 60000' >lines
	run -0 journal_feed small/q <lines
	again=$(awk '$2 == "fill" { print $1 }' <<<"$output")
	[ "$again" -gt $((count * 8 / 10)) ]
	run -0 rmq-journal verify small/q
}

@test "journal: where the reserve is used up what comes waits, in words, until there is space" {
	small_disk small 40m
	rmq-journal init small/q
	journal_feed small/q <<<'text first'
	dd if=/dev/zero of=small/others bs=64k status=none 2>/dev/null || true
	printf '%s\n' 'settle 200000' >lines
	journal_feed small/q <lines >feed.log 2>feed.err 3>&- &
	FEED=$!
	wait_for 'grep -q "disk is full: records wait" feed.err'
	kill -0 "$FEED"
	kill -KILL "$FEED"
	wait "$FEED" || true
	# Nor does the next one die of it.
	rm feed.err
	journal_feed small/q <lines >feed.log 2>feed.err 3>&- &
	FEED=$!
	wait_for 'grep -qs "disk is full: records wait" feed.err'
	rm small/others
	wait "$FEED"
	FEED=
	grep -q settle feed.log
	grep -q 'there is space again' feed.err
	run -0 rmq-journal verify small/q
}

@test "journal: a limit of file size is a full disk: room for draining, then 0, no signal" {
	printf '%s\n' 'fill 60000' 'settle 500' 'fill 60000' >lines
	run -0 bash -c 'ulimit -f 24576; journal_feed q <lines'
	[ "$(awk '$2 == "fill" { print $1; exit }' <<<"$output")" -gt 100 ]
	assert_line '0 fill'
	assert_line settle
	[ "$(stat -c %s q/data.mdb)" -le $((24576 * 1024)) ]
	run -0 rmq-journal verify q
}

@test "journal: a limit of address space makes the map smaller; one that is too small is named" {
	[ "$MODE" != asan ] || skip "the sanitizer needs all of the address space"
	run -0 bash -c 'ulimit -v 150000; journal_feed q <<<"fill 60000"'
	[ "$(stat -c %s q/data.mdb)" -le $((75000 * 1024)) ]
	run -0 bash -c 'ulimit -v 150000; rmq-journal verify q'
	run -74 --separate-stderr bash -c 'ulimit -v 60000; rmq-journal stat q'
	assert_regex "$stderr" 'ulimit -v'
}

@test "journal: a data file that was removed or replaced under its owner ends it: 74" {
	feed_start
	feed_say text one
	cp -l q/data.mdb kept.mdb # its link count says nothing
	rm -r q
	echo 'text two' >&9
	exec 9>&-
	run ! wait "$FEED"
	FEED=
	wait_for "grep -q 'data.mdb was removed or replaced while in use' feed.err"
	run ! grep -q two feed.log
}

@test "journal: readers that were killed leave places for others" {
	feed_start # else the next one that opens it begins a new table
	feed_say text aaaa
	local i
	for _ in {1..9}; do
		for i in {1..60}; do
			rmq-journal dump --follow q >"dump.$i" 2>/dev/null 3>&- &
			dump+=" $!"
		done
		for i in {1..60}; do wait_for "[ -s dump.$i ]"; done
		# shellcheck disable=SC2086
		kill -KILL $dump
		# shellcheck disable=SC2086
		wait $dump 2>/dev/null || true
		dump=
		rm dump.*
	done
	run -0 rmq-journal stat q
	feed_stop
}

# ---- a directory of a cluster: replica_feed plays the node ----

@test "journal: what belongs to a cluster is not opened by one node alone: 78" {
	replica_feed q 0
	feed 'text one'
	rm -r q
	rmq-journal init q
	replica_feed q 3
	run -78 journal_feed q </dev/null
	run -78 --separate-stderr rmq-queued -d q -l sock
	[[ $stderr == *'rmq-journal: q: directory belongs to a cluster: run rmq-clusterd'* ]]
}

@test "journal dump, stat, verify: members and NOOPs, and what the node knows" {
	replica_feed q 60
	run -0 rmq-journal dump q
	assert_line --regexp '"kind":"config".*"cluster":"2a0*","members":\[\{"name":"n[0-9]+","key":"rmq1:.*"flags":\["VOTER","BROKER"\]'
	assert_line --regexp '"kind":"noop","bytes":0\}$'
	run -0 rmq-journal stat q
	assert_line --regexp $'^cluster\t2a0+$'
	assert_line --regexp $'^commit\t[1-9]'
	assert_line --regexp $'^cover\t[1-9]'
	assert_line --regexp $'^vote\t'
	assert_line $'term\t60'
	run -0 rmq-journal stat -j q
	assert_output --regexp '"commit":[1-9].*"cluster":"2a'
	run -0 rmq-journal verify q
	refute_output
}

@test "journal stat: one node's directory says nothing of a cluster" {
	feed 'text one'
	run -0 rmq-journal stat q
	refute_line --regexp '^(cluster|commit|vote|cover)'
}

@test "journal backup, restore: a node's log that does not reach its cover is not whole: 65 unless forced" {
	replica_feed q 60
	assert_equal "$(stat_of q covered)" yes
	replica_feed q lag
	assert_equal "$(stat_of q covered)" no
	run -65 --separate-stderr rmq-journal backup q
	assert_regex "$stderr" "^rmq-journal: q: the log of this node is not complete: it ends at record [0-9]+, and lacks the checkpoint [0-9]+"
	refute_output
	rmq-journal backup --force q >b
	run -65 --separate-stderr rmq-journal restore copy <b
	assert_equal "$stderr" "rmq-journal: copy: backup is of a node whose log was not complete: take another node's, or use --force"
	[ ! -e copy ]
}

@test "rmq-cluster recover: what may not go on alone is named, and nothing is changed" {
	feed 'text one'
	run -78 rmq-cluster recover --yes -d q
	assert_output "rmq-journal: q: belongs to no cluster: there is nothing to recover"
	rm -r q
	rmq-journal init q
	replica_feed q 60
	run -1 rmq-cluster recover --yes -d q
	assert_output "rmq-journal: q: its log does not have this node as a member: it was removed, or had not joined yet"
	run -64 rmq-cluster recover --yes
	run -78 rmq-cluster recover --yes -d nothing
}

@test "journal stat: of several nodes' directories, the one to keep is whole and has the newest record" {
	local i
	replica_feed q 60
	cp -r q old
	replica_feed q 80 60
	# A term that nothing was written in says nothing.
	for ((i = 0; i < 30; i++)); do
		replica_feed old vote
	done
	[ "$(stat_of old term)" -gt "$(stat_of q term)" ]
	run -0 rmq-journal stat old q
	assert_line --index 0 --regexp $'^old\t[0-9]+\t[0-9]+\tyes\tno$'
	assert_line --index 1 --regexp $'^q\t[0-9]+\t[0-9]+\tyes\tyes$'
	assert_equal "$(rmq-journal stat -j old q | jq -r 'select(.keep).directory')" q
	# What is not whole is not kept, however new it is.
	replica_feed q lag
	run -0 rmq-journal stat q old
	assert_line --index 0 --regexp $'^q\t[0-9]+\t[0-9]+\tno\tno$'
	assert_line --index 1 --regexp $'^old\t[0-9]+\t[0-9]+\tyes\tyes$'
	replica_feed old lag
	run -65 --separate-stderr rmq-journal stat q old
	assert_equal "$stderr" 'rmq-journal: stat: no directory has a complete log'
	rmq-journal init alone
	run -65 --separate-stderr rmq-journal stat q alone
	assert_equal "$stderr" 'rmq-journal: alone: is not of a node of a cluster: nothing to compare'
}

@test "journal restore: of a cluster's backup, a directory for one node, without members" {
	replica_feed q 60
	rmq-journal backup q >b
	rmq-journal restore copy <b
	run -0 rmq-journal stat copy
	refute_line --regexp '^(cluster|commit|vote|cover)'
	rmq-journal dump q | grep -v '"kind":"config"' >wanted
	rmq-journal dump copy | grep -v '"kind":"restored"' | diff wanted -
	run -0 rmq-journal verify copy
	rm -r q
	mv copy q
	feed 'text one'
}

@test "journal restore: backups between which the log was cut do not fit together: 65" {
	local i=1 last
	# Up to a transaction that cuts off what a backup has.
	while [ $i -lt 60 ]; do
		replica_feed q $i
		rmq-journal backup q >whole
		last=$(stat_of q last)
		replica_feed q $((i + 1))
		rmq-journal backup --since "$last" q >since
		i=$((i + 1))
		cat whole since >both
		run rmq-journal restore copy <both
		if [ "$status" -ne 0 ]; then
			assert_failure 65
			assert_output --partial 'the log was truncated between these backups'
			[ ! -e copy ]
			return
		fi
		rmq-journal diff q copy >differ || [ "$(grep -vc $'only in\tq$' differ)" -le 1 ]
		rm -r copy
	done
	false
}

@test "journal compact: changes nothing of a cluster's directory" {
	replica_feed q 60
	rmq-journal dump q >before
	rmq-journal stat q | grep -v 'pages\|bytes' >stat.before
	rmq-journal compact q
	rmq-journal dump q | diff before -
	rmq-journal stat q | grep -v 'pages\|bytes' | diff stat.before -
	replica_feed q 80 60
}

@test "journal: on a full disk a transaction waits, but a vote is stored, and so are holes" {
	small_disk small 24m
	rmq-journal init small/q
	count=$(replica_feed small/q fill | wc -l)
	[ "$count" -gt 200 ]
	replica_feed small/q vote
	replica_feed small/q vote
	replica_feed small/q dig
	again=$(replica_feed small/q fill | wc -l)
	[ "$again" -gt $((count / 2)) ]
	run -0 rmq-journal verify small/q
}

@test "journal: an owner that is about to end is waited for" {
	flock q/identity sleep 0.3 3>&- &
	wait_for '! flock -n q/identity true'
	feed 'text one'
	wait
}

# ---- owners ----

# foreign FILE…: those of them that are not owned by nobody.
foreign() {
	stat -c '%u:%g %n' "$@" | grep -v '^65534:65534 ' || :
}

@test "journal: what root does in somebody's directory stays theirs" {
	[ "$(id -u)" -eq 0 ] || skip 'only root can give files away'
	mkdir theirs
	chown 65534:65534 theirs
	rmq-journal init theirs
	assert_equal "$(foreign theirs/*)" ''
	for command in stat dump verify 'verify --quarantine' compact backup; do
		rm theirs/lock.mdb
		rmq-journal $command theirs >out
		[ -e theirs/lock.mdb ]
		assert_equal "$(foreign theirs/*)" ''
	done
	rm theirs/lock.mdb
	rmq-journal diff theirs q
	assert_equal "$(foreign theirs/*)" ''
	# Of a directory that is root's the files say whose the journal is.
	chown 0:0 theirs
	rm theirs/lock.mdb
	rmq-journal stat theirs >out
	assert_equal "$(foreign theirs/*)" ''
}
