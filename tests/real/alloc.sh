#!/bin/bash
# Programs that live by malloc: python's lists and dicts, g++ with a large file, gcc's LTO link, sqlite, ImageMagick with a large picture,
# node's Buffers, a parallel make; each with the same output as natively, and the peak memory of both in the log.
# PACKAGES: gcc g++ make python3 sqlite3 imagemagick-6.q16
. "$(dirname "$0")/common.sh"
LIMIT=60
for tool in gcc g++ make; do
	command -v $tool >/dev/null || skip "no $tool"
done
need python python3
need sqlite3 sqlite3
need convert convert-im6.q16

# peak FILE LIBRARY COMMAND...: runs it with the library preloaded, if there is one; FILE gets the largest peak of its processes, in KiB.
cat >"$T/peak.c" <<'C'
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
int main(int argc, char **argv)
{
	int status;
	struct rusage ru;
	pid_t pid = fork();
	if (argc < 4 || pid < 0)
		return 125;
	if (pid == 0) {
		if (argv[2][0])
			setenv("LD_PRELOAD", argv[2], 1);
		execvp(argv[3], argv + 3);
		_exit(127);
	}
	waitpid(pid, &status, 0);
	getrusage(RUSAGE_CHILDREN, &ru);
	FILE *f = fopen(argv[1], "w");
	fprintf(f, "%ld\n", ru.ru_maxrss);
	fclose(f);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
C
gcc -O1 -o "$T/peak" "$T/peak.c" || fail "peak.c does not compile"

# same WHAT COMMAND...: on both sides, ends with 0; what it writes and leaves is compared.
same() {
	local what=$1 side preload
	shift
	for side in native grt; do
		preload=
		[ $side = native ] || preload=$GRT_PRELOAD
		cd "$T/$side" || exit 1
		timeout -k 5 "$LIMIT" "$T/peak" "$T/$side.peak" "$preload" "$@" <"$INPUT" >"$T/$side.out" 2>"$T/$side.err"
		eval "${side}_status=\$?"
		cd "$T" || exit 1
	done
	compare "$what"
	ok "$what"
	echo "$what: peak $(cat "$T/grt.peak") KiB, natively $(cat "$T/native.peak") KiB"
}

cat >"$T/p.py" <<'PY'
import random, threading
r = random.Random(5)
a = [[i] * (i % 17) for i in range(200000)]
d = {str(i): (i, "x" * (i % 300)) for i in range(200000)}
for i in range(0, 200000, 2):
    del d[str(i)]
for i in range(300000):
    k = r.randrange(200000)
    a[k] = a[k - 1][:3] + [i]
s = "".join(v[1] for v in d.values())
b = bytearray()
for i in range(2000):
    b += bytes([i % 256]) * 5000
sets = [frozenset(r.randrange(1000) for _ in range(50)) for _ in range(5000)]
sums = [0] * 4
def work(n):
    x = {}
    for i in range(60000):
        x[i * 7919 % 10007] = [n] * (i % 40)
    sums[n] = sum(len(v) for v in x.values())
ts = [threading.Thread(target=work, args=(n,)) for n in range(4)]
[t.start() for t in ts]
[t.join() for t in ts]
print(len(s), sum(map(len, a)), len(b), sum(map(len, sets)), sums, sorted(sets, key=sorted)[0].__len__())
PY
same "python, its own arenas" "$python" "$T/p.py"
same "python, all by malloc" env PYTHONMALLOC=malloc "$python" "$T/p.py"

mkdir "$T/src"
{
	echo '#include <algorithm>'
	for h in functional iostream map memory regex string unordered_map variant vector; do echo "#include <$h>"; done
	for i in $(seq 16); do
		cat <<CC
struct s$i { std::map<int, std::string> m; std::vector<std::variant<int, double, std::string>> v; long x[$i]; };
static auto f$i(int n) {
	s$i s; std::unordered_map<std::string, std::shared_ptr<s$i>> u;
	for (int i = 0; i < n; i++) { s.m[i] = std::to_string(i * $i); s.v.emplace_back(s.m[i]); u[s.m[i]] = std::make_shared<s$i>(s); }
	std::sort(s.v.begin(), s.v.end()); std::function<size_t(int)> g = [s, u](int k) { return s.m.size() + u.size() + s.v.size() * k; };
	return g;
}
CC
	done
	echo 'int main(int c, char **v) { size_t n = 0;'
	for i in $(seq 16); do echo "n += f$i(c + $i)($i);"; done
	echo 'std::cout << n << std::regex_match(v[0], std::regex("a.*b")) << "\n"; }'
} >"$T/src/large.cc"
same "g++ -O1" g++ -std=c++17 -O1 -c -o large.o "$T/src/large.cc"

for i in $(seq 12); do
	{
		echo '#include <stdio.h>'
		echo '#include <stdlib.h>'
		echo '#include <string.h>'
		for k in $(seq 25); do
			echo "long g_${i}_$k(long n) { long a[$k + 1], s = 0; for (long i = 0; i < $k; i++) a[i] = n * i + $i; for (long i = 0; i < $k; i++) s += a[i] ^ (s << 3); return s % $((k * 7 + 1)); }"
		done
		echo "long all_$i(long n) { char *p = malloc(1000); long s = 0; memset(p, $i, 1000);"
		for k in $(seq 25); do echo "s += g_${i}_$k(n + p[$k]);"; done
		echo 'free(p); return s; }'
	} >"$T/src/m$i.c"
done
{
	echo '#include <stdio.h>'
	for i in $(seq 12); do echo "long all_$i(long);"; done
	echo 'int main(int c, char **v) { (void)v; long s = 0;'
	for i in $(seq 12); do echo "s += all_$i(c);"; done
	echo 'printf("%ld\n", s); return 0; }'
} >"$T/src/main.c"
for f in "$T"/src/*.c; do
	gcc -O2 -flto -frandom-seed=1 -c -o "${f%.c}.o" "$f" || fail "the files for the link do not compile"
done
same "gcc -flto" gcc -O2 -flto=2 -frandom-seed=1 -o program "$T"/src/*.o
"$T/grt/program" >"$T/program.out" || fail "the linked program does not run"

cat >"$T/Makefile" <<'MAKE'
objects = $(notdir $(patsubst %.c,%.o,$(wildcard $(src)/*.c)))
program: $(objects)
	@gcc -o $@ $(sort $(objects))
%.o: $(src)/%.c
	@gcc -O2 -c -o $@ $<
MAKE
same "make -j4" make -s -j4 -f "$T/Makefile" src="$T/src" program

cat >"$T/speed.sql" <<'SQL'
PRAGMA cache_size = -100000;
CREATE TABLE t1(a INTEGER, b INTEGER, c TEXT);
CREATE TABLE t2(a INTEGER PRIMARY KEY, b TEXT);
BEGIN;
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 200000)
INSERT INTO t1 SELECT i, (i * 7919) % 100003, printf('number %d of the rows', (i * 31) % 5003) FROM n;
INSERT INTO t2 SELECT a, group_concat(c, '-') FROM t1 WHERE a % 3 = 0 GROUP BY a;
COMMIT;
CREATE INDEX i1 ON t1(b);
CREATE INDEX i2 ON t1(c, b);
SELECT count(*), avg(b) FROM t1 WHERE b BETWEEN 100 AND 20000;
SELECT count(*), sum(length(t2.b)) FROM t1 JOIN t2 ON t1.a = t2.a WHERE t1.c LIKE '%99%';
UPDATE t1 SET b = b + 1, c = c || 'x' WHERE a % 5 = 0;
DELETE FROM t1 WHERE a % 7 = 0;
SELECT c, count(*) FROM t1 GROUP BY c ORDER BY 2 DESC, 1 LIMIT 5;
SELECT length(group_concat(c)) FROM t1;
SELECT count(DISTINCT substr(c, 1, 9)) FROM t1;
VACUUM;
PRAGMA integrity_check;
SQL
INPUT=$T/speed.sql
same "sqlite" "$sqlite3" -batch db
INPUT=/dev/null

same "ImageMagick" "$convert" -size 3000x2400 gradient:red-blue -swirl 60 -resize 75% -rotate 3 -blur 0x2 -depth 8 \
	-define png:exclude-chunks=date,time -format '%# %w %h\n' -write info: picture.png

if command -v node >/dev/null; then
	need node node
	cat >"$T/p.js" <<'JS'
const crypto = require('crypto'), zlib = require('zlib');
const h = crypto.createHash('sha256');
let kept = [];
for (let i = 0; i < 60000; i++) {
	const b = Buffer.allocUnsafeSlow(1 + (i * 7919) % (i % 50 ? 9000 : 300000)).fill(i % 256);
	if (i % 3 === 0) kept[(i * 31) % 500] = b;
	if (i % 100 === 0) h.update(b);
}
for (const b of kept) if (b) h.update(b.subarray(0, 10));
for (let i = 0; i < 30; i++) h.update(zlib.gunzipSync(zlib.gzipSync(Buffer.alloc(300000, 'text' + i))));
let big = Buffer.alloc(0);
for (let i = 0; i < 200; i++) big = Buffer.concat([big, Buffer.alloc(20000, i)]);
console.log(h.update(big).digest('hex'), kept.filter(x => x).length);
JS
	same "node" "$node" "$T/p.js"
fi
