#!/bin/bash
# haproxy: a master, workers of four threads each, a reload that hands the listeners over, the end.
# PACKAGES: haproxy curl python3
. "$(dirname "$0")/common.sh"
need haproxy haproxy
need curl curl
need python python3
cat >"$T/origin.py" <<'PY'
import http.server, socketserver, sys
class H(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        body = (self.path.encode() + b"\n") * 500
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *a): pass
class S(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True
    request_queue_size = 128
S(("127.0.0.1", int(sys.argv[1])), H).serve_forever()
PY
cat >"$T/client.py" <<'PY'
import http.client, sys, threading
port, n = int(sys.argv[1]), int(sys.argv[2])
lock, good = threading.Lock(), [0]
def work(k):
    c, ok = None, 0
    for i in range(n):
        path = "/%d/%d" % (k, i)
        for attempt in range(3): # a reload closes idle connections
            try:
                if c is None: c = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
                c.request("GET", path)
                r = c.getresponse()
                ok += r.status == 200 and r.read() == (path.encode() + b"\n") * 500
                break
            except (http.client.HTTPException, OSError):
                c = None
    with lock: good[0] += ok
ts = [threading.Thread(target=work, args=(k,)) for k in range(12)]
[t.start() for t in ts]; [t.join() for t in ts]
print("good", good[0])
PY
side() {
	local side=$1 origin back front
	back=$(free_port)
	front=$(free_port)
	"$python" "$T/origin.py" "$back" 2>/dev/null &
	origin=$!
	running=$origin
	until (exec 3<>"/dev/tcp/127.0.0.1/$back") 2>/dev/null; do sleep 0.1; done
	cat >"$T/cfg" <<CFG
global
  nbthread 4
  maxconn 300
  stats socket $T/$side.sock mode 600 level admin expose-fd listeners
defaults
  mode http
  timeout connect 10s
  timeout client 20s
  timeout server 20s
frontend f
  bind 127.0.0.1:$front
  default_backend b
backend b
  balance leastconn
  server s 127.0.0.1:$back check inter 500
CFG
	start "$side" "$haproxy" -W -db -f "$T/cfg"
	wait_port "$front"
	timeout 60 "$python" "$T/client.py" "$front" 40 >"$T/$side.seen"
	timeout 60 "$python" "$T/client.py" "$front" 40 >>"$T/$side.seen" &
	sleep 0.3
	kill -USR2 "$server"
	wait $!
	sleep 0.5
	"$curl" -s -m 10 "http://127.0.0.1:$front/x" | cksum >>"$T/$side.seen"
	stop "$2"
	echo "status $status, left: $(pgrep -f "$T/cfg" | wc -l)" >>"$T/$side.seen"
	grep -oE 'exited with code.*|panic.*|goroutine.*' "$T/$side.err" | sort >>"$T/$side.seen"
	kill "$origin"
	wait "$origin" 2>/dev/null
	running=
}
for end in TERM USR1; do
	side native $end
	side grt $end
	cmp -s "$T/native.seen" "$T/grt.seen" || {
		diff "$T/native.seen" "$T/grt.seen"
		fail "ended by $end: answers differ"
	}
	[ "$(grep -c 'good 480' "$T/grt.seen")" = 2 ] || fail "not all were served: $(cat "$T/grt.seen")"
done
threads_ok "haproxy with 4 threads"
