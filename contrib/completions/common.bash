# Sets at[] and line[] to the words up to the cursor, of which the last is being written, and where
# they begin in COMP_WORDS: bash splits them at = and : too.  Redirections are none of them; redirected
# is not empty if the cursor is in one.
_rmq_split() {
	local rest=${COMP_LINE:0:COMP_POINT} i before word
	line=() at=() redirected=
	for ((i = 0; i <= COMP_CWORD; i++)); do
		before=$rest
		rest=${rest#"${rest%%[![:space:]]*}"}
		word=${COMP_WORDS[i]}
		((i < COMP_CWORD)) || word=$rest
		if [[ $word == [\<\>]* ]]; then
			[[ $rest != "$before" || ! ${line[-1]} || ${line[-1]} == *[!0-9]* ]] ||
				unset 'line[-1]' 'at[-1]'
			redirected=operator
		elif [[ $redirected == operator ]]; then
			redirected=file
		elif [[ ! $redirected || $rest != "$before" ]]; then
			redirected=
			((i > 0)) && [[ $rest == "$before" ]] || line+=("") at+=("$i")
			line[-1]+=$word
		fi
		rest=${rest#"$word"}
	done
}

# The names that $1 prints, one a line; quickly, or none.
_rmq_ask() {
	"$@" -q --timeout 300ms ${server:+-S "$server"} 2>/dev/null </dev/null
}

# Puts to COMPREPLY what begins with $1, of the words after it.
_rmq_words() {
	local begin=$1 list= after= word before=
	shift
	if [[ $1 == , ]]; then
		before=${begin%"${begin##*,}"} list=,$before
		compopt -o nospace
	elif [[ $1 == = ]]; then
		[[ $begin == *=* ]] || return
		before=${begin%"${begin##*=}"}
	fi
	for word; do
		case $word in
		, | =) continue ;;
		@file) after=$(compgen -f -- "${begin#"$before"}") && compopt -o filenames ;;
		@dir) after=$(compgen -d -- "${begin#"$before"}") && compopt -o filenames ;;
		@queue) after=$(_rmq_ask rmq-queue ls -o queue) ;;
		@node) after=$(_rmq_ask rmq-cluster members -o name) ;;
		*) after=$word ;;
		esac
		while IFS= read -r word; do
			[[ -z $word || $before$word != "$begin"* || $list == *,"$word",* ]] && continue
			[[ $word != *[:=.] ]] || compopt -o nospace
			COMPREPLY+=("$before$word")
		done <<<"$after"
	done
}

# Completes for the program whose functions begin with $1.
_rmq_complete() {
	local line at options positions ordered runs repeats words server= command= option= ended=
	local i word count=0 current before= redirected
	COMPREPLY=()
	_rmq_split
	[[ ! $redirected ]] || return
	"$1_part" ""
	for ((i = 1; i < ${#line[@]} - 1; i++)); do
		word=${line[i]}
		[[ $option != -S && $option != --server ]] || server=$word
		[[ $word != --server=* ]] || server=${word#*=}
		if [[ $option ]]; then
			option=
		elif [[ ! $ended && $word == -- ]]; then
			ended=1
		elif [[ ! $ended && $word == --* ]]; then
			[[ $takes != *" $word "* ]] || option=$word
		elif [[ ! $ended && $word == -?* ]]; then
			while word=${word:1} && [[ $word ]]; do
				[[ $takes == *" -${word:0:1} "* ]] || continue
				[[ ${#word} -gt 1 ]] || option=-$word
				break
			done
		elif [[ $commands && ! $command ]]; then
			command=$word
			"$1_part" "$command"
		elif ((runs && count + 1 == ${#positions[@]})); then
			_rmq_run "${at[i]}"
			return
		else
			((++count))
			((ordered == 0 || count < ordered)) || ended=1
		fi
	done
	current=${line[-1]}
	if [[ $option ]]; then
		"$1_value" "$command" "$option"
	elif [[ ! $ended && $current == --*=* ]]; then
		before=${current%%=*}=
		"$1_value" "$command" "${current%%=*}"
	elif [[ ! $ended && $current == -* ]]; then
		words=$options
	elif [[ $commands && ! $command ]]; then
		words=$commands
	elif ((runs && count + 1 == ${#positions[@]})); then
		_rmq_run "${at[-1]}"
		return
	else
		((!repeats || count < ${#positions[@]})) || count=$((${#positions[@]} - 1))
		words=${positions[count]}
	fi
	# shellcheck disable=SC2086
	_rmq_words "${current#"$before"}" $words
	_rmq_reply
}

# COMPREPLY is to be put in the place of what bash takes for the last word: it splits at = and :.
_rmq_reply() {
	local i same=0
	for ((i = ${#current}; i > 0 && same == 0; i--)); do
		[[ ${current:i-1:1} == [=:] && $COMP_WORDBREAKS == *"${current:i-1:1}"* ]] && same=$i
	done
	for i in "${!COMPREPLY[@]}"; do
		COMPREPLY[i]=$before${COMPREPLY[i]}
		COMPREPLY[i]=${COMPREPLY[i]:same}
	done
}

# Completes the command whose name is word $1 of COMP_WORDS, and its arguments.
_rmq_run() {
	if declare -F _comp_command_offset >/dev/null; then
		_comp_command_offset "$1"
	elif declare -F _command_offset >/dev/null; then
		_command_offset "$1"
	elif ((COMP_CWORD == $1)); then
		mapfile -t COMPREPLY < <(compgen -c -- "${COMP_WORDS[COMP_CWORD]}")
	else
		compopt -o default
	fi
}
