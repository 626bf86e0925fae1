/* Which nodes only put boxes of elements elsewhere: read off their stages.
 *
 *     y[i, j] = x[i, j + 3]                                 y is the box of x that begins at [0, 3]
 *     y[i, j] = select(j < 8, a[i, j], b[i, j - 8])         a and b are the boxes at [0, 0] and [0, 8]
 *
 * A concat is proven, not recognised: with j = 8 + j', j' inside b, the value must become b[i,
 * j']. */
#include <string.h>

#include "loop/offset.h"
#include "pass/node_facts.h"

typedef struct ViewJob {
    Graph *g;
    NodeViews views;
    Stages *s;
    const int *in, *out;
    Expr *to_graph; /* by variable of the stages' pool */
} ViewJob;

/* The MAP behind result k, if it has no condition. */
static const Stage *map_of(const ViewJob *j, int k)
{
    const StageTensor *t = &j->s->tensor.at[j->out[k]];
    if (t->stage < 0) {
        return NULL;
    }
    const Stage *st = &j->s->stage.at[t->stage];
    return st->form == STAGE_MAP && st->nresults == 1 && !st->where ? st : NULL;
}

static bool is_load_of(const Exprs *x, Expr e, int tensor)
{
    return expr_node(x, e)->op == EX_LOAD && expr_node(x, e)->imm.i == tensor;
}

static bool uses_axis(const Exprs *x, const Stage *st, Expr e)
{
    for (int a = 0; a < st->naxes; a++) {
        const ExprNode *var = expr_node(x, st->axis[a].var);
        if (var->op == EX_VAR && expr_uses_var(x, e, (int)var->imm.i)) {
            return true;
        }
    }
    return false;
}

static const Expr *to_graph(ViewJob *j, const Expr *e, int n)
{
    Expr *at = arena_array_of(j->g->ctx->arena, MAX_RANK, Expr);
    for (int k = 0; k < n; k++) {
        at[k] = expr_import(j->g->x, j->s->x, e[k], j->to_graph);
    }
    return at;
}

/* Result k as a box of input 0: where it begins; NULL: it is none, or not provably inside. */
static const Expr *box_of_input(ViewJob *j, int k)
{
    Exprs *x = j->s->x;
    const Stage *st = map_of(j, k);
    if (!st || !is_load_of(x, st->update[0], j->in[0])) {
        return NULL;
    }
    const StageTensor *in = &j->s->tensor.at[j->in[0]];
    if (st->naxes != in->rank) {
        return NULL;
    }
    Expr at[MAX_RANK];
    for (int d = 0; d < in->rank; d++) {
        at[d] = expr_sub(x, expr_arg(x, st->update[0], d), st->axis[d].var);
        if (uses_axis(x, st, at[d]) || expr_node(x, at[d])->varies ||
            !expr_proves_le(x, expr_int(x, 0), at[d]) ||
            !expr_proves_le(x, expr_add(x, at[d], st->axis[d].extent), in->dim[d])) {
            return NULL;
        }
    }
    return to_graph(j, at, in->rank);
}

/* Position of an element in row-major order. */
static Expr row_major(Exprs *x, const StageTensor *t, const Expr *index)
{
    LoopBuffer b = {.rank = t->rank};
    memcpy(b.dim, t->dim, sizeof b.dim);
    return buffer_offset(x, &b, index);
}

static bool is_same(ViewJob *j)
{
    Exprs *x = j->s->x;
    const Stage *st = map_of(j, 0);
    if (!st || !is_load_of(x, st->update[0], j->in[0])) {
        return false;
    }
    Expr own[MAX_AXES], read[MAX_RANK];
    const StageTensor *in = &j->s->tensor.at[j->in[0]];
    for (int d = 0; d < st->naxes; d++) {
        own[d] = st->axis[d].var;
    }
    for (int d = 0; d < in->rank; d++) {
        read[d] = expr_arg(x, st->update[0], d);
    }
    const StageTensor *out = &j->s->tensor.at[j->out[0]];
    return layout_elements_expr(x, &(Layout){0}, out->rank, out->dim) ==
               layout_elements_expr(x, &(Layout){0}, in->rank, in->dim) &&
           row_major(x, out, own) == row_major(x, in, read);
}

