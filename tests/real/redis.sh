#!/bin/bash
# redis-server: threads for sockets that spin before they wait, background threads, BGSAVE by fork.
# PACKAGES: redis-server redis-tools python3
. "$(dirname "$0")/common.sh"
need redis redis-server
need cli redis-cli
need bench redis-benchmark
# jemalloc makes its background threads by dlsym(RTLD_NEXT, "pthread_create"): libc's, so they stay kernel threads
FOREIGN=jemalloc_bg_thd

side() {
	local side=$1 i
	port=$(free_port)
	start "$side" "$redis" --port "$port" --bind 127.0.0.1 --io-threads 3 --io-threads-do-reads yes \
		--save '' --dir "$T/$side" --dbfilename dump.rdb --daemonize no --appendonly no \
		--lazyfree-lazy-user-del yes --logfile "$T/$side.log"
	wait_port "$port"
	c="$cli -p $port"
	timeout 25 "$bench" -p "$port" -q -n 1000 -c 16 -P 4 -t set,get,incr,lpush -r 500 --threads 2 \
		>"$T/bench" 2>&1 || fail "$side: redis-benchmark: $(tail -n 3 "$T/bench")"
	{
		$c flushall
		for i in $(seq 1 500); do echo "set k$i v$i"; done | timeout 60 $c | sort | uniq -c
		for i in $(seq 1 16); do
			(for k in $(seq 1 50); do echo "incr n"; echo "rpush l $k"; done | timeout 60 $c >/dev/null) &
			[ $((i % 8)) != 0 ] || wait $!
		done
		for i in $(seq 1 100); do [ "$($c get n)" != 800 ] || break; sleep 0.1; done
		$c get n
		$c llen l
		$c bgsave
		for i in $(seq 1 100); do
			$c info persistence | grep -q 'rdb_bgsave_in_progress:0' && break
			sleep 0.1
		done
		$c info persistence | grep rdb_last_bgsave_status
		$c unlink l
		$c dbsize
		$c client list | wc -l
		$c info server | grep -c io_threads_active
		$c blpop none 1
	} >"$T/$side.seen" 2>&1
	[ -s "$T/$side/dump.rdb" ] || fail "$side: no dump"
	[ "$side" = native ] || $c config set save '' >/dev/null
	stop TERM
	echo "status $status" >>"$T/$side.seen"
	[ "$side" = native ] || threads_ok "redis-server with 3 io-threads"
	# the dump is read again
	start "$side" "$redis" --port "$port" --bind 127.0.0.1 --save '' --dir "$T/$side" --io-threads 2 \
		--logfile "$T/$side.log"
	wait_port "$port"
	for i in $(seq 1 50); do [ "$($c ping 2>&1)" != PONG ] || break; sleep 0.1; done
	{ $c dbsize; $c get k77; $c llen l; } >>"$T/$side.seen" 2>&1
	$c shutdown nosave >/dev/null 2>&1
	wait "$server"
	echo "status $?" >>"$T/$side.seen"
	server=
}
side native
side grt
cmp -s "$T/native.seen" "$T/grt.seen" || {
	diff "$T/native.seen" "$T/grt.seen"
	fail "answers differ"
}
grep -q '^800' "$T/grt.seen" && grep -q 'status:ok' "$T/grt.seen" || fail "wrong answers: $(cat "$T/grt.seen")"
