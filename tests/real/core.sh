#!/bin/bash
# Core dumps: a crash ends the process with the status and the core that it has natively, and gdb finds the stack and the
# __thread variables of the task that crashed, and the tasks that were parked.
# PACKAGES: gdb
. "$(dirname "$0")/common.sh"
need gdb gdb
nodebug="set debug-file-directory /nonexistent" # of libc: much to read, and not everywhere
ulimit -c unlimited 2>/dev/null || skip "core dumps are limited"
case $(cat /proc/sys/kernel/core_pattern) in */* | \|* | '') skip "cores do not go to the working directory" ;; esac
gcc -g -O1 -pthread -o "$T/p" "$here/debug_program.c" 2>"$T/cc.err" || fail "it does not compile: $(head -n 5 "$T/cc.err")"

# The functions of the program and of libc on the crashed thread's stack, and what mine is there.
stack() {
	timeout 30 "$gdb" -nx -batch -iex "$nodebug" -ex bt -ex 'print mine' "$T/p" "$1" 2>/dev/null |
		sed -nE 's/__GI_//; s/^#[0-9]+ +(0x[0-9a-f]+ in )?([A-Za-z_0-9]+) \(.*/\2/p; s/^\$1 = /mine /p' |
		grep -E '^(.*abort|.*raise|crash_here|crash|main|mine .*)$' | uniq
}
# Both sides leave a core or none. What the kernel does about a blocked fault, or libc's abort after SIGABRT was handled or ignored,
# passes by libgrt: such a core has the stack of the task, but gdb may take it for main.
crashed() {
	local side core
	for side in native grt; do
		core=$(find "$T/$side" -name 'core*' | head -n 1)
		[ -n "$core" ] || continue
		mv "$core" "$T/core.$side"
		case $1 in
		abort,main* | raise* | trap* | abort,b*) echo "a core" >"$T/$side/stack" ;; # as those before: not looked at
		*) stack "$T/core.$side" >"$T/$side/stack" ;;
		esac
		case $1 in abort,[hi]* | fault,b*) sed -i '/^mine/d' "$T/$side/stack" ;; esac
	done
	compare "crash $1"
	[ -s "$T/native/stack" ] || skip "no cores here"
}
for how in fault fault,main abort abort,main raise trap fault,handler,reraise abort,handler abort,ignored abort,blocked fault,blocked; do
	native "$T/p" crash "$how"
	case $how in fault | abort) procs_list='1 2' ;; *) procs_list=2 ;; esac
	for p in $procs_list; do
		GOMAXPROCS=$p under "$T/p" crash "$how"
		crashed "$how (GOMAXPROCS=$p)"
	done
done
native "$T/p" crash fault
GOTRACEBACK=crash under "$T/p" crash fault
crashed "fault with GOTRACEBACK=crash"
[ -n "$GRT_PRELOAD" ] || exit 0
script=$here/../../src/observe/libgrt-gdb.py
timeout 30 "$gdb" -nx -batch -iex "$nodebug" -ex "source $script" -ex 'grt tasks' -ex 'grt task 2 bt' -ex 'grt task all print $_grt_var("mine")' \
	"$T/p" "$T/core.grt" >"$T/gdb.out" 2>"$T/gdb.err"
grep -q 'sync.Mutex.Lock .*lock_inner' "$T/gdb.out" && grep -q ' in locker (' "$T/gdb.out" && grep -q '= 2$' "$T/gdb.out" &&
	grep -q '= 77$' "$T/gdb.out" || {
	cat "$T/gdb.out" "$T/gdb.err"
	fail "the tasks of the core"
}
