#!/bin/bash
# git: threads in pack-objects, index-pack, grep and preload-index; many child processes, pipes
# between them, and asynchronous demultiplexing.
# PACKAGES: git
. "$(dirname "$0")/common.sh"
need git git
export HOME=$T GIT_CONFIG_NOSYSTEM=1 GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@b GIT_COMMITTER_NAME=a \
	GIT_COMMITTER_EMAIL=a@b GIT_AUTHOR_DATE='1700000000 +0000' GIT_COMMITTER_DATE='1700000000 +0000'
cat >"$T/.gitconfig" <<'CONF'
[init]
	defaultBranch = main
[gc]
	auto = 0
	autoDetach = false
[pack]
	threads = 8
[index]
	threads = 8
[core]
	preloadIndex = true
[grep]
	threads = 8
[checkout]
	workers = 4
	thresholdForParallelism = 10
[protocol "file"]
	allow = always
CONF
LIMIT=20
text 1 >"$T/in"
mkdir "$T/origin"
(
	cd "$T/origin" && git init -q &&
		split -l 50 -a 4 "$T/in" f. && git add . && git commit -qm one &&
		for f in f.aaa*; do sed -i "s/line 1/LINE $f/" "$f"; done && git commit -qam two &&
		for f in f.aab*; do sed -i "s/text/TEXT/" "$f"; done && git commit -qam three
) || fail "the repository could not be made"

# what a repository holds, however it is packed
contents() {
	git -C "$1" rev-parse HEAD HEAD~1 HEAD~2
	git -C "$1" cat-file --batch-all-objects --batch-check
	git -C "$1" fsck --full --strict 2>&1 || echo "fsck: $?"
	git -C "$1" status --porcelain
}
same() {
	contents "$T/native/$2" >"$T/c1"
	contents "$T/grt/$2" >"$T/c2"
	cmp -s "$T/c1" "$T/c2" || {
		diff "$T/c1" "$T/c2" | head
		fail "$1: the repositories differ"
	}
	[ "$(wc -l <"$T/c1")" -gt 300 ] || fail "$1: hardly anything in it"
	[ "$native_status" = "$grt_status" ] || fail "$1: status $grt_status, natively $native_status"
	ok "$1"
}

for side in native grt; do cp -r "$T/origin" "$T/$side/r"; done
native "$git" -C r gc -q --prune=now
under "$git" -C r gc -q --prune=now
same "git gc" r
native "$git" clone -q "file://$T/native/r" c
under "$git" clone -q "file://$T/grt/r" c
same "git clone by upload-pack" c
native "$git" clone -q --no-local "$T/origin" d
under "$git" clone -q --no-local "$T/origin" d
same "git clone of loose objects" d
native "$git" -C c repack -adfq --threads=8
under "$git" -C c repack -adfq --threads=8
same "git repack" c
# output that is compared byte for byte; the files of the two sides differ in their packs
lines() {
	native "$@"
	under "$@"
	[ "$native_status" = "$grt_status" ] || fail "$*: status $grt_status, natively $native_status"
	cmp -s "$T/native.out" "$T/grt.out" || fail "$*: output differs"
	[ -s "$T/native.out" ] || fail "$*: no output"
}
lines "$git" -C c grep -n 'line 99'
lines "$git" -C c log --stat --format=%H
lines "$git" -C c diff --stat HEAD~2
