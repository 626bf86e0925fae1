/* Units: groups of nodes, their stages, what of them is needed, and the text by which equal ones
 * are known.
 *
 * Names in a unit's stages are by position (x0, y0, n0), not the model's, so that two equal layers
 * give one text. */
#include "compile/work.h"

#include <string.h>

#include "base/file.h"
#include "base/parallel.h"
#include "op/op.h"

/* ---- making ---- */

static void add_unit_node(Work *w, Unit *u, NodeId n)
{
    NodeId *node = arena_array_of(w->ctx->arena, u->nnode + 1, NodeId);
    if (u->nnode > 0)
        memcpy(node, u->node, sizeof *node * (size_t)u->nnode);
    node[u->nnode++] = n;
    u->node = node;
}

/* Values read from outside and values read elsewhere, each once, in order of first use. */
static void unit_ports(Work *w, Unit *u, const int *uses)
{
    Arena *a = w->ctx->arena;
    IntMap inside = intmap_new(a), seen = intmap_new(a);
    VEC(ValueId) in = {0}, out = {0};
    for (int i = 0; i < u->nnode; i++) {
        const Node *n = &w->g->node.at[u->node[i]];
        for (int k = 0; k < n->nin; k++) {
            const ValueId v = n->in[k];
            if (v < 0)
                continue;
            const int here = intmap_get(&inside, (uint64_t)v, -1);
            if (here >= 0) {
                intmap_put(&inside, (uint64_t)v, here + 1);
            } else if (intmap_put(&seen, (uint64_t)v, 1)) {
                vec_push(a, &in, v);
            }
        }
        for (int k = 0; k < n->nout; k++)
            if (n->out[k] >= 0)
                intmap_put(&inside, (uint64_t)n->out[k], 0);
    }
    for (int i = 0; i < u->nnode; i++) {
        const Node *n = &w->g->node.at[u->node[i]];
        for (int k = 0; k < n->nout; k++) {
            const ValueId v = n->out[k];
            if (v >= 0 && uses[v] > intmap_get(&inside, (uint64_t)v, 0))
                vec_push(a, &out, v);
        }
    }
    u->in = in.at;
    u->nin = in.len;
    u->out = out.at;
    u->nout = out.len;
    u->in_used = arena_array_of(a, u->nin + 1, bool);
    u->out_used = arena_array_of(a, u->nout + 1, bool);
}

void units_make(Work *w)
{
    Graph *g = w->g;
    w->unit_of = arena_array_of(w->ctx->arena, g->node.len + 1, int);
    IntMap groups = intmap_new(w->ctx->arena);
    for (int i = 0; i < g->node.len; i++)
        w->unit_of[i] = -1;
    for (int b = 0; b < g->block.len; b++) {
        for (int k = 0; k < g->block.at[b].node.len; k++) {
            const NodeId id = g->block.at[b].node.at[k];
            const Node *n = &g->node.at[id];
            int unit = n->group >= 0 ? intmap_get(&groups, (uint64_t)n->group, -1) : -1;
            if (unit < 0) {
                unit = w->unit.len;
                const Unit fresh = {.class = node_is_view(g, id) ? 'V' : op_rows[n->op].class,
                                    .job = -1};
                vec_push(w->ctx->arena, &w->unit, fresh);
                if (n->group >= 0)
                    intmap_put(&groups, (uint64_t)n->group, unit);
            }
            w->unit_of[id] = unit;
            add_unit_node(w, &w->unit.at[unit], id);
        }
    }
    const int *uses = graph_count_uses(g);
    for (int i = 0; i < w->unit.len; i++)
        unit_ports(w, &w->unit.at[i], uses);
}

/* ---- defining ---- */

typedef struct DefineJob {
    const Graph *g;
    Unit *u;
    Exprs *x;
    Stages *s;
    Expr *var_map;
} DefineJob;

