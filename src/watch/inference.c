/* Requests find their class, wait in its batcher, and are run by workers that look into it: a class
 * has one task for each worker, so that all may work for it; one of them is queued as long as
 * something waits. */
#include "watch/inference.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "compile/model.h"
#include "watch/infer_parts.h"
#include "watch/pattern.h"

#define MAX_SIDE 4096 /* of inputs that a model fixes */

static void infer_free(void *arg)
{
    Infer *const inf = arg;
    for (int i = 0; i < inf->class.len; i++) {
        InferClass *const c = inf->class.at[i];
        if (c->module->has_thread)
            pthread_join(c->module->thread, NULL);
        c->module->has_thread = false;
        for (int k = 0; k < inf->nworker; k++) /* it may still be queued, with nothing to do */
            workers_cancel(inf->workers, &c->slot[k].task);
    }
    for (int i = 0; i < inf->model.len; i++)
        for (int k = 0; k < inf->model.at[i]->module.len; k++)
            infer_module_free(inf->model.at[i]->module.at[k]);
    pthread_cond_destroy(&inf->ready);
    pthread_mutex_destroy(&inf->compiling);
    pthread_mutex_destroy(&inf->waiting);
    pthread_mutex_destroy(&inf->lock);
    arena_free(inf->arena);
}

Infer *infer_new(Arena *a, const NetHost *nets, Workers *workers)
{
    Arena *const own = arena_new(); /* used under the lock */
    Infer *const inf = arena_new_of(own, Infer);
    *inf = (Infer){.nets = nets,
                   .workers = workers,
                   .nworker = workers ? workers_counts(workers).workers : 0,
                   .arena = own};
    pthread_mutex_init(&inf->lock, NULL);
    pthread_mutex_init(&inf->compiling, NULL);
    pthread_mutex_init(&inf->waiting, NULL);
    pthread_cond_init(&inf->ready, NULL);
    arena_defer(a, infer_free, inf);
    return inf;
}

/* ---- models ---- */

/* A dim of the input; 0: open. */
static int64_t fixed_dim(const Graph *g, Expr dim)
{
    int64_t v;
    return expr_is_int(g->x, dim, &v) ? v : 0;
}

/* What the model wants. */
static int look_at_input(InferModel *m, const Graph *g, Error *e)
{
    const Block *const b = &g->block.at[0];
    const Value *const in = b->input.len > 0 ? &g->value.at[b->input.at[0]] : NULL;
    if (b->input.len != 1)
        return error_set(e, ERR_UNSUPPORTED,
                         "%s: a model of pictures has one input; this one has %d", m->path,
                         b->input.len);
    const bool picture = in->rank == 4 && in->dtype == DT_F32;
    const int64_t batch = picture ? fixed_dim(g, in->dim[0]) : 0,
                  channels = picture ? fixed_dim(g, in->dim[1]) : 0;
    if (!picture || batch > 1 || (channels != 3 && channels != 0))
        return error_set(
            e, ERR_UNSUPPORTED,
            "%s: a model of pictures has one f32 input (1,3,height,width); '%s' is another",
            m->path, in->name);
    const int64_t height = fixed_dim(g, in->dim[2]), width = fixed_dim(g, in->dim[3]);
    if (height > MAX_SIDE || width > MAX_SIDE)
        return error_set(e, ERR_UNSUPPORTED, "%s: an input of %lld x %lld; at most %d each way",
                         m->path, (long long)width, (long long)height, MAX_SIDE);
    m->open_batch = batch == 0;
    m->height = (int)height;
    m->width = (int)width;
    m->input = in->name;
    return 0;
}

static int look_into(Arena *tmp, InferModel *m, Error *e)
{
    Graph *g = NULL;
    const int code = model_import(tmp, m->path, &(OnnxOptions){.output = m->shapes.output}, &g, e);
    return code == 0 ? look_at_input(m, g, e) : code;
}

