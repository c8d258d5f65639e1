#!/usr/bin/env bats
# modes: release
# rmq-cluster: every promise of rmq-cluster(1), and what the control socket does with bad input.
# The node is made up (fakenode.c), its control socket is rmq-clusterd's.

load common

bats_require_minimum_version 1.5.0

KEY=rmq1:CQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=

# start_node LINE…: a made-up node n1 whose script begins so; node LINE… goes on with it.
start_node() {
	mkfifo script
	fakenode cluster.sock <script >commands 2>node.log 3>&- &
	NODE_PID=$!
	STARTED+=("$NODE_PID")
	exec 8>script
	node "me n1" "$@"
	wait_until 10 grep -q READY commands
}

node() {
	printf '%s\n' "$@" >&8
}

# start_three: n1 leads n2, and n3 is admitted; the queue is not ready.
start_three() {
	start_node "member n1 joined voter up" "member n2 joined voter" "member n3" \
		"role leader" "leader n1"
	cluster wait leader
}

cluster() {
	timeout 20 rmq-cluster "$1" -S unix:cluster.sock "${@:2}"
}

# Frames of the control protocol, for the action hex of rawclient.
HELLO=0600000001000000726d71630200
STATUS=040000000700000001000000
WATCH=040000000800000002000000
INIT=040000000200000003000000

control() {
	"$RAWCLIENT" cluster.sock control "$@"
}

# start_control FILE ACTION…: in the background; what comes is in FILE.
start_control() {
	# An input that never ends, and on which nothing comes.
	[ -p silence ] || mkfifo silence
	"$RAWCLIENT" cluster.sock control "${@:2}" <>silence >"$1" 2>&1 3>&- &
	STARTED+=($!)
}

# hold: from here on the node does not answer commands.
hold() {
	node hold "problem on hold"
	wait_until 10 bash -c "rmq-cluster status -S unix:cluster.sock | grep -q 'on hold'"
}

@test "rmq-cluster: commands reach the node as they were given, and 0 is its answer" {
	start_three
	cluster init
	cluster init --new
	cluster init --adopt
	cluster admit n4 "$KEY"
	cluster join
	cluster join n1@host:7401
	cluster leave n2
	cluster leave
	cluster leave --force n2
	cluster down n2
	cluster replace n2 "$KEY"
	cluster transfer
	cluster transfer n2
	assert_equal "$(tail -n +2 commands)" "INIT
INIT_NEW
INIT_ADOPT
ADMIT n4 $KEY
JOIN
JOIN n1@host:7401
LEAVE n2
LEAVE
LEAVE_FORCED n2
DOWN n2
REPLACE n2 $KEY
TRANSFER
TRANSFER n2"
}

@test "rmq-cluster: log says how much the daemon logs, and changes it, which its log says" {
	start_three
	[ "$(cluster log)" = debug ]
	cluster log notice
	[ "$(cluster log)" = notice ]
	run cluster log debug
	assert_success
	refute_output
	[ "$(cluster log)" = debug ]
	cluster log error
	[ "$(cluster log)" = error ]
	# Once it logs errors only, it does not say that it goes on so.
	cluster log error
	run grep -oE "what is logged is .* from now on: rmq-cluster log, of user $(id -u)" node.log
	assert_output "$(printf "what is logged is %s from now on: rmq-cluster log, of user $(id -u)\n" notice debug error)"
	run cluster log loud
	assert_failure 64
	assert_output "rmq-cluster: 'loud' is none of error, notice, info, debug"
}

@test "rmq-cluster: an error is told with what it is about, and is the exit status" {
	start_three
	# answers CODE TEXT: the node does, and has taken that in.
	answers() {
		node "answer $1 $2" "problem answers $1"
		wait_until 10 bash -c "rmq-cluster status -S unix:cluster.sock | grep -q 'answers $1'"
	}
	answers 12 "the name has another key"
	run cluster admit n4 "$KEY"
	assert_failure 73
	assert_output "rmq-cluster: n4: the name has another key"
	answers 10 "no leader is known"
	run cluster transfer
	assert_failure 69
	assert_output "rmq-cluster: no leader is known"
	answers 1 "no such member"
	run cluster leave n7
	assert_failure 1
	answers 16
	run cluster init
	assert_failure 75
	assert_output "rmq-cluster: $(sed -n 's/.*X(BUSY,.*"\(.*\)").*/\1/p' \
		"$BATS_TEST_DIRNAME"/../../lib/core/base/error.h)"
}

@test "rmq-cluster: no answer in time, or a connection that ends, is 75: outcome unknown" {
	start_three
	hold
	run cluster init --timeout 300ms
	assert_failure 75
	assert_output "rmq-cluster: no answer in time: the outcome is unknown, and rmq-clusterd may go on with it"
	wait_until 10 grep -q FORGET commands
	# To join goes on, and the node knows what hinders it.
	run cluster join --timeout 300ms
	assert_failure 75
	assert_output "rmq-cluster: not let in yet: on hold; rmq-clusterd goes on asking"
	start cluster leave n2
	wait_until 10 grep -q "LEAVE n2" commands
	kill -9 "$NODE_PID"
	status_of "${STARTED[-1]}"
	assert_failure 75
	grep -q "rmq-cluster: n2: rmq-clusterd has hung up: the outcome is unknown" log
}