/* Gives the symbols in e names by position. */
static void map_symbols(const Exprs *from, Expr e, void *arg)
{
    DefineJob *j = arg;
    const ExprNode *n = expr_node(from, e);
    if (n->op != EX_VAR || j->var_map[n->imm.i])
        return;
    const ExprVar *v = &from->var.at[n->imm.i];
    const UnitSym sym = {arena_printf(j->s->ctx->arena, "n%d", j->u->sym.len), (int)n->imm.i};
    j->var_map[n->imm.i] = expr_sym(j->x, sym.name, v->low, v->high, v->multiple);
    vec_push(j->s->ctx->arena, &j->u->sym, sym);
}

static void map_value_symbols(DefineJob *j, ValueId id)
{
    const Value *v = &j->g->value.at[id];
    for (int k = 0; k < v->rank; k++)
        expr_walk_shared(j->x, j->g->x, v->dim[k], map_symbols, j);
    for (int k = 0; v->elems && k < v->nelems; k++)
        expr_walk_shared(j->x, j->g->x, v->elems[k], map_symbols, j);
    for (; v->within >= 0 && v->at; v = &j->g->value.at[v->within]) {
        const Value *whole = &j->g->value.at[v->within];
        for (int k = 0; k < v->rank; k++) {
            expr_walk_shared(j->x, j->g->x, v->at[k], map_symbols, j);
            expr_walk_shared(j->x, j->g->x, whole->dim[k], map_symbols, j);
        }
    }
}

/* Where the value lies in the largest array that holds it. */
static Part value_part(DefineJob *j, ValueId id)
{
    Part p = {0};
    const Value *v = &j->g->value.at[id];
    for (int k = 0; k < v->rank; k++)
        p.at[k] = expr_int(j->x, 0);
    for (; v->within >= 0 && v->at; v = &j->g->value.at[v->within]) {
        p.is_part = true;
        for (int k = 0; k < v->rank; k++)
            p.at[k] = expr_add(j->x, p.at[k], expr_import(j->x, j->g->x, v->at[k], j->var_map));
    }
    for (int k = 0; k < v->rank; k++)
        p.whole[k] = expr_import(j->x, j->g->x, v->dim[k], j->var_map);
    return p;
}

static int value_tensor(DefineJob *j, ValueId id, const char *name)
{
    const Value *v = &j->g->value.at[id];
    Expr dim[MAX_RANK];
    for (int k = 0; k < v->rank; k++)
        dim[k] = expr_import(j->x, j->g->x, v->dim[k], j->var_map);
    const int t = stages_tensor(j->s, name, v->constant ? TENSOR_CONST : TENSOR_INPUT, v->dtype,
                                v->rank, dim);
    j->s->tensor.at[t].layout = v->layout;
    j->s->tensor.at[t].part = value_part(j, id);
    return t;
}

/* A value whose elements are expressions of the symbols: one MAP that writes them. */
static int define_elements(DefineJob *j, ValueId id)
{
    const Value *v = &j->g->value.at[id];
    Exprs *x = j->x;
    Expr dim[MAX_RANK];
    for (int k = 0; k < v->rank; k++)
        dim[k] = expr_import(x, j->g->x, v->dim[k], j->var_map);
    const StageBuild b = stage_begin(j->s, v->rank, dim);
    Expr flat = expr_int(x, 0);
    for (int k = 0; k < v->rank; k++)
        flat = expr_add(x, expr_mul(x, flat, dim[k]), b.i[k]);
    Expr value = expr_const(x, dtype_compute(v->dtype), 0);
    for (int k = v->nelems - 1; k >= 0; k--) {
        const Expr e = expr_import(x, j->g->x, v->elems[k], j->var_map);
        value = k == v->nelems - 1 ? e : expr_select(x, expr_eq(x, flat, expr_int(x, k)), e, value);
    }
    return stage_map(j->s, &b, "elements", v->dtype, value);
}

