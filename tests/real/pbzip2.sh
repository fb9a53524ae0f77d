#!/bin/bash
# pbzip2: producer, consumers and a file writer that signal each other by conds.
# PACKAGES: pbzip2
. "$(dirname "$0")/common.sh"
need pbzip2 pbzip2
text 8 >"$T/in"
for side in native grt; do cp "$T/in" "$T/$side/f"; done
both "$pbzip2" -q -p8 -b1 -k f
ok compress
threads_ok "pbzip2 -p8"
for side in native grt; do rm "$T/$side/f"; done
both "$pbzip2" -q -d -p8 -k f.bz2
ok decompress
cmp -s "$T/in" "$T/grt/f" || fail "the round trip differs"
INPUT=$T/in
both "$pbzip2" -q -p4 -c # from standard input
ok "compress a pipe"
INPUT=/dev/null
both "$pbzip2" -q -d nosuchfile.bz2
[ "$native_status" != 0 ] || fail "pbzip2 accepts a file that is not there"
