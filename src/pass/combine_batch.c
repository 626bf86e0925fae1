/* combine_batch: small products of different inputs become one batched product.
 *
 *     y0 = relu(matmul(x0, a) + s); y1 = relu(matmul(x1, b) + t)
 *     ->  y0, y1 = split(relu(matmul(stack(x0, x1), stack(a, b)) + stack(s, t)))
 *
 * Of MatMul and Gemm with constant weights, all of one shape, none of which needs another's result:
 * towers and experts side by side. (Products of one input are combine_parallel's.) What follows all
 * of them alike goes along, as there.
 *
 *     x (M,K), a (K,N) each        (n M,K) -> (n,M,K) x (n,K,N) -> (n,M,N) -> (n M,N) -> n parts
 *     x (B,..,M,K), a (B,..,K,N)   (n B,..,M,K) x (n B,..,K,N) -> (n B,..,M,N) -> n parts
 *
 * When it pays. A short product runs on one core; together they are work for several. So each is
 * short, but not all of them together. And stacking must be free, which is what `views` makes of
 * it: an input is computed by a kernel, which can write it into the stack, unless it lies
 * elsewhere already; or the inputs are all parts of one Split, in order, and the stack is what
 * was split (the layer before, combined). The parts of the result are views too, unless results
 * of the graph or routines want arrays of their own; and no reader may want to be in the
 * product's kernel (pointwise), or to lie where it lies (Reshape), or to hold it (Concat). */
#include "op/op.h"
#include "pass/node_facts.h"
#include "pass/combine.h"

typedef struct Batch {
    Parts p;
    NodeId split;    /* whose parts the inputs are; -1: kernels compute them */
    bool *late;      /* by value: computed from a part's result */
    bool *late_node;
    int first, last; /* places of the first and last part in the block */
} Batch;

/* ---- what is alike ---- */

static bool has_known_dims(const Graph *g, ValueId v)
{
    bool known = true;
    for (int k = 0; k < g->value.at[v].rank; k++) {
        known &= expr_is_int(g->x, g->value.at[v].dim[k], NULL);
    }
    return known;
}

/* The batch dims of the weights, if there are any, are x's. */
static bool has_own_weights(const Graph *g, const Affine *l)
{
    const Value *x = &g->value.at[l->x], *w = &g->value.at[l->weights];
    bool fits = w->rank == 2 || w->rank == x->rank;
    for (int k = 0; fits && k < w->rank - 2; k++) {
        fits = w->dim[k] == x->dim[k];
    }
    return fits;
}

static bool usable(const Parallel *c, NodeId id, Affine *l)
{
    const Graph *g = c->g;
    const Node *n = &g->node.at[id];
    const bool is_plain =
        n->op == OP_MATMUL || (n->op == OP_GEMM && node_float(n, "alpha", 1) == 1);
    return is_plain && affine_of(g, id, l) && (l->bias < 0 || l->takes_bias) &&
           has_plain_bias(g, l) && has_own_weights(g, l) && has_known_dims(g, l->x) &&
           is_short_product(product_cycles(c, l));
}

static bool alike(const Graph *g, const Affine *a, const Affine *b)
{
    return g->node.at[a->node].op == g->node.at[b->node].op &&
           same_attrs(&g->node.at[a->node], &g->node.at[b->node]) && is_same_type(g, a->x, b->x) &&
           is_same_type(g, a->weights, b->weights) && is_same_type(g, a->y, b->y) &&
           (a->bias < 0) == (b->bias < 0);
}

/* ---- readers ---- */

static bool reads(const Node *n, ValueId v)
{
    bool any = false;
    for (int k = 0; k < n->nin; k++) {
        any |= n->in[k] == v;
    }
    return any;
}

/* Can v lie in another array, as far as its readers go: compiled nodes that want no more than its
 * elements? */
