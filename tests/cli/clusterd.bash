# One rmq-clusterd by itself, n1, for tests that load this after common.

# settings [LINE…]: a node n1 on a port of its own, and these.
settings() {
	[ -e n1.key ] || rmq-keygen n1.key >/dev/null
	[ -n "${PORT:-}" ] || free_port
	cat >n1.conf <<-END
		name = n1
		key = n1.key
		listen = 127.0.0.1:$PORT
		gate-listen = 127.0.0.1:$((PORT + 2))
		control = cluster.sock
		queue-socket = queue.sock
	END
	[ $# -eq 0 ] || printf '%s\n' "$@" >>n1.conf
}

# node [OPTION…]: started with these settings, and ready; in BIN, if that is set.
node() {
	local line=
	rm -f ready
	mkfifo ready
	"${BIN:+$BIN/}rmq-clusterd" -c n1.conf -d n1 --init --ready-fd 9 "$@" \
		>>log 2>&1 3>&- 9>ready </dev/null &
	NODE=$!
	STARTED+=("$NODE")
	read -r -t 20 line <ready
}

asks() {
	rmq-cluster "$1" -S unix:cluster.sock "${@:2}"
}
