# PACKAGES: golang-go
# The examples of grt.h print what the same programs in Go print.
set -u
src=$GRT_SRCDIR lib=$GRT_BUILDDIR/.libs bad=0
export GOCACHE=$TMPDIR/cache
for e in sieve pipeline philosophers ratelimit million quicksort ring; do
	${CC:-cc} -O2 -I"$src/src" "$src/examples/$e.c" -o "$TMPDIR/$e" -L"$lib" -Wl,-rpath,"$lib" -lgrt -pthread || exit 1
	go build -o "$TMPDIR/$e-go" "$src/bench/go/examples/$e.go" || exit 1
	for procs in 1 2; do
		GOMAXPROCS=$procs timeout 60 "$TMPDIR/$e" >"$TMPDIR/ours" || { echo "$e: exit status $?"; bad=1; }
		GOMAXPROCS=$procs timeout 60 "$TMPDIR/$e-go" >"$TMPDIR/theirs"
		diff "$TMPDIR/ours" "$TMPDIR/theirs" || { echo "$e with GOMAXPROCS=$procs differs from Go's"; bad=1; }
	done
done
exit $bad
