#!/usr/bin/env bats
# The gate: where clients come to on each node.  The nodes are made up (fakenode.c), the queue
# daemon and the links between the gates are real.

bats_require_minimum_version 1.5.0
load common

FAKENODE=${RMQ_BUILD:-$BATS_TEST_DIRNAME/../../build/${MODE:-release}}/cli/fakenode

logged() {
	grep -q -- "$1" "$2"
}

declare -gA TELL KEY PORT GATE FILES # FILES: that a gate may have open

# tell NODE LINE…: says so to the made-up rmq-clusterd of NODE.
tell() {
	local node=$1
	shift
	printf '%s\n' "$@" >&"${TELL[$node]}"
}

# node NAME: its key, and a made-up rmq-clusterd on NAME.ctl that knows no cluster.
node() {
	local name=$1 fd
	[ -e "$name.key" ] || rmq-keygen "$name.key" >/dev/null
	KEY[$name]=$(rmq-keygen -y "$name.key" | cut -d' ' -f1)
	[ -n "${PORT[$name]:-}" ] || free_port "PORT[$name]"
	mkfifo "$name.in"
	"$FAKENODE" "$name.ctl" <"$name.in" >"$name.out" 2>"$name.err" 3>&- &
	STARTED+=($!)
	NODE_PID=$!
	exec {fd}>"$name.in"
	TELL[$name]=$fd
	wait_until 20 grep -q READY "$name.out"
	tell "$name" "me $name"
}

# members NODE NAME…: NODE knows these members.
members() {
	local node=$1 name
	shift
	for name; do
		tell "$node" "member $name joined voter up" "key $name ${KEY[$name]}" \
			"gate $name 127.0.0.1:${PORT[$name]}"
	done
}

# gate NAME [OPTION…]: the gate of that node, on NAME.sock; it is ready on return.
gate() {
	local name=$1 line
	shift
	rm -f "$name.ready"
	mkfifo "$name.ready"
	bash -c 'ulimit -n "$0"; exec rmq-gated "$@"' "${FILES[$name]:-$(ulimit -n)}" \
		--name "$name" --key "$name.key" --gate-listen "127.0.0.1:${PORT[$name]}" \
		--control "$name.ctl" --socket "$name.sock" --ready-fd 9 -v "$@" \
		>>"$name.log" 2>&1 3>&- 9>"$name.ready" </dev/null &
	GATE_PID=$!
	GATE[$name]=$GATE_PID
	STARTED+=("$GATE_PID")
	if ! IFS= read -r -t 30 line <"$name.ready"; then
		cat "$name.log" >&2
		return 1
	fi
}

# pair [OPTION…]: n1 leads and has the queue, q.sock; n2 follows; both have gates.
pair() {
	local name
	start_queue q
	node n1
	node n2
	for name in n1 n2; do
		members "$name" n1 n2
		tell "$name" "leader n1"
		gate "$name" "$@"
	done
	tell n1 "role leader" "serve q.sock"
	tell n2 "role follower"
	wait_until 20 logged "to n1" n2.log
}

anon_kib() {
	awk '/^RssAnon:/ { print $2 }' "/proc/$1/status"
}

# ---- options ----

@test "rmq-gated: usage errors are 64, bad settings 78, each with a line" {
	run rmq-gated surplus
	assert_failure 64
	run rmq-gated --nonsense
	assert_failure 64
	run rmq-gated --key key
	assert_failure 78
	assert_line --partial "name"
	printf 'name = n1\nnonsense = 1\n' >conf
	run rmq-gated -c conf
	assert_failure 78
	assert_line --partial "conf:2:"
	rmq-keygen key >/dev/null
	echo 'send queue="a"' >rights
	run -78 rmq-gated --name n1 --key key --rights rights
	assert_output "rmq-gated: rights:1: who may do it is missing: rmq1:KEY NAME, user:NAME or group:NAME"
}

@test "rmq-gated: -h and -V print to stdout and exit 0" {
	run --separate-stderr rmq-gated -h
	assert_success
	assert_line --partial "usage: rmq-gated"
	run --separate-stderr rmq-gated -V
	assert_success
	assert_output --regexp '^rmq-gated [0-9]'
}

