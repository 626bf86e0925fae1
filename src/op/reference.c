/* The reference executor's frame, and class S.
 *
 * A node of class S is defined anew each time it runs, in a pool of its own with every symbol
 * replaced by its value, and the oracle computes all elements. So shapes, symbols and definitions
 * are checked without anything of scheduling or code generation. */
#include "op/reference.h"

#include <assert.h>
#include <string.h>

#include "loop/oracle.h"
#include "op/op.h"

Reference *reference_new(Context *ctx, const Graph *g)
{
    Reference *r = arena_new_of(ctx->arena, Reference);
    r->ctx = ctx;
    r->g = g;
    r->value = arena_array_of(ctx->arena, g->value.len + 1, Tensor *);
    r->sym = arena_array_of(ctx->arena, g->x->var.len + 1, int64_t);
    r->bound = arena_array_of(ctx->arena, g->x->var.len + 1, bool);
    return r;
}

Tensor *reference_tensor(Reference *r, DType t, int rank, const int64_t *dims)
{
    Error error;
    Tensor *made = tensor_new(t, rank, dims, &error);
    if (!made)
        fail(r->ctx, error.code, "%s", error.message);
    tensor_defer(r->ctx->arena, made);
    return made;
}

Tensor *reference_get(const Reference *r, ValueId v)
{
    Tensor *t = r->value[v] ? r->value[v] : r->g->value.at[v].constant;
    if (!t)
        fail(r->ctx, ERR_INTERNAL, "value '%s' is read before it is computed",
             r->g->value.at[v].name);
    return t;
}

/* ---- symbols ---- */

typedef struct Unbound {
    const Reference *r;
    bool found;
} Unbound;

static void find_unbound(const Exprs *x, Expr e, void *arg)
{
    Unbound *u = arg;
    const ExprNode *n = expr_node(x, e);
    if (n->op == EX_VAR && !u->r->bound[n->imm.i])
        u->found = true;
}

bool reference_eval(const Reference *r, Expr dim, int64_t *value)
{
    Unbound u = {.r = r};
    expr_walk(r->g->x, dim, find_unbound, &u);
    if (u.found)
        return false;
    *value = expr_eval_int(r->g->x, dim, r->sym);
    return true;
}

static void bind(Reference *r, Expr e, int64_t value)
{
    const ExprNode *n = expr_node(r->g->x, e);
    if (n->op != EX_VAR)
        return;
    r->sym[n->imm.i] = value;
    r->bound[n->imm.i] = true;
}

static bool is_integer(DType t)
{
    return dtype_is_int(t) || t == DT_BOOL;
}

void reference_set(Reference *r, ValueId id, Tensor *t)
{
    const Value *v = &r->g->value.at[id];
    tensor_defer(r->ctx->arena, tensor_ref(t));
    r->value[id] = t;
    if (v->rank < 0)
        return;
    if (v->dtype != t->dtype || v->rank != t->rank)
        fail(r->ctx, ERR_INVALID, "%s is given a tensor %s", graph_describe_value(r->g, id),
             tensor_describe(r->ctx->arena, t));
    for (int k = 0; k < v->rank; k++)
        bind(r, v->dim[k], t->dim[k]);
    if (v->elems && is_integer(v->dtype) && v->nelems == tensor_elements(t))
        for (int k = 0; k < v->nelems; k++)
            bind(r, v->elems[k],
                 dtype_read_int(t->dtype, (const char *)t->data + k * dtype_size(t->dtype)));
    for (int k = 0; k < v->rank; k++) {
        int64_t dim;
        if (reference_eval(r, v->dim[k], &dim) && dim != t->dim[k])
            fail(r->ctx, ERR_INVALID, "%s is given a tensor %s", graph_describe_value(r->g, id),
                 tensor_describe(r->ctx->arena, t));
    }
}

static void check_assumptions(const Reference *r, NodeId id)
{
    for (int k = 0; k < r->g->assume.len; k++) {
        const Assumption *s = &r->g->assume.at[k];
        int64_t a, b;
        if (s->node == id && reference_eval(r, s->a, &a) && reference_eval(r, s->b, &b) && a != b)
            graph_fail(r->g, id, ERR_INVALID, "dims %lld and %lld must be equal", (long long)a,
                       (long long)b);
    }
}

