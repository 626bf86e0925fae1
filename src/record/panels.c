/* How the factors of a product lie: B in panels of one tile's width, whose loads are contiguous; A
 * in blocks along the sum where its own lines would fill L1. Constants are packed at compile time,
 * temporaries are written so, inputs are copied where that pays. */
#include "loop/access.h"
#include "loop/intrinsic.h"
#include "record/templates.h"

/* The dim of B that the first reduction axis alone counts along; -1. */
static int summed_dim(const Stages *s, const Contraction *c)
{
    const Stage *st = &s->stage.at[c->stage];
    for (int d = 0; d < s->tensor.at[c->b_tensor].rank && st->nreduce > 0; d++) {
        if (expr_arg(s->x, c->b, d) == st->axis[st->naxes].var) {
            return d;
        }
    }
    return -1;
}

/* B counts along dim d in steps of this, from a phase that does not change in the sum, as a
 * transposed convolution's taps do: r*2 + u; 1: in ones. */
static int phases_along(const Stages *s, const Contraction *c, int d)
{
    const Stage *st = &s->stage.at[c->stage];
    for (int a = st->naxes; a < st->naxes + st->nreduce; a++) {
        const ExprNode *var = expr_node(s->x, st->axis[a].var);
        Expr coef, rest;
        int64_t step;
        if (var->op == EX_VAR &&
            expr_linear_in(s->x, expr_arg(s->x, c->b, d), (int)var->imm.i, &coef, &rest) &&
            expr_is_int(s->x, coef, &step) && step > 1 && step <= MAX_PHASES &&
            !expr_is_int(s->x, rest, NULL)) {
            return (int)step;
        }
    }
    return 1;
}

/* The sum is one part of a longer one, of neighbours: l * 1024 + k. How many; 0: it is not. */
static int64_t part_of_sum(const Stages *s, const Contraction *c)
{
    const Stage *st = &s->stage.at[c->stage];
    const StageTensor *b = &s->tensor.at[c->b_tensor];
    const int64_t extent = st->nreduce == 1 ? axis_extent(s, st, st->naxes, 0) : 0;
    for (int d = 0; d < b->rank && extent > 0; d++) {
        const int var = (int)expr_node(s->x, st->axis[st->naxes].var)->imm.i;
        Expr coef, rest;
        int64_t step;
        if (expr_linear_in(s->x, expr_arg(s->x, c->b, d), var, &coef, &rest) &&
            expr_is_int(s->x, coef, &step) && step == 1 && !expr_is_int(s->x, rest, NULL) &&
            expr_proves_multiple(s->x, rest, extent)) {
            return extent;
        }
    }
    return 0;
}

#define LEAST_ROWS_IN_GROUPS 16

/* B in panels: outer parts of its dims (the vector axis first, then the batch and phases, then what
 * is summed over), its block last but for groups. Groups of columns that are no whole panels: rows
 * of all columns. */
