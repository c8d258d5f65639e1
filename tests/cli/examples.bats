#!/usr/bin/env bats
# modes: release
# The recipes in contrib/examples do what they say.

load common

bats_require_minimum_version 1.5.0

EXAMPLES=$BATS_TEST_DIRNAME/../../contrib/examples

recipe() {
	timeout 60 dash "$BATS_TEST_DIRNAME/../../contrib/examples/$1" "${@:2}"
}

# web_server: on port $PORT; /once answers with 503 at first, /gone with 404, all others with 200.
web_server() {
	cat >server.py <<'END'
import http.server, sys
seen = set()
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        first = self.path not in seen
        seen.add(self.path)
        status = 404 if self.path == "/gone" else 503 if self.path == "/once" and first else 200
        body = ("page " + self.path).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *args):
        pass
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
open("port.new", "w").write(str(server.server_port))
import os
os.rename("port.new", "port")
server.serve_forever()
END
	start python3 server.py
	wait_until 10 test -s port
	PORT=$(cat port)
}

@test "the recipes say in a line how they are used" {
	local script
	for script in "$EXAMPLES"/*.sh; do
		case ${script##*/} in sendmail.sh | three-nodes.sh | postgres.sh | remote.sh | cells.sh) continue ;; esac
		run timeout 10 "$(sed -n '1s/^#!//p' "$script")" "$script"
		assert_failure 64
		[ "${#lines[@]}" -eq 1 ]
		assert_output --partial 'usage: '
	done
}

@test "crawl.sh downloads, tries again what may work later, and names what does not" {
	command -v curl >/dev/null || skip "needs curl"
	start_queue q
	web_server
	rmq-queue create --backoff 10ms,10ms urls
	printf 'http://127.0.0.1:%d/%s\n' "$PORT" 'a[1-3]{b,c}' "$PORT" once "$PORT" gone | rmq-send urls
	rmq-send urls ftp://127.0.0.1/x
	unset http_proxy https_proxy
	run recipe crawl.sh pages 2
	assert_failure 65
	[ "$(cat pages/1)" = 'page /a[1-3]{b,c}' ]
	[ "$(cat pages/2)" = 'page /once' ]
	[ ! -e pages/3 ]
	[ "$(rmq-queue peek -o note urls.dead | sort | head -1)" = "urls:3 HTTP status 404" ]
	[ "$(rmq-queue show urls.dead ready)" = 2 ]
	[ "$(rmq-queue show urls ready leased delayed | paste -sd' ')" = "0 0 0" ]
	[ "$(cut -f 7 pages/log | sort | uniq -c | tr -s ' ' | paste -sd,)" = " 2 dead, 1 retry, 2 settle" ]
}

@test "hosts.sh runs a command on all hosts, tries again those that are down, and names failures" {
	mkdir bin
	# A host that is down at first, one on which the command fails, and one without fault.
	cat >bin/ssh <<'END'
#!/bin/sh
while [ "$1" != -- ]; do shift; done
case $2 in
down) [ -e up ] || { touch up; echo "ssh: connect to host down: no route" >&2; exit 255; } ;;
broken) echo "no such package" >&2; exit 3 ;;
esac
echo "$2: $3"
END
	chmod +x bin/ssh
	PATH=$PWD/bin:$PATH
	run recipe hosts.sh upgrade 'do it' <<<$'good\ndown\nbroken'
	assert_failure 65
	assert_output "$(printf 'hosts:3 exit status 3\tbroken')"
	[ "$(cat upgrade/hosts:1.out)" = 'good: do it' ]
	[ "$(cat upgrade/hosts:2.out)" = 'down: do it' ]
	[ "$(head -1 upgrade/hosts:3.err)" = 'no such package' ]
	[ "$(cut -f 1,7 upgrade/log | sort | paste -sd' ')" = "$(printf 'hosts:1\tsettle hosts:2\tretry hosts:2\tsettle hosts:3\tdead')" ]
	# All is done but for what was named.
	run recipe hosts.sh upgrade 'do it' </dev/null
	assert_failure 65
	assert_output "$(printf 'hosts:3 exit status 3\tbroken')"
	# The command is as it was given, and an empty line no host.
	run recipe hosts.sh other 'find -exec rm {} +' <<<$'\n  \ngood'
	assert_success
	[ "$(cat other/hosts:3.out)" = 'good: find -exec rm {} +' ]
}