static InferModel *find_model(const Infer *inf, const char *path, const InferShapes *shapes)
{
    for (int i = 0; i < inf->model.len; i++) {
        InferModel *const m = inf->model.at[i];
        const InferShapes *const own = &m->shapes;
        if (strcmp(m->path, path) == 0 && own->precision == shapes->precision &&
            own->open_width == shapes->open_width &&
            memcmp(own->width, shapes->width, sizeof own->width) == 0 &&
            text_same(own->output, shapes->output))
            return m;
    }
    return NULL;
}

static InferModel *keep_model(Infer *inf, const InferModel *m)
{
    InferModel *const out = arena_new_of(inf->arena, InferModel);
    *out = *m;
    out->path = arena_strdup(inf->arena, m->path);
    out->input = arena_strdup(inf->arena, m->input);
    out->shapes.output = m->shapes.output ? arena_strdup(inf->arena, m->shapes.output) : NULL;
    vec_push(inf->arena, &inf->model, out);
    return out;
}

int infer_open(Infer *inf, const char *path, const InferShapes *shapes, InferModel **out, Error *e)
{
    Arena *const tmp = arena_new();
    InferModel m = {.infer = inf, .path = path, .shapes = *shapes};
    pthread_mutex_lock(&inf->lock);
    *out = find_model(inf, path, shapes);
    pthread_mutex_unlock(&inf->lock);
    const int code = *out ? 0 : look_into(tmp, &m, e);
    pthread_mutex_lock(&inf->lock);
    if (!*out && code == 0)
        *out = find_model(inf, path, shapes); /* another was quicker */
    if (!*out && code == 0)
        *out = keep_model(inf, &m);
    pthread_mutex_unlock(&inf->lock);
    arena_free(tmp);
    return code;
}

const char *infer_path(const InferModel *m) { return m->path; }
const char *infer_inside(const InferModel *m) { return m->shapes.output; }
ModelPrecision infer_precision(const InferModel *m) { return m->shapes.precision; }

void infer_input_size(const InferModel *m, int *height, int *width)
{
    *height = m->height;
    *width = m->width;
}

double infer_compile_seconds(const InferModel *m)
{
    double out = 0;
    pthread_mutex_lock(&m->infer->lock);
    for (int i = 0; i < m->module.len; i++)
        out += m->module.at[i]->state == MODULE_COMPILING ? 0 : m->module.at[i]->seconds;
    pthread_mutex_unlock(&m->infer->lock);
    return out;
}

typedef struct MetadataJob {
    const char *path, *key, *value;
} MetadataJob;

static void metadata_job(Context *ctx, void *arg)
{
    MetadataJob *const j = arg;
    j->value = onnx_metadata(ctx, j->path, j->key);
}

const char *infer_metadata(const InferModel *m, Arena *a, const char *key)
{
    MetadataJob j = {.path = m->path, .key = key};
    Error e = {0};
    return job_run(a, metadata_job, &j, &e, NULL) == 0 ? j.value : NULL;
}

float *infer_planes(Arena *a, InferModel *m, int height, int width, InferRequest *q)
{
    float *const planes =
        arena_alloc_aligned(a, (size_t)3 * (size_t)height * (size_t)width * sizeof(float), 64);
    q->model = m;
    q->height = height;
    q->width = width;
    q->planes = planes;
    return planes;
}

InferOutput infer_output(const InferRequest *q)
{
    const Tensor *const t = q->result;
    InferOutput out = {
        .dtype = t->dtype, .rank = t->rank, .elements = tensor_elements(t) / q->pictures};
    for (int i = 0; i < t->rank; i++)
        out.dim[i] = i == 0 ? t->dim[i] / q->pictures : t->dim[i];
    out.values = t->dtype == DT_F32 ? (const float *)t->data + out.elements * q->item : NULL;
    return out;
}

/* ---- modules and classes, under the lock ---- */

static int own_width(const InferModel *m, int width)
{
    bool own = !m->shapes.open_width;
    for (int i = 0; i < INFER_WIDTHS; i++)
        own |= m->shapes.width[i] == width;
    return own ? width : 0;
}

