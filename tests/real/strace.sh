#!/bin/bash
# strace, from the start and attached to a program that runs: the program's output and status are what they are without it.
# PACKAGES: strace
. "$(dirname "$0")/common.sh"
need strace strace
gcc -g -O1 -pthread -o "$T/p" "$here/debug_program.c" 2>"$T/cc.err" || fail "it does not compile: $(head -n 5 "$T/cc.err")"
timeout 20 "$strace" -o "$T/trace" true 2>/dev/null || skip "strace may not trace here"
preload=
[ -z "$GRT_PRELOAD" ] || preload="-E LD_PRELOAD=$GRT_PRELOAD"
native "$T/p" steps
for p in 1 2; do
	for how in -f '-f -c' '-f -e trace=futex,read -i'; do
		# shellcheck disable=SC2086
		run native "$strace" $how -o "$T/trace" -E GOMAXPROCS=$p $preload "$T/p" steps
		grt_status=$status
		mv "$T/native.out" "$T/grt.out"
		native "$T/p" steps
		compare "strace $how, GOMAXPROCS=$p"
		[ -s "$T/trace" ] || fail "strace $how: no trace"
	done
done
ok "steps"

: >"$T/native/end"
native "$T/p" states end
for p in 1 2; do
	export GOMAXPROCS=$p
	rm -f "$T/grt/end"
	start grt "$T/p" states end
	for ((i = 0; i < 200; i++)); do
		grep -qs ready "$T/grt.err" && break
		sleep 0.1
	done
	rm -f "$T/trace"
	"$strace" -f -p "$server" -o "$T/trace" 2>/dev/null &
	tracer=$!
	for ((i = 0; i < 100; i++)); do
		[ "$(wc -l 2>/dev/null <"$T/trace")" -gt 50 ] 2>/dev/null && break
		sleep 0.1
	done
	kill -INT "$tracer"
	wait "$tracer"
	[ -s "$T/trace" ] || fail "nothing was traced"
	: >"$T/grt/end"
	wait "$server"
	grt_status=$?
	server=
	wait "$watcher"
	watcher=
	compare "a program that strace looked at, GOMAXPROCS=$p"
done
[ "$native_status" = 7 ] || fail "status $native_status"
