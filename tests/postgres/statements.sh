#!/bin/bash
# usage: bash tests/postgres/statements.sh [CASE...]
#
# The link with a database, as rmq-clusterd has it, against real servers: each statement and each outcome.
# Prints TAP.  What is driven is build/MODE/postgres/statements; its commands and words are at the top
# of statements.c.  A case is a function below, named case_NAME.
set -u
cd "$(dirname "$0")/../.." || exit 1
export LC_ALL=C
build=${RMQ_BUILD:-$PWD/build/${MODE:-release}}
bin=$build/bin
work=$(mktemp -d) || exit 1
. tests/cluster/nodes.sh
. tests/postgres/server.sh

cleanup() {
	links_close
	[ -z "${fake_pid:-}" ] || kill "$fake_pid" 2>/dev/null
	pg_down
	rm -rf "$work"
}
trap cleanup EXIT

# ---- links: each has a name, and writes what it hears to $work/NAME.out ----

declare -A link_pid=() link_fd=() link_seen=()
link_by=() # a command that runs it

link_open() { # NAME [OPTION...] DSN
	local name=$1 fd
	shift
	rm -f "$work/$name.in"
	mkfifo "$work/$name.in"
	: >"$work/$name.out"
	"${link_by[@]}" "$build/postgres/statements" "$@" <"$work/$name.in" >>"$work/$name.out" 2>&1 &
	link_pid[$name]=$!
	exec {fd}>"$work/$name.in"
	link_fd[$name]=$fd
	link_seen[$name]=0
}

link_close() {
	local fd=${link_fd[$1]}
	# Servers that were started meanwhile have its descriptor too.
	say "$1" quit
	exec {fd}>&-
	wait "${link_pid[$1]}" || fail "link $1 ended with $?"
	unset "link_pid[$1]" "link_fd[$1]"
}

links_close() {
	local name
	for name in "${!link_pid[@]}"; do
		link_close "$name"
	done
}

say() { # NAME COMMAND
	echo "$2" >&"${link_fd[$1]}"
}

# The next line that begins with one of these words; all before it are passed over.
hear_line() { # NAME PATTERN
	local n=0
	while IFS= read -r line; do
		n=$((n + 1))
		[ "$n" -gt "${link_seen[$1]}" ] || continue
		# shellcheck disable=SC2254
		case $line in $2)
			link_seen[$1]=$n
			return 0
			;;
		esac
	done <"$work/$1.out"
	return 1
}

hear() { # NAME PATTERN [SECONDS]
	wait_until "${3:-15}" hear_line "$1" "$2" && return 0
	fail "$1 does not say: $2"
	tail -n +$((link_seen[$1] + 1)) "$work/$1.out" | tail -n 5
	return 1
}

