#!/bin/sh
# usage: while csv-import.sh FILE QUEUE; [ $? -eq 75 ]; do sleep 10; done
#
# Imports a CSV file: each row after the first line is a message, stored exactly once, however often
# this is killed and run again, and also if someone imports the same file a second time: the
# queue remembers how many rows it has of the file with this checksum (rmq-send --resume).  So
# FILE must be complete.  Each message has the first line, the names of the columns, as a header.
# Lines may end in CR LF, as those of Excel; FILE is UTF-8.
#
# A worker goes on exactly once as well, if its output is messages: --to stores them in the record
# that settles the row.  This one makes an object of each row (of simple ones, without quotes):
#
#	rmq-recv -P 2 --batch 100 -j --to orders rows jq -c '[.headers.columns, .body] |
#		map(split(",")) | transpose | map({(.[0]): .[1]}) | add'
#
# A worker that writes to a database may be killed between the writing and the settling.  There
# the message's id does it, as a key: INSERT ... ON CONFLICT (id) DO NOTHING.
#
# Exits as rmq-send does: 0 if all rows are stored; 65: FILE is no such file; 75: run it again.
set -eu

[ $# -eq 2 ] || { echo "usage: csv-import.sh FILE QUEUE" >&2; exit 64; }
file=$1 queue=$2
cr=$(printf '\r')

# What cannot be read to its end must not seem to have been; 141: rmq-send has ended before.
rows() {
	case $columns in
	*"$cr") sed 's/\r$//' ;;
	*) cat ;;
	esac || [ $? -eq 141 ] || kill $$
}

name=csv-$(sha256sum <"$file" | cut -c 1-32)
{
	IFS= read -r columns || [ "$columns" ] || { echo "csv-import.sh: $file: is empty" >&2; exit 65; }
	header=${columns%"$cr"}
	case $header in *[[:cntrl:]]*) bad=1 ;; *) bad= ;; esac
	if [ "$bad" ] || ! printf %s "$header" | iconv -f utf-8 -t utf-8 >/dev/null 2>&1; then
		echo "csv-import.sh: $file: its first line is not UTF-8, or has a control character, as a tab" >&2
		exit 65
	fi
	rows | rmq-send --resume "$name" -H "columns=$header" "$queue"
} <"$file"
