#!/bin/sh
# usage: until csv-import.sh FILE QUEUE; do sleep 10; done
#
# Imports a CSV file: each row after the first line is a message, stored exactly once, however often
# this is killed and run again, and also if someone imports the same file a second time: the
# queue remembers how many rows it has of the file with this checksum (rmq-send --resume).  So
# FILE must be complete.  Each message has the first line, the names of the columns, as a header.
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
# Exits as rmq-send does: 0 if all rows are stored; 75: run it again.
set -eu
file=$1 queue=$2
name=csv-$(sha256sum <"$file" | cut -c 1-32)
{
	IFS= read -r columns
	rmq-send --resume "$name" -H "columns=$columns" "$queue"
} <"$file"
