/*
 * Walking a stack: libunwind's DWARF interpreter over our module table, memory and registers.
 *
 * libunwind is used as if the stack were another process's (unw_init_remote): every register, word of memory and
 * unwind table it asks for comes from an accessor of ours. Registers from a struct grt_regs; memory by elf/peek.h, so
 * no address can fault; tables from elf/module.h, so the loader's lock is never taken. Caching is off (the cache has a
 * lock). What it needs it has allocated by grt__unwind_init. Where a frame has no unwind table it follows the frame
 * pointer.
 *
 * Its copy is loaded with RTLD_LOCAL, so that its _Unwind_* never capture a C++ exception. It still blocks signals and
 * locks a mutex around its pool of CIE records, and would find these names interposed, by us: grt__unwind_init points
 * the two imports of its offset table at stand-ins that do nothing during a walk of ours (there is one at a time) and
 * go on to the old target for whoever else in the process uses libunwind.
 *
 * Without libunwind: a walk along frame pointers.
 *
 * Windows of memory that were read are kept for the walk, those inside modules for the report: a frame costs 1 to 3 us
 * then, mostly DWARF, instead of a system call per byte of the tables.
 */
#ifndef GRT_OBSERVE_UNWIND_H
#define GRT_OBSERVE_UNWIND_H

#include "arch/arch.h"
#include "elf/module.h"
#if defined(__x86_64__)
#include "arch/x86_64/regs.h"
#endif

/* Normal context, after grt__modules_refresh, once. NULL, or why there is no libunwind (walks go on without). May
 * allocate. */
const char *grt__unwind_init(void);

/* One frame: pc, the stack pointer in it, and whether pc is a return address (the call is before it). False ends the
 * walk. */
typedef bool (*grt_unwind_frame)(void *arg, uintptr_t pc, uintptr_t sp, bool is_call);

/* Any context; one walk at a time (the report lock of traceback.h is held). */
void grt__unwind_sig(const struct grt_modules *mods, const struct grt_regs *start, grt_unwind_frame fn, void *arg);

/* The same lock held: forgets everything that was read of memory. */
void grt__unwind_forget_sig(void);

#endif
