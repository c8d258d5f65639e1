# Reads the table that PROGRAM --option-rows prints (lib/sys/process/options.h) and has generate()
# print a completion: bash.awk, zsh.awk or fish.awk.  Part 0 is the program, the others are its
# sub-commands.
#
# What completes an argument is said in words, here and to the functions that the completions hold:
# literal ones, which go on after ":", "=" or "."; @file, @dir, @queue and @node; before them ","
# for a list, and "=" for what comes after the last "=".

BEGIN { FS = "\t"; parts = 0 }

$1 == "program" || $1 == "command" {
	part = parts++
	name[part] = $2
	words[part] = $3
	about[part] = $4
	options[part] = 0
}

$1 == "option" {
	i = options[part]++
	letter[part, i] = $2
	long[part, i] = $3
	value[part, i] = $4
	stands_for[part, i] = $5
	help[part, i] = $7
	optional[part, i] = $4 ~ /^\[=/
	if ($4 != "" && !optional[part, i]) {
		takes_argument("-" $2)
		takes_argument("--" $3)
	}
	completes[part, i] = value_words($4, $5)
}

END {
	if (parts == 0)
		exit 1
	for (part = 0; part < parts; part++)
		split_words(part)
	generate()
}

# Options that have an argument, which may be the next word: " -n --count", of all parts.
function takes_argument(option) {
	if (option !~ /^--?$/ && index(taking " ", " " option " ") == 0)
		taking = taking " " option
}

# The part of the completion that is the same for all programs.
function print_common(	line) {
	while ((getline line < common) > 0)
		print line
}

# What completes a value that the help shows so, and that stands for those words.
function value_words(shown, words,	list, flag, n, i, out) {
	flag = shown ~ /,\.\.\.$/ ? ", " : shown ~ /=/ && shown !~ /^\[/ && words != "" ? "= " : ""
	if (words == "")
		words = shown
	gsub(/[][]|\.\.\.|^\[=/, "", words)
	sub(/^=/, "", words)
	n = split(words, list, /[|,]/)
	for (i = 1; i <= n; i++)
		out = out one_word(list[i])
	sub(/ $/, "", out)
	return out == "" ? "" : flag out
}

function one_word(word) {
	if (word ~ /^(FILE|PATH)/)
		return "@file "
	if (word ~ /^(DIR|DIR2)$/)
		return "@dir "
	if (word ~ /^(QUEUE|GLOB)$/)
		return "@queue "
	if (word == "NODE")
		return "@node "
	sub(/[A-Z].*/, "", word)
	return word == "" ? "" : word " "
}

# The words after the options: position[part, 1..positions[part]].  Options end before number
# ordered[part], if that is not 0, of which the rest is a command if runs[part], and the last word
# is repeated if repeats[part].
function split_words(part,	list, n, i, w, after) {
	n = split(words[part], list, " ")
	positions[part] = ordered[part] = runs[part] = repeats[part] = 0
	for (i = 1; i <= n && !runs[part]; i++) {
		w = list[i]
		repeats[part] = w ~ /\.\.\./
		gsub(/[][]|\.\.\./, "", w)
		if (w == "--")
			after = 1
		if (w == "--" || w ~ /^[<>]/)
			continue
		w = ++positions[part]
		title[part, w] = list[i]
		gsub(/[][]|\.\.\./, "", title[part, w])
		runs[part] = title[part, w] == "COMMAND" && after
		if (after && !ordered[part])
			ordered[part] = w
		position[part, w] = title[part, w] == "FIELD" ? fields(part) : value_words(title[part, w], "")
	}
}

# The names of fields, which an option takes as a list.
function fields(part,	i) {
	for (i = 0; i < options[part]; i++)
		if (value[part, i] ~ /^FIELD,/)
			return substr(completes[part, i], 3)
}

# A name that can be that of a function.
function plain(s) {
	gsub(/[^A-Za-z0-9]/, "_", s)
	return s
}

# A string as the shell reads it.
function quoted(s) {
	gsub(/'/, "'\\''", s)
	return "'" s "'"
}
