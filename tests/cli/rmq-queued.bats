#!/usr/bin/env bats
# modes: release
# The queue daemon: every promise of rmq-queued(1), and what it does with bad input.

bats_require_minimum_version 1.5.0
load common

hello() {
	raw hello 0 expect WELCOME "$@"
}

# refuses DIR…: rmq-queued -d DIR ends by itself.
refuses() {
	run timeout 30 rmq-queued -l other.sock -d "$@" 3>&-
}

anon_kib() {
	awk '/^RssAnon:/ { print $2 }' "/proc/$1/status"
}

logged() {
	grep -q -- "$1" "${2:-q.log}"
}

# ---- options ----

@test "rmq-queued: usage errors are 64, each with a line" {
	run rmq-queued
	assert_failure 64
	assert_line --partial "no data directory"
	run rmq-queued --nonsense
	assert_failure 64
	run rmq-queued -d q --
	assert_failure 64
	run rmq-queued -d q --ready-fd 77
	assert_failure 64
	assert_line --partial "not an open descriptor"
	run rmq-queued --journal-fd 0 </dev/null
	assert_failure 64
	assert_line --partial "not a connected stream socket"
	run rmq-queued --journal-fd 77
	assert_failure 64
}

@test "rmq-queued: -h and -V print to stdout and exit 0" {
	run --separate-stderr rmq-queued -h
	assert_success
	assert_line --partial "usage: rmq-queued"
	run --separate-stderr rmq-queued -V
	assert_success
	assert_output --regexp '^rmq-queued [0-9]'
}

@test "rmq-queued: what is sent to several queues at once is in each of them, and stored once" {
	start_queue q
	rmq-queue create c --max-bytes 1
	echo x | rmq-send c
	raw hello 0 expect WELCOME share 1 a,b,c body-of-all expect FAILED \
		share 1 a,b,d body-of-all expect SENT bye eof
	run rmq-queue ls
	assert_success
	assert_output --regexp '^a.*b.*c.*d'
	[ "$(timeout 10 rmq-recv -1 a)" = body-of-all ]
	rmq-queue purge d
	kill -KILL "$QUEUE_PID"
	wait "$QUEUE_PID" || true
	start_queue q
	[ "$(rmq-queue show a ready)" = 0 ]
	[ "$(rmq-queue show d ready)" = 0 ]
	run sh -c 'rmq-journal dump q | grep -o body-of-all'
	assert_output body-of-all
	run sh -c 'rmq-journal dump q | grep -o "\"further\":\[[^]]*\]"'
	assert_output --partial '"first_seq":1},{'
	[ "$(timeout 10 rmq-recv -1 b)" = body-of-all ]
}

@test "rmq-queued: a large message for several queues is in each of them or in none, and stored once, over kills" {
	kill_and_start() {
		kill -KILL "$QUEUE_PID"
		wait "$QUEUE_PID" || true
		start_queue q
	}
	start_queue q
	raw hello 0 expect WELCOME large 1 a,b,c trace x1 200000 expect SENT bye eof
	kill_and_start
	[ "$(timeout 10 rmq-recv -1 a | wc -c)" = 200001 ]
	rmq-queue purge b
	kill_and_start
	run sh -c 'rmq-journal dump q | grep -c "\"event\":\"chunk\".*\"queues\":\[2,3\]"'
	assert_output 4
	run timeout 10 rmq-recv -1 -o headers,body c
	assert_output "$(printf '{"trace":"x1"}\t'; head -c 200000 /dev/zero | tr '\0' x)"
	# Killed when two pieces are there.
	mkfifo hold
	exec 8<>hold
	"$RAWCLIENT" q.sock hello 0 expect WELCOME piece 1 d,e 0 piece 1 d,e 1 wait <hold >held 8>&- &
	STARTED+=($!)
	unfinished() { [ "$(rmq-queue show e unfinished)" = 65536 ]; }
	wait_until 20 unfinished
	assert_equal "$(rmq-queue show d unfinished)" 65536
	kill_and_start
	assert_equal "$(rmq-queue show d ready) $(rmq-queue show e ready)" "0 0"
	exec 8>&-
}

@test "rmq-queued: --init makes the directory, ready says so, SIGTERM drains and exits 0" {
	start_queue q
	[ -f q/data.mdb ]
	hello send 1 jobs one expect SENT bye eof
	stop_queue
	[ ! -e q.sock ]
}

@test "rmq-queued: --init takes an empty directory, and leaves one with other things alone" {
	mkdir empty other
	touch other/file
	start_queue empty
	stop_queue
	refuses other --init
	assert_failure 78
	[ "$(ls other)" = file ]
}

@test "rmq-queued: --init takes a new file system, with its lost+found" {
	mkdir -p d/lost+found
	start_queue d
	rmq-send jobs one
	stop_queue
	run -0 rmq-journal verify d
}

@test "rmq-queued: --init finishes a directory that a killed --init left" {
	mkdir other
	: >other/identity.new
	: >other/data.mdb
	run -0 timeout 30 rmq-queued -d other --init -l other.sock true 3>&-
	run -0 rmq-journal verify other
}

@test "rmq-queued: a bug of its own is not told as damage; a data file that goes away is" {
	local status=0
	start_queue q
	kill -SEGV "$QUEUE_PID"
	wait "$QUEUE_PID" || status=$?
	assert_equal "$status" 139
	run ! grep garbled q.log
	start_queue q
	kill -BUS "$QUEUE_PID"
	status=0
	wait "$QUEUE_PID" || status=$?
	assert_equal "$status" 65
	grep -q 'data.mdb is garbled' q.log
}

@test "rmq-queued: without --init an absent directory is no new queue" {
	refuses absent
	assert_failure 78
	[ ! -e absent ]
}

@test "rmq-queued: NOTIFY_SOCKET is told when it is ready, and in which sandbox" {
	"$RAWCLIENT" --notify notify >told 3>&- &
	STARTED+=($!)
	local teller=$!
	wait_until 20 test -S notify
	NOTIFY_SOCKET=$PWD/notify start_queue q
	wait "$teller"
	[ "$(head -n 1 told)" = READY=1 ]
	grep '^STATUS=sandbox: no_new_privs' told
}

@test "rmq-queued: listens on an inherited socket, and does not remove it" {
	rmq-journal init q
	start "$RAWCLIENT" --listen inherited.sock rmq-queued -d q
	local pid=$!
	export RMQ_SERVERS=unix:inherited.sock
	wait_until 20 hello 2>/dev/null
	kill -TERM "$pid"
	wait "$pid"
	[ -S inherited.sock ]
}

@test "rmq-queued: sockets of LISTEN_FDS for another process are not taken" {
	LISTEN_PID=1 LISTEN_FDS=1 start_queue q
	hello
}

# ---- the socket ----

