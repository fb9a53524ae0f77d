#include "observe/traceback.h"
#include "elf/peek.h"
#include "elf/symbol.h"
#include "os/os.h"
#include <string.h>

enum { HEAD_FRAMES = 50, TAIL_FRAMES = 50, NAMES = 1024 };

static char out_buf[8192];
struct grt_out grt__report_out = {.buf = out_buf, .size = sizeof out_buf};

/* Kernel thread that reports; 0: none. Not a grt_lock: whoever crashes may hold any rank, and must notice that it is
 * itself. */
static int32_t reporter;
static struct grt_modules *mods; /* reporter's */

/* Names that were found in this report; parked tasks share most of their frames. */
static struct {
	uintptr_t pc;
	struct grt_symbol sym;
	bool known;
} names[NAMES];

bool grt__report_begin_sig(void)
{
	int32_t me = grt__sys_gettid();
	if (grt_load_relaxed(&reporter) == me)
		return false;
	while (!grt_cas(&reporter, 0, me)) {
		struct timespec pause = {0, 10000000};
		grt__sys2(SYS_nanosleep, &pause, NULL);
	}
	mods = grt__modules_get_sig();
	memset(names, 0, sizeof names);
	grt__unwind_forget_sig();
	grt__report_out.len = 0;
	return true;
}

void grt__report_end_sig(void)
{
	grt__out_flush(&grt__report_out);
	grt__modules_put_sig(mods);
	mods = NULL;
	grt_store_release(&reporter, 0);
}

void grt__report_fork_child(void)
{
	reporter = 0;
}

/* ---- frames ---- */

static const struct grt_symbol *find_name(struct grt_module *m, uintptr_t pc)
{
	size_t i = (pc * 0x9e3779b97f4a7c15ull) >> 54;
	if (names[i].pc != pc || (names[i].known && names[i].sym.transient)) {
		names[i].known = grt__module_symbol_sig(m, pc, &names[i].sym);
		names[i].pc = pc;
	}
	return names[i].known ? &names[i].sym : NULL;
}

/* Without the version of "read@@GLIBC_2.2.5", as debug files have it. */
static void print_name(const struct grt_symbol *sym)
{
	char name[512];
	size_t n = 0;
	for (const char *s = sym ? sym->name : "?"; *s && *s != '@' && n + 1 < sizeof name; s++)
		name[n++] = *s;
	name[n] = '\0';
	grt__out_str(&grt__report_out, name);
}

void grt__traceback_name_sig(uintptr_t pc)
{
	struct grt_module *m = grt__module_find_sig(mods, pc);
	print_name(m ? find_name(m, pc) : NULL);
}

/* libgrt's internals: a local symbol of the library, or grt__ where it is linked into a program. */
static bool is_internal(const struct grt_module *m, const struct grt_symbol *sym)
{
	if (grt__module_find_sig(mods, (uintptr_t)&grt__report_begin_sig) != m)
		return false;
	if (!sym)
		return !m->is_main;
	return !strncmp(sym->name, "grt__", 5) || (!m->is_main && !sym->exported);
}

struct frame {
	uintptr_t pc;
	bool is_call;
};

struct frames {
	enum traceback_detail detail;
	uint32_t count;                 /* that are shown */
	struct frame tail[TAIL_FRAMES]; /* ring of the last ones beyond HEAD_FRAMES */
	uintptr_t last_pc, last_sp;
};

static void print_frame(struct frame f)
{
	struct grt_out *o = &grt__report_out;
	struct grt_module *m = grt__module_find_sig(mods, f.pc - f.is_call);
	if (!m) {
		grt__out(o, "?(...)\n\tpc=0x%lx\n", f.pc);
		return;
	}
	const struct grt_symbol *sym = find_name(m, f.pc - f.is_call);
	print_name(sym);
	grt__out_str(o, "(...)\n\t");
	grt__out_str(o, m->path);
	grt__out(o, "+0x%lx pc=0x%lx\n", f.pc - m->bias, f.pc);
}

