#!/usr/bin/env bats
# Clients of other machines, with keys, at a gate in front of one node.  What the gate itself promises
# is in rmq-gated-clients.bats.

bats_require_minimum_version 1.5.0
load common

# Without a terminal, as in a script.
setup() {
	cd "$BATS_TEST_TMPDIR" || return 1
	unset XDG_RUNTIME_DIR RMQ_SERVERS RMQ_TIMEOUT NOTIFY_SOCKET LISTEN_FDS LISTEN_PID
	unset RMQ_KEYFILE RMQ_KNOWN_NODES
	STARTED=()
	export XDG_CONFIG_HOME=$PWD/config HOME=$PWD/home
	mkdir -p config/rmq
}

# gate [OPTION…]: a queue and a gate in front of it; RMQ_SERVERS is the gate, UNIX the queue.
gate() {
	local line
	start_queue q
	UNIX=$RMQ_SERVERS
	[ -e gate.key ] || rmq-keygen gate.key >gate.pub
	[ -e config/rmq/key ] || rmq-keygen config/rmq/key >me.pub
	[ -e rights ] || printf 'admin queue="*" %s web\n' "$(cat me.pub)" >rights
	free_port
	again "$@"
	export RMQ_SERVERS=127.0.0.1:$PORT
}

# again [OPTION…]: the gate, at the same port.
again() {
	rm -f gate.ready
	mkfifo gate.ready
	rmq-gated --name n1 --key gate.key --control none --queue-socket q.sock --rights rights \
		--gate-listen "127.0.0.1:$PORT" --ready-fd 9 -v "$@" \
		>>gate.log 2>&1 3>&- 9>gate.ready </dev/null &
	GATE_PID=$!
	STARTED+=("$GATE_PID")
	IFS= read -r -t 30 line <gate.ready
}

# known [FILE]: its line in the file of known nodes.
known() {
	printf '%s %s n1 -\n' "$RMQ_SERVERS" "$(cat gate.pub)" >"${1:-config/rmq/known_nodes}"
	chmod 600 "${1:-config/rmq/known_nodes}"
}

@test "remote: what is sent is received, listed and settled, over TCP as over a Unix socket" {
	gate
	known
	seq 1 20000 | rmq-send jobs
	rmq-queue create other
	run -0 rmq-queue ls
	assert_line --partial jobs
	assert_line --partial other
	rmq-recv -S "$UNIX" -n 1 jobs >first
	rmq-recv --drain jobs >rest
	cat first rest | cmp - <(seq 1 20000)
	echo late | rmq-send jobs
	run -0 rmq-recv --ack manual -o receipt -n 1 jobs
	run -0 rmq-ack "$output"
	run -0 rmq-queue show jobs ready
	assert_output 0
}

@test "remote: large messages pass, both ways" {
	gate
	known
	head -c 1000000 /dev/urandom >large
	rmq-send -w jobs <large
	rmq-recv --raw -n 1 jobs | cmp - large
}

@test "remote: a gate that is not known is refused in a script, which is told what to do; --accept-new" {
	gate
	run -77 setsid -w rmq-send jobs a
	assert_output --partial "rmq-send: jobs: $RMQ_SERVERS: its key is not known"
	assert_line "rmq-send: a line for $PWD/config/rmq/known_nodes would be: $RMQ_SERVERS $(cat gate.pub) n1 -"
	assert_output --partial "$(rmq-keygen -l gate.key | cut -d' ' -f1)"
	assert_output --partial "--accept-new"
	run -0 setsid -w rmq-send --accept-new jobs a
	run -0 cat config/rmq/known_nodes
	assert_output "$RMQ_SERVERS $(cat gate.pub) n1 -"
	run -0 setsid -w rmq-send jobs b
	run -0 rmq-queue -S "$UNIX" show jobs ready
	assert_output 2
}

