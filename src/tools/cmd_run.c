/* lathe run: a model once. */
#include <stdio.h>

#include "base/file.h"
#include "base/str.h"
#include "import/tensor_pb.h"
#include "runtime/module_file.h"
#include "tools/tool.h"

const char help_run[] =
    "lathe run MODEL [options]\n"
    "\n"
    "Compiles a model for this machine and runs it once; or runs a module file (.lathe).\n"
    "\n"
    "    --inputs F ..    .pb or .npy files in the order of the model's inputs, or NAME=FILE;\n"
    "                     inputs that are not given are random\n"
    "    --seed N         of the random inputs (default 0)\n"
    "    --outputs DIR    writes DIR/output_0.pb ..; without it the outputs are summed up on stdout\n"
    "    --bind N=4 ..    sizes that the model leaves open\n"
    "    --symbolic       keep open sizes open instead of compiling for the shapes given\n"
    "    --threads N      (default: all CPUs)\n"
    "    --target LEVEL   avx2, avx512 .. (default: what this CPU has)\n"
    "    --verbose        times and memory\n"
    "\n"
    "Exit status: 0 ran, 3 the model needs something that is not supported, 1 any other error.\n"
    "\n"
    "    lathe run resnet50.onnx\n"
    "    lathe run model.onnx --inputs input_0.pb input_1.pb --outputs out/\n";

static void summarise(const Module *m, int i, const Tensor *t)
{
    Arena *a = arena_new();
    double low = 0, high = 0, sum = 0;
    const int64_t n = tensor_elements(t);
    for (int64_t k = 0; k < n; k++) {
        const double v = dtype_read(t->dtype, (const char *)t->data + k * dtype_size(t->dtype));
        low = k == 0 || v < low ? v : low;
        high = k == 0 || v > high ? v : high;
        sum += v;
    }
    printf("%s %s min %g max %g mean %g\n", module_program(m)->output[i].name, tensor_describe(a, t), low, high,
           n > 0 ? sum / (double)n : 0);
    arena_free(a);
}

static int write_outputs(const Module *m, Run *r, const char *dir, Error *e)
{
    const Program *p = module_program(m);
    int code = dir ? file_make_dirs(dir, e) : 0;
    for (int i = 0; i < p->noutput && code == 0; i++) {
        if (!dir) {
            summarise(m, i, run_output(r, i));
            continue;
        }
        char path[4096];
        snprintf(path, sizeof path, "%s/output_%d.pb", dir, i);
        code = tensor_pb_write(path, run_output(r, i), p->output[i].name, e);
    }
    return code;
}

static int execute(const Model *model, Tensor *const *input, int threads, const char *dir, bool verbose, Error *e)
{
    Pool *pool = NULL;
    Run *r = NULL;
    int code = pool_new(threads, &pool, e);
    if (code == 0)
        code = run_new(model->module, pool, 0, &r, e);
    for (int i = 0; code == 0 && i < module_program(model->module)->ninput; i++)
        code = run_set_input(r, i, input[i], e);
    const double start = time_now();
    if (code == 0)
        code = run_execute(r, e);
    if (code == 0 && verbose && model->report) {
        const CompileReport *c = model->report;
        fprintf(stderr, "load %.3f s, infer %.3f, define %.3f, codegen %.3f, link %.3f, compile %.3f s\n", model->load_seconds,
                c->infer_seconds, c->define_seconds, c->codegen_seconds, c->link_seconds, c->seconds);
        fprintf(stderr, "%d nodes, %d folded, %d steps, %d kernels, %d constants re-laid\n", c->nodes, c->folded, c->units,
                c->nkernels, c->relaid);
    }
    if (code == 0 && verbose) {
        const RunMemory m = run_memory(r);
        fprintf(stderr, "run %.3f ms, temporaries %lld bytes (%lld without sharing)\n", (time_now() - start) * 1e3,
                (long long)m.planned, (long long)m.naive);
        for (int i = 0; i < model->nbound; i++)
            fprintf(stderr, "bound to its value: %s\n", model->bound[i]);
    }
    if (code == 0)
        code = write_outputs(model->module, r, dir, e);
    run_free(r);
    pool_free(pool);
    return code;
}

int cmd_run(int argc, char **argv)
{
    Args a = {argc, argv, false};
    Error e = {0};
    Arena *arena = arena_new();
    const char *file[256];
    double began = time_now();
    const int nfile = args_list(&a, "--inputs", file, 256);
    const char *dir = args_value(&a, "--outputs", NULL);
    const uint64_t seed = (uint64_t)args_int(&a, "--seed", 0);
    const bool symbolic = args_flag(&a, "--symbolic"), verbose = args_flag(&a, "--verbose");
    const int threads = tool_threads(&a);
    ModelOptions opt = {.static_shapes = !symbolic};
    opt.compile = (CompileOptions){.threads = threads, .progress = tool_progress, .progress_arg = &began};
    Model model = {0};
    Tensor **input = NULL;
    Graph *g = NULL;
    int code = tool_target(&a, &opt.compile.target, &e);
    if (code == 0)
        code = tool_bind(&a, arena, &opt.onnx, &e);
    if (code == 0 && !args_done(&a, 1, 1, "one model file")) {
        arena_free(arena);
        return EXIT_ERROR;
    }
    const char *missing = NULL;
    if (code == 0 && !target_runs(&opt.compile.target, &missing))
        code = error_set(&e, ERR_INVALID, "this CPU cannot run code for '%s': it lacks %s", opt.compile.target.name, missing);
    const bool is_module = code == 0 && str_ends(argv[1], ".lathe");
    Ports ports = {0};
    if (code == 0 && is_module) {
        code = module_load(argv[1], &model.module, &e);
        if (code == 0)
            ports = tool_module_ports(arena, model.module);
    } else if (code == 0) {
        code = model_import(arena, argv[1], &opt.onnx, &g, &e);
        if (code == 0)
            ports = tool_graph_ports(arena, g);
    }
    if (code == 0) {
        input = arena_array_of(arena, ports.n + 1, Tensor *);
        opt.input = input;
        opt.ninput = ports.n;
        code = tool_inputs(&ports, nfile, file, seed, 1, input, &e);
    }
    if (code == 0 && !is_module)
        code = model_compile(argv[1], &opt, &model, &e);
    if (code == 0)
        code = execute(&model, input, threads, dir, verbose, &e);
    for (int i = 0; i < opt.ninput; i++)
        tensor_unref(input[i]);
    module_unref(model.module);
    arena_free(arena);
    return code == 0 ? EXIT_OK : tool_fail(&e);
}
