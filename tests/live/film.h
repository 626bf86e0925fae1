/* Small films for tests of live streams: every frame has its number (game/counter.h). */
#ifndef LATHE_TESTS_FILM_H
#define LATHE_TESTS_FILM_H

#include <stdbool.h>
#include <stdint.h>

#include "kernel/frame.h"

#define FILM_FRAMES 90 /* 30 a second */
#define FILM_GOP 30

/* Moving noise, so that frames have several packets each. Frames are numbered from 0. */
void film_make(const char *path, int width, int height);
/* False: it cannot be read. */
bool film_number(const Frame *f, uint32_t *number);

#endif
