#!/bin/bash
# A thread for each connection: the servers of examples/, and python's http.server with ThreadingMixIn.
# PACKAGES: curl python3
. "$(dirname "$0")/common.sh"
need curl curl
need python python3
unset http_proxy https_proxy all_proxy HTTP_PROXY HTTPS_PROXY ALL_PROXY
examples=$here/../../examples
for e in echo http; do
	${CC:-cc} -O2 -pthread -o "$T/${e}_threads" "$examples/${e}_threads.c" || fail "examples/${e}_threads.c does not compile"
done
mkdir "$T/www"
for i in $(seq 1 20); do seq 1 $((i * 500)) >"$T/www/f$i"; done
cat >"$T/serve.py" <<'PY'
import http.server, socketserver, sys, signal
signal.signal(signal.SIGTERM, lambda *a: sys.exit(5))
class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads, request_queue_size = True, 128
class Handler(http.server.SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def log_message(self, *a): pass
Server(("127.0.0.1", int(sys.argv[1])), lambda *a: Handler(*a, directory=sys.argv[2])).serve_forever(0.05)
PY
# 300 connections at once, each of which says a few things and waits for them
cat >"$T/echo.py" <<'PY'
import selectors, socket, sys
n, port = 300, int(sys.argv[1])
sel, done = selectors.DefaultSelector(), 0
for i in range(n):
    s = socket.create_connection(("127.0.0.1", port))
    s.sendall(b"%d:0;" % i)
    sel.register(s, selectors.EVENT_READ, [i, 0, b""])
while sel.get_map():
    ready = sel.select(20)
    if not ready: sys.exit("no answer for %d" % len(sel.get_map()))
    for key, _ in ready:
        state = key.data
        state[2] += key.fileobj.recv(100)
        if state[2] != b"%d:%d;" % tuple(state[:2]):
            if len(state[2]) > 20 or not state[2]: sys.exit("not what was sent: %r" % state)
            continue
        state[1:] = state[1] + 1, b""
        if state[1] == 20:
            sel.unregister(key.fileobj); key.fileobj.close(); done += 1
        else:
            key.fileobj.sendall(b"%d:%d;" % tuple(state[:2]))
print(done)
PY

side() {
	local side=$1 port i urls=()
	port=$(free_port)
	start "$side" "$T/echo_threads" "$port"
	wait_port "$port"
	timeout 60 "$python" "$T/echo.py" "$port" >"$T/$side.seen" 2>&1 || fail "$side: echo_threads: $(cat "$T/$side.seen")"
	stop TERM
	[ "$side" = native ] || threads_ok "echo_threads with 300 connections"
	port=$(free_port)
	start "$side" "$T/http_threads" "$port"
	wait_port "$port"
	for i in $(seq 1 40); do urls+=("http://127.0.0.1:$port/x$i" -o "$T/x$i"); done
	timeout 60 "$curl" -s --parallel --parallel-max 20 "${urls[@]}" 2>/dev/null || fail "$side: http_threads: curl $?"
	for i in $(seq 1 40); do
		cat "$T/x$i"
		echo
	done >>"$T/$side.seen"
	timeout 60 "$curl" -s -w '%{http_code} %{num_connects}\n' "http://127.0.0.1:$port/a" "http://127.0.0.1:$port/b" >>"$T/$side.seen"
	timeout 60 "$curl" -s -d x -w '%{http_code}\n' "http://127.0.0.1:$port/a" >>"$T/$side.seen"
	stop TERM
	echo "status $status" >>"$T/$side.seen"
	port=$(free_port)
	start "$side" "$python" "$T/serve.py" "$port" "$T/www"
	wait_port "$port"
	urls=()
	for i in $(seq 1 20); do urls+=("http://127.0.0.1:$port/f$i" -o "$T/$side.f$i"); done
	for _ in 1 2 3; do
		timeout 60 "$curl" -s --parallel --parallel-max 20 "${urls[@]}" 2>/dev/null || fail "$side: http.server: curl $?"
		for i in $(seq 1 20); do cmp "$T/www/f$i" "$T/$side.f$i" || fail "$side: http.server: file $i"; done
	done
	timeout 60 "$curl" -s -w '%{http_code}\n' -o "$T/none" "http://127.0.0.1:$port/none" >>"$T/$side.seen"
	stop TERM
	echo "status $status" >>"$T/$side.seen"
	[ "$side" = native ] || threads_ok "python3 http.server"
}
side native
side grt
cmp -s "$T/native.seen" "$T/grt.seen" || {
	diff "$T/native.seen" "$T/grt.seen"
	fail "answers differ"
}
grep -q '^300$' "$T/grt.seen" && [ "$(grep -c '^hello, /x' "$T/grt.seen")" = 40 ] || fail "wrong answers: $(head -n 5 "$T/grt.seen")"
