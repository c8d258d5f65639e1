#!/bin/sh
# usage: sh crawl.sh DIR [WORKERS]
#
# Downloads what the messages of the queue `urls` name, WORKERS (4) at a time, into files
# DIR/NUMBER, until the queue is empty.  Fill it before, or meanwhile:
#
#	rmq-send urls <list-of-urls
#	sh crawl.sh pages 8
#
# What a server refuses for good is a dead letter, with its answer as the reason.  What may work
# later (no connection, no answer in a minute, status 408, 429 or 5xx) is tried again, after longer
# and longer pauses; a download that ends in another way, as one that is cut, has failed, and is a
# dead letter when it has failed too often.  Afterwards:
#
#	rmq-queue peek -o note,body urls.dead	# which, and why
#	rmq-queue redrive urls			# all once more
#
# It may be killed and started again at any time, also several times at once, on several machines:
# nothing is lost, and nothing but what was under way is downloaded twice.  DIR/log has a line for
# each try.  Exits as rmq-recv(1) does: 0, or 65 if there are dead letters.
set -eu

[ $# -ge 1 ] || { echo "usage: sh crawl.sh DIR [WORKERS]" >&2; exit 64; }
mkdir -p "$1"

# shellcheck disable=SC2016
exec rmq-recv --drain=all -P "${2:-4}" -l --max-time 65s --joblog "$1/log" urls sh -c '
	IFS= read -r url
	page=$1/${RMQ_MSG_ID##*:}
	status=$(curl -gsSL --proto =http,https --max-time 60 -o "$page.part" -w "%{http_code}" -- "$url")
	case $? in
	0) ;;
	1 | 3) exit 65 ;;		# not a URL of the kind that is allowed
	5 | 6 | 7 | 28 | 35) exit 75 ;;	# no name server, no connection, no answer
	*) exit 1 ;;
	esac
	case $status in
	2??) mv "$page.part" "$page" ;;
	408 | 429 | 5??) rm -f "$page.part"; exit 75 ;;
	*) rm -f "$page.part"; echo "HTTP status $status" >&2; exit 65 ;;
	esac
' sh "$1"
