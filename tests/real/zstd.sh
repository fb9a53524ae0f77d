#!/bin/bash
# zstd -T: a pool of workers, and asynchronous reading and writing.
# PACKAGES: zstd
. "$(dirname "$0")/common.sh"
need zstd zstd
text 24 >"$T/in"
INPUT=$T/in
both "$zstd" -q -T8 -B1MiB -9 -c
ok compress
threads_ok "zstd -T8"
cp "$T/grt.out" "$T/in.zst"
INPUT=$T/in.zst
both "$zstd" -q -d -c
ok decompress
cmp -s "$T/in" "$T/grt.out" || fail "the round trip differs"
for side in native grt; do cp "$T/in" "$T/$side/f"; done
INPUT=/dev/null
both "$zstd" -q -T4 --long --rm f
ok "a file, replaced"
both "$zstd" -q -d --rm f.zst
cmp -s "$T/in" "$T/grt/f" || fail "the round trip of the file differs"
head -c 100000 "$T/in.zst" >"$T/cut.zst"
INPUT=$T/cut.zst
both "$zstd" -q -d -c
[ "$native_status" != 0 ] || fail "zstd accepts a truncated file"