static bool hidden(const struct frame *f, enum traceback_detail detail)
{
	if (detail >= TRACEBACK_SYSTEM)
		return false;
	struct grt_module *m = grt__module_find_sig(mods, f->pc - f->is_call);
	return m && is_internal(m, find_name(m, f->pc - f->is_call));
}

static bool on_frame(void *arg, uintptr_t pc, uintptr_t sp, bool is_call)
{
	struct frames *fs = arg;
	struct frame f = {pc, is_call};
	if (fs->last_pc == pc && fs->last_sp == sp)
		return false; /* no progress */
	fs->last_pc = pc;
	fs->last_sp = sp;
	if (hidden(&f, fs->detail))
		return true;
	if (fs->count < HEAD_FRAMES)
		print_frame(f);
	else
		fs->tail[fs->count % TAIL_FRAMES] = f;
	fs->count++;
	return true;
}

void grt__traceback_frames_sig(const struct grt_regs *regs, enum traceback_detail detail)
{
	static struct frames fs; /* one report at a time */
	memset(&fs, 0, sizeof fs);
	fs.detail = detail;
	grt__unwind_sig(mods, regs, on_frame, &fs);
	uint32_t from = HEAD_FRAMES;
	if (fs.count > HEAD_FRAMES + TAIL_FRAMES) {
		from = fs.count - TAIL_FRAMES;
		grt__out(&grt__report_out, "...%u frames elided...\n", from - HEAD_FRAMES);
	}
	for (uint32_t i = from; i < fs.count; i++)
		print_frame(fs.tail[i % TAIL_FRAMES]);
}

void grt__traceback_calls_sig(const uintptr_t *pc, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		print_frame((struct frame){pc[i], true});
}

/* ---- where a task is ---- */

/* pc and sp of a thread asleep in the kernel: "nr a0 .. a5 sp pc" in /proc/self/task/TID/syscall. */
static bool regs_of_sleeper(int tid, struct grt_regs *regs)
{
	char path[48], line[256];
	grt__format(path, sizeof path, "/proc/self/task/%d/syscall", tid);
	if (grt__os_read_file(path, line, sizeof line) <= 0 || line[0] == 'r' /* running */)
		return false;
	uintptr_t word[2] = {0};
	for (const char *p = line; *p; p++) {
		if (*p != ' ')
			continue;
		word[0] = word[1];
		word[1] = 0;
		for (p += 3; (*p >= '0' && *p <= '9') || (*p >= 'a' && *p <= 'f'); p++)
			word[1] = word[1] << 4 | (uintptr_t)(*p <= '9' ? *p - '0' : *p - 'a' + 10);
		p--;
	}
	regs->known = 0;
	grt__regs_set(regs, GRT_REG_SP, word[0]);
	grt__regs_set(regs, GRT_REG_PC, word[1]);
	return word[1] != 0;
}

static bool on_its_stack(const struct g *gp, uintptr_t sp)
{
	return !gp->stack_lo || (sp >= (uintptr_t)gp->stack_lo && sp <= (uintptr_t)gp->birth.stack_hi);
}

/* A task that no thread is on: what the switch or the preemption left. */
static bool regs_of_parked(const struct g *gp, struct grt_regs *regs)
{
	if (gp->preempted) {
		greg_t gregs[NGREG];
		uintptr_t at = (uintptr_t)gp->frame_uc + offsetof(ucontext_t, uc_mcontext.gregs);
		if (!gp->frame_uc || grt__peek_sig(at, gregs, sizeof gregs) != sizeof gregs)
			return false;
		grt__regs_of_greg(regs, gregs);
		return true;
	}
	struct grt_ctx_birth unborn, *birth = grt__ctx_unborn(&gp->ctx);
	if (birth) {
		if (grt__peek_sig((uintptr_t)birth, &unborn, sizeof unborn) != sizeof unborn)
			return false;
		regs->known = 0;
		grt__regs_set(regs, GRT_REG_SP, (uintptr_t)unborn.stack_hi);
		grt__regs_set(regs, GRT_REG_PC, (uintptr_t)&grt__ctx_entry);
		return true;
	}
	uintptr_t words[GRT_CTX_WORDS], sp = (uintptr_t)gp->ctx.sp;
	if (!sp || grt__peek_sig(sp, words, sizeof words) != sizeof words)
		return false;
	grt__regs_of_ctx(regs, words, sp);
	return true;
}

