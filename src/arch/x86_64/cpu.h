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

/* glibc's thread pointer: %fs:0x10 holds the address of the thread block itself. */
GRT_ALWAYS_INLINE void *grt__thread_pointer(void)
{
	void *tp;
	__asm__("movq %%fs:0x10, %0" : "=r"(tp));
	return tp;
}

#endif