@test "rmq-gated: a key that others may read is refused: 77" {
	rmq-keygen key >/dev/null
	chmod 644 key
	free_port "PORT[n1]"
	run rmq-gated --name n1 --key key --gate-listen "127.0.0.1:${PORT[n1]}" --socket rmq.sock
	assert_failure 77
	assert_output --partial "rmq-gated: key: key: "
	[ ! -e rmq.sock ]
	chmod 600 key
	run -78 rmq-gated --name n1 --key nosuch --socket rmq.sock
	assert_output "rmq-gated: key: nosuch: No such file or directory"
	run -78 rmq-gated --name n1 --key key --old-key nosuch --socket rmq.sock
	assert_output "rmq-gated: old-key: nosuch: No such file or directory"
	run -78 rmq-gated --name n1 --key key --gate-listen 192.0.2.1:7411 --socket rmq.sock
	assert_output --partial "rmq-gated: gate-listen: 192.0.2.1:7411: "
}

@test "rmq-gated: settings come from the file, options override them; SIGTERM ends it with 0" {
	node n1
	printf 'name = n1\nkey = n1.key\ngate-listen = 127.0.0.1:%s\nsocket = no/such.sock\n' \
		"${PORT[n1]}" >conf
	gate n1 -c conf
	kill -TERM "$GATE_PID"
	status_of "$GATE_PID"
	assert_success
	[ ! -e n1.sock ]
}

@test "rmq-gated: a port or a socket that is taken is 75" {
	node n1
	gate n1
	run rmq-gated --name n1 --key n1.key --gate-listen "127.0.0.1:${PORT[n1]}" --socket other.sock
	assert_failure 75
	assert_output "rmq-gated: gate-listen: 127.0.0.1:${PORT[n1]}: the port is taken"
	[ ! -e other.sock ]
	free_port "PORT[other]"
	run rmq-gated --name n1 --key n1.key --gate-listen "127.0.0.1:${PORT[other]}" --socket n1.sock
	assert_failure 75
	assert_line --partial "another daemon listens there"
}

@test "rmq-gated: a stale socket is replaced, and gains no privileges" {
	node n1
	gate n1
	kill -9 "$GATE_PID"
	wait "$GATE_PID" || :
	[ -S n1.sock ]
	gate n1
	grep -q "NoNewPrivs:.1" "/proc/$GATE_PID/status"
}

# ---- local clients ----

@test "rmq-gated: without a leader clients are told to come back" {
	node n1
	gate n1
	run "$RAWCLIENT" n1.sock hello 0 eof
	assert_line --regexp "^NOT_YET ms=[0-9]+$"
	run rmq-send -S unix:n1.sock --timeout 1 jobs hello
	assert_failure 75
}

@test "rmq-gated: without rmq-clusterd clients are told to come back, until it is there" {
	start_queue q
	rmq-keygen n1.key >/dev/null
	free_port "PORT[n1]"
	gate n1
	run "$RAWCLIENT" n1.sock hello 0 eof
	assert_line --partial NOT_YET
	rmq-send -S unix:n1.sock jobs hello 2>sent 3>&- &
	local sender=$!
	STARTED+=($sender)
	node n1
	members n1 n1
	tell n1 "leader n1" "role leader" "serve q.sock"
	status_of "$sender"
	assert_success
}

@test "rmq-gated: when rmq-clusterd dies clients are told to come back, until it is there again" {
	start_queue q
	node n1
	members n1 n1
	tell n1 "leader n1" "role leader" "serve q.sock"
	gate n1
	rmq-send -S unix:n1.sock jobs one
	kill -9 "$NODE_PID"
	wait "$NODE_PID" || :
	come_back() {
		"$RAWCLIENT" n1.sock hello 0 eof | grep -q NOT_YET
	}
	wait_until 20 come_back
	wait_until 20 logged "hung up" n1.log
	kill -0 "$GATE_PID"
	rm n1.in
	node n1
	members n1 n1
	tell n1 "leader n1" "role leader" "serve q.sock"
	rmq-send -S unix:n1.sock jobs two
	run rmq-recv -S unix:n1.sock --drain jobs
	assert_output $'one\ntwo'
}

