/* Planning of a nest's loops: factors, tails, loop variables. See nest.h. */
#include "loop/nest.h"

#include <assert.h>

static int64_t inner_product(const AxisTile *tile, int level)
{
    int64_t p = 1;
    for (int k = level; k < tile->n; k++) {
        p *= tile->factor[k];
    }
    return p;
}

static AxisTile tile_of(const Nest *n, int axis)
{
    return n->ss ? n->ss->tile[axis] : (AxisTile){0};
}

/* ---- tiles of several sizes ---- */

int32_t tile_size_for(const AxisTile *tile, int64_t rows)
{
    int32_t best = tile->factor[0];
    for (int k = 0; k < tile->nother; k++) {
        best = tile->other[k] >= rows ? tile->other[k] : best;
    }
    return best;
}

/* Is this size taken for `extent` elements? */
static bool takes_size(const AxisTile *tile, int64_t extent, int32_t size)
{
    const int64_t parts = (extent + tile->factor[0] - 1) / tile->factor[0];
    return tile_size_for(tile, extent / parts) == size ||
           tile_size_for(tile, (extent + parts - 1) / parts) == size;
}

static bool takes_size_within(const AxisTile *tile, int64_t low, int64_t high, int32_t size)
{
    bool taken = false;
    for (int64_t e = low > 1 ? low : 1; e <= high; e++) {
        taken |= takes_size(tile, e, size);
    }
    return taken;
}

Expr nest_least_part(Exprs *x, const Nest *n, int axis)
{
    const Expr size = n->plan[axis].size,
               parts = expr_ceil_div(x, size, expr_int(x, n->ss->tile[axis].factor[0]));
    return expr_div(x, size, expr_max(x, parts, expr_int(x, 1)));
}

void nest_part(Exprs *x, const Nest *n, int axis, Expr least, Expr *start, Expr *size)
{
    const AxisTile *tile = &n->ss->tile[axis];
    const AxisPlan *p = &n->plan[axis];
    const Expr at = p->var[0], parts = expr_ceil_div(x, p->size, expr_int(x, tile->factor[0]));
    /* parts that have one more */
    const Expr more = expr_sub(x, p->size, expr_mul(x, least, parts));
    *start = expr_add(x, expr_mul(x, at, least), expr_min(x, at, more));
    const Expr these = expr_select(x, expr_lt(x, at, more), expr_addi(x, least, 1), least);
    *size = expr_int(x, tile->factor[0]);
    for (int k = 0; k < tile->nother; k++) {
        const Expr other = expr_int(x, tile->other[k]);
        *size = expr_select(x, expr_le(x, these, other), other, *size);
    }
}

/* ---- planning ---- */

/* Makes the loop variables of `extent[]` and the axis value from them. */
static void make_levels(Exprs *x, Nest *n, int axis, Expr base)
{
    AxisPlan *p = &n->plan[axis];
    const AxisTile tile = tile_of(n, axis);
    const char *name = n->st->axis[axis].name;
    Expr local = base;
    for (int k = 0; k < p->nlevels; k++) {
        int64_t one;
        if (!p->var[k]) {
            const char *var_name = arena_printf(x->ctx->arena, "%s%d", name, k);
            /* a peeled level 0 in parallel also counts the tail tile */
            const Expr extent = k == 0 && p->split == SPLIT_PEEL
                                    ? expr_ceil_div(x, p->size, expr_int(x, p->tile))
                                    : p->extent[k];
            p->var[k] = expr_is_int(x, extent, &one) && one == 1
                            ? expr_int(x, 0)
                            : expr_loop_var(x, var_name, extent);
        }
        if (k > 0) {
            local = expr_add(x, local, expr_muli(x, p->var[k], inner_product(&tile, k)));
        }
    }
    p->base = base;
    p->value = expr_add(x, p->low, local);
}

static void plan_untiled(Exprs *x, Nest *n, int axis)
{
    AxisPlan *p = &n->plan[axis];
    p->nlevels = 1;
    p->tile = 1;
    p->split = SPLIT_EXACT;
    p->extent[0] = p->size;
    make_levels(x, n, axis, expr_int(x, 0));
    p->base = p->var[0];
    p->value = expr_add(x, p->low, p->var[0]);
}

