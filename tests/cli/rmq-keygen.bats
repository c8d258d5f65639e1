#!/usr/bin/env bats
# modes: release
# rmq-keygen: keys are made once, kept from others, and shown.

bats_require_minimum_version 1.5.0
load common

line='^rmq1:[A-Za-z0-9+/]{43}=$'

@test "keygen: makes a key of mode 0600 and prints its public line" {
	umask 0
	run -0 rmq-keygen key
	assert_output --regexp "$line"
	assert_equal "${#lines[@]}" 1
	assert_equal "$(stat -c %a key)" 600
	assert_equal "$(ls -A)" key
	umask 0777
	run -0 rmq-keygen other
	assert_equal "$(stat -c %a other)" 600
}

@test "keygen: two keys differ" {
	run -0 rmq-keygen one
	first=$output
	run -0 rmq-keygen two
	assert_not_equal "$output" "$first"
}

@test "keygen: -y prints the public line again, options before and after the file" {
	rmq-keygen key >made
	run -0 rmq-keygen -y key
	assert_output "$(cat made)"
	run -0 rmq-keygen key --public
	assert_output "$(cat made)"
}

@test "keygen: -l prints the fingerprint, BLAKE2b-128 of the public line" {
	run -0 rmq-keygen key
	want=$(printf %s "$output" | b2sum -l 128 | cut -c 1-32)
	run -0 rmq-keygen -l key
	assert_output --regexp '^([0-9a-f]{4}-){7}[0-9a-f]{4}$'
	assert_equal "${output//-/}" "$want"
}

@test "keygen: 73 and no change when there is such a file, a folder or a link" {
	rmq-keygen key >made
	cp key before
	mkdir folder
	ln -s nowhere link
	for name in key folder link; do
		run -73 rmq-keygen "$name"
		assert_output --regexp "^rmq-keygen: $name: exists already: rmq-keygen -y shows"
	done
	cmp key before
	assert_equal "$(ls -A | tr '\n' ' ')" "before folder key link made "
}

@test "keygen: of many at once exactly one makes the file" {
	for i in 1 2 3 4 5 6; do
		rmq-keygen key >"out.$i" 2>/dev/null 3>&- &
		STARTED+=($!)
	done
	made=0
	for pid in "${STARTED[@]}"; do
		if wait "$pid"; then made=$((made + 1)); fi
	done
	assert_equal "$made" 1
	run -0 rmq-keygen -y key
	assert_output "$(cat out.*)"
}

@test "keygen: a key that others can use is 77, and 0400 is not" {
	rmq-keygen key >made
	for mode in 0640 0604 0610 0601 0620 0602 0666; do
		chmod $mode key
		run -77 rmq-keygen -y key
		assert_output --partial "key: mode is $mode"
		run -77 rmq-keygen -l key
	done
	chmod 0400 key
	run -0 rmq-keygen -y key
	assert_output "$(cat made)"
}

@test "keygen: a key of another user is 77" {
	[ "$(id -u)" -eq 0 ] || skip "only root can give files away"
	rmq-keygen key >made
	chown 1 key
	run -77 rmq-keygen -y key
	assert_output --partial "belongs to another user"
}

@test "keygen: a key of root that the group may read is that group's to use, and nobody else's" {
	public_dir rmq-keygen
	rmq-keygen "$PUBLIC/key" >made
	chgrp 65534 "$PUBLIC/key"
	for mode in 0640 0440; do
		chmod $mode "$PUBLIC/key"
		run -0 "${OTHER[@]}" "$PUBLIC/rmq-keygen" -y "$PUBLIC/key"
		assert_output "$(cat made)"
	done
	for mode in 0660 0650 0644 0641; do
		chmod $mode "$PUBLIC/key"
		run -77 "${OTHER[@]}" "$PUBLIC/rmq-keygen" -y "$PUBLIC/key"
		assert_output --partial "mode is $mode: others can use the key, make it 0640"
	done
	chmod 0600 "$PUBLIC/key"
	run -77 "${OTHER[@]}" "$PUBLIC/rmq-keygen" -y "$PUBLIC/key"
	assert_output --partial "Permission denied"
}

