#!/bin/bash
# stress-ng: the stressors of threads, signals, timers and processes verify what they do themselves.
# PACKAGES: stress-ng
. "$(dirname "$0")/common.sh"
need ng stress-ng
while read -r class ops; do
	limit="--$class-ops $ops -t 8"
	[ "$ops" != 0 ] || limit="-t 1" # its threads may reach a number before the last one is made
	for side in native grt; do
		mkdir -p "$T/$side/w"
		# stressors print their own measures: the verdicts are what is compared
		if [ $side = native ]; then run=native; else run=under; fi
		$run "$ng" --temp-path "$T/$side/w" --"$class" 1 $limit --verify --metrics-brief
		cat "$T/$side.out" "$T/$side.err" >"$T/$side.said"
		grep -E 'fail:|goroutine|libgrt' "$T/$side.said" | sed 's/\[[0-9]*\]//' >"$T/$side.bad"
		rm -rf "${T:?}/$side/w"
	done
	[ "$native_status" = 0 ] || continue # not on this machine
	[ "$grt_status" = 0 ] && [ ! -s "$T/grt.bad" ] || {
		cat "$T/grt.said"
		fail "$class: status $grt_status, natively $native_status"
	}
	ran="${ran-}$class "
done <<'LIST'
pthread 300
mutex 0
sem 20000
sem-sysv 5000
futex 5000
clone 20
vfork 1000
sigq 20000
sigsuspend 3000
sigfd 10000
timer 1000
membarrier 10
LIST
[ -n "${ran-}" ] || skip "no stressor runs here"
echo "ran: $ran"
