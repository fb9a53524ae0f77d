/*
 * pid_t vfork(void);
 *
 * Cannot be C: the child returns from here first, and the frames below the caller's are overwritten before the parent goes
 * on. So the return address waits in rdi, which the system call keeps (it clobbers rax, rcx and r11 only) and which each of
 * the two returns has for itself.
 */
#include <sys/syscall.h>

	.text
	.globl vfork
	.type vfork, @function
	.globl __vfork
	.set __vfork, vfork
	.p2align 4
vfork:
	.cfi_startproc
	endbr64
	subq	$8, %rsp
	.cfi_adjust_cfa_offset 8
	call	grt__vfork_enter
	addq	$8, %rsp
	.cfi_adjust_cfa_offset -8
	testb	%al, %al
	jz	.Lreal
	popq	%rdi
	.cfi_adjust_cfa_offset -8
	.cfi_register %rip, %rdi
	movl	$SYS_vfork, %eax
	syscall
	pushq	%rdi
	.cfi_adjust_cfa_offset 8
	.cfi_rel_offset %rip, 0
	testq	%rax, %rax
	jz	.Lchild
	subq	$8, %rsp
	.cfi_adjust_cfa_offset 8
	movq	%rax, %rdi
	call	grt__vfork_leave
	addq	$8, %rsp
	.cfi_adjust_cfa_offset -8
	ret
.Lchild:
	ret
.Lreal:
	movq	grt__real_vfork@GOTPCREL(%rip), %rax
	jmp	*(%rax)
	.cfi_endproc
	.size vfork, .-vfork

	.section .note.GNU-stack, "", @progbits
