#!/bin/sh
# usage: sh hosts.sh DIR COMMAND <HOSTS
#
# Runs COMMAND on each host (a line of stdin) by ssh(1), eight at a time, and waits until all have
# done it.  A host that cannot be reached (ssh exits with 255) is tried again and again, without
# holding up the others; one on which COMMAND fails is not.  What COMMAND prints is in
# DIR/hosts:N.out and DIR/hosts:N.err, where N is the number of the line, and DIR/log says how each
# try ended.  An empty line is no host.  The queue is in DIR: after a crash, or Ctrl-C, the same line without hosts goes on:
#
#	sh hosts.sh upgrade 'apt-get -y upgrade' <hosts
#	sh hosts.sh upgrade 'apt-get -y upgrade' </dev/null
#
# Exits with 0 if COMMAND has exited with 0 on all hosts, else with 65, and names those on which it
# has not.
set -eu

[ $# -eq 2 ] || { echo "usage: sh hosts.sh DIR COMMAND <HOSTS" >&2; exit 64; }
mkdir -p "$1"
cd "$1"

# shellcheck disable=SC2016
exec rmq-queued -q -d ./queue --init -- sh -c '
	rmq-queue create --backoff 1s,5m hosts
	rmq-send hosts
	status=0
	rmq-recv --drain=all -P 8 --joblog log --results . --on-exit 255=retry -l hosts \
		sh -c "read -r host; [ \"\$host\" ] || exit 0
			ssh -n -oBatchMode=yes -oConnectTimeout=10 -- \"\$host\" \"\$1\"; s=\$?
			case \$s in 0 | 255) exit \$s ;; esac
			echo \"exit status \$s\" >&2; exit 65" sh "$1" || status=$?
	failed=$(rmq-queue peek -n 100000 -o note,body hosts.dead 2>/dev/null || :)
	[ -z "$failed" ] || { echo "$failed"; status=65; }
	exit "$status"
' sh "$2"
