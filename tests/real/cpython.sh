#!/bin/bash
# CPython's own tests of threads, locals, epoll, and of processes that are forked and killed, where the distribution's package
# of them is installed (libpython3-testsuite; too large for the list): each case has the result that it has natively. Of sockets,
# poll, ssl and asyncio a case that fails natively may fail or not.
# TIMEOUT: 600
. "$(dirname "$0")/common.sh"
need python python3
"$python" -c 'import test.test_thread, test.test_multiprocessing_fork' 2>/dev/null || skip "CPython's tests are not installed"
cat >"$T/cases.py" <<'PY'
import sys, unittest
from test import support
support.verbose = 0
class Result(unittest.TestResult):
    def line(self, case, what, why=""):
        print(case.id(), what, flush=True)
        if why: print(why, file=sys.stderr)
    def addSuccess(self, c): self.line(c, "ok")
    def addSkip(self, c, why): self.line(c, "skipped")
    def addFailure(self, c, e): self.line(c, "FAIL", self._exc_info_to_string(e, c))
    def addError(self, c, e): self.line(c, "ERROR", self._exc_info_to_string(e, c))
def flat(suite):
    for t in suite:
        if isinstance(t, unittest.TestSuite): yield from flat(t)
        else: yield t
if __name__ == "__main__":
    module, only = sys.argv[1], sys.argv[2:]
    cases = flat(unittest.defaultTestLoader.loadTestsFromName("test." + module))
    unittest.TestSuite(c for c in cases if not only or c.id().split(".")[-1] in only).run(Result())
PY
for module in test_thread test_threading_local test_epoll \
	"test_multiprocessing_fork test_many_processes test_kill"; do
	# shellcheck disable=SC2086
	both "$python" "$T/cases.py" $module
	ok "$module"
	grep -q ' ok$' "$T/native.out" || fail "$module: no case passed natively"
done
# test_socket does not end natively where there is no network. Cases that measure times fail now and then beside other loads, with and without libgrt: the second time counts.
LIMIT=200
for module in test_select test_poll test_selectors test_socketserver test_asyncio.test_sock_lowlevel; do
	for _ in 1 2 3; do
		native "$python" "$T/cases.py" $module
		under "$python" "$T/cases.py" $module
		grep ' ok$' "$T/native.out" | sort >"$T/native.ok"
		grep ' ok$' "$T/grt.out" | sort | comm -23 "$T/native.ok" - >"$T/lost"
		[ -s "$T/lost" ] || break
	done
	[ ! -s "$T/lost" ] || fail "$module: $(tr '\n' ' ' <"$T/lost")"
	[ -s "$T/native.ok" ] || fail "$module: no case passed natively"
	[ "$native_status" = "$grt_status" ] || fail "$module: status $grt_status, natively $native_status"
	echo "$module: $(wc -l <"$T/native.ok") cases"
done
