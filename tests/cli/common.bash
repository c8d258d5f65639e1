# Helpers of the tests in tests/cli: load them with `load common`.
#
# Each test runs in its own directory, $BATS_TEST_TMPDIR, with relative paths of sockets (a
# socket's path has at most 107 bytes).  What was started is ended by the teardown.

bats_load_library bats-support
bats_load_library bats-assert

setup() {
	cd "$BATS_TEST_TMPDIR" || return 1
	unset XDG_RUNTIME_DIR RMQ_SERVERS RMQ_TIMEOUT NOTIFY_SOCKET LISTEN_FDS LISTEN_PID
	STARTED=()
}

teardown() {
	local pid
	for pid in "${STARTED[@]}"; do
		kill -9 "$pid" 2>/dev/null || :
		wait "$pid" 2>/dev/null || :
	done
	[ -z "${PUBLIC:-}" ] || rm -rf "$PUBLIC"
	if [ -n "${MOUNTED:-}" ]; then
		# Children of what was killed may end a moment later.
		wait_until 20 umount -q "$MOUNTED" 2>/dev/null
	fi
}

# small_disk DIR SIZE: a file system of its own in DIR, until the teardown; skips without one.
small_disk() {
	[ "$(id -u)" -eq 0 ] || skip "needs root, to mount a small file system"
	mkdir "$1"
	mount -t tmpfs -o "size=$2" tmpfs "$1" 2>/dev/null || skip "cannot mount a tmpfs here"
	MOUNTED=$PWD/$1
}

# public_dir PROGRAM…: makes $PUBLIC, until the teardown: a directory that other users reach, with
# copies of programs, as others may not reach the place where they were built.  Skips for who is not
# root; "${OTHER[@]}" COMMAND… is someone else.
public_dir() {
	local program
	[ "$(id -u)" -eq 0 ] || skip "only root can be someone else"
	PUBLIC=$(mktemp -d /tmp/rmq-public.XXXXXX)
	chmod 755 "$PUBLIC"
	for program in "$@"; do
		cp "$(command -v "$program")" "$PUBLIC"
	done
	OTHER=(setpriv --reuid=65534 --regid=65534 --clear-groups)
}

# fill_disk DIR: what is left of it is taken by others.
fill_disk() {
	! dd if=/dev/zero of="$1/others" bs=4k status=none 2>/dev/null
}

# wait_until SECONDS COMMAND…: until COMMAND succeeds; fails when it does not in time.
wait_until() {
	local deadline=$((${EPOCHREALTIME/[.,]/} + $1 * 1000000))
	shift
	until "$@"; do
		if ((${EPOCHREALTIME/[.,]/} > deadline)); then
			echo "not in time: $*" >&2
			return 1
		fi
		sleep 0.02
	done
}

# start COMMAND…: a program in the background, its output in ./out and ./log; $! is its pid.
start() {
	"$@" >>out 2>>log 3>&- &
	STARTED+=($!)
}

# status_of PID: waits for a child of ours; its exit status for assert_success, assert_failure.
status_of() {
	output=
	status=0
	wait "$1" || status=$?
}

# free_port [VARIABLE]: a port on which nobody listens, nor on the two after it, in VARIABLE (PORT), which
# may be of an array.  Tests of clusters begin at 20000.
free_port() {
	local port next
	while :; do
		port=$((10000 + RANDOM % 9990))
		for next in 0 1 2; do
			(exec 7<>"/dev/tcp/127.0.0.1/$((port + next))") 2>/dev/null && continue 2
		done
		break
	done
	printf -v "${1:-PORT}" %d "$port"
}

# start_queue DIR [OPTION…]: a daemon of ./DIR, made if need be, that is ready on return.  It
# listens on ./DIR.sock, where RMQ_SERVERS points, and logs to ./DIR.log; its pid is in QUEUE_PID.
start_queue() {
	local dir=$1 line=
	shift
	rm -f "$dir.ready"
	mkfifo "$dir.ready"
	rmq-queued -d "$dir" --init -l "$dir.sock" --ready-fd 9 "$@" \
		>>"$dir.log" 2>&1 3>&- 9>"$dir.ready" </dev/null &
	QUEUE_PID=$!
	STARTED+=("$QUEUE_PID")
	export RMQ_SERVERS=unix:$dir.sock
	# The end of file, when the daemon has ended, is a failure as well.
	if ! IFS= read -r -t 30 line <"$dir.ready"; then
		echo "rmq-queued -d $dir is not ready:" >&2
		cat "$dir.log" >&2
		return 1
	fi
}

# stop_queue [PID]: SIGTERM, and the daemon ends with 0.
stop_queue() {
	local pid=${1:-$QUEUE_PID}
	kill -TERM "$pid"
	wait "$pid"
}

# kill_queue [PID]: SIGKILL; the journal dies with the daemon.
kill_queue() {
	local pid=${1:-$QUEUE_PID} journal
	journal=$(journal_pid "$pid")
	kill -KILL "$pid"
	wait "$pid" 2>/dev/null || :
	wait_until 20 has_ended "$journal"
}

# has_ended PID: also when nobody has waited for it: not every first process of a container does.
has_ended() {
	! grep -q '^State:[[:space:]]*[^ZX[:space:]]' "/proc/$1/status" 2>/dev/null
}

# journal_pid [PID]: the daemon's journal.
journal_pid() {
	pgrep -P "${1:-$QUEUE_PID}" -x rmq-journal
}

# The test client, see rawclient.c; raw ACTION…: on the last start_queue's socket.
RAWCLIENT=${RMQ_BUILD:-$BATS_TEST_DIRNAME/../../build/${MODE:-release}}/cli/rawclient
raw() {
	"$RAWCLIENT" "${RMQ_SERVERS#unix:}" "$@"
}

# on_terminal COMMAND…: in the background, its pid in TOP, what it writes in ./screen.
on_terminal() {
	rm -f pid screen
	start script -qfc "echo \$\$ >pid; stty -a >before; exec $*" screen
	wait_until 10 test -s pid
	TOP=$(cat pid)
}
