#include "sched/cancel_call.h"
#include "os/os.h"
#include "sched/tcb.h"
#include <dlfcn.h>
#include <gnu/libc-version.h>
#include <string.h>

static struct {
	uintptr_t lo, hi; /* from the look to the system call's end; constant from boot on; 0: there is none */
	uint32_t number;  /* where the call's number is kept while it sleeps, from its sp */
} cancel_call;

enum { LOOK_BYTES = 11, DEAD_WORDS = 96 };
/* mov (%rdi),%eax; testb $canceled,(%rdi); jne ... */
static const uint8_t cancel_call_look[] = {0x8b, 0x07, 0xf6, 0x07};
static const uint8_t cancel_call_rest[] = {
	0x49, 0x89, 0xfb,             /* mov %rdi,%r11 */
	0x48, 0x89, 0xf0,             /* mov %rsi,%rax */
	0x48, 0x89, 0xd7,             /* mov %rdx,%rdi */
	0x48, 0x89, 0xce,             /* mov %rcx,%rsi */
	0x4c, 0x89, 0xc2,             /* mov %r8,%rdx */
	0x4d, 0x89, 0xca,             /* mov %r9,%r10 */
	0x4c, 0x8b, 0x44, 0x24, 0x08, /* mov 8(%rsp),%r8 */
	0x4c, 0x8b, 0x4c, 0x24, 0x10, /* mov 16(%rsp),%r9 */
	0x4c, 0x89, 0x5c, 0x24, 0x08, /* mov %r11,8(%rsp) */
	0x0f, 0x05,                   /* syscall */
};

/* What a call that is a cancellation point, and fails at once, leaves below the stack: the return address from that function, the
 * pointer that it was given and stores, somewhere above the number. */
GRT_NOINLINE static void dead_stack(long (*call)(long, long, long, long), uintptr_t *words)
{
	const volatile uintptr_t *frame = __builtin_frame_address(0);
	call(-1, 0, 0, 0);
	for (int i = 0; i < DEAD_WORDS; i++)
		words[i] = frame[i - DEAD_WORDS];
}

/* By its version: glibc 2.41 or later. */
static bool deferred_in_calls(void)
{
	const char *v = gnu_get_libc_version() + 2; /* behind "2." */
	int minor = 0;
	for (; *v >= '0' && *v <= '9'; v++)
		minor = minor * 10 + (*v - '0');
	return minor >= 41;
}

static long (*call1)(long, long, long, long), (*call2)(long, long, long, long);

void grt__cancel_call_init(void)
{
	if (!deferred_in_calls())
		return;
	call1 = dlsym(RTLD_NEXT, "tcdrain");
	call2 = dlsym(RTLD_NEXT, "sync_file_range");
}

void grt__cancel_call_find(const char *cancelhandling)
{
	uintptr_t one[DEAD_WORDS], two[DEAD_WORDS], near = (uintptr_t)grt__libc.pthread_testcancel;
	if (!call1 || !call2)
		return;
	dead_stack(call1, one);
	dead_stack(call2, two);
	for (int i = 0; i + 1 < DEAD_WORDS; i++) {
		if (one[i + 1] != (uintptr_t)cancelhandling || one[i] - near + (8u << 20) > 16u << 20)
			continue;
		const uint8_t *back = (const uint8_t *)one[i]; /* behind call rel32 */
		int32_t distance;
		memcpy(&distance, back - sizeof distance, sizeof distance);
		const uint8_t *look = back + distance, *rest = look + LOOK_BYTES;
		if (back[-5] != 0xe8 || (uintptr_t)look - near + (8u << 20) > 16u << 20 ||
		    memcmp(look, cancel_call_look, sizeof cancel_call_look) != 0 ||
		    memcmp(rest, cancel_call_rest, sizeof cancel_call_rest) != 0)
			continue;
		cancel_call.lo = (uintptr_t)look;
		cancel_call.hi = (uintptr_t)rest + sizeof cancel_call_rest;
		for (int j = i + 2, k; j < DEAD_WORDS && !cancel_call.number; j++) /* their frames may differ in size */
			for (k = 0; k + j - i < DEAD_WORDS && k + 1 < DEAD_WORDS; k++)
				if (two[k] == one[i] && two[k + 1] == one[i + 1] && one[j] == SYS_ioctl &&
				    two[k + j - i] == SYS_sync_file_range)
					cancel_call.number = (uint32_t)(j - i) * 8;
		return;
	}
}

long grt__cancel_call_number(uintptr_t pc, uintptr_t sp)
{
	return pc && pc == cancel_call.hi && cancel_call.number ? *(const long *)(sp + cancel_call.number) : -1;
}

bool grt__cancel_call_at(uintptr_t pc)
{
	return pc < cancel_call.hi && pc >= cancel_call.lo;
}

bool grt__cancel_call_known(void)
{
	return cancel_call.hi != 0;
}

void grt__cancel_call_complain(void)
{
	if (deferred_in_calls() && !grt__cancel_call_known())
		grt__print("libgrt: pthread_cancel does not end calls that sleep in the kernel: glibc %s is not known\n",
		           gnu_get_libc_version());
}
