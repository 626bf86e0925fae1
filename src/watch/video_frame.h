/* Decoded pictures (libav's AVFrame) as frames of kernel/frame.h. */
#ifndef LATHE_WATCH_VIDEO_FRAME_H
#define LATHE_WATCH_VIDEO_FRAME_H

#include "base/error.h"
#include "kernel/frame.h"

struct AVFrame;

typedef struct PixelStore { /* planes of pictures with more than 8 bits, cut to 8; zero at first */
    uint8_t *at;
    size_t size;
} PixelStore;

/* A view, valid as long as the AVFrame and until the next call with this store. ERR_UNSUPPORTED for
 * other formats of pixels; `name` is for messages. */
int pixel_store_view(PixelStore *p, const struct AVFrame *f, const char *name, Frame *out,
                     Error *e);
void pixel_store_free(PixelStore *p);

#endif
