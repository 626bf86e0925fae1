/* Which part of an image a thread computes. Threads share out the outermost loops of a kernel.
 * Where one kernel's are rows and the next one's channels, a thread reads half of its input from
 * the cache of another core, at no more than the speed of l3, and on servers of Intel's that is a
 * sixth of l2's. So an image whose products have fewer weights than it has pixels is halved outside
 * of all else, each half with all its channels:
 *
 *     out: tile k 28; order k0 j0 k1 m0 ..; parallel k0 j0 k1 m0
 *
 * and each core goes on with the half that it made; what crosses is the border of a window.
 * Weights are read by both. Where there are more weights than pixels (late in a network),
 * channels are shared out, as before. */
#include "record/templates.h"

/* of the outer axis: of fewer rows the border of a window is too much; then columns */
#define LEAST_EXTENT 6
/* of the bytes of an image that is read and of the one that is made: beyond, a gain was not seen */
#define WEIGHTS_SHARE 0.2
/* channels of a window for each pixel, so that it goes with the products around it. Measured,
 * both: 5x5, 480 channels at 3x80 and 6x80, whose products share out channels, 28 and 57 us, in
 * halves 56 and 88 */
#define WIDE 0.5

/* The first of the axes with enough points to halve; else the last. */
static int halved_axis(const Stages *s, const Stage *st, uint32_t axes)
{
    int last = -1;
    for (int a = 0; a < st->naxes; a++) {
        const int64_t extent = axes >> a & 1 ? axis_extent(s, st, a, 0) : 1;
        if (extent == 0) {
            return -1;
        }
        last = extent > 1 ? a : last;
        /* a batch is shared out whatever it is */
        if (extent >= LEAST_EXTENT || (a == 0 && extent > 1)) {
            return a;
        }
    }
    return last;
}

int share_axis(const Choice *c, const Stage *st, uint32_t axes, double image, double weights)
{
    return l3_is_slow(c->target) && weights < WEIGHTS_SHARE * image ? halved_axis(c->s, st, axes)
                                                                    : -1;
}

int share_axis_of_window(const Choice *c, const Stage *st, int channels, double pixels)
{
    const uint32_t axes = (((uint32_t)1 << st->naxes) - 1) & ~((uint32_t)1 << channels);
    const double wide = (double)axis_extent(c->s, st, channels, 1 << 20);
    return l3_is_slow(c->target) && wide < WIDE * pixels ? halved_axis(c->s, st, axes) : -1;
}

bool share_halves(const Choice *c, const Stage *st, StageSchedule *os, int axis)
{
    AxisTile *t = &os->tile[axis];
    const int64_t extent = axis_extent(c->s, st, axis, 0), size = t->n > 0 ? t->factor[0] : 1;
    if (extent == 0 || extent % (2 * size) != 0 || t->n > 1 || t->nother > 0 || extent == size) {
        return false;
    }
    const int32_t tiles = (int32_t)(extent / size / 2);
    *t = t->n > 0 ? (AxisTile){.n = 2, .factor = {tiles, (int32_t)size}, .tail = t->tail}
                  : (AxisTile){.n = 1, .factor = {tiles}, .tail = TAIL_PEEL};
    order_add(os, axis, 0);
    return true;
}
