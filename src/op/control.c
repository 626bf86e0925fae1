/* If, Loop, Scan: inference of their blocks, and folding of decided Ifs.
 *
 * A dim that differs between the branches of an If, changes from one iteration to the next, or is
 * known only inside a block, is a fresh symbol outside.
 *
 * Symbols of a body. In the body of a Loop, the iteration number and small carried i64 values have
 * fresh symbols as elements, so that a Slice by the iteration number is understood; carried dims
 * that change are fresh symbols too. Each stands alone in an element or a dim of a block input:
 * whoever runs the body binds them from there at every iteration. */
#include "op/control.h"

#include <string.h>

#include "op/table.h"

#define MAX_CARRIED_ELEMS 4
/* What an integer of a model may be as far as index arithmetic is concerned. */
#define ANY_INT (INT64_C(1) << 40)
#define ANY_DIM INT32_MAX

/* 1 or 0 where the bool value `v` is known, else -1. */
static int known_bool(const Graph *g, ValueId v)
{
    const Value *c = &g->value.at[v];
    int64_t known;
    if (c->elems && c->nelems == 1 && expr_is_int(g->x, c->elems[0], &known))
        return known != 0;
    if (c->constant && tensor_elements(c->constant) == 1)
        return *(const uint8_t *)c->constant->data != 0;
    return -1;
}

/* ---- what is visible outside ---- */

static void mark_block(const Graph *g, int block, bool *inner)
{
    const Block *b = &g->block.at[block];
    for (int k = 0; k < b->input.len; k++)
        inner[b->input.at[k]] = true;
    for (int k = 0; k < b->node.len; k++) {
        const Node *n = &g->node.at[b->node.at[k]];
        for (int i = 0; i < n->nout; i++)
            if (n->out[i] >= 0)
                inner[n->out[i]] = true;
        for (int i = 0; i < n->nblock; i++)
            mark_block(g, n->block[i], inner);
    }
}

static void mark_var(const Exprs *x, Expr e, void *arg)
{
    bool *const vars = arg;
    if (x->node.at[e].op == EX_VAR)
        vars[x->node.at[e].imm.i] = true;
}

/* By var id: is it a symbol that some value outside the blocks of `node` has? */
static bool *outer_symbols(const Graph *g, const Node *node)
{
    Arena *a = g->ctx->arena;
    bool *const inner = arena_array_of(a, g->value.len + 1, bool);
    for (int k = 0; k < node->nblock; k++)
        mark_block(g, node->block[k], inner);
    bool *const vars = arena_array_of(a, g->x->var.len + 1, bool);
    for (int v = 0; v < g->value.len; v++) {
        const Value *value = &g->value.at[v];
        for (int k = 0; !inner[v] && k < value->rank; k++)
            expr_walk(g->x, value->dim[k], mark_var, vars);
        for (int k = 0; !inner[v] && value->elems && k < value->nelems; k++)
            expr_walk(g->x, value->elems[k], mark_var, vars);
    }
    return vars;
}

typedef struct OuterCheck {
    const bool *vars;
    bool outer;
} OuterCheck;

static void check_var(const Exprs *x, Expr e, void *arg)
{
    OuterCheck *const c = arg;
    if (x->node.at[e].op == EX_VAR)
        c->outer &= c->vars[x->node.at[e].imm.i];
}

static bool is_outer(const Graph *g, const bool *vars, Expr e)
{
    OuterCheck c = {.vars = vars, .outer = true};
    expr_walk(g->x, e, check_var, &c);
    return c.outer;
}

static Expr fresh_dim(const Infer *f, const char *what, int value, int dim, int64_t low,
                      int64_t high)
{
    const char *name = arena_printf(f->ctx->arena, "%s%d.dim%d", what, value, dim);
    return infer_fresh_sym(f, name, low > 0 ? low : 0, high < ANY_DIM ? high : ANY_DIM);
}

/* ---- If ---- */

static void copy_output(const Infer *f, int k, ValueId from)
{
    const Value v = f->g->value.at[from];
    infer_out(f, k, v.dtype, v.rank, v.dim);
    if (v.elems)
        infer_set_elems(f, k, v.nelems, v.elems);
}

