# usage: zsh -f complete.zsh DIR <LINES
#
# For each line of stdin: what zsh completes at its end, with the functions of DIR, as a line of
# words in order.  A shell on a terminal of its own gets the line and a tab; compadd tells the
# matches.
zmodload zsh/zpty
work=$(mktemp -d) || exit 1
trap 'rm -rf $work' EXIT
mkfifo $work/told
mkdir $work/functions
for file in $1/*; do ln -s ${file:A} $work/functions/_${file:t}; done
cat >$work/rc <<-'END'
	PS1= PS2= RPS1=
	unsetopt beep
	fpath=($WORK/functions $fpath)
	autoload -U compinit
	compinit -u -d $WORK/dump
	zstyle ':completion:*' insert-tab false
	bindkey '^I' complete-word
	_sort_or_not() { compadd -- --reverse --random; }
	compdef _sort_or_not sort-or-not
	compadd() {
		if [[ ${@[1,(i)(-|--)]} == *-(O|A|D)\ * ]]; then
			builtin compadd "$@"
			return
		fi
		local -a hits
		builtin compadd -A hits "$@"
		(($#hits)) && print -rl -- $hits >&9
		builtin compadd "$@"
	}
	told() {
		BUFFER=
		print -r -- END >&9
	}
	zle -N told
	bindkey '^E' told
	exec 9>$WORK/told
	print -r -- END >&9
END
export WORK=$work TERM=dumb
zpty shell "zsh -f -i"
exec 8<>$work/told
zpty -w shell ". $work/rc"
told() {
	words=()
	while read -r -t 20 -u 8 word; do
		[[ $word != END ]] || return 0
		words+=($word)
	done
	print -u 2 "zsh does not answer"
	exit 1
}
told
while IFS= read -r line; do
	zpty -w -n shell "$line"$'\t\x05'
	told
	print -r -- ${(ou)words}
done
