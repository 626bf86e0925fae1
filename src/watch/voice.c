#include "watch/voice.h"

#include <math.h>
#include <string.h>

#include "base/file.h"

#define MODEL "silero_vad/data/silero_vad_16k_op15.onnx"
#define CONTEXT 64
#define STATE 256 /* (2,1,128) */

struct VoiceModel {
    const char *path;
    Pool *pool;
    Module *module;
    int input, state, rate; /* of the module's inputs; rate: -1: it is bound */
};

struct Voice {
    const VoiceModel *model;
    Tensor *input, *state, *rate;
    Run *run;
};

/* ---- the model ---- */

static void model_free(void *arg)
{
    module_unref(((VoiceModel *)arg)->module);
}

typedef struct Inputs { /* of the graph, in its order */
    Tensor *input, *state, *rate;
    int n;
    Tensor *in[3];
} Inputs;

static int make_inputs(Inputs *x, Error *e)
{
    x->input = tensor_new(DT_F32, 2, (int64_t[]){1, CONTEXT + VOICE_STEP}, e);
    x->state = tensor_new(DT_F32, 3, (int64_t[]){2, 1, STATE / 2}, e);
    x->rate = tensor_new(DT_I64, 0, NULL, e);
    if (!x->input || !x->state || !x->rate)
        return e->code;
    *(int64_t *)x->rate->data = VOICE_RATE;
    return 0;
}

static void free_inputs(Inputs *x)
{
    tensor_unref(x->input);
    tensor_unref(x->state);
    tensor_unref(x->rate);
}

/* Which tensor each of the graph's inputs gets. */
static int find_inputs(VoiceModel *m, Inputs *x, Error *e)
{
    Arena *const tmp = arena_new();
    Graph *g = NULL;
    int code = model_import(tmp, m->path, &(OnnxOptions){0}, &g, e);
    x->n = code == 0 ? g->block.at[0].input.len : 0;
    bool good = x->n >= 2 && x->n <= 3 && (code != 0 || g->block.at[0].output.len >= 2);
    for (int i = 0; i < x->n && good; i++) {
        const char *const name = g->value.at[g->block.at[0].input.at[i]].name;
        x->in[i] = strcmp(name, "input") == 0 ? x->input : strcmp(name, "state") == 0 ? x->state
                                                       : strcmp(name, "sr") == 0     ? x->rate
                                                                                     : NULL;
        good = x->in[i] != NULL;
    }
    if (code == 0 && !good)
        code =
            error_set(e, ERR_UNSUPPORTED,
                      "%s: a model of voice has inputs 'input', 'state' and 'sr', and two outputs",
                      m->path);
    arena_free(tmp);
    return code;
}

static int compile(VoiceModel *m, const NetHost *nets, Inputs *x, Error *e)
{
    NetCompile told = {.nets = nets, .path = m->path, .begun = time_now()};
    const OnnxBindValue rate = {"sr", x->rate};
    ModelOptions opt = {.static_shapes = true, .ninput = x->n, .input = x->in};
    opt.onnx = (OnnxOptions){.nvalue = x->n == 3, .value = &rate};
    opt.compile.target = target_native();
    const int code = net_compile(&told, &opt, &m->module, e);
    if (code != 0)
        return code;
    m->input = module_find_input(m->module, "input");
    m->state = module_find_input(m->module, "state");
    m->rate = module_find_input(m->module, "sr");
    if (m->input < 0 || m->state < 0)
        return error_set(e, ERR_UNSUPPORTED, "%s: it does not use what it heard", m->path);
    return 0;
}

int voice_open(Arena *a, const NetHost *nets, const char *path, VoiceModel **out, Error *e)
{
    const char *looked = NULL;
    VoiceModel *const m = arena_new_of(a, VoiceModel);
    m->pool = nets->pool;
    m->path = path ? arena_strdup(a, path) : net_find_model(a, MODEL, &looked);
    *out = m;
    arena_defer(a, model_free, m);
    if (!m->path)
        return error_set(e, ERR_IO,
                         "no model of voice: no file %s (make it by `scripts/setup check`, name "
                         "another folder by "
                         "LATHE_MODELS, or a file by 'model')",
                         looked);
    Inputs x = {0};
    int code = make_inputs(&x, e);
    if (code == 0)
        code = find_inputs(m, &x, e);
    if (code == 0)
        code = compile(m, nets, &x, e);
    free_inputs(&x);
    return code;
}

/* ---- one voice ---- */

static void voice_free(void *arg)
{
    Voice *const v = arg;
    run_free(v->run);
    tensor_unref(v->input);
    tensor_unref(v->state);
    tensor_unref(v->rate);
}

int voice_new(Arena *a, const VoiceModel *m, Voice **out, Error *e)
{
    Voice *const v = arena_new_of(a, Voice);
    *v = (Voice){.model = m};
    *out = v;
    arena_defer(a, voice_free, v);
    Inputs x = {0};
    int code = make_inputs(&x, e);
    v->input = x.input;
    v->state = x.state;
    v->rate = x.rate;
    if (code != 0)
        return code;
    voice_reset(v);
    code = run_new(m->module, m->pool, 1, &v->run, e); /* too small to be shared out */
    if (code == 0)
        code = run_set_input(v->run, m->input, v->input, e);
    if (code == 0)
        code = run_set_input(v->run, m->state, v->state, e);
    return code == 0 && m->rate >= 0 ? run_set_input(v->run, m->rate, v->rate, e) : code;
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
        const bool good = y->dtype == DT_F32 && tensor_elements(y) == 1 && state->dtype == DT_F32 &&
                          tensor_elements(state) == STATE;
        *probability = good ? *(const float *)y->data : 0;
        if (!good || !(*probability >= -0.001f && *probability <= 1.001f))
            code = error_set(e, ERR_INVALID, "%s: its output is no probability", v->model->path);
        else
            memcpy(v->state->data, state->data, sizeof(float) * STATE);
    }
    if (code != 0)
        voice_reset(v);
    return code;
}
