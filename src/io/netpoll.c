#include "io/netpoll.h"
#include "io/wait.h"
#include "os/os.h"
#include "sched/netpoll.h"
#include <errno.h>
#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

#ifndef SYS_epoll_pwait2
#define SYS_epoll_pwait2 441
#endif

enum { EVENTS = 64, MAKES_MOST = 100, CHECK_NS = 200000000 };
#define INTERRUPT UINT64_MAX /* data of the eventfd's event */

static struct {
	struct grt_lock lock; /* making it; held across system calls, by nobody who polls */
	int epoll, event;     /* atomic; -1: none */
	uint32_t instance;    /* atomic: registrations of an older one are gone; 0: never made */
	uint32_t no_pwait2;   /* atomic: refused or unknown */
	int64_t unchecked;    /* atomic: since when waits have begun whose registrations were not looked at, or 0 */
	uint32_t makes;       /* who closes it again and again does without */
} net = {.lock = GRT_LOCK_INIT(GRT_RANK_NETPOLL), .epoll = -1, .event = -1};

static void net_poll(struct gqueue *ready, int64_t until);
static void net_interrupt(void);

static void poll_by(struct gqueue *ready, int fd);
static void forget_by(int fd);

static void keep(int fds[2])
{
	fds[0] = net.epoll;
	fds[1] = net.event;
}

static const struct grt_netpoll netpoll = {net_poll, net_interrupt, keep, poll_by, forget_by};

uint8_t grt__netpoll_instance(void)
{
	return (uint8_t)grt_load_acquire(&net.instance);
}

static int high(long fd)
{
	return fd < 0 ? -1 : grt__os_high_fd((int)fd);
}

/* net.lock held. */
static bool make_locked(void)
{
	if (net.makes >= MAKES_MOST)
		return false;
	int epoll = high(grt__sys1(SYS_epoll_create1, EPOLL_CLOEXEC));
	int event = epoll < 0 ? -1 : high(grt__sys2(SYS_eventfd2, 0, EFD_CLOEXEC | EFD_NONBLOCK));
	/* Level-triggered: one who only looks must not take it from the one who sleeps. */
	struct epoll_event ev = {.events = EPOLLIN, .data.u64 = INTERRUPT};
	if (event < 0 || grt__sys4(SYS_epoll_ctl, epoll, EPOLL_CTL_ADD, event, &ev) != 0) {
		if (epoll >= 0)
			grt__sys_close(epoll);
		if (event >= 0)
			grt__sys_close(event);
		return false;
	}
	net.makes++;
	grt_store_relaxed(&net.event, event);
	grt_store_relaxed(&net.epoll, epoll);
	grt_store_release(&net.instance, net.instance % 255 + 1); /* pairs with grt__netpoll_instance */
	grt_store_release(&grt__netpoll, &netpoll);
	return true;
}

bool grt__netpoll_ready(void)
{
	if (grt_likely(grt_load_acquire(&net.epoll) >= 0))
		return true;
	if (grt__self.g)
		grt__enter();
	grt_lock(&net.lock);
	bool ok = net.epoll >= 0 || make_locked();
	grt_unlock(&net.lock);
	if (grt__self.g)
		grt__leave();
	return ok;
}

bool grt__netpoll_owns_any(unsigned first, unsigned last)
{
	unsigned epoll = (unsigned)grt_load_relaxed(&net.epoll), event = (unsigned)grt_load_relaxed(&net.event);
	return (epoll >= first && epoll <= last) || (event >= first && event <= last);
}

bool grt__netpoll_owns(int fd)
{
	return fd >= 0 && grt__netpoll_owns_any((unsigned)fd, (unsigned)fd);
}

void grt__netpoll_make_room(int fd)
{
	if (grt_load_relaxed(&net.epoll) == fd) {
		long to = grt__sys3(SYS_fcntl, fd, F_DUPFD_CLOEXEC, fd + 1);
		if (to >= 0)
			grt_store_relaxed(&net.epoll, (int)to);
	} else if (grt_load_relaxed(&net.event) == fd) {
		long to = grt__sys3(SYS_fcntl, fd, F_DUPFD_CLOEXEC, fd + 1);
		if (to >= 0)
			grt_store_relaxed(&net.event, (int)to);
	}
}

/* ---- registering ---- */

#define WATCHED (EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLPRI | EPOLLET)

static uint64_t name_of(int fd, const struct grt_fd *e)
{
	return (uint32_t)fd | (uint64_t)e->gen << 32;
}

int grt__netpoll_watch_locked(int fd, struct grt_fd *e)
{
	struct epoll_event ev = {.events = WATCHED, .data.u64 = name_of(fd, e)};
	uint8_t instance = grt__netpoll_instance();
	int epoll = grt_load_relaxed(&net.epoll);
	long r = grt__sys4(SYS_epoll_ctl, epoll, EPOLL_CTL_ADD, fd, &ev);
	if (r == -EEXIST) /* of a life before, of which nobody saw the end, with the same file: its events are told anew */
		r = grt__sys4(SYS_epoll_ctl, epoll, EPOLL_CTL_MOD, fd, &ev);
	if (r == 0)
		e->registered = instance;
	return (int)r;
}

