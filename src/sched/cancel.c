#include "sched/cancel.h"
#include "sched/signal.h"
#include "sched/task.h"

uint32_t grt__cancel_used;

void grt__cancel_prepare(void)
{
	if (grt_load_acquire(&grt__cancel_used))
		return;
	grt__tcb_cancel_prepare();
	grt__cancel_call_complain();
	grt_store_release(&grt__cancel_used, 1);
}

void grt__cancel_act(void)
{
	grt__libc.pthread_testcancel();
}

void grt__cancel(struct g *gp)
{
	if (!grt__task_alive(gp)) /* ended, not joined: its outcome stands */
		return;
	enum tcb_cancel how = grt__tcb_cancel_request(gp);
	if (how != TCB_CANCEL_LATER)
		grt__signal_prod(gp, how == TCB_CANCEL_ASYNC || grt__cancel_call_known());
}
