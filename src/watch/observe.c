/* Observers, and what the kinds of signals share: views of regions, the text readers. */
#include "watch/observe.h"

#include <math.h>
#include <string.h>

#include "base/heap.h"
#include "base/vec.h"
#include "watch/embedder.h"
#include "watch/observe_parts.h"
#include "watch/pattern.h"
#include "watch/voice.h"

typedef struct VoiceEntry {
    const char *path; /* NULL: the default */
    VoiceModel *model;
} VoiceEntry;

typedef struct ReaderEntry {
    const char *detector, *recogniser; /* detector: NULL for lines alone */
    ModelPrecision precision;
    TextReader *reader;
} ReaderEntry;

struct ObserveHost {
    Arena *arena;
    const NetHost *nets;
    Infer *infer;
    bool prepares;
    VEC(ReaderEntry) reader;
    VEC(Embedder *) embedder;
    VEC(VoiceEntry) voice;
};

/* ---- host ---- */

ObserveHost *observe_host_new(Arena *a, const NetHost *nets, Workers *workers)
{
    ObserveHost *const h = arena_new_of(a, ObserveHost);
    *h = (ObserveHost){.arena = a,
                       .nets = nets,
                       .infer = infer_new(a, nets, workers),
                       .prepares = workers != NULL};
    return h;
}

Infer *host_infer(ObserveHost *h) { return h->infer; }
bool host_prepares(const ObserveHost *h) { return h->prepares; }

int host_text_reader(ObserveHost *h, const char *detector, const char *recogniser,
                     ModelPrecision precision, TextReader **out, Error *e)
{
    for (int i = 0; i < h->reader.len; i++) {
        const ReaderEntry *const r = &h->reader.at[i];
        if (r->precision != precision || !text_same(r->recogniser, recogniser) ||
            !text_same(r->detector, detector))
            continue;
        *out = r->reader;
        return 0;
    }
    const int code = text_reader_open(h->arena, h->infer, detector, recogniser, precision, out, e);
    if (code == 0)
        vec_push(h->arena, &h->reader, ((ReaderEntry){detector, recogniser, precision, *out}));
    return code;
}

int host_embedder(ObserveHost *h, const char *model, const char *output, ModelPrecision precision,
                  const PictureInput *in, Embedder **out, Error *e)
{
    for (int i = 0; i < h->embedder.len; i++) {
        if (!embedder_is(h->embedder.at[i], model, output, precision, in))
            continue;
        *out = h->embedder.at[i];
        return 0;
    }
    int code = embedder_open(h->arena, h->infer, model, output, precision, in, out, e);
    if (code == 0)
        vec_push(h->arena, &h->embedder, *out);
    return code;
}

int observe_voice(ObserveHost *h, const char *path, VoiceModel **out, Error *e)
{
    for (int i = 0; i < h->voice.len; i++) {
        if (!text_same(h->voice.at[i].path, path))
            continue;
        *out = h->voice.at[i].model;
        return 0;
    }
    const int code = voice_open(h->arena, h->nets, path, out, e);
    if (code == 0)
        vec_push(h->arena, &h->voice,
                 ((VoiceEntry){path ? arena_strdup(h->arena, path) : NULL, *out}));
    return code;
}

/* ---- views ---- */

int box_width(Box b) { return (int)fmaxf(1, roundf(b.width)); }
int box_height(Box b) { return (int)fmaxf(1, roundf(b.height)); }

FrameBox look_box(const Look *l, Box b)
{
    return place_box(&l->place, b);
}

FrameFilter frame_filter(const FrameBox *box, int width, int height)
{
    return box->width > 1.01 * width || box->height > 1.01 * height ? FRAME_AREA : FRAME_BILINEAR;
}

void look_tensor(const Look *l, const FrameBox *box, FrameFilter filter, const FrameTensor *t)
{
    Observer *const o = l->observer;
    const int64_t size = frame_scratch(l->frame, box, filter, t);
    if (!o) { /* before there is one: references */
        frame_to_tensor(l->frame, box, filter, t, simd_level(),
                        arena_alloc_aligned(l->tmp, (size_t)size, 64));
        return;
    }
    if (size > o->scratch_size) {
        heap_free(o->scratch);
        o->scratch = heap_alloc((size_t)size, 64);
        o->scratch_size = o->scratch ? size : 0;
    }
    if (o->scratch_size >= size)
        frame_to_tensor(l->frame, box, filter, t, simd_level(), o->scratch);
}

static void convert(const Look *l, const FrameBox *box, const FrameTensor *t)
{
    look_tensor(l, box, frame_filter(box, t->width, t->height), t);
}