@test "rmq-cluster: status and members are tables, on a terminal, in a pipe and as JSON" {
	start_three
	node "serve /run/q.sock" "problem n2 refuses us"
	cluster wait available
	run cluster members
	assert_output "$(printf '%s\t%s\t%s\t%s\t%s\t%s\n' \
		n1 leader yes 0 n1.example:7401 n1.example:7402 \
		n2 voter no - n2.example:7401 n2.example:7402 \
		n3 admitted no - - -)"
	run cluster members -j -o name,up,behind,address
	assert_line --index 1 '{"name":"n2","up":false,"behind":null,"address":"n2.example:7401"}'
	assert_line --index 2 '{"name":"n3","up":false,"behind":null,"address":null}'
	run script -qc "rmq-cluster members -S unix:cluster.sock" /dev/null
	assert_line --index 0 --regexp '^name  role      up   behind  address          gate.$'
	assert_line --index 2 --regexp '^n2    voter     no        -  n2.example:7401  n2.'
	run cluster status -o name,role,leader,serving,queue-socket,members,voters,up,problem
	assert_output "$(printf 'n1\tleader\tn1\tyes\t/run/q.sock\t3\t2\t1\tn2 refuses us')"
	run cluster status
	assert_line "$(printf 'commit\t100')"
	assert_line "$(printf 'cluster\t6120636c757374657200000000000000')"
	assert_equal "$(cluster status -j | jq -r '.key[:5] + .role')" rmq1:leader
	# Whom it suspects, and how the nodes are.
	node "member n2 joined voter suspected unreachable"
	wait_until 10 cluster unreachable
	[ "$(cluster unreachable)" = n2 ]
	[ "$(cluster member-status n2)" = "up unreachable" ]
	[ "$(cluster member-status)" = up ]
	[ "$(cluster member-status n3)" = admitted ]
	run cluster phi
	assert_output "$(printf '%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n' n1 - - - - - no no \
		n2 8.500 4.522 1.000 0.030 4.600 yes yes n3 - - - - - no no)"
	[ "$(cluster phi -j -o name,phi | sed -n 2p)" = '{"name":"n2","phi":8.500}' ]
	cluster metrics -j | sed -n 2p |
		jq -e '.name == "n2" and .load == 1.5 and .lag == 0 and .["store-time-p99"] == 0.0205 and .memory == null and .unreachable'
	[ "$(cluster members -o version,round-trip | sed -n 1,2p)" = "$(printf '1.2.3\t-\n1.2.3\t0.000250')" ]
	cluster metrics >metrics
	run /usr/bin/python3 - metrics <<-'END'
		import sys
		from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse
		found = {(s.name, s.labels.get("node"), s.labels.get("rmq_node_state"), s.labels.get("rmq_node_gate")): s.value
		         for f in parse(open(sys.argv[1]).read()) for s in f.samples}
		for name, node, value in (("rmq_cluster_members", None, 3), ("rmq_cluster_voters", None, 2),
		                          ("rmq_cluster_voters_up", None, 1), ("rmq_cluster_commit_total", None, 100),
		                          ("rmq_cluster_has_leader", None, 1), ("rmq_node_up", "n1", 1),
		                          ("rmq_node_up", "n2", 0), ("rmq_node_unreachable", "n2", 1), ("rmq_node_phi", "n2", 8.5),
		                          ("rmq_node_suspect_after_seconds", "n2", 4.522), ("rmq_node_load1", "n1", 1.5),
		                          ("rmq_node_lag_records", "n1", 0), ("rmq_node_store_median_seconds", "n1", 0.0025)):
		    assert found[(name, node, None, None)] == value, (name, node)
		assert found[("rmq_node_round_trip_seconds", "n2", None, None)] == 0.00025
		assert found[("rmq_node_info", "n2", None, None)] == 1
		for absent in ("rmq_node_phi", "rmq_node_memory_bytes"):
		    assert (absent, "n1", None, None) not in found, absent
		assert found[("rmq_node_state", "n3", "admitted", None)] == 1
		assert found[("rmq_node_state", "n2", "admitted", None)] == 0
		assert found[("rmq_node_gate", "n2", None, "none")] == 1
	END
	assert_success
	node "member n2 joined voter up"
	wait_until 10 bash -c '[ "$(rmq-cluster members -S unix:cluster.sock -o up,behind | sed -n 2p)" = "yes	0" ]'
	# A node that does not lead does not know what others hold.
	node "role follower"
	wait_until 10 bash -c '[ "$(rmq-cluster members -S unix:cluster.sock -o behind,match | sort -u)" = "-	-" ]'
	run cluster members -o nonsense
	assert_failure 64
	run bash -c 'timeout 10 rmq-cluster status -S unix:cluster.sock >/dev/full'
	assert_failure 74
}

@test "rmq-cluster: leader, is-leader and is-available answer by their exit status" {
	start_three
	[ "$(cluster leader)" = n1 ]
	cluster is-leader
	[ "$(cluster leader -r broker)" = n1 ]
	run cluster leader -r nobody
	assert_failure 1
	assert_output "rmq-cluster: no member with the role nobody is up"
	run cluster is-available
	assert_failure 1
	assert_output ""
	run cluster is-singleton
	assert_failure 1
	assert_output ""
	run cluster unreachable
	assert_failure 1
	assert_output ""
	run cluster member-status nobody
	assert_failure 1
	assert_output "rmq-cluster: nobody: no such member"
	run cluster member-status "no body"
	assert_failure 64
	node "serve /run/q.sock"
	cluster wait available
	cluster is-available
	cluster is-singleton
	node "role follower" "serve -" "leader n2"
	wait_until 10 bash -c '[ "$(rmq-cluster leader -S unix:cluster.sock)" = n2 ]'
	run cluster is-leader
	assert_failure 1
	cluster is-available
	node "leader -"
	wait_until 10 bash -c '! rmq-cluster leader -S unix:cluster.sock'
	run cluster leader
	assert_failure 69
	run timeout 10 rmq-cluster is-leader -S unix:none
	assert_failure 69
	assert_output "rmq-cluster: no daemon answers at none (No such file or directory)"
	# why: what is wrong, or that all is well.
	run cluster why
	assert_success
	assert_output "all is well"
	node "problem n2 refuses us"
	wait_until 10 bash -c "rmq-cluster status -S unix:cluster.sock -o problem | grep -q refuses"
	run cluster why
	assert_failure 1
	assert_output "n2 refuses us"
	run cluster why -j
	assert_failure 1
	assert_output '{"reason":"refused","text":"n2 refuses us"}'
	run cluster why -o text,reason
	assert_output "n2 refuses us	refused"
	run timeout 10 rmq-cluster why -S unix:none
	assert_failure 69
}

