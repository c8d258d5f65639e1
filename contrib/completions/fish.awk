# Completion for fish.

function generate(	f, part) {
	f = "__" plain(name[0])
	print "# Made from the table of the options of " name[0] "."
	print ""
	print_common()
	print ""
	print "# Whether $argv[2] to $argv[3] words, with no options among them, are there after sub-command $argv[1]."
	print "function " f "_at"
	print "    set -l words (__rmq_words_before" taking ")"
	if (parts > 1) {
		print "    test \"$words[1]\" = \"$argv[1]\"; or return 1"
		print "    set -e words[1]"
	}
	print "    set -l count (count $words)"
	print "    test $count -ge $argv[2] -a $count -le $argv[3]"
	print "end"
	print ""
	print "complete -c " name[0] " -f"
	for (part = 1; part < parts; part++)
		print "complete -c " name[0] " -n " quoted(f "_at '' 0 0") " -a " name[part] " -d " quoted(about[part])
	for (part = 0; part < parts; part++)
		print_part(f, part)
}

function print_part(f, part,	i, k, from, where) {
	where = "complete -c " name[0] " -n '" f "_at " (part ? name[part] : "\"\"") " "
	for (i = 0; i < options[part]; i++)
		print where "0 " (ordered[part] ? ordered[part] - 1 : 999) "'" \
			(letter[part, i] == "" ? "" : " -s " letter[part, i]) \
			(long[part, i] == "" ? "" : " -l " long[part, i]) argument(part, i) \
			" -d " quoted(help[part, i])
	if (part == 0 && parts > 1)
		return
	for (k = 1; k <= positions[part]; k++) {
		from = where (k - 1) " " (k == positions[part] && (repeats[part] || runs[part]) ? 999 : k - 1) "' "
		if (runs[part] && k == positions[part])
			print from "-a '(__rmq_run " k taking ")'"
		else if (position[part, k] != "")
			print from choice(position[part, k])
	}
}

function argument(part, i) {
	if (value[part, i] == "")
		return ""
	return (optional[part, i] ? " " : " -r ") (completes[part, i] == "" ? "-f" : \
		choice((letter[part, i] == "" ? "" : "-" letter[part, i] " ") completes[part, i]))
}

function choice(words) {
	return words ~ /@file$/ ? "-F" : "-f -a '(__rmq_words " words ")'"
}
