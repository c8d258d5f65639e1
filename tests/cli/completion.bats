#!/usr/bin/env bats
# Completion in bash, zsh and fish: what real shells offer at the end of a line.
# modes: release

load common

bats_require_minimum_version 1.5.0

# A line and what is offered at its end; first what all shells agree on.
cases() {
	cat <<-END
		rmq-send --un|--unsent
		rmq-send jo|jobs
		rmq-send -p 9 jo|jobs
		rmq-send jobs --pr|--print-ids --priority --progress
		rmq-send jobs hello --pr|
		rmq-send -- jobs --pr|
		rmq-send --id-from |hash json:.
		rmq-recv --ack |manual none read sync write
		rmq-recv --ack r|read
		rmq-recv -P 3 --ac|--accept-new --ack
		rmq-recv -0n 5 --js|--json
		rmq-recv --to ot|other
		rmq-recv jobs sort-or-|sort-or-not
		rmq-recv jobs --wait 5 sort-or-not --r|--random --reverse
		rmq-recv jobs -- sort-or-not --re|--reverse
		rmq-recv --on-exit 3=dead jobs sort-or-not --ra|--random
		rmq-recv jobs sort-or-not --ac|
		rmq-queued -d dir sort-or-not --re|--reverse
		rmq-queued --create |auto explicit
		rmq-queue pe|peek
		rmq-queue -S $RMQ_SERVERS pe|peek
		rmq-queue peek --st|--state
		rmq-queue peek jo|jobs
		rmq-queue -S unix:absent peek jo|
		rmq-send --server unix:absent jo|
		rmq-queue peek jobs --forc|
		rmq-queue wait jobs |above= below= empty
		rmq-queue show jobs lea|lease leased
		rmq-queue show jobs lease max-m|max-message
		rmq-queue create --dead-letter |jobs none other
		rmq-queue move jobs ot|other
		rmq-queue count --by |header: key reason
		rmq-journal |backup compact diff dump init recover replay restore serve stat verify
		rmq-journal dump --fo|--follow
		rmq-cluster wait r|removed=
		rmq-cluster kv wa|watch
		rmq-clusterd --roles |broker none
		rmq-keygen --fin|--fingerprint
		rmq-ack --to|--touch
		rmq-ack q:1:2 --pa|--pass
	END
	case $1 in
	bash | zsh)
		cat <<-END
			rmq-send jobs <file 2>errors --pr|--print-ids --priority --progress
			rmq-recv --ack=r|read
			rmq-recv --drain=|all
			rmq-recv -o id,rec|$([ "$1" = bash ] && echo id,)receipt
			rmq-recv --on-exit 3,4=se|settle
			rmq-journal dump du|dump.d
			rmq-keygen -y fi|file
			rmq-send --unsent=fi|file
		END
		;;
	fish)
		cat <<-END
			rmq-recv --ack=r|--ack=read
			rmq-recv --drain=|--drain=all
			rmq-recv -o id,rec|id,receipt
			rmq-recv -oid,rec|-oid,receipt
			rmq-recv --on-exit 3,4=se|3,4=settle
			rmq-journal dump du|dump.d/
			rmq-keygen -y fi|file
			rmq-send --unsent=fi|--unsent=file
		END
		;;
	esac
}

# offers SHELL COMMAND...: what the shell completes is as cases() has it.  Each complete.SHELL knows how
# sort-or-not is completed.
offers() {
	local shell=$1
	shift
	command -v "$shell" >/dev/null || skip "$shell is missing: sh contrib/packages test"
	mkdir dump.d bin
	touch file bin/sort-or-not
	chmod +x bin/sort-or-not
	PATH=$PATH:$PWD/bin
	start_queue q
	rmq-queue create jobs
	rmq-queue create other
	cases "$shell" >want
	cut -d'|' -f1 want >lines
	for file in "$(dirname "$(command -v rmq-send)")/../completions/$shell"/*; do
		"$shell" -n "$file"
	done
	"$@" "$BATS_TEST_DIRNAME/complete.$shell" "${file%/*}" <lines >offered 2>errors
	paste -d'|' lines offered | diff -u want -
	diff -u /dev/null errors
}

@test "completion: bash offers options, values, queues, and what COMMAND completes" {
	offers bash bash
}

# On a terminal, as these come from readline.
@test "completion: bash offers files for a redirection, a message, and what has a blank in its name" {
	export HOME=$PWD
	mkdir "my dir"
	touch file "my file"
	cat >rc <<-'END'
		PS1= HISTFILE=
		for file in "$COMPLETIONS"/*; do . "$file"; done
		told() { echo "$READLINE_LINE" >>told; READLINE_LINE=; }
		bind -x '"\C-e": told'
		bind -x '"\C-x": exit'
	END
	COMPLETIONS=$(dirname "$(command -v rmq-send)")/../completions/bash
	export COMPLETIONS
	cat >lines <<-'END'
		rmq-send jobs <fi|le
		rmq-send jobs < fi|le
		rmq-send <file --resu|me
		rmq-journal backup d >fi|le
		rmq-send --files jobs fi|le
		rmq-send --unsent my\ f|ile
		rmq-send --unsent "my f|ile"
		rmq-recv --into=my\ d|ir/
	END
	{
		cut -d'|' -f1 lines | while IFS= read -r line; do printf '%s\t\005' "$line"; done
		printf '\030'
	} | timeout 10 script -qec 'bash --rcfile rc -i' /dev/null >/dev/null
	diff -u <(tr -d "|" <lines) <(sed "s/ \$//" told)
}

@test "completion: zsh offers options, values, queues, and what COMMAND completes" {
	offers zsh zsh -f
}

@test "completion: fish offers options, values, queues, and what COMMAND completes" {
	export HOME=$PWD
	offers fish fish -N
}

# Only names of queues and nodes are asked for, and nothing waits for them for long.
@test "completion: without a daemon nothing is said, and soon" {
	export RMQ_SERVERS=unix:absent
	local dir
	dir=$(dirname "$(command -v rmq-send)")/../completions/bash
	printf '%s\n' 'rmq-send ' 'rmq-cluster leave ' >lines
	run -0 timeout 5 bash "$BATS_TEST_DIRNAME/complete.bash" "$dir" <lines
	[ -z "${output//$'\n'/}" ]
}
