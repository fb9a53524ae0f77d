#!/bin/bash
# A C++ program: std::thread, thread_local, exceptions, std::async, and atomics that wait.
# PACKAGES: g++
. "$(dirname "$0")/common.sh"
command -v g++ >/dev/null || skip "no C++ compiler"
g++ -std=c++20 -O2 -pthread -o "$T/p" "$here/cxx_program.cc" 2>"$T/cc.err" ||
	fail "it does not compile: $(head -n 5 "$T/cc.err")"
both "$T/p"
ok "the program"
grep -q '^words 40000$' "$T/grt.out" || fail "wrong output: $(cat "$T/grt.out")"
threads_ok "the C++ program"
both "$T/p" terminate # an exception that nobody catches, in a thread
[ "$native_status" = 134 ] || fail "terminate: natively status $native_status"
both "$T/p" exit
[ "$native_status" = 17 ] || fail "exit: natively status $native_status"
