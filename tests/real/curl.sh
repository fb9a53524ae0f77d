#!/bin/bash
# curl: a thread per name that is resolved, inside libc for its whole life.
# PACKAGES: curl python3
. "$(dirname "$0")/common.sh"
need curl curl
need python python3
"$curl" -V | grep -q AsynchDNS || skip "curl was built without its resolver"
unset http_proxy https_proxy all_proxy HTTP_PROXY HTTPS_PROXY ALL_PROXY
mkdir "$T/www"
for i in $(seq 1 20); do seq 1 $((i * 500)) >"$T/www/f$i"; done
port=$(free_port)
silent=$(free_port)
# one port serves the files, the other accepts and never answers
cat >"$T/serve.py" <<'PY'
import functools, http.server, socket, sys
s = socket.create_server(("127.0.0.1", int(sys.argv[2])))
handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=sys.argv[3])
http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), handler).serve_forever()
PY
"$python" "$T/serve.py" "$port" "$silent" "$T/www" >"$T/http.log" 2>&1 &
server=$!
watcher=
wait_port "$port"
both "$curl" -s -4 "http://localhost:$port/f7"
ok "one"
cmp -s "$T/www/f7" "$T/grt.out" || fail "not the file"
urls=()
for i in $(seq 1 20); do urls+=("http://localhost:$port/f$i" -o "f$i"); done
both "$curl" -s -4 --parallel --parallel-max 10 "${urls[@]}"
ok "20 in parallel"
diff -r "$T/www" "$T/grt" >/dev/null || fail "not the files"
both "$curl" -s --max-time 20 "http://no-such-host.invalid:$port/"
[ "$native_status" = 6 ] || [ "$native_status" = 5 ] || fail "an unknown host: natively status $native_status"
both "$curl" -s -4 -f "http://localhost:$port/none"
[ "$native_status" = 22 ] || fail "not found: natively status $native_status"
both "$curl" -s -4 --max-time 0.3 "http://localhost:$silent/"
[ "$native_status" = 28 ] || fail "a time-out: natively status $native_status"
both "$curl" -s -4 --connect-timeout 5 -w '%{http_code} %{num_connects}\n' -o f1 "http://localhost:$port/f1" \
	-o f2 "http://localhost:$port/f2"
ok "a connection used again"
