/* stages_fuse: two neighbouring axes become one.
 *
 *     y[n, k, h, w] = max(0, acc[n, k, h, w])     with h and w fused:  y[n, k, hw] = max(0, acc[n, k, hw])
 *
 * The arrays keep their memory: two dims that lie next to each other are read as one. So it is
 * legal where every load that uses one of the axes uses both, at neighbouring positions, and
 * nothing else uses them; what one stage fuses, the stages that share a tensor with it must fuse
 * too. The marks spread until nothing changes, then all is rewritten at once. */
#include <string.h>

#include "loop/access.h"
#include "loop/stage.h"

typedef struct Fuse {
    Stages *s;
    int *dim;   /* by tensor: its dims [d] and [d + 1] become one; -1 */
    int *axis;  /* by stage: likewise */
    bool legal, changed;
    int at;     /* the stage looked at */
    Expr fused; /* its new variable */
} Fuse;

static void mark(Fuse *f, int *slot, int value)
{
    f->legal &= *slot < 0 || *slot == value;
    f->changed |= *slot < 0;
    *slot = value;
}

/* The axis whose variable e is, if the next axis is of the same kind and has variable `next`;
 * -1. */
static int pair_of(const Stage *st, Expr e, Expr next)
{
    for (int a = 0; a + 1 < st->naxes + st->nreduce; a++)
        if (st->axis[a].var == e && st->axis[a + 1].var == next && a + 1 != st->naxes)
            return a;
    return -1;
}

static void visit_load(const Exprs *x, Expr e, void *arg)
{
    Fuse *f = arg;
    const ExprNode *n = expr_node(x, e);
    if (n->op != EX_LOAD)
        return;
    const Stage *st = &f->s->stage.at[f->at];
    int *axis = &f->axis[f->at], *dim = &f->dim[n->imm.i];
    for (int k = 0; k + 1 < n->nargs; k++) {
        const int pair = pair_of(st, expr_arg(x, e, k), expr_arg(x, e, k + 1));
        if (k == *dim) {
            if (pair < 0)
                f->legal = false;
            else
                mark(f, axis, pair);
        } else if (pair >= 0 && pair == *axis) {
            mark(f, dim, k);
        }
    }
}

static void spread(Fuse *f)
{
    const Stages *s = f->s;
    for (f->changed = true; f->changed && f->legal;) {
        f->changed = false;
        for (int i = 0; i < s->stage.len && f->legal; i++) {
            const Stage *st = &s->stage.at[i];
            f->at = i;
            stage_walk(s, st, visit_load, f);
            for (int k = 0; k < st->nresults && f->legal; k++) {
                int *dim = &f->dim[st->result[k]];
                if (f->axis[i] >= 0 && f->axis[i] < st->naxes)
                    mark(f, dim, f->axis[i]);
                if (*dim >= 0)
                    mark(f, &f->axis[i], *dim);
            }
        }
    }
}

/* Do dims d and d + 1 of the tensor lie next to each other, whole? */
static bool lies_together(const Stages *s, const StageTensor *t, int d)
{
    if (t->role == TENSOR_CONST) /* may be laid out anew, by its own axes */
        return false;
    if (t->part.is_part &&
        (t->part.whole[d + 1] != t->dim[d + 1] || t->part.at[d + 1] != expr_int(s->x, 0)))
        return false;
    if (layout_is_plain(&t->layout))
        return true;
    if (layout_block(&t->layout, d) != 1 || layout_block(&t->layout, d + 1) != 1)
        return false;
    for (int k = 0; k + 1 < t->layout.n; k++)
        if (t->layout.dim[k].axis == d)
            return t->layout.dim[k + 1].axis == d + 1;
    return false;
}

/* The inner extent must be the inner dim of every array: it is the outer dim's stride. */
static bool covers_inner(const Fuse *f)
{
    const Stages *s = f->s;
    Expr inner = 0;
    for (int i = 0; i < s->stage.len; i++) {
        if (f->axis[i] < 0)
            continue;
        const Expr e = s->stage.at[i].axis[f->axis[i] + 1].extent;
        if (inner && e != inner)
            return false;
        inner = e;
    }
    for (int t = 0; t < s->tensor.len; t++)
        if (f->dim[t] >= 0 && (s->tensor.at[t].dim[f->dim[t] + 1] != inner ||
                               !lies_together(s, &s->tensor.at[t], f->dim[t])))
            return false;
    return true;
}

static Expr fuse_load(Exprs *x, Expr e, void *arg)
{
    const Fuse *f = arg;
    const ExprNode n = *expr_node(x, e);
    if (n.op != EX_LOAD)
        return 0;
    const int d = f->dim[n.imm.i];
    Expr index[MAX_RANK];
    int rank = 0;
    for (int k = 0; k < n.nargs; k++) {
        if (d >= 0 && k == d + 1)
            continue;
        index[rank++] = k == d ? f->fused : expr_rewrite(x, expr_arg(x, e, k), fuse_load, arg);
    }
    return expr_load(x, (DType)n.dtype, (int)n.imm.i, rank, index);
}

typedef struct OldAxes {
    Expr var[2];
    bool found;
} OldAxes;

static void visit_old(const Exprs *x, Expr e, void *arg)
{
    OldAxes *old = arg;
    old->found |= expr_node(x, e)->op == EX_VAR && (e == old->var[0] || e == old->var[1]);
}

static bool has_axis(const Stage *st, const char *name)
{
    for (int k = 0; k < st->naxes + st->nreduce; k++)
        if (strcmp(st->axis[k].name, name) == 0)
            return true;
    return false;
}

