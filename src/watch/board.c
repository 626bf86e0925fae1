/* One entry a stream, under one lock that is held for copying alone. */
#include "watch/board.h"

#include <math.h>
#include <pthread.h>
#include <string.h>
#include <time.h>

#include "base/file.h"
#include "base/heap.h"
#include "base/vec.h"
#include "sched/clock.h"
#include "vision/picture.h"
#include "watch/json_write.h"

typedef struct Entry {
    Arena *names;          /* of this entry, as long as its watch is the same */
    const Watch *of;       /* compared, never looked into later */
    BoardStream shown;     /* without values */
    BoardSignal *signal;
    Arena *values;         /* of the last sample */
    double wanted;         /* when a picture was asked for last, monotonic seconds */
    int width, height;     /* of the picture; 0: none */
    uint8_t *rgb;
} Entry;

struct Board {
    Arena *arena;
    pthread_mutex_t lock;  /* guards all that follows */
    VEC(Entry *) entry;
};

Board *board_new(void)
{
    Arena *const a = arena_new();
    Board *const b = arena_new_of(a, Board);
    b->arena = a;
    pthread_mutex_init(&b->lock, NULL);
    return b;
}

static void entry_free(Entry *n)
{
    arena_free(n->values);
    heap_free(n->rgb);
    arena_free(n->names);
}

void board_free(Board *b)
{
    if (!b)
        return;
    for (int i = 0; i < b->entry.len; i++)
        entry_free(b->entry.at[i]);
    pthread_mutex_destroy(&b->lock);
    arena_free(b->arena);
}

static int find(const Board *b, const char *stream)
{
    for (int i = 0; i < b->entry.len; i++)
        if (strcmp(b->entry.at[i]->shown.name, stream) == 0)
            return i;
    return -1;
}

/* ---- writing ---- */

static Entry *entry_new(const Watch *w, const char *stream)
{
    Arena *const a = arena_new();
    Entry *const n = arena_new_of(a, Entry);
    n->names = a;
    n->of = w;
    n->wanted = -1e9;
    n->signal = arena_array_of(a, w->nsignal + 1, BoardSignal);
    n->shown = (BoardStream){.name = arena_strdup(a, stream),
                             .watch = arena_strdup(a, w->name),
                             .path = arena_strdup(a, w->path),
                             .width = w->width,
                             .height = w->height,
                             .nsignal = w->nsignal};
    for (int i = 0; i < w->nsignal; i++) {
        const Signal *const s = &w->signal[i];
        const bool whole = s->region < 0;
        n->signal[i] =
            (BoardSignal){.name = arena_strdup(a, s->name),
                          .kind = signal_kind_name(s->kind),
                          .region = whole ? NULL : arena_strdup(a, w->region[s->region].name),
                          .box = whole ? (Box){0, 0, (float)w->width, (float)w->height}
                                       : w->region[s->region].box};
    }
    return n;
}

static Entry *entry_of(Board *b, const Watch *w, const char *stream)
{
    const int at = find(b, stream);
    if (at >= 0 && b->entry.at[at]->of == w)
        return b->entry.at[at];
    Entry *const n = entry_new(w, stream);
    if (at >= 0) {
        n->wanted = b->entry.at[at]->wanted;
        entry_free(b->entry.at[at]);
        b->entry.at[at] = n;
    } else {
        vec_push(b->arena, &b->entry, n);
    }
    return n;
}

static const char *value_json(Arena *a, const RuleValue *v)
{
    Str out = str_new(a);
    switch (v->kind) {
    case VALUE_UNKNOWN: str_add(&out, "null"); break;
    case VALUE_TRUTH: str_add(&out, v->number != 0 ? "true" : "false"); break;
    case VALUE_NUMBER: json_add_number(&out, v->number); break;
    case VALUE_TEXT: json_add_string(&out, v->text); break;
    case VALUE_LIST:
        for (int i = 0; i < v->n; i++) {
            str_addc(&out, i ? ',' : '[');
            json_add_string(&out, v->list[i].label);
        }
        str_add(&out, v->n ? "]" : "[]");
    }
    return str_text(&out);
}

static Box place_shown(const BoardStream *b, const Sample *s, const Frame *f)
{
    const FramePlace *const p = &s->place;
    if (!f || p->scale_x == 0)
        return (Box){0, 0, 1, 1};
    return (Box){(float)(p->shift_x / f->width), (float)(p->shift_y / f->height),
                 (float)(p->scale_x * b->width / f->width),
                 (float)(p->scale_y * b->height / f->height)};
}

static void keep_values(Entry *n, const Sample *s, const Reading *reading, const Frame *f)
{
    arena_free(n->values);
    n->values = arena_new();
    n->shown.epoch = s->epoch;
    n->shown.t = s->t;
    n->shown.wall = s->wall ? s->wall : wall_now();
    n->shown.place = place_shown(&n->shown, s, f);
    for (int i = 0; i < n->shown.nsignal; i++) {
        n->signal[i].value = value_json(n->values, &reading[i].value);
        n->signal[i].why =
            arena_strdup(n->values, reading[i].value.kind == VALUE_UNKNOWN ? reading[i].why : "");
        n->signal[i].score = reading[i].scored ? (double)reading[i].score : (double)NAN;
    }
}