# clusterd_of VERSION: on older.ctl, n1's made-up rmq-clusterd as if VERSION were the newest that it speaks; each
# HELLO is a line of `spoken`.
clusterd_of() {
	/usr/bin/python3 - "$1" 3>&- <<-'END' &
		import os, socket, struct, sys, threading
		def copy(a, b):
		    while data := a.recv(65536):
		        b.sendall(data)
		    b.shutdown(socket.SHUT_WR)
		def pump(*sockets):
		    try:
		        copy(*sockets)
		    except OSError:
		        pass
		newest = int(sys.argv[1])
		s = socket.socket(socket.AF_UNIX)
		s.bind("older.new")
		s.listen()
		os.rename("older.new", "older.ctl")
		while True:
		    c, _ = s.accept()
		    hello = c.recv(14, socket.MSG_WAITALL)
		    version = struct.unpack("<H", hello[12:])[0]
		    print("takes" if version <= newest else "refuses", version, file=open("spoken", "a"))
		    if version > newest:
		        error = bytes([21, 5]) + b"older"
		        c.sendall(struct.pack("<IBBH", len(error), 68, 0, 0) + error)
		        c.close()
		        continue
		    d = socket.socket(socket.AF_UNIX)
		    d.connect("n1.ctl")
		    d.sendall(hello)
		    for way in ((c, d), (d, c)):
		        threading.Thread(target=pump, args=way, daemon=True).start()
	END
	STARTED+=($!)
	wait_until 20 test -S older.ctl
}

@test "rmq-gated: rmq-clusterd of an older version is asked in that one, and in the newest when it is another one" {
	start_queue q
	node n1
	members n1 n1
	tell n1 "leader n1" "role leader" "serve q.sock"
	clusterd_of 1
	gate n1 --control "$PWD/older.ctl"
	rmq-send -S unix:n1.sock jobs one
	run cat spoken
	assert_output $'refuses 2\ntakes 1'
	kill "${STARTED[-2]}"
	rm older.ctl
	clusterd_of 2
	wait_until 20 grep -qx "takes 2" spoken
	rmq-send -S unix:n1.sock jobs two
	run cat spoken
	assert_output $'refuses 2\ntakes 1\ntakes 2'
	run rmq-recv -S unix:n1.sock --drain jobs
	assert_output $'one\ntwo'
}

@test "rmq-gated: where the queue is, clients are redirected to it" {
	start_queue q
	node n1
	gate n1
	members n1 n1
	tell n1 "leader n1" "role leader" "serve q.sock"
	run rmq-send -S unix:n1.sock jobs hello
	assert_success
	run rmq-recv -S unix:n1.sock --drain jobs
	assert_output hello
	run "$RAWCLIENT" n1.sock hello 0 eof
	assert_line "REDIRECT address=unix:q.sock"
}

@test "rmq-gated: a client is kept waiting for a leader that comes soon, and not sent away" {
	start_queue q
	node n1
	gate n1
	members n1 n1
	"$RAWCLIENT" n1.sock hello 0 eof >said 3>&- &
	local client=$!
	STARTED+=($client)
	tell n1 "leader n1" "role leader" "serve q.sock"
	wait "$client"
	# It is fast as a rule; who is late is told to come back.
	grep -qE "REDIRECT|NOT_YET" said
}

@test "rmq-gated: another version is 76, what is no HELLO too" {
	node n1
	gate n1
	# A HELLO of version 3, longer than ours.
	run "$RAWCLIENT" n1.sock hex 200000000100000072 hex 6d7131030003 hex 00 eof
	assert_line --partial "ERROR code=21"
	run "$RAWCLIENT" n1.sock hex 160000000100000000000000 hex 01000100 eof
	assert_line --partial "ERROR code=21"
	run "$RAWCLIENT" n1.sock behalf n2 0 eof
	assert_line --partial "ERROR code=22"
	run "$RAWCLIENT" n1.sock send 1 jobs hello eof
	assert_line --partial "ERROR code=22"
	run "$RAWCLIENT" n1.sock hex ffffffffffffffffffffffff eof
	assert_line --partial "ERROR code=22"
	run "$RAWCLIENT" n1.sock hex 0200000001000000 hex 0000 eof
	assert_line --partial "ERROR code=22"
	run "$RAWCLIENT" n1.sock slow 5 hello 0 eof
	assert_line --partial NOT_YET
}