@test "rmq-cluster: each role has its name" {
	start_node
	is() {
		[ "$(cluster status -o role)" = "$1" ]
	}
	# It is of no cluster.
	run cluster unreachable
	assert_failure 69
	assert_output "rmq-cluster: this node is of no cluster"
	run cluster member-status
	assert_failure 69
	local question
	for question in members "members -j" "members -r west" phi; do
		run cluster $question
		assert_failure 69
		assert_output "rmq-cluster: this node is of no cluster"
	done
	wait_until 10 is new
	node "role joining"
	wait_until 10 is joining
	node "role follower" "member n1 joined"
	wait_until 10 is learner
	node "member n1 joined voter"
	wait_until 10 is follower
	node "role candidate"
	wait_until 10 is candidate
	node "role leader"
	wait_until 10 is leader
	node "role gone"
	wait_until 10 is removed
}

@test "rmq-cluster: wait ends when its condition is met, 1 when it is not in time" {
	start_three
	local condition
	for condition in available up=2 removed=n2; do
		run cluster wait --timeout 200ms "$condition"
		assert_failure 1
		assert_output "rmq-cluster: not met in time"
		start cluster wait "$condition"
	done
	cluster wait self-up
	cluster wait leader
	cluster wait up=1
	cluster wait removed=n9
	run cluster wait -q --timeout 200ms available
	assert_failure 1
	assert_output ""
	node "serve /run/q.sock"
	status_of "${STARTED[-3]}"
	assert_success
	node "member n2 joined voter up"
	status_of "${STARTED[-2]}"
	assert_success
	node "remove n2"
	status_of "${STARTED[-1]}"
	assert_success
	# Voters that see each other and have elected nobody are not a cluster that works.
	node "role candidate" "leader -" "caught-up"
	for condition in self-up leader available caught-up up=1; do
		run cluster wait --timeout 200ms "$condition"
		assert_failure 1
	done
	start cluster wait up=1
	node "role leader" "leader n1"
	status_of "${STARTED[-1]}"
	assert_success
}

@test "rmq-cluster: wait waits for the daemon too; 69 if nobody could say" {
	run cluster wait --timeout 300ms leader
	assert_failure 69
	start cluster wait leader
	start_three
	status_of "${STARTED[0]}"
	assert_success
}

@test "rmq-cluster: leave --wait ends when the node knows of it" {
	start_three
	start cluster leave --wait n2
	wait_until 10 grep -q "LEAVE n2" commands
	run cluster leave --wait --timeout 300ms n2
	assert_failure 1
	node "remove n2"
	status_of "${STARTED[-1]}"
	assert_success
	start cluster leave --wait
	wait_until 10 grep -qx LEAVE commands
	node "role gone"
	status_of "${STARTED[-1]}"
	assert_success
}

# told FILE: the events there, without what differs.
told() {
	jq -rc '[.event, .node, .was] | map(select(. != null)) | join(" ")' "$1"
}

@test "rmq-cluster: events are printed as they come, the state first if it is asked for" {
	start_three
	cluster events --snapshot >snapshot 2>told.err 3>&- 8>&- &
	STARTED+=($!)
	cluster events --replay -e member-up,leader-changed >replay 3>&- 8>&- &
	STARTED+=($!)
	wait_until 10 grep -q snapshot snapshot
	wait_until 10 grep -q leader replay
	node "member n3 joined" "member n3 joined voter" "serve /run/q.sock" "leader -"
	wait_until 10 grep -q '"leader-changed".*"node":null' snapshot
	wait_until 10 grep -q '"leader-changed".*"node":null' replay
	assert_equal "$(told snapshot)" "snapshot
member-joined n3
member-up n3 joining
queue-started n1
leader-changed n1"
	assert_equal "$(told replay)" "member-up n1 joining
member-up n2 joining
leader-changed n1
member-up n3 joining
leader-changed n1"
	assert_equal "$(head -n 1 snapshot | jq -c '[.index, .by, .leader, [.members[] | .node + " " + .state], .roles]')" \
		'[6,"n1","n1",["n1 up","n2 up","n3 admitted"],{"broker":"n1"}]'
	# From a place on: after an index, or after a line.
	cluster events --since 8 >since 3>&- 8>&- &
	STARTED+=($!)
	cluster events --after "$(sed -n 4p snapshot | jq .seq)" -e leader-changed >after 3>&- 8>&- &
	STARTED+=($!)
	wait_until 10 grep -q leader-changed since
	wait_until 10 grep -q leader-changed after
	assert_equal "$(told since)" "queue-started n1
leader-changed n1"
	assert_equal "$(told after)" "leader-changed n1"
	# What this process has not seen is lost.
	run bash -c "timeout 20 rmq-cluster events -S unix:cluster.sock --after 999999 | head -n 2"
	assert_line -n 0 '{"event":"dropped","count":null}'
	assert_line -n 1 --partial '"event":"snapshot"'
	# Nobody reads what it prints: it ends without a word, though nothing happens.
	run -141 bash -o pipefail -c "timeout 20 rmq-cluster events -S unix:cluster.sock 2>&1 | true"
	assert_output ""
	exec 8>&-
	status_of "${STARTED[1]}"
	assert_failure 69
	assert_equal "$(cat told.err)" "rmq-cluster: rmq-clusterd has hung up"
}

@test "rmq-cluster: top shows members and events on a terminal, also when the daemon comes back" {
	start_node "member n1 joined voter up" "member n2 joined voter up suspected" "role leader" "leader n1"
	on_terminal "sh -c 'stty cols 80 rows 12; exec rmq-cluster top -S unix:cluster.sock --watch 50ms'"
	wait_until 10 grep -q "n1, leader: takes no messages" screen
	grep -q $'\e\[7mNODE ROLE   STATE UP  UNR   PHI LAG' screen
	grep -q '^n1   leader up    yes no      -   0      -    - 1.500 ' screen
	grep -q '^n2   voter  up    yes no  8.500   0 0.0002    - 1.500 ' screen
	# What happened before it began; what happens; and who is in trouble.
	wait_until 10 grep -q '[0-9]  member-up            n2, was joining' screen
	node "serve unix:q.sock" "problem $(printf 'n2 hangs %.0s' {1..10})"
	wait_until 10 grep -q '[0-9]  queue-started        n1' screen
	wait_until 10 grep -qE '^(n2 hangs ){8}n2 hangs.\[K' screen
	grep -q '^ n2 hangs' screen
	# A terminal that is narrower has fewer columns.
	stty cols 40 <"/proc/$TOP/fd/1"
	wait_until 10 grep -q $'\e\[7mNODE ROLE   STATE UP  UNR   PHI LAG\e\[0m' screen
	kill "$NODE_PID"
	exec 8>&-
	wait_until 10 has_ended "$NODE_PID"
	wait_until 10 grep -q 'rmq-clusterd has hung up' screen
	rm script commands
	start_node "member n1 joined voter up" "role leader" "leader n1"
	wait_until 10 grep -q 'members 1  voters up 1' screen
	run ! grep -qF $'\e[?1049l' screen
	kill "$TOP"
	wait_until 10 has_ended "$TOP"
	grep -qF $'\e[?25h\e[?1049l' screen
	run -64 rmq-cluster top -S unix:cluster.sock
	assert_output "rmq-cluster: top: standard output is no terminal: use rmq-cluster members, events or metrics"
	run script -qec "rmq-cluster top -S unix:none" none
	assert_failure 69
}

