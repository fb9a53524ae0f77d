/*
 * The table of loaded modules: program, libraries, vDSO. Where each lies, its segments (text to unwind through,
 * writable data to scan), its unwind table, its build id.
 *
 * The table is an immutable snapshot, sorted by address, published by one pointer. It is built by dl_iterate_phdr in
 * normal context only (boot, after dlopen and dlclose), where the loader's lock may be taken; looking something up
 * takes no lock and may happen anywhere: in a signal handler, in a crash, while the world is stopped.
 *
 *   reader: readers++ (full barrier); load the pointer; use it; readers--
 *   writer: exchange the pointer; put the old snapshot on the retired list; if readers is 0, nobody can hold anything
 *           that was retired before: unmap it. Else it stays for the next refresh.
 * A snapshot carries the loader's count of loads and unloads, so of two writers the later state wins, in whatever order
 * they publish.
 *
 * Between dlclose's munmap and the refresh the table names memory that is gone: whoever reads a module's memory on a
 * signal path does it by elf/peek.h.
 *
 * Cost: 15 to 35 us for a program with 7 modules, 0.1 us if nothing changed; 20 KiB. No file is opened, and libelf is
 * not loaded, before a name is asked for (elf/symbol.h).
 *
 * Rejected: _dl_find_object (lock-free, but glibc 2.35 and later only, and it knows no writable segments); reading
 * /proc/self/maps (slow, and knows no unwind tables); a lock around the table (a crash may interrupt its holder).
 */
#ifndef GRT_ELF_MODULE_H
#define GRT_ELF_MODULE_H

#include "base/compiler.h"

struct grt_symfile;

struct grt_module {
	const char *path; /* absolute; "[vdso]" */
	uintptr_t bias;   /* address in memory = address in the file + bias */
	uintptr_t lo, hi; /* all segments */
	uintptr_t dynamic;
	uintptr_t eh_hdr;   /* PT_GNU_EH_FRAME, 0: none */
	uintptr_t eh_table; /* its binary search table: pairs of int32, relative to eh_hdr; 0: none */
	size_t eh_count;
	uintptr_t relro_lo, relro_hi; /* writable segment's part that is read-only since relocation */
	uint8_t build_id[32];
	uint8_t build_id_len;
	uint8_t in_memory; /* no file: the vDSO */
	uint8_t is_main;
	struct grt_symfile *sym; /* elf/symbol.c */
};

struct grt_segment {
	uintptr_t lo, hi;
	uint32_t flags; /* PF_R, PF_W, PF_X */
	uint32_t module;
};

struct grt_modules {
	struct grt_modules *retired_next;
	size_t map_size;
	uint64_t version;
	uint32_t nmodules, nsegments;
	struct grt_module *modules;   /* as loaded */
	struct grt_segment *segments; /* by address */
};

/* Normal context (boot, after dlopen and dlclose returned), any thread, no locks held. Takes the loader's lock for a
 * moment. */
void grt__modules_refresh(void);

/* Any context. The present table, kept until put; NULL before the first refresh. */
struct grt_modules *grt__modules_get_sig(void);
void grt__modules_put_sig(struct grt_modules *mods);

/* Any context; mods held, may be NULL. NULL if addr is in no module. */
struct grt_segment *grt__segment_find_sig(const struct grt_modules *mods, uintptr_t addr);
struct grt_module *grt__module_find_sig(const struct grt_modules *mods, uintptr_t addr);

/* The child of fork: readers on threads that are gone do not count. */
void grt__modules_fork_child(void);

#endif
