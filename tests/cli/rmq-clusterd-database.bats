#!/usr/bin/env bats
# modes: release
# rmq-clusterd with a database as the engine, which is not there: settings, what is said and shown, and what
# is never shown.  With servers: tests/postgres.

bats_require_minimum_version 1.5.0
load common
load clusterd

SECRET=hush-4711

node_ends() {
	kill -TERM "$NODE"
	wait "$NODE"
}

refused() {
	run "-$1" rmq-clusterd -c n1.conf -d n1 --init "${@:3}"
	[ "$output" = "rmq-clusterd: $2" ]
	[ ! -e n1 ]
}

problem_is() {
	asks status -o problem | grep -qF -- "$1"
}

@test "database: settings that do not fit each other are refused with a message, 78" {
	settings "engine = postgresql"
	refused 78 "dsn: is missing, and so is dsn-file: one of them says where the database is"
	settings "dsn = host=pg1"
	refused 78 "dsn: is for engine = postgresql, and engine is built-in"
	settings
	refused 78 "dsn-file: is for engine = postgresql, and engine is built-in" --dsn-file dsn
	refused 78 "--allow-async: is for engine = postgresql, and engine is built-in" --allow-async
	settings "engine = postgresql" "dsn = host=pg1" "dsn-file = dsn"
	refused 78 "dsn-file: dsn is set as well: keep one of them"
	settings "engine = mysql"
	refused 78 "n1.conf:7: engine: must be built-in or postgresql"
}

@test "database: a connection string is refused as an option, as others see those: 64" {
	settings "engine = postgresql"
	run -64 rmq-clusterd -c n1.conf -d n1 --init --dsn "host=pg1 password=$SECRET"
	assert_line --partial "--dsn: others see options: set it in the file of settings, or use --dsn-file"
	refute_output --partial "$SECRET"
}

@test "database: a string that libpq does not take is refused, and not repeated: 78" {
	settings "engine = postgresql" "dsn = host=pg1 password=$SECRET colour=blue"
	refused 78 "dsn: it is no connection string of libpq: words KEY=VALUE, or postgresql://…"
	# Its name was forgotten, or the sign after it.
	for line in "dsn host=pg1 password=$SECRET" "postgresql://rmq:$SECRET@pg1/q?sslmode=require"; do
		settings "engine = postgresql" "$line"
		run -78 rmq-clusterd -c n1.conf -d n1 --init
		assert_output --partial "no such setting"
		refute_output --partial "$SECRET"
	done
}

@test "database: a file with the string is one line, and not for others: 77" {
	settings "engine = postgresql" "dsn-file = dsn"
	refused 78 "dsn-file: dsn: No such file or directory"
	printf '# ours\nhost=pg1 password=%s colour=blue\n' "$SECRET" >dsn
	chmod 644 dsn
	refused 77 "dsn-file: dsn: mode is 0644: others can use it, make it 0600 or 0640"
	chmod 640 dsn
	refused 78 "dsn-file: it is no connection string of libpq: words KEY=VALUE, or postgresql://…"
	echo "host=pg2" >>dsn
	refused 78 "dsn-file: dsn:3: it is one line"
	echo "postgresql://rmq:pa@ss@pg1/rmq" >dsn
	refused 78 "dsn-file: a host has an @ in it: in a URI one of the password is written %40"
	echo "postgresql://rmq:pa@ss@pg1,pg2/rmq" >dsn
	refused 78 "dsn-file: a host has an @ in it: in a URI one of the password is written %40"
}

@test "database: of several that are away each is named, however long their reasons are" {
	local name=a-host-with-a-name-that-is-long.example.invalid
	settings "engine = postgresql" "dsn-file = dsn"
	echo "host=one.$name,two.$name,three.$name user=rmq dbname=q connect_timeout=2" >dsn
	chmod 600 dsn
	node
	wait_until 20 problem_is ", three.a-host-with-a-name"
	run -1 asks why
	assert_line --index 0 --partial "the database cannot be used: one.a-host-with-a-name"
	assert_line --index 0 --partial ", two.a-host-with-a-name"
	assert_line --index 0 --partial ", three.a-host-with-a-name"
}

