# usage: bash complete.bash DIR <LINES
#
# For each line of stdin: what bash completes at its end, with the files of DIR, as a line of words in
# order.  Words are split as readline does.
if [ -r /usr/share/bash-completion/bash_completion ]; then
	. /usr/share/bash-completion/bash_completion
fi
compopt() { :; }
for file in "$1"/*; do
	. "$file"
done
_sort_or_not() {
	mapfile -t COMPREPLY < <(compgen -W '--reverse --random' -- "${COMP_WORDS[COMP_CWORD]}")
}
complete -F _sort_or_not sort-or-not
while IFS= read -r COMP_LINE; do
	COMP_POINT=${#COMP_LINE} COMP_TYPE=9 COMP_KEY=9
	read -ra COMP_WORDS <<<"$(sed 's/[=:<>]/ & /g' <<<"$COMP_LINE")"
	[[ $COMP_LINE != *' ' ]] || COMP_WORDS+=('')
	COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
	function=$(complete -p "${COMP_WORDS[0]}")
	function=${function#*-F }
	"${function%% *}" "${COMP_WORDS[0]}"
	printf '%s\n' "${COMPREPLY[@]}" | sort -u | paste -sd' '
done
