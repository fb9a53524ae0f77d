#!/bin/bash
# MariaDB: many connections, killed in the middle of transactions, recovered, checked, shut down. Skipped where it is not installed.
. "$(dirname "$0")/common.sh"
LIMIT=60
need mariadbd mariadbd
need client mariadb
command -v mariadb-install-db >/dev/null || skip "mariadb-install-db is not installed"
user=()
if [ "$(id -u)" = 0 ]; then
	id mysql >/dev/null 2>&1 || skip "no user to run it"
	user=(--user=mysql)
	chmod a+rx "$T"
	chown mysql "$T" "$T/native" "$T/grt"
	export TMPDIR=$T # theirs too
fi
sql() { timeout 30 "$client" --no-defaults -uroot -S "$T/$side/s" -N "$@" 2>&1; }

begin() {
	start "$side" "$mariadbd" --no-defaults "${user[@]}" --datadir="$T/$side/data" --socket="$T/$side/s" --skip-networking \
		--max-connections=200 --innodb-buffer-pool-size=32M --innodb-flush-log-at-trx-commit=2 --thread-handling="$handling"
	for _ in $(seq 300); do
		sql -e "select 1" >/dev/null && return
		kill -0 "$server" 2>/dev/null || fail "$side: it ended at its start"
		sleep 0.1
	done
	fail "$side: no answer"
}

# Each connection moves money between accounts: the sum stays.
transfers() {
	for i in $(seq "$2"); do
		a=$((($1 * 7 + i) % 50)) b=$((($1 * 11 + i * 3) % 50))
		echo "begin; update a set n = n - 5 where i = least($a, $b); update a set n = n + 5 where i = greatest($a, $b); commit;"
	done | sql -f sbt 2>&1 | grep -v -E 'Deadlock|Lost connection|gone away|Connection'
}

both_sides() {
	for side in native grt; do
		mariadb-install-db --no-defaults "${user[@]}" --datadir="$T/$side/data" --auth-root-authentication-method=normal \
			--skip-test-db >/dev/null 2>&1 || fail "mariadb-install-db: $?"
		begin
		sql -e "create database sbt; use sbt; create table a (i int primary key, n int, s varchar(200)) engine=innodb;
			insert into a select seq, 1000, repeat('x', 150) from seq_0_to_49"
		for k in $(seq 24); do transfers "$k" 15 & pids[k]=$!; done
		wait "${pids[@]}"
		sql -e "select count(*), sum(n) from sbt.a" >"$T/$side.seen"
		for k in $(seq 16); do transfers "$k" 400 >/dev/null & pids[k]=$!; done
		sleep 1
		kill -KILL "$server"
		wait "$server" "${pids[@]}" 2>/dev/null
		server=
		wait "${watcher:-}" 2>/dev/null
		begin
		sql -e "check table sbt.a; select count(*), sum(n) from sbt.a" >>"$T/$side.seen"
		for k in $(seq 8); do transfers "$k" 10 & pids[k]=$!; done
		wait "${pids[@]}"
		sql -e "check table sbt.a; select count(*), sum(n) from sbt.a" >>"$T/$side.seen"
		echo "$handling, $side: peak $(peak_of "$server") KiB"
		stop TERM
		echo "status $status" >>"$T/$side.seen"
		grep -E 'goroutine|\[ERROR\]' "$T/$side.err" | sed 's/^[^[]*//' >>"$T/$side.seen"
		rm -rf "${T:?}/$side/data"
	done
	cmp -s "$T/native.seen" "$T/grt.seen" || {
		diff "$T/native.seen" "$T/grt.seen"
		fail "$handling: answers differ"
	}
	[ "$(grep -cE '^50[[:space:]]50000$' "$T/grt.seen")" = 3 ] || fail "$handling: the sum: $(cat "$T/grt.seen")"
}
for handling in one-thread-per-connection pool-of-threads; do both_sides; done
