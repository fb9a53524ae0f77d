#!/bin/bash
# Ada tasks (gnat): rendezvous, protected objects, abort, delays, priorities, faults that become exceptions.
# PACKAGES: gnat
. "$(dirname "$0")/common.sh"
command -v gnatmake >/dev/null || skip "gnatmake is not installed"
(cd "$T" && gnatmake -q -O1 -fstack-check -o p "$here/ada_program.adb") >"$T/cc.err" 2>&1 ||
	fail "it does not compile: $(head -n 5 "$T/cc.err")"
[ -x "$T/p" ] || fail "gnatmake made no program"
both "$T/p"
ok "the program"
grep -q '^overflows 3$' "$T/grt.out" || fail "wrong output: $(cat "$T/grt.out")"
threads_ok "the Ada program"
