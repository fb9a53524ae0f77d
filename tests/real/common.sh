# shellcheck shell=bash disable=SC2034
# common.sh - what the scripts of tests/real share.  Sourced, by bash.
#
# Each script runs a program of the distribution twice, natively and with LD_PRELOAD=$GRT_PRELOAD on
# that program only, and compares what is deterministic of its output, the files that it wrote and
# its exit status.  With GRT_PRELOAD empty both runs are native: that is how a script is proved.
# Under the preload a program that runs long enough is watched: its kernel threads must stay within
# GOMAXPROCS + those blocked in the kernel + 2.
#
# Exit: 0 passed; 77 skipped, after "SKIP reason"; 1 failed, with a message.
#
# What a script calls:
#   need VAR PROGRAM        VAR=the path of the binary (never a wrapper script), or skip
#   both COMMAND...         run it in $T/native and in $T/grt; compare stdout, status, files
#   native COMMAND...       one side: in $T/native; stdout in $T/native.out, status in $status
#   under COMMAND...        the other: in $T/grt, preloaded and watched
#   compare WHAT            compares the two sides' last output and their files
#   start SIDE COMMAND...   a server in the background, as native or under: $server
#   stop SIGNAL             ends it: $status
#   threads_ok WHAT         the verdict on the last watched run
#   peak_of PID             the largest resident memory of a living process, in KiB
#   free_port, wait_port PORT, fail MESSAGE, skip REASON
# INPUT=file gives a command its standard input; LIMIT=seconds is its time; FOREIGN=name of threads that are no tasks.
# PINNED=n: so many threads ask for something that only a kernel thread has (sched/pin.h), and keep one while they wait.

set -u
export LC_ALL=C
unset LD_PRELOAD
name=$(basename "$0" .sh)
here=$(cd "$(dirname "$0")" && pwd)
GRT_PRELOAD=${GRT_PRELOAD-}
procs=${GOMAXPROCS:-$(nproc)}
LIMIT=${LIMIT:-25}
INPUT=/dev/null
FOREIGN=${FOREIGN-}
status=0
server=
running=
T=$(mktemp -d "${TMPDIR:-/tmp}/grt-$name-XXXXXX") || exit 1
mkdir "$T/native" "$T/grt"
# Servers that give up being root must reach it, whatever folder of ours it lies in.
for ((dir = ${#T}; dir > 5; dir--)); do
	[ "${T:dir:1}" != / ] || case $T in /tmp/*) chmod o+x "${T:0:dir}" 2>/dev/null ;; esac
done
chmod o+x "$T"

finish() {
	local rc=$?
	# A subshell that gets a signal before it has reset the traps comes here as well.
	[ "$BASHPID" = "$$" ] || exit $rc
	local p
	for p in $server $running; do
		kill -KILL "$p" 2>/dev/null && wait "$p" 2>/dev/null
	done
	rm -rf "$T"
	exit $rc
}
trap finish EXIT
trap 'exit 1' INT TERM HUP

fail() {
	echo "FAIL $name: $*"
	local side
	for side in native grt; do
		if [ -s "$T/$side.err" ]; then
			echo "--- stderr, $side:"
			tail -n 20 "$T/$side.err"
		fi
	done
	exit 1
}

skip() {
	echo "SKIP $*"
	exit 77
}

# A preload that the loader does not accept is only a warning: say it before anything passes.
if [ -n "$GRT_PRELOAD" ]; then
	[ -r "$GRT_PRELOAD" ] || fail "GRT_PRELOAD=$GRT_PRELOAD cannot be read"
	msg=$(LD_PRELOAD=$GRT_PRELOAD /bin/true 2>&1) || fail "/bin/true under the preload: status $?"
	[ -z "$msg" ] || fail "the preload says: $msg"
fi

need() {
	local var=$1 prog=$2 dir magic
	local IFS=:
	for dir in /usr/bin /usr/sbin /usr/local/bin $PATH; do
		[ -x "$dir/$prog" ] || continue
		magic=$(head -c 4 "$dir/$prog" | tr -d '\177\0')
		if [ "$magic" = ELF ]; then
			printf -v "$var" %s "$dir/$prog"
			return
		fi
	done
	skip "$prog is not installed"
}

# watch PID FILE: one line per sample: threads, and those of them not blocked in the kernel.
# A futex is where an idle thread of the runtime waits: it counts as not blocked, unless it is a thread that a library made
# behind the runtime's back (FOREIGN: its name).
watch() {
	local pid=$1 file=$2 t call all busy comm
	: >"$file"
	while [ -d "/proc/$pid/task" ]; do
		all=0 busy=0
		for t in /proc/"$pid"/task/*/syscall; do
			{ read -r call _ <"$t"; } 2>/dev/null || continue
			all=$((all + 1))
			if [ -n "$FOREIGN" ]; then
				{ read -r comm <"${t%syscall}comm"; } 2>/dev/null || continue
				[ "$comm" != "$FOREIGN" ] || continue
			fi
			case $call in
			running | -1) busy=$((busy + 1)) ;;
			202) busy=$((busy + 1)) ;; # futex on x86-64
			98) [ "$(uname -m)" != aarch64 ] || busy=$((busy + 1)) ;;
			esac
		done
		[ "$all" = 0 ] || echo "$all $busy" >>"$file"
		sleep 0.05
	done
}

