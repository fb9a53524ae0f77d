/* LINK: grt
 * TIMEOUT: 60
 * sieve.c - the example, as it is. */
#include "../../examples/sieve.c"