/* ---- class S ---- */

static Expr *known_symbols(const Reference *r, Exprs *x)
{
    const int n = r->g->x->var.len;
    Expr *map = arena_array_of(r->ctx->arena, n + 1, Expr);
    for (int k = 0; k < n; k++)
        if (r->bound[k])
            map[k] = expr_int(x, r->sym[k]);
    return map;
}

static int input_tensor(const Reference *r, Stages *s, ValueId id)
{
    const Tensor *t = reference_get(r, id);
    Expr dims[MAX_RANK];
    for (int k = 0; k < t->rank; k++)
        dims[k] = expr_int(s->x, t->dim[k]);
    const TensorRole role = r->g->value.at[id].constant ? TENSOR_CONST : TENSOR_INPUT;
    return stages_tensor(s, r->g->value.at[id].name, role, t->dtype, t->rank, dims);
}

static Tensor *output_tensor(Reference *r, NodeId id, const Stages *s, int tensor)
{
    const StageTensor *t = &s->tensor.at[tensor];
    int64_t dims[MAX_RANK];
    for (int k = 0; k < t->rank; k++)
        if (!expr_is_int(s->x, t->dim[k], &dims[k]) || dims[k] < 0)
            graph_fail(r->g, id, ERR_INVALID, "dim %d of the result is not known or negative", k);
    return reference_tensor(r, t->dtype, t->rank, dims);
}

static void run_stages(Reference *r, NodeId id)
{
    const Node *n = &r->g->node.at[id];
    Arena *a = r->ctx->arena;
    Stages *s = stages_new(r->ctx, exprs_new(r->ctx));
    int *in = arena_array_of(a, n->nin + 1, int), *out = arena_array_of(a, n->nout + 1, int);
    for (int k = 0; k < n->nin; k++)
        in[k] = n->in[k] >= 0 ? input_tensor(r, s, n->in[k]) : -1;
    op_define(r->ctx, r->g, id, s, known_symbols(r, s->x), in, out);
    for (int k = 0; k < n->nout; k++)
        if (n->out[k] >= 0)
            s->tensor.at[out[k]].role = TENSOR_OUTPUT;
    Str why = str_new(a);
    if (!stages_verify(s, &why))
        graph_fail(r->g, id, ERR_INTERNAL, "wrong stages: %s", str_text(&why));
    Tensor **tensors = arena_array_of(a, s->tensor.len + 1, Tensor *);
    for (int k = 0; k < n->nin; k++)
        if (n->in[k] >= 0)
            tensors[in[k]] = reference_get(r, n->in[k]);
    for (int k = 0; k < n->nout; k++)
        if (n->out[k] >= 0)
            tensors[out[k]] = output_tensor(r, id, s, out[k]);
    oracle_run(s, NULL, tensors);
    for (int k = 0; k < n->nout; k++)
        if (n->out[k] >= 0)
            reference_set(r, n->out[k], tensors[out[k]]);
}

/* ---- groups ---- */

Reference *reference_fork(Context *ctx, const Reference *r)
{
    Reference *f = arena_new_of(ctx->arena, Reference);
    Graph *view = arena_new_of(ctx->arena, Graph);
    *view = *r->g;
    view->ctx = ctx; /* failures of graph_fail */
    *f = (Reference){.ctx = ctx, .g = view};
    f->value = arena_dup(ctx->arena, r->value, sizeof(Tensor *) * ((size_t)view->value.len + 1));
    f->sym = arena_dup(ctx->arena, r->sym, sizeof(int64_t) * ((size_t)view->x->var.len + 1));
    f->bound = arena_dup(ctx->arena, r->bound, sizeof(bool) * ((size_t)view->x->var.len + 1));
    return f;
}

/* The tensor of a value from outside of the group; one that only lends its shape has no data. */
static int outer_tensor(const Reference *r, Stages *s, NodeId reader, ValueId id, Tensor **data)
{
    const Value *v = &r->g->value.at[id];
    *data = r->value[id] ? r->value[id] : v->constant;
    if (*data)
        return input_tensor(r, s, id);
    Expr dims[MAX_RANK];
    for (int k = 0; k < v->rank; k++) {
        int64_t dim;
        if (!reference_eval(r, v->dim[k], &dim))
            graph_fail(r->g, reader, ERR_INTERNAL, "'%s' is read before it is computed", v->name);
        dims[k] = expr_int(s->x, dim);
    }
    return stages_tensor(s, v->name, TENSOR_INPUT, v->dtype, v->rank, dims);
}

