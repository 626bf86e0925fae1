/* Names of a model's classes, as metadata and files of labels say them.
 *
 *     {0: 'person', 1: "driver's seat"}      a map of numbers, as Python or JSON print it
 *     ['person', 'bicycle']                  a list
 *     person\nbicycle\n                      a name a line */
#ifndef LATHE_VISION_LABELS_H
#define LATHE_VISION_LABELS_H

#include <stdbool.h>

#include "base/arena.h"

#define LABELS_MOST 65536

/* n names; numbers that the map leaves out are "". NULL: malformed, or more than LABELS_MOST. */
const char *const *labels_parse(Arena *a, const char *text, int *n);

#endif
