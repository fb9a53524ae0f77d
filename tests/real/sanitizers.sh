#!/bin/bash
# Programs built with a sanitizer: those that keep a record of threads and stacks stay 1:1 and say so, and report what they
# report without libgrt: nothing in a right program, even if a parked thread alone holds a pointer.
# PACKAGES: gcc
. "$(dirname "$0")/common.sh"
command -v gcc >/dev/null || skip "no C compiler"
cat >"$T/leak.c" <<'END'
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>
static pthread_mutex_t m = PTHREAD_MUTEX_INITIALIZER;
static int ready;
static void *f(void *arg)
{
	char *volatile p = malloc(777);
	__atomic_add_fetch(&ready, 1, __ATOMIC_SEQ_CST);
	pthread_mutex_lock(&m);
	p[1] = 2;
	return arg;
}
int main(void)
{
	pthread_t t;
	pthread_mutex_lock(&m);
	for (int i = 0; i < 3; i++)
		pthread_create(&t, NULL, f, NULL);
	while (__atomic_load_n(&ready, __ATOMIC_SEQ_CST) < 3)
		usleep(1000);
	return 0;
}
END
: >"$T/native/end"
: >"$T/grt/end"
ran=
# A library before it in the preload list is what AddressSanitizer's shared library refuses, whatever library it is.
while read -r flags stays; do
	gcc -g -O1 -pthread ${flags//,/ } -o "$T/p" "$here/debug_program.c" 2>"$T/cc.err" &&
		gcc -g -O1 -pthread ${flags//,/ } -o "$T/leak" "$T/leak.c" 2>"$T/cc.err" || continue
	both "$T/p" steps
	both "$T/leak"
	ok "$flags: no leak"
	both "$T/p" crash fault
	[ -z "$GRT_PRELOAD" ] || [ "$(grep -c 'libgrt: threads stay 1:1' "$T/grt.err")" = "$stays" ] ||
		fail "$flags: $stays lines are expected"
	ran="$ran $flags"
done <<'LIST'
-fsanitize=address,-static-libasan 1
-fsanitize=thread 1
-fsanitize=thread,-static-libtsan 1
-fsanitize=leak 1
-fsanitize=undefined 0
LIST
[ -n "$ran" ] || skip "the compiler has no sanitizers"
echo "ran:$ran"
