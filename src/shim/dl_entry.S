/*
 * dlopen and dlmopen: libc takes the library that calls from the return address (its RPATH and RUNPATH, $ORIGIN, namespace),
 * so these entries leave it alone. Not booted: a jump to libc's own function, as without us (but for RTLD_DEEPBIND, elf/deepbind.h). Booted: to
 * the C function in dl.c, with the return address as one more argument.
 */
#define BOOTED 1   /* enum grt_state; asserted in dl.c */
#define DEEPBIND 8 /* RTLD_DEEPBIND; likewise */

	.text

/* name(rdi, rsi, rdx) -> c_name(rdi, rsi, rdx, return address) or the real one. */
.macro CALLER_SENSITIVE name, c_name, caller_reg, mode_reg
	.globl \name
	.type \name, @function
	.p2align 4
\name:
	.cfi_startproc
	endbr64
	movq	grt__state@GOTPCREL(%rip), %rax
	cmpl	$BOOTED, (%rax)
	jne	1f
	movq	(%rsp), \caller_reg
	jmp	\c_name
1:	movq	grt__real_ready@GOTPCREL(%rip), %rax
	cmpl	$0, (%rax)
	jne	2f
	pushq	%rdi
	.cfi_adjust_cfa_offset 8
	pushq	%rsi
	.cfi_adjust_cfa_offset 8
	pushq	%rdx
	.cfi_adjust_cfa_offset 8
	call	grt__real_init
	popq	%rdx
	.cfi_adjust_cfa_offset -8
	popq	%rsi
	.cfi_adjust_cfa_offset -8
	popq	%rdi
	.cfi_adjust_cfa_offset -8
2:	testl	$DEEPBIND, \mode_reg
	jz	3f
	pushq	%rdi
	.cfi_adjust_cfa_offset 8
	pushq	%rsi
	.cfi_adjust_cfa_offset 8
	pushq	%rdx
	.cfi_adjust_cfa_offset 8
	movl	\mode_reg, %edi
	call	grt__deepbind_mode
	popq	%rdx
	.cfi_adjust_cfa_offset -8
	popq	%rsi
	.cfi_adjust_cfa_offset -8
	popq	%rdi
	.cfi_adjust_cfa_offset -8
	movl	%eax, \mode_reg
3:	movq	grt__real_\name@GOTPCREL(%rip), %rax
	jmp	*(%rax)
	.cfi_endproc
	.size \name, .-\name
.endm

	CALLER_SENSITIVE dlopen, grt__dlopen_from, %rdx, %esi
	CALLER_SENSITIVE dlmopen, grt__dlmopen_from, %rcx, %edx

/*
 * void *grt__call_through(void *ret, void *fn, long a, long b, long c);
 *
 * Calls fn(a, b, c) with `ret`, the address of a ret instruction, as its return address: fn sees a caller in the library that
 * contains `ret`, and returns to us through it.
 */
	.globl grt__call_through
	.hidden grt__call_through
	.type grt__call_through, @function
	.p2align 4
grt__call_through:
	.cfi_startproc
	endbr64
	leaq	1f(%rip), %rax
	pushq	%rax
	.cfi_adjust_cfa_offset 8
	pushq	%rdi
	.cfi_adjust_cfa_offset 8
	movq	%rsi, %rax
	movq	%rdx, %rdi
	movq	%rcx, %rsi
	movq	%r8, %rdx
	jmp	*%rax
	.cfi_adjust_cfa_offset -16
	nop	/* an unwinder looks up the address before the return address */
1:	ret
	.cfi_endproc
	.size grt__call_through, .-grt__call_through

	.section .note.GNU-stack, "", @progbits
