#!/usr/bin/env bats
# rmq-ack: every promise of rmq-ack(1), and what it does with bad input.

load common

bats_require_minimum_version 1.5.0

counts() {
	rmq-queue show "$1" ready leased delayed | paste -sd' '
}

# receipts N: N messages of `jobs`, leased; a line each: the receipt, the body.
receipts() {
	seq "$1" | rmq-send jobs
	timeout 10 rmq-recv -n "$1" --ack manual -o receipt,body jobs
}

@test "rmq-ack: receipts as arguments, and as the first word of a line, are settled" {
	start_queue q
	receipts 5 >r
	rmq-ack $(head -2 r | cut -f1)
	[ "$(counts jobs)" = "0 3 0" ]
	tail -3 r | head -2 | rmq-ack
	# Blanks before it, as uniq -c writes them, are not a word.
	tail -1 r | sed "s/^/  $(printf '\t')/" | rmq-ack
	[ "$(counts jobs)" = "0 0 0" ]
	run -65 rmq-ack <<<"   "
}

@test "rmq-ack: envelopes are settled, --pass gives each line once it is" {
	start_queue q
	seq 3 | rmq-send jobs
	timeout 10 rmq-recv -n 3 --ack manual -j jobs >envelopes
	rmq-ack --pass <envelopes >passed
	cmp envelopes passed
	[ "$(counts jobs)" = "0 0 0" ]
}

@test "rmq-ack: done already by the same receipt is done" {
	start_queue q
	receipts 1 >r
	rmq-ack "$(cut -f1 r)"
	rmq-ack "$(cut -f1 r)"
	# Of what is settled the daemon keeps nothing that tells a failure from a settlement.
	rmq-ack --fail "$(cut -f1 r)"
	rmq-ack --dead "$(cut -f1 r)"
	run -1 rmq-ack --release "$(cut -f1 r)"
	run -1 rmq-ack --touch 1s "$(cut -f1 r)"
	[ "$(counts jobs)" = "0 0 0" ]
}

@test "rmq-ack: a stale receipt is named, 1 at the end, and the others are settled" {
	start_queue q
	rmq-queue create --backoff 0,0 jobs
	seq 2 | rmq-send jobs
	timeout 10 rmq-recv -1 --ack manual --lease 200ms -o receipt jobs >old
	timeout 10 rmq-recv -n 2 --ack manual -o receipt jobs >new
	run rmq-ack --pass < <(cat old new)
	assert_failure 1
	assert_line "rmq-ack: $(cat old): receipt is stale"
	refute_line "$(cat old)"
	assert_line "$(head -1 new)"
	[ "$(counts jobs)" = "0 0 0" ]
}

@test "rmq-ack: --release gives back uncounted, --delay not before its time" {
	start_queue q
	receipts 2 >r
	rmq-ack --release "$(head -1 r | cut -f1)"
	rmq-ack --release --delay 1h "$(tail -1 r | cut -f1)"
	[ "$(counts jobs)" = "1 0 1" ]
	[ "$(rmq-queue show jobs failed)" = 0 ]
	run rmq-ack --delay 1h "$(head -1 r | cut -f1)"
	assert_failure 64
}

@test "rmq-ack: options may stand after the receipts" {
	start_queue q
	rmq-send jobs a b
	timeout 10 rmq-recv -n 2 --ack manual -o receipt jobs >list
	rmq-ack "$(head -n 1 list)" --release
	run -64 rmq-ack "$(tail -n 1 list)" --no-such-option
	[ "$(rmq-queue show jobs ready leased settled | paste -sd' ')" = "1 1 0" ]
}

@test "rmq-ack: --dead moves to the dead-letter queue, with the reason" {
	start_queue q
	receipts 1 >r
	rmq-ack --dead="no such customer" "$(cut -f1 r)"
	[ "$(rmq-queue show jobs.dead ready)" = 1 ]
	run rmq-queue peek -j jobs.dead
	assert_output --partial "no such customer"
	run rmq-ack --dead="$(printf 'x%.0s' {1..256})" "$(cut -f1 r)"
	assert_failure 64
}

