#!/usr/bin/env bats
# modes: release
# rmq-queue check and metrics, as monitors use them: a plugin of Nagios, a parser of OpenMetrics, and a
# real Prometheus with our alerts, which is asked what our dashboard asks.

load common

bats_require_minimum_version 1.5.0

TOP=$BATS_TEST_DIRNAME/../..

@test "rmq-queue check: 0, 1, 2 by its limits, with what is over them and figures for graphs" {
	start_queue q
	seq 5 | rmq-send jobs
	rmq-ack --dead=why "$(rmq-recv -1 --ack manual -o receipt jobs)"
	run -0 rmq-queue check jobs
	assert_output "RMQ OK - jobs: 4 ready, 0 leased, 0 delayed, 1 dead | ready=4;;;0 leased=0;;;0 delayed=0;;;0 age=0s;;;0 dead=1;;;0"
	run -0 rmq-queue check --max-ready 4 --max-dead 1 --max-age 1h jobs
	run -1 rmq-queue check --max-ready 3,4 --max-age 1h,1d jobs
	assert_output --partial "RMQ WARNING - jobs: 4 ready, more than 3 | ready=4;3;4;0 "
	assert_output --partial " age=0s;3600;86400;0 "
	run -2 rmq-queue check --max-ready 1,3 --max-dead 0 jobs
	assert_output --partial "RMQ CRITICAL - jobs: 4 ready, more than 3; 1 dead, more than 0 |"
	run -2 rmq-queue check --format text --max-ready 3 jobs
	assert_output "jobs: critical: 4 ready, more than 3"
	run -0 rmq-queue check --format text jobs
	assert_output "jobs: ok: 4 ready, 0 leased, 0 delayed, 1 dead"
	run -2 rmq-queue check --format json --max-ready 3 jobs
	run jq -c '[.queue, .status, .code, .ready, .dead, .problem, (.age_ms | type)]' <<<"$output"
	assert_output '["jobs","critical",2,4,1,"4 ready, more than 3","number"]'
}

@test "rmq-queue check, metrics: a queue that is paused is said to be" {
	start_queue q
	rmq-queue create jobs
	rmq-queue pause --out jobs
	run -0 rmq-queue check --format text jobs
	assert_output "jobs: ok: 0 ready, 0 leased, 0 delayed, 0 dead, paused out"
	run -0 rmq-queue metrics
	assert_line 'rmq_queue_paused{queue="jobs",direction="in"} 0'
	assert_line 'rmq_queue_paused{queue="jobs",direction="out"} 1'
	# A monitor sees a kernel that has no sandbox: all of rmq-queued's was wanted.
	assert_line 'rmq_sandbox{part="no_new_privs"} 1'
	if [ "$MODE" = release ]; then
		assert_line 'rmq_sandbox{part="seccomp"} 1'
		assert_line --regexp '^rmq_sandbox\{part="landlock"\} [1-9]'
	fi
	rmq-send jobs a
	run -2 rmq-queue check --max-ready 0 jobs
	assert_output --partial "RMQ CRITICAL - jobs: 1 ready, more than 0; paused out |"
	run -2 rmq-queue check --format text --max-ready 0 jobs
	assert_output "jobs: critical: 1 ready, more than 0; paused out"
	run -2 rmq-queue check --format json --max-ready 0 jobs
	run jq -c '[.problem, .paused_in, .paused_out]' <<<"$output"
	assert_output '["1 ready, more than 0",false,true]'
	rmq-queue pause jobs
	run -0 rmq-queue check --format text jobs
	assert_output "jobs: ok: 1 ready, 0 leased, 0 delayed, 0 dead, paused"
}