# ask NAME COMMAND PATTERN: the command's result is that.
ask() {
	say "$1" "$2"
	hear "$1" 'result *' || return 1
	# shellcheck disable=SC2254
	case ${line#result * } in $3) ;; *) fail "$2: ${line#result * } is not: $3" ;; esac
}

fail() {
	bad=1
	echo "# ${FUNCNAME[2]}: $*"
}

is() { # WHAT GOT WANTED
	[ "$2" = "$3" ] || fail "$1 is $2, not $3"
}

# ---- servers ----

# Three that are as they were: the primary is 1, the others confirm.
fresh() {
	links_close
	[ "$pg_count" -eq 0 ] || [ -n "$broken" ] || return 0
	[ "$pg_count" -eq 0 ] || pg_down
	broken=
	pg_up 3 && wait_until 20 pg_in_sync 1 2
}

# A database of the case, with tables that node a leads in term 1; link A is up.
begin() {
	db=$1
	pg_database 1 "$db"
	link_open A "$(pg_dsn "$db")"
	hear A 'up *' && ask A "found c" 'DONE cluster=c term=0*' &&
		ask A "take c a 1 0 0 0 60000" 'DONE cluster=c term=1 leader=a last=0/0*'
}

backend() { # SERVER: the process that serves the links of this database
	pg_sql "$1" "SELECT pid FROM pg_stat_activity WHERE datname = '$db' AND usename = 'rmq' ORDER BY backend_start DESC LIMIT 1"
}

waits_for_standby() { # SERVER
	[ "$(pg_sql "$1" "SELECT count(*) FROM pg_stat_activity WHERE datname = '$db' AND wait_event = 'SyncRep'")" -gt 0 ]
}

count_log() { # SERVER
	pg_sql "$1" "SELECT count(*) FROM rmq_log" "$db"
}

standbys_stop() {
	pg_signal 2 STOP
	pg_signal 3 STOP
}

standbys_go() {
	pg_signal 2 CONT
	pg_signal 3 CONT
}

# ---- cases ----

case_tables_are_made_once_and_belong_to_one_cluster() {
	pg_database 1 "$db"
	link_open A "$(pg_dsn "$db")"
	hear A 'up 127.0.0.1:* standbys (PostgreSQL *) ANY 1 (s1,s2,s3)*'
	ask A "look" 'DONE norow'
	ask A "read c 1 1 1" 'DONE norow'
	ask A "take c a 1 0 0 0 1" 'FAILED because *rmq_cluster*does not exist*'
	ask A "found d" 'DONE cluster=d term=0 leader=- last=0/0 commit=0 cover=0/0 lease=over'
	# Nothing was held for d.
	ask A "found c" 'DONE cluster=c term=0*'
	ask A "found c" 'DONE cluster=c term=0*'
	ask A "take d a 1 0 0 0 1" 'FENCED cluster=c*'
	ask A "take c a 1 0 0 0 1" 'DONE cluster=c term=1 leader=a*'
	ask A "found d" 'FENCED cluster=c term=1*'
	ask A "found c" 'DONE cluster=c term=1*'
	is "storage of the payload" "$(pg_sql 1 "SELECT attstorage FROM pg_attribute WHERE attrelid = 'rmq_log'::regclass AND attname = 'payload'" "$db")" e
	pg_sql 1 "SELECT reloptions FROM pg_class WHERE relname = 'rmq_cluster'" "$db" | grep -q fillfactor=10 || fail "no fillfactor"
}

case_tables_that_others_made_need_no_right_to_make_them() {
	begin "$db"
	say A "look"
	pg_sql 1 "REVOKE CREATE ON SCHEMA public FROM PUBLIC; ALTER DATABASE $db OWNER TO postgres" "$db"
	ask A "found c" 'DONE cluster=c term=1*'
}

case_a_vote_is_given_once_in_a_term_and_to_who_has_all() {
	begin "$db"
	ask A "take c b 1 0 0 0 1" 'FENCED cluster=c term=1 leader=a*'
	ask A "append c a 1 0 0 5 100 0" 'DONE*'
	ask A "append c a 1 5 1 0 0 5" 'DONE*'
	ask A "take c b 2 4 1 4 1" 'FENCED*last=5/1 commit=5*'
	# More records of an older term are not more.
	ask A "take c b 2 9 0 4 1" 'FENCED*'
	ask A "take c b 2 5 1 4 50" 'DONE cluster=c term=2 leader=b last=5/1 commit=5*lease=left'
	ask A "take c a 1 5 1 5 1" 'FENCED cluster=c term=2*'
	wait_until 5 lease_is_over
	# What is known to be committed is told; who lacks it is not elected.
	ask A "take c a 3 7 2 7 1" 'DONE*commit=7*'
	ask A "take c b 4 6 3 6 1" 'FENCED*commit=7*'
}

# Who adopts the log does not take it from a node that leads.
case_a_vote_for_who_adopts_the_log_is_not_given_while_a_lease_lasts() {
	begin "$db"
	ask A "take c b 2 0 0 0 60000 vacant" 'FENCED cluster=c term=1*'
	ask A "take c b 2 0 0 0 60000" 'DONE cluster=c term=2 leader=b*'
	ask A "take c a 3 0 0 0 1 vacant" 'FENCED cluster=c term=2*'
	ask A "take c b 3 0 0 0 1" 'DONE cluster=c term=3*'
	wait_until 5 lease_is_over
	ask A "take c a 4 0 0 0 1 vacant" 'DONE cluster=c term=4 leader=a*'
}

lease_is_over() {
	say A look && hear A 'result *' && case $line in *lease=over) ;; *) false ;; esac
}

