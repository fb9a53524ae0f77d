#include "observe/callers.h"
#include "arch/sigctx.h"
#include "elf/cfi.h"
#include "elf/module.h"
#include "sched/sched.h"
#include <dlfcn.h>
#include <link.h>
#include <string.h>
#if defined(__x86_64__)
#include "arch/x86_64/regs.h"
#endif

extern void *__libc_stack_end; /* ld.so's: near the top of the first thread's stack */

#define MAIN_MOST                                                                                                      \
	((uintptr_t)64 << 20) /* the kernel keeps twice that below the top of the first stack free of mappings */
#define THREAD_MOST ((uintptr_t)16 << 20)
#define FRAME_MOST ((uintptr_t)256 << 10)
enum { STEPS = 512, ROWS = 1024, MOST_CALLERS = 64 };

/* ---- modules ---- */

struct place {
	uintptr_t lo, hi; /* of the module */
	uintptr_t eh_hdr;
	bool is_main;
};

#if __GLIBC_PREREQ(2, 35)
extern __typeof__(_dl_find_object) _dl_find_object __attribute__((weak));

static int ask_libc(uintptr_t pc, struct place *where)
{
	struct dl_find_object o;
	if (!_dl_find_object)
		return -1;
	if (_dl_find_object((void *)pc, &o) != 0)
		return 0;
	where->lo = (uintptr_t)o.dlfo_map_start;
	where->hi = (uintptr_t)o.dlfo_map_end;
	where->eh_hdr = (uintptr_t)o.dlfo_eh_frame;
	where->is_main = !o.dlfo_link_map->l_name || !*o.dlfo_link_map->l_name;
	return 1;
}
#else
static int ask_libc(uintptr_t pc, struct place *where)
{
	(void)pc;
	(void)where;
	return -1;
}
#endif

/* where: {0}, or what was found last: most frames are in their callee's module. */
static bool find(uintptr_t pc, struct place *where)
{
	if (pc >= where->lo && pc < where->hi)
		return true;
	int known = ask_libc(pc, where);
	if (known >= 0)
		return known;
	struct grt_modules *mods = grt__modules_get_sig();
	const struct grt_module *m = grt__module_find_sig(mods, pc);
	if (m)
		*where = (struct place){m->lo, m->hi, m->eh_table ? m->eh_hdr : 0, m->is_main};
	grt__modules_put_sig(mods);
	return m != NULL;
}

void grt__callers_init(void)
{
	struct place self = {0};
	if (ask_libc((uintptr_t)&grt__callers, &self) < 0)
		grt__modules_refresh();
}

/* ---- rows ---- */

static struct {
	uint64_t sum, a, b; /* atomic: relaxed */
} rows[ROWS];

static uint64_t mix(uint64_t x)
{
	x *= 0x9e3779b97f4a7c15ull;
	return x ^ x >> 29;
}

static struct grt_cfi row_of(uintptr_t pc, uintptr_t eh_hdr)
{
	uint64_t key = mix(pc) + eh_hdr, word[2];
	struct grt_cfi row;
	size_t i = mix(pc) >> 40 & (ROWS - 1);
	word[0] = grt_load_relaxed(&rows[i].a);
	word[1] = grt_load_relaxed(&rows[i].b);
	if (grt_likely(grt_load_relaxed(&rows[i].sum) == key + mix(word[0]) + word[1]) && grt_likely(key)) {
		memcpy(&row, word, sizeof row);
		return row;
	}
	row = grt__cfi_find(eh_hdr, pc);
	memcpy(word, &row, sizeof row);
	grt_store_relaxed(&rows[i].sum, key + mix(word[0]) + word[1]);
	grt_store_relaxed(&rows[i].a, word[0]);
	grt_store_relaxed(&rows[i].b, word[1]);
	return row;
}

/* ---- trails ---- */

enum { TRAILS = 128, TRAIL_WORDS = 32 };
/* Where a word of a trail is, if it is none of the stack: no word is there. */
enum { AT_FP = 1, AT_BX = 2, NOTED = 3 };
#define BY_FP 0x10000u /* in a trail's n: it begins with these registers, too */
#define BY_BX 0x20000u
#define NO_TRAIL 0x40000u

struct trail {
	uint32_t seq; /* atomic: odd: being written */
	uint32_t tag;
	uint32_t forgotten; /* so many times when it was made */
	uint32_t n;         /* words, and BY_ */
	uintptr_t sp, top, fp, bx;
	uint32_t at[TRAIL_WORDS]; /* from sp */
	uintptr_t value[TRAIL_WORDS];
};
static struct trail trails[TRAILS];
static uint32_t forgotten; /* atomic */

static struct trail *trail_of(uintptr_t sp)
{
	return &trails[sp * 0x9e3779b97f4a7c15ull >> 40 & (TRAILS - 1)];
}

