/* LINK: grt
 * TIMEOUT: 60
 * ring.c - the example, as it is. */
#include "../../examples/ring.c"
