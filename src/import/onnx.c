/* ONNX import: the file, the model, its inputs and outputs, bindings. See onnx.h and importer.h. */
#include "import/onnx.h"

#include <string.h>

#include "base/file.h"
#include "import/importer.h"

/* ---- bindings of dims ---- */

static void bind_dim(Importer *im, const char *name, int64_t value, const char *why)
{
    if (value < 0 || value > INT32_MAX)
        fail(im->ctx, ERR_INVALID, "%.200s: dim '%.100s' cannot be %lld", why, name,
             (long long)value);
    const int k = strmap_get(&im->bound, name, -1);
    if (k >= 0 && im->bound_value.at[k] != value)
        fail(im->ctx, ERR_INVALID, "%.200s: dim '%.100s' is to be %lld, but also %lld", why, name,
             (long long)value, (long long)im->bound_value.at[k]);
    strmap_put(&im->bound, name, im->bound_value.len);
    vec_push(im->ctx->arena, &im->bound_value, value);
}

static const char *dim_key(Importer *im, const Onnx__TensorShapeProto__Dimension *d,
                           const char *input, int axis)
{
    if (d->dim_param && d->dim_param[0] != '\0')
        return d->dim_param;
    return arena_printf(im->ctx->arena, "%s.dim%d", input, axis);
}

static const Onnx__ValueInfoProto *find_input(const Importer *im, const char *name)
{
    const Onnx__GraphProto *const p = im->model->graph;
    for (size_t i = 0; i < p->n_input; i++)
        if (p->input[i]->name && strcmp(p->input[i]->name, name) == 0)
            return p->input[i];
    Str known = str_new(im->ctx->arena);
    for (size_t i = 0; i < p->n_input && i < 8; i++)
        str_addf(&known, "%s'%.60s'", i > 0 ? ", " : "",
                 p->input[i]->name ? p->input[i]->name : "");
    fail(im->ctx, ERR_INVALID, "the model has no input '%.100s'; it has %s", name,
         str_text(&known));
}

static const Onnx__TensorShapeProto *declared_shape(const Onnx__ValueInfoProto *p)
{
    return p->type && p->type->tensor_type ? p->type->tensor_type->shape : NULL;
}

/* The shape that the caller gives an input binds the dims that the model leaves open. */
static void bind_shape(Importer *im, const char *input, int rank, const int64_t *dims)
{
    const Onnx__TensorShapeProto *const shape = declared_shape(find_input(im, input));
    if (!shape)
        return;
    if ((int)shape->n_dim != rank)
        fail(im->ctx, ERR_INVALID, "input '%.100s': the model wants rank %zu, given is rank %d",
             input, shape->n_dim, rank);
    for (int i = 0; i < rank; i++) {
        const Onnx__TensorShapeProto__Dimension *const d = shape->dim[i];
        if (dims[i] < 0)
            continue;
        if (d->has_dim_value && d->dim_value > 0) {
            if (d->dim_value != dims[i])
                fail(im->ctx, ERR_INVALID,
                     "input '%.100s': dim %d is %lld in the model, given is %lld", input, i,
                     (long long)d->dim_value, (long long)dims[i]);
            continue;
        }
        bind_dim(im, dim_key(im, d, input, i), dims[i], input);
    }
}

static void read_bindings(Importer *im)
{
    const OnnxOptions *const opt = im->opt;
    for (int i = 0; i < opt->nbind; i++)
        bind_dim(im, opt->bind[i].name, opt->bind[i].value, "given");
    for (int i = 0; i < opt->nshape; i++)
        bind_shape(im, opt->shape[i].input, opt->shape[i].rank, opt->shape[i].dim);
    for (int i = 0; i < opt->nvalue; i++)
        bind_shape(im, opt->value[i].input, opt->value[i].tensor->rank, opt->value[i].tensor->dim);
}

/* ---- dims ---- */