case_only_the_leader_appends_and_only_behind_the_last() {
	begin "$db"
	ask A "append c a 1 0 0 3 100 0" 'DONE*'
	ask A "append c a 1 0 0 3 100 0" 'FENCED cluster=c term=1 leader=a last=3/1*'
	ask A "append c a 1 2 1 3 100 0" 'FENCED*'
	ask A "append c a 1 3 2 3 100 0" 'FENCED*'
	ask A "append c b 1 3 1 3 100 0" 'FENCED*'
	ask A "append c a 2 3 1 3 100 0" 'FENCED*'
	ask A "append d a 1 3 1 3 100 0" 'FENCED*'
	ask A "append c b 1 3 1 0 0 0" 'FENCED*'
	is "records" "$(count_log 1)" 3
	ask A "append c a 1 3 1 0 0 3" 'DONE*'
	ask A "look" 'DONE*last=3/1 commit=3*'
	ask A "take c b 2 3 1 3 1" 'DONE*'
	ask A "append c a 1 3 1 1 10 3" 'FENCED cluster=c term=2 leader=b*'
	ask A "append c b 2 3 1 2 10 3" 'DONE*'
	ask A "read c 1 10 1000" 'DONE*last=5/2*records=1/1,2/1,3/1,4/2,5/2 bytes=320 good terms=1/1,4/2 last'
}

case_what_is_absent_is_a_hole_but_configurations_stay() {
	begin "$db"
	ask A "gap c a 1 0 0 6 65000 0" 'DONE*'
	ask A "read c 1 10 1000000" 'DONE*last=6/1*records=2/1,4/1,6/1*good terms=1/1 last'
	ask A "read c 1 2 1000000" 'DONE*records=2/1,4/1*terms=1/1 more'
	ask A "read c 1 10 100000" 'DONE*records=2/1*terms=1/1 more'
	ask A "read c 3 10 1" 'DONE*records=4/1 bytes=65000 good terms=1/1 more'
	ask A "read c 6 1 1" 'DONE*records=6/1 *'
	ask A "read c 7 10 1000" 'DONE*records= bytes=0 good terms=1/1 last'
	pg_sql 1 'UPDATE rmq_log SET kind = 6 WHERE "index" = 4' "$db"
	ask A "dig c b 1 6 9 1 6" 'FENCED*'
	ask A "dig c a 1 6 9 1 3 4 2" 'DONE last'
	ask A "read c 1 10 1000000" 'DONE*commit=6 cover=6/1*records=4/1,6/1*last'
	# An older END does not take the place of a newer one.
	ask A "dig c a 1 5 0 6 1" 'DONE last'
	ask A "look" 'DONE*commit=6 cover=6/1*'
	is "records" "$(count_log 1)" 1
	# So many of them only, however long the ranges are.
	ask A "append c a 1 6 1 10 100 6" 'DONE*'
	ask A "dig c a 1 16 4 7 4000000000" 'DONE more'
	is "records" "$(count_log 1)" 7
	ask A "dig c a 1 16 4 7 4000000000" 'DONE more'
	# A record that is in two of them counts for both.
	ask A "dig c a 1 16 3 15 1 15 1 16 1" 'DONE more'
	ask A "dig c a 1 16 4 7 4000000000" 'DONE last'
	is "records" "$(count_log 1)" 1
}

case_four_MiB_are_one_transaction() {
	begin "$db"
	ask A "append c a 1 0 0 64 65536 0" 'DONE*'
	ask A "append c a 1 64 1 4096 1000 64" 'DONE*'
	ask A "read c 1 256 1048576" 'DONE*last=4160/1*records=1/1,*,16/1 bytes=1048576 good terms=1/1 more'
	ask A "read c 65 256 1048576" 'DONE*records=256 bytes=256000 good terms=1/1 more'
	ask A "read c 4100 256 1048576" 'DONE*records=61 bytes=61000 good terms=1/1 last'
}

case_a_number_that_the_server_cannot_hold_is_refused() {
	begin "$db"
	ask A "take c a 9223372036854775808 0 0 0 1" 'FAILED because a number*'
	ask A "take c a 9223372036854775807 0 0 0 1" 'DONE*'
}

