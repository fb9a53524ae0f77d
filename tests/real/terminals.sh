#!/bin/bash
# Sessions on pseudo terminals, by script and by tmux, and TLS by openssl's own server and client: the programs are event loops,
# what runs inside them has threads that read a terminal.
# PACKAGES: openssl tmux bsdutils python3
. "$(dirname "$0")/common.sh"
need script script
need tmux tmux
need openssl openssl
need python python3
cat >"$T/reads.py" <<'PY'
import os, pty, select, sys, termios, threading, tty
got = []
def reader():
    for line in sys.stdin: got.append(line.strip())
t = threading.Thread(target=reader); t.start()
print("size", os.isatty(0), flush=True); t.join()
print("got", got, flush=True)
# a session within: a shell on a terminal that a thread reads while another writes
pid, fd = pty.fork()
if pid == 0: os.execl("/bin/sh", "sh", "-c", "stty -echo; read a; echo \"<$a>\"; read b; echo \"<$b>\"; exit 3")
out = []
def pump():
    try:
        while d := os.read(fd, 100): out.append(d)
    except OSError: pass
t = threading.Thread(target=pump); t.start()
import time
while b"<" not in b"".join(out):
    os.write(fd, b"one\n"); time.sleep(0.2)
os.write(fd, b"two\n")
print("inner", os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])); t.join()
print(b"<two>" in b"".join(out) or b"<one>" in b"".join(out))
PY
printf 'first\nsecond\n' >"$T/lines"
for side in native grt; do
	preload=
	[ "$side" = native ] || preload=$GRT_PRELOAD
	(cat "$T/lines"; sleep 1; printf '\004') | timeout 60 env ${preload:+LD_PRELOAD="$preload"} "$script" -qec "$python $T/reads.py" /dev/null |
		tr -d '\r' | grep -E '^(size|got|inner|True|False)' >"$T/$side.seen"
	echo "status ${PIPESTATUS[1]}" >>"$T/$side.seen"
	t="timeout 60 env ${preload:+LD_PRELOAD=$preload} TERM=xterm $tmux -f /dev/null -S $T/$side.sock"
	$t new-session -d -x 80 -y 24 "sh -c 'read a; echo got \$a; read b'" || fail "$side: tmux"
	$t send-keys hello Enter
	for _ in $(seq 100); do
		$t capture-pane -p | grep -q 'got hello' && break
		sleep 0.1
	done
	$t capture-pane -p | grep -v '^$' >>"$T/$side.seen"
	$t split-window "seq 1 5; read x"
	$t list-panes | wc -l >>"$T/$side.seen"
	$t kill-server
	"$openssl" req -x509 -newkey rsa:2048 -nodes -subj /CN=localhost -days 2 -keyout "$T/key" -out "$T/cert" >/dev/null 2>&1 || fail "openssl req"
	port=$(free_port)
	start "$side" "$openssl" s_server -accept "127.0.0.1:$port" -cert "$T/cert" -key "$T/key" -rev -quiet
	wait_port "$port"
	for i in 1 2 3; do
		(echo "line $i"; sleep 0.5) | timeout 30 env ${preload:+LD_PRELOAD="$preload"} "$openssl" s_client -quiet -no_ign_eof \
			-connect "127.0.0.1:$port" -CAfile "$T/cert" 2>/dev/null >>"$T/$side.seen"
	done
	stop TERM
	rm -f "$T/key" "$T/cert"
done
cmp -s "$T/native.seen" "$T/grt.seen" || {
	diff "$T/native.seen" "$T/grt.seen"
	fail "sessions differ"
}
grep -q "got \['first', 'second'\]" "$T/grt.seen" && grep -q 'got hello' "$T/grt.seen" && grep -q '^3 enil' "$T/grt.seen" ||
	fail "wrong: $(cat "$T/grt.seen")"
