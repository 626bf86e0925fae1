/* What commands on one model start with. See setup.h. */
#include "tools/setup.h"

#include <limits.h>
#include <string.h>

#include "base/file.h"
#include "compile/cache.h"
#include "runtime/module_file.h"

Setup setup_begin(int argc, char **argv)
{
    return (Setup){.args = args_begin(argc, argv), .arena = arena_new(), .began = time_now()};
}

static bool is_module_file(const char *path)
{
    Arena *a = arena_new();
    File file;
    const bool is = file_map(a, path, &file, NULL) == 0 && file.size >= 8 &&
                    memcmp(file.at, "LATHEMOD", 8) == 0;
    arena_free(a);
    return is;
}

static int input_options(Setup *s, Error *e)
{
    Args *const a = &s->args;
    /* A model without inputs is run with an empty list. */
    while (args_has(a, "--inputs"))
        s->nfile += args_list(a, "--inputs", s->file + s->nfile, 0, SETUP_MAX_FILES - s->nfile);
    s->seed = (uint64_t)args_int(a, "--seed", 0, INT64_MIN, INT64_MAX);
    s->opt.static_shapes = !args_flag(a, "--symbolic");
    return image_options(a, &s->image, e);
}

static int read_costs(Setup *s, const char *path, Error *e)
{
    CostTable *table = NULL;
    const int code = cost_table_read(s->arena, path, &table, e);
    s->opt.compile.costs = table;
    return code;
}

/* The first that says how to compile; NULL: none. What is compiled already takes sizes (--bind) and
 * limits of a run. */
static const char *compile_option(const Args *a)
{
    static const char *const name[] = {"--target",   "--precision", "--work-limit",
                                       "--symbolic", "--no-cache",  "--costs"};
    for (size_t i = 0; i < sizeof name / sizeof *name; i++)
        if (args_has(a, name[i]))
            return name[i];
    return NULL;
}

int setup_options(Setup *s, int what, Error *e)
{
    Args *const a = &s->args;
    const char *const compiles = compile_option(a);
    s->threads = tool_threads(a);
    s->no_cache = args_flag(a, "--no-cache");
    int code = what & SETUP_INPUTS ? input_options(s, e) : 0;
    s->opt.compile.threads = s->threads;
    s->opt.compile.memory_limit = tool_limit(a, "--memory-limit");
    s->opt.compile.work_limit = (double)tool_limit(a, "--work-limit");
    s->opt.compile.progress = tool_progress;
    if (code == 0)
        code = tool_target(a, &s->opt.compile.target, e);
    if (code == 0)
        code = precision_find(args_value(a, "--precision", "f32"), &s->opt.compile.precision, e);
    const char *const costs = args_value(a, "--costs", NULL);
    if (code == 0)
        code = tool_bind(a, s->arena, &s->opt.onnx, e);
    if (code == 0 && !args_done(a, 1, what & SETUP_MODELS ? INT_MAX : 1,
                                what & SETUP_MODELS ? "model files" : "one model file"))
        code = ERR_INVALID;
    if (code != 0)
        return code;
    s->path = a->argv[1];
    s->nmodel = a->argc - 1;
    s->model_path = a->argv + 1;
    s->is_module = is_module_file(s->path);
    if (s->is_module && !(what & SETUP_MODULE))
        return error_set(e, ERR_INVALID,
                         "%s: '%s' is a module file, made by `lathe compile`; give the model",
                         a->argv[0], s->path);
    if (s->is_module && compiles)
        return error_set(e, ERR_INVALID, "%s has no effect on a compiled module; give the model",
                         compiles);
    return costs ? read_costs(s, costs, e) : 0;
}

int setup_runs_here(const Setup *s, Error *e)
{
    const Target *t = &s->opt.compile.target;
    const char *missing = NULL;
    if (target_runs(t, &missing))
        return 0;
    return error_set(e, ERR_INVALID, "this CPU cannot run code for '%s': it lacks %s", t->name,
                     missing);
}

static int open_model(Setup *s, Error *e)
{
    Graph *g;
    const int code = model_import(s->arena, s->path, &s->opt.onnx, &g, e);
    if (code == 0)
        s->ports = tool_graph_ports(s->arena, g);
    if (code == 0)
        s->noutputs = g->block.at[0].output.len;
    return code;
}

static int open_module(Setup *s, Error *e)
{
    const double start = time_now();
    const int code = module_load(s->path, &s->model.module, e);
    s->model.load_seconds = time_now() - start;
    if (code != 0)
        return code;
    s->ports = tool_module_ports(s->arena, s->model.module);
    s->noutputs = module_program(s->model.module)->noutput;
    s->model.report = model_loaded_report(s->model.module);
    return tool_bind_ports(s->arena, &s->ports, &s->opt.onnx, e);
}

int setup_open(Setup *s, int64_t batch, Error *e)
{
    const int code = s->is_module ? open_module(s, e) : open_model(s, e);
    if (code != 0)
        return code;
    s->input = arena_array_of(s->arena, s->ports.n + 1, Tensor *);
    s->ports.memory_limit = s->opt.compile.memory_limit;
    s->opt.input = s->input;
    s->opt.ninput = s->ports.n;
    return tool_inputs(&s->ports, s->nfile, s->file, &s->image, s->seed, batch, s->input, e);
}

int setup_compile(Setup *s, Error *e)
{
    if (s->is_module)
        return 0;
    s->opt.compile.progress_arg = &s->began;
    const char *cache = s->no_cache ? NULL : cache_directory(s->arena);
    return cache_compile(s->path, &s->opt, cache, CACHE_LIMIT, &s->model, e);
}

int setup_run(const Setup *s, Pool **pool, Run **run, Error *e)
{
    int code = pool_new(s->threads, pool, e);
    if (code == 0)
        code = run_new(s->model.module, *pool, 0, run, e);
    if (code == 0)
        run_set_limit(*run, s->opt.compile.memory_limit);
    for (int i = 0; code == 0 && i < module_program(s->model.module)->ninput; i++)
        code = run_set_input(*run, i, s->input[i], e);
    return code;
}

void setup_close(Setup *s)
{
    for (int i = 0; i < s->opt.ninput; i++)
        tensor_unref(s->input[i]);
    s->opt.ninput = 0;
}

int setup_end(Setup *s, int code, const Error *e)
{
    setup_close(s);
    module_unref(s->model.module);
    arena_free(s->arena);
    return code == 0 ? EXIT_OK : tool_fail(e);
}