@test "remote: on a terminal it is asked about" {
	gate
	say() { script -qec "rmq-send jobs a" /dev/null; }
	# ^C ends it by the signal.
	mkfifo keys
	env --default-signal=INT script -qefc "rmq-send jobs a" said >/dev/null <keys 3>&- &
	STARTED+=($!)
	exec 8>keys
	wait_until 20 grep -q 'yes/no' said
	printf '\003' >&8
	exec 8>&-
	status_of $!
	assert_equal "$status" 130
	run -77 say <<<no
	assert_output --partial "$(cat gate.pub)"
	assert_output --partial "its key is not trusted"
	[ ! -e config/rmq/known_nodes ]
	# Who has said no is not asked again, however long another contact point is waited for.
	run -75 script -qec "rmq-send --timeout 300ms -S $RMQ_SERVERS,127.0.0.1:1 jobs a" /dev/null <<<no
	assert_equal "$(grep -c 'yes/no' <<<"$output")" 1
	run -0 say <<<yes
	run -0 rmq-queue show jobs ready
	assert_output 1
}

@test "remote: a known address with another key is refused, and nothing is sent" {
	gate
	rmq-keygen other.key >gate.pub
	known
	run -77 rmq-send jobs a
	assert_output --partial "rmq-send: jobs: $RMQ_SERVERS: it has another key than known, of fingerprint $(rmq-keygen -l gate.key | cut -d' ' -f1)"
	assert_output --partial "and correct $PWD/config/rmq/known_nodes: 0 of"
	run -66 rmq-queue -S "$UNIX" show jobs
}

@test "remote: a name leads to several gates: each of its addresses is tried, and each known key is right there" {
	[ "$(id -u)" -eq 0 ] || skip "needs root, to give a name two addresses"
	gate
	rmq-keygen two.key >two.pub
	again --name n2 --key two.key --gate-listen "127.0.0.2:$PORT"
	local hosts line name=gates.example:$PORT
	named() {
		printf '127.0.0.%s gates.example\n' $1 >hosts
		unshare -m --propagation private sh -c 'mount --bind hosts /etc/hosts && exec "$@"' - \
			rmq-send -S "$name" jobs a
	}
	echo "$name $(cat gate.pub) n1 -" >config/rmq/known_nodes
	chmod 600 config/rmq/known_nodes
	for hosts in "1 2" "2 1" "3 1"; do
		run -0 named "$hosts"
	done
	run -77 named 2
	assert_output --partial "it has another key than"
	echo "$name $(cat two.pub) n2 -" >>config/rmq/known_nodes
	for hosts in 1 2 "2 1"; do
		run -0 named "$hosts"
	done
	run -0 rmq-queue -S "$UNIX" show jobs ready
	assert_output 6
}

@test "remote: --keyfile and --known-nodes come before the environment" {
	gate
	known elsewhere
	mv config/rmq/key mine
	export RMQ_KEYFILE=absent RMQ_KNOWN_NODES=absent
	run -0 rmq-send --keyfile mine --known-nodes elsewhere jobs a
	run -78 rmq-send --known-nodes elsewhere jobs a
	run -77 setsid -w rmq-send --keyfile mine jobs a
	[ ! -e absent ]
}

@test "remote: a gate that does not know our key says so to nobody; the client guesses, with 77" {
	gate
	known
	rmq-keygen stranger.key >stranger.pub
	RMQ_KEYFILE=stranger.key run -77 rmq-send jobs a
	assert_output --partial "$RMQ_SERVERS: it does not know our key $(cat stranger.pub): ask for a line in its rights file"
}

@test "remote: no key is 78, one that others can read 77" {
	gate
	known
	chmod 644 config/rmq/key
	run -77 rmq-send jobs a
	assert_output --partial "$PWD/config/rmq/key: mode is 0644"
	rm config/rmq/key
	run -78 rmq-send jobs a
	assert_output --partial "rmq-send: jobs: there is no key $PWD/config/rmq/key: make one: rmq-keygen"
	# Who needs none is not asked for one, and is tried whatever others need.
	run -0 rmq-send -S "$UNIX" jobs a
	run -0 rmq-send -S "$RMQ_SERVERS,$UNIX" jobs b
	run -75 rmq-send --timeout 0 -S "unix:none.sock,$RMQ_SERVERS" jobs c
	assert_output --regexp "none.sock.*there is no key|there is no key"
	run -78 rmq-send -S "127.0.0.1:1,$RMQ_SERVERS" jobs d
}

