#!/bin/sh
# Gives each history of `doctored` to the checker, $1; prints TAP.
# "@" in one parts the files of two processes.
here=$(cd "$(dirname "$0")" && pwd)
tmp=$(mktemp -d) || exit 1
trap 'rm -rf "$tmp"' EXIT
awk -v dir="$tmp" '
	/^== / { n++; part = 0; print substr($0, 4) >(dir "/" n) }
	/^@$/ { part++; next }
	n > 0 { print >(dir "/" n "." part) }' "$here/doctored"
n=0
status=0
while [ -e "$tmp/$((n + 1))" ]; do
	n=$((n + 1))
	sed -i 1d "$tmp/$n.0"
	wanted=$(cat "$tmp/$n")
	said=$("$1" "$tmp/$n".* 2>&1)
	got=$?
	case $wanted,$got,$said in
	taken,0,*) ;;
	*,1,"$wanted"*) ;;
	*)
		echo "not ok - a history is judged: $wanted"
		echo "$said" | sed 's/^/# /'
		status=1
		continue
		;;
	esac
	echo "ok - a history is judged: $wanted"
done
[ "$n" -gt 0 ] && exit $status