int grt__netpoll_check_locked(int fd, struct grt_fd *e)
{
	struct epoll_event ev = {.events = WATCHED, .data.u64 = name_of(fd, e)};
	long r = grt__sys4(SYS_epoll_ctl, grt_load_relaxed(&net.epoll), EPOLL_CTL_MOD, fd, &ev);
	return r == -ENOENT ? grt__netpoll_watch_locked(fd, e) : (int)r;
}

void grt__netpoll_wait_begins(void)
{
	if (grt_unlikely(!grt_load_relaxed(&net.unchecked)))
		grt_store_relaxed(&net.unchecked, grt__nanotime());
}

/* ---- polling ---- */

static void event(const struct epoll_event *ev, struct gqueue *ready)
{
	uint32_t flags = ev->events;
	uint64_t name = ev->data.u64;
	unsigned dirs = 0;
	struct grt_fd *e = grt__fd_find((int)(uint32_t)name);
	if (name == INTERRUPT || !e)
		return;
	bool ended = flags & (EPOLLHUP | EPOLLERR);
	if (ended || flags & (EPOLLIN | EPOLLRDHUP | EPOLLPRI))
		dirs |= GRT_DIR(GRT_IN);
	if (ended || flags & EPOLLOUT)
		dirs |= GRT_DIR(GRT_OUT);
	grt_lock(&e->lock);
	if (e->gen == (uint32_t)(name >> 32)) {
		if (ended || flags & (EPOLLRDHUP | EPOLLPRI)) /* urgent data too: a read ends at its mark */
			grt_store_relaxed(&e->hup, 1);
		grt__wait_event_locked(e, dirs, ended, ready);
	}
	grt_unlock(&e->lock);
}

static long wait_events(int epoll, struct epoll_event *events, int64_t until)
{
	if (until == 0)
		return grt__sys6(SYS_epoll_pwait, epoll, events, EVENTS, 0, NULL, 8);
	if (until == GRT_FOREVER)
		return grt__sys6(SYS_epoll_pwait, epoll, events, EVENTS, -1, NULL, 8);
	int64_t left = until - grt__nanotime();
	if (left < 0)
		left = 0;
	struct timespec ts = {left / 1000000000, left % 1000000000};
	if (!grt_load_relaxed(&net.no_pwait2)) {
		long r = grt__sys6(SYS_epoll_pwait2, epoll, events, EVENTS, &ts, NULL, 8);
		if (r != -ENOSYS && r != -EPERM)
			return r;
		grt_store_relaxed(&net.no_pwait2, 1);
	}
	int64_t ms = (left + 999999) / 1000000;
	return grt__sys6(SYS_epoll_pwait, epoll, events, EVENTS, (int)(ms > INT32_MAX ? INT32_MAX : ms), NULL, 8);
}

static long wait_and_check(int epoll, struct epoll_event *events, int64_t until)
{
	int64_t check = grt_load_relaxed(&net.unchecked) + CHECK_NS;
	if (check > grt__nanotime()) {
		long n = wait_events(epoll, events, check < until ? check : until);
		if (n != 0 || check >= until)
			return n;
	}
	grt_store_relaxed(&net.unchecked, 0);
	grt__fd_check_waits();
	return wait_events(epoll, events, until);
}

/* The program has closed the instance: another one, and all that is waited for is registered with it. */
static void make_again(int gone)
{
	grt_lock(&net.lock);
	bool ours = net.epoll == gone;
	if (ours) {
		grt_store_relaxed(&net.epoll, -1);
		if (!make_locked()) {
			grt_unlock(&net.lock);
			return;
		}
	}
	grt_unlock(&net.lock);
	if (ours)
		grt__fd_watch_again();
}

static void net_poll(struct gqueue *ready, int64_t until)
{
	struct epoll_event events[EVENTS];
	int epoll = grt_load_acquire(&net.epoll);
	long n = until && grt_load_relaxed(&net.unchecked) ? wait_and_check(epoll, events, until)
	                                                   : wait_events(epoll, events, until);
	if (grt_unlikely(n == -EBADF || n == -EINVAL)) {
		make_again(epoll);
		return;
	}
	for (long i = 0; i < n; i++) {
		if (events[i].data.u64 == INTERRUPT && until != 0)
			forget_by(grt_load_relaxed(&net.event));
		event(&events[i], ready);
	}
}

static void net_interrupt(void)
{
	uint64_t one = 1;
	grt__sys_write(grt_load_relaxed(&net.event), &one, sizeof one);
}

static void forget_by(int fd)
{
	uint64_t count;
	grt__sys_read(fd, &count, sizeof count);
}

static void poll_by(struct gqueue *ready, int fd)
{
	struct epoll_event events[EVENTS];
	long n = wait_events(fd, events, 0);
	for (long i = 0; i < n; i++)
		event(&events[i], ready);
}

void grt__netpoll_fork_child(void)
{
	grt_lock_init(&net.lock, GRT_RANK_NETPOLL);
	if (net.epoll >= 0) { /* the parent's: what we register there would be told to it */
		grt__sys_close(net.epoll);
		grt__sys_close(net.event);
	}
	net.epoll = net.event = -1;
	net.makes = 0;
	grt_store_relaxed(&grt__netpoll, NULL);
}