# This takes the ten seconds of both.
@test "rmq-queue: check and metrics --http wait 10 s for a daemon, or a reader, that does nothing" {
	start_queue q
	local i
	for i in $(seq 60); do rmq-queue create "queue$i"; done
	cat >reader.py <<-'END'
		import socket, subprocess, sys
		ours, theirs = socket.socketpair()
		theirs.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
		p = subprocess.Popen(["rmq-queue", "metrics", "--http"], stdin=theirs, stdout=theirs)
		theirs.close()
		ours.sendall(b"GET /metrics HTTP/1.1\r\n\r\n")
		ours.recv(1, socket.MSG_PEEK)
		open("begun", "w")
		sys.exit(p.wait(20))
	END
	start python3 reader.py
	local reader=$!
	wait_until 10 test -e begun
	kill -STOP "$QUEUE_PID"
	run timeout 20 rmq-queue check queue1
	kill -CONT "$QUEUE_PID"
	assert_failure 2
	assert_output --partial "RMQ CRITICAL - queue1: "
	status_of $reader
	assert_failure 74
	run cat log
	assert_output --partial 'rmq-queue: standard output: Connection timed out'
}

@test "rmq-queue check: --max-age is about the oldest message that is ready" {
	start_queue q
	rmq-send jobs old
	wait_until 10 eval '! rmq-queue check --max-age 50ms jobs'
	run -2 rmq-queue check --format text --max-age 50ms jobs
	assert_output --regexp '^jobs: critical: [0-9a-z]+ old is the oldest, more than 50ms$'
	timeout 10 rmq-recv -1 jobs
	run -0 rmq-queue check --max-age 50ms jobs
	# A delay is no age; what was sent after it, without one, may be older then.
	age() { rmq-queue check --format json delayed | jq .age_ms; }
	ms() { echo $(($(date +%s%N) / 1000000)); }
	local before
	before=$(ms)
	rmq-send -d 300ms delayed 1
	wait_until 10 eval '[ "$(rmq-queue show delayed ready)" = 1 ]'
	[ "$(age)" -le $(($(ms) - before - 300)) ]
	rmq-queue purge delayed
	rmq-send -d 300ms delayed 1
	rmq-send delayed 2
	before=$(ms)
	wait_until 10 eval '[ "$(rmq-queue show delayed ready)" = 2 ]'
	before=$(($(ms) - before))
	[ "$(age)" -ge "$before" ]
}

@test "rmq-queue check: no daemon is critical, no queue and bad options are unknown; all on stdout" {
	start_queue q
	run -3 --separate-stderr rmq-queue check jobs
	assert_output "RMQ UNKNOWN - jobs: no such queue"
	[ -z "$stderr" ]
	run -3 rmq-queue check --format json jobs
	[ "$(jq -c '[.status, .code, .ready]' <<<"$output")" = '["unknown",3,null]' ]
	run -2 --separate-stderr rmq-queue check -S unix:none --timeout 100ms jobs
	assert_output "RMQ CRITICAL - jobs: no daemon answers at none (No such file or directory)"
	for bad in "--max-ready x" "--max-ready 2,1" "--max-age 1y" "--format xml" "--nonsense"; do
		run -3 rmq-queue check $bad jobs
	done
	run -3 rmq-queue check
}

