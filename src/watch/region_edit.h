/* A region of a watch's file, moved or added: the text is changed where it has to be, comments and
 * layout stay.
 *
 *     region: {alive: [1180, 196, 60, 26]}     ->     region: {alive: [1170, 190, 64, 30]} */
#ifndef LATHE_WATCH_REGION_EDIT_H
#define LATHE_WATCH_REGION_EDIT_H

#include "watch/observation.h"

/* The new text, in `a`, which reads as the old one but for this region. ERR_INVALID: the file is
 * wrong as it is, or would be; a name that is none (letters, digits and _); ERR_UNSUPPORTED:
 * written in a way that this cannot change (an alias): change it by hand. */
int region_edit_text(Arena *a, const char *path, const char *text, size_t size, const char *region,
                     Box box, const char **out, Error *e);
/* The same in the file, which takes the place of the old one when it is whole. */
int region_edit(const char *path, const char *region, Box box, Error *e);

#endif