case_a_server_that_waits_for_nobody_is_refused() {
	pg_database 1 "$db"
	broken=yes
	pg_set 1 synchronous_standby_names ''
	link_open A "$(pg_dsn "$db" 1)"
	hear A 'down 127.0.0.1:*synchronous_standby_names is empty*--allow-async*'
	link_close A
	link_open A --allow-async "$(pg_dsn "$db" 1)"
	hear A 'up *async (*synchronous_standby_names is empty'
	ask A "found c" 'DONE*'
	ask A "take c a 1 0 0 0 1" 'DONE*'
	link_close A
	# A link that is refused comes up as soon as the server waits.
	link_open A "$(pg_dsn "$db")"
	hear A 'down *'
	pg_set 1 synchronous_standby_names 'ANY 1 (s2,s3)'
	hear A 'up *standbys (*ANY 1 (s2,s3)*'
	ask A "take c a 2 0 0 0 1" 'DONE*'
}

case_a_server_that_ceases_to_wait_vouches_for_nothing() {
	begin "$db"
	broken=yes
	standbys_stop
	say A "append c a 1 0 0 1 100 0"
	wait_until 10 waits_for_standby 1 || fail "the commit does not wait"
	# Who waits is set free without a warning.
	pg_set 1 synchronous_standby_names ''
	hear A 'result *'
	case $line in *' UNKNOWN because synchronous_standby_names is empty') ;; *) fail "$line" ;; esac
	hear A 'down *synchronous_standby_names is empty*'
	standbys_go
}

case_a_wait_that_is_cancelled_or_killed_is_unknown() {
	local how at=0
	begin "$db"
	broken=yes
	for how in cancel terminate; do
		standbys_stop
		say A "append c a 1 $at $((at > 0)) 1 100 0"
		wait_until 10 waits_for_standby 1 || fail "the commit does not wait"
		pg_sql 1 "SELECT pg_${how}_backend($(backend 1))" >/dev/null
		hear A 'result *'
		case $line in *' UNKNOWN because '*) ;; *) fail "$how: $line" ;; esac
		hear A 'down *'
		standbys_go
		hear A 'up *'
		# It is there all the same, and with the next commit a standby has it.
		at=$((at + 1))
		ask A "look" "DONE*last=$at/1*"
	done
}

case_a_server_that_does_not_answer_in_time_is_cut() {
	pg_database 1 "$db"
	link_open A --answer-ms 700 "$(pg_dsn "$db")"
	hear A 'up *' && ask A "found c" 'DONE*' && ask A "take c a 1 0 0 0 1" 'DONE*'
	standbys_stop
	say A "append c a 1 0 0 1 100 0"
	say A "append c a 1 1 1 1 100 0"
	hear A 'result * UNKNOWN because a statement has no answer after 700 ms'
	hear A 'result * UNKNOWN *'
	hear A 'down *no answer after 700 ms'
	hear A 'up *'
	standbys_go
}

case_defaults_of_the_server_cut_no_wait_and_hide_no_warning() {
	pg_database 1 "$db"
	pg_sql 1 "ALTER ROLE rmq SET statement_timeout = '50ms'; ALTER ROLE rmq SET lock_timeout = '50ms';
		ALTER ROLE rmq SET idle_session_timeout = '50ms'; ALTER ROLE rmq SET client_min_messages = 'error';
		ALTER ROLE rmq SET synchronous_commit = 'off'; ALTER ROLE rmq SET default_transaction_isolation = 'serializable'"
	link_open A "$(pg_dsn "$db") options='-c synchronous_commit=local'"
	hear A 'up * standbys *'
	ask A "found c" 'DONE*'
	ask A "take c a 1 0 0 0 1" 'DONE*'
	standbys_stop
	say A "append c a 1 0 0 1 100 0"
	wait_until 10 waits_for_standby 1 || fail "the commit does not wait"
	pg_sql 1 "SELECT pg_sleep(0.2)" >/dev/null
	waits_for_standby 1 || fail "it does not wait any more"
	standbys_go
	hear A 'result * DONE*'
	standbys_stop
	say A "append c a 1 1 1 1 100 0"
	wait_until 10 waits_for_standby 1
	pg_sql 1 "SELECT pg_cancel_backend($(backend 1))" >/dev/null
	hear A 'result * UNKNOWN because the server warns: canceling wait for synchronous replication*'
	standbys_go
	pg_sql 1 "ALTER ROLE rmq RESET ALL"
}