static InferModule *find_module(InferModel *m, int height, int width)
{
    for (int i = 0; i < m->module.len; i++)
        if (m->module.at[i]->height == height && m->module.at[i]->width == width)
            return m->module.at[i];
    Arena *const a = m->infer->arena;
    InferModule *const out = arena_new_of(a, InferModule);
    *out = (InferModule){.model = m, .height = height, .width = width,
                         .run = arena_array_of(a, m->infer->nworker + 1, Run *)};
    vec_push(a, &m->module, out);
    return out;
}

static void run_slot(Task *t, int worker);

static InferClass *find_class(InferModel *m, int height, int width)
{
    Infer *const inf = m->infer;
    for (int i = 0; i < inf->class.len; i++) {
        InferClass *const c = inf->class.at[i];
        if (c->model == m && c->height == height && c->width == width)
            return c;
    }
    InferClass *const c = arena_new_of(inf->arena, InferClass);
    InferModule *const module = find_module(m, height, own_width(m, width));
    *c = (InferClass){.model = m, .module = module, .height = height, .width = width,
                      .profile.max = module->state == MODULE_READY ? module->max : INFER_BATCH,
                      .slot = arena_array_of(inf->arena, inf->nworker + 1, InferSlot)};
    c->batcher = batcher_new(inf->arena, &c->profile);
    for (int i = 0; i < inf->nworker; i++)
        c->slot[i] = (InferSlot){.task.run = run_slot, .of = c};
    vec_push(inf->arena, &inf->class, c);
    return c;
}

/* Has one worker more look into the class, if something waits there and none is about to. */
static void call_worker(InferClass *c, int64_t ready)
{
    const Infer *const inf = c->model->infer;
    const int64_t latest = batcher_latest(c->batcher);
    if (c->module->state != MODULE_READY || batcher_counts(c->batcher).waiting == 0)
        return;
    InferSlot *slot = NULL;
    for (int i = 0; i < inf->nworker; i++)
        if (c->slot[i].state == SLOT_QUEUED || (c->slot[i].state == SLOT_FREE && !slot))
            slot = &c->slot[i];
    if (!slot)
        return; /* all run: whichever ends first looks again */
    slot->state = SLOT_QUEUED;
    workers_submit(inf->workers, &slot->task, latest, ready);
}

/* ---- ends, not under the lock ---- */

static void end_request(InferRequest *q, InferEnd end)
{
    q->end = end;
    if (q->done)
        q->done(q);
}

static void fail_request(InferRequest *q, int code, const char *why)
{
    tensor_unref(q->result);
    q->result = NULL;
    q->code = code;
    snprintf(q->error, sizeof q->error, "%.190s", why);
    end_request(q, INFER_FAILED);
}

static void end_list(Request *list, InferEnd end, const InferModule *failed)
{
    for (Request *r = list, *next; r; r = next) {
        next = r->next; /* before it belongs to who asked */
        if (end == INFER_FAILED)
            fail_request((InferRequest *)r, failed->code, failed->error);
        else
            end_request((InferRequest *)r, end);
    }
}

static void run_batch(InferClass *c, int index, const BatcherStep *step)
{
    InferRequest *q[BATCH_MAX];
    for (int i = 0; i < step->n; i++)
        q[i] = (InferRequest *)step->batch[i];
    Error e = {0};
    const double start = time_now();
    const int code = infer_module_execute(c->module, index, step->n, q, &e);
    const double seconds = time_now() - start;
    if (code == 0) {
        pthread_mutex_lock(&c->model->infer->lock);
        batch_profile_add(&c->profile, step->n, seconds);
        pthread_mutex_unlock(&c->model->infer->lock);
    }
    for (int i = 0; i < step->n; i++) {
        q[i]->seconds = seconds / step->n;
        if (code == 0)
            end_request(q[i], INFER_DONE);
        else
            fail_request(q[i], code, e.message);
    }
}

/* ---- compiling ---- */