/* Are the results all boxes of the first input? */
static bool find_slices(ViewJob *j, const Node *n)
{
    const Expr **at = arena_array_of(j->g->ctx->arena, n->nout, const Expr *);
    for (int k = 0; k < n->nout; k++) {
        at[k] = n->out[k] < 0 ? NULL : box_of_input(j, k);
        if (!at[k]) {
            return false;
        }
    }
    j->views.at = at;
    return true;
}

/* The axis along which the inputs make up the result; -1: there is none. */
static int concat_axis(const ViewJob *j, const Node *n)
{
    Exprs *x = j->s->x;
    const StageTensor *out = &j->s->tensor.at[j->out[0]];
    int axis = -1;
    for (int k = 0; k < n->nin; k++) {
        const StageTensor *in = j->in[k] < 0 ? NULL : &j->s->tensor.at[j->in[k]];
        if (!in || in->rank != out->rank || in->dtype != out->dtype) {
            return -1;
        }
        for (int d = 0; d < in->rank; d++) {
            if (in->dim[d] != out->dim[d]) {
                if (axis >= 0 && axis != d) {
                    return -1;
                }
                axis = d;
            }
        }
    }
    Expr sum = expr_int(x, 0);
    for (int k = 0; k < n->nin && axis >= 0; k++) {
        sum = expr_add(x, sum, j->s->tensor.at[j->in[k]].dim[axis]);
    }
    return axis >= 0 && sum == out->dim[axis] ? axis : -1;
}

static bool find_concat(ViewJob *j, const Node *n)
{
    Exprs *x = j->s->x;
    const Stage *st = n->nout == 1 && n->nin > 1 ? map_of(j, 0) : NULL;
    const int axis = st ? concat_axis(j, n) : -1;
    if (axis < 0 || st->naxes != j->s->tensor.at[j->out[0]].rank) {
        return false;
    }
    const Expr **all = arena_array_of(j->g->ctx->arena, n->nin, const Expr *);
    Expr begin = expr_int(x, 0);
    for (int k = 0; k < n->nin; k++) {
        const Expr size = j->s->tensor.at[j->in[k]].dim[axis];
        const bool is_one = size == expr_int(x, 1); /* definitions read such a dim at 0 */
        const Expr inside = is_one ? expr_int(x, 0) : expr_loop_var(x, "i", size);
        const Expr there = expr_add(x, begin, inside);
        const Expr value = expr_subst(x, st->update[0], 1, &st->axis[axis].var, &there);
        if (!is_load_of(x, value, j->in[k])) {
            return false;
        }
        Expr at[MAX_RANK];
        for (int d = 0; d < st->naxes; d++) {
            at[d] = d == axis ? begin : expr_int(x, 0);
            if (expr_arg(x, value, d) != (d == axis ? inside : st->axis[d].var)) {
                return false;
            }
        }
        all[k] = to_graph(j, at, st->naxes);
        begin = expr_add(x, begin, size);
    }
    j->views.at = all;
    return true;
}

static void find_views(Context *ctx, const NodeStages *stages, void *arg)
{
    ViewJob *j = arg;
    const Node *n = stages->node;
    j->s = stages->s;
    j->in = stages->in;
    j->out = stages->out;
    j->to_graph = arena_array_of(ctx->arena, j->s->x->var.len + 1, Expr);
    if (n->nin < 1 || n->in[0] < 0 || n->nout < 1 || n->out[0] < 0 ||
        j->g->value.at[n->in[0]].dtype != j->g->value.at[n->out[0]].dtype) {
        return;
    }
    if (n->nout == 1 && is_same(j)) {
        j->views.kind = VIEW_SAME;
    } else if (find_slices(j, n)) {
        j->views.kind = VIEW_SLICES;
    } else if (find_concat(j, n)) {
        j->views.kind = VIEW_CONCAT;
    }
}

NodeViews node_views(Graph *g, NodeId n)
{
    ViewJob j = {.g = g};
    return node_with_stages(g, n, find_views, &j) ? j.views : (NodeViews){.kind = VIEW_NONE};
}
