# What a queue lets through: limits on hand-outs, and pauses.

load common

bats_require_minimum_version 1.5.0

@test "limits: further settings are set, shown, kept by a restart and taken back" {
	start_queue q
	rmq-queue create --expire 2h --dedup 1m --max-inflight 3 --rate 5/m --dispatch round-robin jobs
	run rmq-queue show jobs expire dedup max-inflight rate dispatch paused-in paused-out
	assert_output "$(printf '%s\n' 2h 1m 3 5/m round-robin no no)"
	run rmq-queue create --expire 2h --dedup 1m --max-inflight 3 --rate 6/m --dispatch round-robin jobs
	assert_failure 73
	assert_output "rmq-queue: jobs: exists already, and differs: rate is 5/m, not 6/m"
	rmq-queue pause --out jobs
	stop_queue
	start_queue q
	run rmq-queue show jobs expire dedup max-inflight rate dispatch paused-in paused-out
	assert_output "$(printf '%s\n' 2h 1m 3 5/m round-robin no yes)"
	rmq-queue set --expire none --dedup 10m --max-inflight none --rate none --dispatch fair jobs
	rmq-queue resume jobs
	rmq-queue create jobs
	run rmq-queue set --rate 0/s jobs
	assert_failure 64
	assert_output "rmq-queue: set: '0/s' is not a valid value for --rate, which takes a rate N/s, N/m or N/h with N from 1 to 10000000, or none"
}

@test "limits: no more messages are leased at once than max-inflight, over all receivers" {
	start_queue q
	rmq-queue create --max-inflight 3 jobs
	seq 10 | rmq-send jobs
	rmq-recv -n 2 --ack manual -o receipt jobs >two
	rmq-recv --ack manual --wait 100ms -o receipt jobs >third
	[ "$(wc -l <third)" -eq 1 ]
	[ "$(rmq-queue show jobs leased)" -eq 3 ]
	run rmq-recv -1 --wait 0 jobs
	assert_failure 1
	# One is settled, and another one is handed out to who waits.
	rmq-recv -1 jobs >next &
	rmq-ack <third
	wait $!
	assert_equal "$(cat next)" 4
	rmq-queue set --max-inflight none jobs
	assert_equal "$(rmq-recv --drain jobs | wc -l)" 6
}

@test "limits: a rate is kept over all receivers, and over a restart" {
	start_queue q
	rmq-queue create --rate 2/h jobs
	seq 5 | rmq-send jobs
	assert_equal "$(rmq-recv -1 jobs)" 1
	run rmq-recv -1 --wait 100ms jobs
	assert_failure 1
	stop_queue
	start_queue q
	run rmq-recv -1 --wait 100ms jobs
	assert_failure 1
	rmq-recv --drain jobs >rest &
	rmq-queue set --rate 100/s jobs
	wait $!
	assert_equal "$(cat rest)" "$(seq 2 5)"
}

@test "limits: a worker that polls a queue whose limits hold back what is ready ends with 1" {
	start_queue q
	rmq-queue create --rate 1/h jobs
	rmq-send jobs one two
	rmq-recv --wait 100ms jobs cat >out
	assert_equal "$(cat out)" one
	run rmq-recv --wait 0 jobs cat
	assert_failure 1
}

@test "limits: a queue that is paused takes nothing in or hands nothing out, until it is resumed" {
	start_queue q
	rmq-send jobs one
	rmq-queue pause jobs
	run rmq-send --no-wait jobs two
	assert_failure 75
	assert_output --partial "jobs: queue is paused: rmq-queue resume lets it take messages"
	run rmq-send --timeout 100ms jobs two
	assert_failure 75
	run rmq-recv -1 --wait 100ms jobs
	assert_failure 1
	rmq-queue resume --out jobs
	assert_equal "$(rmq-recv -1 jobs)" one
	rmq-send jobs two &
	sender=$!
	rmq-recv -1 jobs >two &
	receiver=$!
	rmq-queue resume jobs
	wait $sender $receiver
	assert_equal "$(cat two)" two
	# What was leased before may be settled.
	rmq-send jobs three
	receipt=$(rmq-recv -1 --ack manual -o receipt jobs)
	rmq-queue pause jobs
	rmq-ack "$receipt"
	[ "$(rmq-queue show jobs leased)" -eq 0 ]
}

@test "limits: --dispatch round-robin gives each receiver that waits one message in turn" {
	start_queue q
	rmq-queue create --dispatch round-robin jobs
	start rmq-recv --ack manual -o body jobs
	wait_until 10 receivers 1
	rmq-recv -n 3 --ack manual -o body jobs >second &
	second=$!
	wait_until 10 receivers 2
	seq 6 | rmq-send jobs
	wait $second
	assert_equal "$(paste -sd ' ' second)" "2 4 6"
}

# Sends a message of each of twelve keys, and waits until there have been N.
send_keys() {
	seq 12 | sed 's/.*/{"key":"&","body":"x"}/' | rmq-send -J jobs
	wait_until 10 printed "$1"
}

printed() {
	[ "$(cat first second | wc -l)" -eq "$1" ]
}

@test "limits: --dispatch key gives the messages of a key to one receiver, until that leaves" {
	start_queue q
	rmq-queue create --dispatch key jobs
	rmq-recv -o key,body jobs >first 2>>log 3>&- &
	STARTED+=($!)
	wait_until 10 receivers 1
	rmq-recv -o key,body jobs >second 2>>log 3>&- &
	second=$!
	STARTED+=($second)
	wait_until 10 receivers 2
	send_keys 12
	sort first >first.keys
	sort second >second.keys
	[ -s first.keys ]
	[ -s second.keys ]
	assert_equal "$(cat first second | sort -u | wc -l)" 12
	send_keys 24
	assert_equal "$(sort -u first)" "$(cat first.keys)"
	assert_equal "$(sort -u second)" "$(cat second.keys)"
	# Its keys are given to the other, which keeps its own.
	kill "$second"
	wait "$second" || :
	wait_until 10 receivers 1
	send_keys 36
	assert_equal "$(sort -u first | wc -l)" 12
	assert_equal "$(sort -u second)" "$(cat second.keys)"
}

receivers() {
	[ "$(rmq-queue show jobs receivers)" -eq "$1" ]
}
