/* LINK: grt
 * TIMEOUT: 60
 * million.c - the example, as it is. */
#include "../../examples/million.c"
