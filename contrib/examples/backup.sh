#!/bin/sh
# usage: sh backup.sh full DIR BACKUPS [KEEP]
#        sh backup.sh more DIR BACKUPS
#
# Backs up the data directory DIR of a queue, in use or not.  `full`, every night, begins a new
# set in the directory BACKUPS with a full backup, and when that is good removes the oldest sets
# and keeps KEEP (7).  `more`, every hour, adds the new records to the newest set.  From crontab(5):
#
#	0 3 * * *	sh backup.sh full /var/lib/rmq/queue /var/backups/rmq
#	30 * * * *	sh backup.sh more /var/lib/rmq/queue /var/backups/rmq
#
# A set is a directory BACKUPS/NUMBER-TIME-INCARNATION of files INDEX.backup: the next backup of the
# set begins after record INDEX.  All files of a set, in order, are the queue as it was at the last
# backup:
#
#	cat /var/backups/rmq/000012-*/*.backup | rmq-journal restore NEW-DIR
#
# No file is ever overwritten.  A backup gets its name when it is complete and on the disk, and when
# its set has been restored with it into a directory below BACKUPS, which is verified and removed:
# this takes the space of the queue once more.  BACKUPS must exist: so an unmounted disk is not
# written to.  Whoever can read the backups can read the messages: only their owner may.
#
# Exits 0 when all is well, even if nothing is new; 65: DIR, or the backup, is damaged;
# 66: no BACKUPS; 75: another backup is running; else as rmq-journal(1).
set -eu
umask 077

fail() {
	status=$1
	shift
	echo "backup.sh: $*" >&2
	exit "$status"
}

usage() {
	fail 64 "usage: backup.sh full DIR BACKUPS [KEEP] | more DIR BACKUPS"
}

[ $# -ge 3 ] || usage
kind=$1 dir=$2 backups=$3 keep=${4:-7}
case $kind-$# in
full-[34] | more-3) ;;
*) usage ;;
esac
case $keep in
*[!0-9]* | 0*) fail 64 "KEEP: $keep: not a number of at least 1" ;;
esac

[ -d "$backups" ] || fail 66 "$backups: no such directory"
exec 9>>"$backups/lock"
flock -n 9 || fail 75 "$backups: another backup is at work"
work=$backups/unfinished
rm -rf "$work" # of one that was killed
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
mkdir "$work" "$work/set"

# What DIR says about itself.  A node of a cluster may drop records after its `commit`.
rmq-journal stat "$dir" >"$work/stat"
field() {
	awk -v name="$1" '$1 == name { print $2 }' "$work/stat"
}
incarnation=$(field incarnation)
index=$(field commit)
index=$(printf %020d "${index:-$(field last)}")

# The newest set and the newest index in it.
sets='[0-9][0-9][0-9][0-9][0-9][0-9]-*Z-*'
set=
for name in "$backups"/$sets; do
	[ ! -d "$name" ] || set=$name
done
newest=
for name in "$set"/*.backup; do
	[ ! -f "$name" ] || newest=$(basename "$name" .backup)
done

# What was restored, say, is another directory and begins another set; so does one that was put
# back to what it was before the newest backup.
goes_on=no
case $kind-$set in
more-*-"$incarnation")
	[ -z "$newest" ] || [ "$index" -lt "$newest" ] || goes_on=yes
	;;
esac
if [ "$goes_on" = yes ]; then
	[ "$index" != "$newest" ] || exit 0
	since=$(echo "$newest" | sed 's/^0*\(.\)/\1/')
else
	since=0
	number=$(basename "$set" | sed 's/-.*//; s/^0*//')
	number=$(printf %06d $((${number:-0} + 1)))
	set=
	new=$backups/$number-$(date -u +%Y%m%dT%H%M%SZ)-$incarnation
fi

rmq-journal backup --since "$since" "$dir" >"$work/set/$index.backup"
status=0
cat ${set:+"$set"/*.backup} "$work/set/$index.backup" |
	rmq-journal restore "$work/restored" || status=$?
[ "$status" -ne 0 ] || rmq-journal verify "$work/restored" || status=$?
[ "$status" -eq 0 ] || fail "$status" "${set:-$new}: cannot be restored with the new backup"
if [ -n "$set" ]; then
	ln "$work/set/$index.backup" "$set"
	sync "$set"
else
	sync "$work/set"
	mv -T "$work/set" "$new"
	sync "$backups"
fi

[ "$kind" = full ] || exit 0
# shellcheck disable=SC2086
set -- "$backups"/$sets
while [ $# -gt "$keep" ]; do
	rm -r "$1"
	shift
done
