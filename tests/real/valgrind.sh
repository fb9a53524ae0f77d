#!/bin/bash
# valgrind's tools: threads stay 1:1, one line says so, and the program does what it does without libgrt.
# PACKAGES: valgrind
. "$(dirname "$0")/common.sh"
valgrind=$(command -v valgrind) || skip "valgrind is not installed" # a script that starts the program
gcc -g -O1 -pthread -o "$T/p" "$here/debug_program.c" 2>"$T/cc.err" || fail "it does not compile: $(head -n 5 "$T/cc.err")"
: >"$T/native/end"
: >"$T/grt/end"
for tool in memcheck helgrind none; do
	both "$valgrind" -q --fair-sched=yes --tool=$tool --log-file=/dev/null "$T/p" states end
	[ "$native_status" = 7 ] || skip "$tool does not run here: status $native_status"
	[ -z "$GRT_PRELOAD" ] || [ "$(grep -c 'libgrt: threads stay 1:1' "$T/grt.err")" = 1 ] || fail "$tool: not said, or not once"
done
both "$valgrind" -q --log-file=/dev/null "$T/p" crash abort
[ "$native_status" = 134 ] || fail "abort: natively status $native_status"