static bool may_lie_elsewhere(const Parallel *c, ValueId v, bool pointwise)
{
    Graph *g = c->g;
    bool may = !is_block_output(g, v);
    for (int b = 0; may && b < g->block.len; b++) {
        for (int i = 0; may && i < g->block.at[b].node.len; i++) {
            const NodeId id = g->block.at[b].node.at[i];
            if (!reads(&g->node.at[id], v)) {
                continue;
            }
            const ViewKind kind = node_views(g, id).kind;
            may = node_has_stages(g, id) && kind != VIEW_SAME && kind != VIEW_CONCAT &&
                  (pointwise || node_facts(g, id).kind != NODE_POINTWISE);
        }
    }
    return may;
}

/* ---- inputs ---- */

static NodeId split_of(const Graph *g, ValueId v)
{
    const NodeId n = g->value.at[v].producer;
    return n >= 0 && g->node.at[n].op == OP_SPLIT && node_int(&g->node.at[n], "axis", 0) == 0 ? n
                                                                                              : -1;
}

/* Does a kernel compute v, which can lie in the stack? */
static bool is_computed(const Parallel *c, ValueId v, int home)
{
    Graph *g = c->g;
    const NodeId n = g->value.at[v].producer;
    return n >= 0 && g->node.at[n].home == home && node_has_stages(g, n) &&
           node_views(g, n).kind == VIEW_NONE && may_lie_elsewhere(c, v, true);
}

static bool may_stack(const Parallel *c, const Batch *b, ValueId x, int home)
{
    for (int k = 0; k < b->p.n; k++) {
        if (b->p.part[k].x == x) {
            return false;
        }
    }
    return !b->late[x] && (b->split >= 0 ? split_of(c->g, x) == b->split : is_computed(c, x, home));
}

/* All parts of the Split, and in its order? */
static bool sort_by_part(const Graph *g, Batch *b)
{
    const Node *split = &g->node.at[b->split];
    Parts sorted = b->p;
    for (int k = 0; k < b->p.n; k++) {
        sorted.part[g->value.at[b->p.part[k].x].output % MAX_PARTS] = b->p.part[k];
    }
    for (int k = 0; k < b->p.n; k++) {
        if (split->out[k] != sorted.part[k].x) {
            return false;
        }
    }
    b->p = sorted;
    return split->nout == b->p.n;
}

/* ---- parts ---- */

static bool reads_late(const Graph *g, const bool *late, NodeId id)
{
    const Node *n = &g->node.at[id];
    bool any = false;
    for (int k = 0; k < n->nin; k++) {
        any |= n->in[k] >= 0 && late[n->in[k]];
    }
    for (int j = 0; !any && j < n->nblock; j++) {
        const Block *body = &g->block.at[n->block[j]];
        for (int i = 0; !any && i < body->node.len; i++) {
            any = reads_late(g, late, body->node.at[i]);
        }
        for (int i = 0; !any && i < body->output.len; i++) {
            any = late[body->output.at[i]];
        }
    }
    return any;
}

static void mark_late(const Graph *g, Batch *b, NodeId id)
{
    for (int k = 0; k < g->node.at[id].nout; k++) {
        if (g->node.at[id].out[k] >= 0) {
            b->late[g->node.at[id].out[k]] = true;
        }
    }
}

/* From the part at `first` on, whatever fits it and needs no other part. */
static bool gather(const Parallel *c, int block, Batch *b)
{
    const Graph *g = c->g;
    const Block *nodes = &g->block.at[block];
    Parts *p = &b->p;
    for (int i = b->first; i < nodes->node.len; i++) {
        const NodeId id = nodes->node.at[i];
        Affine *next = &p->part[p->n < MAX_PARTS ? p->n : 0];
        if (p->n < MAX_PARTS && usable(c, id, next) && (p->n == 0 || alike(g, &p->part[0], next)) &&
            may_stack(c, b, next->x, block)) {
            p->n++;
            b->last = i;
            mark_late(g, b, id);
        } else if (p->n == 0) {
            return false;
        } else if (reads_late(g, b->late, id)) {
            b->late_node[id] = true;
            mark_late(g, b, id);
        }
    }
    return p->n > 1 && (b->split < 0 || sort_by_part(g, b));
}

