/* How a JPEG says that it is to be turned: the tag Orientation of its EXIF part (CIPA
 * DC-008, 4.6.4; TIFF 6.0). Cameras store what the sensor saw, and leave the turning to who shows
 * it. */
#ifndef LATHE_VISION_EXIF_H
#define LATHE_VISION_EXIF_H

#include <stddef.h>

#include "kernel/frame.h"

/* Any bytes; what is no JPEG, or does not say, is not turned. */
FrameTurn exif_turn(const uint8_t *at, size_t n);

#endif
