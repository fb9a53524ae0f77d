/*
 * What the runtime knows of a descriptor number: what kind of file it is, who waits on it, and whether the poller watches it.
 *
 * A record belongs to a number, in a table that grows by chunks and is never freed. A life of it (`gen`) begins and ends with the
 * calls that open and close descriptors, all of which are interposed, libc's own that close for somebody else included (fclose,
 * closedir, pclose): so a cached registration is never that of the file before
 * (a close by the program's own `syscall` instruction is found later: netpoll.h). `count` is the number of events seen for
 * reading and for writing; whoever tries a call reads it first, and waits only if it has not changed since, so that no event
 * is lost between the two and none has to be kept as a flag that somebody must clear.
 *
 * close() while tasks wait. A sleeper in the kernel keeps the file, whatever happens to its number; so do ours: before the close the
 * waiters move to a duplicate (a shadow), whose number is in the way of nobody, and go on with that. The last one closes it. While
 * the close is under way nobody may begin to wait for that number (`closing`): he makes the call in the kernel.
 *
 * Registered edge-triggered, once for each life, for everything: a wait costs no system call of the poller's. A child of fork begins with
 * an empty table.
 */
#ifndef GRT_IO_FD_H
#define GRT_IO_FD_H

#include "base/list.h"
#include "sched/sched.h"

enum grt_dir { GRT_IN, GRT_OUT };
#define GRT_DIR(d) (1u << (d))

enum grt_fd_kind {
	FD_UNKNOWN,
	FD_PLAIN, /* calls are made in the kernel, in a blocking section: files, terminals, what has no call that does not sleep */
	FD_TCP, /* a short read says that it is empty */
	FD_SOCKET,
	FD_FLAGGED, /* preadv2 and pwritev2 with RWF_NOWAIT: pipes, eventfd, timerfd, sockets of records */
};

struct grt_fd {
	GRT_ALIGNED(GRT_CACHE_LINE) struct grt_lock lock; /* rank FD */
	uint32_t gen;                                     /* atomic; lock writes */
	uint32_t count[2];                                /* atomic; lock writes: events for each direction */
	uint32_t spent[2];       /* atomic: 1 + the count at which it was seen empty (full); 0: not known */
	uint32_t timeout[2];     /* atomic: SO_RCVTIMEO, SO_SNDTIMEO in ms, rounded up; 0: none */
	uint32_t epoch;          /* atomic: of the options that kind and timeout were read at */
	uint32_t holders;        /* lock: of a shadow, the waits that use it */
	struct grt_list waiters; /* lock; grt_wait_fd.link */
	uint8_t kind;            /* atomic: enum grt_fd_kind */
	uint8_t nonblock;        /* atomic: the program has set O_NONBLOCK: its calls are the kernel's */
	uint8_t hup;             /* atomic: the other side has ended, or an error: never known to be empty */
	uint8_t registered;      /* lock: the poller's instance that watches it, or 0 */
	uint8_t checked;         /* lock: the registration of who waits was looked at (grt__fd_check_waits) */
	uint8_t closing;         /* atomic; lock writes: closes under way */
	uint8_t used;            /* atomic: not as it was made */
};
_Static_assert(GRT_DEBUG || sizeof(struct grt_fd) == GRT_CACHE_LINE, "one line");

enum { FD_CHUNK = 256, FD_CHUNKS = 4096, FD_MAX = FD_CHUNK * FD_CHUNKS };
extern struct grt_fd *grt__fd_table[FD_CHUNKS]; /* atomic: release */
extern uint32_t grt__fd_epoch; /* atomic: counts changes of socket options that a wait depends on; never 0 */

/* NULL: nothing is known of it. */
static inline struct grt_fd *grt__fd_find(int fd)
{
	if (grt_unlikely((unsigned)fd >= FD_MAX))
		return NULL;
	struct grt_fd *chunk = grt_load_acquire(&grt__fd_table[fd / FD_CHUNK]);
	return chunk ? &chunk[fd % FD_CHUNK] : NULL;
}

/* The same, but makes it; NULL: no memory, or no such number. */
struct grt_fd *grt__fd_get(int fd);

/* Looks what it is, if that is not known, and returns its kind (FD_PLAIN also with O_NONBLOCK). */
enum grt_fd_kind grt__fd_classify(int fd, struct grt_fd *e);

/* Any thread. A call has given the number to a new file; nonblock: the program asked for O_NONBLOCK. */
void grt__fd_opened(int fd, bool nonblock);
/* Around a call that closes those from first to last. */
void grt__fd_closing(unsigned first, unsigned last);
void grt__fd_closed(unsigned first, unsigned last);
/* The lowest number from `from` to `last` that is the runtime's own, and not open for the program; -1: none. */
int grt__fd_ours(unsigned from, unsigned last);
/* The program sets or clears O_NONBLOCK. */
void grt__fd_set_nonblock(int fd, bool nonblock);
/* Some socket's options have changed. */
void grt__fd_options_changed(void);
/* A wait no longer uses the shadow fd. */
void grt__fd_shadow_release(int fd);
/* The record with waiters from number *i on, which is set to its number; NULL: none. Only a hint. */
struct grt_fd *grt__fd_next_waited(int *i);
/* A thread of the runtime: is what tasks wait for watched indeed? A close that nobody saw ends a registration. Those looked at before are
 * left out. */
void grt__fd_check_waits(void);
/* There is a new instance of the poller: whoever waits is registered there. */
void grt__fd_watch_again(void);
void grt__fd_fork_child(void);

#endif
