#!/bin/bash
# pigz: many threads compress, decompression writes and checks on threads of its own.
# PACKAGES: pigz
. "$(dirname "$0")/common.sh"
need pigz pigz
text 24 >"$T/in"
INPUT=$T/in
both "$pigz" -n -p 8 -c
ok compress
threads_ok "pigz -p 8"
cp "$T/grt.out" "$T/in.gz"
INPUT=$T/in.gz
both "$pigz" -d -p 4 -c
ok decompress
cmp -s "$T/in" "$T/grt.out" || fail "the round trip differs"
both "$pigz" -t -v
head -c 1000000 "$T/in.gz" >"$T/cut.gz"
INPUT=$T/cut.gz
both "$pigz" -d -c # a truncated file: the same status
[ "$native_status" != 0 ] || fail "pigz accepts a truncated file"
for side in native grt; do head -c 3000000 "$T/in" >"$T/$side/a"; cp "$T/$side/a" "$T/$side/b"; done
INPUT=/dev/null
both "$pigz" -n -9 -b 64 -p 16 a b
ok "files in place"
