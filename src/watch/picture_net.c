/* One module for all widths, or one for each size; an input tensor for each size. */
#include "watch/picture_net.h"

#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/vec.h"
#include "compile/cache.h"
#include "import/onnx.h"

#define NET_MAX_SIDE 4096 /* of inputs that a model fixes */

typedef struct NetShape {
    int height, width;
    Tensor *input; /* (1,3,height,width) */
    Run *run;      /* shared by all widths of a height if these are open */
    Module *module;
    bool shared;   /* run and module are another shape's */
} NetShape;

struct Net {
    const NetHost *host;
    Arena *arena;
    const char *path, *input; /* name of its input */
    const char *inside; /* value that is given out; NULL: the model's outputs */
    bool open_width;
    int height, width; /* of its input, 0: open */
    VEC(NetShape) shape;
    int current; /* of net_input; -1 */
    double compile_seconds;
};

static void net_free(void *arg)
{
    Net *const n = arg;
    for (int i = 0; i < n->shape.len; i++) {
        NetShape *const s = &n->shape.at[i];
        if (!s->shared) {
            run_free(s->run);
            module_unref(s->module);
        }
        tensor_unref(s->input);
    }
}

/* A dim of the input; 0: open. */
static int64_t fixed_dim(const Graph *g, Expr dim)
{
    int64_t v;
    return expr_is_int(g->x, dim, &v) ? v : 0;
}

static int look_at_input(Net *n, const Graph *g, const Value *in, Error *e)
{
    const bool picture = in->rank == 4 && in->dtype == DT_F32;
    const int64_t batch = picture ? fixed_dim(g, in->dim[0]) : 0, channels = picture ? fixed_dim(g, in->dim[1]) : 0;
    if (!picture || batch > 1 || (channels != 3 && channels != 0))
        return error_set(e, ERR_UNSUPPORTED, "%s: a model of pictures has one f32 input (1,3,height,width); '%s' is another",
                         n->path, in->name);
    const int64_t height = fixed_dim(g, in->dim[2]), width = fixed_dim(g, in->dim[3]);
    if (height > NET_MAX_SIDE || width > NET_MAX_SIDE)
        return error_set(e, ERR_UNSUPPORTED, "%s: an input of %lld x %lld; at most %d each way", n->path, (long long)width,
                         (long long)height, NET_MAX_SIDE);
    n->height = (int)height;
    n->width = (int)width;
    return 0;
}

/* What the model wants. */
static int look_into(Net *n, Error *e)
{
    Arena *const tmp = arena_new();
    Graph *g = NULL;
    int code = model_import(tmp, n->path, &(OnnxOptions){.output = n->inside}, &g, e);
    if (code == 0 && g->block.at[0].input.len != 1)
        code = error_set(e, ERR_UNSUPPORTED, "%s: a model of pictures has one input; this one has %d", n->path,
                         g->block.at[0].input.len);
    if (code == 0) {
        const Block *const b = &g->block.at[0];
        const Value *const in = &g->value.at[b->input.at[0]];
        n->input = arena_strdup(n->arena, in->name);
        code = look_at_input(n, g, in, e);
    }
    arena_free(tmp);
    return code;
}

static int open_net(Arena *a, Net given, Net **out, Error *e)
{
    Net *const n = arena_new_of(a, Net);
    *n = given;
    n->arena = a;
    n->current = -1;
    arena_defer(a, net_free, n);
    *out = n;
    return look_into(n, e);
}

int net_open(Arena *a, const NetHost *host, const char *path, bool open_width, Net **out, Error *e)
{
    return open_net(a, (Net){.host = host, .path = arena_strdup(a, path), .open_width = open_width}, out, e);
}

int net_open_inside(Arena *a, const NetHost *host, const char *path, const char *output, Net **out, Error *e)
{
    return open_net(a, (Net){.host = host, .path = arena_strdup(a, path), .inside = output ? arena_strdup(a, output) : NULL}, out, e);
}

static int compile(Net *n, NetShape *s, Error *e)
{
    double start = time_now();
    const OnnxShape shape = {n->input, 4, {1, 3, s->height, -1}};
    ModelOptions opt = {.static_shapes = !n->open_width, .ninput = 1, .input = &s->input};
    opt.onnx.output = n->inside;
    if (n->open_width) {
        opt.onnx.nshape = 1;
        opt.onnx.shape = &shape;
    }
    opt.compile = (CompileOptions){.target = target_native(), .threads = n->host->threads,
                                   .progress = n->host->progress, .progress_arg = &start};
    Model model = {0};
    int code = cache_compile(n->path, &opt, n->host->cache, CACHE_LIMIT, &model, e);
    s->module = model.module;
    if (code == 0)
        code = run_new(model.module, n->host->pool, n->host->threads, &s->run, e);
    n->compile_seconds += time_now() - start;
    return code;
}

/* The run of another width, if that is open. */
static bool share(const Net *n, NetShape *s)
{
    for (int i = 0; i < n->shape.len && n->open_width; i++) {
        const NetShape *const other = &n->shape.at[i];
        if (other->height != s->height)
            continue;
        s->run = other->run;
        s->module = other->module;
        s->shared = true;
        return true;
    }
    return false;
}

static int add_shape(Net *n, int height, int width, Error *e)
{
    const int64_t dim[] = {1, 3, height, width};
    NetShape s = {.height = height, .width = width, .input = tensor_new(DT_F32, 4, dim, e)};
    if (!s.input)
        return e->code;
    const int code = share(n, &s) ? 0 : compile(n, &s, e);
    if (code != 0) {
        run_free(s.run);
        module_unref(s.module);
        tensor_unref(s.input);
        return code;
    }
    vec_push(n->arena, &n->shape, s);
    n->current = n->shape.len - 1;
    return 0;
}

int net_input(Net *n, int height, int width, float **planes, Error *e)
{
    n->current = -1;
    for (int i = 0; i < n->shape.len && n->current < 0; i++)
        if (n->shape.at[i].height == height && n->shape.at[i].width == width)
            n->current = i;
    int code = n->current < 0 ? add_shape(n, height, width, e) : 0;
    if (code == 0)
        code = run_set_input(n->shape.at[n->current].run, 0, n->shape.at[n->current].input, e);
    if (code == 0)
        *planes = n->shape.at[n->current].input->data;
    return code;
}

int net_execute(Net *n, int output, const Tensor **out, Error *e)
{
    Run *const run = n->shape.at[n->current].run;
    const int code = run_execute(run, e);
    if (code == 0)
        *out = run_output(run, output);
    return code;
}

const char *net_path(const Net *n) { return n->path; }
const char *net_inside(const Net *n) { return n->inside; }

void net_size(const Net *n, int *height, int *width)
{
    *height = n->height;
    *width = n->width;
}

double net_compile_seconds(const Net *n) { return n->compile_seconds; }

typedef struct MetadataJob {
    const char *path, *key, *value;
} MetadataJob;

static void metadata_job(Context *ctx, void *arg)
{
    MetadataJob *const j = arg;
    j->value = onnx_metadata(ctx, j->path, j->key);
}

const char *net_metadata(const Net *n, const char *key)
{
    MetadataJob j = {.path = n->path, .key = key};
    Error e = {0};
    return job_run(n->arena, metadata_job, &j, &e, NULL) == 0 ? j.value : NULL;
}

const char *net_find_model(Arena *a, const char *name, const char **looked)
{
    const char *const set = getenv("LATHE_MODELS");
    const char *const path = path_join(a, set ? set : ".models", name);
    *looked = path;
    return file_exists(path) ? path : NULL;
}
