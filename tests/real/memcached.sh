#!/bin/bash
# memcached: worker threads with libevent loops, an LRU maintainer, a hash expander, a logger.
# PACKAGES: memcached python3
. "$(dirname "$0")/common.sh"
need memcached memcached
need python python3
cat >"$T/client.py" <<'PY'
import socket, sys, threading
port = int(sys.argv[1])
lock = threading.Lock()
results = {}

class Conn:
    def __init__(self):
        self.s = socket.create_connection(("127.0.0.1", port), timeout=20)
        self.f = self.s.makefile("rb")
    def line(self, cmd, data=None):
        self.s.sendall(cmd.encode() + b"\r\n" + (data + b"\r\n" if data is not None else b""))
        return self.f.readline().strip().decode()
    def get(self, key):
        self.s.sendall(b"get " + key.encode() + b"\r\n")
        head = self.f.readline().split()
        if head[0] == b"END": return None
        data = self.f.read(int(head[3]) + 2)[:-2]
        assert self.f.readline() == b"END\r\n"
        return data

def work(n):
    c, bad = Conn(), 0
    for i in range(150):
        v = (b"%d-%d-" % (n, i)) * (1 + i * 7 % 200)
        bad += c.line("set k%d.%d 0 0 %d" % (n, i, len(v)), v) != "STORED"
        bad += c.get("k%d.%d" % (n, i)) != v
        bad += not c.line("incr shared 1").isdigit()
        if i % 10 == 0:
            bad += c.line("delete k%d.%d" % (n, i)) != "DELETED"
            bad += c.get("k%d.%d" % (n, i)) is not None
    with lock: results[n] = bad

c = Conn()
print(c.line("set shared 0 0 1", b"0"))
ts = [threading.Thread(target=work, args=(n,)) for n in range(16)]
[t.start() for t in ts]; [t.join() for t in ts]
print(sorted(results.items()))
print(c.get("shared"))
print(c.line("cas shared 0 0 1 1", b"x"))
print(c.line("add shared 0 0 1", b"x"))
print(c.line("bogus"))
c.s.sendall(b"stats\r\n")
st = {}
while (l := c.f.readline()) != b"END\r\n":
    _, k, v = l.decode().split(None, 2); st[k] = v.strip()
print({k: st[k] for k in ("curr_items", "threads", "cmd_set", "get_hits", "get_misses", "incr_hits")})
print(c.line("flush_all"), c.get("shared"))
PY
side() {
	local port
	port=$(free_port)
	start "$1" "$memcached" -u nobody -l 127.0.0.1 -p "$port" -U 0 -t 4 -m 64
	wait_port "$port"
	timeout 25 "$python" "$T/client.py" "$port" >"$T/$1.seen" 2>&1 || fail "$1: client: $(tail -n 3 "$T/$1.seen")"
	stop TERM
	echo "status $status" >>"$T/$1.seen"
}
side native
side grt
threads_ok "memcached -t 4"
cmp -s "$T/native.seen" "$T/grt.seen" || {
	diff "$T/native.seen" "$T/grt.seen"
	fail "answers differ"
}
grep -q "b'2400'" "$T/grt.seen" || fail "wrong answers: $(cat "$T/grt.seen")"