static bool elements_known(const Graph *g, const Node *n)
{
    for (int k = 0; k < n->nout; k++)
        if (n->out[k] >= 0 && !g->value.at[n->out[k]].elems)
            return false;
    return true;
}

static void define_node(DefineJob *j, NodeId id, IntMap *tensor)
{
    Context *ctx = j->s->ctx;
    const Node *n = &j->g->node.at[id];
    int *in = arena_array_of(ctx->arena, n->nin + 1, int),
        *out = arena_array_of(ctx->arena, n->nout + 1, int);
    for (int k = 0; k < n->nin; k++)
        in[k] = n->in[k] < 0 ? -1 : intmap_get(tensor, (uint64_t)n->in[k], -1);
    if (elements_known(j->g, n)) {
        for (int k = 0; k < n->nout; k++)
            out[k] = n->out[k] < 0 ? -1 : define_elements(j, n->out[k]);
    } else {
        op_define_variant(ctx, j->g, id, j->s, j->var_map, in, out);
    }
    for (int k = 0; k < n->nout; k++)
        if (n->out[k] >= 0)
            intmap_put(tensor, (uint64_t)n->out[k], out[k]);
}

static void define_unit(Context *ctx, void *arg)
{
    DefineJob *j = arg;
    Unit *u = j->u;
    Graph view = *j->g;
    view.ctx = ctx; /* failures of this job stay in this job */
    j->g = &view;
    j->x = exprs_new(ctx);
    j->s = u->s = stages_new(ctx, j->x);
    j->var_map = arena_array_of(ctx->arena, view.x->var.len + 1, Expr);
    u->in_tensor = arena_array_of(ctx->arena, u->nin + 1, int);
    u->out_tensor = arena_array_of(ctx->arena, u->nout + 1, int);
    IntMap tensor = intmap_new(ctx->arena);
    for (int i = 0; i < u->nin; i++)
        map_value_symbols(j, u->in[i]);
    for (int i = 0; i < u->nnode; i++) {
        const Node *n = &view.node.at[u->node[i]];
        for (int k = 0; k < n->nout; k++)
            if (n->out[k] >= 0)
                map_value_symbols(j, n->out[k]);
    }
    for (int i = 0; i < u->nin; i++) {
        const char *name =
            arena_printf(ctx->arena, view.value.at[u->in[i]].constant ? "w%d" : "x%d", i);
        u->in_tensor[i] = value_tensor(j, u->in[i], name);
        intmap_put(&tensor, (uint64_t)u->in[i], u->in_tensor[i]);
    }
    for (int i = 0; i < u->nnode; i++)
        define_node(j, u->node[i], &tensor);
    for (int i = 0; i < u->nout; i++) {
        u->out_tensor[i] = intmap_get(&tensor, (uint64_t)u->out[i], -1);
        if (u->out_tensor[i] < 0)
            fail(ctx, ERR_INTERNAL, "%s: an output was not defined",
                 graph_describe_node(&view, u->node[0]));
        StageTensor *t = &u->s->tensor.at[u->out_tensor[i]];
        t->layout = view.value.at[u->out[i]].layout;
        t->part = value_part(j, u->out[i]);
    }
}

static void define_job(int i, void *arg)
{
    Work *w = arg;
    Unit *u = &w->unit.at[i];
    if (u->class != 'S')
        return;
    DefineJob j = {.g = w->g, .u = u};
    u->code = job_run(u->arena, define_unit, &j, &u->error, &u->detail);
}

/* ---- what is needed ---- */

static void mark_loads(const Exprs *x, Expr e, void *arg)
{
    const ExprNode *n = expr_node(x, e);
    if (n->op == EX_LOAD)
        ((bool *)arg)[n->imm.i] = true;
}

/* By tensor: do the outputs marked in u->out_used depend on it? Stages are visited until nothing
 * changes, as the stages of a SCAN may read later ones. */
