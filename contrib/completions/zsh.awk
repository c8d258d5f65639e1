# Completion for zsh, as compinit loads it: specifications for _arguments.

function generate(	f, part, k) {
	f = "_" plain(name[0])
	print "#compdef " name[0]
	print "# Made from the table of the options of " name[0] "."
	print ""
	print_common()
	print ""
	print f "() {"
	print "\tlocal context state state_descr line server curcontext=$curcontext"
	print "\tlocal -A opt_args"
	if (parts == 1) {
		if (runs[0])
			print "\t_rmq_run " quoted(taking " ") " " positions[0] " && return"
		print "\t_arguments -s -S" rows(0) places(0)
	} else {
		print "\tlocal -a commands=("
		for (part = 1; part < parts; part++)
			print "\t\t" quoted(name[part] ":" escaped(about[part], ":"))
		print "\t)"
		print "\t_arguments -C -s -S" rows(0) " \\\n\t\t'(-): :->command' '(-)*:: :->words' && return"
		print "\tif [[ $state == command ]]; then"
		print "\t\t_describe -t commands command commands"
		print "\t\treturn"
		print "\tfi"
		print "\tserver=${opt_args[--server]:-${opt_args[-S]}}"
		print "\tcase $words[1] in"
		for (part = 1; part < parts; part++) {
			print "\t" name[part] ")"
			print "\t\t_arguments -s -S" rows(part) places(part) " ;;"
		}
		print "\tesac"
	}
	print "}"
	print ""
	print f " \"$@\""
}

function escaped(s, characters,	i, c, out) {
	for (i = 1; i <= length(s); i++) {
		c = substr(s, i, 1)
		out = out (index(characters, c) ? "\\" : "") c
	}
	return out
}

function rows(part,	i, out) {
	for (i = 0; i < options[part]; i++) {
		if (letter[part, i] != "")
			out = out next_line() quoted("*-" letter[part, i] (value[part, i] == "" ? "" : "+") row_end(part, i))
		if (long[part, i] != "")
			out = out next_line() quoted("*--" long[part, i] (value[part, i] == "" ? "" : optional[part, i] ? "=-" : "=") row_end(part, i))
	}
	return out
}

function next_line() {
	return " \\\n\t\t"
}

function row_end(part, i) {
	return "[" escaped(help[part, i], "[]:\\") "]" (value[part, i] == "" ? "" : (optional[part, i] ? "::" : ":") \
		action(value[part, i], completes[part, i]))
}

# A message, and what completes it.
function action(title, words) {
	gsub(/^\[=|\]$/, "", title)
	return escaped(title, ":\\") ": " (words == "" ? "" : "_rmq_words " escaped(words, ":"))
}

function places(part,	k, out, last) {
	for (k = 1; k <= positions[part]; k++) {
		last = k == positions[part]
		out = out next_line()
		if (last && runs[part])
			out = out "'(-)" k ":COMMAND: _command_names -e'" next_line() "'*:ARG: '"
		else if (last && repeats[part])
			out = out quoted((ordered[part] == k ? "(-)" : "") "*:" action(title[part, k], position[part, k]))
		else
			out = out quoted(k ":" action(title[part, k], position[part, k]))
	}
	return out
}
