/* lathe run: a model once. */
#include <stdio.h>

#include "base/file.h"
#include "import/tensor_pb.h"
#include "tools/setup.h"

const char help_run[] =
    "lathe run MODEL [options]\n"
    "\n"
    "Compiles a model for this machine and runs it once; or runs a module file of `lathe "
    "compile`.\n"
    "\n"
    "    --outputs DIR    writes DIR/output_0.pb ..; without it the outputs are summed up on "
    "stdout\n"
    "    --npy            writes DIR/output_0.npy .. instead\n" HELP_INPUTS HELP_COMMON
    "    --guard          looks for kernels that write beyond their results (slow)\n"
    "    --verbose        times and memory\n"
    "\n"
    "Exit status: 0 ran, 3 the model needs something that is not supported, 1 any other error.\n"
    "\n"
    "    lathe run resnet50.onnx\n"
    "    lathe run resnet50.onnx --inputs cat.jpg --mean 123.7,116.3,103.5 --scale "
    "0.0171,0.0175,0.0174\n"
    "    lathe run model.onnx --inputs input_0.pb input_1.pb --outputs out/\n"
    "    lathe run model.onnx --inputs a=a.npy b=b.npy --outputs out/ --npy\n";

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
    printf("%s %s min %g max %g mean %g\n", module_program(m)->output[i].name,
           tensor_describe(a, t), low, high, n > 0 ? sum / (double)n : 0);
    arena_free(a);
}

typedef struct RunOptions {
    const char *outputs; /* a folder; NULL: outputs are summed up */
    bool npy, verbose, guard;
} RunOptions;

static int write_outputs(const Module *m, Run *r, const RunOptions *o, Error *e)
{
    const Program *p = module_program(m);
    int code = o->outputs ? file_make_dirs(o->outputs, e) : 0;
    for (int i = 0; i < p->noutput && code == 0; i++) {
        if (!o->outputs) {
            summarise(m, i, run_output(r, i));
            continue;
        }
        char path[4096];
        snprintf(path, sizeof path, "%s/output_%d.%s", o->outputs, i, o->npy ? "npy" : "pb");
        const Tensor *const t = run_output(r, i);
        code = o->npy ? npy_write(path, t, e) : tensor_pb_write(path, t, p->output[i].name, e);
    }
    return code;
}

static void print_times(const Setup *s, const Run *r, double run_seconds)
{
    const CompileReport *c = s->model.report;
    if (c) {
        fprintf(stderr,
                "load %.3f s, infer %.3f, define %.3f, codegen %.3f, link %.3f, compile %.3f s\n",
                s->model.load_seconds, c->infer_seconds, c->define_seconds, c->codegen_seconds,
                c->link_seconds, c->seconds);
        fprintf(stderr, "%d nodes, %d folded, %d steps, %d kernels, %d constants re-laid\n",
                c->nodes, c->folded, c->units, c->nkernels, c->relaid);
    }
    const RunMemory m = run_memory(r);
    fprintf(stderr, "run %.3f ms, temporaries %lld bytes (%lld without sharing)\n",
            run_seconds * 1e3, (long long)m.planned, (long long)m.naive);
    for (int i = 0; i < s->model.nbound; i++)
        fprintf(stderr, "bound to its value: %s\n", s->model.bound[i]);
}

static int execute(const Setup *s, const RunOptions *o, Error *e)
{
    Pool *pool = NULL;
    Run *r = NULL;
    int code = setup_run(s, &pool, &r, e);
    if (code == 0 && o->guard)
        code = run_set_guard(r, e);
    const double start = time_now();
    if (code == 0)
        code = run_execute(r, e);
    if (code == 0 && o->verbose)
        print_times(s, r, time_now() - start);
    if (code == 0)
        code = write_outputs(s->model.module, r, o, e);
    run_free(r);
    pool_free(pool);
    return code;
}

int cmd_run(int argc, char **argv)
{
    Error e = {0};
    Setup s = setup_begin(argc, argv);
    const RunOptions o = {.outputs = args_value(&s.args, "--outputs", NULL),
                          .npy = args_flag(&s.args, "--npy"),
                          .verbose = args_flag(&s.args, "--verbose"),
                          .guard = args_flag(&s.args, "--guard")};
    int code = setup_options(&s, SETUP_INPUTS | SETUP_MODULE, &e);
    s.opt.compile.spend_constants = true;
    if (code == 0)
        code = setup_runs_here(&s, &e);
    if (code == 0)
        code = setup_open(&s, 1, &e);
    if (code == 0)
        code = setup_compile(&s, &e);
    if (code == 0)
        code = execute(&s, &o, &e);
    return setup_end(&s, code, &e);
}
