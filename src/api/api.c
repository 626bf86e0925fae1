/* The public API's half that needs the compiler. */
#include <lathe.h>

#include <string.h>

#include "base/parallel.h"
#include "compile/cache.h"
#include "target/cpu.h"

typedef struct CompileJob {
    const char *path;
    const uint8_t *bytes; /* or NULL */
    size_t size;
    const lathe_options *options;
    Module *module;
} CompileJob;

static void check_list(Context *ctx, const char *what, int n, const void *list)
{
    if (n < 0 || (n > 0 && !list))
        fail(ctx, ERR_INVALID, "options: %d of %s%s", n, what, n > 0 ? ", which is NULL" : "");
}

static void check_options(Context *ctx, const lathe_options *o)
{
    Error e;
    if (cpu_check_limit(&e) != 0)
        fail(ctx, ERR_INVALID, "%s", e.message);
    if (o->threads < 0 || o->threads > POOL_MAX_WORKERS)
        fail(ctx, ERR_INVALID, "options: %d threads: 0 to %d", o->threads, POOL_MAX_WORKERS);
    check_list(ctx, "bind", o->nbind, o->bind);
    check_list(ctx, "shape", o->nshape, o->shape);
    check_list(ctx, "value", o->nvalue, o->value);
    for (int i = 0; i < o->nbind; i++)
        if (!o->bind[i].name || o->bind[i].value < 0)
            fail(ctx, ERR_INVALID, "options: dim '%s' cannot be %lld",
                 o->bind[i].name ? o->bind[i].name : "", (long long)o->bind[i].value);
    for (int i = 0; i < o->nshape; i++)
        if (!o->shape[i].input || o->shape[i].rank < 0 || o->shape[i].rank > MAX_RANK)
            fail(ctx, ERR_INVALID, "options: the shape of input '%s' has rank %d: 0 to %d",
                 o->shape[i].input ? o->shape[i].input : "", o->shape[i].rank, MAX_RANK);
    for (int i = 0; i < o->nvalue; i++)
        if (!o->value[i].input)
            fail(ctx, ERR_INVALID, "options: value %d names no input", i);
}

/* A copy, which lives as long as whoever holds it. */
static Tensor *copy_value(Context *ctx, const lathe_value *v)
{
    Error e;
    const char *name = v->input;
    if (v->tensor.rank < 0 || v->tensor.rank > MAX_RANK || v->tensor.dtype <= 0 ||
        v->tensor.dtype >= DT_COUNT)
        fail(ctx, ERR_INVALID, "options: the value of input '%s' has type %d and rank %d", name,
             v->tensor.dtype, v->tensor.rank);
    Tensor *t = tensor_new((DType)v->tensor.dtype, v->tensor.rank, v->tensor.dim, &e);
    if (!t)
        fail(ctx, e.code, "options: the value of input '%s': %s", name, e.message);
    tensor_defer(ctx->arena, t);
    if (t->bytes > v->tensor.bytes)
        fail(ctx, ERR_INVALID, "options: the value of input '%s' has %zu bytes, its shape says %zu",
             name, v->tensor.bytes, t->bytes);
    if (t->bytes > 0 && !v->tensor.data)
        fail(ctx, ERR_INVALID, "options: the value of input '%s' has no data", name);
    if (t->bytes > 0)
        memcpy(t->data, v->tensor.data, t->bytes);
    return t;
}

static OnnxOptions onnx_options(Context *ctx, const lathe_options *o)
{
    OnnxBindDim *bind = arena_array_of(ctx->arena, o->nbind + 1, OnnxBindDim);
    OnnxShape *shape = arena_array_of(ctx->arena, o->nshape + 1, OnnxShape);
    OnnxBindValue *value = arena_array_of(ctx->arena, o->nvalue + 1, OnnxBindValue);
    for (int i = 0; i < o->nbind; i++)
        bind[i] = (OnnxBindDim){o->bind[i].name, o->bind[i].value};
    for (int i = 0; i < o->nshape; i++) {
        shape[i] = (OnnxShape){.input = o->shape[i].input, .rank = o->shape[i].rank};
        memcpy(shape[i].dim, o->shape[i].dim, sizeof shape[i].dim);
    }
    for (int i = 0; i < o->nvalue; i++)
        value[i] = (OnnxBindValue){o->value[i].input, copy_value(ctx, &o->value[i])};
    return (OnnxOptions){.nbind = o->nbind, .bind = bind, .nshape = o->nshape, .shape = shape,
                         .nvalue = o->nvalue, .value = value, .directory = o->directory};
}

static void compile_job(Context *ctx, void *arg)
{
    CompileJob *j = arg;
    const lathe_options *o = j->options;
    Error e;
    Model model;
    check_options(ctx, o);
    ModelOptions opt = {
        .onnx = onnx_options(ctx, o), .bytes = j->bytes, .size = j->size, .module_only = true};
    opt.compile.threads = o->threads > 0 ? o->threads : parallel_cpus();
    opt.compile.target = target_native();
    opt.compile.spend_constants = true;
    int code = o->target ? target_find(o->target, &opt.compile.target, &e) : 0;
    if (code == 0 && o->precision)
        code = precision_find(o->precision, &opt.compile.precision, &e);
    if (code == 0)
        code = cache_compile(j->path, &opt,
                             o->cache && !o->cache[0] ? cache_directory(ctx->arena) : o->cache,
                             CACHE_LIMIT, &model, &e);
    if (code != 0)
        fail(ctx, code, "%s", e.message);
    j->module = model.module;
}

static lathe_module *compile(CompileJob *j, lathe_error *error)
{
    static const lathe_options defaults;
    Error *e = (Error *)error;
    Arena *a = arena_try_new();
    if (!a) {
        error_set(e, ERR_MEMORY, "out of memory");
        return NULL;
    }
    j->options = j->options ? j->options : &defaults;
    job_run(a, compile_job, j, e, NULL);
    arena_free(a);
    return (lathe_module *)j->module;
}

lathe_module *lathe_compile(const char *path, const lathe_options *options, lathe_error *error)
{
    if (!path) {
        error_set((Error *)error, ERR_INVALID, "no path was given");
        return NULL;
    }
    return compile(&(CompileJob){.path = path, .options = options}, error);
}

lathe_module *lathe_compile_memory(const void *data, size_t size, const lathe_options *options,
                                   lathe_error *error)
{
    if (!data) {
        error_set((Error *)error, ERR_INVALID, "no data was given");
        return NULL;
    }
    return compile(&(CompileJob){.path = "model", .bytes = data, .size = size, .options = options},
                   error);
}