/* Compiles what is MODULE_COMPILING, and lets go what waits for it. */
static void compile_for(InferClass *c)
{
    InferModule *const m = c->module;
    Infer *const inf = m->model->infer;
    Error e = {0};
    pthread_mutex_lock(&inf->compiling);
    const int code = infer_module_compile(m, c->height, c->width, &e);
    pthread_mutex_unlock(&inf->compiling);
    pthread_mutex_lock(&inf->lock);
    m->state = code == 0 ? MODULE_READY : MODULE_FAILED;
    m->code = code;
    snprintf(m->error, sizeof m->error, "%.190s", e.message);
    Request *failed = NULL;
    for (int i = 0; i < inf->class.len; i++) {
        InferClass *const of = inf->class.at[i];
        if (of->module != m)
            continue;
        of->profile.max = code == 0 ? m->max : 1;
        if (code == 0)
            call_worker(of, 0);
        else
            batcher_clear(of->batcher, &failed);
    }
    pthread_cond_broadcast(&inf->ready);
    pthread_mutex_unlock(&inf->lock);
    end_list(failed, INFER_FAILED, m);
}

static void *compile_main(void *arg)
{
    compile_for(arg);
    return NULL;
}

/* On a thread of its own, under the lock: workers have other things to do for these seconds. */
static void start_compiling(InferClass *c)
{
    InferModule *const m = c->module;
    m->state = MODULE_COMPILING;
    pthread_attr_t attr;
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, (size_t)8 << 20); /* LLVM recurses deeply */
    m->has_thread = pthread_create(&m->thread, &attr, compile_main, c) == 0;
    pthread_attr_destroy(&attr);
    if (m->has_thread)
        return;
    m->state = MODULE_FAILED;
    m->code = ERR_MEMORY;
    snprintf(m->error, sizeof m->error, "no thread to compile %.150s", m->model->path);
}

/* On this thread, or waits for another that does. */
static int make_ready(InferClass *c, Error *e)
{
    Infer *const inf = c->model->infer;
    pthread_mutex_lock(&inf->lock);
    const bool ours = c->module->state == MODULE_NEW;
    if (ours)
        c->module->state = MODULE_COMPILING;
    while (!ours && c->module->state == MODULE_COMPILING)
        pthread_cond_wait(&inf->ready, &inf->lock);
    pthread_mutex_unlock(&inf->lock);
    if (ours)
        compile_for(c);
    pthread_mutex_lock(&inf->lock);
    const bool ready = c->module->state == MODULE_READY;
    pthread_mutex_unlock(&inf->lock);
    return ready ? 0 : error_set(e, c->module->code, "%s", c->module->error);
}

int infer_prepare(InferModel *m, int height, int width, Error *e)
{
    pthread_mutex_lock(&m->infer->lock);
    InferClass *const c = find_class(m, height, width);
    pthread_mutex_unlock(&m->infer->lock);
    return make_ready(c, e);
}

/* How far one size is from another: 0, the same; more than 1, further than the double of a side. */
static double distance(const InferClass *c, int height, int width)
{
    const double h = fabs(log2((double)c->height / height)),
                 w = fabs(log2((double)c->width / width));
    return h > w ? h : w;
}

void infer_size_now(InferModel *m, int *height, int *width)
{
    Infer *const inf = m->infer;
    const InferClass *best = NULL;
    pthread_mutex_lock(&inf->lock);
    InferClass *const mine = find_class(m, *height, *width);
    if (mine->module->state == MODULE_NEW)
        start_compiling(mine);
    for (int i = 0; i < inf->class.len && mine->module->state == MODULE_COMPILING; i++) {
        const InferClass *const c = inf->class.at[i];
        const double far =
            c->model == m && c->module->state == MODULE_READY ? distance(c, *height, *width) : 2;
        if (far <= 1 && (!best || far < distance(best, *height, *width)))
            best = c;
    }
    if (best) {
        *height = best->height;
        *width = best->width;
    }
    pthread_mutex_unlock(&inf->lock);
}

/* ---- with workers ---- */