/* One tile of `size` < T elements at `base`. */
static void plan_small(Exprs *x, Nest *n, int axis, int64_t size, Expr base)
{
    AxisPlan *p = &n->plan[axis];
    const AxisTile tile = tile_of(n, axis);
    p->extent[0] = expr_int(x, 1);
    p->split = SPLIT_EXACT;
    int64_t left = size;
    for (int k = 1; k <= tile.n; k++) {
        const int64_t inner = inner_product(&tile, k);
        int64_t extent = (left + inner - 1) / inner;
        if (left % inner != 0 && extent > 1) {
            p->split = SPLIT_GUARD;
            left = inner;
        } else if (extent > 1 || left == inner) {
            left = inner;
        }
        p->extent[k] = expr_int(x, extent);
    }
    for (int k = 0; k <= tile.n; k++) {
        p->var[k] = 0;
    }
    make_levels(x, n, axis, base);
}

static Expr shift_var(Exprs *x, const Nest *n, int axis)
{
    const AxisPlan *p = &n->plan[axis];
    const char *name = arena_printf(x->ctx->arena, "%s_shift", n->st->axis[axis].name);
    return expr_loop_var(x, name, expr_addi(x, p->size, 1 - p->tile));
}

static void plan_tiled(Exprs *x, Nest *n, int axis)
{
    AxisPlan *p = &n->plan[axis];
    const Expr zero = expr_int(x, 0);
    int64_t size;
    const bool constant = expr_is_int(x, p->size, &size);
    const AxisTile tile = tile_of(n, axis);
    p->nlevels = tile.n + 1;
    p->tile = inner_product(&tile, 0);
    if (tile.nother) {
        p->split = SPLIT_SIZES;
        p->extent[0] = expr_ceil_div(x, p->size, expr_int(x, p->tile));
        /* until one size is planned: what the largest may hold */
        p->extent[1] = expr_int(x, p->tile);
        make_levels(x, n, axis, zero);
        make_levels(x, n, axis, expr_muli(x, p->var[0], p->tile));
        return;
    }
    if (constant && size < p->tile) {
        plan_small(x, n, axis, size, zero);
        return;
    }
    const Expr whole = expr_divi(x, p->size, p->tile);
    const bool exact = expr_proves_multiple(x, p->size, p->tile);
    p->split = exact                     ? SPLIT_EXACT
               : tile.tail == TAIL_PAD    ? SPLIT_EXACT
               : tile.tail == TAIL_SHIFT  ? SPLIT_SHIFT
               : tile.tail == TAIL_PEEL   ? SPLIT_PEEL
                                          : SPLIT_GUARD;
    p->extent[0] = exact ? whole : expr_ceil_div(x, p->size, expr_int(x, p->tile));
    if (p->split == SPLIT_PEEL) {
        p->extent[0] = whole;
    }
    for (int k = 1; k <= tile.n; k++) {
        p->extent[k] = expr_int(x, tile.factor[k - 1]);
    }
    make_levels(x, n, axis, zero);
    Expr base = expr_muli(x, p->var[0], p->tile);
    if (p->split == SPLIT_SHIFT) {
        p->shift = shift_var(x, n, axis);
        p->shift_to = expr_min(x, base, expr_addi(x, p->size, -p->tile));
        base = p->shift;
    }
    make_levels(x, n, axis, base);
}

/* The loop inside the tiles of a sum, if it is their only one and written out; -1: it is not. */
static int unrolled_sum(const Nest *n, int axis)
{
    for (int pos = 0; pos < n->norder && axis >= n->st->naxes && n->plan[axis].nlevels == 2;
         pos++) {
        if (n->order[pos].axis == axis && n->order[pos].level == 1 && n->mark[pos] == MARK_UNROLL) {
            return pos;
        }
    }
    return -1;
}

void nest_plan_tail(Exprs *x, Nest *n, int axis)
{
    AxisPlan *p = &n->plan[axis];
    const Expr done = expr_muli(x, expr_divi(x, p->size, p->tile), p->tile);
    int64_t rest;
    if (expr_is_int(x, expr_sub(x, p->size, done), &rest)) {
        plan_small(x, n, axis, rest, done);
        return;
    }
    const int sum = unrolled_sum(n, axis);
    p->split = sum < 0 ? SPLIT_GUARD : SPLIT_EXACT;
    p->extent[0] = expr_int(x, 1);
    for (int k = 0; k < p->nlevels; k++) {
        p->var[k] = 0;
    }
    /* a few steps one by one are less code than so many that each ask whether they are to be
     * taken */
    if (sum >= 0) {
        p->extent[1] = expr_modi(x, p->size, p->tile);
        n->mark[sum] = MARK_SERIAL;
    }
    make_levels(x, n, axis, done);
}

void nest_plan_main(Exprs *x, Nest *n, int axis, Expr tiles)
{
    AxisPlan *p = &n->plan[axis];
    p->split = SPLIT_EXACT;
    p->extent[0] = tiles;
    p->var[0] = expr_loop_var(x, arena_printf(x->ctx->arena, "%s0", n->st->axis[axis].name), tiles);
    make_levels(x, n, axis, expr_muli(x, p->var[0], p->tile));
}

