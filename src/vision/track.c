/* Filter, cost, assignment, life of tracks. */
#include "vision/track.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

/* In sizes (geometric mean of a box's sides): what detectors are off by; how fast an object may be,
 * a second, before two samples told; how much it may change that (spectral density of white
 * acceleration). */
#define OFF 0.07
#define SPEED 1.0
#define CHANGE 0.3
#define GATE 9.21          /* chi-square of two dimensions, 99 % */
#define SIZE_OFF 0.25      /* logarithm of a side, from sample to sample */
#define NO_PAIR 1e6

typedef struct Axis { /* place and velocity, and how well they are known */
    double p, v, pp, pv, vv;
} Axis;

typedef struct Track {
    int64_t number; /* 0: not confirmed */
    uint64_t label;
    Axis x, y;      /* of the centre */
    double width, height;
    int64_t seen_at, seen_for;
    int match;      /* of this sample; -1: none */
} Track;

struct Tracker {
    TrackOptions opt;
    int most, n;
    int64_t next, now;
    bool begun;     /* `now` is a sample's */
    Track *track;
    int64_t *away;
    int naway;
    /* of assign */
    int *row, *column;   /* tracks and objects that take part */
    double *cost;        /* (rows, columns) */
    double *u, *v, *least;
    int *of, *way;
    bool *used;
    bool *taken;         /* of objects */
};

Tracker *tracker_new(Arena *a, const TrackOptions *opt, int most)
{
    Tracker *const t = arena_new_of(a, Tracker);
    *t = (Tracker){.opt = *opt,
                   .most = most,
                   .track = arena_array_of(a, most, Track),
                   .away = arena_array_of(a, most, int64_t),
                   .row = arena_array_of(a, most, int),
                   .column = arena_array_of(a, most, int),
                   .cost = arena_array_of(a, most * most, double),
                   .u = arena_array_of(a, most + 1, double),
                   .v = arena_array_of(a, most + 1, double),
                   .least = arena_array_of(a, most + 1, double),
                   .of = arena_array_of(a, most + 1, int),
                   .way = arena_array_of(a, most + 1, int),
                   .used = arena_array_of(a, most + 1, bool),
                   .taken = arena_array_of(a, most, bool)};
    tracker_reset(t);
    return t;
}

void tracker_forget(Tracker *t)
{
    t->n = t->naway = 0;
    t->begun = false;
}

void tracker_reset(Tracker *t)
{
    tracker_forget(t);
    t->next = 1;
}

/* ---- the filter ---- */

static double size_of(double width, double height)
{
    return sqrt(fmax(width, 1) * fmax(height, 1));
}

static void axis_predict(Axis *a, double dt, double size)
{
    const double q = CHANGE * CHANGE * size * size;
    a->p += a->v * dt;
    a->pp += 2 * dt * a->pv + dt * dt * a->vv + q * dt * dt * dt / 3;
    a->pv += dt * a->vv + q * dt * dt / 2;
    a->vv += q * dt;
}

static void axis_update(Axis *a, double at, double size)
{
    const double s = a->pp + OFF * OFF * size * size, kp = a->pp / s, kv = a->pv / s,
                 off = at - a->p;
    a->p += kp * off;
    a->v += kv * off;
    a->vv -= kv * a->pv;
    a->pv -= kp * a->pv;
    a->pp -= kp * a->pp;
}

static Axis axis_new(double at, double size)
{
    return (Axis){.p = at, .pp = OFF * OFF * size * size, .vv = SPEED * SPEED * size * size};
}

/* ---- cost ---- */

static double overlap(double x0, double y0, double w0, double h0, const TrackSeen *s)
{
    const double x1 = (double)s->x, y1 = (double)s->y, w1 = (double)s->width,
                 h1 = (double)s->height;
    const double w = fmin(x0 + w0, x1 + w1) - fmax(x0, x1),
                 h = fmin(y0 + h0, y1 + h1) - fmax(y0, y1);
    return w > 0 && h > 0 ? w * h / (w0 * h0 + w1 * h1 - w * h) : 0;
}

static double track_overlap(const Track *t, const TrackSeen *s)
{
    return overlap(t->x.p - t->width / 2, t->y.p - t->height / 2, t->width, t->height, s);
}