@test "rmq-ack: --dead needs no reason, and takes the word after it as a receipt" {
	start_queue q
	receipts 1 >r
	rmq-ack --dead "$(cut -f1 r)" </dev/null
	[ "$(counts jobs)" = "0 0 0" ]
	[ "$(rmq-queue show jobs.dead ready)" = 1 ]
}

@test "rmq-ack: --fail counts a failure and backs off; after the last attempt it is a dead letter" {
	start_queue q
	rmq-queue create --max-attempts 2 --backoff 0,0 jobs
	receipts 1 >r
	rmq-ack --fail "$(cut -f1 r)"
	[ "$(counts jobs)" = "1 0 0" ]
	[ "$(rmq-queue show jobs failed)" = 1 ]
	timeout 10 rmq-recv -1 --ack manual -o receipt jobs >r
	rmq-ack --fail --delay 1h "$(cut -f1 r)"
	[ "$(counts jobs)" = "0 0 0" ]
	[ "$(rmq-queue show jobs.dead ready)" = 1 ]
	rmq-queue create --backoff 1h,1h slow
	rmq-send slow x
	timeout 10 rmq-recv -1 --ack manual -o receipt slow >r
	rmq-ack --fail "$(cut -f1 r)"
	[ "$(counts slow)" = "0 0 1" ]
}

@test "rmq-ack: a bad line is 65 only if all before it are settled, else 75" {
	printf 'jobs:1:1\nnonsense\n' >in
	run rmq-ack -S unix:nowhere --timeout 300ms <in
	assert_failure 75
	start_queue q
	receipts 1 | cat - in | tail -n +1 | sed '2,2d' >in2
	run rmq-ack <in2
	assert_failure 65
	[ "$(counts jobs)" = "0 0 0" ]
}

@test "rmq-ack: a reader of --pass that is slower than --timeout is waited for" {
	start_queue q
	seq 20000 | rmq-send jobs
	timeout 20 rmq-recv --ack manual --prefetch 20000 -n 20000 -o receipt,body jobs >r
	mkfifo out.fifo
	start sh -c 'RMQ_TIMEOUT=200ms rmq-ack --pass <r >out.fifo'
	exec 8<out.fifo
	read -r first <&8
	# Its pipe stays full meanwhile, and all the others are settled.
	wait_until 20 sh -c '[ "$(cat /proc/uptime | cut -d. -f1)" -gt '"$(($(cut -d. -f1 /proc/uptime) + 1))"' ]'
	{ echo "$first"; cat <&8; } >passed
	exec 8<&-
	status_of "${STARTED[-1]}"
	assert_success
	cmp r passed
}

@test "rmq-ack: --touch lets the lease run from now" {
	start_queue q
	rmq-send jobs a
	receipt=$(timeout 10 rmq-recv -1 --ack manual --lease 500ms -o receipt jobs)
	rmq-ack --touch 1h "$receipt"
	run timeout 10 rmq-recv --wait 1s jobs
	assert_failure 1
	[ "$(counts jobs)" = "0 1 0" ]
}

@test "rmq-ack: a line that is too large is named with the limit and what to do, 65; --skip-bad goes on" {
	start_queue q
	receipts 3 >r
	huge() {
		head -1 r
		head -c 17000000 /dev/zero | tr '\0' x
		echo
		tail -1 r
	}
	run rmq-ack < <(huge)
	assert_failure 65
	assert_output 'rmq-ack: line 2 is larger than 16 MiB, the most that is read of one: give its receipt (rmq-recv -o receipt,body)'
	[ "$(counts jobs)" = "0 2 0" ]
	run rmq-ack --skip-bad < <(huge)
	assert_failure 65
	assert_line --index 0 --partial 'line 2 is larger than 16 MiB'
	[ "$(counts jobs)" = "0 1 0" ]
}

