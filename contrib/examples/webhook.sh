#!/bin/bash
# usage: webhook.sh QUEUE
#
# Receives a webhook: reads one HTTP request on stdin, stores its body as a message in QUEUE and
# answers 202 on stdout, but only when the message is on the disk.  The headers Content-Type and
# X-..., with signatures and ids of the sender, become headers of the message, and the path
# is its header `path`.  rmq-webhook.socket runs it for each connection, with queue `hooks`:
#
#	install -m 755 webhook.sh /usr/local/bin/rmq-webhook
#	install -m 644 rmq-webhook.socket rmq-webhook@.service /etc/systemd/system
#	systemctl enable --now rmq-webhook.socket
#	rmq-recv hooks sh -c '[ "$RMQ_HEADER_X_GITHUB_EVENT" != push ] || exec deploy'
#
# A server such as nginx in front of it does TLS and limits who may send, and how much.  Check
# signatures in the worker, who has the body as it came.
#
# Answers: 202 stored; 503 not stored, or nobody can say: send it again; 413 larger than the queue
# takes; 405 not POST; 411 no length; 400, 408, 431 not a request, too slow, too many headers.
set -u

[ $# -eq 1 ] || { echo "usage: webhook.sh QUEUE" >&2; exit 64; }
LC_ALL=C
queue=$1
max=16777216 # no queue takes more

answer() { # STATUS HEADER...
	local status=$1
	shift
	printf 'HTTP/1.1 %s\r\n' "$status"
	[ $# -eq 0 ] || printf '%s\r\n' "$@"
	printf 'Content-Length: 0\r\nConnection: close\r\n\r\n'
	# What is still on its way must not reset the connection before the answer is read.
	[[ $status == 202* ]] || timeout 2 cat >/dev/null
	exit 0
}

line=
get_line() { # a line of the header
	IFS= read -r -n 4096 -t 10 line || {
		[ $? -le 128 ] || answer '408 Request Timeout'
		[ -n "$line" ] || exit 0
		answer '400 Bad Request'
	}
	[ ${#line} -lt 4096 ] || answer '431 Request Header Fields Too Large'
	line=${line%$'\r'}
}

get_line
read -r method path version <<<"$line"
[[ $version == HTTP/1.[01] ]] || answer '400 Bad Request'
[ "$method" = POST ] || answer '405 Method Not Allowed' 'Allow: POST'

length='' expect='' headers=(-H "path=$path")
for ((i = 0; ; i++)); do
	get_line
	[ -n "$line" ] || break
	[ $i -lt 100 ] || answer '431 Request Header Fields Too Large'
	name=${line%%:*} value=${line#*:}
	name=${name,,} value=${value#"${value%%[! 	]*}"}
	case $name in
	content-length) length=$value ;;
	expect) expect=$value ;;
	content-type | x-*) headers+=(-H "$name=$value") ;;
	esac
done
[[ $length =~ ^[0-9]{1,18}$ ]] || answer '411 Length Required'
((10#$length <= max)) || answer '413 Content Too Large'
[ "${expect,,}" != 100-continue ] || printf 'HTTP/1.1 100 Continue\r\n\r\n'

# Not straight into the queue: a body that is cut short is no message.
body=$(mktemp) || answer '503 Service Unavailable'
trap 'rm -f "$body"' EXIT
timeout 60 head -c "$length" >"$body"
[ "$(stat -c %s "$body")" -eq "$length" ] || answer '400 Bad Request'

rmq-send -qw --no-wait --timeout "${RMQ_TIMEOUT:-10s}" "${headers[@]}" "$queue" <"$body"
case $? in
0) answer '202 Accepted' ;;
64) answer '400 Bad Request' ;; # of the headers
65) answer '413 Content Too Large' ;;
*) answer '503 Service Unavailable' 'Retry-After: 10' ;;
esac
