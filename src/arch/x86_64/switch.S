/*
 * Context switch for x86-64. Contract: arch/arch.h.
 *
 * The resume address is the return address that the call pushed. A switch ends in ret: nearly all switches are made by the same call
 * chain, so the predicted address is the right one, and so are those of the functions above.
 */
	.text

/* x87 control word and flags from 4(%rsp), through the environment: only fldenv can set flags. */
	.macro load_fcw
	subq	$32, %rsp
	fnstenv	(%rsp)
	movzwl	36(%rsp), %r8d
	movw	%r8w, (%rsp)
	movzwl	38(%rsp), %r8d
	andw	$0x7f00, 4(%rsp)
	orw	%r8w, 4(%rsp)
	fldenv	(%rsp)
	addq	$32, %rsp
	.endm

	.globl	grt__have_fsgsbase
	.hidden	grt__have_fsgsbase

/* void grt__ctx_switch(struct grt_ctx *from, const struct grt_ctx *to, void (*commit)(void *), void *arg) */
	.globl	grt__ctx_switch
	.hidden	grt__ctx_switch
	.type	grt__ctx_switch, @function
	.p2align 5
grt__ctx_switch:
	.cfi_startproc
	pushq	%rbp
	.cfi_adjust_cfa_offset 8
	.cfi_rel_offset %rbp, 0
	pushq	%rbx
	.cfi_adjust_cfa_offset 8
	.cfi_rel_offset %rbx, 0
	pushq	%r12
	.cfi_adjust_cfa_offset 8
	.cfi_rel_offset %r12, 0
	pushq	%r13
	.cfi_adjust_cfa_offset 8
	.cfi_rel_offset %r13, 0
	pushq	%r14
	.cfi_adjust_cfa_offset 8
	.cfi_rel_offset %r14, 0
	pushq	%r15
	.cfi_adjust_cfa_offset 8
	.cfi_rel_offset %r15, 0
	subq	$16, %rsp
	.cfi_adjust_cfa_offset 16
	stmxcsr	(%rsp)
	fnstcw	4(%rsp)
	fnstsw	%ax
	andl	$0x3f, %eax		/* the exception flags; the register stack is empty at a call */
	shll	$16, %eax
	movq	%rsp, (%rdi)
	movl	(%rsp), %r10d
	movzwl	4(%rsp), %r11d
	orl	%eax, %r11d
	movl	%r11d, 4(%rsp)		/* in one store: a load of two would wait for both */
	movq	8(%rsi), %r8
	movq	(%rsi), %r9
	cmpb	$0, grt__have_fsgsbase(%rip)
	je	.Lslow_fs
	wrfsbase %r8
.Lfs_done:
	testb	$1, %r9b
	jnz	grt__ctx_fresh
	movq	%r9, %rsp
	cmpl	(%rsp), %r10d
	jne	.Lload_mxcsr
.Lmxcsr_done:
	cmpl	4(%rsp), %r11d
	jne	.Lload_fcw
.Lfcw_done:
	testq	%rdx, %rdx
	jz	.Lcommitted
	movq	%rcx, %rdi
	subq	$8, %rsp
	.cfi_adjust_cfa_offset 8
	callq	*%rdx
	addq	$8, %rsp
	.cfi_adjust_cfa_offset -8
.Lcommitted:
	addq	$16, %rsp
	.cfi_adjust_cfa_offset -16
	popq	%r15
	.cfi_adjust_cfa_offset -8
	.cfi_restore %r15
	popq	%r14
	.cfi_adjust_cfa_offset -8
	.cfi_restore %r14
	popq	%r13
	.cfi_adjust_cfa_offset -8
	.cfi_restore %r13
	popq	%r12
	.cfi_adjust_cfa_offset -8
	.cfi_restore %r12
	popq	%rbx
	.cfi_adjust_cfa_offset -8
	.cfi_restore %rbx
	popq	%rbp
	.cfi_adjust_cfa_offset -8
	.cfi_restore %rbp
	retq
	/* From here on: inside the frame again, as after the first subq. */
	.cfi_adjust_cfa_offset 64
	.cfi_rel_offset %rip, 64
	.cfi_rel_offset %rbp, 56
	.cfi_rel_offset %rbx, 48
	.cfi_rel_offset %r12, 40
	.cfi_rel_offset %r13, 32
	.cfi_rel_offset %r14, 24
	.cfi_rel_offset %r15, 16