@test "rmq-cluster: bad words are 64" {
	local args
	for args in "" nonsense "init x" "admit n2" "admit n2 rmq1:x" "admit a/b $KEY" \
		"leave a/b" "down" "down a/b" "replace n2" "replace n2 rmq1:x" "transfer a b" "wait" "wait x" "wait up=0" "wait up=x" \
		"wait removed=" "wait leader=1" "events -e x" "events --only member-up," \
		"events --since x" "events --snapshot --replay" "status -o name,x" "init --wait" \
		"status -S unix:a,unix:b" "status -S tcp:x" "status --timeout x"; do
		run timeout 10 rmq-cluster $args
		assert_failure 64
	done
	# A variable that is not set names no node: not this one.
	for args in leave down transfer member-status; do
		run -64 timeout 10 rmq-cluster $args ""
		assert_output "rmq-cluster: '' is not a node's name"
	done
}

@test "rmq-cluster: options that all commands have may stand before the command" {
	start_three
	timeout 10 rmq-cluster -S unix:cluster.sock --timeout 5s leader
	run timeout 10 rmq-cluster -S unix:cluster.sock --timeout 100ms wait -q available
	assert_failure 1
	assert_output ""
	run rmq-cluster -j members -S unix:cluster.sock
	assert_failure 64
	run rmq-cluster -S unix:none
	assert_failure 64
	assert_output "rmq-cluster: no command is given"
	run rmq-cluster -h
	assert_success
	assert_line --index 0 "usage: rmq-cluster COMMAND [OPTION]... [ARGUMENT]..."
	run -0 rmq-cluster wait -h
	assert_line --index 0 "usage: rmq-cluster wait [OPTION]..."
	assert_line --index 1 --regexp "^ *self-up.*removed=NODE$"
	run -0 rmq-cluster -h wait
	assert_line --index 0 "usage: rmq-cluster COMMAND [OPTION]... [ARGUMENT]..."
}

@test "rmq-cluster: RMQ_SERVERS is not for it, XDG_RUNTIME_DIR and RMQ_TIMEOUT are" {
	mkdir -p rmq
	export RMQ_SERVERS=unix:elsewhere RMQ_TIMEOUT=200ms XDG_RUNTIME_DIR=.
	run timeout 10 rmq-cluster status
	assert_failure 69
	assert_output "rmq-cluster: no daemon answers at ./rmq/cluster.sock (No such file or directory)"
	cd rmq
	start_three
	cd ..
	run timeout 10 rmq-cluster wait available
	assert_failure 1
	timeout 10 rmq-cluster wait leader
}

@test "control socket: a watcher is told at once and after each change" {
	start_three
	start_control seen hex $HELLO$WATCH expect WELCOME expect MEMBER expect MEMBER expect MEMBER \
		print ready expect STATE expect MEMBER expect MEMBER expect MEMBER expect STATE
	wait_until 10 grep -q ready seen
	node "role candidate"
	wait_until 10 grep -q "STATE .*role=4" seen
	node "role leader"
	status_of "${STARTED[-1]}"
	assert_success
	grep -q "STATE req=2 .*name=n1 .*role=5 .*leader=n1" seen
	grep -q "MEMBER req=2 name=n2 .*address=n2.example:7401 gate=n2.example:7402" seen
}

@test "control socket: an unknown version is told so" {
	start_three
	run control hex 0600000001000000726d71630900 eof
	assert_success
	assert_line --index 0 "ERROR code=21 text=this rmq-clusterd is of another version than the program that asks it: restart it, see rmq-cluster(7)"
	assert_line --index 1 eof
}

@test "control socket: what is no request ends the connection, and no other" {
	start_three
	start_control watcher hex $HELLO print ready wait
	local bytes
	for bytes in "$STATUS" ffffffff01000000 000100000700000001000000 "${HELLO}ff00000007000000" \
		"${HELLO}0004000007000000" "${HELLO}05000000070000000100000000" \
		"${HELLO}040000000900000001000000" "${HELLO}0300000007000000010000" \
		"${HELLO}$HELLO" "${HELLO}04000000070000ff01000000"; do
		run control hex "$bytes" zeros 2000 eof
		assert_success
		assert_line --partial "ERROR code=22"
	done
	# A name that is none is no reason to hang up, and DOWN needs one.
	run control hex "${HELLO}08000000050000000100000003612f62050000000c0000000200000000$STATUS" expect RESULT expect RESULT expect RESULT
	assert_success
	assert_line "RESULT req=1 code=4 text=not a node's name"
	assert_line "RESULT req=2 code=4 text=not a node's name"
	assert_line --partial "STATE"
	control hex $HELLO expect WELCOME
	kill -0 "${STARTED[-1]}"
	cluster is-leader
}

@test "control socket: a request may come byte by byte, many in one piece" {
	start_three
	run control slow 5 hex "$HELLO$STATUS" expect RESULT
	assert_success
	assert_line --index 0 "WELCOME version=2"
	local many='' i
	for i in {1..200}; do
		many+=$STATUS
	done
	start_control seen hex "$HELLO$many" expect WELCOME print go hex "$INIT" eof
	wait_until 10 grep -q "RESULT req=3" seen
	[ "$(grep -c "^STATE req=1" seen)" = 200 ]
	[ "$(grep -c "^MEMBER req=1" seen)" = 600 ]
}

