/*
 * Signal frames on x86-64. Contract: arch/sigctx.h.
 */
	.text
	/*
	 * Return address of a signal handler, grt__sigrestorer. No CFI on purpose: unwinders (gcc's, gdb's, libunwind's) know a signal
	 * frame by exactly these bytes when the address has no FDE, and the nop keeps the return address minus one outside of the FDE
	 * before. gdb looks at the bytes only where there is no name at all, which is not so in a library with its symbols, and else
	 * for libc's name, which this has therefore.
	 */
	nop
	.globl	__restore_rt
	.hidden	__restore_rt
	.type	__restore_rt, @function
	.p2align 4
	nop
__restore_rt:
	movq	$15, %rax
	syscall
	.size	__restore_rt, . - __restore_rt

/*
 * void grt__sigframe_call(void *frame, int sig, void *info, void *uc, void *handler, uint64_t mask, void *fn): continues in
 * fn(sig, info, uc, handler, mask) as if the kernel had called it with this frame: the frame's first word is its return address.
 */
	.globl	grt__sigframe_call
	.hidden	grt__sigframe_call
	.type	grt__sigframe_call, @function
	.p2align 4
grt__sigframe_call:
	.cfi_startproc
	.cfi_undefined %rip
	movq	8(%rsp), %rax
	movq	%rdi, %rsp
	movl	%esi, %edi
	movq	%rdx, %rsi
	movq	%rcx, %rdx
	movq	%r8, %rcx
	movq	%r9, %r8
	jmpq	*%rax
	.cfi_endproc
	.size	grt__sigframe_call, . - grt__sigframe_call

	.section .note.GNU-stack,"",@progbits
