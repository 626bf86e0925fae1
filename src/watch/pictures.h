/* A folder of pictures as a video: each file a frame, in the order that people number them (shot2
 * before shot10).
 *
 *     shots/            all PNG, JPEG, WebP, BMP and TIFF files in it
 *     shots/cam1_*.png  those that the pattern names */
#ifndef LATHE_WATCH_PICTURES_H
#define LATHE_WATCH_PICTURES_H

#include <stdbool.h>

#include "base/arena.h"
#include "base/error.h"

typedef struct Pictures {
    int n;
    const char **path;
} Pictures;

/* A path of this machine that is a folder, or has * or ? in the name of its file. */
bool pictures_are(const char *url);
/* ERR_IO: it cannot be read; ERR_INVALID: there is none. */
int pictures_list(Arena *a, const char *url, Pictures *out, Error *e);
/* As strcmp, but numbers by their value. */
int pictures_compare(const char *a, const char *b);

#endif
