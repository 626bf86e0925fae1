/* What a node is to fusion, and its stages. See node_facts.h. */
#include "pass/node_facts.h"

#include "loop/access.h"
#include "op/op.h"

typedef struct ReadWalk {
    const Stages *s;
    const Stage *st;
    bool pointwise;
    bool channels; /* every image is read at [i0, i1, ...] */
    bool pixels;   /* every image is read at [i0, .., i2, i3] */
} ReadWalk;

static void visit(const Exprs *x, Expr e, void *arg)
{
    ReadWalk *w = arg;
    const ExprNode *n = expr_node(x, e);
    if (n->op != EX_LOAD) {
        return;
    }
    const int shift = w->st->naxes - n->nargs; /* broadcasting aligns the last axes */
    for (int k = 0; k < n->nargs; k++) {
        const Expr index = expr_arg(x, e, k);
        const bool own = is_axis(x, w->st, shift + k, index);
        const bool fixed = expr_is_int(x, index, NULL);
        w->pointwise &= own || fixed;
    }
    const StageTensor *t = &w->s->tensor.at[n->imm.i];
    if (t->rank == 4 && t->role != TENSOR_CONST) {
        const bool image = w->st->naxes == 4 && is_axis(x, w->st, 0, expr_arg(x, e, 0));
        w->channels &= image && is_axis(x, w->st, 1, expr_arg(x, e, 1));
        w->pixels &= image && is_axis(x, w->st, 2, expr_arg(x, e, 2)) &&
                     is_axis(x, w->st, 3, expr_arg(x, e, 3));
    }
}

static Expr hide_load(Exprs *x, Expr e, void *arg)
{
    (void)arg;
    return expr_node(x, e)->op == EX_LOAD ? expr_value_var(x, "loaded", expr_type(x, e)) : 0;
}

/* Does the value depend on the point other than by what is loaded there? */
static bool uses_place(Exprs *x, const Stage *st)
{
    const Expr e = expr_rewrite(x, st->update[0], hide_load, NULL);
    for (int a = 0; a < st->naxes; a++) {
        const ExprNode *var = expr_node(x, st->axis[a].var);
        if (var->op == EX_VAR && expr_uses_var(x, e, (int)var->imm.i)) {
            return true;
        }
    }
    return false;
}

/* (n, k, rows..) or, in groups, (n, g, k, rows..) */
static bool makes_channels(const Stage *st, const Contraction *c)
{
    const uint32_t shared = c->in_a & c->in_b;
    return st->naxes >= 4 &&
           (c->vector_axis == 1 || (c->vector_axis == 2 && st->naxes > 4 && shared >> 1 & 1));
}

bool node_has_stages(const Graph *g, NodeId n)
{
    const OpCode op = g->node.at[n].op;
    return op_rows[op].class == 'S' && op_has_define(op);
}

typedef struct StagesJob {
    const Graph *g;
    NodeId node;
    NodeStagesFn fn;
    void *arg;
} StagesJob;

static void stages_job(Context *ctx, void *arg)
{
    const StagesJob *j = arg;
    Graph view = *j->g;
    view.ctx = ctx;
    const Node *n = &view.node.at[j->node];
    Exprs *x = exprs_new(ctx);
    Expr *map = arena_array_of(ctx->arena, view.x->var.len + 1, Expr);
    const NodeStages out = {.node = n,
                            .s = stages_new(ctx, x),
                            .in = arena_array_of(ctx->arena, n->nin + 1, int),
                            .out = arena_array_of(ctx->arena, n->nout + 1, int)};
    for (int k = 0; k < n->nin; k++) {
        out.in[k] = -1;
        if (n->in[k] >= 0) {
            const Value *v = &view.value.at[n->in[k]];
            Expr dims[MAX_RANK];
            for (int d = 0; d < v->rank; d++) {
                dims[d] = expr_import(x, view.x, v->dim[d], map);
            }
            out.in[k] = stages_tensor(out.s, "x", v->constant ? TENSOR_CONST : TENSOR_INPUT,
                                      v->dtype, v->rank, dims);
        }
    }
    op_define(ctx, &view, j->node, out.s, map, out.in, out.out);
    j->fn(ctx, &out, j->arg);
}

bool node_with_stages(const Graph *g, NodeId n, NodeStagesFn fn, void *arg)
{
    if (!node_has_stages(g, n)) {
        return false;
    }
    StagesJob j = {.g = g, .node = n, .fn = fn, .arg = arg};
    Arena *scratch = arena_child(g->ctx->arena);
    Error e;
    const bool made = job_run(scratch, stages_job, &j, &e, NULL) == 0;
    arena_free(scratch);
    return made;
}

/* Where a size matters for an estimate only. */
static double typical(const Exprs *x, Expr e)
{
    int64_t n;
    if (expr_is_int(x, e, &n)) {
        return (double)n;
    }
    const int64_t low = expr_low(x, e), high = expr_high(x, e);
    return (double)(low > 64 ? low : high < 64 ? high : 64);
}

static double stage_points(const Stages *s, const Stage *st)
{
    double points = 1;
    for (int a = 0; a < st->naxes + st->nreduce; a++) {
        points *= typical(s->x, st->axis[a].extent);
    }
    return points;
}

static void find_kind(Context *ctx, const NodeStages *n, void *arg)
{
    (void)ctx;
    const Stages *s = n->s;
    Exprs *x = s->x;
    NodeFacts *f = arg;
    f->kind = NODE_POINTWISE;
    f->is_uniform = true;
    f->keeps_channels = true;
    for (int i = 0; i < s->stage.len; i++) {
        const Stage *st = &s->stage.at[i];
        Contraction c;
        ReadWalk w = {.s = s, .st = st, .pointwise = !st->where, .channels = true, .pixels = true};
        expr_walk(x, st->update[0], visit, &w);
        NodeKind kind = NODE_OTHER;
        if (st->form == STAGE_MAP) {
            kind = w.pointwise ? NODE_POINTWISE : NODE_MOVE;
        } else if (st->form == STAGE_REDUCE) {
            const bool product = contraction_of(s, i, &c) && c.vector_axis >= 0;
            kind = product ? NODE_CONTRACTION : NODE_REDUCE;
            f->makes_channels |= product && makes_channels(st, &c);
            f->keeps_pixels |= product && w.pixels;
        }
        if (kind == NODE_OTHER) {
            *f = (NodeFacts){.kind = NODE_OTHER, .work = f->work};
            return;
        }
        f->kind = kind > f->kind ? kind : f->kind;
        f->keeps_channels &= w.channels;
        f->is_uniform &= !st->where && !uses_place(x, st);
        f->cost += point_cost(s, st);
        f->work += stage_points(s, st) * (kind == NODE_CONTRACTION ? 1 : point_cost(s, st));
    }
}

NodeFacts node_facts(const Graph *g, NodeId n)
{
    NodeFacts f = {.kind = NODE_OTHER};
    return node_with_stages(g, n, find_kind, &f) ? f : (NodeFacts){.kind = NODE_OTHER};
}

bool *read_by_routines(const Graph *g)
{
    bool *found = arena_array_of(g->ctx->arena, g->value.len + 1, bool);
    for (int b = 0; b < g->block.len; b++) {
        for (int i = 0; i < g->block.at[b].node.len; i++) {
            const Node *n = &g->node.at[g->block.at[b].node.at[i]];
            for (int k = 0; k < n->nin && op_rows[n->op].class != 'S'; k++) {
                if (n->in[k] >= 0) {
                    found[n->in[k]] = true;
                }
            }
        }
    }
    return found;
}
