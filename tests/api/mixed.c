/* LINK: grt
 * mixed.c - the example of README.md, as it is. */
#include "../../examples/mixed.c"