static void note(struct trail *t, uintptr_t at, uintptr_t value)
{
	if (!t)
		return;
	uint32_t n = t->n & 0xffff;
	if (at == AT_FP) {
		t->fp = value;
		t->n |= BY_FP;
	} else if (at == AT_BX) {
		t->bx = value;
		t->n |= BY_BX;
	} else if (n < TRAIL_WORDS && at - t->sp <= UINT32_MAX) {
		t->at[n] = (uint32_t)(at - t->sp);
		t->value[n] = value;
		t->n++;
	} else {
		t->n |= NO_TRAIL; /* too long */
	}
}

/* ---- the walk ---- */

struct at {
	uintptr_t pc, sp, fp, bx;
	uintptr_t fp_at, bx_at; /* where they come from: AT_FP, an address; NOTED */
	uintptr_t top;          /* of the stack that sp is on */
	bool sure;              /* it is there up to top */
};

/* Of the stack of a task, or main's, that sp is on; 0: it is another. */
static inline uintptr_t sure_top(uintptr_t sp)
{
	const struct g *gp = grt__self.g;
	uintptr_t end = (uintptr_t)__libc_stack_end;
	if (gp && gp->stack_lo && sp >= (uintptr_t)gp->stack_lo && sp < (uintptr_t)gp->birth.stack_hi)
		return (uintptr_t)gp->birth.stack_hi;
	return sp < end && end - sp < MAIN_MOST ? end : 0;
}

static void find_top(struct at *f)
{
	uintptr_t sp = f->sp, top = sure_top(sp), block = (uintptr_t)grt__thread_pointer();
	f->sure = top != 0;
	f->top = top ? top : sp < block && block - sp < THREAD_MOST ? block : UINTPTR_MAX;
}

/* n bytes there are of the stack, above sp. */
static bool on_stack(const struct at *f, uintptr_t addr, size_t n)
{
	return addr >= f->sp && addr % 8 == 0 && addr <= f->top - n && (f->sure || addr - f->sp <= FRAME_MOST);
}

static uintptr_t load(uintptr_t addr)
{
	return *(uintptr_t *)addr;
}

static bool interrupted(struct at *f)
{
	const ucontext_t *uc = (const ucontext_t *)f->sp;
	if (!on_stack(f, f->sp, sizeof *uc))
		return false;
	const greg_t *g = uc->uc_mcontext.gregs;
	*f = (struct at){.pc = (uintptr_t)g[REG_RIP],
	                 .sp = (uintptr_t)g[REG_RSP],
	                 .fp = (uintptr_t)g[REG_RBP],
	                 .bx = (uintptr_t)g[REG_RBX],
	                 .fp_at = NOTED,
	                 .bx_at = NOTED};
	find_top(f);
	return true;
}

/* The walk goes by the register from here on. */
static uintptr_t use_fp(struct at *f, struct trail *t)
{
	if (f->fp_at != NOTED)
		note(t, f->fp_at, f->fp);
	f->fp_at = NOTED;
	return f->fp;
}

static uintptr_t use_bx(struct at *f, struct trail *t)
{
	if (f->bx_at != NOTED)
		note(t, f->bx_at, f->bx);
	f->bx_at = NOTED;
	return f->bx;
}

static bool up(struct at *f, const struct grt_cfi *row, struct trail *t)
{
	uintptr_t from = row->base == GRT_CFI_SP ? f->sp : row->base == GRT_CFI_FP ? use_fp(f, t) : use_bx(f, t);
	uintptr_t cfa = from + (uintptr_t)(intptr_t)row->cfa;
	if (row->flags & GRT_CFI_DEREF) {
		if (!on_stack(f, cfa, 8))
			return false;
		note(t, cfa, load(cfa));
		cfa = load(cfa);
	}
	if (row->flags & (GRT_CFI_FP_BY_FP | GRT_CFI_BX_BY_FP))
		use_fp(f, t);
	if (cfa < f->sp + 8 || !on_stack(f, cfa - 8, 8))
		return false;
	uintptr_t fp = f->fp + (uintptr_t)(intptr_t)row->fp, bx = f->fp + (uintptr_t)(intptr_t)row->bx;
	if (row->flags & GRT_CFI_FP_SAVED)
		fp = cfa + (uintptr_t)(intptr_t)row->fp;
	if (row->flags & GRT_CFI_BX_SAVED)
		bx = cfa + (uintptr_t)(intptr_t)row->bx;
	if (row->flags & (GRT_CFI_BX_SAVED | GRT_CFI_BX_BY_FP)) {
		if (!on_stack(f, bx, 8))
			return false;
		f->bx = load(bx);
		f->bx_at = bx;
	}
	if (row->flags & (GRT_CFI_FP_SAVED | GRT_CFI_FP_BY_FP)) {
		if (!on_stack(f, fp, 8))
			return false;
		f->fp = load(fp);
		f->fp_at = fp;
	}
	f->pc = load(cfa - 8);
	note(t, cfa - 8, f->pc);
	f->sp = cfa;
	return f->pc != 0;
}

