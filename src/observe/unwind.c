#include "observe/unwind.h"
#include "base/atomic.h"
#include "elf/deepbind.h"
#include "elf/peek.h"
#include "os/os.h"
#include <dlfcn.h>
#include <elf.h>
#include <libunwind.h>
#include <link.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>

#define NAME2(x) #x
#define NAME(x) NAME2(x) /* "_Ux86_64_step" of unw_step */
#define LIBUNWIND_SO(target) NAME3(target)
#define NAME3(target) "libunwind-" #target ".so.8"

enum { MAX_STEPS = 250000 }; /* an 8 MiB stack of the smallest frames that recursion makes */

static struct {
	__typeof__(&unw_create_addr_space) create_addr_space;
	__typeof__(&unw_init_remote) init_remote;
	__typeof__(&unw_step) step;
	__typeof__(&unw_get_reg) get_reg;
	__typeof__(&unw_is_signal_frame) is_signal_frame;
	int (*search_table)(unw_addr_space_t, unw_word_t, unw_dyn_info_t *, unw_proc_info_t *, int, void *);
	unw_addr_space_t as;
} lib;

struct walk {
	const struct grt_modules *mods;
	const struct grt_regs *regs;
};

/* ---- memory ---- */

enum { WINDOW = 512, WINDOWS = 128 };

static struct {
	uintptr_t addr[WINDOWS];
	uint32_t gen[WINDOWS];
	uint8_t data[WINDOWS][WINDOW];
} cache;
static uint32_t generation = 1; /* of the report; of the walk for what is not in a module */
static uint32_t report_generation = 1;

static const uint8_t *window(const struct walk *w, uintptr_t addr)
{
	uintptr_t base = addr & ~(uintptr_t)(WINDOW - 1);
	size_t i = base / WINDOW % WINDOWS;
	bool fresh = cache.gen[i] == generation ||
	             (cache.gen[i] >= report_generation && cache.addr[i] == base && grt__segment_find_sig(w->mods, base));
	if (cache.addr[i] == base && fresh)
		return cache.data[i];
	cache.addr[i] = 0;
	if (grt__peek_sig(base, cache.data[i], WINDOW) != WINDOW)
		return NULL;
	cache.addr[i] = base;
	cache.gen[i] = generation;
	return cache.data[i];
}

static bool read_word(const struct walk *w, uintptr_t addr, uintptr_t *v)
{
	size_t at = addr & (WINDOW - 1);
	if (at > WINDOW - sizeof *v)
		return grt__peek_sig(addr, v, sizeof *v) == sizeof *v;
	const uint8_t *p = window(w, addr);
	if (p)
		memcpy(v, p + at, sizeof *v);
	return p != NULL;
}

void grt__unwind_forget_sig(void)
{
	report_generation = ++generation;
}

/* ---- libunwind's view ---- */

static int find_proc_info(unw_addr_space_t as, unw_word_t ip, unw_proc_info_t *pi, int need_info, void *arg)
{
	struct walk *w = arg;
	const struct grt_module *m = grt__module_find_sig(w->mods, ip);
	if (!m || !m->eh_table)
		return -UNW_ENOINFO;
	unw_dyn_info_t di;
	memset(&di, 0, sizeof di);
	di.start_ip = m->lo;
	di.end_ip = m->hi;
	di.format = UNW_INFO_FORMAT_REMOTE_TABLE;
	di.u.rti.segbase = m->eh_hdr;
	di.u.rti.table_data = m->eh_table;
	di.u.rti.table_len = m->eh_count * 8 / sizeof(unw_word_t);
	return lib.search_table(as, ip, &di, pi, need_info, arg);
}

static void put_unwind_info(unw_addr_space_t as, unw_proc_info_t *pi, void *arg)
{
}

static int get_dyn_info_list_addr(unw_addr_space_t as, unw_word_t *addr, void *arg)
{
	return -UNW_ENOINFO;
}

static int access_mem(unw_addr_space_t as, unw_word_t addr, unw_word_t *v, int write, void *arg)
{
	uintptr_t word;
	if (write || !read_word(arg, addr, &word))
		return -UNW_EINVAL;
	*v = word;
	return 0;
}

static int access_reg(unw_addr_space_t as, unw_regnum_t reg, unw_word_t *v, int write, void *arg)
{
	const struct walk *w = arg;
	if (write || reg < 0 || reg >= GRT_NREGS || !(w->regs->known & 1u << reg))
		return -UNW_EBADREG;
	*v = w->regs->r[reg];
	return 0;
}

static int access_fpreg(unw_addr_space_t as, unw_regnum_t reg, unw_fpreg_t *v, int write, void *arg)
{
	return -UNW_EBADREG;
}

