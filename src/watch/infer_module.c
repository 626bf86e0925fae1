/* From a model's file to a module for a size, and a batch through it. */
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "import/onnx.h"
#include "watch/infer_parts.h"

/* pixels: a larger picture fills the caches by itself, and many would fill the memory */
#define ALONE (128 * 1024)

/* ---- compiling ---- */

static int threads_of(const Infer *inf) { return inf->workers ? 1 : inf->nets->threads; }

/* An analytic choice, no measurement: the same machine gives the same results each time. */
static Precision precision_of(ModelPrecision p, const Target *t)
{
    const char *missing;
    const bool tiles = p == MODEL_AUTO && t->amx && target_runs(t, &missing);
    return p == MODEL_BF16 || tiles ? PRECISION_BF16 : PRECISION_F32;
}

static CompileOptions options_of(const InferModule *m)
{
    const Target target = target_native();
    return (CompileOptions){.target = target,
                            .precision = precision_of(m->model->shapes.precision, &target)};
}

static int compile(const InferModule *m, const CompileOptions *how, int batch, NetCompile *told,
                   Module **out, Error *e)
{
    const OnnxShape shape = {
        m->model->input, 4, {batch, 3, told->height, m->width > 0 ? m->width : -1}};
    ModelOptions opt = {.onnx = {.nshape = 1, .shape = &shape, .output = m->model->shapes.output},
                        .compile = *how};
    return net_compile(told, &opt, out, e);
}

static Tensor *execute(Run *run, int output, Tensor *input, Error *e)
{
    return run_set_input(run, 0, input, e) == 0 && run_execute(run, e) == 0
               ? tensor_ref(run_output(run, output))
               : NULL;
}

/* Is each of two pictures, alone, what it is in a batch of both? */
static bool is_alike(Run *run, int output, Tensor *two, Tensor *const *one)
{
    Error e;
    Tensor *const both = execute(run, output, two, &e);
    bool alike = both && both->rank > 0 && both->dim[0] == 2;
    for (int i = 0; i < 2 && alike; i++) {
        Tensor *const alone = execute(run, output, one[i], &e);
        alike = alone && 2 * alone->bytes == both->bytes &&
                memcmp(alone->data, (const char *)both->data + (size_t)i * alone->bytes,
                       alone->bytes) == 0;
        tensor_unref(alone);
    }
    tensor_unref(both);
    return alike;
}

/* The same for all outputs. A batch that cannot run is not alike, either. */
static bool batches_are_exact(Module *module, Run *run, int height, int width)
{
    const int64_t dims[] = {2, 3, height, width}, size = (int64_t)3 * height * width;
    Error e;
    Tensor *const two = tensor_new(DT_F32, 4, dims, &e);
    if (!two)
        return false;
    tensor_fill_random(two, 1);
    Tensor *one[2];
    for (int i = 0; i < 2; i++) {
        const int64_t alone[] = {1, 3, height, width};
        one[i] = tensor_wrap(DT_F32, 4, alone, (float *)two->data + i * size,
                             (size_t)size * sizeof(float), NULL, NULL);
    }
    bool alike = true;
    for (int i = 0; i < module_program(module)->noutput && alike; i++)
        alike = is_alike(run, i, two, one);
    tensor_unref(one[0]);
    tensor_unref(one[1]);
    tensor_unref(two);
    return alike;
}

/* With the number of pictures left open. False: it cannot be, or results would depend on it, or it
 * would be slower, as where products go by tiles, which want to know how many rows there are
 * (inference.h). */
static bool compile_open(InferModule *m, const CompileOptions *how, int width, NetCompile *told)
{
    const Infer *const inf = m->model->infer;
    if (how->precision == PRECISION_BF16 && how->target.amx)
        return false;
    const int height = told->height;
    Error e;
    Run *run = NULL;
    const bool good = m->model->open_batch && (int64_t)height * width <= ALONE &&
                      compile(m, how, -1, told, &m->module, &e) == 0 &&
                      run_new(m->module, inf->nets->pool, threads_of(inf), &run, &e) == 0 &&
                      batches_are_exact(m->module, run, height, width);
    run_free(run);
    if (!good) {
        module_unref(m->module);
        m->module = NULL;
    }
    return good;
}

int infer_module_compile(InferModule *m, int height, int width, Error *e)
{
    const double start = time_now();
    NetCompile told = {.nets = m->model->infer->nets,
                       .path = m->model->path,
                       .height = height,
                       .width = m->width,
                       .begun = start};
    const CompileOptions how = options_of(m);
    const bool open = compile_open(m, &how, width, &told);
    const int code = open ? 0 : compile(m, &how, 1, &told, &m->module, e);
    m->max = open ? INFER_BATCH : 1;
    m->seconds = time_now() - start;
    return code;
}

void infer_module_free(InferModule *m)
{
    for (int i = 0; i <= m->model->infer->nworker; i++)
        run_free(m->run[i]);
    module_unref(m->module);
}

/* ---- executing ---- */

static Tensor *gather(int n, InferRequest *const *q, Error *e)
{
    const int64_t dims[] = {n, 3, q[0]->height, q[0]->width};
    const size_t size = (size_t)3 * (size_t)q[0]->height * (size_t)q[0]->width * sizeof(float);
    if (n == 1) {
        Tensor *const t = tensor_wrap(DT_F32, 4, dims, (void *)q[0]->planes, size, NULL, NULL);
        if (!t)
            error_set(e, ERR_MEMORY, "no memory for an input");
        return t;
    }
    Tensor *const t = tensor_new(DT_F32, 4, dims, e);
    for (int i = 0; i < n && t; i++)
        memcpy((char *)t->data + (size_t)i * size, q[i]->planes, size);
    return t;
}

static int execute_batch(InferModule *m, Run *run, Tensor *input, int n, InferRequest *const *q,
                         Error *e)
{
    int code = run_set_input(run, 0, input, e);
    if (code == 0)
        code = run_execute(run, e);
    for (int i = 0; i < n && code == 0; i++) {
        Tensor *const result = q[i]->output < module_program(m->module)->noutput
                                   ? run_output(run, q[i]->output)
                                   : NULL;
        if (!result)
            code = error_set(e, ERR_INVALID, "%s: no output %d", m->model->path, q[i]->output);
        else
            q[i]->result = tensor_ref(result);
        q[i]->item = i;
        q[i]->pictures = n;
    }
    return code;
}

int infer_module_execute(InferModule *m, int index, int n, InferRequest *const *q, Error *e)
{
    const Infer *const inf = m->model->infer;
    if (!m->run[index]) {
        const int code = run_new(m->module, inf->nets->pool, threads_of(inf), &m->run[index], e);
        if (code != 0)
            return code;
    }
    Tensor *const input = gather(n, q, e);
    const int code = input ? execute_batch(m, m->run[index], input, n, q, e) : e->code;
    tensor_unref(input);
    return code;
}