@test "sendmail.sh: mails are stored as they are, and delivered by a command that may fail at first" {
	start_queue q
	cp "$EXAMPLES/sendmail.sh" sendmail
	chmod 755 sendmail
	rmq-queue create --backoff 20ms,1s mail
	printf 'Subject: a\n\n.\nlast' | ./sendmail -oi -oem -f me@here -- a@there 'b c@there' '*'
	printf 'Subject: b\n\ntext\n.\nno more\n' | ./sendmail -F 'A Name' root
	printf 'To: x\n' | ./sendmail -ti -fme
	cat >mta <<-'END'
		#!/bin/sh
		printf '%s|' "$@" >>got
		cat >>got
		echo >>got
		[ -e down ] || { : >down; exit 75; }
		[ "$4" != root ] || exit 67
	END
	chmod 755 mta
	run timeout 30 rmq-recv --drain=all --on-exit 64,67,68,77=dead mail ./sendmail --deliver ./mta
	assert_failure 65
	sort got >sorted
	sort <<-END | diff - sorted
		-f|me@here|--|a@there|b|c@there|*|Subject: a

		.
		last
		-f|me@here|--|a@there|b|c@there|*|Subject: a

		.
		last
		-f|$(id -un)|--|root|Subject: b

		text

		-f|me|-t|--|To: x

	END
	[ "$(rmq-queue show mail.dead ready)" -eq 1 ]
}

@test "sendmail.sh: what it cannot do, or is not stored, is an exit status that mail programs know" {
	start_queue q
	run sh "$EXAMPLES/sendmail.sh" -bs
	assert_failure 64
	run sh "$EXAMPLES/sendmail.sh" -Z root
	assert_failure 64
	run sh "$EXAMPLES/sendmail.sh" </dev/null
	assert_failure 64
	rmq-queue create --max-message 10 mail
	run sh "$EXAMPLES/sendmail.sh" root <<<"more than ten bytes"
	assert_failure 65
	RMQ_SERVERS=unix:none RMQ_TIMEOUT=100ms run sh "$EXAMPLES/sendmail.sh" root <<<x
	assert_failure 75
}

# posted REQUEST [QUEUE]: the first line of what webhook.sh answers to it.
posted() {
	printf "$1" | timeout 10 bash "$EXAMPLES/webhook.sh" "${2:-hooks}" | tr -d '\r' | head -n 1
}

@test "webhook.sh: 202 when the body is stored, exactly, with its headers; else why not" {
	start_queue q
	local end='\r\n\r\n' bad
	[ "$(posted "POST /a?b HTTP/1.1\r\nContent-length:9\r\nX-Id:  x: y \r\nCookie: no${end}one\0two\n\nmore")" = \
		"HTTP/1.1 202 Accepted" ]
	rmq-recv -1 --raw hooks | cmp - <(printf 'one\0two\n\n')
	posted "POST / HTTP/1.0\nContent-Type: text/x\nX-Id: y\nContent-Length: 0\n\n"
	[ "$(rmq-recv -1 -o headers,body hooks)" = \
		"$(printf '{"content-type":"text/x","path":"/","x-id":"y"}\t')" ]
	[ "$(posted "GET / HTTP/1.1$end")" = "HTTP/1.1 405 Method Not Allowed" ]
	[ "$(posted "POST / HTTP/1.1\r\nContent-Length: 16777217$end")" = "HTTP/1.1 413 Content Too Large" ]
	[ "$(posted "POST / HTTP/1.1\r\nTransfer-Encoding: chunked${end}0$end")" = "HTTP/1.1 411 Length Required" ]
	for bad in 'POST / HTTP/1.1' 'POST / HTTP/1.1\r\nA: b' "POST /$end" "$end" '\0\n' \
		"POST / HTTP/1.1\r\nContent-Length: 5${end}four" \
		"POST / HTTP/1.1\r\nX-A: \1\r\nContent-Length: 4${end}four"; do
		[ "$(posted "$bad")" = "HTTP/1.1 400 Bad Request" ]
	done
	[ "$(posted "$(printf 'POST / HTTP/1.1\r\nX: %05000d' 0)$end")" = \
		"HTTP/1.1 431 Request Header Fields Too Large" ]
	[ -z "$(posted '')" ]
	rmq-queue create --max-message 3 small
	[ "$(posted "POST / HTTP/1.1\r\nContent-Length: 4${end}four" small)" = "HTTP/1.1 413 Content Too Large" ]
	export RMQ_SERVERS=unix:none RMQ_TIMEOUT=100ms
	[ "$(posted "POST / HTTP/1.1\r\nContent-Length: 4${end}four")" = "HTTP/1.1 503 Service Unavailable" ]
	RMQ_SERVERS=unix:q.sock; unset RMQ_TIMEOUT
	[ "$(rmq-queue show hooks ready)" -eq 0 ]
}