case_a_commit_that_comes_late_is_fenced() {
	local pid
	begin "$db"
	ask A "append c a 1 0 0 3 100 0" 'DONE*'
	pid=$(backend 1)
	kill -STOP "$pid"
	say A "append c a 1 3 1 3 100 3"
	wait_until 5 server_has_unread 1 || fail "it was not sent"
	say A "drop slow"
	hear A 'result * UNKNOWN because slow'
	hear A 'down *slow'
	hear A 'up *'
	ask A "take c b 2 3 1 3 1" 'DONE*'
	ask A "append c b 2 3 1 1 100 3" 'DONE*'
	kill -CONT "$pid"
	wait_until 10 has_ended "$pid" || fail "the old connection lives"
	ask A "read c 1 10 10000" 'DONE cluster=c term=2 leader=b last=4/2*records=1/1,2/1,3/1,4/2*last'
}

server_has_unread() { # SERVER
	ss -Htn "sport = :$(pg_number "$1")" | awk '$2 > 0 { found = 1 } END { exit !found }'
}

has_ended() {
	! kill -0 "$1" 2>/dev/null
}

# It waits for the row while another transaction raises the term: its condition is looked at again.
case_an_append_that_waits_for_the_row_sees_the_newer_term() {
	begin "$db"
	link_open B "$(pg_dsn "$db")"
	hear B 'up *'
	ask A "append c a 1 0 0 3 100 0" 'DONE*'
	standbys_stop
	say B "take c b 2 3 1 3 1"
	wait_until 10 waits_for_standby 1 || fail "the commit does not wait"
	say A "append c a 1 3 1 1 100 3"
	wait_until 10 waits_for_lock || fail "no lock"
	standbys_go
	hear B 'result * DONE*term=2*'
	hear A 'result * FENCED*'
	is "records" "$(count_log 1)" 3
}

waits_for_lock() {
	[ "$(pg_sql 1 "SELECT count(*) FROM pg_stat_activity WHERE datname = '$db' AND wait_event_type = 'Lock'")" -gt 0 ]
}

case_what_the_server_refuses_has_no_effect() {
	begin "$db"
	pg_sql 1 "ALTER TABLE rmq_log OWNER TO postgres; GRANT SELECT ON rmq_log TO rmq" "$db"
	ask A "append c a 1 0 0 1 100 0" 'FAILED because permission denied for table rmq_log (SQLSTATE 42501)'
	ask A "look" 'DONE*last=0/0*'
	pg_sql 1 "GRANT ALL ON rmq_log TO rmq" "$db"
	ask A "append c a 1 0 0 1 100 0" 'DONE*'
	# An error that comes with the commit, after the rows.
	pg_sql 1 "CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS \$\$ BEGIN RAISE EXCEPTION 'late' USING ERRCODE = '23514'; END \$\$;
		CREATE CONSTRAINT TRIGGER no AFTER INSERT ON rmq_log DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION no()" "$db"
	say A "append c a 1 1 1 1 100 0"
	hear A 'result *'
	case $line in *' FAILED because late (SQLSTATE 23514)' | *' UNKNOWN because '*) ;; *) fail "$line" ;; esac
	pg_sql 1 "DROP TRIGGER no ON rmq_log" "$db"
	say A "look"
	hear A 'result *'
	is "records" "$(count_log 1)" 1
}

case_a_server_that_takes_no_writes_any_more_is_left() {
	begin "$db"
	pg_sql 1 "ALTER DATABASE $db SET default_transaction_read_only = on"
	pg_sql 1 "SELECT pg_terminate_backend($(backend 1))" >/dev/null
	hear A 'down *'
	hear A 'down *read-only*'
	pg_sql 1 "ALTER DATABASE $db RESET default_transaction_read_only"
	hear A 'up *'
}

