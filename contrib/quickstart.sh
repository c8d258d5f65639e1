#!/bin/sh
# usage: sh contrib/quickstart.sh
#
# Installs missing packages, builds rmq, starts a private queue in a temporary directory and
# sends this machine's own package database through it.  Leaves nothing but build/.
set -eu

milliseconds() {
	echo $(($(date +%s%N) / 1000000))
}

# speed LINES SINCE: "N lines in M ms (K lines/s)".
speed() {
	ms=$(($(milliseconds) - $2))
	[ "$ms" -gt 0 ] || ms=1
	echo "$1 lines in $ms ms ($(($1 * 1000 / ms)) lines/s)"
}

# The part that runs with the private queue: RMQ_SERVERS is set.
session() {
	echo
	echo '$ dpkg-query -W ... | jq -c ... | rmq-send packages'
	dpkg-query -W -f '${Package}\t${Version}\t${Section}\t${Installed-Size}\n' |
		jq -Rc 'split("\t") | {package: .[0], version: .[1], section: .[2],
			kib: (.[3] | tonumber? // 0)}' >packages
	began=$(milliseconds)
	rmq-send packages <packages
	echo "  stored on disk: $(speed "$(wc -l <packages)" "$began")"

	echo
	echo '$ rmq-queue ls'
	rmq-queue ls

	echo
	echo '$ rmq-recv --drain packages | jq ...	# the five largest'
	rmq-recv --drain packages |
		jq -rs 'sort_by(-.kib)[:5][] | "  \(.package) \(.version): \(.kib / 1024 | floor) MiB"'

	echo
	echo '# Every file of every package, a JSON line each, sent and received at the same time:'
	echo '$ rmq-send files <lines & rmq-recv -n N files'
	jq -Rc '{package: (input_filename | split("/")[-1] | rtrimstr(".list")), file: .}' \
		/var/lib/dpkg/info/*.list >files
	count=$(wc -l <files)
	began=$(milliseconds)
	rmq-send files <files &
	rmq-recv -n "$count" files >received
	wait $!
	echo "  through the queue: $(speed "$count" "$began")"
	sort files >expected
	if sort received | cmp -s - expected; then
		echo "  every line came back, once"
	else
		echo "  the received lines are not the sent ones" >&2
		return 70
	fi
}

if [ "${1:-}" = session ]; then
	session
	exit
fi

unset MODE RMQ_SERVERS RMQ_TIMEOUT
cd "$(dirname "$0")/.."
top=$PWD
echo "# 1. what is needed, from Debian"
sh contrib/packages build demo
echo "# 2. the programs, into build/release/bin"
make -s -j"$(nproc)"
PATH=$top/build/release/bin:$PATH
export PATH

echo "# 3. a private queue, only for the following commands"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
echo "\$ rmq-queued -d $work/queue --init -- sh ..."
(cd "$work" && rmq-queued -q -d queue --init -- sh "$top/contrib/quickstart.sh" session)
echo
echo "All of it was on disk before rmq-send was done.  Next: sudo make install; man 7 rmq"