@test "webhook.sh: curl posts through a socket unit, a megabyte too" {
	command -v curl systemd-socket-activate >/dev/null || skip "needs curl and systemd"
	start_queue q
	local port
	port=$(/usr/bin/python3 -c 'import socket; print(socket.create_server(("127.0.0.1", 0)).getsockname()[1])')
	start systemd-socket-activate -a --inetd -l "127.0.0.1:$port" -E PATH -E RMQ_SERVERS \
		"$(command -v bash)" "$EXAMPLES/webhook.sh" hooks
	post() {
		curl -sS --max-time 20 -o answer -w '%{http_code}\n' -H 'Content-Type: text/plain' \
			--data-binary "$@" "http://127.0.0.1:$port/x"
	}
	wait_until 10 post small
	rmq-recv --drain hooks
	head -c 1048576 /dev/urandom >body
	[ "$(post @body)" = 202 ]
	rmq-recv -1 --raw hooks | cmp - body
	head -c 1048577 /dev/zero >body
	[ "$(post @body)" = 413 ]
	head -c 20M /dev/zero >body
	[ "$(post @body -H 'Expect:')" = 413 ]
	[ "$(rmq-queue show hooks ready)" -eq 0 ]
}

@test "webhook.sh: systemd accepts its units" {
	command -v systemd-analyze >/dev/null || skip "needs systemd"
	cp "$EXAMPLES"/rmq-webhook* .
	sed -i "s|^ExecStart=[^ ]*|ExecStart=$(command -v rmq-send)|" rmq-webhook@.service
	run systemd-analyze verify --man=no ./rmq-webhook*
	refute_output --partial webhook
	systemd-analyze security --no-pager --offline=true --threshold=5 ./rmq-webhook@.service
}

# ship: log-ship.sh in a process group of its own, which is killed by unship.
ship() {
	setsid sh "$EXAMPLES/log-ship.sh" log logs 0.1 >>out 2>>err </dev/null 3>&- &
	SHIP=$!
	STARTED+=(-"$SHIP")
}

unship() {
	kill -KILL -"$SHIP"
	wait "$SHIP" || :
}

stored() { # N
	[ "$(rmq-queue show logs ready)" -eq "$1" ]
}

@test "log-ship.sh: each line once, through kills and rotations, and no part of one" {
	start_queue q
	rmq-queue create --max-message 20 logs
	ship
	seq 1 3 >log
	wait_until 10 stored 3
	unship
	seq 4 5 >>log
	printf 6 >>log
	ship
	wait_until 10 stored 5
	echo " is whole" >>log
	wait_until 10 stored 6
	# The first lines in the new file come before the last ones in the old file.
	mv log log.1
	seq 100 101 >log
	wait_until 10 stored 8
	seq 7 8 >>log.1
	echo "a line that is too large" >>log
	unship
	seq 102 103 >>log
	printf cut >>log
	mv log.1 log.2
	mv log log.1
	seq 200 201 >log
	ship
	wait_until 10 stored 12
	kill -TERM -"$SHIP"
	wait "$SHIP" || :
	[ "$(rmq-recv --drain logs | paste -sd' ')" = \
		"1 2 3 4 5 6 is whole 100 101 102 103 200 201" ]
	grep -q 'too large' err
}

@test "log-ship.sh: what is written to the old file after a rotation is not lost" {
	start_queue q
	echo 1 >log
	ship
	wait_until 10 stored 1
	mv log log.1
	echo 3 >log
	wait_until 10 stored 2
	echo 2 >>log.1
	unship
	ship
	wait_until 10 stored 3
	[ "$(rmq-recv --drain logs | paste -sd' ')" = "1 3 2" ]
	kill -TERM -"$SHIP"
}