@test "rmq-queue metrics: the reference parser of OpenMetrics takes them, and finds the values" {
	/usr/bin/python3 -c 'import prometheus_client' 2>/dev/null ||
		skip "needs python3-prometheus-client"
	start_queue q
	[ "$(rmq-queue metrics | tail -n 1)" = "# EOF" ]
	rmq-queue metrics >empty
	seq 5 | rmq-send jobs
	rmq-queue create --max-bytes 1M other.queue-1
	timeout 10 rmq-recv -n 2 jobs
	rmq-send -k k jobs old
	rmq-send -k k --replace jobs new
	rmq-queue cancel jobs:7
	rmq-queue metrics >metrics
	run /usr/bin/python3 - empty metrics <<-'END'
		import sys
		from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse
		list(parse(open(sys.argv[1]).read()))
		for family in parse(open(sys.argv[2]).read()):
		    assert family.documentation and family.name.startswith("rmq_")
		    for s in family.samples:
		        if s.labels.get("queue") == "jobs" or "max" in s.name or s.labels.get("part") == "no_new_privs":
		            print(s.name, *(v for k, v in sorted(s.labels.items())), int(s.value))
	END
	assert_success
	assert_output "$(cat <<-'END'
		rmq_queue_messages jobs ready 3
		rmq_queue_messages jobs leased 0
		rmq_queue_messages jobs delayed 0
		rmq_queue_bytes jobs 6
		rmq_queue_unfinished_bytes jobs 0
		rmq_queue_ids jobs 0
		rmq_queue_ids_early_total jobs 0
		rmq_queue_receivers jobs 0
		rmq_queue_sent_total jobs 7
		rmq_queue_delivered_total jobs 2
		rmq_queue_settled_total jobs 2
		rmq_queue_failed_total jobs 0
		rmq_queue_dead_total jobs 0
		rmq_queue_lost_total jobs 0
		rmq_queue_dropped_total jobs expired 0
		rmq_queue_dropped_total jobs replaced 1
		rmq_queue_dropped_total jobs cancelled 1
		rmq_queue_dropped_total jobs moved 0
		rmq_queue_max_bytes other.queue-1 1048576
		rmq_queue_paused in jobs 0
		rmq_queue_paused out jobs 0
		rmq_sandbox no_new_privs 1
	END
	)"
	run -69 --separate-stderr rmq-queue metrics -S unix:none --timeout 100ms
	[ -z "$output" ]
}

# asked REQUEST: what rmq-queue metrics --http answers it.
asked() {
	printf "$1" | timeout 10 rmq-queue metrics --http | tr -d '\r'
}

@test "rmq-queue metrics --http: answers one request, and refuses what is none" {
	start_queue q
	rmq-send jobs one
	asked 'GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n' >answer
	[ "$(head -n 1 answer)" = "HTTP/1.1 200 OK" ]
	grep -qxF "Content-Type: application/openmetrics-text; version=1.0.0; charset=utf-8" answer
	sed '1,/^$/d' answer >body
	rmq-queue metrics | cmp - body
	grep -qxF "Content-Length: $(wc -c <body)" answer
	[ "$(asked 'HEAD /metrics HTTP/1.1\r\n\r\n')" = "$(sed '/^$/q' answer)" ]
	[ "$(asked 'GET / HTTP/1.0\n\n' | head -n 1)" = "HTTP/1.1 200 OK" ]
	[ "$(asked 'GET /metrics?x=1 HTTP/1.1\r\n\r\n' | head -n 1)" = "HTTP/1.1 200 OK" ]
	[ "$(asked 'GET /etc HTTP/1.1\r\n\r\n' | head -n 1)" = "HTTP/1.1 404 Not Found" ]
	[ "$(asked 'POST / HTTP/1.1\r\n\r\n' | head -n 1)" = "HTTP/1.1 405 Method Not Allowed" ]
	local bad
	for bad in '\r\n\r\n' 'GET /\n\n' 'GET / FTP/1\r\n\r\n' 'GET / HTTP/1.1\r\n' '\0\n\n'; do
		[ "$(asked "$bad" | head -n 1)" = "HTTP/1.1 400 Bad Request" ]
	done
	[ "$(asked "$(printf 'GET / HTTP/1.1\r\n%09000d' 0)" | head -n 1)" = \
		"HTTP/1.1 431 Request Header Fields Too Large" ]
	[ -z "$(asked '')" ]
	RMQ_SERVERS=unix:none RMQ_TIMEOUT=100ms asked 'GET / HTTP/1.1\r\n\r\n' >answer
	[ "$(head -n 1 answer)" = "HTTP/1.1 503 Service Unavailable" ]
	[ "$(tail -n 1 answer)" = "no daemon answers at none (No such file or directory)" ]
}

free_ports() {
	/usr/bin/python3 - "$1" <<-'END'
		import socket, sys
		s = [socket.create_server(("127.0.0.1", 0)) for _ in range(int(sys.argv[1]))]
		print(*(x.getsockname()[1] for x in s))
	END
}

