#!/bin/bash
# PostgreSQL: a cluster is made, loaded and queried in parallel, and shut down fast; pgbench with threads. Skipped where it is not installed.
. "$(dirname "$0")/common.sh"
bin=$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | tail -n 1)
[ -x "$bin/postgres" ] && [ -x "$bin/pgbench" ] && [ -x "$bin/initdb" ] || skip "postgres is not installed"
as=()
if [ "$(id -u)" = 0 ]; then # it refuses root
	id postgres >/dev/null 2>&1 || skip "no user to run it"
	as=(setpriv --reuid=postgres --regid=postgres --clear-groups)
	chmod a+rx "$T"
	chown postgres "$T" "$T/native" "$T/grt"
fi
port=$(free_port)
sql() { "${as[@]}" "$bin/psql" -h "$T" -p "$port" -d postgres -AtqX -c "$1" 2>&1; }

side() {
	local side=$1 preload=
	[ "$side" = native ] || preload=${GRT_PRELOAD:+LD_PRELOAD=$GRT_PRELOAD}
	"${as[@]}" env $preload "$bin/initdb" -D "$T/$side/data" -A trust -N >/dev/null 2>"$T/$side.err" || fail "$side: initdb: $?"
	start "$side" "${as[@]}" "$bin/postgres" -D "$T/$side/data" -k "$T" -p "$port" -c listen_addresses= \
		-c fsync=off -c max_parallel_workers_per_gather=4
	for _ in $(seq 100); do "${as[@]}" "$bin/pg_isready" -q -h "$T" -p "$port" && break; sleep 0.1; done
	{
		sql "create table t as select i, i % 7 as k, repeat('x', i % 50) as s from generate_series(1, 60000) i"
		sql "create table a (i int primary key, n bigint); insert into a select i, 0 from generate_series(0, 9) i"
		sql "set parallel_setup_cost = 0; set parallel_tuple_cost = 0; set min_parallel_table_scan_size = 0;
			select k, count(*), sum(i), sum(length(s)) from t group by k order by k"
		echo '\set i random(0, 9)
			update a set n = n + 1 where i = :i;
			select sum(length(s)) from t where i between 1000 and 1100;' >"$T/script"
		"${as[@]}" env $preload timeout 30 "$bin/pgbench" -n -h "$T" -p "$port" -c 12 -j 4 -t 40 -f "$T/script" postgres 2>&1 |
			grep -E 'processed|failed'
		sql "select sum(n) from a"
	} >"$T/$side.seen"
	stop INT
	echo "status $status" >>"$T/$side.seen"
	grep -oE "(PANIC|FATAL|terminated by|goroutine).*" "$T/$side.err" >>"$T/$side.seen"
}
side native
side grt
cmp -s "$T/native.seen" "$T/grt.seen" || {
	diff "$T/native.seen" "$T/grt.seen"
	fail "answers differ"
}
grep -qx 480 "$T/grt.seen" || fail "pgbench: $(cat "$T/grt.seen")"