@test "database: what is said of several is said once" {
	settings "engine = postgresql" "dsn = host=127.0.0.1,127.0.0.2,127.0.0.3 port=1"
	node
	wait_until 20 problem_is "the database cannot be used: 127.0.0.1:1, 127.0.0.2:1, 127.0.0.3:1: Connection refused"
}

@test "database: one that is away is said, and no password is shown anywhere" {
	settings "engine = postgresql" "dsn-file = dsn"
	echo "host=127.0.0.1 port=1 user=rmq dbname=q password=$SECRET connect_timeout=2" >dsn
	chmod 600 dsn
	node -vv
	wait_until 10 problem_is "the database cannot be used: 127.0.0.1:1: "
	run -0 asks status -o engine,database-state,synchronous
	assert_output "postgresql	down	-"
	run -1 asks why
	assert_line --index 0 --partial "the database cannot be used: 127.0.0.1:1: "
	run -0 asks metrics
	assert_line "rmq_cluster_database_up 0"
	# Nothing is made without it, and the command says why.
	run -69 asks init --new --timeout 30s
	assert_output --partial "the database cannot be used: 127.0.0.1:1: "
	run -0 asks status -o role
	assert_output new
	{
		cat log "/proc/$NODE/cmdline"
		cat "/proc/$NODE/environ" || true
		asks status -j
		asks why || true
		asks metrics
	} >all 2>&1
	run -1 grep -aF "$SECRET" all
	node_ends
}

@test "database: --allow-async is said at each start" {
	settings "engine = postgresql" "dsn = host=127.0.0.1 port=1"
	for i in 1 2; do
		node -q --allow-async
		node_ends
	done
	[ "$(grep -cF -- "--allow-async: the database need not wait for a standby" log)" -eq 2 ]
}

@test "database: the built-in engine says so, and nothing of a database" {
	settings
	node
	run -0 asks status -o engine,database,database-state,synchronous
	assert_output "built-in	-	-	-"
	run -0 asks metrics
	refute_output --partial database
	run -78 asks init --adopt
	assert_output --partial "engine is built-in, and there is no database whose log could be adopted"
	run -64 asks init --adopt --new
	asks init --new
	wait_until 10 asks is-available
	node_ends
}

@test "database: the log of a cluster of one waits for init; that of more members is refused: 78" {
	settings
	node
	asks init --new
	wait_until 10 asks is-available
	node_ends
	settings "engine = postgresql" "dsn = host=127.0.0.1 port=1"
	node
	run -1 asks why
	assert_output --partial "rmq-cluster init makes it the database's"
	run -1 asks is-available
	node_ends
	settings
	node
	wait_until 10 asks is-available
	rmq-keygen n2.key >n2.pub
	asks admit n2 "$(cut -d ' ' -f 1 n2.pub)"
	node_ends
	settings "engine = postgresql" "dsn = host=127.0.0.1 port=1"
	run -78 rmq-clusterd -c n1.conf -d n1
	assert_output --partial "is of a cluster of 2 members with the built-in engine"
}

@test "database: an init that was given up keeps no other node from making the cluster" {
	local i
	free_port
	for i in 1 2; do
		rmq-keygen "n$i.key" >pub
		printf '%s n%d\n' "$(cut -d ' ' -f 1 pub)" "$i" >>known
	done
	for i in 1 2; do
		cat >"n$i.conf" <<-END
			name = n$i
			key = n$i.key
			known-nodes = known
			listen = 127.0.0.1:$((PORT + i - 1))
			gate-listen = 127.0.0.1:$((PORT + 2))
			seeds = n$((3 - i))@127.0.0.1:$((PORT + 2 - i))
			retry-join = 300ms
			control = n$i.sock
			queue-socket = q$i.sock
			engine = postgresql
			dsn = host=127.0.0.1 port=1 user=rmq
		END
		rmq-clusterd -c "n$i.conf" -d "n$i" --init >"n$i.log" 2>&1 3>&- </dev/null &
		STARTED+=($!)
		wait_until 20 test -S "n$i.sock"
	done
	run -75 rmq-cluster init -S unix:n1.sock --timeout 1s
	run -69 --separate-stderr rmq-cluster init -S unix:n2.sock --timeout 20s
	[[ $stderr == *"the database cannot be used"* ]]
}