static bool *needed_tensors(Arena *a, const Unit *u)
{
    const Stages *s = u->s;
    bool *need = arena_array_of(a, s->tensor.len + 1, bool);
    bool *visited = arena_array_of(a, s->stage.len + 1, bool);
    for (int i = 0; i < u->nout; i++)
        if (u->out_used[i])
            need[u->out_tensor[i]] = true;
    for (bool changed = true; changed;) {
        changed = false;
        for (int i = s->stage.len - 1; i >= 0; i--) {
            const Stage *st = &s->stage.at[i];
            bool wanted = false;
            for (int k = 0; k < st->nresults; k++)
                wanted |= need[st->result[k]];
            if (!wanted || visited[i])
                continue;
            visited[i] = changed = true;
            stage_walk(s, st, mark_loads, need);
            for (int k = 0; k < st->nresults; k++)
                need[st->result[k]] = true; /* a stage computes all of its results */
        }
    }
    return need;
}

static void mark_live(const Graph *g, bool *live, ValueId v)
{
    if (v >= 0 && !g->value.at[v].constant)
        live[v] = true;
}

static void live_block(Work *w, int block, bool *live);

static void live_unit(Work *w, Unit *u, bool *live)
{
    for (int i = 0; i < u->nout; i++) {
        u->out_used[i] = live[u->out[i]] && !w->g->value.at[u->out[i]].constant;
        u->live |= u->out_used[i];
    }
    if (!u->live)
        return;
    if (u->class == 'S') {
        u->s->ctx = u->s->x->ctx = w->ctx; /* the job that made the stages is over */
        const bool *need = needed_tensors(w->ctx->arena, u);
        for (int i = 0; i < u->nin; i++) {
            u->in_used[i] = need[u->in_tensor[i]];
            if (u->in_used[i])
                mark_live(w->g, live, u->in[i]);
        }
        for (int i = 0; i < u->sym.len; i++)
            mark_live(w->g, live, w->sym_owner[u->sym.at[i].var]);
        return;
    }
    for (int i = 0; i < u->nin; i++)
        mark_live(w->g, live, u->in[i]);
    const Node *n = &w->g->node.at[u->node[0]];
    for (int i = 0; i < n->nblock; i++)
        live_block(w, n->block[i], live);
}

static void live_block(Work *w, int block, bool *live)
{
    const Block *b = &w->g->block.at[block];
    for (int i = 0; i < b->output.len; i++)
        mark_live(w->g, live, b->output.at[i]);
    for (int i = b->node.len - 1; i >= 0; i--) {
        Unit *u = &w->unit.at[w->unit_of[b->node.at[i]]];
        if (u->node[u->nnode - 1] ==
            b->node.at[i]) /* at its last node: where its step will stand */
            live_unit(w, u, live);
    }
}

/* ---- pruning ---- */

static Expr renumber(Exprs *x, Expr e, void *arg)
{
    const int *map = arg;
    const ExprNode n = *expr_node(x, e);
    if (n.op != EX_LOAD)
        return 0;
    Expr index[MAX_RANK];
    for (int k = 0; k < n.nargs; k++)
        index[k] = expr_rewrite(x, expr_arg(x, e, k), renumber, arg);
    return expr_load(x, (DType)n.dtype, map[n.imm.i], n.nargs, index);
}

/* Drops tensors and stages that nothing needs; inputs first, then results in the order of
 * stages. */
