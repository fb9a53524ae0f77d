#!/bin/bash
# redis-server that evicts: a limit of memory, the least recently used go, and the sizes of values change, so that what is free lies in
# pieces of the wrong size. The peaks of both in the log.
# Debian's redis is linked with its libjemalloc: malloc, calloc, realloc, free and malloc_usable_size, on which its count of used memory
# stands, are libgrt's under the preload, and so what it evicts; mallctl and nallocx stay jemalloc's, so INFO's allocator_ lines and
# MEMORY PURGE speak of an empty jemalloc. Active defragmentation needs redis' own copy of jemalloc: the server refuses it on both sides.
# PACKAGES: redis-server python3
. "$(dirname "$0")/common.sh"
need redis redis-server
need python python3
FOREIGN=jemalloc_bg_thd
for side in native grt; do
	start $side "$redis" --port 0 --unixsocket "$T/$side.s" --save '' --dir "$T/$side" --appendonly no --logfile "$T/$side.log"
	for i in $(seq 100); do
		[ ! -S "$T/$side.s" ] || break
		kill -0 "$server" 2>/dev/null || fail "$side: it ended at its start"
		sleep 0.1
	done
	timeout 60 "$python" "$here/alloc/redis.py" "$T/$side.s" 16 12 >"$T/$side.seen" 2>"$T/$side.facts" ||
		fail "$side: the client: $(cat "$T/$side.seen" "$T/$side.facts")"
	echo "$side: peak $(peak_of "$server") KiB; $(cat "$T/$side.facts")"
	stop TERM
	echo "status $status" >>"$T/$side.seen"
done
cmp -s "$T/native.seen" "$T/grt.seen" || {
	diff "$T/native.seen" "$T/grt.seen"
	fail "answers differ"
}
grep -q 'wrong \[\] over the limit 0 left True evicted True' "$T/grt.seen" || fail "answers: $(cat "$T/grt.seen")"
threads_ok "redis-server"
