#include "io/fd.h"
#include "io/netpoll.h"
#include "io/wait.h"
#include "os/os.h"
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>

enum { SHADOW_FIRST = 900 }; /* out of the way of programs that count on the lowest free number */

struct grt_fd *grt__fd_table[FD_CHUNKS];
uint32_t grt__fd_epoch = 1;
static uint32_t used_below; /* atomic: chunks from here on were never made */
static uint32_t shadows;    /* atomic: living ones */

static struct grt_fd *make_chunk(unsigned i)
{
	struct grt_fd *chunk = grt__os_alloc(FD_CHUNK * sizeof *chunk), *other = NULL;
	if (!chunk)
		return NULL;
	for (int k = 0; k < FD_CHUNK; k++) {
		grt_lock_init(&chunk[k].lock, GRT_RANK_FD);
		grt_list_init(&chunk[k].waiters);
	}
	if (!__atomic_compare_exchange_n(&grt__fd_table[i], &other, chunk, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) {
		grt__os_free(chunk, FD_CHUNK * sizeof *chunk);
		return other;
	}
	uint32_t below = grt_load_relaxed(&used_below);
	while (below < i + 1 &&
	       !__atomic_compare_exchange_n(&used_below, &below, i + 1, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
		;
	return chunk;
}

struct grt_fd *grt__fd_get(int fd)
{
	struct grt_fd *e = grt__fd_find(fd);
	if (e || (unsigned)fd >= FD_MAX)
		return e;
	struct grt_fd *chunk = make_chunk((unsigned)fd / FD_CHUNK);
	return chunk ? &chunk[fd % FD_CHUNK] : NULL;
}

/* ---- what it is ---- */

static int socket_option(int fd, int name)
{
	int value = 0;
	uint32_t size = sizeof value;
	return grt__sys5(SYS_getsockopt, fd, SOL_SOCKET, name, &value, &size) == 0 ? value : -1;
}

static uint32_t socket_timeout(int fd, int name)
{
	struct timeval tv = {0};
	uint32_t size = sizeof tv;
	if (grt__sys5(SYS_getsockopt, fd, SOL_SOCKET, name, &tv, &size) != 0 || (!tv.tv_sec && !tv.tv_usec))
		return 0;
	if (tv.tv_sec >= UINT32_MAX / 1000 - 1)
		return 0; /* 49 days */
	return (uint32_t)(tv.tv_sec * 1000 + (tv.tv_usec + 999) / 1000);
}

static enum grt_fd_kind socket_kind(int fd)
{
	int type = socket_option(fd, SO_TYPE), protocol = socket_option(fd, SO_PROTOCOL);
	/* Less than that a blocking call does not return, one with MSG_DONTWAIT does. */
	if (type < 0 || protocol < 0 || socket_option(fd, SO_RCVLOWAT) != 1)
		return FD_PLAIN;
	if (type == SOCK_STREAM && protocol == IPPROTO_TCP)
		return FD_TCP;
	return type == SOCK_SEQPACKET ? FD_FLAGGED : FD_SOCKET; /* write ends a record there */
}

static enum grt_fd_kind look(int fd, uint32_t timeout[2], bool *nonblock)
{
	struct stat st;
	long flags = grt__sys3(SYS_fcntl, fd, F_GETFL, 0);
	if (flags < 0 || grt__sys_fstat(fd, &st) != 0)
		return FD_UNKNOWN;
	*nonblock = flags & O_NONBLOCK;
	switch (st.st_mode & S_IFMT) {
	case S_IFSOCK:
		timeout[GRT_IN] = socket_timeout(fd, SO_RCVTIMEO);
		timeout[GRT_OUT] = socket_timeout(fd, SO_SNDTIMEO);
		return socket_kind(fd);
	case S_IFIFO:
		return FD_FLAGGED;
	case 0: /* eventfd and its kin. A signalfd's reader has to be in the kernel (sched/signal.h). */
		return grt_load_relaxed(&grt__signalfd_mask) ? FD_PLAIN : FD_FLAGGED;
	default:
		return FD_PLAIN;
	}
}

enum grt_fd_kind grt__fd_classify(int fd, struct grt_fd *e)
{
	uint32_t timeout[2] = {0, 0}, gen = grt_load_acquire(&e->gen), epoch = grt_load_acquire(&grt__fd_epoch);
	bool nonblock = false;
	if (grt_likely(grt_load_relaxed(&e->kind) != FD_UNKNOWN && grt_load_acquire(&e->epoch) == epoch))
		return grt_load_relaxed(&e->nonblock) ? FD_PLAIN : (enum grt_fd_kind)grt_load_relaxed(&e->kind);
	enum grt_fd_kind kind = look(fd, timeout, &nonblock);
	if (kind == FD_UNKNOWN)
		return FD_PLAIN;
	grt__enter();
	grt_lock(&e->lock);
	if (e->gen == gen && !e->closing) {
		grt_store_relaxed(&e->used, 1);
		grt_store_relaxed(&e->kind, (uint8_t)kind);
		grt_store_relaxed(&e->timeout[GRT_IN], timeout[GRT_IN]);
		grt_store_relaxed(&e->timeout[GRT_OUT], timeout[GRT_OUT]);
		grt_store_relaxed(&e->nonblock, nonblock);
		grt_store_release(&e->epoch, epoch);
	} else {
		kind = FD_PLAIN;
	}
	grt_unlock(&e->lock);
	grt__leave();
	return nonblock ? FD_PLAIN : kind;
}

void grt__fd_options_changed(void)
{
	if (!grt_add_seqcst(&grt__fd_epoch, 1))
		grt_add_seqcst(&grt__fd_epoch, 1);
}

/* ---- its life ---- */

static inline void enter(void)
{
	if (grt__self.g)
		grt__enter();
}

static inline void leave(void)
{
	if (grt__self.g)
		grt__leave();
}

/* A new life: nothing is known. */
static void renew_locked(struct grt_fd *e)
{
	grt_store_release(&e->gen, e->gen + 1);
	e->registered = 0;
	grt_store_relaxed(&e->kind, FD_UNKNOWN);
	grt_store_relaxed(&e->nonblock, 0);
	grt_store_relaxed(&e->hup, 0);
	grt_store_relaxed(&e->spent[GRT_IN], 0);
	grt_store_relaxed(&e->spent[GRT_OUT], 0);
	grt_store_relaxed(&e->used, 0);
}

void grt__fd_set_nonblock(int fd, bool nonblock)
{
	struct grt_fd *e = nonblock ? grt__fd_get(fd) : grt__fd_find(fd);
	if (!e)
		return;
	enter();
	grt_lock(&e->lock);
	grt_store_relaxed(&e->nonblock, nonblock);
	grt_store_relaxed(&e->used, 1);
	if (grt_load_relaxed(&e->kind) == FD_UNKNOWN) {
		grt_store_relaxed(&e->kind, nonblock ? FD_PLAIN : FD_UNKNOWN);
		grt_store_relaxed(&e->epoch, 0);
	} else if (!nonblock) {
		grt_store_relaxed(&e->epoch, 0); /* it may never have been looked at */
	}
	grt_unlock(&e->lock);
	leave();
}

void grt__fd_opened(int fd, bool nonblock)
{
	struct grt_fd *e = grt__fd_find(fd);
	if (e && grt_load_relaxed(&e->used)) {
		enter();
		grt_lock(&e->lock);
		if (!grt_list_empty(&e->waiters)) /* closed where nobody saw it */
			grt__wait_lost_locked(e);
		renew_locked(e);
		grt_unlock(&e->lock);
		leave();
	}
	if (nonblock)
		grt__fd_set_nonblock(fd, true);
}

/* The waiters of e, whose lock is held, go on with a duplicate. */
static void shadow_locked(int fd, struct grt_fd *e)
{
	long s = grt__sys3(SYS_fcntl, fd, F_DUPFD_CLOEXEC, SHADOW_FIRST);
	if (s < 0)
		s = grt__sys3(SYS_fcntl, fd, F_DUPFD_CLOEXEC, 0);
	struct grt_fd *to = s < 0 ? NULL : grt__fd_get((int)s);
	if (!to) {
		if (s >= 0)
			grt__sys_close((int)s);
		grt__wait_lost_locked(e);
		return;
	}
	/* Of the same rank, and nobody else knows it yet. */
	while (!grt_cas(&to->lock.word, 0, 1))
		grt__cpu_relax();
	renew_locked(to);
	grt_store_relaxed(&to->used, 1);
	grt_list_for_safe (pos, next, &e->waiters) {
		struct grt_wait_fd *w = grt_container_of(pos, struct grt_wait_fd, link);
		grt_list_unlink(pos);
		grt_list_push_tail(&to->waiters, pos);
		w->fd = (int)s;
		w->shadow = 1;
		w->gen = to->gen;
		w->seen[GRT_IN] = to->count[GRT_IN];
		w->seen[GRT_OUT] = to->count[GRT_OUT];
		grt_store_release(&w->e, to); /* pairs with lock_of */
		to->holders++;
	}
	grt_add_relaxed(&shadows, 1);
	if (grt__netpoll_watch_locked((int)s, to) != 0)
		grt__wait_lost_locked(to);
	grt_store_release(&to->lock.word, 0);
}

void grt__fd_shadow_release(int fd)
{
	struct grt_fd *e = grt__fd_find(fd);
	grt__enter();
	grt_lock(&e->lock);
	bool last = --e->holders == 0;
	if (last)
		renew_locked(e);
	grt_unlock(&e->lock);
	if (last) {
		grt_add_relaxed(&shadows, -1);
		grt__sys_close(fd);
	}
	grt__leave();
}

static void closing_one(int fd, struct grt_fd *e)
{
	enter();
	grt_lock(&e->lock);
	if (!grt_list_empty(&e->waiters))
		shadow_locked(fd, e);
	renew_locked(e);
	grt_store_relaxed(&e->closing, e->closing + 1);
	grt_store_relaxed(&e->used, 1); /* until it is closed */
	grt_unlock(&e->lock);
	leave();
}

static void closed_one(struct grt_fd *e)
{
	enter();
	grt_lock(&e->lock);
	if (e->closing) /* else its use began in the middle: nothing was said of it */
		grt_store_relaxed(&e->closing, e->closing - 1);
	grt_unlock(&e->lock);
	leave();
}

/* Calls fn for every record in use from first to last. */
#define FOR_USED(fd, e, first, last)                                                                                   \
	for (unsigned fd = (first); fd <= (last) && fd < FD_CHUNK * grt_load_acquire(&used_below); fd++)                   \
		for (struct grt_fd *e = grt__fd_find((int)fd); e && grt_load_relaxed(&e->used); e = NULL)

void grt__fd_closing(unsigned first, unsigned last)
{
	FOR_USED(fd, e, first, last)
	closing_one((int)fd, e);
}

void grt__fd_closed(unsigned first, unsigned last)
{
	FOR_USED(fd, e, first, last)
	if (grt_load_relaxed(&e->closing))
		closed_one(e);
}

void grt__fd_check_waits(void)
{
	FOR_USED(fd, e, 0, FD_MAX - 1)
	{
		if (e->checked || grt_list_empty(&e->waiters)) /* hints */
			continue;
		grt_lock(&e->lock);
		if (!grt_list_empty(&e->waiters) && !e->checked && grt__netpoll_check_locked((int)fd, e) == 0)
			e->checked = 1;
		grt_unlock(&e->lock);
	}
}

struct grt_fd *grt__fd_next_waited(int *i)
{
	FOR_USED(fd, e, (unsigned)*i, FD_MAX - 1)
	if (!grt_list_empty(&e->waiters)) {
		*i = (int)fd;
		return e;
	}
	return NULL;
}

void grt__fd_watch_again(void)
{
	FOR_USED(fd, e, 0, FD_MAX - 1)
	{
		grt_lock(&e->lock);
		if (!grt_list_empty(&e->waiters) && grt__netpoll_watch_locked((int)fd, e) != 0)
			grt__wait_lost_locked(e);
		grt_unlock(&e->lock);
	}
}

int grt__fd_ours(unsigned from, unsigned last)
{
	if (grt_likely(!grt__netpoll_instance()))
		return -1;
	if (from == last && !grt_load_relaxed(&shadows))
		return grt__netpoll_owns((int)from) ? (int)from : -1;
	for (unsigned fd = from; fd <= last && fd < FD_MAX; fd++) {
		struct grt_fd *e = grt__fd_find((int)fd);
		if (grt__netpoll_owns((int)fd) || (e && grt_load_relaxed(&e->holders)))
			return (int)fd;
		if (!grt_load_acquire(&grt__fd_table[fd / FD_CHUNK]) && fd % FD_CHUNK == 0 && last - fd >= FD_CHUNK &&
		    !grt__netpoll_owns_any(fd, fd + FD_CHUNK - 1))
			fd += FD_CHUNK - 1;
	}
	return -1;
}

void grt__fd_fork_child(void)
{
	if (grt_load_relaxed(&shadows))
		for (unsigned fd = 0; fd < FD_CHUNK * used_below; fd++) {
			struct grt_fd *e = grt__fd_find((int)fd);
			if (e && e->holders)
				grt__sys_close((int)fd);
		}
	/* Not unmapped: the handler that forked may have interrupted a wait, which finds that its record is of the table no more. */
	for (unsigned i = 0; i < used_below; i++)
		grt__fd_table[i] = NULL;
	used_below = 0;
	shadows = 0;
	grt__netpoll_fork_child();
}