@test "rmq-ack: what is no receipt is 65, all before it are settled; --skip-bad goes on" {
	start_queue q
	receipts 3 >r
	run rmq-ack < <(head -1 r; echo nonsense; tail -2 r)
	assert_failure 65
	assert_output "rmq-ack: line 2: 'nonsense' is not a receipt (QUEUE:SEQ:LEASE)"
	[ "$(counts jobs)" = "0 2 0" ]
	run rmq-ack --skip-bad < <(echo; echo '{"a":1}'; echo '{'; echo jobs:1; tail -2 r)
	assert_failure 65
	[ "$(counts jobs)" = "0 0 0" ]
	run rmq-ack nonsense
	assert_failure 65
	# No daemon takes such a number, so it must not be asked: it would end the connection.
	receipts 2 >r
	run rmq-ack --skip-bad < <(head -1 r; echo jobs:18446744073709551615:1; tail -1 r)
	assert_failure 65
	assert_line "rmq-ack: line 2: 'jobs:18446744073709551615:1' is not a receipt (QUEUE:SEQ:LEASE)"
	[ "$(counts jobs)" = "0 0 0" ]
}

@test "rmq-ack: the loop of the manual settles what was worked on" {
	start_queue q
	seq 20 | rmq-send jobs
	timeout 20 rmq-recv -n 20 --ack manual -o receipt,body jobs |
		while IFS=$'\t' read -r r b; do
			[ $((b % 2)) = 0 ] && echo "$r"
		done | rmq-ack
	[ "$(counts jobs)" = "0 10 0" ]
}

@test "rmq-ack: a line is settled at once, while more may come" {
	start_queue q
	receipts 1 >r
	mkfifo in
	exec 7<>in
	rmq-ack <in >>out 2>>log 3>&- 7>&- &
	STARTED+=($!)
	cat r >&7
	wait_until 10 eval '[ "$(counts jobs)" = "0 0 0" ]'
	exec 7>&-
	wait "${STARTED[-1]}"
}

@test "rmq-ack: an unknown queue is 66, no daemon is 69, no input is 0" {
	start_queue q
	run rmq-ack nope:1:1
	assert_failure 66
	run rmq-ack -S unix:none --timeout 0 jobs:1:1
	assert_failure 69
	rmq-ack -S unix:none </dev/null
	run timeout 10 bash -c 'rmq-ack <.'
	assert_failure 74
}

@test "rmq-ack: --pass into a file on a full disk leaves no torn line in it" {
	start_queue q
	seq -f 'line %g of two hundred' 200 | rmq-send jobs
	rmq-recv -n 200 --ack manual --prefetch 200 -o receipt,body jobs >lines
	run bash -c 'ulimit -f 1; exec rmq-ack --pass <lines >passed'
	assert_failure 74
	assert_output --partial "standard output: File too large"
	[ -s passed ]
	cmp -n "$(stat -c %s passed)" lines passed
	[ "$(tail -c 1 passed | od -An -c | tr -d ' ')" = '\n' ]
}

@test "rmq-ack: /dev/full as stdout is 74" {
	start_queue q
	receipts 1 >r
	run timeout 10 bash -c 'rmq-ack --pass <r >/dev/full'
	assert_failure 74
}

@test "rmq-ack: two verbs, and options it does not have, are 64" {
	run rmq-ack --release --dead a:1:1
	assert_failure 64
	run rmq-ack --touch 1ms a:1:1
	assert_failure 64
	run rmq-ack --nonsense
	assert_failure 64
}

@test "rmq-ack: a receipt that never was, or whose message went otherwise, is stale" {
	start_queue q
	rmq-queue create --max-attempts 1 jobs
	receipts 3 >r
	run -1 rmq-ack jobs:1:999
	assert_output "rmq-ack: jobs:1:999: receipt is stale"
	run -1 rmq-ack jobs:9:1
	# It became a dead letter.
	rmq-ack --fail "$(sed -n 1p r | cut -f1)"
	run -1 rmq-ack "$(sed -n 1p r | cut -f1)"
	# Someone else had it, and settled it.
	rmq-ack --release "$(sed -n 2p r | cut -f1)"
	timeout 10 rmq-recv -1 jobs
	run -1 rmq-ack "$(sed -n 2p r | cut -f1)"
	# It is settled: no one can give it back.
	rmq-ack "$(sed -n 3p r | cut -f1)"
	run -1 rmq-ack --release "$(sed -n 3p r | cut -f1)"
	rmq-ack "$(sed -n 3p r | cut -f1)"
}
