/* See broadcast.h. */
#include "sched/broadcast.h"
#include "os/os.h"
#include "sched/maker.h"
#include "sched/proc.h"
#include "sched/signal.h"
#include "sched/tcb.h"
#include <errno.h>
#include <fcntl.h>

static struct {
	uint32_t seq; /* atomic: published last */
	long nr, a, b, c, result;
	uint32_t ran; /* atomic */
} broadcast;
static struct grt_lock broadcast_lock = GRT_LOCK_INIT(GRT_RANK_NONE); /* one at a time, and no M is born meanwhile */

void grt__broadcast_run(void)
{
	uint32_t seq = grt_load_acquire(&broadcast.seq);
	uint32_t *seen = grt__self.m ? &grt__self.m->broadcast_seen : &grt__self.broadcast_seen;
	if (*seen == seq)
		return;
	*seen = seq;
	if (grt__sys3(broadcast.nr, broadcast.a, broadcast.b, broadcast.c) != broadcast.result)
		grt__throw("a thread could not change its credentials as the others did");
	grt_add_seqcst(&broadcast.ran, 1);
}

static bool signal_one(int tid)
{
	long r = grt__os_tgkill(grt__sys_getpid(), tid, GRT_SIGRT);
	if (r == -EAGAIN && grt__signal_urgent_on())
		r = grt__os_tgkill(grt__sys_getpid(), tid, SIGURG);
	return r == 0;
}

struct signalled {
	int self;
	uint32_t n;
};

static void signal_of_libc(int tid, void *arg)
{
	struct signalled *s = arg;
	if (tid == s->self || tid >= GRT_TID_FIRST)
		return;
	for (struct m *mp = grt_load_acquire(&grt__sched.allm); mp; mp = mp->all_next)
		if (grt_load_relaxed(&mp->tid) ==
		    tid) /* it has been signalled: the first one, or its task's block is in the list */
			return;
	s->n += signal_one(tid);
}

/* No /proc (a daemon gives up its rights after chroot) or no descriptor: our Ms, and the threads that libc knows, sysmon among them.
 * Those that nobody but the program knows of are left out, as by libc. */
static uint32_t signal_known(int self)
{
	struct signalled s = {.self = self};
	for (struct m *mp = grt_load_acquire(&grt__sched.allm); mp; mp = mp->all_next) {
		int tid = grt_load_relaxed(&mp->tid);
		if (tid && tid != self)
			s.n += signal_one(tid);
	}
	if (grt__maker_tid() && grt__maker_tid() != self)
		s.n += signal_one(grt__maker_tid());
	grt__tcb_libc_threads(signal_of_libc, &s);
	return s.n;
}

/* Sends the runtime's signal to every thread but ours; returns how many there are. */
static uint32_t signal_all(int self)
{
	char buf[2048];
	uint32_t n = 0;
	int dir = (int)grt__sys_open("/proc/self/task", O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
	for (long len; dir >= 0 && (len = grt__sys3(SYS_getdents64, dir, buf, sizeof buf)) > 0;)
		for (long at = 0; at < len;) {
			struct {
				uint64_t ino, off;
				unsigned short reclen;
				unsigned char type;
				char name[];
			} *d = (void *)(buf + at);
			int tid = 0;
			for (const char *p = d->name; *p >= '0' && *p <= '9'; p++)
				tid = tid * 10 + (*p - '0');
			at += d->reclen;
			if (!tid || tid == self)
				continue;
			n += signal_one(tid);
		}
	if (dir < 0)
		return signal_known(self);
	grt__sys_close(dir);
	return n;
}

bool grt__broadcast_hold(void)
{
	return grt_trylock(&broadcast_lock);
}

void grt__broadcast_release(void)
{
	grt_unlock(&broadcast_lock);
}

int grt__broadcast_syscall(long nr, long a, long b, long c)
{
	bool task = grt__self.g != NULL;
	if (task) /* the thread that makes the call is the one that is noted as having made it */
		grt__enter();
	grt_lock(&broadcast_lock);
	long r = grt__sys3(nr, a, b, c);
	if (r < 0)
		goto out;
	broadcast.nr = nr;
	broadcast.a = a;
	broadcast.b = b;
	broadcast.c = c;
	broadcast.result = r;
	broadcast.ran = 0;
	*(task ? &grt__self.m->broadcast_seen : &grt__self.broadcast_seen) = broadcast.seq + 1;
	grt_store_release(&broadcast.seq, broadcast.seq + 1);
	uint32_t n = signal_all(grt__sys_gettid());
	for (unsigned i = 0; grt_load_acquire(&broadcast.ran) < n; i++) {
		struct timespec pause = {0, 20000};
		grt__sys2(SYS_nanosleep, &pause, NULL);
		if (i % 1000 == 999) /* a thread ended or was born meanwhile: count again */
			n = signal_all(grt__sys_gettid());
	}
out:
	grt_unlock(&broadcast_lock);
	if (task)
		grt__leave();
	return (int)r;
}

void grt__broadcast_fork_child(void)
{
	grt_lock_init(&broadcast_lock, GRT_RANK_NONE);
}