static bool panel_layout(const Stages *s, const Contraction *c, int width, SumBlocks k, Layout *out)
{
    Exprs *x = s->x;
    const Stage *st = &s->stage.at[c->stage];
    const StageTensor *b = &s->tensor.at[c->b_tensor];
    Expr first;
    const int n_dim = load_dim_along(s, st, c->b, c->vector_axis, &first), k_dim = summed_dim(s, c);
    uint32_t batch = 0; /* dims */
    for (int d = 0; d < b->rank; d++) {
        const Expr index = expr_arg(x, c->b, d);
        for (int a = 0; a < st->naxes; a++) {
            batch |= (uint32_t)(index == st->axis[a].var) << d;
        }
    }
    if (n_dim < 0) {
        return false;
    }
    const bool panels = expr_proves_multiple(x, first, width);
    Layout l = {0};
    const int64_t part = part_of_sum(s, c);
    if (part > 0 && panels && b->rank == 2) {
        const int sum = 1 - n_dim;
        l.dim[l.n++] = (LayoutDim){.axis = (int8_t)sum};
        l.dim[l.n++] = (LayoutDim){.axis = (int8_t)n_dim};
        l.dim[l.n++] = (LayoutDim){.axis = (int8_t)sum, .block = (int)part};
        l.dim[l.n++] = (LayoutDim){.axis = (int8_t)n_dim, .block = width};
        *out = l;
        return true;
    }
    if (panels) {
        l.dim[l.n++] = (LayoutDim){.axis = (int8_t)n_dim};
    }
    for (int d = 0; d < b->rank; d++) {
        const int phases = d == n_dim ? 1 : phases_along(s, c, d);
        if (phases > 1 && l.n + b->rank + 3 <= MAX_LAYOUT_DIMS) {
            l.dim[l.n++] = (LayoutDim){.axis = (int8_t)d, .block = phases};
        }
    }
    for (int summed = 0; summed < 2; summed++) {
        for (int d = 0; d < b->rank; d++) {
            if (d != n_dim && (batch >> d & 1) != (uint32_t)summed) {
                l.dim[l.n++] = (LayoutDim){.axis = (int8_t)d};
            }
        }
    }
    if (k.block > k.group && k_dim >= 0) {
        l.dim[l.n++] = (LayoutDim){.axis = (int8_t)k_dim, .block = k.block / k.group};
    }
    l.dim[l.n++] = (LayoutDim){.axis = (int8_t)n_dim, .block = panels ? width : 0};
    if (k.group > 1) {
        l.dim[l.n++] = (LayoutDim){.axis = (int8_t)k_dim, .block = k.group};
    }
    *out = l;
    return true;
}

bool contraction_in_groups(const Stages *s, const Contraction *k)
{
    Expr first;
    return load_dim_along(s, &s->stage.at[k->stage], k->b, k->vector_axis, &first) >= 0 &&
           !expr_is_int(s->x, first, NULL);
}

int contraction_block(const Stages *s, const Contraction *c)
{
    const Stage *st = &s->stage.at[c->stage];
    const StageTensor *a = &s->tensor.at[c->a_tensor];
    Expr first;
    const int d = st->nreduce > 0 ? load_dim_along(s, st, c->a, st->naxes, &first) : -1;
    const int block = d < 0 ? 1 : (int)layout_block(&a->layout, d);
    return expr_proves_multiple(s->x, d < 0 ? expr_int(s->x, 0) : first, block) ? block : 1;
}

bool contraction_groups(const Stages *s, const Contraction *k, int block, int group)
{
    const Stage *st = &s->stage.at[k->stage];
    if (st->nreduce == 0 || summed_dim(s, k) < 0) {
        return false;
    }
    const Layout *a = &s->tensor.at[k->a_tensor].layout;
    Expr first;
    int64_t stride;
    const int d = load_dim_along(s, st, k->a, st->naxes, &first);
    const bool runs = load_stride(s, k->a, st->axis[st->naxes].var, &stride) && stride == 1;
    const bool in_blocks = block > 1 && block % group == 0 && d >= 0 && a->dim[a->n - 1].axis == d;
    return axis_extent(s, st, st->naxes, group) >= group && (in_blocks || (block == 1 && runs));
}

int64_t contraction_b_bytes(const Stages *s, const Contraction *k, int width)
{
    const Stage *st = &s->stage.at[k->stage];
    int64_t bytes = dtype_size(s->tensor.at[k->b_tensor].dtype);
    for (int a = 0; a < st->naxes + st->nreduce; a++) {
        if (k->in_b >> a & 1 && (a == k->vector_axis || a >= st->naxes)) {
            const int64_t extent = axis_extent(s, st, a, 4096);
            bytes *= a == k->vector_axis ? (extent + width - 1) / width * width : extent;
        }
    }
    return bytes;
}

/* The constant that the MAP which makes B goes through point by point: weights that are scaled.
 * -1: none. */
static int weights_behind(const Stages *s, const StageTensor *b)
{
    const Stage *st = &s->stage.at[b->stage];
    for (int t = 0; t < s->tensor.len; t++) {
        const StageTensor *w = &s->tensor.at[t];
        const Expr load = w->role == TENSOR_CONST && w->rank == b->rank ? load_of(s, st, t) : 0;
        bool own = load != 0;
        for (int d = 0; d < b->rank && own; d++) {
            own = is_axis(s->x, st, d, expr_arg(s->x, load, d)) && w->dim[d] == b->dim[d];
        }
        if (own) {
            return t;
        }
    }
    return -1;
}