static void run_slot(Task *t, int worker)
{
    InferSlot *const slot = (InferSlot *)t;
    InferClass *const c = slot->of;
    Infer *const inf = c->model->infer;
    const bool idle = workers_waiting(inf->workers) == 0;
    BatcherStep step;
    pthread_mutex_lock(&inf->lock);
    batcher_next(c->batcher, machine_now(), idle, &step);
    slot->state = step.n > 0 ? SLOT_RUNS : SLOT_FREE;
    call_worker(c, step.n > 0 ? 0 : step.wake); /* for what is left */
    pthread_mutex_unlock(&inf->lock);
    end_list(step.dropped, INFER_LATE, NULL);
    if (step.n == 0)
        return;
    run_batch(c, worker, &step);
    pthread_mutex_lock(&inf->lock);
    slot->state = SLOT_FREE;
    call_worker(c, 0);
    pthread_mutex_unlock(&inf->lock);
}

static void begin_request(InferRequest *q)
{
    q->end = INFER_OPEN;
    q->result = NULL;
    q->code = 0;
    q->seconds = 0;
    q->error[0] = '\0';
}

void infer_post(InferRequest *q)
{
    Infer *const inf = q->model->infer;
    assert(inf->workers);
    begin_request(q);
    pthread_mutex_lock(&inf->lock);
    InferClass *const c = q->in = find_class(q->model, q->height, q->width);
    if (c->module->state == MODULE_NEW)
        start_compiling(c);
    const bool failed = c->module->state == MODULE_FAILED;
    if (!failed) {
        batcher_add(c->batcher, &q->r);
        call_worker(c, 0);
    }
    pthread_mutex_unlock(&inf->lock);
    if (failed)
        fail_request(q, c->module->code, c->module->error);
}

void infer_withdraw(InferRequest *q)
{
    Infer *const inf = q->model->infer;
    pthread_mutex_lock(&inf->lock);
    const bool waits = q->r.waits;
    if (waits)
        batcher_remove(q->in->batcher, &q->r);
    pthread_mutex_unlock(&inf->lock);
    if (waits)
        end_request(q, INFER_WITHDRAWN);
}

/* ---- without ---- */

/* All that waits in a class. */
static void drain(InferClass *c)
{
    Infer *const inf = c->model->infer;
    for (;;) {
        BatcherStep step;
        pthread_mutex_lock(&inf->lock);
        batcher_next(c->batcher, machine_now(), true, &step);
        pthread_mutex_unlock(&inf->lock);
        if (step.n == 0)
            return;
        run_batch(c, inf->nworker, &step);
    }
}

static void run_alone(InferRequest *q)
{
    Infer *const inf = q->model->infer;
    const BatcherStep step = {.n = 1, .batch = {&q->r}};
    pthread_mutex_lock(&inf->waiting);
    run_batch(q->in, inf->nworker, &step);
    pthread_mutex_unlock(&inf->waiting);
}

void infer_run(Infer *inf, int n, InferRequest *const *q)
{
    for (int i = 0; i < n; i++) {
        begin_request(q[i]);
        q[i]->r.deadline = INT64_MAX;
        pthread_mutex_lock(&inf->lock);
        q[i]->in = find_class(q[i]->model, q[i]->height, q[i]->width);
        pthread_mutex_unlock(&inf->lock);
        Error e = {0};
        if (make_ready(q[i]->in, &e) != 0)
            fail_request(q[i], e.code, e.message);
        else if (inf->workers)
            run_alone(q[i]);
        else
            batcher_add(q[i]->in->batcher, &q[i]->r);
    }
    for (int i = 0; i < n && !inf->workers; i++)
        drain(q[i]->in);
}

bool infer_status(Infer *inf, int i, InferStatus *out)
{
    pthread_mutex_lock(&inf->lock);
    const bool there = i < inf->class.len;
    if (there) {
        const InferClass *const c = inf->class.at[i];
        *out = (InferStatus){.path = c->model->path,
                             .height = c->height,
                             .width = c->width,
                             .counts = batcher_counts(c->batcher),
                             .profile = c->profile};
    }
    pthread_mutex_unlock(&inf->lock);
    return there;
}
