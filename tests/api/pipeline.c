/* LINK: grt
 * TIMEOUT: 60
 * pipeline.c - the example, as it is. */
#include "../../examples/pipeline.c"