/* What a MAP makes goes into groups element by element. That pays for tiles, whose products cost
 * next to nothing, if enough rows meet them. */
static bool pays_in_groups(const Choice *c, const Contraction *k, int group)
{
    const Stage *st = &c->s->stage.at[k->stage];
    int64_t rows = 1;
    for (int a = 0; a < st->naxes; a++) {
        rows *= k->row_axes >> a & 1 ? axis_extent(c->s, st, a, 1) : 1;
    }
    return group == 1 || (c->target->amx && rows >= LEAST_ROWS_IN_GROUPS);
}

/* May the B of product k lie in panels? A constant is packed at compile time; what a MAP computes
 * for this product alone, as attention's transposed keys, is written there at once, where that
 * pays: rows of many keys lie in few sets of L1, and columns of weights that are scaled lie apart.
 * Not of open sizes, which may be small. */
static bool is_free_to_lie(const Choice *c, const Contraction *k, int width, SumBlocks blocks)
{
    const Stages *s = c->s;
    const StageTensor *b = &s->tensor.at[k->b_tensor];
    if (b->role != TENSOR_TEMP) {
        return b->role == TENSOR_CONST;
    }
    const Stage *st = &s->stage.at[k->stage];
    for (int a = 0; a < st->naxes + st->nreduce; a++) {
        if (k->in_b >> a & 1 && axis_extent(s, st, a, 0) == 0) {
            return false;
        }
    }
    int reader = -1;
    const bool is_map = b->stage >= 0 && s->stage.at[b->stage].form == STAGE_MAP;
    /* a layout that they have already is that of the scale */
    const bool weights = is_map && weights_behind(s, b) >= 0;
    return is_map && (weights || layout_is_plain(&b->layout)) && !choice_has(c, b->stage) &&
           k->a_tensor != k->b_tensor && pays_in_groups(c, k, blocks.group) &&
           (weights || blocks.group > 1 || contraction_b_bytes(s, k, width) >= c->target->l2 / 4) &&
           count_readers(s, b->stage, &reader) == 1;
}

int contraction_panel(const Choice *c, ProductTile tile)
{
    return tile.vectors / (tile.streams > 1 ? tile.streams : 1) * target_lanes(c->target, 4);
}

bool contraction_lay_out(Choice *c, const Contraction *k, ProductTile tile, SumBlocks blocks)
{
    Stages *s = c->s;
    StageTensor *b = &s->tensor.at[k->b_tensor];
    const int width = contraction_panel(c, tile);
    Layout l;
    if (!is_free_to_lie(c, k, width, blocks) || !panel_layout(s, k, width, blocks, &l)) {
        return false;
    }
    StageSchedule *bs = schedule_stage(c->sc, c->ctx, b->name);
    bs->has_layout = true;
    bs->layout = l;
    if (b->role == TENSOR_TEMP) {
        b->layout = l;
        const int weights = weights_behind(s, b);
        if (weights >= 0) { /* the MAP goes through both as they lie */
            StageSchedule *ws = schedule_stage(c->sc, c->ctx, s->tensor.at[weights].name);
            ws->has_layout = true;
            ws->layout = l;
        }
    }
    return true;
}

#define PACK_TILES 8 /* row tiles that must meet a panel for a copy of B to pay, and .. */
#define PACK_TILES_APART 2 /* .. where its lanes lie apart */

static bool pays_to_pack(const Choice *c, const Contraction *k, ProductTile tile)
{
    const Stages *s = c->s;
    const Stage *st = &s->stage.at[k->stage];
    const int width = tile.vectors * target_lanes(c->target, 4);
    int64_t rows = 1, stride; /* an open count of rows may be small */
    for (int a = 0; a < st->naxes; a++) {
        rows *= k->row_axes >> a & 1 ? axis_extent(s, st, a, 0) : 1;
    }
    const int64_t tiles = rows / (tile.rows[0] * tile.rows[1]);
    if (!load_stride(s, k->b, st->axis[k->vector_axis].var, &stride) || stride != 1) {
        return tiles >= PACK_TILES_APART;
    }
    /* Where all of it is one panel already, or stays in L2 and is seldom read, nothing is
     * gained. */
    return tiles >= PACK_TILES && axis_extent(s, st, k->vector_axis, 1 << 20) > width &&
           contraction_b_bytes(s, k, width) > c->target->l2 / 4;
}