static void merge_output(const Infer *f, int k, const bool *vars, ValueId then_value,
                         ValueId else_value)
{
    const Value a = f->g->value.at[then_value], b = f->g->value.at[else_value];
    if (a.dtype != b.dtype)
        infer_fail(f, "output %d is %s in one branch and %s in the other", k, dtype_name(a.dtype),
                   dtype_name(b.dtype));
    if (a.rank != b.rank) {
        f->ctx->detail = f->node->in[0];
        graph_fail(f->g, f->id, ERR_NEED_VALUE,
                   "output %d has rank %d in one branch and %d in the other, so the value of the "
                   "condition "
                   "'%s' must be known",
                   k, a.rank, b.rank, infer_in(f, 0)->name);
    }
    Expr dims[MAX_RANK];
    for (int i = 0; i < a.rank; i++) {
        const Exprs *x = f->x;
        const int64_t la = expr_low(x, a.dim[i]), lb = expr_low(x, b.dim[i]);
        const int64_t ha = expr_high(x, a.dim[i]), hb = expr_high(x, b.dim[i]);
        dims[i] = a.dim[i] == b.dim[i] && is_outer(f->g, vars, a.dim[i])
                      ? a.dim[i]
                      : fresh_dim(f, "out", k, i, la < lb ? la : lb, ha > hb ? ha : hb);
    }
    infer_out(f, k, a.dtype, a.rank, dims);
    bool same = a.elems && b.elems && a.nelems == b.nelems;
    for (int i = 0; same && i < a.nelems; i++)
        same = a.elems[i] == b.elems[i] && is_outer(f->g, vars, a.elems[i]);
    if (same)
        infer_set_elems(f, k, a.nelems, a.elems);
}

typedef struct BranchJob {
    Graph *g;
    int block;
} BranchJob;

static void infer_branch(Context *ctx, void *arg)
{
    const BranchJob *j = arg;
    j->g->ctx = j->g->x->ctx = ctx;
    op_infer_block(j->g, j->block);
}

/* A branch that does not fit these shapes is not taken with them: which one is must be known. */
static void try_branch(const Infer *f, int block)
{
    Graph *const g = f->g;
    BranchJob j = {.g = g, .block = block};
    Error e;
    int detail = -1;
    const int code = job_run(f->ctx->arena, infer_branch, &j, &e, &detail);
    g->ctx = g->x->ctx = f->ctx;
    if (code == 0)
        return;
    f->ctx->detail = code == ERR_NEED_VALUE ? detail : f->node->in[0];
    if (code == ERR_NEED_VALUE)
        fail(f->ctx, code, "%s", e.message);
    graph_fail(g, f->id, code == ERR_MEMORY ? code : ERR_NEED_VALUE,
               "a branch does not fit these shapes, so the value of the condition '%s' must be "
               "known (%s)",
               infer_in(f, 0)->name, e.message);
}

void infer_if(const Infer *f)
{
    Graph *const g = f->g;
    const Node *node = f->node;
    if (infer_in(f, 0)->dtype != DT_BOOL)
        infer_fail(f, "the condition must be bool");
    for (int k = 0; k < 2; k++)
        if (g->block.at[node->block[k]].output.len != node->nout)
            infer_fail(f, "a branch has %d outputs instead of %d",
                       g->block.at[node->block[k]].output.len, node->nout);
    const int known = known_bool(g, node->in[0]);
    if (known >= 0) {
        const int taken = node->block[known ? 0 : 1];
        op_infer_block(g, taken);
        for (int k = 0; k < node->nout; k++)
            copy_output(f, k, g->block.at[taken].output.at[k]);
        return;
    }
    try_branch(f, node->block[0]);
    try_branch(f, node->block[1]);
    const bool *const vars = outer_symbols(g, node);
    for (int k = 0; k < node->nout; k++)
        merge_output(f, k, vars, g->block.at[node->block[0]].output.at[k],
                     g->block.at[node->block[1]].output.at[k]);
}

/* ---- bodies ---- */

LoopParts control_loop_parts(const Graph *g, NodeId n)
{
    const Node *node = &g->node.at[n];
    const Block *body = &g->block.at[node->block[0]];
    LoopParts p = {.is_loop = node->op == OP_LOOP, .body = node->block[0]};
    if (p.is_loop) {
        p.first_in = p.body_in = 2;
        p.body_out = 1;
        p.carried = node->nin - 2;
    } else {
        p.scanned = (int)node_int(node, "num_scan_inputs", 1);
        p.carried = node->nin - p.scanned;
    }
    p.collected = body->output.len - p.body_out - p.carried;
    return p;
}

int control_scan_axis(const Node *n, const char *attr, int k, int rank)
{
    const int64_t *list;
    const int64_t axis = k < node_ints(n, attr, &list) ? list[k] : 0;
    return (int)(axis < 0 ? axis + rank : axis);
}

