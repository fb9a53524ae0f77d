#!/bin/bash
# xz -T: liblzma's threaded encoder and decoder, with timed waits.
# PACKAGES: xz-utils
. "$(dirname "$0")/common.sh"
need xz xz
text 10 >"$T/in"
INPUT=$T/in
both "$xz" -3 -T8 --block-size=1MiB -c
ok compress
threads_ok "xz -T8"
cp "$T/grt.out" "$T/in.xz"
INPUT=$T/in.xz
both "$xz" -d -T8 -c
ok decompress
cmp -s "$T/in" "$T/grt.out" || fail "the round trip differs"
head -c 200000 "$T/in.xz" >"$T/cut.xz"
INPUT=$T/cut.xz
both "$xz" -d -T8 -c
[ "$native_status" != 0 ] || fail "xz accepts a truncated file"
