#!/bin/bash
# OpenJDK: javac; monitors, interrupts, pools, stack overflows and null pointers as exceptions, children, sockets; each
# collector; thread dumps by SIGQUIT and by a tool that attaches; how it ends.
# PACKAGES: default-jdk-headless
. "$(dirname "$0")/common.sh"
LIMIT=60
need java java
need javac javac
need jcmd jcmd
# -XX:-UsePerfData: no file in /tmp for each process
flags=(-XX:-UsePerfData -Xmx200m)
both "$javac" -J-XX:-UsePerfData -d . "$here/java_program.java"
ok "javac"
[ -s "$T/grt/Program.class" ] || fail "javac wrote no class"
both "$java" "${flags[@]}" -cp . Program all
[ "$native_status" = 7 ] || fail "all: natively status $native_status"
grep -qx 'faults 15 20000 20000' "$T/grt.out" || fail "all: $(cat "$T/grt.out")"
PINNED=2 # HotSpot asks for the CPU clock of threads of its own
threads_ok "java"
for gc in Serial Parallel G1 Z Shenandoah; do
	"$java" -XX:+Use${gc}GC -version >/dev/null 2>&1 || continue # not every build has all
	both "$java" "${flags[@]}" -XX:+Use${gc}GC -cp . Program garbage
	ok "$gc"
done
both "$java" "${flags[@]}" -cp . Program exception
[ "$native_status" = 1 ] || fail "exception: natively status $native_status"

# lines WORD FILE: so many there are in the end
lines() {
	local i=0
	until [ "$(grep -c "$1" "$2")" -ge "$3" ]; do
		kill -0 "$server" 2>/dev/null || fail "the program ended"
		[ $i -lt 200 ] || fail "no $3 lines with $1: $(tail -n 5 "$2")"
		sleep 0.1
		i=$((i + 1))
	done
}
for end in TERM HUP; do
	for side in native grt; do
		start $side "$java" "${flags[@]}" -cp . Program $end
		lines '^up' "$T/$side.out" 1
		if [ $end = TERM ]; then
			kill -QUIT "$server"
			lines "^\"waiter-TERM\".*Object.wait" "$T/$side.out" 1
			timeout 30 "$jcmd" "$server" Thread.print >"$T/dump" 2>&1 ||
				fail "$side: jcmd: $(head -n 5 "$T/dump")"
			grep -q '^"waiter-TERM".*Object.wait' "$T/dump" || fail "$side: no waiter in $(head -n 30 "$T/dump")"
		fi
		stop $end
		echo "status $status, $(grep -c '^the end' "$T/$side.out"), $(grep -c goroutine "$T/$side.err")" >"$T/$side.seen"
	done
	cmp -s "$T/native.seen" "$T/grt.seen" || fail "SIG$end: $(cat "$T/grt.seen"), natively $(cat "$T/native.seen")"
done
[ "$(cat "$T/grt.seen")" = "status 129, 1, 0" ] || fail "SIGHUP: $(cat "$T/grt.seen")"
