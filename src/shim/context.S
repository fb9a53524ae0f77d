/*
 * int swapcontext(ucontext_t *oucp, const ucontext_t *ucp);
 *
 * Not C where the mask changes: the saved context is the caller's own (it may be resumed more than once, after any frame of ours is
 * gone), and what it says of the mask must be the old one, while the runtime learns the new one before it is in force. So
 * libc's getcontext saves here, where all registers that survive a call are the caller's, and C makes it return to the caller. Where the
 * mask stays, libc's swapcontext does it all.
 */
	.text
	.globl swapcontext
	.type swapcontext, @function
	.p2align 4
swapcontext:
	.cfi_startproc
	endbr64
	pushq	%rdi
	.cfi_adjust_cfa_offset 8
	pushq	%rsi
	.cfi_adjust_cfa_offset 8
	subq	$8, %rsp
	.cfi_adjust_cfa_offset 8
	movq	%rsi, %rdi
	call	grt__swapcontext_real
	movq	8(%rsp), %rsi
	movq	16(%rsp), %rdi
	testq	%rax, %rax
	jz	.Lchanges
	addq	$24, %rsp
	.cfi_adjust_cfa_offset -24
	jmp	*%rax
.Lchanges:
	.cfi_adjust_cfa_offset 24
	call	*getcontext@GOTPCREL(%rip)
	testl	%eax, %eax
	jnz	.Lout
	movq	16(%rsp), %rdi
	movq	8(%rsp), %rsi
	leaq	24(%rsp), %rdx
	call	grt__swapcontext
.Lout:
	addq	$24, %rsp
	.cfi_adjust_cfa_offset -24
	ret
	.cfi_endproc
	.size swapcontext, .-swapcontext

/*
 * void grt__context_return(void): the return address of a context's function (makecontext in ucontext.c). rbx is what makecontext
 * put there: a function leaves it as it was. The nop: unwinders look for the return address minus one.
 */
	.globl grt__context_return
	.hidden grt__context_return
	.type grt__context_return, @function
	.p2align 4
	.cfi_startproc
	.cfi_undefined %rip
	nop
grt__context_return:
	movq	(%rbx), %rdi
	call	grt__context_ended
	hlt
	.cfi_endproc
	.size grt__context_return, .-grt__context_return

	.section .note.GNU-stack, "", @progbits
