#!/usr/bin/env bats
# The resource agent for Pacemaker: every promise of rmq-pacemaker(7) about each action.

bats_require_minimum_version 1.5.0
load ../cli/common

AGENT=$BATS_TEST_DIRNAME/../../contrib/ocf/rmq

setup_file() {
	[ -e /usr/lib/ocf/lib/heartbeat/ocf-shellfuncs ] ||
		skip "resource-agents is missing: sh contrib/packages test"
}

eval "$(declare -f teardown | sed '1s/teardown/end_started/')"
teardown() {
	[ -z "${FROZEN:-}" ] || fsfreeze -u "$FROZEN"
	[ ! -s tmp/rmq-q/pid ] || STARTED+=("$(cut -d : -f 1 tmp/rmq-q/pid)")
	end_started
}

# agent ACTION [NAME=VALUE…]: as Pacemaker runs it, for the directory ./q; a NAME in capitals is a
# variable, others are parameters.  What it starts is ended by the teardown.
agent() {
	local action=$1 word
	local -a set=(OCF_ROOT=/usr/lib/ocf OCF_RESOURCE_INSTANCE=q HA_RSCTMP="$PWD/tmp"
		OCF_RESKEY_CRM_meta_interval=10000 OCF_RESKEY_CRM_meta_timeout=20000
		OCF_RESKEY_directory="$PWD/q" OCF_RESKEY_mountpoint="$(stat -c %m .)"
		OCF_RESKEY_socket="$PWD/q.sock" OCF_RESKEY_user="$(id -un)" OCF_RESKEY_logfile="$PWD/q.log")
	shift
	for word; do
		case $word in
		[A-Z]*) set+=("$word") ;;
		*) set+=("OCF_RESKEY_$word") ;;
		esac
	done
	env "${set[@]}" "$AGENT" "$action" 3>&-
}

# started [NAME=VALUE…]: the daemon of ./q runs; its pid is in DAEMON.
started() {
	[ -e q ] || rmq-journal init q
	export RMQ_SERVERS=unix:$PWD/q.sock
	agent start "$@"
	DAEMON=$(cut -d : -f 1 tmp/rmq-q/pid)
}

# ---- what it says of itself ----

@test "ocf: the metadata is valid, by the DTD and by the schema of resource-agents" {
	"$AGENT" meta-data >rmq.xml
	# Where the DTD is that it names.
	cp /usr/share/resource-agents/ra-api-1.dtd .
	xmllint --noout --valid rmq.xml
	xmllint --noout --relaxng /usr/share/resource-agents/metadata.rng rmq.xml
}

@test "ocf: ocf-tester passes, as root" {
	[ "$(id -u)" -eq 0 ] || skip "needs root"
	rmq-journal init q
	# It keeps fd 3 open, as it starts the daemon.
	run -0 ocf-tester -n q -o directory="$PWD/q" -o mountpoint="$(stat -c %m .)" -o user=root \
		-o socket="$PWD/q.sock" "$AGENT" 3>&-
	assert_line "$AGENT passed all tests"
	run -0 rmq-journal verify q
}

@test "ocf: ocf-tester passes, as an ordinary user" {
	public_dir rmq-queued rmq-journal rmq-send rmq-queue "$AGENT"
	chown 65534:65534 "$PUBLIC"
	mv "$PUBLIC/rmq" "$PUBLIC/agent"
	"${OTHER[@]}" "$PUBLIC/rmq-journal" init "$PUBLIC/q"
	run -0 env HA_RSCTMP="$PUBLIC/tmp" "${OTHER[@]}" /usr/sbin/ocf-tester -n q -o directory="$PUBLIC/q" \
		-o mountpoint="$(stat -c %m "$PUBLIC")" -o user="$(id -un 65534)" -o socket="$PUBLIC/sock" \
		-o binary="$PUBLIC/rmq-queued" "$PUBLIC/agent" 3>&-
	assert_line "$PUBLIC/agent passed all tests"
}

@test "ocf: an unknown action is 3, and usage is printed" {
	run -3 agent promote
	assert_line --partial 'start|stop|monitor|validate-all|meta-data'
	run -0 agent usage
}

# ---- start, monitor, stop ----

@test "ocf: start, stop and monitor answer as they should, twice each, and messages stay" {
	rmq-journal init q
	run -7 agent monitor
	assert_output --partial 'ocf-exit-reason:no rmq-queued runs on'
	# A probe only asks.
	run -7 agent monitor OCF_RESKEY_CRM_meta_interval=0
	assert_output ''
	run -0 agent stop
	started
	rmq-send jobs one
	run -0 agent monitor
	assert_output ''
	agent start
	assert_equal "$(cut -d : -f 1 tmp/rmq-q/pid)" "$DAEMON"
	agent stop
	has_ended "$DAEMON"
	[ ! -e q.sock ]
	[ ! -e tmp/rmq-q ]
	run -7 agent monitor
	agent stop
	started
	assert_equal "$(timeout 10 rmq-recv -1 jobs)" one
}

