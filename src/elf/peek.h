/*
 * Reading memory of this process that may not be there: the address may be wild, unmapped meanwhile, or a guard. Never
 * faults, never allocates, async-signal-safe, no lock. One system call (process_vm_readv on ourselves, 0.4 us), or
 * three where a sandbox forbids it (/proc/self/mem).
 *
 * Rejected: a SIGSEGV handler with a landing pad (the program owns the handler, and we run inside one), mincore (says
 * nothing about protection or guards), write(2) to a pipe (two descriptors to keep).
 */
#ifndef GRT_ELF_PEEK_H
#define GRT_ELF_PEEK_H

#include "base/compiler.h"

/* Copies up to n bytes from addr to buf; how many could be read, 0 if none. */
size_t grt__peek_sig(uintptr_t addr, void *buf, size_t n);

#endif
