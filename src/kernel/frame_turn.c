/* Turned frames: the box as it lies in memory -> planes of it -> written turned. The planes are
 * small, as what comes out is; a frame as a whole is never turned. */
#include <string.h>

#include "kernel/frame_rows.h"

bool frame_is_turned(const Frame *f) { return f->turn.swapped || f->turn.flip_x || f->turn.flip_y; }

Frame frame_stored(const Frame *f)
{
    Frame s = *f;
    s.width = f->turn.swapped ? f->height : f->width;
    s.height = f->turn.swapped ? f->width : f->height;
    s.turn = (FrameTurn){0};
    return s;
}

Frame frame_shown(const Frame *stored, FrameTurn turn)
{
    Frame f = *stored;
    f.width = turn.swapped ? stored->height : stored->width;
    f.height = turn.swapped ? stored->width : stored->height;
    f.turn = turn;
    return f;
}

FrameBox frame_stored_box(const Frame *f, const FrameBox *box)
{
    const double u = f->turn.flip_x ? f->width - box->x - box->width : box->x;
    const double v = f->turn.flip_y ? f->height - box->y - box->height : box->y;
    return f->turn.swapped ? (FrameBox){v, u, box->height, box->width}
                           : (FrameBox){u, v, box->width, box->height};
}

/* Dense planes as they lie, channels in the order of `out`. */
static FrameTensor lying(const Frame *f, const FrameTensor *out, void *data)
{
    FrameTensor t = *out;
    t.data = data;
    t.order = FRAME_NCHW;
    t.width = f->turn.swapped ? out->height : out->width;
    t.height = f->turn.swapped ? out->width : out->height;
    t.row = t.plane = 0;
    return t;
}

static int64_t lying_bytes(const FrameTensor *out)
{
    return ((int64_t)out->width * out->height * out->channels * dtype_size(out->dtype) + 63) / 64 *
           64;
}

int64_t frame_turned_scratch(const Frame *f, const FrameBox *box, FrameFilter filter,
                             const FrameTensor *out)
{
    const Frame stored = frame_stored(f);
    const FrameBox there = frame_stored_box(f, box);
    const FrameTensor t = lying(f, out, NULL);
    return lying_bytes(out) + frame_scratch(&stored, &there, filter, &t);
}

/* One channel: `step` elements of output from pixel to pixel. */
static void write_channel(const Frame *f, const FrameTensor *out, const FrameTensor *from,
                          int channel, int step, int64_t row, char *to)
{
    const int size = dtype_size(out->dtype), w = from->width;
    const char *const in = (const char *)from->data + (int64_t)channel * w * from->height * size;
    for (int y = 0; y < out->height; y++) {
        const int v = f->turn.flip_y ? out->height - 1 - y : y;
        const int64_t along = (f->turn.swapped ? w : 1) * (f->turn.flip_x ? -1 : 1);
        int64_t at = f->turn.swapped ? v : (int64_t)v * w;
        at += f->turn.flip_x ? -along * (out->width - 1) : 0;
        if (size == 1) {
            uint8_t *o = (uint8_t *)to + y * row;
            for (int x = 0; x < out->width; x++, at += along, o += step)
                *o = (uint8_t)in[at];
        } else {
            float *o = (float *)to + y * row;
            for (int x = 0; x < out->width; x++, at += along, o += step)
                *o = ((const float *)in)[at];
        }
    }
}

static void write_zeros(const FrameTensor *out, int64_t row)
{
    const size_t size = (size_t)dtype_size(out->dtype),
                 spare = (size_t)(out->block - out->channels) * size;
    for (int y = 0; y < out->height; y++)
        for (int x = 0; x < out->width; x++)
            memset((char *)out->data +
                       (size_t)(y * row + (int64_t)x * out->block + out->channels) * size,
                   0, spare);
}

void frame_turned(const Frame *f, const FrameBox *box, FrameFilter filter, const FrameTensor *out,
                  const FrameRows *rows, void *scratch)
{
    const Frame stored = frame_stored(f);
    const FrameBox there = frame_stored_box(f, box);
    const FrameTensor t = lying(f, out, scratch);
    frame_by_rows(&stored, &there, filter, &t, rows, (char *)scratch + lying_bytes(out));
    const int step = out->order == FRAME_NCHW   ? 1
                     : out->order == FRAME_NHWC ? out->channels
                                                : out->block;
    const int64_t row = out->row ? out->row : (int64_t)out->width * step;
    const int64_t plane = out->order != FRAME_NCHW ? 1
                          : out->plane             ? out->plane
                                                   : row * out->height;
    for (int c = 0; c < out->channels; c++)
        write_channel(f, out, &t, c, step, row,
                      (char *)out->data + c * plane * dtype_size(out->dtype));
    if (out->order == FRAME_NCHW_BLOCKED && out->block > out->channels)
        write_zeros(out, row);
}