static const char *where_is(struct g *gp, struct grt_regs *regs)
{
	const struct m *mp = grt_load_relaxed(&gp->m); /* where it ran last; Ms are never freed */
	if (!mp || grt_load_relaxed(&mp->curg) != gp)
		return regs_of_parked(gp, regs) ? NULL : "stack unavailable";
	if (regs_of_sleeper(mp->tid, regs) && on_its_stack(gp, regs->r[GRT_REG_SP]))
		return NULL;
	return "goroutine running on other thread; stack unavailable";
}

/* ---- headers ---- */

static const char *status_name(struct g *gp, uint32_t status)
{
	static const char *const name[] = {"idle", "runnable", "running", "syscall", "waiting", "dead"};
	uint8_t why = gp->wait_why;
	if (status == G_WAITING && why > WAIT_NONE && why < WAIT_LAST && grt__wait_reason_name[why])
		return grt__wait_reason_name[why];
	return status < GRT_COUNT(name) ? name[status] : "???";
}

/* Waits are stamped with the cycle counter; its rate is what it did since grt__traceback_init. */
static int64_t epoch_ns;
static uint64_t epoch_cycles;

void grt__traceback_init(void)
{
	epoch_ns = grt__nanotime();
	epoch_cycles = grt__cycles();
}

static long minutes_since(uint64_t cycles)
{
	uint64_t now = grt__cycles();
	double ns_per_cycle = now > epoch_cycles ? (double)(grt__nanotime() - epoch_ns) / (double)(now - epoch_cycles) : 0;
	return now > cycles ? (long)((double)(now - cycles) * ns_per_cycle / 60e9) : 0;
}

void grt__traceback_header_sig(struct g *gp)
{
	struct grt_out *o = &grt__report_out;
	if (gp->is_g0) {
		grt__out(o, "goroutine 0 [idle]:\n");
		return;
	}
	uint32_t status = grt_load_relaxed(&gp->status);
	uint64_t since = gp->wait_since;
	grt__out(o, "goroutine %lu [%s", gp->id, status_name(gp, status));
	if ((status == G_WAITING || status == G_SYSCALL) && since != 0) {
		long minutes = minutes_since(since);
		if (minutes >= 1)
			grt__out(o, ", %ld minutes", minutes);
	}
	if (gp->lockedm)
		grt__out(o, ", locked to thread");
	grt__out(o, "]");
	if (gp->name[0]) {
		char name[sizeof gp->name + 1]; /* it may change under us */
		memcpy(name, gp->name, sizeof gp->name);
		name[sizeof gp->name] = '\0';
		grt__out(o, " [%s]", name);
	}
	grt__out(o, ":\n");
}

void grt__traceback_sig(struct g *gp, const struct grt_regs *regs, enum traceback_detail detail)
{
	struct grt_out *o = &grt__report_out;
	struct grt_regs found;
	grt__traceback_header_sig(gp);
	if (!regs) {
		const char *why = where_is(gp, &found);
		if (why) {
			grt__out(o, "\t%s\n", why);
			return;
		}
		regs = &found;
	}
	if (regs->r[GRT_REG_PC] == (uintptr_t)&grt__ctx_entry && gp->fn)
		print_frame((struct frame){(uintptr_t)gp->fn, false}); /* it has not run yet */
	else
		grt__traceback_frames_sig(regs, detail);
}
