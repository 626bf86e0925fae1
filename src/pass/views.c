/* views: what only puts elements elsewhere lies there from the start and costs nothing.
 *
 *     y = concat(a, b)        a and b are computed inside y
 *     a, b = split(x)         a and b are read where they lie in x; a slice with steps of 1 likewise
 *     y = reshape(x)          the same memory under other dims
 *
 * Requires final layouts; leaves such nodes in place, with values that are views (Value.within),
 * and no step is made for them. A value can be a view if everything that touches it is compiled
 * from stages: routines of kernel/ and control flow want arrays of their own, and so do the model's
 * outputs. An array lies within one other at most, as a whole:
 *
 *     p = concat(a, b);  q = concat(a, b, c)      a and b lie in p, and p in q: dense blocks copy nothing
 *
 * Where only some inputs of a concat can lie in it, the others are copied in, if that is less than
 * half. Later concats in that layout read the copies, so that one input in another layout does not
 * end the sharing.
 *
 * Arrays whose size is known only while the model runs have no views: their memory is made by
 * the step that finds the size. */
#include <string.h>

#include "loop/offset.h"
#include "pass/edit.h"
#include "pass/node_facts.h"

typedef struct Views {
    Graph *g;
    bool *sized;       /* by symbol: the dims of the model's inputs give it */
    bool *stages_only; /* by value: read by compiled nodes alone, and no block's output */
    bool *reshaped;    /* by value: there is a view of it under other dims */
    IntMap copies;     /* value -> what was copied into a concat of it, the last one */
} Views;

static void find_readers(Views *w)
{
    const bool *routines = read_by_routines(w->g);
    for (int v = 0; v < w->g->value.len; v++) {
        w->stages_only[v] = !routines[v] && !is_block_output(w->g, v);
    }
}

static void find_sized(Views *w)
{
    const Graph *g = w->g;
    const Block *model = &g->block.at[0];
    for (int i = 0; i < model->input.len; i++) {
        const Value *v = &g->value.at[model->input.at[i]];
        for (int k = 0; k < v->rank; k++) {
            const ExprNode *n = expr_node(g->x, v->dim[k]);
            if (n->op == EX_VAR) {
                w->sized[n->imm.i] = true;
            }
        }
    }
}

typedef struct SizeWalk {
    const Views *w;
    bool sized;
} SizeWalk;

static void visit_size(const Exprs *x, Expr e, void *arg)
{
    SizeWalk *s = arg;
    const ExprNode *n = expr_node(x, e);
    if (n->op == EX_VAR) {
        s->sized &= s->w->sized[n->imm.i];
    }
}

static bool is_sized(const Views *w, const Expr *dim, int n)
{
    SizeWalk s = {.w = w, .sized = true};
    for (int k = 0; k < n; k++) {
        expr_walk(w->g->x, dim[k], visit_size, &s);
    }
    return s.sized;
}

static bool value_is_sized(const Views *w, ValueId v)
{
    return is_sized(w, w->g->value.at[v].dim, w->g->value.at[v].rank);
}

/* May others read v's memory under other names? Small integers that inference knows have no
 * memory. */
static bool can_hold(const Views *w, ValueId v)
{
    const Value *value = &w->g->value.at[v];
    return !value->constant && !value->elems && value_is_sized(w, v);
}

/* Do the edges of the box (v's dims, from `at`) fall on those of the layout's blocks? */
static bool keeps_blocks(const Graph *g, const Layout *l, ValueId v, const Expr *at)
{
    const Value *value = &g->value.at[v];
    const Expr zero = expr_int(g->x, 0);
    for (int k = 0; k < value->rank && !layout_is_plain(l); k++) {
        const int64_t block = layout_block(l, k);
        if (block > 1 && (expr_modi(g->x, at[k], block) != zero ||
                          expr_modi(g->x, value->dim[k], block) != zero)) {
            return false;
        }
    }
    return true;
}

static void set_view(Views *w, ValueId v, ValueId within, const Expr *at)
{
    w->g->value.at[v].within = within;
    w->g->value.at[v].at = at;
}

/* ---- results that lie in the input ---- */