static int resume(unw_addr_space_t as, unw_cursor_t *cursor, void *arg)
{
	return -UNW_EINVAL;
}

/* ---- walks ---- */

/* Thread pointer of the thread that walks, NULL: none. Atomic: others that use libunwind read it. */
static void *walker;

static void walk_libunwind(struct walk *w, grt_unwind_frame fn, void *arg)
{
	unw_cursor_t cursor;
	bool is_call = false;
	if (lib.init_remote(&cursor, lib.as, w) < 0)
		return;
	for (int i = 0; i < MAX_STEPS; i++) {
		unw_word_t pc = 0, sp = 0;
		if (lib.get_reg(&cursor, UNW_REG_IP, &pc) < 0 || lib.get_reg(&cursor, UNW_REG_SP, &sp) < 0)
			return;
		if (pc == 0 && i > 0)
			return;
		bool signal_frame = lib.is_signal_frame(&cursor) > 0;
		if (!fn(arg, pc, sp, is_call) || lib.step(&cursor) <= 0)
			return;
		is_call = !signal_frame; /* what a signal interrupted is not a call */
	}
}

static void walk_frame_pointers(struct walk *w, grt_unwind_frame fn, void *arg)
{
	uintptr_t pc = w->regs->r[GRT_REG_PC], sp = w->regs->r[GRT_REG_SP], fp = w->regs->r[GRT_REG_FP], next;
	bool is_call = false;
	for (int i = 0; i < MAX_STEPS && fn(arg, pc, sp, is_call); i++) {
		if (fp < sp || fp % sizeof fp || !read_word(w, fp, &next) || !read_word(w, fp + sizeof fp, &pc) || pc == 0)
			return;
		sp = fp + 2 * sizeof fp;
		fp = next;
		is_call = true;
	}
}

void grt__unwind_sig(const struct grt_modules *mods, const struct grt_regs *start, grt_unwind_frame fn, void *arg)
{
	struct walk w = {mods, start};
	generation++;
	if (lib.as) {
		grt_store_release(&walker, grt__thread_pointer());
		walk_libunwind(&w, fn, arg);
		grt_store_release(&walker, NULL);
	} else {
		walk_frame_pointers(&w, fn, arg);
	}
}

/* ---- loading ---- */

static int (*next_sigprocmask)(int, const sigset_t *, sigset_t *);
static int (*next_mutex_lock)(void *);
static int (*next_mutex_unlock)(void *);

static bool ours(void)
{
	return grt_load_relaxed(&walker) == grt__thread_pointer();
}

static int bound_sigprocmask(int how, const sigset_t *set, sigset_t *old)
{
	return ours() ? 0 : next_sigprocmask(how, set, old);
}

static int bound_mutex_lock(void *mutex)
{
	return ours() ? 0 : next_mutex_lock(mutex);
}

static int bound_mutex_unlock(void *mutex)
{
	return ours() ? 0 : next_mutex_unlock(mutex);
}

static int (*next_pipe2)(int *, int);

/* libunwind tries addresses by writing from them into a pipe, which our walks do not need, but the program's own may. Not at the lowest
 * numbers: the program counts on those. */
static int bound_pipe2(int fds[2], int flags)
{
	int r = next_pipe2(fds, flags);
	for (int i = 0; r == 0 && i < 2; i++)
		fds[i] = grt__os_high_fd(fds[i]);
	return r;
}

static bool store_slot(void **slot, void *value)
{
	size_t page = 4096;
	char *lo = (char *)((uintptr_t)slot & ~(uintptr_t)(page - 1));
	struct grt_modules *mods = grt__modules_get_sig();
	struct grt_module *m = grt__module_find_sig(mods, (uintptr_t)slot);
	bool relro = m && (uintptr_t)slot >= m->relro_lo && (uintptr_t)slot < m->relro_hi;
	grt__modules_put_sig(mods);
	if (!m) /* there was no memory for a table that knows it: its page may be of either kind */
		return false;
	if (grt__sys_mprotect(lo, page, PROT_READ | PROT_WRITE) < 0)
		return false;
	grt_store_release(slot, value);
	if (relro)
		grt__sys_mprotect(lo, page, PROT_READ);
	return true;
}

/* Points the import `name` of a loaded library at fn; what it was bound to goes to *next. True if it has no such
 * import. */
