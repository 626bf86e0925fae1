/* Helpers of the infer functions: inputs, known values, broadcasting, failing. */
#include "op/op.h"

#include <string.h>

const Value *infer_in(const Infer *f, int k)
{
    if (k >= f->node->nin || f->node->in[k] < 0)
        return NULL;
    const Value *v = &f->g->value.at[f->node->in[k]];
    if (!op_widens(f->node, v->dtype))
        return v;
    Value *wide = arena_dup(f->ctx->arena, v, sizeof *v);
    wide->dtype = dtype_compute(v->dtype);
    return wide;
}

bool infer_has(const Infer *f, int k)
{
    return infer_in(f, k) != NULL;
}

void infer_out(const Infer *f, int k, DType t, int rank, const Expr *dims)
{
    if (k >= f->node->nout || f->node->out[k] < 0)
        return;
    if (rank > MAX_RANK)
        infer_unsupported(f, "the result has rank %d; at most %d are supported", rank, MAX_RANK);
    for (int i = 0; i < rank; i++) {
        int64_t n;
        if (expr_is_int(f->x, dims[i], &n) && n < 0)
            infer_fail(f, "dim %d of output %d is %lld", i, k, (long long)n);
    }
    Value *v = &f->g->value.at[f->node->out[k]];
    v->dtype = t;
    v->rank = rank;
    if (rank > 0)
        memmove(v->dim, dims, (size_t)rank * sizeof *dims);
}

void infer_same(const Infer *f, int k, int in)
{
    const Value *v = infer_in(f, in);
    infer_out(f, k, v->dtype, v->rank, v->dim);
}

void infer_set_elems(const Infer *f, int k, int n, const Expr *elems)
{
    if (k >= f->node->nout || f->node->out[k] < 0)
        return;
    Value *v = &f->g->value.at[f->node->out[k]];
    v->elems = arena_dup(f->ctx->arena, elems, (size_t)n * sizeof *elems);
    v->nelems = n;
}

/* ---- values ---- */

static _Noreturn void need_value(const Infer *f, int k)
{
    const Value *v = infer_in(f, k);
    f->ctx->detail = f->node->in[k];
    graph_fail(f->g, f->id, ERR_NEED_VALUE, "the value of input %d '%s' must be known", k, v->name);
}

Expr constant_element(Exprs *x, const Tensor *t, int64_t k)
{
    const char *p = (const char *)t->data + k * dtype_size(t->dtype);
    const DType type = dtype_compute(t->dtype);
    if (dtype_is_float(type))
        return expr_float(x, type, dtype_read(t->dtype, p));
    return expr_int_of(x, type, dtype_read_int(t->dtype, p));
}

static int64_t constant_count(const Value *v)
{
    return v->constant && layout_is_plain(&v->constant->layout) ? tensor_elements(v->constant) : -1;
}

bool infer_known(const Infer *f, int k)
{
    const Value *v = infer_in(f, k);
    return v && (v->elems || constant_count(v) >= 0);
}

const Expr *infer_elems(const Infer *f, int k, int *n)
{
    const Value *v = infer_in(f, k);
    if (v->elems) {
        *n = v->nelems;
        return v->elems;
    }
    const int64_t count = constant_count(v);
    if (count < 0 || count > INT32_MAX)
        need_value(f, k);
    Expr *e = arena_array_of(f->ctx->arena, count + 1, Expr);
    for (int64_t i = 0; i < count; i++)
        e[i] = constant_element(f->x, v->constant, i);
    *n = (int)count;
    return e;
}

int infer_ints(const Infer *f, int k, int64_t *v, int max)
{
    int n;
    const Expr *e = infer_elems(f, k, &n);
    if (n > max)
        infer_fail(f, "input %d has %d elements, at most %d fit", k, n, max);
    for (int i = 0; i < n; i++)
        if (!expr_is_int(f->x, e[i], &v[i]))
            need_value(f, k);
    return n;
}

int infer_ints_or_attr(const Infer *f, const char *attr, int k, int64_t *v, int max)
{
    const Attr *a = node_attr(f->node, attr);
    if (a && a->kind == ATTR_INT) {
        v[0] = a->i;
        return 1;
    }
    if (a && a->kind == ATTR_INTS) {
        if (a->n > max)
            infer_fail(f, "attribute '%s' has %d elements, at most %d fit", attr, a->n, max);
        for (int i = 0; i < a->n; i++)
            v[i] = a->ints[i];
        return a->n;
    }
    return infer_has(f, k) ? infer_ints(f, k, v, max) : -1;
}

/* ---- shapes ---- */