/* Shrunk, as bytes of RGB; NULL: no memory. */
static uint8_t *small_picture(const Frame *f, int *width, int *height)
{
    const int longest = f->width > f->height ? f->width : f->height;
    const double scale = longest > BOARD_SIDE ? (double)BOARD_SIDE / longest : 1;
    *width = (int)fmax(1, round(f->width * scale));
    *height = (int)fmax(1, round(f->height * scale));
    const FrameBox all = {0, 0, f->width, f->height};
    FrameTensor t = {.dtype = DT_U8,
                     .order = FRAME_NHWC,
                     .width = *width,
                     .height = *height,
                     .channels = 3,
                     .scale = {1, 1, 1}};
    const FrameFilter filter = scale < 1 ? FRAME_AREA : FRAME_BILINEAR;
    void *const scratch = heap_alloc((size_t)frame_scratch(f, &all, filter, &t) + 1, 64);
    t.data = scratch ? heap_alloc((size_t)*width * (size_t)*height * 3, 64) : NULL;
    if (t.data)
        frame_to_tensor(f, &all, filter, &t, simd_level(), scratch);
    heap_free(scratch);
    return t.data;
}

/* The frame is looked at without the lock: it is this worker's alone, and takes a millisecond. */
void board_sample(Board *b, const Watch *w, const Sample *s, const Reading *reading, const Frame *f)
{
    pthread_mutex_lock(&b->lock);
    Entry *n = entry_of(b, w, s->stream);
    keep_values(n, s, reading, f);
    const bool wanted = f && time_now() - n->wanted < BOARD_PICTURE;
    pthread_mutex_unlock(&b->lock);
    if (!wanted)
        return;
    int width, height;
    uint8_t *const rgb = small_picture(f, &width, &height);
    pthread_mutex_lock(&b->lock);
    const int at = rgb ? find(b, s->stream) : -1; /* it may have been removed meanwhile */
    if (at >= 0) {
        n = b->entry.at[at];
        heap_free(n->rgb);
        n->rgb = rgb;
        n->width = width;
        n->height = height;
    } else {
        heap_free(rgb);
    }
    pthread_mutex_unlock(&b->lock);
}

void board_remove(Board *b, const char *stream)
{
    pthread_mutex_lock(&b->lock);
    const int at = find(b, stream);
    if (at >= 0) {
        entry_free(b->entry.at[at]);
        memmove(b->entry.at + at, b->entry.at + at + 1,
                (size_t)(b->entry.len - at - 1) * sizeof *b->entry.at);
        b->entry.len--;
    }
    pthread_mutex_unlock(&b->lock);
}

/* ---- reading ---- */

static BoardStream copy_stream(Arena *a, const Entry *n)
{
    BoardStream out = n->shown;
    out.name = arena_strdup(a, out.name);
    out.watch = arena_strdup(a, out.watch);
    out.path = arena_strdup(a, out.path);
    BoardSignal *const signal = arena_dup(a, n->signal, (size_t)(out.nsignal + 1) * sizeof *signal);
    for (int i = 0; i < out.nsignal; i++) {
        BoardSignal *const s = &signal[i];
        s->name = arena_strdup(a, s->name);
        s->region = s->region ? arena_strdup(a, s->region) : NULL;
        s->value = arena_strdup(a, s->value);
        s->why = arena_strdup(a, s->why);
    }
    out.signal = signal;
    return out;
}

int board_streams(Board *b, Arena *a, const BoardStream **out)
{
    pthread_mutex_lock(&b->lock);
    const int n = b->entry.len;
    BoardStream *const all = arena_array_of(a, n + 1, BoardStream);
    for (int i = 0; i < n; i++)
        all[i] = copy_stream(a, b->entry.at[i]);
    pthread_mutex_unlock(&b->lock);
    *out = all;
    return n;
}

int board_picture(Board *b, Arena *a, const char *stream, const uint8_t **at, size_t *size,
                  Error *e)
{
    *at = NULL;
    *size = 0;
    pthread_mutex_lock(&b->lock);
    const int i = find(b, stream);
    Picture p = {0};
    if (i >= 0) {
        Entry *const n = b->entry.at[i];
        n->wanted = time_now();
        p = (Picture){n->width, n->height,
                      n->rgb ? arena_dup(a, n->rgb, (size_t)n->width * (size_t)n->height * 3)
                             : NULL};
    }
    pthread_mutex_unlock(&b->lock);
    if (i < 0)
        return error_set(e, ERR_INVALID, "there is no stream '%s'", stream);
    return p.rgb ? jpeg_encode(a, &p, 80, at, size, e) : 0;
}