# resolves EXPR…: Prometheus has an answer to each of them, a line each in the file `unresolved` if not.
resolves() {
	/usr/bin/python3 - "http://127.0.0.1:$PROMETHEUS" "$@" <<-'END'
		import json, sys, urllib.parse, urllib.request
		bad = 0
		for expr in sys.argv[2:]:
		    url = sys.argv[1] + "/api/v1/query?query=" + urllib.parse.quote(expr)
		    try:
		        result = json.load(urllib.request.urlopen(url))["data"]["result"]
		    except OSError as e:
		        result = []
		        print(e)
		    if not result:
		        print("no answer:", expr)
		        bad = 1
		sys.exit(bad)
	END
}

# Takes 3 s: Prometheus starts in 1 s, and rates need two scrapes.
@test "rmq-queue metrics --http: Prometheus scrapes it, takes the alerts, and has an answer to each query of the dashboard" {
	command -v prometheus promtool systemd-socket-activate >/dev/null || skip "needs prometheus"
	local dashboard=$TOP/contrib/grafana/rmq-queues.json queries
	start_queue q
	rmq-queue create --max-bytes 1M jobs
	seq 5 | rmq-send jobs
	read -r METRICS PROMETHEUS < <(free_ports 2)
	start systemd-socket-activate -a --inetd -l "127.0.0.1:$METRICS" -E RMQ_SERVERS \
		"$(command -v rmq-queue)" metrics --http
	cp "$TOP/contrib/prometheus/rmq.rules" .
	cat >prometheus.yml <<-END
		global: { scrape_interval: 100ms }
		rule_files: [rmq.rules]
		scrape_configs:
		  - job_name: rmq
		    static_configs: [{ targets: ["127.0.0.1:$METRICS"] }]
	END
	promtool check config prometheus.yml
	start prometheus --config.file=prometheus.yml --storage.tsdb.path=data --log.level=warn \
		--web.listen-address="127.0.0.1:$PROMETHEUS"
	wait_until 30 resolves 'up == 1' 'rmq_queue_messages{queue="jobs",state="ready"} == 5'
	# What a person picks in the dashboard, and what Grafana makes of it.
	mapfile -t queries < <(jq -r '.panels[].targets[].expr' "$dashboard" |
		sed 's/\$job/rmq/g; s/\$queue/.*/g; s/\$__rate_interval/5m/g')
	((${#queries[@]} > 10))
	wait_until 20 resolves "${queries[@]}"
	run resolves 'rmq_nonsense'
	assert_failure
	# The values to pick from.
	run jq -r '.templating.list[] | select(.type == "query").query' "$dashboard"
	[ "${#lines[@]}" -eq 2 ]
	for query in "${lines[@]}"; do
		query=${query#label_values(}
		resolves "$(sed 's/\$job/rmq/g' <<<"${query%, *}")"
	done
	# What the alerts are about is there.
	for metric in $(grep -o 'rmq_queue_[a-z_]*' rmq.rules | sort -u); do
		resolves "$metric"
	done
}

@test "the alerts for Prometheus are raised when they should be, and not else" {
	command -v promtool >/dev/null || skip "needs prometheus"
	cp "$TOP/contrib/prometheus/rmq.rules" .
	cat >alerts.yml <<-'END'
		rule_files: [rmq.rules]
		evaluation_interval: 1m
		tests:
		  - interval: 1m
		    input_series:
		      - { series: 'up{job="rmq",instance="a"}', values: '0x10' }
		      - { series: 'rmq_cell_up{cell="a"}', values: '1x10' }
		      - { series: 'rmq_cell_up{cell="b"}', values: '1 1 0x10' }
		      - { series: 'rmq_copies{cell="a"}', values: '0x300' }
		      - { series: 'rmq_copies{cell="b"}', values: '2x300' }
		      - { series: 'rmq_queue_messages{queue="stands",state="ready"}', values: '5x60' }
		      - { series: 'rmq_queue_delivered_total{queue="stands"}', values: '7x60' }
		      - { series: 'rmq_queue_messages{queue="paused",state="ready"}', values: '5x100' }
		      - { series: 'rmq_queue_delivered_total{queue="paused"}', values: '0x100' }
		      - { series: 'rmq_queue_paused{queue="paused",direction="out"}', values: '1x100' }
		      - { series: 'rmq_queue_paused{queue="paused",direction="in"}', values: '0x100' }
		      - { series: 'rmq_queue_messages{queue="moves",state="ready"}', values: '5x60' }
		      - { series: 'rmq_queue_delivered_total{queue="moves"}', values: '0+60x60' }
		      - { series: 'rmq_queue_failed_total{queue="moves"}', values: '0+1x60' }
		      - { series: 'rmq_queue_bytes{queue="full"}', values: '90x60' }
		      - { series: 'rmq_queue_max_bytes{queue="full"}', values: '100x60' }
		      - { series: 'rmq_queue_dead_total{queue="moves"}', values: '0x20 1x40' }
		      - { series: 'rmq_queue_dead_total{queue="new"}', values: '_ _ 5x60' }
		      - { series: 'rmq_queue_messages{queue="new.dead",state="ready"}', values: '_ _ 4x60' }
		      - { series: 'rmq_queue_messages{queue="new.dead",state="leased"}', values: '_ _ 1x60' }
		      - { series: 'rmq_queue_messages{queue="none.dead",state="ready"}', values: '0x60' }
		      - { series: 'rmq_queue_delivered_total{queue="new.dead"}', values: '0x60' }
		    alert_rule_test:
		      - { alertname: RmqDown, eval_time: 5m, exp_alerts: [{ exp_labels: { severity: critical, job: rmq, instance: a }, exp_annotations: { summary: "rmq on a gives no metrics" } }] }
		      - { alertname: RmqCellDown, eval_time: 3m, exp_alerts: [] }
		      - { alertname: RmqCellDown, eval_time: 5m, exp_alerts: [{ exp_labels: { severity: critical, cell: b }, exp_annotations: { summary: "cell b does not answer; its queues wait" } }] }
		      - { alertname: RmqCopiesStay, eval_time: 170m, exp_alerts: [] }
		      - { alertname: RmqCopiesStay, eval_time: 190m, exp_alerts: [{ exp_labels: { severity: warning, cell: b }, exp_annotations: { summary: "cell b has copies of queues that have not come; see rmq-queue cells --copies" } }] }
		      - { alertname: RmqQueueStands, eval_time: 30m, exp_alerts: [{ exp_labels: { severity: warning, queue: stands }, exp_annotations: { summary: "stands: messages are ready, and nobody takes any" } }] }
		      - { alertname: RmqQueuePaused, eval_time: 50m, exp_alerts: [] }
		      - { alertname: RmqQueuePaused, eval_time: 70m, exp_alerts: [{ exp_labels: { severity: warning, queue: paused, direction: out }, exp_annotations: { summary: "paused is paused (out); see rmq-queue resume" } }] }
		      - { alertname: RmqQueueNearlyFull, eval_time: 30m, exp_alerts: [{ exp_labels: { severity: warning, queue: full }, exp_annotations: { summary: "full holds 90B, near its max-bytes; senders will wait" } }] }
		      - { alertname: RmqDeadLetters, eval_time: 1m, exp_alerts: [] }
		      - { alertname: RmqDeadLetters, eval_time: 60m, exp_alerts: [{ exp_labels: { severity: warning, queue: new.dead }, exp_annotations: { summary: "new.dead: 5 dead letters; see rmq-queue peek new.dead, and redrive or purge" } }] }
		      - { alertname: RmqMessagesDie, eval_time: 15m, exp_alerts: [] }
		      - { alertname: RmqMessagesDie, eval_time: 25m, exp_alerts: [{ exp_labels: { severity: warning, queue: moves }, exp_annotations: { summary: "moves: messages became dead letters, in the dead-letter queue that rmq-queue show moves names" } }] }
		      - { alertname: RmqMessagesFail, eval_time: 50m, exp_alerts: [] }
	END
	run promtool test rules alerts.yml
	assert_success
}