@test "log-ship.sh: without a daemon it ends with 75, and leaves nothing behind" {
	echo 1 >log
	RMQ_SERVERS=unix:none RMQ_TIMEOUT=50ms ship
	status_of "$SHIP"
	assert_failure 75
	wait_until 10 eval "! pgrep -r R,S,D -g $SHIP"
}

@test "csv-import.sh: killed and run again, each row is there once, and once it is done" {
	start_queue q
	{ echo id,name; seq 1200 | sed 's/.*/&,a name of & with something more about it and more than that/'; } >people.csv
	rmq-queue create --backoff 10ms,1s --max-bytes 50K rows
	# The queue is full when a half of them is there.
	setsid sh "$EXAMPLES/csv-import.sh" people.csv rows 3>&- &
	local import=$!
	STARTED+=(-$import)
	wait_until 10 eval '[ "$(rmq-queue show rows ready)" -gt 0 ]'
	kill -KILL -$import
	status_of $import
	assert_failure 137
	[ "$(rmq-queue show rows ready)" -lt 1200 ]
	rmq-recv -P 2 --batch 200 -j --to orders rows jq -c '[.headers.columns, .body] |
		map(split(",")) | transpose | map({(.[0]): .[1]}) | add' 3>&- 2>err &
	local worker=$!
	STARTED+=("$worker")
	sh "$EXAMPLES/csv-import.sh" people.csv rows
	kill -KILL "$worker"
	sh "$EXAMPLES/csv-import.sh" people.csv rows
	rmq-recv --drain=all -P 2 --batch 200 -j --to orders rows jq -c '[.headers.columns, .body] |
		map(split(",")) | transpose | map({(.[0]): .[1]}) | add'
	[ "$(rmq-queue show orders ready)" -eq 1200 ]
	rmq-recv --drain orders | sort >got
	seq 1200 | sed 's/.*/{"id":"&","name":"a name of & with something more about it and more than that"}/' | sort | cmp - got
}

@test "csv-import.sh: lines that end in CR LF, a file without a newline, and one that is none" {
	start_queue q
	printf 'id,name\r\n1,a\r\n2,b\r\n' >excel.csv
	recipe csv-import.sh excel.csv rows
	recipe csv-import.sh excel.csv rows
	[ "$(rmq-recv --drain -j rows | jq -r '.headers.columns + " " + .body' | paste -sd' ')" = 'id,name 1,a id,name 2,b' ]
	seq 50000 >large.csv
	rmq-queue pause --in rows
	run env RMQ_TIMEOUT=200ms dash "$EXAMPLES/csv-import.sh" large.csv rows
	assert_failure 75
	rmq-queue resume rows
	printf id,name >first.csv
	recipe csv-import.sh first.csv rows
	[ "$(rmq-queue show rows sent)" = 2 ]
	printf 'id\tname\n1\ta\n' >table.tsv
	printf 'caf\351\n1\n' >latin.csv
	: >empty.csv
	local file
	for file in table.tsv latin.csv empty.csv; do
		run recipe csv-import.sh $file rows
		assert_failure 65
		assert_output --partial "csv-import.sh: $file: "
	done
}

@test "nightly.sh: what failed has another chance in later nights, and then no more" {
	start_queue q
	rmq-queue create --max-attempts 1 jobs
	cat >work <<-'END'
		#!/bin/sh
		read -r n || :
		echo "$n" >>done
		[ "$n" != 2 ] || [ -e mended ] || exit 1
		[ "$n" != 3 ] || { echo no such customer >&2; exit 65; }
	END
	chmod 755 work
	seq 3 | rmq-send jobs
	run --separate-stderr recipe nightly.sh jobs ./work
	assert_failure 65
	[ "$(sort <<<"$output")" = "$(printf 'no such customer\t1\ntoo many failures\t1')" ]
	touch mended
	for _ in 2 3 4; do
		run --separate-stderr recipe nightly.sh jobs ./work
		assert_failure 65
		assert_output "$(printf 'no such customer\t1')"
	done
	rmq-send jobs 4
	recipe nightly.sh jobs ./work
	recipe nightly.sh jobs ./work
	[ "$(sort done | uniq -c | tr -s ' ' | paste -sd,)" = " 1 1, 2 2, 4 3, 1 4" ]
	run recipe nightly.sh nowhere ./work
	assert_failure 66
}