static bool rebind(const struct link_map *lm, const char *name, void *fn, void **next)
{
	const ElfW(Sym) *syms = NULL;
	const char *strs = NULL;
	const ElfW(Rela) * rela[2] = {0};
	size_t size[2] = {0};
	for (const ElfW(Dyn) *d = lm->l_ld; d->d_tag != DT_NULL; d++) {
		if (d->d_tag == DT_SYMTAB)
			syms = (const void *)d->d_un.d_ptr;
		else if (d->d_tag == DT_STRTAB)
			strs = (const void *)d->d_un.d_ptr;
		else if (d->d_tag == DT_RELA)
			rela[0] = (const void *)d->d_un.d_ptr;
		else if (d->d_tag == DT_RELASZ)
			size[0] = d->d_un.d_val;
		else if (d->d_tag == DT_JMPREL)
			rela[1] = (const void *)d->d_un.d_ptr;
		else if (d->d_tag == DT_PLTRELSZ)
			size[1] = d->d_un.d_val;
	}
	for (int t = 0; syms && strs && t < 2; t++)
		for (size_t i = 0; rela[t] && i < size[t] / sizeof(ElfW(Rela)); i++) {
			size_t index = ELF64_R_SYM(rela[t][i].r_info);
			void **slot = (void **)(lm->l_addr + rela[t][i].r_offset);
			if (index == 0 || strcmp(strs + syms[index].st_name, name) != 0 || rela[t][i].r_addend != 0)
				continue;
			if (*slot == NULL || *slot == fn)
				continue; /* weak and not there */
			*next = *slot;
			if (!store_slot(slot, fn))
				return false;
		}
	return true;
}

static bool warm_frame(void *arg, uintptr_t pc, uintptr_t sp, bool is_call)
{
	return ++*(int *)arg < 4;
}

/* One short walk, so that everything libunwind allocates once is allocated. */
static bool warm_up(void)
{
	struct grt_modules *mods = grt__modules_get_sig();
	struct grt_regs here;
	int frames = 0;
	grt__regs_here(&here);
	grt__unwind_sig(mods, &here, warm_frame, &frames);
	grt__modules_put_sig(mods);
	return frames > 1;
}

static bool find_functions(void *so, void *(*find)(void *, const char *))
{
	lib.create_addr_space = (__typeof__(lib.create_addr_space))find(so, NAME(unw_create_addr_space));
	lib.init_remote = (__typeof__(lib.init_remote))find(so, NAME(unw_init_remote));
	lib.step = (__typeof__(lib.step))find(so, NAME(unw_step));
	lib.get_reg = (__typeof__(lib.get_reg))find(so, NAME(unw_get_reg));
	lib.is_signal_frame = (__typeof__(lib.is_signal_frame))find(so, NAME(unw_is_signal_frame));
	lib.search_table = (__typeof__(lib.search_table))find(so, NAME(UNW_OBJ(dwarf_search_unwind_table)));
	return lib.create_addr_space && lib.init_remote && lib.step && lib.get_reg && lib.is_signal_frame &&
	       lib.search_table;
}

const char *grt__unwind_init(void)
{
	static unw_accessors_t accessors = {
		.find_proc_info = find_proc_info,
		.put_unwind_info = put_unwind_info,
		.get_dyn_info_list_addr = get_dyn_info_list_addr,
		.access_mem = access_mem,
		.access_reg = access_reg,
		.access_fpreg = access_fpreg,
		.resume = resume,
	};
	/* libc's own dlopen: ours is for the program, and would refresh tables and stop for tasks. */
	void *(*open)(const char *, int) = (void *(*)(const char *, int))grt__libc_function("dlopen");
	if (!open)
		return "dlopen not found";
	void *so = open(LIBUNWIND_SO(UNW_TARGET), RTLD_LOCAL | RTLD_NOW);
	if (!so)
		return LIBUNWIND_SO(UNW_TARGET) " cannot be loaded";
	grt__modules_refresh();
	struct link_map *lm;
	if (dlinfo(so, RTLD_DI_LINKMAP, &lm) != 0 || !find_functions(so, dlsym))
		return LIBUNWIND_SO(UNW_TARGET) " lacks a function";
	if (!rebind(lm, "sigprocmask", (void *)bound_sigprocmask, (void **)&next_sigprocmask) ||
	    !rebind(lm, "pthread_mutex_lock", (void *)bound_mutex_lock, (void **)&next_mutex_lock) ||
	    !rebind(lm, "pthread_mutex_unlock", (void *)bound_mutex_unlock, (void **)&next_mutex_unlock))
		return "the imports of " LIBUNWIND_SO(UNW_TARGET) " cannot be changed";
	rebind(lm, "pipe2", (void *)bound_pipe2, (void **)&next_pipe2); /* other versions have another way */
	lib.as = lib.create_addr_space(&accessors, 0);
	if (!lib.as)
		return "libunwind: out of memory";
	if (!warm_up()) {
		lib.as = NULL;
		return "libunwind cannot walk its caller's stack";
	}
	return NULL;
}