@test "ocf: clients can connect as soon as start has ended, and nothing holds its output" {
	rmq-journal init q
	export RMQ_SERVERS=unix:$PWD/q.sock
	# Whoever runs an agent waits for the end of its output, here of both logs.
	timeout 20 cat <(agent start 2>&1) >/dev/null
	run -0 rmq-send --timeout 0 jobs one
	agent stop
	timeout 20 cat <(agent start logfile= 2>&1) >/dev/null
	run -0 rmq-send --timeout 0 jobs one
}

@test "ocf: a daemon that was killed with -9 does not run, and starts with all messages" {
	started
	seq 1000 | rmq-send jobs
	kill -KILL "$DAEMON"
	run -7 agent monitor
	[ -S q.sock ]
	run -0 agent stop
	started
	run -0 agent monitor
	assert_equal "$(timeout 10 rmq-recv --drain jobs | cksum)" "$(seq 1000 | cksum)"
}

@test "ocf: a daemon that hangs is an error, and is stopped in good order if it goes on" {
	started
	rmq-send jobs one
	kill -STOP "$DAEMON"
	run -1 agent monitor OCF_RESKEY_CRM_meta_timeout=2000
	assert_output --partial "ocf-exit-reason:rmq-queued (process $DAEMON) stores no line"
	run -1 agent start OCF_RESKEY_CRM_meta_timeout=2000
	run -0 agent stop
	refute_output --partial 'is killed'
	[ ! -e q.sock ]
	started
	assert_equal "$(timeout 10 rmq-recv -1 jobs)" one
}

@test "ocf: a daemon that does not end is killed after half of the time, and has lost nothing" {
	rmq-journal init q
	# It stays ignored.
	(trap '' TERM; agent start)
	started
	rmq-send jobs one
	local began=$EPOCHSECONDS
	run -0 agent stop OCF_RESKEY_CRM_meta_timeout=4000
	assert_output --partial "rmq-queued (process $DAEMON) does not end in time, and is killed"
	((EPOCHSECONDS - began >= 2))
	has_ended "$DAEMON"
	run -7 agent monitor
	started
	assert_equal "$(timeout 10 rmq-recv -1 jobs)" one
}

@test "ocf: a disk that hangs is an error" {
	started
	kill -STOP "$(journal_pid "$DAEMON")"
	run -1 agent monitor OCF_RESKEY_CRM_meta_timeout=2000
	assert_output --partial 'stores no line'
}

@test "ocf: what does not die on a disk that hangs is an error of stop, so that the machine is fenced" {
	[ "$(id -u)" -eq 0 ] || skip "needs root, to mount a file system"
	local -a there=(directory="$PWD/disk/q" mountpoint="$PWD/disk" OCF_RESKEY_CRM_meta_timeout=2000)
	truncate -s 32M image
	mkfs.ext4 -q image
	mkdir disk
	mount -o loop image disk || skip "cannot mount a file system of its own here"
	MOUNTED=$PWD/disk
	rmq-journal init disk/q
	export RMQ_SERVERS=unix:$PWD/q.sock
	agent start "${there[@]}"
	rmq-send jobs one
	fsfreeze -f disk
	FROZEN=$PWD/disk
	run -1 agent monitor "${there[@]}"
	run -1 agent stop "${there[@]}"
	assert_output --partial "do not die: the disk of $PWD/disk/q hangs"
	fsfreeze -u disk
	FROZEN=
	run -0 agent stop "${there[@]}"
	agent start "${there[@]}"
	assert_equal "$(timeout 10 rmq-recv -1 jobs)" one
}

@test "ocf: monitors leave one message in their queue, also where queues are made by hand" {
	started options='--create explicit'
	for _ in 1 2 3; do
		agent monitor options='--create explicit'
	done
	assert_equal "$(rmq-queue show ocf-probe ready bytes sent | sed 2d | xargs)" '1 3'
	agent stop
	started
	agent monitor probe_queue=other
	assert_equal "$(rmq-queue ls -o queue | xargs)" 'ocf-probe other'
}