@test "rmq-queued: a stale socket is replaced" {
	start_queue q
	kill_queue
	[ -S q.sock ]
	start_queue q
	hello
}

@test "rmq-queued: a socket that somebody listens on is left alone: 75" {
	start_queue q
	run timeout 30 rmq-queued -d q2 --init -l q.sock 3>&-
	assert_failure 75
	assert_line --partial "q.sock: another daemon listens there"
	hello
}

@test "rmq-queued: a socket that is removed is made anew, as often as need be" {
	start_queue q
	start rmq-recv jobs
	rmq-send jobs before
	wait_until 20 grep -qx before out
	for i in 1 2 3; do
		rm q.sock
		wait_until 20 test -S q.sock
		assert_equal "$(stat -c %a q.sock)" 660
		rmq-send jobs "after $i"
	done
	wait_until 20 grep -qx 'after 3' out
	assert_equal "$(grep -c 'q.sock: the socket was removed, and is made anew' q.log)" 3
	run ! grep "answers" log # the receiver lost no connection
	stop_queue
	[ ! -e q.sock ]
}

@test "rmq-queued: where its socket cannot be made anew it says so, and serves who is connected" {
	local first
	start_queue q
	first=$QUEUE_PID
	mkfifo lines
	start rmq-recv jobs
	exec 8<>lines
	rmq-send jobs <lines >>log 2>&1 3>&- 8>&- &
	STARTED+=($!)
	echo one >&8
	wait_until 20 grep -qx one out
	start_queue other 8>&-
	mv other.sock q.sock # in one step
	wait_until 20 logged 'q.sock: the socket was removed: .*only connected clients are served; restart this daemon'
	echo two >&8
	exec 8>&-
	wait_until 20 grep -qx two out
	status_of "${STARTED[2]}"
	assert_success
	stop_queue "$first"
	# It is another one's now.
	rmq-queue ls -S unix:q.sock
	grep -q 'other.sock: the socket was moved: ' other.log
}

@test "rmq-queued: a file that is no socket is left alone: 73" {
	echo precious >file
	run timeout 30 rmq-queued -d q --init -l file 3>&-
	assert_failure 73
	assert_line --partial "not a socket"
	[ "$(cat file)" = precious ]
}

@test "rmq-queued: a socket's path that is too long is named: 64" {
	local path
	path=$(printf '%0120d' 0)
	run timeout 30 rmq-queued -d q --init -l "$path" 3>&-
	assert_failure 64
	assert_line --partial "longer than 107 bytes"
}

@test "rmq-queued: the socket is for its user and group only" {
	umask 0
	start_queue q
	[ "$(stat -c %a q.sock)" = 660 ]
	[ "$(stat -c %a q/data.mdb)" = 600 ]
}

# ---- the directory ----

@test "rmq-queued: a second daemon on one directory is refused with 75" {
	start_queue q
	refuses q
	assert_failure 75
	assert_output 'rmq-journal: q: is in use by another process'
	rm q/lock.mdb
	refuses q
	assert_failure 75
}

@test "rmq-queued: a data file that is empty, cut or garbled is 65, never a new queue" {
	local damage
	start_queue q
	hello send 1 jobs one expect SENT bye eof
	stop_queue
	for damage in 'truncate -s 0' 'truncate -s 9000' 'dd conv=notrunc bs=4k count=8 if=/dev/urandom of='; do
		rm -rf bad
		cp -r q bad
		case $damage in
		*=) ${damage}bad/data.mdb 2>/dev/null ;;
		*) $damage bad/data.mdb ;;
		esac
		refuses bad
		assert_failure 65
		assert_line --partial ": bad: "
	done
}

@test "rmq-queued: a data file of another directory is refused" {
	rmq-journal init a
	rmq-journal init b
	cp a/data.mdb b/data.mdb
	refuses b
	assert_failure 65
}

# ---- durability ----

@test "rmq-queued: kill -9 and a restart keep what was answered" {
	local i
	start_queue q
	for i in 1 2 3; do
		hello send 1 jobs "one$i" expect SENT
		kill_queue
		start_queue q
	done
	run hello list 1 expect LIST_END
	assert_success
	assert_line --partial "queue=jobs"
	assert_line --partial " ready=3 "
}

@test "rmq-queued: SIGTERM leaves a checkpoint: the next start reads no messages' records" {
	start_queue q
	hello send 1 jobs one expect SENT bye eof
	stop_queue
	run rmq-journal stat q
	assert_success
	start_queue q
	run hello list 1 expect LIST_END
	assert_line --partial " ready=1 "
}

@test "rmq-queued: a journal that is killed ends the daemon at once with 74" {
	start_queue q
	kill -9 "$(journal_pid)"
	status_of "$QUEUE_PID"
	assert_failure 74
	logged "q: journal was killed by signal 9"
	start_queue q
	hello
}

# start_with_journal DIR OPTION…: a daemon whose journal is a sibling, at descriptor 3.
start_with_journal() {
	local dir=$1
	shift
	rm -f ready
	mkfifo ready
	with_journal "$dir" rmq-queued --journal-fd 3 -l "$dir.sock" --ready-fd 9 "$@" \
		>>"$dir.log" 2>&1 9>ready </dev/null &
	QUEUE_PID=$!
	STARTED+=("$QUEUE_PID")
	export RMQ_SERVERS=unix:$dir.sock
	IFS= read -r -t 30 <ready
}

# session_of WHO…: a new session and its token, with one command taken, as rawclient says who it is.
session_of() {
	raw "$@" hello 0 send 1 jobs x expect SENT close | sed -n 's/^WELCOME .*session=\([0-9]*\).* token=\([0-9a-f]*\).*/\1:\2/p'
}

@test "rmq-queued: --journal-fd: the journal is at the descriptor, SIGTERM drains and exits 0" {
	rmq-journal init q
	start_with_journal q
	hello send 1 jobs one expect SENT bye eof
	stop_queue
	start_with_journal q
	run rmq-recv -1 jobs
	assert_output one
}

@test "rmq-queued: --journal-fd: the journal's end ends the daemon at once with 74" {
	rmq-journal init q
	start_with_journal q
	kill -KILL "$(journal_pid)"
	status_of "$QUEUE_PID"
	assert_failure 74
	[ ! -e q.sock ]
}

@test "rmq-queued: --journal-fd: not together with -d or COMMAND" {
	rmq-journal init q
	run with_journal q rmq-queued --journal-fd 3 -d q
	assert_failure 64
	run with_journal q rmq-queued --journal-fd 3 -- true
	assert_failure 64
}

