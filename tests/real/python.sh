#!/bin/bash
# python3: threading, queue, concurrent.futures, subprocess, multiprocessing, asyncio, signals.
# Python's lock of its interpreter is a mutex and a cond with a time-out, handed on all the time.
# PACKAGES: python3
. "$(dirname "$0")/common.sh"
need python python3
cat >"$T/threads.py" <<'PY'
import threading, queue, time, sys, faulthandler, concurrent.futures as cf, contextvars, socket, select
faulthandler.enable()

q, out = queue.Queue(10), []
lock, local = threading.RLock(), threading.local()
sys.setswitchinterval(0.0005)

def work(n):
    local.n = n
    s = 0
    while True:
        item = q.get()
        if item is None:
            break
        s += sum(i * i for i in range(item))
        with lock:
            with lock:
                out.append(item)
    assert local.n == n
    return s

with cf.ThreadPoolExecutor(8) as ex:
    fs = [ex.submit(work, n) for n in range(8)]
    for i in range(2000): q.put(i % 100)
    for _ in fs: q.put(None)
    print("sum", sum(f.result() for f in fs), len(out), sorted(out)[::400])

b = threading.Barrier(6)
serial = []
def meet():
    for _ in range(50):
        if b.wait() == 0: serial.append(1)
ts = [threading.Thread(target=meet) for _ in range(6)]
[t.start() for t in ts]; [t.join() for t in ts]
print("barrier", len(serial))

ev, cond, sem = threading.Event(), threading.Condition(), threading.BoundedSemaphore(3)
print("wait", ev.wait(0.05), lock.acquire(timeout=0.05))
lock.release()
inside, most = 0, 0
def limited():
    global inside, most
    with sem:
        with lock:
            inside += 1; most = max(most, inside)
        time.sleep(0.005)
        with lock: inside -= 1
ts = [threading.Thread(target=limited) for _ in range(12)]
[t.start() for t in ts]; [t.join() for t in ts]
print("semaphore", most <= 3, most >= 1)

# a spinning thread and the others
stop = False
def spin():
    n = 0
    while not stop: n += 1
t = threading.Thread(target=spin); t.start()
r = []
def tick():
    for i in range(20):
        time.sleep(0.002); r.append(i)
u = threading.Thread(target=tick); u.start(); u.join(); stop = True; t.join()
print("spin", r == list(range(20)))

# blocking I/O in threads: pipes, sockets, select
srv = socket.create_server(("127.0.0.1", 0))
port = srv.getsockname()[1]
def serve():
    for _ in range(20):
        c, _a = srv.accept()
        threading.Thread(target=echo, args=(c,)).start()
def echo(c):
    with c:
        while d := c.recv(100): c.sendall(d.upper())
threading.Thread(target=serve).start()
def client(n):
    with socket.create_connection(("127.0.0.1", port), timeout=20) as s:
        got = b""
        for i in range(20):
            s.sendall(b"x%d" % i)
            select.select([s], [], [], 20)
            got += s.recv(100)
        return len(got) > 20 and got.isupper()
with cf.ThreadPoolExecutor(20) as ex:
    print("echo", all(ex.map(client, range(20))))

timer = threading.Timer(0.02, ev.set); timer.start()
print("timer", ev.wait(10))
def bad(): raise ValueError("in a thread")
threading.excepthook = lambda a: print("excepthook", a.exc_type.__name__, a.exc_value)
t = threading.Thread(target=bad); t.start(); t.join()
print("stack", threading.stack_size(256 * 1024))
def rec(n): return 0 if n == 0 else 1 + rec(n - 1)
t = threading.Thread(target=lambda: print("rec", rec(200))); t.start(); t.join()
print("daemon")
threading.Thread(target=time.sleep, args=(100,), daemon=True).start()
def forever():
    while True: pass
threading.Thread(target=forever, daemon=True).start()
PY
cat >"$T/processes.py" <<'PY'
import threading, subprocess, os, sys, signal, time, asyncio, multiprocessing as mp
import concurrent.futures as cf

def run(n):
    r = subprocess.run(["sh", "-c", "cat; exit %d" % (n % 7)], input=b"in%d" % n, capture_output=True)
    return r.returncode, r.stdout
def square(x): return x * x
def shared(l, v):
    for _ in range(200):
        with l: v.value += 1

def main():
    with cf.ThreadPoolExecutor(8) as ex:
        print("subprocess", sorted(ex.map(run, range(24)))[::6])
    p = subprocess.Popen(["sleep", "60"])
    try: p.wait(timeout=0.05)
    except subprocess.TimeoutExpired: print("timeout")
    p.kill(); print("killed", p.wait())
    for how in ("fork", "spawn"):
        ctx = mp.get_context(how)
        with ctx.Pool(3) as pool:
            print(how, sum(pool.map(square, range(200), chunksize=7)))
    l, v = mp.Lock(), mp.Value("i", 0, lock=False)
    ps = [mp.Process(target=shared, args=(l, v)) for _ in range(4)]
    [p.start() for p in ps]; [p.join() for p in ps]
    print("shared", v.value, [p.exitcode for p in ps])
    with cf.ProcessPoolExecutor(2) as ex: print("process pool", sum(ex.map(square, range(50))))
    # fork while threads are alive
    stop = threading.Event()
    ts = [threading.Thread(target=stop.wait) for _ in range(4)]
    [t.start() for t in ts]
    pid = os.fork()
    if pid == 0:
        t = threading.Thread(target=lambda: None); t.start(); t.join()
        os._exit(9)
    print("fork", os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
    stop.set(); [t.join() for t in ts]
    got = []
    signal.signal(signal.SIGALRM, lambda s, f: got.append(s))
    signal.setitimer(signal.ITIMER_REAL, 0.03)
    time.sleep(0.2); print("alarm", len(got))
    signal.signal(signal.SIGUSR1, lambda s, f: got.append(s))
    t = threading.Thread(target=lambda: os.kill(os.getpid(), signal.SIGUSR1)); t.start(); t.join()
    time.sleep(0.01); print("usr1", len(got))
    async def a():
        loop = asyncio.get_running_loop()
        r = await asyncio.gather(*[loop.run_in_executor(None, square, i) for i in range(20)],
                                 asyncio.to_thread(time.sleep, 0.01))
        p = await asyncio.create_subprocess_exec("echo", "async", stdout=subprocess.PIPE)
        o, _ = await p.communicate()
        return sum(x for x in r if x), o, p.returncode
    print("asyncio", asyncio.run(a()))
    sys.stdout.flush()
    threading.Thread(target=lambda: (time.sleep(0.05), os._exit(11))).start()
    time.sleep(20)

if __name__ == "__main__": main()
PY
cat >"$T/interrupt.py" <<'PY'
import threading, os, signal, time
e = threading.Event()
threading.Timer(0.1, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
try:
    e.wait(20)
except KeyboardInterrupt:
    print("interrupted")
threading.Timer(0.1, lambda: os.kill(os.getpid(), signal.SIGTERM)).start()
time.sleep(20)
PY
both "$python" "$T/threads.py"
ok threads
threads_ok "python threads"
both "$python" "$T/processes.py"
[ "$native_status" = 11 ] || fail "processes: natively status $native_status"
both "$python" "$T/interrupt.py"
[ "$native_status" = 143 ] && grep -q interrupted "$T/native.out" || fail "interrupt: natively status $native_status"
both "$python" -c 'import threading, ctypes
t = threading.Thread(target=lambda: ctypes.string_at(0)); t.start(); t.join()'
[ "$native_status" = 139 ] || fail "a crash in a thread: natively status $native_status"