static bool view_same(Views *w, const Node *n)
{
    const Value *in = &w->g->value.at[n->in[0]], *out = &w->g->value.at[n->out[0]];
    if (!can_hold(w, n->in[0]) || !can_hold(w, n->out[0]) || !w->stages_only[n->out[0]] || in->at ||
        !layout_is_plain(&in->layout) || !layout_is_plain(&out->layout)) {
        return false;
    }
    w->reshaped[n->in[0]] = true;
    set_view(w, n->out[0], n->in[0], NULL);
    return true;
}

static bool view_slices(Views *w, const Node *n, const NodeViews *views)
{
    const Graph *g = w->g;
    if (!can_hold(w, n->in[0])) {
        return false;
    }
    for (int k = 0; k < n->nout; k++) {
        const ValueId v = n->out[k];
        if (!can_hold(w, v) || !w->stages_only[v] ||
            !is_sized(w, views->at[k], g->value.at[v].rank) ||
            !layout_equal(&g->value.at[v].layout, &g->value.at[n->in[0]].layout) ||
            !keeps_blocks(g, &g->value.at[v].layout, v, views->at[k])) {
            return false;
        }
    }
    for (int k = 0; k < n->nout; k++) {
        set_view(w, n->out[k], n->in[0], views->at[k]);
    }
    return true;
}

/* ---- inputs that lie in the result ---- */

static bool can_lie_in(const Views *w, const Node *n, ValueId v)
{
    const Graph *g = w->g;
    const Value *value = &g->value.at[v];
    return value->producer >= 0 && g->node.at[value->producer].home == n->home &&
           op_rows[g->node.at[value->producer].op].class == 'S' && can_hold(w, v) &&
           w->stages_only[v] && !w->reshaped[v] &&
           layout_equal(&value->layout, &g->value.at[n->out[0]].layout);
}

/* What moves into the result so that an input lies there: the input, or the array that holds it. */
typedef struct Move {
    ValueId array; /* -1: none can; the input is copied */
    Expr *at;      /* where it begins in the result */
} Move;

/* The array that holds input k. Its place is where the result wants the input, less where the array
 * has it. */
static Move find_array(const Views *w, const Node *n, const NodeViews *views, int k)
{
    const Graph *g = w->g;
    const int rank = g->value.at[n->out[0]].rank;
    Move m = {.array = n->in[k],
              .at = arena_dup(g->ctx->arena, views->at[k], sizeof(Expr) * (size_t)rank)};
    while (g->value.at[m.array].within >= 0) {
        const Value *v = &g->value.at[m.array];
        if (!v->at || v->rank != rank) {
            return (Move){.array = -1};
        }
        for (int d = 0; d < rank; d++) {
            m.at[d] = expr_sub(g->x, m.at[d], v->at[d]);
        }
        m.array = v->within;
    }
    return m;
}

/* Do the inputs that lie in m's array make up all of it, each where the result wants it? */
static bool is_covered(const Graph *g, const Node *n, const Move *all, Move m)
{
    const Value *array = &g->value.at[m.array];
    Expr sum = expr_int(g->x, 0);
    for (int k = 0; k < n->nin; k++) {
        if (all[k].array != m.array) {
            continue;
        }
        if (memcmp(all[k].at, m.at, sizeof(Expr) * (size_t)array->rank) != 0) {
            return false;
        }
        const Value *v = &g->value.at[n->in[k]];
        sum = expr_add(g->x, sum, layout_elements_expr(g->x, &(Layout){0}, v->rank, v->dim));
    }
    return sum == layout_elements_expr(g->x, &(Layout){0}, array->rank, array->dim);
}

/* By input. */
static const Move *find_moves(const Views *w, const Node *n, const NodeViews *views)
{
    const Graph *g = w->g;
    Move *found = arena_array_of(g->ctx->arena, n->nin, Move),
         *m = arena_array_of(g->ctx->arena, n->nin, Move);
    for (int k = 0; k < n->nin; k++) {
        found[k] = find_array(w, n, views, k);
    }
    for (int k = 0; k < n->nin; k++) {
        bool twice = false;
        for (int i = 0; i < k; i++) {
            twice |= n->in[i] == n->in[k];
        }
        m[k] = found[k];
        if (twice || m[k].array < 0 || !can_lie_in(w, n, m[k].array) ||
            !is_covered(g, n, found, m[k]) ||
            !keeps_blocks(g, &g->value.at[n->out[0]].layout, m[k].array, m[k].at)) {
            m[k].array = -1;
        }
    }
    return m;
}