bool control_scan_reversed(const Node *n, const char *attr, int k)
{
    const int64_t *list;
    return k < node_ints(n, attr, &list) && list[k] != 0;
}

static void check_parts(const Infer *f, const LoopParts *p)
{
    const Block *b = &f->g->block.at[p->body];
    if (p->carried < 0 || p->collected < 0 || b->input.len != p->body_in + p->carried + p->scanned)
        infer_fail(f, "its body has %d inputs and %d outputs, which does not fit", b->input.len,
                   b->output.len);
    if (f->node->nout > p->carried + p->collected)
        infer_fail(f, "has %d outputs but its body gives %d", f->node->nout,
                   p->carried + p->collected);
    for (int k = 0; k < p->carried + p->scanned; k++)
        if (!infer_has(f, p->first_in + k))
            infer_fail(f, "input %d is missing", p->first_in + k);
}

/* Forgets what inference found in a block: a body may be inferred more than once. */
static void forget_block(Graph *g, int block)
{
    const Block *b = &g->block.at[block];
    for (int k = 0; k < b->node.len; k++) {
        const Node *n = &g->node.at[b->node.at[k]];
        for (int i = 0; i < n->nout; i++) {
            if (n->out[i] < 0)
                continue;
            Value *v = &g->value.at[n->out[i]];
            v->dtype = DT_NONE;
            v->rank = -1;
            v->elems = NULL;
            v->nelems = 0;
        }
        for (int i = 0; i < n->nblock; i++)
            forget_block(g, n->block[i]);
    }
}

static void set_value(Graph *g, ValueId id, DType t, int rank, const Expr *dims)
{
    Value *v = &g->value.at[id];
    v->dtype = t;
    v->rank = rank;
    if (rank > 0)
        memcpy(v->dim, dims, (size_t)rank * sizeof *dims);
    v->elems = NULL;
    v->nelems = 0;
}

static void set_elems(Graph *g, ValueId id, int n, const Expr *e)
{
    g->value.at[id].elems = arena_dup(g->ctx->arena, e, (size_t)n * sizeof *e);
    g->value.at[id].nelems = n;
}

/* Symbols for the elements of a small i64 input of the body. */
static void symbolic_elems(const Infer *f, ValueId id, const char *what, int64_t low, int64_t high)
{
    const Value v = f->g->value.at[id];
    int64_t n = 1;
    for (int k = 0; k < v.rank; k++) {
        int64_t dim;
        if (!expr_is_int(f->x, v.dim[k], &dim) || dim > MAX_CARRIED_ELEMS)
            return;
        n *= dim;
    }
    if (v.dtype != DT_I64 || n > MAX_CARRIED_ELEMS)
        return;
    Expr e[MAX_CARRIED_ELEMS];
    for (int64_t k = 0; k < n; k++)
        e[k] =
            infer_fresh_sym(f, arena_printf(f->ctx->arena, "%s.elem%d", what, (int)k), low, high);
    set_elems(f->g, id, (int)n, e);
}

/* Shapes of the carried values, as the body takes them. */
typedef struct Carried {
    DType dtype;
    int rank;
    Expr dim[MAX_RANK];
    bool varies[MAX_RANK]; /* from one iteration to the next: dim is a symbol of the body */
} Carried;

/* Marks dims that come out of the body other than they went in; false if there was one. */
static bool widen(const Infer *f, const LoopParts *p, Carried *c)
{
    bool stable = true;
    for (int k = 0; k < p->carried; k++) {
        const Value out = f->g->value.at[f->g->block.at[p->body].output.at[p->body_out + k]];
        if (out.dtype != c[k].dtype)
            infer_fail(f, "carried value %d is %s but the body gives %s", k, dtype_name(c[k].dtype),
                       dtype_name(out.dtype));
        if (out.rank != c[k].rank)
            infer_unsupported(f, "carried value %d changes its rank from %d to %d", k, c[k].rank,
                              out.rank);
        for (int i = 0; i < out.rank; i++) {
            if (c[k].varies[i] || out.dim[i] == c[k].dim[i])
                continue;
            if (!p->is_loop)
                infer_require_equal(f, out.dim[i], c[k].dim[i], "shape of a state");
            else {
                c[k].dim[i] = fresh_dim(f, "carried", k, i, 0, ANY_DIM);
                c[k].varies[i] = true;
                stable = false;
            }
        }
    }
    return stable;
}