@test "control socket: no more requests are taken than may be unanswered" {
	start_three
	hold
	run cluster init --timeout 200ms
	local many='' i
	for i in {1..40}; do
		many+=$INIT
	done
	start_control seen hex "$HELLO$many" expect WELCOME print sent wait
	count_is() {
		[ "$(grep -c INIT commands)" = "$1" ]
	}
	wait_until 10 count_is 17
	cluster is-leader
	count_is 17
	node release
	wait_until 10 count_is 41
	kill "${STARTED[-1]}"
}

@test "control socket: who goes away is forgotten with what was asked" {
	start_three
	hold
	run cluster init --timeout 200ms
	wait_until 10 grep -q FORGET commands
	node release
	cluster init
}

@test "control socket: too many connections are told so, and room comes back" {
	start_three
	start_control crowd more 70 print ready wait
	wait_until 10 grep -q ready crowd
	refused() {
		run cluster is-leader
		[ "$status" = 75 ]
	}
	wait_until 10 refused
	assert_output "rmq-cluster: too many connections"
	kill "${STARTED[-1]}"
	wait_until 10 cluster is-leader
}

# hearers COUNT FLAGS: so many connections that hear events.
hearers() {
	/usr/bin/python3 - >heard 3>&- 8>&- <<-END &
		import signal, socket
		all = []
		for _ in range($1):
		    s = socket.socket(socket.AF_UNIX)
		    s.connect("cluster.sock")
		    s.sendall(bytes.fromhex("${HELLO}0d0000000d00000005000000${2}0000000000000000"))
		    s.recv(100)
		    all.append(s)
		print("ready", flush=True)
		signal.pause()
	END
	STARTED+=($!)
	wait_until 10 grep -q ready heard
}

@test "control socket: programs that hear events, and stay, leave room for those that ask" {
	start_three
	hearers 48 01
	run cluster events
	assert_failure 75
	assert_output "rmq-cluster: too many programs hear events"
	[ "$(asked 'GET /events HTTP/1.1\r\n\r\n')" = "HTTP/1.1 503 Service Unavailable" ]
	cluster is-leader
	kill "${STARTED[-1]}"
	hears() {
		timeout 1 rmq-cluster events --snapshot -S unix:cluster.sock | grep -q -m 1 snapshot
	}
	wait_until 10 hears
}

@test "rmq-cluster: readers over HTTP take half of the places of those who hear events, and no more" {
	start_three
	hearers 24 21
	[ "$(asked 'GET /events HTTP/1.1\r\n\r\n')" = "HTTP/1.1 503 Service Unavailable" ]
	[ "$(tail -n 1 answer)" = '{"error":"too many programs hear events for others, such as over HTTP"}' ]
	run -124 timeout 1 rmq-cluster events --snapshot -S unix:cluster.sock
	assert_output --partial '"event":"snapshot"'
	kill "${STARTED[-1]}"
	http_at "$PWD/http.sock"
	begins() {
		[ "$(curl -s -N -m 1 --unix-socket "$PWD/http.sock" -o /dev/null -w '%{http_code}' http://x/events)" = 200 ]
	}
	wait_until 10 begins
}

@test "rmq-cluster: events over HTTP are kept going by a comment each 15 seconds, by which a reader that is gone is noticed" {
	start_three
	http_at "$PWD/http.sock"
	curl -s -N -m 40 --unix-socket "$PWD/http.sock" http://x/events >events 2>&1 3>&- 8>&- &
	STARTED+=($!)
	wait_until 10 grep -q '^data: {.*"snapshot"' events
	run ! grep -q "^:" events
	wait_until 30 grep -qx ":" events
	run tail -n 2 events
	assert_output ":"
}

@test "control socket: who is silent, cuts a frame or does not read is hung up on" {
	start_three
	start_control silent print silent eof
	start_control cut hex "${HELLO}0400000007000000" eof
	# Reads nothing: what it would be told is kept once, however often it changes.
	start_control deaf hex "$HELLO$WATCH" print ready wait
	wait_until 10 grep -q ready deaf
	# It has asked for events: it misses some, is told so when it reads, and is not hung up on.
	mkfifo stalled
	cluster events >stalled 3>&- &
	STARTED+=($!)
	exec 7<stalled
	# It hears them: however long it takes to begin.
	until read -r -t 1 <&7; do
		node "serve a" "serve -"
	done
	printf 'serve a\nserve -\n%.0s' {1..2000} >&8
	change() {
		local i
		for i in {1..100}; do
			node "role leader" "role candidate"
		done
		grep -q "answers are not read" node.log
	}
	wait_until 40 change
	grep -q "no HELLO in time" node.log
	grep -q "a request is incomplete" node.log
	wait_until 10 grep -q eof silent
	wait_until 10 grep -q eof cut
	node "role leader"
	wait_until 10 cluster is-leader
	[ "$(awk '/VmHWM/ { print $2 }' /proc/$NODE_PID/status)" -lt 65536 ]
	# Each line is told, or counted.
	node "leader -"
	timeout 20 sed '/leader-changed/q' <&7 >late
	run jq -s '(map(.count // 0) | add) as $dropped | $dropped > 0 and
		.[-1].seq - .[0].seq + 1 == $dropped + (map(select(.seq)) | length)' late
	assert_output true
	exec 7<&-
}

# ---- real nodes ----

# start_real I [OPTION…]: rmq-clusterd of node nI, which is no member; its control socket is nI.sock.
start_real() {
	local i=$1
	[ -f "key$i" ] || echo "$(rmq-keygen "key$i") n$i" >>known
	rmq-clusterd -d "d$i" --init --name "n$i" --key "key$i" --known-nodes known \
		--listen "127.0.0.1:$((PORT + i))" --gate-listen "127.0.0.1:$((PORT + 100 + i))" --control "n$i.sock" \
		--queue-socket "queue$i.sock" "${@:2}" >>"log$i" 2>&1 3>&- &
	STARTED+=($!)
	wait_until 20 on "$i" status >/dev/null
}

on() {
	timeout 60 rmq-cluster "$2" -S "unix:n$1.sock" "${@:3}"
}

