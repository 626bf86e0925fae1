/* Nests: the loops of one stage at one place, planned before they are emitted. Private to lowering.
 *
 * An axis of size E tiled by factors f1..fk (T their product) has levels 0..k. Its local position
 * is
 *
 *     exact, guard   v0*T            + v1*(f2..fk) + ... + vk
 *     shift          min(v0*T, E-T)  + ...              the last tile overlaps
 *     peel           v0*T + ...  for v0 < floor(E/T), then a tail tile at floor(E/T)*T
 *     sizes          min(start, E-S) + ...              equal parts; S, which holds a part, one of several sizes
 *
 * and its value is low + local, where low is 0 for a root stage and the corner of the box for a
 * stage computed at another's loop. Where that box may stick out of the axis, what is computed
 * there is not wanted: it is guarded, or, in unrolled loops of a private box, computed from
 * elements inside the axis. */
#ifndef LATHE_LOOP_NEST_H
#define LATHE_LOOP_NEST_H

#include "loop/region.h"
#include "loop/schedule.h"

typedef enum SplitKind { SPLIT_EXACT, SPLIT_GUARD, SPLIT_SHIFT, SPLIT_PEEL, SPLIT_SIZES } SplitKind;

typedef struct AxisPlan {
    Expr low, size;   /* values [low, low + size) */
    Expr limit;       /* not 0: the box may stick out of the axis, values stop at limit */
    Expr read;        /* not 0: the value kept below the limit, which the stage computes with */
    SplitKind split;
    int64_t tile;     /* T */
    bool one_of;      /* T is one of several sizes that the record has .. */
    bool alone;       /* .. of which no others are beside it .. */
    bool fits;        /* .. and T <= E wherever it is taken */
    Expr shift;       /* SPLIT_SHIFT: the LET variable .. */
    Expr shift_to;    /* .. min(v0*T, E-T), or where T is one of several, min(start, E-T) */
    Expr base;        /* position of the tile */
    Expr value;
    int nlevels;
    Expr var[MAX_FACTORS + 1], extent[MAX_FACTORS + 1];
} AxisPlan;

typedef struct Fetch { /* of what the loop around reads the next time */
    /* the stage's loop that fetches at each step; the first of its loops of sums: */
    int pos;
    int first;
    int buffer, rank;
    Expr index[MAX_RANK]; /* where it begins */
    Expr done;            /* loops around: times that the stage has been computed */
    Expr lines, part;     /* that are fetched at once, each from a part of so many elements .. */
    Expr step;            /* .. so many behind the one before */
} Fetch;

typedef struct Nest {
    int stage;
    const Stage *st;
    const StageSchedule *ss; /* NULL: defaults */
    AxisPlan plan[MAX_AXES];
    int norder;
    /* loops that the caller of the phase runs: steps, and with parallel ones */
    int nsteps, nouter;
    LoopRef order[MAX_LOOPS];
    LoopMark mark[MAX_LOOPS];
    const Fetch *fetch;      /* NULL: none */
    bool no_where;           /* inside the part of a loop where `where` is known to hold */
} Nest;

/* Plans all axes: domain axes over `box` (NULL: the whole domain). */
void nest_plan(Exprs *x, Nest *n, const Region *box);
/* The tail of a peeled axis: constant sizes give a tile of just that size, others a guarded one. */
void nest_plan_tail(Exprs *x, Nest *n, int axis);
/* The full tiles of a peeled axis: `tiles` of them, and a variable that says so. */
void nest_plan_main(Exprs *x, Nest *n, int axis, Expr tiles);
/* The guarded form of a shifted axis, for extents below one tile. */
void nest_plan_guard(Exprs *x, Nest *n, int axis);
/* SPLIT_SIZES: elements that every part has at least. */
Expr nest_least_part(Exprs *x, const Nest *n, int axis);
/* .. and inside level 0: where the part begins, and the size that holds it. */
void nest_part(Exprs *x, const Nest *n, int axis, Expr least, Expr *start, Expr *size);
/* Such a tile, where it has this size. */
void nest_plan_size(Exprs *x, Nest *n, int axis, int32_t size, Expr start);
/* The unrolled axes of a box: computed from values inside the limits, not guarded. */
void nest_keep_inside(Exprs *x, Nest *n);
/* e over the stage's axes -> over the nest's loop variables. */
Expr nest_bind(Exprs *x, const Nest *n, Expr e);
static inline Expr nest_var(const Nest *n, int pos)
{
    return n->plan[n->order[pos].axis].var[n->order[pos].level];
}
static inline Expr nest_extent(const Nest *n, int pos)
{
    return n->plan[n->order[pos].axis].extent[n->order[pos].level];
}

#endif
