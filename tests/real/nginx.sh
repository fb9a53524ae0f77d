#!/bin/bash
# nginx: a pool of threads reads files for an event loop; master and workers, reload, graceful end.
# PACKAGES: nginx curl python3
. "$(dirname "$0")/common.sh"
need nginx nginx
need curl curl
"$nginx" -V 2>&1 | grep -q with-threads || skip "nginx was built without threads"
mkdir "$T/www"
text 4 >"$T/www/big"
for i in 1 2 3 4 5 6 7 8; do text 1 | tail -n +$((i * 1000)) >"$T/www/f$i"; done
chmod -R a+rX "$T" 2>/dev/null

side() {
	local side=$1 port i j master=$2
	port=$(free_port)
	cat >"$T/$side.conf" <<CONF
daemon off;
master_process $master;
worker_processes 2;
user $(id -un);
pid $T/$side.pid;
error_log $T/$side.log;
thread_pool pool threads=8 max_queue=1000;
events { worker_connections 256; }
http {
	access_log off;
	client_body_temp_path $T/$side; proxy_temp_path $T/$side; fastcgi_temp_path $T/$side;
	uwsgi_temp_path $T/$side; scgi_temp_path $T/$side;
	types { } default_type application/octet-stream;
	aio threads=pool;
	sendfile off;
	output_buffers 2 32k;
	server {
		listen 127.0.0.1:$port;
		root $T/www;
		location /sendfile/ { alias $T/www/; sendfile on; sendfile_max_chunk 64k; }
	}
}
CONF
	start "$side" "$nginx" -p "$T/$side" -c "$T/$side.conf"
	wait_port "$port"
	: >"$T/$side.seen"
	mkdir "$T/get"
	for i in $(seq 1 24); do
		case $((i % 4)) in 0) j=big ;; 1) j=sendfile/big ;; *) j=f$((i % 8 + 1)) ;; esac
		timeout 20 "$curl" -s -m 15 -o "$T/get/$i" -w "$j %{http_code} %{size_download}\n" \
			"http://127.0.0.1:$port/$j" >>"$T/get/codes" &
		pids[i]=$!
	done
	wait "${pids[@]}"
	(cd "$T/get" && sort codes && rm codes && cksum $(seq 1 24)) >>"$T/$side.seen"
	rm -r "$T/get"
	"$curl" -s -m 10 -o /dev/null -w "%{http_code}\n" "http://127.0.0.1:$port/none" >>"$T/$side.seen"
	"$curl" -s -m 10 -r 100000-100099 "http://127.0.0.1:$port/big" | cksum >>"$T/$side.seen"
	if [ "$master" = on ]; then
		kill -HUP "$server" # new workers, the old ones end
		sleep 0.5
		"$curl" -s -m 10 -w "%{http_code}\n" "http://127.0.0.1:$port/f3" | cksum >>"$T/$side.seen"
	fi
	stop QUIT
	echo "status $status" >>"$T/$side.seen"
	echo "left: $(pgrep -f "$T/$side.conf" | wc -l)" >>"$T/$side.seen"
	grep -E 'alert|crit|emerg' "$T/$side.log" && fail "$side: the log complains"
	return 0
}
for master in on off; do
	rm -rf "$T"/native/* "$T"/grt/*
	side native $master
	side grt $master
	cmp -s "$T/native.seen" "$T/grt.seen" || {
		diff "$T/native.seen" "$T/grt.seen"
		fail "master_process $master: answers differ"
	}
	[ "$(grep -c ' 200 ' "$T/grt.seen")" = 24 ] || fail "not all were served: $(cat "$T/grt.seen")"
done
threads_ok "nginx with 8 threads in its pool"
