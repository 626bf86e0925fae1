/* stages_split: an axis of a MAP becomes two; the inverse of stages_fuse for what is computed point
 * by point.
 *
 *     y[n, k, o] = acc[n, k, o/2, o%2]     with o split by 2:  y[n, k, o, oi] = acc[n, k, o, oi]
 *
 * The array keeps its memory: a dim of E elements is read as E/2 rows of 2. So it is legal where
 * the inner extent divides the dim, and takes its blocks and the part's place in the whole
 * whole. Who reads the result divides its index. */
#include <string.h>

#include "loop/stage.h"

typedef struct Split {
    Stages *s;
    const Stage *st;
    int axis;
    int64_t inner;
} Split;

static bool splits_tensor(const Split *j, const StageTensor *t)
{
    Exprs *x = j->s->x;
    const int d = j->axis;
    if (t->rank + 1 > MAX_RANK || !expr_proves_multiple(x, t->dim[d], j->inner)) {
        return false;
    }
    if (t->part.is_part && (!expr_proves_multiple(x, t->part.whole[d], j->inner) ||
                            !expr_proves_multiple(x, t->part.at[d], j->inner))) {
        return false;
    }
    return layout_is_plain(&t->layout) ||
           (t->layout.n + 1 <= MAX_LAYOUT_DIMS && j->inner % layout_block(&t->layout, d) == 0);
}

static Layout split_layout(const Layout *old, int d)
{
    Layout l = {0};
    for (int k = 0; k < old->n; k++) {
        LayoutDim dim = old->dim[k];
        const bool outer = dim.axis == d && dim.block == 0;
        dim.axis =
            (int8_t)(dim.axis > d || (dim.axis == d && dim.block > 0) ? dim.axis + 1 : dim.axis);
        l.dim[l.n++] = dim;
        if (outer) {
            l.dim[l.n++] = (LayoutDim){.axis = (int8_t)(d + 1)};
        }
    }
    return l;
}

/* list[d] becomes list[d] / inner and `second`. */
static void split_dim(Exprs *x, Expr *list, int rank, int d, int64_t inner, Expr second)
{
    memmove(&list[d + 2], &list[d + 1], sizeof(Expr) * (size_t)(rank - d - 1));
    list[d] = expr_divi(x, list[d], inner);
    list[d + 1] = second;
}

static void split_tensor(const Split *j, StageTensor *t)
{
    Exprs *x = j->s->x;
    const Expr inner = expr_int(x, j->inner);
    split_dim(x, t->dim, t->rank, j->axis, j->inner, inner);
    if (t->part.is_part) {
        split_dim(x, t->part.whole, t->rank, j->axis, j->inner, inner);
        split_dim(x, t->part.at, t->rank, j->axis, j->inner, expr_int(x, 0));
    }
    t->rank++;
    t->layout = split_layout(&t->layout, j->axis);
}

static bool is_result(const Stage *st, int tensor)
{
    for (int k = 0; k < st->nresults; k++) {
        if (st->result[k] == tensor) {
            return true;
        }
    }
    return false;
}

static Expr split_load(Exprs *x, Expr e, void *arg)
{
    const Split *j = arg;
    const ExprNode n = *expr_node(x, e);
    if (n.op != EX_LOAD || !is_result(j->st, (int)n.imm.i)) {
        return 0;
    }
    Expr index[MAX_RANK];
    for (int k = 0, to = 0; k < n.nargs; k++) {
        const Expr i = expr_rewrite(x, expr_arg(x, e, k), split_load, arg);
        index[to++] = k == j->axis ? expr_divi(x, i, j->inner) : i;
        if (k == j->axis) {
            index[to++] = expr_modi(x, i, j->inner);
        }
    }
    return expr_load(x, (DType)n.dtype, (int)n.imm.i, n.nargs + 1, index);
}

static const char *inner_name(Arena *a, const Stage *st, const char *outer)
{
    const char *name = arena_printf(a, "%si", outer);
    for (int k = 0; k < st->naxes + st->nreduce; k++) {
        if (strcmp(st->axis[k].name, name) == 0) {
            name = arena_printf(a, "%si", name);
            k = -1;
        }
    }
    return name;
}

static Expr put_position(Exprs *x, Expr e, void *arg)
{
    const Expr *change = arg;
    (void)x;
    return e == change[0] ? change[1] : 0;
}

static void split_axis(const Split *j, Stage *st)
{
    Exprs *x = j->s->x;
    const int a = j->axis;
    const Axis old = st->axis[a];
    const char *name = inner_name(j->s->ctx->arena, st, old.name);
    const Expr extent[2] = {expr_divi(x, old.extent, j->inner), expr_int(x, j->inner)};
    memmove(&st->axis[a + 2], &st->axis[a + 1], sizeof(Axis) * (size_t)(st->naxes - a - 1));
    st->axis[a] =
        (Axis){.name = old.name, .extent = extent[0], .var = expr_loop_var(x, old.name, extent[0])};
    st->axis[a + 1] =
        (Axis){.name = name, .extent = extent[1], .var = expr_loop_var(x, name, extent[1])};
    st->naxes++;
    Expr change[2] = {old.var,
                      expr_add(x, expr_muli(x, st->axis[a].var, j->inner), st->axis[a + 1].var)};
    stage_rewrite(x, st, put_position, change);
}

bool stages_split(Stages *s, int stage, int axis, int64_t inner)
{
    const Stage old = s->stage.at[stage];
    const Split j = {.s = s, .st = &old, .axis = axis, .inner = inner};
    if (old.form != STAGE_MAP || axis < 0 || axis >= old.naxes || inner < 2 ||
        expr_node(s->x, old.axis[axis].var)->op != EX_VAR) {
        return false;
    }
    for (int k = 0; k < old.nresults; k++) {
        if (!splits_tensor(&j, &s->tensor.at[old.result[k]])) {
            return false;
        }
    }
    split_axis(&j, &s->stage.at[stage]);
    for (int i = 0; i < s->stage.len; i++) {
        stage_rewrite(s->x, &s->stage.at[i], split_load, (void *)&j);
    }
    for (int k = 0; k < old.nresults; k++) {
        split_tensor(&j, &s->tensor.at[old.result[k]]);
    }
    return true;
}