# ---- relaying ----

@test "rmq-gated: a client of another node is relayed, both ways" {
	pair
	seq 1 50000 >lines
	run rmq-send -S unix:n2.sock jobs <lines
	assert_success
	rmq-recv -S unix:n2.sock --drain jobs >received
	cmp lines received
	run rmq-queue show jobs ready leased delayed
	assert_output $'0\n0\n0'
}

@test "rmq-gated: large messages pass" {
	pair
	head -c 16000000 /dev/urandom >large
	rmq-queue create --max-message 16M big
	run rmq-send -S unix:n2.sock -w big <large
	assert_success
	rmq-recv -S unix:n2.sock -1 --raw big >received
	cmp large received
}

@test "rmq-gated: the queue daemon hears for whom; a relay's death releases no lease" {
	pair
	rmq-send jobs one
	mkfifo hold
	"$RAWCLIENT" n2.sock hello 0 subscribe 1 jobs credit 1 1 expect DELIVER wait <hold >held 3>&- &
	STARTED+=($!)
	exec 8>hold
	wait_until 20 logged DELIVER held
	kill -9 "$GATE_PID"
	wait "$GATE_PID" || :
	run raw hello 0 subscribe 1 jobs credit 1 1 expect IDLE
	assert_line --partial "leased=1"
	exec 8>&-
}

@test "rmq-gated: a stream that nobody reads is bounded and holds up no other one" {
	pair
	local gates far near=$GATE_PID
	far=$(pgrep -P $$ -f "rmq-gated --name n1")
	# About 40 MB that one receiver asks for and never reads.
	yes "$(printf '%0999d' 0)" | head -n 40000 | rmq-send jobs
	mkfifo hold
	"$RAWCLIENT" n2.sock hello 0 subscribe 1 jobs credit 1 40000 print asked wait <hold >asked 3>&- &
	STARTED+=($!)
	exec 8>hold
	wait_until 20 logged asked asked
	seq 1 20000 >lines
	run rmq-send -S unix:n2.sock other <lines
	assert_success
	rmq-recv -S unix:n2.sock --drain other >received
	cmp lines received
	[ "$(anon_kib "$near")" -lt 16384 ]
	[ "$(anon_kib "$far")" -lt 16384 ]
	exec 8>&-
}

@test "rmq-gated: a sender that the queue daemon does not read from is held back" {
	pair
	mkfifo hold
	"$RAWCLIENT" n2.sock hello 0 flood jobs print stopped wait <hold >flooded 3>&- &
	STARTED+=($!)
	exec 8>hold
	wait_until 60 logged stopped flooded
	run rmq-send -S unix:n2.sock other hello
	assert_success
	[ "$(anon_kib "$GATE_PID")" -lt 16384 ]
	exec 8>&-
}

@test "rmq-gated: 1,000 idle connections are kept, and a client among them is served" {
	pair
	local before
	before=$(anon_kib "$GATE_PID")
	mkfifo hold
	"$RAWCLIENT" n2.sock more 1000 print held wait <hold >idle 3>&- &
	STARTED+=($!)
	exec 8>hold
	wait_until 20 logged held idle
	run rmq-send -S unix:n2.sock jobs hello
	assert_success
	[ $(($(anon_kib "$GATE_PID") - before)) -lt 8192 ]
	exec 8>&-
}

@test "rmq-gated: a limit of open files that is too low is named at the start: 78" {
	node n1
	run -78 bash -c "ulimit -n 87; exec rmq-gated --name n1 --key n1.key --control n1.ctl \
		--gate-listen 127.0.0.1:${PORT[n1]} --socket n1.sock" 3>&-
	assert_output "rmq-gated: the limit of open files is 87: raise it to 88 at least \
(ulimit -n, LimitNOFILE=)"
}