@test "remote: nobody there is said in time, with the address and why" {
	gate
	known
	kill "$GATE_PID"
	wait "$GATE_PID" || :
	run -75 rmq-send --timeout 100ms jobs a
	assert_output --partial "no daemon answers at $RMQ_SERVERS (Connection refused)"
	run -75 rmq-send --timeout 100ms -S nobody.invalid jobs a
	assert_output --partial "no daemon answers at nobody.invalid:7411 ("
}

@test "remote: a client goes on when its gate is there again" {
	gate
	known
	mkfifo lines
	rmq-send jobs <lines 2>sent.log 3>&- &
	sender=$!
	STARTED+=("$sender")
	exec 8>lines
	seq 1 1000 >&8
	wait_until 20 eval '[ "$(rmq-queue -S "$UNIX" show jobs ready 2>/dev/null)" = 1000 ]'
	kill -9 "$GATE_PID"
	wait "$GATE_PID" || :
	again 8>&-
	seq 1001 2000 >&8
	exec 8>&-
	status_of "$sender"
	assert_success
	rmq-recv -S "$UNIX" --drain jobs | cmp - <(seq 1 2000)
}

@test "remote: the queue daemon starts anew, and a client goes on over the connection that it has" {
	gate
	known
	local receiver pid=$QUEUE_PID
	rmq-recv -n 2 jobs >got 2>recv.log 3>&- &
	receiver=$!
	STARTED+=("$receiver")
	rmq-send -S "$UNIX" jobs a
	wait_until 20 grep -q a got
	kill -9 "$pid"
	wait "$pid" || :
	start_queue q
	rmq-send -S "$UNIX" jobs b
	status_of "$receiver"
	assert_success
	run -0 cat got
	assert_output $'a\nb'
	run -0 grep -c 'client web at' gate.log
	assert_output 1
}

@test "remote: the first of several contact points that serves it is used" {
	gate
	known
	run -0 rmq-send -S "unix:none.sock,$RMQ_SERVERS" jobs a
	run -0 rmq-send -S "127.0.0.1:1,$RMQ_SERVERS" jobs b
	run -0 rmq-queue -S "$UNIX" show jobs ready
	assert_output 2
}

@test "remote: a signal ends a client that waits for its gate" {
	gate
	known
	kill -STOP "$GATE_PID"
	rmq-send jobs a 3>&- &
	STARTED+=($!)
	local pid=$!
	wait_until 20 grep -q "$(printf ':%04X 01 ' "$PORT")" /proc/net/tcp
	kill -TERM "$pid"
	status_of "$pid"
	assert_equal "$status" 143
	kill -CONT "$GATE_PID"
}

@test "remote: of a contact point that is a command, what it says on stderr is seen, and its end" {
	run -75 rmq-send --timeout 0 -S "exec:echo no host >&2; exit 3" jobs a
	assert_line "no host"
	assert_line --partial "no daemon answers at exec:echo no host >&2; exit 3 (it ended with status 3)"
	run -69 rmq-recv --timeout 0 -S "exec:sleep 0.1 & exit 4" jobs true
	assert_line --partial "(it ended with status 4)"
	run -76 rmq-send -S "exec:echo Welcome to mq.; cat" jobs a
	assert_output --partial "what comes there is not of rmq, as when a login script prints: Welcome to mq."
	# One that has not answered yet is owed nothing, and ends with all that it runs.
	local program pid begin=$SECONDS
	for program in "rmq-recv jobs" "rmq-send jobs a"; do
		rm -f runs
		RMQ_SERVERS="exec:exec 5>held; flock 5; touch runs; sleep 97; touch more" $program 3>&- &
		STARTED+=($!)
		pid=$!
		wait_until 20 test -e runs
		kill -TERM "$pid"
		status_of "$pid"
		assert_equal "$status" "$([ "$program" = "rmq-recv jobs" ] && echo 0 || echo 143)"
		flock -w 5 held test ! -e more
	done
	[ $((SECONDS - begin)) -lt 5 ]
}

