/* LINK: grt
 * TIMEOUT: 60
 * ratelimit.c - the example, as it is. */
#include "../../examples/ratelimit.c"
