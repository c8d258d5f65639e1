#!/usr/bin/env bats
# The recipes in contrib/examples that run workers do what they say.

load common

bats_require_minimum_version 1.5.0

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

@test "crawl.sh downloads, tries again what may work later, and names what does not" {
	command -v curl >/dev/null || skip "needs curl"
	start_queue q
	web_server
	rmq-queue create --backoff 10ms,10ms urls
	printf 'http://127.0.0.1:%d/%s\n' "$PORT" a "$PORT" once "$PORT" gone | rmq-send urls
	rmq-send urls ftp://127.0.0.1/x
	unset http_proxy https_proxy
	run recipe crawl.sh pages 2
	assert_failure 65
	[ "$(cat pages/1)" = 'page /a' ]
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
}