static void scanned_input(const Infer *f, const LoopParts *p, int k)
{
    const Value v = *infer_in(f, p->first_in + p->carried + k);
    const int axis = control_scan_axis(f->node, "scan_input_axes", k, v.rank);
    Expr dims[MAX_RANK];
    for (int i = 0, n = 0; i < v.rank; i++)
        if (i != axis)
            dims[n++] = v.dim[i];
    const Block *b = &f->g->block.at[p->body];
    set_value(f->g, b->input.at[p->body_in + p->carried + k], v.dtype, v.rank - 1, dims);
}

/* The two first inputs of a Loop's body. */
static void loop_inputs(const Infer *f, const LoopParts *p)
{
    const Block *b = &f->g->block.at[p->body];
    set_value(f->g, b->input.at[0], DT_I64, 0, NULL);
    symbolic_elems(f, b->input.at[0], "iteration", 0, ANY_DIM);
    set_value(f->g, b->input.at[1], DT_BOOL, 0, NULL);
    if (infer_has(f, 1)) { /* an iteration begins only if it holds */
        const Expr yes = expr_int_of(f->x, DT_BOOL, 1);
        set_elems(f->g, b->input.at[1], 1, &yes);
    }
}

/* Infers the body until the shapes of carried values stay as they are. */
static void infer_body(const Infer *f, const LoopParts *p, Carried *c)
{
    Graph *const g = f->g;
    const int assumed = g->assume.len;
    for (int k = 0; k < p->carried; k++) {
        const Value *v = infer_in(f, p->first_in + k);
        c[k] = (Carried){.dtype = v->dtype, .rank = v->rank};
        memcpy(c[k].dim, v->dim, sizeof v->dim);
    }
    for (bool stable = false; !stable;) {
        g->assume.len = assumed;
        forget_block(g, p->body);
        if (p->is_loop)
            loop_inputs(f, p);
        for (int k = 0; k < p->carried; k++) {
            const ValueId in = g->block.at[p->body].input.at[p->body_in + k];
            set_value(g, in, c[k].dtype, c[k].rank, c[k].dim);
            if (p->is_loop)
                symbolic_elems(f, in, arena_printf(f->ctx->arena, "carried%d", k), -ANY_INT,
                               ANY_INT);
        }
        for (int k = 0; k < p->scanned; k++)
            scanned_input(f, p, k);
        op_infer_block(g, p->body);
        stable = widen(f, p, c);
    }
}

/* Final values of what is carried, then all iterations of what is collected: along `axis`(k) of
 * length `trips`. */
static void infer_results(const Infer *f, const LoopParts *p, const Carried *c, Expr trips)
{
    const bool *const vars = outer_symbols(f->g, f->node);
    for (int k = 0; k < p->carried; k++) {
        Expr dims[MAX_RANK];
        for (int i = 0; i < c[k].rank; i++)
            dims[i] = c[k].varies[i] ? fresh_dim(f, "out", k, i, 0, ANY_DIM) : c[k].dim[i];
        infer_out(f, k, c[k].dtype, c[k].rank, dims);
    }
    for (int k = 0; k < p->collected; k++) {
        const Block *b = &f->g->block.at[p->body];
        const Value v = f->g->value.at[b->output.at[p->body_out + p->carried + k]];
        if (v.rank + 1 > MAX_RANK)
            infer_unsupported(f, "collected value %d has rank %d", k, v.rank);
        const int axis =
            p->is_loop ? 0 : control_scan_axis(f->node, "scan_output_axes", k, v.rank + 1);
        Expr dims[MAX_RANK];
        for (int i = 0; i < v.rank; i++)
            dims[i + (i >= axis)] = is_outer(f->g, vars, v.dim[i])
                                        ? v.dim[i]
                                        : fresh_dim(f, "out", p->carried + k, i + (i >= axis), 0,
                                                    expr_high(f->x, v.dim[i]));
        dims[axis] = trips;
        infer_out(f, p->carried + k, v.dtype, v.rank + 1, dims);
    }
}

/* How often the body runs: known only if nothing but the count can end it. */
static Expr loop_trips(const Infer *f, const LoopParts *p)
{
    int n;
    Expr count = 0;
    if (infer_has(f, 0) && infer_known(f, 0))
        count =
            expr_max(f->x, expr_cast(f->x, DT_I64, infer_elems(f, 0, &n)[0]), expr_int(f->x, 0));
    const int first = infer_has(f, 1) ? known_bool(f->g, f->node->in[1]) : 1;
    const ValueId next = f->g->block.at[p->body].output.at[0];
    const bool ends = infer_has(f, 1) && known_bool(f->g, next) != 1;
    if (first == 0)
        return expr_int(f->x, 0);
    if (count && first == 1 && !ends)
        return count;
    return infer_fresh_sym(f, "trips", 0, count ? expr_high(f->x, count) : ANY_DIM);
}

