/*
 * The stack of the caller himself, cheaply and anywhere: for the heap profile, in the middle of malloc (Go's runtime.Callers).
 *
 * unwind.h's walks are for reports: one at a time, a system call for memory that is not known, 1 to 3 us a frame, and libunwind is there
 * only once there was a thread. This one follows the rows of elf/cfi.h, which it keeps in a small table, so that a frame costs 20 to 50
 * ns. It takes no lock, makes no system call and allocates nothing, so that it works before the first thread, in handlers, in a vfork child,
 * on any stack, and cannot meet a filter that kills for process_vm_readv.
 *
 * Modules come from glibc's _dl_find_object (2.35), which is lock-free and needs no preparation, else from our own table, as it was made
 * last. The table of rows is everybody's: an entry is three words of which one is the sum of pc, table and the other two, so one torn by two
 * writers is no entry; and since the module's own table is in the sum, a row of a library that was unloaded is not taken for
 * another's at the same place.
 *
 * Who samples often does so from few places: a walk leaves its trail, all words of the stack and registers that it went by. While they are
 * as they were, the same walk from the same stack pointer would come to the same end, and it need not be made (grt__callers_tag: 50 ns
 * instead of a microsecond). A trail is under a sequence lock; a writer that finds one locked leaves it, a reader walks.
 *
 * Stack memory is read directly: a frame's end must lie above its beginning and inside of the stack: a task's and main's are known; a
 * thread's is taken to end at its thread block, where libc puts it, and no frame there, or on a stack of the program's own, is larger
 * than 256 KiB. Code without unwind tables (of a JIT compiler) ends a walk.
 */
#ifndef GRT_OBSERVE_CALLERS_H
#define GRT_OBSERVE_CALLERS_H

#include "base/compiler.h"

/* Normal context: the process's first constructor, and after a dlclose that refreshes no table. Before the first there are stacks only where
 * libc has that function. */
void grt__callers_init(void);

/* Return addresses, the innermost first; how many. The frames of libgrt itself at the beginning are left out, if it is a library. What a
 * signal interrupted is counted as a call: its address is one higher. Stack need: 1.2 KiB. */
unsigned grt__callers(uintptr_t *pc, unsigned max);

/* tag_of(what grt__callers found, how many), or what it said when it was last asked about this very stack. At most 64 of them. Stack need: 1.7 KiB. */
uint32_t grt__callers_tag(uint32_t (*tag_of)(const uintptr_t *pc, unsigned n));
/* All trails are forgotten: a library is gone, and its frames mean nothing now. */
void grt__callers_forget(void);

#endif
