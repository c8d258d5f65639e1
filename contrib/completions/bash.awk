# Completion for bash, as bash-completion loads it.

function generate(	f, part, i, all) {
	f = "_" plain(name[0])
	print "# bash completion for " name[0] ", made from the table of its options."
	print ""
	print_common()
	print ""
	print "# The options and words after sub-command $1."
	print f "_part() {"
	print "\tcase $1 in"
	for (part = parts - 1; part >= 0; part--) {
		print "\t" (part ? name[part] : "*") ")"
		all = ""
		for (i = 0; i < options[part]; i++)
			all = all option_words(part, i)
		sub(/ $/, "", all)
		print "\t\toptions=" quoted(all)
		print "\t\tpositions=(" position_list(part) ")"
		print "\t\tordered=" ordered[part] " runs=" runs[part] " repeats=" repeats[part]
		print "\t\t;;"
	}
	print "\tesac"
	print "}"
	print ""
	print "# What completes the argument of option $2 of sub-command $1."
	print f "_value() {"
	print "\tcase $1,$2 in"
	for (part = parts - 1; part >= 0; part--)
		for (i = 0; i < options[part]; i++)
			if (completes[part, i] != "")
				print "\t" patterns(part, i) ") words=" quoted(completes[part, i]) " ;;"
	print "\t*) words= ;;"
	print "\tesac"
	print "}"
	print ""
	print f "() {"
	print "\tlocal takes=" quoted(taking " ") " commands=" quoted(command_names())
	print "\t_rmq_complete " f
	print "}"
	print "# Where it offers nothing, bash offers the names of files, as that of a message may be."
	print "complete -o bashdefault -o default -F " f " " name[0]
}

# With a value that may be left out: with each that there is, too.
function option_words(part, i,	out, list, n, k) {
	if (letter[part, i] != "")
		out = "-" letter[part, i] " "
	if (long[part, i] != "")
		out = out "--" long[part, i] " "
	if (optional[part, i]) {
		n = split(completes[part, i], list, " ")
		for (k = 1; k <= n; k++)
			out = out "--" long[part, i] "=" list[k] " "
	}
	return out
}

function position_list(part,	k, out) {
	for (k = 1; k <= positions[part]; k++)
		out = out (k > 1 ? " " : "") quoted(position[part, k])
	return out
}

function patterns(part, i,	before, out) {
	before = part ? name[part] "," : "*,"
	if (letter[part, i] != "")
		out = before "-" letter[part, i]
	if (long[part, i] != "")
		out = out (out == "" ? "" : " | ") before "--" long[part, i]
	return out
}

function command_names(	part, out) {
	for (part = 1; part < parts; part++)
		out = out (part > 1 ? " " : "") name[part]
	return out
}