case_a_primary_that_is_killed_loses_nothing_confirmed() {
	local n best rows
	begin "$db"
	broken=yes
	say A "bench c a 1 0 0 1 1000 100000"
	wait_until 20 has_records 200
	pg_kill 1
	hear A 'bench UNKNOWN after *'
	n=${line#*after }
	n=${n%%:*}
	hear A 'down *'
	best=2
	[ "$(pg_sql 3 "SELECT pg_last_wal_receive_lsn() > '$(pg_sql 2 "SELECT pg_last_wal_receive_lsn()")'")" = f ] || best=3
	pg_promote "$best"
	pg_follow $((5 - best)) "$best"
	hear A "up 127.0.0.1:$(pg_number "$best") *" 5
	rows=$(count_log "$best")
	[ "$n" -ge 100 ] && [ "$rows" -ge "$n" ] || fail "$n confirmed, $rows there"
	ask A "take c b 2 $rows 1 $n 1" 'DONE*'
	# The old one comes back, and takes writes: it is left when it is told to be.
	pg_start 1
	link_open B "$(pg_dsn "$db" 1)"
	hear B "up *"
	ask B "look" 'DONE*term=1*'
	link_close B
	link_open B "$(pg_dsn "$db" 1 "$best")"
	for n in 1 2 3 4 5; do
		hear B "up *"
		say B "look"
		hear B 'result *'
		case $line in *term=2*) return ;; esac
		say B "drop older"
		hear B 'down *older*'
	done
	fail "it stays with the old one"
}

has_records() {
	[ "$(count_log 1)" -ge "$1" ]
}

case_a_primary_that_hangs_is_left_for_one_that_takes_writes() {
	begin "$db"
	broken=yes
	ask A "append c a 1 0 0 3 100 0" 'DONE*'
	pg_signal 1 STOP
	say A "append c a 1 3 1 3 100 0"
	pg_promote 2
	hear A 'result * UNKNOWN because it does not answer, and 127.0.0.1:* takes writes' 5
	hear A 'down *'
	hear A "up 127.0.0.1:$(pg_number 2) *" 1
	pg_follow 3 2
	ask A "take c b 2 3 1 3 1" 'DONE*last=3/1*'
	pg_signal 1 CONT
	# It waits for standbys that follow another one: nothing of it is confirmed.
	ask A "look" 'DONE*term=2*'
}

# One server by two names, or one that takes writes and is the same, is no other one.
case_the_same_server_by_another_name_is_no_other_one() {
	pg_database 1 "$db"
	link_open A "host=127.0.0.1,localhost port=$(pg_number 1),$(pg_number 1) user=rmq dbname=$db"
	hear A 'up *' && ask A "found c" 'DONE*' && ask A "take c a 1 0 0 0 1" 'DONE*'
	standbys_stop
	say A "append c a 1 0 0 1 100 0"
	pg_sql 1 "SELECT pg_sleep(2.5)" >/dev/null
	standbys_go
	hear A 'result *'
	case $line in *DONE*) ;; *) fail "$line" ;; esac
}

case_tables_that_hold_other_things_are_not_believed() {
	local damage
	begin "$db"
	ask A "append c a 1 0 0 3 100 0" 'DONE*'
	while IFS='|' read -r damage mend says; do
		pg_sql 1 "$damage" "$db" || fail "$damage"
		ask A "read c 1 10 10000" "FAILED because $says"
		pg_sql 1 "$mend" "$db"
	done <<-END
		UPDATE rmq_cluster SET leader = 'abc'|UPDATE rmq_cluster SET leader = repeat('a', 16)::bytea|*rmq_cluster
		UPDATE rmq_cluster SET term = -1|UPDATE rmq_cluster SET term = 1|*rmq_cluster
		UPDATE rmq_cluster SET last_term = 2|UPDATE rmq_cluster SET last_term = 1|*rmq_cluster
		UPDATE rmq_cluster SET format = 2|UPDATE rmq_cluster SET format = 1|*format*
		UPDATE rmq_cluster SET last_index = 2|UPDATE rmq_cluster SET last_index = 3|*rmq_log
		UPDATE rmq_log SET kind = 7|UPDATE rmq_log SET kind = 1|*rmq_log
		UPDATE rmq_log SET term = -1|UPDATE rmq_log SET term = 1|*rmq_log
		UPDATE rmq_log SET term = 2|UPDATE rmq_log SET term = 1|*do not agree
		DELETE FROM rmq_terms|INSERT INTO rmq_terms VALUES (1, 1)|*do not agree
		INSERT INTO rmq_terms VALUES (3, 1)|DELETE FROM rmq_terms WHERE first_index = 3|*rmq_terms
		UPDATE rmq_log SET payload = repeat('x', 200000)::bytea WHERE index = 1|UPDATE rmq_log SET payload = ''|*rmq_log
	END
	pg_sql 1 "UPDATE rmq_cluster SET lease_until = 'infinity'" "$db"
	ask A "look" 'DONE*lease=left'
	# What is far too long does not even come.
	pg_sql 1 "UPDATE rmq_log SET payload = repeat('x', 100000000)::bytea WHERE index = 1" "$db"
	ask A "read c 1 10 10000" 'FAILED because *rmq_log'
	# Other columns.
	pg_sql 1 "DELETE FROM rmq_log; ALTER TABLE rmq_log ALTER COLUMN payload TYPE text USING 'x'; INSERT INTO rmq_log VALUES (1, 1, 1, 'x')" "$db"
	ask A "read c 1 10 10000" 'FAILED because *'
}

