/*
 * The kernel thread that makes Ms: each is a clone of it, and so shares the program's descriptors with it.
 *
 * sysmon cannot be their mother. It reads files of /proc while the program runs, and a descriptor in the program's table, be it for a
 * microsecond, takes the number that the program's next open would have had. So sysmon has a table of its own (sysmon.c), and
 * nobody born by it could ever share the program's again. The maker sleeps until an M is wanted, opens nothing, and takes part in
 * broadcasts as every M does.
 *
 * Whoever wants an M (no idle one, an idle P, work) asks it directly. One is made at a time: the last one may not have reached its
 * P yet. If none was to be had sysmon asks again later. sysmon is woken as well: it looks after the work that the new M does not take.
 *
 * Where the kernel has no table for sysmon (before Linux 5.9, or a filter refuses) there is no maker, and sysmon makes Ms as well.
 */
#ifndef GRT_SCHED_MAKER_H
#define GRT_SCHED_MAKER_H

#include "sched/sched.h"

/* sysmon, at its birth, all signals blocked. False: no thread is to be had. */
bool grt__maker_start(void);
/* sysmon: it shall not be after all; returns when it is gone. */
void grt__maker_stop(void);
/* Any context: an M is wanted. */
void grt__maker_ask(void);
/* The same, from whoever has set sched.m_starting. */
void grt__maker_work(void);
/* maker, or sysmon if there is no maker: makes an M if one is still wanted. False: none was to be had now. All signals blocked. */
bool grt__maker_make(void);
/* Its kernel's tid; 0: there is none. */
int grt__maker_tid(void);
void grt__maker_fork_child(void);

#endif
