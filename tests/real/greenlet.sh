#!/bin/bash
# python3-greenlet: coroutines that copy slices of the C stack away and back, in threads that are preempted; and gevent, where it is
# installed: hubs in several threads, its pool of threads, servers, processes, signals, patched threads.
# PACKAGES: python3 python3-greenlet
. "$(dirname "$0")/common.sh"
need python python3
"$python" -c 'import greenlet' 2>/dev/null || skip "greenlet is not installed"
cat >"$T/greenlets.py" <<'PY'
import greenlet, threading, sys, gc
sys.setswitchinterval(0.0005)
def deep(d): return sum(range(200)) if d == 0 else deep(d - 1) + 1
def worker(n, out):
    main = greenlet.getcurrent()
    def gen(k):
        tot = 0
        for i in range(100):
            tot += i * k
            deep(30)
            main.switch((k, i))
        return tot
    gs = [greenlet.greenlet(gen) for k in range(20)]
    for k, g in enumerate(gs): g.switch(k)
    acc = 0
    while gs:
        for g in list(gs):
            r = g.switch()
            if g.dead:
                acc += r; gs.remove(g)
    out[n] = acc
out = {}
ts = [threading.Thread(target=worker, args=(n, out)) for n in range(8)]
[t.start() for t in ts]; [t.join() for t in ts]
print(sorted(out.items()))
keep, res = [], []
def thrown(n):
    def f():
        try: greenlet.getcurrent().parent.switch(1)
        except ValueError as e: return str(e)
    g = greenlet.greenlet(f); g.switch()
    res.append(g.throw(ValueError("x%d" % n)))
    h = greenlet.greenlet(lambda: greenlet.getcurrent().parent.switch(1)); h.switch()
    keep.append(h)  # unfinished when its thread ends
ts = [threading.Thread(target=thrown, args=(n,)) for n in range(20)]
[t.start() for t in ts]; [t.join() for t in ts]
print(sorted(res))
del keep; gc.collect()
PY
cat >"$T/hubs.py" <<'PY'
import gevent, gevent.pool, gevent.threadpool, gevent.queue, gevent.server, gevent.socket, gevent.subprocess, gevent.event, os, signal, threading
def naps(n):
    s = 0
    for i in range(10):
        gevent.sleep(0.0005 * (n % 3)); s += i * n
    return s
print(sum(gevent.pool.Pool(50).map(naps, range(200))))
tp = gevent.threadpool.ThreadPool(6)
print(sum(tp.map(lambda n: sum(i * i for i in range(n * 100)), range(100))))
def echo(s, a):
    while d := s.recv(100): s.sendall(d.upper())
srv = gevent.server.StreamServer(("127.0.0.1", 0), echo); srv.start()
def client(n):
    c = gevent.socket.create_connection(("127.0.0.1", srv.server_port))
    r = b""
    for i in range(20):
        c.sendall(b"x%d" % i); r += c.recv(100)
    c.close(); return len(r)
print(sum(gevent.pool.Pool(30).map(client, range(60))))
srv.stop()
def run(n):
    p = gevent.subprocess.Popen(["sh", "-c", "cat; exit %d" % (n % 5)], stdin=-1, stdout=-1)
    o, _ = p.communicate(b"in%d" % n); return p.returncode, o
print(sorted(gevent.pool.Pool(8).map(run, range(20)))[::4])
print(gevent.socket.gethostbyname("localhost"))
def hub(n, out):
    ev, q = gevent.event.Event(), gevent.queue.Queue()
    def prod():
        for i in range(100): q.put(i); gevent.sleep(0)
        ev.set()
    def cons():
        s = 0
        while not (ev.is_set() and q.empty()):
            try: s += q.get(timeout=0.01)
            except gevent.queue.Empty: pass
        return s
    gevent.spawn(prod); g = gevent.spawn(cons); g.join(); out[n] = g.value
    gevent.get_hub().destroy()
out = {}
ts = [threading.Thread(target=hub, args=(i, out)) for i in range(6)]
[t.start() for t in ts]; [t.join() for t in ts]
print(sorted(out.items()))
got = []
gevent.signal_handler(signal.SIGUSR1, lambda: got.append(1))
os.kill(os.getpid(), signal.SIGUSR1)
with gevent.Timeout(10, False):
    while not got: gevent.sleep(0.01)
print(got)
PY
cat >"$T/patched.py" <<'PY'
from gevent import monkey; monkey.patch_all()
import threading, http.server, urllib.request, subprocess, time, os, gevent, concurrent.futures as cf
class H(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        b = self.path.encode() * 100
        self.send_response(200); self.send_header("Content-Length", str(len(b))); self.end_headers(); self.wfile.write(b)
    def log_message(self, *a): pass
s = http.server.ThreadingHTTPServer(("127.0.0.1", 0), H)
threading.Thread(target=s.serve_forever, daemon=True).start()
def get(n): return len(urllib.request.urlopen("http://127.0.0.1:%d/%d" % (s.server_port, n)).read())
with cf.ThreadPoolExecutor(10) as ex: print(sum(ex.map(get, range(100))))
s.shutdown()
print(subprocess.run(["echo", "hi"], capture_output=True).stdout, flush=True)
pid = os.fork()
if pid == 0:
    t = threading.Thread(target=time.sleep, args=(0.01,)); t.start(); t.join()
    os._exit(3)
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
print(gevent.get_hub().threadpool.apply(lambda: sum(range(1000))))
PY
both "$python" "$T/greenlets.py"
ok greenlets
if "$python" -c 'import gevent' 2>/dev/null; then
	both "$python" "$T/hubs.py"
	ok hubs
	both "$python" "$T/patched.py"
	ok patched
fi
