# PostgreSQL servers: number 1 is the first primary, the others begin as its synchronous standbys, of
# which one has to have what is confirmed (ANY 1).  To be sourced by bash, behind
# ../cluster/nodes.sh.  All is in $pg_dir, a temporary directory that pg_down removes; what server I
# says is in $pg_dir/I.log.
#
# Who is root runs them as $pg_user, which comes with Debian's package; the way to $TMPDIR has to
# be open to it.  They listen on loopback, on ports from $pg_port on, and on sockets in $pg_dir.  With
# pg_net=K server I lives in the network namespace of "node" K + I (../cluster/net.sh), and
# has that address.  With pg_disk_mib=N each has a disk of that size (a tmpfs, as in nodes.sh).
# With pg_fsync=off they do not write for power cuts, and rmq-clusterd refuses them.
#
# Clients are trusted, whoever they say they are.  pg_database makes a database that belongs to the
# role rmq, which may do nothing else.

pg_user=${pg_user:-postgres}
pg_port=${pg_port:-$((3000 + $$ * 7 % 6900))}
pg_fsync=${pg_fsync:-on}
pg_net=${pg_net:-}
pg_disk_mib=${pg_disk_mib:-}
pg_dir=
pg_count=0
pg_as=()
# Whether anything but statements was done to them since pg_up.
pg_changed=