@test "nightly.sh: Ctrl-C ends it with the runs of the moment" {
	start_queue q
	seq 40 | rmq-send jobs
	mkfifo keys
	exec 7<>keys
	printf '#!/bin/sh\n>begun; sleep 0.3' >work
	chmod 755 work
	echo "dash '$EXAMPLES/nightly.sh' jobs ./work" >night
	start sh -c 'exec env --default-signal=INT script -qec "sh night" /dev/null <keys 7>&-'
	local pid=$!
	wait_until 10 [ -e begun ]
	printf '\003' >&7
	wait_until 20 has_ended "$pid"
	exec 7>&-
	[ "$(rmq-queue show jobs ready)" -ge 20 ]
}

@test "debounce.sh: a burst of lines is one message, and one that comes while it is at work another" {
	start_queue q
	mkfifo changes
	exec 7<>changes
	start sh -c "exec sh '$EXAMPLES/debounce.sh' build 300ms <changes 7>&-"
	yes src | head -n 500 >&7
	echo doc >&7
	# Not before its time.
	run rmq-recv -1 --wait 0 build
	assert_failure 1
	cat >make <<-'END'
		#!/bin/sh
		echo "$1" >>made
		until [ -e go ]; do sleep 0.01; done
	END
	chmod 755 make
	start rmq-recv -P 4 -I {} build ./make {}
	wait_until 10 eval '[ "$(sort made 2>/dev/null | paste -sd" ")" = "doc src" ]'
	printf '%s\n' src src >&7
	exec 7>&-
	wait_until 10 eval '[ "$(rmq-queue show build sent)" -ge 503 ]'
	wait_until 10 eval '[ "$(rmq-queue show build ready leased delayed | paste -sd" ")" = "1 2 0" ] ||
		[ "$(rmq-queue show build ready leased delayed | paste -sd" ")" = "0 2 1" ]'
	touch go
	wait_until 10 eval '[ "$(sort made | paste -sd" ")" = "doc src src" ]'
	rmq-queue wait --timeout 10s build empty
}

@test "debounce.sh: a line that cannot be a key is a message as any other" {
	start_queue q
	local long
	long=$(printf '%0300d' 0)
	{
		printf '\n%s1\n%s2\n%s1\n' "$long" "$long" "$long"
		printf 'caf\351\ncaf\350\ncaf\351\n'
		printf 'a"b\\c\na\tb\na"b\\c\n'
	} | PERL_UNICODE=SDA recipe debounce.sh build 0
	rmq-recv --drain --raw build | tr -d '\n' >got
	printf '%s' "${long}2${long}1" $'caf\350' $'caf\351' $'a\tb' 'a"b\c' | cmp - got
	# What perl does not read is not done.
	mkdir bin
	ln -s "$(command -v rmq-send)" bin
	PATH=$PWD/bin run /bin/dash "$EXAMPLES/debounce.sh" build 0 <<<a
	assert_failure 143
}

@test "remote.sh: a laptop uses a server's queue with a key, and only what that grants" {
	unshare --user --map-root-user --net true 2>/dev/null || skip "needs network namespaces"
	mkdir tmp
	TMPDIR=$PWD/tmp run -0 timeout 60 sh "$EXAMPLES/remote.sh"
	assert_line 1000
	assert_line --partial 'rmq-send: mail: right "send" on queue mail is missing'
	assert_line '# exit status 77'
	[ -z "$(ls tmp)" ]
	run pgrep -f "$PWD/tmp"
	assert_failure
}

@test "cells.sh: no line is lost while a queue moves, and nothing is left behind" {
	mkdir tmp
	TMPDIR=$PWD/tmp run timeout 120 dash "$EXAMPLES/cells.sh" 4000
	assert_success
	assert_line --regexp '^   sent 4000  received 4000  lost 0  twice [0-9]+$'
	assert_line "   lines lives in c"
	assert_line "   b: something has happened"
	assert_line "hello again"
	[ -z "$(ls tmp)" ]
	run pgrep -f "$PWD/tmp"
	assert_failure
}