@test "rmq-gated: out of descriptors, clients wait until others end" {
	node n1
	members n1 n1
	ulimit -n 100
	gate n1
	mkfifo hold
	"$RAWCLIENT" n1.sock more 60 print held wait <hold >idle 3>&- &
	local holder=$!
	STARTED+=($holder)
	exec 8>hold
	wait_until 20 logged "no more are accepted" n1.log
	"$RAWCLIENT" n1.sock hello 0 expect NOT_YET >late 8>&- 3>&- &
	local late=$!
	STARTED+=($late)
	exec 8>&-
	wait "$holder"
	wait "$late"
}

# ---- changes ----

@test "rmq-gated: a queue daemon that dies ends its streams; senders go on with the next one" {
	pair
	mkfifo lines
	rmq-send -S unix:n2.sock jobs <lines 2>sent 3>&- &
	local sender=$!
	STARTED+=($sender)
	exec 8>lines
	seq 1 20000 >&8
	wait_until 20 eval '[ "$(rmq-queue show jobs ready 2>/dev/null)" = 20000 ]'
	tell n1 "serve -"
	kill_queue
	start_queue q 8>&-
	tell n1 "serve q.sock"
	seq 20001 40000 >&8
	exec 8>&-
	status_of "$sender"
	assert_success
	rmq-recv --drain jobs >received
	seq 1 40000 | cmp - received
}

@test "rmq-gated: when leadership moves, clients move with it and keep what they have sent" {
	pair
	mkfifo lines
	rmq-send -S unix:n2.sock jobs <lines 2>sent 3>&- &
	local sender=$!
	STARTED+=($sender)
	exec 8>lines
	seq 1 20000 >&8
	wait_until 20 eval '[ "$(rmq-queue show jobs ready 2>/dev/null)" = 20000 ]'
	tell n1 "serve -" "leader -" "role follower"
	tell n2 "leader -"
	kill_queue
	start_queue q 8>&-
	tell n1 "leader n2"
	tell n2 "leader n2" "role leader" "serve q.sock"
	seq 20001 40000 >&8
	exec 8>&-
	status_of "$sender"
	assert_success
	rmq-recv -S unix:n1.sock --drain jobs >received
	seq 1 40000 | cmp - received
}

# ---- clients with keys ----

# key_at NODE ACTION…: a client with the key web.key, at the gate of NODE.
key_at() {
	local node=$1
	shift
	"${FAKENODE%/*}/keyclient" "${PORT[$node]}" web.key "${KEY[$node]}" "$node" \
		"$(printf "a cluster" | od -An -tx1 | tr -d ' ')00000000000000" "$@"
}

# web_rights VERBS: those of web.key.
web_rights() {
	[ -e web.key ] || rmq-keygen web.key >/dev/null
	echo "$1 queue=\"jobs\" $(rmq-keygen -y web.key | cut -d' ' -f1) web" >rights
}

@test "rmq-gated: a client with a key is told the gates, and sent to the leading node's, or relayed" {
	web_rights send
	mkfifo hold
	# 8 places for streams of elsewhere, and 32 where they come to.
	FILES[n1]=88 FILES[n2]=160
	pair --rights rights
	run key_at n2 link open 2 0 hello far expect "  REDIRECT" expect CLOSE
	assert_line "CONTACTS n1=127.0.0.1:${PORT[n1]}=${KEY[n1]} n2=127.0.0.1:${PORT[n2]}=${KEY[n2]}"
	assert_line "  REDIRECT 127.0.0.1:${PORT[n1]}"
	run key_at n2 link open 2 0 hello relay expect "  WELCOME" send 1 jobs hello expect "  SENT"
	assert_success
	run key_at n1 link open 2 0 hello far expect "  WELCOME" send 1 jobs hello expect "  SENT"
	assert_success
	run key_at n2 link open 2 0 hello relay expect "  WELCOME" send 1 mail hello expect "  FAILED"
	assert_line --regexp "  FAILED code=23 .*send.*mail"
	# All that one name may have on n1, through n2: no more for it directly, but for others.
	key_at n2 link open 2 0 hello relay expect "  WELCOME" open 2 0 hello relay expect "  WELCOME" \
		open 2 0 hello relay expect "  WELCOME" open 2 0 hello relay expect "  WELCOME" \
		print held wait <hold >held.out 3>&- &
	STARTED+=($!)
	exec 8>hold
	wait_until 20 logged held held.out
	run key_at n1 link open 2 0 expect "CLOSE stream=1 code="
	assert_success
	wait_until 20 logged "refused: a stream of client web: 4 are open" n1.log
	run rmq-send -S unix:n2.sock jobs hello
	assert_success
	exec 8>&-
	# The members change: whoever is there is told.
	key_at n2 link expect CONTACTS print first expect CONTACTS wait <hold >told 3>&- &
	STARTED+=($!)
	exec 8>hold
	wait_until 20 logged first told
	tell n2 "gate n1 192.0.2.1:7411"
	wait_until 20 logged "CONTACTS n1=192.0.2.1:7411=" told
	exec 8>&-
}

