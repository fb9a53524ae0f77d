/*
 * The epoll instance. Made before the first thread, for sysmon keeps a copy; its descriptor, and that of the eventfd that interrupts it, lie
 * high. Where the program closes them behind our back they are made again, and what is waited for is registered again.
 *
 * A registration that is no more, without anybody's having seen the close, would make its next waiter sleep for ever. So whoever goes
 * to sleep in the poller CHECK_NS after a wait began, or sleeps there by then, looks at those that are waited for, once for each wait: an
 * idle process wakes up once more, then never.
 *
 * An event carries the number and the low bits of the life of the descriptor; one of a life that is over means nothing.
 */
#ifndef GRT_IO_NETPOLL_H
#define GRT_IO_NETPOLL_H

#include "io/fd.h"

/* The lock of e is held. 0, or -errno: it cannot be watched. */
int grt__netpoll_watch_locked(int fd, struct grt_fd *e);
/* The lock of e is held, and somebody waits: it is watched, or is so now. */
int grt__netpoll_check_locked(int fd, struct grt_fd *e);
/* Some registration will have to be looked at. */
void grt__netpoll_wait_begins(void);
/* The instance that registrations count for; 0: none yet, or none to be had. */
uint8_t grt__netpoll_instance(void);
/* Before the first wait: there is an instance. False: none to be had (no descriptor, no memory, a filter). */
bool grt__netpoll_ready(void);
/* It is one of ours; one of these is. */
bool grt__netpoll_owns(int fd);
bool grt__netpoll_owns_any(unsigned first, unsigned last);
/* The program is about to put a file of its own at this number: ours goes elsewhere. */
void grt__netpoll_make_room(int fd);
void grt__netpoll_fork_child(void);

#endif
