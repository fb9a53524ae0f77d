# The launcher's interface: what it sets, what it refuses, and its exit status.
set -u
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
bad=0
unset LD_PRELOAD GLIBC_TUNABLES GOMAXPROCS GRT_LIB

# expect WHAT STATUS PATTERN COMMAND...: exit status and a pattern in what is printed (both streams)
expect()
{
	local what=$1 status=$2 pattern=$3 got
	shift 3
	"$@" >"$tmp/out" 2>&1
	got=$?
	if [ $got -ne "$status" ]; then
		echo "$what: exit status $got, not $status"
		sed 's/^/    /' "$tmp/out"
		bad=1
	elif ! grep -q -e "$pattern" "$tmp/out"; then
		echo "$what: nothing like '$pattern' in:"
		sed 's/^/    /' "$tmp/out"
		bad=1
	fi
}
one_line() { [ "$(wc -l <"$tmp/out")" -eq 1 ] || { echo "$1: more than one line"; cat "$tmp/out"; bad=1; }; }

expect "no command" 2 '^usage:' "$GRT"
expect "unknown command" 2 'unknown command fly' "$GRT" fly
expect "help" 0 '^usage: grt run' "$GRT" help
expect "version" 0 '^grt [0-9]' "$GRT" version
expect "version with an argument" 2 'takes no arguments' "$GRT" version now
expect "no program" 2 'no program given' "$GRT" run
expect "no program after --" 2 'no program given' "$GRT" run --
expect "unknown option" 2 'unknown option --fast' "$GRT" run --fast true
expect "no number" 2 'needs a number' "$GRT" run --gomaxprocs
for n in 0 -1 x 1x '' 99999999999999999999 ' 1' 2147483648; do
	expect "GOMAXPROCS '$n'" 2 'whole number' "$GRT" run --gomaxprocs "$n" true
done
expect "usage goes to standard error" 0 . sh -c "'$GRT' 2>&1 >/dev/null | grep usage"

expect "not found" 127 'no-such-program: No such file' "$GRT" run no-such-program
one_line "not found"
expect "not found by path" 127 'No such file' "$GRT" run ./no/such
expect "a folder" 126 'Permission denied' "$GRT" run /
: >"$tmp/plain"
expect "not executable" 126 'Permission denied' "$GRT" run "$tmp/plain"
expect "no library" 126 'libgrt.so not found at /nowhere' env GRT_LIB=/nowhere "$GRT" run true

echo 'int main(void) { return 0; }' >"$tmp/p.c"
if $CC -static -o "$tmp/static" "$tmp/p.c" 2>/dev/null; then
	expect "a static binary" 126 'statically linked' "$GRT" run "$tmp/static"
	one_line "a static binary"
	printf '#!%s\n' "$tmp/static" >"$tmp/script"
	chmod +x "$tmp/script"
	expect "a script of a static binary" 126 'statically linked' "$GRT" run "$tmp/script"
fi
if [ "$(id -u)" -eq 0 ] && command -v setpriv >/dev/null; then
	# As another user, from a folder that user can reach.
	chmod 755 "$tmp"
	cp "$(type -P true)" "$tmp/setuid"
	chmod 4755 "$tmp/setuid"
	if setpriv --reuid 65534 --clear-groups test -x "$GRT" -a -r "$GRT_PRELOAD"; then
		expect "a setuid binary" 126 'setuid' setpriv --reuid 65534 --clear-groups "$GRT" run "$tmp/setuid"
		one_line "a setuid binary"
	fi
fi

# What the program sees.
real=$(readlink -f "$GRT_PRELOAD")
preload_of() { sed -n 's/^LD_PRELOAD=//p' "$tmp/out"; }
expect "environment" 0 '^GLIBC_TUNABLES=glibc.pthread.rseq=0$' "$GRT" run env
[ "$(readlink -f "$(preload_of)")" = "$real" ] || { echo "LD_PRELOAD is $(preload_of), not $real"; bad=1; }
grep -q '^GOMAXPROCS=' "$tmp/out" && { echo "GOMAXPROCS set without being asked"; bad=1; }
expect "--gomaxprocs N" 0 '^GOMAXPROCS=3$' "$GRT" run --gomaxprocs 3 -- env
expect "--gomaxprocs=N" 0 '^GOMAXPROCS=5$' "$GRT" run --gomaxprocs=5 env
expect "tunables are kept" 0 '^GLIBC_TUNABLES=glibc.malloc.arena_max=2:glibc.pthread.rseq=0$' \
	env GLIBC_TUNABLES=glibc.malloc.arena_max=2 "$GRT" run env
echo 'int nothing;' >"$tmp/other.c"
$CC -shared -fPIC -o "$tmp/other.so" "$tmp/other.c"
expect "LD_PRELOAD is kept" 0 "^LD_PRELOAD=.*libgrt.so.*:$tmp/other.so\$" env LD_PRELOAD="$tmp/other.so" "$GRT" run env
expect "GRT_LIB names a folder" 0 '^LD_PRELOAD=.*libgrt' env GRT_LIB="$(dirname "$GRT_PRELOAD")" "$GRT" run env
expect "options of the program" 0 '^a --gomaxprocs b$' "$GRT" run echo a --gomaxprocs b
expect "exit status" 42 '^$' "$GRT" run sh -c 'echo; exit 42'
expect "the library is really loaded" 0 'libgrt' "$GRT" run cat /proc/self/maps

expect "doctor" 0 '^Tasks run M:N' "$GRT" doctor
grep -q 'degraded' "$tmp/out" && grep 'degraded' "$tmp/out"
expect "doctor without a library" 1 '^  tasks  *degraded' env GRT_LIB=/nowhere "$GRT" doctor
expect "doctor with an argument" 2 'takes no arguments' "$GRT" doctor now
exit $bad