/* The chains, of those parts whose end can be part of an array. */
static bool follow(const Parallel *c, Batch *b)
{
    Parts *p = &b->p;
    for (bool all = false; !all;) {
        p->length = 0;
        for (int k = 0; k < p->n; k++) {
            p->end[k] = p->part[k].y;
        }
        parallel_follow(c, p);
        int kept = 0;
        for (int k = 0; k < p->n; k++) {
            p->part[kept] = p->part[k];
            kept += may_lie_elsewhere(c, p->end[k], false);
        }
        all = kept == p->n;
        if (kept < 2 || (!all && b->split >= 0)) {
            return false;
        }
        p->n = kept;
    }
    return true;
}

static bool pays(const Parallel *c, const Parts *p)
{
    double cycles = 0;
    for (int k = 0; k < p->n; k++) {
        cycles += product_cycles(c, &p->part[k]);
    }
    return !is_short_product(cycles);
}

/* ---- rewriting ---- */

/* Between the first part and the last: what needs no part, the parts, then what does. */
static void bring_together(Graph *g, int block, const Batch *b)
{
    NodeId *node = g->block.at[block].node.at;
    const int n = b->last - b->first + 1;
    const NodeId *old = arena_dup(g->ctx->arena, node + b->first, (size_t)n * sizeof *old);
    int at = b->first;
    for (int turn = 0; turn < 3; turn++) {
        for (int i = 0; i < n; i++) {
            bool is_part = false;
            for (int k = 0; k < b->p.n; k++) {
                is_part |= b->p.part[k].node == old[i];
            }
            if ((is_part ? 1 : b->late_node[old[i]] ? 2 : 0) == turn) {
                node[at++] = old[i];
            }
        }
    }
}

static int known_dim(const Graph *g, ValueId v, int axis)
{
    int64_t n = 0;
    expr_is_int(g->x, g->value.at[v].dim[axis], &n);
    return (int)n;
}

static ValueId reshaped(Graph *g, NodeId before, ValueId v, int rank, const int64_t *shape)
{
    return term_pair(g, before, OP_RESHAPE, "stack", v,
                     graph_const_ints(g, "stack_shape", rank, shape));
}

static bool has_flat_rows(const Graph *g, const Affine *l)
{
    return g->value.at[l->weights].rank == 2;
}

/* (N) or (1) each -> (n,1,N), or (n B,..,1,N) */
static ValueId stack_terms(Graph *g, const Parts *p, const ValueId *term, NodeId before)
{
    const Affine *l = &p->part[0];
    const bool flat = has_flat_rows(g, l);
    const int rank = flat ? 3 : g->value.at[l->y].rank;
    int64_t shape[MAX_RANK];
    for (int k = 0; k < rank; k++) {
        shape[k] = k == rank - 1 ? l->ny : k == 0 && !flat ? known_dim(g, l->y, 0) : 1;
    }
    ValueId v[MAX_PARTS];
    for (int k = 0; k < p->n; k++) {
        v[k] = term_pair(g, before, OP_EXPAND, "stack", term[k],
                         graph_const_ints(g, "stack_shape", rank, shape));
    }
    return parallel_join(g, before, p->n, v, 0);
}

static ValueId stack_inputs(Graph *g, const Batch *b, NodeId before)
{
    const Parts *p = &b->p;
    const Affine *l = &p->part[0];
    ValueId x[MAX_PARTS];
    for (int k = 0; k < p->n; k++) {
        x[k] = p->part[k].x;
    }
    const ValueId all =
        b->split >= 0 ? g->node.at[b->split].in[0] : parallel_join(g, before, p->n, x, 0);
    const int64_t shape[3] = {p->n, -1, l->nx};
    return has_flat_rows(g, l) ? reshaped(g, before, all, 3, shape) : all;
}