key_of() {
	rmq-keygen -y "key$1"
}

@test "rmq-cluster: init makes a cluster of a one-node queue, once, and keeps its messages" {
	PORT=$((20000 + $$ % 10000))
	start_queue d1
	seq 1000 | rmq-send jobs
	stop_queue
	start_real 1
	run on 1 is-available
	assert_failure 1
	[ "$(on 1 status -o role)" = new ]
	on 1 init
	on 1 init
	on 1 wait available
	on 1 is-leader
	RMQ_SERVERS=unix:queue1.sock timeout 20 rmq-recv --drain jobs | cmp - <(seq 1000)
	# It is told as clients elsewhere can use it.
	[ "$(on 1 status -o queue-socket)" = "$PWD/queue1.sock" ]
	run on 1 transfer n2
	assert_failure 1
	run on 1 leave n2
	assert_failure 1
}

@test "rmq-cluster: status tells of a full disk, and no more once there is room" {
	PORT=$((20000 + $$ % 10000))
	small_disk d1 64m
	start_real 1
	on 1 init
	on 1 wait available
	assert_equal "$(on 1 status -o problem)" -
	fill_disk d1
	# What is written ahead already is used up first.
	seq -f '%0100g' 400000 >lines
	run env RMQ_SERVERS=unix:queue1.sock rmq-send --timeout 2 jobs <lines
	assert_failure 75
	assert_output --partial "disk is full"
	wait_until 20 sh -c 'rmq-cluster status -S unix:n1.sock -o problem | grep -q "^disk is full"'
	rm d1/others
	wait_until 20 sh -c '[ "$(rmq-cluster status -S unix:n1.sock -o problem)" = - ]'
	echo more | RMQ_SERVERS=unix:queue1.sock timeout 20 rmq-send jobs
}

# hook NAME: with what is on stdin.
hook() {
	cat >"hooks.d/$1"
	chmod 755 "hooks.d/$1"
}

@test "hooks.d: each is run for each event; one that hangs, fails or is not safe does no harm" {
	PORT=$((34000 + $$ % 2000))
	mkdir hooks.d
	hook log <<<'#!/bin/sh
		cat >>lines
		echo "$RMQ_EVENT $RMQ_NODE $RMQ_BY $(env | grep -c "^RMQ_[EN]\|^[^RPS_]")" >>kinds'
	printf '#!/bin/sh\necho begun >>hung\nsleep 1000 & wait\n' | hook hangs
	hook fails <<<'#!/bin/sh
		exit 3'
	hook unsafe <<<'#!/bin/sh
		touch harm'
	chmod 775 hooks.d/unsafe
	hook unsafe.dpkg-old <hooks.d/unsafe
	hook plain <hooks.d/unsafe
	chmod 644 hooks.d/plain
	# They are beside the file of settings.
	echo "hook-timeout = 300ms" >rmq.conf
	start_real 1 -c rmq.conf
	on 1 init
	wait_until 10 grep -q queue-started kinds
	wait_until 10 grep -q "hook hooks.d/hangs: did not end within its time" log1
	rm hooks.d/hangs
	assert_equal "$(head -n 5 kinds)" "member-joined n1 n1 2
member-up n1 n1 2
role-leader-changed n1 n1 2
leader-changed n1 n1 2
queue-started n1 n1 2"
	grep -q "hooks.d/fails: exit status 3" log1
	[ "$(grep -c "may be written to by others" log1)" = 1 ]
	[ "$(grep -c "hook hooks.d/plain: is not executable: it is not run" log1)" = 1 ]
	# The last event as well, before the node ends.
	kill "${STARTED[0]}"
	status_of "${STARTED[0]}"
	assert_success
	[ "$(tail -n 1 lines | jq -r .phase)" = ending ]
	[ "$(jq -s 'length' lines)" = "$(wc -l <kinds)" ]
	[ ! -e harm ]
	run pgrep -f "sleep 1000"
	assert_failure
}

@test "rmq-cluster: nodes are admitted by their keys, join, lead when asked, and leave for good" {
	PORT=$((30000 + $$ % 2000))
	local min=3,store:1
	start_real 1 --min-members "$min" --roles "broker, west"
	on 1 init
	start_real 2 --roles "west,broker,archive"
	start_real 3 --min-members "$min" --roles store --seeds "n1@127.0.0.1:$((PORT + 1))"
	on 1 admit n2 "$(key_of 2)"
	on 1 admit n2 "$(key_of 2)"
	run on 1 admit n2 "$(key_of 3)"
	assert_failure 73
	run on 1 admit n4 "$(key_of 2)"
	assert_failure 73
	# n2 is told whom to ask; n3 knows it from its settings, and waits to be admitted.
	# Both compare what must be the same.
	run on 2 join "n1@127.0.0.1:$((PORT + 1))"
	assert_failure 78
	assert_output --partial "min-members is 1 on n2 and 3,store:1 on n1, and must be the same on all nodes"
	kill "${STARTED[1]}"
	status_of "${STARTED[1]}"
	assert_success
	start_real 2 --min-members "$min" --roles "west,broker,archive"
	on 2 join "n1@127.0.0.1:$((PORT + 1))"
	# The queue first starts once all are up.
	on 1 wait up=2
	run on 1 wait --timeout 200ms available
	assert_failure 1
	wait_until 10 sh -c "rmq-cluster why -S unix:n1.sock | grep -q 'starts first when [13] members'"
	on 2 admit n3 "$(key_of 3)"
	on 3 wait self-up
	on 1 wait up=3
	on 1 wait available
	assert_equal "$(on 1 members -o name,roles | paste -sd' ')" \
		"$(printf 'n1\tbroker,west n2\tbroker,archive,west n3\tstore')"
	assert_equal "$(on 1 members -j -o roles | jq -c .roles | paste -sd' ')" \
		'["broker","west"] ["broker","archive","west"] ["store"]'
	# Of n2 and n3, each second and by their connections.
	knows_both() {
		[ "$(on 1 members -o round-trip,version | grep -cE '^0\.[0-9]{6}	[0-9]')" = 2 ]
	}
	wait_until 10 knows_both
	[ "$(on 2 members -r west -o name | paste -sd' ')" = "n1 n2" ]
	run on 2 members -r east
	assert_failure 1
	refute_output
	# Who may not run the queue daemon passes leadership on.
	on 1 transfer n3
	not_n3() {
		[[ $(on 1 leader) == n[12] ]]
	}
	wait_until 10 not_n3
	assert_equal "$(on 1 members -o name,voter | paste -sd' ')" \
		"$(printf 'n1\tyes n2\tyes n3\tyes')"
	on 3 transfer n2
	on 3 wait available
	[ "$(on 2 leader)" = n2 ]
	run on 1 is-leader
	assert_failure 1
	on 1 leave --wait n3
	on 2 wait removed=n3
	[ "$(on 1 members -o name | paste -sd' ')" = "n1 n2" ]
	# Of itself: its daemon ends.
	on 1 leave --wait n1
	wait_until 20 has_ended "${STARTED[0]}"
	status_of "${STARTED[0]}"
	assert_success
	[ "$(on 2 members -o name)" = n2 ]
	on 2 wait available
}

