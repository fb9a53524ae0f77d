/*
 * RTLD_DEEPBIND. A library that is loaded with it (PHP loads all its modules so) looks names up in itself and in the libraries that it
 * needs before it looks where a preload is: its malloc and its pthread_create would be libc's, and it frees what we allocated.
 *
 * So from the first such dlopen on libc's own table of dynamic symbols, in memory, gives our addresses for the names that we export.
 * Whoever is bound to libc then, at once or lazily, in whatever scope, gets ours; what was bound before stays. libc's own calls by PLT come
 * here anyway, its direct ones nowhere else. Programs that never do it keep the table as the file has it.
 *
 * Rejected: leaving the flag out (a module's own names must win over the program's; that is what it is for); changing the module's imports
 * after dlopen (its constructors have run by then); RTLD_NOW and the old table afterwards (fails where a name is not there yet).
 */
#ifndef GRT_ELF_DEEPBIND_H
#define GRT_ELF_DEEPBIND_H

#include "base/compiler.h"

/* Normal context, any thread. `in_libc`: a function of libc's. False: the table cannot be changed, and libc's names would be found. */
bool grt__deepbind_prepare(const void *in_libc);

/* dlsym(RTLD_NEXT, name), but what is behind us even then. */
void *grt__libc_function(const char *name);

#endif