@test "rmq-gated: a relayed client with a key ends when its rights do, and a new leader serves it" {
	web_rights send
	pair --rights rights
	mkfifo hold
	key_at n2 link open 2 0 hello relay expect "  WELCOME" end wait <hold >told 3>&- &
	STARTED+=($!)
	exec 8>hold
	wait_until 20 logged WELCOME told
	web_rights recv
	kill -HUP "${GATE[n2]}"
	wait_until 1 logged closed told
	exec 8>&-
	tell n1 "serve -" "leader -" "role follower"
	tell n2 "leader -"
	run key_at n2 link open 2 0 hello far expect "  NOT_YET"
	assert_success
	tell n2 "leader n2" "role leader" "serve q.sock"
	run key_at n2 link open 2 0 hello far expect "  "
	assert_line "  WELCOME"
}

@test "rmq-gated: what a user of another node may do is what the rights there say" {
	local other
	public_dir rmq-send
	printf 'send queue="jobs" user:65534\n' >rights
	pair
	kill -TERM "${GATE[n2]}"
	wait "${GATE[n2]}"
	gate n2 --rights rights --socket "$PUBLIC/n2.sock"
	wait_until 20 eval '[ "$(grep -c "to n1 (" n2.log)" -eq 2 ]'
	# Of the group that may use the socket.
	other=(setpriv --reuid=65534 --regid="$(id -g)" --clear-groups "$PUBLIC/rmq-send")
	run "${other[@]}" -S "unix:$PUBLIC/n2.sock" jobs hello
	assert_success
	run "${other[@]}" -S "unix:$PUBLIC/n2.sock" mail hello
	assert_failure 77
	assert_output --partial mail
	# It is another one now, and whoever is there must come again.
	printf 'send queue="mail" group:%s\n' "$(id -g)" >rights
	mkfifo lines
	"${other[@]}" -S "unix:$PUBLIC/n2.sock" jobs <lines 2>sent 3>&- &
	STARTED+=($!)
	exec 8>lines
	echo one >&8
	wait_until 20 eval '[ "$(rmq-queue show jobs ready)" = 2 ]'
	kill -HUP "${GATE[n2]}"
	wait_until 20 logged "rights: read again" n2.log
	echo two >&8
	exec 8>&-
	status_of "${STARTED[-1]}"
	assert_failure 77
	run "${other[@]}" -S "unix:$PUBLIC/n2.sock" mail hello
	assert_success
}

newest_line_is() {
	[ "$(tail -n 1 "$2")" = "$1" ]
}

# remote_client: a key for clients, which may do all; they know n2 only.
remote_client() {
	export XDG_CONFIG_HOME=$PWD/config
	mkdir -p config/rmq
	rmq-keygen config/rmq/key >me.pub
	printf 'admin queue="*" %s web\n' "$(cat me.pub)" >rights
}

# pin NODE [KEY]: its line in known_nodes.
pin() {
	printf '127.0.0.1:%s %s %s %s\n' "${PORT[$1]}" "${2:-${KEY[$1]}}" "$1" \
		"$(printf "a cluster" | od -An -tx1 | tr -d ' ')00000000000000"
}