@test "rmq-queued: --node: a user of this machine is that node's, whoever relays" {
	local session
	rmq-journal init q
	start_with_journal q --node n1
	session=$(session_of)
	run raw behalf n2 "$(($(id -u) + 1))" hello "$session" eof
	assert_line --partial "ERROR code=18"
	run raw behalf n1 "$(id -u)" hello "$session" expect WELCOME
	assert_line --regexp "^WELCOME .*session=${session%:*} .*last=1"
	session=$(session_of behalf n1 "$(id -u)")
	run raw hello "$session" expect WELCOME
	assert_line --regexp "^WELCOME .*session=${session%:*} .*last=1"
	run with_journal p rmq-queued --journal-fd 3 --node n/1
	assert_failure 64
	assert_line --partial "--node: 'n/1' is not a node's name"
	run rmq-queued -d p --node n1
	assert_failure 64
}

@test "rmq-queued: kill -9 of the daemon ends its journal" {
	local journal
	start_queue q
	journal=$(journal_pid)
	kill -9 "$QUEUE_PID"
	wait_until 20 has_ended "$journal"
}

@test "rmq-queued: SIGTERM to the whole process group drains as well" {
	start_queue q
	hello send 1 jobs one expect SENT
	kill -TERM "$(journal_pid)"
	hello send 1 jobs one expect SENT
	stop_queue
}

# ---- COMMAND ----

