/* What conversions are written with: see convert.h. */
#include <string.h>

#include "import/convert.h"

/* ---- attributes ---- */

const Attr *op_attr(const OnnxOp *o, const char *name)
{
    for (int i = 0; i < o->nattr; i++)
        if (strcmp(o->attr[i].name, name) == 0)
            return &o->attr[i];
    return NULL;
}

int64_t op_attr_int(const OnnxOp *o, const char *name, int64_t missing)
{
    const Attr *const a = op_attr(o, name);
    return a && a->kind == ATTR_INT ? a->i : missing;
}

double op_attr_float(const OnnxOp *o, const char *name, double missing)
{
    const Attr *const a = op_attr(o, name);
    return a && a->kind == ATTR_FLOAT ? a->f : missing;
}

const char *op_attr_string(const OnnxOp *o, const char *name, const char *missing)
{
    const Attr *const a = op_attr(o, name);
    return a && a->kind == ATTR_STRING ? a->s : missing;
}

int op_attr_ints(const OnnxOp *o, const char *name, const int64_t **v)
{
    const Attr *const a = op_attr(o, name);
    *v = a && a->kind == ATTR_INTS ? a->ints : NULL;
    return *v ? a->n : -1;
}

void op_drop_attr(OnnxOp *o, const char *name)
{
    int n = 0;
    for (int i = 0; i < o->nattr; i++)
        if (strcmp(o->attr[i].name, name) != 0)
            o->attr[n++] = o->attr[i];
    o->nattr = n;
}

void op_set_attr(OnnxOp *o, Attr attr)
{
    op_drop_attr(o, attr.name);
    Attr *const grown = arena_array_of(o->im->ctx->arena, o->nattr + 1, Attr);
    for (int i = 0; i < o->nattr; i++)
        grown[i] = o->attr[i];
    grown[o->nattr++] = attr;
    o->attr = grown;
}

void op_set_int(OnnxOp *o, const char *name, int64_t v)
{
    op_set_attr(o, (Attr){.name = name, .kind = ATTR_INT, .i = v});
}

void op_set_string(OnnxOp *o, const char *name, const char *v)
{
    op_set_attr(o, (Attr){.name = name, .kind = ATTR_STRING, .s = v});
}

/* ---- inputs ---- */

bool op_has_in(const OnnxOp *o, int k)
{
    return k < o->nin && o->in[k] >= 0;
}

void op_set_in(OnnxOp *o, int k, ValueId v)
{
    const int n = k < o->nin ? o->nin : k + 1;
    ValueId *const in = arena_array_of(o->im->ctx->arena, n, ValueId);
    for (int i = 0; i < n; i++)
        in[i] = i < o->nin ? o->in[i] : -1;
    in[k] = v;
    o->in = in;
    o->nin = n;
    while (o->nin > 0 && o->in[o->nin - 1] < 0)
        o->nin--;
}

int op_known_rank(const OnnxOp *o, ValueId v)
{
    const int rank = o->g->value.at[v].rank;
    return rank >= 0 ? rank : intmap_get(&o->im->rank_hint, (uint64_t)v, -1);
}

/* DT_NONE: not known here. */
static DType op_known_type(const OnnxOp *o, ValueId v)
{
    const DType t = o->g->value.at[v].dtype;
    return t != DT_NONE ? t : (DType)intmap_get(&o->im->type_hint, (uint64_t)v, DT_NONE);
}

/* ---- constants ---- */

static const char *made_name(const OnnxOp *o, const char *what)
{
    return arena_printf(o->im->ctx->arena, "%s.%s", o->name, what);
}

ValueId op_const_ints(OnnxOp *o, const char *what, int n, const int64_t *v)
{
    return graph_const_ints(o->g, made_name(o, what), n, v);
}

ValueId op_const_int(OnnxOp *o, const char *what, int64_t v)
{
    return op_const_ints(o, what, 1, &v);
}

ValueId op_const_floats(OnnxOp *o, const char *what, int n, const double *v)
{
    Error e;
    Tensor *const t = tensor_new(DT_F32, 1, (const int64_t[]){n}, &e);
    if (!t)
        fail(o->im->ctx, e.code, "%s", e.message);
    for (int i = 0; i < n; i++)
        ((float *)t->data)[i] = (float)v[i];
    return graph_constant(o->g, made_name(o, what), t);
}

ValueId op_const_like(OnnxOp *o, const char *what, double v, ValueId like)
{
    const DType t = op_known_type(o, like);
    if (dtype_size(t) > 0)
        return graph_const_scalar(o->g, made_name(o, what), t, v);
    const ValueId c = graph_const_scalar(o->g, made_name(o, what), DT_F32, v);
    return op_emit(o, OP_CAST_LIKE, 2, (const ValueId[]){c, like});
}

/* ---- nodes ---- */

ValueId op_emit(OnnxOp *o, OpCode code, int nin, const ValueId *in)
{
    const ValueId out = graph_value(o->g, made_name(o, op_rows[code].name), DT_NONE, -1, NULL);
    graph_node(o->g, o->block, code, o->name, nin, in, 1, &out);
    return out;
}

static bool count_fits(int n, int min, int max)
{
    return n >= min && (max < 0 || n <= max);
}

static void check_arity(const OnnxOp *o, OpCode code, int nin, const ValueId *in)
{
    const OpRow *const row = &op_rows[code];
    if (!count_fits(nin, row->min_in, row->max_in))
        op_fail(o, ERR_INVALID, "has %d inputs; %s takes %d%s", nin, row->onnx,
                nin < row->min_in ? row->min_in : row->max_in,
                row->min_in == row->max_in ? ""
                : nin < row->min_in        ? " or more"
                                           : " at most");
    for (int k = 0; k < row->min_in && row->class != 'C'; k++)
        if (in[k] < 0)
            op_fail(o, ERR_INVALID, "lacks input %d, which %s needs", k, row->onnx);
    if (o->nout < row->min_out)
        op_fail(o, ERR_INVALID, "has %d outputs; %s has at least %d", o->nout, row->onnx,
                row->min_out);
    if (row->max_out >= 0 && o->nout > row->max_out)
        op_fail(o, ERR_UNSUPPORTED, "output %d of %s is not supported", o->nout - 1, row->onnx);
}

NodeId op_finish(OnnxOp *o, OpCode code, int nin, const ValueId *in)
{
    check_arity(o, code, nin, in);
    const NodeId id = graph_node(o->g, o->block, code, o->name, nin, in, o->nout, o->out);
    Node *const n = &o->g->node.at[id];
    n->attr = o->attr;
    n->nattr = o->nattr;
    n->nblock = o->nblock;
    for (int i = 0; i < o->nblock; i++)
        n->block[i] = o->body[i];
    return id;
}

void op_fail(const OnnxOp *o, int code, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    const char *const what = arena_vprintf(o->im->ctx->arena, format, args);
    va_end(args);
    import_fail(o->im, o->proto, code, "%s", what);
}