/* Elements of an input; 0: not a number. */
static int64_t count_elements(const Graph *g, ValueId v)
{
    int64_t n = 1, d;
    for (int k = 0; k < g->value.at[v].rank; k++) {
        /* symbols: the same for all inputs */
        n *= expr_is_int(g->x, g->value.at[v].dim[k], &d) ? d : 1;
    }
    return n;
}

/* The input is copied in by a node of its own. */
static ValueId add_copy(Views *w, NodeId id, int k)
{
    Graph *g = w->g;
    const ValueId from = g->node.at[id].in[k];
    Expr dim[MAX_RANK];
    const Value v = g->value.at[from];
    for (int d = 0; d < v.rank; d++) {
        dim[d] = v.dim[d];
    }
    const ValueId to = graph_value(g, v.name, v.dtype, v.rank, dim);
    g->value.at[to].layout = g->value.at[g->node.at[id].out[0]].layout;
    block_insert_before(g,
                        graph_node(g, g->node.at[id].home, OP_IDENTITY, g->node.at[id].name, 1,
                                   &from, 1, &to),
                        id);
    intmap_put(&w->copies, (uint64_t)from, to);
    return to;
}

/* Inputs in other layouts than the result's become the copies that are there in its layout. */
static void use_copies(Views *w, NodeId id)
{
    Graph *g = w->g;
    const Node *n = &g->node.at[id];
    const Layout *want = &g->value.at[n->out[0]].layout;
    for (int k = 0; k < n->nin; k++) {
        const ValueId copy = intmap_get(&w->copies, (uint64_t)n->in[k], -1);
        if (copy >= 0 && !layout_equal(&g->value.at[n->in[k]].layout, want) &&
            layout_equal(&g->value.at[copy].layout, want) &&
            g->node.at[g->value.at[copy].producer].home == n->home) {
            n->in[k] = copy;
        }
    }
}

static bool view_concat(Views *w, NodeId id, const NodeViews *views)
{
    Graph *g = w->g;
    use_copies(w, id);
    const Node *n = &g->node.at[id];
    const ValueId whole = n->out[0];
    if (!can_hold(w, whole) || w->reshaped[whole]) {
        return false;
    }
    int64_t moved = 0, copied = 0;
    const Move *move = find_moves(w, n, views);
    for (int k = 0; k < n->nin; k++) {
        *(move[k].array >= 0 ? &moved : &copied) += count_elements(g, n->in[k]);
        if (!is_sized(w, views->at[k], g->value.at[whole].rank) ||
            !keeps_blocks(g, &g->value.at[whole].layout, n->in[k], views->at[k])) {
            return false;
        }
    }
    if (copied >= moved) {
        return false;
    }
    for (int k = 0; k < n->nin; k++) {
        if (move[k].array >= 0) {
            set_view(w, move[k].array, whole, move[k].at);
        } else {
            const ValueId copy = add_copy(w, id, k);
            g->node.at[id].in[k] = copy;
            set_view(w, copy, whole, views->at[k]);
        }
    }
    return true;
}

static bool view_node(Views *w, NodeId id)
{
    const NodeViews views = node_views(w->g, id);
    switch (views.kind) {
    case VIEW_SAME: return view_same(w, &w->g->node.at[id]);
    case VIEW_SLICES: return view_slices(w, &w->g->node.at[id], &views);
    case VIEW_CONCAT: return view_concat(w, id, &views);
    case VIEW_NONE: break;
    }
    return false;
}

Graph *pass_views(Context *ctx, const Graph *old, const PassOptions *opt, int *count)
{
    (void)opt;
    Graph *g = graph_copy(ctx, old);
    Views w = {.g = g,
               .sized = arena_array_of(ctx->arena, g->x->var.len + 1, bool),
               .stages_only = arena_array_of(ctx->arena, g->value.len + 1, bool),
               .reshaped = arena_array_of(ctx->arena, g->value.len + 1, bool),
               .copies = intmap_new(ctx->arena)};
    find_readers(&w);
    find_sized(&w);
    for (int b = 0; b < g->block.len; b++) {
        const int len = g->block.at[b].node.len; /* copies are added on the way */
        const NodeId *order =
            arena_dup(ctx->arena, g->block.at[b].node.at, sizeof *order * (size_t)len);
        for (int i = 0; i < len; i++) {
            *count += view_node(&w, order[i]);
        }
    }
    return g;
}
