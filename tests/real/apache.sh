#!/bin/bash
# Apache with each of its processing modules: children that fork, threads, signals between processes, graceful restarts, the end.
# PACKAGES: apache2-bin apache2-utils curl python3
. "$(dirname "$0")/common.sh"
need apache apache2
need ab ab
need curl curl
modules=/usr/lib/apache2/modules
[ -r $modules/mod_mpm_event.so ] || skip "Apache's modules are not in $modules"
mkdir "$T/www"
text 2 >"$T/www/big"
echo hello >"$T/www/small"
chmod -R a+rX "$T" 2>/dev/null

load() { # SIDE NAME ARGUMENTS...: what ab says of requests that must all succeed
	timeout 30 "$ab" -q "${@:3}" >"$T/ab" 2>&1
	echo "$2: ab $?, $(grep -cE '^(Failed requests: *0|Complete requests: *[0-9]+)$' "$T/ab") of 2" >>"$T/$1.seen"
}

side() {
	local side=$1 mpm=$2 port i
	port=$(free_port)
	cat >"$T/$side.conf" <<CONF
ServerRoot $T/$side
ServerName localhost
Listen 127.0.0.1:$port
LoadModule mpm_${mpm}_module $modules/mod_mpm_$mpm.so
LoadModule authz_core_module $modules/mod_authz_core.so
DefaultRuntimeDir $T/$side
PidFile $T/$side.pid
ErrorLog $T/$side.log
LogLevel notice
DocumentRoot $T/www
StartServers 2
<IfModule !mpm_prefork_module>
ThreadsPerChild 16
MaxRequestWorkers 64
</IfModule>
CONF
	[ "$(id -u)" != 0 ] || printf "User www-data\nGroup www-data\n" >>"$T/$side.conf"
	# of its own process group: prefork signals all of it
	start "$side" setsid "$apache" -f "$T/$side.conf" -DFOREGROUND
	wait_port "$port"
	: >"$T/$side.seen"
	for i in 1 2 3 4; do
		"$curl" -s -m 10 "http://127.0.0.1:$port/big" | cksum >"$T/get$i" &
		pids[i]=$!
	done
	wait "${pids[@]}"
	cat "$T"/get[1-4] >>"$T/$side.seen"
	load "$side" small -c 30 -n 1500 "http://127.0.0.1:$port/small"
	[ "$mpm" != worker ] || load "$side" keep-alive -k -c 30 -n 3000 "http://127.0.0.1:$port/small"
	(sleep 0.2 && kill -USR1 "$server") &
	load "$side" graceful -c 10 -n 1500 "http://127.0.0.1:$port/small"
	wait $!
	sleep 1
	kill -HUP "$server"
	sleep 1
	"$curl" -s -m 10 -o /dev/null -w '%{http_code}\n' "http://127.0.0.1:$port/none" >>"$T/$side.seen"
	stop "$3"
	echo "status $status, left: $(pgrep -f "$T/$side.conf" | wc -l)" >>"$T/$side.seen"
	sed -E 's/^\[[^]]*\] //; s/pid [0-9]+(:tid [0-9]+)?/pid/; s/pid=[0-9]+//; s/\.(native|grt)\b//; s/\/(native|grt)\b//g' "$T/$side.log" |
		grep -vE 'Command line|MinSpareThreads|scoreboard is full' | sed -E 's/(native|grt)\.conf//' | sort >>"$T/$side.seen"
	rm "$T/$side.log"
}
end=TERM
for mpm in event worker prefork; do
	for s in native grt; do side $s $mpm $end; done
	cmp -s "$T/native.seen" "$T/grt.seen" || {
		diff "$T/native.seen" "$T/grt.seen"
		fail "$mpm: answers or log differ"
	}
	grep -q 'graceful: ab 0, 2 of 2' "$T/grt.seen" || fail "$mpm: not all were served: $(cat "$T/grt.seen")"
	end=WINCH # a graceful end
done
