#!/bin/bash
# sqlite: its sorter's worker threads, and one database used by many threads of a process.
# PACKAGES: sqlite3 python3
. "$(dirname "$0")/common.sh"
need sqlite3 sqlite3
need python python3
cat >"$T/sort.sql" <<'SQL'
PRAGMA threads = 4;
PRAGMA cache_size = 200;
PRAGMA temp_store = 2;
CREATE TABLE t(a INTEGER, b TEXT, c REAL);
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 150000)
INSERT INTO t SELECT (i * 7919) % 1000003, printf('%08d', (i * 104729) % 999983), i / 7.0 FROM n;
CREATE INDEX ib ON t(b);
CREATE INDEX iac ON t(a, c);
SELECT count(*), sum(a), min(b), max(b), round(sum(c), 3) FROM t;
SELECT b FROM t ORDER BY b DESC LIMIT 5 OFFSET 70000;
SELECT a % 10, count(DISTINCT b) FROM t GROUP BY 1 ORDER BY 1;
PRAGMA integrity_check;
SQL
INPUT=$T/sort.sql
both "$sqlite3" -batch db
ok "sorting with worker threads"
grep -q '^ok$' "$T/grt.out" || fail "integrity_check: $(tail -n 1 "$T/grt.out")"
cat >"$T/p.py" <<'PY'
import sqlite3, threading

db = "threads.db"
c = sqlite3.connect(db)
print(c.execute("PRAGMA journal_mode=WAL").fetchone()[0])
c.execute("CREATE TABLE t(id INTEGER PRIMARY KEY, who INTEGER, n INTEGER)")
c.commit()
errors = []

def writes(who):
    try:
        k = sqlite3.connect(db, timeout=60)
        k.execute("PRAGMA synchronous=OFF")
        for n in range(60):
            with k:
                k.execute("BEGIN IMMEDIATE")
                k.execute("INSERT INTO t(who, n) VALUES(?, ?)", (who, n))
        k.close()
    except Exception as e:
        errors.append(repr(e))

def reads():
    try:
        k = sqlite3.connect(db, timeout=60)
        last = 0
        for _ in range(60):
            n = k.execute("SELECT count(*) FROM t").fetchone()[0]
            assert n >= last
            last = n
        k.close()
    except Exception as e:
        errors.append(repr(e))

# one connection shared by threads, serialised by sqlite's own mutexes; python's module has races of its own (its BEGIN, and
# its cache of statements by their text), so there is no BEGIN and each thread has its own text
shared = sqlite3.connect(":memory:", check_same_thread=False, isolation_level=None)
shared.execute("CREATE TABLE s(n INTEGER)")

def shares(n):
    for i in range(200):
        shared.execute("INSERT INTO s VALUES(?) -- %d" % n, (n * 1000 + i,))

ts = [threading.Thread(target=writes, args=(i,)) for i in range(6)]
ts += [threading.Thread(target=reads) for _ in range(4)]
ts += [threading.Thread(target=shares, args=(i,)) for i in range(4)]
for t in ts: t.start()
for t in ts: t.join()
print(errors)
print(c.execute("SELECT count(*), count(DISTINCT who), sum(n) FROM t").fetchone())
print(shared.execute("SELECT count(*), sum(n) FROM s").fetchone())
print(c.execute("PRAGMA integrity_check").fetchone()[0])
c.close()
import os
os.remove(db) # its bytes depend on the order
PY
INPUT=/dev/null
both "$python" "$T/p.py"
ok "14 threads"
[ "$(sed -n 2p "$T/grt.out")" = "[]" ] || fail "errors: $(sed -n 2p "$T/grt.out")"
threads_ok "python with sqlite in 14 threads"
