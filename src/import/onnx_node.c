/* One node: its attributes, inputs and outputs, on the way to convert_op; Constant nodes. See
 * importer.h. */
#include <string.h>

#include "import/convert.h"
#include "import/importer.h"

/* AttributeProto.type */
enum {
    TYPE_UNKNOWN = 0,
    TYPE_FLOAT = 1,
    TYPE_INT = 2,
    TYPE_STRING = 3,
    TYPE_TENSOR = 4,
    TYPE_GRAPH = 5,
    TYPE_FLOATS = 6,
    TYPE_INTS = 7,
    TYPE_STRINGS = 8,
};

void import_fail(const Importer *im, const Onnx__NodeProto *p, int code, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    const char *const what = arena_vprintf(im->ctx->arena, format, args);
    va_end(args);
    const char *name = p->name ? p->name : "";
    if (name[0] == '\0' && p->n_output > 0)
        name = p->output[0];
    fail(im->ctx, code, "node '%.200s' (%.100s): %s", name, p->op_type ? p->op_type : "", what);
}

Tensor *import_tensor(const Importer *im, const Onnx__TensorProto *p)
{
    Error e;
    Tensor *t = NULL;
    const int code = onnx_tensor(im->memory, p, &t, &e);
    if (code != 0)
        fail(im->ctx, code, "%s", e.message);
    return t;
}

Tensor *import_initializer(const Importer *im, int k)
{
    Error e;
    Tensor *t = NULL;
    const int code = onnx_initializer(im->memory, k, im->model->graph->initializer[k], &t, &e);
    if (code != 0)
        fail(im->ctx, code, "%s", e.message);
    return t;
}

ValueId import_read(const Importer *im, const Scope *s, const Onnx__NodeProto *p, const char *name)
{
    const ValueId v = scope_find(s, name);
    if (v == NO_VALUE)
        import_fail(im, p, ERR_INVALID, "reads '%.200s', which nothing defines", name);
    return v;
}

/* ---- attributes ---- */

/* Files of IR 1 and 2 leave the type to what is there. */
static int attr_type(const Onnx__AttributeProto *p)
{
    if (p->has_type && p->type != TYPE_UNKNOWN)
        return p->type;
    const struct {
        bool there;
        int type;
    } kinds[] = {
        {p->has_f, TYPE_FLOAT},     {p->has_i, TYPE_INT},
        {p->has_s, TYPE_STRING},    {p->t != NULL, TYPE_TENSOR},
        {p->g != NULL, TYPE_GRAPH}, {p->n_floats > 0, TYPE_FLOATS},
        {p->n_ints > 0, TYPE_INTS}, {p->n_strings > 0, TYPE_STRINGS},
    };
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (kinds[i].there)
            return kinds[i].type;
    return TYPE_INTS; /* an empty list */
}

static const char *bytes_text(const Importer *im, ProtobufCBinaryData b)
{
    return b.len > 0 ? arena_strndup(im->ctx->arena, (const char *)b.data, b.len) : "";
}

static Attr floats_attr(const Importer *im, const char *name, const Onnx__AttributeProto *p)
{
    double *const list = arena_array_of(im->ctx->arena, p->n_floats + 1, double);
    for (size_t i = 0; i < p->n_floats; i++)
        list[i] = p->floats[i];
    return (Attr){.name = name, .kind = ATTR_FLOATS, .n = (int)p->n_floats, .floats = list};
}

static Attr strings_attr(const Importer *im, const char *name, const Onnx__AttributeProto *p)
{
    const char **const list = arena_array_of(im->ctx->arena, p->n_strings + 1, const char *);
    for (size_t i = 0; i < p->n_strings; i++)
        list[i] = bytes_text(im, p->strings[i]);
    return (Attr){.name = name, .kind = ATTR_STRINGS, .n = (int)p->n_strings, .strings = list};
}

