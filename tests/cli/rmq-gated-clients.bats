#!/usr/bin/env bats
# Clients that have a key, in front of one node: who is let in, what the queue daemon is told, and
# what happens when the file of rights changes.  keyclient speaks to the gate frame by frame.

bats_require_minimum_version 1.5.0
load common

KEYCLIENT=${RMQ_BUILD:-$BATS_TEST_DIRNAME/../../build/${MODE:-release}}/cli/keyclient

logged() {
	grep -q -- "$1" gate.log
}

public() {
	[ -e "$1.key" ] || rmq-keygen "$1.key" >/dev/null
	rmq-keygen -y "$1.key" | cut -d' ' -f1
}

# rights LINE…: the file; @NAME is a key of that name, and the name.
rights() {
	local line who
	for line; do
		who=${line##*@}
		[ "$who" = "$line" ] || line="${line%@*}$(public "$who") $who"
		echo "$line"
	done >rights
}

# gate [OPTION…]: in front of q.sock; it is ready on return.
gate() {
	local line
	NODE=$(public n1)
	[ -n "${PORT:-}" ] || free_port
	rm -f ready
	mkfifo ready
	bash -c 'ulimit -n "$0"; exec rmq-gated "$@"' "${FILES:-$(ulimit -n)}" \
		--name n1 --key n1.key --gate-listen "127.0.0.1:$PORT" --control none \
		--queue-socket q.sock --rights rights --ready-fd 9 "$@" \
		>>gate.log 2>&1 3>&- 9>ready </dev/null &
	GATE_PID=$!
	STARTED+=("$GATE_PID")
	if ! IFS= read -r -t 30 line <ready; then
		cat gate.log >&2
		return 1
	fi
}

# key NAME ACTION…: a client with that key.
key() {
	local name=$1
	shift
	"$KEYCLIENT" "$PORT" "$name.key" "$NODE" n1 - "$@"
}

# holding NAME WORD ACTION…: the same in the background, until descriptor 8 is closed; it has printed
# WORD, to the file NAME.out.
holding() {
	local name=$1 word=$2
	shift 2
	mkfifo "$name.hold"
	key "$name" "$@" <"$name.hold" >"$name.out" 2>&1 3>&- 8>&- &
	STARTED+=($!)
	exec 8>"$name.hold"
	wait_until 20 grep -q -- "$word" "$name.out"
}

@test "rmq-gated: without a cluster it needs a file of rights, whose errors are 78 with their line" {
	rmq-keygen n1.key >/dev/null
	free_port
	run rmq-gated --name n1 --key n1.key --control none --gate-listen "127.0.0.1:$PORT"
	assert_failure 78
	assert_output --partial "rights: is missing"
	printf '# none\nsend everything\n' >rights
	run rmq-gated --name n1 --key n1.key --control none --gate-listen "127.0.0.1:$PORT" --rights rights
	assert_failure 78
	assert_output --partial "rights:2: "
}

@test "rmq-gated: whoever asks is told its name and key, and nothing else" {
	rights 'send queue="jobs" @web'
	gate
	(
		exec 7<>"/dev/tcp/127.0.0.1/$PORT"
		printf '?' >&7
		timeout 20 cat <&7 >who
	)
	[ "$(head -c 2 who | od -An -tu2)" -eq $(($(wc -c <who) - 2)) ]
	[ "$(tail -c +10 who | head -c 32 | base64 -w 0)" = "${NODE#rmq1:}" ]
	[ "$(tail -c +43 who | head -c 2)" = n1 ]
	[ ! -e gate.sock ]
}

@test "rmq-gated: a client's key says who it is, and not the client" {
	start_queue q -v -v
	rights 'send queue="jobs" @web'
	gate
	run key web link expect CONTACTS open 2 4711 name=ops hello expect "  WELCOME" \
		send 1 jobs hello expect "  SENT" close
	assert_success
	assert_line --regexp "^CONTACTS "
	wait_until 20 grep -q "for user 0 of key:web" q.log
	run grep -cE "4711|key:ops" q.log
	assert_output 0
	wait_until 20 logged "client web at 127.0.0.1:.*, key "
}

@test "rmq-gated: a key that no line names is refused before it hears a byte" {
	rights 'send queue="jobs" @web'
	gate
	public other >/dev/null
	run key other link
	assert_line refused
	wait_until 20 logged "refused: 127.0.0.1:.*: its key is not known"
	# No member's gate either: there is no cluster.
	run key web link 4
	assert_line refused
}

@test "rmq-gated: a key that may not come from there, or no longer, hears only that" {
	start_queue q
	rights 'send queue="jobs" from="192.0.2.0/24" @far' 'send queue="jobs" expires="2020-01-01" @old'
	gate
	for name in far old; do
		run key "$name" link open 2 0 hello end
		assert_line "CLOSE stream=1 code=23"
		assert_line closed
		refute_line --partial WELCOME
	done
	[ "$(grep -c "refused: client at 127.0.0.1:.*, key " gate.log)" -eq 2 ]
}

@test "rmq-gated: a client has a few streams at a time, and what is no protocol ends its link" {
	start_queue q
	rights 'send queue="jobs" @web'
	gate
	run key web link open 2 0 hello open 2 0 hello open 2 0 hello open 2 0 hello open 2 0 \
		expect "CLOSE stream=5 code=" open 1 0 expect "CLOSE stream=6 code=21" print on
	assert_success
	assert_line on
	# CONTACTS; a stream of no OPEN; the number of an older one; more than credit; no frame.
	for bad in 02000000050000000000 05000000020000000900000000 0c00000001000000010000000200000000000000 \
		0800000003000000010000000000ffff ffffffffff000000; do
		run key web link open 2 0 frame "$bad" end
		assert_line cut
	done
}

@test "rmq-gated: SIGHUP reads the rights again, whose links end that they change, no others" {
	start_queue q
	rights 'send queue="jobs" @web' 'send queue="jobs" @other' 'recv queue="x" @third'
	# A supervisor, that writes down what it is told.
	start python3 -c 'if True:
		import socket
		s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
		s.bind("notify")
		while True:
			print(s.recv(4096).decode(), file=open("told", "a"))'
	wait_until 20 test -S notify
	NOTIFY_SOCKET=$PWD/notify gate
	holding web WELCOME link open 2 0 hello expect "  WELCOME" end wait
	exec 6>&8
	holding other WELCOME link open 2 0 hello expect "  WELCOME" end wait
	exec 5>&8
	holding third WELCOME link open 2 0 hello expect "  WELCOME" print here wait
	cp rights good
	printf 'send queue="jobs" somebody\n' >>rights
	kill -HUP "$GATE_PID"
	wait_until 20 logged "the rights stay as they were: rights:4: "
	wait_until 20 grep -q "^STATUS=the rights stay as they were: rights:4: .*; sandbox: " told
	run key web link open 2 0 hello expect "  WELCOME"
	assert_success
	grep -v other good | sed 's/queue="jobs"/queue="mail"/' >rights
	kill -HUP "$GATE_PID"
	wait_until 1 grep -q closed web.out
	wait_until 1 grep -q closed other.out
	wait_until 20 logged "rights: read again"
	wait_until 20 eval '[[ "$(tail -n 1 told)" = "STATUS=sandbox: "* ]]'
	run key other link
	assert_line refused
	run key web link open 2 0 hello expect "  WELCOME"
	assert_success
	logged "key:web .* changed"
	run grep -c "key:third .* changed" gate.log
	assert_output 0
}

@test "rmq-gated: a connection ends when its rights do" {
	start_queue q
	local end
	end=$(date -u -d '+1 second' +%Y-%m-%dT%H:%M:%SZ)
	rights "send queue=\"jobs\" expires=\"$end\" @web"
	gate
	key web link open 2 0 hello end >web.out 2>&1
	[ "$(tail -n 1 web.out)" = closed ]
	[ "$(date +%s)" -ge "$(date -d "$end" +%s)" ]
	key web link open 2 0 end | grep -q "code=23"
}

@test "rmq-gated: without a cluster it waits for a queue daemon that comes soon, else says so" {
	rights 'send queue="jobs" @web'
	gate
	run key web link open 2 0 hello open 2 0 hello expect "CLOSE stream=1 code=10" \
		expect "CLOSE stream=2 code=10"
	assert_success
	start_queue q
	run key web link open 2 0 hello expect "  WELCOME"
	assert_success
	run grep "queue daemon" gate.log
	assert_output "rmq-gated: the queue daemon at $PWD/q.sock is not there: No such file or directory
rmq-gated: the queue daemon at $PWD/q.sock is there"
}

@test "rmq-gated: one name has half of the places at most" {
	start_queue q
	rights 'send queue="jobs" @web' 'send queue="jobs" @other'
	# 8 places for links.
	FILES=88 gate
	holding web held idle 4 print held wait
	run key web link end
	assert_line closed
	wait_until 20 logged "refused: client at .*: too many connections of that client"
	run key other link open 2 0 hello expect "  WELCOME"
	assert_success
}

@test "rmq-gated: an idle connection of a client costs a few KiB" {
	start_queue q
	rights 'send queue="jobs" @web'
	gate
	anon_kib() {
		awk '/^RssAnon:/ { print $2 }' "/proc/$GATE_PID/status"
	}
	key web idle 1
	local before
	before=$(anon_kib)
	holding web held idle 100 print held wait
	# 10,000 are to take at most 64 MiB.
	[ $(($(anon_kib) - before)) -lt $((100 * 65536 / 10000)) ]
}
