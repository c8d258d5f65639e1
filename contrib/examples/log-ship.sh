#!/bin/sh
# usage: log-ship.sh LOG QUEUE [SECONDS]
#
# Sends the lines of a log file that grows, each once, whatever is killed or restarted in between,
# and follows LOG when it is rotated: looks for that every SECONDS (1).  For a supervisor:
#
#	ExecStart=log-ship.sh /var/log/nginx/access.log logs
#	Restart=always
#
# The queue remembers how many lines of which file it has (rmq-send --resume), so nothing is kept
# here.  A file is known by its inode and birth, not by its name, so this is tail -f on one
# file after the other: tail -F would go on in the next file without a word to who counts lines.
# LOG.1, the file before, is looked at again whenever LOG begins anew, as its last lines may have come
# late: logrotate(8) must not compress it at once (delaycompress), nor truncate (copytruncate).
#
# A line that is larger than the queue's --max-message is named on stderr and left out, one without
# its end is not sent yet.  Ends with 75 if no daemon answers for 30 s; the next run goes on.
set -eu

[ $# -eq 2 ] || [ $# -eq 3 ] || { echo "usage: log-ship.sh LOG QUEUE [SECONDS]" >&2; exit 64; }
log=$1 queue=$2 seconds=${3:-1}

identity() {
	stat -Lc log-%d-%i-%W -- "$1"
}

send() { # IDENTITY
	status=0
	rmq-send --resume "$1" --require-newline --skip-bad "$queue" || status=$?
	[ $status -eq 0 ] || [ $status -eq 65 ] || exit $status
}

while :; do
	[ ! -e "$log.1" ] || send "$(identity "$log.1")" <"$log.1"
	until [ -e "$log" ]; do sleep "$seconds"; done
	exec 3<"$log"
	id=$(identity /dev/fd/3)
	# It ends, and tail with it, when LOG is another file, or this script is dead.
	while kill -0 $$ && [ "$(identity "$log")" = "$id" ]; do sleep "$seconds"; done 2>/dev/null &
	tail -n +1 -s "$seconds" -f --pid=$! <&3 | send "$id"
done
