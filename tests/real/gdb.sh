#!/bin/bash
# gdb: breakpoints are hit as often as natively and see the __thread variables of their task; a program goes on as before
# when gdb has looked at it; the commands that libgrt adds show the parked tasks.
# PACKAGES: gdb
. "$(dirname "$0")/common.sh"
need gdb gdb
nodebug="set debug-file-directory /nonexistent" # of libc: much to read, and not everywhere
gcc -g -O1 -pthread -o "$T/p" "$here/debug_program.c" 2>"$T/cc.err" || fail "it does not compile: $(head -n 5 "$T/cc.err")"
timeout 30 "$gdb" -nx -batch -iex "$nodebug" -ex run "$T/p" </dev/null 2>&1 | grep -q 'exited normally' || skip "gdb may not trace here"
script=$here/../../src/observe/libgrt-gdb.py
line=$(grep -n 'the test stops here' "$here/debug_program.c" | cut -d: -f1)

# debug SIDE PROCS FILE ARGUMENTS...: gdb with the commands of FILE
debug() {
	local preload=
	[ "$1" = native ] || [ -z "$GRT_PRELOAD" ] || preload=LD_PRELOAD=$GRT_PRELOAD
	# gdb 13 now and then ends with an internal error of its own while threads come and go (HACKING.md, "Known defects"): again, then.
	for try in 1 2 3 4; do
		timeout 60 "$gdb" -nx -batch -iex "$nodebug" -ex "set exec-wrapper env GOMAXPROCS=$2 $preload" -x "$3" --args "$T/p" "${@:4}" \
			</dev/null >"$T/$1.all" 2>"$T/$1.err"
		grep -q 'internal-error\|This is a bug, please report it' "$T/$1.err" || break
		echo "gdb's own error, try $try: $(grep -m 1 internal-error "$T/$1.err")" >&2
	done
	grep -E '^(at|stopped|#|[0-9]: |total|Program |Value|.*exited)' "$T/$1.all" |
		sed -E 's/0x[0-9a-f]+/ADDRESS/g; s/(Thread|process) [^]]*/\1/; /^\[Thread/d; /^#.* (run|task_main|start_thread|clone3|grt__ctx_entry|__clone3|clone|\?\?) \(/d'
}
# same WHAT FILE ARGUMENTS...: lines in any order
same() {
	debug native 2 "${@:2}" | sort >"$T/native.out"
	[ -s "$T/native.out" ] || fail "$1: nothing natively"
	for p in 1 2; do
		debug grt $p "${@:2}" | sort >"$T/grt.out"
		diff "$T/native.out" "$T/grt.out" >"$T/diff" || {
			cat "$T/diff"
			fail "$1, GOMAXPROCS=$p"
		}
	done
}

cat >"$T/breaks" <<END
set pagination off
set print thread-events off
break one_step
commands
silent
printf "at one_step %d %d\n", id, i
continue
end
break $line
commands
silent
printf "at its end %d %d: mine %d\n", id, i, mine
continue
end
run
END
same breakpoints "$T/breaks" steps
[ "$(grep -c '^at ' "$T/native.out")" = 24 ] || fail "24 stops are expected"

# next and finish wait on the kernel thread where they began, so that the task is kept there
cat >"$T/step" <<END
set pagination off
set print thread-events off
python
import gdb, os
class MaybePin(gdb.Command):
    def __init__(self): super().__init__("maybe-pin", gdb.COMMAND_DATA)
    def invoke(self, argument, from_tty):
        if gdb.lookup_global_symbol("grt__allg_for_each"): gdb.execute("grt pin")
MaybePin()
end
source $script
tbreak one_step if id == 2 && i == 1
run
maybe-pin
next
next
next
next
next
next
printf "stopped %d\\n", mine
finish
continue
END
same stepping "$T/step" steps
grep -q '^stopped 201' "$T/native.out" && grep -q '^Value.* 201' "$T/native.out" || fail "stepping"

printf 'run\nbt\nkill\n' >"$T/crash"
same "a crash" "$T/crash" crash fault
grep -q crash_here "$T/native.out" || fail "the crash"

[ -n "$GRT_PRELOAD" ] || exit 0
cat >"$T/look" <<END
set pagination off
set print thread-events off
source $script
thread apply all bt
grt tasks
grt task all bt
grt task all print \$_grt_var("mine")
shell (sleep 1; kill -INT \$(cat $T/pid)) &
continue
grt tasks
detach
END
cd "$T/native" && : >end
native "$T/p" states end
for p in 1 2; do
	export GOMAXPROCS=$p
	rm -f "$T/grt/end"
	start grt "$T/p" states end
	echo "$server" >"$T/pid"
	for ((i = 0; i < 200; i++)); do
		grep -qs ready "$T/grt.err" && break
		sleep 0.1
	done
	timeout 60 "$gdb" -nx -batch -iex "$nodebug" -p "$server" -x "$T/look" </dev/null >"$T/look.out" 2>"$T/look.err"
	: >"$T/grt/end"
	for ((i = 0; i < 200; i++)); do
		case $(sed -n 's/^State:[[:space:]]*//p' "/proc/$server/status" 2>/dev/null) in '' | Z*) break ;; esac
		sleep 0.1
	done
	wait "$server"
	grt_status=$?
	server=
	wait "$watcher"
	watcher=
	for text in 'spin_inner (n=' 'SIGINT' ' in lock_inner ' ' in conder ' ' in reader ' ' in getter ' 'sync.Mutex.Lock .*lock_inner' \
		'sync.Cond.Wait .*conder' ' spinner  *.*spin_inner' '= 6$'; do
		grep -q "$text" "$T/look.out" || {
			cat "$T/look.out" "$T/look.err"
			fail "gdb does not show: $text (GOMAXPROCS=$p)"
		}
	done
	[ "$(grep -cE '^[* ] [0-9]+ ' "$T/look.out")" = 16 ] || { cat "$T/look.out"; fail "eight tasks, twice"; }
	compare "a program that gdb looked at, GOMAXPROCS=$p"
done
[ "$native_status" = 7 ] || fail "status $native_status"