static void prune_unit(Context *ctx, void *arg)
{
    Unit *u = arg;
    Stages *old = u->s;
    old->x->ctx = ctx; /* the context of the define job is gone */
    Stages *s = stages_new(ctx, old->x);
    const bool *need = needed_tensors(ctx->arena, u);
    int *map = arena_array_of(ctx->arena, old->tensor.len + 1, int);
    int *stage_map = arena_array_of(ctx->arena, old->stage.len + 1, int);
    int nstage = 0;
    for (int i = 0; i < old->stage.len; i++)
        stage_map[i] = need[old->stage.at[i].result[0]] ? nstage++ : -1;
    for (int t = 0; t < old->tensor.len; t++) {
        map[t] = -1;
        if (!need[t])
            continue;
        StageTensor tensor = old->tensor.at[t];
        if (tensor.stage >= 0)
            tensor.stage = stage_map[tensor.stage];
        map[t] = s->tensor.len;
        vec_push(ctx->arena, &s->tensor, tensor);
    }
    for (int i = 0; i < old->stage.len; i++) {
        Stage st = old->stage.at[i];
        if (stage_map[i] < 0)
            continue;
        for (int k = 0; k < st.nresults; k++)
            st.result[k] = map[st.result[k]];
        stage_rewrite(s->x, &st, renumber, map);
        vec_push(ctx->arena, &s->stage, st);
    }
    for (int i = 0; i < u->nin; i++)
        u->in_tensor[i] = u->in_used[i] ? map[u->in_tensor[i]] : -1;
    for (int i = 0; i < u->nout; i++) {
        u->out_tensor[i] = u->out_used[i] ? map[u->out_tensor[i]] : -1;
        if (u->out_tensor[i] >= 0)
            s->tensor.at[u->out_tensor[i]].role = TENSOR_OUTPUT;
    }
    for (int t = 0; t < s->tensor.len; t++)
        if (s->tensor.at[t].role == TENSOR_TEMP)
            s->tensor.at[t].part.is_part = false; /* a result that nobody wants after all */
    u->s = s;
    Str why = str_new(ctx->arena), text = str_new(ctx->arena);
    if (!stages_verify(s, &why))
        fail(ctx, ERR_INTERNAL, "stages: %s", str_text(&why));
    stages_print(s, &text);
    u->key = str_text(&text);
}

static void prune_job(int i, void *arg)
{
    Work *w = arg;
    Unit *u = &w->unit.at[i];
    if (u->class == 'S' && u->live)
        u->code = job_run(u->arena, prune_unit, u, &u->error, &u->detail);
}

static void check_units(Work *w)
{
    for (int i = 0; i < w->unit.len; i++) {
        const Unit *u = &w->unit.at[i];
        if (u->code == 0)
            continue;
        w->ctx->detail = u->detail;
        fail(w->ctx, u->code, "%s", u->error.message);
    }
}

/* By symbol: the value whose computing gives it, where that is a host routine or control flow;
 * -1. */
static void find_symbol_owners(Work *w)
{
    const Graph *g = w->g;
    w->sym_owner = arena_array_of(w->ctx->arena, g->x->var.len + 1, ValueId);
    for (int i = 0; i < g->x->var.len; i++)
        w->sym_owner[i] = -1;
    for (int v = g->value.len - 1; v >= 0; v--) {
        const Value *value = &g->value.at[v];
        if (value->producer < 0 || op_rows[g->node.at[value->producer].op].class == 'S')
            continue;
        for (int k = 0; k < value->rank; k++)
            if (expr_node(g->x, value->dim[k])->op == EX_VAR)
                w->sym_owner[expr_node(g->x, value->dim[k])->imm.i] = v;
    }
}

void units_define(Work *w)
{
    const double start = time_now();
    const size_t limit = (size_t)compile_memory_limit(w->opt);
    for (int i = 0; i < w->unit.len; i++) {
        w->unit.at[i].arena = arena_child(w->ctx->arena);
        arena_set_limit(w->unit.at[i].arena, limit);
    }
    parallel_for(w->unit.len, w->opt->threads, define_job, w);
    check_units(w);
    find_symbol_owners(w);
    bool *live = arena_array_of(w->ctx->arena, w->g->value.len + 1, bool);
    live_block(w, 0, live);
    parallel_for(w->unit.len, w->opt->threads, prune_job, w);
    check_units(w);
    w->report->define_seconds = time_now() - start;
}