@test "ocf: a full disk is degraded and no failure, since no restart makes room" {
	small_disk disk 24m
	local -a there=(directory="$PWD/disk/q" mountpoint="$PWD/disk")
	rmq-journal init disk/q
	export RMQ_SERVERS=unix:$PWD/q.sock
	agent start "${there[@]}"
	rmq-send jobs one
	agent monitor "${there[@]}"
	fill_disk disk
	# What is left of the data file.
	head -c 30000000 /dev/zero | tr '\0' x | fold -w 60000 | rmq-send -q --no-wait fill || :
	while head -c 60000 /dev/zero | tr '\0' x | rmq-send -q --no-wait fill; do :; done
	# There is none for who sends much, though a short line is still stored.
	run -190 agent monitor "${there[@]}"
	rmq-send -q --no-wait fill x
	while rmq-send -q --no-wait fill x; do :; done
	run -190 agent monitor "${there[@]}"
	assert_output --partial "ocf-exit-reason:the disk of $PWD/disk/q is full"
	assert_equal "$(timeout 10 rmq-recv -1 jobs)" one
	agent start "${there[@]}"
	# A failover, too, ends in a queue that serves.
	agent stop "${there[@]}"
	run -0 agent start "${there[@]}"
	run -190 agent monitor "${there[@]}"
	rm disk/others
	wait_until 20 agent monitor "${there[@]}"
}

# ---- the directory ----

@test "ocf: nothing mounted, nothing started, nothing made, even if an old queue is below the mount point" {
	mkdir disk
	run -5 agent start directory="$PWD/disk/q" mountpoint="$PWD/disk"
	assert_output --partial "ocf-exit-reason:mountpoint: nothing is mounted on $PWD/disk"
	assert_equal "$(ls disk)" ''
	rmq-journal init disk/q
	run -5 agent start directory="$PWD/disk/q" mountpoint="$PWD/disk"
	run -5 agent start directory="$PWD/disk/absent/q" mountpoint="$PWD/disk/absent"
	run -6 agent start directory="$PWD/q" mountpoint="$PWD/disk"
	assert_output --partial 'is not below mountpoint'
}

@test "ocf: a directory on another file system than the one that was named is refused" {
	mkdir q
	small_disk q/inner 16m
	rmq-journal init q/inner/q
	run -5 agent start directory="$PWD/q/inner/q"
	assert_output --partial 'is on another file system than'
}

@test "ocf: an empty directory is not made a queue" {
	mkdir q
	run -5 agent start
	assert_output --partial 'is not a data directory: rmq-journal init makes one'
	assert_equal "$(ls q)" ''
	run -7 agent monitor
	run -0 agent stop
}

@test "ocf: a daemon whose file system is gone is an error, and is stopped" {
	small_disk disk 24m
	local -a there=(directory="$PWD/disk/q" mountpoint="$PWD/disk")
	rmq-journal init disk/q
	agent start "${there[@]}"
	DAEMON=$(cut -d : -f 1 tmp/rmq-q/pid)
	umount -l disk
	run -1 agent monitor "${there[@]}"
	assert_output --partial "runs, but $PWD/disk/q is gone"
	run -0 agent stop "${there[@]}"
	has_ended "$DAEMON"
	run -7 agent monitor "${there[@]}"
	MOUNTED=
}

@test "ocf: a pid that another process has got is not taken for the daemon" {
	mkdir -p tmp/rmq-q
	start sleep 300
	echo "${STARTED[0]}:1" >tmp/rmq-q/pid
	rmq-journal init q
	run -7 agent monitor
	run -0 agent stop
	! has_ended "${STARTED[0]}"
}

# ---- owners ----

@test "ocf: a journal that is left over is an error; it is no queue to start on, and is stopped" {
	rmq-journal init q
	start "$(dirname "$RAWCLIENT")/with_journal" q sleep 300
	owned() { JOURNAL=$(pgrep -P "${STARTED[0]}" -x rmq-journal) && ! flock -n q/identity true; }
	wait_until 20 owned
	run -1 agent monitor
	assert_output --partial "rmq-journal (process $JOURNAL) still owns $PWD/q, without its daemon"
	run -1 agent start
	run -0 agent stop
	has_ended "$JOURNAL"
	started
}

@test "ocf: a daemon of the directory that something else started is the one that is watched and stopped" {
	start_queue q -l "$PWD/q.sock"
	run -0 agent monitor
	agent start
	agent stop
	has_ended "$QUEUE_PID"
	# One that does not serve the agent's socket is an error, and stopped as well.
	start_queue q -l "$PWD/other.sock"
	run -1 agent monitor OCF_RESKEY_CRM_meta_timeout=2000
	run -1 agent start OCF_RESKEY_CRM_meta_timeout=2000
	agent stop
	has_ended "$QUEUE_PID"
}