@test "remote: a gate's key is changed while clients go on, and learn the new one" {
	gate
	known
	known other
	rmq-send jobs a
	kill -TERM "$GATE_PID"
	wait "$GATE_PID" || true
	mv gate.key old.key
	rmq-keygen gate.key >gate.pub
	again --old-key old.key
	run -0 rmq-send jobs b
	assert_output "rmq-send: it has a newer key, and is known from now on as: $RMQ_SERVERS $(cat gate.pub) n1 -"
	run -0 rmq-send jobs c
	assert_output ""
	run grep -o "client .* at\|, by old-key" gate.log
	assert_output --regexp "client web at
, by old-key
client web at$"
	kill -TERM "$GATE_PID"
	wait "$GATE_PID" || true
	again
	run -0 rmq-recv --drain jobs
	assert_output $'a\nb\nc'
	# Who was not there meanwhile has to be told by somebody.
	run -77 rmq-send --known-nodes other jobs d
}

@test "remote: a client's key is changed: both are valid for a while, and are the same client" {
	gate
	known
	printf '%s\n' a b >in
	rmq-send --resume in jobs <in
	rmq-recv --ack manual -n 1 jobs >/dev/null
	# One that runs meanwhile goes on with the new one.
	rmq-recv -n 1 later >later 2>later.err 3>&- &
	local waits=$!
	STARTED+=("$waits")
	wait_until 20 eval '[ "$(rmq-queue ls -o receivers later)" = 1 ]'
	rmq-keygen new.key >new.pub
	printf 'admin queue="*" %s web\n' "$(cat new.pub)" >>rights
	kill -HUP "$GATE_PID"
	wait_until 10 rmq-queue --keyfile new.key ls
	rmq-queue ls
	mv new.key config/rmq/key
	echo "admin queue=\"*\" $(cat new.pub) web" >rights
	kill -HUP "$GATE_PID"
	echo c >>in
	run -0 rmq-send --resume in --pass jobs <in
	assert_output $'a\nb\nc'
	run -0 rmq-queue show jobs sent
	assert_output 3
	rmq-send later x
	status_of "$waits"
	assert_success
	[ "$(cat later)" = x ]
	# One whose key is gone, and has no other, is told so.
	rmq-recv later 2>later.err 3>&- &
	STARTED+=($!)
	wait_until 20 eval '[ "$(rmq-queue ls -o receivers later)" = 1 ]'
	echo none >rights
	kill -HUP "$GATE_PID"
	status_of "${STARTED[-1]}"
	assert_failure 77
	grep -q "our key has no rights now" later.err
}

@test "remote: noise in a handshake does not count as having been let in" {
	gate
	known
	kill -TERM "$GATE_PID"
	wait "$GATE_PID" || true
	# At first noise, then the end that a stranger gets, and the question who it is: another key.
	start python3 -c '
import base64, socket, struct, sys
s = socket.create_server(("127.0.0.1", int(sys.argv[1])))
open("listens", "w")
key = base64.b64decode(sys.argv[2])
text = lambda b: bytes([len(b)]) + b
who = struct.pack("<IH", 0x6c716d72, 1) + text(key) + text(b"n1") + text(b"") + struct.pack("<H", 0)
s.accept()[0].sendall(bytes([200]) * 60)
while True:
    c, _ = s.accept()
    try:
        if c.recv(1, socket.MSG_PEEK) == b"?":
            c.sendall(struct.pack("<H", len(who)) + who)
        else:
            c.recv(200)
    except ConnectionError:
        pass  # Its client has ended.
    c.close()
' "$PORT" "$(sed 's/^rmq1://' me.pub)"
	wait_until 10 test -e listens
	run -77 rmq-send --timeout 10s jobs a
	assert_output --partial "it has another key than"
}
