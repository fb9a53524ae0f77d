/* See clock.h. */
#include "sched/clock.h"
#include "os/os.h"
#include "sched/proc.h"
#include "sched/signal.h"
#include <fcntl.h>
#include <poll.h>
#include <sys/timerfd.h>

uint32_t grt__clock_sets;
static uint32_t wanted; /* atomic */
static int fd = -1;     /* sysmon */

int64_t grt__deadline_mono(int64_t deadline)
{
	return deadline < 0 ? grt__deadline_left(deadline) + grt__nanotime() : deadline;
}

int64_t grt__deadline_left(int64_t deadline)
{
	return deadline < 0 ? -deadline - grt__os_clock(CLOCK_REALTIME) : deadline - grt__nanotime();
}

void grt__clock_watch(void)
{
	if (grt_likely(grt_load_relaxed(&wanted)) || grt__os.filtered)
		return;
	grt_store_seqcst(&wanted, 1);
	grt__sysmon_wake();
}

static void clock_open(void)
{
	struct itimerspec never = {.it_value.tv_sec = INT64_MAX / 1000000000};
	long low = grt__os.filtered ? -1 : grt__sys2(SYS_timerfd_create, CLOCK_REALTIME, TFD_CLOEXEC | TFD_NONBLOCK);
	if (low >= 0 &&
	    grt__sys4(SYS_timerfd_settime, low, TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET, &never, NULL) < 0) {
		grt__sys_close((int)low);
		low = -1;
	}
	if (low >= 0)
		fd = grt__sched.own_files ? (int)low : grt__os_high_fd((int)low);
	if (fd < 0) {
		grt_store_seqcst(&wanted, 0); /* again at the next such deadline */
		return;
	}
	grt__timers_clock_set(); /* a setting since the first deadline was not seen */
}

int grt__clock_fd(void)
{
	if (grt_unlikely(fd < 0) && grt_load_relaxed(&wanted))
		clock_open();
	return fd;
}

void grt__clock_event(short revents)
{
	uint64_t expirations;
	if (!(revents & POLLIN)) { /* the program closed it */
		fd = -1;
		return;
	}
	grt__sys3(SYS_read, fd, &expirations, sizeof expirations); /* -ECANCELED; watches on */
	grt__timers_clock_set();
}

void grt__clock_fork_child(void)
{
	struct itimerspec now;
	if (fd >= 0 && !grt__sched.own_files &&
	    grt__sys2(SYS_timerfd_gettime, fd, &now) == 0) /* not a file that the program has put at its number */
		grt__sys_close(fd);
	fd = -1;
	wanted = 0;
}
