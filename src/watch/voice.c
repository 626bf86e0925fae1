#include "watch/voice.h"

#include <math.h>
#include <string.h>

#include "base/file.h"
#include "compile/cache.h"

#define MODEL "silero_vad/data/silero_vad_16k_op15.onnx"
#define CONTEXT 64
#define STATE 256 /* (2,1,128) */

struct Voice {
    const char *path;
    Tensor *input, *state, *rate;
    Module *module;
    Run *run;
};

static void voice_free(void *arg)
{
    Voice *const v = arg;
    run_free(v->run);
    module_unref(v->module);
    tensor_unref(v->input);
    tensor_unref(v->state);
    tensor_unref(v->rate);
}

/* The graph's inputs in its order: which tensor each gets. */
static int find_inputs(const Voice *v, Tensor *in[3], int *n, Error *e)
{
    Arena *const tmp = arena_new();
    Graph *g = NULL;
    int code = model_import(tmp, v->path, &(OnnxOptions){0}, &g, e);
    *n = code == 0 ? g->block.at[0].input.len : 0;
    bool good = *n >= 2 && *n <= 3 && (code != 0 || g->block.at[0].output.len >= 2);
    for (int i = 0; i < *n && good; i++) {
        const char *const name = g->value.at[g->block.at[0].input.at[i]].name;
        in[i] = strcmp(name, "input") == 0 ? v->input : strcmp(name, "state") == 0 ? v->state : strcmp(name, "sr") == 0 ? v->rate : NULL;
        good = in[i] != NULL;
    }
    if (code == 0 && !good)
        code = error_set(e, ERR_UNSUPPORTED, "%s: a model of voice has inputs 'input', 'state' and 'sr', and two outputs", v->path);
    arena_free(tmp);
    return code;
}

static int compile(Voice *v, const NetHost *nets, Error *e)
{
    Tensor *in[3];
    int n;
    int code = find_inputs(v, in, &n, e);
    if (code != 0)
        return code;
    double start = time_now();
    const OnnxBindValue rate = {"sr", v->rate};
    ModelOptions opt = {.static_shapes = true, .ninput = n, .input = in, .onnx = {.nvalue = n == 3, .value = &rate}};
    opt.compile = (CompileOptions){.target = target_native(), .threads = nets->threads, .progress = nets->progress,
                                   .progress_arg = &start};
    Model model = {0};
    code = cache_compile(v->path, &opt, nets->cache, CACHE_LIMIT, &model, e);
    v->module = model.module;
    if (code == 0)
        code = run_new(v->module, nets->pool, 1, &v->run, e); /* too small to be shared out */
    for (int i = 0; i < n && code == 0; i++) {
        const int k = in[i] == v->rate ? module_find_input(v->module, "sr") : i;
        code = k >= 0 ? run_set_input(v->run, k, in[i], e) : 0;
    }
    return code;
}

int voice_open(Arena *a, const NetHost *nets, const char *path, Voice **out, Error *e)
{
    const char *looked = NULL;
    Voice *const v = arena_new_of(a, Voice);
    arena_defer(a, voice_free, v);
    v->path = path ? arena_strdup(a, path) : net_find_model(a, MODEL, &looked);
    *out = v;
    if (!v->path)
        return error_set(e, ERR_IO, "no model of voice: no file %s (make it by `scripts/setup check`, name another folder by "
                         "LATHE_MODELS, or a file by 'model')", looked);
    v->input = tensor_new(DT_F32, 2, (int64_t[]){1, CONTEXT + VOICE_STEP}, e);
    v->state = tensor_new(DT_F32, 3, (int64_t[]){2, 1, STATE / 2}, e);
    v->rate = tensor_new(DT_I64, 0, NULL, e);
    if (!v->input || !v->state || !v->rate)
        return e->code;
    *(int64_t *)v->rate->data = VOICE_RATE;
    voice_reset(v);
    return compile(v, nets, e);
}

void voice_reset(Voice *v)
{
    memset(v->input->data, 0, sizeof(float) * (CONTEXT + VOICE_STEP));
    memset(v->state->data, 0, sizeof(float) * STATE);
}

int voice_step(Voice *v, const float sound[VOICE_STEP], float *probability, Error *e)
{
    float *const in = v->input->data;
    memcpy(in, in + VOICE_STEP, sizeof *in * CONTEXT);
    memcpy(in + CONTEXT, sound, sizeof *in * VOICE_STEP);
    int code = run_execute(v->run, e);
    if (code == 0) {
        const Tensor *const y = run_output(v->run, 0), *const state = run_output(v->run, 1);
        const bool good = y->dtype == DT_F32 && tensor_elements(y) == 1 && state->dtype == DT_F32 && tensor_elements(state) == STATE;
        *probability = good ? *(const float *)y->data : 0;
        if (!good || !(*probability >= -0.001f && *probability <= 1.001f))
            code = error_set(e, ERR_INVALID, "%s: its output is no probability", v->path);
        else
            memcpy(v->state->data, state->data, sizeof(float) * STATE);
    }
    if (code != 0)
        voice_reset(v);
    return code;
}