# The median of the samples: one taken in the middle of a hand-over says nothing.
threads_ok() {
	[ -n "$GRT_PRELOAD" ] || return 0
	local n median most
	n=$(wc -l <"$T/samples")
	[ "$n" -ge 5 ] || return 0
	median=$(sort -n -k2,2 "$T/samples" | awk -v k=$(((n + 1) / 2)) 'NR == k { print $2 }')
	most=$(sort -n "$T/samples" | awk 'END { print $1 }')
	echo "$1: $most kernel threads at most, $median of them not blocked (median of $n)"
	[ "$median" -le $((procs + 2 + ${PINNED:-0})) ] ||
		fail "$1: $median kernel threads not blocked, GOMAXPROCS is $procs"
}

# launch SIDE COMMAND...: $pid, in its directory
launch() {
	local side=$1 preload=
	shift
	[ "$side" = native ] || preload=$GRT_PRELOAD
	cd "$T/$side" || exit 1
	# bash starts what is in the background with SIGINT and SIGQUIT ignored
	env --default-signal=INT,QUIT ${preload:+LD_PRELOAD="$preload"} "$@" \
		<"$INPUT" >"$T/$side.out" 2>"$T/$side.err" &
	pid=$!
	cd "$T" || exit 1
}

run() {
	local side=$1 pid watcher= killer
	launch "$@"
	running=$pid
	if [ "$side" = grt ]; then
		watch "$pid" "$T/samples" &
		watcher=$!
	fi
	(
		i=0
		while [ $i -lt $((LIMIT * 10)) ]; do
			kill -0 "$pid" 2>/dev/null || exit 0
			sleep 0.1
			i=$((i + 1))
		done
		echo "no end after $LIMIT s" >>"$T/$side.err"
		: >"$T/late"
		kill -KILL "$pid"
	) &
	killer=$!
	wait "$pid" 2>/dev/null
	status=$?
	running=
	kill "$killer" 2>/dev/null
	wait "$killer" 2>/dev/null
	[ -z "$watcher" ] || wait "$watcher" 2>/dev/null
	[ ! -e "$T/late" ] || fail "$side, no end after $LIMIT s: ${*:2}"
}

native() {
	run native "$@"
	native_status=$status
}

under() {
	run grt "$@"
	grt_status=$status
}

compare() {
	[ "$native_status" = "$grt_status" ] ||
		fail "$1: status $grt_status, natively $native_status"
	cmp -s "$T/native.out" "$T/grt.out" || {
		diff "$T/native.out" "$T/grt.out" | head -n 10
		fail "$1: output differs"
	}
	diff -r "$T/native" "$T/grt" >"$T/diff" || {
		head -n 10 "$T/diff"
		fail "$1: files differ"
	}
}

both() {
	native "$@"
	under "$@"
	compare "$(basename "$1") ${*:2}"
}

# ok WHAT: the last pair of runs ended with 0; a comparison of two failures proves little.
ok() {
	[ "$native_status" = 0 ] || fail "$1: natively status $native_status"
}

start() {
	local side=$1 pid
	launch "$@"
	server=$pid
	if [ "$side" = grt ]; then
		watch "$server" "$T/samples" &
		watcher=$!
	fi
}

stop() {
	local i=0
	kill -"$1" "$server" || fail "the server has gone already"
	while kill -0 "$server" 2>/dev/null; do
		# a child that has ended and was not waited for still answers kill
		case $(sed -n 's/^State:[[:space:]]*//p' "/proc/$server/status" 2>/dev/null) in Z*) break ;; esac
		[ $i -lt 100 ] || fail "the server does not end on SIG$1"
		sleep 0.1
		i=$((i + 1))
	done
	wait "$server"
	status=$?
	server=
	[ -z "${watcher-}" ] || wait "$watcher" 2>/dev/null
	watcher=
}

peak_of() { sed -n 's/^VmHWM:[[:space:]]*\([0-9]*\).*/\1/p' "/proc/$1/status"; }

free_port() {
	/usr/bin/python3 -c 'import socket
s = socket.socket()
s.bind(("127.0.0.1", 0))
print(s.getsockname()[1])' || fail "no free port"
}

wait_port() {
	local i=0
	until (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; do
		kill -0 "$server" 2>/dev/null || fail "the server ended at its start"
		[ $i -lt 100 ] || fail "nobody listens on port $1"
		sleep 0.1
		i=$((i + 1))
	done
}

# text MEGABYTES: about that much, the same each time, compressible
text() {
	awk -v n=$(($1 * 20000)) 'BEGIN {
		x = 12345
		for (i = 0; i < n; i++) {
			x = (x * 1103515245 + 12345) % 2147483648
			printf "%d line %d of a text that repeats, %x\n", i, x % 997, x % 65521
		}
	}'
}