# known LINE…: what known_nodes is.
known() {
	printf '%s\n' "$@" >config/rmq/known_nodes
	chmod 600 config/rmq/known_nodes
}

@test "rmq-gated: a client goes where it is redirected, to a key that the cluster tells it, and writes nobody's word down" {
	remote_client
	pair --rights rights
	known "$(pin n2)" "$(pin n1 "$(cat me.pub)")"
	seq 1 3000 | rmq-send -S "127.0.0.1:${PORT[n2]}" jobs
	logged "client web" n1.log
	rmq-recv --drain jobs | cmp - <(seq 1 3000)
	{ pin n2 && pin n1 "$(cat me.pub)"; } | cmp - config/rmq/known_nodes
}

@test "rmq-gated: a client that cannot go where it is redirected is relayed" {
	remote_client
	start_queue q
	node n1
	node n2
	members n1 n1 n2
	members n2 n1 n2
	tell n1 "leader n1"
	tell n2 "leader n1"
	# No clients are served where the queue is.
	gate n1
	gate n2 --rights rights
	tell n1 "role leader" "serve q.sock"
	tell n2 "role follower"
	wait_until 20 logged "to n1" n2.log
	known "$(pin n2)"
	seq 1 3000 | rmq-send -S "127.0.0.1:${PORT[n2]}" jobs
	logged refused n1.log
	rmq-recv --drain jobs | cmp - <(seq 1 3000)
}

@test "rmq-gated: the node is told whether its gate reaches that of the leading node" {
	pair
	wait_until 20 newest_line_is "GATE reaches" n2.out
	kill -STOP "${GATE[n1]}"
	wait_until 20 newest_line_is "GATE reaches nobody" n2.out
	kill -CONT "${GATE[n1]}"
	wait_until 20 newest_line_is "GATE reaches" n2.out
	seq 10 | RMQ_SERVERS=unix:n2.sock rmq-send --timeout 10s jobs
	kill -KILL "${GATE[n1]}"
	wait_until 20 newest_line_is "GATE reaches nobody" n2.out
	kill -TERM "${GATE[n2]}"
	status_of "${GATE[n2]}"
	assert_success
	wait_until 20 newest_line_is "GATE ends" n2.out
}

@test "rmq-gated: only members' gates are let in, and who is removed is cut" {
	pair
	rmq-send -S unix:n2.sock jobs one
	tell n1 "remove n2"
	wait_until 20 logged "n2 is no longer a member" n1.log
	wait_until 20 logged "to n1: " n2.log
	run rmq-send -S unix:n2.sock --timeout 1 jobs two
	assert_failure 75
	members n1 n2
	run rmq-send -S unix:n2.sock jobs two
	assert_success
}