typedef struct Group { /* of nodes that are defined in one Stages */
    Stages *s;
    IntMap tensor; /* value -> tensor of s */
    VEC(Tensor *) data; /* by tensor: of those from outside */
} Group;

static void define_in_group(const Reference *r, Group *group, NodeId id)
{
    Arena *a = r->ctx->arena;
    const Node *n = &r->g->node.at[id];
    int *in = arena_array_of(a, n->nin + 1, int), *out = arena_array_of(a, n->nout + 1, int);
    for (int k = 0; k < n->nin; k++) {
        in[k] = n->in[k] < 0 ? -1 : intmap_get(&group->tensor, (uint64_t)n->in[k], -1);
        if (n->in[k] < 0 || in[k] >= 0)
            continue;
        Tensor *data;
        in[k] = outer_tensor(r, group->s, id, n->in[k], &data);
        intmap_put(&group->tensor, (uint64_t)n->in[k], in[k]);
        while (group->data.len < in[k])
            vec_push(a, &group->data, NULL);
        vec_push(a, &group->data, data);
    }
    op_define(r->ctx, r->g, id, group->s, known_symbols(r, group->s->x), in, out);
    for (int k = 0; k < n->nout; k++)
        if (n->out[k] >= 0)
            intmap_put(&group->tensor, (uint64_t)n->out[k], out[k]);
}

void reference_elements(Context *ctx, const Reference *shared, int nnode, const NodeId *node,
                        ValueId out, int64_t n, const int64_t *index, Scalar *value,
                        double *magnitude)
{
    const Reference *r = reference_fork(ctx, shared);
    Group group = {.s = stages_new(ctx, exprs_new(ctx)), .tensor = intmap_new(ctx->arena)};
    for (int i = 0; i < nnode; i++)
        define_in_group(r, &group, node[i]);
    const int which = intmap_get(&group.tensor, (uint64_t)out, -1);
    assert(which >= 0);
    group.s->tensor.at[which].role = TENSOR_OUTPUT;
    Str why = str_new(ctx->arena);
    if (!stages_verify(group.s, &why))
        graph_fail(r->g, node[nnode - 1], ERR_INTERNAL, "wrong stages: %s", str_text(&why));
    while (group.data.len < group.s->tensor.len)
        vec_push(ctx->arena, &group.data, NULL);
    oracle_elements(group.s, NULL, group.data.at, ORACLE_DOUBLE, which, n, index, value, magnitude);
}

/* ---- the walk ---- */

/* An output whose inference gave it a value (Constant) is no work. */
static bool is_constant_node(const Reference *r, const Node *n)
{
    for (int k = 0; k < n->nout; k++)
        if (n->out[k] >= 0 && !r->g->value.at[n->out[k]].constant)
            return false;
    return n->nout > 0;
}

void reference_node(Reference *r, NodeId id)
{
    const Node *n = &r->g->node.at[id];
    if (is_constant_node(r, n))
        return;
    check_assumptions(r, id);
    switch (op_rows[n->op].class) {
    case 'S':
        run_stages(r, id);
        break;
    case 'K':
        reference_host(r, id);
        break;
    default:
        reference_control(r, id);
    }
}

void reference_block(Reference *r, int block)
{
    const Block *b = &r->g->block.at[block];
    for (int k = 0; k < b->node.len; k++)
        reference_node(r, b->node.at[k]);
}

void reference_run(Context *ctx, const Graph *g, Tensor *const *in, Tensor **out)
{
    Reference *r = reference_new(ctx, g);
    const Block *b = &g->block.at[0];
    for (int k = 0; k < b->input.len; k++)
        reference_set(r, b->input.at[k], in[k]);
    reference_block(r, 0);
    for (int k = 0; k < b->output.len; k++)
        out[k] = tensor_ref(reference_get(r, b->output.at[k]));
}