/* A dim_param as an identifier of the text form, unlike every other. */
static const char *symbol_name(Importer *im, const char *key)
{
    char *const name =
        arena_printf(im->ctx->arena, "%s%s", key[0] >= '0' && key[0] <= '9' ? "_" : "", key);
    for (char *c = name; *c != '\0'; c++) {
        const bool letter = (*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z');
        if (!letter && !(*c >= '0' && *c <= '9') && *c != '_' && *c != '.')
            *c = '_';
    }
    const char *unique = name;
    for (int k = 2; !strmap_put(&im->symbol, unique, 1); k++)
        unique = arena_printf(im->ctx->arena, "%s_%d", name, k);
    return unique;
}

/* The dim that this dim_param (or "input.dim2") stands for: a symbol, or what it is bound to. */
static Expr open_dim(Importer *im, const char *key)
{
    const int made = strmap_get(&im->dim, key, 0);
    if (made != 0)
        return (Expr)made;
    const char *const symbol = symbol_name(im, key);
    int k = strmap_get(&im->bound, key, -1);
    if (k < 0)
        k = strmap_get(&im->bound, symbol, -1);
    const Expr e = k >= 0 ? expr_int(im->g->x, im->bound_value.at[k])
                          : expr_sym(im->g->x, symbol, 0, OPEN_SIZE_MAX, 1);
    strmap_put(&im->dim, key, (int)e);
    return e;
}

/* A name that --bind gives must be one of the model's open dims. */
static void check_bindings(const Importer *im)
{
    for (int i = 0; i < im->opt->nbind; i++) {
        const char *const name = im->opt->bind[i].name;
        if (strmap_get(&im->dim, name, 0) == 0 && strmap_get(&im->symbol, name, 0) == 0)
            fail(im->ctx, ERR_INVALID, "the model's inputs have no open dim '%.100s'", name);
    }
}

/* ---- inputs and outputs ---- */

static const OnnxBindValue *bound_value(const Importer *im, const char *name)
{
    for (int i = 0; i < im->opt->nvalue; i++)
        if (strcmp(im->opt->value[i].input, name) == 0)
            return &im->opt->value[i];
    return NULL;
}

static const char *type_name(const Onnx__TypeProto *t)
{
    if (!t)
        return "of no stated type";
    return t->has_sequence_type        ? "a sequence"
           : t->has_map_type           ? "a map"
           : t->has_optional_type      ? "an optional"
           : t->has_sparse_tensor_type ? "a sparse tensor"
                                       : "of an unknown type";
}

/* Rank and dims: as the model says, or as the caller does where the model says nothing. */
static int input_dims(Importer *im, const Onnx__ValueInfoProto *p, Expr *dims)
{
    const Onnx__TensorShapeProto *const shape = declared_shape(p);
    if (shape && shape->n_dim > MAX_RANK)
        fail(im->ctx, ERR_UNSUPPORTED, "input '%.200s': rank %zu, the largest is %d", p->name,
             shape->n_dim, MAX_RANK);
    if (shape) {
        for (size_t i = 0; i < shape->n_dim; i++) {
            const Onnx__TensorShapeProto__Dimension *const d = shape->dim[i];
            dims[i] = d->has_dim_value && d->dim_value > 0
                          ? expr_int(im->g->x, d->dim_value)
                          : open_dim(im, dim_key(im, d, p->name, (int)i));
        }
        return (int)shape->n_dim;
    }
    const OnnxBindValue *const bound = bound_value(im, p->name);
    int rank = bound ? bound->tensor->rank : -1;
    const int64_t *given = bound ? bound->tensor->dim : NULL;
    for (int i = 0; i < im->opt->nshape; i++)
        if (strcmp(im->opt->shape[i].input, p->name) == 0) {
            rank = im->opt->shape[i].rank;
            given = im->opt->shape[i].dim;
        }
    if (rank < 0)
        fail(im->ctx, ERR_UNSUPPORTED, "input '%.200s' has no stated rank: give its shape",
             p->name);
    for (int i = 0; i < rank; i++)
        dims[i] = given[i] >= 0
                      ? expr_int(im->g->x, given[i])
                      : open_dim(im, arena_printf(im->ctx->arena, "%s.dim%d", p->name, i));
    return rank;
}

static void import_input(Importer *im, Scope *s, const Onnx__ValueInfoProto *p)
{
    if (!p->name || p->name[0] == '\0')
        fail(im->ctx, ERR_INVALID, "an input has no name");
    const ValueId weight = scope_find(s, p->name);
    if (weight != NO_VALUE && im->g->value.at[weight].constant)
        return; /* IR 3: a weight that is also listed as an input */
    if (!p->type || !p->type->tensor_type)
        fail(im->ctx, ERR_UNSUPPORTED, "input '%.200s' is %s: only tensors are supported", p->name,
             type_name(p->type));
    const DType t = onnx_dtype(p->type->tensor_type->elem_type);
    if (dtype_size(t) == 0)
        fail(im->ctx, ERR_UNSUPPORTED, "input '%.200s' has elements of type %d (%s): not supported",
             p->name, p->type->tensor_type->elem_type, t == DT_NONE ? "unknown" : dtype_name(t));
    Expr dims[MAX_RANK];
    const int rank = input_dims(im, p, dims);
    const ValueId v = graph_value(im->g, p->name, t, rank, dims);
    vec_push(im->ctx->arena, &im->g->block.at[0].input, v);
    const OnnxBindValue *const bound = bound_value(im, p->name);
    if (!bound) {
        scope_define(im, s, p->name, v, NULL);
        return;
    }
    if (bound->tensor->dtype != t)
        fail(im->ctx, ERR_INVALID, "input '%.200s' is %s, given is %s", p->name, dtype_name(t),
             dtype_name(bound->tensor->dtype));
    const char *const name = arena_printf(im->ctx->arena, "%s.bound", p->name);
    scope_define(im, s, p->name, graph_constant(im->g, name, tensor_ref(bound->tensor)), NULL);
}

/* Files whose inputs were given open dims later often keep the sizes that outputs had before: where
 * the caller binds dims or values, only types and ranks count. */
static Declared declared_output(const Importer *im, const Onnx__ValueInfoProto *p)
{
    Declared d = {.rank = -1};
    if (!p->type || !p->type->tensor_type)
        return d;
    d.dtype = onnx_dtype(p->type->tensor_type->elem_type);
    const Onnx__TensorShapeProto *const shape = declared_shape(p);
    if (!shape || shape->n_dim > MAX_RANK)
        return d;
    d.rank = (int)shape->n_dim;
    const bool fixed = im->bound_value.len == 0 && im->opt->nvalue == 0;
    for (int i = 0; i < d.rank; i++) {
        const Onnx__TensorShapeProto__Dimension *const dim = shape->dim[i];
        d.dim[i] = dim->has_dim_value && dim->dim_value > 0 && fixed ? dim->dim_value : -1;
    }
    return d;
}

/* Callers know outputs by name, so a value that has another name (an alias made by a function) is
 * copied. */
static void import_output(Importer *im, const Scope *s, const char *name, Declared declared)
{
    ValueId v = scope_find(s, name);
    if (v < 0)
        fail(im->ctx, ERR_INVALID, "output '%.200s' of the model: nothing defines it", name);
    if (strcmp(im->g->value.at[v].name, name) != 0) {
        const ValueId named = graph_value(im->g, name, DT_NONE, -1, NULL);
        graph_node(im->g, 0, OP_IDENTITY, name, 1, &v, 1, &named);
        v = named;
    }
    vec_push(im->ctx->arena, &im->g->block.at[0].output, v);
    vec_push(im->ctx->arena, &im->g->declared, declared);
}

/* ---- the model ---- */

static void check_model(const Importer *im)
{
    const Onnx__ModelProto *const m = im->model;
    if (!m->graph)
        fail(im->ctx, ERR_INVALID, "not an ONNX model: it has no graph");
    if (m->ir_version > ONNX_MAX_IR)
        fail(im->ctx, ERR_UNSUPPORTED,
             "IR version %lld: the newest known is %d; save the model with that",
             (long long)m->ir_version, ONNX_MAX_IR);
    if (m->ir_version < 1)
        fail(im->ctx, ERR_INVALID, "not an ONNX model: it has no IR version");
    if (m->graph->n_output == 0)
        fail(im->ctx, ERR_INVALID, "the model has no outputs");
}

static Graph *import_model(Context *ctx, const char *name, OnnxMemory *memory,
                           const Onnx__ModelProto *model, const OnnxOptions *opt)
{
    Arena *const a = ctx->arena;
    Importer *const im = arena_new_of(a, Importer);
    *im = (Importer){
        .ctx = ctx,
        .g = graph_new(ctx),
        .opt = opt,
        .memory = memory,
        .model = model,
        .dim = strmap_new(a),
        .symbol = strmap_new(a),
        .bound = strmap_new(a),
        .type_hint = intmap_new(a),
        .rank_hint = intmap_new(a),
    };
    const char *const slash = strrchr(name, '/');
    im->g->origin = arena_strdup(a, slash ? slash + 1 : name);
    check_model(im);
    import_functions(im);
    read_bindings(im);
    const Onnx__GraphProto *const p = model->graph;
    Scope s = scope_new(im, NULL, 0);
    import_initializers(im, &s, p);
    for (size_t i = 0; i < p->n_input; i++)
        import_input(im, &s, p->input[i]);
    check_bindings(im);
    /* IR 1 and 2 had no opset_import: everything was opset 1. */
    const int opset = import_opset(im, model->opset_import, model->n_opset_import);
    const Frame f = {.opset = opset == 0 && model->ir_version < 3 ? 1 : opset};
    import_nodes(im, &s, &f, p->node, p->n_node);
    for (size_t i = 0; i < p->n_output && !opt->output; i++)
        import_output(im, &s, p->output[i]->name ? p->output[i]->name : "",
                      declared_output(im, p->output[i]));
    if (opt->output)
        import_output(im, &s, opt->output, (Declared){.rank = -1});
    for (int i = 0; opt->on_file && i < memory->file_id.cap; i++)
        if (memory->file_id.slot[i].key)
            opt->on_file(opt->on_file_arg, memory->file_id.slot[i].key);
    return im->g;
}

static OnnxMemory *new_memory(Context *ctx, size_t size, const OnnxOptions *opt,
                              const char *directory)
{
    const size_t limit = opt->memory_limit ? opt->memory_limit : onnx_memory_limit(size);
    OnnxMemory *const m = onnx_memory_new(limit, opt->directory ? opt->directory : directory);
    if (!m)
        fail(ctx, ERR_MEMORY, "out of memory for the model");
    arena_defer(ctx->arena, onnx_memory_unref, m);
    return m;
}

static const OnnxOptions no_options;

Graph *onnx_import_bytes(Context *ctx, const char *name, const uint8_t *at, size_t size,
                         const OnnxOptions *opt)
{
    opt = opt ? opt : &no_options;
    Error e;
    void *model = NULL;
    OnnxMemory *const m = new_memory(ctx, size, opt, NULL);
    const int code = onnx_unpack(m, WIRE_MODEL, at, size, &model, &e);
    if (code != 0)
        fail(ctx, code, "%s: %s", name, e.message);
    return import_model(ctx, name, m, model, opt);
}

/* The message in the file, but for the weights. */
static const Onnx__ModelProto *read_model(Context *ctx, const char *path, const OnnxOptions *opt,
                                          OnnxMemory **memory)
{
    Error e;
    const Onnx__ModelProto *model = NULL;
    *memory = new_memory(ctx, 0, opt, path_dir(ctx->arena, path));
    const int code = onnx_unpack_file(*memory, path, opt->memory_limit, &model, &e);
    if (code != 0)
        fail(ctx, code, "%s", e.message);
    return model;
}

Graph *onnx_import(Context *ctx, const char *path, const OnnxOptions *opt)
{
    opt = opt ? opt : &no_options;
    OnnxMemory *memory;
    const Onnx__ModelProto *const model = read_model(ctx, path, opt, &memory);
    return import_model(ctx, path, memory, model, opt);
}

const char *onnx_metadata(Context *ctx, const char *path, const char *key)
{
    OnnxMemory *memory;
    const Onnx__ModelProto *const m = read_model(ctx, path, &no_options, &memory);
    for (size_t i = 0; i < m->n_metadata_props; i++) {
        const Onnx__StringStringEntry *const entry = m->metadata_props[i];
        if (entry->key && entry->value && strcmp(entry->key, key) == 0)
            return entry->value;
    }
    return NULL;
}