@test "ocf: a directory that another process has locked is refused, and the process left alone" {
	rmq-journal init q
	start flock q/identity sleep 300
	locked() { ! flock -n q/identity true; }
	wait_until 20 locked
	run -7 agent monitor
	run -1 agent start
	assert_output --partial "$PWD/q is in use by another process"
	run -0 agent stop
	! has_ended "${STARTED[0]}"
}

@test "ocf: a node of rmq's own cluster is neither watched nor stopped" {
	rmq-journal init q
	cp "$(command -v sleep)" rmq-clusterd
	start "$(dirname "$RAWCLIENT")/with_journal" q ./rmq-clusterd 300
	owned() { JOURNAL=$(pgrep -P "${STARTED[0]}" -x rmq-journal) && ! flock -n q/identity true; }
	wait_until 20 owned
	run -7 agent monitor
	run -1 agent start
	run -0 agent stop
	! has_ended "$JOURNAL"
}

@test "ocf: a socket of another daemon is left alone, and a file where the socket should be" {
	rmq-journal init q
	start_queue q2 -l "$PWD/q.sock"
	run -1 agent start
	assert_output --partial "or the socket $PWD/q.sock, is in use by another daemon; it says more in $PWD/q.log"
	stop_queue
	run -7 agent monitor
	touch q.sock
	run -5 agent start
	[ -f q.sock ]
	grep -q q.sock q.log
}

@test "ocf: damaged data is not started, and the reason says so" {
	rmq-journal init q
	: >q/data.mdb
	run -1 agent start
	assert_output --partial "rmq-queued ended with status 65: the data in $PWD/q is damaged"
	run -7 agent monitor
}

# ---- parameters ----

@test "ocf: root starts the daemon as the user, and its clients need no root" {
	public_dir rmq-queued rmq-journal rmq-send rmq-queue
	chown 65534:65534 "$PUBLIC"
	"${OTHER[@]}" "$PUBLIC/rmq-journal" init "$PUBLIC/q"
	local -a as=(directory="$PUBLIC/q" mountpoint="$(stat -c %m "$PUBLIC")" user="$(id -un 65534)"
		socket="$PUBLIC/run/rmq.sock" binary="$PUBLIC/rmq-queued" logfile=)
	run -0 agent start "${as[@]}"
	DAEMON=$(cut -d : -f 1 tmp/rmq-q/pid)
	assert_equal "$(stat -c %u:%a "/proc/$DAEMON" "$PUBLIC/run" "$PUBLIC/run/rmq.sock" | xargs)" \
		'65534:555 65534:755 65534:660'
	assert_equal "$(sed -n 's/^Groups:[[:space:]]*//p' "/proc/$DAEMON/status" | xargs)" "$(id -G 65534)"
	run -0 agent monitor "${as[@]}"
	"${OTHER[@]}" "$PUBLIC/rmq-send" -S "unix:$PUBLIC/run/rmq.sock" jobs one
	run -0 agent stop "${as[@]}"
	has_ended "$DAEMON"
}

@test "ocf: what the parameters say wrong is 6, and what the machine lacks 5, each with its reason" {
	local word
	rmq-journal init q
	run -0 agent validate-all OCF_CHECK_LEVEL=10
	for word in directory= mountpoint=relative socket=sock "socket=$PWD/a,b" socket="/$(printf %0107d 0)" \
		probe_queue='a b' probe_queue= options=--init options='-d x' options='--create' \
		options='--sandbox=off -- sh' options=word; do
		run -6 agent validate-all "$word"
		assert_output --partial "ocf-exit-reason:${word%%=*}: "
		run -6 agent start "$word"
	done
	run -0 agent validate-all binary=absent
	run -5 agent validate-all OCF_CHECK_LEVEL=10 binary=absent
	assert_output --partial 'ocf-exit-reason:absent is not installed'
	run -5 agent start user=nobody-of-that-name
	assert_output --partial 'there is no user nobody-of-that-name on this machine'
	run -0 agent validate-all OCF_CHECK_LEVEL=10 options='--create explicit --sandbox=auto -v'
	# A probe on a machine that has nothing of it.
	run -7 agent monitor OCF_RESKEY_CRM_meta_interval=0 directory=/absent/q mountpoint=/absent binary=absent
}

@test "ocf: who is not root starts nothing for others: 4" {
	public_dir "$AGENT" rmq-queued rmq-send rmq-queue
	run -4 env OCF_RESOURCE_INSTANCE=q OCF_CHECK_LEVEL=10 OCF_RESKEY_directory=/q OCF_RESKEY_mountpoint=/ \
		OCF_RESKEY_user=root OCF_RESKEY_binary="$PUBLIC/rmq-queued" "${OTHER[@]}" "$PUBLIC/rmq" validate-all
	assert_output --partial 'only root can start the daemon as root'
}