void infer_loop(const Infer *f)
{
    const LoopParts p = control_loop_parts(f->g, f->id);
    check_parts(f, &p);
    Carried *const c = arena_array_of(f->ctx->arena, p.carried + 1, Carried);
    infer_body(f, &p, c);
    infer_results(f, &p, c, loop_trips(f, &p));
}

void infer_scan(const Infer *f)
{
    const LoopParts p = control_loop_parts(f->g, f->id);
    check_parts(f, &p);
    if (p.scanned < 1)
        infer_fail(f, "num_scan_inputs is %d", p.scanned);
    Expr trips = 0;
    for (int k = 0; k < p.scanned; k++) {
        const Value *v = infer_in(f, p.carried + k);
        const int axis = control_scan_axis(f->node, "scan_input_axes", k, v->rank);
        if (axis < 0 || axis >= v->rank)
            infer_fail(f, "scan axis of input %d is out of range", p.carried + k);
        const Expr length = v->dim[axis];
        if (trips)
            infer_require_equal(f, trips, length, "lengths of the scanned inputs");
        else
            trips = length;
    }
    Carried *const c = arena_array_of(f->ctx->arena, p.carried + 1, Carried);
    infer_body(f, &p, c);
    infer_results(f, &p, c, trips);
}

/* ---- folding ---- */

typedef VEC(NodeId) NodeList;

static void fold_block(Graph *g, int block, int home, NodeList *out, int *count);

/* Empties a block that was not taken, and those within it. */
static void drop_block(Graph *g, int block)
{
    Block *b = &g->block.at[block];
    for (int k = 0; k < b->node.len; k++) {
        const Node *n = &g->node.at[b->node.at[k]];
        for (int i = 0; i < n->nblock; i++)
            drop_block(g, n->block[i]);
    }
    b->node.len = b->input.len = b->output.len = 0;
}

/* The If's outputs as copies of the branch's. The first takes the If's place. */
static void identity_outputs(Graph *g, NodeId id, int home, const ValueId *from, NodeList *out)
{
    Node *n = &g->node.at[id];
    const ValueId *const results = n->out;
    const int count = n->nout;
    const char *const name = n->name;
    for (int k = 0; k < count; k++) {
        if (results[k] < 0)
            continue;
        const NodeId made = graph_node(g, home, OP_IDENTITY, name, 1, &from[k], 1, &results[k]);
        g->block.at[home].node.len--; /* it stands where `out` says */
        vec_push(g->ctx->arena, out, made);
    }
}

static void fold_node(Graph *g, NodeId id, int home, NodeList *out, int *count)
{
    const Node n = g->node.at[id];
    g->node.at[id].home = home;
    const int known = n.op == OP_IF ? known_bool(g, n.in[0]) : -1;
    if (known < 0) {
        vec_push(g->ctx->arena, out, id);
        for (int k = 0; k < n.nblock; k++) {
            NodeList inner = {0};
            fold_block(g, n.block[k], n.block[k], &inner, count);
            Block *b = &g->block.at[n.block[k]];
            b->node.at = inner.at;
            b->node.len = inner.len;
            b->node.cap = inner.cap;
        }
        return;
    }
    ++*count;
    const int taken = n.block[known ? 0 : 1];
    fold_block(g, taken, home, out, count);
    identity_outputs(g, id, home, g->block.at[taken].output.at, out);
    g->block.at[taken].node.len = 0; /* they stand in `home` now */
    g->block.at[taken].output.len = 0;
    drop_block(g, n.block[known ? 1 : 0]);
}

static void fold_block(Graph *g, int block, int home, NodeList *out, int *count)
{
    /* A copy: identity_outputs passes new nodes through the list of `home`. */
    const int n = g->block.at[block].node.len;
    const NodeId *const nodes =
        arena_dup(g->ctx->arena, g->block.at[block].node.at, (size_t)n * sizeof *nodes);
    for (int k = 0; k < n; k++)
        fold_node(g, nodes[k], home, out, count);
}

int control_fold(Graph *g)
{
    int count = 0;
    NodeList all = {0};
    fold_block(g, 0, 0, &all, &count);
    Block *b = &g->block.at[0];
    b->node.at = all.at;
    b->node.len = all.len;
    b->node.cap = all.cap;
    return count;
}