# linked NODE N: so many links were taken there.
linked() {
	[ "$(grep -c "from n2 (" "$1.log")" -ge "$2" ]
}

@test "rmq-gated: of one gate four links stay, and a new one ends the oldest" {
	pair
	# Four more with its key; one alone is a gate's, of which others may be lost and not known to be.
	local i
	for i in 1 2 3 4; do
		refute logged "to n1: cut" n2.log
		free_port "PORT[other]"
		rmq-gated --name n2 --key n2.key --gate-listen "127.0.0.1:${PORT[other]}" --control n2.ctl \
			--socket "more$i.sock" -v >>more.log 2>&1 3>&- </dev/null &
		STARTED+=("$!")
		wait_until 20 linked n1 $((i + 1)) 
	done
	wait_until 20 logged "to n1: cut" n2.log
	run rmq-send -S unix:n2.sock jobs hello
	assert_success
}

@test "rmq-gated: hostile bytes on the port for gates do no harm" {
	pair
	local i
	for i in 1 2 3 4 5; do
		(
			exec 7<>"/dev/tcp/127.0.0.1/${PORT[n1]}"
			head -c 5000 /dev/urandom >&7 || :
		) 2>/dev/null || :
	done
	(
		exec 7<>"/dev/tcp/127.0.0.1/${PORT[n1]}"
		printf 'GET / HTTP/1.0\r\n\r\n' >&7
		timeout 20 cat <&7 >answer || :
	) 2>/dev/null || :
	[ ! -s answer ]
	run rmq-send -S unix:n2.sock jobs hello
	assert_success
}

@test "rmq-gated: --stdio brings one client to the socket of this machine, without a setting" {
	start_queue q
	local -x RMQ_SERVERS="exec:rmq-gated --stdio --socket $PWD/q.sock"
	seq 100000 | rmq-send -q jobs
	[ "$(rmq-recv --drain jobs | sha256sum)" = "$(seq 100000 | sha256sum)" ]
	# What is no client gets nothing but the end.
	run -76 rmq-gated --stdio --socket q.sock < <(printf 'GET / HTTP/1.0\r\n\r\n')
	assert_output ""
	# Nobody is there: the client is told to come back, and says so.
	run -69 rmq-queue --timeout 0 -S "exec:rmq-gated --stdio --socket $PWD/none.sock" ls
	assert_output --partial "rmq-queue: no daemon answers at exec:rmq-gated --stdio --socket $PWD/none.sock"
}

# sshd_here PORT: as an ordinary user does it; root's wants a directory that a machine without sshd lacks.
sshd_here() {
	cat >sshd.conf <<-END
		ListenAddress 127.0.0.1:$1
		HostKey $PWD/host
		AuthorizedKeysFile $PWD/user.pub
		PidFile none
		StrictModes no
		UsePAM no
		PasswordAuthentication no
		PermitRootLogin prohibit-password
		SetEnv PATH=$PATH
	END
	local sshd
	sshd=$(PATH=$PATH:/usr/sbin command -v sshd)
	if [ "$(id -u)" -eq 0 ] && [ ! -d /run/sshd ]; then
		unshare -m true || skip "root needs /run/sshd, and cannot have one of its own"
		start unshare -m sh -c 'mount -t tmpfs none /run && mkdir /run/sshd && exec "$@"' sh \
			"$sshd" -D -e -f "$PWD/sshd.conf"
	else
		start "$sshd" -D -e -f "$PWD/sshd.conf"
	fi
	wait_until 10 logged "Server listening" log
}

@test "rmq-gated: --stdio over ssh, with nothing but that" {
	PATH=$PATH:/usr/sbin command -v sshd >/dev/null || skip "needs openssh-server"
	ssh-keygen -q -t ed25519 -N '' -f host
	ssh-keygen -q -t ed25519 -N '' -f user
	free_port
	echo "mq $(<host.pub)" >hosts
	cat >ssh.conf <<-END
		Host mq
			HostName 127.0.0.1
			HostKeyAlias mq
			Port $PORT
			IdentityFile $PWD/user
			IdentitiesOnly yes
			BatchMode yes
			UserKnownHostsFile $PWD/hosts
			GlobalKnownHostsFile /dev/null
	END
	sshd_here "$PORT"
	# An ordinary user's takes an account without a password for a locked one, where it sees that.
	[ "$(id -u)" -eq 0 ] || ssh -F ssh.conf mq true || { run -0 grep "account is locked" log && skip "$output"; }
	start_queue q
	local -x RMQ_SERVERS="exec:ssh -F $PWD/ssh.conf mq rmq-gated --stdio --socket $PWD/q.sock"
	seq 20000 | rmq-send jobs
	rmq-recv --drain jobs | cmp - <(seq 20000)
	# What ssh says goes to the terminal, as it is.
	run -69 rmq-queue --timeout 0 -S "exec:ssh -F $PWD/ssh.conf -o HostKeyAlias=other mq rmq-gated --stdio" ls
	assert_output --partial "Host key verification failed."
}

@test "rmq-gated: --stdio follows the gates of a cluster to the queue daemon" {
	pair
	wait_until 10 test -S n1.sock
	for name in n1 n2; do
		rmq-send -q -S "exec:rmq-gated --stdio --socket $PWD/$name.sock" jobs "$name"
	done
	run -0 rmq-recv --drain jobs
	assert_output $'n1\nn2'
}
