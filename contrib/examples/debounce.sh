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
#
# The key of a line that cannot be one (longer than 255 bytes, not UTF-8) is its SHA-256.  An empty
# line is no message.
set -eu

[ $# -eq 2 ] || { echo "usage: COMMAND | debounce.sh QUEUE DELAY" >&2; exit 64; }

# Lines are bytes, whatever PERL_UNICODE says.  What cannot be read to its end must not seem to have
# been; 141: rmq-send has ended before.
messages() {
	perl -C0 -MDigest::SHA=sha256_hex -MMIME::Base64=encode_base64 -ne '
		BEGIN { $| = 1 }
		chomp;
		next if $_ eq "";
		my ($body, $text) = (encode_base64($_, ""), $_);
		$_ = sha256_hex($_) if length > 255 || !utf8::decode($text) || $text =~ /[[:cntrl:]]/;
		s/(["\\])/\\$1/g;
		print qq({"key":"$_","body64":"$body"}\n);
	' || [ $? -eq 141 ] || kill $$
}

messages | rmq-send -J -d "$2" --replace --skip-bad "$1"