static unsigned walk(struct at *f, struct trail *t, uintptr_t *pc, unsigned max)
{
	struct place own = {0}, where = {0};
	unsigned n = 0;
	bool is_call = false, leading;
	leading = find(f->pc, &own) && !own.is_main;
	for (unsigned i = 0; i < STEPS && n < max; i++) {
		if (!find(f->pc - is_call, &where)) {
			if (i)
				pc[n++] = f->pc + !is_call;
			break;
		}
		leading = leading && where.lo == own.lo;
		if (!leading && i)
			pc[n++] = f->pc + !is_call;
		struct grt_cfi row = row_of(f->pc - is_call, where.eh_hdr);
		if (row.flags & GRT_CFI_SIGNAL || f->pc == (uintptr_t)grt__sigrestorer) {
			if (t)
				t->n |= NO_TRAIL; /* what is in the frame of a signal is not noted: no trail */
			if (!interrupted(f))
				break;
			is_call = false;
			continue;
		}
		if (row.flags & (GRT_CFI_NONE | GRT_CFI_BOTTOM) || !up(f, &row, t))
			break;
		is_call = true;
	}
	return n;
}

static struct at at_regs(const struct grt_regs *here)
{
	struct at f = {.pc = here->r[GRT_REG_PC],
	               .sp = here->r[GRT_REG_SP],
	               .fp = here->r[GRT_REG_FP],
	               .bx = here->r[GRT_REG_RBX],
	               .fp_at = AT_FP,
	               .bx_at = AT_BX};
	find_top(&f);
	return f;
}

unsigned grt__callers(uintptr_t *pc, unsigned max)
{
	struct grt_regs here;
	grt__regs_here(&here);
	struct at f = at_regs(&here);
	return walk(&f, NULL, pc, max);
}

/* All words lie between sp and top, which is sure, so they are there. One that is torn, of a trail that is being written, may lie
 * anywhere there; the sequence tells afterwards. */
static inline bool same(const struct trail *t, const struct grt_regs *here, uintptr_t top)
{
	uint32_t n = grt_load_relaxed(&t->n), words = n & 0xffff;
	uintptr_t sp = here->r[GRT_REG_SP], room = top - sp - 8;
	if (grt_load_relaxed(&t->sp) != sp || grt_load_relaxed(&t->top) != top || words > TRAIL_WORDS ||
	    (n & BY_FP && grt_load_relaxed(&t->fp) != here->r[GRT_REG_FP]) ||
	    (n & BY_BX && grt_load_relaxed(&t->bx) != here->r[GRT_REG_RBX]) ||
	    grt_load_relaxed(&t->forgotten) != grt_load_relaxed(&forgotten))
		return false;
	for (uint32_t i = 0; i < words; i++) {
		uint32_t at = grt_load_relaxed(&t->at[i]);
		if (grt_unlikely(at > room) || load(sp + at) != grt_load_relaxed(&t->value[i]))
			return false;
	}
	return true;
}

static void leave_trail(struct trail *to, const struct trail *t)
{
	uint32_t seq = grt_load_relaxed(&to->seq);
	if (seq & 1 || !grt_cas(&to->seq, seq, seq + 1))
		return;
	__atomic_thread_fence(__ATOMIC_RELEASE); /* the words after the lock, for who reads them */
	grt_store_relaxed(&to->sp, t->sp);
	grt_store_relaxed(&to->top, t->top);
	grt_store_relaxed(&to->fp, t->fp);
	grt_store_relaxed(&to->bx, t->bx);
	grt_store_relaxed(&to->tag, t->tag);
	grt_store_relaxed(&to->forgotten, t->forgotten);
	grt_store_relaxed(&to->n, t->n);
	for (uint32_t i = 0; i < (t->n & 0xffff); i++) {
		grt_store_relaxed(&to->at[i], t->at[i]);
		grt_store_relaxed(&to->value[i], t->value[i]);
	}
	grt_store_release(&to->seq, seq + 2); /* pairs with the reader's first look */
}

uint32_t grt__callers_tag(uint32_t (*tag_of)(const uintptr_t *pc, unsigned n))
{
	struct grt_regs here;
	uintptr_t pc[MOST_CALLERS];
	grt__regs_here(&here);
	uintptr_t top = sure_top(here.r[GRT_REG_SP]);
	struct trail *known = trail_of(here.r[GRT_REG_SP]), t;
	uint32_t seq = grt_load_acquire(&known->seq);
	if (grt_likely(top) && seq && !(seq & 1) && grt_likely(same(known, &here, top))) {
		uint32_t tag = grt_load_relaxed(&known->tag);
		__atomic_thread_fence(__ATOMIC_ACQUIRE);
		if (grt_likely(grt_load_relaxed(&known->seq) == seq))
			return tag;
	}
	struct at f = at_regs(&here);
	t.sp = f.sp;
	t.top = f.top;
	t.n = 0;
	t.fp = t.bx = 0;
	t.forgotten = grt_load_acquire(&forgotten);
	t.tag = tag_of(pc, walk(&f, &t, pc, MOST_CALLERS));
	if (top && !(t.n & NO_TRAIL))
		leave_trail(known, &t);
	return t.tag;
}

void grt__callers_forget(void)
{
	grt_add_relaxed(&forgotten, 1);
}
