/* The table of ops (from graph/op.def), and the two walks over it: inferring a graph in order, with
 * small integer values propagated, and defining one node in stages.
 *
 * Value propagation: once shapes are inferred, an op with a small output and a known input is
 * defined in scratch stages on the graph's own pool, and its output elements are evaluated as
 * expressions. So Shape -> Gather -> Mul -> Concat -> Reshape is understood without a word about it
 * in any op. */
#include "op/table.h"

#include "loop/oracle.h"
#include "op/control.h"
#include "op/types.h"

#define infer_none NULL
#define define_none NULL

typedef void (*InferFn)(const Infer *f);
typedef void (*DefineFn)(Define *d);

static const struct {
    InferFn infer;
    DefineFn define;
} op_table[OP_COUNT] = {
#define OP(id, name, onnx, min_in, max_in, min_out, max_out, class, types, infer, define)          \
    [OP_##id] = {infer_##infer, define_##define},
#include "graph/op.def"
#undef OP
};

/* Float values are propagated only where they may become sizes: the scales of a Resize. */
#define MAX_FLOAT_ELEMS 16

bool op_has_define(OpCode op)
{
    return op_table[op].define != NULL;
}

bool op_widens(const Node *n, DType input)
{
    return dtype_is_float(input) && dtype_compute(input) != input && node_int(n, "widen", 0) != 0;
}

bool op_narrows_state(const Node *n)
{
    return node_int(n, "narrow_state", 0) != 0;
}

/* Inputs as the op is to see them: copies of those that it reads wider. */
static const int *widen_inputs(Context *ctx, const Node *node, Stages *s, const int *in)
{
    int *wide = NULL;
    for (int k = 0; k < node->nin; k++) {
        if (in[k] < 0 || !op_widens(node, s->tensor.at[in[k]].dtype))
            continue;
        wide = wide ? wide : arena_dup(ctx->arena, in, sizeof *in * (size_t)node->nin);
        wide[k] = block_cast(s, in[k], dtype_compute(s->tensor.at[in[k]].dtype));
    }
    return wide ? wide : in;
}

/* Is it always an element of that storage type, or 0? */
static bool holds(const Stages *s, Expr e, DType narrow)
{
    const ExprNode *n = expr_node(s->x, e);
    switch (n->op) {
    case EX_LOAD: return s->tensor.at[n->imm.i].dtype == narrow;
    case EX_SELECT:
        return holds(s, expr_arg(s->x, e, 1), narrow) && holds(s, expr_arg(s->x, e, 2), narrow);
    case EX_FLOAT: return n->imm.f == 0;
    default: return false;
    }
}

/* Copies that a definition makes of what it reads wider, as one with a border, are as narrow. */
static void narrow_copies(const Node *node, Stages *s, int first, DType narrow, const int *out)
{
    for (int i = first; i < s->stage.len; i++) {
        const Stage *st = &s->stage.at[i];
        bool copy = st->form == STAGE_MAP && st->nresults == 1 && holds(s, st->update[0], narrow) &&
                    s->tensor.at[st->result[0]].dtype == dtype_compute(narrow);
        for (int k = 0; k < node->nout; k++)
            copy &= out[k] != st->result[0];
        if (copy)
            s->tensor.at[st->result[0]].dtype = narrow;
    }
}

/* A load gives the compute type anyway: the copies cost nothing and go. */
static void inline_widened(const Node *node, Stages *s, int first, const int *in, const int *wide,
                           const int *out)
{
    for (int k = 0; k < node->nin; k++)
        if (wide[k] != in[k])
            stages_inline(s, s->tensor.at[wide[k]].stage);
    for (int k = 0; k < node->nin; k++)
        if (wide[k] != in[k])
            narrow_copies(node, s, first, s->tensor.at[in[k]].dtype, out);
}

static void define_with(Context *ctx, const Graph *g, NodeId n, Stages *s, Expr *var_map,
                        const int *in, int *out, bool variants)
{
    const Node *node = &g->node.at[n];
    const int first = s->stage.len;
    Define d = {
        .ctx = ctx,
        .g = g,
        .id = n,
        .node = node,
        .s = s,
        .x = s->x,
        .in = widen_inputs(ctx, node, s, in),
        .out = out,
        .var_map = var_map,
        .variants = variants,
    };
    if (!op_table[node->op].define)
        graph_fail(g, n, ERR_UNSUPPORTED, "this op has no definition in stages");
    for (int k = 0; k < node->nout; k++)
        out[k] = -1;
    op_table[node->op].define(&d);
    inline_widened(node, s, first, in, d.in, out);
}

void op_define(Context *ctx, const Graph *g, NodeId n, Stages *s, Expr *var_map, const int *in,
               int *out)
{
    define_with(ctx, g, n, s, var_map, in, out, false);
}

void op_define_variant(Context *ctx, const Graph *g, NodeId n, Stages *s, Expr *var_map,
                       const int *in, int *out)
{
    define_with(ctx, g, n, s, var_map, in, out, true);
}

/* ---- constants and their elements ---- */

static int max_elems(DType t)
{
    if (dtype_size(t) == 0)
        return 0;
    return dtype_is_float(t) ? MAX_FLOAT_ELEMS : MAX_ELEMS;
}

/* Constants that no pass gave elements to yet. */
static void constant_elems(Graph *g, ValueId id)
{
    Value *v = &g->value.at[id];
    const Tensor *t = v->constant;
    if (!t || v->elems || !layout_is_plain(&t->layout))
        return;
    const int64_t n = tensor_elements(t);
    if (n > max_elems(t->dtype))
        return;
    Expr *e = arena_array_of(g->ctx->arena, n + 1, Expr);
    for (int64_t k = 0; k < n; k++)
        e[k] = constant_element(g->x, t, k);
    v = &g->value.at[id];
    v->elems = e;
    v->nelems = (int)n;
}

/* ---- value propagation ---- */

/* Number of elements of an output that is worth evaluating; -1: it is not. */
static int small_output(const Graph *g, ValueId id)
{
    if (id < 0)
        return -1;
    const Value *v = &g->value.at[id];
    if (v->elems || v->constant || v->rank < 0)
        return -1;
    int64_t n = 1;
    for (int k = 0; k < v->rank; k++) {
        int64_t dim;
        if (!expr_is_int(g->x, v->dim[k], &dim) || dim > MAX_ELEMS)
            return -1;
        n *= dim;
        if (n > MAX_ELEMS)
            return -1;
    }
    return n <= max_elems(v->dtype) ? (int)n : -1;
}

static bool worth_propagating(const Graph *g, const Node *node)
{
    if (op_rows[node->op].class != 'S' || !op_has_define(node->op))
        return false;
    bool known = node->nin == 0;
    for (int k = 0; k < node->nin; k++)
        known |= node->in[k] >= 0 && g->value.at[node->in[k]].elems;
    if (!known)
        return false;
    for (int k = 0; k < node->nout; k++)
        if (small_output(g, node->out[k]) >= 0)
            return true;
    return false;
}

/* Shapes are often computed in i32 by way of casts. Like all index arithmetic they are taken not to
 * overflow, so that a dim that went through i32 is the same dim: i64(i32(N) * 2) becomes N*2. */
static Expr in_i64(Exprs *x, Expr e)
{
    const ExprNode n = *expr_node(x, e);
    int64_t v;
    if (expr_is_int(x, e, &v))
        return expr_int(x, v);
    switch (n.op) {
    case EX_CAST:
        return expr_cast(x, DT_I64, expr_arg(x, e, 0));
    case EX_ADD:
    case EX_MUL:
    case EX_DIV:
    case EX_MOD:
    case EX_TDIV:
    case EX_TMOD:
    case EX_MIN:
    case EX_MAX: {
        Expr r = in_i64(x, expr_arg(x, e, 0));
        for (int k = 1; k < n.nargs; k++)
            r = expr_bin(x, n.op, r, in_i64(x, expr_arg(x, e, k)));
        return r;
    }
    default:
        return expr_cast(x, DT_I64, e);
    }
}

static Expr through_i32(Exprs *x, Expr e, void *arg)
{
    if (expr_node(x, e)->op != EX_CAST || expr_type(x, e) != DT_I64)
        return 0;
    const Expr inner = expr_arg(x, e, 0);
    const ExprNode *n = expr_node(x, inner);
    if (n->dtype != DT_I32 || (n->op == EX_CAST && expr_type(x, expr_arg(x, inner, 0)) != DT_I64))
        return 0;
    const Expr wide = in_i64(x, inner);
    return wide == e ? 0 : expr_rewrite(x, wide, through_i32, arg);
}

static void propagate(Graph *g, NodeId id)
{
    const Node *node = &g->node.at[id];
    if (!worth_propagating(g, node))
        return;
    Arena *a = g->ctx->arena;
    Stages *s = stages_new(g->ctx, g->x);
    int *in = arena_array_of(a, node->nin + 1, int);
    int *out = arena_array_of(a, node->nout + 1, int);
    const Expr **known = arena_array_of(a, node->nin + 1, const Expr *);
    for (int k = 0; k < node->nin; k++) {
        in[k] = -1;
        if (node->in[k] < 0)
            continue;
        const Value *v = &g->value.at[node->in[k]];
        in[k] = stages_tensor(s, "in", TENSOR_INPUT, v->dtype, v->rank, v->dim);
        known[in[k]] = v->elems; /* inputs are the first tensors of s */
    }
    const int nknown = s->tensor.len;
    op_define(g->ctx, g, id, s, NULL, in, out);
    for (int k = 0; k < node->nout; k++) {
        const int n = small_output(g, node->out[k]);
        if (n < 0 || out[k] < 0)
            continue;
        Expr *e = arena_array_of(a, n + 1, Expr);
        if (stages_eval_symbolic(s, out[k], nknown, known, e)) {
            for (int i = 0; i < n; i++)
                e[i] = expr_rewrite(g->x, e[i], through_i32, NULL);
            Value *v = &g->value.at[node->out[k]];
            v->elems = e;
            v->nelems = n;
        }
    }
}

/* ---- inference ---- */

static void check_inputs(Graph *g, NodeId id)
{
    const Node *node = &g->node.at[id];
    const OpRow *row = &op_rows[node->op];
    if (node->nin < row->min_in || (row->max_in >= 0 && node->nin > row->max_in))
        graph_fail(g, id, ERR_INVALID, "has %d inputs", node->nin);
    if (node->nout < row->min_out || (row->max_out >= 0 && node->nout > row->max_out))
        graph_fail(g, id, ERR_INVALID, "has %d outputs", node->nout);
    for (int k = 0; k < node->nin; k++) {
        if (node->in[k] < 0) {
            if (k < row->min_in ||
                (row->max_in < 0 && row->class != 'C')) /* of a list none is optional */
                graph_fail(g, id, ERR_INVALID, "input %d is missing", k);
            continue;
        }
        const Value *v = &g->value.at[node->in[k]];
        if (v->dtype == DT_NONE || v->rank < 0)
            graph_fail(g, id, ERR_INVALID, "the type of input %d '%s' is not known", k, v->name);
        constant_elems(g, node->in[k]);
    }
}

void op_infer_node(Graph *g, NodeId n)
{
    const Node *node = &g->node.at[n];
    check_inputs(g, n);
    if (!op_table[node->op].infer)
        graph_fail(g, n, ERR_UNSUPPORTED, "this op is not supported");
    const Infer f = {.ctx = g->ctx, .g = g, .x = g->x, .id = n, .node = node};
    types_check(&f);
    op_table[node->op].infer(&f);
    for (int k = 0; k < node->nout; k++)
        if (node->out[k] >= 0 && g->value.at[node->out[k]].rank < 0)
            graph_fail(g, n, ERR_INTERNAL, "output %d was not inferred", k);
    propagate(g, n);
}

void op_infer_block(Graph *g, int block)
{
    for (int k = 0; k < g->block.at[block].node.len; k++)
        op_infer_node(g, g->block.at[block].node.at[k]);
    for (int k = 0; k < g->block.at[block].output.len; k++)
        constant_elems(g, g->block.at[block].output.at[k]);
}

void op_infer_graph(Graph *g)
{
    op_infer_block(g, 0);
    control_fold(g);
}
