/*
 * What the kernel writes into memory when a thread ends: the robust futexes on the list of set_robust_list, and the word of
 * set_tid_address. Every task has both from libc, in its thread block, and the runtime does with them what has to be done; here are
 * the numbers of syscall() and prctl by which a program asks for them or sets its own. Such a task is pinned, and when it ends
 * its own words are written before anybody can join it, in the way of the kernel: memory that is gone is left out in silence.
 * The program's words hold the tid that it knows, the task's.
 */
#include "os/os.h"
#include "sched/pin.h"
#include "sched/proc.h"
#include "sched/tcb.h"
#include "shim/kstate.h"
#include "sync/futex.h"
#include <linux/futex.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/uio.h>

enum { LIST_SIZE = 24, LIST_MOST = 2048, PI_BIT = 1 };

/* The program's memory, which may be gone. */
static bool copy(long nr, void *ours, void *theirs, size_t n)
{
	struct iovec here = {ours, n}, there = {theirs, n};
	return grt__sys6(nr, grt__sys_getpid(), &here, 1, &there, 1, 0) == (long)n;
}

static bool peek(void *to, uintptr_t from, size_t n)
{
	return copy(SYS_process_vm_readv, to, (void *)from, n);
}

static void *list_of(struct g *gp)
{
	void *list;
	size_t size;
	if (gp->robust == ROBUST_OWN && grt__sys3(SYS_get_robust_list, grt__pinned_tid(gp), &list, &size) == 0)
		return list;
	return grt__tcb_robust_list(gp->tcb);
}

static void owner_died(uintptr_t entry, long offset, int tid)
{
	uintptr_t word = (entry & ~(uintptr_t)PI_BIT) + (uintptr_t)offset;
	uint32_t value;
	if (word % sizeof value == 0 && peek(&value, word, sizeof value) && (value & FUTEX_TID_MASK) == (uint32_t)tid) {
		grt__tcb_owner_died(entry, offset, tid);
		if (value & FUTEX_WAITERS && !(entry & PI_BIT))
			grt__futex_wake((void *)word, 1, FUTEX_BITSET_MATCH_ANY);
	}
}

static void end_list(struct g *gp)
{
	uintptr_t list = (uintptr_t)list_of(gp), head[3], next;
	if (!peek(head, list, sizeof head))
		return;
	uintptr_t entry = head[0], pending = head[2];
	for (int n = 0; (entry & ~(uintptr_t)PI_BIT) != list && n < LIST_MOST; n++) {
		bool more = peek(&next, entry & ~(uintptr_t)PI_BIT, sizeof next); /* before its next owner writes there */
		if (entry != pending)
			owner_died(entry, (long)head[1], gp->tid);
		if (!more)
			return;
		entry = next;
	}
	if (pending)
		owner_died(pending, (long)head[1], gp->tid);
}

static void end_task(struct g *gp)
{
	int32_t zero = 0;
	if (gp->robust == ROBUST_OWN)
		end_list(gp);
	if (gp->clears_tid && copy(SYS_process_vm_writev, &zero, gp->clear_tid, sizeof zero) &&
	    grt__futex_wake(gp->clear_tid, 1, FUTEX_BITSET_MATCH_ANY) == 0)
		grt__sys3(SYS_futex, gp->clear_tid, FUTEX_WAKE, 1);
}

long grt__get_robust_list(pid_t tid, void **list, size_t *size)
{
	struct g *gp = tid ? grt__g_of_tid(tid) : grt__self.g;
	if (!gp)
		return tid >= GRT_TID_FIRST ? -ESRCH : GRT_KSTATE_REAL;
	long r = grt__sys3(SYS_get_robust_list, 0, list, size); /* EFAULT is the kernel's to say */
	if (r == 0)
		*list = list_of(gp);
	return r;
}

long grt__set_robust_list(void *list, size_t size)
{
	struct g *gp = grt__self.g;
	bool blocks = list == grt__tcb_robust_list(gp->tcb);
	if (size != LIST_SIZE)
		return -EINVAL;
	if (blocks && gp->robust != ROBUST_OWN)
		return 0;
	grt__pin_end_hook = end_task;
	grt__pin(gp);
	long r = grt__sys2(SYS_set_robust_list, list, size);
	if (r == 0)
		gp->robust = blocks ? ROBUST_BLOCK : ROBUST_OWN;
	return r;
}

long grt__set_tid_address(void *word)
{
	struct g *gp = grt__self.g;
	gp->clears_tid = word != grt__tcb_tid_word(gp->tcb);
	gp->clear_tid = word;
	if (gp->clears_tid) {
		grt__pin_end_hook = end_task;
		grt__pin(gp);
	}
	return gp->tid;
}

long grt__get_tid_address(void **word)
{
	struct g *gp = grt__self.g;
	long r = grt__sys5(SYS_prctl, PR_GET_TID_ADDRESS, word, 0, 0, 0);
	if (r == 0)
		*word = gp->clears_tid ? gp->clear_tid : grt__tcb_tid_word(gp->tcb);
	return r;
}
