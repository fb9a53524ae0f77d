/*
 * Panics, deferred calls and fatal errors, with Go's rules.
 *
 * A task has a list of deferred calls (records on the stacks of the functions that deferred them, newest first), a list of panics in
 * progress (on the stack of whoever panicked) and a list of scopes, the calls that a recovered panic returns from (grt_call; the
 * outermost is the task itself). A panic runs deferred calls on top of the stack as it is, so that a traceback shows where it
 * began; a deferred call that it has begun stays in the list until it returned. Whoever meets one that was begun before, a panic
 * or a Goexit within it, ends whatever began it ("aborted"). Once recovered, the deferred calls left in the scope are run, and
 * control goes to the scope, by a longjmp of the compiler's: nothing in between is unwound. Goexit is a panic that cannot be recovered; if one
 * was aborted by a panic that is recovered now, it goes on.
 *
 * recover() counts only in the deferred call itself: its frame (the canonical frame address) is the one that the panic called.
 *
 * All of it is the calling thread's own business: no locks, any thread.
 */
#ifndef GRT_API_PANIC_H
#define GRT_API_PANIC_H

#include "base/compiler.h"

/* A panic with one of the runtime's own messages, of static storage. Outside critical sections. */
void grt__panic(const char *text) GRT_NORETURN;

/* "fatal error: text", which nobody can recover from; all: the stacks of all tasks. */
void grt__fatal(const char *text, bool all) GRT_NORETURN;

/* In a deferred call that a panic runs: its value, and its text. Without a panic (Goexit) NULL. */
const void *grt__panic_now(const char **text);

/* Before a task ends by grt_exit: its deferred calls. */
void grt__goexit(void);

#endif