/* An input B is copied into panels first, where that pays: from its own layout a panel's rows lie
 * apart, in few sets of the caches and many pages, or its lanes do. */
static bool pack_b(Choice *c, Contraction *k, ProductTile tile, SumBlocks blocks)
{
    Stages *s = c->s;
    const StageTensor *b = &s->tensor.at[k->b_tensor];
    const int width = tile.vectors * target_lanes(c->target, 4);
    Layout panels;
    if (b->role != TENSOR_INPUT || k->a_tensor == k->b_tensor || !pays_to_pack(c, k, tile) ||
        !panel_layout(s, k, width, blocks, &panels)) {
        return false;
    }
    const ScheduleStep step = {.kind = SCHED_CACHE_READ,
                               .a = b->name,
                               .b = choice_name(c, k->stage),
                               .c = arena_printf(c->ctx->arena, "%s.panels", b->name)};
    const int copy = stages_cache_read(s, k->b_tensor, k->stage, step.c);
    if (copy < 0) {
        return false;
    }
    vec_push(c->ctx->arena, &c->sc->step, step);
    const int row = k->vector_axis;
    contraction_of(s, copy + 1, k);
    if (k->vector_axis != row) {
        *k = contraction_swap(s, k, row);
    }
    StageSchedule *bs = choice_entry(c, copy);
    bs->has_layout = true;
    bs->layout = s->tensor.at[k->b_tensor].layout = panels;
    return true;
}

#define PANELS_TO_PACK 4 /* that meet A, for a copy of it to pay */
#define CACHE_LINE 64    /* bytes */

bool contraction_pack_a(Choice *c, Contraction *k, ProductTile tile)
{
    Stages *s = c->s;
    const Stage *st = &s->stage.at[k->stage];
    const StageTensor *a = &s->tensor.at[k->a_tensor];
    const int lanes = target_lanes(c->target, 4);
    const int64_t width = axis_extent(s, st, k->vector_axis, 0);
    int64_t stride;
    Expr first;
    const int d = st->nreduce == 1 ? load_dim_along(s, st, k->a, st->naxes, &first) : -1;
    if (d < 0 || a->role != TENSOR_INPUT || k->a_tensor == k->b_tensor ||
        !layout_is_plain(&a->layout) || a->rank == MAX_RANK ||
        expr_arg(s->x, k->a, d) != st->axis[st->naxes].var ||
        !load_stride(s, k->a, st->axis[st->naxes].var, &stride) || stride == 1 ||
        axis_extent(s, st, st->naxes, 0) * CACHE_LINE < c->target->l1 / 3 ||
        width < PANELS_TO_PACK * tile.vectors * lanes) {
        return false;
    }
    const ScheduleStep step = {.kind = SCHED_CACHE_READ,
                               .a = a->name,
                               .b = choice_name(c, k->stage),
                               .c = arena_printf(c->ctx->arena, "%s.blocks", a->name)};
    const int copy = stages_cache_read(s, k->a_tensor, k->stage, step.c);
    if (copy < 0) {
        return false;
    }
    vec_push(c->ctx->arena, &c->sc->step, step);
    const int v = k->vector_axis;
    contraction_of(s, copy + 1, k);
    if (k->vector_axis != v) {
        *k = contraction_swap(s, k, v);
    }
    Layout l = {0};
    for (int i = 0; i < s->tensor.at[k->a_tensor].rank; i++) {
        l.dim[l.n++] = (LayoutDim){.axis = (int8_t)i};
    }
    l.dim[l.n++] = (LayoutDim){.axis = (int8_t)d, .block = lanes};
    StageSchedule *as = choice_entry(c, copy);
    as->has_layout = true;
    as->layout = s->tensor.at[k->a_tensor].layout = l;
    return true;
}

bool contraction_panels(Choice *c, Contraction *k, ProductTile tile, SumBlocks blocks)
{
    return contraction_lay_out(c, k, tile, blocks) || pack_b(c, k, tile, blocks);
}
