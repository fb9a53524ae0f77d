/*
 * What each module's static TLS begins with, libraries loaded later included: a pooled thread block gets it anew at each birth.
 */
#ifndef GRT_SCHED_TLS_IMAGES_H
#define GRT_SCHED_TLS_IMAGES_H

#include "base/compiler.h"

/* Boot: where a link_map says how far below the thread pointer its TLS is, and the size of static TLS. */
void grt__tls_images_init(uint32_t offset, size_t size);
/* Looks at all loaded libraries again (boot, after dlopen and dlclose). Normal context. False: no memory, and nothing to go on with. */
bool grt__tls_images_refresh(void);
/* There was no memory for the images of libraries that came since. */
bool grt__tls_images_stale(void);
/* Into the static TLS of the block at tcb. */
void grt__tls_images_copy(char *tcb);

#endif