@test "rmq-cluster: names of nodes are completed" {
	start_three
	printf '%s\n' 'rmq-cluster -S unix:cluster.sock leave ' 'rmq-cluster --server=unix:cluster.sock transfer n' >lines
	run -0 bash "$BATS_TEST_DIRNAME/complete.bash" \
		"$(dirname "$(command -v rmq-cluster)")/../completions/bash" <lines
	assert_output "$(printf 'n1 n2 n3\nn1 n2 n3')"
}

# http_at ADDRESS: `rmq-cluster http` for each connection there, as a socket unit with Accept=yes runs it.
http_at() {
	/usr/bin/python3 - "$1" >port 3>&- 8>&- <<-'END' &
		import socket, subprocess, sys
		unix = "/" in sys.argv[1]
		s = socket.socket(socket.AF_UNIX if unix else socket.AF_INET)
		s.bind(sys.argv[1] if unix else ("127.0.0.1", 0))
		s.listen()
		print("" if unix else s.getsockname()[1], flush=True)
		running = []
		while True:
		    c, _ = s.accept()
		    running.append(subprocess.Popen(["rmq-cluster", "http", "-S", "unix:cluster.sock"], stdin=c, stdout=c))
		    c.close()
	END
	STARTED+=($!)
	wait_until 10 test -s port
}

# web PATH ARG…: what curl says of it, over the Unix socket; the status is the last line.
web() {
	curl -s -m 10 --unix-socket "$PWD/http.sock" -w '%{http_code}\n' "${@:2}" "http://x$1"
}

# asked REQUEST: what is answered to it, its first line.
asked() {
	printf "$1" | timeout 10 rmq-cluster http -S unix:cluster.sock 2>err | tr -d '\r' >answer
	head -n 1 answer
}