# pg_possible: whether there is a server to be started.  $pg_as: what runs a command as a user who is
# not root.  In a user namespace of ours, where nobody else is, that is one more of them.
pg_possible() {
	pg_bin=$(printf '%s\n' /usr/lib/postgresql/*/bin | sort -V | tail -n 1)
	[ -x "$pg_bin/initdb" ] || return 1
	pg_as=()
	[ "$(id -u)" -eq 0 ] || return 0
	pg_as=(setpriv --reuid "$pg_user" --regid "$pg_user" --clear-groups)
	"${pg_as[@]}" true 2>/dev/null && return 0
	pg_as=(unshare --map-user=1 --map-group=1)
	"${pg_as[@]}" true 2>/dev/null
}

pg_host() {
	if [ -n "$pg_net" ]; then
		net_address $((pg_net + $1))
	else
		echo 127.0.0.1
	fi
}

pg_number() {
	echo $((pg_port + $1))
}

# pg_up [N]: so many servers, 3.
pg_up() {
	local i
	pg_possible || { echo "no PostgreSQL server can be started: sh contrib/packages test" >&2 && return 1; }
	pg_count=${1:-3} pg_changed=
	pg_dir=$(mktemp -d "${TMPDIR:-/tmp}/rmq-pg.XXXXXX") || return 1
	chmod 711 "$pg_dir"
	for i in . $(seq "$pg_count"); do
		mkdir -p "$pg_dir/$i" || return 1
		[ -z "$pg_disk_mib" ] || [ "$i" = . ] ||
			mount -t tmpfs -o "size=${pg_disk_mib}m" rmq "$pg_dir/$i" || return 1
		chown "$pg_user" "$pg_dir/$i" 2>/dev/null
	done
	"${pg_as[@]}" "$pg_bin/initdb" -N -A trust -U postgres -E UTF8 --locale=C -D "$pg_dir/1/data" \
		>"$pg_dir/initdb.log" 2>&1 || { cat "$pg_dir/initdb.log" >&2 && return 1; }
	pg_settings >>"$pg_dir/1/data/postgresql.conf"
	printf 'host %s all 10.9.0.0/16 trust\n' all replication >>"$pg_dir/1/data/pg_hba.conf"
	for i in $(seq 2 "$pg_count"); do
		"${pg_as[@]}" cp -R "$pg_dir/1/data" "$pg_dir/$i/data" && pg_stands_by "$i" 1 || return 1
	done
	pg_own 1
	for i in $(seq "$pg_count"); do
		pg_start "$i" || return 1
	done
	pg_sql 1 "CREATE ROLE rmq LOGIN"
}

pg_settings() {
	cat <<-END
		fsync = $pg_fsync
		unix_socket_directories = '$pg_dir'
		max_wal_size = 512MB
		wal_log_hints = on
		synchronous_commit = on
		synchronous_standby_names = '$(pg_standbys)'
		wal_retrieve_retry_interval = 200ms
		log_line_prefix = '%m [%p] '
		include = 'own.conf'
	END
}

# Each server is one for the others, whoever leads.
pg_standbys() {
	[ "$pg_count" -eq 1 ] || echo "ANY 1 ($(printf 's%s\n' $(seq "$pg_count") | paste -s -d ,))"
}

# pg_own I: the settings that only this server has.
pg_own() {
	"${pg_as[@]}" tee "$pg_dir/$1/data/own.conf" >/dev/null <<-END
		cluster_name = 's$1'
		listen_addresses = '$(pg_host "$1")'
		port = $(pg_number "$1")
	END
}

# pg_stands_by I J: its directory, which no server uses, is that of a standby of server J.
pg_stands_by() {
	pg_own "$1"
	pg_points_to "$1" "$2"
	"${pg_as[@]}" touch "$pg_dir/$1/data/standby.signal"
}

pg_points_to() {
	echo "primary_conninfo = 'host=$(pg_host "$2") port=$(pg_number "$2") user=postgres connect_timeout=2'" |
		"${pg_as[@]}" tee -a "$pg_dir/$1/data/own.conf" >/dev/null
}

# pg_start I: until it takes connections.
pg_start() {
	local inside=()
	[ -z "$pg_net" ] || inside=(nsenter -t "$(net_pid $((pg_net + $1)))" -n --)
	rm -f "$pg_dir/$1/data/postmaster.pid"
	"${inside[@]}" "${pg_as[@]}" env -C / "$pg_bin/postgres" -D "$pg_dir/$1/data" \
		>>"$pg_dir/$1.log" 2>&1 3>&- </dev/null &
	eval "pg_pid_$1=$!"
	wait_until 60 pg_has_begun "$1" && pg_is_ready "$1" ||
		{ echo "server $1: $(tail -n 5 "$pg_dir/$1.log")" >&2 && return 1; }
}

# pg_has_begun I: it takes connections, or has ended.
pg_has_begun() {
	pg_is_ready "$1" || ! kill -0 "$(pg_pid "$1")" 2>/dev/null
}

pg_is_ready() {
	"$pg_bin/pg_isready" -q -h "$pg_dir" -p "$(pg_number "$1")"
}

pg_pid() {
	eval "echo \"\${pg_pid_$1:-}\""
}

# pg_signal I STOP|CONT|KILL: to all its processes, which are in no group together.
pg_signal() {
	local pid
	pg_changed=yes
	pid=$(pg_pid "$1")
	[ -n "$pid" ] || return 0
	[ "$2" = CONT ] || kill -STOP "$pid" 2>/dev/null
	kill -"$2" $(pgrep -P "$pid") "$pid" 2>/dev/null
	return 0
}

# pg_kill I: at once, as a machine does that loses its power.
pg_kill() {
	pg_signal "$1" KILL
	wait "$(pg_pid "$1")" 2>/dev/null
	eval "pg_pid_$1="
}

# pg_stop I: in order, and does not wait for clients.
pg_stop() {
	pg_changed=yes
	kill -INT "$(pg_pid "$1")"
	wait "$(pg_pid "$1")" 2>/dev/null
	eval "pg_pid_$1="
}

# pg_sql I SQL [DATABASE]: as the superuser; rows, with their columns separated by tabs.
pg_sql() {
	"$pg_bin/psql" -XqAt -F '	' -v ON_ERROR_STOP=1 -h "$pg_dir" -p "$(pg_number "$1")" -U postgres -d "${3:-postgres}" -c "$2"
}

# pg_promote I: the standby takes clients' changes when this returns.
pg_promote() {
	pg_changed=yes
	[ "$(pg_sql "$1" "SELECT pg_promote(true, 30)")" = t ]
}

# pg_failover I J: of these standbys, whose primary gives them nothing more, the one that has most becomes
# the primary; its number is in $pg_primary.  The other one follows it.
pg_failover() {
	local other=$2
	pg_primary=$1
	if [ "$(pg_received "$1")" -lt "$(pg_received "$2")" ]; then
		pg_primary=$2 other=$1
	fi
	pg_promote "$pg_primary" && pg_follow "$other" "$pg_primary"
}

pg_received() {
	pg_sql "$1" "SELECT (greatest(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn()) - '0/0')::bigint"
}

# pg_follow I J: the running standby follows server J from now on.
pg_follow() {
	pg_points_to "$1" "$2" && [ "$(pg_sql "$1" "SELECT pg_reload_conf()")" = t ]
}

# pg_rejoin I J: what does not run comes back as a standby of server J, with a new copy of it.
pg_rejoin() {
	find "$pg_dir/$1/data" -mindepth 1 -delete && "${pg_as[@]}" "$pg_bin/pg_basebackup" -N -c fast -X stream \
		-h "$pg_dir" -p "$(pg_number "$2")" -U postgres -D "$pg_dir/$1/data" &&
		pg_stands_by "$1" "$2" && pg_start "$1"
}


# pg_in_sync I N: so many standbys of server I are there, and one of them can confirm.
pg_in_sync() {
	[ "$(pg_sql "$1" "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming' AND sync_state = 'quorum'")" -ge "$2" ]
}

# pg_set I SETTING VALUE
pg_set() {
	pg_changed=yes
	pg_sql "$1" "ALTER SYSTEM SET $2 = '$3'" && [ "$(pg_sql "$1" "SELECT pg_reload_conf()")" = t ]
}

# pg_database I NAME: on server I, the primary.
pg_database() {
	pg_sql "$1" "CREATE DATABASE $2 OWNER rmq"
}

# pg_dsn NAME [I...]: how clients find that database, on these servers (all of them).
pg_dsn() {
	local i hosts= ports= name=$1
	shift
	[ $# -gt 0 ] || set -- $(seq "$pg_count")
	for i; do
		hosts=$hosts${hosts:+,}$(pg_host "$i")
		ports=$ports${ports:+,}$(pg_number "$i")
	done
	echo "host=$hosts port=$ports user=rmq dbname=$name target_session_attrs=read-write connect_timeout=2"
}

# nodes_dsn: of $pg_name, for nodes.  Those with networks that servers are not in find the sockets.
nodes_dsn() {
	if [ -n "$nodes_net" ] && [ -z "$pg_net" ]; then
		pg_dsn "$pg_name" | sed "s|127[.]0[.]0[.]1|$pg_dir|g"
	else
		pg_dsn "$pg_name"
	fi
}

# pg_has_log_of I J: the table of server I has the records that node J has on its disk.
pg_has_log_of() {
	pg_sql "$1" "SELECT index FROM rmq_log ORDER BY index" "$pg_name" >"$work/table" &&
		"$bin/rmq-journal" dump "$work/n$2/disk/data" | sed 's/^{"index":\([0-9]*\).*/\1/' |
		cmp -s - "$work/table"
}

pg_down() {
	local i
	for i in $(seq "$pg_count"); do
		pg_kill "$i"
		[ -z "$pg_disk_mib" ] || umount -l "$pg_dir/$i"
	done 2>/dev/null
	[ -z "$pg_dir" ] || rm -rf "$pg_dir"
	pg_dir= pg_count=0
}
