#!/bin/sh
# usage: COMMAND | debounce.sh QUEUE DELAY
#
# Sends each line of stdin as a message that is for receivers only after DELAY (2s, say), and that
# takes the place of an older one with the same text, if nobody has it yet.  So a hundred changes of
# a file in a row are one message, two seconds after the last change:
#
#	inotifywait -mrq -e close_write --format %w src | debounce.sh build 2s
#	rmq-recv -P 4 -I {} build make -C {}
#
# The line is also the key of its message: a file that changes while its run is at work is run
# once more, after it and never beside it.
#
# By hand it is: rmq-send -k src/ -d 2s --replace build src/
set -eu
jq -Rc --unbuffered '{key: ., body: .}' | rmq-send -J -d "$2" --replace "$1"