static Attr import_attr(const Importer *im, const Onnx__NodeProto *node, const char *name,
                        const Onnx__AttributeProto *p)
{
    switch (attr_type(p)) {
    case TYPE_FLOAT:
        return (Attr){.name = name, .kind = ATTR_FLOAT, .f = p->f};
    case TYPE_INT:
        return (Attr){.name = name, .kind = ATTR_INT, .i = p->i};
    case TYPE_STRING:
        return (Attr){.name = name, .kind = ATTR_STRING, .s = bytes_text(im, p->s)};
    case TYPE_TENSOR: {
        if (!p->t)
            import_fail(im, node, ERR_INVALID, "attribute '%.100s' lacks its tensor", name);
        Tensor *const t = import_tensor(im, p->t);
        tensor_defer(im->ctx->arena, t);
        return (Attr){.name = name, .kind = ATTR_TENSOR, .tensor = t};
    }
    case TYPE_FLOATS:
        return floats_attr(im, name, p);
    case TYPE_INTS: {
        static const int64_t none[1];
        const int64_t *const list = p->n_ints > 0 ? p->ints : none;
        return (Attr){.name = name, .kind = ATTR_INTS, .n = (int)p->n_ints, .ints = list};
    }
    case TYPE_STRINGS:
        return strings_attr(im, name, p);
    default:
        import_fail(im, node, ERR_UNSUPPORTED,
                    "attribute '%.100s' has a type that is not supported (%d)", name, p->type);
    }
}

/* An attribute of another kind than its op reads would look absent. Files of IR 1 and 2 do not say
 * of which kind an empty list is. */
static void check_kind(const Importer *im, const Onnx__NodeProto *node, Attr *a)
{
    const unsigned kinds = attr_kinds(a->name);
    if (kinds == 0 || kinds & 1u << a->kind || (a->kind == ATTR_INTS && a->n == 0))
        return;
    if (a->kind == ATTR_INT && kinds & 1u << ATTR_FLOAT) { /* no information is lost */
        *a = (Attr){.name = a->name, .kind = ATTR_FLOAT, .f = (double)a->i};
        return;
    }
    Arena *const arena = im->ctx->arena;
    import_fail(im, node, ERR_INVALID, "attribute '%.100s' is %s, not %s", a->name,
                attr_kinds_text(arena, 1u << a->kind), attr_kinds_text(arena, kinds));
}

/* Which block of the node an attribute is; -1: none. */
static int body_index(const char *op_type, const char *attr)
{
    static const struct {
        const char *op, *attr;
        int k;
    } bodies[] = {
        {"If", "then_branch", 0},
        {"If", "else_branch", 1},
        {"Loop", "body", 0},
        {"Scan", "body", 0},
    };
    for (size_t i = 0; i < sizeof bodies / sizeof *bodies; i++)
        if (strcmp(bodies[i].op, op_type) == 0 && strcmp(bodies[i].attr, attr) == 0)
            return bodies[i].k;
    return -1;
}

static void read_attributes(OnnxOp *o, Scope *s, const Frame *f)
{
    const Onnx__NodeProto *const p = o->proto;
    Importer *const im = o->im;
    o->attr = arena_array_of(im->ctx->arena, p->n_attribute + 1, Attr);
    for (size_t i = 0; i < p->n_attribute; i++) {
        const char *const name = p->attribute[i]->name;
        const Onnx__AttributeProto *const a = frame_attr(f, p->attribute[i]);
        if (!name)
            import_fail(im, p, ERR_INVALID, "attribute %zu has no name", i);
        if (!a)
            continue; /* refers to an attribute that the call does not give */
        if (attr_is_of_passes(name))
            continue;
        if (op_attr(o, name))
            import_fail(im, p, ERR_INVALID, "attribute '%.100s' is given twice", name);
        if (attr_type(a) != TYPE_GRAPH) {
            Attr *const attr = &o->attr[o->nattr++];
            *attr = import_attr(im, p, name, a);
            check_kind(im, p, attr);
            continue;
        }
        const int k = body_index(o->type, name);
        if (k < 0 || !a->g || a != p->attribute[i])
            import_fail(im, p, ERR_UNSUPPORTED, "sub-graph '%.100s' is not supported here", name);
        o->body[k] = import_subgraph(im, s, f, a->g, p);
    }
}

/* ---- Constant ---- */

static Tensor *new_tensor(const Importer *im, DType t, int rank, int64_t n)
{
    Error e;
    Tensor *const tensor = tensor_new(t, rank, &n, &e);
    if (!tensor)
        fail(im->ctx, e.code, "%s", e.message);
    return tensor;
}

