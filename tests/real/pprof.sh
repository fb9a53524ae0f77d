#!/bin/bash
# The heap profile of unmodified programs, read by the tools for it: google-pprof and `go tool pprof` name the place that leaks, first, with
# about the right size, and python3's is read too.
# PACKAGES: google-perftools python3 gcc
. "$(dirname "$0")/common.sh"
need python python3
[ -n "$GRT_PRELOAD" ] || skip "nothing to test natively"
pprof=$(command -v google-pprof || command -v pprof) || skip "google-pprof is not installed"

cat >"$T/leak.c" <<'END'
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
__attribute__((noinline)) void *leaks_here(size_t n) { void *volatile p = malloc(n); return p; }
__attribute__((noinline)) void *keeps(size_t n) { void *volatile p = malloc(n); return p; }
static void *part(void *arg)
{
	for (int i = 0; i < 20000; i++) {
		leaks_here(1000);
		if (i % 10 == 0)
			keeps(1000);
		free(malloc(3000));
	}
	return arg;
}
int main(int argc, char **argv)
{
	pthread_t t[4];
	for (int i = 0; i < 4; i++)
		if (argc > 1)
			pthread_create(&t[i], NULL, part, NULL);
		else
			part(NULL);
	for (int i = 0; i < 4 && argc > 1; i++)
		pthread_join(t[i], NULL);
	return 0;
}
END
gcc -g -O1 -pthread -o "$T/leak" "$T/leak.c" 2>"$T/cc.err" || fail "it does not compile: $(head -n 5 "$T/cc.err")"

# What is first in "... place" lines, and its size in MB.
first() # FILE: of google-pprof --text
{
	awk '$2 ~ /%$/ { print $6, $1; exit }' "$1"
}

# 80 MB; at a rate of 512 KiB 150 samples, so 40 % is five times the standard deviation.
about() # MB
{
	awk -v is="$1" 'BEGIN { exit !(is > 76 * 0.6 && is < 80 * 1.4) }'
}

for rate in 1 524288; do
	for threads in "" threads; do
		for p in 1 2; do
			rm -f "$T"/heap.*
			GODEBUG=memprofilerate=$rate,memprofile=$T/heap.%p GOMAXPROCS=$p under "$T/leak" $threads
			[ "$status" -eq 0 ] || fail "leak $threads: status $status"
			profile=$(echo "$T"/heap.*)
			[ -s "$profile" ] || fail "no profile"
			"$pprof" --text --inuse_space "$T/leak" "$profile" >"$T/text" 2>"$T/native.err" || fail "google-pprof: status $?"
			read -r place size <<<"$(first "$T/text")"
			[ "$place" = leaks_here ] || fail "google-pprof, rate $rate: first is $place: $(cat "$T/text")"
			about "$size" || fail "google-pprof, rate $rate: $size MB"
			"$pprof" --lines --text --alloc_space "$T/leak" "$profile" >"$T/text" 2>"$T/native.err"
			grep -q 'leak\.c:' "$T/text" || fail "google-pprof knows no lines: $(cat "$T/text")"
			command -v go >/dev/null && go tool pprof -h 2>&1 | grep -q Output || continue
			HOME=$T go tool pprof -top -unit=MB -sample_index=inuse_space "$T/leak" "$profile" >"$T/text" 2>"$T/native.err" ||
				fail "go tool pprof: status $?"
			read -r place size <<<"$(awk '$2 ~ /%$/ && NF == 6 { sub(/MB/, "", $1); print $6, $1; exit }' "$T/text")"
			[ "$place" = leaks_here ] || fail "go tool pprof, rate $rate: first is $place: $(cat "$T/text")"
			about "$size" || fail "go tool pprof, rate $rate: $size MB"
		done
	done
done
echo "ok $name: a leak"

rm -f "$T"/heap.*
# All of its objects by malloc: a hundred MB, two hundred samples of what ever lived.
PYTHONMALLOC=malloc GODEBUG=memprofile=$T/heap.%p under "$python" -c '
import threading
kept = []
def work():
    for i in range(200000):
        kept.append(str(i) * 20)
ts = [threading.Thread(target=work) for i in range(3)]
[t.start() for t in ts]
[t.join() for t in ts]'
[ "$status" -eq 0 ] || fail "python3: status $status"
"$pprof" --text --cum --alloc_space "$python" "$T"/heap.* >"$T/text" 2>"$T/native.err" || fail "google-pprof of python3: status $?"
grep -q Py "$T/text" || fail "python3's profile names none of its functions: $(head "$T/text")"
echo "ok $name: python3"
