/*
 * System calls without libc: the result is the value or -errno.
 */
#ifndef GRT_ARCH_X86_64_SYSCALL_H
#define GRT_ARCH_X86_64_SYSCALL_H

#include <sys/syscall.h>

GRT_ALWAYS_INLINE long grt__syscall6(long nr, long a, long b, long c, long d, long e, long f)
{
	register long r10 __asm__("r10") = d;
	register long r8 __asm__("r8") = e;
	register long r9 __asm__("r9") = f;
	long ret;
	__asm__ volatile("syscall"
	                 : "=a"(ret)
	                 : "a"(nr), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
	                 : "rcx", "r11", "memory");
	return ret;
}

#define grt__sys0(nr) grt__syscall6(nr, 0, 0, 0, 0, 0, 0)
#define grt__sys1(nr, a) grt__syscall6(nr, (long)(a), 0, 0, 0, 0, 0)
#define grt__sys2(nr, a, b) grt__syscall6(nr, (long)(a), (long)(b), 0, 0, 0, 0)
#define grt__sys3(nr, a, b, c) grt__syscall6(nr, (long)(a), (long)(b), (long)(c), 0, 0, 0)
#define grt__sys4(nr, a, b, c, d) grt__syscall6(nr, (long)(a), (long)(b), (long)(c), (long)(d), 0, 0)
#define grt__sys5(nr, a, b, c, d, e) grt__syscall6(nr, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), 0)
#define grt__sys6(nr, a, b, c, d, e, f)                                                                                \
	grt__syscall6(nr, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), (long)(f))

#endif
