#include "observe/schedtrace.h"
#include "observe/knobs.h"
#include "observe/print.h"
#include "os/os.h"
#include "sched/proc.h"

static int64_t start;

static const char *bool_name(bool b)
{
	return b ? "true" : "false";
}

static long id_of_m(const struct m *mp)
{
	return mp ? (long)mp->id : -1;
}

static long id_of_g(const struct g *gp)
{
	return gp ? (long)gp->id : -1;
}

static void print_p(struct grt_out *o, const struct p *pp)
{
	uint64_t word = grt_load_relaxed(&pp->word);
	bool held = P_STATUS(word) != P_IDLE && P_STATUS(word) != P_DEAD;
	grt__out(o, "  P%u: status=%u schedtick=%u syscalltick=%u m=%ld runqsize=%u gfreecnt=%u timerslen=%u\n", pp->id,
	         (unsigned)P_STATUS(word), grt_load_relaxed(&pp->schedtick), grt_load_relaxed(&pp->syscalltick),
	         held ? (long)P_MID(word) : -1, grt__runq_size(pp), pp->nfree_g, grt_load_relaxed(&pp->ntimers));
}

static void print_m(struct grt_out *o, const struct m *mp)
{
	const struct p *pp = grt_load_relaxed(&mp->p);
	uint64_t word = pp ? grt_load_relaxed(&pp->word) : 0;
	bool held = pp && pp != &grt__no_p && !pp->is_own && P_STATUS(word) != P_IDLE &&
	            P_MID(word) == mp->id; /* else it was taken away */
	const struct grt_tls *cur = grt_load_relaxed(&mp->cur);
	grt__out(
		o,
		"  M%u: p=%ld curg=%ld mallocing=0 throwing=0 preemptoff= locks=%u dying=0 spinning=%s blocked=%s lockedg=%ld\n",
		mp->id, held ? (long)pp->id : -1, id_of_g(grt_load_relaxed(&mp->curg)), cur ? grt_load_relaxed(&cur->crit) : 0,
		bool_name(mp->spinning), bool_name(!held && !grt_load_relaxed(&mp->curg)),
		id_of_g(grt_load_relaxed(&mp->lockedg)));
}

/* Under the allg lock: nothing may block. */
static void print_g(struct g *gp, void *out)
{
	uint32_t status = grt_load_relaxed(&gp->status);
	uint8_t why = gp->wait_why;
	const struct m *mp = grt_load_relaxed(&gp->m); /* where it ran last */
	if (mp && grt_load_relaxed(&mp->curg) != gp)
		mp = NULL;
	if (status == G_DEAD)
		status = 6; /* Go's number */
	grt__out(out, "  G%lu: status=%u(%s) m=%ld lockedm=%ld\n", gp->id, status,
	         status == G_WAITING && why < WAIT_LAST && grt__wait_reason_name[why] ? grt__wait_reason_name[why] : "",
	         id_of_m(mp), id_of_m(grt_load_relaxed(&gp->lockedm)));
}

static void print_procs(struct grt_out *o, uint32_t nprocs, bool detail)
{
	grt__out_str(o, detail ? "" : " [");
	for (uint32_t i = 0; i < nprocs; i++) {
		const struct p *pp = grt_load_acquire(&grt__sched.allp[i]);
		if (!pp)
			continue;
		if (detail)
			print_p(o, pp);
		else
			grt__out(o, i ? " %u" : "%u", grt__runq_size(pp));
	}
	if (!detail)
		grt__out(o, "] pid=%d\n", grt__sys_getpid());
}

void grt__schedtrace_print(bool detail)
{
	const struct grt_sched *s = &grt__sched;
	uint32_t nprocs = grt_load_relaxed(&s->nprocs);
	size_t size = 65536 + nprocs * 160ul;
	if (detail)
		size += (size_t)grt__num_tasks() * 96 + grt_load_relaxed(&s->nm) * 192ul;
	struct grt_out o = {.buf = grt__os_alloc(size), .size = size, .no_flush = true};
	if (!o.buf)
		return;
	int64_t now = grt__nanotime();
	if (start == 0)
		start = now;
	grt__out(&o,
	         "SCHED %ldms: gomaxprocs=%u idleprocs=%u threads=%u spinningthreads=%u needspinning=%u idlethreads=%u "
	         "runqueue=%u",
	         (long)((now - start) / 1000000), nprocs, grt_load_relaxed(&s->npidle), grt_load_relaxed(&s->nm_live),
	         grt_load_relaxed(&s->nspinning), grt_load_relaxed(&s->want_m), grt_load_relaxed(&s->nmidle),
	         grt_load_relaxed(&s->globq_size));
	if (detail)
		grt__out(&o, " gcwaiting=false nmidlelocked=0 stopwait=0 sysmonwait=%s pid=%d\n",
		         bool_name(grt_load_relaxed(&s->sysmon_asleep)), grt__sys_getpid());
	print_procs(&o, nprocs, detail);
	if (detail) {
		for (const struct m *mp = grt_load_acquire(&s->allm); mp; mp = mp->all_next)
			print_m(&o, mp);
		grt__allg_for_each(print_g, &o);
	}
	grt__out_flush(&o);
	grt__os_free(o.buf, size);
}

static void on_sysmon(int64_t now)
{
	grt__schedtrace_print(grt__knobs.scheddetail);
	grt__schedtrace_next = now + grt__knobs.schedtrace_ms * 1000000ll;
}

void grt__schedtrace_init(void)
{
	if (grt__knobs.schedtrace_ms <= 0)
		return;
	start = grt__nanotime();
	grt__schedtrace_hook = on_sysmon;
	grt__schedtrace_next = start;
}
