# The names that $argv prints, one a line; quickly, or none.
function __rmq_ask
    set -l server
    set -l words (commandline -opc)
    for i in (seq (count $words))
        switch $words[$i]
            case -S --server
                set -q words[(math $i + 1)]; and set server -S $words[(math $i + 1)]
            case '--server=*'
                set server $words[$i]
        end
    end
    command -q $argv[1]; and command $argv -q --timeout 300ms $server 2>/dev/null </dev/null
end

# What completes a word, of the given ones; see the head of rows.awk.  In front of them may be the
# option whose argument it is: -o, which may stand in the same word.
function __rmq_words
    set -l word (string replace -r '^--[a-z-]*=' '' -- (commandline -ct))
    if string match -q -- '-?' $argv[1]
        set word (string replace -r -- "^-[A-Za-z0-9]*?"(string sub -s 2 -- $argv[1]) '' $word)
        set -e argv[1]
    end
    string match -q -- '-*' "$word"; and return
    set -l before
    switch $argv[1]
        case ,
            set before (string match -r '^.*,' -- $word)
        case =
            set before (string match -r '^.*=' -- $word); or return
    end
    set -l chosen (string split , -- "$before")
    for word in $argv
        switch $word
            case , =
                continue
            case @dir
                __fish_complete_directories
                continue
            case @queue
                set word (__rmq_ask rmq-queue ls -o queue)
            case @node
                set word (__rmq_ask rmq-cluster members -o name)
        end
        for one in $word
            contains -- $one $chosen; or echo "$before$one"
        end
    end
end

# The words before the cursor that are no options; $argv are the options that take an argument.
function __rmq_words_before
    set -l words (commandline -opc)
    for place in (__rmq_places $argv)
        printf '%s\n' $words[$place]
    end
end

# Their places among the words before the cursor.
function __rmq_places
    set -l words (commandline -opc)
    set -l skip 0
    set -l ended 0
    for place in (seq 2 (count $words))
        set -l word $words[$place]
        if test $skip = 1
            set skip 0
        else if test $ended = 1
            echo $place
        else if test "$word" = --
            set ended 1
        else if string match -q -- '--*' $word
            contains -- $word $argv; and set skip 1
        else if string match -q -- '-?*' $word
            set -l letters (string split '' -- (string sub -s 2 -- $word))
            while set -q letters[1]
                if contains -- -$letters[1] $argv
                    set -q letters[2]; or set skip 1
                    break
                end
                set -e letters[1]
            end
        else
            echo $place
        end
    end
end

# Completes the command that begins with word $argv[1] of those that are no options.
function __rmq_run
    set -l words (commandline -opc)
    set -l places (__rmq_places $argv[2..-1])
    set -l run (commandline -ct)
    set -q places[$argv[1]]; and set -p run $words[$places[$argv[1]]..-1]
    __fish_complete_subcommand --commandline $run
end