@test "rmq-queued: COMMAND has RMQ_SERVERS on a private socket, and its status is ours" {
	run rmq-queued -d q --init -- sh -c 'echo "$RMQ_SERVERS"; stat -c %a "$(dirname "${RMQ_SERVERS#unix:}")"; exit 7' 3>&-
	assert_failure 7
	assert_line --regexp '^unix:/.*/rmq.sock$'
	assert_line 700
	local socket=${lines[0]#unix:}
	[ ! -e "$(dirname "$socket")" ]
}

@test "rmq-queued: COMMAND with -l gets that socket, as an absolute path" {
	run rmq-queued -d q --init -l here.sock sh -c 'echo "$RMQ_SERVERS"' 3>&-
	assert_success
	assert_output "unix:$PWD/here.sock"
}

@test "rmq-queued: COMMAND is never sent to another daemon by a comma in a path" {
	start_queue outer
	mkdir "$BATS_TEST_TMPDIR/a,b"
	TMPDIR=$BATS_TEST_TMPDIR/a,b run rmq-queued -d q --init -- sh -c 'echo "$RMQ_SERVERS"; rmq-send jobs inner' 3>&-
	assert_success
	assert_line --regexp '^unix:/[^,]*/rmq.sock$'
	run rmq-queue ls
	assert_output ""
	run rmq-queued -d q -l "$BATS_TEST_TMPDIR/a,b.sock" -- touch ran 3>&-
	assert_failure 64
	assert_line --partial "comma"
	cd "a,b"
	run rmq-queued -d ../q -l here.sock -- touch ran 3>&-
	assert_failure 64
	[ ! -e ran ]
	[ ! -e ../ran ]
	run rmq-queue -S "unix:../outer.sock" ls
	assert_output ""
}

@test "rmq-queued: COMMAND with -l whose absolute path is too long is not run: 64" {
	local name=d
	while ((${#PWD} + ${#name} < 120)); do name+=d; done
	mkdir "$name"
	cd "$name"
	run rmq-queued -d ../q --init -l here.sock -- touch ran 3>&-
	assert_failure 64
	assert_line --partial "107 bytes"
	[ ! -e ran ]
}

@test "rmq-queued: a killed daemon's private directory goes at the next start, a living one's stays" {
	export TMPDIR=$BATS_TEST_TMPDIR/tmp
	mkdir -p "$TMPDIR/rmq-private.keeps"
	touch "$TMPDIR/rmq-private.keeps/file"
	start rmq-queued -d one --init -- sh -c 'echo "$RMQ_SERVERS"; exec sleep 1000'
	local living=$! socket dead
	wait_until 20 test -s out
	socket=$(cut -d: -f2 out)
	: >out
	start rmq-queued -d two --init -- sh -c 'echo "$RMQ_SERVERS"; exec sleep 1000'
	local killed=$!
	wait_until 20 test -s out
	dead=$(cut -d: -f2 out)
	kill -9 "$killed"
	status_of "$killed"
	[ -S "$dead" ]
	run rmq-queued -d three --init -- rmq-send jobs one 3>&-
	assert_success
	[ ! -e "${dead%/*}" ]
	[ -S "$socket" ]
	[ -e "$TMPDIR/rmq-private.keeps/file" ]
	kill -TERM "$living"
	status_of "$living"
	assert_failure 143
	[ ! -e "${socket%/*}" ]
}

@test "rmq-queued: --create explicit makes no queue of a name that is mistyped" {
	start_queue q --create explicit
	run rmq-send jbos one
	assert_failure 66
	assert_output --partial "no such queue"
	run timeout 20 rmq-recv -1 jbos
	assert_failure 66
	[ -z "$(rmq-queue ls)" ]
	rmq-queue create --max-attempts 1 jobs
	rmq-send jobs one
	# A dead-letter queue still comes with its first message.
	timeout 20 rmq-recv -1 --ack manual -o receipt jobs | rmq-ack --dead
	[ "$(rmq-queue show jobs.dead ready)" = 1 ]
	run rmq-queued -d other --init --create often
	assert_failure 64
	assert_output --partial "'often' is neither auto nor explicit"
}

# has_children PID N: also those that have ended and are not reaped.
has_children() {
	[ "$(pgrep -c -P "$1")" = "$2" ]
}

@test "rmq-queued: the first process of a container reaps orphans, and ends by SIGTERM or after COMMAND" {
	local flags=(-p -f)
	[ "$(id -u)" = 0 ] || flags=(-U -r -p -f)
	unshare "${flags[@]}" true 2>/dev/null || skip "no process namespaces here"
	# It would look for itself in a /proc where it is another one.
	export ASAN_OPTIONS=detect_leaks=0
	run timeout 20 unshare "${flags[@]}" rmq-queued -d q --init -- sh -c 'echo $PPID; exit 5' 3>&-
	assert_failure 5
	assert_line 1
	mkfifo go
	start unshare "${flags[@]}" --kill-child rmq-queued -d q -- sh -c '
		(sh -c "read line <go" & echo begun)
		trap "exit 6" TERM
		while :; do sleep 0.1; done'
	local outer=$! first
	wait_until 20 logged begun out
	first=$(pgrep -P "$outer" -x rmq-queued)
	# The journal, COMMAND, and the orphan.
	wait_until 20 has_children "$first" 3
	echo >go
	wait_until 20 has_children "$first" 2
	kill -TERM "$first"
	status_of "$outer"
	assert_failure 6
}

@test "rmq-queued: COMMAND that a signal ends is 128 and its number" {
	run rmq-queued -d q --init -- sh -c 'kill -9 $$' 3>&-
	assert_failure 137
}

@test "rmq-queued: COMMAND that cannot be run is 127 or 126" {
	run -127 rmq-queued -d q --init -- ./absent
	assert_line --partial "./absent: No such file"
	touch plain
	run -126 rmq-queued -d q --init -- ./plain
}

@test "rmq-queued: signals are passed on to COMMAND, which decides" {
	start rmq-queued -d q --init -- sh -c 'trap "exit 5" HUP; echo begun; while :; do sleep 0.1; done'
	local pid=$!
	wait_until 20 logged begun out
	kill -HUP "$pid"
	status_of "$pid"
	assert_failure 5
}

@test "rmq-queued: COMMAND is ended when the journal fails: 74" {
	start rmq-queued -d q --init -- sh -c 'echo $$; exec sleep 1000'
	local pid=$! command
	wait_until 20 test -s out
	command=$(cat out)
	kill -9 "$(journal_pid "$pid")"
	status_of "$pid"
	assert_failure 74
	wait_until 20 has_ended "$command"
}

@test "rmq-queued: COMMAND keeps its umask, its descriptors' limit and its signals" {
	umask 027
	run bash -c 'ulimit -Sn 100; rmq-queued -d q --init -- sh -c "umask; ulimit -Sn; kill -PIPE \$\$"' 3>&-
	assert_failure 141
	assert_line 0027
	assert_line 100
}

@test "rmq-queued: COMMAND has no descriptor of the data directory" {
	run rmq-queued -d q --init -- ls -l /proc/self/fd 3>&-
	assert_success
	refute_output --partial "$PWD/q"
}

@test "rmq-queued: a limit of open files that is too low is named at the start: 78" {
	local limit
	for limit in 12 24 79; do
		run bash -c "ulimit -n $limit; exec rmq-queued -d q --init -- true" 3>&-
		assert_failure 78
		assert_output "rmq-queued: the limit of open files is $limit: raise it to 80 at least \
(ulimit -n, LimitNOFILE=)"
	done
	run bash -c "ulimit -n 80; exec rmq-queued -d q --init -- rmq-send q x" 3>&-
	assert_success
}

# ---- hostile and careless clients ----

@test "rmq-queued: a frame of one byte at a time is taken" {
	start_queue q
	run raw slow 5 hello 0 expect WELCOME
	assert_success
}

@test "rmq-queued: frames that are cut, oversized or unknown end their connection only" {
	start_queue q
	raw hex 1600 print cut
	run raw hex ffffffff01000000 eof
	assert_line --partial "ERROR code=22"
	assert_line eof
	run raw hex 0000000001ff0000 eof
	assert_line --partial "ERROR code=22"
	run hello hex 00000000f0000000 eof
	assert_line --partial "ERROR code="
	assert_line eof
	run raw zeros 1000000 eof
	assert_line --partial "ERROR code="
	# A batch that claims 65535 messages, in 4 bytes.
	run hello hex 1e00000002000000 hex 01000000000000000000000000000000 \
		hex 0000000000 hex 046a6f6273 hex ffff0000 expect FAILED
	run raw send 1 jobs x eof
	assert_line --partial "ERROR code="
	hello
}

@test "rmq-queued: 1,000 idle connections cost little, and others are served" {
	start_queue q
	local before
	before=$(anon_kib "$QUEUE_PID")
	mkfifo hold
	"$RAWCLIENT" q.sock more 999 print held wait <hold >idle &
	STARTED+=($!)
	exec 8>hold
	wait_until 20 logged held idle
	run hello
	assert_success
	[ $(($(anon_kib "$QUEUE_PID") - before)) -lt 8192 ]
	exec 8>&-
}

@test "rmq-queued: out of descriptors, connections wait until others end" {
	ulimit -n 100
	start_queue q
	mkfifo hold
	local i holders=()
	for i in {1..20}; do
		"$RAWCLIENT" q.sock behalf n1 $((i % 2)) hello 0 expect WELCOME wait <hold >>idle &
		holders+=($!)
		STARTED+=($!)
	done
	exec 8>hold
	wait_until 20 logged "no more are accepted"
	"$RAWCLIENT" q.sock hello 0 expect WELCOME >late 8>&- &
	local late=$!
	STARTED+=($late)
	exec 8>&-
	wait "${holders[@]}"
	wait "$late"
	# Said when it becomes full, which those that wait can make it once more; not for each.
	[ "$(grep -c "no more are accepted" q.log)" -le 2 ]
}

@test "rmq-queued: a client that asks again and again and reads no answer leaves no connection" {
	start_queue q
	connections() { ls -l "/proc/$QUEUE_PID/fd" | grep -c socket: ; }
	local before
	before=$(connections)
	raw hello 0 list 3 close
	raw hello 0 list 3 expect LIST_END close
	none_left() { [ "$(connections)" -le "$before" ]; }
	wait_until 20 none_left
}

@test "rmq-queued: connections that say nothing give way to others" {
	ulimit -n 100
	start_queue q
	mkfifo hold
	"$RAWCLIENT" q.sock more 30 print held wait <hold >idle &
	STARTED+=($!)
	exec 8>hold
	wait_until 20 logged held idle
	wait_until 20 hello
	exec 8>&-
}

@test "rmq-queued: a large message that does not come as a whole is shown, and a purge ends it" {
	start_queue q
	rmq-queue create small --max-bytes 500
	mkfifo hold
	exec 8<>hold
	"$RAWCLIENT" q.sock hello 0 expect WELCOME piece 1 small 0 piece 1 small 1 wait <hold >held 8>&- &
	STARTED+=($!)
	unfinished() { [ "$(rmq-queue show small unfinished)" = 2000 ]; }
	wait_until 20 unfinished
	run -75 rmq-send --no-wait small <<<x
	assert_output --partial "queue is full"
	rmq-queue purge small
	assert_equal "$(rmq-queue show small unfinished)" 0
	rmq-send --no-wait small <<<x
	exec 8>&-
}

# hold_connections COUNT [WORD...]: so many that are welcomed, and stay until 8 is closed.  WORDs
# come before their HELLO.
hold_connections() {
	local count=$1 i
	shift
	mkfifo hold
	exec 8<>hold
	for i in $(seq "$count"); do
		"$RAWCLIENT" q.sock "$@" hello 0 expect WELCOME wait <hold >"held$i" 8>&- &
		STARTED+=($!)
	done
	for i in $(seq "$count"); do
		wait_until 20 logged WELCOME "held$i"
	done
}

@test "rmq-queued: one user does not take all connections" {
	ulimit -n 100
	start_queue q
	# 18 connections may be there, of one user 16.
	hold_connections 16 behalf n1 1000
	run "$RAWCLIENT" q.sock behalf n1 1000 eof
	assert_success
	assert_output "ERROR code=20 text=16 connections are as many as one user or key may have, of 18 that \
the limit of open files (ulimit -n, LimitNOFILE=) allows
eof"
	run "$RAWCLIENT" q.sock behalf n1 1001 hello 0 expect WELCOME
	assert_success
	run hello
	assert_success
	exec 8>&-
}

@test "rmq-queued: who has too many connections is told why it waits" {
	ulimit -n 100
	start_queue q
	hold_connections 16
	echo x | rmq-send jobs 2>told 8>&- &
	local sender=$!
	STARTED+=($sender)
	wait_until 20 logged "waiting for the daemon at unix:.*q.sock: 16 connections are as many" told
	# One ends, and it is its turn.
	kill "${STARTED[-2]}"
	wait "$sender"
	exec 8>&-
}

@test "rmq-queued: a client that never reads is not read from, and others are served" {
	start_queue q
	mkfifo hold
	"$RAWCLIENT" q.sock hello 0 flood jobs print stopped wait <hold >flooded &
	STARTED+=($!)
	exec 8>hold
	wait_until 60 logged stopped flooded
	run hello send 1 other x expect SENT
	assert_success
	[ "$(anon_kib "$QUEUE_PID")" -lt 65536 ]
	exec 8>&-
}

# traced PID
traced() {
	! grep -q '^TracerPid:[[:space:]]*0$' "/proc/$1/status"
}

@test "rmq-queued: a connection that cannot be written to ends, and its client goes on with another" {
	strace -D -qq -o probe true || skip "strace is missing or may not trace"
	start_queue q
	start strace -p "$QUEUE_PID" -qq -o trace -e trace=sendto,sendmsg \
		-e inject=sendto,sendmsg:error=ENOBUFS:when=2+3
	local tracer=$!
	wait_until 20 traced "$QUEUE_PID"
	run --separate-stderr rmq-send -i --timeout 20s q -- one two three
	assert_success
	assert_output "q:1"$'\n'"q:2"$'\n'"q:3"
	run --separate-stderr rmq-recv --timeout 20s --drain q
	assert_success
	assert_output "one"$'\n'"two"$'\n'"three"
	kill "$tracer"
	grep -q INJECTED trace
	grep -q "cannot write: No buffer space available" q.log
}

@test "rmq-queued: a HELLO that waits to be read is no silence, however long the daemon is held up" {
	ulimit -n 100
	start_queue q
	strace -D -qq -o probe true || skip "strace is missing or may not trace"
	mkfifo hold
	local i tracer clients=()
	for i in 1 2; do
		"$RAWCLIENT" q.sock behalf n1 7 hello 0 expect WELCOME wait <hold >>held &
		STARTED+=($!)
	done
	exec 8>hold
	both_are_held() { [ "$(grep -c WELCOME held)" = 2 ]; }
	wait_until 20 both_are_held
	# It is held up while it says that it is full: between accepting and reading.
	start strace -p "$QUEUE_PID" -qq -s 200 -o trace -e trace=write \
		-e inject=write:delay_exit=1500000:when=1
	tracer=$!
	wait_until 20 traced "$QUEUE_PID"
	kill -STOP "$QUEUE_PID"
	for i in {1..16}; do
		"$RAWCLIENT" q.sock hello 0 print asked expect WELCOME >>asked 8>&- &
		clients+=($!)
		STARTED+=($!)
	done
	all_ask() { [ "$(grep -c asked asked)" = 16 ]; }
	wait_until 20 all_ask
	kill -CONT "$QUEUE_PID"
	for i in "${clients[@]}"; do
		status_of "$i"
		assert_success
	done
	kill "$tracer"
	grep -q 'no more are accepted.*DELAYED' trace
	exec 8>&-
}

@test "rmq-queued: however many receivers there are, a turn hands out about 1 MiB" {
	local i
	strace -D -qq -o probe true || skip "strace is missing or may not trace"
	start_queue q
	head -c 12000000 /dev/zero | tr '\0' x | fold -w 1000 | rmq-send jobs
	mkfifo hold
	exec 8<>hold
	start strace -p "$QUEUE_PID" -qq -o trace -e trace=epoll_wait,epoll_pwait,sendmsg
	local tracer=$!
	wait_until 20 traced "$QUEUE_PID"
	kill -STOP "$QUEUE_PID"
	for i in $(seq 40); do
		"$RAWCLIENT" q.sock hello 0 subscribe 1 jobs credit 1 10000 print asked."$i" \
			wait <hold >asked."$i" 8>&- &
	done
	wait_until 20 all_asked 40
	kill -CONT "$QUEUE_PID"
	# All have what fits into their sockets, which they do not read.
	wait_until 20 sent_bytes 4000000
	kill "$tracer"
	exec 8>&-
	run turn_bytes_max
	[ "$output" -lt 2000000 ]
}

all_asked() {
	[ "$(cat asked.* | grep -c .)" -eq "$1" ]
}

# What it wrote to sockets so far, and at most between two waits for something to do.
sent_bytes() {
	[ "$(awk '/^sendmsg/ { n += $NF > 0 ? $NF : 0 } END { print n + 0 }' trace)" -ge "$1" ]
}

turn_bytes_max() {
	awk '/^epoll/ { n = 0 } /^sendmsg/ && $NF > 0 { n += $NF } n > m { m = n } END { print m + 0 }' trace
}

@test "rmq-queued: unread answers to questions do not pile up" {
	local i
	start_queue q
	for i in $(seq 100); do
		echo send "$i" "queue$i" x
	done | xargs "$RAWCLIENT" q.sock hello 0 >/dev/null
	mkfifo hold
	"$RAWCLIENT" q.sock hello 0 expect WELCOME list 3000 print asked wait <hold >asked &
	STARTED+=($!)
	exec 8>hold
	wait_until 60 logged asked asked
	run hello send 1 other x expect SENT
	assert_success
	[ "$(anon_kib "$QUEUE_PID")" -lt 32768 ]
	exec 8>&-
}

@test "rmq-queued: what a receiver held is handed out again soon when its process dies" {
	start_queue q
	hello send 1 jobs one expect SENT bye eof
	mkfifo hold
	"$RAWCLIENT" q.sock hello 0 subscribe 1 jobs credit 1 1 expect DELIVER wait <hold >held &
	local holder=$!
	STARTED+=($holder)
	exec 8>hold
	wait_until 20 logged DELIVER held
	kill -9 "$holder"
	# Its lease would run for 30 seconds, longer than the client waits.
	run hello subscribe 1 jobs credit 1 1 expect DELIVER
	assert_success
	assert_line --partial "attempt=2"
	exec 8>&-
}

@test "rmq-queued: the death of who speaks on behalf of a client elsewhere releases nothing" {
	start_queue q
	hello send 1 far one send 2 near two send 3 farther three expect SENT expect SENT \
		expect SENT bye eof
	mkfifo hold
	"$RAWCLIENT" q.sock behalf n2 1000 hello 0 subscribe 1 far credit 1 1 expect DELIVER \
		wait <hold >relayed &
	local relay=$!
	STARTED+=($relay)
	# One that says itself that it is not the client.
	"$RAWCLIENT" q.sock far hello 0 subscribe 1 farther credit 1 1 expect DELIVER \
		wait <hold >stdio &
	local stdio=$!
	STARTED+=($stdio)
	"$RAWCLIENT" q.sock hello 0 subscribe 1 near credit 1 1 expect DELIVER wait <hold >held &
	local holder=$!
	STARTED+=($holder)
	exec 8>hold
	wait_until 20 logged DELIVER relayed
	wait_until 20 logged DELIVER held
	wait_until 20 logged DELIVER stdio
	kill -9 "$relay" "$stdio"
	wait "$relay" "$stdio" || :
	kill -9 "$holder"
	# The later death has been noticed: so has the earlier one.
	run hello subscribe 1 near credit 1 1 expect DELIVER
	assert_success
	local queue
	for queue in far farther; do
		run hello subscribe 1 $queue credit 1 1 expect IDLE
		assert_success
		assert_line --partial "IDLE sub=1 leased=1 delayed=0"
	done
	exec 8>&-
}

@test "rmq-queued: a client with a key may do what its gate says, and its session is the key's" {
	start_queue q
	hello send 1 jobs one send 2 mail two expect SENT expect SENT bye eof
	web() { run "$RAWCLIENT" q.sock granted key:web 0 send:queue:jobs,recv:topic:a.* "$@"; }
	web hello 0 send 1 mail three expect FAILED send 1 none three expect FAILED list 1 \
		expect LIST_END send 1 jobs three expect SENT
	assert_line 'FAILED n=1 code=23 at=0 text=right "send" on queue mail is missing'
	assert_line 'FAILED n=1 code=23 at=0 text=right "send" on queue none is missing'
	assert_line --regexp "^LISTED .*queue=jobs .*ready=1"
	refute_line --partial "queue=mail"
	local session
	session=$(session_of behalf key:web 0)
	stop_queue
	start_queue q
	run "$RAWCLIENT" q.sock behalf key:worker 0 hello "$session" eof
	assert_line --partial "ERROR code=18"
	web hello "$session" bye eof
	assert_line --regexp "^WELCOME .*session=${session%:*} .*last=1"
	# What no gate says: a key that is a user, no name, and a kind of right that there is none of.
	local bad
	for bad in "granted key:web 1 send:queue:jobs" "granted key:we/b 0 send:queue:jobs" \
		"granted key:web 0 send:queue:a/b" "granted n1 0 send:queue:a/b"; do
		# shellcheck disable=SC2086
		run "$RAWCLIENT" q.sock $bad eof
		assert_output "ERROR code=22 text=protocol violation
eof"
	done
}

@test "rmq-queued: nobody goes on with the session of another user, whichever node he comes by" {
	start_queue q
	local session uid=$(($(id -u) + 1000))
	session=$(session_of behalf n2 "$uid")
	[[ $session =~ ^[0-9]+:[0-9a-f]{32}$ ]]
	local life who
	for life in first second; do
		for who in "behalf n2 $((uid + 1))" "behalf n3 $((uid + 1))" ""; do
			# shellcheck disable=SC2086
			run "$RAWCLIENT" q.sock $who hello "$session" eof
			assert_line --partial "ERROR code=18"
			refute_line --partial "WELCOME"
		done
		for who in "${session%:*}" "${session%??}00" "${session%:*}:00"; do
			[ "$who" != "$session" ] || continue
			run "$RAWCLIENT" q.sock behalf n2 "$uid" hello "$who" eof
			assert_line --partial "ERROR code=18"
		done
		[ "$life" = second ] || { stop_queue && start_queue q; }
	done
	assert_equal "$(rmq-journal dump q | jq -c ".events[]? | select(.session == ${session%:*} and .node) | del(.session)")" \
		'{"event":"session_owner","uid":'"$uid"',"node":"n2"}
{"event":"part_owner","uid":'"$uid"',"node":"n2"}'
	assert_equal "$(rmq-journal dump q | jq -c '.events[]? | select(.event | endswith("start")) | .tags' | sort -u)" '{"secret":null}'
	run "$RAWCLIENT" q.sock behalf n3 "$uid" hello "$session" eof
	assert_line --partial WELCOME
	run "$RAWCLIENT" q.sock behalf n2 "$uid" hello "$session" bye eof
	assert_line --regexp "^WELCOME .*session=${session%:*} .*last=1"
}

@test "rmq-queued: BEHALF comes first or not at all" {
	start_queue q
	run hello behalf n2 1000 eof
	assert_line --partial "ERROR code=22"
	run raw behalf n2 1000 behalf n2 1000 eof
	assert_line --partial "ERROR code=22"
	run raw hex 000000000f000000 eof
	assert_line --partial "ERROR code=22"
}

@test "rmq-queued: BEHALF of another user is refused, whoever may connect" {
	public_dir "$RAWCLIENT"
	start_queue q
	chmod 666 q.sock
	ln q.sock "$PUBLIC/sock"
	run "${OTHER[@]}" "$PUBLIC/${RAWCLIENT##*/}" "$PUBLIC/sock" behalf n2 0 eof
	assert_line --partial "ERROR code=23"
}

@test "rmq-queued: what a receiver held stays leased when only its connection ends" {
	start_queue q
	hello send 1 jobs one expect SENT bye eof
	mkfifo hold
	"$RAWCLIENT" q.sock hello 0 subscribe 1 jobs credit 1 1 expect DELIVER close print closed \
		wait <hold >held &
	STARTED+=($!)
	exec 8>hold
	wait_until 20 logged closed held
	run hello subscribe 1 jobs credit 1 1 expect IDLE
	assert_success
	assert_line --partial "IDLE sub=1 leased=1"
	exec 8>&-
}

@test "rmq-queued: a client that does not say HELLO within 30 seconds is disconnected" {
	[ -n "${RMQ_LONG:-}" ] || skip "takes half a minute: RMQ_LONG=1"
	start_queue q -v
	mkfifo hold
	"$RAWCLIENT" q.sock wait eof <hold >silent &
	STARTED+=($!)
	exec 8>hold
	wait_until 40 logged "did not say HELLO"
	exec 8>&-
	wait_until 20 logged eof silent
	hello
}

@test "rmq-queued: a directory of somebody else is 77, as rmq-journal says" {
	public_dir rmq-journal rmq-queued
	rmq-journal init "$PUBLIC/d"
	mkdir -m 777 "$PUBLIC/open"
	cd "$PUBLIC"
	run -77 "${OTHER[@]}" ./rmq-journal stat d
	run -77 "${OTHER[@]}" ./rmq-queued -d d -l open/sock
}

# ---- the full disk ----

@test "rmq-queued: a queue on a disk that others filled is emptied message by message, after kill -9 as well" {
	small_disk q 24m
	start_queue q
	seq 60000 | sed 's/$/ and some words that make it longer than a number would be/' >in
	rmq-send jobs <in
	fill_disk q
	rmq-recv --prefetch 1 -n 30000 jobs >first
	kill_queue
	start_queue q
	rmq-recv --prefetch 1 --drain jobs >second
	assert_equal "$(wc -l <first)" 30000
	# What was handed out and not settled when it was killed may come twice.
	sort -nu first second | cmp - in
	stop_queue
	run ! grep -v level=info q.log
	run -0 rmq-journal verify q
}

@test "rmq-queued: with a large state, too: 40,000 messages, every other one leased, are settled and taken on a full disk" {
	small_disk q 96m
	start_queue q
	rmq-queue create --lease 1h jobs
	seq 40000 | rmq-send jobs
	rmq-recv --prefetch 40000 --ack manual -o receipt -n 40000 jobs >receipts
	sed -n 'n;p' receipts | rmq-ack --release
	sed -n 'p;n' receipts >odd
	fill_disk q
	rmq-recv --prefetch 1 --lease 1h -n 10000 jobs >first
	rmq-ack <odd
	rmq-recv --prefetch 1 --drain jobs >second
	seq 2 2 40000 | cmp - <(cat first second)
	stop_queue
	run ! grep -v level=info q.log
	run -0 rmq-journal verify q
}

@test "rmq-queued: where there is no room for lock.mdb that is what it says: 74, no signal, no damage" {
	small_disk disk 128k
	rmq-journal init disk/q
	rm disk/q/lock.mdb
	fill_disk disk
	local command
	for command in "stat" "verify" "dump"; do
		run rmq-journal "$command" disk/q
		assert_failure 74
		assert_output --partial "disk/q: lock.mdb: No space left on device"
	done
	run rmq-queued -d disk/q -l s
	assert_failure 74
	assert_output --partial "lock.mdb: No space left on device"
	run rmq-journal init disk/other
	assert_failure 74
	# With all of it there a full disk is in nobody's way.
	rm disk/others
	rmq-journal stat disk/q >/dev/null
	fill_disk disk
	rmq-journal stat disk/q
}

@test "rmq-queued: its log says that the disk is full, and that there is room again" {
	small_disk q 24m
	start_queue q
	seq 2000000 | sed 's/$/ and some words that make it longer than a number would be/' >in
	rmq-send --window 1 jobs <in 2>>log 3>&- &
	STARTED+=($!)
	wait_until 30 logged "disk is full: new messages wait"
	rmq-recv --prefetch 20000 -n 200000 jobs >first
	wait_until 20 logged "there is room for new messages again"
}

@test "rmq-queued: SIGTERM ends it with 75 while the journal waits for space; so does its journal" {
	small_disk q 40m
	rmq-journal init q
	fill_disk q
	# Enough to start with, not to store with.
	truncate -s -1M q/others
	start_queue q
	journal=$(journal_pid)
	start rmq-queue create jobs
	local client=${STARTED[-1]}
	wait_until 20 logged "disk is full: records wait for space"
	# It would create it in the next daemon.
	kill -KILL "$client"
	kill -TERM "$QUEUE_PID"
	status_of "$QUEUE_PID"
	assert_failure 75
	logged "the journal has stored nothing for 5 s"
	wait_until 20 has_ended "$journal"
	rm q/others
	start_queue q
	run rmq-queue show jobs
	assert_failure 66
	stop_queue
}

@test "rmq-queued: a client that spends every turn holds up neither others nor the end of leases" {
	start_queue q
	rmq-queue create --lease 500ms work
	echo m | rmq-send work
	# Ranges, each of one message: half of a settlement's steps of a turn's work.
	seq 9000 | rmq-send many
	rmq-recv --ack manual -n 9000 --prefetch 9000 --lease 1h -o receipt many |
		awk 'NR % 2' | rmq-ack --release --delay 1h
	start "$RAWCLIENT" q.sock hello 0 expect WELCOME torment many 1 9000
	# Holds it, and says nothing.
	raw hello 0 subscribe 1 work credit 1 1 expect DELIVER eof >held 2>&1 3>&- &
	STARTED+=($!)
	wait_until 10 grep -q DELIVER held
	run timeout 10 rmq-recv -n 1 work
	assert_success
	assert_output m
	kill -0 "${STARTED[-2]}"
	run timeout 10 rmq-queue ls
	assert_success
}

@test "rmq-queued: where there is no directory for the socket or for -d, it says what to do" {
	run rmq-queued -d q --init -l nowhere/sock
	assert_failure 74
	assert_output --partial "(make its directory, or name another socket with -l)"
	run rmq-queued -d no/where --init -l sock
	assert_failure 74
	assert_output --partial "make its parent first"
}

@test "rmq-queued: a start that fails says why in one line, whoever finds it" {
	local dir
	mkdir empty
	: >file
	rmq-journal init cut
	truncate -s 4096 cut/data.mdb
	rmq-journal init old
	sed -i 's/^format .*/format 1/' old/identity
	for dir in nosuch empty file cut old; do
		refuses $dir
		assert_failure
		assert_equal "${#lines[@]}" 1
		assert_output --regexp "^rmq-journal: $dir: "
	done
	start_queue q
	refuses q
	assert_failure 75
	assert_output 'rmq-journal: q: is in use by another process'
	for dir in file no/such; do
		refuses $dir --init
		assert_failure
		assert_equal "${#lines[@]}" 1
	done
	kill_queue
	# What it does not say itself is said for it.
	cp "$(command -v rmq-queued)" .
	printf '#!/bin/sh\nkill -9 $$\n' >rmq-journal
	chmod +x rmq-journal
	run timeout 30 ./rmq-queued -l other.sock -d q 3>&-
	assert_failure 74
	assert_output 'rmq-queued: q: journal was killed by signal 9'
}

# A backup of version 2 as it was first written, and one with tagged fields that nobody knows.  They
# are read for ever: whoever changes the format leaves these as they are.
@test "rmq-queued: backups as they were first written are read for ever" {
	base64 -d >1.backup <<-END
	HgAAAAEAAABybXFiAgAAAAAAAAAAADAxMjM0NTY3ODlhYmNkZWYQAAAAAwAAAAEAAAAAAAAABAAA
	AAAAAAD9AAAAAgAAAAIBAADdAAAAAQAAAAAAAAAEAAAAAAAAANUXg3+MsWa/6AMAAAAAAAAAaOXP
	iwEAABYABgABAAAAAAABAC0AAQAAAAFxMHUAABAAAADoAwAAAAAAAGDqAAAAAAAAAAAQAAAAAAAA
	ABAAAAAABgAwAAEAAAABAAAAAQAAAAEAAAAAAAAAAQAAAAAAAAAAAAIAAAAEAAoAb25lCnRocmVl
	CgoAKAABAAAAAQAAAAEAAAABAAAAAAAAAAEAAAAAAAAAAQAAAAAAAAAwdQAACwAuAAEAAAABAAAA
	AQAAAAIAAAAAAAAAAAAAAAAAAQAAAAAAAAABAAAAAAAAAAEAAAAgAAAABAAAAAEAAAAAAAAAAgAA
	AAAAAAAEAAAAAAAAAN4OZk7D0lrU
	END
	base64 -d >2.backup <<-END
	HgAAAAEAAABybXFiAgAAAAAAAAAAADAxMjM0NTY3ODlhYmNkZWYQAAAAAwAAAAEAAAAAAAAABAAA
	AAAAAAAhAQAAAgAAAAIBAAABAQAAAQAAAAAAAAAEAAAAAAAAAIPv8h9GmjC36QMAAAAAAAAAaOXP
	iwEAABYADwABAAAACQD/+QUAbGF0ZXIBADYAAQAAAAFxMHUAABAAAADoAwAAAAAAAGDqAAAAAAAA
	AAAQAAAAAAAAABAAAAkA//kFAGxhdGVyBgA5AAEAAAABAAAAAQAAAAEAAAAAAAAAAQAAAAAAAAAJ
	AP/5BQBsYXRlcgIAAAAEAAoAb25lCnRocmVlCgoAKAABAAAAAQAAAAEAAAABAAAAAAAAAAEAAAAA
	AAAAAQAAAAAAAAAwdQAACwA3AAEAAAABAAAAAQAAAAIAAAAAAAAAAAAAAAkA//kFAGxhdGVyAQAA
	AAAAAAABAAAAAAAAAAEAAAAgAAAABAAAAAEAAAAAAAAAAgAAAAAAAAAEAAAAAAAAAIVBjWc3m9dR
	END
	local dir
	for dir in 1 2; do
		run -0 rmq-journal restore "$dir" <"$dir.backup"
		start_queue "$dir"
		# Its session has no owner and no token yet.
		run -0 raw hello 4294967297 expect WELCOME bye eof
		assert_line --regexp "^WELCOME .*session=4294967297 last=2 "
		run -0 rmq-recv --drain q
		assert_output three
		stop_queue
		run -0 rmq-journal verify "$dir"
		assert_output ""
	done
}

# ---- a damaged record ----

# garble DIR TEXT: one byte of each copy of TEXT in the data file.
garble() {
	local at
	for at in $(grep -abo "$2" "$1/data.mdb" | cut -d : -f 1); do
		printf X | dd of="$1/data.mdb" bs=1 seek="$at" conv=notrunc status=none
	done
}

# three_records: 1 to 300 in three records of 100 messages, and a daemon that is not running.
three_records() {
	start_queue q
	seq 100 | rmq-send jobs
	seq 101 200 | rmq-send jobs
	seq 201 300 | rmq-send jobs
	stop_queue
}

# all_but_second: what can be read arrives as it was sent, and the counts are right.
all_but_second() {
	rmq-recv --drain jobs >out
	{ seq 100 && seq 201 300; } | cmp - out
	assert_equal "$(rmq-queue show jobs ready leased delayed failed dead lost | xargs)" \
		'0 0 0 0 0 100'
	assert_equal "$(rmq-queue ls | cut -f 1)" jobs
}

@test "rmq-queued: a garbled byte in a record costs the messages in it and no others" {
	three_records
	garble q 155
	start_queue q
	all_but_second
	logged ' q: queue jobs: 101..200 lost (100 messages): record [0-9]*: its checksum is wrong$'
	assert_equal "$(rmq-queue show jobs | grep '^lost')" $'lost\t100'
	assert_equal "$(rmq-queue stat jobs | cut -f 7)" 100
	# Told once, and remembered.
	stop_queue
	start_queue q
	assert_equal "$(rmq-queue show jobs ready lost | xargs)" '0 100'
	assert_equal "$(grep -c lost q.log)" 1
	stop_queue
	run -0 rmq-journal verify q
}

@test "rmq-queued: a garbled record is found by peek as well, and its holder is told" {
	three_records
	start_queue q
	rmq-recv --ack manual --prefetch 100 -n 100 -o receipt jobs >receipts
	stop_queue
	garble q '^55$'
	garble q 155
	start_queue q
	assert_equal "$(rmq-queue peek jobs -n 300 --state leased,ready | wc -l)" 100
	assert_equal "$(rmq-queue show jobs ready leased lost | xargs)" '100 0 200'
	run -1 rmq-ack <receipts
	assert_line --partial stale
	stop_queue
}

@test "rmq-queued: a quarantined record costs the messages in it and no others" {
	three_records
	garble q 155
	run -0 rmq-journal verify --quarantine q
	run -0 rmq-journal verify q
	start_queue q
	all_but_second
	stop_queue
}

# comes_to_rest: the daemon of ./q stores nothing more by itself.  Each question is a turn of it, in
# which it could do what it thinks is due.
at_rest() {
	local before i
	before=$(rmq-journal stat q | grep ^last)
	for i in {1..40}; do
		rmq-queue ls >/dev/null
	done
	[ "$(rmq-journal stat q | grep ^last)" = "$before" ]
}

comes_to_rest() {
	local written journal
	journal=$(journal_pid)
	wait_until 60 at_rest
	written=$(grep ^write_bytes: "/proc/$journal/io")
	at_rest
	assert_equal "$(grep ^write_bytes: "/proc/$journal/io")" "$written"
}

# six_of_seven N: of the next N messages, the others stay leased.
six_of_seven() {
	rmq-recv -n "$1" --ack manual --prefetch "$1" --lease 1d -o receipt jobs | awk 'NR % 7' | rmq-ack
}

@test "rmq-queued: with messages sent one by one, most of them settled, it comes to rest" {
	start_queue q
	# A line is a write, and often a batch.
	dash -c 'i=0; while [ $i -lt 50000 ]; do echo $i; i=$((i + 1)); done' | rmq-send jobs
	six_of_seven 42000
	[ "$(rmq-queue show jobs ready leased | xargs)" = '8000 6000' ]
	comes_to_rest
}

@test "rmq-queued: with short messages of which each seventh is left, it comes to rest" {
	start_queue q
	local i
	seq 1000000 3097087 | rmq-send jobs
	for i in {1..16}; do
		six_of_seven 131068
	done
	[ "$(rmq-queue show jobs ready leased | xargs)" = '0 299584' ]
	comes_to_rest
}