@test "rmq-cluster http: members, status, leader, events and a page; who may change something" {
	start_three
	node "problem n2 <refuses> us"
	start_queue q
	seq 7 | rmq-send jobs
	rmq-queue create empty
	http_at "$PWD/http.sock"
	run web /leader
	assert_output '{"leader":"n1"}
200'
	[ "$(web /available | tail -n 1)" = 503 ]
	node "serve /run/q.sock"
	wait_until 10 cluster is-available
	run web /available
	assert_output '{"available":true}
200'
	node "serve -"
	[ "$(web /members | head -n -1 | jq -r '[.[].name] | join(" ")')" = "n1 n2 n3" ]
	[ "$(web /members/n2 | head -n -1 | jq -r .role)" = voter ]
	[ "$(web /members/n9 | tail -n 1)" = 404 ]
	[ "$(web /status | head -n -1 | jq -r .problem)" = "n2 <refuses> us" ]
	# A page is HTML without scripts, and what others say stays text.
	web / -i >page
	grep -q "^Content-Security-Policy: default-src 'none';" page
	grep -qF "<li>n2 &lt;refuses&gt; us</li>" page
	run ! grep -i "<script\|http" <(sed '1,/^\r*$/d' page | grep -v http-equiv)
	web /status -H "Accept: text/html" >page.2
	grep -q "<td>n3</td>" page.2
	# With the lag and the load of members, and the queues.
	grep -q "<tr><td>n1</td><td>leader</td><td>up</td><td>yes</td><td>no</td><td>0</td><td>-</td><td>-</td><td>1.500</td>" page
	grep -qx "<tr><td>jobs</td><td>7</td><td>0</td><td>0</td><td>[0-9]*</td><td>0</td></tr>" page
	grep -q "<tr><td>empty</td><td>0</td>" page
	run ! grep "There are more\|Nobody says" page
	/usr/bin/python3 - page <<-'END'
		import sys
		from html.parser import HTMLParser
		open_, void = [], {"meta"}
		class P(HTMLParser):
		    def handle_starttag(self, tag, attrs):
		        if tag not in void: open_.append(tag)
		    def handle_endtag(self, tag):
		        assert open_.pop() == tag, tag
		P().feed(open(sys.argv[1]).read().split("\n\n", 1)[-1].split("\r\n\r\n", 1)[-1])
		assert not open_, open_
	END
	# Changes: by us, and by no page.
	[ "$(web /members/n2 -X DELETE)" = '{"name":"n2","operation":"leave"}
200' ]
	[ "$(web /members/n3 -X PUT -d operation=leave | tail -n 1)" = 200 ]
	[ "$(web /members/n3 -X PUT -d operation=down)" = '{"name":"n3","operation":"down"}
200' ]
	grep -qx "LEAVE n2" commands
	grep -qx "LEAVE n3" commands
	grep -qx "DOWN n3" commands
	[ "$(web /members/n2 -X PUT -d operation=dance | tail -n 1)" = 400 ]
	for field in 'Origin: http://evil.example' 'Via: 1.1 proxy' 'X-Forwarded-For: ::1' 'Forwarded: for=x'; do
		[ "$(web /members/n2 -X DELETE -H "$field" | tail -n 1)" = 403 ]
	done
	# By nobody else, who may read if the mode of the socket says so.
	if [ "$(id -u)" = 0 ] && command -v setpriv >/dev/null; then
		local other=(setpriv --reuid=65534 --regid="$(id -g)" --clear-groups curl -s -m 10 -o /dev/null -w '%{http_code}'
			--unix-socket http.sock)
		chmod 777 http.sock
		[ "$("${other[@]}" http://x/leader)" = 200 ]
		[ "$("${other[@]}" http://x/members/n3 -X PUT -d operation=down)" = 403 ]
	fi
	node "answer 28 the last voter"
	[ "$(web /members/n2 -X DELETE)" = '{"error":"n2: the last voter"}
409' ]
	[ "$(web /members/n2 -X POST -d x | tail -n 1)" = 405 ]
	[ "$(web /nothing | tail -n 1)" = 404 ]
	[ "$(web /members/n2 -X PUT -d "operation=$(printf %02000d 0)" | tail -n 1)" = 413 ]
	# Events go on until the reader goes.
	local server=${STARTED[-1]}
	curl -s -N -m 20 --unix-socket "$PWD/http.sock" http://x/events >events 2>&1 3>&- 8>&- &
	STARTED+=($!)
	wait_until 10 grep -q '^data: {.*"snapshot"' events
	pgrep -r S,R -P "$server" rmq-cluster
	kill "${STARTED[-1]}"
	wait_until 10 bash -c "! pgrep -r S,R -P $server rmq-cluster"
	[ "$(web /metrics | head -n -1)" = "$(cluster metrics)" ]
	# Over TCP nothing can be changed, and by no other name of this machine.
	rm port
	http_at tcp
	run curl -s -m 10 -w '%{http_code}' "http://127.0.0.1:$(cat port)/leader"
	assert_output '{"leader":"n1"}
200'
	[ "$(curl -s -m 10 -o /dev/null -w '%{http_code}' -X DELETE "http://127.0.0.1:$(cat port)/members/n2")" = 403 ]
	[ "$(curl -s -m 10 -o /dev/null -w '%{http_code}' -H "Host: evil.example" "http://127.0.0.1:$(cat port)/leader")" = 421 ]
	# As by what another program passes on, by a pipe or a socket without a name.
	[ "$(asked 'DELETE /members/n2 HTTP/1.1\r\n\r\n')" = "HTTP/1.1 403 Forbidden" ]
	[ "$(asked 'GET /leader HTTP/1.1\r\nHost: evil.example\r\n\r\n')" = "HTTP/1.1 421 Misdirected Request" ]
	/usr/bin/python3 - <<-'END'
		import socket, subprocess
		ours, theirs = socket.socketpair()
		ours.sendall(b"DELETE /members/n2 HTTP/1.1\r\n\r\n")
		subprocess.run(["rmq-cluster", "http", "-S", "unix:cluster.sock"], stdin=theirs, stdout=theirs)
		assert ours.recv(100).startswith(b"HTTP/1.1 403 ")
	END
	# A reader that goes, and says so only by ending its side.
	server=${STARTED[-1]}
	curl -s -N -m 20 "http://127.0.0.1:$(cat port)/events" >events.tcp 2>&1 3>&- 8>&- &
	STARTED+=($!)
	wait_until 10 grep -q '^data: {.*"snapshot"' events.tcp
	kill "${STARTED[-1]}"
	wait_until 10 bash -c "! pgrep -r S,R -P $server rmq-cluster"
	# What is no request; and when nobody answers.
	[ "$(asked 'HEAD /status HTTP/1.1\r\n\r\n')" = "HTTP/1.1 200 OK" ]
	[ -z "$(sed '1,/^$/d' answer)" ]
	[ "$(asked 'GET /\r\n\r\n')" = "HTTP/1.1 400 Bad Request" ]
	# What follows a question mark changes nothing.
	for path in "/leader?" "/leader?x=1&y=/members" "/leader?x?y"; do
		[ "$(asked "GET $path HTTP/1.1\r\n\r\n")" = "HTTP/1.1 200 OK" ]
		[ "$(tail -n 1 answer)" = '{"leader":"n1"}' ]
	done
	[ "$(asked 'PUT /members/n2 HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n')" = "HTTP/1.1 411 Length Required" ]
	[ "$(asked 'PUT /members/n2 HTTP/1.1\r\nContent-Length: 9\r\n\r\nx')" = "HTTP/1.1 400 Bad Request" ]
	stop_queue
	[ "$(asked 'GET / HTTP/1.1\r\n\r\n')" = "HTTP/1.1 200 OK" ]
	grep -qx "<p>Nobody says how they are: no daemon answers at q.sock .*</p>" answer
	grep -q "<td>n3</td>" answer
	kill "$NODE_PID"
	wait_until 10 bash -c '! rmq-cluster leader -S unix:cluster.sock'
	[ "$(asked 'GET /members HTTP/1.1\r\n\r\n')" = "HTTP/1.1 503 Service Unavailable" ]
	[ "$(asked 'GET /events HTTP/1.1\r\n\r\n')" = "HTTP/1.1 503 Service Unavailable" ]
}

@test "rmq-cluster http: a browser shows the page, and loads nothing else" {
	[ -n "${RMQ_LONG:-}" ] || skip "starts a browser: RMQ_LONG=1"
	local browser
	browser=$(command -v chromium || command -v chromium-browser || command -v google-chrome) ||
		skip "no chromium is installed"
	start_three
	start_queue q
	seq 7 | rmq-send jobs
	# More than an answer of the daemon has.
	seq -f e%g 300 | xargs -n 1 rmq-queue create
	http_at tcp
	run -0 --separate-stderr timeout 100 "$browser" --headless --no-sandbox --disable-gpu --no-first-run \
		--disable-background-networking --user-data-dir="$PWD/browser" --enable-logging=stderr \
		--dump-dom "http://127.0.0.1:$(cat port)/status"
	for words in "<h1>rmq: n1, leader</h1>" "<h2>Members</h2>" "<h2>Queues</h2>" "<td>n3</td>" "<td>jobs</td><td>7</td>"; do
		grep -qF "$words" <<<"$output"
	done
	[ "$(grep -c "^<tr><td>e[0-9]*</td><td>0" <<<"$output")" = 300 ]
	# It has loaded nothing else, and nothing was refused.
	run ! grep CONSOLE <<<"$stderr"
}
