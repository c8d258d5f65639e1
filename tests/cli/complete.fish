# usage: fish -N complete.fish DIR <LINES
#
# For each line of stdin: what fish completes at its end, with the files of DIR, as a line of words in
# order.
for file in $argv[1]/*
    source $file
end
complete -c sort-or-not -f -a '--reverse --random'
while read -l line
    echo (complete -C $line | string replace -r '\t.*' '' | sort -u | string join ' ')
end
