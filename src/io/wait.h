/*
 * Waiting for descriptors: a task parks, and the poller (netpoll.h) wakes it.
 *
 *   try     read count; make the call without sleeping; done unless it says EAGAIN
 *   wait    under the record's lock: has count changed, or the life? then try again. Link; park.
 *   event   under the lock: count up; unlink those it concerns, and wake.
 *
 * A wait may be for several descriptors (poll). Whoever sets `claimed` of it first, an event, its time-out or the task itself after an
 * interruption, decides how it ends; exactly one wake follows. The task unlinks what is left. Nothing of it outlives the call: it is
 * unlinked before a handler of the program can run.
 *
 * Lock order: FD (a shadow's second, unchecked), then TIMERS, SCHED.
 */
#ifndef GRT_IO_WAIT_H
#define GRT_IO_WAIT_H

#include "io/fd.h"

struct grt_fd_wait;
struct gqueue;

struct grt_wait_fd {
	int fd;           /* in; lock of e: the shadow's after a close */
	uint8_t dirs;     /* in: GRT_DIR bits */
	uint8_t one_of;   /* in: of those with this, an event wakes one (accept) */
	uint8_t shadow;   /* lock of e: fd is a shadow, to be released */
	uint8_t lost;     /* lock of e: the file is gone, and there was no descriptor for a shadow */
	uint8_t linked;   /* lock of e */
	struct grt_fd *e; /* in; atomic, changed under the locks of both */
	uint32_t gen;     /* in: as read before the call was tried, count too */
	uint32_t seen[2];
	struct grt_list link; /* lock of e */
	struct grt_fd_wait *wait;
};

enum grt_waited {
	WAITED_READY, /* or perhaps: try again */
	WAITED_TIMEOUT,
	WAITED_RESTART,   /* handlers ran, all with SA_RESTART */
	WAITED_EINTR,     /* one without it did */
	WAITED_CANCELLED, /* a cancellation is due */
	WAITED_NOT        /* cannot be waited for here: the kernel's to do */
};

/* Reads what a wait compares with. Before the call is tried. */
static inline void grt__wait_look(struct grt_wait_fd *w, struct grt_fd *e, int fd, unsigned dirs)
{
	w->e = e;
	w->fd = fd;
	w->dirs = (uint8_t)dirs;
	w->gen = grt_load_acquire(&e->gen);
	w->seen[GRT_IN] = grt_load_acquire(&e->count[GRT_IN]);
	w->seen[GRT_OUT] = grt_load_acquire(&e->count[GRT_OUT]);
}

/* Task, outside critical sections. A deadline as in sched/clock.h, GRT_FOREVER for none. */
enum grt_waited grt__wait_fds(struct grt_wait_fd *fds, int n, int64_t deadline);

/* A handler that ran meanwhile has forked, and this is the child: nobody would wake for that record. */
static inline bool grt__wait_orphaned(const struct grt_wait_fd *w)
{
	return !w->shadow && grt_unlikely(grt__fd_find(w->fd) != w->e);
}

/* After the last wait of a call. */
static inline void grt__wait_done(struct grt_wait_fd *w)
{
	if (grt_unlikely(w->shadow))
		grt__fd_shadow_release(w->fd);
	w->shadow = 0;
}

/* One of those that wait for their turn (one_of) is woken: the one woken before may have left something. */
void grt__wait_pass(struct grt_fd *e);

/* The lock of e is held. Something has happened: those that wait for it go to `ready`. */
void grt__wait_event_locked(struct grt_fd *e, unsigned dirs, bool all, struct gqueue *ready);
/* All of them learn that the file is gone. */
void grt__wait_lost_locked(struct grt_fd *e);

#endif