int infer_axis(const Infer *f, int64_t axis, int rank)
{
    if (axis < -rank || axis >= rank)
        infer_fail(f, "axis %lld is out of range for rank %d", (long long)axis, rank);
    return (int)(axis < 0 ? axis + rank : axis);
}

bool infer_dim_is(const Infer *f, Expr dim, int64_t *v)
{
    return expr_is_int(f->x, dim, v);
}

Expr infer_product(const Infer *f, int n, const Expr *dims)
{
    Expr p = expr_int(f->x, 1);
    for (int k = 0; k < n; k++)
        p = expr_mul(f->x, p, dims[k]);
    return p;
}

void infer_require_equal(const Infer *f, Expr a, Expr b, const char *what)
{
    if (a == b)
        return;
    int64_t va, vb;
    if (expr_is_int(f->x, a, &va) && expr_is_int(f->x, b, &vb))
        infer_fail(f, "%s: %lld and %lld differ", what, (long long)va, (long long)vb);
    for (int k = 0; k < f->g->assume.len; k++) {
        const Assumption *s = &f->g->assume.at[k];
        if ((s->a == a && s->b == b) || (s->a == b && s->b == a))
            return;
    }
    const Assumption s = {.a = a, .b = b, .node = f->id};
    vec_push(f->ctx->arena, &f->g->assume, s);
}

void infer_require_some(const Infer *f, Expr dim, Expr reads)
{
    int64_t size;
    if (expr_low(f->x, dim) > 0)
        return;
    const Expr least = expr_min(f->x, reads, expr_int(f->x, 1));
    if (infer_dim_is(f, dim, &size) && infer_dim_is(f, least, &size) && size > 0)
        infer_fail(f, "reads from an axis of size 0");
    infer_require_equal(f, expr_min(f->x, dim, least), least, "reading from an axis");
}

/* A symbolic dim against another is taken to be equal to it, not 1: checked when the symbols are
 * known. */
static Expr broadcast_dim(const Infer *f, Expr a, Expr b)
{
    int64_t va = -1, vb = -1;
    const bool ca = expr_is_int(f->x, a, &va), cb = expr_is_int(f->x, b, &vb);
    if (a == b || (cb && vb == 1))
        return a;
    if (ca && va == 1)
        return b;
    infer_require_equal(f, a, b, "broadcasting");
    return ca ? a : b;
}

int infer_broadcast(const Infer *f, int ra, const Expr *a, int rb, const Expr *b, Expr *out)
{
    const int rank = ra > rb ? ra : rb;
    Expr result[MAX_RANK];
    for (int k = 0; k < rank; k++) {
        const int ka = k - (rank - ra), kb = k - (rank - rb);
        result[k] = ka < 0 ? b[kb] : kb < 0 ? a[ka] : broadcast_dim(f, a[ka], b[kb]);
    }
    if (rank > 0)
        memcpy(out, result, (size_t)rank * sizeof *out);
    return rank;
}

/* Is it the name of a symbol of the model's inputs? */
static bool is_input_symbol(const Infer *f, const char *name)
{
    const Block *model = &f->g->block.at[0];
    for (int i = 0; i < model->input.len; i++) {
        const Value *v = &f->g->value.at[model->input.at[i]];
        for (int k = 0; k < v->rank; k++) {
            const ExprNode *n = expr_node(f->x, v->dim[k]);
            if (n->op == EX_VAR && strcmp(f->x->var.at[n->imm.i].name, name) == 0)
                return true;
        }
    }
    return false;
}

/* Named after the node's first output, whose name no other value has (nodes may have equal names):
 * the same each time that the node is inferred. */
Expr infer_fresh_sym(const Infer *f, const char *what, int64_t low, int64_t high)
{
    Arena *a = f->ctx->arena;
    int out = 0;
    while (out < f->node->nout && f->node->out[out] < 0)
        out++;
    const char *of = out < f->node->nout ? f->g->value.at[f->node->out[out]].name
                                         : arena_printf(a, "%s#%d", f->node->name, f->id);
    const char *name = arena_printf(a, "%s.%s", of, what);
    for (int k = 2; is_input_symbol(f, name); k++)
        name = arena_printf(a, "%s.%s_%d", of, what, k);
    return expr_sym(f->x, name, low, high, 1);
}

/* ---- failing ---- */

static _Noreturn void fail_with(const Infer *f, int code, const char *format, va_list args)
{
    graph_fail(f->g, f->id, code, "%s", arena_vprintf(f->ctx->arena, format, args));
}

void infer_fail(const Infer *f, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fail_with(f, ERR_INVALID, format, args);
}

void infer_unsupported(const Infer *f, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fail_with(f, ERR_UNSUPPORTED, format, args);
}
