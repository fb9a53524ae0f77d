/* See cputime.h. */
#include "sched/cputime.h"
#include "os/os.h"

uint32_t grt__cputime_counts;

static int64_t thread_clock(void)
{
	return grt__os_clock(CLOCK_THREAD_CPUTIME_ID);
}

void grt__cputime_switch(struct m *mp, struct g *to)
{
	int64_t now = thread_clock();
	if (mp->counted)
		mp->counted->cputime += now - mp->counted_at;
	mp->counted = to->is_g0 ? NULL : to;
	mp->counted_at = now;
}

int64_t grt__cputime(void)
{
	struct m *mp = grt__enter();
	struct g *gp = grt__self.g;
	int64_t now = thread_clock();
	if (mp->counted != gp) { /* it runs since before anybody asked */
		grt_store_relaxed(&grt__cputime_counts, 1);
		gp->cputime = now;
		mp->counted = gp;
		mp->counted_at = now;
	}
	int64_t t = gp->cputime + now - mp->counted_at;
	grt__leave();
	return t;
}

void grt__cputime_fork_child(struct m *mp)
{
	if (!mp->counted)
		return;
	mp->counted->cputime = 0;
	mp->counted_at = thread_clock();
}
