/* Model files to modules. */
#include "compile/model.h"

#include "base/file.h"
#include "runtime/module.h"

#define MAX_ROUNDS 8 /* of binding values that inference asks for */

typedef struct ModelJob {
    const char *path;
    const ModelOptions *opt;
    bool *bind; /* by input: read its given value as a constant; NULL: none */
    Graph *g;
    Model model;
    const Program *program;
    bool early;   /* no further than compile_early; the graph's arena is kept */
    Arena *arena;
} ModelJob;

static bool is_bound(const ModelJob *j, int input)
{
    return j->bind && j->bind[input];
}

static void specialise(Context *ctx, ModelJob *j)
{
    Graph *g = j->g;
    const Block *main = &g->block.at[0];
    bool open = false; /* does a size come from the caller? */
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
        for (int k = 0; k < v->rank && (j->opt->static_shapes || is_bound(j, i)); k++) {
            open |= !expr_is_int(g->x, v->dim[k], NULL);
            v->dim[k] = expr_int(g->x, t->dim[k]);
        }
        if (is_bound(j, i)) {
            open = true;
            const ValueId c =
                graph_constant(g, arena_printf(ctx->arena, "%s.bound", v->name), tensor_ref(t));
            graph_replace_uses(g, id, c);
        }
    }
    for (int i = 0; open && i < g->declared.len; i++) /* as in the importer */
        for (int k = 0; k < g->declared.at[i].rank; k++)
            g->declared.at[i].dim[k] = -1;
}

static Graph *import(Context *ctx, const char *path, const ModelOptions *opt)
{
    return opt->bytes ? onnx_import_bytes(ctx, path, opt->bytes, opt->size, &opt->onnx)
                      : onnx_import(ctx, path, &opt->onnx);
}

static void model_job(Context *ctx, void *arg)
{
    ModelJob *j = arg;
    const double start = time_now();
    j->g = import(ctx, j->path, j->opt);
    Model *m = &j->model;
    *m = (Model){.graph = j->g, .load_seconds = time_now() - start};
    specialise(ctx, j);
    m->bound = arena_array_of(ctx->arena, j->opt->ninput + 1, const char *);
    m->bound_input = arena_array_of(ctx->arena, j->opt->ninput + 1, int);
    for (int i = 0; i < j->opt->ninput; i++) {
        if (!is_bound(j, i))
            continue;
        m->bound_input[m->nbound] = i;
        m->bound[m->nbound++] = j->g->value.at[j->g->block.at[0].input.at[i]].name;
    }
    if (j->early) {
        int folded;
        m->graph = compile_early(ctx, j->g, &j->opt->compile, &folded);
        return;
    }
    const Compiled c = compile_graph(ctx, j->g, &j->opt->compile);
    m->report = c.report;
    m->graph = c.graph;
    m->image = c.image;
    j->program = c.program;
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
static bool bind_more(Context *ctx, ModelJob *j, int value)
{
    const Graph *g = j->g;
    if (!g || value < 0 || value >= g->value.len)
        return false;
    if (!j->bind)
        j->bind = arena_array_of(ctx->arena, g->block.at[0].input.len + j->opt->ninput + 1, bool);
    const int n =
        trace_inputs(g, value, arena_array_of(ctx->arena, g->value.len + 1, bool), j->bind);
    for (int i = 0; i < g->block.at[0].input.len; i++)
        if (j->bind[i] && (i >= j->opt->ninput || !j->opt->input[i]))
            return false;
    return n > 0;
}

/* Rounds, each in an arena of its own, which becomes the module's. */
static void model_rounds(Context *ctx, void *arg)
{
    ModelJob *j = arg;
    for (int round = 0;; round++) {
        Arena *arena = arena_try_new();
        if (!arena)
            fail(ctx, ERR_MEMORY, "out of memory");
        arena_set_limit(arena, (size_t)compile_memory_limit(&j->opt->compile));
        int detail = -1;
        j->g = NULL;
        const int code = job_run(arena, model_job, j, ctx->error, &detail);
        const bool again =
            code == ERR_NEED_VALUE && round < MAX_ROUNDS && bind_more(ctx, j, detail);
        if (code == 0 && j->early)
            j->arena = arena;
        else if (code == 0)
            module_new(arena, j->program, &j->model.image, &j->model.module, ctx->error);
        else
            arena_free(arena);
        if (!again)
            return;
    }
}

static int run_rounds(ModelJob *j, Error *e)
{
    Error own;
    Arena *keep = arena_try_new();
    if (!keep)
        return error_set(e, ERR_MEMORY, "out of memory");
    const int code = job_run(keep, model_rounds, j, e ? e : &own, NULL);
    arena_free(keep);
    return code;
}

int model_early(const char *path, const ModelOptions *opt, Arena **arena, const Graph **out,
                Error *e)
{
    ModelJob j = {.path = path, .opt = opt, .early = true};
    const int code = run_rounds(&j, e);
    *arena = j.arena;
    *out = j.model.graph;
    return code;
}

int model_compile(const char *path, const ModelOptions *opt, Model *out, Error *e)
{
    ModelJob j = {.path = path, .opt = opt};
    *out = (Model){0};
    const int code = run_rounds(&j, e);
    if (code == 0) {
        *out = j.model;
        out->compiled = true;
        module_set_target(out->module, opt->compile.target.name);
    }
    return code;
}

CompileReport *model_loaded_report(const Module *m)
{
    const Program *p = m->p;
    CompileReport *r = arena_new_of(m->arena, CompileReport);
    r->nkernels = p->nkernel;
    r->kernel = arena_array_of(m->arena, p->nkernel + 1, KernelReport);
    for (int i = 0; i < p->nkernel; i++)
        r->kernel[i] = (KernelReport){.name = p->kernel[i].name,
                                      .source = p->kernel[i].source,
                                      .flops = p->kernel[i].flops,
                                      .product = (PeakProduct)p->kernel[i].product};
    for (int i = 0; i < p->nstep; i++) {
        const bool kernel = p->step[i].code == PSTEP_KERNEL;
        r->units += kernel || p->step[i].code == PSTEP_EXTERN;
        if (kernel)
            r->kernel[p->arg[p->step[i].arg]].uses++;
    }
    return r;
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