/* w (K,N) each -> (n,K,N), from (N,K) too; (B,..,K,N) -> (n B,..,K,N) */
static ValueId stack_weights(Graph *g, const Parts *p, NodeId before)
{
    const Affine *l = &p->part[0];
    ValueId w[MAX_PARTS];
    for (int k = 0; k < p->n; k++) {
        w[k] = p->part[k].weights;
    }
    const ValueId all = parallel_join(g, before, p->n, w, 0);
    if (!has_flat_rows(g, l)) {
        return all;
    }
    const int64_t shape[3] = {p->n, known_dim(g, l->weights, 0), known_dim(g, l->weights, 1)};
    const ValueId stack = reshaped(g, before, all, 3, shape);
    if (l->out_axis == 1) {
        return stack;
    }
    const NodeId turned = insert_node(g, before, OP_TRANSPOSE, "stack", 1, &stack);
    node_set_ints(g, turned, "perm", 3, (const int64_t[]){0, 2, 1});
    op_infer_node(g, turned);
    return g->node.at[turned].out[0];
}

static ValueId stack_product(Graph *g, const Batch *b, NodeId before)
{
    const Parts *p = &b->p;
    const ValueId x = stack_inputs(g, b, before), w = stack_weights(g, p, before);
    const ValueId y = term_pair(g, before, OP_MATMUL, "stack", x, w);
    if (p->part[0].bias < 0) {
        return y;
    }
    ValueId bias[MAX_PARTS];
    for (int k = 0; k < p->n; k++) {
        bias[k] = p->part[k].bias;
        hoist_term(g, bias[k], before);
    }
    return term_pair(g, before, OP_ADD, "stack", y, stack_terms(g, p, bias, before));
}

static void combine(Graph *g, int block, const Batch *b)
{
    const Parts *p = &b->p;
    const ValueId y = p->part[0].y;
    bring_together(g, block, b);
    NodeId before = p->part[0].node; /* the last of them as they stand now */
    for (int i = b->first; i <= b->last; i++) {
        for (int k = 0; k < p->n; k++) {
            before = g->block.at[block].node.at[i] == p->part[k].node ? p->part[k].node : before;
        }
    }
    ValueId all = parallel_chain(g, p, before, stack_product(g, b, before), stack_terms);
    const int rank = g->value.at[y].rank;
    int64_t shape[MAX_RANK], sizes[MAX_PARTS];
    for (int k = 0; k < rank; k++) {
        shape[k] = known_dim(g, y, k);
    }
    for (int k = 0; k < p->n; k++) {
        sizes[k] = shape[0];
    }
    shape[0] *= p->n;
    if (has_flat_rows(g, &p->part[0])) {
        all = reshaped(g, before, all, rank, shape);
    }
    parallel_split(g, p, before, all, 0, sizes);
}

static bool try_from(const Parallel *c, int block, int at)
{
    Graph *g = c->g;
    Affine l;
    if (!usable(c, g->block.at[block].node.at[at], &l)) {
        return false;
    }
    Arena *a = g->ctx->arena;
    Batch b = {
        .split = split_of(g, l.x),
        .late = arena_array_of(a, g->value.len + 1, bool),
        .late_node = arena_array_of(a, g->node.len + 1, bool),
        .first = at,
    };
    if (!gather(c, block, &b) || !follow(c, &b) || !pays(c, &b.p)) {
        return false;
    }
    combine(g, block, &b);
    return true;
}

Graph *pass_combine_batch(Context *ctx, const Graph *old, const PassOptions *opt, int *count)
{
    Parallel c = {.g = graph_copy(ctx, old), .opt = opt};
    parallel_look(&c);
    for (int b = 0; b < c.g->block.len; b++) {
        for (int i = 0; i < c.g->block.at[b].node.len; i++) {
            if (try_from(&c, b, i)) {
                parallel_look(&c);
                ++*count;
                i--; /* another node stands there now */
            }
        }
    }
    return c.g;
}
