/* Helpers of the define functions: inputs, inferred shapes in the stages' pool, outputs. */
#include "op/op.h"

bool define_has(const Define *d, int k)
{
    return k < d->node->nin && d->in[k] >= 0;
}

const StageTensor *define_in(const Define *d, int k)
{
    return &d->s->tensor.at[d->in[k]];
}

int define_rank(const Define *d, int k)
{
    return define_in(d, k)->rank;
}

Expr define_dim(const Define *d, int k, int axis)
{
    return define_in(d, k)->dim[axis];
}

/* ---- what inference found ---- */

static Expr import_expr(const Define *d, Expr e)
{
    return d->x == d->g->x ? e : expr_import(d->x, d->g->x, e, d->var_map);
}

static const Value *output_value(const Define *d, int k)
{
    return &d->g->value.at[d->node->out[k]];
}

static bool wants_output(const Define *d, int k)
{
    return k < d->node->nout && d->node->out[k] >= 0;
}

void define_out_dims(const Define *d, int k, Expr *dims)
{
    const Value *v = output_value(d, k);
    for (int i = 0; i < v->rank; i++)
        dims[i] = import_expr(d, v->dim[i]);
}

int define_out_rank(const Define *d, int k)
{
    return output_value(d, k)->rank;
}

DType define_out_type(const Define *d, int k)
{
    return output_value(d, k)->dtype;
}

/* Builds only in the stages' pool: definitions of one graph may be made on several threads. */
#define MAX_STEERING 4096

const Expr *define_elems(const Define *d, int k, int *n)
{
    if (!define_has(d, k))
        return NULL;
    const Value *v = &d->g->value.at[d->node->in[k]];
    /* Values that steer an op are small; weights are data and are loaded. */
    const bool constant = v->constant && layout_is_plain(&v->constant->layout) &&
                          tensor_elements(v->constant) <= MAX_STEERING;
    if (!v->elems && !constant)
        return NULL;
    *n = v->elems ? v->nelems : (int)tensor_elements(v->constant);
    Expr *out = arena_array_of(d->ctx->arena, *n + 1, Expr);
    for (int i = 0; i < *n; i++)
        out[i] = v->elems ? import_expr(d, v->elems[i]) : constant_element(d->x, v->constant, i);
    return out;
}

int define_ints(const Define *d, int k, int64_t *v, int max)
{
    int n = 0;
    const Expr *e = define_elems(d, k, &n);
    bool known = e != NULL && n <= max;
    for (int i = 0; known && i < n; i++)
        known = expr_is_int(d->x, e[i], &v[i]);
    if (!known) {
        d->ctx->detail = d->node->in[k];
        graph_fail(d->g, d->id, ERR_NEED_VALUE, "the value of input %d must be known", k);
    }
    return n;
}

int define_ints_or_attr(const Define *d, const char *attr, int k, int64_t *v, int max)
{
    const Attr *a = node_attr(d->node, attr);
    if (a && a->kind == ATTR_INT) {
        v[0] = a->i;
        return 1;
    }
    if (a && a->kind == ATTR_INTS) {
        for (int i = 0; i < a->n && i < max; i++)
            v[i] = a->ints[i];
        return a->n < max ? a->n : max;
    }
    return define_has(d, k) ? define_ints(d, k, v, max) : -1;
}

double define_float(const Define *d, const char *attr, double missing)
{
    return node_float(d->node, attr, missing);
}

int64_t define_int(const Define *d, const char *attr, int64_t missing)
{
    return node_int(d->node, attr, missing);
}

int define_axis(int64_t axis, int rank)
{
    return (int)(axis < 0 ? axis + rank : axis);
}

void define_fail(const Define *d, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    graph_fail(d->g, d->id, ERR_UNSUPPORTED, "%s", arena_vprintf(d->ctx->arena, format, args));
}

/* ---- loads ---- */

Expr define_load(const Define *d, int k, const Expr *index)
{
    return stages_load(d->s, d->in[k], index);
}

Expr define_load_scalar(const Define *d, int k)
{
    Expr index[MAX_RANK];
    for (int i = 0; i < MAX_RANK; i++)
        index[i] = expr_int(d->x, 0);
    return define_load(d, k, index);
}

/* A dim that is not known is read as it is: inference assumed it equal to the output's. An output
 * dim of 1 makes the index 0 by its own bounds. */
Expr define_load_broadcast(const Define *d, int k, int rank, const Expr *index)
{
    const StageTensor *t = &d->s->tensor.at[d->in[k]];
    Expr i[MAX_RANK];
    for (int a = 0; a < t->rank; a++) {
        int64_t n;
        const bool one = expr_is_int(d->x, t->dim[a], &n) && n == 1;
        i[a] = one ? expr_int(d->x, 0) : index[rank - t->rank + a];
    }
    return define_load(d, k, i);
}

/* ---- outputs ---- */

static const char *temp_name(const Define *d)
{
    return op_rows[d->node->op].name;
}

static int copy_tensor(const Define *d, int tensor, DType to)
{
    const StageTensor t = d->s->tensor.at[tensor];
    const StageBuild b = stage_begin(d->s, t.rank, t.dim);
    const Expr v = expr_cast(d->x, dtype_compute(to), stages_load(d->s, tensor, b.i));
    return stage_map(d->s, &b, temp_name(d), to, v);
}

void define_out(Define *d, int k, int tensor)
{
    if (!wants_output(d, k))
        return;
    const DType want = define_out_type(d, k);
    const StageTensor *t = &d->s->tensor.at[tensor];
    bool copy = t->dtype != want || t->stage < 0;
    for (int i = 0; i < d->node->nin; i++)
        copy |= d->in[i] == tensor;
    for (int i = 0; i < d->node->nout; i++)
        copy |= i != k && d->out[i] == tensor;
    d->out[k] = copy ? copy_tensor(d, tensor, want) : tensor;
}

StageBuild define_begin(const Define *d, int k)
{
    Expr dims[MAX_RANK];
    define_out_dims(d, k, dims);
    return stage_begin(d->s, define_out_rank(d, k), dims);
}

void define_map(Define *d, int k, const StageBuild *b, Expr value)
{
    if (!wants_output(d, k))
        return;
    const DType t = define_out_type(d, k);
    d->out[k] = stage_map(d->s, b, temp_name(d), t, expr_cast(d->x, dtype_compute(t), value));
}
