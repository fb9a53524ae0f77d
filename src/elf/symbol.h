/*
 * Names of functions, from the symbol tables of the files that modules were loaded from.
 *
 * A file is opened and mapped when the first name in its module is asked for, with raw system calls, and stays mapped
 * as long as the table of modules lives: nothing is paid by programs that never print a stack, and at crash time
 * nothing is allocated and no lock is taken. The tables looked at, in this order: .symtab of the file; .symtab of its
 * separate debug file (/usr/lib/debug/.build-id); .dynsym of the file; and .dynsym in memory, for the vDSO and for
 * files that are gone. A file whose build id is not the one in memory (upgraded under a running program) is not
 * believed.
 *
 * Rejected: libelf. It allocates by malloc at elf_begin and at every section, so a crash could not use it; and
 * preparing every module's table at boot would open and read each file of each threaded process, for names hardly one
 * of them prints. The unit test compares this file's answers with libelf's.
 */
#ifndef GRT_ELF_SYMBOL_H
#define GRT_ELF_SYMBOL_H

#include "elf/module.h"

struct grt_symbol {
	const char *name; /* not NULL; valid while the module table is held, if transient only until the next look-up */
	uintptr_t start;  /* address in memory */
	bool exported;    /* visible outside of its file */
	bool transient;
};

/* Any context; the module's table held. False if no symbol covers pc. Costs a walk of the table: callers that look up
 * many addresses keep what they found. */
bool grt__module_symbol_sig(struct grt_module *m, uintptr_t pc, struct grt_symbol *sym);

/* The build id among ELF notes; its length, 0 if there is none. */
size_t grt__elf_build_id(const uint8_t *notes, size_t size, const uint8_t **id);

/* module.c makes room for one, zeroed, per module. */
extern const size_t grt__symfile_size;
void grt__symfile_close(struct grt_symfile *sf);

#endif
