#!/bin/sh
# usage: sh contrib/examples/postgres.sh [LINES]
#
# A cluster of three nodes that keeps its queues in PostgreSQL, all on this machine, in a temporary
# directory: a primary and two synchronous standbys, from Debian's package postgresql.  Sends LINES
# (20000) through it while the leading node is killed with kill -9, and then the primary; counts the
# lines that arrived.  Exits 0 if no line is lost.  Leaves nothing but build/.
set -eu

lines=${1:-20000}
mode=${MODE:-release}
cd "$(dirname "$0")/../.."
unset RMQ_SERVERS RMQ_TIMEOUT
build=${RMQ_BUILD:-$PWD/build/$mode}
bin=$(find /usr/lib/postgresql -path '*/bin/initdb' 2>/dev/null | sort -V | tail -n 1)
if [ -z "$bin" ]; then
	echo "postgres.sh: PostgreSQL is not installed: apt install postgresql" >&2
	exit 69
fi
make -s MODE="$mode" B="$build" all
PATH=$build/bin:${bin%/*}:$PATH
export PATH
work=$(mktemp -d)
chmod 711 "$work"
cd "$work"
port=$((20000 + $$ % 12000))
groups=
receiver=
sender=
primary=1

# A server does not run as root: then it runs as the user who comes with the package.
as_server=
if [ "$(id -u)" -eq 0 ]; then
	as_server='setpriv --reuid postgres --regid postgres --clear-groups'
fi

clean_up() {
	status=$?
	trap - EXIT INT TERM
	for process in $groups $receiver $sender; do
		kill -9 "$process" 2>/dev/null || :
	done
	for k in 1 2 3; do
		[ ! -e "pg/$k.pid" ] || kill_server "$k"
	done
	wait 2>/dev/null || :
	[ "$status" -eq 0 ] || tail -n 5 n?/log pg/?.log >&2 || :
	rm -rf "$work"
	exit "$status"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

milliseconds() {
	echo $(($(date +%s%N) / 1000000))
}

# within SECONDS COMMAND...: repeats it until it succeeds; its output is dropped.
within() {
	end=$(($(milliseconds) + $1 * 1000))
	shift
	until "$@" >/dev/null 2>&1; do
		if [ "$(milliseconds)" -gt "$end" ]; then
			echo "postgres.sh: not in time: $*" >&2
			exit 75
		fi
		sleep 0.01
	done
}

# ---- servers: pg1, pg2, pg3; their ports only name sockets in $work/pg ----

make_primary() {
	mkdir pg
	[ -z "$as_server" ] || chown postgres pg
	# shellcheck disable=SC2086
	$as_server initdb -A trust -U postgres -E UTF8 --locale=C -D pg/1 >initdb.log || cat initdb.log >&2
	cat >>pg/1/postgresql.conf <<-END
		listen_addresses = ''
		unix_socket_directories = '$work/pg'
		unix_socket_permissions = 0700
		synchronous_standby_names = 'ANY 1 (pg1, pg2, pg3)'
		include_if_exists = 'name.conf'
	END
}

# make_standby K: a copy of the primary, which follows it from now on.
make_standby() {
	rm -rf "pg/$1"
	# shellcheck disable=SC2086
	$as_server pg_basebackup -c fast -R -h "$work/pg" -p "$primary" -U postgres -D "pg/$1"
}

start_server() {
	echo "cluster_name = 'pg$1'" >"pg/$1/name.conf"
	chmod 644 "pg/$1/name.conf"
	rm -f "pg/$1/postmaster.pid"
	# shellcheck disable=SC2086
	$as_server postgres -D "$work/pg/$1" -p "$1" >>"pg/$1.log" 2>&1 </dev/null &
	echo $! >"pg/$1.pid"
	within 60 pg_isready -h "$work/pg" -p "$1"
}

# kill_server K: all its processes at once, as when its machine loses its power.
kill_server() {
	kill -STOP "$(cat "pg/$1.pid")" 2>/dev/null || :
	# shellcheck disable=SC2046
	kill -9 $(pgrep -P "$(cat "pg/$1.pid")") "$(cat "pg/$1.pid")" 2>/dev/null || :
	rm -f "pg/$1.pid"
}

# ask K SQL: server K.
ask() {
	psql -XqAt -h "$work/pg" -p "$1" -U postgres -c "$2"
}

received_by() {
	ask "$1" "SELECT (greatest(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn()) - '0/0')::bigint"
}

# Of the standbys the one that has received most has all that was confirmed: it becomes the primary, and the
# other one follows it.
fail_over() {
	primary=2
	other=3
	if [ "$(received_by 2)" -lt "$(received_by 3)" ]; then
		primary=3
		other=2
	fi
	ask "$primary" "SELECT pg_promote()" >/dev/null
	ask "$other" "ALTER SYSTEM SET primary_conninfo = 'host=$work/pg port=$primary user=postgres'" >/dev/null
	ask "$other" "SELECT pg_reload_conf()" >/dev/null
}

in_sync() {
	[ "$(ask "$primary" "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'quorum'")" -ge "$1" ]
}

# ---- nodes: n1, n2, n3 ----

# A node is a key, settings, a data directory and two daemons.
make_node() {
	mkdir "n$1"
	echo "$(rmq-keygen "n$1/key") n$1" >>known-nodes
	cat >"n$1/rmq.conf" <<-END
		name = n$1
		key = n$1/key
		listen = 127.0.0.1:$((port + $1))
		gate-listen = 127.0.0.1:$((port + 10 + $1))
		control = n$1/cluster.sock
		queue-socket = n$1/queue.sock
		socket = n$1/rmq.sock
		known-nodes = known-nodes
		seeds = n1@127.0.0.1:$((port + 1))
		engine = postgresql
		dsn = host=$work/pg,$work/pg,$work/pg port=1,2,3 user=rmq dbname=rmq target_session_attrs=read-write
	END
	[ "$1" -ne 1 ] || sed -i '/^seeds/d' n1/rmq.conf
}

# Both daemons in one process group: one kill(1) ends the whole node.
start_node() {
	setsid sh -c "rmq-clusterd -d n$1/data --init -c n$1/rmq.conf &
		exec rmq-gated -c n$1/rmq.conf" >>"n$1/log" 2>&1 </dev/null &
	eval "group$1=$!"
	groups="$groups -$!"
	within 30 cluster "$1" status
}

# cluster I COMMAND...: asks node I.
cluster() {
	node=$1
	shift
	rmq-cluster "$@" -S "unix:n$node/cluster.sock"
}

find_leader() {
	for i in 1 2 3; do
		! cluster "$i" is-leader 2>/dev/null || echo "$i"
	done
}

new_leader() {
	next=$(find_leader)
	[ -n "$next" ] && [ "$next" != "$leader" ] && cluster "$next" is-available
}

# ---- lines ----

# A few lines at a time, for about five seconds.
produce() {
	awk -v n="$lines" 'BEGIN {
		for (i = 1; i <= n; i++) {
			print "line " i
			if (i % int(n / 100 + 1) == 0) {
				fflush()
				system("sleep 0.05")
			}
		}
	}'
}

received_at_least() {
	[ "$(wc -l <received)" -ge "$1" ]
}

# lines_come SINCE: those on their way still come; the next one after them is from the new leader or server.
lines_come() {
	stood=$(wc -l <received)
	within 60 received_at_least $((stood + 1))
	echo "   lines come again after $(($(milliseconds) - $1)) ms"
}

different_lines() {
	sort -u received | wc -l
}

all_is_there() {
	[ "$(different_lines)" -ge "$lines" ]
}

echo "# 1. three servers: pg1 is the primary, pg2 and pg3 are its standbys; a commit waits for one of them"
make_primary
start_server 1
for k in 2 3; do
	make_standby "$k"
	start_server "$k"
done
within 30 in_sync 2
ask 1 "CREATE ROLE rmq LOGIN"
ask 1 "CREATE DATABASE rmq OWNER rmq"

echo "# 2. three nodes; the first makes the tables, the others are admitted by their keys and join"
for i in 1 2 3; do
	make_node "$i"
	start_node "$i"
	if [ "$i" -eq 1 ]; then
		cluster 1 init
	else
		cluster 1 admit "n$i" "$(rmq-keygen -y "n$i/key")"
	fi
	cluster "$i" wait self-up
done
cluster 1 wait up=3
cluster 1 wait available
cluster 1 members -o name,role,address

echo "# 3. $lines lines are sent and received; all three nodes are contact points"
RMQ_SERVERS=unix:n1/rmq.sock,unix:n2/rmq.sock,unix:n3/rmq.sock
export RMQ_SERVERS
: >received
rmq-recv lines >received &
receiver=$!
produce | rmq-send lines &
sender=$!

within 60 received_at_least $((lines / 4))
leader=$(find_leader)
group=
eval "group=\$group$leader"
echo "# 4. n$leader leads: kill -9 of all its processes"
killed=$(milliseconds)
kill -9 "-$group"
within 30 new_leader
echo "   n$next leads after $(($(milliseconds) - killed)) ms"
lines_come "$killed"

within 60 received_at_least $((lines / 2))
echo "# 5. pg1 is the primary: kill -9 of all its processes; the standby that has received more is promoted"
killed=$(milliseconds)
kill_server 1
fail_over
echo "   pg$primary is the primary after $(($(milliseconds) - killed)) ms"
lines_come "$killed"

echo "# 6. n$leader is started again and catches up; pg1 comes back as a standby, as a new copy"
start_node "$leader"
cluster "$next" wait up=3
make_standby 1
start_server 1
within 30 in_sync 2
wait "$sender"
sender=
within 60 all_is_there
kill "$receiver"
wait "$receiver"
receiver=

arrived=$(different_lines)
echo "sent $lines  received $arrived  lost $((lines - arrived)) " \
	"twice $(($(wc -l <received) - arrived))"
[ "$arrived" -eq "$lines" ]
