/* io_unseen.c - a descriptor that was waited for is closed, and its number given to another file, by system calls that nobody
 * interposes; a read of the new file wakes when there is something. */
#include "io.h"

#include <sys/syscall.h>

static long direct(long nr, long a, long b, long c)
{
	long r;
#ifdef __x86_64__
	__asm__ volatile("syscall" : "=a"(r) : "0"(nr), "D"(a), "S"(b), "d"(c) : "rcx", "r11", "memory");
#else
	r = io_rc(syscall(nr, a, b, c));
#endif
	return r;
}

int main(void)
{
	int p[2], q[2], number;
	io_pipe(p);
	io_pipe(q);
	struct io_call r = {.fn = io_read, .fd = p[0], .n = 1};
	io_start(&r);
	CHECK("a read waits", io_blocked(&r));
	EXPECT_EQ(1, write(p[1], "x", 1));
	CHECK_EQ("and gets what comes", 1, io_end(&r));

	number = p[0];
	CHECK_EQ("another file takes its number, unseen", number, direct(SYS_dup3, q[0], number, 0));
	struct io_call s = {.fn = io_read, .fd = number, .n = 1};
	io_start(&s);
	CHECK("a read of that waits", io_blocked(&s));
	EXPECT_EQ(1, write(q[1], "y", 1));
	CHECK_EQ("and gets what comes, too", 1, io_end(&s));
	CHECK("from the new file", s.buf[0] == 'y');

	CHECK_EQ("closed, unseen", 0, direct(SYS_close, number, 0, 0));
	CHECK_EQ("opened, unseen", number, direct(SYS_dup, q[0], 0, 0));
	struct io_call t = {.fn = io_read, .fd = number, .n = 1};
	io_start(&t);
	CHECK("a read of that waits too", io_blocked(&t));
	EXPECT_EQ(1, write(q[1], "z", 1));
	CHECK_EQ("and wakes", 1, io_end(&t));
	return check_done();
}