@test "keygen: a file that is no key is 65, a damaged key too, another format 76" {
	rmq-keygen key >made
	for edit in 's/^public rmq1:./&A/' 's/^secret ......../&A/' '3d' '$a more' '2!d' \
		's/^secret .*/secret AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=/' 's/^rmq-//'; do
		sed "$edit" key >bad
		chmod 0600 bad
		run -65 rmq-keygen -y bad
		assert_output --regexp '^rmq-keygen: bad: [a-z ]*$'
	done
	rmq-keygen other >/dev/null
	{ head -n 2 key; tail -n 1 other; } >bad
	run -65 rmq-keygen -y bad
	head -c 1000 /dev/zero >bad
	run -65 rmq-keygen -y bad
	: >bad
	run -65 rmq-keygen -y bad
	mkfifo -m 0600 fifo
	run -65 rmq-keygen -y fifo
	mkdir -m 0700 folder
	run -65 rmq-keygen -y folder
	sed 's/$/\r/' key >bad
	run -65 rmq-keygen -y bad
	assert_output --partial "end with CR and LF"
	sed 's/^rmq-secret-key 1/rmq-secret-key 2/' key >bad
	run -76 rmq-keygen -y bad
}

@test "keygen: no such file is 78, no such folder 74, wrong words are 64" {
	run -78 rmq-keygen -y nothing
	run -74 rmq-keygen nothing/key
	run -64 rmq-keygen one two
	run -64 rmq-keygen -y -l key
	run -64 rmq-keygen --what key
	assert_equal "$(ls -A)" ""
}

@test "keygen: without a file it is the key of clients, in a folder of mode 0700" {
	mkdir home
	umask 0
	export HOME=$PWD/home
	unset XDG_CONFIG_HOME RMQ_KEYFILE
	run -78 rmq-keygen -y
	assert_output "rmq-keygen: $HOME/.config/rmq/key: No such file or directory; rmq-keygen makes it"
	run -0 rmq-keygen
	assert_output --regexp "$line"
	made=$output
	assert_equal "$(stat -c %a home/.config home/.config/rmq home/.config/rmq/key | xargs)" '700 700 600'
	run -0 rmq-keygen -y
	assert_output "$made"
	run -0 rmq-keygen -l "$HOME/.config/rmq/key"
	fingerprint=$output
	run -0 rmq-keygen -l
	assert_output "$fingerprint"
	run -73 rmq-keygen
	# The other places, and which comes first; a relative XDG_CONFIG_HOME is none.
	XDG_CONFIG_HOME=relative run -0 rmq-keygen -y
	assert_output "$made"
	export XDG_CONFIG_HOME=$PWD/xdg
	run -0 rmq-keygen
	refute_output "$made"
	cmp <(rmq-keygen -y) <(rmq-keygen -y xdg/rmq/key)
	RMQ_KEYFILE=a/b/mine run -0 rmq-keygen
	assert_equal "$(stat -c %a a a/b a/b/mine | xargs)" '700 700 600'
	HOME='' XDG_CONFIG_HOME='' run -78 rmq-keygen
	assert_output 'rmq-keygen: bad configuration: RMQ_KEYFILE, XDG_CONFIG_HOME and HOME are not set; name a FILE'
}

@test "keygen: on a terminal it says what to do with the key of clients" {
	export HOME=$PWD XDG_CONFIG_HOME='' RMQ_KEYFILE=''
	run -0 timeout 10 script -qec 'rmq-keygen >out' /dev/null </dev/null
	assert_output --partial "is in $HOME/.config/rmq/key"
	assert_output --partial "send,recv queue=\"jobs.*\" $(cat out) NAME"
	run -0 timeout 10 script -qec 'rmq-keygen node.key >out; RMQ_KEYFILE=other rmq-keygen -q >out' /dev/null </dev/null
	assert_output ''
}

@test "keygen: an error of its stdout is 74, and the key stays" {
	run -74 bash -c 'rmq-keygen key >/dev/full'
	run -0 rmq-keygen -y key
	assert_output --regexp "$line"
}

@test "keygen: help and version" {
	run -0 rmq-keygen --help
	assert_line --index 0 'usage: rmq-keygen [-y | -l] [FILE]'
	run -0 rmq-keygen -V
	assert_output --regexp '^rmq-keygen [0-9.]+$'
}