/* False: an axis is used on its own. */
static bool fuse_stage(Fuse *f, Stage *st)
{
    Exprs *x = f->s->x;
    const int a = f->axis[f->at];
    Axis old[2] = {{0}};
    if (a >= 0) {
        old[0] = st->axis[a];
        old[1] = st->axis[a + 1];
        const char *name = arena_printf(f->s->ctx->arena, "%s%s", old[0].name, old[1].name);
        if (has_axis(st, name))
            return false;
        const Expr extent = expr_mul(x, old[0].extent, old[1].extent);
        f->fused = expr_loop_var(x, name, extent);
        st->axis[a] = (Axis){.name = name, .extent = extent, .var = f->fused};
        for (int k = a + 1; k + 1 < st->naxes + st->nreduce; k++)
            st->axis[k] = st->axis[k + 1];
        *(a < st->naxes ? &st->naxes : &st->nreduce) -= 1;
    }
    stage_rewrite(x, st, fuse_load, f);
    OldAxes used = {.var = {old[0].var, old[1].var}};
    if (a >= 0)
        stage_walk(f->s, st, visit_old, &used);
    return !used.found;
}

static void fuse_tensor(Stages *s, StageTensor *t, int d)
{
    t->dim[d] = expr_mul(s->x, t->dim[d], t->dim[d + 1]);
    if (t->part.is_part) {
        t->part.whole[d] = expr_mul(s->x, t->part.whole[d], t->part.whole[d + 1]);
        t->part.at[d] = expr_mul(s->x, t->part.at[d], t->part.whole[d + 1]);
    }
    t->rank--;
    for (int k = d + 1; k < t->rank; k++) {
        t->dim[k] = t->dim[k + 1];
        t->part.whole[k] = t->part.whole[k + 1];
        t->part.at[k] = t->part.at[k + 1];
    }
    Layout l = {0};
    for (int k = 0; k < t->layout.n; k++) {
        LayoutDim dim = t->layout.dim[k];
        if (dim.axis == d + 1)
            continue;
        dim.axis = (int8_t)(dim.axis > d ? dim.axis - 1 : dim.axis);
        l.dim[l.n++] = dim;
    }
    t->layout = l;
}

bool stages_fuse(Stages *s, int stage, int axis)
{
    Arena *a = s->ctx->arena;
    Fuse f = {.s = s, .legal = true, .dim = arena_array_of(a, s->tensor.len + 1, int),
              .axis = arena_array_of(a, s->stage.len + 1, int)};
    const Stage *first = &s->stage.at[stage];
    if (axis < 0 || axis + 1 >= first->naxes + first->nreduce || axis + 1 == first->naxes ||
        expr_node(s->x, first->axis[axis].var)->op != EX_VAR ||
        expr_node(s->x, first->axis[axis + 1].var)->op != EX_VAR)
        return false; /* an axis of extent 1 has no variable */
    for (int t = 0; t < s->tensor.len; t++)
        f.dim[t] = -1;
    for (int i = 0; i < s->stage.len; i++)
        f.axis[i] = -1;
    f.axis[stage] = axis;
    spread(&f);
    if (!f.legal || !covers_inner(&f))
        return false;
    Stage *done = arena_array_of(a, s->stage.len + 1, Stage);
    for (int i = 0; i < s->stage.len; i++) {
        done[i] = s->stage.at[i];
        f.at = i;
        const bool plain = done[i].form == STAGE_MAP || done[i].form == STAGE_REDUCE;
        if ((f.axis[i] >= 0 && !plain) || (plain && !fuse_stage(&f, &done[i])))
            return false;
    }
    for (int i = 0; i < s->stage.len; i++)
        s->stage.at[i] = done[i];
    for (int t = 0; t < s->tensor.len; t++)
        if (f.dim[t] >= 0)
            fuse_tensor(s, &s->tensor.at[t], f.dim[t]);
    return true;
}

/* ---- of what is read apart ---- */

bool stages_join(Stages *s, int stage, int axis)
{
    Exprs *x = s->x;
    Stage *st = &s->stage.at[stage];
    int64_t inner;
    if (st->form != STAGE_MAP || st->nresults != 1 || axis < 0 || axis + 1 >= st->naxes ||
        !expr_is_int(x, st->axis[axis + 1].extent, &inner) || inner < 2 ||
        expr_node(x, st->axis[axis].var)->op != EX_VAR ||
        s->tensor.at[st->result[0]].dim[axis + 1] != st->axis[axis + 1].extent ||
        !lies_together(s, &s->tensor.at[st->result[0]], axis)) {
        return false;
    }
    for (int i = 0; i < s->stage.len; i++)
        if (stage_loads(s, &s->stage.at[i], st->result[0]))
            return false;
    const Expr extent = expr_muli(x, st->axis[axis].extent, inner);
    const char *name =
        arena_printf(s->ctx->arena, "%s%s", st->axis[axis].name, st->axis[axis + 1].name);
    if (has_axis(st, name))
        return false;
    const Expr both = expr_loop_var(x, name, extent),
               old[2] = {st->axis[axis].var, st->axis[axis + 1].var};
    const Expr apart[2] = {expr_divi(x, both, inner), expr_modi(x, both, inner)};
    st->update[0] = expr_subst(x, st->update[0], 2, old, apart);
    st->where = st->where ? expr_subst(x, st->where, 2, old, apart) : 0;
    st->axis[axis] = (Axis){.name = name, .extent = extent, .var = both};
    for (int k = axis + 1; k + 1 < st->naxes; k++)
        st->axis[k] = st->axis[k + 1];
    st->naxes--;
    fuse_tensor(s, &s->tensor.at[st->result[0]], axis);
    return true;
}