static double square(double v) { return v * v; }

/* Minus twice the logarithm of how likely the object is where the track has it, but for constants;
 * NO_PAIR. */
static double pair_cost(const Tracker *t, const Track *k, const TrackSeen *s, bool sure)
{
    if (k->label != s->label)
        return NO_PAIR;
    const double iou = track_overlap(k, s), size = size_of(k->width, k->height),
                 off = square(OFF * size);
    if (!sure && iou < t->opt.iou)
        return NO_PAIR;
    const double cx = (double)(s->x + s->width / 2), cy = (double)(s->y + s->height / 2);
    const double sx = k->x.pp + off, sy = k->y.pp + off;
    const double far = square(cx - k->x.p) / sx + square(cy - k->y.p) / sy;
    const double other = (square(log(fmax((double)s->width, 1) / fmax(k->width, 1))) +
                          square(log(fmax((double)s->height, 1) / fmax(k->height, 1)))) /
                         square(SIZE_OFF);
    if ((far > GATE || other > 2 * GATE) && iou < t->opt.iou)
        return NO_PAIR;
    /* What overlaps so much that the gate is no matter costs no more than what is at the gate. */
    return fmin(far, GATE) + fmin(other, 2 * GATE) + log(sx / off) + log(sy / off);
}

/* ---- assignment ---- */

/* Rows to columns at least cost, by shortest augmenting paths with potentials (Kuhn, Munkres;
 * Jonker and Volgenant 1987); rows <= columns. of[j]: the row of column j, from 1; 0: none. `at(i,
 * j)` is cost[i * si + j * sj]. */
static void assign(Tracker *t, int rows, int columns, int si, int sj)
{
    memset(t->of, 0, sizeof *t->of * (size_t)(columns + 1));
    memset(t->u, 0, sizeof *t->u * (size_t)(rows + 1));
    memset(t->v, 0, sizeof *t->v * (size_t)(columns + 1));
    for (int i = 1; i <= rows; i++) {
        int j0 = 0;
        t->of[0] = i;
        for (int j = 0; j <= columns; j++) {
            t->least[j] = (double)INFINITY;
            t->used[j] = false;
        }
        do {
            const int i0 = t->of[j0];
            double delta = (double)INFINITY;
            int j1 = 0;
            t->used[j0] = true;
            for (int j = 1; j <= columns; j++) {
                if (t->used[j])
                    continue;
                const double c = t->cost[(i0 - 1) * si + (j - 1) * sj] - t->u[i0] - t->v[j];
                if (c < t->least[j]) {
                    t->least[j] = c;
                    t->way[j] = j0;
                }
                if (t->least[j] < delta) {
                    delta = t->least[j];
                    j1 = j;
                }
            }
            for (int j = 0; j <= columns; j++) {
                if (t->used[j]) {
                    t->u[t->of[j]] += delta;
                    t->v[j] -= delta;
                } else {
                    t->least[j] -= delta;
                }
            }
            j0 = j1;
        } while (t->of[j0] != 0);
        for (; j0; j0 = t->way[j0])
            t->of[j0] = t->of[t->way[j0]];
    }
}

static void take(Tracker *t, int row, int column, int columns)
{
    if (t->cost[row * columns + column] >= NO_PAIR)
        return;
    t->track[t->row[row]].match = t->column[column];
    t->taken[t->column[column]] = true;
}

/* Tracks that are confirmed, or not, with objects that are surely, or hardly, seen: those of both
 * that are free. */
static void match(Tracker *t, const TrackSeen *seen, int n, bool confirmed, bool sure)
{
    int rows = 0, columns = 0;
    for (int i = 0; i < t->n; i++)
        if (t->track[i].match < 0 && (t->track[i].number > 0) == confirmed)
            t->row[rows++] = i;
    for (int i = 0; i < n; i++)
        if (!t->taken[i] && ((double)seen[i].score >= t->opt.high) == sure)
            t->column[columns++] = i;
    if (rows == 0 || columns == 0)
        return;
    for (int i = 0; i < rows; i++)
        for (int j = 0; j < columns; j++)
            t->cost[i * columns + j] =
                pair_cost(t, &t->track[t->row[i]], &seen[t->column[j]], sure);
    if (rows <= columns) {
        assign(t, rows, columns, columns, 1);
        for (int j = 1; j <= columns; j++)
            if (t->of[j])
                take(t, t->of[j] - 1, j - 1, columns);
    } else {
        assign(t, columns, rows, 1, columns);
        for (int i = 1; i <= rows; i++)
            if (t->of[i])
                take(t, i - 1, t->of[i] - 1, columns);
    }
}