void nest_plan_guard(Exprs *x, Nest *n, int axis)
{
    AxisPlan *p = &n->plan[axis];
    p->split = SPLIT_GUARD;
    p->shift = 0;
    make_levels(x, n, axis, expr_muli(x, p->var[0], p->tile));
}

void nest_plan_size(Exprs *x, Nest *n, int axis, int32_t size, Expr start)
{
    const AxisTile *all = &n->ss->tile[axis];
    AxisPlan *p = &n->plan[axis];
    p->split = SPLIT_SHIFT;
    p->tile = size;
    p->one_of = true;
    p->alone = !takes_size_within(all, all->factor[0] + 1, 2 * (int64_t)all->factor[0], size);
    p->fits = !takes_size_within(all, expr_low(x, p->size), size - 1, size);
    p->extent[1] = expr_int(x, size);
    p->var[1] = 0;
    p->shift = shift_var(x, n, axis);
    p->shift_to = expr_min(x, start, expr_addi(x, p->size, -size));
    make_levels(x, n, axis, p->shift);
}

void nest_keep_inside(Exprs *x, Nest *n)
{
    const Expr zero = expr_int(x, 0);
    for (int pos = 0; pos < n->norder; pos++) {
        AxisPlan *p = &n->plan[n->order[pos].axis];
        if (p->limit && p->nlevels == 1 && n->mark[pos] == MARK_UNROLL) {
            p->read = expr_min(x, p->value, expr_addi(x, p->limit, -1));
            p->read = expr_proves_le(x, zero, p->read) ? p->read : expr_max(x, p->read, zero);
            p->limit = 0;
        }
    }
}

/* A box may be rounded up to its reader's tiles. What lies beyond the axis is not computed: where
 * that is known, and the box is memory, the tiles need not ask. */
static void end_at_axis(Exprs *x, Nest *n, int axis)
{
    AxisPlan *p = &n->plan[axis];
    const AxisTile tile = tile_of(n, axis);
    int64_t low, left;
    if (p->limit && tile.n > 0 && tile.tail == TAIL_PEEL && n->ss->scope == SCOPE_SCRATCH &&
        !n->ss->in_result && expr_is_int(x, p->low, &low) &&
        expr_is_int(x, expr_sub(x, p->limit, p->low), &left) && low >= 0 && left > 0) {
        p->size = expr_int(x, left);
        p->limit = 0;
    }
}

void nest_plan(Exprs *x, Nest *n, const Region *box)
{
    const Stage *st = n->st;
    for (int a = 0; a < st->naxes + st->nreduce; a++) {
        AxisPlan *p = &n->plan[a];
        *p = (AxisPlan){.low = expr_int(x, 0), .size = st->axis[a].extent};
        if (box && a < st->naxes) {
            p->low = box->axis[a].low;
            p->size = box->axis[a].size;
            const Expr end = expr_add(x, p->low, p->size);
            p->limit = expr_proves_le(x, end, st->axis[a].extent) ? 0 : st->axis[a].extent;
            end_at_axis(x, n, a);
        }
        if (tile_of(n, a).n == 0) {
            plan_untiled(x, n, a);
        } else {
            plan_tiled(x, n, a);
        }
    }
    if (n->ss && n->ss->norder) {
        n->norder = n->ss->norder;
        for (int i = 0; i < n->norder; i++) {
            n->order[i] = n->ss->order[i];
        }
    } else {
        n->norder = schedule_default_order(st, n->ss, n->order);
    }
    n->nsteps = n->ss ? n->ss->nsteps : 0;
    n->nouter = n->nsteps + (n->ss ? n->ss->nparallel : 0);
    for (int i = 0; i < n->norder; i++) {
        n->mark[i] = !n->ss                      ? MARK_SERIAL
                     : i >= n->norder - n->ss->ndot ? MARK_DOT
                     : i == n->ss->vector        ? MARK_VECTOR
                     : n->ss->unroll >> i & 1    ? MARK_UNROLL
                                                 : MARK_SERIAL;
    }
}

Expr nest_bind(Exprs *x, const Nest *n, Expr e)
{
    Expr from[MAX_AXES], to[MAX_AXES];
    const int axes = n->st->naxes + n->st->nreduce;
    for (int a = 0; a < axes; a++) {
        from[a] = n->st->axis[a].var;
        to[a] = n->plan[a].read ? n->plan[a].read : n->plan[a].value;
    }
    return e ? expr_subst(x, e, axes, from, to) : 0;
}
