#!/bin/sh
# Builds OUT/fake.so: the shim's wrappers over tests/fake/fake_block.c instead of the scheduler. To try them on a program:
#   tests/fake/build.sh /tmp/fake && FAKE_STATS=2 LD_PRELOAD=/tmp/fake/fake.so git log
set -eu
src=$(cd "$(dirname "$0")/../.." && pwd)
out=$1
mkdir -p "$out"
flags="-std=gnu11 -Wall -Wextra -O2 -g -fPIC -fvisibility=hidden -ftls-model=initial-exec -I$src/src"
objects=
for f in shim/io shim/poll shim/net shim/wait shim/sleep shim/process shim/dl shim/cred shim/real sync/sleep shim/vfork \
	shim/dl_entry ../tests/fake/fake_block; do
	o=$out/$(echo "$f" | tr -d ./).o
	if [ -e "$src/src/$f.c" ]; then in=$src/src/$f.c; else in=$src/src/$f.S; fi
	# shellcheck disable=SC2086
	${CC:-cc} $flags -c "$in" -o "$o"
	objects="$objects $o"
done
{ echo '{ global:'; sed 's/$/;/' "$src/src/shim/exports_io.list"; echo 'local: *; };'; } >"$out/map"
# shellcheck disable=SC2086
${CC:-cc} -shared -Wl,-z,now -Wl,-z,defs -Wl,-z,initfirst -Wl,--version-script="$out/map" -o "$out/fake.so" $objects
