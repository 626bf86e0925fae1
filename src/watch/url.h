/* Where streams come from, as people may see it. */
#ifndef LATHE_WATCH_URL_H
#define LATHE_WATCH_URL_H

#include "base/arena.h"

/* As people may see it: without user and password, and without what stands behind '?', which often
 * is a key. "rtsp://me:secret@host/x?token=1" -> "rtsp://host/x?..". */
const char *url_shown(Arena *a, const char *url);

#endif