/* ---- a sample ---- */

static void see(Tracker *t, Track *k, const TrackSeen *s, int64_t now, bool in_a_row)
{
    const double size = size_of(k->width, k->height);
    axis_update(&k->x, (double)(s->x + s->width / 2), size);
    axis_update(&k->y, (double)(s->y + s->height / 2), size);
    k->width += 0.5 * ((double)s->width - k->width);
    k->height += 0.5 * ((double)s->height - k->height);
    if (in_a_row)
        k->seen_for += now - k->seen_at;
    k->seen_at = now;
    if (k->number == 0 && k->seen_for >= t->opt.confirm)
        k->number = t->next++;
}

/* What a track has already is not another object. */
static bool is_double(const Tracker *t, const TrackSeen *seen, int i)
{
    const TrackSeen *const s = &seen[i];
    for (int k = 0; k < t->n; k++) {
        const TrackSeen *const m = t->track[k].match >= 0 ? &seen[t->track[k].match] : NULL;
        if (m && m->label == s->label &&
            overlap((double)m->x, (double)m->y, (double)m->width, (double)m->height, s) >
                t->opt.iou)
            return true;
    }
    return false;
}

static void begin(Tracker *t, const TrackSeen *s, int i, int64_t now)
{
    const double size = size_of((double)s->width, (double)s->height);
    Track *const k = &t->track[t->n++];
    *k = (Track){.label = s->label, .x = axis_new((double)(s->x + s->width / 2), size),
                 .y = axis_new((double)(s->y + s->height / 2), size), .width = (double)s->width,
                 .height = (double)s->height, .seen_at = now, .match = i};
    if (t->opt.confirm <= 0)
        k->number = t->next++;
}

static void drop_lost(Tracker *t, int64_t now)
{
    int n = 0;
    for (int i = 0; i < t->n; i++) {
        const Track *const k = &t->track[i];
        if (k->match >= 0 || now - k->seen_at <= (k->number ? t->opt.lost : t->opt.confirm))
            t->track[n++] = *k;
    }
    t->n = n;
}

void tracker_step(Tracker *t, int64_t now, const TrackSeen *seen, int n, int64_t *track)
{
    const int64_t before = t->now;
    const double dt = t->begun ? (double)(now - before) / 1e6 : 0;
    n = n < t->most ? n : t->most;
    memset(t->taken, 0, sizeof *t->taken * (size_t)n);
    for (int i = 0; i < t->n; i++) {
        Track *const k = &t->track[i];
        const double size = size_of(k->width, k->height);
        axis_predict(&k->x, dt, size);
        axis_predict(&k->y, dt, size);
        k->match = -1;
    }
    match(t, seen, n, true, true);
    match(t, seen, n, true, false);
    match(t, seen, n, false, true);
    for (int i = 0; i < t->n; i++) {
        Track *const k = &t->track[i];
        if (k->match >= 0)
            see(t, k, &seen[k->match], now, k->seen_at == before);
    }
    drop_lost(t, now);
    for (int i = 0; i < n && t->n < t->most; i++)
        if (!t->taken[i] && (double)seen[i].score >= t->opt.high && !is_double(t, seen, i))
            begin(t, &seen[i], i, now);
    memset(track, 0, sizeof *track * (size_t)n);
    t->naway = 0;
    for (int i = 0; i < t->n; i++) {
        const Track *const k = &t->track[i];
        if (k->match >= 0)
            track[k->match] = k->number;
        else if (k->number > 0)
            t->away[t->naway++] = k->number;
    }
    t->now = now;
    t->begun = true;
}

int tracker_away(const Tracker *t, const int64_t **track)
{
    *track = t->away;
    return t->naway;
}
