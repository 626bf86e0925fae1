/* Model files to modules. */
#include "compile/model.h"

#include "base/file.h"

#define MAX_ROUNDS 8 /* of binding values that inference asks for */

typedef struct ModelJob {
    const char *path;
    const ModelOptions *opt;
    bool *bind; /* by input: read its given value as a constant */
    Graph *g;
    Compiled c;
    double load_seconds;
} ModelJob;

static void specialise(Context *ctx, ModelJob *j)
{
    Graph *g = j->g;
    const Block *main = &g->block.at[0];
    for (int i = 0; i < main->input.len && i < j->opt->ninput; i++) {
        Tensor *t = j->opt->input[i];
        const ValueId id = main->input.at[i];
        if (!t)
            continue;
        Value *v = &g->value.at[id];
        if (t->rank != v->rank || t->dtype != v->dtype)
            fail(ctx, ERR_INVALID, "input '%s': got %s, the model wants %s", v->name,
                 tensor_describe(ctx->arena, t), graph_describe_value(g, id));
        for (int k = 0; k < v->rank; k++) {
            int64_t want;
            if (expr_is_int(g->x, v->dim[k], &want) && want != t->dim[k])
                fail(ctx, ERR_INVALID, "input '%s': got %s, the model wants %s", v->name,
                     tensor_describe(ctx->arena, t), graph_describe_value(g, id));
        }
        for (int k = 0; k < v->rank && (j->opt->static_shapes || j->bind[i]); k++)
            v->dim[k] = expr_int(g->x, t->dim[k]);
        if (j->bind[i]) {
            const ValueId c = graph_constant(g, arena_printf(ctx->arena, "%s.bound", v->name), tensor_ref(t));
            graph_replace_uses(g, id, c);
        }
    }
}

static void model_job(Context *ctx, void *arg)
{
    ModelJob *j = arg;
    const double start = time_now();
    j->g = onnx_import(ctx, j->path, &j->opt->onnx);
    j->load_seconds = time_now() - start;
    specialise(ctx, j);
    j->c = compile_graph(ctx, j->g, &j->opt->compile);
}

/* Marks the graph inputs on which `v` depends; returns how many were not marked before. */
static int trace_inputs(const Graph *g, ValueId v, bool *seen, bool *bind)
{
    if (v < 0 || seen[v])
        return 0;
    seen[v] = true;
    int n = 0;
    const Block *main = &g->block.at[0];
    for (int i = 0; i < main->input.len; i++) {
        if (main->input.at[i] != v || bind[i])
            continue;
        bind[i] = true;
        n++;
    }
    if (g->value.at[v].producer < 0)
        return n;
    const Node *node = &g->node.at[g->value.at[v].producer];
    for (int k = 0; k < node->nin; k++)
        n += trace_inputs(g, node->in[k], seen, bind);
    for (int b = 0; b < node->nblock; b++)
        for (int k = 0; k < g->block.at[node->block[b]].output.len; k++)
            n += trace_inputs(g, g->block.at[node->block[b]].output.at[k], seen, bind);
    return n;
}

/* After ERR_NEED_VALUE: binds what the value needs. False: nothing to bind, or not given. */
static bool bind_more(const ModelJob *j, int value)
{
    const Graph *g = j->g;
    if (!g || value < 0 || value >= g->value.len)
        return false;
    Arena *a = arena_new();
    const int n = trace_inputs(g, value, arena_array_of(a, g->value.len + 1, bool), j->bind);
    arena_free(a);
    for (int i = 0; i < g->block.at[0].input.len; i++)
        if (j->bind[i] && (i >= j->opt->ninput || !j->opt->input[i]))
            return false;
    return n > 0;
}

int model_compile(const char *path, const ModelOptions *opt, Model *out, Error *e)
{
    *out = (Model){0};
    Arena *keep = arena_new();
    ModelJob j = {.path = path, .opt = opt, .bind = arena_array_of(keep, opt->ninput + 4096, bool)};
    int code = 0;
    for (int round = 0;; round++) {
        Arena *arena = arena_new();
        arena_set_limit(arena, (size_t)compile_memory_limit(&opt->compile));
        int detail = -1;
        j.g = NULL;
        code = job_run(arena, model_job, &j, e, &detail);
        if (code == 0) {
            *out = (Model){.report = j.c.report, .graph = j.g, .image = j.c.image, .load_seconds = j.load_seconds};
            out->bound = arena_array_of(arena, opt->ninput + 1, const char *);
            for (int i = 0; i < opt->ninput; i++)
                if (j.bind[i])
                    out->bound[out->nbound++] = j.g->value.at[j.g->block.at[0].input.at[i]].name;
            code = module_new(arena, j.c.program, &j.c.image, &out->module, e);
            break;
        }
        const bool again = code == ERR_NEED_VALUE && round < MAX_ROUNDS && bind_more(&j, detail);
        arena_free(arena);
        if (!again)
            break;
    }
    arena_free(keep);
    return code;
}

typedef struct ImportJob {
    const char *path;
    const OnnxOptions *opt;
    Graph *g;
} ImportJob;

static void import_job(Context *ctx, void *arg)
{
    ImportJob *j = arg;
    j->g = onnx_import(ctx, j->path, j->opt);
}

int model_import(Arena *arena, const char *path, const OnnxOptions *opt, Graph **out, Error *e)
{
    ImportJob j = {path, opt, NULL};
    const int code = job_run(arena, import_job, &j, e, NULL);
    *out = j.g;
    return code;
}