# fake PYTHON: a server that does this with each connection c, behind its start.
fake() {
	cat >"$work/fake.py" <<-END
		import socket, struct
		s = socket.create_server(("127.0.0.1", 0))
		open("$work/fake.port", "w").write(str(s.getsockname()[1]) + "\n")
		def message(kind, body):
		    return kind + struct.pack(">I", len(body) + 4) + body
		held = []
		while True:
		    c, _ = s.accept()
		    held.append(c)
		    try:
		        start = c.recv(65536)
		        if start[4:8] == b"\x04\xd2\x16\x2f":
		            c.sendall(b"N")
		            start = c.recv(65536)
		        $1
		    except OSError:
		        pass
	END
	rm -f "$work/fake.port"
	python3 "$work/fake.py" &
	fake_pid=$!
	wait_until 10 test -s "$work/fake.port" || fail "no fake server"
	fake_dsn="host=127.0.0.1 port=$(cat "$work/fake.port") user=rmq dbname=x connect_timeout=2"
}

fake_end() {
	kill "$fake_pid"
	wait "$fake_pid" 2>/dev/null
	fake_pid=
}

case_hostile_servers_are_left() {
	local does
	for does in \
		'c.sendall(b"HTTP/1.0 400 Bad Request\r\n\r\n"); c.close()' \
		'pass' \
		'c.sendall(message(b"R", struct.pack(">I", 0)) + message(b"Z", b"I") + message(b"D", b"\xff" * 4000)); c.close()' \
		'c.sendall(message(b"R", struct.pack(">I", 0)) + message(b"S", b"in_hot_standby\0off\0") + message(b"S", b"server_version\0" b"15.0\0") + message(b"S", b"default_transaction_read_only\0off\0") + message(b"Z", b"I") + b"T\x7f\xff\xff\xf0"); [c.sendall(bytes(1 << 20)) for _ in range(400)]' \
		'c.sendall(message(b"E", b"SFATAL\0C28P01\0M\x1b[2Jno\x1b\0\0")); c.close()'; do
		fake "$does"
		link_open A "$fake_dsn"
		hear A 'down 127.0.0.1:*' 10
		! grep -q "$(printf '\033')" "$work/A.out" || fail "it writes what it was sent"
		fake_end
		link_close A
	done
}

# One whose beginning has no end: what it sends is kept, so it is left before its time is out.
case_a_server_that_is_never_ready_does_not_fill_memory() {
	fake 'c.sendall(message(b"R", struct.pack(">I", 0)) + b"N\x40\0\0\0S"); [c.sendall(b"x" * (1 << 20)) for _ in range(2000)]'
	link_open A "$fake_dsn"
	hear A 'down 127.0.0.1:*: the server sends more than it was asked for' 10
	fake_end
	link_close A
}

