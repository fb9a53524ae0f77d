#!/bin/sh
# Builds a preload of src/sync and its wrappers over fake_sched.c. Usage: build_sync.sh OUT.so [CFLAGS]
# FUTEX and REAL name the files to use for the wait table and the table of libc's functions.
set -eu
out=$1
shift
top=$(cd "$(dirname "$0")/../.." && pwd)
inc=$(mktemp -d)
trap 'rm -rf "$inc"' EXIT
mkdir "$inc/shim"
echo '#include "shim/real_sync.def"' >"$inc/shim/real.def"
printf '{ global:\npthread_create;\n' >"$inc/map"
sed 's/$/;/' "$top/src/shim/exports_sync.list" >>"$inc/map"
echo 'local: *; };' >>"$inc/map"
sync=$(ls "$top"/src/sync/*.c | grep -v '/futex\.c$')
cp "${REAL:-$top/src/shim/real.c}" "$inc/real.c"
# Its own real.def comes before the tree's, which names functions of the other wrappers.
exec ${CC:-gcc} -std=gnu11 -O2 -g -Wall -Wextra -Wno-unused-parameter -fvisibility=hidden -fno-strict-aliasing -fno-common \
	-fno-plt -ftls-model=initial-exec -fno-semantic-interposition -fPIC -I"$inc" -I"$top/src" "$@" -shared \
	-Wl,--version-script="$inc/map" -Wl,-z,defs -Wl,-z,now -o "$out" $sync "${FUTEX:-$top/src/sync/futex.c}" \
	"$inc/real.c" -include dlfcn.h "$top"/src/base/lock.c "$top"/src/base/throw.c "$top"/src/os/os.c "$top"/src/os/clock.c \
	"$top"/src/shim/pthread_sync.c "$top"/src/shim/semaphore.c "$top"/src/shim/syscall.c "$top"/src/shim/threads_sync.c "$top"/tests/fake/fake_sched.c
