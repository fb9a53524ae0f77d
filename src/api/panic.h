/*
 * Panics and fatal errors, as Go says them.
 */
#ifndef GRT_API_PANIC_H
#define GRT_API_PANIC_H

#include "base/compiler.h"

/* A panic with one of the runtime's own messages, of static storage. Any thread, outside critical sections. */
void grt__panic(const char *text) GRT_NORETURN;

/* "fatal error: text", which nobody can recover from; all: the stacks of all tasks. */
void grt__fatal(const char *text, bool all) GRT_NORETURN;

#endif
