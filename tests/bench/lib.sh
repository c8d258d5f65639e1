# What the benches share: figures, their table, the input.  To be sourced by sh, with $work (a
# directory of ours, on the disk to be measured) and $scale set.

case $(stat -f -c %T "$work") in
tmpfs | ramfs) echo "bench: $work is in memory, not on a disk: set TMPDIR" >&2; exit 64 ;;
esac

say() {
	echo "$*" >&2
}

calc() {
	awk "BEGIN { printf \"%.${2:-0}f\\n\", $1 }"
}

scaled() {
	calc "int($1 * $scale) < 1 ? 1 : int($1 * $scale)"
}

median() {
	sort -n | awk '{ a[NR] = $1 } END { print a[int((NR + 1) / 2)] }'
}

# row FIGURE MEASURED UNIT CEILING RULE: RULE, as ">=0.6", is about the ratio, or about
# what was measured where there is no ceiling (-).  A row without a rule (-) is for information.
row() {
	printf '%s\t%s\t%s\t%s\t%s\n' "$1" "$2" "$3" "$4" "$5" >>"$work/rows"
	say "  $1: $2 $3"
}

# failed FIGURE: it could not be measured; `stop`, of the bench, ends what runs.
failed() {
	say "  FAILED: $1"
	[ ! -s "$work/log" ] || tail -n 5 "$work/log" >&2
	printf '%s\t-\tfailed\t-\tok\n' "$1" >>"$work/rows"
	stop KILL
	return 1
}

rate() {
	calc "$lines / $seconds"
}

mib() {
	calc "$1 / 1024" 1
}

higher() {
	[ "$1" -gt "$2" ] && echo "$1" || echo "$2"
}

# make_lines COUNT [BYTES]: numbered lines of so many bytes (100), each with its newline.
make_lines() {
	awk -v n="$1" -v bytes="${2:-100}" 'BEGIN {
		text = "the quick brown fox jumps over the lazy dog " \
		    "and over the lazy cat and over all the lazy mice "
		while (length(text) < bytes)
			text = text text
		text = substr(text, 1, bytes - 12)
		for (i = 1; i <= n; i++)
			printf "%010d %s\n", i, text
	}'
}

# report NAME: the table, and bars; fails if a target was missed.
report() {
	echo "$1: $(nproc) cores, $(uname -sr), $(date -u +%Y-%m-%d), scale $scale"
	echo
	awk -F '\t' '
	function holds(value, rule) {
		return rule ~ /^>=/ ? value >= substr(rule, 3) + 0 : value <= substr(rule, 3) + 0
	}
	function number(v) {
		return v == "-" ? v : v >= 1000000 ? sprintf("%.2f M", v / 1e6) : v >= 100000 ? \
		    sprintf("%.0f k", v / 1e3) : v
	}
	BEGIN {
		form = "%-52s %9s %-12s %9s %6s %9s %s\n"
		printf form, "figure", "measured", "", "ceiling", "ratio", "target", "ok"
	}
	{
		ratio = $4 == "-" || $2 == "-" ? "-" : sprintf("%.2f", $2 / $4)
		ok = $5 == "-" ? "" : $2 == "-" ? "NO" : holds(ratio == "-" ? $2 : ratio, $5) ? "yes" : "NO"
		if (ok == "NO")
			missed++
		printf form, $1, number($2), $3, number($4), ratio, $5, ok
		if (ratio != "-" && $5 ~ /^>=0/) {
			bar[++bars] = $1
			size[bars] = ratio
			goal[bars] = substr($5, 3)
		}
	}
	END {
		if (bars)
			print "\nPart of the ceiling reached (|: the target, 50 columns: the ceiling)\n"
		for (i = 1; i <= bars; i++) {
			line = ""
			for (c = 1; c <= 60 && (c <= size[i] * 50 || c <= goal[i] * 50); c++)
				line = line (c == int(goal[i] * 50) ? "|" : c <= size[i] * 50 ? "#" : " ")
			printf "%-24s %s %.0f %%\n", bar[i], line, size[i] * 100
		}
		exit missed > 0
	}' "$work/rows"
}