static Tensor *constant_tensor(const Importer *im, const Onnx__NodeProto *p, const char *name,
                               const Onnx__AttributeProto *a)
{
    if (strcmp(name, "value") == 0 && a->t)
        return import_tensor(im, a->t);
    const bool is_int = strcmp(name, "value_int") == 0;
    const bool is_float = strcmp(name, "value_float") == 0;
    if (is_int || strcmp(name, "value_ints") == 0) {
        const size_t n = is_int ? 1 : a->n_ints;
        Tensor *const t = new_tensor(im, DT_I64, is_int ? 0 : 1, (int64_t)n);
        for (size_t i = 0; i < n; i++)
            ((int64_t *)t->data)[i] = is_int ? a->i : a->ints[i];
        return t;
    }
    if (is_float || strcmp(name, "value_floats") == 0) {
        const size_t n = is_float ? 1 : a->n_floats;
        Tensor *const t = new_tensor(im, DT_F32, is_float ? 0 : 1, (int64_t)n);
        for (size_t i = 0; i < n; i++)
            ((float *)t->data)[i] = is_float ? a->f : a->floats[i];
        return t;
    }
    import_fail(im, p, ERR_UNSUPPORTED, "a constant given as '%.100s' is not supported", name);
}

static void import_constant(Importer *im, Scope *s, const Frame *f, const Onnx__NodeProto *p)
{
    if (p->n_output != 1)
        import_fail(im, p, ERR_INVALID, "has %zu outputs, not one", p->n_output);
    for (size_t i = 0; i < p->n_attribute; i++) {
        const Onnx__AttributeProto *const a = frame_attr(f, p->attribute[i]);
        if (!a || !p->attribute[i]->name)
            continue;
        Tensor *const t = constant_tensor(im, p, p->attribute[i]->name, a);
        const char *const name = scope_value_name(im, s, p->output[0]);
        scope_define(im, s, p->output[0], graph_constant(im->g, name, t), p);
        return;
    }
    import_fail(im, p, ERR_INVALID, "has no value");
}

/* ---- nodes ---- */

static void read_inputs(OnnxOp *o, const Scope *s)
{
    const Onnx__NodeProto *const p = o->proto;
    o->in = arena_array_of(o->im->ctx->arena, p->n_input + 1, ValueId);
    for (size_t i = 0; i < p->n_input; i++) {
        o->in[i] = p->input[i][0] == '\0' ? -1 : import_read(o->im, s, p, p->input[i]);
        if (o->in[i] >= 0)
            o->nin = (int)i + 1; /* trailing absent ones are dropped */
    }
}

static void make_outputs(OnnxOp *o, Scope *s)
{
    const Onnx__NodeProto *const p = o->proto;
    o->out = arena_array_of(o->im->ctx->arena, p->n_output + 1, ValueId);
    for (size_t i = 0; i < p->n_output; i++) {
        o->out[i] = -1;
        if (p->output[i][0] == '\0')
            continue;
        o->out[i] = scope_new_value(o->im, s, p->output[i]);
        scope_define(o->im, s, p->output[i], o->out[i], p);
        o->nout = (int)i + 1;
    }
}

void import_node(Importer *im, Scope *s, const Frame *f, const Onnx__NodeProto *p)
{
    if (++im->visited > IMPORT_MAX_NODES)
        fail(im->ctx, ERR_MEMORY, "more than %d nodes once functions are inlined",
             IMPORT_MAX_NODES);
    if (!p->op_type || p->op_type[0] == '\0')
        import_fail(im, p, ERR_INVALID, "has no op type");
    const Onnx__FunctionProto *const function = find_function(im, p);
    if (function) {
        import_call(im, s, f, p, function);
        return;
    }
    const char *const domain = domain_name(p->domain);
    if (f->opset == 0 && domain[0] == '\0')
        import_fail(im, p, ERR_INVALID, "the file does not say which opset its ops are of");
    if (domain[0] == '\0' && strcmp(p->op_type, "Constant") == 0) {
        import_constant(im, s, f, p);
        return;
    }
    const char *const own_name = p->name && p->name[0] ? p->name
                                 : p->n_output > 0     ? p->output[0]
                                                       : p->op_type;
    OnnxOp o = {
        .im = im,
        .g = im->g,
        .proto = p,
        .type = domain[0] ? arena_printf(im->ctx->arena, "%s.%s", domain, p->op_type) : p->op_type,
        .name = s->prefix[0] ? arena_printf(im->ctx->arena, "%s%s", s->prefix, own_name) : own_name,
        .block = s->block,
        .opset = f->opset,
        .body = {-1, -1},
    };
    read_inputs(&o, s);
    read_attributes(&o, s, f);
    make_outputs(&o, s);
    convert_op(&o);
}
