/* LINK: grt
 * TIMEOUT: 60
 * philosophers.c - the example, as it is. */
#include "../../examples/philosophers.c"
