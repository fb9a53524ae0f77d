/*
 * The heap profile: who allocated what lives, and what ever lived (Go's runtime.MemProfile, mprof.go).
 *
 * heap/sample.h picks blocks. For each the stack of its allocation is taken (callers.h) and looked up among the buckets, one for each
 * different stack, as Go's memRecord: allocations and frees, in blocks and bytes. The bucket's number is the block's tag, which free brings
 * back. So a sample costs a stack, a hash table's chain and two additions: 1 to 3 us for a stack of 10 to 30 frames, once for 512 KiB.
 *
 * The hooks run in the middle of malloc and free, in handlers that interrupt themselves, in a vfork child, while another thread forks:
 * nothing here takes a lock. Buckets are only added, by CAS at the head of a chain, and never removed; two may be made for one stack,
 * which readers add up. Their memory is cut off chunks by CAS, at most 32 MiB (some 150,000 stacks); later stacks share one bucket without
 * frames. Whatever a fork interrupts is at worst one bucket that nobody finds.
 *
 * Frees of sampled blocks also leave a record in a ring, with their own stack: the last 4,096 of them, 65,536 at a rate of at most 4096.
 * When the heap dies of a double free or the like (grt__throw), the report says where the block was allocated and where it was freed
 * first, if it was sampled; with memprofilerate=1, efence=1 or allocfreetrace=1 each is.
 *
 * GODEBUG=memprofile=FILE, with `go test`'s names: written at exit, %p becomes the process id. The format is the old text of gperftools, which
 * google-pprof and `go tool pprof` read, and scale by the rate in it: heap_v2.
 */
#ifndef GRT_OBSERVE_HEAPPROF_H
#define GRT_OBSERVE_HEAPPROF_H

#include "base/compiler.h"

/* After grt__knobs_parse, before the heap is used. Any context. */
void grt__heapprof_init(void);

/* Writes the profile. 0 or -errno. Normal context. */
int grt__heapprof_write(int fd);
/* The process ends: GODEBUG=memprofile. */
void grt__heapprof_exit(void);

/* What is known of the block that p is of, or was. Between grt__report_begin_sig and _end. */
void grt__heapprof_explain_sig(const void *p);

#endif