.Lload_mxcsr:
	ldmxcsr	(%rsp)
	jmp	.Lmxcsr_done
.Lload_fcw:
	load_fcw
	jmp	.Lfcw_done
.Lslow_fs:
	/* arch_prctl(ARCH_SET_FS); the callee-saved registers are free, they are saved. */
	movq	%rdx, %rbx
	movq	%rcx, %r12
	movq	%r9, %r13
	movl	%r10d, %r14d
	movl	%r11d, %r15d
	movl	$0x1002, %edi
	movq	%r8, %rsi
	movl	$158, %eax
	syscall
	movq	%rbx, %rdx
	movq	%r12, %rcx
	movq	%r13, %r9
	movl	%r14d, %r10d
	movl	%r15d, %r11d
	jmp	.Lfs_done
	.cfi_endproc
	.size	grt__ctx_switch, . - grt__ctx_switch

/* void grt__ctx_jump(const struct grt_ctx *to, void (*commit)(void *), void *arg) */
	.globl	grt__ctx_jump
	.hidden	grt__ctx_jump
	.type	grt__ctx_jump, @function
	.p2align 4
grt__ctx_jump:
	.cfi_startproc
	/* A throw-away frame to save into, then the ordinary switch. */
	subq	$24, %rsp
	.cfi_adjust_cfa_offset 24
	movq	%rdx, %rcx
	movq	%rsi, %rdx
	movq	%rdi, %rsi
	movq	%rsp, %rdi
	callq	grt__ctx_switch
	ud2
	.cfi_endproc
	.size	grt__ctx_jump, . - grt__ctx_jump

/*
 * The rest of a switch to a context that has not run yet. r9 = its struct grt_ctx_birth + 1, r10d and r11d = the floating-point
 * control state that is in force, rdx = commit, rcx = its argument. Entered and left by jumps, not by ret: the predictor's top
 * is whoever is resumed when the new context ends.
 */
	.type	grt__ctx_fresh, @function
	.p2align 4
grt__ctx_fresh:
	.cfi_startproc
	.cfi_undefined %rip
	movq	-1(%r9), %rsp		/* stack_hi */
	andq	$-16, %rsp
	movq	7(%r9), %r12		/* fn */
	movq	15(%r9), %r13		/* arg */
	movq	23(%r9), %rax		/* fp_control */
	pushq	$0			/* the unwinder's end: a return address of NULL, and alignment */
	pushq	%rax
	cmpl	%eax, %r10d
	jne	.Lfresh_mxcsr
.Lfresh_mxcsr_done:
	cmpl	4(%rsp), %r11d
	jne	.Lfresh_fcw
.Lfresh_fcw_done:
	xorl	%ebp, %ebp
	testq	%rdx, %rdx
	jz	grt__ctx_entry
	movq	%rcx, %rdi
	callq	*%rdx
	jmp	grt__ctx_entry
.Lfresh_mxcsr:
	ldmxcsr	(%rsp)
	jmp	.Lfresh_mxcsr_done
.Lfresh_fcw:
	load_fcw
	jmp	.Lfresh_fcw_done
	.cfi_endproc
	.size	grt__ctx_fresh, . - grt__ctx_fresh

/* First instructions of a new context on its own stack: r12 = function, r13 = argument. */
	.globl	grt__ctx_entry
	.hidden	grt__ctx_entry
	.type	grt__ctx_entry, @function
	.p2align 4
