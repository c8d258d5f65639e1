# Keys and expiry, as senders and receivers meet them.

load common

bats_require_minimum_version 1.5.0

# holds QUEUE N: N messages are in it.
holds() {
	[ "$(rmq-queue show "$1" ready leased delayed | paste -sd+ | bc)" -eq "$2" ]
}

@test "keys: messages of a key are handed out one at a time, in order; others go on" {
	start_queue q
	rmq-send -k a jobs a1 a2
	rmq-send -k b jobs b1
	rmq-send jobs plain
	run rmq-recv --wait 100ms --ack manual -o receipt,key,body jobs
	assert_success
	assert_output "$(printf 'jobs:1:1\ta\ta1\njobs:3:2\tb\tb1\njobs:4:2\t-\tplain')"
	run rmq-recv -1 --wait 0 jobs
	assert_failure 1
	rmq-ack jobs:1:1
	assert_equal "$(rmq-recv -1 jobs)" a2
}

@test "keys: one that failed holds the rest of its key until its back-off is over" {
	start_queue q
	rmq-queue create --backoff 2s,2s jobs
	rmq-send -k a jobs a1 a2
	rmq-ack --fail "$(rmq-recv -1 --ack manual -o receipt jobs)"
	run rmq-recv -1 --wait 0 jobs
	assert_failure 1
	assert_equal "$(rmq-recv -n 2 jobs | paste -sd ' ')" "a1 a2"
}

@test "keys: --replace keeps the newest that nobody holds; with a delay it is a debounce" {
	start_queue q
	rmq-send -k a --replace jobs one
	rmq-send -k a --replace jobs two
	rmq-send -k b --replace jobs other
	assert_equal "$(rmq-queue peek -o key,body jobs)" "$(printf 'a\ttwo\nb\tother')"
	receipt=$(rmq-recv -1 --ack manual -o receipt jobs)
	rmq-send -k a --replace jobs three
	rmq-ack --release "$receipt"
	assert_equal "$(rmq-recv --drain jobs | paste -sd ' ')" "two other three"
	rmq-send -k a --replace -d 1h jobs 1
	rmq-send -k a --replace -d 200ms jobs 2
	assert_equal "$(rmq-recv -1 jobs)" 2
	run rmq-send --replace jobs x
	assert_failure 64
	assert_output --partial "--replace needs --key"
	stop_queue
	start_queue q
	[ "$(rmq-queue show jobs ready)" -eq 0 ]
}

@test "expiry: what has expired is not handed out, and leaves its queue" {
	start_queue q
	rmq-send -e 100ms jobs short
	rmq-send -e @1 jobs past
	rmq-send -e 1h jobs long
	wait_until 5 holds jobs 1
	assert_equal "$(rmq-recv --drain jobs)" long
	rmq-queue create --expire 100ms brief
	rmq-send brief one two
	rmq-send -d 1h brief never
	wait_until 5 holds brief 0
	# A dead-letter queue keeps its messages for as long as its own setting says.
	rmq-queue create --expire 100ms jobs.dead
	rmq-send jobs bad
	rmq-ack --dead=why "$(rmq-recv -1 --ack manual -o receipt jobs)"
	wait_until 5 holds jobs.dead 0
}

@test "expiry: who holds a message when it expires may settle it" {
	start_queue q
	rmq-recv -1 --ack manual -o receipt jobs >receipt &
	local receiver=$!
	wait_until 10 receives jobs
	rmq-send -e 500ms jobs held
	wait "$receiver"
	rmq-send -e 500ms jobs other
	wait_until 10 holds jobs 1
	rmq-ack "$(cat receipt)"
	wait_until 5 holds jobs 0
}

# receives QUEUE: somebody does.
receives() {
	[ "$(rmq-queue show "$1" receivers)" = 1 ]
}
