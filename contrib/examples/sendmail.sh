#!/bin/sh
# usage: sendmail [-t] [-i] [-f SENDER] [RECIPIENT...] < MAIL
#        rmq-recv -P 4 --max-time 5m --on-exit 64,67,68,77=dead mail sendmail --deliver COMMAND...
#
# A mail spool.  As /usr/sbin/sendmail it takes a mail from cron(8), git or a script, and is done
# when the mail is stored in the queue `mail`: no mail is lost while the network, or the mail
# server, is away.  Install it as mode 755 and let who may send mail into group rmq.
#
# The second line is the worker that delivers.  It runs COMMAND -f SENDER [-t] -- RECIPIENT... with
# the mail on stdin: `sendmail --deliver msmtp`, say.  No shell may read these words once more, as
# that at the other end of ssh(1) does.
#
# COMMAND's exit status decides, as for all workers: 75 is another try later, 65 a dead letter, which
# `rmq-recv -j mail.dead` shows; nothing bounces.  A mail that is too large is refused (65):
# rmq-queue set --max-message 16M mail.  All addresses together have at most 4000 bytes.
#
# Exits as sendmail does: 0: it is stored; 64: a wrong option; 65: too large; 75: try again.
set -eu

if [ "${1:-}" = --deliver ]; then
	shift
	set -- "$@" -f "$RMQ_HEADER_FROM"
	[ -z "${RMQ_HEADER_T:-}" ] || set -- "$@" -t
	set -f
	# shellcheck disable=SC2086 # the recipients are words
	exec "$@" -- ${RMQ_HEADER_TO:-}
fi

# Options that only a mail server understands are taken, without effect.
from=$(id -un) whole='' in_header=''
# shellcheck disable=SC2213
while getopts :tif:r:F:o:b:B:C:L:N:O:R:V:X:h:GUmnv option; do
	case $option in
	t) in_header=yes ;;
	i) whole=yes ;;
	f | r) from=$OPTARG ;;
	o) [ "$OPTARG" != i ] || whole=yes ;;
	b) [ "$OPTARG" = m ] || {
		echo "sendmail: -b$OPTARG: only -bm is there: this is rmq" >&2
		exit 64
	} ;;
	'?' | :)
		echo "sendmail: -$OPTARG: unknown option, or a word is missing" >&2
		exit 64
		;;
	esac
done
shift $((OPTIND - 1))
if [ $# -eq 0 ] && [ -z "$in_header" ]; then
	echo "sendmail: no recipient" >&2
	exit 64
fi

to=$* # by spaces
set -- rmq-send -qw --timeout "${RMQ_TIMEOUT:-20s}" -H "from=$from" ${in_header:+-H t=yes} ${to:+-H "to=$to"} mail
[ -z "$whole" ] || exec "$@"
sed '/^\.$/,$d' | "$@" # a line with only a dot is the end