grt__ctx_entry:
	.cfi_startproc
	.cfi_undefined %rip
	.cfi_undefined %rbp
	xorl	%ebp, %ebp
	movq	%r13, %rdi
	callq	*%r12
	/* A throw-away frame to save into, then the ordinary switch; no call, for it would never return. */
	movq	(%rax), %rsi
	movq	8(%rax), %rdx
	movq	16(%rax), %rcx
	subq	$24, %rsp
	leaq	8(%rsp), %rdi
	jmp	grt__ctx_switch
	.cfi_endproc
	.size	grt__ctx_entry, . - grt__ctx_entry

/* void grt__sigreturn(void *frame) */
	.globl	grt__sigreturn
	.hidden	grt__sigreturn
	.type	grt__sigreturn, @function
	.p2align 4
grt__sigreturn:
	.cfi_startproc
	.cfi_undefined %rip
	leaq	8(%rdi), %rsp
	movl	$15, %eax
	syscall
	ud2
	.cfi_endproc
	.size	grt__sigreturn, . - grt__sigreturn

/* long grt__clone_thread(void *stack_hi, uintptr_t tp, int32_t *tid, void (*fn)(void *), void *arg, int32_t *child_tid) */
	.globl	grt__clone_thread
	.hidden	grt__clone_thread
	.type	grt__clone_thread, @function
	.p2align 4
grt__clone_thread:
	.cfi_startproc
	pushq	%r12
	.cfi_adjust_cfa_offset 8
	.cfi_rel_offset %r12, 0
	pushq	%r13
	.cfi_adjust_cfa_offset 8
	.cfi_rel_offset %r13, 0
	movq	%rcx, %r12		/* fn */
	movq	%r8, %r13		/* arg */
	movq	%rsi, %r8		/* thread pointer */
	movq	%rdi, %rsi
	andq	$-16, %rsi		/* stack */
	movq	%r9, %r10		/* child_tid */
	/* VM FS FILES SIGHAND THREAD SYSVSEM SETTLS PARENT_SETTID CHILD_CLEARTID: libc's own, for those who look at them (seccomp) */
	movl	$0x3d0f00, %edi
	movl	$56, %eax
	syscall
	testq	%rax, %rax
	jz	.Lchild
	cmpl	$-1, %eax		/* EPERM, ENOSYS: clone is refused; libc uses clone3 first */
	je	.Lclone3
	cmpl	$-38, %eax
	je	.Lclone3
.Lparent:
	popq	%r13
	.cfi_adjust_cfa_offset -8
	.cfi_restore %r13
	popq	%r12
	.cfi_adjust_cfa_offset -8
	.cfi_restore %r12
	ret
.Lclone3:
	/* struct clone_args: flags, pidfd, child_tid, parent_tid, exit_signal, stack, its size, tls */
	.cfi_remember_state
	.cfi_adjust_cfa_offset 16
	.cfi_rel_offset %r12, 8
	.cfi_rel_offset %r13, 0
	pushq	%r8
	.cfi_adjust_cfa_offset 8
	pushq	$4096
	.cfi_adjust_cfa_offset 8
	subq	$4096, %rsi
	pushq	%rsi
	.cfi_adjust_cfa_offset 8
	pushq	$0
	.cfi_adjust_cfa_offset 8
	pushq	%rdx
	.cfi_adjust_cfa_offset 8
	pushq	%r10
	.cfi_adjust_cfa_offset 8
	pushq	$0
	.cfi_adjust_cfa_offset 8
	pushq	$0x3d0f00
	.cfi_adjust_cfa_offset 8
	movq	%rsp, %rdi
	movl	$64, %esi
	movl	$435, %eax
	syscall
	testq	%rax, %rax
	jz	.Lchild
	addq	$64, %rsp
	.cfi_adjust_cfa_offset -64
	jmp	.Lparent
	.cfi_restore_state
.Lchild:
	jmp	grt__ctx_entry		/* calls r12(r13) */
	.cfi_endproc
	.size	grt__clone_thread, . - grt__clone_thread

	.section .note.GNU-stack,"",@progbits
