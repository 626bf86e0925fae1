/* Points and their fates. */
#include "watch/sample_grid.h"

#include <math.h>

/* 1/15 s has no exact grid: points are half a microsecond off at most. */
int64_t grid_next(int64_t t, double step)
{
    return llrint(step * (floor(((double)t + 0.6) / step) + 1));
}

int64_t grid_expected(const SampleGrid *g) { return g->arrival + (g->point - g->t); }

/* apart: us between these points */
static void count(SampleGrid *g, SampleFate fate, int64_t n, double apart)
{
    g->wanted += n;
    g->count[fate] += n;
    if (fate == SAMPLE_JUDGED)
        g->left_out = 0;
    else if (fate != SAMPLE_LOST)
        g->left_out =
            llrint(fmin((double)g->left_out + (double)n * apart, (double)SAMPLE_MOST_LEFT_OUT));
}

static double points_apart(const SampleGrid *g, double step)
{
    return g->keyframes && (double)g->spacing > step ? (double)g->spacing : step;
}

/* Number of the last point at or before t. */
static double index_of(int64_t t, double step)
{
    const double i = floor(((double)t + 0.6) / step);
    return llrint(step * i) <= t ? i : i - 1;
}

/* Moves the point on to the last one at or before t; returns how many were passed, however many
 * these are. */
static int64_t pass_until(SampleGrid *g, int64_t t, double step)
{
    const double last = index_of(t, step), passed = last - index_of(g->point, step);
    if (passed <= 0)
        return 0;
    g->point = llrint(step * last);
    return llrint(passed);
}

/* Frames that come in their time cannot have left out more than time went by, but for what was held
 * up on its way: whatever their clocks say. */
static int64_t at_most(const SampleGrid *g, int64_t n, int64_t arrival, double step)
{
    const int64_t passed = arrival > g->arrival ? arrival - g->arrival : 0;
    const int64_t most = (int64_t)((double)(passed + VIDEO_JUMP) / step);
    return g->live && n > most ? most : n;
}

/* The point stands where it was meant to be. */
static void put_back(SampleGrid *g)
{
    g->point = g->stands_for > g->point ? g->stands_for : g->point;
}

/* What n points between the last frame and this one come to; returns how many of them were busy. */
static int64_t passed_over(SampleGrid *g, int64_t n, const VideoFrame *f,
                           const FramesMissed *missed, double step)
{
    if (g->keyframes) { /* of these, as many as keyframes can have been there */
        const int64_t keys =
            g->spacing > 0 ? (f->t - g->t + g->spacing / 2) / g->spacing - 1 : missed->lost;
        n = keys < 0 ? 0 : keys < n ? keys : n;
        n = missed->waited && !missed->lost ? 0 : n;
    } else if (f->number >= 0 && f->number - g->number <= 1) {
        n = 0;
    }
    const SampleFate fate = missed->lost || missed->waited ? SAMPLE_LOST : SAMPLE_BUSY;
    count(g, fate, n, points_apart(g, step));
    return fate == SAMPLE_BUSY ? n : 0;
}

/* The points of the old epoch that would have come before this frame. */
static void end_epoch(SampleGrid *g, int64_t arrival, double step)
{
    const double apart = points_apart(g, step);
    const double missing = (double)(arrival - grid_expected(g)) / apart;
    if (missing > 0)
        count(g, SAMPLE_LOST, (int64_t)missing, apart);
}

int64_t grid_frame(SampleGrid *g, const VideoFrame *f, int64_t arrival, const FramesMissed *missed,
                   double step)
{
    int64_t busy = 0;
    if (g->begun && f->epoch == g->epoch) {
        if (f->t >= g->stands_for)
            put_back(g);
        const int64_t n = at_most(g, pass_until(g, f->t, step), arrival, step);
        busy = passed_over(g, n, f, missed, step);
        g->spacing = missed->waited && !missed->lost ? f->t - g->t : g->spacing;
    } else if (g->begun) {
        end_epoch(g, arrival, step);
        g->spacing = g->stands_for = g->left_out = 0;
    }
    g->begun = g->taken = true;
    g->epoch = f->epoch;
    g->t = f->t;
    g->number = f->number;
    g->arrival = arrival;
    return busy;
}

void grid_done(SampleGrid *g, SampleFate fate, double step)
{
    count(g, fate, 1, step);
    g->taken = false;
    g->point = grid_next(g->t > g->stands_for ? g->t : g->stands_for, step);
}

void grid_skip(SampleGrid *g, SampleFate fate, double step)
{
    put_back(g);
    count(g, fate, 1, step);
    g->point = grid_next(g->point, step);
}

void grid_pull(SampleGrid *g, int64_t t)
{
    if (t < g->point)
        g->stands_for = g->point;
    g->point = t;
}

void grid_quiet(SampleGrid *g, int64_t t, double step)
{
    put_back(g);
    const double apart = points_apart(g, step);
    while (g->point <= t) {
        count(g, SAMPLE_LOST, 1, apart);
        g->point = grid_next(g->point, apart);
    }
}
