# The names that $@ prints, one a line; quickly, or none.  $server is what was given before a sub-command.
_rmq_ask() {
	local at=${opt_args[--server]:-${opt_args[-S]:-$server}}
	"$@" -q --timeout 300ms ${at:+-S} ${at:+${at//\\:/:}} 2>/dev/null </dev/null
}

# Adds the words; see the head of rows.awk.
_rmq_words() {
	local word
	local -a suffix
	case $1 in
	,) compset -P '*,'; compset -S ',*'; suffix=(-q -S ,) ;;
	=) compset -P '*=' || return ;;
	esac
	local ret=1
	for word; do
		case $word in
		, | =) ;;
		@file) _files && ret=0 ;;
		@dir) _files -/ && ret=0 ;;
		@queue) compadd "$suffix[@]" -- ${(f)"$(_rmq_ask rmq-queue ls -o queue)"} && ret=0 ;;
		@node) compadd "$suffix[@]" -- ${(f)"$(_rmq_ask rmq-cluster members -o name)"} && ret=0 ;;
		*[:=.]) compadd -S '' -- $word && ret=0 ;;
		*) compadd "$suffix[@]" -- $word && ret=0 ;;
		esac
	done
	return ret
}

# Completes the command that is word $2 after the options, and its arguments, if the cursor is there;
# $1 are the options that take an argument.
_rmq_run() {
	local word ended
	integer i count
	for ((i = 2; i < CURRENT; i++)); do
		word=$words[i]
		if [[ -z $ended && $word == -- ]]; then
			ended=1
		elif [[ -z $ended && $word == --* ]]; then
			[[ $1 == *" $word "* ]] && ((i++))
		elif [[ -z $ended && $word == -?* ]]; then
			while word=$word[2,-1] && [[ -n $word ]]; do
				[[ $1 == *" -$word[1] "* ]] || continue
				[[ -n $word[2] ]] || ((i++))
				break
			done
		elif ((++count == $2)); then
			shift $((i - 1)) words
			((CURRENT -= i - 1))
			_normal
			return 0
		fi
	done
	[[ -n $ended ]] && ((count == $2 - 1)) && _command_names -e
}
