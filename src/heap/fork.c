/*
 * fork: the locks of the heap around it; see heap.h.
 */
#include "heap/cache.h"
#include "heap/central.h"
#include "os/os.h"

void grt__heap_lock_for_fork(struct grt_lock *l)
{
	for (unsigned i = 0; !grt_cas(&l->word, 0, 1); i++)
		grt__os_pause(i);
}

bool grt__heap_fork_begin(void)
{
	return grt_cas(&grt__heap_forking, 0, 1);
}

void grt__heap_fork_prepare(void)
{
	for (struct mcache *c = grt_load_acquire(&grt__caches); c; c = c->all_next)
		grt__heap_lock_for_fork(&c->lock);
	grt__central_fork(true);
	for (unsigned i = 0;; i++) { /* a run that the scavenger has in hand would be lost to the child */
		grt__heap_lock_for_fork(&grt__mheap.lock);
		if (!grt__mheap.scavenging)
			break;
		grt_store_release(&grt__mheap.lock.word, 0);
		grt__os_pause(i);
	}
}

void grt__heap_fork_parent(void)
{
	grt_store_release(&grt__mheap.lock.word, 0);
	grt__central_fork(false);
	for (struct mcache *c = grt__caches; c; c = c->all_next)
		grt_store_release(&c->lock.word, 0);
	grt_store_release(&grt__heap_forking, 0);
	grt__pages_deferred();
}

void grt__heap_fork_child(const struct mcache *mine)
{
	grt__heap_fork_parent(); /* opens all, here too */
	grt__caches_fork_child(mine);
}
