/*
 * Small facts about x86-64.
 */
#ifndef GRT_ARCH_X86_64_CPU_H
#define GRT_ARCH_X86_64_CPU_H

/* Set at boot from AT_HWCAP2 bit 1: user code may execute wrfsbase. Read by switch.S. */
extern uint8_t grt__have_fsgsbase;

GRT_ALWAYS_INLINE void grt__cpu_relax(void)
{
	__builtin_ia32_pause();
}

GRT_ALWAYS_INLINE uint64_t grt__cycles(void)
{
	return __builtin_ia32_rdtsc();
}

GRT_ALWAYS_INLINE void *grt__stack_pointer(void)
{
	void *sp;
	__asm__ volatile("movq %%rsp, %0" : "=r"(sp));
	return sp;
}

/* glibc's thread pointer: %fs:0x10 holds the address of the thread block itself. */
GRT_ALWAYS_INLINE void *grt__thread_pointer(void)
{
	void *tp;
	__asm__("movq %%fs:0x10, %0" : "=r"(tp));
	return tp;
}

/* What debuggers write over an instruction: int3. */
enum { GRT_BREAKPOINT_SIZE = 1 };
static inline bool grt__is_breakpoint(const uint8_t *instruction)
{
	return instruction[0] == 0xcc;
}

/* Valgrind's client request RUNNING_ON_VALGRIND: rotations that come to nothing on a CPU, a question to its emulation of one. */
static inline bool grt__cpu_is_valgrind(void)
{
	const uint64_t request[6] = {0x1001};
	uint64_t answer = 0;
	__asm__ volatile("rolq $3, %%rdi\n\trolq $13, %%rdi\n\trolq $61, %%rdi\n\trolq $51, %%rdi\n\txchgq %%rbx, %%rbx"
	                 : "+d"(answer)
	                 : "a"(request)
	                 : "cc", "memory");
	return answer != 0;
}

#endif