uint8_t *look_gray(const Look *l, Box b, int width, int height)
{
    uint8_t *const out = arena_alloc(l->tmp, (size_t)width * (size_t)height);
    const FrameBox box = look_box(l, b);
    const FrameTensor t = {.data = out,
                           .dtype = DT_U8,
                           .order = FRAME_NCHW,
                           .width = width,
                           .height = height,
                           .channels = 1,
                           .scale = {1, 1, 1}};
    convert(l, &box, &t);
    return out;
}

void look_planes(const Look *l, const FrameBox *box, int width, int height, int stride,
                 float *planes)
{
    const float s = 1 / 127.5f;
    const FrameTensor t = {.data = planes,
                           .dtype = DT_F32,
                           .order = FRAME_NCHW,
                           .width = width,
                           .height = height,
                           .channels = 3,
                           .bgr = true,
                           .row = stride,
                           .plane = (int64_t)height * stride,
                           .scale = {s, s, s},
                           .shift = {-1, -1, -1}};
    convert(l, box, &t);
}

void observe_unknown(Observation *out, const char *reason)
{
    *out = (Observation){.state = OBSERVE_UNKNOWN, .reason = reason};
}

/* ---- observers ---- */

const SignalOps *observe_ops(SignalKind k)
{
    static const SignalOps *const ops[] = {
        [SIGNAL_TEXT] = &text_signal_ops,         [SIGNAL_ICON] = &icon_signal_ops,
        [SIGNAL_SCREEN] = &screen_signal_ops,     [SIGNAL_MOTION] = &motion_signal_ops,
        [SIGNAL_POSITION] = &position_signal_ops, [SIGNAL_OBJECT] = &object_signal_ops,
        [SIGNAL_AUDIO] = &audio_signal_ops,       [SIGNAL_CLASS] = &class_signal_ops,
    };
    return ops[k];
}

static void observer_free(void *arg)
{
    Observer *const o = arg;
    for (int i = 0; i < o->watch->nsignal; i++)
        arena_free(o->signal[i].hold);
    heap_free(o->scratch);
    pthread_mutex_lock(&o->lock); /* who answered last may hold it still */
    pthread_mutex_unlock(&o->lock);
    pthread_cond_destroy(&o->answered);
    pthread_mutex_destroy(&o->lock);
}

int observer_new(Arena *a, ObserveHost *host, const Watch *w, Observer **out, Error *e)
{
    Observer *const o = arena_new_of(a, Observer);
    *o = (Observer){
        .infer = host->infer, .watch = w, .signal = arena_array_of(a, w->nsignal + 1, SignalState)};
    pthread_mutex_init(&o->lock, NULL);
    pthread_cond_init(&o->answered, NULL);
    arena_defer(a, observer_free, o);
    *out = o;
    const int aligned = align_new(a, w, &o->align, e);
    if (aligned != 0)
        return aligned;
    for (int i = 0; i < w->nsignal; i++) {
        SignalState *const s = &o->signal[i];
        const Signal *const signal = &w->signal[i];
        s->signal = signal;
        s->seen_at = INT64_MIN;
        s->region = signal->region >= 0 ? w->region[signal->region].box
                                        : (Box){0, 0, (float)w->width, (float)w->height};
        Error why = {0};
        const int code = observe_ops(signal->kind)->open(a, host, w, s, &why);
        if (code != 0) /* what failed knows no more than its file */
            return error_set(e, code, "%s:%d:%d: signal '%s': %.700s", w->path, signal->place.line,
                             signal->place.column, signal->name, why.message);
    }
    return 0;
}

bool observer_lost(const Observer *o) { return o->align && !align_found(o->align); }
FramePlace observer_place(const Observer *o, const Frame *f)
{
    return o->align ? align_place(o->align, f) : frame_place(o->watch, f);
}
AlignCounts observer_align(const Observer *o)
{
    return o->align ? align_counts(o->align) : (AlignCounts){0};
}

void observer_reset(Observer *o)
{
    if (o->align)
        align_reset(o->align);
    for (int i = 0; i < o->watch->nsignal; i++) {
        SignalState *const s = &o->signal[i];
        s->seen_at = INT64_MIN;
        if (observe_ops(s->signal->kind)->reset)
            observe_ops(s->signal->kind)->reset(s);
    }
}

SignalCounts observer_counts(const Observer *o, int signal) { return o->signal[signal].counts; }
const char *observer_error(const Observer *o, int signal) { return o->signal[signal].error; }
