#!/bin/bash
# Programs that live by malloc: clang and g++ with a large file, gcc's LTO link, a parallel make of recursive makefiles, python's
# objects, sqlite, ImageMagick with a large picture, node's Buffers, a million small objects of ten threads; each with the same output as
# natively, files included, and the time and peak memory of both in the log. bench/alloc/apps sets the same beside other allocators.
# PACKAGES: clang gcc g++ make python3 sqlite3 imagemagick-6.q16
# TIMEOUT: 60
. "$(dirname "$0")/common.sh"
LIMIT=60
for tool in gcc g++ make clang++; do
	command -v $tool >/dev/null || skip "no $tool"
done
need python python3
need sqlite3 sqlite3
need convert convert-im6.q16
inputs=$here/alloc/inputs

gcc -O1 -o "$T/peak" "$here/alloc/peak.c" || fail "peak.c does not compile"

# same WHAT COMMAND...: on both sides, ends with 0; what it writes and leaves is compared.
same() {
	local what=$1 side preload
	shift
	for side in native grt; do
		preload=
		[ $side = native ] || preload=$GRT_PRELOAD
		cd "$T/$side" || exit 1
		timeout -k 5 "$LIMIT" "$T/peak" "$T/$side.peak" "$preload" "$@" <"$INPUT" >"$T/$side.out" 2>"$T/$side.err"
		eval "${side}_status=\$?"
		cd "$T" || exit 1
	done
	compare "$what"
	ok "$what"
	cat "$T/grt.peak" "$T/native.peak" | xargs printf "$what: %s s, CPU %s s, peak %s KiB; natively %s s, %s s, %s KiB\n"
}

for malloc in pymalloc malloc; do
	same "python, $malloc" env PYTHONMALLOC=$malloc "$python" "$here/alloc/python.py" all 1
done

"$inputs" c++ "$T/src" 1
same "clang++ -O1" clang++ -std=c++17 -O1 -c -o clang.o "$T/src/large.cc"
same "g++ -O2" g++ -std=c++17 -O2 -c -o g++.o "$T/src/large.cc"

"$inputs" lto "$T/lto" 10
for f in "$T"/lto/*.c; do
	gcc -O2 -flto -frandom-seed=1 -c -o "${f%.c}.o" "$f" || fail "the files for the link do not compile"
done
same "gcc -flto" gcc -O2 -flto=2 -frandom-seed=1 -o program "$T"/lto/*.o
"$T/grt/program" >"$T/program.out" || fail "the linked program does not run"

for side in native grt; do "$inputs" tree "$T/$side/tree" 8; done
same "make -j2, 81 files in 8 folders" env -u MAKEFLAGS -u MAKELEVEL make -s -j2 -C tree
"$T/grt/tree/program" >"$T/program.out" || fail "the program that was made does not run"
rm -rf "$T/native/tree" "$T/grt/tree"

"$inputs" sql "$T/src" 60
INPUT=$T/src/speed.sql
same "sqlite" "$sqlite3" -batch db
grep -q '^ok$' "$T/grt.out" || fail "integrity_check: $(tail -n 1 "$T/grt.out")"
INPUT=/dev/null

same "ImageMagick" "$convert" -size 2400x1800 gradient:red-blue -swirl 60 -resize 75% -rotate 3 -blur 0x2 -depth 8 \
	-define png:exclude-chunks=date,time -format '%# %w %h\n' -write info: picture.png

g++ -std=c++17 -O2 -pthread -o "$T/objects" "$here/alloc/objects.cc" || fail "objects.cc does not compile"
same "a million objects, ten threads" "$T/objects" 100000

if command -v node >/dev/null; then
	need node node
	same "node" "$node" "$here/alloc/node.js" 3
fi
