/* LINK: grt
 * TIMEOUT: 60
 * quicksort.c - the example, as it is. */
#include "../../examples/quicksort.c"
