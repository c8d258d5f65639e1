#!/usr/bin/env bats
# rmq-cluster kv: the map, with a queue daemon of its own.

load common

bats_require_minimum_version 1.5.0

@test "rmq-cluster: kv keeps one agreed word, with one node as well" {
	start_queue q
	rmq-cluster kv put a one
	[ "$(rmq-cluster kv put -i a two)" = 2 ]
	run rmq-cluster kv get a
	assert_output two
	printf 'a\0\377\n' >bytes
	rmq-cluster kv put b <bytes
	rmq-cluster kv get b | cmp - bytes
	run rmq-cluster kv get -j b
	assert_output '{"key":"b","version":3,"size":4,"value64":"YQD/Cg=="}'
	head -c 65536 /dev/zero | rmq-cluster kv put big -
	[ "$(rmq-cluster kv get big | wc -c)" = 65536 ]
	run bash -c 'head -c 65537 /dev/zero | rmq-cluster kv put big'
	assert_failure 65
	run rmq-cluster kv put --if-absent a three
	assert_failure 1
	assert_output "rmq-cluster: a: version is 2"
	run rmq-cluster kv put -q --if-absent a three
	assert_failure 1
	assert_output ""
	rmq-cluster kv put --if-version 2 a three
	run rmq-cluster kv ls
	assert_output "$(printf 'a\t5\t5\nb\t3\t4\nbig\t4\t65536')"
	run rmq-cluster kv ls -o key b
	assert_output "$(printf 'b\nbig')"
	run rmq-cluster kv del --if-version 2 a
	assert_failure 1
	rmq-cluster kv del a
	run rmq-cluster kv get a
	assert_failure 1
	assert_output "rmq-cluster: a: key is not there"
	run rmq-cluster kv del a
	assert_failure 1
	# All of it is there after a restart, also from a checkpoint; and a version is never used again.
	stop_queue
	start_queue q
	[ "$(rmq-cluster kv put -i --if-version 0 a four)" = 7 ]
	local word
	for word in "" "gone" "get" "put a b c" "get a/b" "get -i a" "put --if-version x a 1" \
		"put --if-absent --if-version 3 a 1" "ls -o no"; do
		run rmq-cluster kv $word
		assert_failure 64
	done
	RMQ_SERVERS=unix:absent run rmq-cluster kv get a --timeout 0
	assert_failure 69
}

@test "rmq-cluster: kv watch prints what is there, then each change, and goes on after a restart" {
	start_queue q
	rmq-cluster kv put a.b 1
	rmq-cluster kv watch 'a.*' >changes 2>&1 3>&- &
	local watch=$!
	wait_until 10 grep -q current changes
	rmq-cluster kv put other 1
	rmq-cluster kv put a.c 2
	stop_queue
	start_queue q
	rmq-cluster kv del a.b
	wait_until 10 grep -q deleted changes
	kill "$watch"
	run cat changes
	assert_output '{"event":"put","key":"a.b","version":1,"value":"1"}
{"event":"current","version":1}
{"event":"put","key":"a.c","version":3,"value":"2"}
{"event":"deleted","key":"a.b","version":4}'
	run timeout 10 sh -c 'rmq-cluster kv watch --since 1 "a*" | head -n 2'
	assert_output '{"event":"put","key":"a.c","version":3,"value":"2"}
{"event":"deleted","key":"a.b","version":4}'
	# It ends with its reader, also when nothing changes.
	run timeout 10 sh -c 'rmq-cluster kv watch a.c | head -n 2'
	assert_success
	assert_output '{"event":"put","key":"a.c","version":3,"value":"2"}
{"event":"current","version":4}'
}