# A server that is silent does not keep the others from being used.
case_a_silent_host_delays_nobody() {
	pg_database 1 "$db"
	fake 'pass'
	link_open A "host=127.0.0.1,127.0.0.1 port=$(cat "$work/fake.port"),$(pg_number 1) user=rmq dbname=$db connect_timeout=60"
	hear A "up 127.0.0.1:$(pg_number 1) *" 5
	fake_end
}

# The same with a host whose name no server looks up: this one never answers.
case_a_name_that_is_not_looked_up_delays_nobody() {
	pg_database 1 "$db"
	printf 'nameserver 127.53.53.53\noptions timeout:30 attempts:5\n' >"$work/resolv.conf"
	printf 'hosts: files dns\n' >"$work/nsswitch.conf"
	# shellcheck disable=SC2016
	link_by=(unshare -m sh -c 'mount --bind "$0/resolv.conf" /etc/resolv.conf &&
		mount --bind "$0/nsswitch.conf" /etc/nsswitch.conf && exec "$@"' "$work")
	python3 -c 'import socket, sys, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("127.53.53.53", 53))
open(sys.argv[1], "w").write("up")
while True: s.recv(65536)' "$work/names.up" 2>/dev/null &
	fake_pid=$!
	if ! unshare -m true 2>/dev/null || ! wait_until 5 test -s "$work/names.up"; then
		echo "# left out: it needs mounts and port 53"
	else
		link_open A "host=silent.example,127.0.0.1 port=$(pg_number 1),$(pg_number 1) user=rmq dbname=$db"
		hear A "up 127.0.0.1:$(pg_number 1) *" 5
		# Its answers are read while a name is looked up.
		ask A "found c" 'DONE*' && ask A "take c a 1 0 0 0 1" 'DONE*'
		standbys_stop
		say A "append c a 1 0 0 1 100 0"
		pg_sql 1 "SELECT pg_sleep(2)" >/dev/null
		standbys_go
		hear A 'result *' 3
		case $line in *DONE*) ;; *) fail "$line" ;; esac
		link_close A
		link_open A "host=silent.example user=rmq dbname=$db"
		hear A 'down silent.example:5432: its name is being looked up' 5
		link_close A
	fi
	fake_end
	link_by=()
}

case_passwords_are_in_no_message() {
	local out
	fake 'c.sendall(message(b"E", b"SFATAL\0C28P01\0MsEcReT42, EcReT42 and sEcReT is wrong\0\0")); c.close()'
	link_open A "$fake_dsn password=sEcReT42"
	hear A 'down 127.0.0.1:*[0-9]: \*\*\*\*\*\*\*\*, \*\*\*\*\*\*\* and \*\*\*\*\*\* is wrong*'
	fake_end
	link_close A
	! grep -q sEcReT42 "$work/A.out" || fail "$(cat "$work/A.out")"
	for out in "host=x password=sEcReT42 sEcReT42" "postgresql://u:sEcReT42@[::1/x" "password='sEcReT42"; do
		out=$("$build/postgres/statements" "$out" 2>&1 </dev/null)
		is "exit status" $? 78
		case $out in *sEcReT42*) fail "$out" ;; *connection\ string*) ;; *) fail "$out" ;; esac
	done
}

case_a_link_without_a_server_answers_that_nothing_was_sent() {
	link_open A "host=127.0.0.1,/nowhere port=1 user=rmq dbname=x"
	hear A 'down 127.0.0.1:1: Connection refused; /nowhere/.s.PGSQL.1: No such file or directory'
	ask A "take c a 1 0 0 0 1" 'FAILED because there is no connection'
	link_close A
	link_open A "service=none-such"
	hear A 'down *none-such*'
}

# ---- all ----

pg_possible || { echo "1..0 # SKIP no PostgreSQL server: sh contrib/packages test" && exit 0; }
broken=
[ $# -gt 0 ] || set -- $(declare -F | sed -n 's/^declare -f case_//p')
echo "1..$#"
status=0
number=0
for name; do
	number=$((number + 1))
	bad=0
	db=c$number
	if ! fresh; then
		echo "not ok - $name: no servers"
		status=1
		broken=yes
		continue
	fi
	"case_$name"
	if [ "$bad" -eq 0 ]; then
		echo "ok - ${name//_/ }"
	else
		echo "not ok - ${name//_/ }"
		status=1
		broken=yes
	fi
done
exit $status
